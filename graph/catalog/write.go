package catalog

import (
	"encoding/json"
	"slices"
	"strings"

	"trellis/graph"
)

// put makes or changes a document.
func (s *state) put(c *content) {
	t := typeNumber(c.ref.Type)
	n := s.numbers[t][c.ref.ID]
	if n == 0 {
		n = s.make(t)
	}
	s.describe(n, c)
	if t == placeType {
		return
	}
	h := &s.heads[n]
	if h.archived = c.archived; c.archived {
		s.archived.add(n)
	} else {
		s.archived.remove(n)
	}
	if was := h.org; was == 0 || s.orgs.list[was].id != c.organization {
		h.org = 0
		if c.organization != "" {
			h.org = s.orgs.give(c.organization, t, n)
		}
		if was != 0 {
			s.orgs.take(was, t, n)
		}
	}
	s.term(n, c)
}

// make finds a number for a new document of the type.
func (s *state) make(t int) (n uint32) {
	if last := len(s.free) - 1; last >= 0 {
		n, s.free = s.free[last], s.free[:last]
	} else {
		n = s.grow()
	}
	s.heads[n].typ = uint8(t)
	if t != placeType {
		s.byType[t].add(n)
	}
	return n
}

// describe sets the texts and times of a document, and keeps it where it
// belongs in every order.
func (s *state) describe(n uint32, c *content) {
	d := &s.docs[n]
	keys := [len(sorts)]uint64{byName: prefix(c.fold), bySlug: prefix(c.slug), byCreated: timeKey(c.created), byUpdated: timeKey(c.updated)}
	isNew := d.id == ""
	renamed, slugged := d.fold != c.fold, d.slug != c.slug
	moves := [len(sorts)]bool{byName: renamed || slugged, bySlug: slugged, byCreated: s.keys[byCreated][n] != keys[byCreated], byUpdated: s.keys[byUpdated][n] != keys[byUpdated]}
	sorted := !s.loading && s.heads[n].typ != placeType
	for by := range moves {
		if sorted && !isNew && moves[by] {
			s.unsort(by, n)
		}
	}
	if isNew || slugged || d.name != c.name {
		d.id, d.slug, d.name, d.fold = texts(c.ref.ID, c.slug, c.name, c.fold)
	}
	if isNew {
		s.numbers[s.heads[n].typ][d.id] = n
	}
	for by := range moves {
		s.keys[by][n] = keys[by]
		if sorted && (isNew || moves[by]) {
			k := s.sortKey(by, n)
			s.orders[by].insert(n, s.seek(by, &k))
		}
	}
}

// texts copies texts into one piece of memory.
func texts(id, slug, name, fold string) (string, string, string, string) {
	var t strings.Builder
	t.Grow(len(id) + len(slug) + len(name) + len(fold))
	t.WriteString(id)
	t.WriteString(slug)
	t.WriteString(name)
	if fold != name {
		t.WriteString(fold)
	}
	all := t.String()
	a, b, c := len(id), len(id)+len(slug), len(id)+len(slug)+len(name)
	i, l, m, f := all[:a], all[a:b], all[b:c], all[c:]
	if fold == name {
		f = m
	}
	return i, l, m, f
}

// seek returns the place in an order of the first document that is not before the key.
func (s *state) seek(by int, k *sortKey) place {
	return s.orders[by].seek(func(n uint32) bool { return s.compareTo(by, n, k) < 0 })
}

func (s *state) unsort(by int, n uint32) {
	k := s.sortKey(by, n)
	s.orders[by].remove(s.seek(by, &k))
}

// term brings the attributes and words of a document up to date.
func (s *state) term(n uint32, c *content) {
	attrs, words := make([]uint32, 0, len(c.attributes)), make([]uint32, 0, len(c.words))
	for _, a := range c.attributes {
		attrs = append(attrs, s.terms.give(s.terms.field(a.name), a.value, n))
	}
	for _, w := range c.words {
		words = append(words, s.terms.give(0, w, n))
	}
	s.forget(s.attrsOf(n), attrs, n)
	s.forget(s.wordsOf(n), words, n)
	s.setTerms(n, attrs, words)
}

// forget takes the document away from terms that it no longer has.
func (s *state) forget(had, has []uint32, n uint32) {
	for _, t := range had {
		if !slices.Contains(has, t) {
			s.terms.take(t, n)
		}
	}
}

// remove removes a document and all its relations.
func (s *state) remove(r graph.Ref) {
	n := s.number(r)
	if n == 0 {
		return
	}
	for _, c := range slices.Clone(s.outOf(n)) {
		s.unlink(n, cellTarget(c), cellRelation(c))
	}
	for len(s.docs[n].in) > 0 {
		in := &s.docs[n].in[0]
		var first uint32
		in.docs.each(func(m uint32) bool { first = m; return false })
		s.unlink(first, n, in.relation)
	}
	h, t := &s.heads[n], s.typeOf(n)
	if t != placeType {
		s.forget(s.attrsOf(n), nil, n)
		s.forget(s.wordsOf(n), nil, n)
		if h.org != 0 {
			s.orgs.take(h.org, t, n)
		}
		s.archived.remove(n)
		s.byType[t].remove(n)
		for by := range s.orders {
			if !s.loading {
				s.unsort(by, n)
			}
		}
	}
	delete(s.numbers[t], s.docs[n].id)
	s.docs[n] = document{}
	s.drop(n)
	s.free = append(s.free, n)
}

// link relates two documents, or gives their relation other properties.
func (s *state) link(from, to uint32, r relation, props string) {
	cell := cellOf(r, to)
	if s.addCell(from, cell) {
		in := s.incomingOf(to, r)
		if in == nil {
			d := &s.docs[to]
			d.in = append(d.in, incoming{relation: r})
			in = &d.in[len(d.in)-1].docs
		}
		in.add(from)
		if c := relations[r].column; c >= 0 {
			s.pointed[c][to]++
		}
		if r <= owner {
			s.heads[to].hasChildren = true
		}
	}
	s.setProps(from, cell, props)
}

// unlink takes a relation away.
func (s *state) unlink(from, to uint32, r relation) {
	cell := cellOf(r, to)
	if !s.removeCell(from, cell) {
		return
	}
	s.setProps(from, cell, "")
	in := s.incomingOf(to, r)
	in.remove(from)
	if c := relations[r].column; c >= 0 {
		s.pointed[c][to]--
	}
	if in.size() > 0 {
		return
	}
	d := &s.docs[to]
	d.in = slices.DeleteFunc(d.in, func(i incoming) bool { return i.relation == r })
	s.heads[to].hasChildren = slices.ContainsFunc(d.in, func(i incoming) bool { return i.relation <= owner })
}

func (s *state) setProps(n, cell uint32, text string) {
	d := &s.docs[n]
	i := slices.IndexFunc(d.props, func(p edgeProps) bool { return p.cell == cell })
	switch {
	case i >= 0 && text == "":
		d.props = slices.Delete(d.props, i, i+1)
	case i >= 0:
		d.props[i].text = text
	case text != "":
		d.props = append(d.props, edgeProps{cell, text})
	}
}

// propsText is the properties of a relation as they are kept.
func propsText(p graph.Props) string {
	if len(p) == 0 {
		return ""
	}
	b, err := json.Marshal(p)
	if err != nil {
		return "" // properties are normal, so this cannot be
	}
	return string(b)
}
