package audit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trellis/audit"
)

// filler gives every field a value.
type filler struct{ t *rapid.T }

func (f filler) Text(n string, v *string)   { *v = rapid.String().Draw(f.t, n) }
func (f filler) Word(n string, v *string)   { f.Text(n, v) }
func (f filler) Int(n string, v *int64)     { *v = rapid.Int64().Draw(f.t, n) }
func (f filler) List(n string, v *[]string) { *v = rapid.SliceOfN(rapid.String(), 0, 3).Draw(f.t, n) }

func draw(t *rapid.T) audit.Record {
	r := audit.New(rapid.SampledFrom(audit.Streams).Draw(t, "stream"))
	r.Meta().Time = time.UnixMilli(rapid.Int64Range(-1e12, 4e12).Draw(t, "time")).UTC()
	r.Walk(filler{t})
	return r
}

func TestARecordSurvivesItsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := draw(t)
		b := audit.AppendBody(nil, r)
		back := audit.New(r.Stream())
		if err := audit.ParseBody(b, back); err != nil {
			t.Fatal(err)
		}
		if got := audit.AppendBody(nil, back); string(got) != string(b) {
			t.Fatalf("%x came back as %x", b, got)
		}
		if !back.Meta().Time.Equal(r.Meta().Time) {
			t.Fatalf("%v came back as %v", r.Meta().Time, back.Meta().Time)
		}
	})
}

// What was written before a stream got a new field keeps its bytes.
func TestEmptyFieldsAtTheEndTakeNoBytes(t *testing.T) {
	full := audit.Event{Actor: "user:a"}
	if n := len(audit.AppendBody(nil, &full)); n > 16 {
		t.Errorf("%d bytes", n)
	}
	var back audit.Event
	if err := audit.ParseBody(audit.AppendBody(nil, &full), &back); err != nil || !cmp.Equal(full.Actor, back.Actor) {
		t.Errorf("%v, %v", back, err)
	}
}

func FuzzParseBody(f *testing.F) {
	for i, s := range audit.Streams {
		f.Add(byte(i), audit.AppendBody(nil, audit.New(s)))
	}
	f.Fuzz(func(t *testing.T, stream byte, b []byte) {
		r := audit.New(audit.Streams[int(stream)%len(audit.Streams)])
		if audit.ParseBody(b, r) != nil {
			return
		}
		again := audit.New(r.Stream())
		if err := audit.ParseBody(audit.AppendBody(nil, r), again); err != nil || !cmp.Equal(r, again, cmp.Comparer(func(a, b []string) bool {
			return len(a) == len(b) && cmp.Equal(append([]string{}, a...), append([]string{}, b...))
		})) {
			t.Fatalf("%x reads as %+v, written again as %+v, %v", b, r, again, err)
		}
	})
}

func TestTheChainTellsAnyChange(t *testing.T) {
	c := audit.NewChain(make([]byte, 32))
	rapid.Check(t, func(t *rapid.T) {
		r := draw(t)
		c.Next(audit.Link{Writer: "w", Seq: 4, Hash: audit.Hash{7}}, r)
		if m := r.Meta(); m.Seq != 5 || m.Writer != "w" || c.Sum(audit.Hash{7}, r) != m.Hash {
			t.Fatalf("%+v", m)
		}
		for _, change := range []func(){
			func() { r.Meta().Seq++ }, func() { r.Meta().Writer += "x" }, func() { r.Meta().Time = r.Meta().Time.Add(time.Millisecond) },
			func() {
				last := lastText{}
				r.Walk(&last)
				*last.v += "x"
			},
		} {
			change()
			if c.Sum(audit.Hash{7}, r) == r.Meta().Hash {
				t.Fatal("a change was not noticed")
			}
			r.Meta().Hash = c.Sum(audit.Hash{7}, r)
		}
		if c.Sum(audit.Hash{8}, r) == r.Meta().Hash || audit.NewChain([]byte(strings.Repeat("k", 32))).Sum(audit.Hash{7}, r) == r.Meta().Hash {
			t.Fatal("another predecessor, or another secret, was not noticed")
		}
	})
}

type lastText struct{ v *string }

func (l *lastText) Text(_ string, v *string) { l.v = v }
func (l *lastText) Word(_ string, v *string) { l.v = v }
func (l *lastText) Int(string, *int64)       {}
func (l *lastText) List(string, *[]string)   {}
