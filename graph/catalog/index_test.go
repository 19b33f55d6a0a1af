package catalog_test

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/graphtest"
)

type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// commit carries out what can be, and returns the changes.
func commit(t fataler, o *graphtest.Oracle, group []graph.Batch) (changes []graph.Change) {
	for i := range group {
		if err := group[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	results, err := o.Commit(group)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Change != nil {
			changes = append(changes, *r.Change)
		}
	}
	return changes
}

// TestIndexAgreesWithNaive compares every kind of answer with one found by
// looking at every node and edge, after groups of random changes and in an
// index loaded afresh, by lists and by bits.
func TestIndexAgreesWithNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := smallWorld(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
		o := graphtest.NewOracle()
		commit(t, o, w.start())
		x := catalog.New()
		x.SetMany(1 + w.pick(20))
		o.Feed(x)
		for range 3 {
			compare(t, x, o, w)
			x.Apply(commit(t, o, w.random(w.pick(30))))
		}
		compare(t, x, o, w)
		o.Feed(x)
		compare(t, x, o, w)
	})
}

// TestLargeSetsAgreeWithNaive does the same with sets and orders so large
// that they have another form.
func TestLargeSetsAgreeWithNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := smallWorld(r.IntN)
	w.sizes["project"] = 1500
	o := graphtest.NewOracle()
	commit(t, o, w.start())
	x := catalog.New()
	o.Feed(x)
	for _, many := range []int{0, 200, 5} {
		x.SetMany(many)
		x.Apply(commit(t, o, w.random(2000)))
		for range 4 {
			compareFind(t, x, naive{o}, w)
		}
		x.Apply(commit(t, o, []graph.Batch{w.batch(slices.Collect(func(yield func(graph.Step) bool) {
			for range 1400 {
				if !yield(graph.Delete(w.ref("project"))) || !yield(w.node(w.ref("project"))) {
					return
				}
			}
		})...)}))
	}
	compareFind(t, x, naive{o}, w)
}

func compare(t fataler, x *catalog.Index, o *graphtest.Oracle, w *world) {
	if r, ok := x.Revision(); !ok || r != o.Head {
		t.Fatalf("index at %d, store at %d", r, o.Head)
	}
	v := naive{o}
	for range 6 {
		compareFind(t, x, v, w)
	}
	for range 5 {
		r := w.ref(worldTypes...)
		n := o.Nodes[r]
		card, ok := x.Card(r)
		if known := n != nil && isDoc(r); ok != known || ok && card != v.card(r) {
			t.Fatalf("card of %v: %v, %v", r, card, ok)
		}
		if d, _ := x.Document(r); ok && (!d.Created.Equal(n.Created) || !d.Updated.Equal(n.Updated) || d.Archived != n.Props.Bool("archived") || d.Organization.ID != n.Props.String("organization")) {
			t.Fatalf("document %v: %+v, want %+v", r, d, n)
		}
		if got, want := x.Relations(r), v.relations(r); !reflect.DeepEqual(got, want) {
			t.Fatalf("relations of %v: %v, want %v", r, got, want)
		}
		compareSources(t, x, v, w)
		compareWalk(t, x, v, w)
	}
}

