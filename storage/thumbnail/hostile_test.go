package thumbnail_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color/palette"
	"image/gif"
	"io"
	"strings"
	"testing"
	"time"

	"trellis/storage/thumbnail"
)

func ihdr(w, h uint32, depth, colour, interlace byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, w)
	b = binary.BigEndian.AppendUint32(b, h)
	return append(b, depth, colour, 0, 0, interlace)
}

// pngOf is a PNG with these bytes as pixels and filters.
func pngOf(t testing.TB, header []byte, raw io.Reader, before ...[]byte) []byte {
	t.Helper()
	var idat bytes.Buffer
	z, err := zlib.NewWriterLevel(&idat, zlib.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(z, raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	out := append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", header)...)
	out = append(out, bytes.Join(before, nil)...)
	return append(append(out, pngChunk("IDAT", idat.Bytes())...), pngChunk("IEND", nil)...)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func nothing(n int64) io.Reader { return io.LimitReader(zeros{}, n) }

// jpegHeader is a JPEG up to its first scan, which it begins: of these
// components, subsampled so.
func jpegHeader(sof byte, w, h int, sampling ...byte) []byte {
	frame := []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), byte(len(sampling))}
	scan := []byte{byte(len(sampling))}
	for i, s := range sampling {
		frame = append(frame, byte(i+1), s, 0)
		scan = append(scan, byte(i+1), 0)
	}
	// Codes of one bit each: for DC no difference, for AC the end of the block,
	// or of 16,384 blocks.
	ac := byte(0)
	if sof == 0xc2 {
		ac = 0xe0
	}
	table := func(class, symbol byte) []byte {
		return append(append([]byte{class, 1}, make([]byte, 15)...), symbol)
	}
	return bytes.Join([][]byte{
		{0xff, 0xd8}, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)),
		segment(sof, frame), segment(0xc4, table(0, 0)), segment(0xc4, table(0x10, ac)),
		segment(0xda, append(scan, 0, map[bool]byte{true: 0, false: 63}[sof == 0xc2], 0)),
	}, nil)
}

// flatJPEG is a whole JPEG of one colour.
func flatJPEG(sof byte, w, h int, sampling ...byte) []byte {
	blocks := 0
	for _, s := range sampling {
		blocks += int(s>>4) * int(s&15)
	}
	hs, vs := int(sampling[0]>>4), int(sampling[0]&15)
	mcus := ((w + 8*hs - 1) / (8 * hs)) * ((h + 8*vs - 1) / (8 * vs))
	return append(append(jpegHeader(sof, w, h, sampling...), make([]byte, blocks*mcus/4+1)...), 0xff, 0xd9)
}

func gifHeader(w, h int) []byte {
	return []byte{'G', 'I', 'F', '8', '9', 'a', byte(w), byte(w >> 8), byte(h), byte(h >> 8), 0x80, 0, 0, 0, 0, 0, 255, 255, 255}
}

// flatVP8L is a stream of one colour: no pixel takes a bit.
func flatVP8L(w, h int) []byte {
	size := uint32(w-1) | uint32(h-1)<<14
	b := binary.LittleEndian.AppendUint32([]byte{0x2f}, size)
	// No transform, cache, groups; five times a code of one symbol of one bit.
	bits, n := uint64(0), 3
	for range 5 {
		bits |= 1 << n
		n += 4
	}
	return riffChunk("VP8L", binary.LittleEndian.AppendUint64(b, bits))
}

func vp8(w, h int, rest ...byte) []byte {
	b := []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, byte(w), byte(w >> 8), byte(h), byte(h >> 8)}
	return riffChunk("VP8 ", append(b, rest...))
}

