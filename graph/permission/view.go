package permission

import (
	"slices"
	"time"

	"trellis/graph"
)

// View is the graph at one revision. It never changes; all its methods may be
// called concurrently. Names that do not exist are no error: they hold
// nothing, give nothing, and lists of them are empty.
type View struct {
	state
	revision graph.Revision
	ready    bool
}

// Ready tells whether a load has finished: before the first one the view is empty.
func (v *View) Ready() bool { return v.ready }

// Revision returns the revision that the view's answers hold at.
func (v *View) Revision() graph.Revision { return v.revision }

// Exists tells whether there is such a node.
func (v *View) Exists(r graph.Ref) bool { return v.lookup(r) != 0 }

// Active tells whether there is such a node and its status is active.
func (v *View) Active(r graph.Ref) bool {
	id := v.lookup(r)
	return id != 0 && v.nodes.at(id).flags&isActive != 0
}

// HasPermission tells whether a permission node of exactly that name exists.
func (v *View) HasPermission(name string) bool {
	return v.lookup(graph.Ref{Type: permissionType, ID: name}) != 0
}

// Parents returns the nodes directly above the resource, in CompareRefs order.
func (v *View) Parents(resource graph.Ref) []graph.Ref {
	id := v.lookup(resource)
	if id == 0 {
		return nil
	}
	var out []graph.Ref
	v.nodes.at(id).parents(func(e entry) bool { out = append(out, v.ref(nodeOf(e))); return true })
	return sortRefs(out)
}

// Ancestors returns every node above the resource, nearest first, without the
// resource itself.
func (v *View) Ancestors(resource graph.Ref) []graph.Ref {
	id := v.lookup(resource)
	if id == 0 {
		return nil
	}
	sc := newScratch()
	defer sc.free()
	v.above(id, &sc.up)
	var out []graph.Ref
	for _, x := range sc.up.ids[1:] {
		out = append(out, v.ref(x))
	}
	return out
}

// Children returns how many nodes are directly below the resource.
func (v *View) Children(resource graph.Ref) int {
	id := v.lookup(resource)
	if id == 0 {
		return 0
	}
	return v.linksOf(id).children.len()
}

// Members returns how many nodes are directly in the set, expired
// memberships included.
func (v *View) Members(set graph.Ref) int {
	id := v.lookup(set)
	if id == 0 {
		return 0
	}
	return v.linksOf(id).members.len()
}

// Within tells whether the ancestor is the resource or above it.
func (v *View) Within(resource, ancestor graph.Ref) bool {
	r, a := v.lookup(resource), v.lookup(ancestor)
	if r == 0 || a == 0 {
		return false
	}
	sc := newScratch()
	defer sc.free()
	v.above(r, &sc.up)
	return sc.up.has(a)
}

// Nodes returns how many nodes of the type there are.
func (v *View) Nodes(t graph.Type) int {
	if i := v.typeOf(t); i >= 0 {
		return v.types[i].order.n
	}
	return 0
}

// Stats tells the size of a view.
type Stats struct {
	Nodes, Edges int
	// Rights is how many different things grants say: a role each, or a list of actions.
	Rights int
	// Bytes is an estimate of the memory held, from the counts alone; see the
	// ADR for measured figures.
	Bytes int64
}

// Stats returns the size of the view.
func (v *View) Stats() Stats {
	const perNode, perEdge = 190, 26
	return Stats{Nodes: v.count, Edges: v.edges, Rights: len(v.policy.rights), Bytes: int64(v.count)*perNode + int64(v.edges)*perEdge}
}

// above collects the node and everything above it, nearest first.
func (s *state) above(id uint32, into *idSet) {
	into.add(id)
	for i := 0; i < len(into.ids); i++ {
		n := s.nodes.at(into.ids[i])
		if n.up == 0 {
			continue
		}
		into.add(nodeOf(n.up))
		if n.more != nil {
			for _, e := range *n.more {
				into.add(nodeOf(e))
			}
		}
	}
}

// holders collects the subject and every set it is in at the time, and the
// sets that everyone is in. Nodes that hold no grant may be left out.
func (s *state) holders(subject uint32, at int64, into *idSet) {
	into.add(subject)
	if s.everyone != 0 {
		into.add(s.everyone)
	}
	if s.authenticated != 0 && subject != s.everyone {
		into.add(s.authenticated)
	}
	s.setsAbove(subject, at, into)
}

// setsAbove collects the sets that the node is in at the time.
func (s *state) setsAbove(id uint32, at int64, into *idSet) {
	if n := s.nodes.at(id); s.closed(n) {
		for _, e := range n.sets.all() {
			if s.live(attrOf(e), at) {
				into.add(nodeOf(e))
			}
		}
		return
	}
	for _, e := range s.nodes.at(id).sets.near() {
		if !s.live(attrOf(e), at) {
			continue
		}
		into.add(nodeOf(e))
		for _, c := range s.nodes.at(nodeOf(e)).sets.all() {
			if s.live(attrOf(c), at) {
				into.add(nodeOf(c))
			}
		}
	}
}

func sortRefs(refs []graph.Ref) []graph.Ref {
	slices.SortFunc(refs, graph.CompareRefs)
	return slices.Compact(refs)
}

func millis(at time.Time) int64 { return at.UnixMilli() }
