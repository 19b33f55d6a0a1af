package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/lzw"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// hostile is a file that is meant to hurt.
type hostile struct {
	name  string // of the file, with the ending of what it claims to be
	about string
	body  []byte
	// kept says why it is stored after all: it is what it says. All others must be refused.
	kept string
}

// honest is why those are kept that are what they claim to be: many pixels in a few bytes.
const honest = "it has as many pixels as are allowed"

func hostileFiles(t testing.TB) []hostile {
	t.Helper()
	smallPNG, smallJPEG, smallGIF := encoded(t, png.Encode), encoded(t, toJPEG), encoded(t, toGIF)
	zipped := zipOf(t)
	header := func(w, h uint32, depth, colour, interlace byte, pixels int64) []byte {
		return pngFile(pngChunk("IHDR", ihdr(w, h, depth, colour, interlace)), pngChunk("IDAT", zlibZeros(t, pixels)))
	}
	with := func(chunk []byte) []byte { return bytes.Join([][]byte{smallPNG[:33], chunk, smallPNG[33:]}, nil) }
	return []hostile{
		{"a.png", "60,000 x 60,000", header(60_000, 60_000, 8, 6, 0, 10), ""},
		{"a.png", "2^31 wide", header(1<<31-1, 1, 16, 6, 1, 10), ""},
		{"a.jpg", "60,000 x 60,000", jpegFile(0xc0, 60_000, 60_000, 1, 0, 0x22, 0x11, 0x11), ""},
		{"a.gif", "60,000 x 60,000", gifFile(t, 60_000, 60_000, 1, 10), ""},
		{"a.gif", "65,535 x 65,535", gifFile(t, 65_535, 65_535, 1, 10), ""},
		{"a.webp", "60,000 x 60,000", webpFile(riff("VP8X", canvas(60_000, 60_000)), riff("VP8L", vp8l(16_000, 4_000))), ""},
		{"a.webp", "16,384 x 16,384", webpFile(riff("VP8L", vp8l(16_384, 16_384))), ""},
		{"a.png", "8,000 x 8,000 with a few bytes", header(8000, 8000, 8, 2, 0, 10), ""},
		{"a.png", "8,000 x 8,000 of 16 bits with a few bytes", header(8000, 8000, 16, 6, 0, 1000), ""},
		{"a.png", "8,000 x 8,000 interlaced with a few bytes", header(8000, 8000, 16, 6, 1, 1<<20), ""},
		{"a.jpg", "8,000 x 8,000 with a few bytes", jpegFile(0xc0, 8000, 8000, 1, 100, 0x22, 0x11, 0x11), ""},
		{"a.gif", "8,000 x 8,000 with a few bytes", gifFile(t, 8000, 8000, 1, 10), ""},
		{"a.webp", "lossy, 8,000 x 8,000 with a few bytes", webpFile(riff("VP8 ", vp8(8000, 8000))), ""},
		{"a.png", "ten pixels and 1 GB", header(10, 10, 8, 0, 0, 1<<30), ""},
		{"a.png", "cut", smallPNG[:len(smallPNG)-20], ""},
		{"a.jpg", "cut", smallJPEG[:len(smallJPEG)-20], ""},
		{"a.gif", "cut", smallGIF[:len(smallGIF)-20], ""},
		{"a.webp", "cut", webpFile(riff("VP8L", vp8l(100, 100)))[:24], ""},
		{"a.png", "endless chunks", with(bytes.Repeat(pngChunk("tEXt", nil), 1<<17)), ""},
		{"a.png", "a zip besides", append(bytes.Clone(smallPNG), zipped...), ""},
		{"a.jpg", "a zip besides", append(bytes.Clone(smallJPEG), zipped...), ""},
		{"a.png", "a zip within", with(pngChunk("teSt", zipped)), ""},
		{"a.png", "a page within", with(pngChunk("tEXt", []byte("Comment\x00<html><script>alert(1)</script>"))), ""},
		{"a.gif", "a page within", bytes.Replace(smallGIF, []byte("\x3b"), []byte("\x21\xfe\x08<script>\x00\x3b"), 1), ""},
		{"a.png", "a page", []byte("<!doctype html><script>alert(1)</script>"), ""},
		{"a.zip", "a zip", zipped, ""},
		{"a.gif", "a picture of another kind", smallPNG, ""},
		{"a.png", "garbage", garbage(50 << 20), ""},
		{"a.png", "garbage and more", garbage(50<<20 + 1), ""},
		{"a.svg", "script", svg("<script>alert(1)</script>"), ""},
		{"a.svg", "a handler", svg(`<rect onload="alert(1)"/>`), ""},
		{"a.svg", "a page within", svg("<foreignObject><body/></foreignObject>"), ""},
		{"a.svg", "an address elsewhere", svg(`<image href="http://127.0.0.1:1/x.png"/>`), ""},
		{"a.svg", "a billion laughs", laughs(), ""},
		{"a.svg", "deep", svg(strings.Repeat("<g>", 100_000) + strings.Repeat("</g>", 100_000)), ""},
		{"a.jpg", "hundreds of scans, 64 megapixels", jpegFile(0xc2, 8000, 8000, 300, -1, 0x22, 0x11, 0x11), ""},
		{"a.gif", "many frames", gifFile(t, 1, 1, 10_001, 1), ""},

		{"a.gif", "10,000 frames", gifFile(t, 1, 1, 10_000, 1), "only the first one is looked at"},
		{"a.png", "text of 1 GB", with(pngChunk("zTXt", append([]byte("Comment\x00\x00"), zlibZeros(t, 1<<30)...))), "its text is never inflated"},
		{"a.jpg", "99 scans, 64 megapixels", jpegFile(0xc2, 8000, 8000, 99, -1, 0x22, 0x11, 0x11), "it gets no thumbnail, which would take too much memory"},
		{"a.jpg", "99 scans, 16 megapixels", jpegFile(0xc2, 4000, 4000, 99, -1, 0x11), honest},
		{"a.jpg", "64 megapixels", jpegFile(0xc0, 8000, 8000, 1, -1, 0x22, 0x11, 0x11), honest},
		{"a.png", "64 megapixels", header(8000, 8000, 8, 2, 0, 8000*24001), honest},
		{"a.png", "64 megapixels of 16 bits", header(8000, 8000, 16, 6, 0, 8000*64001), honest},
		{"a.gif", "64 megapixels", gifFile(t, 8000, 8000, 1, 64_000_000), honest},
		{"a.webp", "64 megapixels", webpFile(riff("VP8L", vp8l(16_000, 4_000))), honest},
	}
}

