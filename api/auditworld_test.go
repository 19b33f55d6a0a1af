package api_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/api"
	"trellis/audit"
	"trellis/audit/sqliteaudit"
	"trellis/audit/trail"
	"trellis/auth"
	"trellis/graph/sqlitegraph"
)

// auditing is what a world needs to record what is done in it.
type auditing struct {
	limit int64 // of the spool
	idle  bool  // nothing is delivered
	slow  bool  // batches are as large as in production

	log     *audit.Log
	sink    *shakySink
	changes *trail.Follower
	secrets *auth.Secrets
	dir     string
}

// shakySink is the embedded sink, which can be taken away.
type shakySink struct {
	audit.Sink
	away       atomic.Bool
	breakAfter atomic.Int64 // so many records of a question; 0 is never
}

func (s *shakySink) there() error {
	if s.away.Load() {
		return fmt.Errorf("%w: taken away by the test", audit.ErrUnavailable)
	}
	return nil
}

func (s *shakySink) Deliver(ctx context.Context, b audit.Batch) error {
	if err := s.there(); err != nil {
		return err
	}
	return s.Sink.Deliver(ctx, b)
}

func (s *shakySink) Find(ctx context.Context, q audit.Query, yield func(audit.Record) error) error {
	if err := s.there(); err != nil {
		return err
	}
	n := int64(0)
	return s.Sink.Find(ctx, q, func(r audit.Record) error {
		if n++; s.breakAfter.Load() > 0 && n > s.breakAfter.Load() {
			return fmt.Errorf("%w: broken by the test", audit.ErrUnavailable)
		}
		return yield(r)
	})
}

func (s *shakySink) Stats(ctx context.Context, q audit.StatsQuery) ([]audit.Bucket, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	return s.Sink.Stats(ctx, q)
}

func (s *shakySink) LastUsed(ctx context.Context, keys []string) (map[string]time.Time, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	return s.Sink.LastUsed(ctx, keys)
}

func (s *shakySink) Writers(ctx context.Context, st audit.Stream) ([]audit.Record, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	return s.Sink.Writers(ctx, st)
}

// audited is newWorld with an audit log: the real log, the embedded sink and
// the follower of the change feed.
func audited(t testing.TB, o api.Options, a *auditing) *world {
	t.Helper()
	store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	must(t, err)
	return buildWorld(t, store, o, a)
}

// open makes the log and the sink, before the API is there.
func (a *auditing) open(t testing.TB, w *world) (closeAll func()) {
	t.Helper()
	a.dir = t.TempDir()
	var err error
	age, rest := 5*time.Millisecond, 0.0
	if a.slow {
		age, rest = time.Second, 9 // as a server has it
	}
	a.log, err = audit.OpenLog(audit.LogOptions{Dir: filepath.Join(a.dir, "spool"), Secret: a.secrets.AuditChain(), Limit: a.limit, BatchAge: age, Rest: rest, Logger: w.log})
	must(t, err)
	sink, err := sqliteaudit.Open(filepath.Join(a.dir, "audit.db"), sqliteaudit.Options{})
	must(t, err)
	a.sink = &shakySink{Sink: sink}
	a.changes = trail.New(w.graph.Store(), func() trail.View { return w.index.View() }, a.sink, trail.Options{Secret: a.secrets.AuditChain(), BatchAge: age, Backoff: 50 * time.Millisecond, Logger: w.log})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if !a.idle {
		running.Go(func() { a.log.Ship(ctx, a.sink) })
		running.Go(func() { a.changes.Run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
		must(t, a.log.Close())
		must(t, a.sink.Close())
	}
}

// tamper changes the sink's file behind its back.
func (a *auditing) tamper(t *testing.T, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(a.dir, "audit.db")+"?_pragma=busy_timeout(20000)") // the sink may be writing
	must(t, err)
	defer db.Close()
	res, err := db.ExecContext(context.Background(), statement, args...)
	must(t, err)
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%d rows were changed, %v", n, err)
	}
}

// flush waits until all that was recorded so far can be found.
func (w *world) flush() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	must(w.t, w.auditing.log.Flush(ctx))
	must(w.t, w.auditing.changes.Flush(ctx))
}

// records returns what was recorded and matches, oldest first.
func (w *world) records(s audit.Stream, where ...string) []audit.Record {
	w.t.Helper()
	q := audit.Query{Stream: s, Oldest: true}
	for i := 0; i < len(where); i += 2 {
		q.Where = append(q.Where, audit.Match{Field: where[i], Value: where[i+1]})
	}
	var out []audit.Record
	must(w.t, w.auditing.sink.Find(context.Background(), q, func(r audit.Record) error {
		out = append(out, r)
		return nil
	}))
	return out
}

// left describes the events and decisions that a request left, in words.
func (w *world) left(requestID string) []string {
	w.t.Helper()
	var out []string
	for _, r := range w.records(audit.Events, "request_id", requestID) {
		e := r.(*audit.Event)
		out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s", e.Action, e.Outcome, e.Node, e.Other)), " "))
	}
	for _, r := range w.records(audit.Decisions, "request_id", requestID) {
		d := r.(*audit.Decision)
		out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s %s", d.Question, d.Answer, d.Subject, d.Permission, d.Resource)), " "))
	}
	slices.Sort(out)
	return out
}

// everything is all that was recorded, as text.
func (w *world) everything() string {
	w.t.Helper()
	w.flush()
	var b bytes.Buffer
	for _, s := range audit.Streams {
		for _, r := range w.records(s) {
			line, err := json.Marshal(r)
			must(w.t, err)
			b.Write(append(line, '\n'))
		}
	}
	return b.String()
}
