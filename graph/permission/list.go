package permission

import (
	"math/bits"
	"slices"
	"unsafe"
)

// An entry is one end of an edge as the other end keeps it: the node it leads
// to in the upper half, what the edge says (see attr) in the lower.
type entry = uint64

func entryOf(node, attr uint32) entry { return uint64(node)<<32 | uint64(attr) }
func nodeOf(e entry) uint32           { return uint32(e >> 32) }
func attrOf(e entry) uint32           { return uint32(e) }

// list is a bag of entries in 16 bytes: a packed array while it is short, a
// trie beyond shortMax. A copy of a list stays what it was: adding writes only
// behind the end that copies know, removing copies.
type list struct {
	p unsafe.Pointer // *entry, or *trie if c is isTrie
	n uint32         // entries of the array
	c uint32         // room in the array
}

const (
	// shortMax is where scanning starts to cost more than a lookup by hash.
	shortMax = 64
	isTrie   = ^uint32(0)
)

// packed makes a list of an array that the list owns from then on.
func packed(s []entry) list {
	if len(s) == 0 {
		return list{}
	}
	return list{p: unsafe.Pointer(unsafe.SliceData(s)), n: uint32(len(s)), c: uint32(len(s))}
}

// short returns the entries of a list that is no trie.
func (l list) short() []entry { return unsafe.Slice((*entry)(l.p), l.n) }

// trie returns the trie of a list that has become one, else nil.
func (l list) trie() *trie {
	if l.c != isTrie {
		return nil
	}
	return (*trie)(l.p)
}

func (l list) len() int {
	if t := l.trie(); t != nil {
		return t.n
	}
	return int(l.n)
}

// each calls yield with every entry until it returns false.
func (l list) each(yield func(entry) bool) {
	if t := l.trie(); t != nil {
		t.root.each(yield)
		return
	}
	for _, e := range l.short() {
		if !yield(e) {
			return
		}
	}
}

func (l *list) add(e entry, edit uint64) {
	if t := l.trie(); t != nil {
		l.p = unsafe.Pointer(t.add(e, edit))
		return
	}
	if l.n < l.c {
		*(*entry)(unsafe.Add(l.p, uintptr(l.n)*8)) = e
		l.n++
		return
	}
	if l.n >= shortMax {
		t := newTrie(l.short(), edit)
		*l = list{p: unsafe.Pointer(t.add(e, edit)), c: isTrie}
		return
	}
	room := max(2, int(l.n)+int(l.n)/2)
	s := append(append(make([]entry, 0, room), l.short()...), e)
	*l = list{p: unsafe.Pointer(unsafe.SliceData(s)), n: uint32(len(s)), c: uint32(cap(s))}
}

// remove takes one such entry out and tells whether there was one.
func (l *list) remove(e entry, edit uint64) bool {
	if t := l.trie(); t != nil {
		t, ok := t.remove(e, edit)
		if !ok {
			return false
		}
		l.p = unsafe.Pointer(t)
		if t.n <= shortMax/2 {
			s := make([]entry, 0, t.n)
			t.root.each(func(e entry) bool { s = append(s, e); return true })
			*l = packed(s)
		}
		return true
	}
	s := l.short()
	i := slices.Index(s, e)
	if i < 0 {
		return false
	}
	*l = packed(append(append(make([]entry, 0, len(s)-1), s[:i]...), s[i+1:]...))
	return true
}

// sets is the list of the sets a node is a direct member of, followed by every
// other set that those lead to; see state.closed.
type sets struct {
	p      unsafe.Pointer
	direct uint32
	total  uint32
}

func setsOf(all []entry, direct int) sets {
	if len(all) == 0 {
		return sets{}
	}
	return sets{unsafe.Pointer(unsafe.SliceData(all)), uint32(direct), uint32(len(all))}
}

// near returns the direct memberships.
func (s sets) near() []entry { return unsafe.Slice((*entry)(s.p), s.direct) }

// all returns the closure. Its expiries are those of the widest path: the
// path that holds longest.
func (s sets) all() []entry { return unsafe.Slice((*entry)(s.p), s.total) }

// trie is a persistent hash trie from node to attr, several per node allowed.
type trie struct {
	root *branch
	n    int
	sift *sift // only where nodes are looked up that are mostly not there
}

const (
	twigBits  = 4
	twigCount = 1 << twigBits
	leafMax   = 24
	trieDepth = 32 / twigBits
)

type branch struct {
	twigs [twigCount]twig
	edit  uint64
}

// twig is a leaf, an array of entries like a short list, or a further branch.
type twig struct {
	p unsafe.Pointer // *entry, or *branch if c is isTrie
	n uint32
	c uint32
}

func (w *twig) kids() *branch {
	if w.c != isTrie {
		return nil
	}
	return (*branch)(w.p)
}

func (w *twig) leaf() []entry { return unsafe.Slice((*entry)(w.p), w.n) }

func (w *twig) grow(b *branch) { *w = twig{p: unsafe.Pointer(b), c: isTrie} }

