package clickhouseaudit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/clickhouseaudit"
)

// misfiled lists what is, as writer and number.
func misfiled(t *testing.T, s *clickhouseaudit.Sink, limit int) (all []string) {
	t.Helper()
	s.Hasten()
	if err := s.Misfiled(t.Context(), audit.Events, limit, func(h audit.Head) error {
		all = append(all, fmt.Sprintf("%s %d %s", h.Writer, h.Seq, h.Time.Format(time.DateOnly)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// parted are five events of three months, a day of which is the 10th.
func parted() []audit.Record {
	var rs []audit.Record
	for i, month := range []time.Month{time.March, time.March, time.May, time.June, time.June} {
		rs = append(rs, &audit.Event{Head: audit.Head{Time: time.Date(2026, month, 10, 12, i, 0, 0, time.UTC)},
			Actor: "user:a", Action: "grant:create", Outcome: audit.Success, Node: "repo:1", Other: "user:b", After: `{"role":"viewer"}`, Within: []string{"repo:1", "organization:o"}})
	}
	return link("w", rs...)
}

func TestWhatIsMisfiledIsTold(t *testing.T) {
	for _, tc := range []struct {
		name, change string
		want         []string
	}{
		{"hidden from pages", "DELETE FROM event_parties WHERE seq = 2", []string{"w 2 2026-03-10"}},
		{"hidden from one of them", "DELETE FROM event_parties WHERE seq = 2 AND term = 'about=user:b'", []string{"w 2 2026-03-10"}},
		{"changed", "ALTER TABLE event_parties UPDATE after = '{}' WHERE seq IN (3, 5) SETTINGS mutations_sync = 2", []string{"w 3 2026-05-10", "w 5 2026-06-10"}},
		{"changed in the log only", "ALTER TABLE audit_events UPDATE reason = 'x' WHERE seq = 4 SETTINGS mutations_sync = 2", []string{"w 4 2026-06-10"}},
		{"removed from the log only", "DELETE FROM audit_events WHERE seq = 1", []string{"w 1 2026-03-10"}},
		{"made up", "INSERT INTO event_parties SELECT * REPLACE (9 AS seq) FROM (SELECT * FROM event_parties WHERE seq = 3 LIMIT 1)", []string{"w 9 2026-05-10"}},
		{"under another's name", "INSERT INTO event_parties SELECT * REPLACE ('actor=user:c' AS term) FROM event_parties WHERE seq = 3 LIMIT 1", []string{"w 3 2026-05-10"}},
		{"twice, until it is merged", "INSERT INTO event_parties SELECT * FROM event_parties", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDatabase(t)
			s := d.open(t, clickhouseaudit.Options{})
			deliver(t, s, "w-1", parted()...)
			if got := misfiled(t, s, 100); got != nil {
				t.Fatalf("before: %v", got)
			}
			d.ask(t, tc.change)
			if got := misfiled(t, s, 100); !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
			if got := misfiled(t, s, 1); len(got) != min(1, len(tc.want)) {
				t.Errorf("limited to one: %v", got)
			}
		})
	}
}

// What is past its retention may be gone from one table and not yet from the other.
func TestWhatExpiresIsNotMisfiled(t *testing.T) {
	d := newDatabase(t)
	now := func() time.Time { return time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC) }
	s := d.open(t, clickhouseaudit.Options{Now: now})
	deliver(t, s, "w-1", parted()...)
	d.ask(t, "DELETE FROM audit_events WHERE seq <= 2")
	if got, want := misfiled(t, s, 100), []string{"w 1 2026-03-10", "w 2 2026-03-10"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	d.ask(t, "SYSTEM STOP TTL MERGES")
	defer d.ask(t, "SYSTEM START TTL MERGES")
	if got := misfiled(t, d.open(t, clickhouseaudit.Options{Now: now, Retention: audit.Retention{audit.Events: 60 * audit.Day}}), 100); got != nil {
		t.Errorf("%v, want none", got)
	}
}

// Each event is shown once while it is there twice.
func TestPagesShowOnceWhatIsFiledTwice(t *testing.T) {
	d := newDatabase(t)
	s := d.open(t, clickhouseaudit.Options{})
	deliver(t, s, "w-1", parted()...)
	d.ask(t, "SYSTEM STOP MERGES event_parties")
	d.ask(t, "INSERT INTO event_parties SELECT * FROM event_parties")
	for _, limit := range []int{0, 1, 2, 3, 5} {
		var got []uint64
		q := audit.Query{Stream: audit.Events, Where: []audit.Match{match(audit.About, "user:b")}, Limit: limit, Oldest: true}
		for range 10 {
			var page []audit.Record
			if err := s.Find(t.Context(), q, func(r audit.Record) error { page = append(page, r); return nil }); err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				got = append(got, r.Meta().Seq)
			}
			if limit == 0 || len(page) < limit {
				break
			}
			q.After = audit.PositionOf(page[len(page)-1])
		}
		if want := []uint64{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, want %v", limit, got, want)
		}
	}
}

// Events that were there before the table are found by it.
func TestEventsFromBeforeAreFiled(t *testing.T) {
	d := newDatabase(t)
	s := d.open(t, clickhouseaudit.Options{})
	deliver(t, s, "w-1", parted()...)
	d.ask(t, "DROP TABLE event_parties_view")
	d.ask(t, "DROP TABLE event_parties SYNC")
	d.ask(t, "DELETE FROM schema_migrations WHERE version = 5")
	s = d.open(t, clickhouseaudit.Options{})
	if got := misfiled(t, s, 100); got != nil {
		t.Errorf("misfiled: %v", got)
	}
	if n := d.one(t, "SELECT countIf(term = 'actor=user:a'), countIf(term = 'about=repo:1'), countIf(term = 'about=user:b'), count() FROM event_parties"); n != "5\t5\t5\t15" {
		t.Errorf("filed: %s", n)
	}
}
