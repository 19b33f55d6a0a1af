package trail_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/trail"
	"trellis/graph"
)

// hookStore calls after each claim that succeeded.
type hookStore struct {
	graph.Store
	mu    sync.Mutex
	after func(c graph.Claim, got graph.Cursor)
}

func (s *hookStore) Claim(ctx context.Context, c graph.Claim) (graph.Cursor, error) {
	got, err := s.Store.Claim(ctx, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.after != nil {
		s.after(c, got)
	}
	return got, err
}

func (s *hookStore) hook(after func(c graph.Claim, got graph.Cursor)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = after
}

// gateSink holds deliveries up until it is opened.
type gateSink struct {
	audit.Sink
	arrived chan string
	open    chan struct{}
}

func (s *gateSink) Deliver(ctx context.Context, b audit.Batch) error {
	select {
	case s.arrived <- b.ID:
	default:
	}
	select {
	case <-s.open:
		return s.Sink.Deliver(ctx, b)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
	}
}

// claimAs claims as a process would that sent this at the time, and stalled since.
func claimAs(t *testing.T, s graph.Store, consumer, holder string, cursor graph.Revision, at time.Time) (graph.Cursor, error) {
	t.Helper()
	return s.Claim(t.Context(), graph.Claim{Consumer: consumer, Holder: holder, TTL: time.Minute, Cursor: cursor, Now: at})
}

// While a batch is on its way nobody else can plan, not even with a claim that was
// sent before this process began; and when this process ends, nobody can plan
// past the batch until it cannot be on its way any more.
func TestNobodyPlansPastABatchUnderWay(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		w := settle(t, e.open(t))
		s := &gateSink{Sink: newSink(t, filepath.Join(t.TempDir(), "sink.db")), arrived: make(chan string, 1), open: make(chan struct{})}
		const ttl = time.Second
		before := time.Now()
		_, stop := w.follow(w.store, s, trail.Options{TTL: ttl})
		<-s.arrived
		planned := w.head()
		for _, at := range []time.Time{before.Add(-time.Hour), before, time.Now()} {
			for _, consumer := range []string{"audit", "audit_planned"} {
				if c, err := claimAs(t, w.store, consumer, "zombie", planned+100, at); graph.KindOf(err) != graph.Stale || err == nil {
					t.Errorf("%s was claimed: %+v, %v", consumer, c, err)
				}
			}
		}
		stop()
		ended := time.Now()
		if c, err := claimAs(t, w.store, "audit", "next", 0, ended); err != nil || c.Revision != 0 {
			t.Errorf("the next process gets %+v, %v", c, err)
		}
		if c, err := claimAs(t, w.store, "audit_planned", "zombie", planned+100, before); graph.KindOf(err) != graph.Stale || err == nil {
			t.Errorf("what is planned was claimed: %+v, %v", c, err)
		}
		c, err := claimAs(t, w.store, "audit_planned", "next", 0, ended.Add(ttl))
		if err != nil || c.Revision != planned {
			t.Errorf("the next process is to deliver up to %+v, %v; planned was %d", c, err, planned)
		}
	})
}

// With nothing on its way, a process that ends leaves nothing to wait for.
func TestAProcessThatEndsLeavesNoLease(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		w := settle(t, e.open(t))
		f, stop := w.follow(w.store, newSink(t, filepath.Join(t.TempDir(), "sink.db")), trail.Options{TTL: time.Hour})
		flush(t, f)
		stop()
		for _, consumer := range []string{"audit", "audit_planned"} {
			if c, err := claimAs(t, w.store, consumer, "next", 0, time.Now()); err != nil || c.Revision != w.head() {
				t.Errorf("%s: %+v, %v", consumer, c, err)
			}
		}
	})
}

// A process whose plan arrives late, after another one delivered the same changes
// and left, does not deliver them again.
func TestALatePlanIsNotCarriedOut(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		w := settle(t, e.open(t))
		s := newSink(t, filepath.Join(t.TempDir(), "sink.db"))
		hooked := &hookStore{Store: w.store}
		bad := &badSink{Sink: s, faults: &faults{}}
		f, _ := w.follow(hooked, bad, trail.Options{TTL: time.Second})
		flush(t, f)
		done := w.head()
		var once sync.Once
		other := make(chan struct{})
		hooked.hook(func(c graph.Claim, got graph.Cursor) {
			if c.Consumer != "audit_planned" || got.Revision <= done {
				return
			}
			once.Do(func() {
				// Since the plan was made, so to speak, another process had both leases.
				var claims []error
				for _, step := range []graph.Claim{
					{Consumer: "audit", Holder: c.Holder, Cursor: -1, Now: c.Now},
					{Consumer: "audit", Holder: "other", TTL: time.Minute, Cursor: got.Revision, Now: c.Now},
					{Consumer: "audit", Holder: "other", Cursor: -1, Now: c.Now},
				} {
					_, err := w.store.Claim(context.Background(), step)
					claims = append(claims, err)
				}
				for _, err := range claims {
					if err != nil {
						t.Error(err)
					}
				}
				close(other)
			})
		})
		w.must(root, `{"op":"create","node":"group:one","data":{}}`)
		<-other
		w.must(root, `{"op":"create","node":"group:two","data":{}}`)
		flush(t, f)
		first := fmt.Sprintf("-%d-", done+1)
		for _, id := range bad.delivered() {
			if strings.Contains(id, first) && !strings.Contains(id, "mark") {
				t.Errorf("it delivered %s, which another process had delivered", id)
			}
		}
		for _, e := range s.events(t) {
			if e.Node == "group:one" {
				t.Errorf("%s", line(e))
			}
		}
	})
}

// A batch that arrives at the sink after another process took over, delivered it
// and went on, has no effect.
func TestALateBatchHasNoEffect(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		onSinks(t, func(t *testing.T, sink audit.Sink) {
			e.wipe(t)
			w := settle(t, e.open(t))
			flt := &faults{}
			s := &lateSink{Sink: sink, held: make(chan audit.Batch, 1)}
			_, stop := w.follow(badStore{w.store, flt}, s, trail.Options{TTL: time.Second})
			late := <-s.held
			flt.freeze() // it neither renews nor hears
			other := attach(t, e.open(t))
			f, _ := other.follow(other.store, sink, trail.Options{TTL: time.Second})
			writeSome(t, w, 9, 30)
			flush(t, f)
			flt.thaw()
			if err := sink.Deliver(t.Context(), late); err != nil {
				t.Error(err)
			}
			writeSome(t, w, 10, 30)
			flush(t, f)
			stop()
			isWhole(t, sink, w.store)
		})
	})
}

// lateSink keeps the first batch back and says nothing.
type lateSink struct {
	audit.Sink
	once sync.Once
	held chan audit.Batch
}

func (s *lateSink) Deliver(ctx context.Context, b audit.Batch) error {
	s.once.Do(func() {
		for i, r := range b.Records {
			e := *r.(*audit.Event)
			b.Records[i] = &e
		}
		s.held <- b
		<-ctx.Done()
	})
	return fmt.Errorf("%w: held", audit.ErrUnavailable)
}
