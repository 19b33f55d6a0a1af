package content_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"

	"trellis/storage/content"
)

// noisy is a picture that does not compress.
func noisy(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	_, _ = rand.NewChaCha8([32]byte{3}).Read(m.Pix)
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
	return m
}

func BenchmarkInspect(b *testing.B) {
	var jpg, pic bytes.Buffer
	if err := jpeg.Encode(&jpg, noisy(2000, 1800), &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	if err := png.Encode(&pic, noisy(1320, 1320)); err != nil {
		b.Fatal(err)
	}
	var svg bytes.Buffer
	for svg.Len() < 1<<20 {
		svg.WriteString(`<path d="M0 0C1 2 3 4 5 6L7 8Z" style="fill:#ff0000;stroke:none" transform="translate(1,2)"/>`)
	}
	for name, data := range map[string][]byte{content.JPEG: jpg.Bytes(), content.PNG: pic.Bytes(), content.SVG: svgOf(svg.String())} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := inspect(data, name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
