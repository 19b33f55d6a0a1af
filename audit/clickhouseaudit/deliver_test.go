package clickhouseaudit_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/clickhouseaudit"
)

// sample makes realistic records of all streams, linked.
func sample(writer string, n int) []audit.Record {
	for b := range audittest.NewLinker(writer).Batches(audittest.Records(n, 1, audit.Streams...), n) {
		return b.Records
	}
	return nil
}

func link(writer string, rs ...audit.Record) []audit.Record {
	return audittest.NewLinker(writer).Link(rs...)
}

// sums is everything that a delivery has an effect on, in figures.
func (d *database) sums(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for table, what := range map[string]string{
		"audit_events": "count()", "access_decisions": "count()", "api_key_usage": "count()", "email_audit": "count()", "mfa_events": "count()", "rate_limit_events": "count()",
		"event_counts_hourly": "sum(count)", "event_counts_daily": "sum(count)", "decision_counts_hourly": "sum(count)", "decision_counts_daily": "sum(count)",
		"request_counts_hourly": "sum(count), sum(latency)", "request_counts_daily": "sum(count), sum(latency)",
		"event_hours": "uniqExact(term, hour)", "event_parties": "count(), uniqExact(term, time, writer, seq)", "key_last_used": "uniqExact(key)",
	} {
		fmt.Fprintf(&b, "%s %s\n", table, d.one(t, "SELECT "+what+" FROM "+table))
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestAHalfDoneBatchIsCompletedAndCountsOnce(t *testing.T) {
	whole := newDatabase(t)
	deliver(t, whole.open(t, clickhouseaudit.Options{}), "w-1", sample("w", 240)...)
	want := whole.sums(t)
	for _, broken := range []string{"event_counts_daily", "event_hours", "event_parties", "decision_counts_hourly", "api_key_usage", "key_last_used", "rate_limit_events"} {
		t.Run(broken, func(t *testing.T) {
			d := newDatabase(t)
			s := d.open(t, clickhouseaudit.Options{})
			if _, err := s.Sweep(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			d.ask(t, "ALTER TABLE "+broken+" ADD CONSTRAINT nothing CHECK 0")
			b := audit.Batch{ID: "w-1", Records: sample("w", 240)}
			for range 2 {
				if err := s.Deliver(t.Context(), b); !errors.Is(err, audit.ErrRefused) {
					t.Fatalf("%v, want ErrRefused", err)
				}
			}
			d.ask(t, "ALTER TABLE "+broken+" DROP CONSTRAINT nothing")
			for range 2 {
				deliver(t, s, b.ID, b.Records...)
			}
			if got := d.sums(t); got != want {
				t.Errorf("after the half failure\n%s, want\n%s", got, want)
			}
		})
	}
}

func TestServerAwayAndWrongPassword(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close() // from now on nobody listens there
	addresses := map[string]string{
		"nobody listens":         "http://u:s3cr3t%2F%25@" + closed.Addr().String() + "/db",
		"nobody listens, native": "clickhouse://u:s3cr3t%2F%25@" + closed.Addr().String() + "/db",
		"no answer":              "http://u:s3cr3t%2F%25@" + l.Addr().String() + "/db",
		"no answer, native":      "clickhouse://u:s3cr3t%2F%25@" + l.Addr().String() + "/db",
		"no such host":           "http://u:s3cr3t%2F%25@no-such-host.invalid/db",
	}
	if base := os.Getenv(serverVariable); base != "" {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(u.User.Username(), "s3cr3t/%")
		addresses["wrong password"] = u.String()
	}
	for what, address := range addresses {
		t.Run(what, func(t *testing.T) {
			s, err := clickhouseaudit.Open(address, clickhouseaudit.Options{Timeout: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			err = s.Deliver(t.Context(), audit.Batch{ID: "w-1", Records: sample("w", 10)})
			if !errors.Is(err, audit.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want ErrUnavailable", err)
			}
			if err != nil && strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the password is in: %v", err)
			}
			if what == "wrong password" && !strings.Contains(err.Error(), "password is wrong") {
				t.Errorf("%v does not help", err)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"clickhouse://u:p@h/db":                  "",
		"clickhouses://u:p@h:9440/db":            "",
		"clickhouse://u:p@h:9440/db?secure=true": "",
		"http://h:8123/?database=db":             "",
		"https://u:p@h/db":                       "",
		"tcp://h/db":                             `begins with "tcp"`,
		"http://u:pass@h":                        "names no database",
		"http:///db":                             "names no host",
		"http://u:s3/cr3t@h/db":                  "no URL",
		"http://h/db?dial_timeout=x":             "parameter",
	} {
		s, err := clickhouseaudit.Open(address, clickhouseaudit.Options{})
		switch {
		case err == nil:
			if want != "" {
				t.Errorf("%s is taken", address)
			}
			_ = s.Close()
		case want == "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "cr3t"):
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	if _, err := clickhouseaudit.Open("http://h/db", clickhouseaudit.Options{Cluster: "x' --"}); err == nil {
		t.Error("a strange cluster is taken")
	}
}

func TestATimeThatCannotBeKeptIsRefused(t *testing.T) {
	d := newDatabase(t)
	s := d.open(t, clickhouseaudit.Options{})
	for i, at := range []time.Time{{}, time.UnixMilli(-1), time.Date(2107, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if err := s.Deliver(t.Context(), audit.Batch{ID: fmt.Sprint("w-", i), Records: link("w", &audit.Event{Head: audit.Head{Time: at}})}); !errors.Is(err, audit.ErrRefused) {
			t.Errorf("%v: %v", at, err)
		}
	}
	if n := d.count(t, "audit_events"); n != "0" {
		t.Errorf("%s events", n)
	}
}

// services runs scripts/services for a server of the test's own.
func services(t testing.TB, dir string, port int, command string) string {
	t.Helper()
	cmd := exec.Command("../../scripts/services", command, "clickhouse")
	cmd.Env = append(os.Environ(), "TRELLIS_SERVICES_DIR="+dir, fmt.Sprint("TRELLIS_SERVICES_CLICKHOUSE_PORT=", port), "TRELLIS_SERVICES_CLICKHOUSE_PASSWORD=own")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("scripts/services %s: %v\n%s", command, err, stderr.String())
	}
	return string(out)
}

func TestNothingIsLostOrDoubledWhenTheServerIsKilled(t *testing.T) {
	server(t) // as a sign that the real engine is wanted; the one killed is our own
	if testing.Short() {
		t.Skip("starts a server of its own, which -short leaves out")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port, dir := l.Addr().(*net.TCPAddr).Port, t.TempDir()
	_ = l.Close()
	services(t, dir, port, "up")
	t.Cleanup(func() { services(t, dir, port, "wipe") })
	d := &database{url: fmt.Sprintf("http://trellis:own@127.0.0.1:%d/trellis", port)}

	const writers, kills = 3, 4
	delivered, failures := make([]int, writers), make([]int, writers)
	progress := make(chan struct{}, 1000)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for w := range writers {
		s := d.open(t, clickhouseaudit.Options{Timeout: 20 * time.Second})
		wg.Go(func() {
			for b := range audittest.NewLinker(fmt.Sprint("w", w)).Batches(audittest.Records(1_000_000, uint64(w), audit.Streams...), 200) {
				for s.Deliver(context.WithoutCancel(ctx), b) != nil {
					failures[w]++
					time.Sleep(20 * time.Millisecond)
				}
				delivered[w] += len(b.Records)
				select {
				case progress <- struct{}{}:
				default:
				}
				if ctx.Err() != nil {
					return
				}
			}
		})
	}
	for range kills {
		for range 6 {
			<-progress
		}
		services(t, dir, port, "kill")
		services(t, dir, port, "up")
	}
	stop()
	wg.Wait()
	sum, failed := 0, 0
	for w := range writers {
		sum, failed = sum+delivered[w], failed+failures[w]
	}
	t.Logf("%d records delivered, %d deliveries failed", sum, failed)
	if failed == 0 {
		t.Error("no kill hit a delivery")
	}
	for _, stream := range audit.Streams {
		table := clickhouseaudit.TableOf(stream)
		if a, b := d.count(t, table), d.one(t, "SELECT uniqExact(writer, seq) FROM "+table); a != b {
			t.Errorf("%s: %s rows, %s different", table, a, b)
		}
		if bad := d.ask(t, "SELECT writer, count(), max(seq) FROM "+table+" GROUP BY writer HAVING count() != max(seq)"); len(bad) > 0 {
			t.Errorf("%s: %v", table, bad)
		}
	}
	all := "(SELECT count() FROM audit_events) + (SELECT count() FROM access_decisions) + (SELECT count() FROM api_key_usage) + (SELECT count() FROM email_audit) + (SELECT count() FROM mfa_events) + (SELECT count() FROM rate_limit_events)"
	if n := d.one(t, "SELECT "+all); n != fmt.Sprint(sum) {
		t.Errorf("%s records are there, %d were delivered", n, sum)
	}
	for _, pair := range [][2]string{
		{"SELECT count() FROM audit_events", "SELECT sum(count) FROM event_counts_hourly WHERE scope = ''"},
		{"SELECT count() FROM audit_events", "SELECT sum(count) FROM event_counts_daily WHERE scope = ''"},
		{"SELECT sum(weight) FROM access_decisions", "SELECT sum(count) FROM decision_counts_hourly WHERE scope = ''"},
		{"SELECT sum(weight) FROM access_decisions", "SELECT sum(count) FROM decision_counts_daily WHERE scope = ''"},
		{"SELECT count(), sum(latency) FROM api_key_usage", "SELECT sum(count), sum(latency) FROM request_counts_hourly"},
		{"SELECT count(), sum(latency) FROM api_key_usage", "SELECT sum(count), sum(latency) FROM request_counts_daily"},
		{"SELECT uniqExact(node, toStartOfHour(time)) FROM audit_events", "SELECT uniqExact(term, hour) FROM event_hours WHERE term LIKE 'node=%'"},
		{"SELECT sum((actor != '') + (node != '') + (other NOT IN ('', node))) FROM audit_events", "SELECT count() FROM event_parties"},
		{"SELECT key, max(time) FROM api_key_usage GROUP BY key ORDER BY key LIMIT 1 OFFSET 3", "SELECT * FROM keys_last_used ORDER BY key LIMIT 1 OFFSET 3"},
	} {
		if a, b := d.one(t, pair[0]), d.one(t, pair[1]); a != b {
			t.Errorf("%s is %s, %s is %s", pair[0], a, pair[1], b)
		}
	}
}
