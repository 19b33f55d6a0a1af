package neo4jgraph_test

import (
	"context"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/neo4jgraph"
	"trellis/graph/neo4jgraph/neo4jtest"
)

func TestLabelsOfTwoTypesDiffer(t *testing.T) {
	for typ, want := range map[graph.Type]string{
		"user": "User", "service_account": "ServiceAccount", "a": "A", "a_b": "AB", "ab": "Ab",
		"a1": "A1", "a_1": "A_1", "a__b": "A_B", "a_": "A_", "a_b_": "AB_",
	} {
		if got := neo4jgraph.Label(typ); got != want {
			t.Errorf("%s: %s, want %s", typ, got, want)
		}
	}
	seen := map[string]graph.Type{}
	var try func(prefix string)
	try = func(prefix string) {
		l := neo4jgraph.Label(graph.Type(prefix))
		if other, ok := seen[l]; ok || l[0] == '_' {
			t.Errorf("%s and %s share the label %s", prefix, other, l)
		}
		seen[l] = graph.Type(prefix)
		if len(prefix) < 6 {
			for _, c := range "ab_1" {
				try(prefix + string(c))
			}
		}
	}
	try("a")
}

func TestBadURLsAreRefusedWithoutTellingThePassword(t *testing.T) {
	for _, u := range []string{
		"", "sqlite:x", "http://neo4j:hunter2@host", "bolt://neo4j:hunter2@", "bolt://neo4j:hunter2@host/path",
		"bolt://neo4j:hunter2@host?x=y", "bolt://neo4j:hunter2%zz@host:1", "bolt://neo4j:hunter2@host:port", "neo4j://neo4j:hunter2@host#f",
	} {
		s, err := neo4jgraph.Open(u, neo4jgraph.Options{})
		if err == nil {
			s.Close()
			t.Errorf("%s was taken", u)
			continue
		}
		if graph.KindOf(err) != graph.Invalid || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v (%s)", u, err, graph.KindOf(err))
		}
	}
}

func TestOpenDoesNotNeedItsServer(t *testing.T) {
	s, err := neo4jgraph.Open("bolt://neo4j:hunter2@127.0.0.1:1", neo4jgraph.Options{RetryFor: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		_, err = s.Info(context.Background())
		if graph.KindOf(err) != graph.Unavailable || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v (%s)", err, graph.KindOf(err))
		}
	}
	if _, err := s.Commit(context.Background(), []graph.Batch{benchBatch(graph.Require(graph.Root))}); graph.KindOf(err) != graph.Unavailable {
		t.Errorf("Commit: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Info(context.Background()); graph.KindOf(err) != graph.Closed {
		t.Errorf("after Close: %v", err)
	}
}

func TestWrongPassword(t *testing.T) {
	u, err := url.Parse(serverURL(t))
	if err != nil || u.User == nil {
		t.Skip("the server of TRELLIS_TEST_NEO4J_URL asks for no password")
	}
	s, err := neo4jgraph.Open(u.String(), neo4jgraph.Options{Password: "hunter2", RetryFor: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	start := time.Now()
	_, err = s.Info(context.Background())
	if graph.KindOf(err) != graph.Unavailable || !strings.Contains(err.Error(), "login") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v (%s)", err, graph.KindOf(err))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("tried for %v; a wrong password does not become right", took)
	}
}

func TestPropsNamedLikeOurOwnComeBack(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	s := open(t, u)
	defer s.Close()
	props := graph.Props{
		"id": "a", "id_": int64(1), "id__": 1.0, "type": graph.JSON(`{"a":1}`), "type_": graph.JSON(`[1]`), "key": true, "names": []string{}, "names_": []string{"x"},
		"created_at": "never", "updated_at": int64(-1), "revision": "r", "created_at_": "x", "label": "l", "lock": 1.5,
	}
	props, err := props.Normalize()
	if err != nil {
		t.Fatal(err)
	}
	a, b := graph.Ref{Type: "doc", ID: "a"}, graph.Ref{Type: "doc", ID: "b"}
	k := graph.EdgeKey{From: a, Kind: "K", To: b, Key: "k"}
	mustCommit(t, s, benchBatch(graph.Put(graph.Node{Ref: a, Names: []string{"n"}, Props: props}), graph.Put(graph.Node{Ref: b}), graph.Link(graph.Edge{EdgeKey: k, Props: props})))
	nodes, err := s.Nodes(context.Background(), []graph.Ref{a})
	if err != nil || len(nodes) != 1 || !nodes[0].Props.Equal(props) || len(nodes[0].Names) != 1 || nodes[0].Revision != 1 {
		t.Errorf("%v %+v", err, nodes)
	}
	answer, err := s.Ask(context.Background(), graph.Question{Name: graph.EdgesFrom, Ref: a, Kind: "K", Limit: 1})
	if err != nil || len(answer.Edges) != 1 || !answer.Edges[0].Props.Equal(props) || answer.Edges[0].EdgeKey != k {
		t.Errorf("%v %+v", err, answer.Edges)
	}
}

// A name that was never checked must not become part of a statement.
func TestHostileNamesNeverReachAStatement(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	fixture(t, u)
	s := open(t, u)
	defer s.Close()
	ctx := context.Background()
	user := graph.Ref{Type: "user", ID: "ann"}
	for _, evil := range []string{"K`]->() MATCH (n) DETACH DELETE n //", "MEMBER_OF|CHILD_OF", "", "k", "`", "$kind", "K\\u0060"} {
		for _, name := range []string{graph.EdgesFrom, graph.EdgesTo, graph.EdgesByKey} {
			_, err := s.Ask(ctx, graph.Question{Name: name, Ref: user, Kind: graph.Kind(evil), Limit: 1})
			if graph.KindOf(err) != graph.Invalid {
				t.Errorf("%s of kind %q: %v", name, evil, err)
			}
		}
		for _, name := range []string{graph.EdgesOut, graph.EdgesIn} {
			_, err := s.Ask(ctx, graph.Question{Name: name, Refs: []graph.Ref{user}, Kinds: []graph.Kind{"MEMBER_OF", graph.Kind(evil)}, Limit: 1})
			if graph.KindOf(err) != graph.Invalid {
				t.Errorf("%s of kind %q: %v", name, evil, err)
			}
		}
		_, err := s.Ask(ctx, graph.Question{Name: graph.NodesByType, Type: graph.Type(evil), Limit: 1})
		if graph.KindOf(err) != graph.Invalid && graph.Type(evil) != "k" {
			t.Errorf("type %q: %v", evil, err)
		}
		// Nobody may commit a batch that was not validated. Should it happen
		// all the same, the names are values, or are refused.
		kind, odd := graph.Kind(evil), graph.Ref{Type: graph.Type(evil), ID: "x"}
		for _, step := range []graph.Step{
			graph.RequireLeaf(user, kind), graph.RequireAcyclic(user, kind, graph.Root), graph.RequireUnchanged(kind, "k", 0),
			graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: user, Kind: kind, To: graph.Root}}), graph.Put(graph.Node{Ref: odd}),
		} {
			_, _ = s.Commit(ctx, []graph.Batch{benchBatch(step)})
		}
	}
	nodes, err := s.Nodes(ctx, []graph.Ref{user, {Type: "team", ID: "core"}})
	if err != nil || len(nodes) != 2 {
		t.Errorf("%v: %d of 2 nodes are left", err, len(nodes))
	}
}

