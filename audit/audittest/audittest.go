// Package audittest is the conformance suite of audit.Sink: whatever the
// contract promises is asked of each engine here, and neither is special. It
// also makes records for benchmarks (Records, Batches), the same for both.
//
// An engine's own test calls Run. The suite keeps the number of calls small,
// since one may cost milliseconds.
package audittest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"trellis/audit"
)

// Engine is how the suite gets at the engine under test.
type Engine struct {
	// New makes room for one new, empty sink, and registers with t what must
	// be done to take it away again.
	New func(t testing.TB) Place
	// Expire makes all disappear that is past its retention by now: Sweep, or
	// what makes the engine do it by itself at once.
	Expire func(t testing.TB, s audit.Sink)
	// Parallel tells that places do not touch one another and that there is
	// strength for several cases at a time.
	Parallel bool
	// Rounds is how many random questions are compared with the oracle, and
	// how many random batches make the round trip; 100 if zero.
	Rounds int
}

// Options are what a sink is opened with.
type Options struct {
	// Retention is for how long records are kept; nil is for ever.
	Retention audit.Retention
}

// Place is where the data of one sink lives. Every call opens a sink on that
// data once more, as another process would; the caller closes it.
type Place func(t testing.TB, o Options) audit.Sink

// A testCase is one rule, or a few that share their preparation.
type testCase struct {
	name string
	run  func(*room)
}

// Run asks everything of the engine.
func Run(t *testing.T, e Engine) {
	if e.Rounds == 0 {
		e.Rounds = 100
	}
	names := map[string]bool{}
	for _, c := range slices.Concat(valueCases, deliverCases, findCases, statsCases, lifeCases) {
		if names[c.name] {
			t.Errorf("two cases are called %s", c.name)
		}
		names[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			if e.Parallel {
				t.Parallel()
			}
			// Longer than anything takes: a hang should tell its name.
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			r := &room{T: t, ctx: ctx, engine: e, place: e.New(t)}
			r.sink = r.open(Options{})
			c.run(r)
		})
	}
}

// room is what a case works with: an empty sink and a clock.
type room struct {
	*testing.T
	ctx     context.Context
	engine  Engine
	place   Place
	sink    audit.Sink
	batches int
}

// open opens the sink once more.
func (r *room) open(o Options) audit.Sink {
	r.Helper()
	s := r.place(r.T, o)
	r.Cleanup(func() {
		if err := s.Close(); err != nil {
			r.Errorf("Close: %v", err)
		}
	})
	return s
}

// noon is when most things in the suite happen: the middle of an hour's first
// minute would hide mistakes of rounding.
var noon = time.Date(2026, 3, 31, 12, 34, 56, 789e6, time.UTC)

// deliver hands over one batch with an ID of its own.
func (r *room) deliver(rs ...audit.Record) audit.Batch {
	r.Helper()
	r.batches++
	b := audit.Batch{ID: fmt.Sprintf("batch-%d", r.batches), Records: rs}
	r.deliverTo(r.sink, b)
	return b
}

func (r *room) deliverTo(s audit.Sink, b audit.Batch) {
	r.Helper()
	if err := s.Deliver(r.ctx, b); err != nil {
		r.Fatalf("Deliver %s with %d records: %v", b.ID, len(b.Records), err)
	}
}

// find returns what the query finds.
func (r *room) find(q audit.Query) []audit.Record {
	r.Helper()
	return r.findIn(r.sink, q)
}

func (r *room) findIn(s audit.Sink, q audit.Query) []audit.Record {
	r.Helper()
	var out []audit.Record
	if err := s.Find(r.ctx, q, func(rec audit.Record) error {
		out = append(out, rec)
		return nil
	}); err != nil {
		r.Fatalf("Find %+v: %v", q, err)
	}
	return out
}

// follow returns the writer's records in the stream.
func (r *room) follow(s audit.Stream, writer string, after uint64) []audit.Record {
	r.Helper()
	var out []audit.Record
	if err := r.sink.Follow(r.ctx, s, writer, after, func(rec audit.Record) error {
		out = append(out, rec)
		return nil
	}); err != nil {
		r.Fatalf("Follow %s of %s: %v", s, writer, err)
	}
	return out
}

func (r *room) stats(q audit.StatsQuery) []audit.Bucket {
	r.Helper()
	list, err := r.sink.Stats(r.ctx, q)
	if err != nil {
		r.Fatalf("Stats %+v: %v", q, err)
	}
	return list
}

// same complains unless two lists hold equal records, in the same order.
func (r *room) same(what string, got, want []audit.Record) {
	r.Helper()
	if d := diff(got, want); d != "" {
		r.Errorf("%s: %s", what, d)
	}
}

// diff tells the first difference between two lists, "" if there is none.
func diff(got, want []audit.Record) string {
	for i := range min(len(got), len(want)) {
		if g, w := text(got[i]), text(want[i]); g != w {
			return fmt.Sprintf("%d records, want %d; record %d differs:\n got %.1000s\nwant %.1000s", len(got), len(want), i, g, w)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d records, want %d", len(got), len(want))
	}
	return ""
}

// text shows a whole record; equal records have equal texts.
func text(rec audit.Record) string {
	h := rec.Meta()
	return fmt.Sprintf("%s %d %v %q %d %s %q", rec.Stream(), h.Time.UnixMilli(), h.Time.Location(), h.Writer, h.Seq, h.Hash, audit.AppendBody(nil, rec))
}

// refused tells whether err says that asking again is of no use.
func (r *room) refused(what string, err error) {
	r.Helper()
	if !errors.Is(err, audit.ErrRefused) {
		r.Errorf("%s: %v; want ErrRefused", what, err)
	}
}
