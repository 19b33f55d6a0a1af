package catalog

import (
	"slices"
	"strings"

	"trellis/graph"
	"trellis/graph/identity"
)

// clause is one condition of a query: a document must be in one of the sets.
type clause struct {
	// facet whose own filter this is, "" if of none.
	facet string
	// each yields the sets.
	each func(yield func(*set) bool)
	// size is at least how many documents there are in the sets, or some
	// number from question.many on if that is more.
	size int
	// not: a document must be in none of the sets instead.
	not bool
	// has tells the same of one document, from what is kept of it.
	has func(n uint32) bool
}

// weigh works out the clause's size.
func (q *question) weigh(c clause) clause {
	most := q.many() + 1
	c.each(func(s *set) bool {
		c.size += s.size()
		return c.size <= most
	})
	return c
}

// clauses makes the conditions of a query.
func (q *question) clauses(query *Query) ([]clause, error) {
	if err := query.Filter.check(); err != nil {
		return nil, err
	}
	belongs, err := q.belonging(query.Type, query.Organization)
	if err != nil {
		return nil, err
	}
	out := []clause{belongs}
	f := &query.Filter
	for kind, refs := range f.Relations {
		rs := relationsOf(kind)
		if len(rs) == 0 {
			return nil, graph.Errorf(graph.Invalid, "%q is no relation of the catalog", cut(string(kind), graph.MaxType))
		}
		out = append(out, q.relating(rs, refs))
	}
	for name, values := range f.Attributes {
		out = append(out, q.attribute(name, values))
	}
	words := graph.Words(f.Text)
	if len(words) > MaxWords {
		return nil, graph.Errorf(graph.Invalid, "%d words to search for; the limit is %d", len(words), MaxWords)
	}
	if f.Text != "" && len(words) == 0 && strings.TrimSpace(f.Text) != "" {
		out = append(out, q.weigh(clause{each: anyOf(nil), has: func(uint32) bool { return false }}))
	}
	for _, w := range words {
		out = append(out, q.beginning(w))
	}
	if f.Archived != nil {
		want := *f.Archived
		out = append(out, q.weigh(clause{
			facet: FacetArchived, each: anyOf([]*set{&q.archived}), not: !want,
			has: func(n uint32) bool { return q.heads[n].archived == want },
		}))
	}
	return out, nil
}

func (f *Filter) check() error {
	if n := len(f.Relations) + len(f.Attributes); n > MaxFilters {
		return graph.Errorf(graph.Invalid, "%d filters; the limit is %d", n, MaxFilters)
	}
	for kind, refs := range f.Relations {
		if len(refs) > MaxValues {
			return graph.Errorf(graph.Invalid, "%d values of %s; the limit is %d", len(refs), kind, MaxValues)
		}
	}
	for name, values := range f.Attributes {
		if len(values) > MaxValues {
			return graph.Errorf(graph.Invalid, "%d values of %q; the limit is %d", len(values), cut(name, maxAttrName), MaxValues)
		}
	}
	return nil
}

// anyOf yields sets in a slice.
func anyOf(sets []*set) func(func(*set) bool) {
	return func(yield func(*set) bool) {
		for _, s := range sets {
			if !yield(s) {
				return
			}
		}
	}
}

// belonging is the condition on type and organization.
func (q *question) belonging(t graph.Type, org graph.Ref) (clause, error) {
	first, last := 1, len(docTypes)-1
	if t != "" {
		first = typeNumber(t)
		if last = first; first < 1 {
			return clause{}, graph.Errorf(graph.Invalid, "%q is no type of the catalog", cut(string(t), graph.MaxType))
		}
	}
	if org.IsZero() {
		var sets []*set
		for i := first; i <= last; i++ {
			sets = append(sets, &q.byType[i])
		}
		return q.weigh(clause{each: anyOf(sets), has: func(n uint32) bool {
			i := q.typeOf(n)
			return first <= i && i <= last
		}}), nil
	}
	if org.Type != identity.Organization {
		return clause{}, graph.Errorf(graph.Invalid, "%s is no organization", org)
	}
	var sets []*set
	number := q.orgs.numbers[org.ID]
	if number != 0 {
		for i := first; i <= last; i++ {
			sets = append(sets, &q.orgs.list[number].byType[i])
		}
	}
	return q.weigh(clause{each: anyOf(sets), has: func(n uint32) bool {
		i := q.typeOf(n)
		return first <= i && i <= last && number != 0 && q.heads[n].org == number
	}}), nil
}

