package permission

import (
	"slices"
	"strings"

	"trellis/graph"
)

// find returns the attr of an edge that is in the index, false if it is not
// or counts for nothing.
func (w *writer) find(e *graph.Edge) (uint32, bool) {
	if e == nil {
		return 0, false
	}
	var r uint32
	if e.Kind == graph.CanAccess {
		id, _, ok := rightID(e)
		if !ok {
			return 0, false
		}
		if r, ok = w.rightOf[id]; !ok {
			return 0, false
		}
	}
	t := termOf(e, r)
	if t.plain() {
		return r, true
	}
	u, ok := w.termOf[t]
	return u.id | hasTerm, ok
}

// make returns the attr of an edge to be added, false if it counts for nothing.
func (w *writer) make(e *graph.Edge) (uint32, bool) {
	if e == nil {
		return 0, false
	}
	var r uint32
	if e.Kind == graph.CanAccess {
		id, right, ok := rightID(e)
		if !ok {
			return 0, false
		}
		if r, ok = w.rightOf[id]; !ok {
			r = w.newRight(id, right)
		}
	}
	t := termOf(e, r)
	if t.plain() {
		return r, true
	}
	u, ok := w.termOf[t]
	if !ok {
		t.key = strings.Clone(t.key)
		u.id = w.newTerm(t)
		w.termOf[t] = u
	}
	return u.id | hasTerm, true
}

// rightID returns what a grant says, and the same as one string. False if the
// grant counts for nothing.
func rightID(e *graph.Edge) (string, right, bool) {
	if c := e.Props[graph.PropCondition]; c != nil && c != "" && c != graph.JSON("") {
		return "", right{}, false
	}
	r := right{key: e.Key, role: e.Props.String(graph.PropRole)}
	acts := e.Props.Strings(graph.PropActions)
	switch {
	case len(acts) > 0:
		r.actions = slices.Clone(acts)
		slices.Sort(r.actions)
		r.actions = slices.Compact(r.actions)
		return r.key + "\n" + r.role + "\n" + strings.Join(r.actions, "\n"), r, true
	case r.role == "":
		return "", right{}, false
	case r.key == r.role:
		return r.role, r, true
	}
	return r.key + "\n" + r.role, r, true
}

func termOf(e *graph.Edge, right uint32) term {
	t := term{expires: never, right: right}
	if e.Kind != graph.CanAccess {
		t.key = e.Key
	}
	if e.Kind != graph.ChildOf {
		if x := e.Expires(); x != 0 {
			t.expires = x
		}
	}
	return t
}

// plain tells that the number of the right says it all.
func (t *term) plain() bool { return t.expires == never && t.key == "" }

func (w *writer) newRight(id string, r right) uint32 {
	r.key, r.role = strings.Clone(r.key), strings.Clone(r.role)
	n := uint32(len(w.rights))
	if k := len(w.freeRights); k > 0 {
		n, w.freeRights = w.freeRights[k-1], w.freeRights[:k-1]
		w.rights[n] = r
	} else {
		w.rights = append(w.rights, r)
	}
	w.rightOf[strings.Clone(id)] = n
	return n
}

func (w *writer) newTerm(t term) uint32 {
	n := w.nextTerm
	if k := len(w.freeTerms); k > 0 {
		n, w.freeTerms = w.freeTerms[k-1], w.freeTerms[:k-1]
	} else {
		w.nextTerm++
	}
	*w.terms.write(n, w.edit) = t
	return n
}

// useTerm counts d more edges that say the attr; the last one frees the term.
func (w *writer) useTerm(attr uint32, d int) {
	if attr < hasTerm {
		return
	}
	t := *w.terms.at(attr &^ hasTerm)
	u := w.termOf[t]
	u.edges += d
	if u.edges > 0 {
		w.termOf[t] = u
		return
	}
	delete(w.termOf, t)
	w.freeTerms = append(w.freeTerms, u.id)
}

// useRight counts d more grants that give the right; the last one frees it.
func (w *writer) useRight(n uint32, d int) {
	r := &w.rights[n]
	was := r.edges
	r.edges += d
	if was == 0 || r.edges == 0 {
		w.newPolicy = true
	}
	if r.edges == 0 {
		id, _, _ := rightID(&graph.Edge{EdgeKey: graph.EdgeKey{Key: r.key}, Props: graph.Props{graph.PropRole: r.role, graph.PropActions: r.actions}})
		delete(w.rightOf, id)
		*r = right{}
		w.freeRights = append(w.freeRights, n)
	}
}

