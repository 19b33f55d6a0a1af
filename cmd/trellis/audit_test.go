package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// records runs a query for programs and decodes its lines.
func records(t *testing.T, s *testServer, args ...string) (out []auditRecord) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(s.must(t, append([]string{"audit", "query", "--json"}, args...)...)), "\n") {
		var r auditRecord
		if line == "" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, r)
	}
	return out
}

// recorded waits until the query finds something.
func recorded(t *testing.T, s *testServer, args ...string) (out []auditRecord) {
	t.Helper()
	if !eventually(func() bool { out = records(t, s, args...); return len(out) > 0 }) {
		t.Fatalf("trellis audit query %s finds nothing", strings.Join(args, " "))
	}
	return out
}

func TestTheAuditLogTellsWhoDidWhat(t *testing.T) {
	s := serve(t)
	s.must(t, "load", "github-org", kubernetes, "--org", "etcd-io")
	weak := weakKey(t, s)
	if status, _, err := send(t.Context(), http.MethodPut, s.url+"/api/v1/users/mallory", weak, "the-refusal", `{"name":"x"}`); err != nil || status < 400 {
		t.Fatalf("a key without rights made a user: %d, %v", status, err)
	}
	if code, _, _ := s.trellis(t, "", "check", "user:member-1473", "repo:admin", "repo:etcd-io/etcd"); code != exitDenied {
		t.Fatalf("exit code %d", code)
	}
	refusal := recorded(t, s, "--where", "request_id=the-refusal")[0]
	if refusal.Actor != "service_account:weak" || refusal.Outcome == "success" || refusal.Node != "user:mallory" {
		t.Errorf("%s", refusal.raw)
	}
	denied := recorded(t, s, "--stream", "decisions", "--within", "organization:etcd-io", "--where", "answer=denied")[0]
	if denied.Subject != "user:member-1473" || denied.Permission != "repo:admin" || denied.Resource != "repo:etcd-io/etcd" {
		t.Errorf("%s", denied.raw)
	}
	for _, r := range recorded(t, s, "--about", "team:etcd-io/etcd-admins", "--limit", "3") {
		if r.Actor != "service_account:admin" || r.Node != "team:etcd-io/etcd-admins" && r.Other != "team:etcd-io/etcd-admins" {
			t.Errorf("%s", r.raw)
		}
	}
	if got := recorded(t, s, "--stream", "requests", "--where", "status=200", "--since", "1h"); got[0].Method == "" {
		t.Errorf("%s", got[0].raw)
	}
	if got := records(t, s, "--to", "2020-01-01"); len(got) > 0 {
		t.Errorf("before all times: %s", got[0].raw)
	}
	for _, stream := range []string{"events", "decisions", "requests"} {
		table := s.must(t, "audit", "query", "--stream", stream)
		lines := strings.Split(table, "\n")
		if !strings.HasPrefix(lines[0], "TIME ") || len(lines) < 3 {
			t.Errorf("%s:\n%s", stream, table)
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l) > 100 {
				t.Errorf("%s: the line has more than 100 columns: %s", stream, l)
			}
		}
	}
	if out := s.must(t, "audit", "query", "--stream", "mails"); out != "none\n" {
		t.Errorf("mails: %q", out)
	}
	for want, args := range map[string][]string{
		"want one of events":        {"query", "--stream", "nonsense"},
		"want a time such as":       {"query", "--from", "yesterday"},
		"want FIELD=VALUE":          {"query", "--where", "answer"},
		"is no length of time":      {"query", "--since", "ever"},
		"actor is given twice":      {"query", "--actor", "user:ann", "--where", "actor=user:bob"},
		"want 0 to 1000":            {"tail", "-n", "1001"},
		"want one of csv, ndjson":   {"export", "--format", "xlsx", "-o", "-"},
		`flag(s) "output" not set`:  {"export"},
		"trellis:   nonsense: ":     {"query", "--where", "nonsense=1"},
		"[from since] are set none": {"query", "--from", "2026-01-01", "--since", "1h"},
	} {
		if code, _, errs := s.trellis(t, "", append([]string{"audit"}, args...)...); code != exitError || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d, %s, want %s", args, code, errs, want)
		}
	}
}

