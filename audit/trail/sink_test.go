package trail_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the file of a sink

	"trellis/audit"
)

// sink is a sink in one file that several processes can share. Unlike a real one
// it would show a record twice, or two records at one place, if it were given them.
type sink struct {
	audit.Sink // answers no other questions
	db         *sql.DB
}

func openSink(path string) (*sink, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS batch (id TEXT PRIMARY KEY);
		CREATE TABLE IF NOT EXISTS event (n INTEGER PRIMARY KEY, writer TEXT, seq INTEGER, hash TEXT, body BLOB);
		CREATE INDEX IF NOT EXISTS event_place ON event (writer, seq, n)`)
	return &sink{db: db}, err
}

func newSink(t *testing.T, path string) *sink {
	t.Helper()
	s, err := openSink(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	return s
}

func (s *sink) Deliver(ctx context.Context, b audit.Batch) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	defer tx.Rollback()
	done, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO batch VALUES (?)", b.ID)
	if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	if n, _ := done.RowsAffected(); n == 0 {
		return nil
	}
	for _, r := range b.Records {
		h := r.Meta()
		if _, err := tx.ExecContext(ctx, "INSERT INTO event (writer, seq, hash, body) VALUES (?, ?, ?, ?)", h.Writer, h.Seq, h.Hash.String(), audit.AppendBody(nil, r)); err != nil {
			return fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
		}
	}
	return tx.Commit()
}

func (s *sink) read(ctx context.Context, where string, args ...any) ([]audit.Record, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT writer, seq, hash, body FROM event "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []audit.Record
	for rows.Next() {
		var e audit.Event
		var h string
		var body []byte
		if err := rows.Scan(&e.Writer, &e.Seq, &h, &body); err != nil {
			return nil, err
		}
		if err := e.Hash.UnmarshalText([]byte(h)); err != nil {
			return nil, err
		}
		if err := audit.ParseBody(body, &e); err != nil {
			return nil, err
		}
		out = append(out, &e)
	}
	return out, rows.Err()
}

func (s *sink) Writers(ctx context.Context, _ audit.Stream) ([]audit.Record, error) {
	return s.read(ctx, "WHERE n IN (SELECT max(n) FROM event e JOIN (SELECT writer AS w, max(seq) AS s FROM event GROUP BY writer) ON writer = w AND seq = s GROUP BY writer)")
}

func (s *sink) Follow(ctx context.Context, _ audit.Stream, writer string, after uint64, yield func(audit.Record) error) error {
	list, err := s.read(ctx, "WHERE writer = ? AND seq > ? ORDER BY seq, n", writer, after)
	for _, r := range list {
		if err := yield(r); err != nil {
			return err
		}
	}
	return err
}

func (s *sink) Misfiled(context.Context, audit.Stream, int, func(audit.Head) error) error { return nil }

// eventsIn returns every event in a sink, in the order of the chains.
func eventsIn(t *testing.T, r audit.Reader) (out []*audit.Event) {
	t.Helper()
	ends, err := r.Writers(context.Background(), audit.Events)
	for _, end := range ends {
		err = errors.Join(err, r.Follow(context.Background(), audit.Events, end.Meta().Writer, 0, func(r audit.Record) error {
			out = append(out, r.(*audit.Event))
			return nil
		}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *sink) events(t *testing.T) []*audit.Event { return eventsIn(t, s) }

func (s *sink) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := s.db.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
}

// faults stand between a follower and what it talks to. They do to calls what a
// network, a stopped process and a dying server do.
type faults struct {
	mu     sync.Mutex
	rate   float64       // of calls that fail, half of them after they had their effect
	late   time.Duration // of calls that fail, half of those that had none have it up to this much later
	down   error         // what every call gets
	frozen chan struct{} // while not nil, calls wait for its end before they begin
	calls  sync.WaitGroup
}

func (f *faults) set(change func(f *faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// freeze stops the process, so to speak, until thaw.
func (f *faults) freeze() { f.set(func(f *faults) { f.frozen = make(chan struct{}) }) }

func (f *faults) thaw() {
	f.set(func(f *faults) { close(f.frozen); f.frozen = nil })
}

// call carries out do, or not, or later. Of a call that is carried out later do
// gets a context of its own.
func (f *faults) call(ctx context.Context, broken error, do func(ctx context.Context) error) error {
	f.mu.Lock()
	rate, late, down, frozen := f.rate, f.late, f.down, f.frozen
	f.mu.Unlock()
	if frozen != nil {
		<-frozen // a stopped process does not heed its contexts
	}
	if down != nil {
		return down
	}
	if rand.Float64() >= rate {
		return do(ctx)
	}
	switch rand.IntN(4) {
	case 0:
		return broken
	case 1:
		if late == 0 {
			return broken
		}
		wait := rand.N(late)
		f.calls.Go(func() {
			<-time.After(wait)
			_ = do(context.WithoutCancel(ctx)) // nobody waits for what comes of it
		})
		return broken
	}
	if err := do(ctx); err != nil {
		return err
	}
	return broken
}

// badSink is a sink with faults. refuse says what it will not take.
type badSink struct {
	audit.Sink
	*faults
	refuse func(b audit.Batch) bool

	mu  sync.Mutex
	ids []string
}

func (s *badSink) Deliver(ctx context.Context, b audit.Batch) error {
	// The records are the follower's again when the call returns.
	b.Records = slices.Clone(b.Records)
	for i, r := range b.Records {
		e := *r.(*audit.Event)
		b.Records[i] = &e
	}
	return s.call(ctx, fmt.Errorf("%w: broken", audit.ErrUnavailable), func(ctx context.Context) error {
		s.mu.Lock()
		s.ids = append(s.ids, b.ID)
		s.mu.Unlock()
		if s.refuse != nil && s.refuse(b) {
			return fmt.Errorf("%w: it does not like it", audit.ErrRefused)
		}
		return s.Sink.Deliver(ctx, b)
	})
}

func (s *badSink) Writers(ctx context.Context, stream audit.Stream) (out []audit.Record, err error) {
	s.faults.mu.Lock()
	down := s.down
	s.faults.mu.Unlock()
	if down != nil {
		return nil, down
	}
	return s.Sink.Writers(ctx, stream)
}

func (s *badSink) delivered() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}
