package clickhouseaudit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
)

// Find implements audit.Reader. Each part of a table that is looked at costs
// about a millisecond, and there is a part or several for each month. So, of
// events:
//   - What somebody did, or what was done about a node, is read from event_parties,
//     where it lies together; with other conditions on nodes and keys only if that is not
//     much, since few of it may fit.
//   - Otherwise, for conditions on nodes and keys, event_hours tells the hours that
//     matter, and these are looked at.
//
// Everything else is read a piece of time after the other, more and more at a
// time, for as long as records are lacking.
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
	parties, alone := f.parties()
	for _, party := range parties {
		if err := f.byParty(ctx, party, !alone); !errors.Is(err, errMuch) {
			return err
		}
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

	table      string
	conditions []string // with their values bound as args
	args       []any
	lo, hi     int64 // lo ≤ time < hi, in milliseconds
	some       bool  // only some of what is read may fit
	last       *audit.Position
	found      int
}

func (s *Sink) newFinder(q audit.Query, yield func(audit.Record) error) (*finder, error) {
	f := &finder{sink: s, q: q, yield: yield, table: tables[q.Stream], hi: lastMilli}
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
		if at := p.Time.UnixMilli(); q.Oldest {
			f.lo = max(f.lo, at)
		} else {
			f.hi = min(f.hi, at+1)
		}
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

// bounds narrows the time to where the table has records.
func (f *finder) bounds(ctx context.Context) error {
	var first, last time.Time
	var n uint64
	// Answered from what is kept of each part.
	if err := f.sink.read(ctx, "SELECT min(time), max(time), count() FROM "+f.table, nil, func(scan scanner) error {
		return scan(&first, &last, &n)
	}); err != nil {
		return f.sink.fault(ctx, "finding records", err)
	}
	if n == 0 {
		f.hi = f.lo
		return nil
	}
	f.lo, f.hi = max(f.lo, first.UnixMilli()), min(f.hi, last.UnixMilli()+1)
	return nil
}

const (
	hourMilli  = int64(time.Hour / time.Millisecond)
	monthMilli = 31 * 24 * hourMilli
)

// byTime goes through months.
func (f *finder) byTime(ctx context.Context) error {
	if err := f.bounds(ctx); err != nil {
		return err
	}
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

// muchRows is how many rows are read at most where only some of what lies together may fit.
const muchRows = 1_000_000

// errMuch says that there are more.
var errMuch = errors.New("clickhouseaudit: that is much to read")

// byParty reads what lies together under a term. If only some of it may fit and it is much, it
// returns errMuch, mostly before any was read.
func (f *finder) byParty(ctx context.Context, party string, some bool) error {
	g := *f
	g.table, g.some = eventParties, some
	g.conditions = append([]string{"term = {term:String}"}, f.conditions...)
	g.args = append(f.args[:len(f.args):len(f.args)], clickhouse.Named("term", party))
	_, err := g.piece(ctx, g.lo, g.hi, "", nil)
	f.found, f.last = g.found, g.last
	return err
}

// parties returns the terms of event_parties under each of which everything lies that can
// match, and whether no other condition on nodes and keys narrows it.
func (f *finder) parties() (all []string, alone bool) {
	if f.q.Stream != audit.Events {
		return nil, false
	}
	alone = true
	for _, m := range f.q.Where {
		if m.Value == "" {
			continue // is under no term
		}
		switch m.Field {
		case "actor":
			all = append(all, "actor="+m.Value)
		case "node", "other", audit.About:
			all = append(all, "about="+m.Value)
		case "within", "key":
			alone = false
		}
	}
	all = slices.Compact(all)
	return all, alone && len(all) == 1
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
		list, err := f.sink.records(ctx, f.q.Stream, query, append(args, more...), f.settings(n))
		var ex *clickhouse.Exception
		switch {
		case f.some && errors.As(err, &ex) && ex.Code == tooManyRows:
			return false, errMuch
		case err != nil:
			return false, f.sink.fault(ctx, "finding records", err)
		}
		full := len(list) == n
		if f.table == eventParties {
			list = slices.CompactFunc(list, func(a, b audit.Record) bool { return samePlace(a.Meta(), b.Meta()) })
		}
		if err := each(ctx, list, f.yield); err != nil {
			return false, err
		}
		f.found += len(list)
		if f.q.Limit > 0 && f.found >= f.q.Limit {
			return true, nil
		}
		if !full {
			return false, nil
		}
		h := list[len(list)-1].Meta()
		f.last = &audit.Position{Time: h.Time, Writer: h.Writer, Seq: h.Seq}
		if f.q.Oldest {
			lo = h.Time.UnixMilli()
		} else {
			hi = h.Time.UnixMilli() + 1
		}
	}
}

// settings are those for a statement that brings up to n records. To put them in
// order first and then fetch their other columns halves the time where records
// lie together, and takes a quarter longer where they are scattered.
func (f *finder) settings(n int) clickhouse.Settings {
	settings := clickhouse.Settings{}
	if f.some {
		settings["max_rows_to_read"], settings["read_overflow_mode"] = f.sink.much, "throw"
	}
	if f.table != eventParties || n >= chunk {
		maps.Copy(settings, inPlace) // else it does so by itself
	}
	return settings
}

// samePlace tells of two records of event_parties whether they are one that is
// there twice, until ClickHouse has merged them.
func samePlace(a, b *audit.Head) bool {
	return a.Seq == b.Seq && a.Writer == b.Writer && a.Time.Equal(b.Time)
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
	return "SELECT " + selection(f.q.Stream) + " FROM " + f.table + " WHERE " + strings.Join(where, " AND ") +
		" ORDER BY time" + d + ", writer" + d + ", seq" + d + " LIMIT {n:UInt64}", args
}
