package main

import (
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trellis/audit"
	"trellis/cmd/trellis/config"
)

// A server that is gone, and its spool with it, does not tell any more where its
// chain ended. The graph does.
func TestTheEndOfAnotherServersChainCannotBeCutUnnoticed(t *testing.T) {
	data := t.TempDir()
	cfg, err := config.Load(func(name string) string { return map[string]string{"TRELLIS_DATA": data}[name] }, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	k, err := openCore(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.prepare(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	u, err := k.openAudit(cfg)
	if err != nil {
		t.Fatal(err)
	}
	u.start()
	for _, id := range []string{"one", "two", "the-last"} {
		if err := u.log.Append(t.Context(), audit.Must, &audit.Request{Method: "GET", Route: "/x", Status: 200, RequestID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(u.changes.Flush(t.Context()), u.log.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	(&server{core: k, audit: u, cfg: cfg}).clear(t.Context(), time.Now())
	gone := u.log.Writer()
	if err := errors.Join(u.Close(), k.Close(), os.RemoveAll(filepath.Join(data, "spool"))); err != nil {
		t.Fatal(err)
	}

	const key = "a-bootstrap-key-of-more-than-32-characters"
	s := serve(t, "TRELLIS_DATA="+data, "TRELLIS_BOOTSTRAP_KEY="+key)
	s.token = key
	if out := s.must(t, "audit", "verify"); !strings.Contains(out, "intact: ") {
		t.Errorf("before anything was removed:\n%s", out)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "audit.db")+"?_pragma=busy_timeout(20000)") // the server may be writing
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `DELETE FROM requests WHERE request_id = 'the-last'`); err != nil {
		t.Fatal(err)
	}
	code, out, errs := s.trellis(t, "", "audit", "verify", "--writer", gone)
	if code != exitDenied || !strings.Contains(out, "missing") || !strings.Contains(out, "it went on to number 3") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}
