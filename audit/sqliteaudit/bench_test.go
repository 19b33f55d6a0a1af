//go:build unix

package sqliteaudit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/sqliteaudit"
)

// benchDir names the environment variable with the directory in which
// benchmarks keep their files from one run to the next.
const benchDir = "TRELLIS_BENCH_DIR"

// filled is a sink with n records of a stream.
func filled(b *testing.B, s audit.Stream, n int) *sqliteaudit.Sink {
	b.Helper()
	dir := os.Getenv(benchDir)
	if dir == "" {
		dir = b.TempDir()
	}
	path := filepath.Join(dir, fmt.Sprintf("audit-%s-%d.db", s, n))
	_, err := os.Stat(path)
	sink := mustOpen(b, path, sqliteaudit.Options{})
	if err == nil {
		return sink
	}
	for batch := range audittest.NewLinker("spool_1").Batches(audittest.Records(n, 1, s), 10_000) {
		if err := sink.Deliver(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	return sink
}

// How fast batches are taken, and what a million records take on disk.
func BenchmarkDeliver(b *testing.B) {
	for _, s := range []audit.Stream{audit.Requests, audit.Decisions, audit.Events} {
		for _, size := range []int{10_000, 100} {
			b.Run(fmt.Sprint(s, "/", size), func(b *testing.B) {
				path := filepath.Join(b.TempDir(), "audit.db")
				sink := mustOpen(b, path, sqliteaudit.Options{})
				var spent, cpu time.Duration
				b.ResetTimer()
				for batch := range audittest.NewLinker("spool_1").Batches(audittest.Records(b.N, 1, s), size) {
					start, used := time.Now(), cpuTime()
					if err := sink.Deliver(context.Background(), batch); err != nil {
						b.Fatal(err)
					}
					spent, cpu = spent+time.Since(start), cpu+cpuTime()-used
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/spent.Seconds(), "records/s")
				b.ReportMetric(float64(cpu.Nanoseconds())/1000/float64(b.N), "cpu-us/record")
				if err := sink.Close(); err != nil {
					b.Fatal(err)
				}
				st, err := os.Stat(path)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(st.Size())/float64(b.N), "bytes/record")
			})
		}
	}
}

// Pages of 50 out of a million records over 30 days, and counts of them. Run
// with -benchtime=200x or so; -short asks a hundred thousand.
func BenchmarkQuestions(b *testing.B) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	w := audittest.World
	events := filled(b, audit.Events, n)
	where := func(pairs ...string) (m []audit.Match) {
		for i := 0; i < len(pairs); i += 2 {
			m = append(m, audit.Match{Field: pairs[i], Value: pairs[i+1]})
		}
		return m
	}
	user, robot := func(i int) string { return audittest.User(i % w.Users) }, func(i int) string { return audittest.Robot(i % w.Robots) }
	org, repo := audittest.Organization, func(i int) string { return audittest.Repo(i % w.Repos) }
	for _, c := range []struct {
		name  string
		where func(i int) []audit.Match
	}{
		{"newest", func(int) []audit.Match { return nil }},
		{"actor frequent", func(i int) []audit.Match { return where("actor", robot(i%5)) }},
		{"actor rare", func(i int) []audit.Match { return where("actor", user(w.Users-1-i%500)) }},
		{"key frequent", func(i int) []audit.Match { return where("key", audittest.KeyOf(robot(i%5))) }},
		{"about frequent", func(i int) []audit.Match { return where(audit.About, repo(i%20)) }},
		{"about rare", func(i int) []audit.Match { return where(audit.About, repo(w.Repos-1-i%500)) }},
		{"within organization", func(i int) []audit.Match { return where("within", org(i%w.Organizations)) }},
		{"within repo rare", func(i int) []audit.Match { return where("within", repo(w.Repos-1-i%500)) }},
		{"actor frequent, within", func(i int) []audit.Match { return where("actor", robot(i%5), "within", org(i%w.Organizations)) }},
		{"actor middle, within", func(i int) []audit.Match { return where("actor", robot(20+i%100), "within", org(i%w.Organizations)) }},
		{"actor rare, within", func(i int) []audit.Match {
			return where("actor", user(w.Users-1-i%500), "within", org(i%w.Organizations))
		}},
		{"denied, within", func(i int) []audit.Match { return where("outcome", audit.Denied, "within", org(i%w.Organizations)) }},
		{"denied, action, within", func(i int) []audit.Match {
			return where("outcome", audit.Denied, "action", "repo:delete", "within", org(i%w.Organizations))
		}},
		{"denied, action rare, actor frequent", func(i int) []audit.Match {
			return where("outcome", audit.Denied, "action", "repo:delete", "actor", robot(i%5))
		}},
		{"nothing: failure, within", func(i int) []audit.Match { return where("outcome", audit.Failure, "within", org(i%w.Organizations)) }},
		{"nothing: login, actor frequent", func(i int) []audit.Match {
			return where("outcome", audit.Success, "action", "repo:delete", "reason", "x", "actor", robot(i%5))
		}},
		{"address", func(i int) []audit.Match { return where("address", "10.1.0.1") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			cpu := cpuTime()
			found := 0
			for i := range b.N {
				q := audit.Query{Stream: audit.Events, Where: c.where(i), Limit: 50}
				if i%2 == 1 { // a page in the middle
					q.To = w.Until.Add(-time.Duration(i%28) * audit.Day)
				}
				start := time.Now()
				if err := events.Find(context.Background(), q, func(audit.Record) error { found++; return nil }); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			report(b, took, cpuTime()-cpu)
			b.ReportMetric(float64(found)/float64(b.N), "records/op")
		})
	}
	for _, q := range []audit.StatsQuery{
		{Size: audit.Daily}, {Size: audit.Hourly, By: "action"}, {Size: audit.Hourly, By: "outcome"}, {Size: audit.Daily, By: "actor", Top: 10}, {Size: audit.Hourly, By: "actor"},
		{Size: audit.Daily, By: "action", Within: org(0)}, {Size: audit.Daily, By: "action", Within: repo(3000)}, {Size: audit.Hourly, By: "action", Where: where("actor", robot(1))},
	} {
		q.Stream, q.From, q.To = audit.Events, w.Until.Add(-30*audit.Day), w.Until
		b.Run(fmt.Sprintf("stats %v by %s within %s where %d", q.Size, q.By, q.Within, len(q.Where)), func(b *testing.B) {
			var took []time.Duration
			cpu := cpuTime()
			n := 0
			for range b.N {
				start := time.Now()
				list, err := events.Stats(context.Background(), q)
				if err != nil {
					b.Fatal(err)
				}
				took, n = append(took, time.Since(start)), len(list)
			}
			report(b, took, cpuTime()-cpu)
			b.ReportMetric(float64(n), "buckets")
		})
	}
}

// report gives the middle and the slow ones, and the processor's time, which
// other programs on the machine do not change as much.
func report(b *testing.B, took []time.Duration, cpu time.Duration) {
	b.Helper()
	b.ReportMetric(float64(cpu.Microseconds())/1000/float64(len(took)), "cpu-ms/op")
	slices.Sort(took)
	for _, p := range []int{50, 90, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
	b.ReportMetric(0, "ns/op")
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
