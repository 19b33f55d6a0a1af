package catalog

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"trellis/graph"
	"trellis/graph/identity"
)

// facet is something that is asked to be counted.
type facet struct {
	name      string
	relation  relation // of facets of relations; parent if it is none
	attribute string   // of facets of attributes
}

// defaultFacetValues is how many values a facet shows.
const defaultFacetValues = 20

func facetsOf(query *Query) ([]facet, error) {
	if len(query.Facets) > MaxFacets {
		return nil, graph.Errorf(graph.Invalid, "%d facets; the limit is %d", len(query.Facets), MaxFacets)
	}
	if n := query.FacetValues; n < 0 || n > MaxFacetValues {
		return nil, graph.Errorf(graph.Invalid, "%d values of each facet; the limit is %d", n, MaxFacetValues)
	}
	var out []facet
	for _, name := range query.Facets {
		f := facet{name: name}
		attribute, ok := strings.CutPrefix(name, FacetAttribute)
		switch r := slices.IndexFunc(relations[:], func(r relationInfo) bool { return r.facet == name && name != "" }); {
		case r >= 0:
			f.relation = relation(r)
		case ok && attribute != "":
			f.attribute = attribute
		case name != FacetOrganization && name != FacetNodeType && name != FacetArchived:
			return nil, graph.Errorf(graph.Invalid, "there is no facet %q", cut(name, 64))
		}
		out = append(out, f)
	}
	return out, nil
}

// tally is the counts of one pass through documents. All are zero between uses.
type tally struct {
	columns [columns][]uint32 // by document that is led to
	orgs    []uint32
	terms   []uint32
	// touched is what is not zero, in the order of the fields above, unless
	// the pass was long: then anything may be.
	touched [columns + 2][]uint32
	long    bool
}

// wanted says what a pass is to count.
type wanted struct {
	relations  uint32 // bit by relation
	orgs       bool
	attributes bool
}

func fit(s []uint32, n int) []uint32 {
	if cap(s) < n {
		return make([]uint32, n, n+n/8)
	}
	return s[:n]
}

// tallyFor makes room for counting.
func (q *question) tallyFor(long bool) *tally {
	t := &q.tally
	for i := range t.columns {
		t.columns[i] = fit(t.columns[i], len(q.docs))
	}
	t.orgs, t.terms = fit(t.orgs, len(q.orgs.list)), fit(t.terms, len(q.terms.list))
	t.long = long
	return t
}

// reset makes all zero again.
func (t *tally) reset() {
	for i, counts := range [...][]uint32{t.columns[0], t.columns[1], t.orgs, t.terms} {
		if t.long {
			clear(counts)
		}
		for _, n := range t.touched[i] {
			counts[n] = 0
		}
		t.touched[i] = t.touched[i][:0]
	}
}

// add counts one up.
func (t *tally) add(kind int, counts []uint32, n uint32) {
	if counts[n] == 0 && !t.long {
		t.touched[kind] = append(t.touched[kind], n)
	}
	counts[n]++
}

// count counts one document.
func (q *question) count(t *tally, w *wanted, n uint32) {
	h := &q.heads[n]
	if w.orgs {
		t.add(columns, t.orgs, h.org)
	}
	switch {
	case w.relations == 0:
	case t.long && w.relations&^firstColumn == 0:
		// What is not asked for is counted too, which is quicker than to ask each.
		counts := t.columns[0]
		for _, c := range q.cells.list[h.at : h.at+h.out] {
			if c >= cellOf(owner, 0) && c < cellOf(relationManager, 0) {
				counts[cellTarget(c)]++
			}
		}
	default:
		for _, c := range q.cells.list[h.at : h.at+h.out] {
			if r := c >> relationShift; w.relations>>r&1 != 0 {
				column := relations[r].column
				t.add(column, t.columns[column], cellTarget(c))
			}
		}
	}
	if w.attributes {
		for _, term := range q.attrsOf(n) {
			t.add(columns+1, t.terms, term)
		}
	}
}

// firstColumn is the relations that have column 0, as bits.
const firstColumn = 1<<relationManager - 1<<owner

// fewValues is up to how many values of an attribute each is counted by its
// own set, where there are many documents.
const fewValues = 256

