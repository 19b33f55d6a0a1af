package clickhouseaudit_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/clickhouseaudit"
)

// TestSpeedOfQuestions measures pages and counts in a table of as many events
// as TRELLIS_TEST_AUDIT_ROWS says, made beforehand; 10,000,000 is what the
// goals are about: a page in 30 ms, counts over 30 days in 200 ms. It prints, and
// judges nothing.
func TestSpeedOfQuestions(t *testing.T) {
	rows, err := strconv.Atoi(os.Getenv("TRELLIS_TEST_AUDIT_ROWS"))
	if err != nil {
		t.Skip("TRELLIS_TEST_AUDIT_ROWS is not set to a number of events: nothing is measured")
	}
	began := time.Now()
	c := newCompany(t, rows, true)
	c.settle(t)
	t.Logf("%d events made in %v; %s", rows, time.Since(began).Round(time.Second),
		c.ask(t, "SELECT table, count() AS parts, sum(rows), formatReadableSize(sum(bytes_on_disk)) FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table HAVING sum(rows) > 0 FORMAT TSVRaw"))
	rng := rand.New(rand.NewPCG(1, 2))
	of := func(kind string, from, to int) string { return fmt.Sprint(kind, from+rng.IntN(to-from)) }
	for _, m := range []struct {
		name string
		q    func() audit.Query
	}{
		{"a busy actor", func() audit.Query { return page(match("actor", of("user:", 1, 20))) }},
		{"an actor in between", func() audit.Query { return page(match("actor", of("user:", 200, 2000))) }},
		{"a rare actor", func() audit.Query { return page(match("actor", of("user:", 10000, 20000))) }},
		{"about a busy node", func() audit.Query { return page(match(audit.About, of("repo:", 1, 100))) }},
		{"about a rare node", func() audit.Query { return page(match(audit.About, of("repo:", 10000, 200000))) }},
		{"the newest", func() audit.Query { return page() }},
		{"before a time", func() audit.Query {
			q := page()
			q.To = worldEnd.Add(-time.Duration(rng.IntN(600*24)) * time.Hour)
			return q
		}},
		{"within a large organization", func() audit.Query { return page(match("within", of("organization:", 1, 5))) }},
		{"within a small organization", func() audit.Query { return page(match("within", of("organization:", 40, 51))) }},
		{"a rare actor within an organization", func() audit.Query {
			return page(match("within", of("organization:", 1, 51)), match("actor", of("user:", 10000, 20000)))
		}},
		{"a busy actor within a large organization", func() audit.Query {
			return page(match("within", of("organization:", 1, 5)), match("actor", of("user:", 1, 20)))
		}},
		{"a busy actor within a small organization", func() audit.Query {
			return page(match("within", of("organization:", 40, 51)), match("actor", of("user:", 1, 20)))
		}},
		{"an actor in between within a small organization", func() audit.Query {
			return page(match("within", of("organization:", 40, 51)), match("actor", of("user:", 200, 2000)))
		}},
		{"about a rare node within its team", func() audit.Query {
			n := 10000 + rng.IntN(190000)
			return page(match("within", fmt.Sprint("team:", n%4000)), match(audit.About, fmt.Sprint("repo:", n)))
		}},
		{"what a busy actor did about a node", func() audit.Query {
			return page(match("actor", of("user:", 1, 20)), match(audit.About, of("repo:", 1, 200000)))
		}},
		{"refusals", func() audit.Query { return page(match("outcome", audit.Denied)) }},
	} {
		measure(t, "page, "+m.name, func() error {
			return c.sink.Find(t.Context(), m.q(), func(audit.Record) error { return nil })
		})
	}
	for _, size := range []time.Duration{audit.Hourly, audit.Daily} {
		for _, by := range []string{"", "action", "outcome", "actor"} {
			for _, within := range []string{"", "organization:2", "team:77"} {
				q := audit.StatsQuery{Stream: audit.Events, From: worldEnd.Add(-30 * audit.Day), To: worldEnd, Size: size, By: by, Within: within, Top: 10}
				measure(t, fmt.Sprintf("30 days by %v, by %q, within %q", size, by, within), func() error {
					_, err := c.sink.Stats(t.Context(), q)
					return err
				})
			}
		}
	}
	measure(t, "writers", func() error {
		_, err := c.sink.Writers(t.Context(), audit.Events)
		return err
	})
}

