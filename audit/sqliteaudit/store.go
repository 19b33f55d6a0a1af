// Package sqliteaudit is the audit.Sink on SQLite: the embedded default, one
// file, pure Go.
//
// It promises that a delivered batch is on disk when Deliver returns
// (write-ahead log, synchronous=FULL), whole or not at all, and that several
// processes may use one file at the same time. Reads never keep a delivery
// waiting. It must never keep anything in memory that another process could
// have changed. How the records lie in the file is told by schema/.
package sqliteaudit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"

	"trellis/audit"
)

var _ audit.Sink = (*Sink)(nil)

//go:embed schema/*.sql
var files embed.FS

// Options tune an engine. The zero value keeps everything for ever.
type Options struct {
	// Retention is for how long the records of each stream are kept.
	Retention audit.Retention
	// Now tells the time; time.Now if nil.
	Now func() time.Time
	// Wait is how long a write waits for other processes' writes; 10 s if zero.
	Wait time.Duration
	// Readers is how many questions are answered at the same time; 4 if zero.
	Readers int
}

// Sink is the engine. Make it with Open.
type Sink struct {
	path string
	opts Options
	gate gate

	readers *sql.DB
	words   *words
	writing chan struct{} // holds a token while nobody writes
	writer  *writer
}

// Open opens the file at path, or creates it with mode 0600 in a directory
// that must exist. Its errors name the file; they wrap audit.ErrUnavailable
// where the file may come to be usable.
func Open(path string, o Options) (*Sink, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("audit: the path of the audit file is unusable: %w", err)
	}
	// SQLite gives its side files the mode of this one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: cannot open the audit file: %w", audit.ErrUnavailable, err)
	}
	s := &Sink{path: path, opts: o, writing: make(chan struct{}, 1), words: newWords()}
	s.gate.idle = sync.NewCond(&s.gate.mu)
	s.writing <- struct{}{}
	if err := s.open(); err != nil {
		_ = s.shut() // why it could not be opened says more
		return nil, s.fault(context.Background(), err)
	}
	return s, nil
}

func (s *Sink) open() error {
	// What auto_vacuum asks for must be known before the first page is written.
	w, err := s.connector("auto_vacuum(INCREMENTAL)", "busy_timeout(0)", "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-16000)",
		"wal_autocheckpoint(4000)", "journal_size_limit(67108864)")
	if err != nil {
		return err
	}
	s.writer = &writer{connector: w, wait: s.opts.Wait}
	if err := s.writer.connect(context.Background()); err != nil {
		return err
	}
	r, err := s.connector("busy_timeout(10000)", "query_only(1)", "cache_size(-4000)")
	if err != nil {
		return err
	}
	s.readers = sql.OpenDB(r)
	s.readers.SetMaxOpenConns(s.opts.Readers)
	s.readers.SetMaxIdleConns(s.opts.Readers)
	return nil
}

func (s *Sink) connector(pragmas ...string) (driver.Connector, error) {
	u := url.URL{Scheme: "file", Path: s.path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return sqlite.NewConnector(u.String())
}

// Close waits for calls under way and closes the file.
func (s *Sink) Close() error {
	if !s.gate.close() {
		return nil
	}
	return s.fault(context.Background(), s.shut())
}

func (s *Sink) shut() error {
	var errs []error
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.reset())
	}
	return errors.Join(errs...)
}

// enter begins a call; the caller must leave unless there was an error.
func (s *Sink) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.gate.enter() {
		return fmt.Errorf("%w: it is closed", audit.ErrUnavailable)
	}
	return nil
}

// gate counts the calls under way, so that Close can wait for them. It is no
// RWMutex because a call may be made from within another (Find's yield).
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
