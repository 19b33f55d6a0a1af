package graphtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"trellis/graph"
)

var checkCases = []testCase{
	{name: "CheckClauseByClause", run: testCheckTable},
	{name: "CheckKnowsNothingOfStrangers", run: testCheckStrangers},
	{name: "CheckSaysItsRevision", run: testCheckRevision},
	{name: "CheckAgreesWithTheOracle", own: true, run: testCheckRandom},
}

// at is the moment that the table asks about.
var at = time.UnixMilli(1_750_000_000_000).UTC()

// sketch builds a graph from lines like "user:a MEMBER_OF group:g", with ids
// and permission names that no other case uses.
type sketch struct {
	r     *room
	nodes map[graph.Ref]graph.Props
	edges []graph.Edge
}

// ref reads "type:id". The id of a permission is its name.
func (s *sketch) ref(text string) graph.Ref {
	t, id, _ := strings.Cut(text, ":")
	switch {
	case t == "permission":
		return graph.Ref{Type: "permission", ID: s.permission(id)}
	case t == "platform", t == "everyone", t == "authenticated":
		return graph.Ref{Type: graph.Type(t), ID: id}
	}
	return s.r.ref(graph.Type(t), id)
}

func (s *sketch) permission(name string) string {
	if name == "*" {
		return name
	}
	halves := strings.SplitN(name, ":", 2)
	for i, h := range halves {
		if h != "*" {
			halves[i] = s.r.prefix + h
		}
	}
	return strings.Join(halves, ":")
}

// edge adds an edge and its ends. A CAN_ACCESS has its role as "role:x" in
// props, or actions.
func (s *sketch) edge(line string, props graph.Props) {
	f := strings.Fields(line)
	e := graph.Edge{EdgeKey: key(s.ref(f[0]), graph.Kind(f[1]), s.ref(f[2])), Props: props.Clone()}
	if role := props.String(graph.PropRole); role != "" {
		e.Key = s.r.prefix + role
		e.Props[graph.PropRole] = e.Key
	}
	if list := props.Strings(graph.PropActions); list != nil {
		names := []string{}
		for _, n := range list {
			names = append(names, s.permission(n))
		}
		e.Props[graph.PropActions] = names
	}
	for _, n := range []graph.Ref{e.From, e.To} {
		if s.nodes[n] == nil {
			s.nodes[n] = graph.Props{}
		}
	}
	s.edges = append(s.edges, e)
}

func (s *sketch) write() {
	s.r.Helper()
	var steps []graph.Step
	for ref, p := range s.nodes {
		if ref != graph.Root && ref != graph.Everyone && ref != graph.Authenticated {
			steps = append(steps, putProps(ref, p))
		}
	}
	for _, e := range s.edges {
		steps = append(steps, graph.Link(e))
	}
	s.r.do(steps...)
}

func (s *sketch) check(want bool, subject, permission, resource string, when time.Time) {
	s.r.Helper()
	q := graph.CheckQuery{Subject: s.ref(subject), Permission: s.permission(permission), Resource: s.ref(resource), At: when}
	got, err := s.r.store.Check(s.r.ctx, q)
	if err != nil {
		s.r.Fatalf("Check: %v", err)
	}
	if got.Allowed != want {
		s.r.Errorf("check(%s, %s, %s) is %v, want %v", subject, permission, resource, got.Allowed, want)
	}
}

func (r *room) sketch() *sketch { return &sketch{r: r, nodes: map[graph.Ref]graph.Props{}} }

func testCheckTable(r *room) {
	s := r.sketch()
	role := func(name string) graph.Props { return graph.Props{graph.PropRole: name} }
	with := func(p graph.Props, more graph.Props) graph.Props {
		out := p.Clone()
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	expires := func(d time.Duration) graph.Props { return graph.Props{graph.PropExpires: at.Add(d).UnixMilli()} }
	drawTable(s, role, with, expires)
	for _, n := range []string{"user:suspended", "user:deactivated", "user:deleted"} {
		s.nodes[s.ref(n)][graph.PropStatus] = strings.TrimPrefix(n, "user:")
	}
	s.nodes[s.ref("user:active")][graph.PropStatus] = "active"
	s.nodes[s.ref("user:emptystatus")][graph.PropStatus] = ""
	s.nodes[s.ref("group:off")][graph.PropStatus] = "suspended"
	s.write()
	for _, line := range strings.Split(strings.TrimSpace(checkTable), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) != 4 {
			r.Fatalf("the table's line %q", line)
		}
		s.check(f[0] == "yes", f[1], f[2], f[3], at)
	}
	// The same two questions around the moment of expiry.
	for _, d := range []time.Duration{-time.Millisecond, 0, time.Millisecond} {
		s.check(d < 0, "user:until", "doc:read", "doc:1", at.Add(d))
		s.check(d < 0, "user:untilmember", "doc:read", "doc:1", at.Add(d))
	}
}

