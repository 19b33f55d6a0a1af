package sqliteaudit

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"math"
	"slices"
	"time"

	"trellis/audit"
)

// Deliver stores the batch in one transaction. A batch is known by its ID; in
// case that has been forgotten, each of its records by its place in the chain.
func (s *Sink) Deliver(ctx context.Context, b audit.Batch) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := check(b); err != nil {
		return err
	}
	if len(b.Records) == 0 {
		return nil
	}
	return s.fault(ctx, s.write(ctx, func(w *writer) error {
		d := delivery{words: s.words, run: &w.run, now: s.opts.Now().UnixMilli(), lastSeq: map[audit.Stream]int64{}, nextID: map[idPlace]int64{}, folded: map[int64]*counts{}, used: map[int64]int64{},
			links: map[linkTable][]link{}}
		return d.batch(b)
	}))
}

// check refuses what no Log makes.
func check(b audit.Batch) error {
	if len(b.ID) < 1 || len(b.ID) > 200 {
		return fmt.Errorf("%w: the ID of a batch has 1 to 200 characters", audit.ErrRefused)
	}
	for i := range len(b.ID) {
		if c := b.ID[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return fmt.Errorf("%w: the ID of a batch has characters a-z 0-9 _ - . only", audit.ErrRefused)
		}
	}
	for i, r := range b.Records {
		h := r.Meta()
		switch ms := h.Time.UnixMilli(); {
		case h.Writer == "" || h.Writer != b.Records[0].Meta().Writer:
			return fmt.Errorf("%w: record %d of batch %s is not of the batch's writer", audit.ErrRefused, i, b.ID)
		case h.Seq == 0 || h.Seq > math.MaxInt64:
			return fmt.Errorf("%w: record %d of batch %s has no place in a chain", audit.ErrRefused, i, b.ID)
		case ms < 0 || ms >= endOfTime:
			return fmt.Errorf("%w: record %d of batch %s is of the year %d", audit.ErrRefused, i, b.ID, h.Time.Year())
		}
	}
	return nil
}

// delivery is the work on one batch, within its transaction.
type delivery struct {
	words   *words
	run     *statements
	now     int64
	writer  int64
	lastSeq map[audit.Stream]int64 // of the writer, before the batch
	nextID  map[idPlace]int64
	folded  map[int64]*counts // by the first id of an hour in hourly
	used    map[int64]int64
	links   map[linkTable][]link
	row     row
}

type idPlace struct {
	stream audit.Stream
	ms     int64
}

func (d *delivery) batch(b audit.Batch) error {
	if _, known, err := d.run.known.number(b.ID); known || err != nil {
		return err
	}
	var err error
	if d.writer, err = d.words.word(d.run, b.Records[0].Meta().Writer, d.now); err != nil {
		return err
	}
	if _, err := d.run.newBatch.exec(b.ID, d.writer, d.now); err != nil {
		return err
	}
	if _, err := d.run.pruneBatches.exec(d.writer); err != nil {
		return err
	}
	for _, r := range b.Records {
		if err := d.record(r); err != nil {
			return err
		}
	}
	if err := d.storeLinks(); err != nil {
		return err
	}
	for hour, c := range d.folded {
		if err := c.store(d.run, hour); err != nil {
			return err
		}
	}
	for key, ms := range d.used {
		if _, err := d.run.setUsed.exec(key, ms); err != nil {
			return err
		}
	}
	return nil
}

func (d *delivery) record(r audit.Record) error {
	h, s := r.Meta(), r.Stream()
	last, ok := d.lastSeq[s]
	if !ok {
		var err error
		if last, _, err = d.run.lastSeq[s].number(d.writer); err != nil {
			return err
		}
		d.lastSeq[s] = last
	}
	if int64(h.Seq) <= last {
		if _, known, err := d.run.has[s].number(d.writer, int64(h.Seq), h.Hash[:]); known || err != nil {
			return err
		}
	}
	id, err := d.id(s, h.Time.UnixMilli())
	if err != nil {
		return err
	}
	d.row.values = append(d.row.values[:0], id, d.writer, int64(h.Seq), h.Hash[:])
	d.row.d, d.row.t, d.row.used = d, tables[s], max(d.now, h.Time.UnixMilli())
	r.Walk(&d.row)
	if d.row.err != nil {
		return d.row.err
	}
	if _, err := d.run.insert[s].exec(d.row.values...); err != nil {
		return err
	}
	if d.row.t.about[0] != "" {
		d.link(id)
	}
	d.fold(r, d.row.values)
	return nil
}

