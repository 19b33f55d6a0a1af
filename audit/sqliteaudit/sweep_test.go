package sqliteaudit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/sqliteaudit"
)

// limits makes n records of the time, each with texts of its own.
func limits(l *audittest.Linker, n int, at time.Time, who string) audit.Batch {
	b := audit.Batch{ID: fmt.Sprintf("%s-%d", who, at.UnixMilli())}
	for i := range n {
		r := &audit.Limit{Identifier: fmt.Sprintf("%s:%d", who, i), Rule: "rule", Route: "/x"}
		r.Time = at.Add(time.Duration(i) * time.Millisecond)
		b.Records = append(b.Records, l.Link(r)...)
	}
	return b
}

func number(t *testing.T, path, query string, args ...any) (n int64) {
	t.Helper()
	if err := raw(t, path).QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSweepIsExactAndTakesSeveralSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	s := mustOpen(t, path, sqliteaudit.Options{Retention: audit.Retention{audit.Limits: audit.Day}})
	start := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	const n = 2*sqliteaudit.SweepRows + 500
	deliver(t, s, limits(audittest.NewLinker("w"), n+10, start, "user"))
	for _, want := range []int{0, n, 0} {
		// A record of exactly a day ago stays.
		got, err := s.Sweep(t.Context(), start.Add(audit.Day+time.Duration(min(want, n))*time.Millisecond))
		if err != nil || got != want {
			t.Errorf("%d records were removed, %v; want %d", got, err, want)
		}
	}
	if left := count(t, s); left != 10 {
		t.Errorf("%d records are left", left)
	}
}

