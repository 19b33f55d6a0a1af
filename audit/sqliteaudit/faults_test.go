package sqliteaudit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/sqliteaudit"
)

// raw opens the file beside the engine, as another program would.
func raw(t *testing.T, path string) *sql.Conn {
	t.Helper()
	c, err := sqlite.NewConnector(path)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		db.Close()
	})
	return conn
}

func run(t *testing.T, c *sql.Conn, text string, args ...any) {
	t.Helper()
	if _, err := c.ExecContext(context.Background(), text, args...); err != nil {
		t.Fatalf("%.100s: %v", text, err)
	}
}

func wantError(t *testing.T, err, kind error, says ...string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) || kind == nil && (errors.Is(err, audit.ErrUnavailable) || errors.Is(err, audit.ErrRefused)) {
		t.Errorf("got %v; want %v", err, kind)
	}
	for _, s := range says {
		if err != nil && !strings.Contains(err.Error(), s) {
			t.Errorf("%v does not say %q", err, s)
		}
	}
}

// batches are of realistic records.
func batches(writer string, n, size int) (out []audit.Batch) {
	for b := range audittest.NewLinker(writer).Batches(audittest.Records(n, 1, audit.Streams...), size) {
		out = append(out, b)
	}
	return out
}

func deliver(t *testing.T, s audit.Sink, bs ...audit.Batch) {
	t.Helper()
	for _, b := range bs {
		if err := s.Deliver(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func count(t *testing.T, s audit.Sink) (n int) {
	t.Helper()
	for _, stream := range audit.Streams {
		if err := s.Find(t.Context(), audit.Query{Stream: stream}, func(audit.Record) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	deliver(t, mustOpen(t, path, sqliteaudit.Options{}), batches("w", 20, 20)...)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", filepath.Base(path+suffix), st.Mode().Perm())
		}
	}
}

func TestOpenRefusesWhatIsNoAuditFile(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.db")
	run(t, raw(t, other), "CREATE TABLE t (a)")
	versioned := filepath.Join(dir, "versioned.db")
	run(t, raw(t, versioned), "PRAGMA user_version = 1")
	newer := filepath.Join(dir, "newer.db")
	if err := mustOpen(t, newer, sqliteaudit.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	run(t, raw(t, newer), "PRAGMA user_version = 1000")
	for _, c := range []struct {
		path string
		kind error
		says string
	}{
		{text, audit.ErrUnavailable, "is no audit file"},
		{other, nil, "no audit file of Trellis"},
		{versioned, nil, "no audit file of Trellis"},
		{newer, nil, "newer program"},
		{dir, audit.ErrUnavailable, "cannot open"},
		{filepath.Join(dir, "no", "such", "directory"), audit.ErrUnavailable, "cannot open"},
	} {
		_, err := sqliteaudit.Open(c.path, sqliteaudit.Options{Wait: 100 * time.Millisecond})
		wantError(t, err, c.kind, c.says, c.path)
	}
	if b, err := os.ReadFile(text); err != nil || !strings.HasPrefix(string(b), "this is no database") {
		t.Error("a refused file was changed")
	}
}

func TestADamagedFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	s := mustOpen(t, path, sqliteaudit.Options{})
	bs := batches("w", 3000, 1000)
	deliver(t, s, bs...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(from, to int) {
		for i := from; i < to; i++ {
			b[i] = byte(i * 7)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoil(len(b)/3, len(b))
	if s, err = sqliteaudit.Open(path, sqliteaudit.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, stream := range audit.Streams {
		if err = s.Find(t.Context(), audit.Query{Stream: stream}, func(audit.Record) error { return nil }); err != nil {
			break
		}
	}
	wantError(t, err, audit.ErrUnavailable, "is damaged", path)
	// The batch is not to blame: it must not be set aside.
	wantError(t, s.Deliver(t.Context(), batches("x", 3000, 3000)[0]), audit.ErrUnavailable, "is damaged", path)
	_ = s.Close() // may fail as well
	spoil(4096, len(b)/3)
	_, err = sqliteaudit.Open(path, sqliteaudit.Options{})
	wantError(t, err, audit.ErrUnavailable, "is damaged", path)
}

func TestManyOpenANewFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := sqliteaudit.Open(path, sqliteaudit.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if err := s.Deliver(context.Background(), batches(fmt.Sprint("w", i), 30, 30)[0]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(t, mustOpen(t, path, sqliteaudit.Options{})); n != 240 {
		t.Errorf("%d records", n)
	}
}

func TestABusyFileIsUnavailableForAWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	s := mustOpen(t, path, sqliteaudit.Options{Wait: 50 * time.Millisecond})
	patient := mustOpen(t, path, sqliteaudit.Options{Wait: time.Minute})
	bs := batches("w", 300, 100)
	deliver(t, s, bs[0])
	other := raw(t, path)
	run(t, other, "BEGIN IMMEDIATE")
	wantError(t, s.Deliver(t.Context(), bs[1]), audit.ErrUnavailable, "busy", path)
	short, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	wantError(t, patient.Deliver(short, bs[1]), context.DeadlineExceeded)
	if n := count(t, s); n != 100 {
		t.Errorf("%d records are read while another process writes", n)
	}
	done := make(chan error)
	go func() { done <- patient.Deliver(context.Background(), bs[1]) }()
	run(t, other, "ROLLBACK")
	if err := <-done; err != nil {
		t.Errorf("after waiting: %v", err)
	}
	deliver(t, s, bs...)
	if n := count(t, s); n != 300 {
		t.Errorf("%d records", n)
	}
}

func TestReadersDoNotKeepDeliveriesWaiting(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "audit.db"), sqliteaudit.Options{Readers: 1})
	bs := batches("w", 600, 100)
	deliver(t, s, bs[:3]...)
	n := 0
	if err := s.Find(t.Context(), audit.Query{Stream: audit.Requests, Oldest: true}, func(audit.Record) error {
		if n++; n == 1 {
			deliver(t, s, bs[3:]...)
		}
		return nil
	}); err != nil || n == 0 {
		t.Errorf("%d records, %v", n, err)
	}
}

func TestAFullDiskIsUnavailableAndLosesNothing(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "audit.db"), sqliteaudit.Options{})
	bs := batches("w", 4000, 200)
	deliver(t, s, bs[:3]...)
	if err := s.Exec("PRAGMA max_page_count = 1"); err != nil { // as low as the file is large
		t.Fatal(err)
	}
	var err error
	accepted := 3
	for ; accepted < len(bs) && err == nil; accepted++ {
		err = s.Deliver(t.Context(), bs[accepted])
	}
	wantError(t, err, audit.ErrUnavailable, "no more room")
	if n := count(t, s); n != 200*(accepted-1) {
		t.Errorf("%d records of %d batches", n, accepted-1)
	}
	if err := s.Exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, bs...)
	if n := count(t, s); n != 4000 {
		t.Errorf("%d records with room again", n)
	}
}

func TestWhatNoLogMakesIsRefused(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "audit.db"), sqliteaudit.Options{})
	for what, spoil := range map[string]func(h *audit.Head){
		"another writer":  func(h *audit.Head) { h.Writer = "x" },
		"no seq":          func(h *audit.Head) { h.Seq = 0 },
		"a great seq":     func(h *audit.Head) { h.Seq = 1 << 63 },
		"before 1970":     func(h *audit.Head) { h.Time = time.UnixMilli(-1) },
		"after all times": func(h *audit.Head) { h.Time = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) },
		"zero time":       func(h *audit.Head) { h.Time = time.Time{} },
	} {
		b := batches("w", 3, 3)[0]
		spoil(b.Records[1].Meta())
		t.Log(what)
		wantError(t, s.Deliver(t.Context(), b), audit.ErrRefused, "batch w-1")
	}
	if n := count(t, s); n != 0 {
		t.Errorf("%d records", n)
	}
}

// A batch whose ID is no longer remembered is known by its records.
func TestAForgottenBatchCountsOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	s := mustOpen(t, path, sqliteaudit.Options{})
	bs := batches("w", 1200, 1)
	deliver(t, s, bs...)
	var left int
	if err := raw(t, path).QueryRowContext(t.Context(), "SELECT count(*) FROM batch").Scan(&left); err != nil || left != 1000 {
		t.Errorf("%d batches are remembered, %v", left, err)
	}
	deliver(t, s, bs[:5]...)
	if n := count(t, s); n != 1200 {
		t.Errorf("%d records", n)
	}
}