// link is an entry of a table of links; actor is 0 in a table that has none.
type link struct{ node, actor, id int64 }

// linkTable is a table of links, by the statement that adds to it.
type linkTable struct {
	insert *statement
	actor  bool
}

// link notes what the record is within, and about. It is no trigger because
// SQLite would then keep a journal of each statement, at a third of the cost of all.
func (d *delivery) link(id int64) {
	t := d.row.t
	at := func(name string) int64 { return d.row.values[lead+t.place(name)].(int64) }
	within, withinActor, about := linkTable{d.run.within[t.stream], false}, linkTable{d.run.withinActor[t.stream], true}, linkTable{d.run.about[t.stream], false}
	for _, node := range d.row.within.members {
		d.links[within] = append(d.links[within], link{node: node, id: id})
		d.links[withinActor] = append(d.links[withinActor], link{node, at("actor"), id})
	}
	a, b := at(t.about[0]), at(t.about[1])
	if a != 0 {
		d.links[about] = append(d.links[about], link{node: a, id: id})
	}
	if b != 0 && b != a {
		d.links[about] = append(d.links[about], link{node: b, id: id})
	}
}

// storeLinks puts the links of the batch into their order first, so that each
// page is looked for once.
func (d *delivery) storeLinks() error {
	for table, list := range d.links {
		slices.SortFunc(list, func(a, b link) int {
			return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.actor, b.actor), cmp.Compare(a.id, b.id))
		})
		for _, l := range list {
			args := []driver.Value{l.node, l.id}
			if table.actor {
				args = []driver.Value{l.node, l.actor, l.id}
			}
			if _, err := table.insert.exec(args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// id gives the record the next place in its millisecond.
func (d *delivery) id(s audit.Stream, ms int64) (int64, error) {
	p := idPlace{s, ms}
	next, ok := d.nextID[p]
	if !ok {
		last, some, err := d.run.lastID[s].number(firstID(ms), firstID(ms+1)-1)
		if err != nil {
			return 0, err
		}
		if next = firstID(ms); some {
			next = last + 1
		}
	}
	if next == firstID(ms+1) {
		return 0, fmt.Errorf("%w: more than %d records of one millisecond", audit.ErrRefused, 1<<idBits)
	}
	d.nextID[p] = next + 1
	return next, nil
}

// row collects the values of a record's columns.
type row struct {
	d      *delivery
	t      *table
	used   int64
	values []driver.Value
	within list // the last list
	err    error
}

// Text implements audit.Visitor.
func (r *row) Text(_ string, v *string) {
	switch r.t.columns[len(r.values)-lead].form {
	case asText:
		r.values = append(r.values, *v)
	case asUUID:
		r.values = append(r.values, uuidValue(*v))
	default:
		r.Word("", v)
	}
}

// Word implements audit.Visitor.
func (r *row) Word(_ string, v *string) {
	id, err := r.d.words.word(r.d.run, *v, r.used)
	r.add(id, err)
}

// List implements audit.Visitor.
func (r *row) List(_ string, v *[]string) {
	list, err := r.d.words.list(r.d.run, *v, r.used)
	r.within = list
	r.add(list.id, err)
}

// Int implements audit.Visitor.
func (r *row) Int(_ string, v *int64) { r.add(*v, nil) }

func (r *row) add(n int64, err error) {
	r.values = append(r.values, n)
	if r.err == nil {
		r.err = err
	}
}

// fold adds the record to the counts of its hour, and to what is known of its key.
func (d *delivery) fold(r audit.Record, values []driver.Value) {
	t := tables[r.Stream()]
	if t.counted == nil {
		return
	}
	ms := r.Meta().Time.UnixMilli()
	of := func(name string) int64 { return values[lead+t.place(name)].(int64) }
	var k countKey
	for i, name := range t.counted {
		k.values[i] = of(name)
	}
	n := sums{count: 1}
	switch r := r.(type) {
	case *audit.Event:
		k.within = of("within")
	case *audit.Decision:
		k.within, n.count = of("within"), r.Weight
	case *audit.Request:
		n.bytes, n.latency = r.BytesOut, r.Latency
		if r.Status >= 400 {
			n.errors = 1
		}
		if key := of("key"); key != 0 {
			d.used[key] = max(d.used[key], ms)
		}
	}
	hour := hourID(t.number, ms/int64(time.Hour/time.Millisecond))
	c := d.folded[hour]
	if c == nil {
		c = &counts{places: map[countKey]int{}}
		d.folded[hour] = c
	}
	c.add(k, n)
}
