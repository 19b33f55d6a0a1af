package audittest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"trellis/audit"
)

var findCases = []testCase{
	{"EqualTimesGoByWriterAndSeq", func(r *room) {
		var all []audit.Record
		for _, w := range []string{"b", "a", "b_", "a1"} {
			l := NewLinker(w)
			for i := range 12 {
				e := &audit.Event{Actor: "user:a"}
				e.Time = noon.Add(time.Duration(i/5) * time.Millisecond)
				all = append(all, l.Link(e)...)
			}
		}
		// Parts of one writer each, in no order.
		for _, part := range [][]audit.Record{all[:5], all[20:24], all[24:36], all[5:12], all[36:], all[12:20]} {
			r.deliver(part...)
		}
		for _, oldest := range []bool{true, false} {
			q := audit.Query{Stream: audit.Events, Oldest: oldest}
			want := expect(all, q)
			r.same("whole", r.find(q), want)
			for _, size := range []int{1, 2, 7, len(all) - 1, len(all), len(all) + 1} {
				r.same(fmt.Sprintf("pages of %d", size), r.pages(q, size, nil), want)
			}
		}
	}},
	{"PagesAreStableWhileRecordsAreDelivered", func(r *room) {
		l := NewLinker("m")
		var before []audit.Record
		for i := range 40 {
			e := &audit.Event{Actor: "user:a"}
			e.Time = noon.Add(time.Duration(i/3) * time.Second)
			before = append(before, l.Link(e)...)
		}
		r.deliver(before...)
		// Other writers come before and after "m" among equal times.
		late := map[string]*Linker{"a": NewLinker("a"), "z": NewLinker("z")}
		for _, oldest := range []bool{true, false} {
			q := audit.Query{Stream: audit.Events, Oldest: oldest}
			n := 0
			got := r.pages(q, 6, func() {
				for _, w := range []string{"a", "z"} {
					e := &audit.Event{Actor: "user:b"}
					e.Time = noon.Add(time.Duration(n%20) * time.Second)
					r.deliver(late[w].Link(e)...)
				}
				n += 7
			})
			got = slices.DeleteFunc(got, func(rec audit.Record) bool { return rec.Meta().Writer != "m" })
			r.same(fmt.Sprintf("oldest %v", oldest), got, expect(before, q))
		}
	}},
	{"Page1000IsLikePage1", func(r *room) {
		var all []audit.Record
		for b := range NewLinker("w").Batches(Records(2100, 6, audit.Limits), 700) {
			r.deliverTo(r.sink, b)
			all = append(all, b.Records...)
		}
		q := audit.Query{Stream: audit.Limits}
		r.same("pages of 2", r.pages(q, 2, nil), expect(all, q))
	}},
	{"BoundsAreExact", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		for i := range 9 {
			e := &audit.Event{}
			e.Time = noon.Add(time.Duration(i/2) * time.Millisecond)
			all = append(all, l.Link(e)...)
		}
		r.deliver(all...)
		for from := -1; from < 6; from++ {
			for to := -1; to < 7; to++ {
				for _, oldest := range []bool{true, false} {
					q := audit.Query{Stream: audit.Events, Oldest: oldest}
					if from >= 0 {
						q.From = noon.Add(time.Duration(from) * time.Millisecond)
					}
					if to >= 0 {
						q.To = noon.Add(time.Duration(to) * time.Millisecond)
					}
					r.same(fmt.Sprintf("from %d to %d", from, to), r.find(q), expect(all, q))
				}
			}
		}
		// A bound between two milliseconds, and one in another zone.
		q := audit.Query{Stream: audit.Events, From: noon.Add(time.Millisecond / 2), To: noon.Add(3*time.Millisecond + 1).In(time.FixedZone("", 7200))}
		r.same("between milliseconds", r.find(q), expect(all, q))
	}},
	{"EveryFieldCanBeAskedFor", func(r *room) {
		all := r.world(600)
		for _, s := range audit.Streams {
			f := fields{}
			audit.New(s).Walk(f)
			names := []string{}
			for name := range f {
				names = append(names, name)
			}
			if s == audit.Events || s == audit.Decisions {
				names = append(names, audit.About)
			}
			list := expectOf(all, s)
			for _, name := range names {
				for _, i := range []int{0, len(list) / 2, len(list) - 1} {
					value := ""
					if v := fieldsOf(list[i])[name]; len(v) > 0 {
						value = v[len(v)-1]
					}
					q := audit.Query{Stream: s, Where: []audit.Match{{Field: name, Value: value}}}
					r.same(fmt.Sprintf("%s where %s is %q", s, name, value), r.find(q), expect(all, q))
				}
				q := audit.Query{Stream: s, Where: []audit.Match{{Field: name, Value: "no such value"}}}
				// A text that is no number may be refused where a number is asked for.
				if err := r.sink.Find(r.ctx, q, func(rec audit.Record) error {
					r.Errorf("%s where %s is nothing: %s", s, name, text(rec))
					return nil
				}); err != nil && !errors.Is(err, audit.ErrRefused) {
					r.Errorf("%s where %s is nothing: %v", s, name, err)
				}
			}
		}
	}},
	{"RandomQuestionsAgreeWithTheOracle", func(r *room) {
		all := r.world(2000)
		rng := rand.New(rand.NewPCG(1, 2))
		for range r.engine.Rounds {
			q := question(rng, all)
			r.same(fmt.Sprintf("%+v", q), r.find(q), expect(all, q))
			if q.Limit == 0 {
				r.same(fmt.Sprintf("%+v, in pages", q), r.pages(q, 1+rng.IntN(60), nil), expect(all, q))
			}
		}
	}},
	{"TheErrorOfYieldIsReturned", func(r *room) {
		all := r.world(3000)
		mine := errors.New("enough")
		for _, limit := range []int{0, 500} {
			n := 0
			err := r.sink.Find(r.ctx, audit.Query{Stream: audit.Events, Limit: limit}, func(audit.Record) error {
				if n++; n == 3 {
					return mine
				}
				return nil
			})
			if !errors.Is(err, mine) || n != 3 {
				r.Errorf("Find: %v after %d records", err, n)
			}
		}
		n := 0
		err := r.sink.Follow(r.ctx, audit.Events, all[0].Meta().Writer, 0, func(audit.Record) error {
			n++
			return mine
		})
		if !errors.Is(err, mine) || n != 1 {
			r.Errorf("Follow: %v after %d records", err, n)
		}
	}},
	{"ACallMayBeMadeFromYield", func(r *room) {
		r.world(600)
		n := 0
		if err := r.sink.Find(r.ctx, audit.Query{Stream: audit.Requests}, func(rec audit.Record) error {
			if n++; n%20 != 1 {
				return nil
			}
			h := rec.Meta()
			first := true
			return r.sink.Follow(r.ctx, audit.Requests, h.Writer, h.Seq-1, func(again audit.Record) error {
				if first {
					r.same("the same by Follow", []audit.Record{again}, []audit.Record{rec})
				}
				first = false
				return nil
			})
		}); err != nil || n == 0 {
			r.Errorf("%d records, %v", n, err)
		}
	}},
	{"TheEndOfTheContextEndsFind", func(r *room) {
		r.world(5000)
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		n := 0
		err := r.sink.Find(ctx, audit.Query{Stream: audit.Requests}, func(audit.Record) error {
			n++
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			r.Errorf("%v after %d records", err, n)
		}
	}},
	{"WhatCannotBeAskedIsRefused", func(r *room) {
		ok := audit.StatsQuery{Stream: audit.Events, From: noon, To: noon.Add(audit.Day), Size: audit.Hourly}
		for _, q := range []audit.Query{
			{}, {Stream: "nothing"}, {Stream: audit.Events, Limit: -1}, {Stream: audit.Events, After: "x"},
			{Stream: audit.Events, Where: []audit.Match{{Field: "status", Value: "1"}}}, {Stream: audit.Requests, Where: []audit.Match{{Field: audit.About, Value: "x"}}},
			{Stream: audit.Events, Where: []audit.Match{{Field: "actor; DROP TABLE audit_events", Value: "x"}}},
		} {
			r.refused(fmt.Sprintf("%+v", q), r.sink.Find(r.ctx, q, func(audit.Record) error { return nil }))
		}
		for _, change := range []func(q *audit.StatsQuery){
			func(q *audit.StatsQuery) { q.Stream = audit.Mails }, func(q *audit.StatsQuery) { q.Size = time.Minute }, func(q *audit.StatsQuery) { q.By = "node" },
			func(q *audit.StatsQuery) { q.From = time.Time{} }, func(q *audit.StatsQuery) { q.To = q.From }, func(q *audit.StatsQuery) { q.Top = -1 },
			func(q *audit.StatsQuery) { q.Stream, q.Within = audit.Requests, "organization:a" },
			func(q *audit.StatsQuery) { q.Where = []audit.Match{{Field: "node", Value: "x"}} },
		} {
			q := ok
			change(&q)
			_, err := r.sink.Stats(r.ctx, q)
			r.refused(fmt.Sprintf("%+v", q), err)
		}
		_, err := r.sink.LastUsed(r.ctx, make([]string, 1001))
		r.refused("1,001 keys", err)
		if got, err := r.sink.LastUsed(r.ctx, nil); err != nil || len(got) != 0 {
			r.Errorf("no keys: %v, %v", got, err)
		}
		_, err = r.sink.Writers(r.ctx, "nothing")
		r.refused("Writers of nothing", err)
		r.refused("Follow of nothing", r.sink.Follow(r.ctx, "nothing", "w", 0, func(audit.Record) error { return nil }))
	}},
}

