package catalog

import (
	"slices"

	"trellis/graph"
)

// scratch is memory for answering one question.
type scratch struct {
	bits  []bitset // given out by take
	taken int
	marks bitset // all zero between uses
	stack []uint32
	tally tally
}

// take returns a bitset with room for every document, of any content.
func (sc *scratch) take(documents int) bitset {
	if sc.taken == len(sc.bits) {
		sc.bits = append(sc.bits, nil)
	}
	b := &sc.bits[sc.taken]
	sc.taken++
	if need := documents>>6 + 1; len(*b) != need {
		*b = make(bitset, need)
	}
	return *b
}

// marksFor returns bits that are all zero, to be left so.
func (sc *scratch) marksFor(documents int) bitset {
	if need := documents>>6 + 1; len(sc.marks) < need {
		sc.marks = make(bitset, need)
	}
	return sc.marks
}

// question is one question under way, while the index is locked for reading.
type question struct {
	*state
	*scratch
	scope    reach
	manyFrom int
}

// reach is what is at or below some places.
type reach struct {
	all    bool
	places []uint32 // sorted
	list   []uint32 // all of it, if it was few enough
	listed bool
	bits   bitset // all of it, if it was worked out
}

// ask begins a question; end must be called after it. False before the first load.
func (x *Index) ask(scope Scope) (*question, bool) {
	x.mu.RLock()
	if x.state == nil {
		x.mu.RUnlock()
		return nil, false
	}
	sc, _ := x.scratch.Get().(*scratch)
	if sc == nil {
		sc = &scratch{}
	}
	q := &question{state: x.state, scratch: sc, manyFrom: x.manyFrom}
	q.scope.all = scope.All || slices.Contains(scope.Places, graph.Root)
	if !q.scope.all {
		for _, r := range scope.Places {
			if n := q.number(r); n != 0 {
				q.scope.places = append(q.scope.places, n)
			}
		}
		slices.Sort(q.scope.places)
		q.scope.places = slices.Compact(q.scope.places)
	}
	return q, true
}

func (x *Index) end(q *question) {
	q.taken = 0
	x.scratch.Put(q.scratch)
	x.mu.RUnlock()
}

// many is from how many documents on bits are better than a list.
func (q *question) many() int {
	if q.manyFrom > 0 {
		return q.manyFrom
	}
	return max(512, len(q.docs)/64)
}

// readable tells whether the document is at or below one of the places.
func (q *question) readable(n uint32) bool {
	r := &q.scope
	switch {
	case r.all:
		return true
	case r.bits != nil:
		return r.bits.has(n)
	}
	if _, ok := slices.BinarySearch(r.places, n); ok {
		return true
	}
	// Most have one or two parents, and these one more.
	var near [16]uint32
	up := append(near[:0], n)
	for i := 0; i < len(up); i++ {
		for _, c := range q.parentsOf(up[i]) {
			p := cellTarget(c)
			if slices.Contains(up, p) {
				continue
			}
			if _, ok := slices.BinarySearch(r.places, p); ok {
				return true
			}
			up = append(up, p)
		}
	}
	return false
}

// listScope collects all that is readable, unless it is more than most.
func (q *question) listScope(most int) bool {
	r := &q.scope
	if r.listed || r.all || r.bits != nil {
		return r.listed
	}
	marks := q.marksFor(len(q.docs))
	list := q.stack[:0]
	add := func(n uint32) bool {
		if !marks.has(n) {
			marks.set(n)
			list = append(list, n)
		}
		return len(list) <= most
	}
	ok := true
	for _, p := range r.places {
		ok = ok && add(p)
	}
	for i := 0; ok && i < len(list); i++ {
		if !q.heads[list[i]].hasChildren {
			continue
		}
		for _, kind := range [...]relation{parent, owner} {
			if in := q.incomingOf(list[i], kind); in != nil {
				ok = ok && in.each(add)
			}
		}
	}
	for _, n := range list {
		marks.unset(n)
	}
	q.stack = list
	if ok {
		r.list, r.listed = list, true
	}
	return ok
}

// mapScope works out the bits of all that is readable.
func (q *question) mapScope() bitset {
	r := &q.scope
	if r.bits != nil {
		return r.bits
	}
	bits, tmp := q.take(len(q.docs)), q.take(len(q.docs))
	clear(bits)
	open := append([]uint32(nil), r.places...)
	for _, p := range r.places {
		bits.set(p)
	}
	// A place below is open if it was not there when its parent's children
	// were added; so each is opened once.
	for len(open) > 0 {
		p := open[len(open)-1]
		open = open[:len(open)-1]
		for _, kind := range [...]relation{parent, owner} {
			in := q.incomingOf(p, kind)
			if in == nil {
				continue
			}
			in.each(func(n uint32) bool {
				if q.heads[n].hasChildren && !bits.has(n) {
					open = append(open, n)
				}
				return true
			})
			in.fill(bits, tmp)
		}
	}
	r.bits = bits
	return bits
}
