package identity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/permission"
	"trellis/graph/sqlitegraph"
)

// world is a bootstrapped store with one administrator, "service_account:root".
type world struct {
	*identity.Service
	t     testing.TB
	store graph.Store
	graph *graph.Graph
	index *permission.Index
	ids   atomic.Int64
}

var root = graph.Ref{Type: identity.ServiceAccount, ID: "root"}

func newWorld(t testing.TB) *world {
	t.Helper()
	store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newWorldOn(t, store)
}

func newWorldOn(t testing.TB, store graph.Store) *world {
	t.Helper()
	w := &world{t: t, store: store, index: permission.New()}
	w.graph = graph.New(store, graph.Options{Log: slog.New(slog.DiscardHandler)}, w.index)
	t.Cleanup(func() {
		w.graph.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Service = identity.New(w.graph, func() identity.Authority { return w.index.View() }, identity.Options{Now: time.Now, NewID: func() string {
		return fmt.Sprintf("id-%d", w.ids.Add(1))
	}})
	if _, err := w.graph.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	link := func(k graph.Kind, to graph.Ref, key string, p graph.Props) graph.Step {
		return graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: root, Kind: k, To: to, Key: key}, Props: p})
	}
	_, err := w.graph.Write(t.Context(), graph.Batch{Steps: []graph.Step{
		graph.Put(graph.Node{Ref: root}),
		link(graph.ChildOf, graph.Root, "", nil),
		link(graph.CanAccess, graph.Root, identity.RoleAdmin, graph.Props{graph.PropRole: identity.RoleAdmin}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// parse reads mutations written as JSON lines.
func parse(t testing.TB, text string) []identity.Mutation {
	t.Helper()
	var muts []identity.Mutation
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		var m identity.Mutation
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		muts = append(muts, m)
	}
	return muts
}

func (w *world) apply(who graph.Ref, text string) (identity.Outcome, error) {
	w.t.Helper()
	return w.Apply(context.Background(), identity.Caller{Subject: who, Origin: graph.Origin{RequestID: "test"}}, parse(w.t, text), identity.ApplyOptions{})
}

func (w *world) must(who graph.Ref, text string) identity.Outcome {
	w.t.Helper()
	o, err := w.apply(who, text)
	if err != nil {
		w.t.Fatalf("%s\nby %s: %v (step %d, %v)", text, who, err, step(err), fields(err))
	}
	return o
}

// refused asserts the kind of error and that nothing was written.
func (w *world) refused(who graph.Ref, kind graph.ErrorKind, text string) *graph.Error {
	w.t.Helper()
	before := w.graph.State().Applied
	_, err := w.apply(who, text)
	if err == nil || graph.KindOf(err) != kind {
		w.t.Fatalf("%s\nby %s: got %v (%v), want an error of kind %v", text, who, err, graph.KindOf(err), kind)
	}
	if after := w.graph.State().Applied; after != before {
		w.t.Fatalf("%s\nwas refused but wrote revision %d", text, after)
	}
	return err.(*graph.Error)
}

func (w *world) allowed(subject, permission, resource string) bool {
	w.t.Helper()
	return w.index.View().Check(node(w.t, subject), permission, node(w.t, resource), time.Now())
}

func node(t testing.TB, s string) graph.Ref {
	t.Helper()
	r, err := graph.ParseRef(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func user(id string) graph.Ref { return graph.Ref{Type: identity.User, ID: id} }

func step(err error) int {
	if e, ok := err.(*graph.Error); ok {
		return e.Step
	}
	return -2
}

func fields(err error) []graph.Field {
	if e, ok := err.(*graph.Error); ok {
		return e.Fields
	}
	return nil
}

// The sample: an organization with a project type, owned by alice; bob may
// edit projects and manage access on one of them; eve may do nothing.
const sample = `
{"op":"create","node":"user:alice","data":{"email":"Alice@Example.com"}}
{"op":"create","node":"user:bob","data":{}}
{"op":"create","node":"user:eve","data":{}}
{"op":"create","node":"resource_type:folder","data":{"parents":["organization","folder"],"actions":["share"]}}
{"op":"create","node":"organization:acme","data":{"name":"Acme"}}
{"op":"create","node":"organization:umbrella","data":{"name":"Umbrella"}}
{"op":"create","node":"role:editor","data":{"permissions":["folder:read","folder:update","folder:share","access:grant","team:update"]}}
{"op":"create","node":"role:viewer","data":{"permissions":["folder:read"]}}
{"op":"create","node":"role:boss","data":{"permissions":["folder:*"],"inherits":["editor"]}}
{"op":"create","node":"folder:plans","data":{"parents":["organization:acme"]}}
{"op":"create","node":"team:writers","data":{"organization":"acme"}}
{"op":"create","node":"team:bosses","data":{"organization":"acme"}}
{"op":"put_grant","subject":"user:alice","resource":"organization:acme","role":"owner"}
{"op":"put_grant","subject":"user:bob","resource":"organization:acme","role":"editor"}
{"op":"put_grant","subject":"team:bosses","resource":"organization:acme","role":"boss"}
`
