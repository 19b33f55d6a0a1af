package identity

import (
	"slices"

	"trellis/graph"
)

// allKinds lists every kind of edge that there is.
var allKinds = append([]graph.Kind{graph.MemberOf, graph.CanAccess, graph.Inherits, graph.Grants, StoredAs, HasPicture}, RelationKinds...)

// look is what the compiler knows of the edges at nodes: as they are stored, and
// as the steps so far leave them.
type look struct {
	stored map[graph.Ref]*nearby

	upto  int                           // the steps of the batch that the three below know of
	wrote map[graph.EdgeKey]*graph.Edge // nil: removed
	at    map[graph.Ref][]graph.EdgeKey // of wrote
	gone  map[graph.Ref]bool            // nodes that were removed, perhaps made again
}

// nearby are the stored edges at a node. A loop is in both lists, and counts once.
type nearby struct {
	in, out []graph.Edge
	count   int
}

// lookAt reads the edges at those of the nodes that are not known yet, all at once.
func (c *compiler) lookAt(refs []graph.Ref) error {
	l := &c.look
	if l.stored == nil {
		l.stored = map[graph.Ref]*nearby{}
	}
	var unknown []graph.Ref
	for _, r := range refs {
		if l.stored[r] == nil {
			l.stored[r] = &nearby{}
			unknown = append(unknown, r)
		}
	}
	for chunk := range slices.Chunk(unknown, 1000) {
		err := c.pages(graph.Question{Name: graph.EdgesOut, Refs: chunk}, func(e graph.Edge) {
			n := l.stored[e.From]
			n.out = append(n.out, e)
			n.count++
		})
		if err != nil {
			return err
		}
		err = c.pages(graph.Question{Name: graph.EdgesIn, Refs: chunk}, func(e graph.Edge) {
			n := l.stored[e.To]
			n.in = append(n.in, e)
			if e.From != e.To {
				n.count++
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lookAhead reads at once what the deletions will look at first.
func (c *compiler) lookAhead(muts []Mutation) error {
	var refs []graph.Ref
	for i := range muts {
		if s := c.nodes[muts[i].Node]; muts[i].Op == OpDelete && s != nil && s.stored {
			refs = append(refs, muts[i].Node)
		}
	}
	return c.lookAt(refs)
}

// pages asks for edges of all kinds.
func (c *compiler) pages(q graph.Question, f func(graph.Edge)) error {
	for q.Kinds, q.Limit = allKinds, graph.MaxPage; ; {
		a, err := c.s.graph.Store().Ask(c.ctx, q)
		if err != nil {
			return err
		}
		for i := range a.Edges {
			f(a.Edges[i])
		}
		if q.After = a.Next; a.Next == "" {
			return nil
		}
	}
}

// edgesAt returns the edges that end or, not in, begin at a node that was looked
// at, as the steps so far leave them.
func (c *compiler) edgesAt(r graph.Ref, in bool) []graph.Edge {
	l := &c.look
	l.follow(c.steps)
	var list, out []graph.Edge
	if n := l.stored[r]; n != nil && in {
		list = n.in
	} else if n != nil {
		list = n.out
	}
	if len(l.wrote) == 0 && len(l.gone) == 0 {
		return list
	}
	for i := range list {
		e := &list[i]
		if _, later := l.wrote[e.EdgeKey]; !later && !l.gone[e.From] && !l.gone[e.To] {
			out = append(out, *e)
		}
	}
	for _, k := range l.at[r] {
		if e := l.wrote[k]; e != nil && (in && k.To == r || !in && k.From == r) {
			out = append(out, *e)
		}
	}
	return out
}

// follow takes note of what the steps do to edges.
func (l *look) follow(steps []graph.Step) {
	if l.wrote == nil {
		l.wrote, l.at, l.gone = map[graph.EdgeKey]*graph.Edge{}, map[graph.Ref][]graph.EdgeKey{}, map[graph.Ref]bool{}
	}
	note := func(k graph.EdgeKey, e *graph.Edge) {
		if _, known := l.wrote[k]; !known {
			l.at[k.From] = append(l.at[k.From], k)
			if k.From != k.To {
				l.at[k.To] = append(l.at[k.To], k)
			}
		}
		l.wrote[k] = e
	}
	for ; l.upto < len(steps); l.upto++ {
		switch s := &steps[l.upto]; s.Op {
		case graph.PutEdge:
			note(s.Edge.EdgeKey, &s.Edge)
		case graph.DeleteEdge:
			note(s.Edge.EdgeKey, nil)
		case graph.DeleteNode:
			l.gone[s.Node.Ref] = true
			for _, k := range l.at[s.Node.Ref] {
				l.wrote[k] = nil
			}
		}
	}
}

// ahead adds a requirement on what is stored, to be asked before the batch
// changes anything. That it fails means that the look was too early.
func (c *compiler) ahead(s graph.Step) {
	c.first = append(c.first, s)
	c.firstMarks = append(c.firstMarks, mark{c.cur, true})
}

// arrange puts what is to be asked first before the other steps.
func (c *compiler) arrange() {
	if len(c.first) > 0 {
		c.steps, c.marks = append(c.first, c.steps...), append(c.firstMarks, c.marks...)
		c.first, c.firstMarks = nil, nil
	}
}