func drawTable(s *sketch, role func(string) graph.Props, with func(a, b graph.Props) graph.Props, expires func(time.Duration) graph.Props) {
	// Roles: admin inherits editor inherits viewer; loop1 and loop2 inherit each other.
	s.edge("role:viewer GRANTS permission:doc:read", nil)
	s.edge("role:editor GRANTS permission:doc:write", nil)
	s.edge("role:editor INHERITS role:viewer", nil)
	s.edge("role:admin INHERITS role:editor", nil)
	s.edge("role:loop1 INHERITS role:loop2", nil)
	s.edge("role:loop2 INHERITS role:loop1", nil)
	s.edge("role:loop2 GRANTS permission:doc:read", nil)
	s.edge("role:typewide GRANTS permission:doc:*", nil)
	s.edge("role:readall GRANTS permission:*:read", nil)
	s.edge("role:all GRANTS permission:*", nil)
	s.edge("role:empty CHILD_OF platform:root", nil)
	// Places: doc:1 in folder:f in folder:top in root; doc:2 in two folders; a circle.
	s.edge("doc:1 CHILD_OF folder:f", nil)
	s.edge("folder:f CHILD_OF folder:top", nil)
	s.edge("folder:top CHILD_OF platform:root", nil)
	s.edge("doc:2 CHILD_OF folder:f", nil)
	s.edge("doc:2 CHILD_OF folder:g", nil)
	s.edge("folder:c1 CHILD_OF folder:c2", nil)
	s.edge("folder:c2 CHILD_OF folder:c1", nil)
	s.edge("doc:3 CHILD_OF folder:c1", nil)
	s.edge("doc:expiredparent CHILD_OF folder:f", expires(-time.Hour))
	// Subjects.
	s.edge("user:direct CAN_ACCESS doc:1", role("viewer"))
	s.edge("user:admin CAN_ACCESS doc:1", role("admin"))
	s.edge("user:above CAN_ACCESS folder:top", role("viewer"))
	s.edge("user:global CAN_ACCESS platform:root", role("viewer"))
	s.edge("user:member MEMBER_OF group:inner", nil)
	s.edge("group:inner MEMBER_OF team:outer", nil)
	s.edge("team:outer MEMBER_OF group:inner", nil)
	s.edge("team:outer CAN_ACCESS folder:f", role("editor"))
	s.edge("user:second CAN_ACCESS folder:g", role("viewer"))
	s.edge("user:circle CAN_ACCESS folder:c2", role("loop1"))
	s.edge("user:typewide CAN_ACCESS doc:1", role("typewide"))
	s.edge("user:readall CAN_ACCESS doc:1", role("readall"))
	s.edge("user:all CAN_ACCESS doc:1", role("all"))
	s.edge("user:empty CAN_ACCESS doc:1", role("empty"))
	s.edge("user:norole CAN_ACCESS doc:1", role("doesnotexist"))
	s.edge("user:nothing CAN_ACCESS doc:1", nil)
	s.edge("user:actions CAN_ACCESS doc:1", graph.Props{graph.PropActions: []string{"doc:share", "doc:read"}})
	s.edge("user:wildactions CAN_ACCESS folder:f", graph.Props{graph.PropActions: []string{"doc:*"}})
	s.edge("user:noactions CAN_ACCESS doc:1", graph.Props{graph.PropActions: []string{}})
	s.edge("user:condition CAN_ACCESS doc:1", with(role("viewer"), graph.Props{graph.PropCondition: "context.ip == '10.0.0.1'"}))
	s.edge("user:expired CAN_ACCESS doc:1", with(role("viewer"), expires(-time.Millisecond)))
	s.edge("user:until CAN_ACCESS doc:1", with(role("viewer"), expires(0)))
	s.edge("user:later CAN_ACCESS doc:1", with(role("viewer"), expires(time.Hour)))
	s.edge("user:untilmember MEMBER_OF group:plain", expires(0))
	s.edge("user:expiredmember MEMBER_OF group:plain", expires(-time.Hour))
	s.edge("group:plain CAN_ACCESS doc:1", role("viewer"))
	s.edge("user:viaexpired MEMBER_OF group:e1", nil)
	s.edge("group:e1 MEMBER_OF group:plain", expires(-time.Hour))
	for _, n := range []string{"suspended", "deactivated", "deleted", "active", "emptystatus"} {
		s.edge("user:"+n+" CAN_ACCESS doc:1", role("viewer"))
	}
	s.edge("user:ofoff MEMBER_OF group:off", nil)
	s.edge("group:off CAN_ACCESS doc:1", role("viewer"))
	s.edge("everyone:* CAN_ACCESS doc:public", role("viewer"))
	s.edge("authenticated:* CAN_ACCESS doc:internal", role("viewer"))
	s.edge("everyone:* MEMBER_OF group:ofeveryone", nil)
	s.edge("group:ofeveryone CAN_ACCESS doc:notpublic", role("viewer"))
	s.edge("user:wrongway CHILD_OF team:outer", nil)
	s.edge("group:plain MEMBER_OF user:container", nil)
	s.edge("folder:f OWNED_BY folder:elsewhere", nil)
	s.edge("user:elsewhere CAN_ACCESS folder:elsewhere", role("viewer"))
	s.edge("team:itself CAN_ACCESS team:itself", role("viewer"))
	s.edge("user:both CAN_ACCESS doc:1", role("empty"))
	s.edge("user:both CAN_ACCESS doc:1", role("viewer"))
}

