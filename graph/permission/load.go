package permission

import (
	"slices"
	"strings"

	"trellis/graph"
)

// loader collects an export and packs it: every list exactly as long as it
// is, lists side by side in blocks.
type loader struct {
	w       *writer
	byType  [][]uint32
	text    []byte
	block   []entry
	members rawEdges
	parents rawEdges
	grants  rawEdges
}

type rawEdge struct{ from, to, attr uint32 }

// rawEdges grows by blocks, so that a load needs no room for copies.
type rawEdges struct {
	blocks [][]rawEdge
	n      int
}

const (
	rawBlock   = 1 << 15
	textBlock  = 1 << 14
	entryBlock = 1 << 11
)

func (r *rawEdges) add(e rawEdge) {
	if r.n%rawBlock == 0 {
		r.blocks = append(r.blocks, make([]rawEdge, 0, rawBlock))
	}
	b := &r.blocks[len(r.blocks)-1]
	*b = append(*b, e)
	r.n++
}

func (r *rawEdges) each(f func(e rawEdge)) {
	for _, b := range r.blocks {
		for _, e := range b {
			f(e)
		}
	}
}

func newLoader() *loader { return &loader{w: newWriter()} }

func (l *loader) node(n *graph.Node) {
	w := l.w
	if w.lookup(n.Ref) != 0 {
		w.putNode(n, "")
		return
	}
	var flags uint32
	if s := n.Props.String(graph.PropStatus); s == "" || s == graph.StatusActive {
		flags = isActive
	}
	at := w.newNode(n.Ref.Type, n.Ref.ID, flags)
	t := int(w.nodes.at(at).typ)
	for len(l.byType) <= t {
		l.byType = append(l.byType, nil)
	}
	l.byType[t] = append(l.byType[t], at)
}

// string copies an id into a block of text.
func (l *loader) string(id string) string {
	if len(l.text)+len(id) > cap(l.text) {
		l.text = make([]byte, 0, max(textBlock, len(id)))
	}
	at := len(l.text)
	l.text = append(l.text, id...)
	return bytesAsString(l.text[at:])
}

func (l *loader) edge(e *graph.Edge) {
	w := l.w
	var to *rawEdges
	switch e.Kind {
	case graph.Inherits, graph.Grants:
		w.roleEdge(cloneRoleEdge(e), false, true)
		return
	case graph.MemberOf:
		to = &l.members
	case graph.ChildOf:
		to = &l.parents
	case graph.CanAccess:
		to = &l.grants
	default:
		return
	}
	a, b := w.lookup(e.From), w.lookup(e.To)
	if a == 0 || b == 0 {
		return
	}
	attr, ok := w.make(e)
	if !ok {
		return
	}
	w.useTerm(attr, 1)
	if e.Kind == graph.CanAccess {
		w.useRight(w.right(attr), 1)
	}
	w.edges++
	to.add(rawEdge{a, b, attr})
}

func cloneRoleEdge(e *graph.Edge) *graph.Edge {
	k := e.EdgeKey
	k.From.ID, k.To.ID, k.Key = strings.Clone(k.From.ID), strings.Clone(k.To.ID), strings.Clone(k.Key)
	return &graph.Edge{EdgeKey: k}
}

// take returns an array for a list of n entries.
func (l *loader) take(n int) []entry {
	if n > entryBlock/4 {
		return make([]entry, n)
	}
	if len(l.block) < n {
		l.block = make([]entry, entryBlock)
	}
	s := l.block[:n:n]
	l.block = l.block[n:]
	return s
}

// room makes a list for n entries to be added to.
func (l *loader) room(n uint32) list {
	switch {
	case n == 0:
		return list{}
	case n > shortMax:
		return longList(l.w.edit)
	}
	p := packed(l.take(int(n)))
	p.n = 0
	return p
}

func (l *loader) finish() *writer {
	w := l.w
	l.renumber()
	for t, ids := range l.byType {
		name := func(id uint32) string { return w.nodes.at(id).name() }
		less := func(a, b uint32) int { return strings.Compare(name(a), name(b)) }
		if !slices.IsSortedFunc(ids, less) {
			slices.SortFunc(ids, less)
		}
		w.types[t].order.fill(ids, w.edit)
	}
	out, in := make([]uint32, w.next), make([]uint32, w.next)
	count := func(r *rawEdges) {
		clear(out)
		clear(in)
		r.each(func(e rawEdge) { out[e.from]++; in[e.to]++ })
	}
	count(&l.grants)
	l.packGrants(out, in)
	count(&l.parents)
	l.packParents(in)
	count(&l.members)
	l.packMembers(out, in)
	return w
}

func (l *loader) packGrants(out, in []uint32) {
	w := l.w
	for id := uint32(1); id < w.next; id++ {
		if in[id] > 0 {
			w.nodes.write(id, w.edit).given = l.room(in[id])
		}
	}
	for id := uint32(1); id < w.next; id++ {
		if out[id] > 0 {
			w.links.write(id, w.edit).held = l.room(out[id])
			w.nodes.write(id, w.edit).flags |= holdsGrants
		}
	}
	l.grants.each(func(e rawEdge) {
		w.nodes.write(e.to, w.edit).given.addGrant(entryOf(e.from, e.attr), w.edit)
		w.links.write(e.from, w.edit).held.add(entryOf(e.to, e.attr), w.edit)
	})
	l.grants = rawEdges{}
}

func (l *loader) packParents(in []uint32) {
	w := l.w
	for id := uint32(1); id < w.next; id++ {
		if in[id] > 0 {
			w.links.write(id, w.edit).children = l.room(in[id])
		}
	}
	l.parents.each(func(e rawEdge) {
		n, up := w.nodes.write(e.from, w.edit), entryOf(e.to, e.attr)
		switch {
		case n.up == 0:
			n.up = up
		case n.more == nil:
			n.more = &[]entry{up}
		default:
			*n.more = append(*n.more, up)
		}
		w.links.write(e.to, w.edit).children.add(entryOf(e.from, e.attr), w.edit)
	})
	l.parents = rawEdges{}
}

func (l *loader) packMembers(out, in []uint32) {
	w := l.w
	for id := uint32(1); id < w.next; id++ {
		if in[id] > 0 {
			w.links.write(id, w.edit).members = l.room(in[id])
			w.nodes.write(id, w.edit).flags |= hasMembers
		}
	}
	for id := uint32(1); id < w.next; id++ {
		if out[id] > 0 {
			w.nodes.write(id, w.edit).sets = setsOf(l.take(int(out[id])), 0)
		}
	}
	l.members.each(func(e rawEdge) {
		s := &w.nodes.write(e.from, w.edit).sets
		s.direct++
		s.near()[s.direct-1] = entryOf(e.to, e.attr)
		w.links.write(e.to, w.edit).members.add(entryOf(e.from, e.attr), w.edit)
	})
	l.members = rawEdges{}
	for id := uint32(1); id < w.next; id++ {
		if out[id] > 0 {
			w.closeSet(id, l.take)
			w.stamp(id)
		}
	}
}
