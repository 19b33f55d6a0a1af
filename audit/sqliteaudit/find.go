package sqliteaudit

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"trellis/audit"
)

// pageRows and pageBytes bound what one statement of Find reads: a question
// without limit is answered by many, so that it neither takes much memory nor
// keeps SQLite from reusing its log.
const (
	pageRows  = 1000
	pageBytes = 4 << 20
)

// rare is the number of records up to which a condition alone leads to few
// enough, whatever else is asked.
const rare = 500

// Find answers by the index of the rarest condition. Where all are frequent,
// it looks up in the hourly counts in which hours to look at all.
func (s *Sink) Find(ctx context.Context, q audit.Query, yield func(audit.Record) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := q.Validate(); err != nil {
		return err
	}
	f := finder{s: s, t: tables[q.Stream], q: &q, yield: yield, left: q.Limit}
	if q.Limit == 0 {
		f.left = -1
	}
	possible, err := f.prepare(ctx)
	if err == nil && possible {
		defer f.st.Close()
		err = f.run(ctx)
	}
	if f.stopped {
		return err
	}
	return s.fault(ctx, err)
}

// finder is the work on one query.
type finder struct {
	s       *Sink
	t       *table
	q       *audit.Query
	yield   func(audit.Record) error
	stopped bool // by yield
	left    int  // how many records are wanted yet; negative is all

	lo, hi int64 // bounds of the ids, both included
	after  audit.Record
	conds  []condition
	counts *filter   // what the hourly counts know of the conditions
	walk   bool      // go by the hourly counts
	lead   int       // the condition whose index is used, -1 for the order of time
	st     *sql.Stmt // which may be asked for many hours
	args   []any
}

// condition is one Match, or an actor within a node. Those with an index are
// sought there: link is a table of nodes and ids, index the column of an index
// of the table itself.
type condition struct {
	where       string // on the table r, with one parameter for each of args
	args        []any
	link, index string
	field       string
	value       int64
	actor       *int64 // within the node
}

// prepare turns the query into conditions; not possible means that nothing can match.
func (f *finder) prepare(ctx context.Context) (possible bool, err error) {
	f.lo, f.hi = bounds(f.q.From, f.q.To)
	if f.q.After != "" {
		p, err := audit.ParsePosition(f.q.After)
		if err != nil {
			return false, err
		}
		f.after = &audit.Event{Head: audit.Head{Time: p.Time, Link: audit.Link{Writer: p.Writer, Seq: p.Seq}}}
		if ms := min(max(p.Time.UnixMilli(), 0), endOfTime-1); f.q.Oldest {
			f.lo = max(f.lo, firstID(ms))
		} else {
			f.hi = min(f.hi, firstID(ms)|(1<<idBits-1))
		}
	}
	for _, m := range f.q.Where {
		c, ok, err := f.condition(ctx, m)
		if !ok || err != nil {
			return false, err
		}
		f.conds = append(f.conds, c)
	}
	if f.lo > f.hi {
		return false, nil
	}
	f.pair()
	if err := f.choose(ctx); err != nil {
		return false, err
	}
	text, args := f.statement()
	f.args = args
	f.st, err = f.s.readers.PrepareContext(ctx, text)
	return err == nil, err
}

// bounds are the least and the greatest id of the times.
func bounds(from, to time.Time) (lo, hi int64) {
	hi = firstID(endOfTime-1) | (1<<idBits - 1)
	if !from.IsZero() {
		if from = ceil(from); from.UnixMilli() >= endOfTime {
			return 1, 0
		}
		lo = firstID(max(from.UnixMilli(), 0))
	}
	if !to.IsZero() {
		if ms := ceil(to).UnixMilli(); ms < endOfTime {
			hi = firstID(max(ms, 0)) - 1
		}
	}
	return lo, hi
}

// ceil is the next whole millisecond.
func ceil(t time.Time) time.Time { return t.Add(time.Millisecond - 1).Truncate(time.Millisecond) }

