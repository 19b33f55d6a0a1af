package sqlitegraph_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"trellis/graph/sqlitegraph"
)

// Statements that may sort what they found, and why.
var maySort = map[string]string{
	"changes.sql":  "a page at most",
	"edges_in.sql": "the edges asked for, by key: each node's are in order, all nodes' are not",
}

// Every statement finds its rows by an index and in their order: none walks a
// table or sorts, or it would slow down with the graph.
func TestStatementsUseIndexes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "graph.db")
	mustOpen(t, path, sqlitegraph.Options{})
	conn := raw(t, path)
	names, err := fs.Glob(sqlitegraph.Queries(), "*.sql")
	if err != nil || len(names) < 8 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(sqlitegraph.Queries(), name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "-- ") {
			t.Errorf("%s does not say what it is for", name)
		}
		rows, err := conn.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+string(text), "[]", "", "[]", 0, "", 0, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			whole := strings.HasPrefix(name, "all_")
			if strings.Contains(detail, "TEMP B-TREE FOR ORDER") && maySort[name] == "" ||
				!whole && (strings.HasPrefix(detail, "SCAN edge") || strings.HasPrefix(detail, "SCAN node") || strings.HasPrefix(detail, "SCAN change")) {
				t.Errorf("%s: %s", name, detail)
			}
		}
		if err := rows.Err(); err != nil {
			t.Error(err)
		}
		rows.Close()
	}
}
