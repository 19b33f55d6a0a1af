package permission_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/permission"
)

// TestPlacesAreWhatChecksComeFrom: what Check allows is exactly what is at or
// below a place.
func TestPlacesAreWhatChecksComeFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := graphtest.NewWorld(time.UnixMilli(1_750_000_000_000), func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
		o := graphtest.NewOracle()
		ix := permission.New()
		commit(t, o, w.Start())
		o.Feed(ix)
		for round := range 4 {
			ix.Apply(commit(t, o, []graph.Batch{w.Batch(round)}))
			v := ix.View()
			for range 10 {
				q := w.Question()
				places := v.Places(q.Subject, q.Permission, q.At)
				if !slices.IsSortedFunc(places, graph.CompareRefs) || len(slices.Compact(slices.Clone(places))) != len(places) {
					t.Fatalf("not in order or twice: %v", places)
				}
				for _, r := range w.Refs() {
					q.Resource = r
					want := o.Check(q)
					got := slices.ContainsFunc(places, func(p graph.Ref) bool { return v.Within(r, p) })
					if got != want {
						t.Fatalf("%v: allowed %v, places %v", q, want, places)
					}
				}
			}
		}
	})
}
