package thumbnail

import (
	"image"
	"math"
)

// canvas is a picture while it is decoded, shrunk to about twice the size that
// is wanted, or somewhat more: the rest is left to a better filter. Pixels that
// nobody paints are transparent.
type canvas struct {
	width, height int // of the picture
	columns, rows int // of boxes
	// Either red, green, blue, each times alpha, and alpha; or luma, or luma
	// and two of chroma, which colour then turns into red, green and blue.
	channels []*channel
	colour   func(y, cb, cr float32) (r, g, b float32)
	premul   [4][]uint16
}

// shrunk returns how many boxes a side of a picture gets if it becomes a side
// of a thumbnail.
func shrunk(length, small int) int {
	factor := max(1, length/(2*small))
	return (length + factor/2) / factor
}

func grid(width, height, size int) (columns, rows int) {
	w, h := fit(width, height, size)
	return shrunk(width, w), shrunk(height, h)
}

func newCanvas(width, height, size int) *canvas {
	columns, rows := grid(width, height, size)
	return &canvas{width: width, height: height, columns: columns, rows: rows}
}

// canvasMemory is how many bytes are needed besides decoding: sums and lines,
// the shrunk picture, what resizing makes of it, the encoder.
func canvasMemory(width, height, size int) int64 {
	columns, rows := grid(width, height, size)
	boxes, lines := int64(columns)*int64(rows), int64(columns)+int64(rows)
	return boxes*(4*4+4) + lines*4*32 + int64(size)*int64(rows)*4 + 4<<20
}

// rowMemory is how many bytes pixels needs for rows of so many pixels.
func rowMemory(pixels int) int64 { return int64(pixels) * 4 * 2 }

// pixels paints a part of row y: pixels of four bytes (red, green, blue, alpha
// that they are not multiplied with), step apart, from x on.
func (c *canvas) pixels(y, x, step int, nrgba []byte) {
	if c.channels == nil {
		h, v := newAxis(c.width, 1, c.columns), newAxis(c.height, 1, c.rows)
		for range 4 {
			c.channels = append(c.channels, newChannel(h, v))
		}
	}
	n := len(nrgba) / 4
	if len(c.premul[0]) < n {
		for i := range c.premul {
			c.premul[i] = make([]uint16, n)
		}
	}
	red, green, blue, alpha := c.premul[0][:n], c.premul[1][:n], c.premul[2][:n], c.premul[3][:n]
	for i := range n {
		p := nrgba[4*i:][:4]
		a := uint16(p[3])
		red[i], green[i], blue[i], alpha[i] = uint16(p[0])*a, uint16(p[1])*a, uint16(p[2])*a, a
	}
	for i, ch := range c.channels {
		if n == c.width && step == 1 {
			addRow(ch, y, c.premul[i][:n])
		} else {
			ch.addPixels(y, x, step, c.premul[i][:n])
		}
	}
}

// grey paints the whole picture.
func (c *canvas) grey(img *image.Gray) {
	c.colour = func(y, _, _ float32) (r, g, b float32) { return y, y, y }
	c.plane(img.Pix, img.Stride, 1, 1)
}

// planes paints the whole picture, from its planes as they are.
func (c *canvas) planes(img *image.YCbCr, colour func(y, cb, cr float32) (r, g, b float32)) {
	c.colour = colour
	h, v := subsampling(img.SubsampleRatio)
	c.plane(img.Y, img.YStride, 1, 1)
	c.plane(img.Cb, img.CStride, h, v)
	c.plane(img.Cr, img.CStride, h, v)
}

func (c *canvas) plane(pix []uint8, stride, h, v int) {
	ch := newChannel(newAxis(c.width, h, c.columns), newAxis(c.height, v, c.rows))
	c.channels = append(c.channels, ch)
	samples := (c.width + h - 1) / h
	for y := range (c.height + v - 1) / v {
		addRow(ch, y, pix[y*stride:][:samples])
	}
}

// subsampling is how many pixels wide and high a sample of chroma is.
func subsampling(r image.YCbCrSubsampleRatio) (h, v int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// image is what was painted. Averages are made of colours times alpha: what
// nobody sees does not bleed into its neighbours.
func (c *canvas) image() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, c.columns, c.rows))
	if c.channels == nil {
		return img
	}
	for i := range c.columns * c.rows {
		p := img.Pix[4*i:][:4]
		if c.colour == nil {
			alpha := c.channels[3].sums[i]
			if alpha <= 0 {
				continue
			}
			for j := range 3 {
				p[j] = byteOf(c.channels[j].sums[i] / alpha)
			}
			p[3] = byteOf(c.channels[3].mean(i))
			continue
		}
		var mean [3]float32
		for j, ch := range c.channels {
			mean[j] = ch.mean(i)
		}
		r, g, b := c.colour(mean[0], mean[1], mean[2])
		p[0], p[1], p[2], p[3] = byteOf(r), byteOf(g), byteOf(b), 0xff
	}
	return img
}

func byteOf(v float32) uint8 {
	return uint8(math.Round(float64(max(0, min(v, 255)))))
}

// fullRange is the YCbCr of JPEG, videoRange that of WEBP.
func fullRange(y, cb, cr float32) (r, g, b float32) {
	cb, cr = cb-128, cr-128
	return y + 1.402*cr, y - 0.344136*cb - 0.714136*cr, y + 1.772*cb
}

func videoRange(y, cb, cr float32) (r, g, b float32) {
	y, cb, cr = 1.164384*(y-16), cb-128, cr-128
	return y + 1.596027*cr, y - 0.391762*cb - 0.812968*cr, y + 2.017232*cb
}
