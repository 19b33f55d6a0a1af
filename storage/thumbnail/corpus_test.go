package thumbnail_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/HugoSmits86/nativewebp"

	"trellis/storage/thumbnail"
)

// The corners of the test picture, clockwise from the top left.
var corners = [4]color.NRGBA{{200, 30, 30, 255}, {30, 160, 30, 255}, {230, 230, 230, 255}, {30, 30, 200, 255}}

func quarters(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i, r := range []image.Rectangle{
		image.Rect(0, 0, w/2, h/2), image.Rect(w/2, 0, w, h/2), image.Rect(w/2, h/2, w, h), image.Rect(0, h/2, w/2, h),
	} {
		draw.Draw(img, r, image.NewUniform(corners[i]), image.Point{}, draw.Src)
	}
	return img
}

// checkCorners wants these corners, clockwise from the top left.
func checkCorners(t *testing.T, img *image.NRGBA, want ...color.NRGBA) {
	t.Helper()
	w, h := img.Rect.Dx(), img.Rect.Dy()
	for i, at := range []image.Point{{w / 8, h / 8}, {w - w/8, h / 8}, {w - w/8, h - h/8}, {w / 8, h - h/8}} {
		if got := img.NRGBAAt(at.X, at.Y); !near(got, want[i], 8) {
			t.Errorf("corner %d is %v, want %v", i, got, want[i])
		}
	}
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeGIF(t testing.TB, g *gif.GIF) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeLossless(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := nativewebp.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// goroot reads one of the test pictures of Go itself.
func goroot(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(runtime.GOROOT(), "src", "image", filepath.FromSlash(name))) //nolint:staticcheck // the go command is not asked: tests run without it
	if err != nil {
		t.Fatalf("Go's own test pictures are needed: %v", err)
	}
	return data
}

func gorootNames(t testing.TB, pattern string) []string {
	t.Helper()
	root := filepath.Join(runtime.GOROOT(), "src", "image") //nolint:staticcheck // as above
	names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
	if err != nil || len(names) == 0 {
		t.Fatalf("Go's own test pictures are needed: %s: %v", pattern, err)
	}
	for i := range names {
		rel, err := filepath.Rel(root, names[i])
		if err != nil {
			t.Fatal(err)
		}
		names[i] = filepath.ToSlash(rel)
	}
	return names
}

// exif is an EXIF block with an orientation, between entries that are not it.
func exif(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("II*\x00")
	if order.String() == "BigEndian" {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, entry := range [][2]uint16{{0x010f, 7}, {0x0112, orientation}} {
		b = order.AppendUint16(b, entry[0])
		b = order.AppendUint16(b, 3)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, entry[1])
		b = order.AppendUint16(b, 0)
	}
	return order.AppendUint32(b, 0)
}

func segment(marker byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(data)+2)), data...)
}

// withSegments puts segments behind the start of a JPEG.
func withSegments(file []byte, segments ...[]byte) []byte {
	out := append([]byte{}, file[:2]...)
	for _, s := range segments {
		out = append(out, s...)
	}
	return append(out, file[2:]...)
}

