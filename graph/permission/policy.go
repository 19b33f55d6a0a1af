package permission

import (
	"maps"
	"slices"
	"strings"

	"trellis/graph"
)

// policy is what rights give: a right is what one grant edge says (a role,
// and its key; or a list of actions). It is small, changes rarely, and is
// worked out anew whenever it does, so that a check asks one bit.
type policy struct {
	rights []right
	// known holds, for each permission that is granted under its own name or
	// exists as a node, the rights that give it, by whichever of its names.
	known map[string]mask
	// types, actions and all hold the rights that give "T:*", "*:A" and "*".
	types, actions map[string]mask
	all            mask
	// exact holds the rights that give the permission by this very name.
	exact map[string]mask
	// concrete lists the permission nodes that are no wildcards, sorted.
	concrete []string
	roles    map[graph.Ref]*roleEdges
	// granters lists, for each permission name, the roles that grant it
	// themselves, sorted.
	granters map[string][]string
}

type right struct {
	key     string // the edge's key
	role    string
	actions []string
	// gives is the sorted names of the permissions given: none if the role
	// does not exist.
	gives []string
	edges int // in use by so many grants; 0 is free
}

// roleEdges is the edges that start at a role. Never changed, only replaced.
type roleEdges struct {
	inherits []roleEdge
	grants   []roleEdge
}

type roleEdge struct {
	to  graph.Ref
	key string
}

// mask is a set of rights.
type mask []uint64

func (m mask) has(r uint32) bool {
	i := int(r >> 6)
	return i < len(m) && m[i]&(1<<(r&63)) != 0
}

func (m mask) with(r uint32) mask {
	for len(m) <= int(r>>6) {
		m = append(m, 0)
	}
	m[r>>6] |= 1 << (r & 63)
	return m
}

func union(ms ...mask) mask {
	var out mask
	for _, m := range ms {
		for len(out) < len(m) {
			out = append(out, 0)
		}
		for i, w := range m {
			out[i] |= w
		}
	}
	return out
}

func (m mask) meets(o mask) bool {
	for i := range min(len(m), len(o)) {
		if m[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// want is the rights that give one permission, in up to three masks so that
// none need be made for a permission never seen before.
type want struct{ a, b, c mask }

func (w *want) has(r uint32) bool { return w.a.has(r) || w.b.has(r) || w.c.has(r) }

func (w *want) meets(m mask) bool { return w.a.meets(m) || w.b.meets(m) || w.c.meets(m) }

func (w *want) empty() bool { return len(w.a)+len(w.b)+len(w.c) == 0 }

// want returns the rights that give the permission by any of graph.Wildcards.
func (p *policy) want(permission string) want {
	if m, ok := p.known[permission]; ok {
		return want{a: m}
	}
	w := want{a: p.all}
	if t, a, ok := strings.Cut(permission, ":"); ok && t != "" && a != "" {
		w.b, w.c = p.types[t], p.actions[a]
	}
	return w
}

// wantHeld returns the rights whose holder may give the permission away: a
// concrete one is held by whoever a check allows it; a wildcard only by
// holding it whole.
func (p *policy) wantHeld(permission string) want {
	if isWildcard(permission) {
		return want{a: p.exact[permission], b: p.all}
	}
	return p.want(permission)
}

func isWildcard(p string) bool {
	return p == "*" || strings.HasPrefix(p, "*:") || strings.HasSuffix(p, ":*")
}

// reach returns every permission name that the role grants through INHERITS.
func (p *policy) reach(role graph.Ref) []string {
	var out []string
	for _, r := range p.inherited(role) {
		for _, e := range p.roles[r].grants {
			out = append(out, e.to.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// inherited returns the role and those it inherits from, those of them that
// have edges, nearest first.
func (p *policy) inherited(role graph.Ref) []graph.Ref {
	if p.roles[role] == nil {
		return nil
	}
	seen := map[graph.Ref]bool{role: true}
	out := []graph.Ref{role}
	for i := 0; i < len(out); i++ {
		for _, e := range p.roles[out[i]].inherits {
			if !seen[e.to] && p.roles[e.to] != nil {
				seen[e.to] = true
				out = append(out, e.to)
			}
		}
	}
	return out
}

func roleRef(id string) graph.Ref { return graph.Ref{Type: "role", ID: id} }

// permissionType is the type of permission nodes, whose id is the name.
const permissionType graph.Type = "permission"

// newPolicy works the policy out; rights and roles are copied.
func newPolicy(s *state, rights []right, roles map[graph.Ref]*roleEdges) *policy {
	p := &policy{
		rights: slices.Clone(rights), roles: maps.Clone(roles),
		known: map[string]mask{}, types: map[string]mask{}, actions: map[string]mask{}, exact: map[string]mask{}, granters: map[string][]string{},
	}
	for r, e := range p.roles {
		for _, g := range e.grants {
			p.granters[g.to.ID] = append(p.granters[g.to.ID], r.ID)
		}
	}
	for _, roles := range p.granters {
		slices.Sort(roles)
	}
	reached := map[string][]string{}
	for i := range p.rights {
		r := &p.rights[i]
		r.gives = nil
		if r.edges == 0 {
			continue
		}
		if r.role != "" && s.lookup(roleRef(r.role)) != 0 {
			names, ok := reached[r.role]
			if !ok {
				names = p.reach(roleRef(r.role))
				reached[r.role] = names
			}
			r.gives = names
		}
		if len(r.actions) > 0 {
			r.gives = slices.Concat(r.gives, r.actions)
			slices.Sort(r.gives)
			r.gives = slices.Compact(r.gives)
		}
		for _, name := range r.gives {
			p.exact[name] = p.exact[name].with(uint32(i))
		}
	}
	p.all = p.exact["*"]
	for name, m := range p.exact {
		p.known[name] = nil
		if t, ok := strings.CutSuffix(name, ":*"); ok {
			p.types[t] = m
		}
		if a, ok := strings.CutPrefix(name, "*:"); ok {
			p.actions[a] = m
		}
	}
	if t := s.typeOf(permissionType); t >= 0 {
		s.types[t].order.from(s, "", func(id uint32) bool {
			name := s.nodes.at(id).name()
			p.known[name] = nil
			if !isWildcard(name) {
				p.concrete = append(p.concrete, name)
			}
			return true
		})
	}
	for name := range p.known {
		var ms []mask
		for _, w := range graph.Wildcards(name) {
			ms = append(ms, p.exact[w])
		}
		p.known[name] = union(ms...)
	}
	return p
}
