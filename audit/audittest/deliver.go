package audittest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"trellis/audit"
)

var deliverCases = []testCase{
	{"ABatchCountsOnce", func(r *room) {
		b := sample("w", 60)
		r.deliverTo(r.sink, b)
		r.holds("once", b.Records)
		r.deliverTo(r.sink, b)
		r.holds("twice", b.Records)
		r.deliverTo(r.open(Options{}), b)
		r.holds("by another process", b.Records)
		if err := r.sink.Close(); err != nil {
			r.Fatal(err)
		}
		r.sink = r.open(Options{})
		r.deliverTo(r.sink, b)
		r.holds("after reopening", b.Records)
	}},
	{"ABatchDeliveredByManyAtOnceCountsOnce", func(r *room) {
		other := r.open(Options{})
		var all []audit.Record
		for round := range 5 {
			b := sample(fmt.Sprint("w", round), 200)
			all = append(all, b.Records...)
			var wg sync.WaitGroup
			for i := range 6 {
				s := r.sink
				if i%2 == 1 {
					s = other
				}
				wg.Go(func() {
					// Losing against the others may be an error that passes; trying again must help.
					err := s.Deliver(r.ctx, b)
					for try := 0; err != nil && try < 5; try++ {
						err = s.Deliver(r.ctx, b)
					}
					if err != nil {
						r.Errorf("Deliver: %v", err)
					}
				})
			}
			wg.Wait()
		}
		r.holds("all", all)
	}},
	{"AnOldBatchCountsOnceAfterManyOthers", func(r *room) {
		l := NewLinker("w")
		var batches []audit.Batch
		var all []audit.Record
		for b := range l.Batches(Records(120, 3), 3) {
			batches = append(batches, b)
			all = append(all, b.Records...)
			r.deliverTo(r.sink, b)
		}
		for _, i := range []int{len(batches) - 1, 0, len(batches) / 2} {
			r.deliverTo(r.sink, batches[i])
		}
		r.holds("all", all)
	}},
	{"BatchesNeedNotComeInOrder", func(r *room) {
		batches := slices.Collect(NewLinker("w").Batches(Records(40, 4), 10))
		for _, i := range []int{2, 0, 3, 1, 2} {
			r.deliverTo(r.sink, batches[i])
		}
		var all []audit.Record
		for _, b := range batches {
			all = append(all, b.Records...)
		}
		r.holds("all", all)
	}},
	{"ABatchMaySpanManyMonths", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		for i := range 400 {
			rec := audit.New(audit.Streams[i%len(audit.Streams)])
			rec.Walk(fill{int64(i + 1)})
			rec.Meta().Time = time.UnixMilli(int64(i)*9_000_000_000 + 1).UTC()
			all = append(all, l.Link(rec)...)
		}
		b := audit.Batch{ID: "w-1", Records: all}
		r.deliverTo(r.sink, b)
		r.deliverTo(r.sink, b)
		r.holds("all", all)
	}},
	{"ABatchOf10000", func(r *room) {
		for b := range NewLinker("w").Batches(Records(10_000, 5), 10_000) {
			r.deliverTo(r.sink, b)
			r.holds("all", b.Records)
			r.deliverTo(r.sink, b)
			r.holds("again", b.Records)
			for _, s := range audit.Streams {
				if err := r.sink.Misfiled(r.ctx, s, 1, func(h audit.Head) error { return fmt.Errorf("%v", h) }); err != nil {
					r.Errorf("misfiled of %s: %v", s, err)
				}
			}
		}
	}},
	{"ManyRecordsOfOneMillisecond", func(r *room) {
		l := NewLinker("w")
		for i := range 3 {
			var rs []audit.Record
			for range 1500 {
				rs = append(rs, &audit.Limit{Head: audit.Head{Time: noon}, Identifier: "x", Requests: int64(i)})
			}
			r.deliver(l.Link(rs...)...)
		}
		if n := len(r.find(audit.Query{Stream: audit.Limits})); n != 4500 {
			r.Errorf("%d records", n)
		}
		q := audit.Query{Stream: audit.Limits, Limit: 2}
		page := r.find(q)
		if len(page) != 2 || page[0].Meta().Seq != 4500 || page[1].Meta().Seq != 4499 {
			r.Errorf("%d records on the first page", len(page))
		}
	}},
	{"AnEmptyBatchHasNoEffect", func(r *room) {
		r.deliverTo(r.sink, audit.Batch{ID: "w-1"})
		r.holds("nothing", nil)
	}},
	{"ABadIDIsRefused", func(r *room) {
		for _, id := range []string{"", "A", "a b", "a/b", "ä", "a\x00", "a'", strings.Repeat("x", 201)} {
			b := sample("w", 3)
			b.ID = id
			r.refused(fmt.Sprintf("ID %q", id), r.sink.Deliver(r.ctx, b))
		}
		r.holds("nothing", nil)
		b := sample("w", 3)
		b.ID = strings.Repeat("z", 197) + "_-."
		r.deliverTo(r.sink, b)
		r.holds("the longest ID", b.Records)
	}},
	{"FollowStartsAfterAnySeq", func(r *room) {
		b, other := sample("w", 300), sample("x", 50)
		r.deliverTo(r.sink, b)
		r.deliverTo(r.sink, other)
		for _, s := range audit.Streams {
			all := expectOf(b.Records, s)
			for _, after := range []int{0, 1, len(all) - 1, len(all), len(all) + 5} {
				r.same(fmt.Sprintf("%s after %d", s, after), r.follow(s, "w", uint64(after)), all[min(after, len(all)):])
			}
			r.same("nobody", r.follow(s, "nobody", 0), nil)
		}
	}},
	{"FollowGoesBySeqThoughTheClockWentBack", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		for i, ms := range []int{50, 60, 10, 10, 70, 0, 60} {
			e := &audit.Event{Actor: fmt.Sprint(i)}
			e.Time = noon.Add(time.Duration(ms) * time.Millisecond)
			all = append(all, l.Link(e)...)
		}
		r.deliver(all[:3]...)
		r.deliver(all[3:]...)
		r.same("all", r.follow(audit.Events, "w", 0), all)
		writers, err := r.sink.Writers(r.ctx, audit.Events)
		if err != nil {
			r.Fatal(err)
		}
		r.same("the last by seq, not by time", writers, all[6:])
	}},
	{"WritersAreTheLastOfEach", func(r *room) {
		var want []audit.Record
		for _, w := range []string{"a", "b_1", "changes_x", "z"} {
			b := sample(w, 100)
			r.deliverTo(r.sink, b)
			list := expectOf(b.Records, audit.Requests)
			want = append(want, list[len(list)-1])
		}
		got, err := r.sink.Writers(r.ctx, audit.Requests)
		if err != nil {
			r.Fatal(err)
		}
		r.same("requests", got, want)
	}},
	{"AnEmptySinkAnswers", func(r *room) {
		r.holds("nothing", nil)
		for _, s := range audit.Streams {
			if list, err := r.sink.Writers(r.ctx, s); err != nil || len(list) != 0 {
				r.Errorf("%d writers of %s, %v", len(list), s, err)
			}
		}
		for s := range audit.Dimensions {
			if list := r.stats(audit.StatsQuery{Stream: s, From: noon, To: noon.Add(time.Hour), Size: audit.Hourly}); len(list) != 0 {
				r.Errorf("%d buckets of %s", len(list), s)
			}
		}
	}},
}

