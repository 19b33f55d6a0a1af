package neo4jgraph_test

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"trellis/cypher"
	"trellis/graph"
	"trellis/graph/neo4jgraph/neo4jtest"
)

// fixture writes a small graph by Commit: two users, one of them with a name,
// a team, a role that grants repo:read on a repo.
func fixture(t *testing.T, u string) {
	t.Helper()
	s := open(t, u)
	defer s.Close()
	link := func(from graph.Ref, k graph.Kind, to graph.Ref, key string, p graph.Props) graph.Step {
		return graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: from, Kind: k, To: to, Key: key}, Props: p})
	}
	ann, team, repo := graph.Ref{Type: "user", ID: "ann"}, graph.Ref{Type: "team", ID: "core"}, graph.Ref{Type: "repo", ID: "trellis"}
	role, read := graph.Ref{Type: "role", ID: "reader"}, graph.Ref{Type: "permission", ID: "repo:read"}
	mustCommit(t, s, benchBatch(
		graph.Put(graph.Node{Ref: ann, Names: []string{"email:ann@example.com"}, Props: graph.Props{"email": "ann@example.com"}}),
		graph.Put(graph.Node{Ref: graph.Ref{Type: "service_account", ID: "ci"}}),
		graph.Put(graph.Node{Ref: team, Props: graph.Props{"slug": "core"}}), graph.Put(graph.Node{Ref: repo}),
		graph.Put(graph.Node{Ref: role}), graph.Put(graph.Node{Ref: read}),
		link(ann, graph.MemberOf, team, "", nil), link(repo, graph.ChildOf, graph.Root, "", nil),
		link(team, graph.CanAccess, repo, "reader", graph.Props{"role": "reader"}),
		link(role, graph.Grants, read, "", nil),
	))
}

