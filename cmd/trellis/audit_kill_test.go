package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to lock the file from outside
)

// auditKills is how often the server is killed.
const auditKills = 20

// auditSink is where a server's audit log goes, as something that can be stopped.
type auditSink struct {
	env         []string
	stop, start func(t *testing.T)
}

// TestNothingRecordedIsLostOrDoubledWhenTheProcessIsKilled kills the server
// again and again under load, while its audit log's sink is stopped half of the
// time. Afterwards everything that was answered must be in the log, once.
func TestNothingRecordedIsLostOrDoubledWhenTheProcessIsKilled(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		data := t.TempDir()
		killUnderLoad(t, data, lockedFile(filepath.Join(data, "audit.db")))
	})
	t.Run("clickhouse", func(t *testing.T) {
		if os.Getenv("TRELLIS_TEST_CLICKHOUSE_URL") == "" {
			t.Skip("TRELLIS_TEST_CLICKHOUSE_URL is not set: a ClickHouse that is killed is not tested")
		}
		killUnderLoad(t, t.TempDir(), ownClickHouse(t))
	})
}

// lockedFile stops the sink by a lock on its file that another process could
// hold just as well.
func lockedFile(file string) auditSink {
	var db *sql.DB
	var tx *sql.Tx
	return auditSink{
		stop: func(t *testing.T) {
			var err error
			if db, err = sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(20000)&_txlock=exclusive"); err != nil {
				t.Fatal(err)
			}
			// A server that delivers without a pause leaves little room between two transactions.
			for range 6 {
				if tx, err = db.BeginTx(context.Background(), nil); err == nil {
					return
				}
			}
			t.Fatal(err)
		},
		start: func(t *testing.T) {
			if err := errors.Join(tx.Rollback(), db.Close()); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// ownClickHouse starts a ClickHouse that nobody else uses, so that it can be killed.
func ownClickHouse(t *testing.T) auditSink {
	env := append(os.Environ(), "TRELLIS_SERVICES_DIR="+t.TempDir(), "TRELLIS_SERVICES_CLICKHOUSE_PORT="+freePort(t), "TRELLIS_SERVICES_CLICKHOUSE_NATIVE_PORT="+freePort(t))
	services := func(t *testing.T, command string) string {
		t.Helper()
		c := exec.Command("../../scripts/services", command, "clickhouse")
		c.Env = env
		var errs strings.Builder
		c.Stderr = &errs
		out, err := c.Output()
		if err != nil {
			t.Fatalf("scripts/services %s: %v\n%s", command, err, &errs)
		}
		return string(out)
	}
	services(t, "up")
	t.Cleanup(func() { services(t, "wipe") })
	_, url, ok := strings.Cut(strings.TrimSpace(services(t, "env")), "TRELLIS_TEST_CLICKHOUSE_URL=")
	if !ok {
		t.Fatal("scripts/services does not tell the address")
	}
	return auditSink{
		env:   []string{"TRELLIS_AUDIT_URL=" + url},
		stop:  func(t *testing.T) { services(t, "kill") },
		start: func(t *testing.T) { services(t, "up") },
	}
}

// deeds are what the writers did and were answered, by request id.
type deeds struct {
	mu       sync.Mutex
	answered map[string]bool
	allowed  map[string]bool  // checks
	denied   map[string]bool  // checks
	refused  map[string]bool  // mutations
	accepted map[string]int64 // mutations, with their revision
	count    atomic.Int64
}

func killUnderLoad(t *testing.T, data string, sink auditSink) {
	d := &deeds{answered: map[string]bool{}, allowed: map[string]bool{}, denied: map[string]bool{}, refused: map[string]bool{}, accepted: map[string]int64{}}
	env := append([]string{"TRELLIS_LOG_LEVEL=info", "TRELLIS_AUDIT_DECISIONS=1"}, sink.env...)
	p := startProcess(t, data, env...)
	token := p.token
	weak := weakKey(t, &p.testServer)
	stopped, began := false, time.Now()
	for round := range auditKills {
		if round > 0 {
			p = startProcess(t, data, env...)
		}
		p.token = token
		before := d.count.Load()
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() { d.work(t, p.url, token, weak, fmt.Sprintf("k%d-%d", round, w)) })
		}
		if !eventually(func() bool { return d.count.Load() > before+8 }) {
			t.Fatal("nothing is answered")
		}
		time.Sleep(rand.N(400 * time.Millisecond)) // random points are the test
		if stopped = !stopped; stopped {
			sink.stop(t)
		} else {
			sink.start(t)
		}
		time.Sleep(rand.N(900 * time.Millisecond))
		p.kill()
		wg.Wait()
	}
	if stopped {
		sink.start(t)
	}
	killed := time.Since(began)
	p = startProcess(t, data, env...)
	p.token = token
	d.compare(t, &p.testServer)
	code, out, errs := p.trellis(t, "", "audit", "verify")
	if code != 0 {
		t.Errorf("verify: exit code %d\n%s%s", code, out, errs)
	}
	t.Logf("answered in %.0f s with %d kills: %d requests, of them %d accepted and %d refused mutations, %d allowed and %d denied checks; compared in %.0f s; verify: %s",
		killed.Seconds(), auditKills, len(d.answered), len(d.accepted), len(d.refused), len(d.allowed), len(d.denied), (time.Since(began) - killed).Seconds(), lastLine(out))
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// weakKey makes a key that may do nothing.
func weakKey(t *testing.T, s *testServer) string {
	t.Helper()
	var key struct{ Token string }
	if code := s.post(t, "/api/v1/service-accounts", `{"id":"weak","slug":"weak","name":"Weak"}`, nil); code != http.StatusCreated {
		t.Fatalf("the account: %d", code)
	}
	if code := s.post(t, "/api/v1/api-keys", `{"name":"weak","owner":"service_account:weak"}`, &key); code != http.StatusCreated {
		t.Fatalf("the key: %d", code)
	}
	return key.Token
}

// work sends mutations and checks, allowed ones and others, until the server
// is gone, and notes what was answered.
func (d *deeds) work(t *testing.T, url, token, weak, name string) {
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", name, i)
		method, path, body, key := http.MethodPost, "/api/v1/access/check", "", token
		switch i % 4 {
		case 0, 1:
			method, path, body = http.MethodPut, "/api/v1/users/"+id, `{"name":"x"}`
			if i%4 == 1 {
				key = weak
			}
		case 2:
			body = `{"permission":"user:read","resource":"platform:root"}`
		case 3:
			body = `{"subject":"service_account:weak","permission":"user:read","resource":"platform:root"}`
		}
		status, answer, err := send(t.Context(), method, url+path, key, id, body)
		if err != nil {
			return // the server is gone
		}
		var out struct {
			Allowed  bool
			Revision any
		}
		if err := json.Unmarshal(answer, &out); err != nil {
			t.Errorf("%s %s: %d %s", method, path, status, answer)
			return
		}
		d.mu.Lock()
		d.answered[id] = true
		good := false
		switch i % 4 {
		case 0:
			rev, ok := out.Revision.(float64)
			d.accepted[id], good = int64(rev), ok && status == http.StatusCreated
		case 1:
			d.refused[id], good = true, status == http.StatusForbidden || status == http.StatusNotFound
		case 2:
			d.allowed[id], good = true, status == http.StatusOK && out.Allowed
		case 3:
			d.denied[id], good = true, status == http.StatusOK && !out.Allowed
		}
		d.mu.Unlock()
		if !good {
			t.Errorf("%s %s (%s): %d %s", method, path, id, status, answer)
			return
		}
		d.count.Add(1)
	}
}

