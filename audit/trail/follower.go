package trail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"trellis/audit"
	"trellis/graph"
)

// Store is what a Follower needs of a graph.Store.
type Store interface {
	Info(ctx context.Context) (graph.Info, error)
	graph.Feed
}

// Options tune a Follower; only Secret must be given.
type Options struct {
	// Secret is that of the chain, of 32 bytes or more.
	Secret []byte
	// Holder names this process in the lease, for people. "trellis" if empty.
	Holder string
	// TTL is how long a process that no longer says anything keeps the lease. 30 s if 0.
	TTL time.Duration
	// BatchAge is how old a change becomes before it is delivered, so that
	// others can go with it. 1 s if 0.
	BatchAge time.Duration
	// Backoff is the longest pause after a failure. 30 s if 0.
	Backoff time.Duration
	// Now is the clock. time.Now if nil.
	Now func() time.Time
	// Logger takes what operators should know. slog.Default() if nil.
	Logger *slog.Logger
}

// The consumers of the feed that a Follower is. The cursor of the first is what
// has been delivered. That of the second is the end of the batch that is being
// delivered: it is stored before the sink is asked, so that whoever takes over
// delivers exactly that batch again.
const (
	deliveredName = "audit"
	plannedName   = "audit_planned"
)

// Follower brings the changes of a graph to a sink. Any number of processes may
// run one for the same store and sink: one of them works, the others wait to take
// over. ADR 7 says why nothing is lost or doubled.
//
// All methods may be called concurrently.
type Follower struct {
	store Store
	view  func() View
	sink  audit.Sink
	chain *audit.Chain
	o     Options
	poll  time.Duration // how often it looks for news, in memory only

	waiting atomic.Int32  // calls of Flush
	wake    chan struct{} // has something in it when a Flush is in a hurry

	mu        sync.Mutex
	latest    time.Time // the clock never goes back
	known     bool      // the three below have been learnt
	delivered graph.Revision
	head      graph.Revision
	oldest    time.Time     // when the first change not delivered was, zero if not known
	moved     chan struct{} // closed when delivered moves
	sinkErr   error
	storeErr  error
	refused   int64
	damaged   int64
	link      audit.Link
}

// New returns a Follower. view gives the index at its present revision; it is how
// the Follower learns that there is something new.
func New(store Store, view func() View, sink audit.Sink, o Options) *Follower {
	if o.Holder == "" {
		o.Holder = "trellis"
	}
	if o.TTL == 0 {
		o.TTL = 30 * time.Second
	}
	if o.BatchAge == 0 {
		o.BatchAge = time.Second
	}
	if o.Backoff == 0 {
		o.Backoff = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Follower{
		store: store, view: view, sink: sink, chain: audit.NewChain(o.Secret), o: o, poll: max(time.Millisecond, min(o.BatchAge, time.Second)/4),
		wake: make(chan struct{}, 1), moved: make(chan struct{}),
	}
}

// Run delivers until the context ends. Call it once. A store or a sink that is
// away makes it wait, never end.
func (f *Follower) Run(ctx context.Context) {
	pauses := f.pauses()
	for ctx.Err() == nil {
		pause, err := f.serve(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			pauses.Reset()
		case errors.Is(err, errLost):
			f.o.Logger.Warn("another process may have taken over the audit trail of changes", "error", err)
			pause = f.poll
		case graph.KindOf(err) == graph.Gone:
			f.o.Logger.Error("changes were trimmed before they were in the audit log", "error", err)
			pause = pauses.NextBackOff()
		default:
			f.ill(&f.storeErr, "the change feed cannot be followed", err)
			pause = pauses.NextBackOff()
		}
		f.sleep(ctx, pause)
	}
}

// serve takes the lease and works for as long as it holds it. If somebody else
// has it, serve returns after how long to ask again.
func (f *Follower) serve(ctx context.Context) (time.Duration, error) {
	info, err := f.info(ctx)
	if err != nil {
		return 0, err
	}
	t := &tenure{Follower: f, holder: fmt.Sprintf("%.900s %s", f.o.Holder, uuid.NewString()), store: info.Store, writer: "changes_" + info.Store}
	// A new consumer begins with all that is still in the feed. One that is
	// there cannot be behind that, unless the graph was imported.
	c, err := t.claim(ctx, deliveredName, info.Oldest)
	if errors.Is(err, errLost) {
		f.well(&f.storeErr, "the change feed answers again")
		f.learn(ctx, c.Revision, info.Head)
		return f.patience(c), nil
	}
	if err != nil {
		return 0, err
	}
	t.delivered = c.Revision
	f.learn(ctx, c.Revision, info.Head)
	defer t.release(context.WithoutCancel(ctx))
	ctx, lose := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	defer renewing.Wait()
	defer lose(nil)
	renewing.Go(func() { t.renew(ctx, lose) })
	return 0, t.work(ctx)
}

// patience is after how long the lease is asked for again: soon enough to notice
// that it was released, and when it runs out.
func (f *Follower) patience(c graph.Cursor) time.Duration {
	left := c.Until.Sub(f.now())
	return max(f.poll, min(left, f.o.TTL/10, 3*time.Second))
}

// State tells how far behind the sink is. Refused counts the events that the sink
// took only without their details, Damaged those that it had and has no more.
func (f *Follower) State() audit.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := audit.State{Refused: f.refused, Damaged: f.damaged, Err: errors.Join(f.storeErr, f.sinkErr)}
	head := f.head
	if v := f.view(); v.Ready() {
		head = max(head, v.Revision())
	}
	if f.known && head > f.delivered {
		s.Backlog, s.Oldest = int64(head-f.delivered), f.oldest
	}
	return s
}

