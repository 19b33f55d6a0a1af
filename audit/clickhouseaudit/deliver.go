package clickhouseaudit

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trellis/audit"
)

// insertSettings keep what is inserted at once one block in each partition, so
// that ClickHouse knows it again as a whole.
var insertSettings = clickhouse.Settings{
	"async_insert":       0,
	"insert_deduplicate": 1,
	"deduplicate_blocks_in_dependent_materialized_views": 1,
	"max_partitions_per_insert_block":                    0,
	"max_insert_threads":                                 1,
	"max_insert_block_size":                              1 << 24,
	"min_insert_block_size_rows":                         1 << 24,
	"min_insert_block_size_bytes":                        1 << 30,
	// The views have put together what belongs together.
	"optimize_on_insert": 0,
}

var batchID = regexp.MustCompile(`^[a-z0-9_.-]{1,200}$`)

// lastMilli is the end of what ClickHouse's DateTime holds, in which hours,
// days and expiry are worked out: 7 February 2106.
const lastMilli = (1<<32 - 1) * 1000

// Deliver implements audit.Sink. Each stream is one insert, unless some of it may have
// come before.
func (s *Sink) Deliver(ctx context.Context, b audit.Batch) error {
	done, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !batchID.MatchString(b.ID) {
		return fmt.Errorf("%w: a batch's ID has 1 to 200 of the characters a-z, 0-9, _, - and .; %.50q has not", audit.ErrRefused, b.ID)
	}
	if len(b.Records) == 0 {
		return nil
	}
	writer := b.Records[0].Meta().Writer
	parts := map[audit.Stream][]audit.Record{}
	for _, r := range b.Records {
		h := r.Meta()
		if ms := h.Time.UnixMilli(); ms < 0 || ms >= lastMilli {
			return fmt.Errorf("%w: record %d of %s is of %v; want 1970 to 2105", audit.ErrRefused, h.Seq, r.Stream(), h.Time)
		}
		if h.Writer != writer {
			return fmt.Errorf("%w: a batch is of one writer; this one is of %.50q and %.50q", audit.ErrRefused, writer, h.Writer)
		}
		parts[r.Stream()] = append(parts[r.Stream()], r)
	}
	l := s.lane(writer)
	var known map[audit.Stream]uint64
	select {
	case known = <-l:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { l <- known }()
	for _, stream := range audit.Streams {
		rs := parts[stream]
		if len(rs) == 0 {
			continue
		}
		token := b.ID + ":" + string(stream)
		first, end := rs[0].Meta().Seq, rs[len(rs)-1].Meta().Seq // they are in the order of the chain
		last, ok := known[stream]
		ahead := false
		if ok && last < first || s.opts.Cluster != "" {
			err = s.insert(ctx, rs, token)
		} else {
			ahead, err = s.settle(ctx, rs, token)
		}
		if err != nil {
			known = nil
			return s.fault(ctx, "storing "+string(stream), err)
		}
		if known == nil {
			known = map[audit.Stream]uint64{}
		}
		known[stream] = max(last, end)
		if ahead {
			delete(known, stream) // the next ones may be there already
		}
	}
	return nil
}

// lane lets in one delivery of a writer at a time. It holds the last seq in each stream
// that is there; nothing if that is not known.
func (s *Sink) lane(writer string) chan map[audit.Stream]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes[writer] == nil {
		s.lanes[writer] = make(chan map[audit.Stream]uint64, 1)
		s.lanes[writer] <- nil // another process may have left something half done
	}
	return s.lanes[writer]
}

