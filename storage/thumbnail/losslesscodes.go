package thumbnail

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"slices"
)

// bitReader reads bits, the lowest of a byte first. Its first error stays, and
// all bits after it are zero.
type bitReader struct {
	r    *bufio.Reader
	bits uint64
	n    int // how many bits are there
	err  error
	// scratch is for the lengths of codes while they are read.
	scratch [256 + 24 + 2048]uint8
}

func (b *bitReader) fill() {
	for b.n <= 56 && b.err == nil {
		c, err := b.r.ReadByte()
		if err != nil {
			return // an error only for who needs more
		}
		b.bits |= uint64(c) << b.n
		b.n += 8
	}
}

// read reads n bits, at most 24.
func (b *bitReader) read(n int) uint32 {
	if b.n < n {
		b.fill()
	}
	v := uint32(b.bits & (1<<n - 1))
	b.drop(n)
	return v
}

func (b *bitReader) drop(n int) {
	if n > b.n {
		_, err := b.r.ReadByte()
		if b.err == nil {
			b.err = err
		}
		if b.err == nil || errors.Is(b.err, io.EOF) {
			b.err = io.ErrUnexpectedEOF
		}
		b.bits, b.n = 0, 0
		return
	}
	b.bits >>= n
	b.n -= n
}

// or returns why reading failed, or else the error.
func (b *bitReader) or(err error) error {
	if b.err != nil {
		return b.err
	}
	return err
}

// group is the codes of the parts of a pixel.
type group [5]code

const (
	green = iota // or a length, or a colour of the cache
	red
	blue
	alpha
	distance
)

const (
	// maxGroups is how many the widespread encoder writes at most.
	maxGroups = 2600
	// groupMemory is how many bytes one has at most, with what is garbage after
	// reading it.
	groupMemory = 5*700 + 2*(256+24+2048+3*256+40)
	// codeGrowth is how many bytes of codes a byte of the file makes at most:
	// the shortest code has four bits.
	codeGrowth = 1000
)

func (g *group) read(b *bitReader, cache int) error {
	for i, symbols := range []int{256 + 24 + cache, 256, 256, 256, 40} {
		if err := g[i].read(b, symbols); err != nil {
			return err
		}
	}
	return nil
}

// code is a Huffman code. Short codes are looked up, longer ones are searched
// for among the codes of their length.
type code struct {
	short   []uint16 // symbol << 4 | length, by the next bits; 0: it is longer
	symbols []uint16 // in the order of their codes
	counts  [16]uint16
}

const (
	shortBits  = 7
	shortCodes = 1 << shortBits
)

func (c *code) read(b *bitReader, symbols int) error {
	*c = code{}
	if b.read(1) == 1 {
		two := b.read(1) == 1
		first := 1
		if b.read(1) == 1 {
			first = 8
		}
		c.symbols = []uint16{uint16(b.read(first))}
		if two {
			c.symbols = append(c.symbols, uint16(b.read(8)))
			c.counts[1] = 2
		}
		if int(slices.Max(c.symbols)) >= symbols {
			return b.or(damaged("an impossible code"))
		}
		c.index()
		return b.err
	}
	// The lengths of the codes are coded themselves.
	order := [19]int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	var lengths [19]uint8
	n := int(b.read(4)) + 4
	if n > len(order) {
		return b.or(damaged("an impossible code"))
	}
	for _, i := range order[:n] {
		lengths[i] = uint8(b.read(3))
	}
	var coded code
	if err := coded.build(lengths[:]); err != nil {
		return b.or(err)
	}
	all, err := coded.lengths(b, symbols)
	if err != nil {
		return err
	}
	if err := c.build(all); err != nil {
		return b.or(err)
	}
	return b.err
}

