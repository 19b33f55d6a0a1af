package trail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/trail"
	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/identity"
)

// badStore is a store with faults, as one follower sees it.
type badStore struct {
	graph.Store
	*faults
}

func (s badStore) broken() error { return graph.Errorf(graph.Unavailable, "broken") }

func (s badStore) Info(ctx context.Context) (graph.Info, error) {
	return answer(ctx, s, s.Store.Info)
}

func (s badStore) Changes(ctx context.Context, after graph.Revision, limit int) ([]graph.Change, error) {
	return answer(ctx, s, func(ctx context.Context) ([]graph.Change, error) { return s.Store.Changes(ctx, after, limit) })
}

func (s badStore) Claim(ctx context.Context, c graph.Claim) (graph.Cursor, error) {
	return answer(ctx, s, func(ctx context.Context) (graph.Cursor, error) { return s.Store.Claim(ctx, c) })
}

// answer is call for what has an answer. That of a late call nobody gets.
func answer[T any](ctx context.Context, s badStore, ask func(ctx context.Context) (T, error)) (T, error) {
	answers := make(chan T, 1)
	err := s.call(ctx, s.broken(), func(ctx context.Context) error {
		got, err := ask(ctx)
		answers <- got
		return err
	})
	var none T
	if err != nil && graph.KindOf(err) != graph.Stale {
		return none, err
	}
	return <-answers, err
}

// writeSome writes changes of many kinds, n of them.
func writeSome(t testing.TB, w *world, seed uint64, n int) {
	t.Helper()
	world := graphtest.NewWorld(time.Now(), rand.New(rand.NewPCG(seed, 7)).IntN)
	batches := world.Start()
	for i := len(batches); i < n; i++ {
		batches = append(batches, world.Batch(100+i))
	}
	for _, b := range batches {
		for j := range b.Steps {
			if e := &b.Steps[j].Edge; e.Kind == graph.ChildOf {
				e.Key = "" // nothing is put in one place twice
			}
		}
		if _, err := w.graph.Write(context.Background(), b); graph.KindOf(err) == graph.Unavailable {
			t.Error(err)
		}
	}
}

func TestEveryChangeArrivesOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		w := settle(t, e.open(t))
		s := realSink(t, filepath.Join(t.TempDir(), "audit.db"))
		f, _ := w.follow(w.store, s, trail.Options{})
		writeSome(t, w, 1, 100)
		flush(t, f)
		isWhole(t, s, w.store)
		if st := f.State(); st.Backlog != 0 || !st.Oldest.IsZero() || st.Err != nil {
			t.Errorf("%+v", st)
		}
		events := eventsIn(t, s)
		if first := events[0]; first.Revision != 1 || first.Actor != "platform:root" {
			t.Errorf("the log begins with %s of revision %d", first.Action, first.Revision)
		}
		if got := f.Heads()[audit.Events]; got != events[len(events)-1].Link {
			t.Errorf("the head is %+v, want %+v", got, events[len(events)-1].Link)
		}
	})
}

// Followers on one store whose every call may fail, have its effect and fail, or
// have it long after it failed; that stall in the middle of things for longer than the
// lease; that end and start again: each event comes once, and the chain is whole.
func TestFollowersInChaos(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		onSinks(t, func(t *testing.T, s audit.Sink) {
			e.wipe(t)
			w := settle(t, e.open(t))
			rounds := 3
			if testing.Short() || strings.Contains(e.address, "://") {
				rounds = 1 // a server is slower by far
			}
			for round := range rounds {
				chaos(t, e, w, s, round)
				isWhole(t, s, w.store)
				if t.Failed() {
					return
				}
			}
			t.Logf("%d events", len(eventsIn(t, s)))
		})
	})
}

func chaos(t *testing.T, e engine, w *world, s audit.Sink, round int) {
	const ttl = 150 * time.Millisecond
	o := trail.Options{TTL: ttl, BatchAge: 4 * time.Millisecond, Backoff: 10 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	var all []*faults
	for range 3 {
		own := attach(t, e.open(t)) // a process of its own, with its own index
		f := &faults{rate: 0.15, late: 3 * ttl}
		all = append(all, f)
		busy.Go(func() {
			// It ends and begins anew, with a sudden end more often than not.
			for ctx.Err() == nil {
				_, stop := own.follow(badStore{own.store, f}, &badSink{Sink: s, faults: f}, o)
				select {
				case <-ctx.Done():
				case <-time.After(rand.N(6 * ttl)):
				}
				stop()
			}
		})
		busy.Go(func() {
			// It stalls.
			for ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-time.After(rand.N(8 * ttl)):
				}
				f.freeze()
				<-time.After(rand.N(4 * ttl))
				f.thaw()
			}
		})
	}
	for i := range 8 {
		writeSome(t, w, uint64(100*round+i), 40)
		<-time.After(rand.N(2 * ttl))
	}
	cancel()
	busy.Wait()
	for _, f := range all {
		f.calls.Wait() // what was late has come
	}
	o.TTL = 5 * time.Second // not too short for it, however busy the machine is
	last, stop := w.follow(w.store, s, o)
	flush(t, last)
	stop()
}