const checkTable = `
yes user:direct doc:read doc:1
no  user:direct doc:write doc:1
no  user:direct doc:read doc:2
no  user:direct doc:read folder:f         # access flows down, not up
yes user:admin doc:read doc:1             # INHERITS twice
yes user:admin doc:write doc:1            # INHERITS once
no  user:admin doc:share doc:1
yes user:above doc:read doc:1
yes user:above doc:read folder:top        # the place itself
yes user:global doc:read doc:1
yes user:global doc:read platform:root
no  user:global doc:read folder:g         # does not reach the root
yes user:member doc:write doc:1
yes user:member doc:read doc:2
yes group:inner doc:write doc:1
yes team:outer doc:read doc:1
no  user:member doc:read doc:3
yes user:second doc:read doc:2            # by its second parent
no  user:second doc:read doc:1
yes user:circle doc:read doc:3            # circles of places and of roles
yes user:circle doc:read folder:c1
yes user:typewide doc:anything doc:1
no  user:typewide file:read doc:1
yes user:typewide doc:* doc:1
no  user:typewide *:read doc:1
yes user:readall doc:read doc:1
yes user:readall file:read doc:1
no  user:readall doc:write doc:1
yes user:all doc:write doc:1
yes user:all file:anything doc:1
no  user:all doc:write doc:2
no  user:empty doc:read doc:1
no  user:norole doc:read doc:1
no  user:nothing doc:read doc:1
yes user:actions doc:read doc:1
yes user:actions doc:share doc:1
no  user:actions doc:write doc:1
yes user:wildactions doc:write doc:1
no  user:wildactions file:write doc:1
no  user:noactions doc:read doc:1
no  user:condition doc:read doc:1
no  user:expired doc:read doc:1
no  user:until doc:read doc:1             # in force while now < expires_at
yes user:later doc:read doc:1
no  user:untilmember doc:read doc:1
no  user:expiredmember doc:read doc:1
no  user:viaexpired doc:read doc:1
yes group:plain doc:read doc:1
yes user:direct doc:read doc:1
no  user:suspended doc:read doc:1
no  user:deactivated doc:read doc:1
no  user:deleted doc:read doc:1
no  user:suspended doc:read doc:public
yes user:active doc:read doc:1
yes user:emptystatus doc:read doc:1
yes user:ofoff doc:read doc:1             # only the subject's own status counts
no  group:off doc:read doc:1
yes user:direct doc:read doc:public
yes user:direct doc:read doc:internal
yes everyone:* doc:read doc:public
no  everyone:* doc:read doc:internal
yes authenticated:* doc:read doc:public
yes authenticated:* doc:read doc:internal
yes everyone:* doc:read doc:notpublic     # a subject like any other, with memberships
no  user:direct doc:read doc:notpublic    # but standing for others it has none
no  user:wrongway doc:read doc:1          # CHILD_OF is no membership
no  user:container doc:read doc:1         # memberships lead one way
no  user:elsewhere doc:read doc:1         # other kinds of edges lead nowhere
yes team:itself doc:read team:itself
yes user:both doc:read doc:1              # one of two grants is enough
yes doc:expiredparent doc:read doc:public # anything may be a subject
yes user:above doc:read doc:expiredparent # only memberships and grants expire
no  user:ghost doc:read doc:public
no  user:direct doc:read doc:ghost
`