// facets counts values. Facets that have a filter of their own are counted by
// themselves, without it; the others together.
func (q *question) facets(query *Query, clauses []clause, f *found, fields []facet) map[string][]Count {
	most := cmp.Or(query.FacetValues, defaultFacetValues)
	out := map[string][]Count{}
	var together []facet
	for _, field := range fields {
		if !slices.ContainsFunc(clauses, func(c clause) bool { return c.facet == field.name }) {
			together = append(together, field)
			continue
		}
		taken, mapped := q.taken, q.scope.all || q.scope.bits != nil
		alone := q.match(clauses, field.name)
		q.facetsOf(query.Type, &alone, []facet{field}, most, out)
		if mapped { // else the map of the scope may be among what was taken
			q.taken = taken
		}
	}
	q.facetsOf(query.Type, f, together, most, out)
	return out
}

// facetsOf counts values of the documents found.
func (q *question) facetsOf(typ graph.Type, f *found, fields []facet, most int, out map[string][]Count) {
	long := f.bits != nil
	var w wanted
	for _, field := range fields {
		switch {
		case field.relation != parent:
			w.relations |= 1 << field.relation
		case field.name == FacetOrganization:
			w.orgs = true
		case field.attribute != "" && !(long && q.fewValues(field.attribute)):
			w.attributes = true
		}
	}
	t := q.tallyFor(long)
	defer t.reset()
	rest := q.pass(t, &w, typ, f)
	for _, field := range fields {
		var counts []Count
		switch {
		case field.relation != parent:
			counts = q.relationCounts(t, field.relation, rest, most)
		case field.attribute != "":
			counts = q.attributeCounts(t, field.attribute, f, most)
		case field.name == FacetOrganization:
			counts = q.organizationCounts(t, typ, rest, most)
		case field.name == FacetNodeType:
			counts = q.typeCounts(f, most)
		default:
			counts = q.archivedCounts(f)
			counts = counts[:min(len(counts), most)]
		}
		out[field.name] = counts
	}
}

func (q *question) fewValues(attribute string) bool {
	return q.terms.names[q.terms.fields[attribute]].terms <= fewValues
}

// pass goes through the documents found. If they are more than half of all of
// the type, it goes through the rest instead, and says so: what is counted is
// then to be taken from what there is in all. That is known for relations
// that only documents of the type have, and for organizations.
func (q *question) pass(t *tally, w *wanted, typ graph.Type, f *found) (rest bool) {
	if *w == (wanted{}) {
		return false
	}
	look := func(n uint32) bool { q.count(t, w, n); return true }
	if f.bits == nil {
		for _, n := range f.list {
			look(n)
		}
		return false
	}
	number := typeNumber(typ)
	rest = number > 0 && 2*f.n > q.byType[max(number, 0)].size()
	for r := range relations {
		rest = rest && (w.relations>>r&1 == 0 || relations[r].from == typ)
	}
	if !rest {
		f.bits.each(look)
		return false
	}
	if w.attributes {
		attributes := wanted{attributes: true}
		f.bits.each(func(n uint32) bool { q.count(t, &attributes, n); return true })
		if w.attributes = false; *w == (wanted{}) {
			return true
		}
	}
	taken := q.taken
	others, tmp := q.take(len(q.docs)), q.take(len(q.docs))
	clear(others)
	q.byType[number].fill(others, tmp)
	others.andNot(f.bits)
	others.each(look)
	q.taken = taken
	return true
}

// relationCounts reads the counts of the nodes that a relation leads to.
func (q *question) relationCounts(t *tally, r relation, rest bool, most int) []Count {
	column, to := relations[r].column, uint8(typeNumber(relations[r].to))
	top := top{most: most, compare: func(a, b uint32) int { return q.compare(byName, a, b) }}
	counts := t.columns[column]
	if t.long {
		all := q.pointed[column]
		q.byType[to].each(func(n uint32) bool {
			c := counts[n]
			if rest {
				c = all[n] - c
			}
			if c != 0 {
				top.offer(n, int(c))
			}
			return true
		})
	} else {
		for _, n := range t.touched[column] {
			if q.heads[n].typ == to {
				top.offer(n, int(counts[n]))
			}
		}
	}
	return top.counts(func(n uint32) Count { return q.nodeCount(q.card(n)) })
}

func (q *question) nodeCount(c Card) Count { return Count{Value: c.Slug, Node: c} }