func TestTheSinkIsAway(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		w := settle(t, e.open(t))
		flt := &faults{}
		bad := &badSink{Sink: newSink(t, filepath.Join(t.TempDir(), "sink.db")), faults: flt}
		f, _ := w.follow(w.store, bad, trail.Options{TTL: 2 * time.Second})
		flush(t, f)
		flt.set(func(f *faults) { f.down = fmt.Errorf("%w: away", audit.ErrUnavailable) })
		before := w.head()
		writeSome(t, w, 3, 60)
		until(t, "the state tells of it", func() bool { return f.State().Err != nil })
		st := f.State()
		if !errors.Is(st.Err, audit.ErrUnavailable) || st.Backlog != int64(w.head()-before) || st.Oldest.IsZero() {
			t.Errorf("%+v, %d changes", st, w.head()-before)
		}
		// The lease outlives it: another process does not get hold of it.
		for start := time.Now(); time.Since(start) < 5*time.Second; <-time.After(20 * time.Millisecond) {
			_, err := w.store.Claim(t.Context(), graph.Claim{Consumer: "audit", Holder: "other", Cursor: -1, Now: time.Now()})
			if graph.KindOf(err) != graph.Stale || err == nil {
				t.Fatalf("another one got the lease: %v", err)
			}
		}
		if n, err := w.store.Trim(t.Context(), time.Now().Add(time.Hour)); err != nil || w.oldest() != before {
			t.Errorf("trimmed %d (%v), up to %d; delivered were %d", n, err, w.oldest(), before)
		}
		flt.set(func(f *faults) { f.down = nil })
		flush(t, f)
		if st := f.State(); st.Backlog != 0 || st.Err != nil {
			t.Errorf("%+v", st)
		}
		got := eventsIn(t, bad)
		if last := got[len(got)-1]; last.Revision != int64(w.head()) {
			t.Errorf("the last event is of revision %d, the head %d", last.Revision, w.head())
		}
	})
}

func (w *world) oldest() graph.Revision {
	w.t.Helper()
	info, err := w.store.Info(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return info.Oldest
}

func TestTheStoreIsAway(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	s := newSink(t, filepath.Join(t.TempDir(), "sink.db"))
	flt := &faults{down: graph.Errorf(graph.Unavailable, "away")}
	f, _ := w.follow(badStore{w.store, flt}, s, trail.Options{TTL: 200 * time.Millisecond})
	until(t, "the state tells of it", func() bool { return f.State().Err != nil })
	flt.set(func(f *faults) { f.down = nil })
	flush(t, f)
	until(t, "it is well", func() bool { return f.State().Err == nil })
	// Longer than the lease.
	flt.set(func(f *faults) { f.down = graph.Errorf(graph.Unavailable, "away") })
	writeSome(t, w, 5, 30)
	<-time.After(500 * time.Millisecond)
	if f.State().Err == nil {
		t.Error("the state says nothing of it")
	}
	flt.set(func(f *faults) { f.down = nil })
	flush(t, f)
	isWhole(t, s, w.store)
}

func TestAnotherProcessTakesOver(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		w, s := settle(t, e.open(t)), newSink(t, filepath.Join(t.TempDir(), "sink.db"))
		other := attach(t, e.open(t))
		// With a lease of an hour nothing but its release lets the other one in.
		one, stop := w.follow(w.store, s, trail.Options{TTL: time.Hour, Holder: "one"})
		flush(t, one)
		two, _ := other.follow(other.store, s, trail.Options{TTL: time.Hour, Holder: "two"})
		writeSome(t, w, 2, 30)
		flush(t, two) // it learns what the first one does
		if two.Heads() != nil || two.State().Backlog != 0 {
			t.Errorf("the one that waits has delivered: %v, %+v", two.Heads(), two.State())
		}
		stop()
		writeSome(t, w, 4, 30)
		flush(t, two)
		if two.Heads() == nil {
			t.Error("it was not the second one that went on")
		}
		isWhole(t, s, w.store)
	})
}

