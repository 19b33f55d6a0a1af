package clickhouseaudit

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
)

// pause is the time between looks at whether an earlier attempt still runs.
const pause = 100 * time.Millisecond

// settle stores records of one stream and writer of which it is not known whether they
// were stored before, whole, in part or not at all: it looks, stores what is missing,
// and puts right what views have made of the writer's records in those hours and days.
//
// ClickHouse's deduplication is not enough for that on one server. It writes down the
// token and makes the rows visible one after the other (MergeTreeSink,
// MergeTreeDeduplicationLog): killed in between, it takes rows for stored that are
// not there, or for new that are. Replicated tables do both in one transaction.
//
// It tells whether there are later records of the writer, which may come again as well.
func (s *Sink) settle(ctx context.Context, rs []audit.Record, token string) (ahead bool, err error) {
	b := boundsOf(rs)
	if err := s.quiet(ctx, b.writer); err != nil {
		return false, err
	}
	missing, err := s.missing(ctx, rs, b)
	// Under the first token, so that an attempt which is still on its way will not count;
	// if ClickHouse takes that for done, under one that it cannot know.
	for _, t := range []string{token, token + ":" + rand.Text()} {
		if err != nil || len(missing) == 0 {
			break
		}
		if err = s.insert(ctx, missing, t); err == nil {
			missing, err = s.missing(ctx, missing, b)
			missing = slices.DeleteFunc(missing, s.expired)
		}
	}
	if err == nil && len(missing) > 0 {
		err = errors.New("ClickHouse has acknowledged records twice and does not have them")
	}
	if err == nil {
		err = s.rederive(ctx, b)
	}
	if err != nil {
		return false, err
	}
	err = s.read(ctx, "SELECT count() > 0 FROM (SELECT seq FROM "+tables[b.stream]+" AS r WHERE r.writer = {writer:String} AND r.seq > {seq1:UInt64} LIMIT 1)",
		b.arguments(), func(scan scanner) error { return scan(&ahead) })
	return ahead, err
}

// rederive puts right what views have made of the records.
func (s *Sink) rederive(ctx context.Context, b bounds) error {
	// The same difference may be due twice.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplicate": 0, "max_partitions_per_insert_block": 0, "select_sequential_consistency": 1, "log_comment": mark(b.writer),
	}))
	for _, d := range derivedTables {
		if d.stream != b.stream {
			continue
		}
		args := b.arguments()
		if d.sums != nil {
			starts := slices.DeleteFunc(slices.Clone(b.starts[d.size]), func(at int64) bool { return at*1000 < s.horizon(b.stream) })
			if len(starts) == 0 {
				continue
			}
			args = append(args, clickhouse.Named("starts", starts),
				clickhouse.Named("from", starts[0]), clickhouse.Named("to", starts[len(starts)-1]+int64(d.size/time.Second)))
		}
		if err := s.alter(ctx, d.settlement(), args...); err != nil {
			return err
		}
	}
	return nil
}

// mark is the comment of statements that deliver records of a writer, by which the server
// tells that they run.
func mark(writer string) string { return "trellis: records of " + writer }

// quiet waits until no delivery of the writer runs: a server does not end a statement
// because its client has gone.
func (s *Sink) quiet(ctx context.Context, writer string) error {
	for end := time.Now().Add(s.opts.Timeout); ; {
		running := false
		err := s.read(ctx, "SELECT count() > 0 FROM system.processes WHERE Settings['log_comment'] = {mark:String}",
			[]any{clickhouse.Named("mark", mark(writer))}, func(scan scanner) error { return scan(&running) })
		if err != nil || !running {
			return err
		}
		if time.Now().After(end) {
			return errors.New("an earlier attempt still runs")
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// missing returns those of the records, all within the bounds, that are not there.
func (s *Sink) missing(ctx context.Context, rs []audit.Record, b bounds) ([]audit.Record, error) {
	type place struct {
		seq  uint64
		hash string // two records with one seq are a fault, which is not to be hidden
	}
	there := map[place]bool{}
	// Where tables are replicated without our doing, as a hosted ClickHouse may.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"select_sequential_consistency": 1}))
	err := s.read(ctx, "SELECT seq, hash FROM "+tables[b.stream]+" AS r WHERE "+between, b.arguments(), func(scan scanner) error {
		var p place
		err := scan(&p.seq, &p.hash)
		there[p] = true
		return err
	})
	var missing []audit.Record
	for _, r := range rs {
		if h := r.Meta(); !there[place{h.Seq, string(h.Hash[:])}] {
			missing = append(missing, r)
		}
	}
	return missing, err
}

// horizon is the time, in milliseconds, before which records of a stream may be gone, or go within the hour.
func (s *Sink) horizon(stream audit.Stream) int64 {
	keep := s.opts.Retention[stream]
	if keep == 0 {
		return 0
	}
	return max(0, s.opts.Now().Add(time.Hour-keep).UnixMilli())
}

func (s *Sink) expired(r audit.Record) bool {
	return r.Meta().Time.UnixMilli() < s.horizon(r.Stream())
}

// bounds are between what records of one stream and one writer lie.
type bounds struct {
	stream audit.Stream
	writer string
	seqs   [2]uint64
	times  [2]int64 // in milliseconds
	// starts are the hours, and the days, that they are of, in seconds.
	starts map[time.Duration][]int64
}

// between is the condition that a row r is within bounds.
const between = "r.writer = {writer:String} AND r.seq BETWEEN {seq0:UInt64} AND {seq1:UInt64}" +
	" AND r.time BETWEEN fromUnixTimestamp64Milli({time0:Int64}, 'UTC') AND fromUnixTimestamp64Milli({time1:Int64}, 'UTC')"

func boundsOf(rs []audit.Record) bounds {
	h := rs[0].Meta()
	b := bounds{
		stream: rs[0].Stream(), writer: h.Writer, seqs: [2]uint64{h.Seq, h.Seq}, times: [2]int64{h.Time.UnixMilli(), h.Time.UnixMilli()},
		starts: map[time.Duration][]int64{},
	}
	for _, r := range rs {
		h := r.Meta()
		ms := h.Time.UnixMilli()
		b.seqs = [2]uint64{min(b.seqs[0], h.Seq), max(b.seqs[1], h.Seq)}
		b.times = [2]int64{min(b.times[0], ms), max(b.times[1], ms)}
		for _, size := range []time.Duration{audit.Hourly, audit.Daily} {
			b.starts[size] = append(b.starts[size], h.Time.Truncate(size).Unix())
		}
	}
	for size, list := range b.starts {
		slices.Sort(list)
		b.starts[size] = slices.Compact(list)
	}
	return b
}

func (b bounds) arguments() []any {
	return []any{
		clickhouse.Named("writer", b.writer), clickhouse.Named("seq0", b.seqs[0]), clickhouse.Named("seq1", b.seqs[1]),
		clickhouse.Named("time0", b.times[0]), clickhouse.Named("time1", b.times[1]),
	}
}
