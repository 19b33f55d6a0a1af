package catalog

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// state is everything that answers are worked out from. Documents have
// numbers from 1 on, which are used again; what is read of many documents at
// once is in slices by number, apart from the rest.
type state struct {
	revision graph.Revision
	numbers  [len(docTypes)]map[string]uint32
	docs     []document
	heads    []head
	keys     [len(sorts)][]uint64
	pointed  [columns][]uint32 // how often a document is led to; see relations
	free     []uint32
	cells    cells

	byType   [len(docTypes)]set
	archived set
	orgs     orgs
	terms    terms
	orders   [len(sorts)]order
	loading  bool // the orders are made at the end
}

// document is what is read of single documents.
type document struct {
	id, slug, name, fold string
	in                   []incoming
	props                []edgeProps
}

// incoming is the documents that lead to this one by a relation.
type incoming struct {
	relation relation
	docs     set
}

// edgeProps are the properties of one outgoing relation, as JSON.
type edgeProps struct {
	cell uint32
	text string
}

// head is what is read of many documents: where in cells its lists are, how
// long they are, and to what it belongs.
type head struct {
	at, room    uint32
	out         uint32 // its relations come first, sorted,
	attrs       uint16 // then the terms of its attributes,
	words       uint16 // then its words
	org         uint32
	typ         uint8
	archived    bool
	hasChildren bool
}

// A cell of a relation has the relation in its upper bits and the number of
// the document it leads to in the others.
const relationShift = 28

func cellOf(r relation, n uint32) uint32 { return uint32(r)<<relationShift | n }
func cellRelation(c uint32) relation     { return relation(c >> relationShift) }
func cellTarget(c uint32) uint32         { return c & (1<<relationShift - 1) }
func (s *state) outOf(n uint32) []uint32 { h := &s.heads[n]; return s.cells.list[h.at : h.at+h.out] }
func (s *state) typeOf(n uint32) int     { return int(s.heads[n].typ) }
func (s *state) refOf(n uint32) graph.Ref {
	return graph.Ref{Type: docTypes[s.typeOf(n)], ID: s.docs[n].id}
}

func (s *state) attrsOf(n uint32) []uint32 {
	h := &s.heads[n]
	at := h.at + h.out
	return s.cells.list[at : at+uint32(h.attrs)]
}

func (s *state) wordsOf(n uint32) []uint32 {
	h := &s.heads[n]
	at := h.at + h.out + uint32(h.attrs)
	return s.cells.list[at : at+uint32(h.words)]
}

// parentsOf returns the cells of a document's parents.
func (s *state) parentsOf(n uint32) []uint32 {
	out := s.outOf(n)
	for i, c := range out {
		if cellRelation(c) > owner {
			return out[:i]
		}
	}
	return out
}

func newState() *state {
	s := &state{terms: newTerms(), orgs: newOrgs()}
	for i := range s.numbers {
		s.numbers[i] = map[string]uint32{}
	}
	s.grow() // number 0 stands for none
	return s
}

func (s *state) grow() uint32 {
	n := uint32(len(s.docs))
	s.docs, s.heads = append(s.docs, document{}), append(s.heads, head{})
	for i := range s.keys {
		s.keys[i] = append(s.keys[i], 0)
	}
	for i := range s.pointed {
		s.pointed[i] = append(s.pointed[i], 0)
	}
	return n
}

// number finds a document; 0 if there is none.
func (s *state) number(r graph.Ref) uint32 {
	t := typeNumber(r.Type)
	if t < 0 {
		return 0
	}
	return s.numbers[t][r.ID]
}

// incomingOf returns the documents that lead to n by the relation; nil if none.
func (s *state) incomingOf(n uint32, r relation) *set {
	in := s.docs[n].in
	for i := range in {
		if in[i].relation == r {
			return &in[i].docs
		}
	}
	return nil
}

