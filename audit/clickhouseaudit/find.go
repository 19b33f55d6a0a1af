package clickhouseaudit

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
)

// Find implements audit.Reader.
//
// A table has a part or several for each month, and each part that is looked
// at costs about a millisecond. So Find looks at a piece of time after the other,
// beginning where the order does, and goes on only for as long as it lacks
// records. Pieces are either months, more and more at a time, or, where
// event_hours knows the hours that matter, these.
func (s *Sink) Find(ctx context.Context, q audit.Query, yield func(audit.Record) error) error {
	done, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := q.Validate(); err != nil {
		return err
	}
	f, err := s.newFinder(q, yield)
	if err != nil {
		return err
	}
	if f.some, err = f.bounds(ctx); err != nil || !f.some {
		return err
	}
	if terms := f.terms(); len(terms) > 0 {
		return f.byHours(ctx, terms)
	}
	return f.byTime(ctx)
}

// finder is one Find under way.
type finder struct {
	sink  *Sink
	q     audit.Query
	yield func(audit.Record) error

	conditions []string // with their values bound as args
	args       []any
	lo, hi     int64 // lo ≤ time < hi, in milliseconds
	last       *audit.Position
	some       bool
	found      int
}

func (s *Sink) newFinder(q audit.Query, yield func(audit.Record) error) (*finder, error) {
	f := &finder{sink: s, q: q, yield: yield, hi: lastMilli}
	if !q.From.IsZero() {
		f.lo = max(0, milli(q.From))
	}
	if !q.To.IsZero() {
		f.hi = min(lastMilli, milli(q.To))
	}
	if q.After != "" {
		p, err := audit.ParsePosition(q.After)
		if err != nil {
			return nil, err
		}
		f.last = &p
	}
	var err error
	f.conditions, f.args, err = conditions(q.Stream, q.Where)
	return f, err
}

// milli returns the first whole millisecond that is not before t.
func milli(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}

// about are the fields behind audit.About. The table has an index on the two
// together, which a condition on one of them must mention to use.
var about = map[audit.Stream][2]string{audit.Events: {"node", "other"}, audit.Decisions: {"subject", "resource"}}

// conditions writes matches as SQL with parameters m0, m1 and so on.
func conditions(stream audit.Stream, where []audit.Match) (list []string, args []any, err error) {
	k, pair := kindsOf(stream), about[stream]
	both := "[" + pair[0] + ", " + pair[1] + "]"
	for i, m := range where {
		name := "m" + strconv.Itoa(i)
		param := "{" + name + ":String}"
		var value any = m.Value
		if m.Field == audit.About {
			list = append(list, "has("+both+", "+param+")")
		} else {
			column := "`" + m.Field + "`"
			switch typ := k.types[slices.Index(k.names, m.Field)]; {
			case typ == "Array(String)":
				list = append(list, "has("+column+", "+param+")")
			case typ == "Int64":
				n, err := strconv.ParseInt(m.Value, 10, 64)
				if err != nil || strconv.FormatInt(n, 10) != m.Value {
					return nil, nil, fmt.Errorf("%w: %s is a number, and %q is none", audit.ErrRefused, m.Field, m.Value)
				}
				value = n
				list = append(list, column+" = {"+name+":Int64}")
			case slices.Contains(pair[:], m.Field):
				list = append(list, column+" = "+param, "has("+both+", "+param+")")
			default:
				list = append(list, column+" = "+param)
			}
		}
		args = append(args, clickhouse.Named(name, value))
	}
	return list, args, nil
}

// bounds narrows the time to where the table has records and the page can
// begin; it tells whether anything is left.
func (f *finder) bounds(ctx context.Context) (bool, error) {
	var first, last time.Time
	var n uint64
	// Answered from what is kept of each part.
	if err := f.sink.read(ctx, "SELECT min(time), max(time), count() FROM "+tables[f.q.Stream], nil, func(scan scanner) error {
		return scan(&first, &last, &n)
	}); err != nil {
		return false, f.sink.fault(ctx, "finding records", err)
	}
	if n == 0 {
		return false, nil
	}
	f.lo, f.hi = max(f.lo, first.UnixMilli()), min(f.hi, last.UnixMilli()+1)
	if f.last != nil {
		if at := f.last.Time.UnixMilli(); f.q.Oldest {
			f.lo = max(f.lo, at)
		} else {
			f.hi = min(f.hi, at+1)
		}
	}
	return f.lo < f.hi, nil
}

const (
	hourMilli  = int64(time.Hour / time.Millisecond)
	monthMilli = 31 * 24 * hourMilli
)

// byTime goes through months.
func (f *finder) byTime(ctx context.Context) error {
	for span := monthMilli; f.lo < f.hi; {
		lo, hi := max(f.lo, f.hi-span), f.hi
		if f.q.Oldest {
			lo, hi = f.lo, min(f.hi, f.lo+span)
		}
		before := f.found
		if done, err := f.piece(ctx, lo, hi, "", nil); err != nil || done {
			return err
		}
		if f.q.Oldest {
			f.lo = hi
		} else {
			f.hi = lo
		}
		// As far as what there was suggests, but not by small steps.
		got, want := int64(f.found-before), int64(f.wanted())
		switch {
		case got == 0 || want > 12*got:
			span *= 12
		default:
			span = max(3*span, span/got*want*3/2)
		}
		span = min(span, 2*lastMilli)
	}
	return nil
}

