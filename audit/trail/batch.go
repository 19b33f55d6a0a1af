package trail

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"trellis/audit"
	"trellis/graph"
)

// Limits of a batch. A change is never split, so one alone may exceed them.
const (
	maxChanges = 1000
	maxEvents  = 10_000
	maxBytes   = 4 << 20
)

// batch is the events of some changes that follow each other. The same changes
// give the same batch, whoever collects them.
type batch struct {
	writer      string
	first, last graph.Revision
	events      []*audit.Event
	times       map[graph.Revision]time.Time // of its changes
	size        int
	ids         hash.Hash // of the changes' ids
	before      audit.Link
}

// collect makes a batch of the changes above the tree's revision: up to last if
// that is given, else as many as there are and fit.
func (t *tenure) collect(ctx context.Context, last graph.Revision) (*batch, error) {
	b := &batch{writer: t.writer, first: t.tree.at + 1, last: t.tree.at, times: map[graph.Revision]time.Time{}, ids: sha256.New()}
	for {
		limit := page
		if last > 0 {
			limit = int(min(page, last-b.last))
		}
		changes, err := t.changes(ctx, b.last, limit)
		if err != nil {
			return nil, err
		}
		for i := range changes {
			ch := &changes[i]
			if ch.Revision != b.last+1 {
				return nil, graph.Errorf(graph.Corrupt, "change %d comes after %d", ch.Revision, b.last)
			}
			events := Events(ch, t.tree.above)
			if last == 0 && !b.fits(events) {
				return b, nil
			}
			b.add(ch, events)
			t.tree.grow(ch)
		}
		switch {
		case b.last == last || last == 0 && len(changes) < limit:
			return b, nil
		case len(changes) == 0:
			return nil, graph.Errorf(graph.Unavailable, "the changes after revision %d are not there yet", b.last)
		}
	}
}

func (b *batch) fits(events []*audit.Event) bool {
	if len(b.times) == 0 {
		return true
	}
	return len(b.times) < maxChanges && len(b.events)+len(events) <= maxEvents && b.size+size(events) <= maxBytes
}

func (b *batch) add(ch *graph.Change, events []*audit.Event) {
	b.last = ch.Revision
	b.times[ch.Revision] = ch.Time.UTC().Truncate(time.Millisecond)
	b.events = append(b.events, events...)
	b.size += size(events)
	b.ids.Write([]byte(ch.ID))
	b.ids.Write([]byte{0})
}

// size is about how many bytes the events take.
func size(events []*audit.Event) (n int) {
	for _, e := range events {
		n += 200 + len(e.Before) + len(e.After) + len(e.Node) + len(e.Other) + len(e.Agent)
		for _, w := range e.Within {
			n += len(w) + 2
		}
	}
	return n
}

// chain links the events to the last one delivered before them.
func (b *batch) chain(c *audit.Chain, last audit.Link) {
	last.Writer = b.writer
	b.before = last
	for _, e := range b.events {
		c.Next(last, e)
		last = e.Link
	}
}

// end is the link of the last event.
func (b *batch) end() audit.Link {
	if len(b.events) == 0 {
		return b.before
	}
	return b.events[len(b.events)-1].Link
}

// id names the batch. The ids of its changes are in it because a graph that was
// put back to an earlier state gives the same revisions to other changes.
func (b *batch) id() string {
	return fmt.Sprintf("%s-%d-%d-%s", b.writer, b.first, b.last, hex.EncodeToString(b.ids.Sum(nil)[:8]))
}

// has tells whether a record is one of the batch's.
func (b *batch) has(e *audit.Event) bool {
	at, ok := b.times[graph.Revision(e.Revision)]
	return ok && at.Equal(e.Time)
}

// deliverTimeout limits one call to the sink.
const deliverTimeout = 2 * time.Minute

// tries is how often a sink may refuse a batch before its events go one by one.
const tries = 3

