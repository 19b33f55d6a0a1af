package permission_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/permission"
)

// crowded is one hub each way with hundreds of edges, so that every list
// outgrows its short form, shrinks back, and nodes come and go.
type crowded struct {
	t    *testing.T
	rng  *rand.Rand
	o    *graphtest.Oracle
	ix   *permission.Index
	n    int
	at   time.Time
	live map[graph.EdgeKey]bool
	old  *permission.View // a view and what it said when it was new
	said map[graph.CheckQuery]bool
}

func (c *crowded) do(steps ...graph.Step) {
	c.n++
	c.ix.Apply(commit(c.t, c.o, []graph.Batch{{ID: fmt.Sprint("crowd-", c.n), Time: c.at, Steps: steps}}))
}

func (c *crowded) edge(from graph.Ref, k graph.Kind, to graph.Ref) graph.Step {
	e := graph.Edge{EdgeKey: graph.EdgeKey{From: from, Kind: k, To: to}, Props: graph.Props{}}
	if k == graph.CanAccess {
		e.Props[graph.PropActions] = []string{[]string{"repo:read", "repo:write", "repo:*"}[c.rng.IntN(3)]}
	}
	if k != graph.ChildOf && c.rng.IntN(10) == 0 {
		e.Props[graph.PropExpires] = c.at.UnixMilli() + int64(c.rng.IntN(3)) - 1
	}
	c.live[e.EdgeKey] = true
	return graph.Link(e)
}

func ref(t graph.Type, i int) graph.Ref { return graph.Ref{Type: t, ID: fmt.Sprintf("%s-%04d", t, i)} }

// TestHeavyNodesAgreeWithOracle lets nodes with hundreds of edges grow and
// shrink, and compares lists and checks on the way.
func TestHeavyNodesAgreeWithOracle(t *testing.T) {
	const many = 400
	c := &crowded{t: t, rng: rand.New(rand.NewPCG(7, 7)), o: graphtest.NewOracle(), ix: permission.New(), at: time.UnixMilli(1_750_000_000_000), live: map[graph.EdgeKey]bool{}}
	c.o.Feed(c.ix)
	hub, top, sub, doc := ref("group", 0), ref("organization", 0), ref("group", 1), ref("repo", 0)
	var steps []graph.Step
	for _, r := range []graph.Ref{hub, sub, top, doc} {
		steps = append(steps, graph.Put(graph.Node{Ref: r}))
	}
	for i := range many {
		for _, typ := range []graph.Type{"user", "team", "file"} {
			steps = append(steps, graph.Put(graph.Node{Ref: ref(typ, i)}))
		}
	}
	c.do(append(steps, c.edge(doc, graph.ChildOf, top), c.edge(hub, graph.CanAccess, top))...)
	change := func() graph.Step {
		i := c.rng.IntN(many)
		switch c.rng.IntN(7) {
		case 0:
			return c.edge(ref("user", i), graph.MemberOf, hub)
		case 1:
			return c.edge(ref("user", c.rng.IntN(3)), graph.MemberOf, ref("team", i))
		case 2:
			return c.edge(ref("team", i), graph.CanAccess, doc)
		case 3:
			return c.edge(ref("user", i), graph.CanAccess, top)
		case 4:
			return c.edge(ref("file", i), graph.ChildOf, top)
		case 5:
			return c.edge(hub, graph.CanAccess, ref("file", i))
		}
		return c.edge(ref("file", 0), graph.ChildOf, ref("file", i))
	}
	for round := range 6 {
		steps = nil
		for range 700 {
			steps = append(steps, change())
		}
		c.do(steps...)
		if round%2 == 1 {
			// Above all of the hub's members, which may be too many to do at once.
			c.do(c.edge(hub, graph.MemberOf, sub), c.edge(sub, graph.CanAccess, doc))
		}
		c.compare(doc, top, hub)
		steps = nil
		for k := range c.live {
			if c.rng.IntN(3) == 0 || round%5 == 4 {
				steps = append(steps, graph.Unlink(k))
				delete(c.live, k)
			}
		}
		for range 5 {
			r := ref([]graph.Type{"user", "team", "file"}[c.rng.IntN(3)], c.rng.IntN(many))
			steps = append(steps, graph.Delete(r), graph.Put(graph.Node{Ref: r}))
		}
		c.do(steps...)
		c.compare(doc, top, hub)
	}
}

