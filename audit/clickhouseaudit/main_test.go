package clickhouseaudit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/clickhouseaudit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const serverVariable = "TRELLIS_TEST_CLICKHOUSE_URL"

// server is the address of the server for tests; without one the test is skipped.
func server(t testing.TB) string {
	t.Helper()
	u := os.Getenv(serverVariable)
	if u == "" {
		t.Skipf("%s is not set: nothing is tried on a real ClickHouse; `scripts/services up clickhouse` starts one", serverVariable)
	}
	return u
}

// database is a database of the test's own, and its address.
type database struct {
	name, url string
}

// newDatabase makes a database and drops it when the test ends.
func newDatabase(t testing.TB) *database {
	t.Helper()
	base, err := url.Parse(server(t))
	if err != nil {
		t.Fatal(err)
	}
	d := &database{name: "audit_" + strings.ToLower(rand.Text())}
	admin := &database{url: base.String()}
	admin.ask(t, "CREATE DATABASE "+d.name)
	u := *base
	u.Path = "/" + d.name
	d.url = u.String()
	t.Cleanup(func() { admin.ask(t, "DROP DATABASE "+d.name) })
	return d
}

// ask sends a statement by plain HTTP, past the engine under test, and returns
// the answer's lines.
func (d *database) ask(t testing.TB, statement string) []string {
	t.Helper()
	u, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	login := u.User
	q := url.Values{"database": {strings.Trim(u.Path, "/")}, "max_partitions_per_insert_block": {"0"}}
	u.User, u.Path, u.RawQuery = nil, "/", q.Encode()
	// Not t.Context: databases are dropped after it has ended.
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, u.String(), strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := login.Password()
	req.SetBasicAuth(login.Username(), password)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Minute}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%.300s: %s", statement, body)
	}
	body = bytes.TrimSuffix(body, []byte("\n"))
	if len(body) == 0 {
		return nil
	}
	return strings.Split(string(body), "\n")
}

// one asks for a single value; "" may be none.
func (d *database) one(t testing.TB, statement string) string {
	t.Helper()
	lines := d.ask(t, statement)
	if len(lines) > 1 {
		t.Fatalf("%s: %d lines", statement, len(lines))
	}
	return strings.Join(lines, "")
}

// open opens a sink on the database.
func (d *database) open(t testing.TB, o clickhouseaudit.Options) *clickhouseaudit.Sink {
	t.Helper()
	s, err := clickhouseaudit.Open(d.url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// until waits for a condition, which may take some merges.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// expire makes ClickHouse remove at once what is past its retention.
func (d *database) expire(t testing.TB) {
	t.Helper()
	until(t, "changed retention worked out", func() bool {
		return d.one(t, "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done") == "0"
	})
	for _, table := range clickhouseaudit.Tables() {
		d.ask(t, "OPTIMIZE TABLE "+table+" FINAL")
	}
}

// deliver hands over the records as one batch.
func deliver(t testing.TB, s audit.Sink, id string, rs ...audit.Record) audit.Batch {
	t.Helper()
	b := audit.Batch{ID: id, Records: rs}
	if err := s.Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	server(t)
	databases := map[audit.Sink]*database{}
	audittest.Run(t, audittest.Engine{
		New: func(t testing.TB) audittest.Place {
			d := newDatabase(t)
			return func(t testing.TB, o audittest.Options) audit.Sink {
				s, err := clickhouseaudit.Open(d.url, clickhouseaudit.Options{Retention: o.Retention})
				if err != nil {
					t.Fatal(err)
				}
				databases[s] = d
				return s
			}
		},
		Expire: func(t testing.TB, s audit.Sink) { databases[s].expire(t) },
		Rounds: 40,
	})
}

// count returns how many rows a table has.
func (d *database) count(t testing.TB, table string) string {
	t.Helper()
	return d.one(t, fmt.Sprintf("SELECT count() FROM %s", table))
}
