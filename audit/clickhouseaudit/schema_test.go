package clickhouseaudit_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/audit"
	"trellis/audit/clickhouseaudit"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A cluster cannot be had in tests: what would be sent to one is at least
// written down, and read in review.
func TestWhatIsSentToACluster(t *testing.T) {
	got, err := clickhouseaudit.Statements("main", audit.DefaultRetention())
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/cluster.sql"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("-want +got (-update rewrites it):\n%s", d)
	}
	for _, st := range strings.Split(got, "\n;\n") {
		if !strings.Contains(st, "CREATE ") {
			continue
		}
		if !strings.Contains(st, " ON CLUSTER 'main'") || strings.Contains(st, "CREATE TABLE") && !strings.Contains(st, "ENGINE = Replicated") {
			t.Errorf("not for a cluster: %.100s", st)
		}
	}
}

// walker collects the fields of a stream with the types that their columns must have.
type walker struct{ names, types []string }

func (w *walker) add(n, t string)            { w.names, w.types = append(w.names, n), append(w.types, t) }
func (w *walker) Text(n string, _ *string)   { w.add(n, "String") }
func (w *walker) Word(n string, _ *string)   { w.add(n, "LowCardinality(String)") }
func (w *walker) List(n string, _ *[]string) { w.add(n, "Array(String)") }
func (w *walker) Int(n string, _ *int64)     { w.add(n, "Int64") }
func (w *walker) row(i int, name string) string {
	return fmt.Sprintf("%d %s %s", i+1, name, w.types[i])
}

func TestColumnsAreTheFieldsOfTheRecords(t *testing.T) {
	d := newDatabase(t)
	s := d.open(t, clickhouseaudit.Options{})
	if _, err := s.Sweep(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, stream := range audit.Streams {
		w := &walker{names: []string{"time", "writer", "seq", "hash"}, types: []string{"DateTime64(3, 'UTC')", "LowCardinality(String)", "UInt64", "FixedString(16)"}}
		audit.New(stream).Walk(w)
		var want []string
		for i, name := range w.names {
			want = append(want, w.row(i, name))
		}
		got := d.ask(t, "SELECT concat(toString(position), ' ', name, ' ', type) FROM system.columns WHERE database = currentDatabase() AND table = '"+
			clickhouseaudit.TableOf(stream)+"' ORDER BY position FORMAT TSVRaw")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -fields +columns\n%s", stream, diff)
		}
	}
	columns := func(table string) []string {
		return d.ask(t, "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '"+table+"' AND name != 'term' ORDER BY position")
	}
	if diff := cmp.Diff(columns("audit_events"), columns("event_parties")); diff != "" {
		t.Errorf("-audit_events +event_parties\n%s", diff)
	}
	if bare := d.ask(t, "SELECT concat(table, '.', name) FROM system.columns WHERE database = currentDatabase() AND comment = '' AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree')"); len(bare) > 0 {
		t.Errorf("without a comment: %v", bare)
	}
	if bare := d.ask(t, "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = '' AND engine != 'MaterializedView'"); len(bare) > 0 {
		t.Errorf("without a comment: %v", bare)
	}
}