func pngChunk(name string, data []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	out = append(append(out, name...), data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

// withChunks puts chunks behind the header of a PNG.
func withChunks(file []byte, chunks ...[]byte) []byte {
	const header = 8 + 12 + 13
	out := append([]byte{}, file[:header]...)
	for _, c := range chunks {
		out = append(out, c...)
	}
	return append(out, file[header:]...)
}

func riffChunk(name string, data []byte) []byte {
	out := binary.LittleEndian.AppendUint32([]byte(name), uint32(len(data)))
	out = append(out, data...)
	return append(out, make([]byte, len(data)&1)...)
}

// riff makes a WEBP of chunks.
func riff(chunks ...[]byte) []byte {
	return riffChunk("RIFF", append([]byte("WEBP"), bytes.Join(chunks, nil)...))
}

func vp8x(flags byte, w, h int) []byte {
	return riffChunk("VP8X", []byte{flags, 0, 0, 0, byte(w - 1), byte((w - 1) >> 8), byte((w - 1) >> 16),
		byte(h - 1), byte((h - 1) >> 8), byte((h - 1) >> 16)})
}

func TestOrientationIsApplied(t *testing.T) {
	// Where the corners go, clockwise from the top left.
	places := [9][4]int{
		1: {0, 1, 2, 3}, 2: {1, 0, 3, 2}, 3: {2, 3, 0, 1}, 4: {3, 2, 1, 0},
		5: {0, 3, 2, 1}, 6: {3, 0, 1, 2}, 7: {2, 1, 0, 3}, 8: {1, 2, 3, 0},
	}
	img := quarters(300, 200)
	jpg, pic := encodeJPEG(t, img), encodePNG(t, img)
	lossless := encodeLossless(t, img)[12:]
	for o := uint16(0); o <= 9; o++ {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			block := exif(order, o)
			files := map[string][]byte{
				"image/jpeg": withSegments(jpg, segment(0xe1, append([]byte("Exif\x00\x00"), block...))),
				"image/png":  withChunks(pic, pngChunk("eXIf", block)),
				"image/webp": riff(vp8x(8, 300, 200), lossless, riffChunk("EXIF", block)),
			}
			for contentType, file := range files {
				t.Run(fmt.Sprint(contentType, o, order), func(t *testing.T) {
					p := make1(t, file, contentType, 64)
					w, h := 64, 43
					if o >= 5 && o <= 8 {
						w, h = h, w
					}
					if p.Width != w || p.Height != h {
						t.Fatalf("%d x %d, want %d x %d", p.Width, p.Height, w, h)
					}
					at := places[1]
					if o >= 1 && o <= 8 {
						at = places[o]
					}
					checkCorners(t, decode(t, p), corners[at[0]], corners[at[1]], corners[at[2]], corners[at[3]])
					for _, name := range []string{"EXIF", "XMP ", "ICCP"} {
						if bytes.Contains(p.WEBP, []byte(name)) {
							t.Errorf("%s is in the thumbnail", name)
						}
					}
				})
			}
		}
	}
}

// samePicture compares a picture, as it is before it is shrunk and encoded, with
// what another decoder makes of it.
func samePicture(t *testing.T, data []byte, contentType string, want image.Image) {
	t.Helper()
	b := want.Bounds()
	if p := make1(t, data, contentType, 256); max(b.Dx(), b.Dy()) <= 256 && (p.Width != b.Dx() || p.Height != b.Dy()) {
		t.Errorf("size %d x %d, want %v", p.Width, p.Height, b.Size())
	}
	got, err := thumbnail.Painted(data, contentType)
	if err != nil {
		t.Fatal(err)
	}
	for y := range b.Dy() {
		for x := range b.Dx() {
			if g, w := got.NRGBAAt(x, y), straight(want, b.Min.X+x, b.Min.Y+y); !near(g, w, 2) {
				t.Fatalf("pixel %d, %d is %v, want %v", x, y, g, w)
			}
		}
	}
}

// straight is a pixel without alpha multiplied in, of 8 bits.
func straight(img image.Image, x, y int) color.NRGBA {
	switch img.(type) {
	case *image.YCbCr, *image.CMYK:
		r, g, b, a := img.At(x, y).RGBA()
		return color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), uint8(a >> 8)}
	}
	switch c := img.At(x, y).(type) {
	case color.NRGBA:
		return c
	case color.NRGBA64:
		return color.NRGBA{uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8), uint8(c.A >> 8)}
	default:
		return color.NRGBAModel.Convert(c).(color.NRGBA)
	}
}

func TestEveryKindOfJPEG(t *testing.T) {
	for _, name := range gorootNames(t, "testdata/*.jpeg") {
		if strings.Contains(name, "truncated") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			data := goroot(t, name)
			want, err := jpeg.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			samePicture(t, data, "image/jpeg", want)
		})
	}
	// The same with the colours said to be YCCK.
	data := bytes.Clone(goroot(t, "testdata/video-001.cmyk.jpeg"))
	i := bytes.Index(data, []byte("Adobe"))
	data[i+11] = 2
	want, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	samePicture(t, data, "image/jpeg", want)
}

// TestOtherPicturesInAJPEGAreNotItsOwn: cameras put a small one into EXIF, and
// phones others behind the end.
func TestOtherPicturesInAJPEGAreNotItsOwn(t *testing.T) {
	img := encodeJPEG(t, quarters(64, 64))
	other := withSegments(encodeJPEG(t, image.NewGray(image.Rect(0, 0, 32, 32))), segment(0xe0, []byte("JFIF\x00\x01\x01")))
	file := withSegments(img,
		segment(0xe1, append(append([]byte("Exif\x00\x00"), exif(binary.LittleEndian, 1)...), other...)),
		segment(0xee, []byte("Adobe\x00d\x00\x00\x00\x00\x01")))
	file = append(append(file, other...), segment(0xee, []byte("Adobe\x00d\x00\x00\x00\x00\x00"))...)
	checkCorners(t, decode(t, make1(t, file, "image/jpeg", 64)), corners[:]...)
}

