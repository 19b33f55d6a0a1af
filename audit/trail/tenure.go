package trail

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trellis/audit"
	"trellis/graph"
)

var (
	// errLost: the lease is not this process's any more, or may not be.
	errLost = errors.New("the lease is lost")
	// errMoved: the cursors are not where this process left them, so that it
	// has to look anew at what is being delivered.
	errMoved = errors.New("another process moved the cursor")
)

// tenure is the time from taking the lease to losing it.
//
// Its order of steps is what keeps a process that stalled, and goes on after
// another one took over, from doing harm:
//
//  1. store the end of the batch as planned, in a claim whose time is within the lease;
//  2. renew the lease, and see that the delivered cursor is still where it was;
//  3. deliver the batch under the ID that its changes give it;
//  4. move the delivered cursor.
//
// Whoever takes over claims both consumers before anything else, so that 1 and 2
// are refused to all others, delivers what is planned beyond what was delivered,
// and only then plans anew. ADR 7 goes through the cases.
type tenure struct {
	*Follower
	holder string // of this tenure alone: what an earlier one still has under way must not pass for this one's
	store  string
	writer string

	delivered, planned graph.Revision
	tree               *tree
	link               audit.Link // of the last record delivered

	mu    sync.Mutex // one claim at a time
	until time.Time  // of the lease, as last confirmed; zero before that
	both  bool       // the lease on what is planned is held too
}

// claim makes one claim. errLost comes with the cursor as it is held.
func (t *tenure) claim(ctx context.Context, consumer string, cursor graph.Revision) (graph.Cursor, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if !t.until.IsZero() && !now.Before(t.until) {
		return graph.Cursor{}, fmt.Errorf("%w: it could not be renewed in time", errLost)
	}
	ctx, cancel := context.WithTimeout(ctx, max(t.o.TTL/3, time.Second))
	defer cancel()
	// The cursor is always given: a consumer that is not there, because the store
	// was replaced, would else begin at the head.
	c, err := t.Follower.store.Claim(ctx, graph.Claim{Consumer: consumer, Holder: t.holder, TTL: t.o.TTL, Cursor: cursor, Now: now})
	switch {
	case err == nil && consumer == deliveredName:
		t.until = c.Until
	case err == nil:
		t.both = true
	case graph.KindOf(err) == graph.Stale:
		return c, fmt.Errorf("%w: %w", errLost, err)
	}
	return c, err
}

// renew keeps the lease, also while the sink takes its time.
func (t *tenure) renew(ctx context.Context, lose context.CancelCauseFunc) {
	tick := time.NewTicker(max(t.o.TTL/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := t.claim(ctx, deliveredName, 0)
		t.mu.Lock()
		both := t.both
		t.mu.Unlock()
		if err == nil && both {
			_, err = t.claim(ctx, plannedName, 0)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			t.well(&t.storeErr, "the change feed answers again")
		case errors.Is(err, errLost):
			lose(err)
			return
		default:
			t.ill(&t.storeErr, "the lease on the change feed cannot be renewed", err)
		}
	}
}

// release lets another process take over at once. What is planned and perhaps
// under way keeps its lease until it runs out: nobody may plan past it.
func (t *tenure) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	give := func(consumer string) {
		_, err := t.Follower.store.Claim(ctx, graph.Claim{Consumer: consumer, Holder: t.holder, Cursor: 0, Now: t.now()})
		if err != nil && graph.KindOf(err) != graph.Stale {
			t.o.Logger.Info("the lease on the change feed could not be released, and will run out", "error", err)
		}
	}
	if t.both && t.planned <= t.delivered {
		give(plannedName)
	}
	give(deliveredName)
}

// work takes the second lease and delivers until something ends the tenure.
func (t *tenure) work(ctx context.Context) error {
	for {
		c, err := t.claim(ctx, plannedName, t.delivered)
		if err == nil {
			t.planned = c.Revision
			break
		}
		// Whoever had it before may still have a batch under way.
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errLost) && c.Holder == "":
			return err
		case !errors.Is(err, errLost):
			t.ill(&t.storeErr, "the change feed cannot be followed", err)
		}
		t.sleep(ctx, max(t.poll, min(t.o.TTL/10, 3*time.Second)))
	}
	t.o.Logger.Info("this process carries the changes to the audit log", "delivered", int64(t.delivered), "planned", int64(t.planned))
	defer t.setHead(audit.Link{})
	for {
		err := t.begin(ctx)
		for err == nil {
			err = t.step(ctx)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
		t.o.Logger.Warn("the audit trail of changes was taken on by another process for a while", "delivered", int64(t.delivered), "planned", int64(t.planned))
	}
}

