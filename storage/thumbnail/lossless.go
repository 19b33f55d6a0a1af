package thumbnail

import (
	"bufio"
	"fmt"
	"io"
)

// lossless reads the pixels of a VP8L stream row by row (RFC 9649, section 3).
// golang.org/x/image would hold the whole picture, at times twice, and codes
// without a bound: this one holds what later pixels may refer to.
type lossless struct {
	bits       *bitReader
	width      int
	transforms []transform
	pixels     *entropy
	row        []uint32
}

// window is how far back a pixel may refer to another.
const window = 1 << 20

// losslessMemory is how many bytes reading so long a stream needs at most: the
// window, the rows, the tiles of two transforms and of the choice of codes, the
// codes.
func losslessMemory(w, h, size int64) int64 {
	tiles := ((w + 3) / 4) * ((h + 3) / 4)
	codes := min(maxGroups*groupMemory, (tiles+1)*groupMemory, size*codeGrowth)
	return 4*min(window, w*h) + 14*tiles + 4*8*w + codes + 64<<10
}

// newLossless reads what is before the pixels. Where there is a signature, it
// has been read.
func newLossless(r io.Reader, width, height int) (*lossless, error) {
	l := &lossless{bits: &bitReader{r: bufio.NewReader(r)}, width: width, row: make([]uint32, width)}
	coded := width // how wide the pixels are that are in the file
	seen := [4]bool{}
	for l.bits.read(1) == 1 {
		kind := l.bits.read(2)
		if seen[kind] {
			return nil, damaged("a transform comes twice")
		}
		seen[kind] = true
		t, err := l.transform(kind, coded, height)
		if err != nil {
			return nil, err
		}
		coded = t.codedWidth()
		l.transforms = append(l.transforms, t)
	}
	var err error
	l.pixels, err = newEntropy(l.bits, coded, height, true)
	return l, err
}

func (l *lossless) transform(kind uint32, width, height int) (transform, error) {
	t := transform{kind: kind, width: width}
	var err error
	switch kind {
	case predict, crossColour:
		t.shift = int(l.bits.read(3)) + 2
		t.tiles, err = readTiles(l.bits, width, height, t.shift)
		if kind == predict {
			t.above = make([]uint32, width+1)
		}
	case indexes:
		colours := int(l.bits.read(8)) + 1
		switch {
		case colours <= 2:
			t.shift = 3
		case colours <= 4:
			t.shift = 2
		case colours <= 16:
			t.shift = 1
		}
		var table []uint32
		if table, err = readTiles(l.bits, colours, 1, 0); err != nil {
			return t, err
		}
		// Each colour is told by the difference to the one before; those that
		// are not in the table are transparent.
		t.tiles = make([]uint32, 256)
		previous := uint32(0)
		for i, c := range table {
			previous = addColours(previous, c)
			t.tiles[i] = previous
		}
	}
	return t, err
}

// next returns the next row, of pixels 0xAARRGGBB, until the next call.
func (l *lossless) next() ([]uint32, error) {
	coded := l.pixels.width
	if err := l.pixels.readRow(l.row[:coded]); err != nil {
		return nil, err
	}
	for i := len(l.transforms) - 1; i >= 0; i-- {
		l.transforms[i].undo(l.row)
	}
	return l.row, nil
}

// readTiles reads a small picture whole: one pixel for each square of pixels.
func readTiles(b *bitReader, width, height, shift int) ([]uint32, error) {
	width, height = tilesOf(width, shift), tilesOf(height, shift)
	e, err := newEntropy(b, width, height, false)
	if err != nil {
		return nil, err
	}
	tiles := make([]uint32, width*height)
	return tiles, e.readRow(tiles)
}

func tilesOf(n, shift int) int { return (n + 1<<shift - 1) >> shift }

// entropy reads pixels as they are in the file: literals, repetitions of what
// was there before, and colours from a cache of recent ones.
type entropy struct {
	b             *bitReader
	width, height int
	groups        []group
	meta          []uint16 // which group a tile uses; nil: all use the first
	metaShift     int
	cache         []uint32
	cacheShift    int
	near          []int // the distances that have codes of their own

	recent  []uint32 // the last pixels, in a ring
	at      int      // the place of the next one in it
	x, y    int
	done    int
	copying int // how many pixels of a repetition are left
	back    int // how far it goes back
}

