package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
	"trellis/graph/permission"
	"trellis/graph/sqlitegraph"
)

// shop is a store with an administrator, where blueprints count.
type shop struct {
	*identity.Service
	t          testing.TB
	graph      *graph.Graph
	blueprints *catalog.Blueprints
	ids        atomic.Int64
}

var admin = graph.Ref{Type: identity.ServiceAccount, ID: "root"}

func newShop(t testing.TB) *shop {
	t.Helper()
	store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	must(t, err)
	index := permission.New()
	s := &shop{t: t, blueprints: catalog.NewBlueprints()}
	s.graph = graph.New(store, graph.Options{Log: slog.New(slog.DiscardHandler)}, index, s.blueprints)
	t.Cleanup(func() {
		s.graph.Close()
		must(t, store.Close())
	})
	s.Service = identity.New(s.graph, func() identity.Authority { return index.View() }, identity.Options{
		Now: time.Now, NewID: func() string { return fmt.Sprintf("id-%d", s.ids.Add(1)) }, Rules: []identity.Rule{s.blueprints},
	})
	ctx := context.Background()
	_, err = s.graph.Sync(ctx)
	must(t, err)
	must(t, s.Bootstrap(ctx))
	link := func(k graph.Kind, to graph.Ref, key string, p graph.Props) graph.Step {
		return graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: admin, Kind: k, To: to, Key: key}, Props: p})
	}
	_, err = s.graph.Write(ctx, graph.Batch{Steps: []graph.Step{
		graph.Put(graph.Node{Ref: admin}), link(graph.ChildOf, graph.Root, "", nil),
		link(graph.CanAccess, graph.Root, identity.RoleAdmin, graph.Props{graph.PropRole: identity.RoleAdmin}),
	}})
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// apply carries out mutations written as JSON lines.
func (s *shop) apply(text string) error {
	s.t.Helper()
	return s.applyWith(text, identity.ApplyOptions{})
}

func (s *shop) applyWith(text string, o identity.ApplyOptions) error {
	s.t.Helper()
	var muts []identity.Mutation
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		var m identity.Mutation
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		muts = append(muts, m)
	}
	_, err := s.Apply(context.Background(), identity.Caller{Subject: admin, Origin: graph.Origin{RequestID: "test"}}, muts, o)
	return err
}

func (s *shop) must(text string) {
	s.t.Helper()
	if err := s.apply(text); err != nil {
		s.t.Fatalf("%s\n%v %v", text, err, told(err))
	}
}

// refused returns what is told of the mutations, which must be Invalid.
func (s *shop) refused(text string) []string {
	s.t.Helper()
	err := s.apply(text)
	if graph.KindOf(err) != graph.Invalid {
		s.t.Fatalf("%s\n%v, want an Invalid error", text, err)
	}
	return told(err)
}

func told(err error) []string {
	var e *graph.Error
	if !errors.As(err, &e) {
		return nil
	}
	return lines(e.Fields)
}

func lines(fields []graph.Field) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.Pointer+" "+f.Msg)
	}
	return out
}

func (s *shop) node(ref string) *graph.Node {
	s.t.Helper()
	r, err := graph.ParseRef(ref)
	must(s.t, err)
	found, err := s.graph.Store().Nodes(context.Background(), []graph.Ref{r})
	must(s.t, err)
	if len(found) == 0 {
		s.t.Fatalf("there is no %s", ref)
	}
	return &found[0]
}

// blueprint writes a mutation that makes one of organization acme.
func blueprint(id, schema, more string) string {
	return fmt.Sprintf(`{"op":"put","node":"blueprint:%s","data":{"organization":"acme","slug":"%s","applies_to":"project","schema":%s%s}}`, id, id, strings.ReplaceAll(schema, "\n", " "), more)
}

func project(id, attributes, more string) string {
	return fmt.Sprintf(`{"op":"put","node":"project:%s","data":{"organization":"acme","attributes":%s%s}}`, id, attributes, more)
}

// orgs makes organizations acme and other with types and environments.
const orgs = `
{"op":"create","node":"organization:acme","data":{"name":"Acme"}}
{"op":"create","node":"organization:other","data":{"name":"Other"}}
{"op":"create","node":"project_type:t-api","data":{"organization":"acme","slug":"api"}}
{"op":"create","node":"project_type:t-job","data":{"organization":"acme","slug":"job"}}
{"op":"create","node":"environment:e-prod","data":{"organization":"acme","slug":"production"}}
{"op":"create","node":"environment:e-test","data":{"organization":"acme","slug":"testing"}}
`

func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