func TestFirstContactOfTwoProcessesAtOnce(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	session := neo4jtest.Session(t, u)
	ctx := context.Background()
	for _, q := range []string{
		"DROP CONSTRAINT trellis_entity_key IF EXISTS", "DROP CONSTRAINT trellis_name IF EXISTS", "DROP CONSTRAINT trellis_change_revision IF EXISTS",
		"DROP CONSTRAINT trellis_consumer_name IF EXISTS", "DROP CONSTRAINT trellis_store_key IF EXISTS", "DROP INDEX trellis_grant_key IF EXISTS", "DROP INDEX trellis_search IF EXISTS", "MATCH (n:_Schema) DELETE n",
		"DROP CONSTRAINT trellis_schema_number IF EXISTS",
	} {
		neo4jtest.Execute(t, session, q)
	}
	const processes = 4
	ids := make([]string, processes)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s := open(t, u)
			defer s.Close()
			info, err := s.Info(ctx)
			if err != nil {
				t.Errorf("process %d: %v", i, err)
			}
			ids[i] = info.Store
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || len(id) < 8 {
			t.Errorf("store ids %q", ids)
		}
	}
	result, err := session.Run(ctx, "MATCH (n:Entity) RETURN count(n)", nil)
	if err != nil {
		t.Fatal(err)
	}
	if row, err := result.Single(ctx); err != nil || row.Values[0] != int64(3) {
		t.Errorf("%v nodes, %v; want the three that every store has", row, err)
	}
}

// What an import that died leaves behind answers nothing, until another one
// has put its own in the place.
func TestDeadImportIsTakenOver(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	s := open(t, u)
	defer s.Close()
	ctx := context.Background()
	if _, err := s.Info(ctx); err != nil {
		t.Fatal(err)
	}
	left := "MATCH (s:_Store) SET s.importing = 'dead', s.imported = 1 CREATE (:Entity:User {key: 'user:half', type: 'user', id: 'half', created_at: 1, updated_at: 1, revision: 1}), (:_Name {name: 'n', key: 'user:half'})"
	neo4jtest.Execute(t, neo4jtest.Session(t, u), left)
	other := open(t, u)
	defer other.Close()
	for _, s := range []*neo4jgraph.Store{s, other} {
		_, err := s.Nodes(ctx, []graph.Ref{{Type: "user", ID: "half"}})
		_, err2 := s.Commit(ctx, []graph.Batch{benchBatch(graph.Require(graph.Root))})
		_, err3 := s.Claim(ctx, graph.Claim{Consumer: "audit", Holder: "h", Now: time.Now()})
		_, err4 := s.Check(ctx, graph.CheckQuery{Subject: graph.Everyone, Permission: "a:b", Resource: graph.Root, At: time.Now()})
		for _, err := range []error{err, err2, err3, err4} {
			if graph.KindOf(err) != graph.Unavailable {
				t.Errorf("%v; want unavailable", err)
			}
		}
	}
	at := time.UnixMilli(1).UTC()
	records := []graph.Record{{Node: &graph.Node{Ref: graph.Ref{Type: "user", ID: "whole"}, Names: []string{"n"}, Created: at, Updated: at, Revision: 3}}}
	err := other.Import(ctx, 3, func() (graph.Record, error) {
		if len(records) == 0 {
			return graph.Record{}, io.EOF
		}
		r := records[0]
		records = records[1:]
		return r, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := s.Nodes(ctx, []graph.Ref{{Type: "user", ID: "half"}, {Type: "user", ID: "whole"}, graph.Root, graph.Everyone, graph.Authenticated})
	if err != nil || len(nodes) != 4 {
		t.Errorf("%v %+v", err, nodes)
	}
	if info, err := s.Info(ctx); err != nil || info.Head != 3 || info.Oldest != 3 {
		t.Errorf("%v %+v", err, info)
	}
}
