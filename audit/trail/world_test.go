package trail_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/audit"
	"trellis/audit/sqliteaudit"
	"trellis/audit/trail"
	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/neo4jgraph"
	"trellis/graph/neo4jgraph/neo4jtest"
	"trellis/graph/permission"
	"trellis/graph/sqlitegraph"
)

var secret = []byte("a secret of at least thirty-two bytes")

// quiet is a logger for what a test breaks on purpose.
var quiet = slog.New(slog.DiscardHandler)

// engine opens the same store again and again.
type engine struct{ address string }

func (e engine) open(t testing.TB) graph.Store { return openStore(t, e.address) }

// wipe empties the store, which nobody must have open.
func (e engine) wipe(t testing.TB) {
	t.Helper()
	if !strings.Contains(e.address, "://") {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(e.address + suffix); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		return
	}
	neo4jtest.Wipe(t, e.address)
}

// onEngines runs a test on both engines, each time on an empty store.
func onEngines(t *testing.T, run func(t *testing.T, e engine)) {
	t.Run("sqlite", func(t *testing.T) { run(t, engine{filepath.Join(t.TempDir(), "graph.db")}) })
	t.Run("neo4j", func(t *testing.T) {
		e := engine{os.Getenv("TRELLIS_TEST_NEO4J_URL")}
		if e.address == "" {
			t.Skip("TRELLIS_TEST_NEO4J_URL is not set: nothing on Neo4j was tested (the database it names is emptied)")
		}
		e.wipe(t)
		run(t, e)
	})
}

func openStore(t testing.TB, address string) graph.Store {
	t.Helper()
	s, err := storeAt(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func storeAt(address string) (graph.Store, error) {
	if strings.Contains(address, "://") {
		return neo4jgraph.Open(address, neo4jgraph.Options{})
	}
	return sqlitegraph.Open(address, sqlitegraph.Options{})
}

// onSinks runs a test on a sink that shows all that it is given, and on the real
// one that every installation has.
func onSinks(t *testing.T, run func(t *testing.T, s audit.Sink)) {
	t.Run("plain", func(t *testing.T) { run(t, newSink(t, filepath.Join(t.TempDir(), "sink.db"))) })
	t.Run("sqliteaudit", func(t *testing.T) { run(t, realSink(t, filepath.Join(t.TempDir(), "audit.db"))) })
}

func realSink(t testing.TB, path string) *sqliteaudit.Sink {
	t.Helper()
	s, err := sqliteaudit.Open(path, sqliteaudit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// world is one process with a bootstrapped store and the administrator
// "service_account:root".
type world struct {
	*identity.Service
	t     testing.TB
	store graph.Store
	graph *graph.Graph
	index *permission.Index
	ids   atomic.Int64
}

var root = graph.Ref{Type: identity.ServiceAccount, ID: "root"}

// attach starts a process on the store.
func attach(t testing.TB, store graph.Store) *world {
	t.Helper()
	w := &world{t: t, store: store, index: permission.New()}
	w.graph = graph.New(store, graph.Options{Poll: 10 * time.Millisecond, Log: quiet}, w.index)
	t.Cleanup(w.graph.Close)
	w.Service = identity.New(w.graph, func() identity.Authority { return w.index.View() }, identity.Options{Now: time.Now, Sealer: sealer(t), NewID: func() string {
		return fmt.Sprintf("id-%d", w.ids.Add(1))
	}})
	if _, err := w.graph.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// settle fills an empty store.
func settle(t testing.TB, store graph.Store) *world {
	t.Helper()
	w := attach(t, store)
	if err := w.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.write(
		graph.Put(graph.Node{Ref: root}),
		graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: root, Kind: graph.ChildOf, To: graph.Root}}),
		graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: root, Kind: graph.CanAccess, To: graph.Root, Key: identity.RoleAdmin}, Props: graph.Props{graph.PropRole: identity.RoleAdmin}}),
	)
	return w
}

func (w *world) write(steps ...graph.Step) *graph.Change {
	w.t.Helper()
	r, err := w.graph.Write(context.Background(), graph.Batch{Actor: root, Steps: steps})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Change
}

