package clickhouseaudit_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/clickhouseaudit"
)

// contents is what the tables come to, in figures that no two contents share.
func (d *database) contents(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, table := range clickhouseaudit.Tables() {
		final := " FINAL"
		if slices.ContainsFunc(audit.Streams, func(s audit.Stream) bool { return clickhouseaudit.TableOf(s) == table }) {
			final = ""
		}
		all[table] = d.one(t, "SELECT concat(toString(count()), ' rows, ', toString(sum(cityHash64(tuple(*))))) FROM "+table+final)
	}
	return all
}

// A killed server may have written down that it has a batch and not have it, or the other way round,
// each in the stream's table and in any that a view fills.
func TestWhatAServerLostOrForgotIsPutRight(t *testing.T) {
	const lost, all, doubled, forgotten = "some rows lost", "all rows lost", "rows doubled", "insert forgotten"
	damage := map[string]string{
		lost:      "ALTER TABLE %[1]s DELETE WHERE %[2]s AND cityHash64(toString(%[3]s)) %% 2 = 0 SETTINGS mutations_sync = 2",
		all:       "ALTER TABLE %[1]s DELETE WHERE %[2]s SETTINGS mutations_sync = 2",
		doubled:   "INSERT INTO %[1]s SELECT * FROM %[1]s WHERE %[2]s SETTINGS max_partitions_per_insert_block = 0",
		forgotten: "ALTER TABLE %[1]s MODIFY SETTING non_replicated_deduplication_window = 0",
	}
	d := newDatabase(t)
	// Others have records of the same hours, with the same in them.
	deliver(t, d.open(t, clickhouseaudit.Options{}), "other-1", sample("other", 240)...)
	rs := sample("w", 240)
	deliver(t, d.open(t, clickhouseaudit.Options{}), "w-1", rs...)
	d.ask(t, "INSERT INTO event_counts_hourly (start, action, count) SELECT '2020-01-01 00:00:00', 'from before writers were told apart', 1")
	want := d.contents(t)
	// again delivers the batch as a process does that was started anew.
	again := func(t *testing.T) {
		t.Helper()
		deliver(t, d.open(t, clickhouseaudit.Options{}), "w-1", rs...)
		if diff := cmp.Diff(want, d.contents(t)); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	}
	again(t)
	streams := map[string]bool{}
	for _, s := range audit.Streams {
		streams[clickhouseaudit.TableOf(s)] = true
	}
	for _, table := range clickhouseaudit.Tables() {
		// Two tables do not say whose rows they are, which is to say, of both.
		whose, time := "writer = 'w'", "time"
		switch {
		case table == "event_hours":
			whose, time = "1", "hour"
		case table == "key_last_used":
			whose = "1"
		case strings.Contains(table, "_counts_"):
			time = "start"
		}
		for _, what := range slices.Sorted(maps.Keys(damage)) {
			if streams[table] && what == doubled { // nothing makes two of one record; verification would tell
				continue
			}
			t.Run(table+"/"+what, func(t *testing.T) {
				d.ask(t, fmt.Sprintf(damage[what], table, whose, time))
				if (what == lost || what == all) && d.contents(t)[table] == want[table] {
					t.Fatal("no damage was done")
				}
				if whose == "1" {
					deliver(t, d.open(t, clickhouseaudit.Options{}), "other-1", sample("other", 240)...)
				}
				again(t)
			})
		}
	}
}

