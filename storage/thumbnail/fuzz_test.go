package thumbnail_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/image/vp8l"

	"trellis/storage/thumbnail"
)

// FuzzMake: whatever comes in, what goes out is a thumbnail or an error of the
// package's.
func FuzzMake(f *testing.F) {
	types := []string{"image/jpeg", "image/png", "image/gif", "image/webp"}
	for kind, pattern := range []string{"testdata/*.jpeg", "png/testdata/pngsuite/*.png", "testdata/*.gif"} {
		for _, name := range gorootNames(f, pattern) {
			f.Add(goroot(f, name), uint8(kind))
		}
	}
	for _, name := range []string{"lossy", "lossy-alpha", "lossless", "animated"} {
		f.Add(testdata(f, name+".webp"), uint8(3))
	}
	f.Add(jpegHeader(0xc2, 100, 100, 0x22, 0x11, 0x11), uint8(0))
	m := thumbnail.New(thumbnail.Limits{Pixels: 1 << 20, Time: 2 * time.Second})
	f.Fuzz(func(t *testing.T, data []byte, kind uint8) {
		ps, err := m.Make(t.Context(), bytes.NewReader(data), types[kind%4], 64)
		if err == nil {
			if decode(t, ps[0]); ps[0].Width > 64 || ps[0].Height > 64 {
				t.Fatalf("%d x %d", ps[0].Width, ps[0].Height)
			}
			return
		}
		for _, known := range []error{thumbnail.ErrDamaged, thumbnail.ErrUnsupported, thumbnail.ErrTooExpensive, thumbnail.ErrTooManyPixels} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Fatalf("%v is none of the package's errors", err)
	})
}

func FuzzOrientation(f *testing.F) {
	f.Add(exif(binary.LittleEndian, 6))
	f.Add(exif(binary.BigEndian, 3))
	f.Add([]byte("II*\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := thumbnail.Orientation(data); o < 1 || o > 8 {
			t.Fatal(o)
		}
	})
}

// randomPNG has bytes that mean nothing: each is a valid pixel, each filter
// is used.
func randomPNG(t testing.TB, r *rand.Rand, depth, colour, interlace byte) []byte {
	w, h := 1+r.IntN(40), 1+r.IntN(40)
	samples := map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
	var raw bytes.Buffer
	steps := [][4]int{{0, 0, 1, 1}}
	if interlace == 1 {
		steps = [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
	}
	for _, s := range steps {
		pw, ph := (w-s[0]+s[2]-1)/s[2], (h-s[1]+s[3]-1)/s[3]
		if pw <= 0 {
			continue
		}
		for range ph {
			raw.WriteByte(byte(r.IntN(5)))
			for range (pw*samples*int(depth) + 7) / 8 {
				raw.WriteByte(byte(r.Uint32() & r.Uint32())) // not too many colours
			}
		}
	}
	var chunks [][]byte
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	if colour == 3 {
		n := 1 + r.IntN(1<<depth)
		chunks = append(chunks, pngChunk("PLTE", random(3*n)))
		if r.IntN(2) == 0 {
			chunks = append(chunks, pngChunk("tRNS", random(1+r.IntN(n))))
		}
	} else if colour < 3 && r.IntN(2) == 0 {
		key := make([]byte, 2*samples) // dark, as many pixels are
		if depth < 8 {
			key[1] = byte(r.IntN(1 << depth))
		}
		chunks = append(chunks, pngChunk("tRNS", key))
	}
	return pngOf(t, ihdr(uint32(w), uint32(h), depth, colour, interlace), &raw, chunks...)
}

func checkPNG(t *testing.T, data []byte) {
	t.Helper()
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err == nil && (c.Width > 500 || c.Height > 500) {
		return
	}
	want, wantErr := png.Decode(bytes.NewReader(data))
	got, err := thumbnail.Painted(data, "image/png")
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%v, image/png says %v", err, wantErr)
	}
	if err != nil {
		return
	}
	for y := range c.Height {
		for x := range c.Width {
			g, w := got.NRGBAAt(x, y), straight(want, x, y)
			if g != w && (g.A != 0 || w.A != 0) {
				t.Fatalf("pixel %d, %d is %v, image/png says %v", x, y, g, w)
			}
		}
	}
}

