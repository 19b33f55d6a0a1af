package audittest

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"pgregory.net/rapid"

	"trellis/audit"
)

var valueCases = []testCase{
	{"EveryFieldComesBack", func(r *room) {
		rounds := 0
		rapid.Check(r.T, func(t *rapid.T) {
			rounds++ // shrinking, too, needs a writer that is new to the sink
			l := NewLinker(fmt.Sprintf("w%d", rounds))
			var all []audit.Record
			for range rapid.IntRange(1, 12).Draw(t, "records") {
				all = append(all, l.Link(draw(t))...)
			}
			r.deliver(all...)
			for _, s := range audit.Streams {
				list := expectOf(all, s)
				if len(list) == 0 {
					continue
				}
				got := r.follow(s, list[0].Meta().Writer, 0)
				if d := cmp.Or(diff(got, list), broken(got)); d != "" {
					t.Fatal(d)
				}
			}
		})
	}},
	{"OddTextsComeBackFromFind", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		for i, s := range oddTexts {
			e := &audit.Event{Actor: s, Key: s, Action: s, Outcome: s, Node: s, Other: s, Within: []string{s, "x" + s}, Before: s, After: s, Reason: s, RequestID: s, Address: s, Agent: s}
			e.Time = noon.Add(time.Duration(i) * time.Second)
			all = append(all, l.Link(e)...)
		}
		r.deliver(all...)
		r.same("all", r.find(audit.Query{Stream: audit.Events, Oldest: true}), all)
		for i, s := range oddTexts {
			for _, field := range []string{"actor", "within", "reason", "agent", audit.About} {
				q := audit.Query{Stream: audit.Events, Where: []audit.Match{{Field: field, Value: s}}}
				r.same(fmt.Sprintf("%s %.100q", field, s), r.find(q), all[i:i+1])
			}
		}
	}},
	{"EmptyAndFullRecordsComeBack", func(r *room) {
		l := NewLinker("changes_0")
		var all []audit.Record
		for _, s := range audit.Streams {
			for _, n := range []int64{0, 1, -1, 255, 256, math.MaxInt32 + 1, math.MaxUint32 + 1, math.MaxInt64, math.MinInt64} {
				rec := audit.New(s)
				rec.Meta().Time = noon
				rec.Walk(fill{n})
				all = append(all, l.Link(rec)...)
			}
		}
		r.deliver(all...)
		for _, s := range audit.Streams {
			q := audit.Query{Stream: s, Oldest: true}
			got := r.find(q)
			r.same(string(s), got, expect(all, q))
			r.verify(got)
		}
	}},
	{"LongTextsComeBack", func(r *room) {
		e := &audit.Event{Actor: strings.Repeat("ä", 600), Before: strings.Repeat("{\"x\":\"é\"}", 100_000), After: strings.Repeat("\x00", 300_000)}
		for i := range 200 {
			e.Within = append(e.Within, fmt.Sprintf("folder:%s-%d", strings.Repeat("deep", 100), i))
		}
		e.Time = noon
		all := NewLinker("w").Link(e)
		r.deliver(all...)
		r.same("all", r.find(audit.Query{Stream: audit.Events}), all)
		r.same("within", r.find(audit.Query{Stream: audit.Events, Where: []audit.Match{{Field: "within", Value: e.Within[199]}}}), all)
	}},
	{"TimesComeBackToTheMillisecond", func(r *room) {
		l := NewLinker("w")
		var all []audit.Record
		for _, ms := range []int64{0, 1, 999, 951782399999, 1774960496789, 2147483647999, 2147483648000, 4102444799999} {
			rec := &audit.Request{Key: "k"}
			rec.Time = time.UnixMilli(ms).UTC()
			all = append(all, l.Link(rec)...)
		}
		r.deliver(all...)
		r.same("all", r.find(audit.Query{Stream: audit.Requests, Oldest: true}), all)
	}},
}

// oddTexts are what careless quoting, folding or cutting would change; all
// are different, and valid UTF-8.
var oddTexts = []string{
	"", " ", "a", "A", "a ", " a", "ａ", "\x00", "a\x00", "a\x00b", "'", "''", "\"", "\\", "\\'", "\\n", "\n", "\r\n", "\t", "%", "_", "?", "?1", "{x:String}", "$1", "@x", ":x", ";--", "/*", "NULL", "null", "0", "00", "1e3", "-0", "[]", "[\"a\"]", "{}",
	"é", "e\u0301", "ß", "SS", "İ", "i", "ı", "\u200b", "\ufeff", "\ufffd", "\u2028", "日本語", "👩‍👩‍👧", "\U0010ffff", "\x7f", "\x01", "\x1b[31m",
}

// fill sets every number, and every text if the number is not 0.
type fill struct{ n int64 }

// Int implements audit.Visitor.
func (f fill) Int(_ string, v *int64) { *v = f.n }

// Text implements audit.Visitor.
func (f fill) Text(n string, v *string) {
	if f.n != 0 {
		*v = fmt.Sprint(n, f.n)
	}
}

// Word implements audit.Visitor.
func (f fill) Word(n string, v *string) { f.Text(n, v) }

// List implements audit.Visitor.
func (f fill) List(n string, v *[]string) {
	if f.n != 0 {
		*v = []string{n, fmt.Sprint(f.n)}
	}
}

// drawer gives every field a random value.
type drawer struct{ t *rapid.T }

var texts = rapid.OneOf(rapid.SampledFrom(oddTexts), rapid.String(), rapid.StringMatching(`[a-z]{1,9}:[a-z0-9/-]{1,20}`))

// Text implements audit.Visitor.
func (d drawer) Text(n string, v *string) { *v = texts.Draw(d.t, n) }

// Word implements audit.Visitor.
func (d drawer) Word(n string, v *string) { d.Text(n, v) }

// Int implements audit.Visitor.
func (d drawer) Int(n string, v *int64) { *v = rapid.Int64().Draw(d.t, n) }

// List implements audit.Visitor.
func (d drawer) List(n string, v *[]string) {
	*v = rapid.SliceOfNDistinct(texts, 0, 4, rapid.ID[string]).Draw(d.t, n)
}

// draw makes a record of any stream, of any time from 1970 to 2099.
func draw(t *rapid.T) audit.Record {
	rec := audit.New(rapid.SampledFrom(audit.Streams).Draw(t, "stream"))
	rec.Meta().Time = time.UnixMilli(rapid.Int64Range(0, 4102444799999).Draw(t, "time")).UTC()
	rec.Walk(drawer{t})
	return rec
}

// broken says where the chain of a writer's records of one stream breaks; they
// are as they came back, from the first.
func broken(rs []audit.Record) string {
	c := audit.NewChain(Secret)
	last := map[string]audit.Link{}
	for i, rec := range rs {
		h := rec.Meta()
		before := last[h.Writer]
		if h.Seq != before.Seq+1 || c.Sum(before.Hash, rec) != h.Hash {
			return fmt.Sprintf("record %d of %d, with seq %d, does not fit the chain", i, len(rs), h.Seq)
		}
		last[h.Writer] = h.Link
	}
	return ""
}

func (r *room) verify(rs []audit.Record) {
	r.Helper()
	if s := broken(rs); s != "" {
		r.Error(s)
	}
}
