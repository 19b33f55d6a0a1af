package neo4jgraph_test

import (
	"context"
	"strings"
	"testing"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/cypher"
	"trellis/graph/neo4jgraph/neo4jtest"
)

// Statements that may look at all of something, and why.
var mayScan = map[string]string{
	"schema_version": "a handful of nodes",
	"trim":           "the consumers, a handful; the records in order of revision",
	"edges_by_key":   "edges of kinds whose keys have no index, of which there are none yet",
	"last":           "edges of kinds whose keys have no index, of which there are none yet",
	"import_clear":   "it deletes everything",
}

// No statement may walk over everything there is, with the kind and label
// written out as the store does it. Plans made while the graph is empty are
// looked at too: the server goes on with them for a while when it fills.
func TestNoStatementScans(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	s := open(t, u)
	defer s.Close()
	if _, err := s.Info(context.Background()); err != nil {
		t.Fatal(err)
	}
	session := neo4jtest.Session(t, u)
	t.Run("Empty", func(t *testing.T) { noScans(t, session) })
	load(t, s)
	t.Run("Full", func(t *testing.T) { noScans(t, session) })
}

func noScans(t *testing.T, session neo4j.SessionWithContext) {
	neo4jtest.Execute(t, session, "CALL db.clearQueryCaches()")
	ctx := context.Background()
	for _, q := range cypher.Queries() {
		if mayScan[q.Name] != "" {
			continue
		}
		text := strings.NewReplacer("$($p.kind)", "`CAN_ACCESS`", "$any($p.kinds)", "`CAN_ACCESS`|`MEMBER_OF`", "$($p.label)", "`User`").Replace(q.Text)
		result, err := session.Run(ctx, "EXPLAIN "+text, map[string]any{"p": statementCases[q.Name].params})
		if err != nil {
			t.Errorf("%s: %v", q.Name, err)
			continue
		}
		summary, err := result.Consume(ctx)
		if err != nil {
			t.Errorf("%s: %v", q.Name, err)
			continue
		}
		walk(summary.Plan(), func(p neo4j.Plan) {
			if strings.Contains(p.Operator(), "Scan") {
				t.Errorf("%s scans: %s %v", q.Name, p.Operator(), p.Arguments()["Details"])
			}
		})
	}
}

func walk(p neo4j.Plan, visit func(neo4j.Plan)) {
	visit(p)
	for _, c := range p.Children() {
		walk(c, visit)
	}
}
