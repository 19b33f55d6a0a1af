package content

import "encoding/binary"

// gifFile is the walk through the blocks of a GIF.
type gifFile struct {
	s    *source
	pos  int64
	info Info
}

const aGIFBlock = "a GIF block"

func (s *source) gif() (Info, error) {
	g := &gifFile{s: s, pos: 13}
	b, err := s.at(0, 13, "the GIF header")
	if err != nil {
		return Info{}, err
	}
	if v := string(b[:6]); v != "GIF87a" && v != "GIF89a" {
		return Info{}, damaged("the GIF header is damaged")
	}
	g.info.Width, g.info.Height = int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
	if err := checkSize(g.info.Width, g.info.Height); err != nil {
		return Info{}, err
	}
	g.pos += colours(b[10])
	for blocks := 0; ; blocks++ {
		if blocks > maxParts {
			return Info{}, refuse(TooLarge, "the GIF has more than %d blocks", maxParts)
		}
		end, err := g.block()
		if err != nil {
			return Info{}, err
		}
		if end {
			break
		}
	}
	if g.info.Frames == 0 {
		return Info{}, damaged("the GIF has no picture")
	}
	rest, err := s.skip(g.pos, 0)
	if err != nil {
		return Info{}, err
	}
	if rest < s.size {
		return Info{}, s.trailing(rest, "GIF")
	}
	return g.info, nil
}

// colours is how many bytes the table has that such flags announce.
func colours(flags byte) int64 {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (1 + flags&7)
}

// block reads one and tells whether it was the last.
func (g *gifFile) block() (end bool, err error) {
	if g.pos >= g.s.size {
		return false, damaged("the GIF has no end")
	}
	b, err := g.s.at(g.pos, 1, aGIFBlock)
	if err != nil {
		return false, err
	}
	switch b[0] {
	case 0x3b:
		g.pos++
		return true, nil
	case 0x21: // an extension: its label, then data
		g.pos += 2
		_, err := g.data()
		return false, err
	case 0x2c:
		return false, g.frame()
	}
	return false, damaged("the GIF has a block of no known kind")
}

// frame reads a picture.
func (g *gifFile) frame() error {
	b, err := g.s.at(g.pos, 10, aGIFBlock)
	if err != nil {
		return err
	}
	field := func(i int) int { return int(binary.LittleEndian.Uint16(b[i:])) }
	x, y, w, h := field(1), field(3), field(5), field(7)
	g.pos += 10 + colours(b[9])
	if w == 0 || h == 0 {
		return checkSize(w, h)
	}
	if x+w > g.info.Width || y+h > g.info.Height {
		return damaged("a frame of the GIF is not within the picture")
	}
	g.info.Frames++
	if err := checkFrames(g.info.Frames); err != nil {
		return err
	}
	if b, err = g.s.at(g.pos, 1, aGIFBlock); err != nil {
		return err
	}
	if b[0] < 2 || b[0] > 8 {
		return damaged("a frame of the GIF is damaged")
	}
	g.pos++
	n, err := g.data()
	if err == nil && n == 0 {
		err = damaged("a frame of the GIF has no picture data")
	}
	return err
}

// data steps over parts of up to 255 bytes, each with its length before it, up
// to an empty one, and returns how many bytes they have.
func (g *gifFile) data() (total int64, err error) {
	for {
		b, err := g.s.at(g.pos, 1, aGIFBlock)
		if err != nil {
			return 0, err
		}
		n := int64(b[0])
		g.pos += 1 + n
		if n == 0 {
			return total, nil
		}
		total += n
	}
}
