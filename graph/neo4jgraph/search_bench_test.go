package neo4jgraph_test

import (
	"context"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/neo4jgraph/neo4jtest"
)

func list(records []graph.Record) func() (graph.Record, error) {
	i := 0
	return func() (graph.Record, error) {
		if i == len(records) {
			return graph.Record{}, io.EOF
		}
		i++
		return records[i-1], nil
	}
}

func BenchmarkSearch(b *testing.B) {
	const n = 100_000
	u := serverURL(b)
	neo4jtest.Wipe(b, u)
	s, ctx := open(b, u), context.Background()
	defer s.Close()
	if err := s.Import(ctx, 1, list(graphtest.SearchWorld(n))); err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B, q graph.SearchQuery) {
		times := make([]time.Duration, 0, b.N)
		hits := 0
		for b.Loop() {
			start := time.Now()
			a, err := s.Search(ctx, q)
			if err != nil {
				b.Fatal(err)
			}
			hits, times = len(a.Hits), append(times, time.Since(start))
		}
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Microseconds()), "median-us")
		b.ReportMetric(float64(times[len(times)*95/100].Microseconds()), "p95-us")
		b.ReportMetric(float64(hits), "hits")
	}
	questions := graphtest.Searches(n)
	for _, name := range slices.Sorted(maps.Keys(questions)) {
		b.Run(name, func(b *testing.B) { run(b, questions[name]) })
	}
	q := questions["all in title"]
	for range 1_000 {
		a, err := s.Search(ctx, q)
		if err != nil {
			b.Fatal(err)
		}
		q.After = a.Next
	}
	b.Run("page 1000", func(b *testing.B) { run(b, q) })
}