// Nothing is left over in any table when all that refers to it is gone.
func TestSweepRemovesWhatNothingRefersTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	now := audittest.World.Until
	keep := audit.Retention{}
	for _, s := range audit.Streams {
		keep[s] = 10 * audit.Day
	}
	s := mustOpen(t, path, sqliteaudit.Options{Retention: keep, Now: func() time.Time { return now }})
	deliver(t, s, batches("w", 3000, 1000)...)
	tables := []string{"text", "member", "hourly", "used", "batch"}
	for _, stream := range audit.Streams {
		tables = append(tables, string(stream))
	}
	for _, stream := range []audit.Stream{audit.Events, audit.Decisions} {
		tables = append(tables, string(stream)+"_within", string(stream)+"_within_actor", string(stream)+"_about")
	}
	for _, table := range tables {
		if number(t, path, "SELECT count(*) FROM "+table) < 2 {
			t.Errorf("%s holds nothing to begin with", table)
		}
	}
	// The records go; counts, and what they refer to, stay for two years.
	if _, err := s.Sweep(t.Context(), now.Add(11*audit.Day)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s); n != 0 {
		t.Errorf("%d records", n)
	}
	for _, table := range tables {
		if n := number(t, path, "SELECT count(*) FROM "+table); (n > 0) != (table == "text" || table == "member" || table == "hourly" || table == "used" || table == "batch") {
			t.Errorf("%s holds %d rows after the first sweep", table, n)
		}
	}
	list, err := s.Stats(t.Context(), audit.StatsQuery{Stream: audit.Events, From: now.Add(-30 * audit.Day), To: now, Size: audit.Daily, Within: audittest.Organization(0)})
	if err != nil || len(list) == 0 {
		t.Errorf("%d buckets, %v", len(list), err)
	}
	// A text that is used again stays, though its number is remembered from of old.
	now = now.Add(3 * 365 * audit.Day)
	again := limits(audittest.NewLinker("x"), 5, now, "user")
	deliver(t, s, again)
	if _, err := s.Sweep(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		want := map[string]int64{"limits": 5, "text": 1 + 1 + 5 + 2, "batch": 1}[table]
		if n := number(t, path, "SELECT count(*) FROM "+table); n != want {
			t.Errorf("%s holds %d rows after the last sweep, want %d", table, n, want)
		}
	}
	// The same texts as at first, whose old numbers are gone.
	second := batches("w", 3000, 1000)
	for _, b := range second {
		for _, r := range b.Records {
			r.Meta().Time = now
		}
	}
	deliver(t, s, second...)
	n := 0
	for _, stream := range audit.Streams {
		if err := s.Follow(t.Context(), stream, "w", 0, func(audit.Record) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n != 3000 {
		t.Errorf("%d records", n)
	}
}

// Another process's memory of a text that this one has removed does no harm.
func TestATextRemovedByAnotherProcessIsMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	keep := audit.Retention{}
	for _, s := range audit.Streams {
		keep[s] = audit.Day
	}
	o := sqliteaudit.Options{Retention: keep, Now: func() time.Time { return now }}
	a, b := mustOpen(t, path, o), mustOpen(t, path, o)
	deliver(t, a, limits(audittest.NewLinker("w"), 3, now, "user"))
	before := number(t, path, "SELECT id FROM text WHERE text = 'user:1'")
	now = now.Add(4 * 365 * audit.Day)
	if _, err := b.Sweep(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if n := number(t, path, "SELECT count(*) FROM text"); n != 1 {
		t.Fatalf("%d texts are left", n)
	}
	batch := limits(audittest.NewLinker("x"), 3, now, "user")
	deliver(t, a, batch)
	if after := number(t, path, "SELECT id FROM text WHERE text = 'user:1'"); after <= before {
		t.Errorf("the number %d was used before", after)
	}
	for _, s := range []audit.Sink{a, b} {
		if err := s.Find(t.Context(), audit.Query{Stream: audit.Limits, Where: []audit.Match{{Field: "identifier", Value: "user:1"}}}, func(r audit.Record) error {
			if r.(*audit.Limit).Identifier != "user:1" || r.Meta().Writer != "x" {
				t.Errorf("found %+v", r)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

func TestSweepMakesTheFileSmaller(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	keep := audit.Retention{}
	for _, s := range audit.Streams {
		keep[s] = audit.Day
	}
	s := mustOpen(t, path, sqliteaudit.Options{Retention: keep})
	deliver(t, s, batches("w", 20_000, 5000)...)
	size := func() int64 {
		// The log holds pages until it is written back.
		if err := s.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	before := size()
	if _, err := s.Sweep(t.Context(), audittest.World.Until.Add(2*audit.Day)); err != nil {
		t.Fatal(err)
	}
	if after := size(); after > before/2 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	var result string
	if err := raw(t, path).QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Errorf("%s, %v", result, err)
	}
}

// Deliveries, of this process and of another, get their turn between the
// steps of a sweep.
func TestDeliveriesDoNotWaitForASweep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	o := sqliteaudit.Options{Retention: audit.Retention{audit.Limits: audit.Day}}
	s, other := mustOpen(t, path, o), mustOpen(t, path, o)
	start := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	deliver(t, s, limits(audittest.NewLinker("w"), 20*sqliteaudit.SweepRows, start, "user"))
	var swept atomic.Bool
	done := make(chan error)
	go func() {
		n, err := s.Sweep(context.Background(), start.Add(2*audit.Day))
		if err == nil && n != 20*sqliteaudit.SweepRows {
			err = fmt.Errorf("%d records", n)
		}
		swept.Store(true)
		done <- err
	}()
	between := 0
	for i, l := 0, audittest.NewLinker("x"); !swept.Load(); i++ {
		sink := []audit.Sink{s, other}[i%2]
		deliver(t, sink, limits(l, 1, start.Add(10*audit.Day+time.Duration(i)*time.Second), "late"))
		if !swept.Load() {
			between++
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if between < 10 {
		t.Errorf("%d deliveries came through during the sweep", between)
	}
}

func TestAnEndedContextEndsASweep(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "audit.db"), sqliteaudit.Options{Retention: audit.Retention{audit.Limits: audit.Day}})
	start := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	deliver(t, s, limits(audittest.NewLinker("w"), 3*sqliteaudit.SweepRows, start, "user"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Sweep(ctx, start.Add(2*audit.Day))
	wantError(t, err, context.Canceled)
	if n := count(t, s); n != 3*sqliteaudit.SweepRows {
		t.Errorf("%d records", n)
	}
}