// What does not exist holds nothing and gives nothing, even to everyone.
func testCheckStrangers(r *room) {
	s := r.sketch()
	s.edge("role:viewer GRANTS permission:doc:read", nil)
	s.edge("user:a CAN_ACCESS doc:1", graph.Props{graph.PropRole: "viewer"})
	s.edge("everyone:* CAN_ACCESS doc:1", graph.Props{graph.PropRole: "viewer"})
	s.write()
	s.check(true, "user:a", "doc:read", "doc:1", at)
	s.check(false, "user:b", "doc:read", "doc:1", at)
	r.do(graph.Delete(s.ref("user:a")))
	s.check(false, "user:a", "doc:read", "doc:1", at)
	r.do(put(s.ref("user:a")))
	s.check(true, "user:a", "doc:read", "doc:1", at) // as part of everyone
	r.do(graph.Delete(s.ref("role:viewer")))
	s.check(false, "user:a", "doc:read", "doc:1", at)
	r.do(put(s.ref("role:viewer")), link(s.ref("role:viewer"), graph.Grants, s.ref("permission:doc:read")))
	s.check(true, "user:a", "doc:read", "doc:1", at) // the grant names the role, not the node that was
	r.do(graph.Delete(s.ref("doc:1")))
	s.check(false, "user:a", "doc:read", "doc:1", at)
}

func testCheckRevision(r *room) {
	a := r.ref("user", "a")
	for i := range 3 {
		rev := r.do(putProps(a, graph.Props{"i": i})).Revision
		got, err := r.store.Check(r.ctx, graph.CheckQuery{Subject: a, Permission: "doc:read", Resource: graph.Root, At: at})
		if err != nil || got.Revision != rev {
			r.Errorf("%+v, %v; want revision %d", got, err, rev)
		}
	}
}

// A world of random batches: the store must say of each what the oracle says,
// and answer every question like it.
func testCheckRandom(r *room) {
	rounds := r.engine.Rounds
	if rounds == 0 {
		rounds = 20
	}
	seed := uint64(time.Now().UnixNano())
	defer func() {
		if r.Failed() {
			r.Logf("seed %d", seed)
		}
	}()
	o, w := NewOracle(), NewWorld(at, rand.New(rand.NewPCG(seed, 1)).IntN)
	both := func(group []graph.Batch) {
		r.Helper()
		for i := range group {
			if err := group[i].Validate(); err != nil {
				r.Fatal(err)
			}
		}
		want, err := o.Commit(group)
		if err != nil {
			r.Fatal(err)
		}
		for i, got := range r.commit(group...) {
			if got.Revision != want[i].Revision || graph.KindOf(got.Err) != graph.KindOf(want[i].Err) {
				r.Fatalf("batch %d: %+v, the oracle says %+v", i, got, want[i])
			}
		}
	}
	both(w.Start())
	allowed, number := 0, 100
	for range rounds {
		var group []graph.Batch
		for range 4 {
			number++
			group = append(group, w.Batch(number))
		}
		both(group)
		for range 15 {
			q := w.Question()
			got, err := r.store.Check(r.ctx, q)
			if err != nil {
				r.Fatalf("Check: %v", err)
			}
			if want := o.Check(q); got.Allowed != want || got.Revision != o.Head {
				r.Fatalf("check(%s, %s, %s, %v): %+v; the oracle says %v at %d", q.Subject, q.Permission, q.Resource, q.At.Sub(at), got, want, o.Head)
			}
			if got.Allowed {
				allowed++
			}
		}
	}
	r.Logf("%d of %d questions allowed", allowed, rounds*15)
	r.sameGraph(o)
}

// sameGraph compares all that the store exports with what the oracle holds.
func (r *room) sameGraph(o *Oracle) {
	r.Helper()
	list, info := r.export(r.store)
	nodes, edges := 0, 0
	for _, rec := range list {
		if n := rec.Node; n != nil {
			nodes++
			if want := o.Nodes[n.Ref]; want == nil || n.Revision > 0 && nodeText(n) != nodeText(want) {
				r.Errorf("%s, the oracle has %s", nodeText(n), nodeText(want))
			}
			continue
		}
		edges++
		if want := o.Edges[rec.Edge.EdgeKey]; want == nil || edgeText(rec.Edge) != edgeText(want) {
			r.Errorf("%s, the oracle has %s", edgeText(rec.Edge), edgeText(want))
		}
	}
	r.same("counts", fmt.Sprint(nodes, edges, info.Head), fmt.Sprint(len(o.Nodes), len(o.Edges), o.Head))
}
