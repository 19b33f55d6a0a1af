package permission

import (
	"math"
	"slices"
	"time"

	"trellis/graph"
)

// ResourcesQuery asks for the resources of a type that the subject holds the
// permission on.
type ResourcesQuery struct {
	Subject    graph.Ref
	Permission string
	Type       graph.Type
	After      string // the last id of the page before, "" for the first page
	Limit      int    // 0 for all
	At         time.Time
}

// SubjectsQuery asks for the subjects of a type that hold the permission on
// the resource.
type SubjectsQuery struct {
	Resource   graph.Ref
	Permission string
	Type       graph.Type
	After      string
	Limit      int
	At         time.Time
}

// Resources returns the ids in byte order, and whether there are more behind
// them. A resource is listed exactly when Check allows it.
func (v *View) Resources(q ResourcesQuery) (ids []string, more bool) {
	s, t, at := v.lookup(q.Subject), v.typeOf(q.Type), millis(q.At)
	if s == 0 || t < 0 || v.nodes.at(s).flags&isActive == 0 {
		return nil, false
	}
	w := v.policy.want(q.Permission)
	if w.empty() {
		return nil, false
	}
	sc := newScratch()
	defer sc.free()
	v.holders(s, at, &sc.sets)
	for _, h := range sc.sets.ids {
		if v.nodes.at(h).flags&holdsGrants == 0 {
			continue
		}
		v.linksOf(h).held.each(func(e entry) bool {
			if v.gives(&w, attrOf(e), at) {
				sc.goals.add(nodeOf(e))
			}
			return true
		})
	}
	p := pager{v: v, sc: sc, typ: uint16(t), after: q.After, limit: q.Limit}
	if p.collect(func(id uint32, yield func(entry) bool) { v.linksOf(id).children.each(yield) }) {
		return p.page()
	}
	return p.scan(func(id uint32) bool { return v.below(id, sc) })
}

// below tells whether one of the goals is the node or above it.
func (v *View) below(id uint32, sc *scratch) bool {
	// Most nodes have one parent, and few are this deep if they are no circle.
	const deep = 32
	for x, i := id, 0; i < deep; i++ {
		if sc.goals.has(x) {
			return true
		}
		n := v.nodes.at(x)
		if n.up == 0 {
			return false
		}
		if n.more != nil {
			break
		}
		x = nodeOf(n.up)
	}
	sc.up.reset()
	v.above(id, &sc.up)
	return slices.ContainsFunc(sc.up.ids, sc.goals.has)
}

// Subjects returns the ids in byte order, and whether there are more behind
// them. A subject is listed exactly when Check allows it: what is granted to
// everyone is held by every active node of the type.
func (v *View) Subjects(q SubjectsQuery) (ids []string, more bool) {
	r, t, at := v.lookup(q.Resource), v.typeOf(q.Type), millis(q.At)
	if r == 0 || t < 0 {
		return nil, false
	}
	w := v.policy.want(q.Permission)
	if w.empty() {
		return nil, false
	}
	sc := newScratch()
	defer sc.free()
	v.above(r, &sc.up)
	for _, x := range sc.up.ids {
		v.nodes.at(x).given.each(func(e entry) bool {
			if v.gives(&w, attrOf(e), at) {
				sc.goals.add(nodeOf(e))
			}
			return true
		})
	}
	everyone := v.everyone != 0 && sc.goals.has(v.everyone)
	known := v.authenticated != 0 && sc.goals.has(v.authenticated)
	p := pager{v: v, sc: sc, typ: uint16(t), after: q.After, limit: q.Limit, active: true}
	if !everyone && !known && p.collect(func(id uint32, yield func(entry) bool) {
		v.linksOf(id).members.each(func(e entry) bool { return !v.live(attrOf(e), at) || yield(e) })
	}) {
		return p.page()
	}
	return p.scan(func(id uint32) bool {
		return everyone || known && id != v.everyone || v.inside(id, at, &sc.goals)
	})
}

// inside tells whether the node is one of the goals or in one at the time.
func (v *View) inside(id uint32, at int64, goals *idSet) bool {
	if goals.has(id) {
		return true
	}
	n := v.nodes.at(id)
	if v.closed(n) {
		for _, e := range n.sets.all() {
			if goals.has(nodeOf(e)) && v.live(attrOf(e), at) {
				return true
			}
		}
		return false
	}
	for _, e := range n.sets.near() {
		if !v.live(attrOf(e), at) {
			continue
		}
		if goals.has(nodeOf(e)) {
			return true
		}
		for _, u := range v.nodes.at(nodeOf(e)).sets.all() {
			if goals.has(nodeOf(u)) && v.live(attrOf(u), at) {
				return true
			}
		}
	}
	return false
}

