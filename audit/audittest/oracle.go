package audittest

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"trellis/audit"
)

// fields reads a record: the values of each field as a Match sees them.
type fields map[string][]string

// Text implements audit.Visitor.
func (f fields) Text(n string, v *string) { f[n] = []string{*v} }

// Word implements audit.Visitor.
func (f fields) Word(n string, v *string) { f[n] = []string{*v} }

// List implements audit.Visitor.
func (f fields) List(n string, v *[]string) { f[n] = *v }

// Int implements audit.Visitor.
func (f fields) Int(n string, v *int64) { f[n] = []string{strconv.FormatInt(*v, 10)} }

func fieldsOf(r audit.Record) fields {
	f := fields{}
	r.Walk(f)
	switch r.Stream() {
	case audit.Events:
		f[audit.About] = slices.Concat(f["node"], f["other"])
	case audit.Decisions:
		f[audit.About] = slices.Concat(f["subject"], f["resource"])
	}
	return f
}

func (f fields) match(where []audit.Match) bool {
	for _, m := range where {
		if !slices.Contains(f[m.Field], m.Value) {
			return false
		}
	}
	return true
}

// order is that of Query, oldest first.
func order(a, b audit.Record) int {
	x, y := a.Meta(), b.Meta()
	return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.Writer, y.Writer), cmp.Compare(x.Seq, y.Seq))
}

// expect answers a query from all records there are.
func expect(all []audit.Record, q audit.Query) []audit.Record {
	var out []audit.Record
	for _, r := range all {
		t := r.Meta().Time
		if r.Stream() != q.Stream || !q.From.IsZero() && t.Before(q.From) || !q.To.IsZero() && !t.Before(q.To) || len(q.Where) > 0 && !fieldsOf(r).match(q.Where) {
			continue
		}
		if q.After != "" {
			p, err := audit.ParsePosition(q.After)
			if err != nil {
				panic(err) // the suite makes positions by PositionOf
			}
			c := order(r, &audit.Event{Head: audit.Head{Time: p.Time, Link: audit.Link{Writer: p.Writer, Seq: p.Seq}}})
			if q.Oldest && c <= 0 || !q.Oldest && c >= 0 {
				continue
			}
		}
		out = append(out, r)
	}
	slices.SortFunc(out, order)
	if !q.Oldest {
		slices.Reverse(out)
	}
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out
}

// count answers a StatsQuery from all records there are. Of values that occur
// equally often, those that are smaller byte by byte come first for Top.
func count(all []audit.Record, q audit.StatsQuery) []audit.Bucket {
	from, to := q.From.Truncate(q.Size), q.To.Add(q.Size-1).Truncate(q.Size)
	type place struct {
		start time.Time
		value string
	}
	counts, totals := map[place]*audit.Bucket{}, map[string]int64{}
	each := func(top map[string]bool) {
		clear(counts)
		for _, r := range all {
			t := r.Meta().Time
			if r.Stream() != q.Stream || t.Before(from) || !t.Before(to) {
				continue
			}
			f := fieldsOf(r)
			if !f.match(q.Where) || q.Within != "" && !slices.Contains(f["within"], q.Within) {
				continue
			}
			p := place{start: t.Truncate(q.Size)}
			if q.By != "" {
				p.value = f[q.By][0]
			}
			if top != nil && !top[p.value] {
				p.value = ""
			}
			b := counts[p]
			if b == nil {
				b = &audit.Bucket{Start: p.start, Value: p.value}
				counts[p] = b
			}
			n := int64(1)
			switch r := r.(type) {
			case *audit.Decision:
				n = r.Weight
			case *audit.Request:
				if r.Status >= 400 {
					b.Errors++
				}
				b.Bytes += r.BytesOut
				b.Latency += r.Latency
			}
			b.Count += n
			totals[p.value] += n
		}
	}
	each(nil)
	if q.Top > 0 && q.By != "" {
		var values []string
		for v := range totals {
			values = append(values, v)
		}
		slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(totals[b], totals[a]), cmp.Compare(a, b)) })
		top := map[string]bool{}
		for _, v := range values[:min(q.Top, len(values))] {
			top[v] = true
		}
		each(top)
	}
	var out []audit.Bucket
	for _, b := range counts {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b audit.Bucket) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Value, b.Value)) })
	return out
}
