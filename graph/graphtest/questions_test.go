package graphtest_test

import (
	"io/fs"
	"slices"
	"testing"

	"trellis/cypher"
	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/sqlitegraph"
)

// Each named read is a statement of its own in each engine, and has a case.
func TestEachQuestionIsAnsweredByEachEngine(t *testing.T) {
	inCypher := map[string]bool{}
	for _, s := range cypher.Queries() {
		inCypher[s.Name] = true
	}
	for _, name := range append(slices.Clone(graph.Questions), "check") {
		if _, err := fs.Stat(sqlitegraph.Queries(), name+".sql"); err != nil {
			t.Errorf("SQLite: %v", err)
		}
		if !inCypher[name] {
			t.Errorf("Cypher: there is no query/%s.cypher", name)
		}
		if name != "check" && !slices.Contains(graphtest.Cases(), name) {
			t.Errorf("the suite has no case %s", name)
		}
	}
}
