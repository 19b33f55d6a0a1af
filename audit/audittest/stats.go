package audittest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"trellis/audit"
)

var statsCases = []testCase{
	{"StatsCountWhatFindFinds", func(r *room) {
		all := r.world(2400)
		for _, s := range []audit.Stream{audit.Events, audit.Decisions, audit.Requests} {
			for _, by := range append([]string{""}, audit.Dimensions[s]...) {
				for _, size := range []time.Duration{audit.Hourly, audit.Daily} {
					for _, top := range []int{0, 1, 3} {
						q := audit.StatsQuery{Stream: s, From: World.Until.Add(-12*audit.Day + time.Millisecond), To: World.Until.Add(-7*audit.Day - 1), Size: size, By: by, Top: top}
						r.sameBuckets(fmt.Sprintf("%+v", q), r.stats(q), count(all, q))
					}
				}
			}
		}
	}},
	{"RandomStatsAgreeWithTheOracle", func(r *room) {
		all := r.world(2000)
		rng := rand.New(rand.NewPCG(3, 4))
		for range r.engine.Rounds {
			q := statsQuestion(rng, all)
			r.sameBuckets(fmt.Sprintf("%+v", q), r.stats(q), count(all, q))
		}
	}},
	{"StatsWithinANodeCountWhatIsBelow", func(r *room) {
		all := r.world(1500)
		for _, s := range []audit.Stream{audit.Events, audit.Decisions} {
			for _, node := range append(within(0), Organization(3), Repo(World.Organizations), "organization:none") {
				for _, by := range []string{"", "actor"} {
					q := audit.StatsQuery{Stream: s, From: World.Until.Add(-31 * audit.Day), To: World.Until, Size: audit.Daily, By: by, Within: node, Top: 2}
					r.sameBuckets(fmt.Sprintf("%s within %s by %q", s, node, by), r.stats(q), count(all, q))
				}
			}
		}
	}},
	{"BucketsAreAlignedAndBoundsWidened", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		day := noon.Truncate(audit.Day)
		for _, at := range []time.Duration{-1, 0, time.Hour - time.Millisecond, time.Hour, audit.Day - time.Millisecond, audit.Day} {
			e := &audit.Event{Action: "a:b"}
			e.Time = day.Add(at).Truncate(time.Millisecond)
			all = append(all, l.Link(e)...)
		}
		r.deliver(all...)
		for _, size := range []time.Duration{audit.Hourly, audit.Daily} {
			for _, bounds := range [][2]time.Time{{day, day.Add(1)}, {day.Add(time.Hour - 1), day.Add(time.Hour)}, {day, day.Add(audit.Day)}, {day.Add(1), day.Add(audit.Day + 1)}, {day.Add(-1), day}, {day.In(time.FixedZone("", 1800)), day.Add(time.Hour).In(time.FixedZone("", -1800))}} {
				q := audit.StatsQuery{Stream: audit.Events, From: bounds[0], To: bounds[1], Size: size}
				r.sameBuckets(fmt.Sprintf("%v to %v by %v", bounds[0], bounds[1], size), r.stats(q), count(all, q))
			}
		}
	}},
	{"DecisionsCountByTheirWeight", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		for i, weight := range []int64{1, 10, 1000, 1} {
			d := &audit.Decision{Actor: "user:a", Permission: "p:q", Answer: []string{audit.Allowed, audit.Refused}[i%2], Weight: weight, Within: []string{"a:b", "c:d"}}
			d.Time = noon
			all = append(all, l.Link(d)...)
		}
		r.deliver(all...)
		q := audit.StatsQuery{Stream: audit.Decisions, From: noon, To: noon.Add(1), Size: audit.Hourly, By: "answer"}
		start := noon.Truncate(time.Hour)
		r.sameBuckets("weights", r.stats(q), []audit.Bucket{{Start: start, Value: audit.Allowed, Count: 1001}, {Start: start, Value: audit.Refused, Count: 11}})
	}},
	{"RequestsSumErrorsBytesAndLatency", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		for _, status := range []int64{200, 301, 399, 400, 404, 500, 0} {
			q := &audit.Request{Route: "/x", Key: "k", Status: status, Latency: 10 * status, BytesIn: 7, BytesOut: 1 << 33}
			q.Time = noon
			all = append(all, l.Link(q)...)
		}
		r.deliver(all...)
		q := audit.StatsQuery{Stream: audit.Requests, From: noon, To: noon.Add(1), Size: audit.Daily}
		r.sameBuckets("sums", r.stats(q), []audit.Bucket{{Start: noon.Truncate(audit.Day), Count: 7, Errors: 3, Bytes: 7 << 33, Latency: 22040}})
	}},
	{"TopPutsTheRestUnderNothing", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		// "" is a value like the others until it has to take in the rest; of b
		// and c, which are equally frequent, b comes first.
		for value, n := range map[string]int{"a": 5, "b": 3, "c": 3, "": 4, "d": 1, "é": 1} {
			for i := range n {
				e := &audit.Event{Actor: value}
				e.Time = noon.Add(time.Duration(i) * time.Hour)
				all = append(all, e)
			}
		}
		r.deliver(l.Link(all...)...)
		for top := range 8 {
			q := audit.StatsQuery{Stream: audit.Events, From: noon, To: noon.Add(audit.Day), Size: audit.Daily, By: "actor", Top: top}
			r.sameBuckets(fmt.Sprintf("top %d", top), r.stats(q), count(all, q))
			q.By = ""
			r.sameBuckets(fmt.Sprintf("top %d of nothing", top), r.stats(q), count(all, q))
		}
	}},
	{"StatsOfOddValues", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		for _, s := range oddTexts {
			e := &audit.Event{Actor: s, Action: s, Outcome: s, Within: []string{s}}
			e.Time = noon
			all = append(all, l.Link(e)...)
		}
		r.deliver(all...)
		for _, by := range audit.Dimensions[audit.Events] {
			q := audit.StatsQuery{Stream: audit.Events, From: noon, To: noon.Add(1), Size: audit.Daily, By: by}
			r.sameBuckets(by, r.stats(q), count(all, q))
		}
		for _, s := range oddTexts {
			q := audit.StatsQuery{Stream: audit.Events, From: noon, To: noon.Add(1), Size: audit.Daily, Within: s, Where: []audit.Match{{Field: "action", Value: s}}}
			r.sameBuckets(fmt.Sprintf("%q", s), r.stats(q), count(all, q))
		}
	}},
	{"LastUsedIsTheLatest", func(r *room) {
		l := NewLinker("w")
		want := map[string]time.Time{}
		var all []audit.Record
		var keys []string
		for i := range 1000 {
			k := fmt.Sprintf("key-%d", i)
			keys = append(keys, k)
			for _, ms := range []int{5, 9, 2} {
				q := &audit.Request{Key: k}
				q.Time = noon.Add(time.Duration(i*10+ms) * time.Millisecond)
				all = append(all, q)
				if q.Time.After(want[k]) {
					want[k] = q.Time
				}
			}
		}
		r.deliver(l.Link(all...)...)
		r.lastUsed("all", keys, want)
		late := &audit.Request{Key: "key-3"}
		late.Time = noon.Add(-time.Hour)
		r.deliver(l.Link(late)...)
		r.lastUsed("a late record", keys[:10], want)
		late = &audit.Request{Key: "key-3"}
		late.Time = noon.Add(time.Hour)
		r.deliver(l.Link(late)...)
		want["key-3"] = late.Time
		r.lastUsed("a new record", keys[3:4], want)
		r.lastUsed("a key twice", []string{"key-7"}, want)
	}},
}