func (c *crowded) compare(doc, top, hub graph.Ref) {
	c.t.Helper()
	for q, want := range c.said {
		if c.old.Check(q.Subject, q.Permission, q.Resource, q.At) != want {
			c.t.Fatalf("a view changed its mind: %v was %v", q, want)
		}
	}
	v := c.ix.View()
	c.old, c.said = v, map[graph.CheckQuery]bool{}
	for i := range 400 {
		for _, s := range []graph.Ref{ref("user", i), ref("team", i)} {
			q := graph.CheckQuery{Subject: s, Permission: "repo:read", Resource: doc, At: c.at}
			c.said[q] = v.Check(s, q.Permission, doc, c.at)
		}
	}
	subjects := []graph.Ref{hub, ref("user", 0), ref("user", 1), ref("user", 2), ref("user", 3)}
	for range 12 {
		subjects = append(subjects, ref("user", c.rng.IntN(400)), ref("team", c.rng.IntN(400)))
	}
	for _, s := range subjects {
		for _, r := range []graph.Ref{doc, top, ref("file", 0), ref("file", c.rng.IntN(400))} {
			q := graph.CheckQuery{Subject: s, Permission: "repo:write", Resource: r, At: c.at}
			want := c.o.Check(q)
			if got := v.Check(s, q.Permission, r, c.at); got != want {
				c.t.Fatalf("check %v: %v", q, got)
			}
			if err := verify(c.o, q, want, v.Explain(s, q.Permission, r, c.at)); err != nil {
				c.t.Fatalf("explain %v: %v", q, err)
			}
		}
	}
	for _, limit := range []int{0, 50} {
		q := graph.CheckQuery{Permission: "repo:read", Resource: doc, At: c.at}
		pages(c.t, "subjects", limit, c.o.Subjects(q, "user"), func(after string) ([]string, bool) {
			return v.Subjects(permission.SubjectsQuery{Resource: doc, Permission: q.Permission, Type: "user", After: after, Limit: limit, At: c.at})
		})
		q = graph.CheckQuery{Permission: "repo:read", Subject: ref("user", 1), At: c.at}
		pages(c.t, "resources", limit, c.o.Resources(q, "file"), func(after string) ([]string, bool) {
			return v.Resources(permission.ResourcesQuery{Subject: q.Subject, Permission: q.Permission, Type: "file", After: after, Limit: limit, At: c.at})
		})
	}
}

// TestManyNames adds and deletes more nodes than a page of names or a node of
// the order holds.
func TestManyNames(t *testing.T) {
	const many = 20_000
	ix := permission.New()
	graphtest.NewOracle().Feed(ix)
	rng := rand.New(rand.NewPCG(3, 3))
	exists := make([]bool, many)
	var rev graph.Revision
	for range 12 {
		c := graph.Change{Revision: rev + 1}
		rev++
		for i := range exists {
			n := &graph.Node{Ref: ref("user", i)}
			switch e := (graph.NodeEntry{}); {
			case !exists[i] && rng.IntN(2) == 0:
				e.After, exists[i] = n, true
				c.Entries = append(c.Entries, graph.Entry{Node: &e})
			case exists[i] && rng.IntN(3) == 0:
				e.Before, exists[i] = n, false
				c.Entries = append(c.Entries, graph.Entry{Node: &e})
			}
		}
		old := ix.View()
		was := old.Nodes("user")
		ix.Apply([]graph.Change{c})
		count := 0
		for i, want := range exists {
			if want {
				count++
			}
			if got := ix.View().Exists(ref("user", i)); got != want {
				t.Fatalf("%v exists: %v", ref("user", i), got)
			}
		}
		if got := ix.View().Nodes("user"); got != count || old.Nodes("user") != was {
			t.Fatalf("%d users, want %d", got, count)
		}
	}
}

// TestSetMovedAboveManyMembers nests and unnests a set of so many members that
// their closures are brought up to date little by little, and asks all along.
func TestSetMovedAboveManyMembers(t *testing.T) {
	const many = 1500
	at := time.UnixMilli(1_750_000_000_000)
	o, ix := graphtest.NewOracle(), permission.New()
	c := &crowded{t: t, rng: rand.New(rand.NewPCG(1, 1)), o: o, ix: ix, at: at}
	o.Feed(ix)
	hub, sub, doc, other := ref("group", 0), ref("group", 1), ref("repo", 0), ref("team", 0)
	plain := func(from graph.Ref, k graph.Kind, to graph.Ref) graph.Edge {
		return graph.Edge{EdgeKey: graph.EdgeKey{From: from, Kind: k, To: to}, Props: graph.Props{graph.PropActions: []string{"repo:read"}}}
	}
	steps := []graph.Step{graph.Put(graph.Node{Ref: hub}), graph.Put(graph.Node{Ref: sub}), graph.Put(graph.Node{Ref: doc}), graph.Put(graph.Node{Ref: other}), graph.Link(plain(sub, graph.CanAccess, doc))}
	for i := range many {
		steps = append(steps, graph.Put(graph.Node{Ref: ref("user", i)}), graph.Link(plain(ref("user", i), graph.MemberOf, hub)))
	}
	c.do(steps...)
	all := func(want bool) {
		t.Helper()
		for i := range many {
			if ix.View().Check(ref("user", i), "repo:read", doc, at) != want {
				t.Fatalf("%v: %v", ref("user", i), !want)
			}
		}
		ids, _ := ix.View().Resources(permission.ResourcesQuery{Subject: ref("user", 7), Permission: "repo:read", Type: "repo", At: at})
		if (len(ids) == 1) != want {
			t.Fatalf("resources %v", ids)
		}
	}
	nest := plain(hub, graph.MemberOf, sub)
	for range 5 {
		all(false)
		c.do(graph.Link(nest))
		for i := range 12 {
			all(true)
			toggle := plain(ref("user", i), graph.MemberOf, other)
			c.do(graph.Link(toggle))
			c.do(graph.Unlink(toggle.EdgeKey))
		}
		c.do(graph.Unlink(nest.EdgeKey))
		all(false)
		c.do(graph.Link(nest), graph.Put(graph.Node{Ref: ref("user", many)}))
		all(true)
		c.do(graph.Unlink(nest.EdgeKey), graph.Delete(ref("user", many)))
	}
}
