package sqlitegraph

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"math"
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
			// Not by way of rows.Err: it waits for a lock that rows holds itself since it gave
			// out bytes, if the context ends just then.
			return out, fault(ctx, rows.Close())
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
	err := s.write(ctx, func(w *writer) error {
		head, err := w.head()
		if err != nil {
			return err
		}
		var held *graph.Cursor
		var cell cells
		if err := w.run.cursor.query(func(row []driver.Value) error {
			held = &graph.Cursor{Revision: graph.Revision(cell.number(row[0])), Holder: cell.text(row[1]), Until: clock(cell.number(row[2]))}
			return nil
		}, c.Consumer); err != nil {
			return err
		}
		if cursor, refused = c.Next(held, head); refused != nil {
			return nil //nolint:nilerr // a refusal is no failure of the transaction, and is returned below
		}
		_, err = w.run.setClaim.exec(c.Consumer, int64(cursor.Revision), cursor.Holder, cursor.Until.UnixMilli())
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
		n := int64(0)
		err := s.write(ctx, func(w *writer) error {
			// Times may go backwards, revisions may not: what is trimmed is
			// what comes before the first record that is young enough.
			last, ok, err := w.number(`
				WITH old AS (SELECT revision, time FROM change ORDER BY revision LIMIT ?3),
				kept(revision) AS (
					SELECT min(revision) FROM old WHERE time >= ?1
					UNION ALL SELECT min(cursor) + 1 FROM consumer
				)
				SELECT max(revision) FROM old
				WHERE revision < coalesce((SELECT min(revision) FROM kept), ?2)`,
				olderThan.UnixMilli(), int64(math.MaxInt64), int64(trimAtOnce))
			if err != nil || !ok {
				return err
			}
			if n, err = w.exec("DELETE FROM change WHERE revision <= ?", last); err != nil {
				return err
			}
			_, err = w.exec("UPDATE store SET oldest = ?", last)
			return err
		})
		if total += int(n); err != nil || n < trimAtOnce {
			return total, err
		}
	}
}
