package thumbnail

import (
	"bufio"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// pngReader reads a PNG row by row: of a picture of any size two rows are held.
// It takes what image/png takes, and looks into no chunk that it does not need.
type pngReader struct {
	s *source
	r *bufio.Reader

	width, height int
	depth, colour uint8
	interlaced    bool
	palette       [256][4]byte
	entries       int       // of the palette
	key           [3]uint16 // the colour that is transparent
	keyed         bool
	orientation   *int

	stage stage
	crc   uint32
	idat  uint32 // what is left of the chunk of pixels at hand
}

// stage is which chunks have been seen, of those that have an order.
type stage int

const (
	seenNothing stage = iota
	seenIHDR
	seenPLTE
	seenTRNS
	seenIDAT
	seenIEND
)

// The colour types.
const (
	grey       = 0
	trueColour = 2
	indexed    = 3
	greyAlpha  = 4
	trueAlpha  = 6
)

const pngSignature = "\x89PNG\r\n\x1a\n"

func readPNG(s *source) (*header, error) {
	p := &pngReader{s: s, r: bufio.NewReaderSize(s, 16<<10)}
	var start [8]byte
	if _, err := io.ReadFull(p.r, start[:]); err != nil {
		return nil, err
	}
	if string(start[:]) != pngSignature {
		return nil, damaged("not a PNG")
	}
	length, name, err := p.chunk()
	if err != nil {
		return nil, err
	}
	if name != "IHDR" || length != 13 {
		return nil, damaged("a PNG without a header")
	}
	if err := p.header(); err != nil {
		return nil, err
	}
	h := &header{width: p.width, height: p.height, orientation: 1}
	p.orientation = &h.orientation
	h.memory = 128<<10 + 2*p.rowBytes(p.width) + 4*int64(p.width) + rowMemory(p.width)
	h.paint = p.paint
	return h, nil
}

// chunk reads the head of the next chunk.
func (p *pngReader) chunk() (length uint32, name string, err error) {
	var head [8]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return 0, "", err
	}
	p.crc = crc32.ChecksumIEEE(head[4:])
	return binary.BigEndian.Uint32(head[:]), string(head[4:]), nil
}

// data reads a part of the chunk.
func (p *pngReader) data(b []byte) error {
	_, err := io.ReadFull(p.r, b)
	p.crc = crc32.Update(p.crc, crc32.IEEETable, b)
	return err
}

// skip reads over a part of the chunk.
func (p *pngReader) skip(n uint32) error {
	for n > 0 {
		b, err := p.r.Peek(int(min(n, 4<<10)))
		if len(b) == 0 {
			return err
		}
		p.crc = crc32.Update(p.crc, crc32.IEEETable, b)
		n -= uint32(len(b))
		if _, err := p.r.Discard(len(b)); err != nil {
			return err
		}
	}
	return nil
}

