package thumbnail

// The transforms of VP8L.
const (
	predict       = 0
	crossColour   = 1
	subtractGreen = 2
	indexes       = 3
)

// transform is what an encoder did to the pixels to make them smaller.
type transform struct {
	kind  uint32
	width int      // of a row after undoing it
	shift int      // of tiles, or how many indexes share a pixel
	tiles []uint32 // or the palette
	above []uint32 // the row before, for predicting
	y     int
}

// codedWidth is how wide a row is before undoing it.
func (t *transform) codedWidth() int {
	if t.kind == indexes {
		return tilesOf(t.width, t.shift)
	}
	return t.width
}

// undo turns a row into what it was. It has room for the widest.
func (t *transform) undo(row []uint32) {
	row = row[:t.width]
	switch t.kind {
	case predict:
		t.unpredict(row)
	case crossColour:
		tiles := t.tilesOfRow()
		for x, p := range row {
			row[x] = addCross(p, tiles[x>>t.shift])
		}
	case subtractGreen:
		for x, p := range row {
			green := p >> 8 & 0xff
			row[x] = addColours(p, green<<16|green)
		}
	case indexes:
		// From the end: what is written lies behind what is still to be read.
		bits := 8 >> t.shift
		for x := t.width - 1; x >= 0; x-- {
			packed := row[x>>t.shift] >> 8 & 0xff
			index := packed >> (bits * (x & (1<<t.shift - 1))) & (1<<bits - 1)
			row[x] = t.tiles[index]
		}
	}
	t.y++
}

func (t *transform) tilesOfRow() []uint32 {
	across := tilesOf(t.width, t.shift)
	return t.tiles[(t.y>>t.shift)*across:][:across]
}

func (t *transform) unpredict(row []uint32) {
	const black = 0xff000000
	above := t.above
	if t.y == 0 {
		left := uint32(black)
		for x, p := range row {
			left = addColours(left, p)
			row[x] = left
		}
	} else {
		tiles := t.tilesOfRow()
		row[0] = addColours(row[0], above[0])
		above[len(row)] = row[0] // right above the last pixel is the first of its row
		for x := 1; x < len(row); x++ {
			mode := tiles[x>>t.shift] >> 8 & 15
			row[x] = addColours(row[x], predicted(mode, row[x-1], above[x-1:x+2]))
		}
	}
	copy(above, row)
}

// predicted guesses a pixel by the one to the left and those above: to the
// left, right above, to the right.
func predicted(mode, left uint32, above []uint32) uint32 {
	const black = 0xff000000
	tl, top, tr := above[0], above[1], above[2]
	switch mode {
	case 1:
		return left
	case 2:
		return top
	case 3:
		return tr
	case 4:
		return tl
	case 5:
		return average(average(left, tr), top)
	case 6:
		return average(left, tl)
	case 7:
		return average(left, top)
	case 8:
		return average(tl, top)
	case 9:
		return average(top, tr)
	case 10:
		return average(average(left, tl), average(top, tr))
	case 11:
		return nearer(left, top, tl)
	case 12:
		return eachByte(func(i int) int { return part8(left, i) + part8(top, i) - part8(tl, i) })
	case 13:
		mean := average(left, top)
		return eachByte(func(i int) int { return part8(mean, i) + (part8(mean, i)-part8(tl, i))/2 })
	}
	return black
}

// nearer is the one of left and top that the colours around suggest.
func nearer(left, top, corner uint32) uint32 {
	toLeft, toTop := 0, 0
	for i := range 4 {
		toLeft += abs(part8(corner, i) - part8(top, i))
		toTop += abs(part8(corner, i) - part8(left, i))
	}
	if toLeft < toTop {
		return left
	}
	return top
}

func part8(p uint32, i int) int { return int(p >> (8 * i) & 0xff) }

// eachByte makes a pixel of what each of its bytes should be.
func eachByte(value func(i int) int) uint32 {
	p := uint32(0)
	for i := range 4 {
		p |= uint32(max(0, min(value(i), 255))) << (8 * i)
	}
	return p
}

// average is that of each byte, rounded down.
func average(a, b uint32) uint32 { return a&b + (a^b)>>1&0x7f7f7f7f }

// addColours adds each byte, without carry.
func addColours(a, b uint32) uint32 {
	const even, odd = 0x00ff00ff, 0xff00ff00
	return (a&even+b&even)&even | (a&odd+b&odd)&odd
}

// addCross adds what green tells of red and blue, and red of blue.
func addCross(p, factors uint32) uint32 {
	delta := func(factor, colour uint32) uint32 {
		return uint32(int32(int8(factor))*int32(int8(colour))) >> 5 & 0xff
	}
	green := p >> 8
	r := p>>16 + delta(factors, green)
	b := p + delta(factors>>8, green) + delta(factors>>16, r)
	return p&0xff00ff00 | r&0xff<<16 | b&0xff
}
