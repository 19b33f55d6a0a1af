package clickhouseaudit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
)

// scanner reads the columns of a row.
type scanner func(dest ...any) error

// read asks ClickHouse, with parameters that it binds, and calls each with every
// row. Its errors are the driver's.
func (s *Sink) read(ctx context.Context, query string, args []any, each func(scanner) error) error {
	return s.readFor(ctx, s.opts.Timeout, query, args, each)
}

// readFor is read with another limit for its time.
func (s *Sink) readFor(ctx context.Context, limit time.Duration, query string, args []any, each func(scanner) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The driver also sends the time left as max_execution_time.
	rows, err := s.conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			cancel() // else Close would read all that is still to come
			_ = rows.Close()
			return err
		}
	}
	if err := rows.Close(); err != nil {
		return err
	}
	return rows.Err()
}

// inPlace makes ClickHouse read all columns of a record at once.
var inPlace = clickhouse.Settings{"query_plan_optimize_lazy_materialization": 0}

// records reads whole records of a stream.
func (s *Sink) records(ctx context.Context, stream audit.Stream, query string, args []any, settings clickhouse.Settings) ([]audit.Record, error) {
	var all []audit.Record
	var t target
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings))
	err := s.read(ctx, query, args, func(scan scanner) error {
		r := audit.New(stream)
		h := r.Meta()
		t.dest = append(t.dest[:0], &h.Time, &h.Writer, &h.Seq, &t.hash)
		r.Walk(&t)
		if err := scan(t.dest...); err != nil {
			return err
		}
		h.Time = h.Time.UTC()
		if len(t.hash) != len(h.Hash) {
			return fmt.Errorf("a hash has %d bytes", len(t.hash))
		}
		copy(h.Hash[:], t.hash)
		all = append(all, r)
		return nil
	})
	return all, err
}

// target collects where the fields of a record are to be read to.
type target struct {
	dest []any
	hash string
}

// Text implements audit.Visitor.
func (t *target) Text(_ string, v *string) { t.dest = append(t.dest, v) }

// Word implements audit.Visitor.
func (t *target) Word(_ string, v *string) { t.dest = append(t.dest, v) }

// List implements audit.Visitor.
func (t *target) List(_ string, v *[]string) { t.dest = append(t.dest, v) }

// Int implements audit.Visitor.
func (t *target) Int(_ string, v *int64) { t.dest = append(t.dest, v) }

// maxKeys is how many keys LastUsed looks up at once.
const maxKeys = 1000

// LastUsed implements audit.Reader.
func (s *Sink) LastUsed(ctx context.Context, keys []string) (map[string]time.Time, error) {
	done, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%w: %d keys are more than %d", audit.ErrRefused, len(keys), maxKeys)
	}
	used := map[string]time.Time{}
	if len(keys) == 0 {
		return used, nil
	}
	err = s.read(ctx, "SELECT key, max(k.time) FROM key_last_used AS k WHERE key IN {keys:Array(String)} GROUP BY key",
		[]any{clickhouse.Named("keys", keys)}, func(scan scanner) error {
			var key string
			var at time.Time
			err := scan(&key, &at)
			used[key] = at.UTC()
			return err
		})
	return used, s.fault(ctx, "looking up when keys were used", err)
}

// Writers implements audit.Reader. They come by name.
func (s *Sink) Writers(ctx context.Context, stream audit.Stream) ([]audit.Record, error) {
	done, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if !slices.Contains(audit.Streams, stream) {
		return nil, fmt.Errorf("%w: there is no stream %q", audit.ErrRefused, stream)
	}
	t := tables[stream]
	all, err := s.records(ctx, stream, "SELECT "+selection(stream)+" FROM "+t+
		" WHERE (writer, seq) IN (SELECT writer, max(seq) FROM "+t+" GROUP BY writer) ORDER BY writer, time LIMIT 1 BY writer", nil, inPlace)
	return all, s.fault(ctx, "looking up writers", err)
}

// chunk is how many records are read at a time: no statement runs while the
// caller handles what it got.
const chunk = 5000

// each hands over the records until yield or the context ends it.
func each(ctx context.Context, list []audit.Record, yield func(audit.Record) error) error {
	for _, r := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

// Follow implements audit.Reader.
func (s *Sink) Follow(ctx context.Context, stream audit.Stream, writer string, after uint64, yield func(audit.Record) error) error {
	done, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !slices.Contains(audit.Streams, stream) {
		return fmt.Errorf("%w: there is no stream %q", audit.ErrRefused, stream)
	}
	for {
		// Ranges of seq, since the index on it finds those; of equal seqs, which are
		// nothing that should be, all come.
		list, err := s.records(ctx, stream, "SELECT "+selection(stream)+" FROM "+tables[stream]+
			" WHERE writer = {writer:String} AND seq > {after:UInt64} AND seq <= {upto:UInt64} ORDER BY seq, time, hash",
			[]any{clickhouse.Named("writer", writer), clickhouse.Named("after", after), clickhouse.Named("upto", max(after, after+chunk))}, inPlace)
		if err != nil {
			return s.fault(ctx, "following a writer", err)
		}
		if err := each(ctx, list, yield); err != nil {
			return err
		}
		if after+chunk < after {
			return nil
		}
		after += chunk
		if len(list) == 0 {
			next, err := s.following(ctx, stream, writer, after)
			if err != nil || next == 0 {
				return s.fault(ctx, "following a writer", err)
			}
			after = next - 1
		}
	}
}

// following returns the writer's first seq above another, 0 if there is none.
func (s *Sink) following(ctx context.Context, stream audit.Stream, writer string, after uint64) (next uint64, err error) {
	err = s.read(ctx, "SELECT min(seq) FROM "+tables[stream]+" WHERE writer = {writer:String} AND seq > {after:UInt64}",
		[]any{clickhouse.Named("writer", writer), clickhouse.Named("after", after)}, func(scan scanner) error { return scan(&next) })
	return next, err
}
