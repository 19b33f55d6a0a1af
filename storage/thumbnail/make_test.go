package thumbnail_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/disintegration/imaging"
	xwebp "golang.org/x/image/webp"

	"trellis/storage/thumbnail"
)

func make1(t testing.TB, data []byte, contentType string, size int) thumbnail.Picture {
	t.Helper()
	p, err := thumbnail.New(thumbnail.Limits{}).Make(context.Background(), bytes.NewReader(data), contentType, size)
	if err != nil {
		t.Fatalf("%s: %v", contentType, err)
	}
	return p[0]
}

// decode is a decoder of thumbnails that shares nothing with the package but
// the conversion from the video range, which image.YCbCr gets wrong.
func decode(t testing.TB, p thumbnail.Picture) *image.NRGBA {
	t.Helper()
	img, err := xwebp.Decode(bytes.NewReader(p.WEBP))
	if err != nil {
		t.Fatalf("the thumbnail cannot be decoded: %v", err)
	}
	if b := img.Bounds(); b.Dx() != p.Width || b.Dy() != p.Height {
		t.Fatalf("the thumbnail is %v and says %d x %d", b, p.Width, p.Height)
	}
	out := image.NewNRGBA(img.Bounds())
	for y := range p.Height {
		for x := range p.Width {
			out.SetNRGBA(x, y, pixelOf(img, x, y))
		}
	}
	return out
}

func pixelOf(img image.Image, x, y int) color.NRGBA {
	var planes *image.YCbCr
	alpha := uint8(0xff)
	switch img := img.(type) {
	case *image.YCbCr:
		planes = img
	case *image.NYCbCrA:
		planes, alpha = &img.YCbCr, img.A[img.AOffset(x, y)]
	default:
		return color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
	}
	l := 1.164 * (float64(planes.Y[planes.YOffset(x, y)]) - 16)
	u, v := float64(planes.Cb[planes.COffset(x, y)])-128, float64(planes.Cr[planes.COffset(x, y)])-128
	clip := func(f float64) uint8 { return uint8(max(0, min(255, math.Round(f)))) }
	return color.NRGBA{clip(l + 1.596*v), clip(l - 0.391*u - 0.813*v), clip(l + 2.018*u), alpha}
}

func near(a, b color.NRGBA, tolerance int) bool {
	d := func(x, y uint8) bool { return abs(int(x)-int(y)) <= tolerance }
	if a.A == 0 && b.A == 0 {
		return true
	}
	return d(a.R, b.R) && d(a.G, b.G) && d(a.B, b.B) && d(a.A, b.A)
}

func abs(v int) int { return max(v, -v) }

// photo looks like one to the codecs: soft shades, noise, sharp edges, texture.
func photo(w, h int, seed uint64) *image.NRGBA {
	r := rand.New(rand.NewPCG(seed, 1))
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	scale := 1000 / float64(max(w, h))
	for y := range h {
		for x := range w {
			fx, fy := float64(x)*scale, float64(y)*scale
			base := 120 + 60*math.Sin(fx/90)*math.Cos(fy/130) + 25*math.Sin(fx*fy/9000)
			if math.Hypot(fx-400, fy-300) < 180 {
				base = 230 - base/2
			}
			if int(fx/70+fy/45)%5 == 0 {
				base *= 0.6
			}
			noise := func() float64 { return r.NormFloat64() * 9 }
			c := func(v float64) uint8 { return uint8(max(0, min(255, v))) }
			img.SetNRGBA(x, y, color.NRGBA{
				c(base + noise() + fx/20), c(base + noise()), c(base + noise() - fy/15), 255})
		}
	}
	return img
}