// What the sink refuses does not hold up the rest, and is not left out.
func TestTheSinkRefusesABatch(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	s := newSink(t, filepath.Join(t.TempDir(), "sink.db"))
	bad := &badSink{Sink: s, faults: &faults{}, refuse: func(b audit.Batch) bool {
		for _, r := range b.Records {
			if strings.Contains(r.(*audit.Event).After, "poison") {
				return true
			}
		}
		return false
	}}
	var log bytes.Buffer
	f, stop := w.follow(w.store, bad, trail.Options{TTL: time.Second, BatchAge: 200 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w.must(root, `{"op":"create","node":"group:a","data":{"name":"good"}}`)
	w.must(root, `{"op":"create","node":"group:b","data":{"name":"poison"}}
		{"op":"create","node":"group:c","data":{"name":"good"}}`)
	w.must(root, `{"op":"create","node":"group:d","data":{"name":"good"}}`)
	flush(t, f)
	if st := f.State(); st.Refused != 1 || st.Err != nil {
		t.Errorf("%+v", st)
	}
	stop()
	if !strings.Contains(log.String(), "group:b") {
		t.Errorf("the log does not tell of it:\n%s", &log)
	}
	got, want := s.events(t), wanted(t, w.store)
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i, e := range got {
		if e.Action != want[i].Action || e.Node != want[i].Node || e.Revision != want[i].Revision {
			t.Errorf("event %d is %s, want %s", i, line(e), line(want[i]))
		}
		if stub := e.Node == "group:b"; stub != (e.Reason == "the sink refused the details") || stub != (e.After == "" && e.Action == "group:create") {
			t.Errorf("%s, %q", line(e), e.Reason)
		}
	}
	verified(t, s)
	// The chain goes on from the event as it was delivered.
	f, _ = w.follow(w.store, bad, trail.Options{})
	w.must(root, `{"op":"create","node":"group:e","data":{"name":"good"}}`)
	flush(t, f)
	verified(t, s)
}

func verified(t *testing.T, s *sink) {
	t.Helper()
	report, err := audit.Verify(t.Context(), s, audit.NewChain(secret), audit.VerifyOptions{Streams: []audit.Stream{audit.Events}})
	if err != nil || report.Total > 0 {
		t.Errorf("%v, %+v", err, report.Faults)
	}
}

// A process that dies while it delivers the events of a refused batch one by one
// leaves what the next one must go on from.
func TestARefusedBatchOutlivesItsProcess(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	s := newSink(t, filepath.Join(t.TempDir(), "sink.db"))
	poison := func(b audit.Batch) bool {
		for _, r := range b.Records {
			if strings.Contains(r.(*audit.Event).After, "poison") {
				return true
			}
		}
		return false
	}
	for i := range 30 {
		name := "good"
		if i%7 == 3 {
			name = "poison"
		}
		w.must(root, fmt.Sprintf(`{"op":"create","node":"group:g%d","data":{"name":"%s"}}`, i, name))
	}
	for tries := 0; ; tries++ {
		// Each life ends after some more deliveries, before or after one had its effect.
		flt := &faults{}
		var bad *badSink
		most, left := 4+rand.IntN(20), rand.IntN(2) == 0
		bad = &badSink{Sink: s, faults: flt, refuse: poison}
		dying := &dyingSink{badSink: bad, most: most, after: left, dead: make(chan struct{})}
		f, stop := w.follow(w.store, dying, trail.Options{TTL: 300 * time.Millisecond, BatchAge: 4 * time.Millisecond, Backoff: 5 * time.Millisecond})
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- f.Flush(ctx) }()
		var err error
		select {
		case err = <-done:
		case <-dying.dead:
			err = errors.New("it died")
		}
		cancel()
		stop()
		if err == nil {
			t.Logf("after %d deaths", tries)
			break
		}
		if tries > 500 {
			t.Fatal("it never gets to the end")
		}
	}
	if got, want := s.events(t), wanted(t, w.store); len(got) != len(want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
	verified(t, s)
}

// dyingSink answers no more after some deliveries.
type dyingSink struct {
	*badSink
	most  int
	after bool // the last one has its effect
	once  sync.Once
	dead  chan struct{}
}

func (s *dyingSink) Deliver(ctx context.Context, b audit.Batch) error {
	if len(s.delivered()) >= s.most {
		if s.after {
			_ = s.badSink.Deliver(ctx, b) // nobody hears
		}
		s.once.Do(func() { close(s.dead) })
		<-ctx.Done()
		return ctx.Err()
	}
	return s.badSink.Deliver(ctx, b)
}

// Trimming all the time, as hard as it goes, takes nothing that is not delivered.
func TestTrimDoesNotOvertake(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	s := newSink(t, filepath.Join(t.TempDir(), "sink.db"))
	flt := &faults{rate: 0.3, late: 50 * time.Millisecond}
	f, stop := w.follow(w.store, &badSink{Sink: s, faults: flt}, trail.Options{TTL: 2 * time.Second, BatchAge: 4 * time.Millisecond, Backoff: 5 * time.Millisecond})
	until(t, "the follower has its place", func() bool {
		_, err := w.store.Claim(t.Context(), graph.Claim{Consumer: "audit_planned", Holder: "other", Cursor: 0, Now: time.Now().Add(-time.Hour)})
		return err != nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var trimming sync.WaitGroup
	trimmed := 0
	trimming.Go(func() {
		for ctx.Err() == nil {
			n, err := w.store.Trim(t.Context(), time.Now().Add(time.Hour))
			if err != nil {
				t.Error(err)
			}
			trimmed += n
			<-time.After(3 * time.Millisecond)
		}
	})
	for i := range 300 {
		w.must(root, fmt.Sprintf(`{"op":"create","node":"group:g%d","data":{}}`, i))
	}
	flush(t, f)
	cancel()
	trimming.Wait()
	stop()
	flt.calls.Wait()
	seen := map[string]int{}
	for _, e := range s.events(t) {
		if e.Action == "group:create" {
			seen[e.Node]++
		}
	}
	for i := range 300 {
		if n := seen[fmt.Sprintf("group:g%d", i)]; n != 1 {
			t.Errorf("group:g%d was recorded %d times", i, n)
		}
	}
	if trimmed < 100 {
		t.Errorf("only %d changes were trimmed meanwhile", trimmed)
	}
	verified(t, s)
}

// What is filed is where things were, however far behind the sink is.
func TestABacklogIsFiledWhereThingsWere(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	w.must(root, `{"op":"create","node":"resource_type:repo","data":{"parents":["organization"]}}
		{"op":"create","node":"organization:a","data":{}}
		{"op":"create","node":"organization:b","data":{}}`)
	w.must(root, `{"op":"create","node":"repo:r","data":{"parents":["organization:a"]}}`)
	w.must(root, `{"op":"patch","node":"repo:r","data":{"name":"R"}}`)
	w.must(root, `{"op":"patch","node":"repo:r","data":{"parents":["organization:b"]}}`)
	w.must(root, `{"op":"delete","node":"organization:b","cascade":true}`)
	s := newSink(t, filepath.Join(t.TempDir(), "sink.db"))
	f, _ := w.follow(w.store, s, trail.Options{})
	flush(t, f)
	var got []string
	for _, e := range s.events(t) {
		if e.Node == "repo:r" {
			got = append(got, e.Action+" "+strings.Join(e.Within[1:], ","))
		}
	}
	want := "repo:create organization:a;repo:update organization:a;parent:remove organization:a,organization:b;parent:add organization:a,organization:b;repo:delete organization:b"
	if strings.Join(got, ";") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ";"), want)
	}
}

// Large changes are not split, small ones go together.
func TestBatchesHaveLimits(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	s := newSink(t, filepath.Join(t.TempDir(), "sink.db"))
	var steps []graph.Step
	for i := range 12_000 {
		steps = append(steps, graph.Put(graph.Node{Ref: graph.Ref{Type: identity.Group, ID: fmt.Sprint("big-", i)}}))
	}
	w.write(steps...)
	for i := range 10 {
		group := make([]graph.Batch, 250)
		for j := range group {
			id := fmt.Sprintf("small-%d-%d", i, j)
			group[j] = graph.Batch{ID: id, Time: time.Now().UTC().Truncate(time.Millisecond), Steps: []graph.Step{graph.Put(graph.Node{Ref: graph.Ref{Type: identity.Group, ID: id}})}}
		}
		if _, err := w.store.Commit(t.Context(), group); err != nil {
			t.Fatal(err)
		}
	}
	bad := &badSink{Sink: s, faults: &faults{}}
	f, _ := w.follow(w.store, bad, trail.Options{})
	flush(t, f)
	isWhole(t, s, w.store)
	if n := len(bad.delivered()); n < 4 || n > 8 {
		t.Errorf("%d batches: %v", n, bad.delivered())
	}
}