// byHours goes through the hours in which there are records with all the terms.
func (f *finder) byHours(ctx context.Context, terms [][]string) error {
	args := []any{}
	where := "hour >= toDateTime({lo:Int64}, 'UTC') AND hour < toDateTime({hi:Int64}, 'UTC')"
	for i, t := range terms {
		name := "t" + strconv.Itoa(i)
		args = append(args, clickhouse.Named(name, t))
		in := "term IN {" + name + ":Array(String)}"
		if i > 0 {
			in = "hour IN (SELECT hour FROM event_hours WHERE " + in + ")"
		}
		where += " AND " + in
	}
	query := "SELECT DISTINCT toUInt32(hour) AS h FROM event_hours WHERE " + where + " ORDER BY h" + f.direction() + " LIMIT {n:UInt64}"
	lo, hi := f.lo/hourMilli, (f.hi-1)/hourMilli+1
	for n := uint64(64); lo < hi; n = min(4*n, 4096) {
		var hours []uint32
		if err := f.sink.read(ctx, query, slices.Concat(args, []any{clickhouse.Named("lo", lo*3600), clickhouse.Named("hi", hi*3600), clickhouse.Named("n", n)}), func(scan scanner) error {
			var h uint32
			err := scan(&h)
			hours = append(hours, h)
			return err
		}); err != nil {
			return f.sink.fault(ctx, "finding records", err)
		}
		if len(hours) == 0 {
			return nil
		}
		from, to := int64(slices.Min(hours))*1000, int64(slices.Max(hours))*1000+hourMilli
		if done, err := f.piece(ctx, max(f.lo, from), min(f.hi, to), "toStartOfHour(time) IN {hours:Array(UInt32)}", []any{clickhouse.Named("hours", hours)}); err != nil || done {
			return err
		}
		if uint64(len(hours)) < n {
			return nil
		}
		if f.q.Oldest {
			lo = to / hourMilli
		} else {
			hi = from / hourMilli
		}
	}
	return nil
}

// terms returns what event_hours can be asked: of each term, one of the
// spellings must be there.
func (f *finder) terms() (all [][]string) {
	if f.q.Stream != audit.Events {
		return nil
	}
	for _, m := range f.q.Where {
		if m.Value == "" {
			continue // is in no term
		}
		switch m.Field {
		case "actor", "key", "node", "other":
			all = append(all, []string{m.Field + "=" + m.Value})
		case audit.About:
			all = append(all, []string{"node=" + m.Value, "other=" + m.Value})
		case "within":
			all = append(all, []string{"node=" + m.Value, "within=" + m.Value})
		}
	}
	return all
}

func (f *finder) direction() string {
	if f.q.Oldest {
		return ""
	}
	return " DESC"
}

// wanted is how many records the next statement may bring.
func (f *finder) wanted() int {
	if f.q.Limit == 0 {
		return chunk
	}
	return min(chunk, f.q.Limit-f.found)
}

// piece yields what there is between lo and hi and fits one more condition,
// until there is enough, which it tells.
func (f *finder) piece(ctx context.Context, lo, hi int64, condition string, more []any) (done bool, err error) {
	for {
		n := f.wanted()
		query, args := f.statement(lo, hi, condition, n)
		list, err := f.sink.records(ctx, f.q.Stream, query, append(args, more...))
		if err != nil {
			return false, f.sink.fault(ctx, "finding records", err)
		}
		if err := each(ctx, list, f.yield); err != nil {
			return false, err
		}
		f.found += len(list)
		if f.q.Limit > 0 && f.found >= f.q.Limit {
			return true, nil
		}
		if len(list) < n {
			return false, nil
		}
		h := list[n-1].Meta()
		f.last = &audit.Position{Time: h.Time, Writer: h.Writer, Seq: h.Seq}
		if f.q.Oldest {
			lo = h.Time.UnixMilli()
		} else {
			hi = h.Time.UnixMilli() + 1
		}
	}
}

func (f *finder) statement(lo, hi int64, condition string, n int) (string, []any) {
	where := slices.Concat([]string{"time >= fromUnixTimestamp64Milli({lo:Int64}, 'UTC')", "time < fromUnixTimestamp64Milli({hi:Int64}, 'UTC')"}, f.conditions)
	// Times go as numbers of milliseconds: the driver would write a time.Time
	// with as many digits as it happens to need, and a parameter of type
	// DateTime64 would read it in a zone of its own.
	args := slices.Concat(f.args, []any{clickhouse.Named("lo", lo), clickhouse.Named("hi", hi), clickhouse.Named("n", uint64(n))})
	if condition != "" {
		where = append(where, condition)
	}
	if f.last != nil {
		sign := "<"
		if f.q.Oldest {
			sign = ">"
		}
		where = append(where, "(time, writer, seq) "+sign+" (fromUnixTimestamp64Milli({at:Int64}, 'UTC'), {writer:String}, {seq:UInt64})")
		args = append(args, clickhouse.Named("at", f.last.Time.UnixMilli()), clickhouse.Named("writer", f.last.Writer), clickhouse.Named("seq", f.last.Seq))
	}
	d := f.direction()
	return "SELECT " + selection(f.q.Stream) + " FROM " + tables[f.q.Stream] + " WHERE " + strings.Join(where, " AND ") +
		" ORDER BY time" + d + ", writer" + d + ", seq" + d + " LIMIT {n:UInt64}", args
}