// send makes one request under an id and reads the whole answer.
func send(ctx context.Context, method, url, key, id, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-ID", id)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// logged is a record as an export has it.
type logged struct {
	Writer    string
	Seq       uint64
	RequestID string `json:"request_id"`
	Action    string
	Outcome   string
	Answer    string
	Node      string
	Other     string
	Revision  int64
}

// exported reads a whole stream of the log.
func exported(t *testing.T, s *testServer, stream string) (out []logged) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "export")
	s.must(t, "audit", "export", "--stream", stream, "-o", file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(b))); ; {
		var r logged
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		if r.Seq > 0 { // the last line of an export is no record
			out = append(out, r)
		}
	}
}

// compare waits until everything that was answered is in the log, and looks
// for what is there twice.
func (d *deeds) compare(t *testing.T, s *testServer) {
	t.Helper()
	var lost []string
	var requests, decisions, events []logged
	// The lease of the process killed last must run out first, and a sink that was
	// away is asked again only now and then.
	whole := within(2*time.Minute, func() bool {
		lost = nil
		requests, decisions, events = exported(t, s, "requests"), exported(t, s, "decisions"), exported(t, s, "events")
		lost = append(lost, missing(d.answered, requests, func(logged) bool { return true })...)
		lost = append(lost, missing(d.allowed, decisions, func(r logged) bool { return r.Answer == "allowed" })...)
		lost = append(lost, missing(d.denied, decisions, func(r logged) bool { return r.Answer == "denied" })...)
		lost = append(lost, missing(d.refused, events, func(r logged) bool { return r.Outcome != "success" })...)
		lost = append(lost, missing(d.accepted, events, func(r logged) bool { return r.Outcome == "success" && r.Revision == d.accepted[r.RequestID] })...)
		return len(lost) == 0
	})
	if !whole {
		t.Errorf("%d records are lost, such as those of %.200q", len(lost), lost)
	}
	twice := func(what string, records []logged, key func(logged) string) {
		seen := map[string]int{}
		for _, r := range records {
			if k := key(r); k != "" {
				if seen[k]++; seen[k] == 2 {
					t.Errorf("%s: %s is there twice: %+v", what, k, r)
				}
			}
		}
	}
	ours := func(r logged) string {
		if strings.HasPrefix(r.RequestID, "k") {
			return r.RequestID
		}
		return ""
	}
	twice("requests", requests, ours)
	twice("decisions", decisions, ours)
	twice("events", events, func(r logged) string {
		if ours(r) == "" {
			return ""
		}
		return fmt.Sprint(r.RequestID, " ", r.Outcome, " ", r.Revision, " ", r.Action, " ", r.Node, " ", r.Other)
	})
	for _, records := range [][]logged{requests, decisions, events} {
		twice("numbers", records, func(r logged) string { return fmt.Sprint(r.Writer, " ", r.Seq) })
	}
}

// within is eventually with a limit of its own, for what is costly to find out.
func within(limit time.Duration, f func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return false
}

// missing returns the ids of which no record is right.
func missing[V any](ids map[string]V, records []logged, right func(logged) bool) (out []string) {
	there := map[string]bool{}
	for _, r := range records {
		if right(r) {
			there[r.RequestID] = true
		}
	}
	for id := range ids {
		if !there[id] {
			out = append(out, id)
		}
	}
	return out
}
