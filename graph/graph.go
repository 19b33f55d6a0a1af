package graph

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Options tune a Graph; the zero value is good.
type Options struct {
	// MaxGroup limits how many batches go into one transaction. 256 if 0.
	MaxGroup int
	// Poll is how often the store is asked for changes by other processes. 100 ms if 0.
	Poll time.Duration
	// Timeout limits one call to the store, exports apart. 30 s if 0.
	Timeout time.Duration
	// Now is the clock. time.Now if nil.
	Now func() time.Time
	// Log takes what operators should know. slog.Default() if nil.
	Log *slog.Logger
}

// Graph is a store in use by one process: it commits batches in groups, and
// keeps replicas current with every change, its own and those of other
// processes. It starts at once and loads the replicas as soon as the store
// can be reached; a store that goes away later leaves the replicas answering.
//
// All methods may be called concurrently.
type Graph struct {
	store    Store
	opts     Options
	replicas []Replica

	writes chan *write
	stop   context.CancelFunc
	ended  chan struct{} // closed when no further batch will be committed
	done   sync.WaitGroup

	// feed serializes loading and applying.
	feed    sync.Mutex
	checked time.Time // when the store's identity was last looked at
	state   atomic.Pointer[State]
	advance atomic.Pointer[chan struct{}] // closed when state.Applied moves
}

// State tells how far a Graph has come.
type State struct {
	// Store is the store's id, "" until it was first reached.
	Store string
	// Ready says that the replicas have been loaded.
	Ready bool
	// Applied is the revision that the replicas show.
	Applied Revision
	// Contact is when the store last answered.
	Contact time.Time
	// Err is why the store did not answer the last time, nil if it did.
	Err error
}

type write struct {
	ctx   context.Context
	batch Batch
	done  chan Result
}

// ErrStopped is what Write returns after Close.
var ErrStopped = &Error{Kind: Closed, Msg: "the graph is shut down"}

// New starts a Graph on the store. Close it before the store.
func New(store Store, o Options, replicas ...Replica) *Graph {
	if o.MaxGroup == 0 {
		o.MaxGroup = 256
	}
	if o.Poll == 0 {
		o.Poll = 100 * time.Millisecond
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &Graph{store: store, opts: o, replicas: replicas, writes: make(chan *write, 4*o.MaxGroup), stop: stop, ended: make(chan struct{})}
	g.state.Store(&State{})
	ch := make(chan struct{})
	g.advance.Store(&ch)
	g.done.Add(2)
	go g.commitLoop(ctx)
	go g.followLoop(ctx)
	return g
}

// Close stops taking writes, lets the group under way finish, and returns
// when nothing of the Graph runs any more.
func (g *Graph) Close() {
	g.stop()
	g.done.Wait()
}

// Store gives access to the store's reads and feed. Writes go through Write,
// so that they are grouped and the replicas follow.
func (g *Graph) Store() interface {
	Reader
	Feed
} {
	return g.store
}

// State returns the present state without waiting.
func (g *Graph) State() State { return *g.state.Load() }

// Write commits one batch, in a group with whatever others are waiting. When
// it returns, the replicas of this process show the change; those of a dry
// batch show nothing of it. Batch.ID and Time are filled if empty. The error is
// the batch's refusal or the store's fault; Unavailable and Canceled leave the
// outcome open.
func (g *Graph) Write(ctx context.Context, b Batch) (Result, error) {
	if err := b.Validate(); err != nil {
		return Result{}, err
	}
	if b.ID == "" {
		b.ID = uuid.Must(uuid.NewV7()).String()
	}
	if b.Time.IsZero() {
		b.Time = g.opts.Now()
	}
	b.Time = b.Time.UTC().Truncate(time.Millisecond)
	w := &write{ctx: ctx, batch: b, done: make(chan Result, 1)}
	select {
	case g.writes <- w:
	case <-g.ended:
		return Result{}, ErrStopped
	case <-ctx.Done():
		return Result{}, Wrap(Canceled, ctx.Err(), "the request ended before the write began")
	}
	select {
	case r := <-w.done:
		return r, r.Err
	case <-g.ended:
		select {
		case r := <-w.done:
			return r, r.Err
		default:
			return Result{}, ErrStopped
		}
	case <-ctx.Done():
		return Result{}, Wrap(Canceled, ctx.Err(), "the request ended before the outcome of the write was known")
	}
}

func (g *Graph) commitLoop(ctx context.Context) {
	defer g.done.Done()
	defer close(g.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-g.writes:
			g.commit(g.collect(w))
		}
	}
}

// collect takes what is waiting, up to a group's size. It does not wait for
// more: while one group is being committed the next one gathers by itself.
func (g *Graph) collect(first *write) []*write {
	group, steps := make([]*write, 0, 16), 0
	for w := first; ; {
		if w.ctx.Err() == nil {
			group = append(group, w)
			steps += len(w.batch.Steps)
		}
		if len(group) == g.opts.MaxGroup || steps >= MaxSteps {
			return group
		}
		select {
		case w = <-g.writes:
		default:
			return group
		}
	}
}

func (g *Graph) commit(group []*write) {
	if len(group) == 0 {
		return
	}
	batches := make([]Batch, len(group))
	for i, w := range group {
		batches[i] = w.batch
	}
	// The group is nobody's request: it must not end with one of them.
	ctx, cancel := context.WithTimeout(context.Background(), g.opts.Timeout)
	defer cancel()
	results, err := g.store.Commit(ctx, batches)
	if err != nil {
		g.contact(err)
		for _, w := range group {
			w.done <- Result{Err: err}
		}
		return
	}
	var changes []Change
	for i := range results {
		if c := results[i].Change; c != nil && !batches[i].Dry {
			changes = append(changes, *c)
		}
	}
	if len(changes) > 0 {
		// The batches are committed; a replica that cannot follow now catches
		// up from the feed, so the callers still get their yes.
		if err := g.follow(ctx, changes); err != nil {
			g.opts.Log.Warn("replicas are behind the store", "error", err)
		}
	}
	for i, w := range group {
		w.done <- results[i]
	}
}