func TestAuditStatsCount(t *testing.T) {
	s := serve(t)
	s.must(t, "load", "github-org", kubernetes, "--org", "etcd-io")
	var out string
	if !eventually(func() bool {
		out = s.must(t, "audit", "stats", "--by", "action", "--bucket", "hour", "--since", "2h")
		return strings.Contains(out, "grant:create")
	}) {
		t.Errorf("got\n%s", out)
	}
	if !strings.HasPrefix(out, "START ") || !strings.Contains(out, "ACTION") || !strings.Contains(out, time.Now().UTC().Format("2006-01-02T15:00Z")) {
		t.Errorf("got\n%s", out)
	}
	if !eventually(func() bool {
		out = s.must(t, "audit", "stats", "--stream", "requests", "--by", "route")
		return strings.Contains(out, "/api/v1/batch")
	}) || !strings.Contains(out, "MEAN MS") {
		t.Errorf("got\n%s", out)
	}
	if code, _, _ := s.trellis(t, "", "audit", "stats", "--by", "weather"); code != exitError {
		t.Errorf("exit code %d", code)
	}
}

// tailing runs tail -f in the background; stop interrupts it.
func tailing(t *testing.T, s *testServer, args ...string) (out *output, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out = &output{}
	errs := &output{}
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"audit", "tail", "-f"}, args...), []string{"TRELLIS_URL=" + s.url, "TRELLIS_TOKEN=" + s.token}, strings.NewReader(""), out, errs)
	}()
	return out, func() {
		t.Helper()
		cancel()
		if code := <-done; code != exitOK || errs.String() != "" {
			t.Errorf("tail ended with %d: %s", code, errs)
		}
	}
}

func TestTailFollows(t *testing.T) {
	s := serve(t)
	events, stopEvents := tailing(t, s)
	requests, stopRequests := tailing(t, s, "--stream", "requests", "--json", "-n", "0")
	own := regexp.MustCompile(`"request_id":"tail-\w+-`)
	for i := range 3 {
		id := fmt.Sprintf("tail%d", i)
		if status, _, err := send(t.Context(), http.MethodPut, s.url+"/api/v1/users/"+id, s.token, "put-"+id, `{"name":"x"}`); err != nil || status != http.StatusCreated {
			t.Fatalf("%d, %v", status, err)
		}
		if !eventually(func() bool {
			return strings.Contains(events.String(), "user:"+id) && strings.Contains(requests.String(), "put-"+id)
		}) {
			t.Fatalf("not shown:\n%s\n%s", events, requests)
		}
	}
	stopEvents()
	stopRequests()
	if n := strings.Count(events.String(), "user:tail1"); n != 1 {
		t.Errorf("shown %d times:\n%s", n, events)
	}
	// Each shows the questions of the other, as those of anybody, and not its own.
	asked := map[string]bool{}
	for _, id := range own.FindAllString(requests.String(), -1) {
		asked[id] = true
	}
	if len(asked) != 1 {
		t.Errorf("tail shows its own questions, or not those of others: %v\n%s", asked, requests)
	}
}

