package graph_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/graph"
)

func TestRefsAreRefusedWhenTheyCannotBeWritten(t *testing.T) {
	for _, s := range []string{
		"user:a", "repo:kubernetes/kubernetes", "doc:a:b:c", "doc::", "doc:" + strings.Repeat("x", graph.MaxID), "everyone:*", "a_1:é 日本",
		strings.Repeat("t", graph.MaxType) + ":x",
	} {
		r, err := graph.ParseRef(s)
		if err != nil || r.String() != s {
			t.Errorf("%q: %v, %v", s, r, err)
		}
	}
	for _, s := range []string{
		"", "user", "user:", ":a", "User:a", "1user:a", "us er:a", "us-er:a", "user:a\nb", "user:\x00", "user:a\x7f", "user:\xff", "user:a\u200bb", "user:\u2028",
		"doc:" + strings.Repeat("x", graph.MaxID+1), strings.Repeat("t", graph.MaxType+1) + ":x",
	} {
		if r, err := graph.ParseRef(s); graph.KindOf(err) != graph.Invalid {
			t.Errorf("%q is read as %+v, %v", s, r, err)
		}
	}
	hostile := strings.Repeat("\xff<script>", 10_000)
	if _, err := graph.ParseRef("user:" + hostile); err == nil || len(err.Error()) > 500 {
		t.Errorf("a hostile id comes back in an error of %d bytes", len(err.Error()))
	}
}

func TestBatchesAreRefusedBeforeTheStoreIsAsked(t *testing.T) {
	a, bad := graph.Ref{Type: "doc", ID: "a"}, graph.Ref{Type: "doc", ID: "a\nb"}
	edge := func(k graph.Kind, key string) graph.EdgeKey { return graph.EdgeKey{From: a, Kind: k, To: a, Key: key} }
	for name, s := range map[string]graph.Step{
		"id":            graph.Put(graph.Node{Ref: bad}),
		"empty name":    graph.Put(graph.Node{Ref: a, Names: []string{""}}),
		"name":          graph.Put(graph.Node{Ref: a, Names: []string{"a\nb"}}),
		"long name":     graph.Put(graph.Node{Ref: a, Names: []string{strings.Repeat("x", graph.MaxName+1)}}),
		"property":      graph.Put(graph.Node{Ref: a, Props: graph.Props{"Bad": 1}}),
		"property json": graph.Put(graph.Node{Ref: a, Props: graph.Props{"x_json": 1}}),
		"root":          graph.Delete(graph.Root),
		"everyone":      graph.Delete(graph.Everyone),
		"authenticated": graph.Delete(graph.Authenticated),
		"kind":          graph.Link(graph.Edge{EdgeKey: edge("member_of", "")}),
		"no kind":       graph.Unlink(edge("", "")),
		"key":           graph.Link(graph.Edge{EdgeKey: edge("K", "a\nb")}),
		"edge property": graph.Link(graph.Edge{EdgeKey: edge("K", ""), Props: graph.Props{"a b": 1}}),
		"end":           graph.RequireLinked(graph.EdgeKey{From: a, Kind: "K", To: bad}),
		"leaf":          graph.RequireLeaf(a, "k"),
		"unchanged":     graph.RequireUnchanged("", "", 1),
		"acyclic":       graph.RequireAcyclic(a, "K", graph.Ref{}),
	} {
		b := graph.Batch{Steps: []graph.Step{graph.Require(a), s}}
		err := b.Validate()
		if e, ok := err.(*graph.Error); !ok || e.Kind != graph.Invalid || e.Step != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := graph.Batch{Steps: []graph.Step{graph.Put(graph.Node{Ref: a, Names: []string{"b", "a", "b"}, Props: graph.Props{"n": 1, "none": nil}})}}
	if err := b.Validate(); err != nil || !slices.Equal(b.Steps[0].Node.Names, []string{"a", "b"}) || !reflect.DeepEqual(b.Steps[0].Node.Props, graph.Props{"n": int64(1)}) {
		t.Errorf("%+v, %v", b.Steps[0].Node, err)
	}
	b.Steps = make([]graph.Step, graph.MaxSteps+1)
	if err := b.Validate(); graph.KindOf(err) != graph.TooLarge {
		t.Errorf("too many steps: %v", err)
	}
}

func TestWildcardsOfAPermission(t *testing.T) {
	for p, want := range map[string]string{
		"repo:read": "repo:read repo:* *:read *", "repo:*": "repo:* *:* *", "*:read": "*:read *:* *", "*:*": "*:* *", "*": "*", "odd": "odd *", "a:b:c": "a:b:c a:* *:b:c *",
	} {
		if got := strings.Join(graph.Wildcards(p), " "); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
}

func TestTokensOfAnotherStoreAreForeign(t *testing.T) {
	token, err := graph.ParseToken("store001", "store001.42")
	if err != nil || token.Revision != 42 || token.String() != "store001.42" {
		t.Errorf("%+v, %v", token, err)
	}
	if _, err := graph.ParseToken("store001", "store002.42"); graph.KindOf(err) != graph.Foreign {
		t.Errorf("another store's: %v", err)
	}
	for _, s := range []string{"", ".", "42", "store001.", "store001.-1", "store001.x", ".5", "store001.99999999999999999999"} {
		if _, err := graph.ParseToken("store001", s); graph.KindOf(err) != graph.Invalid {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestClaimsAreWorkedOutAlike(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000).UTC()
	held := graph.Cursor{Revision: 5, Holder: "a", Until: now.Add(time.Second)}
	for _, c := range []struct {
		name  string
		claim graph.Claim
		held  *graph.Cursor
		want  graph.Cursor
		kind  graph.ErrorKind
	}{
		{"new at the head", graph.Claim{Holder: "a", Cursor: -1, Now: now}, nil, graph.Cursor{Revision: 9}, 0},
		{"new at a place", graph.Claim{Holder: "a", Cursor: 3, TTL: time.Minute, Now: now}, nil, graph.Cursor{Revision: 3, Holder: "a", Until: now.Add(time.Minute)}, 0},
		{"renewed", graph.Claim{Holder: "a", Cursor: -1, TTL: time.Minute, Now: now}, &held, graph.Cursor{Revision: 5, Holder: "a", Until: now.Add(time.Minute)}, 0},
		{"moved on", graph.Claim{Holder: "a", Cursor: 7, TTL: time.Minute, Now: now}, &held, graph.Cursor{Revision: 7, Holder: "a", Until: now.Add(time.Minute)}, 0},
		{"never back", graph.Claim{Holder: "a", Cursor: 2, Now: now}, &held, graph.Cursor{Revision: 5}, 0},
		{"held by another", graph.Claim{Holder: "b", Cursor: 7, TTL: time.Minute, Now: now}, &held, held, graph.Stale},
		{"at its end", graph.Claim{Holder: "b", Cursor: -1, TTL: time.Minute, Now: now.Add(time.Second)}, &held, graph.Cursor{Revision: 5, Holder: "b", Until: now.Add(time.Minute + time.Second)}, 0},
	} {
		got, err := c.claim.Next(c.held, 9)
		if got != c.want || (err != nil) != (c.kind != 0) || err != nil && graph.KindOf(err) != c.kind {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}
