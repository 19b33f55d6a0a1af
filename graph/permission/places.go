package permission

import (
	"time"

	"trellis/graph"
)

// Places returns the nodes at which a grant in force at the time gives the
// subject the permission, through its sets, everyone or authenticated: Check
// allows a resource exactly when it is one of them or below one of them. In
// CompareRefs order, without repeats. Nothing for a subject that is not active.
func (v *View) Places(subject graph.Ref, permission string, at time.Time) []graph.Ref {
	s, ms := v.lookup(subject), millis(at)
	if s == 0 || v.nodes.at(s).flags&isActive == 0 {
		return nil
	}
	w := v.policy.want(permission)
	if w.empty() {
		return nil
	}
	sc := newScratch()
	defer sc.free()
	v.holders(s, ms, &sc.sets)
	for _, h := range sc.sets.ids {
		if v.nodes.at(h).flags&holdsGrants == 0 {
			continue
		}
		v.linksOf(h).held.each(func(e entry) bool {
			if v.gives(&w, attrOf(e), ms) {
				sc.goals.add(nodeOf(e))
			}
			return true
		})
	}
	var out []graph.Ref
	for _, id := range sc.goals.ids {
		out = append(out, v.ref(id))
	}
	return sortRefs(out)
}