// encoded is a small picture.
func encoded(t testing.TB, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, 40, 30), palette.WebSafe)
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7 % 200)
	}
	var b bytes.Buffer
	if err := encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func toJPEG(w io.Writer, img image.Image) error { return jpeg.Encode(w, img, nil) }
func toGIF(w io.Writer, img image.Image) error  { return gif.Encode(w, img, nil) }

func zipOf(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("a.txt")
	if err == nil {
		_, err = f.Write([]byte("text"))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func garbage(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

func ihdr(w, h uint32, depth, colour, interlace byte) []byte {
	b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	return append(b, depth, colour, 0, 0, interlace)
}

func pngChunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func pngFile(chunks ...[]byte) []byte {
	return bytes.Join([][]byte{[]byte("\x89PNG\r\n\x1a\n"), bytes.Join(chunks, nil), pngChunk("IEND", nil)}, nil)
}

// zlibZeros is a stream that unfolds to so many zeros. A piece of it that ends
// at a byte says the same wherever it stands, so that it can be repeated.
func zlibZeros(t testing.TB, n int64) []byte {
	t.Helper()
	deflated := func(n int64) []byte {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err == nil {
			_, err = w.Write(make([]byte, n))
		}
		if err := errors.Join(err, w.Flush()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	const piece = 1 << 20
	out := append([]byte{0x78, 0x9c}, bytes.Repeat(deflated(piece), int(n/piece))...)
	out = append(append(out, deflated(n%piece)...), 1, 0, 0, 0xff, 0xff)
	return binary.BigEndian.AppendUint32(out, uint32(n%65521)<<16|1)
}

// jpegFile is a JPEG of one colour, which has so many scans, and so many bytes in
// each; -1 is as many as it needs. sampling is that of its components.
func jpegFile(sof byte, w, h, scans, size int, sampling ...byte) []byte {
	segment := func(marker byte, data []byte) []byte {
		return append([]byte{0xff, marker, byte((len(data) + 2) >> 8), byte(len(data) + 2)}, data...)
	}
	frame := []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), byte(len(sampling))}
	first := []byte{byte(len(sampling))}
	blocks := 0
	for i, s := range sampling {
		frame = append(frame, byte(i+1), s, 0)
		first = append(first, byte(i+1), 0)
		blocks += int(s>>4) * int(s&15)
	}
	// Codes of one bit each: for DC no difference, for AC the end of the block,
	// or of 16,384 blocks.
	end, ac := byte(63), byte(0)
	if sof == 0xc2 {
		end, ac = 0, 0xe0
	}
	table := func(class, symbol byte) []byte {
		return append(append([]byte{class, 1}, make([]byte, 15)...), symbol)
	}
	if size < 0 {
		side := 8 * int(sampling[0]>>4)
		size = ((w+side-1)/side)*((h+side-1)/side)*blocks/4 + 1
	}
	out := bytes.Join([][]byte{
		{0xff, 0xd8}, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)),
		segment(sof, frame), segment(0xc4, table(0, 0)), segment(0xc4, table(0x10, ac)),
		segment(0xda, append(first, 0, end, 0)), make([]byte, size),
	}, nil)
	more := append(segment(0xda, []byte{1, 1, 0, 1, 63, 0}), make([]byte, w*h/64/16384*2+8)...)
	return append(append(out, bytes.Repeat(more, scans-1)...), 0xff, 0xd9)
}

// gifFile is a GIF of one colour, with frames as large as it is, of so many pixels.
func gifFile(t testing.TB, w, h, frames, pixels int) []byte {
	t.Helper()
	var codes bytes.Buffer
	z := lzw.NewWriter(&codes, lzw.LSB, 2)
	_, err := z.Write(make([]byte, pixels))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	frame := []byte{0x2c, 0, 0, 0, 0, byte(w), byte(w >> 8), byte(h), byte(h >> 8), 0, 2}
	for b := range slices.Chunk(codes.Bytes(), 255) {
		frame = append(append(frame, byte(len(b))), b...)
	}
	out := []byte{'G', 'I', 'F', '8', '9', 'a', byte(w), byte(w >> 8), byte(h), byte(h >> 8), 0x80, 0, 0, 0, 0, 0, 255, 255, 255}
	return append(append(out, bytes.Repeat(append(frame, 0), frames)...), 0x3b)
}

func riff(kind string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(data)))
	return append(append(b, data...), make([]byte, len(data)%2)...)
}

