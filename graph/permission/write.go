package permission

import (
	"slices"
	"strings"
	"unsafe"

	"trellis/graph"
)

func (w *writer) entry(e *graph.Entry) {
	switch {
	case e.Node != nil && e.Node.After != nil:
		w.putNode(e.Node.After, strings.Clone(e.Node.After.Ref.ID))
	case e.Node != nil && e.Node.Before != nil:
		w.dropNode(e.Node.Before.Ref)
	case e.Edge != nil:
		w.edge(e.Edge.Before, e.Edge.After)
	}
}

// putNode creates or changes a node; id is a copy of its id for the index to keep.
func (w *writer) putNode(n *graph.Node, id string) uint32 {
	var flags uint32
	if s := n.Props.String(graph.PropStatus); s == "" || s == graph.StatusActive {
		flags = isActive
	}
	if at := w.lookup(n.Ref); at != 0 {
		if w.nodes.at(at).flags&isActive != flags {
			w.nodes.write(at, w.edit).flags ^= isActive
		}
		return at
	}
	at := w.newNode(n.Ref.Type, id, flags)
	t := w.nodes.at(at).typ
	w.types[t].order.add(&w.state, at, w.edit)
	w.policyNode(n.Ref)
	return at
}

// newNode gives the node a number and a name, but no place in its type's order.
func (w *writer) newNode(t graph.Type, id string, flags uint32) uint32 {
	var at uint32
	if k := len(w.free); k > 0 {
		at, w.free = w.free[k-1], w.free[:k-1]
	} else {
		at = w.next
		w.next++
	}
	*w.nodes.write(at, w.edit) = node{id: unsafe.StringData(id), idLen: uint16(len(id)), typ: w.typeFor(t), flags: flags}
	r := graph.Ref{Type: t, ID: id}
	w.names.add(w.hash(r), at, id, w.edit)
	w.count++
	switch r {
	case graph.Everyone:
		w.everyone = at
	case graph.Authenticated:
		w.authenticated = at
	}
	return at
}

// typeFor returns the number of a type and makes types writable.
func (w *writer) typeFor(t graph.Type) uint16 {
	if w.ownTypes != w.edit {
		w.types = slices.Clone(w.types)
		w.ownTypes = w.edit
	}
	i := w.typeOf(t)
	if i < 0 {
		i = len(w.types)
		w.types = append(w.types, typeIndex{name: graph.Type(strings.Clone(string(t)))})
	}
	return uint16(i)
}

func (w *writer) policyNode(r graph.Ref) {
	if r.Type == permissionType || r.Type == roleRef("").Type {
		w.newPolicy = true
	}
}

func (w *writer) dropNode(r graph.Ref) {
	at := w.lookup(r)
	if at == 0 {
		return
	}
	w.cutLoose(at)
	t := w.typeFor(r.Type)
	w.types[t].order.remove(&w.state, at, w.edit)
	w.names.remove(w.hash(r), at, w.edit)
	*w.nodes.write(at, w.edit) = node{}
	if w.links.peek(at) != nil {
		*w.links.write(at, w.edit) = links{}
	}
	w.free = append(w.free, at)
	w.count--
	delete(w.roles, r)
	delete(w.loose, at)
	w.policyNode(r)
	switch at {
	case w.everyone:
		w.everyone = 0
	case w.authenticated:
		w.authenticated = 0
	}
}

// cutLoose removes edges that a node to be deleted still has. The feed deletes
// them first, so there should be none; but the number will name another node,
// and an edge left over would give that one's access away.
func (w *writer) cutLoose(at uint32) {
	n, l := *w.nodes.at(at), *w.linksOf(at)
	for _, e := range slices.Clone(n.sets.near()) {
		w.leave(at, nodeOf(e), attrOf(e))
	}
	n.parents(func(e entry) bool { w.disown(at, nodeOf(e), attrOf(e)); return true })
	n.given.each(func(e entry) bool { w.revoke(nodeOf(e), at, attrOf(e)); return true })
	l.members.each(func(e entry) bool { w.leave(nodeOf(e), at, attrOf(e)); return true })
	l.children.each(func(e entry) bool { w.disown(nodeOf(e), at, attrOf(e)); return true })
	l.held.each(func(e entry) bool { w.revoke(at, nodeOf(e), attrOf(e)); return true })
}

func (w *writer) edge(before, after *graph.Edge) {
	e := after
	if e == nil {
		e = before
	}
	switch e.Kind {
	case graph.Inherits, graph.Grants:
		w.roleEdge(e, before != nil, after != nil)
		return
	case graph.MemberOf, graph.ChildOf, graph.CanAccess:
	default:
		return
	}
	from, to := w.lookup(e.From), w.lookup(e.To)
	if from == 0 || to == 0 {
		return
	}
	old, had := w.find(before)
	now, has := w.make(after)
	if had && has && old == now {
		return
	}
	// The new edge comes first, so that what both have in common is not given
	// up in between.
	switch e.Kind {
	case graph.MemberOf:
		if has {
			w.join(from, to, now)
		}
		if had {
			w.leave(from, to, old)
		}
	case graph.ChildOf:
		if has {
			w.adopt(from, to, now)
		}
		if had {
			w.disown(from, to, old)
		}
	case graph.CanAccess:
		if has {
			w.grant(from, to, now)
		}
		if had {
			w.revoke(from, to, old)
		}
	}
}