func (g *Graph) followLoop(ctx context.Context) {
	defer g.done.Done()
	const most = 5 * time.Second
	wait := g.opts.Poll
	for {
		if err := g.poll(ctx); err != nil && ctx.Err() == nil {
			if g.State().Err == nil || wait == g.opts.Poll {
				g.opts.Log.Warn("the graph store does not answer", "error", err)
			}
			g.contact(err)
			wait = min(2*wait, most)
		} else {
			if wait != g.opts.Poll {
				g.opts.Log.Info("the graph store answers again")
			}
			wait = g.opts.Poll
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (g *Graph) poll(ctx context.Context) error {
	if !g.State().Ready {
		g.feed.Lock()
		defer g.feed.Unlock()
		if g.State().Ready {
			return nil
		}
		return g.load(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, g.opts.Timeout)
	defer cancel()
	return g.follow(ctx, nil)
}

// load fills the replicas from an export. The caller holds g.feed.
func (g *Graph) load(ctx context.Context) error {
	for _, r := range g.replicas {
		r.Begin()
	}
	info, err := g.store.Export(ctx, func(rec Record) error {
		for _, r := range g.replicas {
			if rec.Node != nil {
				r.Node(rec.Node)
			} else {
				r.Edge(rec.Edge)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range g.replicas {
		r.Ready(info)
	}
	g.setState(func(s *State) {
		*s = State{Store: info.Store, Ready: true, Applied: info.Head, Contact: g.opts.Now()}
	})
	return nil
}

// follow brings the replicas up to date: with the changes just committed here
// if they come next, else by reading the feed. Without changes it asks the
// feed for what others wrote.
func (g *Graph) follow(ctx context.Context, changes []Change) error {
	g.feed.Lock()
	defer g.feed.Unlock()
	s := g.State()
	if !s.Ready {
		return g.load(ctx)
	}
	for len(changes) > 0 && changes[0].Revision <= s.Applied {
		changes = changes[1:]
	}
	if len(changes) > 0 && changes[0].Revision == s.Applied+1 {
		g.apply(changes)
		return nil
	}
	if err := g.sameStore(ctx, s); err != nil {
		return err
	}
	const page = 1000
	for {
		s = g.State()
		next, err := g.store.Changes(ctx, s.Applied, page)
		if KindOf(err) == Gone && err != nil {
			g.opts.Log.Warn("the feed was trimmed past this process; loading the graph anew", "applied", s.Applied)
			return g.load(ctx)
		}
		if err != nil {
			return err
		}
		g.apply(next)
		if len(next) < page {
			return nil
		}
	}
}

// sameStore notices, once in a while, that the address now leads to another
// store or to an older state of it, as after a restored backup.
func (g *Graph) sameStore(ctx context.Context, s State) error {
	if g.opts.Now().Sub(g.checked) < time.Second {
		return nil
	}
	info, err := g.store.Info(ctx)
	if err != nil {
		return err
	}
	g.checked = g.opts.Now()
	if info.Store == s.Store && info.Head >= s.Applied {
		return nil
	}
	g.opts.Log.Warn("the graph store was replaced; loading it anew", "was", s.Store, "is", info.Store)
	return g.load(ctx)
}

func (g *Graph) apply(changes []Change) {
	if len(changes) > 0 {
		for _, r := range g.replicas {
			r.Apply(changes)
		}
	}
	g.setState(func(s *State) {
		if n := len(changes); n > 0 {
			s.Applied = changes[n-1].Revision
		}
		s.Contact, s.Err = g.opts.Now(), nil
	})
}

// contact notes that the store failed to answer. A refusal or a cancelled
// call says nothing about the store.
func (g *Graph) contact(err error) {
	if k := KindOf(err); k == Canceled || k == Closed {
		return
	}
	g.setState(func(s *State) { s.Err = err })
}

func (g *Graph) setState(f func(*State)) {
	for {
		old := g.state.Load()
		s := *old
		f(&s)
		if !g.state.CompareAndSwap(old, &s) {
			continue
		}
		if s.Applied != old.Applied || s.Ready != old.Ready {
			next := make(chan struct{})
			close(*g.advance.Swap(&next))
		}
		return
	}
}

// Sync asks the store for its head and returns when the replicas show it:
// what a fully consistent answer needs.
func (g *Graph) Sync(ctx context.Context) (Revision, error) {
	info, err := g.store.Info(ctx)
	if err != nil {
		g.contact(err)
		return 0, err
	}
	return info.Head, g.Reach(ctx, info.Head)
}

// Reach returns when the replicas show the revision or a later one. A
// revision that the store does not have yet is Invalid.
func (g *Graph) Reach(ctx context.Context, rev Revision) error {
	if s := g.State(); s.Ready && s.Applied >= rev {
		return nil
	}
	if err := g.follow(ctx, nil); err != nil {
		g.contact(err)
		return err
	}
	if s := g.State(); s.Applied < rev {
		return Errorf(Invalid, "revision %d is not there yet; the store is at %d", rev, s.Applied)
	}
	return nil
}

// Wait returns the applied revision as soon as it is above after.
func (g *Graph) Wait(ctx context.Context, after Revision) (Revision, error) {
	for {
		ch := *g.advance.Load()
		if s := g.State(); s.Ready && s.Applied > after {
			return s.Applied, nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return g.State().Applied, Wrap(Canceled, ctx.Err(), "no newer revision came")
		}
	}
}
