package permission_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/neo4jgraph"
	"trellis/graph/neo4jgraph/neo4jtest"
	"trellis/graph/permission"
	"trellis/graph/sqlitegraph"
)

// TestIndexEnginesAndOracleAgree lets the index, each engine's own Check and
// the naive oracle answer the same questions about random graphs, while
// batches are being written and afterwards.
func TestIndexEnginesAndOracleAgree(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		for seed := range uint64(3) {
			agree(t, seed, 150, func(t *testing.T) graph.Store {
				s, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		}
	})
	t.Run("neo4j", func(t *testing.T) {
		address := os.Getenv("TRELLIS_TEST_NEO4J_URL")
		if address == "" {
			t.Skip("TRELLIS_TEST_NEO4J_URL is not set: Neo4j's own check was not compared")
		}
		for seed := range uint64(2) {
			agree(t, seed, 100, func(t *testing.T) graph.Store {
				neo4jtest.Wipe(t, address)
				s, err := neo4jgraph.Open(address, neo4jgraph.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		}
	})
}

func agree(t *testing.T, seed uint64, sample int, open func(*testing.T) graph.Store) {
	t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
		store, index := open(t), permission.New()
		defer store.Close()
		g := graph.New(store, graph.Options{Poll: 5 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}, index)
		defer g.Close()
		now := time.Now().Add(time.Hour)
		world := graphtest.NewWorld(now, rand.New(rand.NewPCG(seed, 1)).IntN)
		write := func(batches ...graph.Batch) {
			for _, b := range batches {
				if _, err := g.Write(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
		}
		write(world.Start()...)
		askWhileWriting(t, seed, now, store, index, func(enough func() bool) {
			for i := 0; i < 60 || i < 2000 && !enough(); i++ {
				write(world.Batch(100 + i))
				if i > 60 {
					time.Sleep(5 * time.Millisecond) // time for an engine to answer at one revision
				}
			}
		})
		everyPair(t, world, store, index)
		asker := graphtest.NewWorld(now, rand.New(rand.NewPCG(seed, 3)).IntN)
		for range sample {
			q := asker.Question()
			askBoth(t, store, index.View(), q)
		}
	})
}

// askWhileWriting compares the index with the engine as long as work runs,
// whenever both answer at the same revision.
func askWhileWriting(t *testing.T, seed uint64, now time.Time, store graph.Store, index *permission.Index, work func(enough func() bool)) {
	ctx, stop := context.WithCancel(t.Context())
	var compared atomic.Int64
	var wg sync.WaitGroup
	for i := range 2 {
		asker := graphtest.NewWorld(now, rand.New(rand.NewPCG(seed, uint64(10+i))).IntN)
		wg.Go(func() {
			for ctx.Err() == nil {
				if askBoth(t, store, index.View(), asker.Question()) {
					compared.Add(1)
				}
			}
		})
	}
	const wanted = 20
	work(func() bool { return compared.Load() >= wanted })
	stop()
	wg.Wait()
	if n := compared.Load(); n < wanted {
		t.Errorf("only %d questions could be compared during the writes", n)
	}
}

// askBoth tells whether both answered at one revision, and fails the test if
// they then differ.
func askBoth(t *testing.T, store graph.Store, v *permission.View, q graph.CheckQuery) bool {
	a, err := store.Check(context.Background(), q)
	if err != nil {
		t.Error(err)
		return false
	}
	if a.Revision != v.Revision() {
		return false
	}
	if got := v.Check(q.Subject, q.Permission, q.Resource, q.At); got != a.Allowed {
		t.Errorf("revision %d: %s %s %s at %s: the index says %v, the engine %v", a.Revision, q.Subject, q.Permission, q.Resource, q.At, got, a.Allowed)
	}
	return true
}

// everyPair compares the index with the oracle on every question there is,
// and its lists with the set of what is allowed.
func everyPair(t *testing.T, world *graphtest.World, store graph.Store, index *permission.Index) {
	oracle := graphtest.NewOracle()
	for {
		changes, err := store.Changes(t.Context(), oracle.Head, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			break
		}
		if err := oracle.Apply(changes); err != nil {
			t.Fatal(err)
		}
	}
	v, at := index.View(), world.At()
	if v.Revision() != oracle.Head {
		t.Fatalf("the index is at %d, the feed at %d", v.Revision(), oracle.Head)
	}
	for _, p := range world.AskedPermissions {
		for _, s := range world.Refs() {
			may := map[graph.Type][]string{}
			for _, r := range world.Refs() {
				q := graph.CheckQuery{Subject: s, Permission: p, Resource: r, At: at}
				want := oracle.Check(q)
				if got := v.Check(s, p, r, at); got != want {
					t.Errorf("%s %s %s: the index says %v, the oracle %v", s, p, r, got, want)
				}
				if want {
					may[r.Type] = append(may[r.Type], r.ID)
				}
			}
			for _, typ := range world.Types {
				slices.Sort(may[typ])
				got, _ := v.Resources(permission.ResourcesQuery{Subject: s, Permission: p, Type: typ, At: at})
				if !slices.Equal(got, may[typ]) {
					t.Errorf("%s %s: lists %v of type %s, allowed are %v", s, p, got, typ, may[typ])
				}
			}
		}
	}
}