// Each statement of package cypher with parameters, and how many rows it
// returns on the fixture. What apply does is left to the conformance suite.
var statementCases = map[string]struct {
	params map[string]any
	rows   int
}{
	"schema_version":   {nil, 1},
	"schema_await":     {map[string]any{"seconds": 10}, 0},
	"schema_record":    {map[string]any{"number": 9999, "name": "x", "now": 1}, 0},
	"prepare":          {map[string]any{"id": "abcdefgh", "nodes": []any{}}, 1},
	"info":             {nil, 1},
	"search":           {map[string]any{"parts": []any{map[string]any{"number": 0, "query": "(+_title:core*)^0", "most": 10, "resumed": true}}, "place": "", "after": "", "limit": 5}, 1},
	"search_words":     {map[string]any{"words": []any{map[string]any{"word": "cure", "begins": "_title:cure*", "like": "_title:cure~1", "first": "c"}}, "most": 10}, 1},
	"reindex_page":     {map[string]any{"after": "user:", "limit": 5}, 1},
	"reindex":          {map[string]any{"rows": []any{map[string]any{"key": "user:ann", "revision": 1, "searched": map[string]any{"_title": "ann"}}}, "upto": "user:ann"}, 1},
	"lock":             {nil, 1},
	"load":             {map[string]any{"nodes": []string{"user:ann"}, "brief": []string{"team:core"}, "edges": []any{map[string]any{"from": "user:ann", "to": "team:core", "kind": "MEMBER_OF", "key": ""}}, "names": []string{"email:ann@example.com"}, "kinds": []string{"MEMBER_OF", "NEW"}}, 1},
	"around_all":       {map[string]any{"nodes": []string{"team:core"}}, 2},
	"around_out":       {map[string]any{"nodes": []string{"user:ann"}, "kind": "MEMBER_OF", "limit": 5}, 1},
	"around_in":        {map[string]any{"nodes": []string{"team:core"}, "kind": "MEMBER_OF", "limit": 5}, 1},
	"last_grant":       {map[string]any{"keys": []string{"reader", "nobody"}}, 1},
	"last":             {map[string]any{"kind": "CAN_ACCESS", "keys": []string{"reader", "nobody"}}, 1},
	"apply":            {map[string]any{"head": 1, "lasts": map[string]any{"last_MEMBER_OF": 1}, "edges_gone": []any{}, "names_gone": []string{}, "nodes_gone": []string{}, "nodes_set": []any{}, "nodes_new": []any{}, "names_set": []any{}, "edges_set": []any{}, "edges_new": []any{}, "changes": []any{}}, 1},
	"changes_with_id":  {map[string]any{"after": 0, "ids": []string{"x"}}, 1},
	"changes":          {map[string]any{"after": 0, "limit": 10}, 2},
	"claim":            {map[string]any{"consumer": "audit", "holder": "h", "now": 1, "until": 2, "cursor": -1}, 1},
	"trim":             {map[string]any{"older_than": 0, "limit": 10}, 1},
	"nodes":            {map[string]any{"keys": []string{"user:ann"}}, 1},
	"nodes_by_type":    {map[string]any{"after": "user:", "end": "user;", "limit": 5}, 1},
	"nodes_by_name":    {map[string]any{"names": []string{"email:ann@example.com"}}, 1},
	"edges_from":       {map[string]any{"node": "user:ann", "kind": "MEMBER_OF", "after_type": "", "after_id": "", "after_key": "", "limit": 5}, 1},
	"edges_to":         {map[string]any{"node": "team:core", "kind": "MEMBER_OF", "type": "", "after_type": "", "after_id": "", "after_key": "", "limit": 5}, 1},
	"edges_out":        {amongParams("user:ann"), 1},
	"edges_in":         {amongParams("team:core"), 1},
	"grants_by_key":    {map[string]any{"key": "reader", "after_from_type": "", "after_from_id": "", "after_to_type": "", "after_to_id": "", "limit": 5}, 1},
	"edges_by_key":     {map[string]any{"kind": "CAN_ACCESS", "key": "reader", "after_from_type": "", "after_from_id": "", "after_to_type": "", "after_to_id": "", "limit": 5}, 1},
	"check":            {map[string]any{"subject": "user:ann", "resource": "repo:trellis", "anyone": []string{"everyone:*"}, "at": 1, "permissions": []string{"repo:read"}, "permission_keys": []string{"permission:repo:read"}}, 1},
	"export_next_type": {map[string]any{"after": "team;"}, 1},
	"export_kinds":     {nil, -1}, // every kind there ever was
	"export_edges":     {map[string]any{"kind": "MEMBER_OF", "from": "user:", "end": "user;", "after_type": "", "after_id": "", "after_key": "", "limit": 5}, 1},
	"import_begin":     {map[string]any{"import": "i"}, 1},
	"import_clear":     {map[string]any{"import": "i", "limit": 5}, 0}, // no claim, no row
	"import_nodes":     {map[string]any{"import": "i", "batch": 1, "label": "User", "rows": []any{}}, 0},
	"import_names":     {map[string]any{"import": "i", "batch": 1, "rows": []any{}}, 0},
	"import_edges":     {map[string]any{"import": "i", "batch": 1, "kind": "CHILD_OF", "rows": []any{}}, 0},
	"import_end":       {map[string]any{"import": "i", "batch": 1, "head": 1}, 0},
}

func amongParams(node string) map[string]any {
	return map[string]any{
		"nodes": []string{node}, "kinds": []string{"MEMBER_OF", "CAN_ACCESS"}, "limit": 5, "after_kind": "", "after_from_type": "",
		"after_from_id": "", "after_to_type": "", "after_to_id": "", "after_key": "",
	}
}

var (
	asides    = regexp.MustCompile(`\([^)]*\)|\[[^\]]*\]`)
	outside   = regexp.MustCompile(`\$.{0,20}`)
	parameter = regexp.MustCompile(`\$p\.([a-z_]+)`)
)