// must applies mutations written as JSON lines.
func (w *world) must(who graph.Ref, text string) *graph.Change {
	w.t.Helper()
	var muts []identity.Mutation
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		var m identity.Mutation
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
		muts = append(muts, m)
	}
	origin := graph.Origin{RequestID: "request-1", Key: "key-1", Address: "192.0.2.0/24", Agent: "tests"}
	o, err := w.Apply(context.Background(), identity.Caller{Subject: who, Origin: origin}, muts, identity.ApplyOptions{})
	if err != nil {
		w.t.Fatalf("%s\n%v", text, err)
	}
	return o.Change
}

func (w *world) head() graph.Revision {
	w.t.Helper()
	info, err := w.store.Info(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return info.Head
}

// view is what followers of this process see.
func (w *world) view() trail.View { return w.index.View() }

// follow runs a follower until the test, or the function returned, ends it.
func (w *world) follow(store trail.Store, sink audit.Sink, o trail.Options) (*trail.Follower, func()) {
	w.t.Helper()
	o.Secret = secret
	if o.Logger == nil {
		o.Logger = quiet
	}
	if o.BatchAge == 0 {
		o.BatchAge = 20 * time.Millisecond
	}
	if o.Backoff == 0 {
		o.Backoff = 50 * time.Millisecond
	}
	f := trail.New(store, w.view, sink, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	stop := func() {
		cancel()
		<-done
	}
	w.t.Cleanup(stop)
	return f, stop
}

// flush waits until everything is delivered.
func flush(t testing.TB, f *trail.Follower) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.Flush(ctx); err != nil {
		t.Fatalf("%v; %+v", err, f.State())
	}
}

// oracle tells what is above a node by following the feed, and nothing else.
type oracle map[graph.Ref]map[graph.Ref]bool

func (o oracle) apply(ch *graph.Change) {
	for _, e := range ch.Entries {
		if e.Edge == nil {
			continue
		}
		if b := e.Edge.Before; b != nil && b.Kind == graph.ChildOf {
			delete(o[b.From], b.To)
		}
		if a := e.Edge.After; a != nil && a.Kind == graph.ChildOf {
			if o[a.From] == nil {
				o[a.From] = map[graph.Ref]bool{}
			}
			o[a.From][a.To] = true
		}
	}
}

func (o oracle) above(r graph.Ref) []graph.Ref {
	list, seen := []graph.Ref{r}, map[graph.Ref]bool{r: true, graph.Root: true}
	for i := 0; i < len(list); i++ {
		var next []graph.Ref
		for p := range o[list[i]] {
			next = append(next, p)
		}
		slices.SortFunc(next, graph.CompareRefs)
		for _, p := range next {
			if !seen[p] {
				seen[p] = true
				list = append(list, p)
			}
		}
	}
	return list[1:]
}

// wanted works out every event of the feed.
func wanted(t *testing.T, store graph.Store) []*audit.Event {
	t.Helper()
	var out []*audit.Event
	o := oracle{}
	for after := graph.Revision(0); ; {
		changes, err := store.Changes(context.Background(), after, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			return out
		}
		for i := range changes {
			out = append(out, trail.Events(&changes[i], o.above)...)
			o.apply(&changes[i])
			after = changes[i].Revision
		}
	}
}

// isWhole compares what the sink has with the feed, and verifies the chain.
func isWhole(t *testing.T, s audit.Reader, store graph.Store) {
	t.Helper()
	got, want := eventsIn(t, s), wanted(t, store)
	report, err := audit.Verify(context.Background(), s, audit.NewChain(secret), audit.VerifyOptions{Streams: []audit.Stream{audit.Events}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Faults {
		t.Errorf("the chain: %s %d-%d %s", f.Kind, f.From, f.To, f.Detail)
	}
	if len(got) != len(want) {
		t.Errorf("%d events in the sink, %d in the feed", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		e := *got[i]
		if int(e.Seq) != i+1 {
			t.Fatalf("event %d has number %d", i+1, e.Seq)
		}
		e.Link = audit.Link{}
		if d := cmp.Diff(want[i], &e); d != "" {
			t.Fatalf("event %d of revision %d (-feed +sink):\n%s", i+1, e.Revision, d)
		}
	}
}

// until waits for a condition.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("it did not come about: %s", what)
		}
	}
}

func sealer(t testing.TB) identity.Sealer {
	t.Helper()
	s, err := auth.NewSecrets(strings.Repeat("s", auth.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