// deliver delivers records until the sink has them, or has refused them that often.
func (f *Follower) deliver(ctx context.Context, id string, records []audit.Record, tries int) error {
	refused := 0
	return f.insist(ctx, &f.sinkErr, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
		defer cancel()
		err := f.sink.Deliver(ctx, audit.Batch{ID: id, Records: records})
		if errors.Is(err, audit.ErrRefused) {
			if refused++; refused < tries {
				return errors.New(err.Error()) // not yet taken for an answer
			}
		}
		return err
	})
}

// bring delivers the batch. Of a batch that the sink refuses, it delivers the
// events one by one, and those that are refused alone without their details.
func (t *tenure) bring(ctx context.Context, b *batch) error {
	records := make([]audit.Record, len(b.events))
	for i, e := range b.events {
		records[i] = e
	}
	err := t.deliver(ctx, b.id(), records, tries)
	if errors.Is(err, audit.ErrRefused) {
		t.o.Logger.Error("the sink of the audit log refuses changes; delivering their events one by one",
			"first", int64(b.first), "last", int64(b.last), "events", len(b.events), "error", err)
		return t.single(ctx, b)
	}
	return err
}

// single delivers the events of a batch one by one. The delivered cursor stays
// where it is meanwhile: whoever takes over tries the whole batch first, under the
// same ID, is refused as well, and gets here. What is in the sink by then is
// left out, so that the chain goes on from what was really stored.
func (t *tenure) single(ctx context.Context, b *batch) error {
	stored := map[uint64]audit.Link{}
	err := t.insist(ctx, &t.sinkErr, func(ctx context.Context) error {
		return t.sink.Follow(ctx, audit.Events, b.writer, b.before.Seq, func(r audit.Record) error {
			stored[r.Meta().Seq] = r.Meta().Link
			return nil
		})
	})
	if err != nil {
		return err
	}
	last := b.before
	for i, e := range b.events {
		if l, ok := stored[last.Seq+1]; ok {
			last = l
			e.Link = l
			continue
		}
		if err := t.one(ctx, fmt.Sprintf("%s-%d", b.id(), i), last, e); err != nil {
			return err
		}
		last = e.Link
	}
	return nil
}

// one delivers one event: whole or, if the sink refuses that, without what may be
// the reason. All forms have the same ID, so that only one of them can count. The
// event gets the link of what was delivered.
func (t *tenure) one(ctx context.Context, id string, last audit.Link, e *audit.Event) error {
	pauses := t.pauses()
	for {
		var refusal error
		for i, form := range forms(e, t.now()) {
			t.chain.Next(last, form)
			err := t.deliver(ctx, id, []audit.Record{form}, 1)
			if errors.Is(err, audit.ErrRefused) {
				refusal = err
				continue
			}
			if e.Link = form.Link; err != nil || i == 0 {
				return err
			}
			t.Follower.mu.Lock()
			t.refused++
			t.Follower.mu.Unlock()
			t.o.Logger.Error("an event is in the audit log without its details, which the sink refused",
				"revision", e.Revision, "action", e.Action, "node", e.Node, "error", refusal)
			return nil
		}
		// It refuses everything: that is not the event's fault.
		t.ill(&t.sinkErr, "the sink of the audit log refuses everything", refusal)
		if t.sleep(ctx, pauses.NextBackOff()); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// forms are what of an event is delivered: all, and ever less.
func forms(e *audit.Event, now time.Time) [3]*audit.Event {
	whole, stub := *e, *e
	stub.Before, stub.After, stub.Agent, stub.Reason = "", "", "", "the sink refused the details"
	stub.Within = stub.Within[:min(len(stub.Within), 16)]
	bare := audit.Event{Head: audit.Head{Time: now.UTC().Truncate(time.Millisecond)}, Action: e.Action, Outcome: e.Outcome, Node: e.Node, Reason: stub.Reason, Revision: e.Revision}
	return [3]*audit.Event{&whole, &stub, &bare}
}