// insert stores records of one stream, unless ClickHouse knows the token.
func (s *Sink) insert(ctx context.Context, rs []audit.Record, token string) error {
	c := newColumns(rs[0].Stream())
	for _, r := range rs {
		c.add(r)
	}
	settings := clickhouse.Settings{"insert_deduplication_token": token, "log_comment": mark(rs[0].Meta().Writer)}
	for k, v := range insertSettings {
		settings[k] = v
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	// Without the types the driver would ask for them before each batch.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings), clickhouse.WithColumnNamesAndTypes(c.types))
	batch, err := s.conn.PrepareBatch(ctx, c.statement)
	if err != nil {
		return err
	}
	defer func() { _ = batch.Close() }() // what was not sent is given up
	if err := c.fill(batch); err != nil {
		return err
	}
	return batch.Send()
}

// columns holds records of a stream by column, as ClickHouse takes them.
type columns struct {
	statement string
	types     []clickhouse.ColumnNameAndType

	times   []int64
	writers []any
	seqs    []uint64
	hashes  []string
	fields  []field
	next    int // the field that Walk comes to next
	words   map[string]any
}

// field is the values of one field; which slice is used is a matter of its kind.
type field struct {
	texts []string
	words []any
	lists [][]string
	ints  []int64
}

func newColumns(stream audit.Stream) *columns {
	c := &columns{words: map[string]any{}}
	k := kindsOf(stream)
	c.types = append(c.types, headTypes...)
	for i, name := range k.names {
		c.types = append(c.types, clickhouse.ColumnNameAndType{Name: name, Type: k.types[i]})
	}
	c.fields = make([]field, len(k.names))
	c.statement = "INSERT INTO " + tables[stream] + " (" + selection(stream) + ")"
	return c
}

func (c *columns) add(r audit.Record) {
	h := r.Meta()
	c.times = append(c.times, h.Time.UnixMilli())
	c.writers = append(c.writers, c.word(h.Writer))
	c.seqs = append(c.seqs, h.Seq)
	c.hashes = append(c.hashes, string(h.Hash[:]))
	c.next = 0
	r.Walk(c)
}

// word returns the string as an interface value, the same one for equal strings:
// the driver's LowCardinality wants such values, and making one allocates.
func (c *columns) word(s string) any {
	v, ok := c.words[s]
	if !ok {
		v = s
		c.words[s] = v
	}
	return v
}

func (c *columns) field() *field {
	c.next++
	return &c.fields[c.next-1]
}

// Text implements audit.Visitor.
func (c *columns) Text(_ string, v *string) {
	f := c.field()
	f.texts = append(f.texts, *v)
}

// Word implements audit.Visitor.
func (c *columns) Word(_ string, v *string) {
	f := c.field()
	f.words = append(f.words, c.word(*v))
}

// List implements audit.Visitor.
func (c *columns) List(_ string, v *[]string) {
	f := c.field()
	f.lists = append(f.lists, *v)
}

// Int implements audit.Visitor.
func (c *columns) Int(_ string, v *int64) {
	f := c.field()
	f.ints = append(f.ints, *v)
}

// fill puts the columns into the driver's batch.
func (c *columns) fill(batch driver.Batch) error {
	for i, v := range []any{c.times, c.writers, c.seqs, c.hashes} {
		if err := batch.Column(i).Append(v); err != nil {
			return err
		}
	}
	for i, f := range c.fields {
		col := batch.Column(i + len(headTypes))
		var err error
		switch {
		case f.texts != nil:
			err = col.Append(f.texts)
		case f.words != nil:
			err = col.Append(f.words)
		case f.ints != nil:
			err = col.Append(f.ints)
		default:
			// Row by row: whole, the driver would look at each value by reflection.
			for _, list := range f.lists {
				if list == nil {
					list = []string{}
				}
				if err = col.AppendRow(list); err != nil {
					break
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var headTypes = []clickhouse.ColumnNameAndType{
	{Name: "time", Type: "DateTime64(3, 'UTC')"}, {Name: "writer", Type: "LowCardinality(String)"}, {Name: "seq", Type: "UInt64"}, {Name: "hash", Type: "FixedString(16)"},
}

// kinds are the fields of a stream and the types of their columns.
type kinds struct{ names, types []string }

func kindsOf(stream audit.Stream) *kinds {
	k := &kinds{}
	audit.New(stream).Walk(k)
	return k
}

func (k *kinds) add(name, typ string) {
	k.names, k.types = append(k.names, name), append(k.types, typ)
}

// Text implements audit.Visitor.
func (k *kinds) Text(n string, _ *string) { k.add(n, "String") }

// Word implements audit.Visitor.
func (k *kinds) Word(n string, _ *string) { k.add(n, "LowCardinality(String)") }

// List implements audit.Visitor.
func (k *kinds) List(n string, _ *[]string) { k.add(n, "Array(String)") }

// Int implements audit.Visitor.
func (k *kinds) Int(n string, _ *int64) { k.add(n, "Int64") }

// selection lists the columns of a stream.
func selection(stream audit.Stream) string {
	return "`time`, `writer`, `seq`, `hash`, `" + strings.Join(kindsOf(stream).names, "`, `") + "`"
}