func TestAnExportIsWholeOrNotThere(t *testing.T) {
	s := serve(t)
	s.must(t, "load", "github-org", kubernetes, "--org", "etcd-io")
	recorded(t, s, "--action", "grant:create")
	dir := t.TempDir()
	read := func(format string) []byte {
		t.Helper()
		file := filepath.Join(dir, format)
		s.must(t, "audit", "export", "--action", "grant:create", "--format", format, "-o", file)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := len(records(t, s, "--action", "grant:create", "--limit", "0"))
	rows, err := csv.NewReader(bytes.NewReader(read("csv"))).ReadAll()
	if err != nil || len(rows) != whole+1 {
		t.Errorf("csv: %d rows, want %d and a head, %v", len(rows), whole, err)
	}
	if n := bytes.Count(read("ndjson"), []byte(`"grant:create"`)); n != whole {
		t.Errorf("ndjson: %d, want %d", n, whole)
	}
	type row struct {
		Time   int64    `parquet:"time"`
		Seq    int64    `parquet:"seq"`
		Action string   `parquet:"action"`
		Node   string   `parquet:"node"`
		Within []string `parquet:"within,list"`
		After  string   `parquet:"after"`
	}
	b := read("parquet")
	columns, err := parquet.Read[row](bytes.NewReader(b), int64(len(b)))
	if err != nil || len(columns) != whole {
		t.Fatalf("parquet: %d rows, want %d, %v", len(columns), whole, err)
	}
	for _, c := range columns {
		if c.Action != "grant:create" || c.Node == "" || c.Seq == 0 || !strings.Contains(c.After, "role") || time.Since(time.UnixMilli(c.Time)) > time.Hour {
			t.Errorf("parquet: %+v", c)
		}
		if c.Node != "platform:root" && (len(c.Within) == 0 || c.Within[0] != c.Node) {
			t.Errorf("parquet: %+v", c)
		}
	}

	// A server between that breaks off in the middle.
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), r.Method, s.url+r.URL.RequestURI(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header = r.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		_, _ = io.CopyN(w, resp.Body, 200) // whoever reads this is about to be cut off
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer broken.Close()
	half := t.TempDir()
	cut := &testServer{url: broken.URL, token: s.token}
	for _, format := range []string{"csv", "ndjson", "parquet"} {
		code, _, errs := cut.trellis(t, "", "audit", "export", "--format", format, "-o", filepath.Join(half, "x"))
		if code != exitError || !strings.Contains(errs, "broke off") {
			t.Errorf("%s: exit code %d, %s", format, code, errs)
		}
	}
	if left, err := os.ReadDir(half); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A sink that nobody listens at keeps nothing from working, and what happened
// meanwhile is in the log once it is there.
func TestASinkThatIsAwayHindersNobody(t *testing.T) {
	data := t.TempDir()
	away := serve(t, "TRELLIS_DATA="+data, "TRELLIS_AUDIT_URL=http://trellis:x@127.0.0.1:"+freePort(t)+"/trellis")
	if status, _, err := send(t.Context(), http.MethodPut, away.url+"/api/v1/users/ann", away.token, "while-away", `{"name":"x"}`); err != nil || status != http.StatusCreated {
		t.Fatalf("%d, %v", status, err)
	}
	if status := away.get(t, "/api/v1/audit/events", nil); status != http.StatusServiceUnavailable {
		t.Errorf("asking a log that is away: %d", status)
	}
	began := time.Now()
	if code := away.stop(); code != 0 {
		t.Errorf("stopped with %d", code)
	}
	if took := time.Since(began); took > 3*lastDelivery {
		t.Errorf("stopping took %v", took)
	}
	back := serve(t, "TRELLIS_DATA="+data)
	back.token = away.token
	if got := recorded(t, back, "--where", "request_id=while-away"); len(got) != 1 || got[0].Action != "user:create" {
		t.Errorf("%d events", len(got))
	}
	if got := recorded(t, back, "--stream", "requests", "--where", "request_id=while-away"); len(got) != 1 {
		t.Errorf("%d requests", len(got))
	}
}

// freePort finds a port at which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}

// TestVerifyNamesWhatWasTamperedWith changes the log behind the server's back.
func TestVerifyNamesWhatWasTamperedWith(t *testing.T) {
	s := serve(t)
	for i := range 8 {
		if status, _, err := send(t.Context(), http.MethodPut, s.url+fmt.Sprintf("/api/v1/users/v%d", i), s.token, fmt.Sprintf("v%d", i), `{"name":"x"}`); err != nil || status != http.StatusCreated {
			t.Fatalf("%d, %v", status, err)
		}
	}
	victim := recorded(t, s, "--stream", "requests", "--where", "request_id=v3")[0]
	gone := recorded(t, s, "--stream", "requests", "--where", "request_id=v5")[0]
	if out := s.must(t, "audit", "verify"); !strings.Contains(out, "intact: ") {
		t.Errorf("got\n%s", out)
	}
	if code := s.stop(); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	tamper(t, filepath.Join(s.data, "audit.db"), victim, gone)

	again := serve(t, "TRELLIS_DATA="+s.data)
	again.token = s.token
	code, out, errs := again.trellis(t, "", "audit", "verify", "--stream", "requests")
	if code != exitDenied || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	for _, f := range []struct {
		r    auditRecord
		kind string
	}{{victim, "changed"}, {gone, "missing"}} {
		if want := regexp.MustCompile(fmt.Sprintf(`(?m)^requests +%s +%d +%s `, f.r.Writer, f.r.Seq, f.kind)); !want.MatchString(out) {
			t.Errorf("want %v in\n%s", want, out)
		}
	}
	var v verification
	if _, out, _ := again.trellis(t, "", "audit", "verify", "--stream", "requests", "--json"); json.Unmarshal([]byte(out), &v) != nil || v.Total != 2 || len(v.Faults) != 2 {
		t.Errorf("%+v", v)
	}
	if code, _, errs := again.trellis(t, "", "audit", "verify", "--stream", "nonsense"); code != exitError || !strings.Contains(errs, "stream") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// tamper changes one record of an SQLite log and removes another.
func tamper(t *testing.T, file string, change, remove auditRecord) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(20000)") // a server may be writing
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for statement, r := range map[string]auditRecord{
		`UPDATE requests SET status = 418 WHERE request_id = ? AND seq = ?`: change,
		`DELETE FROM requests WHERE request_id = ? AND seq = ?`:             remove,
	} {
		done, err := db.ExecContext(t.Context(), statement, r.RequestID, r.Seq)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := done.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%s: %d rows, %v", statement, n, err)
		}
	}
}