func (s *state) card(n uint32) Card {
	d := &s.docs[n]
	return Card{Ref: s.refOf(n), Slug: d.slug, Name: d.name}
}

func (s *state) document(n uint32) Document {
	h := &s.heads[n]
	d := Document{
		Card: s.card(n), Archived: h.archived,
		Created: time.UnixMilli(timeOf(s.keys[byCreated][n])).UTC(), Updated: time.UnixMilli(timeOf(s.keys[byUpdated][n])).UTC(),
	}
	if h.org != 0 {
		d.Organization = graph.Ref{Type: identity.Organization, ID: s.orgs.list[h.org].id}
	}
	return d
}

// The orders that documents are kept in.
const (
	byName = iota
	bySlug
	byCreated
	byUpdated
)

var sorts = [...]string{"name", "slug", "created", "updated"}

// timeKey makes a key of a time such that the earlier is the smaller.
func timeKey(ms int64) uint64 { return uint64(ms) ^ 1<<63 }
func timeOf(key uint64) int64 { return int64(key ^ 1<<63) }

// sortKey is all that a document is sorted by.
type sortKey struct {
	key        uint64 // of the order; most documents are told apart by it
	fold, slug string // as far as the order regards them
	ref        graph.Ref
}

func (s *state) sortKey(by int, n uint32) sortKey {
	k := sortKey{key: s.keys[by][n], ref: s.refOf(n)}
	if by == byName {
		k.fold = s.docs[n].fold
	}
	if by <= bySlug {
		k.slug = s.docs[n].slug
	}
	return k
}

// compareTo compares a document with a key of the same order.
func (s *state) compareTo(by int, n uint32, k *sortKey) int {
	if key := s.keys[by][n]; key != k.key {
		return cmp.Compare(key, k.key)
	}
	d := &s.docs[n]
	if by == byName {
		if c := strings.Compare(d.fold, k.fold); c != 0 {
			return c
		}
	}
	if by <= bySlug {
		if c := strings.Compare(d.slug, k.slug); c != 0 {
			return c
		}
	}
	return cmp.Or(strings.Compare(string(docTypes[s.typeOf(n)]), string(k.ref.Type)), strings.Compare(d.id, k.ref.ID))
}

// compare compares two documents.
func (s *state) compare(by int, a, b uint32) int {
	if x, y := s.keys[by][a], s.keys[by][b]; x != y {
		return cmp.Compare(x, y)
	}
	k := s.sortKey(by, b)
	return s.compareTo(by, a, &k)
}

// sortNumbers sorts documents, and leaves out repeats.
func (s *state) sortNumbers(by int, ns []uint32) []uint32 {
	slices.SortFunc(ns, func(a, b uint32) int { return s.compare(by, a, b) })
	return slices.Compact(ns)
}

// orgs are the organizations that documents belong to, whether there are
// documents of these or not.
type orgs struct {
	numbers map[string]uint32
	list    []org
	free    []uint32
}

type org struct {
	id     string
	docs   int
	byType [len(docTypes)]set
}

func newOrgs() orgs { return orgs{numbers: map[string]uint32{}, list: make([]org, 1)} }

// give adds a document of the type to the organization.
func (o *orgs) give(id string, typ int, doc uint32) uint32 {
	n, ok := o.numbers[id]
	if !ok {
		if last := len(o.free) - 1; last >= 0 {
			n, o.free = o.free[last], o.free[:last]
		} else {
			n = uint32(len(o.list))
			o.list = append(o.list, org{})
		}
		id = strings.Clone(id)
		o.list[n].id = id
		o.numbers[id] = n
	}
	o.list[n].docs++
	o.list[n].byType[typ].add(doc)
	return n
}

func (o *orgs) take(n uint32, typ int, doc uint32) {
	e := &o.list[n]
	e.byType[typ].remove(doc)
	if e.docs--; e.docs == 0 {
		delete(o.numbers, e.id)
		*e = org{}
		o.free = append(o.free, n)
	}
}
