package identicon

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/vector"
)

// arc is how far from its ends the curve of a quarter circle is drawn to.
const arc = 0.5522847498

// point is a place on a canvas, whose corners are (0,0) and (1,1).
type point struct{ x, y float64 }

// canvas draws shapes with smooth edges: outlines are collected, and painted
// together in one colour, so that no seams are seen between them.
type canvas struct {
	size float64
	m    *image.RGBA
	z    *vector.Rasterizer
}

func newCanvas(size int) *canvas {
	return &canvas{float64(size), image.NewRGBA(image.Rect(0, 0, size, size)), vector.NewRasterizer(size, size)}
}

func (c *canvas) moveTo(p point) {
	c.z.ClosePath()
	c.z.MoveTo(float32(p.x*c.size), float32(p.y*c.size))
}

func (c *canvas) lineTo(p point) { c.z.LineTo(float32(p.x*c.size), float32(p.y*c.size)) }

func (c *canvas) curveTo(p, q, r point) {
	s := c.size
	c.z.CubeTo(float32(p.x*s), float32(p.y*s), float32(q.x*s), float32(q.y*s), float32(r.x*s), float32(r.y*s))
}

// fill paints what was outlined since the last time. Outlines that overlap run
// the same way round.
func (c *canvas) fill(ink color.NRGBA) {
	c.z.ClosePath()
	c.z.Draw(c.m, c.m.Bounds(), image.NewUniform(ink), image.Point{})
	c.z.Reset(c.m.Bounds().Dx(), c.m.Bounds().Dy())
	c.z.DrawOp = draw.Over
}

func (c *canvas) polygon(points ...point) {
	c.moveTo(points[0])
	for _, p := range points[1:] {
		c.lineTo(p)
	}
}

// ellipse has its axes turned by an angle.
func (c *canvas) ellipse(centre point, rx, ry, turn float64) {
	const k = arc
	at := func(x, y float64) point {
		return centre.plus(point{x * rx, y * ry}.turned(turn))
	}
	c.moveTo(at(1, 0))
	c.curveTo(at(1, k), at(k, 1), at(0, 1))
	c.curveTo(at(-k, 1), at(-1, k), at(-1, 0))
	c.curveTo(at(-1, -k), at(-k, -1), at(0, -1))
	c.curveTo(at(k, -1), at(1, -k), at(1, 0))
}

func (c *canvas) circle(centre point, r float64) { c.ellipse(centre, r, r, 0) }

// square has round corners.
func (c *canvas) square(from, to point, r float64) {
	k := r * (1 - arc)
	c.moveTo(point{from.x + r, from.y})
	c.lineTo(point{to.x - r, from.y})
	c.curveTo(point{to.x - k, from.y}, point{to.x, from.y + k}, point{to.x, from.y + r})
	c.lineTo(point{to.x, to.y - r})
	c.curveTo(point{to.x, to.y - k}, point{to.x - k, to.y}, point{to.x - r, to.y})
	c.lineTo(point{from.x + r, to.y})
	c.curveTo(point{from.x + k, to.y}, point{from.x, to.y - k}, point{from.x, to.y - r})
	c.lineTo(point{from.x, from.y + r})
	c.curveTo(point{from.x, from.y + k}, point{from.x + k, from.y}, point{from.x + r, from.y})
}

// regular is a polygon of n equal sides, one corner of it turned by an angle
// from the right.
func (c *canvas) regular(centre point, r float64, n int, turn float64) {
	points := make([]point, n)
	for i := range points {
		points[i] = centre.plus(point{r, 0}.turned(turn + 2*math.Pi*float64(i)/float64(n)))
	}
	c.polygon(points...)
}

func (p point) plus(q point) point { return point{p.x + q.x, p.y + q.y} }

func (p point) turned(by float64) point {
	sin, cos := math.Sincos(by)
	return point{p.x*cos - p.y*sin, p.x*sin + p.y*cos}
}

// image returns what was drawn, with colours that do not depend on how much of
// a pixel is covered.
func (c *canvas) image() *image.NRGBA {
	m := image.NewNRGBA(c.m.Bounds())
	for i := 0; i < len(m.Pix); i += 4 {
		from, to := c.m.Pix[i:i+4:i+4], m.Pix[i:i+4:i+4]
		a := uint32(from[3])
		if a == 0 {
			continue
		}
		for j := range 3 {
			to[j] = uint8(min(255, (uint32(from[j])*255+a/2)/a))
		}
		to[3] = from[3]
	}
	return m
}
