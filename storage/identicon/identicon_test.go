package identicon_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"trellis/storage/identicon"
)

var update = flag.Bool("update", false, "rewrite the pictures in testdata")

var kinds = []string{"user", "organization", "team", "project"}

// The pictures that people know are not to change with a release.
func TestPicturesStayWhatTheyWere(t *testing.T) {
	for _, kind := range kinds {
		for id, size := range map[string]int{"1": 32, "2": 64, "member-0001": 128} {
			t.Run(fmt.Sprint(kind, " ", id), func(t *testing.T) {
				got := identicon.Make(kind, id, size)
				file := filepath.Join("testdata", kind+"-"+id+".png")
				if *update {
					write(t, file, got)
				}
				f, err := os.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				want, err := png.Decode(f)
				if err != nil {
					t.Fatal(err)
				}
				if d := difference(got, want); d > 2 { // processors round differently
					t.Fatalf("a colour differs by %v", d)
				}
			})
		}
	}
}

func write(t *testing.T, file string, m image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// difference is the largest one between the channels of two pictures.
func difference(a, b image.Image) float64 {
	if a.Bounds() != b.Bounds() {
		return math.Inf(1)
	}
	most := 0.0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			r, g, bl, al := a.At(x, y).RGBA()
			r2, g2, bl2, al2 := b.At(x, y).RGBA()
			for _, d := range []float64{float64(r) - float64(r2), float64(g) - float64(g2), float64(bl) - float64(bl2), float64(al) - float64(al2)} {
				most = max(most, math.Abs(d)/257)
			}
		}
	}
	return most
}

func TestSameNodeHasSamePicture(t *testing.T) {
	for _, kind := range kinds {
		if !bytes.Equal(identicon.Make(kind, "a", 64).Pix, identicon.Make(kind, "a", 64).Pix) {
			t.Errorf("two pictures of one %s differ", kind)
		}
	}
}

func TestNodesHaveDifferentPictures(t *testing.T) {
	const n = 2500 // of each kind
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			seen := map[[32]byte]bool{}
			for i := range n {
				seen[sha256.Sum256(identicon.Make(kind, fmt.Sprint(i), 32).Pix)] = true
			}
			if len(seen) < n-4 {
				t.Errorf("%d nodes have %d pictures", n, len(seen))
			}
		})
	}
	for _, a := range kinds {
		for _, b := range kinds {
			if a != b && bytes.Equal(identicon.Make(a, "1", 64).Pix, identicon.Make(b, "1", 64).Pix) {
				t.Errorf("%s and %s with the same id look the same", a, b)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	for asked, want := range map[int]int{-1: identicon.MinSize, 0: identicon.MinSize, 32: 32, 33: 33, 256: 256, 1 << 30: identicon.MaxSize} {
		for _, kind := range append(kinds, "something else", "") {
			if got := identicon.Make(kind, "x", asked).Bounds(); got != image.Rect(0, 0, want, want) {
				t.Errorf("%s of %d: %v", kind, asked, got)
			}
		}
	}
}

// Half of each picture is the other half mirrored, or turned for projects.
func TestPicturesAreSymmetric(t *testing.T) {
	for _, kind := range kinds {
		for i := range 20 {
			m := identicon.Make(kind, fmt.Sprint(i), 64)
			for y := range 64 {
				for x := range 64 {
					there := m.NRGBAAt(63-x, y)
					if kind == "project" {
						there = m.NRGBAAt(63-y, x)
					}
					if far(m.NRGBAAt(x, y), there) {
						t.Fatalf("%s %d is not symmetric at %d,%d", kind, i, x, y)
					}
				}
			}
		}
	}
}

// far allows for rounding at the edges of shapes.
func far(a, b color.NRGBA) bool {
	d := func(x, y uint8) bool { return max(x, y)-min(x, y) > 12 }
	return d(a.A, b.A) || a.A > 128 && (d(a.R, b.R) || d(a.G, b.G) || d(a.B, b.B))
}

// What is drawn stands out, and there is neither too little of it nor too much.
func TestPatternsAreSeen(t *testing.T) {
	for _, kind := range kinds {
		for i := range 60 {
			m := identicon.Make(kind, fmt.Sprint(i), 64)
			ground := m.NRGBAAt(32, 2)
			seen, drawn := 0, 0
			for y := range 64 {
				for x := range 64 {
					c := m.NRGBAAt(x, y)
					if c.A < 255 {
						continue
					}
					drawn++
					if contrast(c, ground) >= 2.5 {
						seen++
					}
				}
			}
			if share := float64(seen) / float64(drawn); share < 0.02 || share > 0.7 {
				t.Errorf("%s %d: %.0f %% of the picture stand out", kind, i, 100*share)
			}
		}
	}
}

// contrast is that of WCAG, from 1 to 21.
func contrast(a, b color.NRGBA) float64 {
	luminance := func(c color.NRGBA) float64 {
		f := func(v uint8) float64 {
			x := float64(v) / 255
			if x <= 0.04045 {
				return x / 12.92
			}
			return math.Pow((x+0.055)/1.055, 2.4)
		}
		return 0.2126*f(c.R) + 0.7152*f(c.G) + 0.0722*f(c.B)
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func BenchmarkMake(b *testing.B) {
	for _, size := range []int{32, 64, 128, 256} {
		for _, kind := range kinds {
			b.Run(fmt.Sprint(kind, "/", size), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					identicon.Make(kind, fmt.Sprint(i), size)
				}
			})
		}
	}
}
