package permission

import (
	"iter"
	"maps"
	"slices"
	"time"

	"trellis/graph"
)

// RolePermissions returns the names of the permissions that the role grants,
// itself or through the roles it inherits from, sorted. False if there is no
// such role.
func (v *View) RolePermissions(role string) (names []string, ok bool) {
	r := roleRef(role)
	return v.policy.reach(r), v.Exists(r)
}

// RolesInheriting returns the role itself and every role that inherits from
// it, at any distance, sorted; nil if there is no such role.
func (v *View) RolesInheriting(role string) []string {
	if !v.Exists(roleRef(role)) {
		return nil
	}
	heirs := map[graph.Ref][]graph.Ref{}
	for r, e := range v.policy.roles {
		for _, i := range e.inherits {
			heirs[i.to] = append(heirs[i.to], r)
		}
	}
	seen := map[graph.Ref]bool{roleRef(role): true}
	todo := []graph.Ref{roleRef(role)}
	var out []string
	for i := 0; i < len(todo); i++ {
		out = append(out, todo[i].ID)
		for _, h := range heirs[todo[i]] {
			if !seen[h] {
				seen[h] = true
				todo = append(todo, h)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Conveys returns all that being a member of the set gives: the grants held
// by it and by the sets it is in, those that have expired at the time left
// out. Resources in CompareRefs order, each with the permissions on it and so on
// all below it, by the names they were granted under, sorted.
func (v *View) Conveys(set graph.Ref, at time.Time) iter.Seq2[graph.Ref, []string] {
	id, ms := v.lookup(set), millis(at)
	if id == 0 {
		return v.conveyances(nil)
	}
	sc := newScratch()
	defer sc.free()
	sc.sets.add(id)
	v.setsAbove(id, ms, &sc.sets)
	byPlace := map[uint32]mask{}
	for _, s := range sc.sets.ids {
		v.linksOf(s).held.each(func(e entry) bool {
			if v.live(attrOf(e), ms) {
				byPlace[nodeOf(e)] = byPlace[nodeOf(e)].with(v.right(attrOf(e)))
			}
			return true
		})
	}
	return v.conveyances(byPlace)
}

// Flows returns what the grants on the resource and on everything above it
// give to anybody: what would reach a node that is put below it.
func (v *View) Flows(resource graph.Ref, at time.Time) iter.Seq2[graph.Ref, []string] {
	id, ms := v.lookup(resource), millis(at)
	if id == 0 {
		return v.conveyances(nil)
	}
	sc := newScratch()
	defer sc.free()
	v.above(id, &sc.up)
	byPlace := map[uint32]mask{}
	for _, x := range sc.up.ids {
		var m mask
		v.nodes.at(x).given.each(func(e entry) bool {
			if v.live(attrOf(e), ms) {
				m = m.with(v.right(attrOf(e)))
			}
			return true
		})
		byPlace[x] = m
	}
	return v.conveyances(byPlace)
}

func (v *View) conveyances(byPlace map[uint32]mask) iter.Seq2[graph.Ref, []string] {
	type conveyance struct {
		resource    graph.Ref
		permissions []string
	}
	var list []conveyance
	for x, m := range byPlace {
		if names := v.policy.names(m); len(names) > 0 {
			list = append(list, conveyance{v.ref(x), names})
		}
	}
	slices.SortFunc(list, func(a, b conveyance) int { return graph.CompareRefs(a.resource, b.resource) })
	return func(yield func(graph.Ref, []string) bool) {
		for _, c := range list {
			if !yield(c.resource, c.permissions) {
				return
			}
		}
	}
}

// names returns what the rights give, sorted.
func (p *policy) names(m mask) []string {
	all := map[string]bool{}
	for r := range p.rights {
		if m.has(uint32(r)) {
			for _, name := range p.rights[r].gives {
				all[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// PlacesOfRole returns the resources on which exactly this role is granted to
// anyone, expired grants included, in CompareRefs order. It looks at every
// node unless the role is granted nowhere.
func (v *View) PlacesOfRole(role string) []graph.Ref {
	var rights mask
	for i := range v.policy.rights {
		if r := &v.policy.rights[i]; r.edges > 0 && r.role == role {
			rights = rights.with(uint32(i))
		}
	}
	if rights == nil || role == "" {
		return nil
	}
	var out []graph.Ref
	for i := range v.types {
		v.types[i].order.from(&v.state, "", func(id uint32) bool {
			v.nodes.at(id).given.each(func(e entry) bool {
				if !rights.has(v.right(attrOf(e))) {
					return true
				}
				out = append(out, v.ref(id))
				return false
			})
			return true
		})
	}
	return sortRefs(out)
}
