package identicon

import (
	"crypto/sha256"
	"image"
	"image/color"
)

// The sizes that pictures have at least and at most.
const (
	MinSize = 16
	MaxSize = 512
)

// Make draws the picture of a node in a square of that many pixels, or the
// nearest size there is. Outside of its shape the picture is transparent. A
// kind other than user, organization and team is drawn as a project.
func Make(kind, id string, size int) *image.NRGBA {
	d := newDice(kind, id)
	n := d.roll(len(palette))
	// The accent is a near colour, and may be lighter: far ones look muddy side by side.
	near := palette[(n+len(palette)+d.roll(7)-3)%len(palette)]
	ink := inks{
		main:   palette[n],
		accent: mix(near, white, 0.1+0.2*float64(d.roll(2))),
		pale:   mix(palette[n], white, 0.86),
	}
	c := newCanvas(min(max(size, MinSize), MaxSize))
	switch kind {
	case "user":
		user(c, d, ink)
	case "organization":
		organization(c, d, ink)
	case "team":
		team(c, d, ink)
	default:
		project(c, d, ink)
	}
	return c.image()
}

// inks are the colours of a picture.
type inks struct{ main, accent, pale color.NRGBA }

var white = color.NRGBA{255, 255, 255, 255}

// palette has colours of about the same darkness: each stands out on the pale
// one made of it, and white does on each.
var palette = [...]color.NRGBA{
	{0xb9, 0x31, 0x4f, 255}, // raspberry
	{0xc0, 0x39, 0x2b, 255}, // brick
	{0xb4, 0x53, 0x09, 255}, // amber
	{0x8d, 0x63, 0x08, 255}, // ochre
	{0x5f, 0x72, 0x0f, 255}, // olive
	{0x3f, 0x7d, 0x20, 255}, // leaf
	{0x15, 0x80, 0x4b, 255}, // emerald
	{0x0d, 0x7d, 0x74, 255}, // teal
	{0x0b, 0x7a, 0x98, 255}, // lagoon
	{0x1d, 0x6f, 0xb8, 255}, // azure
	{0x3b, 0x5b, 0xc9, 255}, // cobalt
	{0x5b, 0x4b, 0xc4, 255}, // indigo
	{0x7a, 0x42, 0xb8, 255}, // violet
	{0x96, 0x3a, 0xa3, 255}, // plum
	{0xa8, 0x32, 0x7d, 255}, // magenta
	{0x55, 0x65, 0x78, 255}, // slate
}

// mix returns a with that share of b in it.
func mix(a, b color.NRGBA, share float64) color.NRGBA {
	m := func(x, y uint8) uint8 { return uint8(float64(x) + (float64(y)-float64(x))*share + 0.5) }
	return color.NRGBA{m(a.R, b.R), m(a.G, b.G), m(a.B, b.B), 255}
}

// dice give the choices of a picture, from the hash of what it is of.
type dice struct {
	sum  [sha256.Size]byte
	next int
}

func newDice(kind, id string) *dice {
	return &dice{sum: sha256.Sum256([]byte(kind + "\x00" + id))}
}

// roll returns a number from 0 to n-1, n being small.
func (d *dice) roll(n int) int {
	if d.next == len(d.sum) {
		d.sum, d.next = sha256.Sum256(d.sum[:]), 0
	}
	d.next++
	return int(d.sum[d.next-1]) * n >> 8
}