// end reads the checksum of the chunk.
func (p *pngReader) end() error {
	var sum [4]byte
	if _, err := io.ReadFull(p.r, sum[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(sum[:]) != p.crc {
		return damaged("a wrong checksum")
	}
	return nil
}

func (p *pngReader) header() error {
	var b [13]byte
	if err := p.data(b[:]); err != nil {
		return err
	}
	w, h := binary.BigEndian.Uint32(b[0:]), binary.BigEndian.Uint32(b[4:])
	if w > math.MaxInt32 || h > math.MaxInt32 {
		return damaged("a negative size")
	}
	p.width, p.height, p.depth, p.colour = int(w), int(h), b[8], b[9]
	if b[10] != 0 || b[11] != 0 {
		return fmt.Errorf("%w: a PNG with another compression", ErrUnsupported)
	}
	if b[12] > 1 {
		return damaged("an unknown interlacing")
	}
	p.interlaced = b[12] == 1
	valid := false
	switch p.depth {
	case 1, 2, 4:
		valid = p.colour == grey || p.colour == indexed
	case 8:
		valid = p.colour <= trueAlpha && p.colour != 1 && p.colour != 5
	case 16:
		valid = p.colour <= trueAlpha && p.colour&1 == 0
	}
	if !valid {
		return fmt.Errorf("%w: a PNG with depth %d and colour type %d", ErrUnsupported, p.depth, p.colour)
	}
	p.stage = seenIHDR
	return p.end()
}

// bits is how many a pixel has.
func (p *pngReader) bits() int {
	samples := map[uint8]int{grey: 1, trueColour: 3, indexed: 1, greyAlpha: 2, trueAlpha: 4}
	return samples[p.colour] * int(p.depth)
}

// rowBytes is how many bytes so many pixels and their filter have.
func (p *pngReader) rowBytes(pixels int) int64 {
	return 1 + (int64(p.bits())*int64(pixels)+7)/8
}

// paint reads the chunks after the header.
func (p *pngReader) paint(c *canvas) error {
	for p.stage != seenIEND {
		length, name, err := p.chunk()
		if err != nil {
			return err
		}
		switch name {
		case "IHDR":
			return damaged("chunks out of order")
		case "PLTE":
			err = p.readPalette(length)
		case "tRNS":
			err = p.readTransparency(length)
		case "eXIf":
			err = p.readEXIF(length)
		case "IDAT":
			err = p.readPixels(c, length)
		case "IEND":
			if p.stage != seenIDAT || length != 0 {
				return damaged("chunks out of order")
			}
			p.stage = seenIEND
		default:
			if length > math.MaxInt32 {
				return damaged("a chunk is too long")
			}
			err = p.skip(length)
		}
		if err != nil {
			return err
		}
		if err := p.end(); err != nil {
			return err
		}
	}
	return nil
}

func (p *pngReader) readPalette(length uint32) error {
	if p.stage != seenIHDR {
		return damaged("chunks out of order")
	}
	p.stage = seenPLTE
	n := length / 3
	if length%3 != 0 || n == 0 || n > 256 || p.depth < 8 && n > 1<<p.depth ||
		p.colour == grey || p.colour == greyAlpha {
		return damaged("an impossible palette")
	}
	var b [3 * 256]byte
	if err := p.data(b[:length]); err != nil {
		return err
	}
	p.entries = int(n)
	for i := range p.palette {
		p.palette[i] = [4]byte{0, 0, 0, 0xff} // what is not in the palette is black
		if i < p.entries {
			copy(p.palette[i][:], b[3*i:3*i+3])
		}
	}
	return nil
}

func (p *pngReader) readTransparency(length uint32) error {
	inOrder := p.stage == seenIHDR
	switch p.colour {
	case indexed:
		inOrder = p.stage == seenPLTE
	case trueColour, trueAlpha:
		inOrder = p.stage == seenIHDR || p.stage == seenPLTE
	}
	if !inOrder {
		return damaged("chunks out of order")
	}
	p.stage = seenTRNS
	want := map[uint8]uint32{grey: 2, trueColour: 6}[p.colour]
	if p.colour == indexed && length <= 256 {
		want = length
	}
	if length != want || p.colour == greyAlpha || p.colour == trueAlpha {
		return damaged("impossible transparency")
	}
	var b [256]byte
	if err := p.data(b[:length]); err != nil {
		return err
	}
	if p.colour == indexed {
		for i := range int(length) {
			p.palette[i][3] = b[i]
		}
		return nil
	}
	p.keyed = true
	for i := range int(length / 2) {
		p.key[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return nil
}

func (p *pngReader) readEXIF(length uint32) error {
	if length > maxEXIF {
		return p.skip(length)
	}
	b := make([]byte, length)
	if err := p.data(b); err != nil {
		return err
	}
	*p.orientation = orientation(b)
	return nil
}

func (p *pngReader) readPixels(c *canvas, length uint32) error {
	switch {
	case p.stage == seenIDAT:
		return p.skip(length) // behind the pixels
	case p.stage > seenIDAT, p.colour == indexed && p.stage == seenIHDR:
		return damaged("chunks out of order")
	}
	p.stage = seenIDAT
	p.idat = length
	pixels, err := zlib.NewReader(idats{p})
	if err != nil {
		return err
	}
	defer pixels.Close()
	if err := p.passes(c, pixels); err != nil {
		return err
	}
	// Only its end shows that the stream is whole.
	var more [1]byte
	if _, err := io.ReadFull(pixels, more[:]); !errors.Is(err, io.EOF) {
		if err == nil {
			err = damaged("more pixels than there may be")
		}
		return err
	}
	if p.idat != 0 {
		return damaged("more pixels than there may be")
	}
	return nil
}

// idats joins the chunks that pixels are cut into. The last is left to whoever
// reads the chunks.
type idats struct{ p *pngReader }

func (i idats) Read(b []byte) (int, error) {
	p := i.p
	for p.idat == 0 {
		if err := p.end(); err != nil {
			return 0, err
		}
		length, name, err := p.chunk()
		if err != nil {
			return 0, err
		}
		if name != "IDAT" || length > math.MaxInt32 {
			return 0, damaged("too few pixels")
		}
		p.idat = length
	}
	n, err := p.r.Read(b[:min(int64(len(b)), int64(p.idat))])
	p.crc = crc32.Update(p.crc, crc32.IEEETable, b[:n])
	p.idat -= uint32(n)
	return n, err
}
