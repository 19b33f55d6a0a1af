package thumbnail

import (
	"encoding/binary"
	"errors"
	"io"
)

// pass is one of the pictures that an interlaced PNG is made of: pixels
// and rows that lie some steps apart.
type pass struct{ x, y, stepX, stepY int }

var (
	plain = []pass{{0, 0, 1, 1}}
	adam7 = []pass{
		{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
	}
)

// passes reads all rows and paints them.
func (p *pngReader) passes(c *canvas, pixels io.Reader) error {
	passes := plain
	if p.interlaced {
		passes = adam7
	}
	row, above := make([]byte, p.rowBytes(p.width)), make([]byte, p.rowBytes(p.width))
	nrgba := make([]byte, 4*p.width)
	for _, pass := range passes {
		width := (p.width - pass.x + pass.stepX - 1) / pass.stepX
		if width <= 0 {
			continue
		}
		n := p.rowBytes(width)
		clear(above)
		for y := pass.y; y < p.height; y += pass.stepY {
			if err := p.s.check(); err != nil {
				return err
			}
			if _, err := io.ReadFull(pixels, row[:n]); err != nil {
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					err = damaged("too few pixels")
				}
				return err
			}
			if !unfilter(row[:n], above[:n], (p.bits()+7)/8) {
				return damaged("an unknown filter")
			}
			p.convert(nrgba[:4*width], row[1:n])
			c.pixels(y, pass.x, pass.stepX, nrgba[:4*width])
			row, above = above, row
		}
	}
	return nil
}

// unfilter turns differences into bytes. The first byte names the filter, bpp
// is how many bytes back the pixel to the left is.
func unfilter(row, above []byte, bpp int) bool {
	filter, b, up := row[0], row[1:], above[1:]
	up = up[:len(b)]
	switch filter {
	case 0:
	case 1:
		for i := bpp; i < len(b); i++ {
			b[i] += b[i-bpp]
		}
	case 2:
		for i := range b {
			b[i] += up[i]
		}
	case 3:
		for i := range min(bpp, len(b)) {
			b[i] += up[i] / 2
		}
		for i := bpp; i < len(b); i++ {
			b[i] += uint8((int(b[i-bpp]) + int(up[i])) / 2)
		}
	case 4:
		paeth(b, up, bpp)
	default:
		return false
	}
	return true
}

// paeth adds whichever of left, up and up left is nearest to left + up - up left.
func paeth(b, up []byte, bpp int) {
	for k := range min(bpp, len(b)) {
		left, corner := 0, 0
		for i := k; i < len(b); i += bpp {
			above := int(up[i])
			toLeft, toAbove := above-corner, left-corner
			toCorner := toLeft + toAbove
			toLeft, toAbove, toCorner = abs(toLeft), abs(toAbove), abs(toCorner)
			nearest := left
			if toLeft > toAbove || toLeft > toCorner {
				if nearest = above; toAbove > toCorner {
					nearest = corner
				}
			}
			b[i] += uint8(nearest)
			left, corner = int(b[i]), above
		}
	}
}

func abs(v int) int {
	sign := v >> 63
	return (v ^ sign) - sign
}

// convert turns a row into pixels of four bytes. Of 16 bits the upper 8 count,
// after the transparent colour was looked for.
func (p *pngReader) convert(dst, row []byte) {
	switch {
	case p.depth < 8:
		p.convertPacked(dst, row)
	case p.depth == 16:
		p.convert16(dst, row)
	case p.colour == trueAlpha:
		copy(dst, row)
	case p.colour == indexed:
		for i := range len(dst) / 4 {
			copy(dst[4*i:4*i+4], p.palette[row[i]][:])
		}
	case p.colour == greyAlpha:
		for i := range len(dst) / 4 {
			put(dst[4*i:], row[2*i], row[2*i], row[2*i], row[2*i+1])
		}
	case p.colour == grey:
		key := uint8(p.key[0])
		for i := range len(dst) / 4 {
			put(dst[4*i:], row[i], row[i], row[i], opaque(p.keyed && row[i] == key))
		}
	default:
		r, g, b := uint8(p.key[0]), uint8(p.key[1]), uint8(p.key[2])
		for i := range len(dst) / 4 {
			v := row[3*i:][:3]
			put(dst[4*i:], v[0], v[1], v[2], opaque(p.keyed && v[0] == r && v[1] == g && v[2] == b))
		}
	}
}

func put(dst []byte, r, g, b, a uint8) {
	_ = dst[3]
	dst[0], dst[1], dst[2], dst[3] = r, g, b, a
}

func opaque(transparent bool) uint8 {
	if transparent {
		return 0
	}
	return 0xff
}

// convertPacked is for pixels of less than a byte.
func (p *pngReader) convertPacked(dst, row []byte) {
	depth := int(p.depth)
	most := uint8(1<<depth - 1)
	scale := 0xff / most
	// image/png compares the low bits of the key with the scaled value.
	key := uint8(p.key[0]) * scale
	for i := range len(dst) / 4 {
		bit := i * depth
		v := row[bit/8] >> (8 - depth - bit%8) & most
		if p.colour == indexed {
			copy(dst[4*i:4*i+4], p.palette[v][:])
			continue
		}
		v *= scale
		put(dst[4*i:], v, v, v, opaque(p.keyed && v == key))
	}
}

func (p *pngReader) convert16(dst, row []byte) {
	samples := p.bits() / 16
	for i := range len(dst) / 4 {
		v := row[2*samples*i:][:2*samples]
		d := dst[4*i:]
		switch p.colour {
		case grey:
			put(d, v[0], v[0], v[0], opaque(p.keyed && binary.BigEndian.Uint16(v) == p.key[0]))
		case greyAlpha:
			put(d, v[0], v[0], v[0], v[2])
		case trueAlpha:
			put(d, v[0], v[2], v[4], v[6])
		default:
			put(d, v[0], v[2], v[4], opaque(p.keyed && binary.BigEndian.Uint16(v) == p.key[0] &&
				binary.BigEndian.Uint16(v[2:]) == p.key[1] && binary.BigEndian.Uint16(v[4:]) == p.key[2]))
		}
	}
}