func (q *question) organizationCounts(t *tally, typ graph.Type, rest bool, most int) []Count {
	document := func(org uint32) uint32 { return q.numbers[typeNumber(identity.Organization)][q.orgs.list[org].id] }
	// Organizations that are gone but still named come last, by id: to compare
	// them by id with the others as well would be an order that contradicts itself.
	top := top{most: most, compare: func(a, b uint32) int {
		switch x, y := document(a), document(b); {
		case x != 0 && y != 0:
			return q.compare(byName, x, y)
		case x != 0:
			return -1
		case y != 0:
			return 1
		}
		return strings.Compare(q.orgs.list[a].id, q.orgs.list[b].id)
	}}
	for n := 1; n < len(q.orgs.list); n++ {
		c := int(t.orgs[n])
		if rest {
			c = q.orgs.list[n].byType[typeNumber(typ)].size() - c
		}
		if c != 0 {
			top.offer(uint32(n), c)
		}
	}
	return top.counts(func(org uint32) Count {
		if n := document(org); n != 0 {
			return q.nodeCount(q.card(n))
		}
		return q.nodeCount(Card{Ref: graph.Ref{Type: identity.Organization, ID: q.orgs.list[org].id}})
	})
}

func (q *question) attributeCounts(t *tally, name string, f *found, most int) []Count {
	field, ok := q.terms.fields[name]
	if !ok {
		return nil
	}
	top := top{most: most, compare: func(a, b uint32) int { return strings.Compare(q.terms.list[a].text, q.terms.list[b].text) }}
	offer := func(term uint32, n int) {
		if n != 0 {
			top.offer(term, n)
		}
	}
	switch {
	case !t.long:
		for _, term := range t.touched[columns+1] {
			if q.terms.list[term].field == field {
				offer(term, int(t.terms[term]))
			}
		}
	case q.fewValues(name):
		taken := q.taken
		one, tmp := q.take(len(q.docs)), q.take(len(q.docs))
		q.terms.starting(field, "", func(term uint32) bool {
			offer(term, q.overlapping(&q.terms.list[term].docs, f.bits, one, tmp))
			return true
		})
		q.taken = taken
	default:
		q.terms.starting(field, "", func(term uint32) bool { offer(term, int(t.terms[term])); return true })
	}
	return top.counts(func(term uint32) Count { return Count{Value: q.terms.list[term].text} })
}

// overlapping counts the documents of a set that are in the bits.
func (q *question) overlapping(s *set, bits, one, tmp bitset) (n int) {
	if s.many == nil {
		for _, d := range s.few {
			if bits.has(d) {
				n++
			}
		}
		return n
	}
	if s.size() < len(bits)/2 {
		s.each(func(d uint32) bool {
			if bits.has(d) {
				n++
			}
			return true
		})
		return n
	}
	clear(one)
	s.fill(one, tmp)
	one.and(bits)
	return one.count()
}

func (q *question) typeCounts(f *found, most int) []Count {
	var counts [len(docTypes)]int
	look := func(n uint32) bool { counts[q.heads[n].typ]++; return true }
	if f.bits != nil {
		f.bits.each(look)
	}
	for _, n := range f.list {
		look(n)
	}
	top := top{most: most, compare: func(a, b uint32) int { return cmp.Compare(docTypes[a], docTypes[b]) }}
	for t, n := range counts {
		if n > 0 {
			top.offer(uint32(t), n)
		}
	}
	return top.counts(func(t uint32) Count { return Count{Value: string(docTypes[t])} })
}

func (q *question) archivedCounts(f *found) []Count {
	n := 0
	look := func(d uint32) bool {
		if f.bits.has(d) {
			n++
		}
		return true
	}
	if f.bits != nil {
		q.archived.each(look)
	}
	for _, d := range f.list {
		if q.heads[d].archived {
			n++
		}
	}
	var out []Count
	for _, c := range [...]Count{{Value: strconv.FormatBool(false), N: f.n - n}, {Value: strconv.FormatBool(true), N: n}} {
		if c.N > 0 {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b Count) int { return b.N - a.N })
	return out
}

// top keeps the values with the highest counts.
type top struct {
	most    int
	compare func(a, b uint32) int
	list    []valueCount
	full    bool
}

type valueCount struct {
	value uint32
	n     int
}

func (t *top) order(a, b valueCount) int { return cmp.Or(b.n-a.n, t.compare(a.value, b.value)) }

func (t *top) offer(value uint32, n int) {
	c := valueCount{value, n}
	if t.full {
		if worst := t.list[t.most-1]; n < worst.n || n == worst.n && t.compare(value, worst.value) > 0 {
			return
		}
	}
	if t.list = append(t.list, c); len(t.list) >= 2*t.most {
		slices.SortFunc(t.list, t.order)
		t.list, t.full = t.list[:t.most], true
	}
}

func (t *top) counts(of func(value uint32) Count) []Count {
	slices.SortFunc(t.list, t.order)
	var out []Count
	for _, c := range t.list[:min(len(t.list), t.most)] {
		count := of(c.value)
		count.N = c.n
		out = append(out, count)
	}
	return out
}