func (f *finder) condition(ctx context.Context, m audit.Match) (c condition, ok bool, err error) {
	c.field = m.Field
	if m.Field == audit.About {
		id, ok, err := f.s.words.find(ctx, f.s.readers, m.Value)
		c.where, c.args = `? IN (r."`+f.t.about[0]+`", r."`+f.t.about[1]+`")`, []any{id}
		if id != 0 {
			c.link = f.t.name + "_about"
		}
		c.value = id
		return c, ok, err
	}
	col := f.t.columns[f.t.place(m.Field)]
	c.where = `+r."` + m.Field + `" = ?`
	switch col.form {
	case asText:
		c.args = []any{m.Value}
		return c, true, nil
	case asUUID:
		c.args = []any{uuidValue(m.Value)}
		return c, true, nil
	case asInt:
		c.value, ok = number(m.Value)
		c.args = []any{c.value}
		return c, ok, nil
	case asList:
		c.link = f.t.name + "_" + m.Field
		c.where = `EXISTS (SELECT 1 FROM ` + c.link + ` AS l WHERE l.node = ? AND l.id = r.id)`
	case asWord:
		if slices.Contains(f.t.indexed, m.Field) {
			c.index = m.Field
		}
	}
	c.value, ok, err = f.s.words.find(ctx, f.s.readers, m.Value)
	c.args = []any{c.value}
	return c, ok, err
}

// pair joins the conditions of an actor and of a node that it acted within:
// each may be frequent and both together rare, and it is what the auditors of
// an organization ask, so that there is an index for it.
func (f *finder) pair() {
	in := slices.IndexFunc(f.conds, func(c condition) bool { return c.field == "within" })
	by := slices.IndexFunc(f.conds, func(c condition) bool { return c.field == "actor" })
	if in < 0 || by < 0 {
		return
	}
	c := &f.conds[in]
	c.actor = &f.conds[by].value
	c.link += "_actor"
}

// number reads a number in the one form that a Match may have.
func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

// choose decides how to look.
func (f *finder) choose(ctx context.Context) error {
	f.lead = -1
	if len(f.conds) == 0 {
		return nil
	}
	best := int64(rare) + 1
	paired := slices.ContainsFunc(f.conds, func(c condition) bool { return c.actor != nil })
	for i, c := range f.conds {
		switch {
		case c.link == "" && c.index == "":
			continue
		case len(f.conds) == 1, len(f.conds) == 2 && c.actor != nil:
			f.lead = i
			return nil
		case paired && (c.field == "actor" || c.field == "within" && c.actor == nil):
			continue // the pair is rarer
		}
		n, err := f.probe(ctx, c)
		if err != nil {
			return err
		}
		if n < best || f.lead < 0 {
			best, f.lead = n, i
		}
	}
	if best <= rare {
		return nil
	}
	counts, err := f.s.filter(ctx, f.t, f.conds)
	if err != nil {
		return err
	}
	f.counts, f.walk = counts, counts != nil
	return nil
}