// step delivers one batch.
func (t *tenure) step(ctx context.Context) error {
	b, err := t.next(ctx)
	if err != nil {
		return err
	}
	if len(b.events) > 0 {
		b.chain(t.Follower.chain, t.link)
		if err := t.plan(ctx, b.last); err != nil {
			return err
		}
		if err := t.check(ctx); err != nil {
			return err
		}
		if err := t.bring(ctx, b); err != nil {
			return err
		}
		t.setHead(b.end())
	}
	return t.move(ctx, b.last)
}

// plan stores the end of the batch to be delivered.
func (t *tenure) plan(ctx context.Context, last graph.Revision) error {
	return t.insist(ctx, &t.storeErr, func(ctx context.Context) error {
		// Without a look at the store's name a batch of this one could be
		// planned in another one that has taken its place.
		info, err := t.info(ctx)
		if err != nil {
			return err
		}
		if info.Store != t.store {
			return fmt.Errorf("%w: the store was replaced", errLost)
		}
		c, err := t.claim(ctx, plannedName, last)
		if err != nil {
			return err
		}
		if t.planned = c.Revision; c.Revision != last {
			return errMoved
		}
		return nil
	})
}

// check renews the lease and sees that nobody delivered anything meanwhile.
func (t *tenure) check(ctx context.Context) error {
	return t.insist(ctx, &t.storeErr, func(ctx context.Context) error {
		c, err := t.claim(ctx, deliveredName, 0)
		if err == nil && c.Revision != t.delivered {
			t.delivered, t.planned = c.Revision, max(t.planned, c.Revision)
			return errMoved
		}
		return err
	})
}

// move stores what has been delivered.
func (t *tenure) move(ctx context.Context, last graph.Revision) error {
	return t.insist(ctx, &t.storeErr, func(ctx context.Context) error {
		c, err := t.claim(ctx, deliveredName, last)
		if err != nil {
			return err
		}
		t.delivered, t.planned = c.Revision, max(t.planned, c.Revision)
		t.Follower.mu.Lock()
		t.oldest = time.Time{}
		t.reach(c.Revision)
		t.Follower.mu.Unlock()
		if c.Revision != last {
			return errMoved
		}
		return nil
	})
}

// setHead notes the last link delivered.
func (t *tenure) setHead(l audit.Link) {
	t.link = l
	t.Follower.mu.Lock()
	defer t.Follower.mu.Unlock()
	t.Follower.link = l
}

// next waits until there is something to deliver, gives what comes next the time
// to go with it, and makes a batch.
func (t *tenure) next(ctx context.Context) (*batch, error) {
	var first graph.Change
	for {
		for {
			if v := t.view(); v.Ready() && v.Revision() > t.delivered {
				break
			}
			if t.sleep(ctx, t.poll); ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		}
		changes, err := t.changes(ctx, t.delivered, 1)
		if err != nil {
			return nil, err
		}
		if len(changes) > 0 {
			first = changes[0]
			break
		}
		// The index is that of another store, or this one is going away.
		t.sleep(ctx, 4*t.poll)
	}
	t.Follower.mu.Lock()
	t.oldest = first.Time
	t.Follower.mu.Unlock()
	start := t.now()
	for t.waiting.Load() == 0 && t.view().Revision()-t.delivered < maxChanges {
		now := t.now()
		left := min(first.Time.Add(t.o.BatchAge).Sub(now), start.Add(t.o.BatchAge).Sub(now))
		if left <= 0 {
			break
		}
		if t.sleep(ctx, min(left, t.poll)); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	if err := t.replant(ctx); err != nil {
		return nil, err
	}
	return t.collect(ctx, 0)
}

// replant bases the tree on a newer view where that costs little, so that it does
// not grow, and does not keep an old view alive.
func (t *tenure) replant(ctx context.Context) error {
	const much, near = 10_000, 5 * maxChanges
	v := t.view()
	switch ahead := v.Revision() - t.tree.at; {
	case !v.Ready() || ahead < 0 || ahead > near:
		return nil
	case ahead > 0 && len(t.tree.moved) < much && t.tree.at-t.tree.base.Revision() < much:
		return nil
	}
	return t.plant(ctx, v)
}

func (t *tenure) plant(ctx context.Context, v View) error {
	return t.insist(ctx, &t.storeErr, func(ctx context.Context) (err error) {
		t.tree, err = plant(ctx, t.Follower.store, v, t.delivered)
		return err
	})
}

// changes reads the feed.
func (t *tenure) changes(ctx context.Context, after graph.Revision, limit int) (list []graph.Change, err error) {
	err = t.insist(ctx, &t.storeErr, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		list, err = t.Follower.store.Changes(ctx, after, limit)
		return err
	})
	return list, err
}
