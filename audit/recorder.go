package audit

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// What a record may hold; the rest is cut off.
const (
	maxText  = 4 << 10
	maxState = 1 << 20 // Before and After
	maxItems = 64
)

// recorder encodes records as AppendBody does, and on the way cuts what is too long.
type recorder struct {
	e     encoder
	items []item
}

// recorders are reused.
var recorders = sync.Pool{New: func() any { return &recorder{} }}

// free gives the recorder back.
func (e *recorder) free() {
	e.reset()
	if cap(e.e.b) <= 64<<10 && cap(e.items) <= 256 {
		recorders.Put(e)
	}
}

func (e *recorder) reset() {
	e.e.b = e.e.b[:0]
	clear(e.items)
	e.items = e.items[:0]
}

// record encodes as many of the records, most at most, as are put down at once, and returns how many that are.
func (e *recorder) record(rs []Record, most int, now func() time.Time) (int, error) {
	e.reset()
	for i, r := range rs {
		if i == most || len(e.e.b) >= maxChunk {
			return i, nil
		}
		code := codeOf(r.Stream())
		if code == 0 {
			return 0, fmt.Errorf("audit: there is no stream %q", r.Stream())
		}
		h := r.Meta()
		if h.Time.IsZero() {
			h.Time = now()
		}
		h.Time = h.Time.UTC().Truncate(time.Millisecond)
		from := len(e.e.b)
		e.e.begin(h.Time)
		r.Walk(e)
		e.e.b = e.e.b[:e.e.keep]
		e.items = append(e.items, item{r, code, from, len(e.e.b)})
	}
	return len(rs), nil
}

// item is an encoded record: its body is b[from:to].
type item struct {
	r        Record
	code     byte
	from, to int
}

// Text implements Visitor.
func (e *recorder) Text(name string, v *string) {
	if len(*v) > maxText || !utf8.ValidString(*v) {
		most := maxText
		if name == "before" || name == "after" {
			most = maxState
		}
		*v = clamp(*v, most)
	}
	e.e.Text(name, v)
}

// Word implements Visitor.
func (e *recorder) Word(name string, v *string) { e.Text(name, v) }

// Int implements Visitor.
func (e *recorder) Int(name string, v *int64) { e.e.Int(name, v) }

// List implements Visitor.
func (e *recorder) List(name string, v *[]string) {
	if len(*v) > maxItems {
		*v = (*v)[:maxItems]
	}
	shared := true
	for i, s := range *v {
		if len(s) > maxText || !utf8.ValidString(s) {
			if shared { // another record may have the same list
				*v, shared = slices.Clone(*v), false
			}
			(*v)[i] = clamp(s, maxText)
		}
	}
	e.e.List(name, v)
}

// clamp returns at most so many bytes of valid UTF-8.
func clamp(s string, most int) string {
	if len(s) > most {
		// Not within a character.
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most]
	}
	// A bad byte becomes a shorter mark, so that it does not grow.
	return strings.ToValidUTF8(s, "?")
}