// A process that starts anew may put other records together than the one before did.
func TestRecordsComeAgainInOtherBatches(t *testing.T) {
	d := newDatabase(t)
	rs := sample("w", 240)
	deliver(t, d.open(t, clickhouseaudit.Options{}), "w-1", rs...)
	want := d.contents(t)
	s := d.open(t, clickhouseaudit.Options{})
	for i, part := range slices.Collect(slices.Chunk(rs, 50)) {
		deliver(t, s, fmt.Sprint("again-", i), part...)
	}
	if diff := cmp.Diff(want, d.contents(t)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	more := slices.Collect(audittest.NewLinker("w").Batches(audittest.Records(480, 1, audit.Streams...), 240))
	deliver(t, s, "again-5", more[1].Records...)
	if got := d.one(t, "SELECT count() = uniqExact(seq) AND count() = max(seq) FROM audit_events"); got != "1" {
		t.Error("after more, events are there twice or not at all")
	}
}

func TestHoursThatAnOlderVersionCountedAreLeftAlone(t *testing.T) {
	d := newDatabase(t)
	rs := sample("w", 240)
	deliver(t, d.open(t, clickhouseaudit.Options{}), "w-1", rs...)
	want := d.one(t, "SELECT sum(count) FROM event_counts_daily")
	d.ask(t, "INSERT INTO event_counts_daily (scope, start, action, outcome, actor, count) SELECT scope, start, action, outcome, actor, count FROM event_counts_daily")
	d.ask(t, "ALTER TABLE event_counts_daily DELETE WHERE writer != '' SETTINGS mutations_sync = 2")
	deliver(t, d.open(t, clickhouseaudit.Options{}), "w-1", rs...)
	if got := d.one(t, "SELECT sum(count) FROM event_counts_daily"); got != want {
		t.Errorf("%s are counted, want %s", got, want)
	}
}

// Records past their retention are not there, and were counted all the same.
func TestCountsStayWhenRecordsExpire(t *testing.T) {
	d := newDatabase(t)
	o := clickhouseaudit.Options{Retention: audit.Retention{audit.Events: 30 * audit.Day}}
	var rs []audit.Record
	for _, days := range []int{40, 30, 29, 0} {
		rs = append(rs, &audit.Event{Head: audit.Head{Time: time.Now().Add(-time.Duration(days)*audit.Day - time.Minute)}, Actor: "user:a"})
	}
	rs = link("w", rs...)
	for range 3 {
		deliver(t, d.open(t, o), "w-1", rs...)
		d.ask(t, "OPTIMIZE TABLE audit_events FINAL")
		if got := d.ask(t, "SELECT (SELECT count() FROM audit_events), (SELECT sum(count) FROM event_counts_hourly), (SELECT sum(count) FROM event_counts_daily)"); !slices.Equal(got, []string{"2\t4\t4"}) {
			t.Fatalf("rows, by hour, by day: %v, want 2, 4 and 4", got)
		}
	}
}

func TestAnAttemptThatStillRunsIsWaitedFor(t *testing.T) {
	d := newDatabase(t)
	rs := sample("w", 60)
	d.ask(t, "CREATE TABLE slow (x UInt8) ENGINE = Null")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.ask(t, "INSERT INTO slow SELECT sleepEachRow(1) FROM numbers(10) SETTINGS log_comment = 'trellis: records of w', max_block_size = 1")
	}()
	until(t, "the insert runs", func() bool {
		return d.one(t, "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'trellis: records of w'") == "1"
	})
	hasty := d.open(t, clickhouseaudit.Options{Timeout: 4 * time.Second})
	if err := hasty.Deliver(t.Context(), audit.Batch{ID: "w-1", Records: rs}); !errors.Is(err, audit.ErrUnavailable) || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("%v, want ErrUnavailable: it still runs", err)
	}
	deliver(t, d.open(t, clickhouseaudit.Options{}), "w-1", rs...)
	select {
	case <-ended:
	default:
		t.Error("it was not waited for")
	}
	<-ended
}

func TestABatchIsOfOneWriter(t *testing.T) {
	d := newDatabase(t)
	b := audit.Batch{ID: "w-1", Records: append(sample("w", 6), sample("v", 6)...)}
	if err := d.open(t, clickhouseaudit.Options{}).Deliver(t.Context(), b); !errors.Is(err, audit.ErrRefused) {
		t.Errorf("%v, want ErrRefused", err)
	}
	if n := d.count(t, "audit_events"); n != "0" {
		t.Errorf("%s events", n)
	}
}
