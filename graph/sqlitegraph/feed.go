package sqlitegraph

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"trellis/graph"
)

// Changes returns change records after a revision.
func (s *Store) Changes(ctx context.Context, after graph.Revision, limit int) ([]graph.Change, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if limit <= 0 {
		return nil, graph.Errorf(graph.Invalid, "the limit is %d; it must be above 0", limit)
	}
	rows, err := s.asks["changes"].QueryContext(ctx, int64(after), limit)
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer rows.Close()
	var out []graph.Change
	for rows.Next() {
		var oldest graph.Revision
		var body sql.RawBytes
		if err := rows.Scan(&oldest, &body); err != nil {
			return nil, fault(ctx, err)
		}
		if after < oldest {
			return nil, graph.Errorf(graph.Gone, "changes up to revision %d have been trimmed", oldest)
		}
		if body == nil {
			break
		}
		var c graph.Change
		if err := json.Unmarshal(body, &c); err != nil {
			return nil, graph.Wrap(graph.Corrupt, err, "a change record after revision %d cannot be read", after)
		}
		out = append(out, c)
	}
	return out, fault(ctx, rows.Err())
}

// Claim takes, renews or releases a consumer's lease and moves its cursor.
func (s *Store) Claim(ctx context.Context, c graph.Claim) (graph.Cursor, error) {
	if err := c.Validate(); err != nil {
		return graph.Cursor{}, err
	}
	var cursor graph.Cursor
	var refused error
	err := s.write(ctx, func(ctx context.Context, w *writer) error {
		var head graph.Revision
		if err := w.run.head.QueryRowContext(ctx).Scan(&head); err != nil {
			return err
		}
		var until int64
		held := &graph.Cursor{}
		switch err := w.run.cursor.QueryRowContext(ctx, c.Consumer).Scan(&held.Revision, &held.Holder, &until); err {
		case nil:
			held.Until = clock(until)
		case sql.ErrNoRows:
			held = nil
		default:
			return err
		}
		if cursor, refused = c.Next(held, head); refused != nil {
			return nil
		}
		_, err := w.run.setClaim.ExecContext(ctx, c.Consumer, int64(cursor.Revision), cursor.Holder, cursor.Until.UnixMilli())
		return err
	})
	if err != nil {
		return graph.Cursor{}, err
	}
	return cursor, refused
}

// trimAtOnce bounds how long a trim holds the write lock.
const trimAtOnce = 5000

// Trim deletes change records that nobody needs any more.
func (s *Store) Trim(ctx context.Context, olderThan time.Time) (int, error) {
	total := 0
	for {
		n := 0
		err := s.write(ctx, func(ctx context.Context, w *writer) error {
			var last sql.NullInt64
			// Times may go backwards, revisions may not: what is trimmed is
			// what comes before the first record that is young enough.
			err := w.conn.QueryRowContext(ctx, `
				WITH old AS (SELECT revision, time FROM change ORDER BY revision LIMIT ?3),
				kept(revision) AS (
					SELECT min(revision) FROM old WHERE time >= ?1
					UNION ALL SELECT min(cursor) + 1 FROM consumer
				)
				SELECT max(revision) FROM old
				WHERE revision < coalesce((SELECT min(revision) FROM kept), ?2)`,
				olderThan.UnixMilli(), int64(1)<<62, trimAtOnce).Scan(&last)
			if err != nil || !last.Valid {
				return err
			}
			res, err := w.conn.ExecContext(ctx, "DELETE FROM change WHERE revision <= ?", last.Int64)
			if err != nil {
				return err
			}
			gone, err := res.RowsAffected()
			if err != nil {
				return err
			}
			n = int(gone)
			_, err = w.conn.ExecContext(ctx, "UPDATE store SET oldest = ?", last.Int64)
			return err
		})
		if total += n; err != nil || n < trimAtOnce {
			return total, err
		}
	}
}
