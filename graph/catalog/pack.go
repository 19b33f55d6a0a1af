package catalog

import (
	"cmp"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"trellis/graph/identity"
)

// finish numbers what was loaded anew, sorts it and packs it.
func (s *state) finish() {
	s.renumber()
	s.loading = false
	var all []uint32
	for n := range s.docs {
		if s.docs[n].id != "" && s.heads[n].typ != placeType {
			all = append(all, uint32(n))
		}
	}
	for by := range s.orders {
		s.orders[by].load(s.sortNumbers(by, all))
	}
	s.tidy(true)
	s.pack()
}

// renumber gives documents of one organization neighbouring numbers, and of
// these documents of one type: what leads to what is mostly near it then, and
// counting goes through memory in order.
func (s *state) renumber() {
	sorted := make([]uint32, len(s.docs)) // old numbers in the new order; 0 stays
	for n := range sorted {
		sorted[n] = uint32(n)
	}
	// An organization belongs to none, but it is found with what belongs to it.
	home := func(n uint32) uint32 {
		if h := &s.heads[n]; docTypes[h.typ] != identity.Organization {
			return h.org
		}
		return s.orgs.numbers[s.docs[n].id]
	}
	slices.SortFunc(sorted[1:], func(a, b uint32) int {
		return cmp.Or(cmp.Compare(home(a), home(b)), cmp.Compare(s.heads[a].typ, s.heads[b].typ), cmp.Compare(a, b))
	})
	to := make([]uint32, len(sorted))
	for n, old := range sorted {
		to[old] = uint32(n)
	}
	s.docs, s.heads = permute(s.docs, sorted), permute(s.heads, sorted)
	for i := range s.keys {
		s.keys[i] = permute(s.keys[i], sorted)
	}
	for i := range s.pointed {
		s.pointed[i] = permute(s.pointed[i], sorted)
	}
	for _, m := range s.numbers {
		for id, n := range m {
			m[id] = to[n]
		}
	}
	for i := range s.free {
		s.free[i] = to[s.free[i]]
	}
	s.sets(func(t *set) { t.renumber(to) })
	moved := func(c uint32) uint32 { return cellOf(cellRelation(c), to[cellTarget(c)]) }
	for n := range s.docs {
		out := s.outOf(uint32(n))
		for i := range out {
			out[i] = moved(out[i])
		}
		slices.Sort(out)
		for i := range s.docs[n].props {
			p := &s.docs[n].props[i]
			p.cell = moved(p.cell)
		}
	}
}

func permute[T any](from []T, sorted []uint32) []T {
	out := make([]T, len(from))
	for n, old := range sorted {
		out[n] = from[old]
	}
	return out
}

func (t *set) renumber(to []uint32) {
	list := t.few
	if t.many != nil {
		list = t.many.ToArray()
	}
	for i := range list {
		list[i] = to[list[i]]
	}
	slices.Sort(list)
	if t.many != nil {
		t.many = roaring.BitmapOf(list...)
		t.many.RunOptimize()
	}
}

// sets calls f for every set of documents.
func (s *state) sets(f func(t *set)) {
	for i := range s.byType {
		f(&s.byType[i])
	}
	f(&s.archived)
	for n := range s.docs {
		for i := range s.docs[n].in {
			f(&s.docs[n].in[i].docs)
		}
	}
	for n := range s.terms.list {
		f(&s.terms.list[n].docs)
	}
	for n := range s.orgs.list {
		for t := range s.orgs.list[n].byType {
			f(&s.orgs.list[n].byType[t])
		}
	}
}

// pack moves small sets side by side, each just as long as it is.
func (s *state) pack() {
	for n := range s.docs {
		d := &s.docs[n]
		d.in, d.props = slices.Clip(slices.Clone(d.in)), slices.Clip(slices.Clone(d.props))
	}
	var block []uint32
	s.sets(func(t *set) {
		if t.many != nil || len(t.few) == 0 {
			return
		}
		if len(block) < len(t.few) {
			block = make([]uint32, 1<<14)
		}
		k := copy(block, t.few)
		t.few, block = block[:k:k], block[k:]
	})
}
