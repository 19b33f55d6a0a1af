package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query chooses records of one stream. They come newest first, or, with
// Oldest, oldest first: by Time, then Writer, then Seq.
type Query struct {
	Stream Stream
	// From and To bound Time: From ≤ Time < To. Zero is no bound.
	From, To time.Time
	// Where are conditions, all of which must hold.
	Where []Match
	// After is the Position of the last record of the page before; "" for the first page.
	After  string
	Oldest bool
	// Limit is how many records are wanted; 0 is all.
	Limit int
}

// Match is one condition: the field has the value; a list contains it; a
// number is written in decimal digits.
type Match struct {
	// Field is the name of a field of the stream, or About.
	Field string
	Value string
}

// About as the field of a Match finds the records that are about a node:
// events of which it is the Node or the Other, decisions of which it is the
// Subject or the Resource.
const About = "about"

// fields are the names that a Match of the stream may have.
var fields = func() map[Stream][]string {
	all := map[Stream][]string{}
	for _, s := range Streams {
		c := collector{}
		New(s).Walk(&c)
		if s == Events || s == Decisions {
			c.names = append(c.names, About)
		}
		all[s] = c.names
	}
	return all
}()

type collector struct{ names []string }

func (c *collector) Text(n string, _ *string)   { c.names = append(c.names, n) }
func (c *collector) Word(n string, _ *string)   { c.names = append(c.names, n) }
func (c *collector) Int(n string, _ *int64)     { c.names = append(c.names, n) }
func (c *collector) List(n string, _ *[]string) { c.names = append(c.names, n) }

// Validate tells whether the query can be asked; its errors wrap ErrRefused.
func (q *Query) Validate() error {
	if !slices.Contains(Streams, q.Stream) {
		return fmt.Errorf("%w: there is no stream %q", ErrRefused, q.Stream)
	}
	for _, m := range q.Where {
		if !slices.Contains(fields[q.Stream], m.Field) {
			return fmt.Errorf("%w: %s have no field %q", ErrRefused, q.Stream, m.Field)
		}
	}
	if q.Limit < 0 {
		return fmt.Errorf("%w: the limit is %d", ErrRefused, q.Limit)
	}
	if q.After != "" {
		if _, err := ParsePosition(q.After); err != nil {
			return err
		}
	}
	return nil
}

// Position is a record's place in the order of a Query.
type Position struct {
	Time   time.Time
	Writer string
	Seq    uint64
}

// PositionOf returns the place of a record, in its text form.
func PositionOf(r Record) string {
	h := r.Meta()
	return strconv.FormatInt(h.Time.UnixMilli(), 10) + "." + strconv.FormatUint(h.Seq, 10) + "." + h.Writer
}

// ParsePosition reads the text form; its errors wrap ErrRefused.
func ParsePosition(s string) (Position, error) {
	ms, rest, ok1 := strings.Cut(s, ".")
	seq, writer, ok2 := strings.Cut(rest, ".")
	t, err1 := strconv.ParseInt(ms, 10, 64)
	n, err2 := strconv.ParseUint(seq, 10, 64)
	if !ok1 || !ok2 || err1 != nil || err2 != nil {
		return Position{}, fmt.Errorf("%w: it is not a position", ErrRefused)
	}
	return Position{time.UnixMilli(t).UTC(), writer, n}, nil
}

// Sizes of buckets.
const (
	Hourly = time.Hour
	Daily  = Day
)

// Dimensions are what the records of a stream can be counted by, besides time.
var Dimensions = map[Stream][]string{
	Events:    {"action", "outcome", "actor"},
	Decisions: {"permission", "answer", "actor"},
	Requests:  {"route", "status", "key", "actor"},
}

// StatsQuery counts the records of a stream in buckets of time, aligned to UTC.
// From and To are widened to whole buckets; both must be set.
type StatsQuery struct {
	Stream   Stream
	From, To time.Time
	// Size is Hourly or Daily.
	Size time.Duration
	// By is one of the stream's Dimensions, or "" for the sum.
	By string
	// Within, if set, counts what is at or below this node only.
	// Not for Requests, which are below nothing.
	Within string
	// Where are conditions on the stream's Dimensions.
	Where []Match
	// Top limits the values of By to those with the highest counts, all others being
	// counted together under ""; 0 is no limit.
	Top int
}

// Validate tells whether the question can be asked; its errors wrap ErrRefused.
func (q *StatsQuery) Validate() error {
	dims, ok := Dimensions[q.Stream]
	switch {
	case !ok:
		return fmt.Errorf("%w: %q are not counted", ErrRefused, q.Stream)
	case q.Size != Hourly && q.Size != Daily:
		return fmt.Errorf("%w: buckets are of an hour or a day", ErrRefused)
	case q.By != "" && !slices.Contains(dims, q.By):
		return fmt.Errorf("%w: %s are not counted by %q", ErrRefused, q.Stream, q.By)
	case q.Within != "" && q.Stream == Requests:
		return fmt.Errorf("%w: requests are below nothing", ErrRefused)
	case q.From.IsZero() || q.To.IsZero() || !q.From.Before(q.To) || q.To.Sub(q.From) > maxSpan:
		return fmt.Errorf("%w: want a time before another, at most ten years apart", ErrRefused)
	case q.Top < 0:
		return fmt.Errorf("%w: top is %d", ErrRefused, q.Top)
	}
	for _, m := range q.Where {
		if !slices.Contains(dims, m.Field) {
			return fmt.Errorf("%w: %s are not counted by %q", ErrRefused, q.Stream, m.Field)
		}
	}
	return nil
}

const maxSpan = 3660 * Day

// Bucket is one count. Buckets come by Start, then Value; empty ones are absent.
type Bucket struct {
	Start time.Time
	// Value is that of the dimension asked for.
	Value string
	// Count is how many records there were; of decisions, how many they stand for.
	Count int64
	// Errors are requests with a status of 400 or more; Bytes what they were
	// answered with; Latency the sum of theirs, in microseconds. 0 in other streams.
	Errors, Bytes, Latency int64
}
