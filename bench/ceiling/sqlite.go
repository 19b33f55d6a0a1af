package ceiling

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver that Trellis uses
)

// SQLite is a database with a table of edges and one of change records.
type SQLite struct {
	db   *sql.DB
	next int
}

// OpenSQLite makes the database in dir, as durable as Trellis' own: in WAL
// mode, and every transaction is on disk before it counts.
func OpenSQLite(ctx context.Context, dir string) (*SQLite, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "ceiling.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, stmt := range []string{
		`CREATE TABLE edge (src TEXT, kind TEXT, dst TEXT, key TEXT, props BLOB, PRIMARY KEY (src, kind, dst, key)) WITHOUT ROWID`,
		`CREATE INDEX edge_dst ON edge (dst, kind)`,
		`CREATE TABLE change (revision INTEGER PRIMARY KEY, record BLOB)`,
	} {
		if _, err := db.ExecContext(ctx, stmt); err != nil {
			db.Close()
			return nil, err
		}
	}
	return &SQLite{db: db}, nil
}

// Close closes the database.
func (s *SQLite) Close() error { return s.db.Close() }

// Write writes grants for so long, so many in a transaction, each with a
// change record of the usual size, and returns how many and how long it took.
func (s *SQLite) Write(ctx context.Context, group int, d time.Duration) (n int, took time.Duration, err error) {
	began, first := time.Now(), s.next
	for time.Since(began) < d {
		if err := s.commit(ctx, group); err != nil {
			return 0, 0, err
		}
	}
	return s.next - first, time.Since(began), nil
}

func (s *SQLite) commit(ctx context.Context, group int) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	edge, err := tx.PrepareContext(ctx, `INSERT INTO edge VALUES (?, 'CAN_ACCESS', ?, 'repo-read', ?)`)
	if err != nil {
		return err
	}
	defer edge.Close()
	change, err := tx.PrepareContext(ctx, `INSERT INTO change VALUES (?, ?)`)
	if err != nil {
		return err
	}
	defer change.Close()
	for range group {
		s.next++
		g := grantNumber(s.next)
		if _, err := edge.ExecContext(ctx, g.from, g.to, g.props); err != nil {
			return err
		}
		if _, err := change.ExecContext(ctx, s.next, g.record); err != nil {
			return err
		}
	}
	return tx.Commit()
}

type grant struct {
	from, to      string
	props, record []byte
}

// grantNumber makes up a grant, and a record of it with about as many bytes
// as Trellis writes.
func grantNumber(i int) grant {
	g := grant{from: fmt.Sprintf("user:member-%04d", i%1509), to: fmt.Sprintf("repo:kubernetes/repository-%d", i/1509)}
	g.props = fmt.Appendf(nil, `{"role":"repo-read","granted_by":"platform:bootstrap","granted_at":%d}`, 1_700_000_000_000+i)
	g.record = fmt.Appendf(nil, `{"revision":%d,"time":%d,"actor":"platform:bootstrap","request":"01980000-0000-7000-8000-%012d","effects":[{"edge":{"from":%q,"kind":"CAN_ACCESS","to":%q,"key":"repo-read"},"after":%s}]}`,
		i, 1_700_000_000_000+i, i, g.from, g.to, g.props)
	return g
}
