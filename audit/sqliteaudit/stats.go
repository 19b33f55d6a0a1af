package sqliteaudit

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"strconv"
	"time"

	"trellis/audit"
)

// filter says which entries of the hourly counts are wanted.
type filter struct {
	within map[int64]bool // the lists that may be; nil is any
	fields [4]*int64      // of the table's counted ones; nil is any
}

func (f *filter) match(k *countKey) bool {
	for i, want := range f.fields {
		if want != nil && k.values[i] != *want {
			return false
		}
	}
	return f.within == nil || f.within[k.within]
}

// filter is what the hourly counts know of the conditions; nil if they know
// nothing, or nothing is counted.
func (s *Sink) filter(ctx context.Context, t *table, conds []condition) (*filter, error) {
	if t.counted == nil {
		return nil, nil
	}
	var f filter
	some := false
	for _, c := range conds {
		if c.field == "within" {
			lists, err := s.listsOf(ctx, c.value)
			if err != nil {
				return nil, err
			}
			if f.within != nil { // of a second one, those in both
				for id := range f.within {
					if !lists[id] {
						delete(f.within, id)
					}
				}
			} else {
				f.within = lists
			}
			some = true
		}
		if i := slices.Index(t.counted, c.field); i >= 0 {
			f.fields[i] = &c.value
			some = true
		}
	}
	if !some {
		return nil, nil
	}
	return &f, nil
}

// listsOf returns the lists that a node is in.
func (s *Sink) listsOf(ctx context.Context, node int64) (map[int64]bool, error) {
	rows, err := s.readers.QueryContext(ctx, `SELECT list FROM member WHERE node = ?`, node)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	lists := map[int64]bool{}
	var id int64
	for rows.Next() {
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		lists[id] = true
	}
	return lists, rows.Err()
}

// fewParts is how many parts the first statement of hours reads, each further
// one twice as many up to manyParts: a page is often full after some hours.
const (
	fewParts  = 4
	manyParts = 64
)

const hour = int64(time.Hour / time.Millisecond)

// hours calls one with the bounds of each hour in which something matches, in
// order, until it returns false.
func (s *Sink) hours(ctx context.Context, t *table, f *filter, lo, hi int64, oldest bool, one func(lo, hi int64) (bool, error)) error {
	from, to := hourID(t.number, lo>>idBits/hour), hourID(t.number, hi>>idBits/hour+1)-1
	text := `SELECT id, body FROM hourly WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?`
	if oldest {
		text = `SELECT id, body FROM hourly WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?`
	}
	done := int64(-1) // an hour may have several parts
	for limit := fewParts; from <= to; limit = min(2*limit, manyParts) {
		var hits []int64
		n := 0
		if err := s.parts(ctx, text, func(id int64, body []byte) error {
			if n++; oldest {
				from = id + 1
			} else {
				to = id - 1
			}
			if hourOf(id) == done {
				return nil
			}
			return eachCount(id, body, func(k *countKey, _ *sums) bool {
				if !f.match(k) {
					return true
				}
				done = hourOf(id)
				hits = append(hits, done)
				return false
			})
		}, from, to, limit); err != nil {
			return err
		}
		for _, h := range hits {
			if more, err := one(firstID(h*hour), firstID((h+1)*hour)-1); !more || err != nil {
				return err
			}
		}
		if n < limit {
			return nil
		}
	}
	return nil
}

// parts calls one with each row of hourly that the statement selects; the
// bytes are only valid during the call.
func (s *Sink) parts(ctx context.Context, text string, one func(id int64, body []byte) error, args ...any) error {
	rows, err := s.readers.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var id int64
	var body sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		if err := one(id, body); err != nil {
			return s.damaged("%v: %v", id, err)
		}
	}
	return rows.Err()
}

// Stats adds up the hourly counts.
func (s *Sink) Stats(ctx context.Context, q audit.StatsQuery) ([]audit.Bucket, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if err := q.Validate(); err != nil {
		return nil, err
	}
	buckets, err := s.stats(ctx, &q)
	return buckets, s.fault(ctx, err)
}

func (s *Sink) stats(ctx context.Context, q *audit.StatsQuery) ([]audit.Bucket, error) {
	t := tables[q.Stream]
	f, possible, err := s.statsFilter(ctx, t, q)
	if err != nil || !possible {
		return nil, err
	}
	c := counter{by: slices.Index(t.counted, q.By), size: int64(q.Size / time.Hour), bucket: -1, last: -1, here: map[int64]int{}}
	from := max(q.From.Truncate(q.Size).UnixMilli()/hour, 0)
	to := min(max(q.To.Add(q.Size-1).Truncate(q.Size).UnixMilli()/hour, 0), 1<<hourBits-1)
	if err := s.parts(ctx, `SELECT id, body FROM hourly WHERE id >= ? AND id < ? ORDER BY id`, func(id int64, body []byte) error {
		c.start(hourOf(id))
		return eachCount(id, body, func(k *countKey, n *sums) bool {
			if f.match(k) {
				c.add(k, n)
			}
			return true
		})
	}, hourID(t.number, from), hourID(t.number, to)); err != nil {
		return nil, err
	}
	texts := map[int64]string{}
	if q.By == "status" {
		for _, l := range c.lines {
			texts[l.value] = strconv.FormatInt(l.value, 10)
		}
	} else if q.By != "" {
		for _, l := range c.lines {
			texts[l.value] = ""
		}
		if err := s.words.read(ctx, s.readers, texts); err != nil {
			return nil, err
		}
	}
	if q.By != "" && q.Top > 0 {
		c.top(q.Top, texts)
	}
	return c.buckets(texts), nil
}

