// Package sqlitegraph is the graph.Store on SQLite: the embedded default, one
// file, pure Go.
//
// It promises that an accepted batch is on disk when Commit returns
// (write-ahead log, synchronous=FULL), and that several processes may use one
// file at the same time. It must never keep anything in memory that another
// process could have changed.
package sqlitegraph

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"

	"trellis/graph"
)

var _ graph.Store = (*Store)(nil)

//go:embed query/*.sql schema/*.sql
var files embed.FS

// Queries holds the statements of the named reads and of Check, by NAME.sql.
func Queries() fs.FS {
	sub, err := fs.Sub(files, "query")
	if err != nil {
		panic(err) // the directory is embedded
	}
	return sub
}

// Options tune an engine. The zero value is what a server wants.
type Options struct {
	// Wait is how long a write waits for other processes' writes; 10 s if zero.
	Wait time.Duration
	// Readers is how many reads run at the same time, exports apart; 4, or the
	// number of processors if that is more, if zero.
	Readers int
	// ID makes the id of a new store; it is random if nil.
	ID func() string
}

// Store is the engine. Make it with Open.
type Store struct {
	path string
	opts Options
	gate gate

	readers *sql.DB
	streams *sql.DB              // for exports, which last: they must not keep readers waiting
	asks    map[string]*sql.Stmt // by file name without ".sql"
	writing chan struct{}        // holds a token while nobody writes
	writer  *writer
}

// Open opens the file at path, or creates it with mode 0600 in a directory that
// must exist. Corrupt: the file is no graph. Invalid: it was written by a newer
// version of Trellis.
func Open(path string, opts Options) (*Store, error) {
	if opts.Wait == 0 {
		opts.Wait = 10 * time.Second
	}
	if opts.Readers == 0 {
		opts.Readers = max(4, runtime.GOMAXPROCS(0))
	}
	if opts.ID == nil {
		opts.ID = randomID
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, graph.Wrap(graph.Invalid, err, "the path of the graph file is unusable")
	}
	// SQLite gives its side files the mode of this one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, graph.Wrap(graph.Unavailable, err, "cannot open the graph file")
	}
	if err := f.Close(); err != nil {
		return nil, graph.Wrap(graph.Unavailable, err, "cannot open the graph file")
	}
	s := &Store{path: path, opts: opts, writing: make(chan struct{}, 1), asks: map[string]*sql.Stmt{}}
	s.gate.idle = sync.NewCond(&s.gate.mu)
	s.writing <- struct{}{}
	if err := s.open(); err != nil {
		_ = s.shut() // why it could not be opened says more
		return nil, err
	}
	return s, nil
}

func (s *Store) open() error {
	ctx := context.Background()
	w, err := s.connector("busy_timeout(0)", "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-16000)",
		"wal_autocheckpoint(4000)", "journal_size_limit(67108864)")
	if err != nil {
		return err
	}
	s.writer = &writer{connector: w, wait: s.opts.Wait}
	if err := s.writer.connect(ctx, s.opts.ID); err != nil {
		return fault(ctx, err)
	}
	r, err := s.connector("busy_timeout(10000)", "query_only(1)", "cache_size(-4000)")
	if err != nil {
		return err
	}
	s.readers, s.streams = sql.OpenDB(r), sql.OpenDB(r)
	s.streams.SetMaxIdleConns(0)
	s.readers.SetMaxOpenConns(s.opts.Readers)
	s.readers.SetMaxIdleConns(s.opts.Readers)
	names, err := fs.Glob(files, "query/*.sql")
	if err != nil {
		return err
	}
	for _, file := range names {
		name := strings.TrimSuffix(filepath.Base(file), ".sql")
		st, err := s.readers.PrepareContext(ctx, text(name)) //nolint:sqlclosecheck // kept until the store is closed
		if err != nil {
			return fault(ctx, err)
		}
		s.asks[name] = st
	}
	return nil
}

// text returns a statement of query/.
func text(name string) string {
	b, err := files.ReadFile("query/" + name + ".sql")
	if err != nil {
		panic(err) // names are written in the source, and tests use each
	}
	return string(b)
}

func (s *Store) connector(pragmas ...string) (driver.Connector, error) {
	u := url.URL{Scheme: "file", Path: s.path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	c, err := sqlite.NewConnector(u.String())
	if err != nil {
		return nil, graph.Wrap(graph.Internal, err, "cannot set SQLite up")
	}
	return c, nil
}

// Close waits for calls under way and closes the file.
func (s *Store) Close() error {
	if !s.gate.close() {
		return nil
	}
	return s.shut()
}

func (s *Store) shut() error {
	var errs []error
	for _, st := range s.asks {
		errs = append(errs, st.Close())
	}
	if s.readers != nil {
		errs = append(errs, s.readers.Close(), s.streams.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.reset())
	}
	return fault(context.Background(), errors.Join(errs...))
}

// enter begins a call; the caller must leave unless there was an error.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return graph.Wrap(graph.Canceled, err, "the request ended before it was answered")
	}
	if !s.gate.enter() {
		return graph.Errorf(graph.Closed, "the graph store is closed")
	}
	return nil
}

// gate counts the calls under way, so that Close can wait for them. It is no
// RWMutex because a call may be made from within another (Export's yield).
type gate struct {
	mu     sync.Mutex
	idle   *sync.Cond
	calls  int
	closed bool
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.calls++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	g.calls--
	if g.calls == 0 {
		g.idle.Broadcast()
	}
	g.mu.Unlock()
}

// close returns whether this call is the one that closed it, after the last
// call under way has left.
func (g *gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := !g.closed
	g.closed = true
	for g.calls > 0 {
		g.idle.Wait()
	}
	return first
}