// settle merges what is over into one part each, as ClickHouse does by itself within a day.
func (c *company) settle(t *testing.T) {
	t.Helper()
	for _, table := range []string{"audit_events", "event_parties"} {
		over := c.ask(t, "SELECT DISTINCT partition FROM system.parts WHERE active AND database = currentDatabase() AND table = '"+table+"' ORDER BY partition")
		for _, p := range over[:max(1, len(over))-1] {
			c.ask(t, "OPTIMIZE TABLE "+table+" PARTITION "+p+" FINAL")
		}
	}
}

// measure prints how long calls take.
func measure(t *testing.T, name string, call func() error) {
	t.Helper()
	const rounds = 25
	took := make([]time.Duration, rounds)
	for i := range took {
		began := time.Now()
		if err := call(); err != nil {
			t.Fatal(err)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	t.Logf("%-60s best %6.1f  p50 %6.1f  p90 %6.1f ms", name, ms(took[0]), ms(took[rounds/2]), ms(took[rounds*9/10]))
}

// BenchmarkDeliver compares Deliver with what one writes by hand with the
// driver: the same rows into the same table, row by row. They take turns, so
// that whatever else the machine does meets both.
func BenchmarkDeliver(b *testing.B) {
	for _, stream := range []audit.Stream{audit.Events, audit.Requests} {
		b.Run(string(stream), func(b *testing.B) {
			const size = 10_000
			s, raw := newDatabase(b).open(b, clickhouseaudit.Options{}), newDatabase(b).open(b, clickhouseaudit.Options{})
			var ours, theirs time.Duration
			n := 0
			linker := audittest.NewLinker("w")
			// Of the first, what is there has to be asked, which is not what is measured.
			for batch := range linker.Batches(audittest.Records(size, 0, stream), size) {
				deliver(b, s, "w-0", batch.Records...)
				deliver(b, raw, "w-0", batch.Records...)
			}
			for b.Loop() {
				n++
				for batch := range linker.Batches(audittest.Records(size, uint64(n), stream), size) {
					batch.ID = fmt.Sprint("w-", n)
					turns := []func(){func() {
						began := time.Now()
						deliver(b, s, batch.ID, batch.Records...)
						ours += time.Since(began)
					}, func() {
						began := time.Now()
						byHand(b, raw, batch)
						theirs += time.Since(began)
					}}
					turns[n%2]()
					turns[1-n%2]()
				}
			}
			b.ReportMetric(float64(n*size)/ours.Seconds(), "records/s")
			b.ReportMetric(float64(n*size)/theirs.Seconds(), "raw-records/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "of-raw")
		})
	}
}

// values collects the fields of a record in the driver's form.
type values struct{ all []any }

func (v *values) Text(_ string, s *string)   { v.all = append(v.all, *s) }
func (v *values) Word(_ string, s *string)   { v.all = append(v.all, *s) }
func (v *values) Int(_ string, n *int64)     { v.all = append(v.all, *n) }
func (v *values) List(_ string, l *[]string) { v.all = append(v.all, *l) }

// byHand inserts a batch of one stream as the driver's documentation does.
func byHand(b *testing.B, s *clickhouseaudit.Sink, batch audit.Batch) {
	b.Helper()
	statement, types, settings := clickhouseaudit.Insertion(batch.Records[0].Stream())
	ctx := clickhouse.Context(b.Context(), clickhouse.WithSettings(settings), clickhouse.WithColumnNamesAndTypes(types))
	rows, err := s.Conn().PrepareBatch(ctx, statement)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range batch.Records {
		h := r.Meta()
		v := values{[]any{h.Time, h.Writer, h.Seq, string(h.Hash[:])}}
		r.Walk(&v)
		if err := rows.Append(v.all...); err != nil {
			b.Fatal(err)
		}
	}
	if err := rows.Send(); err != nil {
		b.Fatal(err)
	}
}