// world delivers realistic records of all streams by two writers, some of
// equal times, and returns them.
func (r *room) world(n int) []audit.Record {
	r.Helper()
	var all []audit.Record
	linkers := []*Linker{NewLinker("changes_1"), NewLinker("spool_1")}
	i := 0
	parts := [2][]audit.Record{}
	for rec := range everyStream(n) {
		h := rec.Meta()
		if i%3 == 0 {
			h.Time = h.Time.Truncate(time.Hour)
		}
		parts[i%2] = append(parts[i%2], rec)
		i++
	}
	for w, part := range parts {
		for rs := range slices.Chunk(linkers[w].Link(part...), 1+n/5) {
			r.deliver(rs...)
		}
		all = append(all, part...)
	}
	return all
}

// pages reads a query page by page; between is called after each.
func (r *room) pages(q audit.Query, size int, between func()) []audit.Record {
	r.Helper()
	var out []audit.Record
	for q.Limit = size; ; {
		page := r.find(q)
		if len(page) > size {
			r.Fatalf("%d records on a page of %d", len(page), size)
		}
		out = append(out, page...)
		if len(page) == 0 {
			return out
		}
		if len(page) == size || between == nil {
			q.After = audit.PositionOf(page[len(page)-1])
		}
		if len(page) < size {
			return out
		}
		if between != nil {
			between()
		}
	}
}