func TestEveryKindOfPNG(t *testing.T) {
	names := append(gorootNames(t, "png/testdata/pngsuite/*.png"), gorootNames(t, "png/testdata/[bg]*.png")...)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			data := goroot(t, name)
			want, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			samePicture(t, data, "image/png", want)
		})
	}
}

func TestEveryKindOfGIF(t *testing.T) {
	for _, name := range gorootNames(t, "testdata/*.gif") {
		t.Run(name, func(t *testing.T) {
			data := goroot(t, name)
			g, err := gif.DecodeAll(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			want := image.NewNRGBA(image.Rect(0, 0, g.Config.Width, g.Config.Height))
			draw.Draw(want, g.Image[0].Rect, g.Image[0], g.Image[0].Rect.Min, draw.Src)
			samePicture(t, data, "image/gif", want)
		})
	}
}

// TestFirstFrameStandsOnItsScreen: where it does not reach, nothing is.
func TestFirstFrameStandsOnItsScreen(t *testing.T) {
	colours := append(color.Palette{color.Transparent}, palette.WebSafe...)
	first := image.NewPaletted(image.Rect(300, 200, 600, 400), colours)
	draw.Draw(first, first.Rect, image.NewUniform(color.NRGBA{0, 0, 255, 255}), image.Point{}, draw.Src)
	second := image.NewPaletted(image.Rect(0, 0, 600, 400), colours)
	draw.Draw(second, second.Rect, image.NewUniform(color.NRGBA{255, 0, 0, 255}), image.Point{}, draw.Src)
	data := encodeGIF(t, &gif.GIF{
		Image: []*image.Paletted{first, second}, Delay: []int{1, 1}, Config: image.Config{Width: 600, Height: 400},
	})
	none, blue := color.NRGBA{}, color.NRGBA{0, 0, 255, 255}
	for name, file := range map[string][]byte{"two frames": data, "the second is missing": data[:len(data)-20]} {
		t.Run(name, func(t *testing.T) {
			p := make1(t, file, "image/gif", 256)
			if p.Width != 256 || p.Height != 171 {
				t.Errorf("%d x %d", p.Width, p.Height)
			}
			checkCorners(t, decode(t, p), none, none, blue, none)
		})
	}
}

func TestEveryKindOfWebP(t *testing.T) {
	half := corners[2]
	half.A = 128
	holed := [4]color.NRGBA{corners[0], corners[1], half, corners[3]}
	for name, want := range map[string][4]color.NRGBA{
		"lossy": corners, "lossy-alpha": holed, "lossless": holed, "animated": holed,
	} {
		t.Run(name, func(t *testing.T) {
			p := make1(t, testdata(t, name+".webp"), "image/webp", 150)
			if p.Width != 150 || p.Height != 100 {
				t.Errorf("%d x %d", p.Width, p.Height)
			}
			img := decode(t, p)
			checkCorners(t, img, want[:]...)
			hole := uint8(0xff)
			if want == holed {
				hole = 0
			}
			if got := img.NRGBAAt(45, 30).A; got != hole {
				t.Errorf("the hole has alpha %d", got)
			}
		})
	}
}

func anmf(x, y, w, h int, chunks ...[]byte) []byte {
	le24 := func(v int) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16)} }
	head := bytes.Join([][]byte{le24(x / 2), le24(y / 2), le24(w - 1), le24(h - 1), {100, 0, 0, 0}}, nil)
	return riffChunk("ANMF", append(head, bytes.Join(chunks, nil)...))
}

func TestFirstFrameOfAnAnimatedWebPStandsOnItsCanvas(t *testing.T) {
	blue := color.NRGBA{0, 0, 255, 255}
	frame := image.NewNRGBA(image.Rect(0, 0, 300, 200))
	draw.Draw(frame, frame.Rect, image.NewUniform(blue), image.Point{}, draw.Src)
	lossy := testdata(t, "lossy.webp")[12:]
	anim := riffChunk("ANIM", make([]byte, 6))
	p := make1(t, riff(vp8x(2, 600, 400), anim, anmf(300, 200, 300, 200, encodeLossless(t, frame)[12:]),
		anmf(0, 0, 300, 200, lossy)), "image/webp", 256)
	checkCorners(t, decode(t, p), color.NRGBA{}, color.NRGBA{}, blue, color.NRGBA{})
	p = make1(t, riff(vp8x(2, 600, 400), anim, anmf(0, 200, 300, 200, lossy)), "image/webp", 256)
	if got := decode(t, p).NRGBAAt(20, 100); !near(got, corners[0], 8) {
		t.Errorf("the corner of a lossy frame is %v", got)
	}
}
