package catalog_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/catalog"
)

// load makes an index of nodes and edges.
func load(nodes []graph.Node, edges ...graph.EdgeKey) *catalog.Index {
	x := catalog.New()
	x.Begin()
	for i := range nodes {
		x.Node(&nodes[i])
	}
	for _, k := range edges {
		x.Edge(&graph.Edge{EdgeKey: k})
	}
	x.Ready(graph.Info{Head: 1})
	return x
}

func named(id, name string) graph.Node {
	at := time.UnixMilli(1_750_000_000_000)
	return graph.Node{Ref: graph.Ref{Type: "project", ID: id}, Props: graph.Props{"name": name, "slug": name}, Created: at, Updated: at}
}

// TestPagesGoOnWhereTheyWere: documents that come, go and are renamed between
// pages make no other document appear twice or never.
func TestPagesGoOnWhereTheyWere(t *testing.T) {
	for _, sort := range []string{"name", "-name", "slug", "-slug", "created", "-created", "updated", "-updated"} {
		for _, many := range []int{0, 1} {
			var nodes []graph.Node
			for i := range 40 {
				nodes = append(nodes, named(fmt.Sprintf("p%02d", i), fmt.Sprintf("name-%02d", i)))
			}
			x := load(nodes)
			x.SetMany(many)
			q := catalog.Query{Type: "project", Scope: catalog.Scope{All: true}, Sort: sort, Limit: 7}
			var got []string
			for page := 0; page == 0 || q.After != ""; page++ {
				p, err := x.Find(q)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range p.Refs {
					got = append(got, r.ID)
				}
				// The last of the page goes, and a new one comes next to it.
				last := p.Refs[len(p.Refs)-1]
				fresh := named("new"+last.ID, "name-"+last.ID[1:]+"x")
				x.Apply([]graph.Change{{Revision: graph.Revision(2 + page), Entries: []graph.Entry{
					{Node: &graph.NodeEntry{Before: &graph.Node{Ref: last}}},
					{Node: &graph.NodeEntry{After: &fresh}},
				}}})
				q.After = p.Next
			}
			got = slices.DeleteFunc(got, func(id string) bool { return id[0] == 'n' })
			slices.Sort(got)
			if len(got) != 40 || len(slices.Compact(got)) != 40 {
				t.Errorf("%s: %d of 40: %v", sort, len(got), got)
			}
		}
	}
}

// TestQueriesKeepToTheLimits: what is too much or unknown is refused as such.
func TestQueriesKeepToTheLimits(t *testing.T) {
	x := load([]graph.Node{named("a", "a"), named("b", "b")})
	p, err := x.Find(catalog.Query{Type: "project", Scope: catalog.Scope{All: true}, Limit: 1})
	if err != nil || p.Next == "" {
		t.Fatal(p, err)
	}
	refs := slices.Repeat([]graph.Ref{{Type: "tag", ID: "a"}}, catalog.MaxValues+1)
	for name, q := range map[string]catalog.Query{
		"type":          {Type: "user"},
		"place":         {Type: "platform"},
		"organization":  {Organization: graph.Ref{Type: "team", ID: "a"}},
		"limit":         {Limit: catalog.MaxLimit + 1},
		"no limit":      {Limit: -1},
		"sort":          {Sort: "size"},
		"facet":         {Facets: []string{"colour"}},
		"empty facet":   {Facets: []string{""}},
		"attribute":     {Facets: []string{"attributes."}},
		"facets":        {Facets: slices.Repeat([]string{"tag"}, catalog.MaxFacets+1)},
		"facet values":  {FacetValues: catalog.MaxFacetValues + 1},
		"relation":      {Filter: catalog.Filter{Relations: map[graph.Kind][]graph.Ref{"MEMBER_OF": nil}}},
		"values":        {Filter: catalog.Filter{Relations: map[graph.Kind][]graph.Ref{"TAGGED": refs}}},
		"words":         {Filter: catalog.Filter{Text: "a b c d e f g h i"}},
		"foreign":       {After: "bm90IG91cnM"},
		"no base64":     {After: "%%%"},
		"other sort":    {After: p.Next, Sort: "slug"},
		"other reverse": {After: p.Next, Sort: "-name"},
	} {
		if _, err := x.Find(q); graph.KindOf(err) != graph.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, q := range []catalog.WalkQuery{{Depth: catalog.MaxDepth + 1}, {Depth: -1}, {Limit: catalog.MaxNodes + 1}, {Limit: -1}} {
		if _, err := x.Walk(q); graph.KindOf(err) != graph.Invalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestNothingIsAnsweredBeforeTheLoad: an empty answer would be a wrong one.
func TestNothingIsAnsweredBeforeTheLoad(t *testing.T) {
	x := catalog.New()
	x.Begin()
	if _, err := x.Find(catalog.Query{}); graph.KindOf(err) != graph.Unavailable {
		t.Error(err)
	}
	if _, err := x.Sources(catalog.SourcesQuery{Kind: "TAGGED", Limit: 1}); graph.KindOf(err) != graph.Unavailable {
		t.Error(err)
	}
	if _, err := x.Walk(catalog.WalkQuery{}); graph.KindOf(err) != graph.Unavailable {
		t.Error(err)
	}
	if _, ok := x.Revision(); ok {
		t.Error("it has a revision")
	}
}

// TestParentsInACircleDoNoHarm: such edges cannot be written, but if they
// were there, questions would end.
func TestParentsInACircleDoNoHarm(t *testing.T) {
	team := func(id string) graph.Node { return graph.Node{Ref: graph.Ref{Type: "team", ID: id}} }
	a, b := team("a"), team("b")
	x := load([]graph.Node{a, b}, graph.EdgeKey{From: a.Ref, Kind: graph.ChildOf, To: b.Ref}, graph.EdgeKey{From: b.Ref, Kind: graph.ChildOf, To: a.Ref})
	for _, many := range []int{1, 100} {
		x.SetMany(many)
		for place, want := range map[graph.Ref]int{a.Ref: 2, {Type: "team", ID: "c"}: 0} {
			p, err := x.Find(catalog.Query{Scope: catalog.Scope{Places: []graph.Ref{place}}, Limit: 5, Total: true})
			if err != nil || p.Total != want {
				t.Error(place, p, err)
			}
		}
	}
}

// FuzzCursors: whatever a cursor says, there is a page or a refusal.
func FuzzCursors(f *testing.F) {
	x := load([]graph.Node{named("a", "a"), named("b", "b"), named("c", "c")})
	for _, sort := range []string{"name", "-updated"} {
		p, err := x.Find(catalog.Query{Scope: catalog.Scope{All: true}, Sort: sort, Limit: 1})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Next, sort)
	}
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"s":"name","r":"project:a","f":"\u0000"}`)), "name")
	f.Fuzz(func(t *testing.T, after, sort string) {
		p, err := x.Find(catalog.Query{Scope: catalog.Scope{All: true}, After: after, Sort: sort, Limit: 5})
		if err != nil && graph.KindOf(err) != graph.Invalid || err == nil && len(p.Refs) > 3 {
			t.Fatal(p, err)
		}
	})
}