// statsQuestion draws a question that has something to do with the records.
func statsQuestion(rng *rand.Rand, all []audit.Record) audit.StatsQuery {
	var rec audit.Record
	for rec == nil || audit.Dimensions[rec.Stream()] == nil {
		rec = all[rng.IntN(len(all))]
	}
	dims, f := audit.Dimensions[rec.Stream()], fieldsOf(rec)
	from := World.Until.Add(-time.Duration(rng.Int64N(int64(30 * audit.Day))))
	q := audit.StatsQuery{Stream: rec.Stream(), From: from, To: from.Add(1 + time.Duration(rng.Int64N(int64(20*audit.Day)))),
		Size: []time.Duration{audit.Hourly, audit.Daily}[rng.IntN(2)], Top: rng.IntN(4)}
	if rng.IntN(4) > 0 {
		q.By = dims[rng.IntN(len(dims))]
	}
	if q.Stream != audit.Requests && rng.IntN(2) == 0 {
		q.Within = f["within"][rng.IntN(len(f["within"]))]
	}
	for _, d := range dims {
		if rng.IntN(3) == 0 {
			q.Where = append(q.Where, audit.Match{Field: d, Value: f[d][0]})
		}
	}
	return q
}

func (r *room) sameBuckets(what string, got, want []audit.Bucket) {
	r.Helper()
	if len(got) != len(want) {
		r.Errorf("%s: %d buckets, want %d", what, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i].Start.Location() != time.UTC || !got[i].Start.Equal(want[i].Start) {
			r.Errorf("%s: bucket %d starts %v, want %v", what, i, got[i].Start, want[i].Start)
			return
		}
		g := got[i]
		g.Start = want[i].Start
		if g != want[i] {
			r.Errorf("%s: bucket %d of %d:\n got %+v\nwant %+v", what, i, len(want), g, want[i])
			return
		}
	}
}
