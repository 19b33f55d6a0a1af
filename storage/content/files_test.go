package content_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"
)

// The files of the tests are made here, so that each hostile one differs from a
// good one in a single thing.

func picture(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(x * 7), uint8(y * 5), uint8(x * y), 255})
		}
	}
	return m
}

func aPNG(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture(13, 9)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func aJPEG(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture(13, 9), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func aGIF(t testing.TB, frames int) []byte {
	t.Helper()
	g := &gif.GIF{Config: image.Config{Width: 13, Height: 9}}
	for i := range frames {
		m := image.NewPaletted(image.Rect(i%3, 0, 13, 9), palette.Plan9)
		m.Set(5, 5, color.White)
		g.Image, g.Delay = append(g.Image, m), append(g.Delay, 5)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// aVP8L is a lossless picture of 13 x 9 pixels of one colour, aVP8 a lossy one.
const (
	aVP8L = "LwwAAgAHUI8il6f/gYjofwA="
	aVP8  = "cAEAnQEqDQAJAAVAfCWgAnQBQAAA/uX57SH2f/BBfiD9QagAAAA="
)

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func riffChunk(kind string, data ...[]byte) []byte {
	body := bytes.Join(data, nil)
	b := append([]byte(kind), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(body)))
	b = append(b, body...)
	if len(body)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

func riff(chunks ...[]byte) []byte {
	return riffChunk("RIFF", append([][]byte{[]byte("WEBP")}, chunks...)...)
}

func le24(n int) []byte { return []byte{byte(n), byte(n >> 8), byte(n >> 16)} }

func vp8x(flags byte, w, h int) []byte {
	return riffChunk("VP8X", []byte{flags, 0, 0, 0}, le24(w-1), le24(h-1))
}

func anmf(x, y, w, h int, chunks ...[]byte) []byte {
	head := bytes.Join([][]byte{le24(x / 2), le24(y / 2), le24(w - 1), le24(h - 1), le24(100), {0}}, nil)
	return riffChunk("ANMF", append([][]byte{head}, chunks...)...)
}

func anAnimatedWebP(t testing.TB, frames int) []byte {
	t.Helper()
	chunks := [][]byte{vp8x(2, 20, 20), riffChunk("ANIM", make([]byte, 6))}
	for i := range frames {
		chunks = append(chunks, anmf(2*(i%3), 2, 13, 9, riffChunk("VP8L", decode(t, aVP8L))))
	}
	return riff(chunks...)
}

func pngChunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngWith is a PNG with chunks put in after its header.
func pngWith(t testing.TB, chunks ...[]byte) []byte {
	b := aPNG(t)
	return bytes.Join([][]byte{b[:33], bytes.Join(chunks, nil), b[33:]}, nil)
}

// pngOf is a PNG whose header claims that size.
func pngOf(t testing.TB, w, h uint32) []byte {
	b := aPNG(t)
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

func jpegSegment(marker byte, data []byte) []byte {
	b := []byte{0xff, marker, byte((len(data) + 2) >> 8), byte(len(data) + 2)}
	return append(b, data...)
}

// jpegWith is a JPEG with segments put in at its beginning.
func jpegWith(t testing.TB, segments ...[]byte) []byte {
	b := aJPEG(t)
	return bytes.Join([][]byte{b[:2], bytes.Join(segments, nil), b[2:]}, nil)
}

// gifWith is a GIF with a comment.
func gifWith(t testing.TB, comment string) []byte {
	b := aGIF(t, 1)
	c := []byte{0x21, 0xfe}
	for len(comment) > 0 {
		n := min(255, len(comment))
		c = append(append(c, byte(n)), comment[:n]...)
		comment = comment[n:]
	}
	c = append(c, 0)
	at := 13
	if b[10]&0x80 != 0 {
		at += 3 << (1 + b[10]&7)
	}
	return bytes.Join([][]byte{b[:at], c, b[at:]}, nil)
}

// svgOf is an SVG with that in it.
func svgOf(inside string) []byte {
	return []byte(`<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">` + inside + "</svg>")
}

// samsung is the trailer of a Samsung phone with one block in it.
func samsung(block []byte) []byte {
	le := binary.LittleEndian
	b := append([]byte{0, 0, 1, 10, 14, 0, 0, 0}, "Image_UTC_Data"...)
	b = append(b, block...)
	dir := append([]byte("SEFH"), 107, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 10)
	dir = le.AppendUint32(dir, uint32(len(b)))
	dir = le.AppendUint32(dir, uint32(len(b)))
	b = append(b, dir...)
	b = le.AppendUint32(b, uint32(len(dir)))
	return append(b, "SEFT"...)
}

func box(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(data)))
	return append(append(b, kind...), data...)
}

func mp4() []byte {
	return bytes.Join([][]byte{box("ftyp", []byte("isom\x00\x00\x02\x00isommp42")), box("mdat", []byte("pictures")), box("moov", []byte("what is in it"))}, nil)
}
