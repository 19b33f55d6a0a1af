package sqliteaudit

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"

	"trellis/audit"
)

// found is a row of a table: its columns, as SQLite gives them.
type found struct {
	id     int64
	values []any
}

// page reads the rows that a statement selects; see take.
func (s *Sink) page(ctx context.Context, t *table, n int, text string, args ...any) (page []found, cut bool, err error) {
	rows, err := s.readers.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	return s.take(t, n, rows)
}

// take reads rows. It is cut short when there are n of them (never, if n is
// negative), or when they take too much memory.
func (s *Sink) take(t *table, n int, rows *sql.Rows) (page []found, cut bool, err error) {
	size, width := 0, lead+len(t.columns)
	into := make([]any, width)
	for rows.Next() {
		values := make([]any, width)
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, false, err
		}
		id, ok := values[0].(int64)
		if !ok {
			return nil, false, s.damaged("a row of %s has no number", t.name)
		}
		page = append(page, found{id, values})
		for _, v := range values {
			if v, ok := v.(string); ok {
				size += len(v)
			}
		}
		if n >= 0 && (len(page) == n || size > pageBytes) {
			return page, true, nil
		}
	}
	return page, false, rows.Err()
}

// records makes records of rows.
func (s *Sink) records(ctx context.Context, t *table, page []found) ([]audit.Record, error) {
	texts := map[int64]string{}
	for _, r := range page {
		collect(texts, r.values[1])
		for i, c := range t.columns {
			if c.form == asWord || c.form == asList {
				collect(texts, r.values[lead+i])
			}
		}
	}
	if err := s.words.read(ctx, s.readers, texts); err != nil {
		return nil, err
	}
	f := filler{t: t, texts: texts}
	out := make([]audit.Record, 0, len(page))
	for _, r := range page {
		rec := audit.New(t.stream)
		f.head(rec.Meta(), r)
		f.values = r.values[lead:]
		rec.Walk(&f)
		if f.err != nil {
			return nil, s.damaged("record %d of %s: %v", r.id, t.name, f.err)
		}
		out = append(out, rec)
	}
	return out, nil
}

func collect(texts map[int64]string, v any) {
	if id, ok := v.(int64); ok {
		texts[id] = ""
	}
}

// filler sets the fields of a record.
type filler struct {
	t      *table
	texts  map[int64]string
	values []any // those of the fields to come
	err    error
}

func (f *filler) head(h *audit.Head, r found) {
	seq, ok := r.values[2].(int64)
	hash, ok2 := r.values[3].([]byte)
	if !ok || !ok2 || len(hash) != len(h.Hash) {
		f.err = errCell
	}
	h.Time, h.Writer, h.Seq = timeOf(r.id), f.word(r.values[1]), uint64(seq)
	copy(h.Hash[:], hash)
}

var errCell = fmt.Errorf("a column has a wrong type")

func (f *filler) word(v any) string {
	id, ok := v.(int64)
	s := f.texts[id]
	if !ok || id != 0 && s == "" {
		f.err = errCell
	}
	return s
}

func (f *filler) next() any {
	v := f.values[0]
	f.values = f.values[1:]
	return v
}

// Text implements audit.Visitor.
func (f *filler) Text(_ string, v *string) {
	switch f.t.columns[len(f.t.columns)-len(f.values)].form {
	case asText:
		s, ok := f.next().(string)
		if !ok {
			f.err = errCell
		}
		*v = s
	case asUUID:
		switch x := f.next().(type) {
		case string:
			*v = x
		case []byte:
			if len(x) == 16 {
				*v = uuidText(x)
				return
			}
			f.err = errCell
		default:
			f.err = errCell
		}
	default:
		*v = f.word(f.next())
	}
}

// Word implements audit.Visitor.
func (f *filler) Word(_ string, v *string) { *v = f.word(f.next()) }

// List implements audit.Visitor.
func (f *filler) List(_ string, v *[]string) {
	list, err := parseList(f.word(f.next()))
	if err != nil {
		f.err = err
	}
	*v = list
}

