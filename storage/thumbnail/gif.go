package thumbnail

import (
	"bufio"
	"compress/lzw"
	"errors"
	"image"
	"io"
)

// gifReader reads a GIF up to the end of its first frame: row by row, so that
// no frame is held. image/gif would hold two of them.
type gifReader struct {
	s           *source
	r           *bufio.Reader
	palette     [256][4]byte
	colours     int
	transparent int // the colour that is none, or -1
	frame       image.Rectangle
	interlaced  bool
}

func readGIF(s *source) (*header, error) {
	g := &gifReader{s: s, r: bufio.NewReaderSize(s, 8<<10), transparent: -1}
	var head [13]byte
	if _, err := io.ReadFull(g.r, head[:]); err != nil {
		return nil, err
	}
	if v := string(head[:6]); v != "GIF87a" && v != "GIF89a" {
		return nil, damaged("not a GIF")
	}
	h := &header{width: little16(head[6:]), height: little16(head[8:]), orientation: 1, memory: 64 << 10}
	if err := g.readPalette(head[10]); err != nil {
		return nil, err
	}
	h.memory += 5*int64(h.width) + rowMemory(h.width)
	h.paint = g.paint
	return h, nil
}

func little16(b []byte) int { return int(b[0]) | int(b[1])<<8 }

// readPalette reads the table of colours that the flags announce.
func (g *gifReader) readPalette(flags byte) error {
	if flags&0x80 == 0 {
		return nil
	}
	g.colours = 2 << (flags & 7)
	var table [3 * 256]byte
	if _, err := io.ReadFull(g.r, table[:3*g.colours]); err != nil {
		return err
	}
	for i := range g.colours {
		g.palette[i] = [4]byte{table[3*i], table[3*i+1], table[3*i+2], 0xff}
	}
	return nil
}

func (g *gifReader) paint(c *canvas) error {
	for {
		block, err := g.r.ReadByte()
		if err != nil {
			return err
		}
		switch block {
		case 0x21:
			err = g.extension()
		case 0x2c:
			return g.image(c)
		case 0x3b:
			return damaged("a GIF without a frame")
		default:
			return damaged("an unknown block")
		}
		if err != nil {
			return err
		}
	}
}

func (g *gifReader) extension() error {
	label, err := g.r.ReadByte()
	if err != nil {
		return err
	}
	var data [255]byte
	for first := true; ; first = false {
		n, err := g.r.ReadByte()
		if err != nil || n == 0 {
			return err
		}
		if _, err := io.ReadFull(g.r, data[:n]); err != nil {
			return err
		}
		const control = 0xf9
		if label == control && first && n >= 4 {
			g.transparent = -1
			if data[0]&1 != 0 {
				g.transparent = int(data[3])
			}
		}
	}
}

func (g *gifReader) image(c *canvas) error {
	var head [9]byte
	if _, err := io.ReadFull(g.r, head[:]); err != nil {
		return err
	}
	left, top := little16(head[0:]), little16(head[2:])
	g.frame = image.Rect(left, top, left+little16(head[4:]), top+little16(head[6:]))
	g.interlaced = head[8]&0x40 != 0
	if g.frame.Max.X > c.width || g.frame.Max.Y > c.height {
		return damaged("a frame outside of the picture")
	}
	if err := g.readPalette(head[8]); err != nil {
		return err
	}
	if g.colours == 0 {
		return damaged("a GIF without colours")
	}
	if g.transparent >= 0 {
		g.palette[g.transparent] = [4]byte{}
		g.colours = max(g.colours, g.transparent+1)
	}
	width, err := g.r.ReadByte()
	if err != nil {
		return err
	}
	if width < 2 || width > 8 {
		return damaged("impossible pixels")
	}
	blocks := &blockReader{r: g.r}
	pixels := lzw.NewReader(blocks, lzw.LSB, int(width))
	defer pixels.Close()
	if err := g.rows(c, pixels); err != nil {
		return err
	}
	return blocks.finish()
}

// rows paints the rows in the order in which they come.
func (g *gifReader) rows(c *canvas, pixels io.Reader) error {
	passes := [][2]int{{1, 0}}
	if g.interlaced {
		passes = [][2]int{{8, 0}, {8, 4}, {4, 2}, {2, 1}}
	}
	indexes, row := make([]byte, g.frame.Dx()), make([]byte, 4*g.frame.Dx())
	if len(row) == 0 {
		return nil
	}
	for _, pass := range passes {
		for y := pass[1]; y < g.frame.Dy(); y += pass[0] {
			if err := g.s.check(); err != nil {
				return err
			}
			if _, err := io.ReadFull(pixels, indexes); err != nil {
				return err
			}
			for x, i := range indexes {
				if int(i) >= g.colours {
					return damaged("a colour that is not in the palette")
				}
				copy(row[4*x:4*x+4], g.palette[i][:])
			}
			c.pixels(g.frame.Min.Y+y, g.frame.Min.X, 1, row)
		}
	}
	return nil
}

// blockReader joins the blocks that pixels are cut into.
type blockReader struct {
	r    *bufio.Reader
	left int
	err  error
}

// ReadByte reads the next byte of any block.
func (b *blockReader) ReadByte() (byte, error) {
	if b.err == nil && b.left == 0 {
		n, err := b.r.ReadByte()
		b.left, b.err = int(n), err
		switch {
		case errors.Is(err, io.EOF):
			b.err = io.ErrUnexpectedEOF
		case err == nil && n == 0:
			b.err = io.EOF
		}
	}
	if b.err != nil {
		return 0, b.err
	}
	b.left--
	c, err := b.r.ReadByte()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return c, err
}

// Read makes it a reader; the decoder asks for single bytes.
func (b *blockReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := b.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// finish skips what follows the last pixel, up to the end of the frame.
func (b *blockReader) finish() error {
	for b.err == nil {
		if _, err := b.r.Discard(b.left); err != nil {
			return err
		}
		b.left = 0
		if _, err := b.ReadByte(); err != nil && b.err == nil {
			return err
		}
	}
	if errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}
