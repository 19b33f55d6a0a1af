package trail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trellis/audit"
	"trellis/graph"
)

// begin finds out how far the trail really is: it delivers again what was
// planned and perhaps not delivered, and finds the link that the chain goes on from.
func (t *tenure) begin(ctx context.Context) error {
	for {
		v := t.view()
		if v.Ready() && v.Revision() >= t.delivered {
			if err := t.plant(ctx, v); err != nil {
				return err
			}
			break
		}
		if t.sleep(ctx, t.poll); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if t.planned > t.delivered {
		return t.resume(ctx)
	}
	newest, err := t.newest(ctx)
	if err != nil {
		return err
	}
	link, err := t.settle(ctx, newest)
	t.setHead(link)
	return err
}

// resume delivers the batch that was planned. It may have been delivered before,
// whole or in part, or be on its way; the sink sees to it that it counts once.
func (t *tenure) resume(ctx context.Context) error {
	b, err := t.collect(ctx, t.planned)
	if err != nil {
		return err
	}
	newest, err := t.newest(ctx)
	if err != nil {
		return err
	}
	var before audit.Link
	if newest != nil && b.has(newest) {
		before, err = t.precedes(ctx, b, newest)
	} else {
		before, err = t.settle(ctx, newest)
	}
	if err != nil {
		return err
	}
	b.chain(t.chain, before)
	link := b.end()
	if len(b.events) > 0 {
		if err := t.check(ctx); err != nil {
			return err
		}
		if err := t.bring(ctx, b); err != nil {
			return err
		}
		// If it was delivered before by another version of this program, the
		// records are that one's.
		if newest, err = t.newest(ctx); err != nil {
			return err
		}
		if link = b.end(); newest != nil && b.has(newest) {
			link = newest.Link
		}
	}
	t.setHead(link)
	return t.move(ctx, b.last)
}

// newest returns the last record of the trail in the sink, nil if there is none.
func (t *tenure) newest(ctx context.Context) (last *audit.Event, err error) {
	err = t.insist(ctx, &t.sinkErr, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
		defer cancel()
		records, err := t.sink.Writers(ctx, audit.Events)
		if err != nil {
			return tryAgain(err)
		}
		last = nil
		for _, r := range records {
			if e, ok := r.(*audit.Event); ok && e.Writer == t.writer {
				last = e
			}
		}
		return nil
	})
	return last, err
}

// tryAgain makes a refusal something to wait out: a question that every sink must
// answer is refused only while something is wrong with it.
func tryAgain(err error) error {
	if errors.Is(err, audit.ErrRefused) {
		return errors.New(err.Error())
	}
	return err
}

// precedes returns the link of the record before the first of the batch's in the
// sink, of which newest is one.
func (t *tenure) precedes(ctx context.Context, b *batch, newest *audit.Event) (link audit.Link, err error) {
	found := errors.New("found")
	err = t.insist(ctx, &t.sinkErr, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
		defer cancel()
		// The batch's are at most so many.
		after := max(0, int64(newest.Seq)-int64(len(b.events))-1)
		link = audit.Link{Writer: t.writer}
		err := t.sink.Follow(ctx, audit.Events, t.writer, uint64(after), func(r audit.Record) error {
			e, ok := r.(*audit.Event)
			if ok && b.has(e) {
				if link.Seq == 0 {
					link.Seq = e.Seq - 1 // the one before may have expired
				}
				return found
			}
			link = r.Meta().Link
			return nil
		})
		if errors.Is(err, found) {
			return nil
		}
		return tryAgain(err)
	})
	return link, err
}

// settle returns the link that the chain goes on from where nothing of what comes
// next is in the sink. It sees whether the sink has what was delivered to it, and
// writes down in the log itself where it has not: that is how someone who looks
// for removed records finds out, and how a new sink says where it begins.
func (t *tenure) settle(ctx context.Context, newest *audit.Event) (audit.Link, error) {
	var lost int
	for look := range looks {
		var err error
		if newest != nil && newest.Revision > int64(t.delivered) {
			t.o.Logger.Warn("the audit log is ahead of the graph, which must have been put back to an earlier state", "graph", int64(t.delivered), "log", newest.Revision)
			return newest.Link, nil
		}
		if lost, err = t.lacks(ctx, newest); err != nil {
			return audit.Link{}, err
		}
		if lost == 0 {
			break
		}
		// A sink of several servers may take a moment to show what it has.
		if look < looks-1 {
			t.sleep(ctx, t.poll<<look)
			if newest, err = t.newest(ctx); err != nil {
				return audit.Link{}, err
			}
		}
	}
	last := audit.Link{Writer: t.writer}
	if newest != nil {
		last = newest.Link
	}
	switch {
	case lost == 0:
		return last, nil
	case newest == nil:
		t.o.Logger.Warn("this audit log has no changes yet, and begins with those that no other one has", "after", int64(t.delivered))
		return t.mark(ctx, last, "audit:begin", audit.Success, fmt.Sprintf("changes up to revision %d were recorded elsewhere, or before anything was", t.delivered))
	}
	t.Follower.mu.Lock()
	t.damaged += int64(lost)
	t.Follower.mu.Unlock()
	t.o.Logger.Error("the audit log has lost the end of what was delivered to it", "has", newest.Revision, "delivered", int64(t.delivered), "events", lost)
	return t.mark(ctx, last, "audit:gap", audit.Failure, fmt.Sprintf("the log ended at revision %d although it had been delivered up to revision %d; at least %d events are missing", newest.Revision, t.delivered, lost))
}

const looks = 5

// lacks counts the events up to the delivered cursor that come after the newest
// in the sink, as far as the feed still tells. Without any in the sink it only
// tells whether there should be.
func (t *tenure) lacks(ctx context.Context, newest *audit.Event) (n int, err error) {
	if newest == nil {
		return int(min(t.delivered, 1)), nil
	}
	err = t.insist(ctx, &t.storeErr, func(ctx context.Context) error {
		info, err := t.info(ctx)
		if err != nil {
			return err
		}
		n = 0
		return scan(ctx, t.Follower.store, max(graph.Revision(newest.Revision), info.Oldest), t.delivered, func(ch *graph.Change) error {
			n += len(Events(ch, nil))
			return nil
		})
	})
	return n, err
}

// mark delivers a record about the log itself and returns the link that the chain
// goes on from.
func (t *tenure) mark(ctx context.Context, last audit.Link, action, outcome, reason string) (audit.Link, error) {
	e := &audit.Event{
		Head:   audit.Head{Time: t.now().UTC().Truncate(time.Millisecond)},
		Action: action, Outcome: outcome, Node: graph.Root.String(), Reason: reason, Revision: int64(t.delivered),
	}
	t.chain.Next(last, e)
	err := t.deliver(ctx, fmt.Sprintf("%s-mark-%d-%d", t.writer, t.delivered, last.Seq), []audit.Record{e}, tries)
	if err != nil && !errors.Is(err, audit.ErrRefused) {
		return audit.Link{}, err
	}
	// Whoever had this place before may have said the same.
	newest, err := t.newest(ctx)
	if err != nil || newest == nil {
		return last, err
	}
	return newest.Link, nil
}