// Int implements audit.Visitor.
func (f *filler) Int(_ string, v *int64) {
	n, ok := f.next().(int64)
	if !ok {
		f.err = errCell
	}
	*v = n
}

// Misfiled implements audit.Reader. Nothing is kept twice: what is beside the
// records leads to them.
func (s *Sink) Misfiled(ctx context.Context, _ audit.Stream, _ int, _ func(audit.Head) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	s.gate.leave()
	return nil
}

// Follow goes along the chain of a writer.
func (s *Sink) Follow(ctx context.Context, stream audit.Stream, writer string, after uint64, yield func(audit.Record) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	t := tables[stream]
	if t == nil {
		return fmt.Errorf("%w: there is no stream %q", audit.ErrRefused, stream)
	}
	id, ok, err := s.words.find(ctx, s.readers, writer)
	if err != nil || !ok || id == 0 || after >= math.MaxInt64 {
		return s.fault(ctx, err)
	}
	text := `SELECT ` + t.names("") + ` FROM ` + t.name + ` INDEXED BY ` + t.name + `_writer
		WHERE writer = ? AND (seq, id) > (?, ?) ORDER BY seq, id LIMIT ?`
	seq, last := int64(after), int64(math.MaxInt64)
	for {
		page, cut, err := s.page(ctx, t, pageRows, text, id, seq, last, pageRows)
		if err != nil {
			return s.fault(ctx, err)
		}
		records, err := s.records(ctx, t, page)
		if err != nil {
			return s.fault(ctx, err)
		}
		for _, r := range records {
			if err := yield(r); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return s.fault(ctx, err)
			}
		}
		if !cut {
			return nil
		}
		seq, last = page[len(page)-1].values[2].(int64), page[len(page)-1].id
	}
}

// Writers walks the writers that there are, one look-up in the index each.
func (s *Sink) Writers(ctx context.Context, stream audit.Stream) ([]audit.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	t := tables[stream]
	if t == nil {
		return nil, fmt.Errorf("%w: there is no stream %q", audit.ErrRefused, stream)
	}
	page, _, err := s.page(ctx, t, -1, `WITH RECURSIVE w(id) AS (
			SELECT min(writer) FROM `+t.name+` UNION ALL
			SELECT (SELECT min(writer) FROM `+t.name+` WHERE writer > w.id) FROM w WHERE w.id IS NOT NULL
		) SELECT `+t.names("r.")+` FROM w CROSS JOIN `+t.name+` AS r
		ON r.id = (SELECT id FROM `+t.name+` WHERE writer = w.id ORDER BY seq DESC LIMIT 1)`)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	records, err := s.records(ctx, t, page)
	slices.SortFunc(records, func(a, b audit.Record) int {
		if a.Meta().Writer < b.Meta().Writer {
			return -1
		}
		return 1
	})
	return records, s.fault(ctx, err)
}

// mostKeys is how many keys LastUsed answers for.
const mostKeys = 1000

// LastUsed looks the keys up in a table that Deliver keeps.
func (s *Sink) LastUsed(ctx context.Context, keys []string) (map[string]time.Time, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if len(keys) > mostKeys {
		return nil, fmt.Errorf("%w: %d keys; at most %d", audit.ErrRefused, len(keys), mostKeys)
	}
	st, err := s.readers.PrepareContext(ctx, `SELECT time FROM text CROSS JOIN used ON used.key = text.id WHERE text = ?`)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	defer st.Close()
	out := make(map[string]time.Time, len(keys))
	for _, k := range keys {
		if err := s.lastUsed(ctx, func() error {
			rows, err := st.QueryContext(ctx, k)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var ms int64
				if err := rows.Scan(&ms); err != nil {
					return err
				}
				out[k] = time.UnixMilli(ms).UTC()
			}
			return rows.Err()
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Sink) lastUsed(ctx context.Context, one func() error) error { return s.fault(ctx, one()) }