// question draws a query that has something to do with the records.
func question(rng *rand.Rand, all []audit.Record) audit.Query {
	some := func() audit.Record { return all[rng.IntN(len(all))] }
	rec := some()
	q := audit.Query{Stream: rec.Stream(), Oldest: rng.IntN(2) == 0}
	if rng.IntN(3) == 0 {
		q.From = some().Meta().Time
	}
	if rng.IntN(3) == 0 {
		q.To = some().Meta().Time.Add(time.Duration(rng.IntN(2)) * time.Millisecond)
	}
	f := fieldsOf(rec)
	names := make([]string, 0, len(f))
	for name, v := range f {
		if len(v) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for range rng.IntN(4) {
		name := names[rng.IntN(len(names))]
		values := f[name]
		if rng.IntN(5) == 0 { // of another record, so that perhaps nothing fits
			if v := fieldsOf(some())[name]; len(v) > 0 {
				values = v
			}
		}
		q.Where = append(q.Where, audit.Match{Field: name, Value: values[rng.IntN(len(values))]})
	}
	if rng.IntN(2) == 0 {
		q.Limit = 1 + rng.IntN(30)
	}
	if rng.IntN(3) == 0 {
		if other := some(); other.Stream() == q.Stream {
			q.After = audit.PositionOf(other)
		}
	}
	return q
}