// ssim is the mean structural similarity of luma, in windows of 8 x 8.
func ssim(a, b *image.NRGBA) float64 {
	luma := func(img *image.NRGBA, x, y int) float64 {
		c := img.NRGBAAt(x, y)
		return 0.299*float64(c.R) + 0.587*float64(c.G) + 0.114*float64(c.B)
	}
	const n = 64.0
	total, windows := 0.0, 0.0
	for y := 0; y+8 <= a.Rect.Dy(); y += 4 {
		for x := 0; x+8 <= a.Rect.Dx(); x += 4 {
			var sa, sb, saa, sbb, sab float64
			for dy := range 8 {
				for dx := range 8 {
					u, v := luma(a, x+dx, y+dy), luma(b, x+dx, y+dy)
					sa, sb, saa, sbb, sab = sa+u, sb+v, saa+u*u, sbb+v*v, sab+u*v
				}
			}
			ma, mb := sa/n, sb/n
			va, vb, cov := saa/n-ma*ma, sbb/n-mb*mb, sab/n-ma*mb
			const c1, c2 = 6.5025, 58.5225
			total += (2*ma*mb + c1) * (2*cov + c2) / ((ma*ma + mb*mb + c1) * (va + vb + c2))
			windows++
		}
	}
	return total / windows
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestThumbnailLooksLikeLanczos: shrinking in steps is not seen. What WEBP loses
// is lost on both sides.
func TestThumbnailLooksLikeLanczos(t *testing.T) {
	for i, size := range [][2]int{{384, 288}, {575, 412}, {450, 680}, {525, 385}, {750, 125}, {499, 375}} {
		img := photo(size[0], size[1], uint64(i))
		p := make1(t, encodePNG(t, img), "image/png", 96)
		whole, err := thumbnail.Encode(imaging.Resize(img, p.Width, p.Height, imaging.Lanczos))
		if err != nil {
			t.Fatal(err)
		}
		want := decode(t, thumbnail.Picture{WEBP: whole, Width: p.Width, Height: p.Height})
		if s := ssim(decode(t, p), want); s < 0.98 {
			t.Errorf("%v: SSIM %.4f", size, s)
		} else {
			t.Logf("%v: SSIM %.4f", size, s)
		}
	}
}

func TestSizesAreExact(t *testing.T) {
	for _, c := range []struct{ w, h, size, wantW, wantH int }{
		{1, 1, 256, 1, 1},
		{256, 256, 256, 256, 256},
		{257, 100, 256, 256, 100},
		{100, 50, 256, 100, 50},
		{100, 50, 32, 32, 16},
		{500, 251, 128, 128, 64},
		{500, 253, 128, 128, 65},
		{1, 60000, 256, 1, 256},
		{60000, 1, 256, 256, 1},
		{3, 5000, 64, 1, 64},
		{257, 256, 128, 128, 128},
	} {
		img := image.NewGray(image.Rect(0, 0, c.w, c.h))
		for i := range img.Pix {
			img.Pix[i] = 200
		}
		p := make1(t, encodePNG(t, img), "image/png", c.size)
		if p.Width != c.wantW || p.Height != c.wantH {
			t.Errorf("%d x %d to %d: %d x %d, want %d x %d", c.w, c.h, c.size, p.Width, p.Height, c.wantW, c.wantH)
		}
		out := decode(t, p)
		if got := out.NRGBAAt(p.Width/2, p.Height/2); !near(got, color.NRGBA{200, 200, 200, 255}, 3) {
			t.Errorf("%d x %d to %d: %v", c.w, c.h, c.size, got)
		}
	}
}

func TestOneDecodeMakesSeveralSizes(t *testing.T) {
	data := encodePNG(t, photo(400, 300, 3))
	m := thumbnail.New(thumbnail.Limits{})
	ps, err := m.Make(t.Context(), bytes.NewReader(data), "image/png", 256, 32, 64, 128)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][2]int{{256, 192}, {32, 24}, {64, 48}, {128, 96}} {
		if ps[i].Width != want[0] || ps[i].Height != want[1] {
			t.Errorf("%d: %d x %d, want %v", i, ps[i].Width, ps[i].Height, want)
		}
		if i == 0 {
			continue
		}
		small, err := m.Shrink(t.Context(), ps[0].WEBP, want[0])
		if err != nil {
			t.Fatal(err)
		}
		if small.Width != want[0] || small.Height != want[1] {
			t.Errorf("shrunk: %d x %d, want %v", small.Width, small.Height, want)
		}
		if s := ssim(decode(t, small), decode(t, ps[i])); s < 0.95 {
			t.Errorf("shrunk to %v: SSIM %.4f", want, s)
		}
	}
	for _, size := range []int{0, -1, 257} {
		if _, err := m.Make(t.Context(), bytes.NewReader(data), "image/png", size); err == nil {
			t.Errorf("size %d is taken", size)
		}
	}
}

// TestTransparentPixelsDoNotBleed: red that nobody sees leaves the green alone.
func TestTransparentPixelsDoNotBleed(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 600, 300))
	for y := range 300 {
		for x := range 600 {
			c := color.NRGBA{255, 0, 0, 0}
			if (x+y)%2 == 0 && x < 300 {
				c = color.NRGBA{0, 200, 0, 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	out := decode(t, make1(t, encodePNG(t, img), "image/png", 64))
	if got := out.NRGBAAt(10, 16); !near(got, color.NRGBA{0, 200, 0, 128}, 6) {
		t.Errorf("half green is %v", got)
	}
	if got := out.NRGBAAt(55, 16); got.A != 0 {
		t.Errorf("nothing is %v", got)
	}
}