func TestFriendlyViewsAnswer(t *testing.T) {
	d := newDatabase(t)
	s := d.open(t, clickhouseaudit.Options{})
	deliver(t, s, "w-1", sample("w", 300)...)
	views := d.ask(t, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' ORDER BY name")
	if want := []string{"changes", "decisions", "key_usage_by_day", "keys_last_used", "refusals", "requests"}; !slices.Equal(views, want) {
		t.Errorf("views %v, want %v", views, want)
	}
	for _, v := range views {
		if d.count(t, v) == "0" {
			t.Errorf("%s is empty", v)
		}
	}
	if a, b := d.one(t, "SELECT sum(requests) FROM key_usage_by_day"), d.one(t, "SELECT count() FROM requests WHERE key != ''"); a != b {
		t.Errorf("%s requests by key and day, %s one by one", a, b)
	}
}

func TestPreparingTwiceAndTwoAtOnce(t *testing.T) {
	d := newDatabase(t)
	keep := audit.Retention{audit.Events: 900 * audit.Day, audit.Requests: 800 * audit.Day}
	var wg sync.WaitGroup
	for i := range 4 {
		s := d.open(t, clickhouseaudit.Options{Retention: keep})
		wg.Go(func() {
			deliver(t, s, fmt.Sprintf("w%d-1", i), sample(fmt.Sprint("w", i), 30)...)
		})
	}
	wg.Wait()
	schema := func() []string {
		return d.ask(t, "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name")
	}
	before := schema()
	var said strings.Builder
	s := d.open(t, clickhouseaudit.Options{Retention: keep, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	deliver(t, s, "w9-1", sample("w9", 30)...)
	if diff := cmp.Diff(before, schema()); diff != "" {
		t.Errorf("a later start changed the tables:\n%s", diff)
	}
	if log := said.String(); log != "" {
		t.Errorf("a later start did something:\n%s", log)
	}
	d.ask(t, "OPTIMIZE TABLE schema_migrations FINAL")
	if got := d.ask(t, "SELECT name FROM schema_migrations ORDER BY version"); !slices.Equal(got, []string{"0001_streams", "0002_rollups", "0003_event_hours", "0004_views", "0005_event_parties", "0006_counts_by_writer"}) {
		t.Errorf("recorded: %v", got)
	}
	// As if a process had died before it could record what it did.
	d.ask(t, "TRUNCATE TABLE schema_migrations")
	s = d.open(t, clickhouseaudit.Options{Retention: keep})
	deliver(t, s, "w10-1", sample("w10", 30)...)
	if diff := cmp.Diff(before, schema()); diff != "" {
		t.Errorf("applying it once more changed the tables:\n%s", diff)
	}
	if n := d.one(t, "SELECT sum(total_rows) FROM system.tables WHERE database = currentDatabase() AND name IN ('audit_events', 'access_decisions', 'api_key_usage', 'email_audit', 'mfa_events', 'rate_limit_events')"); n != "180" {
		t.Errorf("%s records, want 180", n)
	}
}

// ttl is what can be seen of a table's retention.
func (d *database) ttl(t testing.TB, table string) string {
	t.Helper()
	return d.one(t, "SELECT extract(engine_full, 'TTL (.*) SETTINGS') FROM system.tables WHERE database = currentDatabase() AND name = '"+table+"'")
}

func TestRowsPastTheirRetentionAreRemoved(t *testing.T) {
	d := newDatabase(t)
	start := func(r audit.Retention) {
		s := d.open(t, clickhouseaudit.Options{Retention: r})
		if _, err := s.Sweep(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	start(audit.Retention{audit.Events: 60 * audit.Day, audit.Limits: 90 * time.Minute})
	for table, want := range map[string]string{"event_hours": "hour + toIntervalDay(61)", "audit_events": "toDateTime(time) + toIntervalDay(60)", "event_counts_daily": "start + toIntervalDay(730)",
		"rate_limit_events": "toDateTime(time) + toIntervalSecond(5400)", "email_audit": ""} {
		if got := d.ttl(t, table); got != want {
			t.Errorf("%s: TTL %q, want %q", table, got, want)
		}
	}
	// ClickHouse looks for expired rows once a day; here, at once.
	d.ask(t, "ALTER TABLE audit_events MODIFY SETTING merge_with_ttl_timeout = 0")
	ages := func() []string {
		return d.ask(t, "SELECT DISTINCT intDiv(dateDiff('hour', time, now64(3)), 24) AS days FROM audit_events ORDER BY days")
	}
	s := d.open(t, clickhouseaudit.Options{Retention: audit.Retention{audit.Events: 60 * audit.Day, audit.Limits: 90 * time.Minute}})
	var rs []audit.Record
	for _, days := range []int{100, 62, 58, 31, 28, 1, 0} {
		rs = append(rs, &audit.Event{Head: audit.Head{Time: time.Now().Add(-time.Duration(days)*audit.Day - time.Minute)}, Actor: "user:a"})
	}
	deliver(t, s, "w-1", link("w", rs...)...)
	gone := func(what string, want ...string) {
		t.Helper()
		until(t, what, func() bool { return slices.Equal(ages(), want) })
		if n := d.one(t, "SELECT sum(count) FROM event_counts_daily WHERE scope = ''"); n != "7" {
			t.Errorf("%s: %s are counted, want all 7", what, n)
		}
	}
	gone("a background merge removes what is too old", "0", "1", "28", "31", "58")
	start(audit.Retention{audit.Events: 30 * audit.Day})
	gone("a shorter retention holds for what is there", "0", "1", "28")
	if got := d.ttl(t, "audit_events") + d.ttl(t, "rate_limit_events"); got != "toDateTime(time) + toIntervalDay(30)" {
		t.Errorf("TTL %q", got)
	}
	start(nil)
	if got := d.ttl(t, "audit_events"); got != "" {
		t.Errorf("TTL %q, want none", got)
	}
	d.ask(t, "OPTIMIZE TABLE audit_events FINAL")
	gone("nothing goes without a retention", "0", "1", "28")
}