func TestHostileFilesAreRefused(t *testing.T) {
	many, broken, unknown, costly := thumbnail.ErrTooManyPixels, thumbnail.ErrDamaged, thumbnail.ErrUnsupported, thumbnail.ErrTooExpensive
	const jpg, pic, gf, wp = "image/jpeg", "image/png", "image/gif", "image/webp"
	anim := riffChunk("ANIM", make([]byte, 6))
	good := encodeJPEG(t, quarters(64, 64))
	sof := bytes.Index(good, []byte{0xff, 0xc0})
	patched := func(at int, v byte) []byte {
		out := bytes.Clone(good)
		out[at] = v
		return out
	}
	multi := flatJPEG(0xc0, 64, 64, 0x22, 0x11, 0x11)
	for name, c := range map[string]struct {
		contentType string
		data        []byte
		want        error
	}{
		"png 60,000":               {pic, pngOf(t, ihdr(60000, 60000, 8, 6, 0), nothing(10)), many},
		"png of all the numbers":   {pic, pngOf(t, ihdr(1<<31-1, 1<<31-1, 16, 6, 1), nothing(10)), many},
		"png of negative size":     {pic, pngOf(t, ihdr(1<<31, 5, 8, 6, 0), nothing(10)), broken},
		"png of no size":           {pic, pngOf(t, ihdr(0, 5, 8, 6, 0), nothing(10)), broken},
		"png of wide rows":         {pic, pngOf(t, ihdr(64_000_000, 1, 16, 6, 0), nothing(10)), costly},
		"png with tiny pixels":     {pic, pngOf(t, ihdr(8000, 8000, 16, 6, 0), nothing(10)), broken},
		"png with too few pixels":  {pic, pngOf(t, ihdr(8000, 8000, 16, 6, 1), nothing(1<<20)), broken},
		"png with too many pixels": {pic, pngOf(t, ihdr(10, 10, 8, 0, 0), nothing(1<<20)), broken},
		"png of unknown depth":     {pic, pngOf(t, ihdr(10, 10, 3, 0, 0), nothing(1<<20)), unknown},
		"png with a wrong sum":     {pic, bytes.Replace(pngOf(t, ihdr(9, 9, 8, 0, 0), nothing(90)), []byte("IEND"), []byte("IENE"), 1), broken},
		"jpeg 60,000":              {jpg, jpegHeader(0xc0, 60000, 60000, 0x22, 0x11, 0x11), many},
		"jpeg of no size":          {jpg, jpegHeader(0xc0, 0, 100, 0x11), broken},
		"jpeg without rows":        {jpg, jpegHeader(0xc0, 100, 0, 0x11), broken},
		"progressive of 64 MP":     {jpg, jpegHeader(0xc2, 8000, 8000, 0x22, 0x11, 0x11), costly},
		"jpeg of 64 MP, CMYK":      {jpg, jpegHeader(0xc0, 8000, 8000, 0x11, 0x11, 0x11, 0x11), costly},
		"jpeg, 64 MP missing":      {jpg, jpegHeader(0xc0, 8000, 8000, 0x22, 0x11, 0x11), broken},
		"arithmetic jpeg":          {jpg, patched(sof+1, 0xc9), unknown},
		"lossless jpeg":            {jpg, patched(sof+1, 0xc3), unknown},
		"jpeg of 12 bits":          {jpg, patched(sof+4, 12), unknown},
		"colours after a scan":     {jpg, append(multi[:len(multi)-2:len(multi)-2], append(segment(0xee, []byte("Adobe\x00d\x00\x00\x00\x00\x00")), 0xff, 0xd9)...), unknown},
		"gif 60,000":               {gf, gifHeader(60000, 60000), many},
		"gif 65,535":               {gf, gifHeader(65535, 65535), many},
		"gif of no size":           {gf, gifHeader(0, 0), broken},
		"gif, frame too large":     {gf, append(gifHeader(10, 10), 0x2c, 0, 0, 0, 0, 11, 0, 10, 0, 0, 2), broken},
		"gif without a frame":      {gf, append(gifHeader(10, 10), 0x3b), broken},
		"webp 60,000":              {wp, riff(vp8x(0, 60000, 60000), flatVP8L(100, 100)), broken},
		"webp 60,000, animated":    {wp, riff(vp8x(2, 60000, 60000), anim, anmf(0, 0, 9, 9, flatVP8L(9, 9))), many},
		"lossless 16,384":          {wp, riff(flatVP8L(16384, 16384)), many},
		"lossy 16,383":             {wp, riff(vp8(16383, 16383)), many},
		"lossy of no size":         {wp, riff(vp8(0, 5)), broken},
		"lossy, 64 MP missing":     {wp, riff(vp8(8000, 8000)), broken},
		"frame outside":            {wp, riff(vp8x(2, 100, 100), anim, anmf(96, 0, 9, 9, flatVP8L(9, 9))), broken},
		"frame of another size":    {wp, riff(vp8x(2, 100, 100), anim, anmf(0, 0, 8, 8, flatVP8L(9, 9))), broken},
		"frames in frames":         {wp, riff(vp8x(2, 100, 100), anim, anmf(0, 0, 9, 9, anmf(0, 0, 9, 9, flatVP8L(9, 9)))), broken},
		"webp without a picture":   {wp, riff(vp8x(0, 100, 100)), broken},
		"nothing, png":             {pic, nil, broken},
		"nothing, jpeg":            {jpg, nil, broken},
		"nothing, gif":             {gf, nil, broken},
		"nothing, webp":            {wp, nil, broken},
		"another type":             {pic, good, broken},
		"unknown type":             {"image/svg+xml", good, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := thumbnail.New(thumbnail.Limits{}).Make(t.Context(), bytes.NewReader(c.data), c.contentType, 256)
			if !errors.Is(err, c.want) || p != nil {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestLargeButHonest: as large as may be, and cheap where it can be.
func TestLargeButHonest(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("64 megapixels take long under the race detector; nothing runs at the same time here")
	}
	g := image.NewPaletted(image.Rect(0, 0, 5000, 3000), palette.WebSafe)
	for name, c := range map[string]struct {
		contentType string
		data        []byte
	}{
		"gif":  {"image/gif", encodeGIF(t, &gif.GIF{Image: []*image.Paletted{g}, Delay: []int{0}})},
		"jpeg": {"image/jpeg", flatJPEG(0xc0, 8000, 8000, 0x22, 0x11, 0x11)},
		"webp": {"image/webp", riff(flatVP8L(16000, 1000))},
	} {
		m := thumbnail.New(thumbnail.Limits{})
		p, err := m.Make(t.Context(), bytes.NewReader(c.data), c.contentType, 256)
		if err != nil || max(p[0].Width, p[0].Height) != 256 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTruncatedFilesAreRefused(t *testing.T) {
	img := photo(64, 48, 1)
	g := image.NewPaletted(image.Rect(0, 0, 64, 48), palette.WebSafe)
	for i := range g.Pix {
		g.Pix[i] = uint8(i * 7 % 200)
	}
	for name, c := range map[string]struct {
		contentType string
		data        []byte
		spare       int // bytes at the end that nobody needs
	}{
		"png":            {"image/png", encodePNG(t, img), 0},
		"interlaced png": {"image/png", goroot(t, "png/testdata/gray-gradient.interlaced.png"), 0},
		"jpeg":           {"image/jpeg", encodeJPEG(t, img), 0},
		"progressive":    {"image/jpeg", goroot(t, "testdata/video-001.progressive.jpeg"), 0},
		"gif":            {"image/gif", encodeGIF(t, &gif.GIF{Image: []*image.Paletted{g}, Delay: []int{0}}), 1},
		"lossless webp":  {"image/webp", encodeLossless(t, img), 0},
		"lossy webp":     {"image/webp", testdata(t, "lossy-alpha.webp"), 0},
		"animated webp":  {"image/webp", testdata(t, "animated.webp"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := thumbnail.New(thumbnail.Limits{})
			if _, err := m.Make(t.Context(), bytes.NewReader(c.data), c.contentType, 64); err != nil {
				t.Fatal(err)
			}
			step := max(1, len(c.data)/150)
			for n := 0; n < len(c.data)-c.spare; n += step {
				if _, err := m.Make(t.Context(), bytes.NewReader(c.data[:n]), c.contentType, 64); !errors.Is(err, thumbnail.ErrDamaged) {
					t.Fatalf("%d of %d bytes: %v", n, len(c.data), err)
				}
			}
		})
	}
}

// TestTextIsNotInflated: what a bomb in an ancillary chunk holds, nobody sees.
func TestTextIsNotInflated(t *testing.T) {
	var bomb bytes.Buffer
	z := zlib.NewWriter(&bomb)
	if _, err := io.Copy(z, nothing(8<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	text := append([]byte("Comment\x00\x00"), bomb.Bytes()...)
	file := withChunks(encodePNG(t, quarters(100, 100)), pngChunk("zTXt", text), pngChunk("iCCP", text))
	checkCorners(t, decode(t, make1(t, file, "image/png", 64)), corners[:]...)
}

// endless is a file that goes on and on.
type endless struct {
	head, again []byte
	pos         int64
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		if e.pos < int64(len(e.head)) {
			p[i] = e.head[e.pos]
		} else {
			p[i] = e.again[(e.pos-int64(len(e.head)))%int64(len(e.again))]
		}
		e.pos++
	}
	return len(p), nil
}

func (e *endless) Seek(offset int64, whence int) (int64, error) {
	e.pos = offset
	if whence == io.SeekEnd {
		e.pos = 1 << 40
	}
	return e.pos, nil
}

func TestTimeIsLimited(t *testing.T) {
	png := pngOf(t, ihdr(100, 100, 8, 0, 0), nothing(10))[:33]
	scan := append(segment(0xda, []byte{1, 1, 0, 1, 63, 0}), make([]byte, 40)...)
	for name, c := range map[string]struct {
		contentType string
		src         io.ReadSeeker
	}{
		"png of tiny chunks":    {"image/png", &endless{head: png, again: pngChunk("teXt", []byte("x"))}},
		"png with a long chunk": {"image/png", &endless{head: append(png[:33:33], 0x7f, 0xff, 0xff, 0xff, 't', 'e', 'x', 't'), again: []byte("x")}},
		"png of empty pixels":   {"image/png", &endless{head: png, again: pngChunk("IDAT", nil)}},
		"jpeg of segments":      {"image/jpeg", &endless{head: []byte{0xff, 0xd8}, again: segment(0xfe, []byte("x"))}},
		"jpeg of filling":       {"image/jpeg", &endless{head: []byte{0xff, 0xd8}, again: []byte{0xff}}},
		"jpeg of scans":         {"image/jpeg", &endless{head: append(jpegHeader(0xc2, 2000, 2000, 0x11), make([]byte, 8000)...), again: scan}},
		"gif of extensions":     {"image/gif", &endless{head: gifHeader(100, 100), again: []byte{0x21, 0xfe, 1, 'x', 0}}},
		"webp of chunks": {"image/webp", &endless{head: append(append([]byte("RIFF\xf0\xff\xff\xffWEBP"), vp8x(8, 9, 9)...), flatVP8L(9, 9)...),
			again: riffChunk("junk", []byte("xx"))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := thumbnail.New(thumbnail.Limits{Time: 100 * time.Millisecond})
			if _, err := m.Make(t.Context(), c.src, c.contentType, 64); !errors.Is(err, thumbnail.ErrTooExpensive) {
				t.Errorf("%v, want %v", err, thumbnail.ErrTooExpensive)
			}
		})
	}
}

// blocked is a file whose first byte is long in coming.
type blocked struct {
	io.ReadSeeker
	entered, release chan struct{}
	reads            int
}

func (b *blocked) Read(p []byte) (int, error) {
	if b.reads++; b.reads == 2 { // the first is the header's
		close(b.entered)
		<-b.release
	}
	return b.ReadSeeker.Read(p)
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	m := thumbnail.New(thumbnail.Limits{Workers: 1})
	first := &blocked{ReadSeeker: bytes.NewReader(encodePNG(t, photo(250, 250, 1))), entered: make(chan struct{}), release: make(chan struct{})}
	done := make(chan error)
	go func() {
		_, err := m.Make(context.Background(), first, "image/png", 64)
		done <- err
	}()
	<-first.entered
	ctx, cancel := context.WithCancel(t.Context())
	small := encodePNG(t, quarters(10, 10))
	go func() {
		_, err := m.Make(ctx, bytes.NewReader(small), "image/png", 64)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	close(first.release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := m.Make(t.Context(), bytes.NewReader(small), "image/png", 64); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

var errDisk = errors.New("the disk is gone")

type failing struct{ io.ReadSeeker }

func (failing) Read([]byte) (int, error) { return 0, errDisk }

type panicking struct{ io.ReadSeeker }

func (panicking) Read([]byte) (int, error) { panic("no") }

func TestErrorsOfReadingComeBack(t *testing.T) {
	for _, contentType := range []string{"image/jpeg", "image/png", "image/gif", "image/webp"} {
		m := thumbnail.New(thumbnail.Limits{})
		if _, err := m.Make(t.Context(), failing{strings.NewReader("x")}, contentType, 64); !errors.Is(err, errDisk) || errors.Is(err, thumbnail.ErrDamaged) {
			t.Errorf("%s: %v", contentType, err)
		}
		if _, err := m.Make(t.Context(), panicking{strings.NewReader("x")}, contentType, 64); !errors.Is(err, thumbnail.ErrDamaged) {
			t.Errorf("%s, panic: %v", contentType, err)
		}
	}
}
