package permission

import (
	"math"
	"slices"
	"time"

	"trellis/graph"
)

// Explanation says why a check is allowed or not, in facts that can be
// verified one by one. It is worked out from the edges, never from an earlier
// answer.
type Explanation struct {
	Allowed  bool           `json:"allowed"`
	Revision graph.Revision `json:"revision"`
	// Path, when allowed, is a shortest chain of edges that allows it:
	// memberships upwards from the subject, the grant, then CHILD_OF edges
	// downwards from the node of the grant to the resource, then INHERITS and
	// GRANTS edges from the role to the permission. When Reason is
	// ReasonExpired it is the chain that would allow it.
	Path []Hop `json:"path,omitempty"`
	// Granted is the name the permission was granted under: itself or a wildcard.
	Granted string `json:"granted,omitempty"`
	// Reason, when not allowed, is the first thing that is amiss.
	Reason Reason `json:"reason,omitempty"`
	// Has lists what the subject does have on the resource, none of which
	// gives the permission.
	Has []Holding `json:"has,omitempty"`
	// Roles lists roles that grant the permission themselves.
	Roles []string `json:"roles,omitempty"`
	// Holders lists grants that give the permission on the resource, to
	// others: being in one of these sets would do.
	Holders []Holding `json:"holders,omitempty"`
	// Truncated tells that a list was cut at MaxNearest.
	Truncated bool `json:"truncated,omitempty"`
}

// MaxNearest limits each list of an Explanation.
const MaxNearest = 8

// Hop is one edge of a path.
type Hop struct {
	graph.EdgeKey
	// Expires is in Unix milliseconds, 0 for never.
	Expires int64 `json:"expires_at,omitempty"`
	// Expired tells that the edge no longer counts.
	Expired bool `json:"expired,omitempty"`
}

// Holding is one grant: Holder has the role, or the actions, on Resource.
type Holding struct {
	Holder   graph.Ref `json:"holder"`
	Resource graph.Ref `json:"resource"`
	Role     string    `json:"role,omitempty"`
	Actions  []string  `json:"actions,omitempty"`
	// Gives lists the permissions this amounts to, at most MaxNearest of them.
	Gives []string `json:"gives,omitempty"`
}

// Reason is why a check is not allowed.
type Reason string

// The reasons, in the order in which they are looked for.
const (
	ReasonSubjectUnknown    Reason = "subject_unknown"
	ReasonResourceUnknown   Reason = "resource_unknown"
	ReasonSubjectInactive   Reason = "subject_inactive"
	ReasonPermissionUnknown Reason = "permission_unknown"
	// ReasonExpired: there is a path, but something on it has expired.
	ReasonExpired Reason = "expired"
	// ReasonInsufficient: the subject has something on the resource, but
	// nothing that gives the permission.
	ReasonInsufficient Reason = "insufficient"
	// ReasonNoGrant: the subject has nothing at all on the resource.
	ReasonNoGrant Reason = "no_grant"
)

// Explain answers what Check answers, and why.
func (v *View) Explain(subject graph.Ref, permission string, resource graph.Ref, at time.Time) Explanation {
	x := Explanation{Revision: v.revision}
	s, r := v.lookup(subject), v.lookup(resource)
	w := v.policy.want(permission)
	_, known := v.policy.known[permission]
	switch {
	case s == 0:
		x.Reason = ReasonSubjectUnknown
	case r == 0:
		x.Reason = ReasonResourceUnknown
	case v.nodes.at(s).flags&isActive == 0:
		x.Reason = ReasonSubjectInactive
	}
	if x.Reason != "" {
		return x
	}
	t := trace{v: v, w: w, permission: permission, now: millis(at)}
	if t.run(s, r, t.now) {
		x.Allowed = true
		x.Path, x.Granted = t.path()
		return x
	}
	x.Roles, x.Truncated = t.roles()
	if !known {
		x.Reason = ReasonPermissionUnknown
		return x
	}
	past := trace{v: v, w: w, permission: permission, now: t.now}
	if past.run(s, r, math.MinInt64) {
		x.Reason = ReasonExpired
		x.Path, x.Granted = past.path()
	}
	t.nearest(&x)
	if x.Reason == "" {
		x.Reason = ReasonNoGrant
		if len(x.Has) > 0 {
			x.Reason = ReasonInsufficient
		}
	}
	return x
}

// trace is a breadth-first search from both ends.
type trace struct {
	v          *View
	w          want
	permission string
	now        int64
	sets, up   []step
	// The best grant: places in sets and up, and its attr.
	set, place int
	attr       uint32
}

// step is a node reached, by an edge from (memberships) or of (parents) the
// node of another step.
type step struct {
	node uint32
	attr uint32
	from int32 // -1 at the start
	far  int32
}

