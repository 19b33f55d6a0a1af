package graph_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

// ledger is a replica that remembers what it was given.
type ledger struct {
	mu      sync.Mutex
	nodes   map[graph.Ref]graph.Revision
	next    map[graph.Ref]graph.Revision
	at      graph.Revision
	loads   int
	gaps    int
	applied int
}

func (l *ledger) Begin()             { l.next = map[graph.Ref]graph.Revision{} }
func (l *ledger) Node(n *graph.Node) { l.next[n.Ref] = n.Revision }
func (l *ledger) Edge(*graph.Edge)   {}
func (l *ledger) Ready(i graph.Info) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes, l.at = l.next, i.Head
	l.loads++
}

func (l *ledger) Apply(changes []graph.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range changes {
		if c.Revision != l.at+1 {
			l.gaps++
		}
		l.at = c.Revision
		l.applied++
		for _, e := range c.Entries {
			switch {
			case e.Node == nil:
			case e.Node.After == nil:
				delete(l.nodes, e.Node.Before.Ref)
			default:
				l.nodes[e.Node.After.Ref] = e.Node.After.Revision
			}
		}
	}
}

func (l *ledger) has(r graph.Ref) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.nodes[r]
	return ok
}

// away is a store that can be made unreachable.
type away struct {
	graph.Store
	off atomic.Bool
}

var errAway = &graph.Error{Kind: graph.Unavailable, Msg: "the store is away"}

func (a *away) Info(ctx context.Context) (graph.Info, error) {
	if a.off.Load() {
		return graph.Info{}, errAway
	}
	return a.Store.Info(ctx)
}

func (a *away) Changes(ctx context.Context, after graph.Revision, limit int) ([]graph.Change, error) {
	if a.off.Load() {
		return nil, errAway
	}
	return a.Store.Changes(ctx, after, limit)
}

func (a *away) Export(ctx context.Context, yield func(graph.Record) error) (graph.Info, error) {
	if a.off.Load() {
		return graph.Info{}, errAway
	}
	return a.Store.Export(ctx, yield)
}

func (a *away) Commit(ctx context.Context, group []graph.Batch) ([]graph.Result, error) {
	if a.off.Load() {
		return nil, errAway
	}
	return a.Store.Commit(ctx, group)
}

func open(t *testing.T, path string) *away {
	t.Helper()
	s, err := sqlitegraph.Open(path, sqlitegraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &away{Store: s}
}

func start(t *testing.T, s graph.Store, replicas ...graph.Replica) *graph.Graph {
	t.Helper()
	g := graph.New(s, graph.Options{Poll: 10 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}, replicas...)
	t.Cleanup(g.Close)
	return g
}

func thing(i int) graph.Ref { return graph.Ref{Type: "thing", ID: fmt.Sprint(i)} }

func put(r graph.Ref) graph.Batch {
	return graph.Batch{Actor: graph.Root, Steps: []graph.Step{graph.Put(graph.Node{Ref: r})}}
}

// within waits for something that must come true soon.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
	}
}

func TestReplicasShowAWriteWhenItReturns(t *testing.T) {
	var l ledger
	g := start(t, open(t, filepath.Join(t.TempDir(), "g.db")), &l)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 20 {
				r := thing(w*100 + i)
				if _, err := g.Write(t.Context(), put(r)); err != nil {
					t.Error(err)
				} else if !l.has(r) {
					t.Errorf("%s was written but the replica does not show it", r)
				}
			}
		})
	}
	wg.Wait()
	if l.gaps != 0 || l.at != 160 {
		t.Errorf("the replica is at %d with %d gaps, want 160 without", l.at, l.gaps)
	}
}

