package identicon

import (
	"image/color"
	"math"
)

var centre = point{0.5, 0.5}

const upwards = -math.Pi / 2

// user draws a disc with a rosette: two rings of petals around a heart.
func user(c *canvas, d *dice, ink inks) {
	c.circle(centre, 0.5)
	c.fill(ink.pale)
	n := 5 + d.roll(4)
	step := 2 * math.Pi / float64(n)
	outer, inner := ink.main, ink.accent
	if d.roll(2) == 1 {
		outer, inner = inner, outer
	}
	ring(c, n, d.roll(4), 0.33, 0.075+0.005*float64(d.roll(8)), upwards)
	c.fill(outer)
	ring(c, n, d.roll(4), 0.185, 0.045+0.005*float64(d.roll(8)), upwards+step/2*float64(d.roll(2)))
	c.fill(inner)
	shape, size := d.roll(4), 0.05+0.006*float64(d.roll(8))
	if shape == 0 {
		c.regular(centre, size*1.2, n, upwards)
	} else {
		c.circle(centre, size)
	}
	c.fill(outer)
	switch shape {
	case 2:
		c.circle(centre, size*0.55)
		c.fill(ink.pale)
	case 3:
		c.circle(centre, size*0.55)
		c.fill(inner)
	}
}

// ring outlines n shapes of a size around the centre.
func ring(c *canvas, n, shape int, distance, size, turn float64) {
	for i := range n {
		at := turn + 2*math.Pi*float64(i)/float64(n)
		p := centre.plus(point{distance, 0}.turned(at))
		switch shape {
		case 0:
			c.circle(p, size)
		case 1:
			c.ellipse(p, size*1.15, size*0.7, at)
		case 2:
			c.regular(p, size*1.15, 3, at)
		case 3:
			c.regular(p, size*1.1, 4, at)
		}
	}
}

// cells says of each of n cells what it shows: 0 for nothing, 1 the main
// colour, 2 the accent. The one in the middle shows something.
func cells(d *dice, n, middle int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = []int{0, 0, 0, 1, 1, 1, 2, 2}[d.roll(8)]
	}
	list[middle] = 1
	return list
}

// organization draws a square with a grid that is mirrored at its middle.
func organization(c *canvas, d *dice, ink inks) {
	const (
		side   = 5
		margin = 0.14
	)
	c.square(point{0, 0}, point{1, 1}, 0.12)
	c.fill(ink.pale)
	// Cells begin and end with a pixel, which keeps them sharp.
	edge := func(i int) float64 {
		return math.Round((margin+float64(i)*(1-2*margin)/side)*c.size) / c.size
	}
	list := cells(d, 3*side, 2*side+2)
	for colour, ink := range []color.NRGBA{1: ink.main, 2: ink.accent} {
		for i, cell := range list {
			if cell != colour || colour == 0 {
				continue
			}
			x, y := i/side, i%side
			c.square(point{edge(x), edge(y)}, point{edge(x + 1), edge(y + 1)}, 0)
			if mirrored := side - 1 - x; mirrored != x {
				c.square(point{edge(mirrored), edge(y)}, point{edge(mirrored + 1), edge(y + 1)}, 0)
			}
		}
		c.fill(ink)
	}
}

// team draws a hexagon of cells, mirrored at its middle.
func team(c *canvas, d *dice, ink inks) {
	const r = 0.092
	c.regular(centre, 0.5, 6, upwards)
	c.fill(ink.pale)
	shape := d.roll(4)
	list := cells(d, 11, 6)
	for colour, ink := range []color.NRGBA{1: ink.main, 2: ink.accent} {
		next := 0
		for row := -2; row <= 2; row++ {
			n := 5 - max(row, -row)
			for i := range (n + 1) / 2 {
				cell := list[next]
				next++
				if cell != colour || colour == 0 {
					continue
				}
				dx, dy := (float64(i)-float64(n-1)/2)*r*math.Sqrt(3), float64(row)*r*1.5
				comb(c, shape, point{dx, dy}, r)
				if dx != 0 {
					comb(c, shape, point{-dx, dy}, r)
				}
			}
		}
		c.fill(ink)
	}
}

// comb outlines a cell of a team, in one of four shapes.
func comb(c *canvas, shape int, from point, r float64) {
	p := centre.plus(from)
	switch shape {
	case 0:
		c.regular(p, r*0.94, 6, upwards)
	case 1:
		c.regular(p, r*1.005, 6, upwards)
	case 2:
		c.circle(p, r*0.8)
	case 3:
		c.circle(p, r*0.66)
	}
}

// project draws a dark square with four quarters, each the one before turned
// by a right angle.
func project(c *canvas, d *dice, ink inks) {
	const (
		margin = 0.14
		side   = (0.5 - margin) / 2
	)
	c.square(point{0, 0}, point{1, 1}, 0.12)
	c.fill(ink.main)
	var tiles [4]struct{ shape, turn, colour int }
	for i := range tiles {
		t := &tiles[i]
		t.shape, t.turn, t.colour = d.roll(8), d.roll(4), d.roll(2)
	}
	tiles[3].shape, tiles[3].colour = tiles[3].shape%7, 0
	for colour, ink := range []color.NRGBA{mix(ink.main, white, 0.92), mix(ink.accent, white, 0.5)} {
		for i, t := range tiles {
			if t.colour != colour {
				continue
			}
			corner := point{-2*side + side*float64(i%2), -2*side + side*float64(i/2)}
			for quarter := range 4 {
				tile(c, t.shape, float64(t.turn)*math.Pi/2, side, func(p point) point {
					return centre.plus(corner.plus(p).turned(float64(quarter) * math.Pi / 2))
				})
			}
		}
		c.fill(ink)
	}
}

// tile outlines one of eight shapes in a square of that side, which place puts
// where it belongs.
func tile(c *canvas, shape int, turn, side float64, place func(point) point) {
	at := func(x, y float64) point {
		p := point{x - 0.5, y - 0.5}.turned(turn)
		return place(point{(p.x + 0.5) * side, (p.y + 0.5) * side})
	}
	switch shape {
	case 0:
		c.polygon(at(0, 0), at(1, 0), at(1, 1), at(0, 1))
	case 1:
		c.polygon(at(0, 0), at(1, 0), at(0, 1))
	case 2:
		c.polygon(at(0, 0), at(1, 0.5), at(0, 1))
	case 3:
		c.polygon(at(0.5, 0), at(1, 0.5), at(0.5, 1), at(0, 0.5))
	case 4:
		c.circle(at(0.5, 0.5), side*0.42)
	case 5: // a quarter of a circle
		c.moveTo(at(0, 0))
		c.lineTo(at(1, 0))
		c.curveTo(at(1, arc), at(arc, 1), at(0, 1))
	case 6:
		c.polygon(at(0, 0), at(1, 0), at(1, 0.5), at(0, 0.5))
	}
	// The last is left empty.
}
