package sqlitegraph_test

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

func mustOpen(t *testing.T, path string, o sqlitegraph.Options) *sqlitegraph.Store {
	t.Helper()
	s, err := sqlitegraph.Open(path, o)
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

func run(t *testing.T, c *sql.Conn, text string) {
	t.Helper()
	if _, err := c.ExecContext(context.Background(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func wantKind(t *testing.T, err error, kind graph.ErrorKind, says string) {
	t.Helper()
	if err == nil || graph.KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v (%s); want %s, with %q", err, graph.KindOf(err), kind, says)
	}
}

func try(ctx context.Context, s *sqlitegraph.Store, id string) error {
	b := graph.Batch{ID: id, Time: noon, Steps: []graph.Step{graph.Put(graph.Node{Ref: graph.Ref{Type: "doc", ID: id}, Props: graph.Props{"text": strings.Repeat("x", 3000)}})}}
	if err := b.Validate(); err != nil {
		return err
	}
	res, err := s.Commit(ctx, []graph.Batch{b})
	if err == nil {
		err = res[0].Err
	}
	return err
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "graph.db")
	s := mustOpen(t, path, sqlitegraph.Options{})
	if err := try(context.Background(), s, "a"); err != nil {
		t.Fatal(err)
	}
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

func TestOpenRefusesWhatIsNoGraph(t *testing.T) {
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
	s, err := sqlitegraph.Open(newer, sqlitegraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, raw(t, newer), "PRAGMA user_version = 1000")
	for _, c := range []struct {
		path string
		kind graph.ErrorKind
		says string
	}{
		{text, graph.Corrupt, "no graph file"},
		{other, graph.Corrupt, "no graph of Trellis"},
		{versioned, graph.Corrupt, "no graph of Trellis"},
		{newer, graph.Invalid, "newer program"},
		{dir, graph.Unavailable, "cannot open"},
		{filepath.Join(dir, "no", "such", "directory"), graph.Unavailable, "cannot open"},
	} {
		_, err := sqlitegraph.Open(c.path, sqlitegraph.Options{Wait: 100 * time.Millisecond})
		wantKind(t, err, c.kind, c.says)
	}
	if b, err := os.ReadFile(text); err != nil || !strings.HasPrefix(string(b), "this is no database") {
		t.Error("a refused file was changed")
	}
}

func TestDamagedFileIsCorrupt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "graph.db")
	s, err := sqlitegraph.Open(path, sqlitegraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := try(context.Background(), s, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 20 * 4096; i < len(b); i++ {
		b[i] = byte(i * 7)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, path, sqlitegraph.Options{})
	_, err = s.Export(context.Background(), func(graph.Record) error { return nil })
	wantKind(t, err, graph.Corrupt, "")
}

func TestManyOpenANewFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "graph.db")
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s, err := sqlitegraph.Open(path, sqlitegraph.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			info, err := s.Info(context.Background())
			if err != nil {
				t.Error(err)
			}
			ids[i] = info.Store
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("store ids %q", ids)
			break
		}
	}
}

func TestBusyFileIsUnavailableForAWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "graph.db")
	s := mustOpen(t, path, sqlitegraph.Options{Wait: 50 * time.Millisecond})
	patient := mustOpen(t, path, sqlitegraph.Options{Wait: time.Minute})
	other := raw(t, path)
	run(t, other, "BEGIN IMMEDIATE")
	ctx := context.Background()
	wantKind(t, try(ctx, s, "a"), graph.Unavailable, "nothing was written")
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	start := time.Now()
	wantKind(t, try(short, patient, "b"), graph.Canceled, "")
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("the end of the context was seen after %v", d)
	}
	if _, err := s.Info(ctx); err != nil {
		t.Errorf("a read while another process writes: %v", err)
	}
	done := make(chan error)
	go func() { done <- try(ctx, patient, "c") }()
	time.Sleep(20 * time.Millisecond)
	run(t, other, "ROLLBACK")
	if err := <-done; err != nil {
		t.Errorf("after waiting: %v", err)
	}
	if info, err := s.Info(ctx); err != nil || info.Head != 1 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestWaitingWriterSeesTheEndOfItsContext(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	inside, leave := make(chan struct{}), make(chan struct{})
	imported := make(chan error)
	go func() {
		imported <- s.Import(context.Background(), 1, func() (graph.Record, error) {
			close(inside)
			<-leave
			return graph.Record{}, fs.ErrClosed
		})
	}()
	<-inside
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	wantKind(t, try(ctx, s, "a"), graph.Canceled, "")
	close(leave)
	if err := <-imported; err == nil {
		t.Error("the import did not fail")
	}
	if err := try(context.Background(), s, "a"); err != nil {
		t.Error(err)
	}
}

func TestFullDiskIsUnavailableAndLosesNothing(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	ctx := context.Background()
	for i := range 5 {
		if err := try(ctx, s, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Exec("PRAGMA max_page_count = 1"); err != nil { // as low as the file is large
		t.Fatal(err)
	}
	var err error
	for i := 5; i < 20 && err == nil; i++ {
		err = try(ctx, s, fmt.Sprint(i))
	}
	wantKind(t, err, graph.Unavailable, "disk of the graph file is full; nothing was written")
	full, err := s.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if err := try(ctx, s, "after"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	list, err := s.Changes(ctx, 0, 100)
	if err != nil || len(list) != int(full.Head)+1 {
		t.Errorf("%d changes, head was %d, %v", len(list), full.Head, err)
	}
}

func TestTrimOfMoreThanOneTransaction(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	const count = 2*sqlitegraph.TrimAtOnce + 10
	var group []graph.Batch
	for i := range count {
		group = append(group, graph.Batch{ID: fmt.Sprint(i), Time: noon.Add(time.Duration(i)), Steps: []graph.Step{graph.Put(graph.Node{Ref: graph.Root, Props: graph.Props{"i": int64(i)}})}})
	}
	if _, err := s.Commit(context.Background(), group); err != nil {
		t.Fatal(err)
	}
	n, err := s.Trim(context.Background(), noon.Add(time.Hour))
	if info, e := s.Info(context.Background()); err != nil || e != nil || n != count || info.Oldest != count || info.Head != count {
		t.Errorf("trimmed %d, %v; %+v, %v", n, err, info, e)
	}
}