// lengths reads the lengths of other codes.
func (c *code) lengths(b *bitReader, symbols int) ([]uint8, error) {
	left := symbols
	if b.read(1) == 1 {
		if left = 2 + int(b.read(2+2*int(b.read(3)))); left > symbols {
			return nil, b.or(damaged("an impossible code"))
		}
	}
	lengths := b.scratch[:0]
	previous := uint8(8)
	for ; len(lengths) < symbols && left > 0; left-- {
		length, times := uint8(c.next(b)), 1
		switch length {
		case 16:
			length, times = previous, 3+int(b.read(2))
		case 17:
			length, times = 0, 3+int(b.read(3))
		case 18:
			length, times = 0, 11+int(b.read(7))
		}
		if b.err != nil {
			return nil, b.err
		}
		if len(lengths)+times > symbols {
			return nil, damaged("an impossible code")
		}
		if length != 0 {
			previous = length
		}
		for range times {
			lengths = append(lengths, length)
		}
	}
	clear(b.scratch[len(lengths):])
	return b.scratch[:symbols], nil
}

// build makes the code of these lengths, by symbol. It must be complete.
func (c *code) build(lengths []uint8) error {
	total := 0
	for _, l := range lengths {
		if l > 0 {
			c.counts[l]++
			total++
		}
	}
	var next [17]int
	room := 1 << 15
	for l := 1; l < 16; l++ {
		next[l+1] = next[l] + int(c.counts[l])
		room -= int(c.counts[l]) << (15 - l)
	}
	if total == 0 || room != 0 && total > 1 {
		return damaged("an impossible code")
	}
	c.symbols = make([]uint16, total)
	for symbol, l := range lengths {
		if l > 0 {
			c.symbols[next[l]] = uint16(symbol)
			next[l]++
		}
	}
	if total == 1 {
		c.counts = [16]uint16{} // a single symbol takes no bits
	}
	c.index()
	return nil
}

// index fills the table of short codes.
func (c *code) index() {
	if len(c.symbols) == 1 {
		return
	}
	c.short = make([]uint16, shortCodes)
	value, symbol := 0, 0
	for l := 1; l <= shortBits; l++ {
		for range c.counts[l] {
			reversed := 0
			for i := range l {
				reversed |= value >> i & 1 << (l - 1 - i)
			}
			for i := reversed; i < shortCodes; i += 1 << l {
				c.short[i] = c.symbols[symbol]<<4 | uint16(l)
			}
			value, symbol = value+1, symbol+1
		}
		value <<= 1
	}
}

// next reads a symbol.
func (c *code) next(b *bitReader) uint32 {
	if len(c.symbols) == 1 {
		return uint32(c.symbols[0])
	}
	if b.n < 15 {
		b.fill()
	}
	if s := c.short[b.bits&(shortCodes-1)]; s != 0 {
		b.drop(int(s & 15))
		return uint32(s >> 4)
	}
	value, first, symbol := 0, 0, 0
	for l := 1; l < 16; l++ {
		value |= int(b.bits >> (l - 1) & 1)
		count := int(c.counts[l])
		if value-first < count {
			b.drop(l)
			return uint32(c.symbols[symbol+value-first])
		}
		symbol += count
		first = (first + count) << 1
		value <<= 1
	}
	b.drop(64)
	return 0
}

// nearDistances are those that the codes 1 to 120 stand for, in a picture so
// wide: of the pixels around, the nearest first.
func nearDistances(width int) []int {
	type offset struct{ x, y int }
	var offsets []offset
	for y := range 8 {
		for x := -7; x <= 8; x++ {
			if y > 0 || x > 0 {
				offsets = append(offsets, offset{x, y})
			}
		}
	}
	slices.SortFunc(offsets, func(a, b offset) int {
		return cmp.Or(cmp.Compare(a.x*a.x+a.y*a.y, b.x*b.x+b.y*b.y), cmp.Compare(abs(a.x), abs(b.x)), cmp.Compare(b.x, a.x))
	})
	distances := make([]int, len(offsets))
	for i, o := range offsets {
		distances[i] = max(1, o.y*width+o.x)
	}
	return distances
}