// Delivered returns the revision up to which the sink is known to have every
// change; it may have more. 0 until that was learnt.
func (f *Follower) Delivered() graph.Revision {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.delivered
}

// Heads returns the last link that this process delivered, with which a
// verification can tell whether the end of the chain is still there. It is empty
// while another process does the work.
func (f *Follower) Heads() map[audit.Stream]audit.Link {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.link.Seq == 0 {
		return nil
	}
	return map[audit.Stream]audit.Link{audit.Events: f.link}
}

// Flush returns when every change that was in the store when it was called has
// been delivered, by whatever process. Run must be under way.
func (f *Follower) Flush(ctx context.Context) error {
	info, err := f.info(ctx)
	if err != nil {
		return err
	}
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	for {
		f.mu.Lock()
		f.head = max(f.head, info.Head)
		done, moved := f.known && f.delivered >= info.Head, f.moved
		f.mu.Unlock()
		if done {
			return nil
		}
		select {
		case f.wake <- struct{}{}:
		default:
		}
		select {
		case <-moved:
		case <-time.After(4 * f.poll):
		case <-ctx.Done():
			return fmt.Errorf("changes up to revision %d are not all in the audit log: %w", info.Head, context.Cause(ctx))
		}
	}
}

func (f *Follower) info(ctx context.Context) (graph.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return f.store.Info(ctx)
}

// callTimeout limits one reading call to the store.
const callTimeout = 30 * time.Second

// learn notes how far the trail has come.
func (f *Follower) learn(ctx context.Context, delivered, head graph.Revision) {
	var oldest time.Time
	if delivered < head {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		if next, err := f.store.Changes(ctx, delivered, 1); err == nil && len(next) > 0 {
			oldest = next[0].Time
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.head, f.oldest = head, oldest
	f.reach(delivered)
}

// reach notes what has been delivered. The caller holds f.mu.
func (f *Follower) reach(delivered graph.Revision) {
	if f.known && f.delivered == delivered {
		return
	}
	f.known, f.delivered = true, delivered
	close(f.moved)
	f.moved = make(chan struct{})
}

// ill notes a failure, and logs it if there was none before.
func (f *Follower) ill(where *error, msg string, err error) {
	f.mu.Lock()
	first := *where == nil
	*where = err
	f.mu.Unlock()
	if first {
		f.o.Logger.Warn("the audit trail of changes is held up", "why", msg, "error", err)
	}
}

// well notes that what failed works again.
func (f *Follower) well(where *error, msg string) {
	f.mu.Lock()
	was := *where
	*where = nil
	f.mu.Unlock()
	if was != nil {
		f.o.Logger.Info("the audit trail of changes goes on", "why", msg)
	}
}

// now is the clock, which in here never goes back: leases are compared with it.
func (f *Follower) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.o.Now(); t.After(f.latest) {
		f.latest = t
	}
	return f.latest
}

func (f *Follower) pauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = min(f.poll, f.o.Backoff), f.o.Backoff
	b.Reset()
	return b
}

// sleep waits, less if a Flush is in a hurry.
func (f *Follower) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.wake:
	case <-ctx.Done():
	}
}

// insist calls do until it succeeds, the context ends, or trying again cannot
// help; where says whose fault an error is.
func (f *Follower) insist(ctx context.Context, where *error, do func(ctx context.Context) error) error {
	what, again := "the change feed cannot be followed", "the change feed answers again"
	if where == &f.sinkErr {
		what, again = "the sink of the audit log does not take changes", "the sink of the audit log takes changes again"
	}
	pauses := f.pauses()
	for {
		err := do(ctx)
		switch {
		case err == nil:
			f.well(where, again)
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errLost), errors.Is(err, errMoved), errors.Is(err, audit.ErrRefused), graph.KindOf(err) == graph.Gone:
			return err
		}
		f.ill(where, what, err)
		f.sleep(ctx, pauses.NextBackOff())
	}
}