// probe counts the records of a condition as far as rare.
func (f *finder) probe(ctx context.Context, c condition) (n int64, err error) {
	from, args := c.link+` WHERE node = ?`, []any{c.value}
	switch {
	case c.link == "":
		from = f.t.name + ` INDEXED BY ` + f.t.name + `_` + c.index + ` WHERE "` + c.index + `" = ?`
	case c.actor != nil:
		from += ` AND actor = ?`
		args = append(args, *c.actor)
	}
	err = f.s.readers.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM `+from+` AND id BETWEEN ? AND ? LIMIT ?)`, append(args, f.lo, f.hi, rare+1)...).Scan(&n)
	return n, err
}

// statement is the text, with the bounds of the ids and how many as the last
// parameters.
func (f *finder) statement() (text string, args []any) {
	text, id := `SELECT `+f.t.names("r.")+` FROM `, "r.id"
	switch {
	case f.lead < 0:
		text += f.t.name + ` AS r NOT INDEXED WHERE true`
	case f.conds[f.lead].link != "":
		id = "lead.id"
		c := f.conds[f.lead]
		text += c.link + ` AS lead CROSS JOIN ` + f.t.name + ` AS r ON r.id = lead.id WHERE lead.node = ?`
		args = append(args, c.value)
		if c.actor != nil {
			text += ` AND lead.actor = ?`
			args = append(args, *c.actor)
		}
	default:
		c := f.conds[f.lead]
		text += f.t.name + ` AS r INDEXED BY ` + f.t.name + `_` + c.index + ` WHERE r."` + c.index + `" = ?`
		args = append(args, c.value)
	}
	for i, c := range f.conds {
		if i != f.lead { // that of the actor is asked twice if it is half of a pair
			text += ` AND ` + c.where
			args = append(args, c.args...)
		}
	}
	text += ` AND ` + id + ` BETWEEN ? AND ? ORDER BY ` + id
	if !f.q.Oldest {
		text += ` DESC`
	}
	return text + ` LIMIT ?`, args
}

func (f *finder) run(ctx context.Context) error {
	if !f.walk {
		_, err := f.scan(ctx, f.lo, f.hi)
		return err
	}
	return f.s.hours(ctx, f.t, f.counts, f.lo, f.hi, f.q.Oldest, func(lo, hi int64) (bool, error) {
		return f.scan(ctx, max(lo, f.lo), min(hi, f.hi))
	})
}

// scan yields what matches among the ids, and tells whether more is wanted.
func (f *finder) scan(ctx context.Context, lo, hi int64) (more bool, err error) {
	for lo <= hi {
		n := pageRows
		if f.left >= 0 {
			n = min(n, f.left+1)
		}
		page, cut, err := f.page(ctx, n, lo, hi)
		if err != nil {
			return false, err
		}
		if cut {
			// There may be more of the last millisecond, which must be put in order together.
			ms := page[len(page)-1].id >> idBits
			first := slices.IndexFunc(page, func(r found) bool { return r.id>>idBits == ms })
			if first > 0 {
				page, ms = page[:first], page[first-1].id>>idBits
			} else if page, _, err = f.page(ctx, -1, max(lo, firstID(ms)), min(hi, firstID(ms+1)-1)); err != nil {
				return false, err
			}
			if f.q.Oldest {
				lo = firstID(ms + 1)
			} else {
				hi = firstID(ms) - 1
			}
		}
		if more, err := f.hand(ctx, page); !more || err != nil {
			return false, err
		}
		if !cut {
			break
		}
	}
	return true, nil
}

// page reads what matches among the ids, at most n (all, if n is negative).
func (f *finder) page(ctx context.Context, n int, lo, hi int64) (page []found, cut bool, err error) {
	rows, err := f.st.QueryContext(ctx, append(slices.Clone(f.args), lo, hi, n)...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	return f.s.take(f.t, n, rows)
}

// hand yields whole milliseconds of records, and tells whether more is wanted.
func (f *finder) hand(ctx context.Context, page []found) (more bool, err error) {
	records, err := f.s.records(ctx, f.t, page)
	if err != nil {
		return false, err
	}
	compare := order
	if !f.q.Oldest {
		compare = func(a, b audit.Record) int { return order(b, a) }
	}
	if !slices.IsSortedFunc(records, compare) {
		slices.SortFunc(records, compare)
	}
	for _, r := range records {
		if f.after != nil && compare(r, f.after) <= 0 {
			continue
		}
		if f.left == 0 {
			return false, nil
		}
		if err := f.yield(r); err != nil {
			f.stopped = true
			return false, err
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		f.left--
	}
	return f.left != 0, nil
}

// order is that of audit.Query, oldest first.
func order(a, b audit.Record) int {
	x, y := a.Meta(), b.Meta()
	return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.Writer, y.Writer), cmp.Compare(x.Seq, y.Seq))
}
