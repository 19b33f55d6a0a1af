package neo4jgraph_test

import (
	"os"
	"testing"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/neo4jgraph"
	"trellis/graph/neo4jgraph/neo4jtest"
)

// serverURL returns the address of the database that these tests may empty.
func serverURL(t testing.TB) string {
	t.Helper()
	u := os.Getenv("TRELLIS_TEST_NEO4J_URL")
	if u == "" {
		t.Skip("TRELLIS_TEST_NEO4J_URL is not set: nothing on Neo4j was tested (the database it names is emptied)")
	}
	return u
}

func open(t testing.TB, rawURL string) *neo4jgraph.Store {
	t.Helper()
	s, err := neo4jgraph.Open(rawURL, neo4jgraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// place is one empty store; the server has one database, so the next place
// ends this one.
func place(t *testing.T) graphtest.Place {
	t.Helper()
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	return func(t *testing.T) graph.Store { return open(t, u) }
}

func TestConformance(t *testing.T) {
	serverURL(t)
	graphtest.Run(t, graphtest.Engine{Place: place, Rounds: 5})
}