// statsFilter turns the conditions into a filter; not possible means that
// nothing can match.
func (s *Sink) statsFilter(ctx context.Context, t *table, q *audit.StatsQuery) (f *filter, possible bool, err error) {
	f = &filter{}
	for _, m := range q.Where {
		var v int64
		var ok bool
		if m.Field == "status" {
			v, ok = number(m.Value)
		} else if v, ok, err = s.words.find(ctx, s.readers, m.Value); err != nil {
			return nil, false, err
		}
		i := slices.Index(t.counted, m.Field)
		if !ok || f.fields[i] != nil && *f.fields[i] != v {
			return nil, false, nil
		}
		f.fields[i] = &v
	}
	if q.Within != "" {
		node, ok, err := s.words.find(ctx, s.readers, q.Within)
		if err != nil || !ok {
			return nil, false, err
		}
		if f.within, err = s.listsOf(ctx, node); err != nil {
			return nil, false, err
		}
	}
	return f, true, nil
}

// counter adds up hourly counts, which come in the order of time.
type counter struct {
	by     int           // the field to count by, -1 for none
	size   int64         // of a bucket, in hours
	bucket int64         // the one that counts are added to now
	here   map[int64]int // the line of each value in this bucket
	lines  []line
	last   int // the line that was added to last; -1 if it is of another bucket
}

type line struct {
	bucket, value int64
	sums
}

func (c *counter) start(hour int64) {
	if b := hour / c.size; b != c.bucket {
		c.bucket, c.last = b, -1
		clear(c.here)
	}
}

func (c *counter) add(k *countKey, n *sums) {
	v := int64(0)
	if c.by >= 0 {
		v = k.values[c.by]
	}
	// Often the value is that of before, which is faster than any map.
	if c.last < 0 || c.lines[c.last].value != v {
		i, ok := c.here[v]
		if !ok {
			i = len(c.lines)
			c.here[v] = i
			c.lines = append(c.lines, line{bucket: c.bucket, value: v})
		}
		c.last = i
	}
	c.lines[c.last].add(*n)
}

// totals are the counts of each value.
func (c *counter) totals() map[int64]int64 {
	t := map[int64]int64{}
	for _, l := range c.lines {
		t[l.value] += l.count
	}
	return t
}

// top leaves the most frequent values, the smaller text first among equals,
// and counts the others under "".
func (c *counter) top(n int, texts map[int64]string) {
	totals := c.totals()
	values := slices.Collect(maps.Keys(totals))
	slices.SortFunc(values, func(a, b int64) int {
		return cmp.Or(cmp.Compare(totals[b], totals[a]), cmp.Compare(texts[a], texts[b]))
	})
	if len(values) <= n {
		return
	}
	rest := map[int64]bool{}
	for _, v := range values[n:] {
		rest[v] = true
	}
	const nothing = -1 << 63 // no text has this number, and hardly a status
	old := c.lines
	c.lines, c.bucket = nil, -1
	texts[nothing] = ""
	for _, l := range old {
		if l.bucket != c.bucket {
			c.bucket = l.bucket
			clear(c.here)
		}
		if rest[l.value] || texts[l.value] == "" {
			l.value = nothing
		}
		i, ok := c.here[l.value]
		if !ok {
			i = len(c.lines)
			c.here[l.value] = i
			c.lines = append(c.lines, line{bucket: l.bucket, value: l.value})
		}
		c.lines[i].add(l.sums)
	}
}

// buckets returns the lines, which are in the order of time.
func (c *counter) buckets(texts map[int64]string) []audit.Bucket {
	out := make([]audit.Bucket, 0, len(c.lines))
	first := 0
	for i, l := range c.lines {
		out = append(out, audit.Bucket{Start: time.UnixMilli(l.bucket * c.size * hour).UTC(), Value: texts[l.value],
			Count: l.count, Errors: l.errors, Bytes: l.bytes, Latency: l.latency})
		if i+1 == len(c.lines) || c.lines[i+1].bucket != l.bucket {
			slices.SortFunc(out[first:], func(a, b audit.Bucket) int { return cmp.Compare(a.Value, b.Value) })
			first = i + 1
		}
	}
	return out
}