func newEntropy(b *bitReader, width, height int, main bool) (*entropy, error) {
	e := &entropy{b: b, width: width, height: height}
	if b.read(1) == 1 {
		cacheBits := int(b.read(4))
		if cacheBits < 1 || cacheBits > 11 {
			return nil, b.or(damaged("an impossible cache"))
		}
		e.cache, e.cacheShift = make([]uint32, 1<<cacheBits), 32-cacheBits
	}
	if err := e.readGroups(main); err != nil {
		return nil, err
	}
	e.near = nearDistances(width)
	e.recent = make([]uint32, min(window, width*height))
	return e, b.err
}

// readGroups reads the codes, and which tile uses which.
func (e *entropy) readGroups(main bool) error {
	used := []int{0} // the index in groups of each group in the file, or -1
	kept := 1
	if main && e.b.read(1) == 1 {
		e.metaShift = int(e.b.read(3)) + 2
		tiles, err := readTiles(e.b, e.width, e.height, e.metaShift)
		if err != nil {
			return err
		}
		used, kept, err = e.choose(tiles)
		if err != nil {
			return err
		}
	}
	if kept > maxGroups || len(used) > maxGroups {
		return fmt.Errorf("%w: a WEBP with more codes than any encoder writes", ErrUnsupported)
	}
	e.groups = make([]group, kept)
	var unused group
	for _, i := range used {
		g := &unused
		if i >= 0 {
			g = &e.groups[i]
		}
		if err := g.read(e.b, len(e.cache)); err != nil {
			return err
		}
	}
	return e.b.err
}

// choose numbers the groups that tiles use. The others are not kept.
func (e *entropy) choose(tiles []uint32) (used []int, kept int, err error) {
	e.meta = make([]uint16, len(tiles))
	for i, t := range tiles {
		e.meta[i] = uint16(t >> 8)
		for int(e.meta[i]) >= len(used) {
			used = append(used, -1)
		}
	}
	for i, m := range e.meta {
		if used[m] < 0 {
			used[m] = kept
			kept++
		}
		e.meta[i] = uint16(used[m])
	}
	return used, kept, nil
}

// readRow fills dst with the next pixels.
func (e *entropy) readRow(dst []uint32) error {
	var g *group
	for i := 0; i < len(dst); {
		if e.copying > 0 {
			n := min(e.copying, len(dst)-i)
			for range n {
				from := e.at - e.back
				if from < 0 {
					from += len(e.recent)
				}
				dst[i] = e.recent[from]
				e.keep(dst[i])
				i++
			}
			e.copying -= n
			g = nil
			continue
		}
		if g == nil || e.meta != nil && e.x&(1<<e.metaShift-1) == 0 {
			g = e.group()
		}
		pixel, single, err := e.symbol(g)
		if err != nil {
			return err
		}
		if single {
			dst[i] = pixel
			e.keep(pixel)
			i++
		}
	}
	return nil
}

func (e *entropy) group() *group {
	if e.meta == nil {
		return &e.groups[0]
	}
	return &e.groups[e.meta[(e.y>>e.metaShift)*tilesOf(e.width, e.metaShift)+e.x>>e.metaShift]]
}

// symbol reads a pixel, or the begin of a repetition.
func (e *entropy) symbol(g *group) (pixel uint32, single bool, err error) {
	const literals, lengths = 256, 24
	code := g[green].next(e.b)
	switch {
	case code < literals:
		r, b, a := g[red].next(e.b), g[blue].next(e.b), g[alpha].next(e.b)
		return a<<24 | r<<16 | code<<8 | b, true, e.b.err
	case code >= literals+lengths:
		if code -= literals + lengths; int(code) >= len(e.cache) {
			return 0, false, e.b.or(damaged("a colour that is not in the cache"))
		}
		return e.cache[code], true, e.b.err
	}
	e.copying = e.number(code - literals)
	e.back = e.number(g[distance].next(e.b))
	if e.back <= len(e.near) {
		e.back = e.near[e.back-1]
	} else {
		e.back -= len(e.near)
	}
	if e.back > e.done || e.copying > e.width*e.height-e.done {
		return 0, false, e.b.or(damaged("pixels from outside of the picture"))
	}
	return 0, false, e.b.err
}

// number reads a length or a distance that begins with this code.
func (e *entropy) number(code uint32) int {
	if code < 4 {
		return int(code) + 1
	}
	extra := (code - 2) >> 1
	return int((2+code&1)<<extra+e.b.read(int(extra))) + 1
}

// keep remembers a pixel for those that refer to it.
func (e *entropy) keep(pixel uint32) {
	if len(e.cache) > 0 {
		e.cache[pixel*0x1e35a7bd>>e.cacheShift] = pixel
	}
	e.recent[e.at] = pixel
	if e.at++; e.at == len(e.recent) {
		e.at = 0
	}
	e.done++
	if e.x++; e.x == e.width {
		e.x, e.y = 0, e.y+1
	}
}
