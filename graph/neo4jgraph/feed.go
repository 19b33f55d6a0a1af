package neo4jgraph

import (
	"context"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
)

const (
	// changesAtOnce is how many bytes of change records one call reads, so
	// that many large ones do not fill memory.
	changesAtOnce = 64 << 20
	// trimAtOnce is how many records one transaction deletes.
	trimAtOnce = 5_000
)

// Changes implements graph.Feed.
func (s *Store) Changes(ctx context.Context, after graph.Revision, limit int) ([]graph.Change, error) {
	var out []graph.Change
	err := s.call(ctx, neo4j.AccessModeRead, func(ctx context.Context, session neo4j.SessionWithContext) (err error) {
		out, err = s.changes(ctx, session, after, limit)
		return err
	})
	return out, err
}

func (s *Store) changes(ctx context.Context, session neo4j.SessionWithContext, after graph.Revision, limit int) ([]graph.Change, error) {
	result, err := s.auto(session)(ctx, text("changes"), given(map[string]any{"after": int64(after), "limit": max(limit, 0)}))
	if err != nil {
		return nil, err
	}
	if !result.Next(ctx) {
		if result.Err() != nil {
			return nil, result.Err()
		}
		return nil, errNotPrepared
	}
	var r row
	first := result.Record().Values
	if first[0] != nil {
		return nil, errImporting()
	}
	oldest := graph.Revision(field[int64](&r, first[2]))
	if after < oldest {
		return nil, graph.Errorf(graph.Gone, "the changes after revision %d have been trimmed; the oldest to be had are those after %d", after, oldest)
	}
	var out []graph.Change
	for size := 0; size < changesAtOnce && result.Next(ctx); {
		v := result.Record().Values
		// A transaction that is being committed may show some of its records
		// before others. What comes after a gap is read the next time.
		if graph.Revision(field[int64](&r, v[3])) != after+graph.Revision(len(out))+1 {
			break
		}
		c, n, err := change(v[4], v[5])
		if err != nil {
			return nil, graph.Wrap(graph.Corrupt, err, "a change record cannot be read")
		}
		out = append(out, c)
		size += n
	}
	if result.Err() != nil {
		return nil, result.Err()
	}
	return out, r.bad
}

// Claim implements graph.Feed.
func (s *Store) Claim(ctx context.Context, c graph.Claim) (graph.Cursor, error) {
	if !graph.Type(c.Consumer).Valid() {
		return graph.Cursor{}, graph.Errorf(graph.Invalid, "%q cannot be a consumer's name", c.Consumer)
	}
	if c.Holder == "" {
		return graph.Cursor{}, graph.Errorf(graph.Invalid, "a claim needs a holder")
	}
	if c.TTL < 0 {
		return graph.Cursor{}, graph.Errorf(graph.Invalid, "a lease cannot last %s", c.TTL)
	}
	until := int64(0)
	if c.TTL > 0 {
		until = c.Now.Add(c.TTL).UnixMilli()
	}
	values, err := s.inTransaction(ctx, text("claim"), map[string]any{
		"consumer": c.Consumer, "holder": c.Holder, "now": c.Now.UnixMilli(), "until": until, "cursor": int64(c.Cursor),
	})
	if err != nil {
		return graph.Cursor{}, err
	}
	var r row
	cur := graph.Cursor{Revision: graph.Revision(field[int64](&r, values[1])), Holder: field[string](&r, values[2])}
	if ms := field[int64](&r, values[3]); ms > 0 {
		cur.Until = time.UnixMilli(ms).UTC()
	}
	if r.bad == nil && !field[bool](&r, values[0]) {
		return cur, graph.Errorf(graph.Stale, "%s is held by %s until %s", c.Consumer, cur.Holder, cur.Until.Format(time.RFC3339))
	}
	return cur, r.bad
}

// Trim implements graph.Feed.
func (s *Store) Trim(ctx context.Context, olderThan time.Time) (int, error) {
	total := 0
	for {
		values, err := s.inTransaction(ctx, text("trim"), map[string]any{"older_than": olderThan.UnixMilli(), "limit": trimAtOnce})
		if err != nil {
			return total, err
		}
		var r row
		n := int(field[int64](&r, values[0]))
		if total += n; n < trimAtOnce || r.bad != nil {
			return total, r.bad
		}
	}
}

// inTransaction runs a writing statement of one row, and commits only if the
// store is in order.
func (s *Store) inTransaction(ctx context.Context, statement string, params map[string]any) (values []any, err error) {
	err = s.call(ctx, neo4j.AccessModeWrite, func(ctx context.Context, session neo4j.SessionWithContext) error {
		tx, err := s.begin(ctx, session)
		if err != nil {
			return err
		}
		if values, err = one(ctx, tx.Run, statement, params); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
	return values, err
}