func TestPNGsAreThoseOfGo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		for _, kind := range [][2]byte{{1, 0}, {2, 0}, {4, 0}, {8, 0}, {16, 0}, {8, 2}, {16, 2}, {1, 3}, {2, 3}, {4, 3}, {8, 3}, {8, 4}, {16, 4}, {8, 6}, {16, 6}} {
			for interlace := range byte(2) {
				checkPNG(t, randomPNG(t, r, kind[0], kind[1], interlace))
			}
		}
	}
	for _, name := range append(gorootNames(t, "png/testdata/*.png"), gorootNames(t, "png/testdata/pngsuite/*.png")...) {
		checkPNG(t, goroot(t, name))
	}
}

// withSums makes the checksums of a PNG right.
func withSums(data []byte) []byte {
	out := bytes.Clone(data)
	for at := 8; at+12 <= len(out); {
		n := int(binary.BigEndian.Uint32(out[at:]))
		if n > len(out)-at-12 {
			break
		}
		binary.BigEndian.PutUint32(out[at+8+n:], crc32.ChecksumIEEE(out[at+4:at+8+n]))
		at += 12 + n
	}
	return out
}

func FuzzPNG(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, name := range gorootNames(f, "png/testdata/pngsuite/*.png") {
		f.Add(goroot(f, name))
	}
	for range 10 {
		f.Add(randomPNG(f, r, 8, 3, 1))
		f.Add(randomPNG(f, r, 16, 2, 0))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = withSums(data)
		if len(data) < 16 || string(data[12:16]) != "IHDR" {
			return // image/png takes other chunks before the header
		}
		checkPNG(t, data)
	})
}

// FuzzJPEG compares with image/jpeg, which decodes here too, but is not asked
// what the header says.
func FuzzJPEG(f *testing.F) {
	for _, name := range gorootNames(f, "testdata/*.jpeg") {
		f.Add(goroot(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := jpeg.DecodeConfig(bytes.NewReader(data))
		if err != nil || c.Width > 500 || c.Height > 500 {
			return
		}
		want, wantErr := jpeg.Decode(bytes.NewReader(data))
		got, err := thumbnail.Painted(data, "image/jpeg")
		if errors.Is(err, thumbnail.ErrUnsupported) || c.Width*c.Height == 0 {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, image/jpeg says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		for y := range c.Height {
			for x := range c.Width {
				if g, w := got.NRGBAAt(x, y), straight(want, x, y); !near(g, w, 2) {
					t.Fatalf("pixel %d, %d is %v, image/jpeg says %v", x, y, g, w)
				}
			}
		}
	})
}

// FuzzLossless compares with the decoder of golang.org/x/image, which takes
// incomplete codes too.
func FuzzLossless(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	noise := image.NewNRGBA(image.Rect(0, 0, 70, 50))
	for i := range noise.Pix {
		noise.Pix[i] = byte(r.Uint32() & r.Uint32())
	}
	few := image.NewPaletted(noise.Rect, color.Palette{color.Black, color.White, color.Transparent})
	for i := range few.Pix {
		few.Pix[i] = byte(r.IntN(3))
	}
	for _, img := range []image.Image{noise, few, photo(60, 90, 1), quarters(33, 17)} {
		f.Add(encodeLossless(f, img)[20:])
	}
	f.Add(testdata(f, "lossless.webp")[20:])
	for _, name := range []string{"photo", "tiles", "few", "colours"} {
		f.Add(testdata(f, "lossless-"+name+".webp")[20:])
	}
	f.Add(flatVP8L(30, 40)[8:])
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := vp8l.DecodeConfig(bytes.NewReader(data))
		if err != nil || c.Width > 500 || c.Height > 500 {
			return
		}
		want, wantErr := vp8l.Decode(bytes.NewReader(data))
		got, err := thumbnail.Painted(riff(riffChunk("VP8L", data)), "image/webp")
		if err != nil {
			return
		}
		if wantErr != nil {
			t.Fatalf("it is taken, the other says %v", wantErr)
		}
		for y := range c.Height {
			for x := range c.Width {
				g, w := got.NRGBAAt(x, y), want.At(x, y).(color.NRGBA)
				if g != w && (g.A != 0 || w.A != 0) {
					t.Fatalf("pixel %d, %d is %v, want %v", x, y, g, w)
				}
			}
		}
	})
}

// TestLosslessWebPIsRead: the fuzz target lets refusals pass, this does not.
func TestLosslessWebPIsRead(t *testing.T) {
	for _, name := range []string{"lossless", "lossless-photo", "lossless-tiles", "lossless-few", "lossless-colours"} {
		data := testdata(t, name+".webp")
		want, err := vp8l.Decode(bytes.NewReader(data[20:]))
		if err != nil {
			t.Fatal(err)
		}
		samePicture(t, data, "image/webp", want)
	}
}
