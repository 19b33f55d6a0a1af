package trail

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/permission"
	"trellis/graph/sqlitegraph"
)

// Whatever view of the index the tree is made of, it tells what was above a node
// at each revision.
func TestTheTreeTellsWhatWasAbove(t *testing.T) {
	store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	index := permission.New()
	g := graph.New(store, graph.Options{}, index)
	defer g.Close()
	if _, err := g.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	const nodes = 12
	ref := func(i int) graph.Ref { return graph.Ref{Type: "doc", ID: fmt.Sprint(i)} }
	views, asked := []View{index.View()}, 0
	for range 300 {
		var steps []graph.Step
		for range 1 + rand.IntN(3) {
			a, b := ref(rand.IntN(nodes)), ref(rand.IntN(nodes)) // circles included
			k := graph.EdgeKey{From: a, Kind: graph.ChildOf, To: b}
			switch rand.IntN(6) {
			case 0:
				steps = append(steps, graph.Delete(a))
			case 1:
				steps = append(steps, graph.Unlink(k))
			default:
				steps = append(steps, graph.Put(graph.Node{Ref: a, Props: graph.Props{"n": rand.Int64()}}), graph.Put(graph.Node{Ref: b}), graph.Link(graph.Edge{EdgeKey: k}))
			}
		}
		if _, err := g.Write(t.Context(), graph.Batch{Steps: steps, Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
		views = append(views, index.View())
	}
	changes, err := store.Changes(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	above := func(v View, r graph.Ref) []graph.Ref { return (&tree{base: v}).above(r) }
	at := map[graph.Revision]View{}
	for _, v := range views {
		at[v.Revision()] = v
	}
	for range 60 {
		from := graph.Revision(rand.IntN(len(changes)))
		base := at[from+graph.Revision(rand.IntN(len(changes)-int(from)+1))]
		tr, err := plant(t.Context(), store, base, from)
		if err != nil {
			t.Fatal(err)
		}
		for {
			for i := range nodes {
				asked++
				if got, want := tr.above(ref(i)), above(at[tr.at], ref(i)); !slices.Equal(got, want) {
					t.Fatalf("revision %d, from %d on view %d: above %s is %v, want %v", tr.at, from, base.Revision(), ref(i), got, want)
				}
			}
			if int(tr.at) == len(changes) || tr.at > from+80 {
				break
			}
			tr.grow(&changes[tr.at])
		}
	}
	t.Logf("%d questions about %d revisions", asked, len(changes))
}
