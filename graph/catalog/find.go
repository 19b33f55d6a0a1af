package catalog

import (
	"cmp"
	"slices"

	"trellis/graph"
	"trellis/graph/identity"
)

// Find answers a list. Invalid if the query is not in order, Unavailable
// before the first load.
func (x *Index) Find(query Query) (Page, error) {
	sort, err := sortingOf(query.Sort)
	if err != nil {
		return Page{}, err
	}
	var after *sortKey
	if query.After != "" {
		k, err := sort.keyOf(query.After)
		if err != nil {
			return Page{}, err
		}
		after = &k
	}
	if query.Limit < 0 || query.Limit > MaxLimit {
		return Page{}, graph.Errorf(graph.Invalid, "the limit is %d; it must be 0 to %d", query.Limit, MaxLimit)
	}
	fields, err := facetsOf(&query)
	if err != nil {
		return Page{}, err
	}
	q, ok := x.ask(query.Scope)
	if !ok {
		return Page{}, notLoaded()
	}
	defer x.end(q)
	clauses, err := q.clauses(&query)
	if err != nil {
		return Page{}, err
	}
	f := q.match(clauses, "")
	var p Page
	if query.Limit > 0 {
		numbers, more := q.page(&f, sort, after, query.Limit)
		for _, n := range numbers {
			p.Refs = append(p.Refs, q.refOf(n))
		}
		if more {
			p.Next = q.cursorOf(sort, numbers[len(numbers)-1])
		}
	}
	if query.Total {
		p.Total = f.n
	}
	if len(fields) > 0 {
		p.Facets = q.facets(&query, clauses, &f, fields)
	}
	return p, nil
}

func notLoaded() error {
	return graph.Errorf(graph.Unavailable, "the catalog is still being loaded")
}

// page picks the next documents. Of few it looks at all; of many it goes
// through the order from the cursor on, so that page 1000 costs what page 1
// costs, unless the order has so few of them there that looking at all is
// cheaper after all.
func (q *question) page(f *found, sort sorting, after *sortKey, limit int) (page []uint32, more bool) {
	if f.bits != nil && f.n*f.n/4 > limit*len(q.docs) {
		if page, ok := q.walk(f, sort, after, limit+1); ok {
			return trim(page, limit)
		}
	}
	return trim(q.smallest(f, sort, after, limit+1), limit)
}

func trim(page []uint32, limit int) ([]uint32, bool) {
	if len(page) > limit {
		return page[:limit], true
	}
	return page, false
}

// walk goes through the order, and gives up after so many steps that smallest
// would have been done.
func (q *question) walk(f *found, sort sorting, after *sortKey, want int) (page []uint32, ok bool) {
	steps, order := 4*f.n, &q.orders[sort.by]
	step := func(n uint32) bool {
		if f.bits.has(n) {
			page = append(page, n)
		}
		steps--
		return len(page) < want && steps > 0
	}
	switch {
	case sort.reverse && after == nil:
		order.down(place{len(order.blocks), 0}, step)
	case sort.reverse:
		order.down(q.seek(sort.by, after), step)
	case after == nil:
		order.up(place{}, step)
	default:
		order.up(order.seek(func(n uint32) bool { return q.compareTo(sort.by, n, after) <= 0 }), step)
	}
	return page, steps > 0
}

// smallest looks at all documents and keeps the first after the cursor.
func (q *question) smallest(f *found, sort sorting, after *sortKey, want int) []uint32 {
	if want == 0 {
		return nil
	}
	sign := 1
	if sort.reverse {
		sign = -1
	}
	less := func(a, b uint32) int { return sign * q.compare(sort.by, a, b) }
	page, full := make([]uint32, 0, min(f.n, 2*want)), false
	look := func(n uint32) bool {
		if after != nil && sign*q.compareTo(sort.by, n, after) <= 0 {
			return true
		}
		if full && less(n, page[want-1]) > 0 {
			return true
		}
		if page = append(page, n); len(page) >= 2*want {
			slices.SortFunc(page, less)
			page, full = page[:want], true
		}
		return true
	}
	if f.bits != nil {
		f.bits.each(look)
	} else {
		for _, n := range f.list {
			look(n)
		}
	}
	slices.SortFunc(page, less)
	return page[:min(len(page), want)]
}

// Card returns what is shown of a node; false if it is no document.
func (x *Index) Card(r graph.Ref) (Card, bool) {
	d, ok := x.Document(r)
	return d.Card, ok
}

