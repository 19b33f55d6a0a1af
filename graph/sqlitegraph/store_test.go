package sqlitegraph_test

import (
	"path/filepath"
	"testing"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/sqlitegraph"
)

func place(t *testing.T) graphtest.Place {
	// A name that a careless connection string would misread.
	path := filepath.Join(t.TempDir(), "a b%3f?&#.db")
	return func(t *testing.T) graph.Store {
		t.Helper()
		s, err := sqlitegraph.Open(path, sqlitegraph.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestStore(t *testing.T) {
	graphtest.Run(t, graphtest.Engine{Place: place, Parallel: true})
}

// The way a server's one database is used.
func TestStoreShared(t *testing.T) {
	graphtest.Run(t, graphtest.Engine{Place: place})
}

func TestKilledProcessLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "graph.db")
	graphtest.RunKilled(t, path, 6, func(t *testing.T) graph.Store {
		s, err := sqlitegraph.Open(path, sqlitegraph.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