// relating is the condition of a relation to one of the nodes.
func (q *question) relating(rs []relation, refs []graph.Ref) clause {
	var sets []*set
	var wanted []uint32
	for _, ref := range refs {
		n := q.number(ref)
		for _, r := range rs {
			if n == 0 {
				continue
			}
			if in := q.incomingOf(n, r); in != nil {
				sets, wanted = append(sets, in), append(wanted, cellOf(r, n))
			}
		}
	}
	slices.Sort(wanted)
	return q.weigh(clause{facet: relations[rs[len(rs)-1]].facet, each: anyOf(sets), has: func(n uint32) bool {
		return meets(q.outOf(n), wanted)
	}})
}

// meets tells whether one of the cells is wanted.
func meets(have, wanted []uint32) bool {
	if len(wanted) == 1 {
		return slices.Contains(have, wanted[0])
	}
	for _, c := range have {
		if _, ok := slices.BinarySearch(wanted, c); ok {
			return true
		}
	}
	return false
}

// attribute is the condition of an attribute having one of the values.
func (q *question) attribute(name string, values []string) clause {
	var sets []*set
	var wanted []uint32
	if field, ok := q.terms.fields[name]; ok {
		for _, v := range values {
			if t, ok := q.terms.find(field, v); ok {
				sets, wanted = append(sets, &q.terms.list[t].docs), append(wanted, t)
			}
		}
	}
	slices.Sort(wanted)
	return q.weigh(clause{facet: FacetAttribute + name, each: anyOf(sets), has: func(n uint32) bool {
		return meets(q.attrsOf(n), wanted)
	}})
}

// beginning is the condition of a word that begins so.
func (q *question) beginning(word string) clause {
	return q.weigh(clause{
		each: func(yield func(*set) bool) {
			q.terms.starting(0, word, func(t uint32) bool { return yield(&q.terms.list[t].docs) })
		},
		has: func(n uint32) bool {
			return slices.ContainsFunc(q.wordsOf(n), func(t uint32) bool { return strings.HasPrefix(q.terms.list[t].text, word) })
		},
	})
}

// found is the documents that pass: a list without repeats in no order if
// they are few, else bits.
type found struct {
	list []uint32
	bits bitset
	n    int
}

// match finds what passes all conditions but those of the facet's own filter.
func (q *question) match(clauses []clause, but string) found {
	base := -1
	for i := range clauses {
		c := &clauses[i]
		if !c.not && (c.facet == "" || c.facet != but) && (base < 0 || c.size < clauses[base].size) {
			base = i
		}
	}
	passes := func(n uint32) bool {
		for i := range clauses {
			if c := &clauses[i]; i != base && (c.facet == "" || c.facet != but) && !c.has(n) {
				return false
			}
		}
		return true
	}
	size := clauses[base].size
	if size > 64 && !q.scope.all && q.listScope(min(size, q.many())) && len(q.scope.list) < size {
		base = -1
		return q.among(q.scope.list, passes)
	}
	if size <= q.many() {
		return q.among(q.union(&clauses[base], size), func(n uint32) bool { return passes(n) && q.readable(n) })
	}
	return q.overlap(clauses, but)
}

func (q *question) among(list []uint32, passes func(n uint32) bool) found {
	var f found
	for _, n := range list {
		if passes(n) {
			f.list = append(f.list, n)
		}
	}
	f.n = len(f.list)
	return f
}

// union lists the documents in the clause's sets, without repeats.
func (q *question) union(c *clause, size int) []uint32 {
	list, sets := make([]uint32, 0, size), 0
	c.each(func(s *set) bool {
		sets++
		return s.each(func(n uint32) bool { list = append(list, n); return true })
	})
	if sets > 1 {
		marks := q.marksFor(len(q.docs))
		once := list[:0]
		for _, n := range list {
			if !marks.has(n) {
				marks.set(n)
				once = append(once, n)
			}
		}
		list = once
		for _, n := range list {
			marks.unset(n)
		}
	}
	return list
}

// overlap matches with bits.
func (q *question) overlap(clauses []clause, but string) found {
	bits, one, tmp := q.take(len(q.docs)), q.take(len(q.docs)), q.take(len(q.docs))
	first := true
	apply := func(c *clause) {
		to := one
		if first {
			to = bits
		}
		clear(to)
		c.each(func(s *set) bool { s.fill(to, tmp); return true })
		switch {
		case first:
			first = false
		case c.not:
			bits.andNot(one)
		default:
			bits.and(one)
		}
	}
	for _, not := range [...]bool{false, true} {
		for i := range clauses {
			if c := &clauses[i]; c.not == not && (c.facet == "" || c.facet != but) {
				apply(c)
			}
		}
	}
	if !q.scope.all {
		bits.and(q.mapScope())
	}
	return found{bits: bits, n: bits.count()}
}