func TestARefusedBatchDoesNotHinderItsGroup(t *testing.T) {
	g := start(t, open(t, filepath.Join(t.TempDir(), "g.db")))
	if _, err := g.Write(t.Context(), put(thing(0))); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var refused atomic.Int64
	for i := range 40 {
		wg.Go(func() {
			b := put(thing(i / 2))
			b.Steps = append([]graph.Step{graph.RequireAbsent(thing(i / 2))}, b.Steps...)
			switch _, err := g.Write(t.Context(), b); graph.KindOf(err) {
			case graph.Exists:
				refused.Add(1)
			default:
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := refused.Load(); n != 21 {
		t.Errorf("%d batches were refused, want 21", n)
	}
}

func TestReplicasSeeNothingOfADryBatch(t *testing.T) {
	var l ledger
	g := start(t, open(t, filepath.Join(t.TempDir(), "g.db")), &l)
	if _, err := g.Write(t.Context(), put(thing(0))); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := 1; i <= 40; i++ {
		wg.Go(func() {
			b := put(thing(i))
			b.Dry = i%2 == 0
			r, err := g.Write(t.Context(), b)
			if err != nil || r.Change == nil || r.Change.Revision != r.Revision || l.has(thing(i)) == b.Dry {
				t.Errorf("batch %d: %+v, %v", i, r, err)
			}
		})
	}
	wg.Wait()
	if l.gaps != 0 || l.at != 21 || l.applied > 21 || g.State().Applied != 21 {
		t.Errorf("the replica is at %d after %d changes, with %d gaps; want 21", l.at, l.applied, l.gaps)
	}
	// With its state as it is, the next write goes the short way.
	if r, err := g.Write(t.Context(), put(thing(2))); err != nil || r.Revision != 22 || !l.has(thing(2)) {
		t.Errorf("for real: %+v, %v", r, err)
	}
}

func TestProcessesOnOneStoreFollowEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g.db")
	var la, lb ledger
	a, b := start(t, open(t, path), &la), start(t, open(t, path), &lb)
	var wg sync.WaitGroup
	for i := range 30 {
		g := []*graph.Graph{a, b}[i%2]
		wg.Go(func() {
			if _, err := g.Write(t.Context(), put(thing(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for name, l := range map[string]*ledger{"a": &la, "b": &lb} {
		within(t, name+" shows all", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.at == 30
		})
		if l.gaps != 0 {
			t.Errorf("%s saw %d gaps", name, l.gaps)
		}
	}
	// A revision got from one is waited for by the other.
	r, err := a.Write(t.Context(), put(thing(99)))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Reach(t.Context(), r.Revision); err != nil || !lb.has(thing(99)) {
		t.Errorf("b did not reach %d: %v", r.Revision, err)
	}
	if err := b.Reach(t.Context(), r.Revision+1000); graph.KindOf(err) != graph.Invalid {
		t.Errorf("a revision of the future: %v", err)
	}
	if head, err := b.Sync(t.Context()); err != nil || head != r.Revision {
		t.Errorf("b synced to %d (%v), want %d", head, err, r.Revision)
	}
}

func TestStoreAwayFromTheStart(t *testing.T) {
	var l ledger
	s := open(t, filepath.Join(t.TempDir(), "g.db"))
	s.off.Store(true)
	g := start(t, s, &l)
	within(t, "the error is known", func() bool { return g.State().Err != nil })
	if g.State().Ready {
		t.Error("ready without a store")
	}
	if _, err := g.Write(t.Context(), put(thing(1))); graph.KindOf(err) != graph.Unavailable {
		t.Errorf("a write without a store: %v", err)
	}
	s.off.Store(false)
	within(t, "it is ready", func() bool { return g.State().Ready && g.State().Err == nil })
	if _, err := g.Write(t.Context(), put(thing(1))); err != nil || !l.has(thing(1)) {
		t.Error(err)
	}
}

func TestStoreAwayForAWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g.db")
	var l ledger
	s := open(t, path)
	g, other := start(t, s, &l), start(t, open(t, path))
	if _, err := g.Write(t.Context(), put(thing(1))); err != nil {
		t.Fatal(err)
	}
	s.off.Store(true)
	within(t, "the error is known", func() bool { return g.State().Err != nil })
	if !g.State().Ready || !l.has(thing(1)) {
		t.Error("what was known is gone")
	}
	contact := g.State().Contact
	if _, err := other.Write(t.Context(), put(thing(2))); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Sync(t.Context()); graph.KindOf(err) != graph.Unavailable {
		t.Errorf("synced without a store: %v", err)
	}
	s.off.Store(false)
	within(t, "it has caught up", func() bool { return g.State().Err == nil && l.has(thing(2)) })
	if !g.State().Contact.After(contact) || l.loads != 1 {
		t.Errorf("contact %v, %d loads", g.State().Contact, l.loads)
	}
}

func TestTrimmedFeedMeansANewLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g.db")
	var l ledger
	s := open(t, path)
	g, other := start(t, s, &l), start(t, open(t, path))
	if _, err := g.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.off.Store(true)
	for i := range 5 {
		if _, err := other.Write(t.Context(), put(thing(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := other.Store().Trim(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 5 {
		t.Fatalf("trimmed %d: %v", n, err)
	}
	s.off.Store(false)
	within(t, "all is there again", func() bool { return g.State().Applied == 5 && l.has(thing(4)) })
	if l.loads != 2 || l.gaps != 0 {
		t.Errorf("%d loads, %d gaps", l.loads, l.gaps)
	}
}

func TestReplacedStoreIsLoadedAnew(t *testing.T) {
	var l ledger
	s := open(t, filepath.Join(t.TempDir(), "one.db"))
	g := start(t, s, &l)
	if _, err := g.Write(t.Context(), put(thing(1))); err != nil {
		t.Fatal(err)
	}
	id := g.State().Store
	s.off.Store(true)
	within(t, "the error is known", func() bool { return g.State().Err != nil })
	two := open(t, filepath.Join(t.TempDir(), "two.db"))
	s.Store = two.Store
	s.off.Store(false)
	within(t, "the other store is shown", func() bool { return g.State().Store != id && !l.has(thing(1)) })
}

func TestWaitReturnsWhenSomethingCame(t *testing.T) {
	g := start(t, open(t, filepath.Join(t.TempDir(), "g.db")))
	if _, err := g.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	came := make(chan graph.Revision)
	go func() {
		r, _ := g.Wait(context.Background(), 0)
		came <- r
	}()
	if _, err := g.Write(t.Context(), put(thing(1))); err != nil {
		t.Fatal(err)
	}
	if r := <-came; r != 1 {
		t.Errorf("came to %d", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Wait(ctx, 1); graph.KindOf(err) != graph.Canceled {
		t.Errorf("an ended wait: %v", err)
	}
}

func TestClosedGraphRefuses(t *testing.T) {
	g := start(t, open(t, filepath.Join(t.TempDir(), "g.db")))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			// Whatever the moment: a yes, or a clear no; never a hang.
			if _, err := g.Write(context.Background(), put(thing(i))); err != nil && !errors.Is(err, graph.ErrStopped) {
				t.Error(err)
			}
		})
	}
	g.Close()
	wg.Wait()
	if _, err := g.Write(context.Background(), put(thing(1))); graph.KindOf(err) != graph.Closed {
		t.Errorf("a write after Close: %v", err)
	}
}

func TestEndedRequestDoesNotEndItsGroup(t *testing.T) {
	g := start(t, open(t, filepath.Join(t.TempDir(), "g.db")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Write(ctx, put(thing(1))); graph.KindOf(err) != graph.Canceled {
		t.Errorf("an ended request: %v", err)
	}
	if _, err := g.Write(t.Context(), put(thing(2))); err != nil {
		t.Error(err)
	}
}
