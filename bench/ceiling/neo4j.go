package ceiling

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/bench/world"
)

// Neo4j is a database of a Neo4j server that belongs to the benchmark while it runs.
type Neo4j struct {
	driver neo4j.DriverWithContext
	next   int
}

// ErrNotEmpty says that somebody's data is in the database.
var ErrNotEmpty = errors.New("the Neo4j database is not empty: the benchmark writes to it and empties it afterwards, so it does not start")

// OpenNeo4j connects to the server at rawURL, for example
// neo4j://user:password@127.0.0.1:7687, whose database must be empty.
func OpenNeo4j(ctx context.Context, rawURL string) (*Neo4j, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("the address of Neo4j is not a URL") // err would quote the password
	}
	auth := neo4j.NoAuth()
	if u.User != nil {
		password, _ := u.User.Password()
		auth = neo4j.BasicAuth(u.User.Username(), password, "")
	}
	d, err := neo4j.NewDriverWithContext(u.Scheme+"://"+u.Host, auth)
	if err != nil {
		return nil, err
	}
	n := &Neo4j{driver: d}
	count, err := n.one(ctx, `MATCH (n) RETURN count(n)`, nil)
	if err == nil && count != int64(0) {
		err = ErrNotEmpty
	}
	if err != nil {
		d.Close(ctx)
		return nil, err
	}
	return n, nil
}

// Close ends the connections.
func (n *Neo4j) Close(ctx context.Context) error { return n.driver.Close(ctx) }

func (n *Neo4j) one(ctx context.Context, query string, params map[string]any) (any, error) {
	res, err := neo4j.ExecuteQuery(ctx, n.driver, query, params, neo4j.EagerResultTransformer)
	if err != nil || len(res.Records) == 0 {
		return nil, err
	}
	return res.Records[0].Values[0], nil
}

// Empty removes everything: nodes, constraints and indexes.
func (n *Neo4j) Empty(ctx context.Context) error {
	session := n.driver.NewSession(ctx, neo4j.SessionConfig{})
	defer session.Close(ctx)
	run := func(query string) error {
		res, err := session.Run(ctx, query, nil)
		if err != nil {
			return err
		}
		_, err = res.Consume(ctx)
		return err
	}
	if err := run(`MATCH (n) CALL { WITH n DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS`); err != nil {
		return err
	}
	for _, kind := range []struct{ show, drop string }{
		{`SHOW CONSTRAINTS YIELD name RETURN name`, "DROP CONSTRAINT `%s` IF EXISTS"},
		{`SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' RETURN name`, "DROP INDEX `%s` IF EXISTS"},
	} {
		res, err := neo4j.ExecuteQuery(ctx, n.driver, kind.show, nil, neo4j.EagerResultTransformer)
		if err != nil {
			return err
		}
		for _, r := range res.Records {
			if err := run(fmt.Sprintf(kind.drop, r.Values[0])); err != nil {
				return err
			}
		}
	}
	return nil
}

// The labels are others than those of Trellis, so that both can be measured in
// turn in one database.
const (
	rawConstraint = `CREATE CONSTRAINT raw_ref IF NOT EXISTS FOR (n:Raw) REQUIRE n.ref IS UNIQUE`
	rawNodes      = `UNWIND $rows AS row MERGE (n:Raw {ref: row.ref}) SET n += row.props`
	rawEdges      = `UNWIND $rows AS row MATCH (a:Raw {ref: row.from}) MATCH (b:Raw {ref: row.to}) MERGE (a)-[e:RAW_ACCESS {key: 'repo-read'}]->(b) SET e += row.props`
	rawChanges    = `UNWIND $rows AS row CREATE (:RawChange {revision: row.revision, record: row.record})`
)

// Load loads the world by UNWIND in groups of 5,000 and returns how long it took.
func (n *Neo4j) Load(ctx context.Context, w *world.World) (time.Duration, error) {
	if _, err := n.one(ctx, rawConstraint, nil); err != nil {
		return 0, err
	}
	nodes, edges := w.Graph()
	var nodeRows []any
	edgeRows := map[string][]any{} // a type of relationship cannot be a parameter
	for _, x := range nodes {
		nodeRows = append(nodeRows, map[string]any{"ref": x, "props": map[string]any{"name": x}})
	}
	for _, e := range edges {
		edgeRows[e.Kind] = append(edgeRows[e.Kind], map[string]any{"from": e.From, "to": e.To, "key": e.Key})
	}
	began := time.Now()
	if err := n.inGroups(ctx, rawNodes, nodeRows); err != nil {
		return 0, err
	}
	for kind, rows := range edgeRows {
		query := "UNWIND $rows AS row MATCH (a:Raw {ref: row.from}) MATCH (b:Raw {ref: row.to}) MERGE (a)-[:" + kind + " {key: row.key}]->(b)"
		if err := n.inGroups(ctx, query, rows); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func (n *Neo4j) inGroups(ctx context.Context, query string, rows []any) error {
	for part := range slices.Chunk(rows, 5000) {
		if _, err := n.one(ctx, query, map[string]any{"rows": part}); err != nil {
			return err
		}
	}
	return nil
}

const rawPeople, rawRepos = 1509, 400

// Prepare makes the nodes that grants are written between.
func (n *Neo4j) Prepare(ctx context.Context) error {
	if _, err := n.one(ctx, rawConstraint, nil); err != nil {
		return err
	}
	var rows []any
	for i := range rawPeople * rawRepos {
		g := grantNumber(i)
		if i < rawPeople {
			rows = append(rows, map[string]any{"ref": g.from, "props": map[string]any{"name": g.from}})
		}
		if i%rawPeople == 0 {
			rows = append(rows, map[string]any{"ref": g.to, "props": map[string]any{"name": g.to}})
		}
	}
	_, err := n.one(ctx, rawNodes, map[string]any{"rows": rows})
	return err
}

// Write writes grants for so long, so many in a transaction, each with a
// change record, and returns how many and how long it took. One session writes.
func (n *Neo4j) Write(ctx context.Context, group int, d time.Duration) (written int, took time.Duration, err error) {
	s := n.driver.NewSession(ctx, neo4j.SessionConfig{})
	defer s.Close(ctx)
	began, first := time.Now(), n.next
	for time.Since(began) < d {
		if err := n.commit(ctx, s, group); err != nil {
			return 0, 0, err
		}
	}
	return n.next - first, time.Since(began), nil
}

func (n *Neo4j) commit(ctx context.Context, s neo4j.SessionWithContext, group int) error {
	last := n.next + group
	n.next = last
	var edges, changes []any
	for i := last - group; i < last; i++ {
		g := grantNumber(i % (rawPeople * rawRepos))
		edges = append(edges, map[string]any{"from": g.from, "to": g.to, "props": map[string]any{"role": "repo-read", "granted_at": int64(i), "granted_by": "platform:bootstrap"}})
		changes = append(changes, map[string]any{"revision": int64(i), "record": g.record})
	}
	_, err := s.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
		for _, q := range []struct {
			query string
			rows  []any
		}{{rawEdges, edges}, {rawChanges, changes}} {
			res, err := tx.Run(ctx, q.query, map[string]any{"rows": q.rows})
			if err != nil {
				return nil, err
			}
			if _, err := res.Consume(ctx); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	return err
}
