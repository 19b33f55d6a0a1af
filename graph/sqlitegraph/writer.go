package sqlitegraph

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"time"

	"trellis/graph"
)

// writer is the one connection that writes, with its prepared statements.
// Whoever uses it holds Store.writing.
type writer struct {
	db    *sql.DB
	wait  time.Duration
	conn  *sql.Conn
	stmts []*sql.Stmt
	run   writeStmts
}

type writeStmts struct {
	head, setHead                                          *sql.Stmt
	nodes, names, edge, edges, last                        *sql.Stmt
	edgesOut, edgesIn, edgesOutAll, edgesInAll             *sql.Stmt
	newNode, setNode, newEdge, setEdge, setName, setLast   *sql.Stmt
	dropEdge, dropName, dropNode, change, cursor, setClaim *sql.Stmt
}

// kindsHere walks the kinds of edges that there are, one index lookup each.
const kindsHere = `WITH RECURSIVE k(kind) AS (
	SELECT min(kind) FROM edge UNION ALL
	SELECT (SELECT min(edge.kind) FROM edge WHERE edge.kind > k.kind) FROM k WHERE k.kind IS NOT NULL
) `

func (w *writer) texts() map[**sql.Stmt]string {
	r := &w.run
	return map[**sql.Stmt]string{
		&r.head:     `SELECT head FROM store`,
		&r.setHead:  `UPDATE store SET head = ?`,
		&r.nodes:    `SELECT ` + nodeColumns + ` FROM json_each(?) AS j CROSS JOIN node ON node.ref = j.value`,
		&r.names:    `SELECT name, ref FROM json_each(?) AS j CROSS JOIN name ON name.name = j.value`,
		&r.edge:     `SELECT ` + edgeColumns + ` FROM edge WHERE kind = ? AND src = ? AND dst = ? AND key = ?`,
		&r.last:     `SELECT revision FROM last WHERE kind = ? AND key = ?`,
		&r.edgesOut: `SELECT ` + edgeColumns + ` FROM edge WHERE kind = ?2 AND src = ?1 LIMIT ?3`,
		&r.edgesIn:  `SELECT ` + edgeColumns + ` FROM edge WHERE kind = ?2 AND dst = ?1 LIMIT ?3`,
		&r.edgesOutAll: kindsHere + `SELECT ` + "edge.kind, src, dst, key, props, created, updated, revision" +
			` FROM k CROSS JOIN edge ON edge.kind = k.kind AND edge.src = ? LIMIT ?`,
		&r.edgesInAll: `SELECT ` + edgeColumns + ` FROM edge WHERE dst = ? LIMIT ?`,
		&r.newNode:    `INSERT INTO node (ref, names, props, created, updated, revision) VALUES (?, ?, ?, ?, ?, ?)`,
		&r.setNode:    `UPDATE node SET names = ?2, props = ?3, created = ?4, updated = ?5, revision = ?6 WHERE ref = ?1`,
		&r.newEdge:    `INSERT INTO edge (kind, src, dst, key, props, created, updated, revision, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		&r.setEdge:    `UPDATE edge SET props = ?5, created = ?6, updated = ?7, revision = ?8, expires = ?9 WHERE kind = ?1 AND src = ?2 AND dst = ?3 AND key = ?4`,
		&r.setName:    `INSERT INTO name (name, ref) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET ref = excluded.ref`,
		&r.setLast:    `INSERT INTO last (kind, key, revision) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET revision = max(revision, excluded.revision)`,
		&r.dropEdge:   `DELETE FROM edge WHERE kind = ? AND src = ? AND dst = ? AND key = ?`,
		&r.dropName:   `DELETE FROM name WHERE name = ?`,
		&r.dropNode:   `DELETE FROM node WHERE ref = ?`,
		&r.change:     `INSERT INTO change (revision, time, body) VALUES (?, ?, ?)`,
		&r.cursor:     `SELECT cursor, holder, until FROM consumer WHERE name = ?`,
		&r.setClaim:   `INSERT INTO consumer (name, cursor, holder, until) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET cursor = ?2, holder = ?3, until = ?4`,
	}
}

// prepare connects, lets first run, and prepares the statements.
func (w *writer) prepare(ctx context.Context, first func(context.Context, *sql.Conn) error) error {
	c, err := w.connect(ctx)
	if err != nil {
		return err
	}
	w.conn = c
	if first != nil {
		if err := first(ctx, c); err != nil {
			return err
		}
	}
	for where, text := range w.texts() {
		st, err := c.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		*where = st
		w.stmts = append(w.stmts, st)
	}
	return nil
}

// connect waits while another process changes the file to its log mode.
func (w *writer) connect(ctx context.Context) (*sql.Conn, error) {
	until := time.Now().Add(w.wait)
	for {
		c, err := w.db.Conn(ctx)
		if err == nil || !isBusy(err) || time.Now().After(until) {
			return c, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (w *writer) close() error {
	var errs []error
	for _, st := range w.stmts {
		errs = append(errs, st.Close())
	}
	w.stmts = nil
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
		w.conn = nil
	}
	return errors.Join(append(errs, w.db.Close())...)
}

// reset drops a connection whose transaction could not be ended.
func (w *writer) reset() {
	for _, st := range w.stmts {
		st.Close()
	}
	w.stmts = nil
	if w.conn != nil {
		w.conn.Raw(func(any) error { return driver.ErrBadConn })
		w.conn.Close()
		w.conn = nil
	}
}

// begin takes the write lock of the file. Other processes hold it for a few
// milliseconds at a time, so it asks again much sooner than SQLite would.
func (w *writer) begin(ctx context.Context, c *sql.Conn) error {
	until := time.Now().Add(w.wait)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		_, err := c.ExecContext(ctx, "BEGIN IMMEDIATE")
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

// write runs f in a write transaction that ends with COMMIT, or without a
// trace when f returns an error. f and all in it must not use ctx's end: it is
// looked at before the transaction and before the commit, which is soon
// enough, and watching it costs more than most statements.
func (s *Store) write(ctx context.Context, f func(ctx context.Context, w *writer) error) error {
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
	w, quiet := s.writer, context.WithoutCancel(ctx)
	if w.conn == nil {
		if err := w.prepare(quiet, nil); err != nil {
			w.reset()
			return fault(ctx, err)
		}
	}
	if err := w.begin(ctx, w.conn); err != nil {
		return nothingWritten(fault(ctx, err))
	}
	err := f(quiet, w)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if _, e := w.conn.ExecContext(quiet, "ROLLBACK"); e != nil {
			w.reset()
		}
		return nothingWritten(fault(ctx, err))
	}
	if _, err := w.conn.ExecContext(quiet, "COMMIT"); err != nil {
		// SQLite may have ended the transaction or not.
		w.conn.ExecContext(quiet, "ROLLBACK")
		w.reset()
		return fault(quiet, err)
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
