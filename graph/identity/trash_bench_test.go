package identity_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

// BenchmarkTrash deletes, and restores, an organization with 10,000 projects.
func BenchmarkTrash(b *testing.B) {
	engines := map[string]func() graph.Store{"sqlite": func() graph.Store {
		s, err := sqlitegraph.Open(filepath.Join(b.TempDir(), "graph.db"), sqlitegraph.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}}
	if address := os.Getenv("TRELLIS_TEST_NEO4J_URL"); address != "" {
		engines["neo4j"] = func() graph.Store { return neo4jStore(b, address) }
	}
	for name, open := range engines {
		b.Run(name, func(b *testing.B) {
			w := newWorldOn(b, open())
			w.fill(10_000)
			var deleting, restoring time.Duration
			for b.Loop() {
				start := time.Now()
				n := w.buried(w.must(root, `{"op":"delete","node":"organization:big","cascade":true}`))
				deleting += time.Since(start)
				start = time.Now()
				w.restore(root, n.Ref.String())
				restoring += time.Since(start)
				b.ReportMetric(float64(n.Props.Int("parts")), "parts")
			}
			b.ReportMetric(deleting.Seconds()/float64(b.N), "s/delete")
			b.ReportMetric(restoring.Seconds()/float64(b.N), "s/restore")
		})
	}
}