// sample is a batch of realistic records of all streams.
func sample(writer string, n int) audit.Batch {
	var all audit.Batch
	for b := range NewLinker(writer).Batches(everyStream(n), n) {
		all = b
	}
	return all
}

// everyStream makes records of all streams alike.
func everyStream(n int) func(func(audit.Record) bool) {
	return Records(n, uint64(n), audit.Streams...)
}

// expectOf returns those of the stream, in their order.
func expectOf(rs []audit.Record, s audit.Stream) []audit.Record {
	var out []audit.Record
	for _, rec := range rs {
		if rec.Stream() == s {
			out = append(out, rec)
		}
	}
	return out
}

// holds checks that the sink holds these records and no others: one by one,
// in its counts and in what is known of keys.
func (r *room) holds(what string, all []audit.Record) {
	r.Helper()
	for _, s := range audit.Streams {
		q := audit.Query{Stream: s}
		r.same(fmt.Sprint(what, ", ", s), r.find(q), expect(all, q))
	}
	// Ten years hold all that the suite counts, but for one case's early records.
	from, to := noon.Add(-5*365*audit.Day), noon.Add(4*365*audit.Day)
	for s := range audit.Dimensions {
		q := audit.StatsQuery{Stream: s, From: from, To: to, Size: audit.Daily}
		r.sameBuckets(fmt.Sprint(what, ", ", s), r.stats(q), count(all, q))
	}
	used := map[string]time.Time{}
	var keys []string
	for _, rec := range all {
		if q, ok := rec.(*audit.Request); ok && q.Key != "" {
			if _, known := used[q.Key]; !known {
				keys = append(keys, q.Key)
			}
			if q.Time.After(used[q.Key]) {
				used[q.Key] = q.Time
			}
		}
	}
	r.lastUsed(what, keys[:min(len(keys), 1000)], used)
}

func (r *room) lastUsed(what string, keys []string, want map[string]time.Time) {
	r.Helper()
	got, err := r.sink.LastUsed(r.ctx, append([]string{"never-used"}, keys...)[:min(len(keys)+1, 1000)])
	if err != nil {
		r.Fatalf("%s: LastUsed: %v", what, err)
	}
	for k, at := range got {
		if !at.Equal(want[k]) || at.Location() != time.UTC {
			r.Errorf("%s: %s was last used %v, want %v", what, k, at, want[k])
		}
	}
	if len(got) != min(len(keys), 999) {
		r.Errorf("%s: %d keys, want %d", what, len(got), len(keys))
	}
}