// Document returns what is known of a node by itself; false if it is no document.
func (x *Index) Document(r graph.Ref) (Document, bool) {
	q, ok := x.ask(Scope{})
	if !ok {
		return Document{}, false
	}
	defer x.end(q)
	n := q.number(r)
	if n == 0 || q.typeOf(n) == placeType {
		return Document{}, false
	}
	return q.document(n), true
}

// Relations returns what the node is related to: by kind, then name. Its
// owner team and the team above a team are CHILD_OF; other parents are no
// relations.
func (x *Index) Relations(r graph.Ref) []Relation {
	q, ok := x.ask(Scope{})
	if !ok {
		return nil
	}
	defer x.end(q)
	n := q.number(r)
	if n == 0 {
		return nil
	}
	cells := slices.Clone(q.outOf(n))
	kind := func(c uint32) graph.Kind { return relations[cellRelation(c)].kind }
	slices.SortFunc(cells, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(kind(a), kind(b)), q.compare(byName, cellTarget(a), cellTarget(b)))
	})
	var out []Relation
	for _, c := range cells {
		if to := cellTarget(c); cellRelation(c) != parent || docTypes[q.typeOf(to)] == identity.Team {
			out = append(out, Relation{Kind: kind(c), Node: q.card(to), Props: q.propsOf(n, c)})
		}
	}
	return out
}

// propsOf reads the properties of a relation; nil if it has none.
func (s *state) propsOf(n, cell uint32) graph.Props {
	for _, p := range s.docs[n].props {
		if p.cell == cell {
			if props, err := graph.ParseProps(p.text); err == nil {
				return props
			}
		}
	}
	return nil
}

// Sources returns what is related to a node and may be read, by name. What
// does not exist has no sources.
func (x *Index) Sources(sq SourcesQuery) (SourcesPage, error) {
	sort, _ := sortingOf("")
	var after *sortKey
	if sq.After != "" {
		k, err := sort.keyOf(sq.After)
		if err != nil {
			return SourcesPage{}, err
		}
		after = &k
	}
	if sq.Limit < 1 || sq.Limit > MaxLimit {
		return SourcesPage{}, graph.Errorf(graph.Invalid, "the limit is %d; it must be 1 to %d", sq.Limit, MaxLimit)
	}
	q, ok := x.ask(sq.Scope)
	if !ok {
		return SourcesPage{}, notLoaded()
	}
	defer x.end(q)
	clauses, err := q.clauses(&Query{Type: sq.From, Filter: Filter{Relations: map[graph.Kind][]graph.Ref{sq.Kind: {sq.To}}}})
	if err != nil {
		return SourcesPage{}, err
	}
	f := q.match(clauses, "")
	numbers, more := q.page(&f, sort, after, sq.Limit)
	var p SourcesPage
	to := q.number(sq.To)
	for _, n := range numbers {
		r := Relation{Kind: sq.Kind, Node: q.card(n)}
		for _, kind := range relationsOf(sq.Kind) {
			if props := q.propsOf(n, cellOf(kind, to)); props != nil {
				r.Props = props
			}
		}
		p.Items = append(p.Items, r)
	}
	if more {
		p.Next = q.cursorOf(sort, numbers[len(numbers)-1])
	}
	return p, nil
}

// Counts returns for each target how many readable documents of the type (""
// for all) are related to it by the kind.
func (x *Index) Counts(from graph.Type, kind graph.Kind, targets []graph.Ref, scope Scope) []int {
	counts := make([]int, len(targets))
	q, ok := x.ask(scope)
	if !ok {
		return counts
	}
	defer x.end(q)
	type source struct {
		in *set
		at int
	}
	var sources []source
	total := 0
	for i, t := range targets {
		n := q.number(t)
		for _, r := range relationsOf(kind) {
			if n == 0 || from != "" && relations[r].from != "" && relations[r].from != from {
				continue
			}
			if in := q.incomingOf(n, r); in != nil {
				if q.scope.all && (from == "" || relations[r].from != "") {
					counts[i] += in.size()
					continue
				}
				sources = append(sources, source{in, i})
				total += in.size()
			}
		}
	}
	if !q.scope.all && total > q.many() {
		q.mapScope()
	}
	typ := typeNumber(from)
	for _, s := range sources {
		s.in.each(func(n uint32) bool {
			if (from == "" || q.typeOf(n) == typ) && q.readable(n) {
				counts[s.at]++
			}
			return true
		})
	}
	return counts
}
