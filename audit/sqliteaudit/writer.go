package sqliteaudit

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"trellis/audit"
)

// writer is the one connection that writes, with its prepared statements.
// Whoever uses it holds Sink.writing. It speaks to the driver itself: the
// locks, conversions and allocations of database/sql show in the cost of a row.
type writer struct {
	connector driver.Connector
	wait      time.Duration
	conn      driver.Conn // nil when there is none at the moment
	all       []*statement
	run       statements
}

type statements struct {
	begin, commit, rollback           *statement
	word, newWord, seeWord, newMember *statement
	known, newBatch, pruneBatches     *statement
	lastPart, newPart, setPart        *statement
	setUsed                           *statement
	// Of each stream.
	insert, lastID, lastSeq, has, within, withinActor, about map[audit.Stream]*statement
}

// keptBatches is how many batches of a writer are remembered. A writer
// delivers one after the other, so that a repeat is of one of the last.
const keptBatches = "1000"

func (r *statements) texts() map[**statement]string {
	return map[**statement]string{
		&r.begin:     `BEGIN IMMEDIATE`,
		&r.commit:    `COMMIT`,
		&r.rollback:  `ROLLBACK`,
		&r.word:      `SELECT id, seen FROM text WHERE text = ?`,
		&r.newWord:   `INSERT INTO text (text, seen) VALUES (?, ?) RETURNING id`,
		&r.seeWord:   `UPDATE text SET seen = max(seen, ?2) WHERE id = ?1`,
		&r.newMember: `INSERT OR IGNORE INTO member (node, list) VALUES (?, ?)`,
		&r.known:     `SELECT 1 FROM batch WHERE id = ?`,
		&r.newBatch:  `INSERT INTO batch (id, writer, time) VALUES (?, ?, ?)`,
		&r.pruneBatches: `DELETE FROM batch WHERE writer = ?1 AND n <= (
			SELECT n FROM batch WHERE writer = ?1 ORDER BY n DESC LIMIT 1 OFFSET ` + keptBatches + `)`,
		&r.lastPart: `SELECT id, body FROM hourly WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1`,
		&r.newPart:  `INSERT INTO hourly (id, body) VALUES (?, ?)`,
		&r.setPart:  `UPDATE hourly SET body = ?2 WHERE id = ?1`,
		&r.setUsed:  `INSERT INTO used (key, time) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET time = max(time, ?2)`,
	}
}

// connect opens the connection if there is none, brings the schema up to date
// and prepares the statements.
func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	// Another process may be changing the new file to its log mode.
	err := w.patiently(ctx, func() (err error) {
		w.conn, err = w.connector.Connect(ctx)
		return err
	})
	if err == nil {
		err = migrate(ctx, w)
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
	keep := func(text string) (*statement, error) {
		st, err := w.statement(text)
		if err == nil {
			w.all = append(w.all, st)
		}
		return st, err
	}
	var err error
	for where, text := range w.run.texts() {
		if *where, err = keep(text); err != nil {
			return err
		}
	}
	r := &w.run
	for _, m := range []*map[audit.Stream]*statement{&r.insert, &r.lastID, &r.lastSeq, &r.has, &r.within, &r.withinActor, &r.about} {
		*m = map[audit.Stream]*statement{}
	}
	for _, s := range audit.Streams {
		t := tables[s]
		texts := map[*map[audit.Stream]*statement]string{
			&r.insert:  t.insert(),
			&r.lastID:  `SELECT max(id) FROM ` + t.name + ` WHERE id BETWEEN ? AND ?`,
			&r.lastSeq: `SELECT max(seq) FROM ` + t.name + ` WHERE writer = ?`,
			&r.has:     `SELECT 1 FROM ` + t.name + ` WHERE writer = ? AND seq = ? AND hash = ?`,
		}
		if t.about[0] != "" {
			texts[&r.within] = `INSERT INTO ` + t.name + `_within (node, id) VALUES (?, ?)`
			texts[&r.withinActor] = `INSERT INTO ` + t.name + `_within_actor (node, actor, id) VALUES (?, ?, ?)`
			texts[&r.about] = `INSERT INTO ` + t.name + `_about (node, id) VALUES (?, ?)`
		}
		for where, text := range texts {
			if (*where)[s], err = keep(text); err != nil {
				return err
			}
		}
	}
	return nil
}

// reset closes the connection; what was not committed is rolled back.
func (w *writer) reset() error {
	var errs []error
	for _, st := range w.all {
		errs = append(errs, st.st.Close())
	}
	w.all, w.run = nil, statements{}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
		w.conn = nil
	}
	return errors.Join(errs...)
}

// patiently repeats f while another process holds a lock. Processes hold it
// for some milliseconds at a time, so it asks again much sooner than SQLite
// itself would.
func (w *writer) patiently(ctx context.Context, f func() error) error {
	until := time.Now().Add(w.wait)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, maxPause) {
		err := f()
		if err == nil || !isBusy(err) || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// maxPause is how seldom a process that waits looks whether it can write.
const maxPause = 5 * time.Millisecond

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

// write runs f in a write transaction that ends with COMMIT, or without a
// trace when f returns an error.
func (s *Sink) write(ctx context.Context, f func(w *writer) error) error {
	select {
	case <-s.writing:
		defer func() { s.writing <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	w := s.writer
	if err := w.connect(ctx); err != nil {
		return err
	}
	if err := w.patiently(ctx, func() error { _, err := w.run.begin.exec(); return err }); err != nil {
		return err
	}
	err := f(w)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		_, err = w.run.commit.exec()
	}
	if err == nil {
		s.words.keep()
		return nil
	}
	s.words.forget()
	if _, e := w.run.rollback.exec(); e != nil {
		_ = w.reset() // SQLite has ended it by itself, or cannot
	}
	return err
}
