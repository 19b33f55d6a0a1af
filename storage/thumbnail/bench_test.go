package thumbnail_test

import (
	"bytes"
	"context"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/disintegration/imaging"

	"trellis/storage/thumbnail"
)

// camera is a picture of 12 megapixels as a camera would write it: 4:2:0,
// quality 90, 4 to 6 MB.
var camera = sync.OnceValue(func() []byte {
	small := photo(1000, 750, 1)
	img := imaging.Resize(small, 4000, 3000, imaging.Linear)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range img.Pix {
		if i%4 != 3 {
			img.Pix[i] = uint8(max(0, min(255, int(img.Pix[i])+r.IntN(39)-19)))
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	return b.Bytes()
})

func benchmarkMake(b *testing.B, data []byte, contentType string) {
	m := thumbnail.New(thumbnail.Limits{})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Make(context.Background(), bytes.NewReader(data), contentType, 256); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkThumbnailJPEG12MP(b *testing.B) { benchmarkMake(b, camera(), "image/jpeg") }

// BenchmarkVipsthumbnailJPEG12MP is the same work by the program of libvips, if
// it is there, with the start of its process.
func BenchmarkVipsthumbnailJPEG12MP(b *testing.B) {
	program, err := exec.LookPath("vipsthumbnail")
	if err != nil {
		b.Skip("vipsthumbnail is not installed")
	}
	in, out := filepath.Join(b.TempDir(), "in.jpg"), filepath.Join(b.TempDir(), "out.webp")
	if err := os.WriteFile(in, camera(), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(camera())))
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), program, in, "--size", "256x256>", "-o", out+"[Q=85,strip]")
		if msg, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, msg)
		}
	}
}

// BenchmarkDecodeJPEG12MP is the part of image/jpeg.
func BenchmarkDecodeJPEG12MP(b *testing.B) {
	b.SetBytes(int64(len(camera())))
	for b.Loop() {
		if _, err := jpeg.Decode(bytes.NewReader(camera())); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLanczosJPEG12MP is what shrinking in steps saves.
func BenchmarkLanczosJPEG12MP(b *testing.B) {
	img, err := jpeg.Decode(bytes.NewReader(camera()))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		imaging.Resize(img, 256, 192, imaging.Lanczos)
	}
}

func BenchmarkThumbnailPNG12MP(b *testing.B) {
	img, err := jpeg.Decode(bytes.NewReader(camera()))
	if err != nil {
		b.Fatal(err)
	}
	benchmarkMake(b, encodePNG(b, imaging.Clone(img)), "image/png")
}

func BenchmarkThumbnailWebP12MP(b *testing.B) {
	img, err := jpeg.Decode(bytes.NewReader(camera()))
	if err != nil {
		b.Fatal(err)
	}
	data, err := thumbnail.Encode(img)
	if err != nil {
		b.Fatal(err)
	}
	benchmarkMake(b, data, "image/webp")
}

// BenchmarkPaintJPEG12MP is decoding and the first step of shrinking.
func BenchmarkPaintJPEG12MP(b *testing.B) {
	b.SetBytes(int64(len(camera())))
	for b.Loop() {
		if _, err := thumbnail.Painted(camera(), "image/jpeg"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	img := photo(256, 192, 1)
	for b.Loop() {
		if _, err := thumbnail.Encode(img); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkShrink(b *testing.B) {
	data, err := thumbnail.Encode(photo(256, 192, 1))
	if err != nil {
		b.Fatal(err)
	}
	m := thumbnail.New(thumbnail.Limits{})
	for b.Loop() {
		if _, err := m.Shrink(context.Background(), data, 64); err != nil {
			b.Fatal(err)
		}
	}
}