// run searches with the edges that count at the time, and tells whether one
// grant gives what is wanted. What it reached stays for nearest.
func (t *trace) run(subject, resource uint32, at int64) bool {
	v := t.v
	sc := newScratch()
	defer sc.free()
	t.sets = append(make([]step, 0, 32), step{subject, 0, -1, 0})
	sc.sets.add(subject)
	for i := 0; i < len(t.sets); i++ {
		for _, e := range v.nodes.at(t.sets[i].node).sets.near() {
			if v.live(attrOf(e), at) && sc.sets.add(nodeOf(e)) {
				t.sets = append(t.sets, step{nodeOf(e), attrOf(e), int32(i), t.sets[i].far + 1})
			}
		}
	}
	// Last, because the sets these are in are not the subject's.
	if e := v.everyone; e != 0 && sc.sets.add(e) {
		t.sets = append(t.sets, step{e, 0, -1, 0})
	}
	if a := v.authenticated; a != 0 && subject != v.everyone && sc.sets.add(a) {
		t.sets = append(t.sets, step{a, 0, -1, 0})
	}
	t.up = append(make([]step, 0, 16), step{resource, 0, -1, 0})
	sc.up.add(resource)
	for i := 0; i < len(t.up); i++ {
		v.nodes.at(t.up[i].node).parents(func(e entry) bool {
			if sc.up.add(nodeOf(e)) {
				t.up = append(t.up, step{nodeOf(e), attrOf(e), int32(i), t.up[i].far + 1})
			}
			return true
		})
	}
	best := int32(math.MaxInt32)
	for i := range t.up {
		if t.up[i].far >= best {
			break
		}
		v.grantsAt(t.up[i].node, &sc.sets, func(holder, attr uint32) bool {
			if !v.gives(&t.w, attr, at) {
				return false
			}
			k := slices.IndexFunc(t.sets, func(s step) bool { return s.node == holder })
			if far := t.sets[k].far + t.up[i].far; far < best {
				best, t.set, t.place, t.attr = far, k, i, attr
			}
			return false
		})
	}
	return best < math.MaxInt32
}

func (t *trace) hop(from graph.Ref, kind graph.Kind, to graph.Ref, key string, expires int64) Hop {
	h := Hop{EdgeKey: graph.EdgeKey{From: from, Kind: kind, To: to, Key: key}}
	if expires != never {
		h.Expires, h.Expired = expires, expires <= t.now
	}
	return h
}

// path writes out the best grant found, edge by edge.
func (t *trace) path() (hops []Hop, granted string) {
	v := t.v
	for i := t.set; t.sets[i].from >= 0; i = int(t.sets[i].from) {
		s := t.sets[i]
		hops = append(hops, t.hop(v.ref(t.sets[s.from].node), graph.MemberOf, v.ref(s.node), v.key(s.attr), v.expires(s.attr)))
	}
	slices.Reverse(hops)
	r := &v.policy.rights[v.right(t.attr)]
	hops = append(hops, t.hop(v.ref(t.sets[t.set].node), graph.CanAccess, v.ref(t.up[t.place].node), r.key, v.expires(t.attr)))
	for i := t.place; t.up[i].from >= 0; i = int(t.up[i].from) {
		s := t.up[i]
		hops = append(hops, t.hop(v.ref(t.up[s.from].node), graph.ChildOf, v.ref(s.node), v.key(s.attr), never))
	}
	names := graph.Wildcards(t.permission)
	for _, n := range names {
		if slices.Contains(r.actions, n) {
			return hops, n
		}
	}
	return t.rolePath(hops, roleRef(r.role), names)
}

// rolePath adds the shortest way from the role to one of the names.
func (t *trace) rolePath(hops []Hop, role graph.Ref, names []string) ([]Hop, string) {
	type reached struct {
		role graph.Ref
		by   roleEdge
		from int
	}
	roles := t.v.policy.roles
	seen := map[graph.Ref]bool{role: true}
	list := []reached{{role: role, from: -1}}
	for i := 0; i < len(list); i++ {
		e := roles[list[i].role]
		if e == nil {
			continue
		}
		for _, n := range names {
			g := slices.IndexFunc(e.grants, func(g roleEdge) bool { return g.to.ID == n })
			if g < 0 {
				continue
			}
			var way []Hop
			for k := i; list[k].from >= 0; k = list[k].from {
				way = append(way, t.hop(list[list[k].from].role, graph.Inherits, list[k].role, list[k].by.key, never))
			}
			slices.Reverse(way)
			way = append(way, t.hop(list[i].role, graph.Grants, e.grants[g].to, e.grants[g].key, never))
			return append(hops, way...), n
		}
		for _, in := range e.inherits {
			if !seen[in.to] {
				seen[in.to] = true
				list = append(list, reached{in.to, in, i})
			}
		}
	}
	return hops, ""
}

// roles returns some roles that grant the permission.
func (t *trace) roles() (out []string, truncated bool) {
	for _, n := range graph.Wildcards(t.permission) {
		for _, r := range t.v.policy.granters[n] {
			if len(out) == MaxNearest {
				return out, true
			}
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out, false
}

// nearest adds what the subject has, and who has what it wants. Where
// there are very many grants it looks at some only.
func (t *trace) nearest(x *Explanation) {
	const most = 256
	v := t.v
	sc := newScratch()
	defer sc.free()
	for _, s := range t.sets {
		sc.sets.add(s.node)
	}
	looked := 0
	for _, p := range t.up {
		v.grantsAt(p.node, &sc.sets, func(holder, attr uint32) bool {
			if v.live(attr, t.now) {
				x.Has = t.holding(x, x.Has, holder, p.node, attr)
			}
			return len(x.Has) == MaxNearest && x.Truncated
		})
		v.nodes.at(p.node).given.each(func(e entry) bool {
			looked++
			if v.gives(&t.w, attrOf(e), t.now) {
				x.Holders = t.holding(x, x.Holders, nodeOf(e), p.node, attrOf(e))
			}
			if looked > most {
				x.Truncated = true
			}
			return looked <= most && !(len(x.Holders) == MaxNearest && x.Truncated)
		})
	}
}

func (t *trace) holding(x *Explanation, to []Holding, holder, place, attr uint32) []Holding {
	if len(to) == MaxNearest {
		x.Truncated = true
		return to
	}
	r := &t.v.policy.rights[t.v.right(attr)]
	gives := r.gives
	if len(gives) > MaxNearest {
		gives = gives[:MaxNearest]
		x.Truncated = true
	}
	return append(to, Holding{t.v.ref(holder), t.v.ref(place), r.role, r.actions, slices.Clone(gives)})
}