func (w *writer) join(from, to, attr uint32) {
	n := w.nodes.write(from, w.edit)
	near := n.sets.near()
	n.sets = setsOf(append(append(make([]entry, 0, len(near)+1), near...), entryOf(to, attr)), len(near)+1)
	w.loose[from] = true
	w.links.write(to, w.edit).members.add(entryOf(from, attr), w.edit)
	if w.nodes.at(to).flags&hasMembers == 0 {
		w.nodes.write(to, w.edit).flags |= hasMembers
		w.loose[to] = true
	}
	w.useTerm(attr, 1)
	w.edges++
}

func (w *writer) leave(from, to, attr uint32) {
	near := w.nodes.at(from).sets.near()
	i := slices.Index(near, entryOf(to, attr))
	if i < 0 {
		return
	}
	rest := append(append(make([]entry, 0, len(near)-1), near[:i]...), near[i+1:]...)
	w.nodes.write(from, w.edit).sets = setsOf(rest, len(rest))
	w.loose[from] = true
	m := &w.links.write(to, w.edit).members
	m.remove(entryOf(from, attr), w.edit)
	if m.len() == 0 {
		w.nodes.write(to, w.edit).flags &^= hasMembers
		w.loose[to] = true
	}
	w.useTerm(attr, -1)
	w.edges--
}

func (w *writer) adopt(from, to, attr uint32) {
	n := w.nodes.write(from, w.edit)
	e := entryOf(to, attr)
	switch {
	case n.up == 0:
		n.up = e
	case n.more == nil:
		n.more = &[]entry{e}
	default:
		more := append(slices.Clip(*n.more), e)
		n.more = &more
	}
	w.links.write(to, w.edit).children.add(entryOf(from, attr), w.edit)
	w.useTerm(attr, 1)
	w.edges++
}

func (w *writer) disown(from, to, attr uint32) {
	var all []entry
	w.nodes.at(from).parents(func(e entry) bool { all = append(all, e); return true })
	i := slices.Index(all, entryOf(to, attr))
	if i < 0 {
		return
	}
	all = slices.Delete(all, i, i+1)
	n := w.nodes.write(from, w.edit)
	n.up, n.more = 0, nil
	if len(all) > 0 {
		n.up = all[0]
	}
	if len(all) > 1 {
		more := slices.Clone(all[1:])
		n.more = &more
	}
	w.links.write(to, w.edit).children.remove(entryOf(from, attr), w.edit)
	w.useTerm(attr, -1)
	w.edges--
}

func (w *writer) grant(from, to, attr uint32) {
	w.nodes.write(to, w.edit).given.addGrant(entryOf(from, attr), w.edit)
	w.links.write(from, w.edit).held.add(entryOf(to, attr), w.edit)
	if w.nodes.at(from).flags&holdsGrants == 0 {
		w.nodes.write(from, w.edit).flags |= holdsGrants
	}
	w.useTerm(attr, 1)
	w.useRight(w.right(attr), 1)
	w.edges++
}

func (w *writer) revoke(from, to, attr uint32) {
	if !w.nodes.write(to, w.edit).given.remove(entryOf(from, attr), w.edit) {
		return
	}
	h := &w.links.write(from, w.edit).held
	h.remove(entryOf(to, attr), w.edit)
	if h.len() == 0 {
		w.nodes.write(from, w.edit).flags &^= holdsGrants
	}
	right := w.right(attr)
	w.useTerm(attr, -1)
	w.useRight(right, -1)
	w.edges--
}

// roleEdge takes an INHERITS or GRANTS edge, which only the policy keeps.
func (w *writer) roleEdge(e *graph.Edge, had, has bool) {
	if had == has || e.Kind == graph.Grants && e.To.Type != permissionType {
		return
	}
	var now roleEdges
	if old := w.roles[e.From]; old != nil {
		now = *old
	}
	list := &now.inherits
	if e.Kind == graph.Grants {
		list = &now.grants
	}
	edge := roleEdge{e.To, e.Key}
	if has {
		*list = append(slices.Clip(*list), edge)
		w.edges++
	} else if i := slices.Index(*list, edge); i >= 0 {
		*list = slices.Delete(slices.Clone(*list), i, i+1)
		w.edges--
	}
	w.roles[e.From] = &now
	if len(now.inherits)+len(now.grants) == 0 {
		delete(w.roles, e.From)
	}
	w.newPolicy = true
}
