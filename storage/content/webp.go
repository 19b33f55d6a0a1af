package content

import "encoding/binary"

// webpFile is the walk through the chunks of a WebP.
type webpFile struct {
	s    *source
	info Info
	// animated is what the header says.
	animated bool
	pictures int
	chunks   int
}

const (
	aWebPChunk = "a WebP chunk"
	// flagAnimated is a bit of the first byte of the VP8X chunk.
	flagAnimated = 0x02
)

// webpChunk is one, by where its content is.
type webpChunk struct {
	kind    string
	at, end int64
}

func (s *source) webp() (Info, error) {
	b, err := s.at(0, 12, "the WebP header")
	if err != nil {
		return Info{}, err
	}
	if string(b[:4]) != "RIFF" || string(b[8:]) != "WEBP" {
		return Info{}, damaged("the WebP header is damaged")
	}
	end := int64(binary.LittleEndian.Uint32(b[4:])) + 8
	if end > s.size {
		return Info{}, damaged("the WebP ends before the %d bytes it should have", end)
	}
	if rest, err := s.skip(end, 0); err != nil {
		return Info{}, err
	} else if rest < s.size || s.size > end+end&1 {
		return Info{}, s.trailing(end, "WebP")
	}
	w := &webpFile{s: s}
	if err := w.file(end); err != nil {
		return Info{}, err
	}
	if w.pictures == 0 {
		return Info{}, damaged("the WebP has no picture")
	}
	w.info.Frames = w.pictures
	return w.info, nil
}

// file reads the chunks between the header and end. One that is not extended
// has a single one.
func (w *webpFile) file(end int64) error {
	c, next, err := w.chunk(12, end)
	if err != nil {
		return err
	}
	if c.kind != "VP8X" {
		if w.info.Width, w.info.Height, err = w.size(c); err != nil {
			return err
		}
		w.pictures++
		if next < end {
			return damaged("the WebP has chunks that its kind does not have")
		}
		return checkSize(w.info.Width, w.info.Height)
	}
	if err := w.canvas(c); err != nil {
		return err
	}
	for pos := next; pos < end; pos = next {
		if c, next, err = w.chunk(pos, end); err != nil {
			return err
		}
		switch c.kind {
		case "VP8X":
			err = damaged("the WebP has more than one header")
		case "VP8 ", "VP8L":
			if w.animated {
				err = damaged("the WebP has a picture outside of its animation")
			} else {
				err = w.picture(c, w.info.Width, w.info.Height)
			}
		case "ANMF":
			err = w.frame(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// chunk reads the head of the chunk at pos, which is within end, and returns
// where the next one is.
func (w *webpFile) chunk(pos, end int64) (c webpChunk, next int64, err error) {
	if w.chunks++; w.chunks > maxParts {
		return c, 0, refuse(TooLarge, "the WebP has more than %d chunks", maxParts)
	}
	if pos+8 > end {
		return c, 0, cutOff(aWebPChunk)
	}
	b, err := w.s.at(pos, 8, aWebPChunk)
	if err != nil {
		return c, 0, err
	}
	length := int64(binary.LittleEndian.Uint32(b[4:]))
	c = webpChunk{string(b[:4]), pos + 8, pos + 8 + length}
	if c.end > end {
		return c, 0, cutOff(aWebPChunk)
	}
	return c, min(end, c.end+length&1), nil
}

// canvas reads the header of an extended file.
func (w *webpFile) canvas(c webpChunk) error {
	if c.end-c.at < 10 {
		return damaged("the WebP header is damaged")
	}
	b, err := w.s.at(c.at, 10, aWebPChunk)
	if err != nil {
		return err
	}
	w.animated = b[0]&flagAnimated != 0
	w.info.Width, w.info.Height = 1+uint24(b[4:]), 1+uint24(b[7:])
	return checkSize(w.info.Width, w.info.Height)
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// picture reads a chunk that holds one of that size.
func (w *webpFile) picture(c webpChunk, width, height int) error {
	x, y, err := w.size(c)
	if err != nil {
		return err
	}
	if x != width || y != height {
		return damaged("a picture of the WebP has another size than its header says")
	}
	if w.pictures++; w.pictures > 1 && !w.animated {
		return damaged("the WebP has more than one picture and is no animation")
	}
	return checkFrames(w.pictures)
}

// frame reads one of an animation, with the chunks in it.
func (w *webpFile) frame(c webpChunk) error {
	if !w.animated || c.end-c.at < 16 {
		return damaged("the WebP's animation is damaged")
	}
	b, err := w.s.at(c.at, 16, aWebPChunk)
	if err != nil {
		return err
	}
	x, y, width, height := 2*uint24(b), 2*uint24(b[3:]), 1+uint24(b[6:]), 1+uint24(b[9:])
	if x+width > w.info.Width || y+height > w.info.Height {
		return damaged("a frame of the WebP is not within the picture")
	}
	before := w.pictures
	for pos := c.at + 16; pos < c.end; {
		var part webpChunk
		if part, pos, err = w.chunk(pos, c.end); err != nil {
			return err
		}
		if part.kind == "VP8 " || part.kind == "VP8L" {
			if err := w.picture(part, width, height); err != nil {
				return err
			}
		}
	}
	if w.pictures != before+1 {
		return damaged("a frame of the WebP does not hold one picture")
	}
	return nil
}

// size reads how large the picture in a chunk is.
func (w *webpFile) size(c webpChunk) (width, height int, err error) {
	bad := damaged("a picture of the WebP is damaged")
	length := c.end - c.at
	b, err := w.s.upTo(c.at, int(min(length, 10)))
	if err != nil {
		return 0, 0, err
	}
	switch c.kind {
	case "VP8 ": // 19 bits: length of the first part; then a start code, 14 bits each
		if len(b) < 10 || b[0]&1 != 0 || string(b[3:6]) != "\x9d\x01\x2a" {
			return 0, 0, bad
		}
		if part := int64(uint24(b) >> 5); part > length-10 {
			return 0, 0, bad
		}
		return int(binary.LittleEndian.Uint16(b[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(b[8:]) & 0x3fff), nil
	case "VP8L": // a signature, then 14 bits each, less one
		if len(b) < 6 || b[0] != 0x2f {
			return 0, 0, bad
		}
		bits := binary.LittleEndian.Uint32(b[1:])
		if bits>>29 != 0 {
			return 0, 0, bad
		}
		return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff), nil
	}
	return 0, 0, damaged("the WebP begins with a chunk that no decoder knows")
}