// documented reads a list such as "a, b [x, y], c (why)" from a statement's
// comment.
func documented(s cypher.Statement, field string) []string {
	_, list, _ := strings.Cut(strings.ReplaceAll(s.Doc, "\n", " "), field+": ")
	list, _, _ = strings.Cut(list, "Columns: ")
	list = asides.ReplaceAllString(list, "")
	var out []string
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
		if name != "" && name != "none" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func TestEveryStatementRunsAndIsAsDocumented(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	fixture(t, u)
	session := neo4jtest.Session(t, u)
	ctx := context.Background()
	for _, s := range cypher.Queries() {
		t.Run(s.Name, func(t *testing.T) {
			c, ok := statementCases[s.Name]
			if !ok {
				t.Fatal("this statement has no case here")
			}
			if want := documented(s, "Parameters"); !slices.Equal(want, slices.Sorted(maps.Keys(c.params))) {
				t.Errorf("the case has other parameters than are documented: %q", want)
			}
			if s.Name == "schema_await" {
				// Not allowed in a transaction that has written.
				result, err := session.Run(ctx, s.Text, map[string]any{"p": c.params})
				if err == nil {
					_, err = result.Consume(ctx)
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
			tx, err := session.BeginTransaction(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(ctx) }()
			result, err := tx.Run(ctx, s.Text, map[string]any{"p": c.params})
			if err != nil {
				t.Fatal(err)
			}
			columns, _ := result.Keys()
			rows, err := result.Collect(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Sort(columns); !slices.Equal(columns, documented(s, "Columns")) {
				t.Errorf("columns %q; documented are %q", columns, documented(s, "Columns"))
			}
			if c.rows >= 0 && len(rows) != c.rows {
				t.Errorf("%d rows, want %d", len(rows), c.rows)
			}
		})
	}
	for name := range statementCases {
		if !slices.ContainsFunc(cypher.Queries(), func(s cypher.Statement) bool { return s.Name == name }) {
			t.Errorf("there is no statement %s", name)
		}
	}
}

func TestEveryQuestionHasItsStatement(t *testing.T) {
	for _, name := range graph.Questions {
		if cypher.Query(name).Text == "" {
			t.Errorf("query/%s.cypher is empty", name)
		}
	}
}

func TestStatementsUseWhatTheyDocument(t *testing.T) {
	for _, s := range cypher.Queries() {
		var used []string
		for _, m := range parameter.FindAllStringSubmatch(strings.ReplaceAll(s.Text, "$any(", "("), -1) {
			used = append(used, m[1])
		}
		slices.Sort(used)
		if used = slices.Compact(used); !slices.Equal(used, documented(s, "Parameters")) {
			t.Errorf("%s uses the parameters %q and documents %q", s.Name, used, documented(s, "Parameters"))
		}
		if other := outside.FindString(strings.NewReplacer("$any(", "(", "$(", "(", "$p.", "").Replace(s.Text)); other != "" {
			t.Errorf("%s has %q, which is no entry of $p: it would be planned anew for each class of sizes", s.Name, other)
		}
	}
}

func TestAnalystsReadPlainCypher(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	fixture(t, u)
	ctx := context.Background()
	for _, q := range []string{
		"MATCH (u:User)-[:MEMBER_OF]->(t:Team) RETURN u.email + ' ' + t.slug AS x",
		"MATCH (s:ServiceAccount) RETURN s.id AS x",
		"MATCH (:Role {id: 'reader'})-[:GRANTS]->(p:Permission) RETURN p.id AS x",
		"MATCH (:Team)-[g:CAN_ACCESS]->(r:Repo) RETURN g.role + ' ' + r.key AS x",
	} {
		result, err := neo4jtest.Session(t, u).Run(ctx, q, nil)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := result.Collect(ctx)
		if err != nil || len(rows) != 1 {
			t.Errorf("%s: %d rows, %v", q, len(rows), err)
		}
	}
}
