package catalog

import "slices"

// order keeps numbers sorted by something that is found by the number, in
// blocks, so that an insertion moves little.
type order struct{ blocks [][]uint32 }

const blockMax = 512

// place is where in an order something is.
type place struct{ block, at int }

// seek returns the place of the first number for which before is false;
// before must be true of all numbers up to some place, and false from there.
func (o *order) seek(before func(n uint32) bool) place {
	lo, hi := 0, len(o.blocks)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if b := o.blocks[mid]; before(b[len(b)-1]) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(o.blocks) {
		return place{lo, 0}
	}
	b, l, h := o.blocks[lo], 0, len(o.blocks[lo])
	for l < h {
		mid := int(uint(l+h) >> 1)
		if before(b[mid]) {
			l = mid + 1
		} else {
			h = mid
		}
	}
	return place{lo, l}
}

// insert puts n at the place that seek found for it.
func (o *order) insert(n uint32, p place) {
	if p.block == len(o.blocks) {
		if len(o.blocks) == 0 {
			o.blocks = append(o.blocks, make([]uint32, 0, 8))
		}
		p.block = len(o.blocks) - 1
		p.at = len(o.blocks[p.block])
	}
	b := slices.Insert(o.blocks[p.block], p.at, n)
	o.blocks[p.block] = b
	if len(b) < blockMax {
		return
	}
	half := len(b) / 2
	o.blocks[p.block] = slices.Clone(b[:half])
	o.blocks = slices.Insert(o.blocks, p.block+1, slices.Clone(b[half:]))
}

// remove takes away what is at the place. Blocks that have become small join
// the next.
func (o *order) remove(p place) {
	b := slices.Delete(o.blocks[p.block], p.at, p.at+1)
	o.blocks[p.block] = b
	switch next := p.block + 1; {
	case len(b) == 0:
		o.blocks = slices.Delete(o.blocks, p.block, next)
	case len(b) < blockMax/8 && next < len(o.blocks) && len(o.blocks[next]) < blockMax/2:
		o.blocks[p.block] = append(b, o.blocks[next]...)
		o.blocks = slices.Delete(o.blocks, next, next+1)
	}
}

// load makes the order of numbers that are sorted already.
func (o *order) load(sorted []uint32) {
	o.blocks = nil
	for b := range slices.Chunk(sorted, blockMax*3/4) {
		o.blocks = append(o.blocks, slices.Clone(b))
	}
}

// up calls yield for each number from the place on.
func (o *order) up(p place, yield func(n uint32) bool) {
	for ; p.block < len(o.blocks); p = (place{p.block + 1, 0}) {
		for _, n := range o.blocks[p.block][p.at:] {
			if !yield(n) {
				return
			}
		}
	}
}

// down calls yield for each number before the place, the nearest first.
func (o *order) down(p place, yield func(n uint32) bool) {
	if p.block == len(o.blocks) {
		if p.block--; p.block < 0 {
			return
		}
		p.at = len(o.blocks[p.block])
	}
	for {
		b := o.blocks[p.block][:p.at]
		for i := len(b) - 1; i >= 0; i-- {
			if !yield(b[i]) {
				return
			}
		}
		if p.block--; p.block < 0 {
			return
		}
		p.at = len(o.blocks[p.block])
	}
}
