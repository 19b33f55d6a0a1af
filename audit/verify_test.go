package audit_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trellis/audit"
)

// shelf is what a sink would give back: the records of chains, to be tampered with.
type shelf struct {
	audit.Reader
	records  []audit.Record
	misfiled []audit.Head
}

func (s *shelf) Writers(_ context.Context, stream audit.Stream) ([]audit.Record, error) {
	last := map[string]audit.Record{}
	for _, r := range s.records {
		if r.Stream() == stream {
			last[r.Meta().Writer] = r
		}
	}
	var out []audit.Record
	for _, r := range last {
		out = append(out, r)
	}
	return out, nil
}

func (s *shelf) Follow(_ context.Context, stream audit.Stream, writer string, after uint64, yield func(audit.Record) error) error {
	sorted := slices.Clone(s.records)
	slices.SortStableFunc(sorted, func(a, b audit.Record) int { return int(a.Meta().Seq) - int(b.Meta().Seq) })
	for _, r := range sorted {
		if m := r.Meta(); r.Stream() == stream && m.Writer == writer && m.Seq > after {
			if err := yield(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *shelf) Misfiled(_ context.Context, stream audit.Stream, _ int, yield func(audit.Head) error) error {
	for _, h := range s.misfiled {
		if stream != audit.Events {
			return nil
		}
		if err := yield(h); err != nil {
			return err
		}
	}
	return nil
}

var secret = []byte(strings.Repeat("s", 32))

// written returns n events of one writer, as they were written.
func written(n int) (*shelf, map[audit.Stream]audit.Link) {
	c, s, last := audit.NewChain(secret), &shelf{}, audit.Link{Writer: "w"}
	for i := range n {
		e := &audit.Event{Actor: fmt.Sprintf("user:%d", i), Action: "user:update"}
		e.Time = time.UnixMilli(int64(1e12) + int64(i)).UTC()
		c.Next(last, e)
		last = e.Link
		s.records = append(s.records, e)
	}
	return s, map[audit.Stream]audit.Link{audit.Events: last}
}

func faults(t interface{ Fatal(...any) }, s *shelf, known ...audit.KnownLink) []string {
	r, err := audit.Verify(context.Background(), s, audit.NewChain(secret), audit.VerifyOptions{Known: known})
	if err != nil {
		t.Fatal(err)
	}
	if r.Total != int64(len(r.Faults)) || r.Records != int64(len(s.records)) {
		t.Fatal(fmt.Sprintf("%+v", r))
	}
	out := []string{}
	for _, f := range r.Faults {
		out = append(out, fmt.Sprintf("%s %d-%d", f.Kind, f.From, f.To))
	}
	return out
}

func TestVerifyNamesWhatWasTamperedWith(t *testing.T) {
	for _, test := range []struct {
		name   string
		tamper func(*shelf)
		want   string
	}{
		{"nothing", func(*shelf) {}, "[]"},
		{"removed", func(s *shelf) { s.records = slices.Delete(s.records, 4, 6) }, "[missing 5-6]"},
		{"changed", func(s *shelf) { s.records[4].(*audit.Event).Actor = "user:other" }, "[changed 5-5]"},
		{"time changed", func(s *shelf) { s.records[4].Meta().Time = time.UnixMilli(0).UTC() }, "[changed 5-5]"},
		{"first changed", func(s *shelf) { s.records[0].(*audit.Event).Actor = "" }, "[changed 1-1]"},
		{"last changed", func(s *shelf) { s.records[19].(*audit.Event).Actor = "" }, "[changed 20-20]"},
		{"hash changed", func(s *shelf) { s.records[4].Meta().Hash[3] ^= 1 }, "[changed 5-5]"},
		{"swapped", func(s *shelf) { a, b := s.records[4].Meta(), s.records[9].Meta(); a.Seq, b.Seq = b.Seq, a.Seq },
			"[moved 5-10 moved 10-5]"},
		{"neighbours swapped", func(s *shelf) { a, b := s.records[4].Meta(), s.records[5].Meta(); a.Seq, b.Seq = b.Seq, a.Seq },
			"[moved 5-6 moved 6-5]"},
		{"two changed", func(s *shelf) {
			s.records[4].(*audit.Event).Action, s.records[5].(*audit.Event).Action = "x", "y"
		}, "[changed 5-5 changed 6-6]"},
		{"doubled", func(s *shelf) { s.records = append(s.records, s.records[7]) }, "[doubled 8-8]"},
		{"end removed", func(s *shelf) { s.records = s.records[:18] }, "[missing 19-20]"},
		{"all removed", func(s *shelf) { s.records = nil }, "[missing 1-20]"},
		{"end rewritten without the secret", func(s *shelf) {
			e := s.records[19].(*audit.Event)
			e.Actor = "user:other"
			audit.NewChain([]byte(strings.Repeat("x", 32))).Next(s.records[18].Meta().Link, e)
		}, "[changed 20-20 changed 20-20]"},
		{"misfiled", func(s *shelf) {
			s.misfiled = []audit.Head{*s.records[4].Meta(), {Link: audit.Link{Writer: "v", Seq: 3}}}
		}, "[misfiled 5-5 misfiled 3-3]"},
		{"the beginning is too old", func(s *shelf) { s.records = s.records[5:] }, "[]"},
	} {
		s, heads := written(20)
		test.tamper(s)
		if got := fmt.Sprint(faults(t, s, audit.KnownLink{Stream: audit.Events, Link: heads[audit.Events]})); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// Whatever one record is changed to, or wherever it is put, is noticed.
func TestVerifyNoticesAnySingleChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, heads := written(30)
		i := rapid.IntRange(0, 29).Draw(t, "record")
		m := s.records[i].Meta()
		switch rapid.IntRange(0, 4).Draw(t, "how") {
		case 0:
			i = max(i, 1) // the first may have outlived its retention
			s.records = slices.Delete(s.records, i, i+1)
		case 1:
			m.Time = m.Time.Add(time.Duration(rapid.IntRange(1, 1e6).Draw(t, "ms")) * time.Millisecond)
		case 2:
			m.Hash[rapid.IntRange(0, 15).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		case 3:
			m.Seq += uint64(rapid.IntRange(1, 40).Draw(t, "places"))
		case 4:
			s.records[i].Walk(appender{})
		}
		if len(faults(t, s, audit.KnownLink{Stream: audit.Events, Link: heads[audit.Events]})) == 0 {
			t.Fatal("nothing was noticed")
		}
	})
}

type appender struct{}

func (appender) Text(_ string, v *string) { *v += "x" }
func (appender) Word(_ string, v *string) { *v += "x" }
func (appender) Int(_ string, v *int64)   { *v++ }
func (appender) List(string, *[]string)   {}
