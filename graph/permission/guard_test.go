package permission_test

import (
	"iter"
	"reflect"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/permission"
)

func must(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestWhatSetsRolesAndPlacesGive asks the questions that guard changes to
// memberships, roles and parents.
func TestWhatSetsRolesAndPlacesGive(t *testing.T) {
	at := time.UnixMilli(1_750_000_000_000)
	parse := func(s string) graph.Ref {
		r, err := graph.ParseRef(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var steps []graph.Step
	for _, s := range []string{"user:u", "team:t", "group:g", "organization:o", "repo:r", "role:low", "role:high", "role:odd", "permission:repo:read", "permission:repo:write", "permission:repo:*"} {
		steps = append(steps, graph.Put(graph.Node{Ref: parse(s)}))
	}
	link := func(from string, k graph.Kind, to, role string, expires int64) {
		e := graph.Edge{EdgeKey: graph.EdgeKey{From: parse(from), Kind: k, To: parse(to), Key: role}, Props: graph.Props{}}
		if role != "" {
			e.Props[graph.PropRole] = role
		}
		if expires != 0 {
			e.Props[graph.PropExpires] = expires
		}
		steps = append(steps, graph.Link(e))
	}
	now := at.UnixMilli()
	link("role:low", graph.Grants, "permission:repo:read", "", 0)
	link("role:high", graph.Grants, "permission:repo:write", "", 0)
	link("role:high", graph.Inherits, "role:low", "", 0)
	link("role:odd", graph.Grants, "permission:repo:*", "", 0)
	link("repo:r", graph.ChildOf, "organization:o", "", 0)
	link("organization:o", graph.ChildOf, "platform:root", "", 0)
	link("team:t", graph.MemberOf, "group:g", "", 0)
	link("team:t", graph.MemberOf, "organization:o", "", now) // has just ended
	link("team:t", graph.CanAccess, "repo:r", "low", 0)
	link("group:g", graph.CanAccess, "organization:o", "high", now+1)
	link("group:g", graph.CanAccess, "platform:root", "odd", now) // has just ended
	link("organization:o", graph.CanAccess, "repo:r", "odd", 0)
	link("user:u", graph.MemberOf, "team:t", "", 0)
	o, ix := graphtest.NewOracle(), permission.New()
	o.Feed(ix)
	ix.Apply(commit(t, o, []graph.Batch{{ID: "guard", Time: at, Steps: steps}}))
	v := ix.View()

	must(t, "conveys", listed(v.Conveys(parse("team:t"), at)), []conveyance{
		{parse("organization:o"), []string{"repo:read", "repo:write"}},
		{parse("repo:r"), []string{"repo:read"}},
	})
	must(t, "flows", listed(v.Flows(parse("repo:r"), at.Add(time.Millisecond))), []conveyance{
		{parse("repo:r"), []string{"repo:*", "repo:read"}},
	})
	names, ok := v.RolePermissions("high")
	must(t, "role", names, []string{"repo:read", "repo:write"})
	must(t, "role exists", ok, true)
	_, ok = v.RolePermissions("none")
	must(t, "unknown role exists", ok, false)
	must(t, "heirs", v.RolesInheriting("low"), []string{"high", "low"})
	must(t, "places", v.PlacesOfRole("odd"), []graph.Ref{graph.Root, parse("repo:r")})
	must(t, "places of none", len(v.PlacesOfRole("none")), 0)
	must(t, "within", v.Within(parse("repo:r"), graph.Root), true)
	must(t, "not within", v.Within(graph.Root, parse("repo:r")), false)
	must(t, "ancestors", v.Ancestors(parse("repo:r")), []graph.Ref{parse("organization:o"), graph.Root})
	must(t, "parents", v.Parents(parse("repo:r")), []graph.Ref{parse("organization:o")})
	must(t, "children", v.Children(parse("organization:o")), 1)
	must(t, "members", v.Members(parse("team:t")), 1)
	must(t, "missing", v.Missing(parse("user:u"), parse("repo:r"), []string{"repo:write", "repo:*", "repo:read", "*"}, at), []string{"repo:*", "*"})
	must(t, "permission", v.HasPermission("repo:*"), true)
	must(t, "active", v.Active(parse("user:u")), true)

	empty := permission.New().View()
	must(t, "ready", empty.Ready(), false)
	must(t, "empty check", empty.Check(parse("user:u"), "repo:read", graph.Root, at), false)
	must(t, "empty explain", empty.Explain(parse("user:u"), "repo:read", graph.Root, at).Reason, permission.ReasonSubjectUnknown)
}

// TestCheckAllocatesNothing holds also for subjects in many sets.
func TestCheckAllocatesNothing(t *testing.T) {
	ix := permission.New()
	loadKubernetes(t).Feed(ix)
	v, questions, i := ix.View(), kubernetesQuestions(t), 0
	if n := testing.AllocsPerRun(1000, func() {
		q := &questions[i%len(questions)]
		i++
		v.Check(q.subject, q.permission, q.resource, benchTime)
	}); n != 0 {
		t.Errorf("%v allocations a check", n)
	}
}

// TestReasons looks at the reason of each kind of denial.
func TestReasons(t *testing.T) {
	at := time.UnixMilli(1_750_000_000_000)
	a, gone, doc, set := graph.Ref{Type: "user", ID: "a"}, graph.Ref{Type: "user", ID: "gone"}, graph.Ref{Type: "repo", ID: "doc"}, graph.Ref{Type: "group", ID: "set"}
	read, write := graph.Ref{Type: "permission", ID: "repo:read"}, graph.Ref{Type: "permission", ID: "repo:write"}
	grant := func(from graph.Ref, action string, expires int64) graph.Step {
		p := graph.Props{graph.PropActions: []string{action}}
		if expires != 0 {
			p[graph.PropExpires] = expires
		}
		return graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: from, Kind: graph.CanAccess, To: doc}, Props: p})
	}
	o, ix := graphtest.NewOracle(), permission.New()
	o.Feed(ix)
	n := 0
	reason := func(want permission.Reason, subject graph.Ref, name string, resource graph.Ref, steps ...graph.Step) permission.Explanation {
		t.Helper()
		n++
		ix.Apply(commit(t, o, []graph.Batch{{ID: string(rune('a' + n)), Time: at, Steps: steps}}))
		x := ix.View().Explain(subject, name, resource, at)
		must(t, "reason", x.Reason, want)
		return x
	}
	reason(permission.ReasonNoGrant, a, "repo:read", doc, graph.Put(graph.Node{Ref: a}), graph.Put(graph.Node{Ref: doc}), graph.Put(graph.Node{Ref: set}), graph.Put(graph.Node{Ref: read}), graph.Put(graph.Node{Ref: write}))
	reason(permission.ReasonSubjectUnknown, gone, "repo:read", doc)
	reason(permission.ReasonResourceUnknown, a, "repo:read", gone)
	reason(permission.ReasonPermissionUnknown, a, "repo:raed", doc)
	x := reason(permission.ReasonInsufficient, a, "repo:write", doc, grant(a, "repo:read", 0), grant(set, "repo:write", 0))
	must(t, "has", len(x.Has), 1)
	must(t, "holder", x.Holders[0].Holder, set)
	x = reason(permission.ReasonExpired, a, "repo:read", doc, grant(a, "repo:read", at.UnixMilli()))
	must(t, "expired hop", x.Path[0].Expired, true)
	reason(permission.ReasonSubjectInactive, a, "repo:read", doc, grant(a, "repo:read", 0), graph.Put(graph.Node{Ref: a, Props: graph.Props{graph.PropStatus: "suspended"}}))
	must(t, "allowed again", reason("", a, "repo:read", doc, graph.Put(graph.Node{Ref: a})).Allowed, true)
}

// conveyance is what certain grants give on one resource.
type conveyance struct {
	resource    graph.Ref
	permissions []string
}

func listed(all iter.Seq2[graph.Ref, []string]) (out []conveyance) {
	for r, permissions := range all {
		out = append(out, conveyance{r, permissions})
	}
	return out
}