// pager makes one page of the nodes of a type that are reached downwards from
// the goals. There are two ways: to collect all of them and sort, or to go
// through the type in order and try each; the first is dear when many are
// reached, the second when few are. So the first is tried up to the point
// where the second must be cheaper, which makes page 1000 cost what page 1
// costs.
type pager struct {
	v      *View
	sc     *scratch
	typ    uint16
	after  string
	limit  int
	active bool
}

// budget is how many nodes to reach before trying in order is cheaper. To
// fill a page that way takes about limit*n/reached tries.
func (p *pager) budget() int {
	n := p.v.types[p.typ].order.n
	most := 2*n + 1024
	if p.limit > 0 {
		most = min(most, 1024+int(math.Sqrt(4*float64(p.limit+1)*float64(n))))
	}
	return most
}

// collect follows down from the goals; false if it gave up.
func (p *pager) collect(down func(id uint32, yield func(entry) bool)) bool {
	found, most := &p.sc.found, p.budget()
	for _, g := range p.sc.goals.ids {
		found.add(g)
	}
	add := func(e entry) bool {
		found.add(nodeOf(e))
		return len(found.ids) <= most
	}
	for i := 0; i < len(found.ids) && len(found.ids) <= most; i++ {
		down(found.ids[i], add)
	}
	return len(found.ids) <= most
}

// page sorts what was collected: no more of it than the page holds, since
// what is above the page's last id need not be kept.
func (p *pager) page() (ids []string, more bool) {
	names, last := p.sc.names, ""
	for _, id := range p.sc.found.ids {
		n := p.v.nodes.at(id)
		if n.typ != p.typ || p.active && n.flags&isActive == 0 {
			continue
		}
		name := n.name()
		if name <= p.after || last != "" && name >= last {
			continue
		}
		names = append(names, name)
		if p.limit > 0 && len(names) >= 4*(p.limit+1) {
			slices.Sort(names)
			names = names[:p.limit+1]
			last = names[p.limit]
		}
	}
	slices.Sort(names)
	p.sc.names = names
	if p.limit > 0 && len(names) > p.limit {
		names, more = names[:p.limit], true
	}
	return slices.Clone(names), more
}

// scan goes through the type in order.
func (p *pager) scan(holds func(id uint32) bool) (ids []string, more bool) {
	p.v.types[p.typ].order.from(&p.v.state, p.after, func(id uint32) bool {
		n := p.v.nodes.at(id)
		if p.active && n.flags&isActive == 0 || !holds(id) {
			return true
		}
		if p.limit > 0 && len(ids) == p.limit {
			more = true
			return false
		}
		ids = append(ids, n.name())
		return true
	})
	return ids, more
}

// Permissions returns the names of the permission nodes, wildcards left out,
// that Check allows the subject on the resource, sorted.
func (v *View) Permissions(subject, resource graph.Ref, at time.Time) []string {
	held := v.held(subject, resource, at)
	var out []string
	for _, name := range v.policy.concrete {
		if v.policy.known[name].meets(held) {
			out = append(out, name)
		}
	}
	return out
}

// Missing returns those of the permissions that the subject may not give away
// on the resource, because it does not hold them there. A wildcard is held by
// having been granted whole: "repo:*" by "repo:*" or "*".
func (v *View) Missing(subject, resource graph.Ref, permissions []string, at time.Time) []string {
	held := v.held(subject, resource, at)
	var out []string
	for _, name := range permissions {
		if w := v.policy.wantHeld(name); !w.meets(held) {
			out = append(out, name)
		}
	}
	return out
}

// held returns the rights that the subject has on the resource.
func (v *View) held(subject, resource graph.Ref, at time.Time) mask {
	s, r, ms := v.lookup(subject), v.lookup(resource), millis(at)
	if s == 0 || r == 0 || v.nodes.at(s).flags&isActive == 0 {
		return nil
	}
	sc := newScratch()
	defer sc.free()
	v.holders(s, ms, &sc.sets)
	v.above(r, &sc.up)
	m := make(mask, (len(v.policy.rights)+63)/64)
	for _, x := range sc.up.ids {
		v.grantsAt(x, &sc.sets, func(_, attr uint32) bool {
			if v.live(attr, ms) {
				m = m.with(v.right(attr))
			}
			return false
		})
	}
	return m
}
