package permission

import "unsafe"

// names finds nodes by the hash of their ref: an open-addressing hash table
// cut into pages that split one at a time (extendible hashing), so that
// adding a name copies one page and never the whole. A slot holds the upper
// half of the hash and the node's number; pages and slots are chosen by that
// half, so a page splits without looking at the names.
//
// Like every part of a View it stays as it was for older copies, which is why
// a deleted node's number can be given to another at once.
type names struct {
	dir   []*pages
	depth uint8
	edit  uint64
}

const (
	pageBits  = 8
	pageLen   = 1 << pageBits
	pageFull  = pageLen * 3 / 4
	pagesBits = 8
	pagesLen  = 1 << pagesBits
)

type pages struct {
	page [pagesLen]*page
	edit uint64
}

type page struct {
	slots [pageLen]slot
	edit  uint64
	n     uint16
	depth uint8
}

// slot keeps the address of the id too, so that comparing it need not wait
// for the node's record to arrive from memory.
type slot struct {
	mark uint64 // the hash's upper half, then the node's number; 0 is free
	id   *byte
}

func newNames(edit uint64) names {
	n := names{dir: []*pages{{edit: edit}}, edit: edit}
	n.dir[0].page[0] = &page{edit: edit}
	return n
}

func (n *names) index(fp uint32) uint32 { return uint32(uint64(fp) >> (32 - n.depth)) }

func (n *names) page(fp uint32) *page {
	i := n.index(fp)
	return n.dir[i>>pagesBits].page[i&(pagesLen-1)]
}

// own makes the directory writable in this edit.
func (n *names) own(edit uint64) {
	if n.edit != edit {
		n.dir = append([]*pages(nil), n.dir...)
		n.edit = edit
	}
}

func (n *names) set(i uint32, p *page, edit uint64) {
	d := n.dir[i>>pagesBits]
	if d.edit != edit {
		c := *d
		c.edit = edit
		d = &c
		n.dir[i>>pagesBits] = d
	}
	d.page[i&(pagesLen-1)] = p
}

// replace puts p wherever the directory leads hashes like fp to, given that
// p's depth is not above that of the page it takes the place of.
func (n *names) replace(fp uint32, p *page, edit uint64) {
	first := uint32(uint64(fp)>>(32-p.depth)) << (n.depth - p.depth)
	for i := range uint32(1) << (n.depth - p.depth) {
		n.set(first+i, p, edit)
	}
}

func (n *names) writable(fp uint32, edit uint64) *page {
	n.own(edit)
	p := n.page(fp)
	if p.edit != edit {
		c := *p
		c.edit = edit
		p = &c
		n.replace(fp, p, edit)
	}
	return p
}

func (n *names) add(fp, id uint32, name string, edit uint64) {
	p := n.writable(fp, edit)
	for p.n >= pageFull {
		n.split(fp, p, edit)
		p = n.page(fp)
	}
	p.put(slot{uint64(fp)<<32 | uint64(id), unsafe.StringData(name)})
}

func (p *page) put(s slot) {
	i := uint32(s.mark>>32) & (pageLen - 1)
	for p.slots[i].mark != 0 {
		i = (i + 1) & (pageLen - 1)
	}
	p.slots[i] = s
	p.n++
}

func (n *names) split(fp uint32, p *page, edit uint64) {
	if p.depth == n.depth {
		n.double(edit)
	}
	halves := [2]*page{{edit: edit, depth: p.depth + 1}, {edit: edit, depth: p.depth + 1}}
	for _, s := range &p.slots {
		if s.mark != 0 {
			halves[s.mark>>(63-p.depth)&1].put(s)
		}
	}
	// Both halves are reached by the hashes that led to p, told apart by one bit.
	bit := uint32(1) << (31 - p.depth)
	n.replace(fp&^bit, halves[0], edit)
	n.replace(fp|bit, halves[1], edit)
}

func (n *names) double(edit uint64) {
	old := *n
	size := uint32(1) << (old.depth + 1)
	n.depth++
	n.dir = make([]*pages, (size+pagesLen-1)/pagesLen)
	for i := range n.dir {
		n.dir[i] = &pages{edit: edit}
	}
	for i := range size {
		o := i >> 1
		n.dir[i>>pagesBits].page[i&(pagesLen-1)] = old.dir[o>>pagesBits].page[o&(pagesLen-1)]
	}
}

func (n *names) remove(fp, id uint32, edit uint64) {
	p := n.writable(fp, edit)
	i := fp & (pageLen - 1)
	for p.slots[i].mark != uint64(fp)<<32|uint64(id) {
		if p.slots[i].mark == 0 {
			return
		}
		i = (i + 1) & (pageLen - 1)
	}
	p.n--
	// Move up whatever the gap would hide.
	for j := (i + 1) & (pageLen - 1); p.slots[j].mark != 0; j = (j + 1) & (pageLen - 1) {
		home := uint32(p.slots[j].mark>>32) & (pageLen - 1)
		if (j-home)&(pageLen-1) >= (j-i)&(pageLen-1) {
			p.slots[i] = p.slots[j]
			i = j
		}
	}
	p.slots[i] = slot{}
}
