package sqlitegraph

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"trellis/graph"
)

// writer is the one connection that writes, with its prepared statements.
// Whoever uses it holds Store.writing. It speaks to the driver itself: the
// locks, conversions and allocations of database/sql show in the cost of a write.
type writer struct {
	connector driver.Connector
	wait      time.Duration
	conn      driver.Conn // nil when there is none at the moment
	all       []*statement
	run       writeStatements
}

type writeStatements struct {
	begin, commit, rollback                                *statement
	head, setHead                                          *statement
	nodes, brief, names, edges, last                       *statement
	edgesOut, edgesIn, edgesOutAll, edgesInAll             *statement
	newNode, setNode, newEdge, setEdge, setName, setLast   *statement
	dropEdge, dropName, dropNode, change, cursor, setClaim *statement
	index, unindex, newWord, nodeID                        *statement
}

// kindsHere walks the kinds of edges that there are, one index lookup each.
const kindsHere = `WITH RECURSIVE k(kind) AS (
	SELECT min(kind) FROM edge UNION ALL
	SELECT (SELECT min(edge.kind) FROM edge WHERE edge.kind > k.kind) FROM k WHERE k.kind IS NOT NULL
) `

func (r *writeStatements) texts() map[**statement]string {
	return map[**statement]string{
		&r.begin:    `BEGIN IMMEDIATE`,
		&r.commit:   `COMMIT`,
		&r.rollback: `ROLLBACK`,
		&r.head:     `SELECT head FROM store`,
		&r.setHead:  `UPDATE store SET head = ?`,
		&r.nodes:    `SELECT ` + nodeColumns + ` FROM json_each(?) AS j CROSS JOIN node ON node.ref = j.value`,
		&r.brief:    `SELECT ref, revision FROM json_each(?) AS j CROSS JOIN node ON node.ref = j.value`,
		&r.names:    `SELECT name, ref FROM json_each(?) AS j CROSS JOIN name ON name.name = j.value`,
		&r.edges: `SELECT ` + edgeColumns + ` FROM json_each(?) AS j CROSS JOIN edge
			ON edge.kind = j.value ->> 0 AND src = j.value ->> 1 AND dst = j.value ->> 2 AND edge.key = j.value ->> 3`,
		&r.last:     `SELECT revision FROM last WHERE kind = ? AND key = ?`,
		&r.edgesOut: `SELECT ` + edgeColumns + ` FROM edge WHERE kind = ?2 AND src = ?1 LIMIT ?3`,
		&r.edgesIn:  `SELECT ` + edgeColumns + ` FROM edge WHERE kind = ?2 AND dst = ?1 LIMIT ?3`,
		&r.edgesOutAll: kindsHere + `SELECT ` + edgeColumns + ` FROM k CROSS JOIN edge
			ON edge.kind = k.kind AND edge.src = ?1 LIMIT ?2`,
		&r.edgesInAll: `SELECT ` + edgeColumns + ` FROM edge WHERE dst = ?1 LIMIT ?2`,
		&r.newNode:    `INSERT INTO node (ref, names, props, created, updated, revision) VALUES (?, ?, ?, ?, ?, ?)`,
		&r.setNode:    `UPDATE node SET names = ?2, props = ?3, created = ?4, updated = ?5, revision = ?6 WHERE ref = ?1`,
		&r.newEdge:    `INSERT INTO edge (kind, src, dst, key, props, created, updated, revision, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		&r.setEdge:    `UPDATE edge SET props = ?5, created = ?6, updated = ?7, revision = ?8, expires = ?9 WHERE kind = ?1 AND src = ?2 AND dst = ?3 AND key = ?4`,
		&r.setName:    `INSERT INTO name (name, ref) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET ref = excluded.ref`,
		&r.setLast:    `INSERT INTO last (kind, key, revision) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET revision = max(revision, excluded.revision)`,
		&r.nodeID:     `SELECT id FROM node WHERE ref = ?`,
		&r.dropEdge:   `DELETE FROM edge WHERE kind = ? AND src = ? AND dst = ? AND key = ?`,
		&r.dropName:   `DELETE FROM name WHERE name = ?`,
		&r.dropNode:   `DELETE FROM node WHERE ref = ?`,
		&r.change:     `INSERT INTO change (revision, time, body) VALUES (?, ?, ?)`,
		&r.cursor:     `SELECT cursor, holder, until FROM consumer WHERE name = ?`,
		&r.setClaim:   `INSERT INTO consumer (name, cursor, holder, until) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET cursor = ?2, holder = ?3, until = ?4`,
		&r.index:      indexText,
		&r.unindex:    `DELETE FROM search WHERE rowid = ?`,
		&r.newWord:    newWordText,
	}
}

// connect opens the connection if there is none, brings the schema up to date
// and prepares the statements.
func (w *writer) connect(ctx context.Context, newID func() string) error {
	if w.conn != nil {
		return nil
	}
	// Another process may be changing the new file to its log mode.
	err := w.patiently(ctx, func() (err error) {
		w.conn, err = w.connector.Connect(ctx)
		return err
	})
	if err == nil {
		err = migrate(ctx, w, newID)
	}
	if err == nil {
		err = w.prepare()
	}
	if err != nil {
		_ = w.reset() // the first error says more
	}
	return err
}

func (w *writer) prepare() error {
	for where, text := range w.run.texts() {
		st, err := w.statement(text)
		if err != nil {
			return err
		}
		*where = st
		w.all = append(w.all, st)
	}
	return nil
}

// reset closes the connection; what was not committed is rolled back.
func (w *writer) reset() error {
	var errs []error
	for _, st := range w.all {
		errs = append(errs, st.st.Close())
	}
	w.all, w.run = nil, writeStatements{}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
		w.conn = nil
	}
	return errors.Join(errs...)
}

// patiently repeats f while another process holds a lock. Processes hold it
// for a few milliseconds at a time, so it asks again much sooner than SQLite
// itself would.
func (w *writer) patiently(ctx context.Context, f func() error) error {
	until := time.Now().Add(w.wait)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		err := f()
		if err == nil || !isBusy(err) || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause + rand.N(pause)):
		}
	}
}

// statement is a prepared statement of the writer's connection.
type statement struct {
	st   driver.Stmt
	args []driver.NamedValue
	row  []driver.Value
}

func (w *writer) statement(text string) (*statement, error) {
	st, err := w.conn.Prepare(text)
	if err != nil {
		return nil, err
	}
	return &statement{st: st}, nil
}

func (s *statement) bind(args []driver.Value) []driver.NamedValue {
	s.args = s.args[:0]
	for i, v := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s.args
}

// exec runs the statement and returns how many rows it changed. Its values
// are of the types of driver.Value.
func (s *statement) exec(args ...driver.Value) (int64, error) {
	res, err := s.st.(driver.StmtExecContext).ExecContext(context.Background(), s.bind(args))
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// insert runs the statement and returns the number of the row that it made.
// RETURNING would say it too, but opens a savepoint, at which FTS5 writes all
// that it has gathered.
func (s *statement) insert(args ...driver.Value) (int64, error) {
	res, err := s.st.(driver.StmtExecContext).ExecContext(context.Background(), s.bind(args))
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// query calls one for each row; the slice is only valid during the call.
func (s *statement) query(one func(row []driver.Value) error, args ...driver.Value) (err error) {
	rows, err := s.st.(driver.StmtQueryContext).QueryContext(context.Background(), s.bind(args))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if s.row == nil {
		s.row = make([]driver.Value, len(rows.Columns()))
	}
	for {
		if err := rows.Next(s.row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := one(s.row); err != nil {
			return err
		}
	}
}

// number returns the whole number in the first column of the only row; not ok
// if there is no row or NULL is in it.
func (s *statement) number(args ...driver.Value) (n int64, ok bool, err error) {
	err = s.query(func(row []driver.Value) error {
		n, ok = row[0].(int64)
		return nil
	}, args...)
	return n, ok, err
}

// exec runs a statement that is not worth preparing.
func (w *writer) exec(text string, args ...driver.Value) (int64, error) {
	s, err := w.statement(text)
	if err != nil {
		return 0, err
	}
	n, err := s.exec(args...)
	return n, errors.Join(err, s.st.Close())
}

// number asks a question that is not worth preparing.
func (w *writer) number(text string, args ...driver.Value) (int64, bool, error) {
	s, err := w.statement(text)
	if err != nil {
		return 0, false, err
	}
	n, ok, err := s.number(args...)
	return n, ok, errors.Join(err, s.st.Close())
}

// head returns the store's last revision.
func (w *writer) head() (graph.Revision, error) {
	n, _, err := w.run.head.number()
	return graph.Revision(n), err
}

// write runs f in a write transaction that ends with COMMIT, or without a
// trace when f returns an error. The end of ctx is looked at before the
// transaction and before the commit, which is soon enough: watching it costs
// more than most statements.
func (s *Store) write(ctx context.Context, f func(w *writer) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	select {
	case <-s.writing:
		defer func() { s.writing <- struct{}{} }()
	case <-ctx.Done():
		return fault(ctx, ctx.Err())
	}
	w := s.writer
	if err := w.connect(ctx, s.opts.ID); err != nil {
		return nothingWritten(fault(ctx, err))
	}
	if err := w.patiently(ctx, func() error { _, err := w.run.begin.exec(); return err }); err != nil {
		return nothingWritten(fault(ctx, err))
	}
	err := f(w)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if _, e := w.run.rollback.exec(); e != nil {
			_ = w.reset() // SQLite has ended it by itself, or cannot
		}
		return nothingWritten(fault(ctx, err))
	}
	if _, err := w.run.commit.exec(); err != nil {
		_ = w.reset()
		return fault(context.WithoutCancel(ctx), err)
	}
	return nil
}

func nothingWritten(err error) error {
	var e *graph.Error
	if errors.As(err, &e) && e.Kind == graph.Unavailable {
		c := *e
		c.Msg += "; nothing was written"
		return &c
	}
	return err
}
