package content

import (
	"encoding/binary"
	"hash/crc32"
)

// pngFile is the walk through the chunks of a PNG. What is required is what
// decoders rely on: the header first, known critical chunks with right sums,
// picture data in one run, an end with nothing behind it. Others are stepped over.
type pngFile struct {
	s       *source
	pos     int64
	info    Info
	colour  byte
	palette bool
	// data tells whether picture data was seen, done whether something followed it.
	data, done bool
}

const aPNGChunk = "a PNG chunk"

func (s *source) png() (Info, error) {
	b, err := s.at(0, 8, "the PNG signature")
	if err != nil {
		return Info{}, err
	}
	if string(b) != "\x89PNG\r\n\x1a\n" {
		return Info{}, damaged("the PNG signature is damaged")
	}
	p := &pngFile{s: s, pos: 8}
	for chunks := 0; ; chunks++ {
		if chunks > maxParts {
			return Info{}, refuse(TooLarge, "the PNG has more than %d chunks", maxParts)
		}
		end, err := p.chunk(chunks == 0)
		if err != nil {
			return Info{}, err
		}
		if end {
			break
		}
	}
	if p.pos < s.size {
		return Info{}, s.trailing(p.pos, "PNG")
	}
	p.info.Frames = max(1, p.info.Frames)
	return p.info, nil
}

// chunk reads one and tells whether it was the last.
func (p *pngFile) chunk(first bool) (end bool, err error) {
	if p.pos == p.s.size {
		return false, damaged("the PNG has no end chunk")
	}
	b, err := p.s.at(p.pos, 8, aPNGChunk)
	if err != nil {
		return false, err
	}
	length, kind := int64(binary.BigEndian.Uint32(b)), string(b[4:8])
	for i := range len(kind) {
		if c := lower(kind[i]); c < 'a' || c > 'z' {
			return false, damaged("a PNG chunk has no valid name")
		}
	}
	if length > p.s.size-p.pos-12 {
		return false, cutOff(aPNGChunk)
	}
	if first != (kind == "IHDR") {
		return false, damaged("a PNG begins with its header chunk, and has one")
	}
	if critical := kind[0] < 'a'; critical {
		if err := p.checkSum(length); err != nil {
			return false, err
		}
	}
	if err := p.look(kind, length); err != nil {
		return false, err
	}
	p.pos += length + 12
	return kind == "IEND", nil
}

// look checks what a chunk of that kind is to be.
func (p *pngFile) look(kind string, length int64) error {
	if kind != "IDAT" && p.data {
		p.done = true
	}
	switch kind {
	case "IHDR":
		return p.header(length)
	case "PLTE":
		if p.palette || p.data || length == 0 || length%3 != 0 || length > 768 {
			return damaged("the PNG's palette is damaged or misplaced")
		}
		p.palette = true
	case "IDAT":
		if p.done {
			return damaged("the PNG's picture data is not in one run")
		}
		if p.colour == 3 && !p.palette {
			return damaged("the PNG has no palette")
		}
		p.data = p.data || length > 0
	case "IEND":
		if !p.data {
			return damaged("the PNG has no picture data")
		}
		if length != 0 {
			return damaged("the PNG's end chunk is damaged")
		}
	case "fcTL":
		return p.frame(length)
	default:
		if kind[0] < 'a' {
			return damaged("the PNG has a chunk %s that no decoder knows", quote(kind))
		}
	}
	return nil
}

func (p *pngFile) header(length int64) error {
	if length != 13 {
		return damaged("the PNG's header is damaged")
	}
	b, err := p.s.at(p.pos+8, 13, aPNGChunk)
	if err != nil {
		return err
	}
	w, h := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	depth, colour := b[8], b[9]
	var depths string
	switch colour {
	case 0:
		depths = "\x01\x02\x04\x08\x10"
	case 2, 4, 6:
		depths = "\x08\x10"
	case 3:
		depths = "\x01\x02\x04\x08"
	}
	valid := false
	for i := range len(depths) {
		valid = valid || depths[i] == depth
	}
	if !valid || b[10] != 0 || b[11] != 0 || b[12] > 1 || w > 1<<31-1 || h > 1<<31-1 {
		return damaged("the PNG's header is damaged")
	}
	p.info.Width, p.info.Height, p.colour = int(w), int(h), colour
	return checkSize(int(w), int(h))
}

// frame checks the control chunk of a frame of an animation.
func (p *pngFile) frame(length int64) error {
	if length != 26 {
		return damaged("the PNG's animation is damaged")
	}
	b, err := p.s.at(p.pos+8, 26, aPNGChunk)
	if err != nil {
		return err
	}
	field := func(i int) int { return int(binary.BigEndian.Uint32(b[i:])) }
	w, h, x, y := field(4), field(8), field(12), field(16)
	if w == 0 || h == 0 || x+w > p.info.Width || y+h > p.info.Height {
		return damaged("a frame of the PNG is not within the picture")
	}
	p.info.Frames++
	return checkFrames(p.info.Frames)
}

func checkFrames(n int) error {
	if n > MaxFrames {
		return refuse(TooLarge, "the animation has more than %d frames", MaxFrames)
	}
	return nil
}

// checkSum compares the sum of the chunk at pos, which is within the file.
func (p *pngFile) checkSum(length int64) error {
	sum, off, end := uint32(0), p.pos+4, p.pos+8+length
	for off < end {
		b, err := p.s.from(off)
		if err != nil {
			return err
		}
		b = b[:min(int64(len(b)), end-off)]
		sum = crc32.Update(sum, crc32.IEEETable, b)
		off += int64(len(b))
	}
	b, err := p.s.at(end, 4, aPNGChunk)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(b) != sum {
		return damaged("the sum of a PNG chunk is wrong")
	}
	return nil
}
