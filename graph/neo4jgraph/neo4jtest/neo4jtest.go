// Package neo4jtest empties the Neo4j that tests are given. A Community server
// has one database, so every test that wants an empty store has to.
package neo4jtest

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
)

// Session opens a session on the database of an address as neo4jgraph.Open
// takes it. It ends with the test.
func Session(t testing.TB, address string) neo4j.SessionWithContext {
	t.Helper()
	driver, database := connect(t, address)
	session := driver.NewSession(context.Background(), neo4j.SessionConfig{DatabaseName: database})
	t.Cleanup(func() {
		session.Close(context.Background())
		driver.Close(context.Background())
	})
	return session
}

// Wipe deletes all that is in the database; the schema stays. It may be called
// when the test has ended.
func Wipe(t testing.TB, address string) {
	t.Helper()
	driver, database := connect(t, address)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	defer driver.Close(ctx)
	session := driver.NewSession(ctx, neo4j.SessionConfig{DatabaseName: database})
	defer session.Close(ctx)
	Execute(t, session, "MATCH (n) WHERE NOT n:_Schema CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS")
}

// Execute runs a statement to its end.
func Execute(t testing.TB, session neo4j.SessionWithContext, statement string) {
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

func connect(t testing.TB, address string) (driver neo4j.DriverWithContext, database string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("the address of Neo4j cannot be read") // it may hold a password
	}
	login := neo4j.NoAuth()
	if u.User != nil {
		password, _ := u.User.Password()
		login = neo4j.BasicAuth(u.User.Username(), password, "")
	}
	database = u.Query().Get("database")
	u.User, u.RawQuery = nil, ""
	if driver, err = neo4j.NewDriverWithContext(u.String(), login); err != nil {
		t.Fatal(err)
	}
	return driver, database
}
