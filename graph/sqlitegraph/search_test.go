//go:build unix

package sqlitegraph_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

// A file of a version before there was a search is searched once it is open,
// whichever of two processes opens it first.
func TestOlderFileIsIndexed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "graph.db")
	conn := raw(t, path)
	ctx := context.Background()
	schema, err := os.ReadFile("schema/0001_graph.sql")
	if err != nil {
		t.Fatal(err)
	}
	const nodes = 2_500 // a few steps of the indexer
	for _, text := range []string{
		string(schema), "PRAGMA application_id = 0x54726c47", "PRAGMA user_version = 1", "INSERT INTO store VALUES (1, 'abcdefghabcdefgh', 7, 0)",
		`INSERT INTO node (ref, props, created, updated, revision) VALUES ('platform/root', '{"name":"thing"}', 1, 1, 0)`,
		fmt.Sprintf(`WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < %d)
			INSERT INTO node (ref, props, created, updated, revision) SELECT 'doc/' || n, '{"description":"a thing","name":"Größe ' || n || '"}', 1, 1, 3 FROM i`, nodes),
	} {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			s, err := sqlitegraph.Open(path, sqlitegraph.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for word, want := range map[string]int{"grosse": nodes, "gros": nodes, "thing": nodes, "77": 11, "nothing": 0} {
				a, err := s.Search(ctx, graph.SearchQuery{Words: []string{word}, Limit: graph.MaxPage})
				if err != nil || len(a.Hits) != want {
					t.Errorf("%s: %d hits, want %d: %v", word, len(a.Hits), want, err)
				}
			}
		})
	}
	wg.Wait()
	s := mustOpen(t, path, sqlitegraph.Options{})
	b := graph.Batch{ID: "b", Actor: graph.Everyone, Time: noon, Steps: []graph.Step{graph.Put(graph.Node{Ref: graph.Ref{Type: "doc", ID: "77"}, Props: graph.Props{"name": "new"}})}}
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	if res, err := s.Commit(ctx, []graph.Batch{b}); err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	for word, want := range map[string]int{"thing": nodes - 1, "new": 1} {
		if a, err := s.Search(ctx, graph.SearchQuery{Words: []string{word}, Limit: graph.MaxPage}); err != nil || len(a.Hits) != want {
			t.Errorf("after a write, %s: %d hits, want %d: %v", word, len(a.Hits), want, err)
		}
	}
	// FTS5's own look at itself.
	if err := s.Exec("INSERT INTO search (search) VALUES ('integrity-check')"); err != nil {
		t.Error(err)
	}
}

// A file of a version that did not look into attributes is searched for them
// once it is open, and for nothing that the index had wrong.
func TestFileIndexedWithoutAttributesIsIndexedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "graph.db")
	conn := raw(t, path)
	ctx := context.Background()
	const nodes = 1_500 // more than one step of the indexer
	statements := []string{}
	for _, name := range []string{"0001_graph", "0002_search"} {
		b, err := os.ReadFile("schema/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, string(b))
	}
	for _, text := range append(statements,
		"PRAGMA application_id = 0x54726c47", "PRAGMA user_version = 2", "INSERT INTO store VALUES (1, 'abcdefghabcdefgh', 7, 0)",
		fmt.Sprintf(`WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < %d)
			INSERT INTO node (ref, props, created, updated, revision) SELECT 'doc/' || n, '{"attributes":{"tier":"gold"},"name":"thing"}', 1, 1, 3 FROM i`, nodes),
		"INSERT INTO search (rowid, words) SELECT id, 'thing __w_thing __t_doc ' || '"+graph.OrganizationToken("")+"' FROM node",
		"INSERT INTO word VALUES ('thing')",
	) {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		s, err := sqlitegraph.Open(path, sqlitegraph.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for word, want := range map[string]int{"gold": nodes, "thin": nodes, "tier": 0} {
			a, err := s.Search(ctx, graph.SearchQuery{Words: []string{word}, Limit: graph.MaxPage})
			if err != nil || len(a.Hits) != want {
				t.Errorf("%s: %d hits, want %d: %v", word, len(a.Hits), want, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.ExecContext(ctx, "INSERT INTO search (search) VALUES ('integrity-check')"); err != nil {
		t.Error(err)
	}
}
