package catalog

import (
	"cmp"
	"strings"
)

// terms holds the words that documents have and the values of their
// attributes, each with the documents that have it, in order: so a prefix of
// words is a stretch of them, and so are the values of an attribute.
type terms struct {
	list   []term
	keys   []uint64 // of each term: orders most of them by itself
	free   []uint32
	sorted order

	fields map[string]uint32 // attribute names to numbers above 0
	names  []fieldName
	unused []uint32
}

type term struct {
	text  string
	field uint32 // 0 for words
	docs  set
}

type fieldName struct {
	name  string
	terms int
}

func newTerms() terms {
	return terms{fields: map[string]uint32{}, names: make([]fieldName, 1)}
}

// termKey is such that a term with a smaller key comes before.
func termKey(field uint32, text string) uint64 {
	const most = 1<<16 - 1
	if field >= most {
		return most << 48
	}
	return uint64(field)<<48 | prefix(text)>>16
}

// prefix is the first eight bytes, in an order like that of texts.
func prefix(s string) (k uint64) {
	for i := range 8 {
		k <<= 8
		if i < len(s) {
			k |= uint64(s[i])
		}
	}
	return k
}

// seek returns the place of the first term that is not before this.
func (t *terms) seek(field uint32, text string) place {
	key := termKey(field, text)
	return t.sorted.seek(func(n uint32) bool {
		if k := t.keys[n]; k != key {
			return k < key
		}
		e := &t.list[n]
		return cmp.Or(cmp.Compare(e.field, field), strings.Compare(e.text, text)) < 0
	})
}

// at returns the term there is at the place, if it is this one.
func (t *terms) at(p place, field uint32, text string) (uint32, bool) {
	if p.block == len(t.sorted.blocks) {
		return 0, false
	}
	n := t.sorted.blocks[p.block][p.at]
	e := &t.list[n]
	return n, e.field == field && e.text == text
}

// find returns the number of a term that there is.
func (t *terms) find(field uint32, text string) (uint32, bool) {
	return t.at(t.seek(field, text), field, text)
}

// give adds the document to the term, which is made if there is none.
func (t *terms) give(field uint32, text string, doc uint32) uint32 {
	p := t.seek(field, text)
	n, ok := t.at(p, field, text)
	if !ok {
		e := term{text: strings.Clone(text), field: field}
		if last := len(t.free) - 1; last >= 0 {
			n, t.free = t.free[last], t.free[:last]
			t.list[n] = e
		} else {
			n = uint32(len(t.list))
			t.list, t.keys = append(t.list, e), append(t.keys, 0)
		}
		t.keys[n] = termKey(field, text)
		t.sorted.insert(n, p)
		t.names[field].terms++
	}
	t.list[n].docs.add(doc)
	return n
}

// take removes the document from the term, and the term if that was all.
func (t *terms) take(n, doc uint32) {
	e := &t.list[n]
	e.docs.remove(doc)
	if e.docs.size() > 0 {
		return
	}
	t.sorted.remove(t.seek(e.field, e.text))
	f := &t.names[e.field]
	if f.terms--; f.terms == 0 && e.field != 0 {
		delete(t.fields, f.name)
		f.name = ""
		t.unused = append(t.unused, e.field)
	}
	*e = term{}
	t.free = append(t.free, n)
}

// field returns the number of an attribute's name, which is made if there is none.
// A term of it must be made next.
func (t *terms) field(name string) uint32 {
	if f, ok := t.fields[name]; ok {
		return f
	}
	f := uint32(len(t.names))
	if last := len(t.unused) - 1; last >= 0 {
		f, t.unused = t.unused[last], t.unused[:last]
	} else {
		t.names = append(t.names, fieldName{})
	}
	name = strings.Clone(name)
	t.names[f].name = name
	t.fields[name] = f
	return f
}

// starting calls yield for the terms of the field that start with the text.
func (t *terms) starting(field uint32, text string, yield func(n uint32) bool) {
	t.sorted.up(t.seek(field, text), func(n uint32) bool {
		e := &t.list[n]
		return e.field == field && strings.HasPrefix(e.text, text) && yield(n)
	})
}
