package audittest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trellis/audit"
)

var lifeCases = []testCase{
	{"UseAfterCloseIsAnError", func(r *room) {
		b := sample("w", 10)
		r.deliverTo(r.sink, b)
		for range 2 {
			if err := r.sink.Close(); err != nil {
				r.Errorf("Close: %v", err)
			}
		}
		q := audit.Query{Stream: audit.Events}
		nothing := func(audit.Record) error {
			r.Error("a closed sink found a record")
			return nil
		}
		_, statsErr := r.sink.Stats(r.ctx, audit.StatsQuery{Stream: audit.Events, From: noon, To: noon.Add(1), Size: audit.Hourly})
		_, usedErr := r.sink.LastUsed(r.ctx, []string{"k"})
		_, writersErr := r.sink.Writers(r.ctx, audit.Events)
		_, sweepErr := r.sink.Sweep(r.ctx, noon)
		b.ID = "another"
		for what, err := range map[string]error{
			"Deliver": r.sink.Deliver(r.ctx, b), "Find": r.sink.Find(r.ctx, q, nothing), "Follow": r.sink.Follow(r.ctx, audit.Events, "w", 0, nothing),
			"Misfiled": r.sink.Misfiled(r.ctx, audit.Events, 1, func(audit.Head) error { return nil }), "Stats": statsErr, "LastUsed": usedErr, "Writers": writersErr, "Sweep": sweepErr,
		} {
			if err == nil {
				r.Errorf("%s on a closed sink is no error", what)
			}
		}
	}},
	{"AnEndedContextIsItsError", func(r *room) {
		b := sample("w", 10)
		ctx, cancel := context.WithCancel(r.ctx)
		cancel()
		nothing := func(audit.Record) error { return nil }
		_, statsErr := r.sink.Stats(ctx, audit.StatsQuery{Stream: audit.Events, From: noon, To: noon.Add(1), Size: audit.Hourly})
		_, usedErr := r.sink.LastUsed(ctx, []string{"k"})
		_, writersErr := r.sink.Writers(ctx, audit.Events)
		for what, err := range map[string]error{
			"Deliver": r.sink.Deliver(ctx, b), "Find": r.sink.Find(ctx, audit.Query{Stream: audit.Events}, nothing),
			"Follow": r.sink.Follow(ctx, audit.Events, "w", 0, nothing), "Misfiled": r.sink.Misfiled(ctx, audit.Events, 1, func(audit.Head) error { return nil }), "Stats": statsErr, "LastUsed": usedErr, "Writers": writersErr,
		} {
			if !errors.Is(err, context.Canceled) {
				r.Errorf("%s: %v; want context.Canceled", what, err)
			}
		}
		// The outcome is open; the same batch again counts once.
		r.deliverTo(r.sink, b)
		r.holds("after all", b.Records)
	}},
	{"OtherProcessesSeeWhatWasDelivered", func(r *room) {
		other := r.open(Options{})
		b := sample("w", 50)
		r.deliverTo(r.sink, b)
		q := audit.Query{Stream: audit.Events}
		r.same("the other's", r.findIn(other, q), expect(b.Records, q))
		c := sample("x", 50)
		r.deliverTo(other, c)
		r.holds("both", append(b.Records, c.Records...))
	}},
	{"DeliveringAndAskingAtTheSameTime", func(r *room) {
		other := r.open(Options{})
		var deliveries, questions sync.WaitGroup
		done := make(chan struct{})
		all := make([][]audit.Record, 4)
		for w := range all {
			s := []audit.Sink{r.sink, other}[w%2]
			deliveries.Go(func() {
				for b := range NewLinker(fmt.Sprint("w", w)).Batches(everyStream(600), 40) {
					if err := s.Deliver(r.ctx, b); err != nil {
						r.Errorf("Deliver: %v", err)
						return
					}
					all[w] = append(all[w], b.Records...)
				}
			})
		}
		for i := range 2 {
			s := []audit.Sink{r.sink, other}[i]
			questions.Go(func() {
				for asked := 0; ; asked++ {
					select {
					case <-done:
						if asked > 0 {
							return
						}
					default:
					}
					r.askAnything(s)
				}
			})
		}
		deliveries.Wait()
		close(done)
		questions.Wait()
		var sum []audit.Record
		for _, part := range all {
			sum = append(sum, part...)
		}
		r.holds("all", sum)
	}},
	{"WhatIsPastItsRetentionExpires", func(r *room) {
		// Times are real, since an engine may go by its server's clock.
		now := time.Now().UTC().Truncate(time.Millisecond)
		l := NewLinker("w")
		var all, left []audit.Record
		keep := audit.Retention{audit.Events: 30 * audit.Day, audit.Decisions: 10 * audit.Day, audit.Requests: 20 * audit.Day, audit.Mails: 0, audit.Factors: audit.Day, audit.Limits: 40 * audit.Day}
		for rec := range Records(1200, 9, audit.Streams...) {
			h := rec.Meta()
			h.Time = now.Add(-World.Until.Sub(h.Time) * 2)
			all = append(all, l.Link(rec)...)
			d := keep[rec.Stream()]
			// What is just due may go or stay, and is left out.
			switch age := now.Sub(h.Time); {
			case d == 0 || age < d-time.Hour:
				left = append(left, rec)
			case age < d+2*time.Hour:
				all = all[:len(all)-1]
			}
		}
		// The chain has gaps now, which is nothing to a sink.
		r.deliver(all...)
		r.engine.Expire(r.T, r.sink)
		for _, s := range audit.Streams {
			q := audit.Query{Stream: s}
			r.same("nothing expires without a retention", r.find(q), expect(all, q))
		}
		if err := r.sink.Close(); err != nil {
			r.Fatal(err)
		}
		r.sink = r.open(Options{Retention: keep})
		r.deliver(l.Link(&audit.Mail{Head: audit.Head{Time: now}})...)
		left = append(left, r.follow(audit.Mails, "w", 0)[len(expectOf(all, audit.Mails)):]...)
		r.engine.Expire(r.T, r.sink)
		for _, s := range audit.Streams {
			q := audit.Query{Stream: s}
			r.same("what is left", r.find(q), expect(left, q))
		}
		// Counts outlive the records.
		for s := range audit.Dimensions {
			q := audit.StatsQuery{Stream: s, From: now.Add(-70 * audit.Day), To: now.Add(time.Hour), Size: audit.Daily, By: "actor"}
			r.sameBuckets(string(s), r.stats(q), count(all, q))
		}
		q := audit.Query{Stream: audit.Decisions, Where: []audit.Match{{Field: "within", Value: Organization(0)}}}
		r.same("within", r.find(q), expect(left, q))
		n, err := r.sink.Sweep(r.ctx, now)
		if err != nil || n != 0 {
			r.Errorf("Sweep once more: %d, %v", n, err)
		}
		r.deliver(l.Link(&audit.Event{Head: audit.Head{Time: now}, Actor: "user:new"})...)
		if got := r.find(audit.Query{Stream: audit.Events, Limit: 1}); len(got) != 1 || got[0].(*audit.Event).Actor != "user:new" {
			r.Errorf("%d records after the sweep", len(got))
		}
	}},
}

// askAnything asks a few questions whose answers are changing and must only
// be whole.
func (r *room) askAnything(s audit.Sink) {
	last := map[string]uint64{}
	if err := s.Find(r.ctx, audit.Query{Stream: audit.Requests, Limit: 100}, func(rec audit.Record) error {
		h := rec.Meta()
		if before := last[h.Writer]; before != 0 && before != h.Seq+1 {
			return fmt.Errorf("%s has %d before %d: a batch is there by half", h.Writer, h.Seq, before)
		}
		last[h.Writer] = h.Seq
		return nil
	}); err != nil {
		r.Errorf("Find: %v", err)
	}
	if err := s.Follow(r.ctx, audit.Decisions, "w1", 10, func(audit.Record) error { return nil }); err != nil {
		r.Errorf("Follow: %v", err)
	}
	if _, err := s.Stats(r.ctx, audit.StatsQuery{Stream: audit.Events, From: World.Until.Add(-audit.Day), To: World.Until, Size: audit.Hourly, By: "actor"}); err != nil {
		r.Errorf("Stats: %v", err)
	}
}
