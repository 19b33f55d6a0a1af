package trail_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"trellis/audit/trail"
	"trellis/graph"
	"trellis/graph/identity"
)

const hush = "s3cr3t-that-nobody-sees"

// types are those that a node can be of: known, kept by the service, registered, and such as come later.
var types = []graph.Type{
	identity.User, identity.ServiceAccount, identity.Group, identity.Organization, identity.Team, identity.Role, identity.Permission,
	identity.ResourceType, identity.APIKey, graph.Root.Type, graph.Everyone.Type, graph.Authenticated.Type,
	"idempotency_key", "session", "credential", "identity", "mfa", "mail", "signing_key", "audit_chain", identity.Blob,
	"repo", "passkey_of_next_year",
}

// props are a node's that holds a secret under every name that one may think of.
func props() graph.Props {
	p := graph.Props{}
	for _, name := range []string{"hash", "secret", "password", "token", "key", "sealed", "body", "answer", "totp", "private", "data", "created_by"} {
		p[name] = hush
		p[name+"_list"] = []string{hush}
		p[name+"_object"] = graph.JSON(`{"a":"` + hush + `"}`)
	}
	return p
}

func TestNoSecretComesOut(t *testing.T) {
	for _, typ := range types {
		ref := graph.Ref{Type: typ, ID: "x"}
		before, after := &graph.Node{Ref: ref, Props: props()}, &graph.Node{Ref: ref, Props: props()}
		after.Props["hash"] = hush + "2"
		edge := &graph.Edge{EdgeKey: graph.EdgeKey{From: ref, Kind: graph.ChildOf, To: graph.Root}, Props: props()}
		for _, e := range []graph.Entry{
			{Node: &graph.NodeEntry{After: after}}, {Node: &graph.NodeEntry{Before: before, After: after}}, {Node: &graph.NodeEntry{Before: before}},
			{Edge: &graph.EdgeEntry{After: edge}},
		} {
			for _, kind := range []graph.Kind{graph.ChildOf, graph.MemberOf, graph.CanAccess, graph.Inherits, graph.Grants, "BELONGS"} {
				edge.Kind = kind
				d, _ := trail.Describe(e)
				shown, err := json.Marshal(d)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(shown), hush) {
					t.Errorf("%s: it shows %s", typ, shown)
				}
				ch := &graph.Change{Revision: 1, Time: time.Now(), Entries: []graph.Entry{e}}
				for _, ev := range trail.Events(ch, nil) {
					if strings.Contains(ev.Before+ev.After, hush) {
						t.Errorf("%s: the event tells %s %s", typ, ev.Before, ev.After)
					}
				}
			}
		}
	}
}

// A type that nothing is known of does not show even what resources show, if its
// nodes hold anything that resources do not.
func TestAnUnknownTypeShowsNothing(t *testing.T) {
	p := props()
	p["name"], p["attributes"] = hush, graph.JSON(`{"a":"`+hush+`"}`)
	for _, typ := range []graph.Type{"passkey_of_next_year", "session", "platform"} {
		d, _ := trail.Describe(graph.Entry{Node: &graph.NodeEntry{After: &graph.Node{Ref: graph.Ref{Type: typ, ID: "x"}, Props: p}}})
		if len(d.After) > 0 {
			t.Errorf("%s shows %v", typ, d.After)
		}
	}
	d, ok := trail.Describe(graph.Entry{Node: &graph.NodeEntry{After: &graph.Node{Ref: graph.Ref{Type: "repo", ID: "x"}, Props: graph.Props{"name": "X"}}}})
	if !ok || d.After["name"] != "X" {
		t.Errorf("a resource shows %v, %v", d.After, ok)
	}
}

func TestInnerTypesAreLeftOut(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	for _, typ := range types[12:21] {
		// The list is right if nobody can register such a type.
		_, err := w.Apply(t.Context(), identity.Caller{Subject: root}, []identity.Mutation{{Op: identity.OpCreate, Node: graph.Ref{Type: identity.ResourceType, ID: string(typ)}}}, identity.ApplyOptions{})
		if graph.KindOf(err) != graph.Invalid || !strings.Contains(err.Error(), "belongs to Trellis itself") {
			t.Errorf("the type %s can be registered: %v", typ, err)
		}
		ref := graph.Ref{Type: typ, ID: "x"}
		for _, e := range []graph.Entry{
			{Node: &graph.NodeEntry{Before: &graph.Node{Ref: ref}}},
			{Edge: &graph.EdgeEntry{Before: &graph.Edge{EdgeKey: graph.EdgeKey{From: ref, Kind: graph.ChildOf, To: root}}}},
			{Edge: &graph.EdgeEntry{After: &graph.Edge{EdgeKey: graph.EdgeKey{From: root, Kind: "HAS", To: ref}}}},
		} {
			if _, ok := trail.Describe(e); ok {
				t.Errorf("%s is shown", typ)
			}
		}
	}
}
