package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/manifest"
	"trellis/graph/permission"
	"trellis/graph/sqlitegraph"
)

// seal hides nothing: it only marks what was given to it.
type seal struct{}

func (seal) Seal(_ string, data []byte) []byte { return append([]byte("sealed:"), data...) }

func (seal) Open(_ string, sealed []byte) ([]byte, error) {
	b, ok := strings.CutPrefix(string(sealed), "sealed:")
	if !ok {
		return nil, errors.New("not sealed")
	}
	return []byte(b), nil
}

// world is a bootstrapped store with one administrator, "service_account:root".
type world struct {
	t     testing.TB
	graph *graph.Graph
	index *permission.Index
	ids   *identity.Service
	sets  *manifest.Service
	next  atomic.Int64
}

var root = graph.Ref{Type: identity.ServiceAccount, ID: "root"}

func newWorld(t testing.TB) *world {
	t.Helper()
	store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	must(t, err)
	return worldOn(t, store)
}

func worldOn(t testing.TB, store graph.Store) *world {
	t.Helper()
	w := &world{t: t, index: permission.New()}
	w.graph = graph.New(store, graph.Options{Log: slog.New(slog.DiscardHandler)}, w.index)
	t.Cleanup(func() {
		w.graph.Close()
		must(t, store.Close())
	})
	now := func() identity.Authority { return w.index.View() }
	w.ids = identity.New(w.graph, now, identity.Options{Now: time.Now, Sealer: seal{}, NewID: func() string {
		return fmt.Sprintf("id-%d", w.next.Add(1))
	}})
	w.sets = manifest.New(w.graph, w.ids, now)
	_, err := w.graph.Sync(context.Background())
	must(t, err)
	must(t, w.ids.Bootstrap(context.Background()))
	link := func(k graph.Kind, to graph.Ref, key string, p graph.Props) graph.Step {
		return graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: root, Kind: k, To: to, Key: key}, Props: p})
	}
	_, err = w.graph.Write(context.Background(), graph.Batch{Steps: []graph.Step{
		graph.Put(graph.Node{Ref: root, Names: []string{identity.SlugName(root.Type, "", root.ID)}, Props: graph.Props{"slug": root.ID}}),
		link(graph.ChildOf, graph.Root, "", nil),
		link(graph.CanAccess, graph.Root, identity.RoleAdmin, graph.Props{graph.PropRole: identity.RoleAdmin, graph.PropGrantedBy: "platform:root"}),
	}})
	must(t, err)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// documents reads YAML.
func documents(t testing.TB, text string) []manifest.Document {
	t.Helper()
	list, err := manifest.Parse("test.yaml", strings.NewReader(text))
	must(t, err)
	return manifest.Documents(list)
}

// request is a set's request with its options in words.
func (w *world) request(set, text string, options ...string) manifest.Request {
	w.t.Helper()
	q := manifest.Request{Set: set, Documents: documents(w.t, text)}
	for _, o := range options {
		q.Plan, q.Prune, q.Merge = q.Plan || o == "plan", q.Prune || o == "prune", q.Merge || o == "merge"
	}
	return q
}

func (w *world) try(who graph.Ref, set, text string, options ...string) (*manifest.Result, error) {
	w.t.Helper()
	return w.sets.Apply(context.Background(), identity.Caller{Subject: who}, w.request(set, text, options...), identity.ApplyOptions{})
}

func (w *world) apply(who graph.Ref, set, text string, options ...string) *manifest.Result {
	w.t.Helper()
	r, err := w.try(who, set, text, options...)
	if err != nil {
		w.t.Fatalf("%v %v", err, fields(err))
	}
	return r
}

// refused asserts the kind of error, a pointer of it, and that nothing was written.
func (w *world) refused(kind graph.ErrorKind, pointer string, who graph.Ref, set, text string, options ...string) {
	w.t.Helper()
	before := w.head()
	_, err := w.try(who, set, text, options...)
	if graph.KindOf(err) != kind || err == nil {
		w.t.Errorf("%v %v; want an error of kind %v", err, fields(err), kind)
		return
	}
	found := pointer == ""
	for _, f := range fields(err) {
		found = found || f.Pointer == pointer
	}
	if !found {
		w.t.Errorf("%v points at %v, not at %s", err, fields(err), pointer)
	}
	if after := w.head(); after != before {
		w.t.Errorf("%v was refused, but wrote revision %d", err, after)
	}
}

func (w *world) head() graph.Revision {
	w.t.Helper()
	i, err := w.graph.Store().Info(context.Background())
	must(w.t, err)
	return i.Head
}

func fields(err error) []graph.Field {
	var e *graph.Error
	if errors.As(err, &e) {
		return e.Fields
	}
	return nil
}

// lines writes a plan the way that it is easily compared.
func lines(r *manifest.Result) string {
	var b strings.Builder
	for _, it := range r.Plan {
		if it.Action == manifest.Unchanged {
			continue
		}
		fmt.Fprintf(&b, "%s %s %s", it.Action, it.Kind, it.Name)
		if it.Drift {
			b.WriteString(" drift")
		}
		for _, c := range it.Changes {
			fmt.Fprintf(&b, " %s:%v>%v", c.Field, c.Before, c.After)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func same(t testing.TB, got, want string) {
	t.Helper()
	trim := func(s string) string {
		var out []string
		for l := range strings.Lines(s) {
			if l = strings.TrimSpace(l); l != "" {
				out = append(out, l)
			}
		}
		return strings.Join(out, "\n")
	}
	if trim(got) != trim(want) {
		t.Errorf("got\n%s\nwant\n%s", trim(got), trim(want))
	}
}

func user(id string) graph.Ref { return graph.Ref{Type: identity.User, ID: id} }