func webpFile(chunks ...[]byte) []byte {
	return riff("RIFF", append([]byte("WEBP"), bytes.Join(chunks, nil)...))
}

func canvas(w, h int) []byte {
	return []byte{0, 0, 0, 0, byte(w - 1), byte((w - 1) >> 8), byte((w - 1) >> 16), byte(h - 1), byte((h - 1) >> 8), byte((h - 1) >> 16)}
}

// vp8l is a stream of one colour: no pixel takes a bit. There is no transform, no
// cache and no group, and five times a code of one symbol.
func vp8l(w, h int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{0x2f}, uint32(w-1)|uint32(h-1)<<14)
	bits, n := uint64(0), 3
	for range 5 {
		bits |= 1 << n
		n += 4
	}
	return binary.LittleEndian.AppendUint64(b, bits)
}

// vp8 is a header without pixels.
func vp8(w, h int) []byte {
	return []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, byte(w), byte(w >> 8), byte(h), byte(h >> 8)}
}

func svg(inside string) []byte {
	return []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">` + inside + "</svg>")
}

func laughs() []byte {
	var b strings.Builder
	b.WriteString(`<!DOCTYPE svg [<!ENTITY l0 "ha">`)
	for i := range 30 {
		fmt.Fprintf(&b, `<!ENTITY l%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&l%d;", i), 10))
	}
	return append([]byte(b.String()+"]>"), svg("<text>&l30;</text>")...)
}

// stored is zlib that compresses nothing.
func stored(w io.Writer) *zlib.Writer {
	z, err := zlib.NewWriterLevel(w, zlib.NoCompression)
	if err != nil {
		panic(err) // the level is one
	}
	return z
}
