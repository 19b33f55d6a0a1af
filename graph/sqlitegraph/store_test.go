package sqlitegraph_test

import (
	"context"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

func TestSmoke(t *testing.T) {
	s, err := sqlitegraph.Open(t.TempDir()+"/a b%3f?.db", sqlitegraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	u, g := graph.Ref{Type: "user", ID: "a"}, graph.Ref{Type: "group", ID: "g/1"}
	res, err := s.Commit(ctx, []graph.Batch{{ID: "1", Time: time.UnixMilli(1000).UTC(), Steps: []graph.Step{graph.Put(graph.Node{Ref: u, Names: []string{"email:x"}}), graph.Put(graph.Node{Ref: g}), graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: u, Kind: graph.MemberOf, To: g}})}}})
	t.Log(res, err)
	t.Log(s.Info(ctx))
	t.Log(s.Nodes(ctx, []graph.Ref{u, g}))
	t.Log(s.Ask(ctx, graph.Question{Name: graph.EdgesTo, Ref: g, Kind: graph.MemberOf, Limit: 10}))
	t.Log(s.Changes(ctx, 0, 10))
	t.Log(s.Check(ctx, graph.CheckQuery{Subject: u, Resource: g, Permission: "x:y"}))
	t.Log(s.Claim(ctx, graph.Claim{Consumer: "audit", Holder: "h", TTL: time.Second, Cursor: -1, Now: time.Now()}))
	t.Log(s.Trim(ctx, time.Now()))
	t.Log(s.Info(ctx))
}
