package neo4jgraph_test

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/neo4jgraph"
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

// connect opens a session beside the store, as an administrator would.
func connect(t testing.TB, rawURL string) neo4j.SessionWithContext {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal("TRELLIS_TEST_NEO4J_URL cannot be read")
	}
	auth := neo4j.NoAuth()
	if u.User != nil {
		password, _ := u.User.Password()
		auth = neo4j.BasicAuth(u.User.Username(), password, "")
	}
	database := u.Query().Get("database")
	u.User, u.RawQuery = nil, ""
	driver, err := neo4j.NewDriverWithContext(u.String(), auth)
	if err != nil {
		t.Fatal(err)
	}
	session := driver.NewSession(context.Background(), neo4j.SessionConfig{DatabaseName: database})
	t.Cleanup(func() {
		session.Close(context.Background())
		driver.Close(context.Background())
	})
	return session
}

// wipe empties the database; the schema stays.
func wipe(t testing.TB, rawURL string) {
	t.Helper()
	execute(t, connect(t, rawURL), "MATCH (n) WHERE NOT n:_Schema CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS")
}

// execute runs a statement to its end.
func execute(t testing.TB, session neo4j.SessionWithContext, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	result, err := session.Run(ctx, statement, nil)
	if err == nil {
		_, err = result.Consume(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
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
	wipe(t, u)
	return func(t *testing.T) graph.Store { return open(t, u) }
}

func TestConformance(t *testing.T) {
	serverURL(t)
	graphtest.Run(t, graphtest.Engine{Place: place, Rounds: 5})
}
