package trail_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"trellis/audit/trail"
	"trellis/graph"
	"trellis/graph/identity"
)

// BenchmarkBacklog delivers a backlog of changes to the embedded sink: one
// iteration is one change of one event.
func BenchmarkBacklog(b *testing.B) {
	w := settle(b, openStore(b, filepath.Join(b.TempDir(), "graph.db")))
	for done := 0; done < b.N; {
		group := make([]graph.Batch, min(250, b.N-done))
		for i := range group {
			ref := graph.Ref{Type: identity.Group, ID: fmt.Sprint("g-", done+i)}
			group[i] = graph.Batch{ID: ref.ID, Time: time.Now().UTC().Truncate(time.Millisecond), Steps: []graph.Step{
				graph.Put(graph.Node{Ref: ref, Props: graph.Props{"name": "A group", "slug": ref.ID}}),
				graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: ref, Kind: graph.ChildOf, To: graph.Root}}),
			}}
		}
		if _, err := w.store.Commit(b.Context(), group); err != nil {
			b.Fatal(err)
		}
		done += len(group)
	}
	s := realSink(b, filepath.Join(b.TempDir(), "audit.db"))
	b.ResetTimer()
	f, _ := w.follow(w.store, s, trail.Options{})
	flush(b, f)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
}