func (w *twig) set(leaf []entry) {
	*w = twig{p: unsafe.Pointer(unsafe.SliceData(leaf)), n: uint32(len(leaf)), c: uint32(cap(leaf))}
}

// spread is a bijection, so that two nodes always part somewhere below.
func spread(node uint32) uint32 {
	node ^= node >> 16
	node *= 0x7feb352d
	node ^= node >> 15
	node *= 0x846ca68b
	return node ^ node>>16
}

func newTrie(s []entry, edit uint64) *trie {
	t := &trie{root: &branch{edit: edit}}
	for _, e := range s {
		t.root.add(e, spread(nodeOf(e)), 0, edit)
	}
	t.n = len(s)
	return t
}

// find returns the leaf that holds the node's entries, among others.
func (t *trie) find(node uint32) []entry {
	h := spread(node)
	w := &t.root.twigs[h&(twigCount-1)]
	for b := w.kids(); b != nil; b = w.kids() {
		h >>= twigBits
		w = &b.twigs[h&(twigCount-1)]
	}
	return w.leaf()
}

func (t *trie) add(e entry, edit uint64) *trie {
	root := t.root.own(edit)
	root.add(e, spread(nodeOf(e)), 0, edit)
	return &trie{root, t.n + 1, t.sift}
}

func (t *trie) remove(e entry, edit uint64) (*trie, bool) {
	if !slices.Contains(t.find(nodeOf(e)), e) {
		return t, false
	}
	root := t.root.own(edit)
	root.remove(e, spread(nodeOf(e)), edit)
	return &trie{root, t.n - 1, t.sift}, true
}

// sift is a filter beside a trie: a bit for each node in it, eight to sixteen
// times as many bits as nodes. Bits of nodes that left stay until it is made anew.
type sift struct {
	bits  []uint64
	shift uint8 // of the hash, to a bit's number
	edit  uint64
}

func (f *sift) has(node uint32) bool {
	h := node * 0x9e3779b1 >> f.shift
	return f.bits[h>>6]&(1<<(h&63)) != 0
}

func (f *sift) set(node uint32) {
	h := node * 0x9e3779b1 >> f.shift
	f.bits[h>>6] |= 1 << (h & 63)
}

// addGrant is add for the grants on a node, with a sift if they are many.
func (l *list) addGrant(e entry, edit uint64) {
	l.add(e, edit)
	t := l.trie()
	if t == nil {
		return
	}
	switch {
	case t.sift == nil || t.n*8 > len(t.sift.bits)*64:
		t.sift = newSift(t, edit)
	case t.sift.edit != edit:
		t.sift = &sift{slices.Clone(t.sift.bits), t.sift.shift, edit}
	}
	t.sift.set(nodeOf(e))
}

// newSift makes a filter of what is in the trie, with room to double.
func newSift(t *trie, edit uint64) *sift {
	log := min(max(10, bits.Len(uint(t.n))+4), 31)
	f := &sift{make([]uint64, 1<<(log-6)), uint8(32 - log), edit}
	t.root.each(func(e entry) bool { f.set(nodeOf(e)); return true })
	return f
}

func (b *branch) own(edit uint64) *branch {
	if b.edit == edit {
		return b
	}
	c := *b
	c.edit = edit
	return &c
}

func (b *branch) add(e entry, h uint32, depth int, edit uint64) {
	w := &b.twigs[h&(twigCount-1)]
	if k := w.kids(); k != nil {
		k = k.own(edit)
		w.grow(k)
		k.add(e, h>>twigBits, depth+1, edit)
		return
	}
	switch {
	case w.n < w.c:
		*(*entry)(unsafe.Add(w.p, uintptr(w.n)*8)) = e
		w.n++
	case w.n < leafMax || depth == trieDepth-1:
		w.set(append(append(make([]entry, 0, w.n+w.n/2+2), w.leaf()...), e))
	default:
		kids := &branch{edit: edit}
		for _, old := range w.leaf() {
			kids.add(old, spread(nodeOf(old))>>((depth+1)*twigBits), depth+1, edit)
		}
		kids.add(e, h>>twigBits, depth+1, edit)
		w.grow(kids)
	}
}

func (b *branch) remove(e entry, h uint32, edit uint64) {
	w := &b.twigs[h&(twigCount-1)]
	if k := w.kids(); k != nil {
		k = k.own(edit)
		w.grow(k)
		k.remove(e, h>>twigBits, edit)
		return
	}
	leaf := w.leaf()
	i := slices.Index(leaf, e)
	w.set(append(append(make([]entry, 0, len(leaf)), leaf[:i]...), leaf[i+1:]...))
}

func (b *branch) each(yield func(entry) bool) bool {
	for i := range b.twigs {
		w := &b.twigs[i]
		if k := w.kids(); k != nil {
			if !k.each(yield) {
				return false
			}
			continue
		}
		for _, e := range w.leaf() {
			if !yield(e) {
				return false
			}
		}
	}
	return true
}

// longList returns an empty list that is a trie already.
func longList(edit uint64) list {
	return list{p: unsafe.Pointer(newTrie(nil, edit)), c: isTrie}
}

func bytesAsString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