func compareFind(t fataler, x *catalog.Index, v naive, w *world) {
	q := w.query()
	want := v.sort(cmpOr(q.Sort, "name"), v.match(q, ""))
	q.Limit = oneOf(w, 1, 2, 3, max(1, len(want)-1), max(1, len(want)), len(want)+1)
	q.Limit = min(q.Limit, catalog.MaxLimit)
	var got []graph.Ref
	for first := true; first || q.After != ""; first = false {
		p, err := x.Find(q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		if len(p.Refs) != q.Limit && p.Next != "" || len(p.Refs) > q.Limit || p.Total != len(want) {
			t.Fatalf("%+v: a page of %d, next %q, total %d of %d", q, len(p.Refs), p.Next, p.Total, len(want))
		}
		for _, name := range q.Facets {
			if want := v.facet(q, name); !reflect.DeepEqual(p.Facets[name], want) {
				t.Fatalf("%+v: facet %s: %+v, want %+v", q, name, p.Facets[name], want)
			}
		}
		q.Facets = nil
		got = append(got, p.Refs...)
		q.After = p.Next
		if len(got) > 300 { // enough of a long list
			want = want[:len(got)]
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v: %v, want %v", q, got, want)
	}
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func compareSources(t fataler, x *catalog.Index, v naive, w *world) {
	k := w.edge()
	q := catalog.SourcesQuery{Kind: k.Kind, To: k.To, Scope: w.scope(), Limit: 1 + w.pick(4)}
	if w.pick(2) == 0 {
		q.From = docTypes[w.pick(len(docTypes))]
	}
	want := v.sources(q.Kind, q.To, q.From, q.Scope)
	var got []catalog.Relation
	for first := true; first || q.After != ""; first = false {
		p, err := x.Sources(q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Items...)
		q.After = p.Next
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("sources %+v: %v, want %v", q, got, want)
	}
	targets := []graph.Ref{k.To, w.ref(worldTypes...), w.ref("team"), k.To}
	for i, n := range x.Counts(q.From, q.Kind, targets, q.Scope) {
		if want := v.sources(q.Kind, targets[i], q.From, q.Scope); n != len(want) {
			t.Fatalf("count %+v %v: %d, want %d", q, targets[i], n, len(want))
		}
	}
}

func compareWalk(t fataler, x *catalog.Index, v naive, w *world) {
	q := catalog.WalkQuery{Start: w.ref("project"), Dependents: w.pick(2) == 0, Depth: 1 + w.pick(4), Scope: w.scope()}
	got, err := x.Walk(q)
	if v.o.Nodes[q.Start] == nil || !v.readable(q.Start, q.Scope) {
		if graph.KindOf(err) != graph.NotFound {
			t.Fatalf("walk from what is hidden: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	nodes, edges, cyclic, more := v.walk(q)
	if !slices.Equal(got.Nodes, nodes) || got.Truncated != more {
		t.Fatalf("walk %+v: %v %v, want %v %v", q, got.Nodes, got.Truncated, nodes, more)
	}
	seen := map[catalog.WalkEdge]bool{}
	for _, e := range got.Edges {
		seen[e] = true
	}
	if !maps.Equal(seen, edges) || len(got.Edges) != len(edges) {
		t.Fatalf("edges %v, want %v", got.Edges, edges)
	}
	for _, group := range got.Cycles {
		for _, r := range group {
			if !cyclic[r] {
				t.Fatalf("%v is in no cycle: %v", r, got.Cycles)
			}
			cyclic[r] = false
		}
	}
	for r, missing := range cyclic {
		if missing {
			t.Fatalf("%v is in a cycle: %v", r, got.Cycles)
		}
	}
	q.Limit = 1 + w.pick(3)
	if got, err = x.Walk(q); err != nil || !slices.Equal(got.Nodes, nodes[:min(len(nodes), q.Limit)]) || got.Truncated != (more || len(nodes) > q.Limit) {
		t.Fatalf("walk %+v: %v %v, want %v of %v", q, got.Nodes, got.Truncated, q.Limit, nodes)
	}
}

// TestReadersRunBesideTheWriter is for the race detector and for panics.
func TestReadersRunBesideTheWriter(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	w, o, x := smallWorld(r.IntN), graphtest.NewOracle(), catalog.New()
	commit(t, o, w.start())
	o.Feed(x)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			w := smallWorld(rand.New(rand.NewPCG(5, uint64(i))).IntN)
			for {
				select {
				case <-done:
					return
				default:
				}
				q := w.query()
				q.Limit = 3
				p, err := x.Find(q)
				if err != nil {
					t.Error(err)
					return
				}
				q.After = p.Next
				_, _ = x.Find(q)
				x.Relations(w.ref("project"))
				x.Counts("", graph.ChildOf, []graph.Ref{w.ref("team")}, w.scope())
				_, _ = x.Walk(catalog.WalkQuery{Start: w.ref("project"), Scope: w.scope()})
			}
		})
	}
	for i := range 60 {
		x.Apply(commit(t, o, w.random(20)))
		if i%20 == 0 {
			o.Feed(x)
		}
	}
	close(done)
	wg.Wait()
	compare(t, x, o, w)
}
