package thumbnail

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"

	"golang.org/x/image/vp8"
)

// webpFile is where a WEBP has its picture, or its first frame. No other chunk
// is looked into.
type webpFile struct {
	extended      bool
	width, height int // of the canvas
	frame         image.Rectangle
	bits          webpChunk // VP8 or VP8L
	alpha         webpChunk // ALPH
	exif          webpChunk
	wantEXIF      bool
}

type webpChunk struct {
	name         string
	offset, size int64 // of its data
}

// next is where the chunk after it begins.
func (c webpChunk) next() int64 { return c.offset + c.size + c.size&1 }

func readWebP(s *source) (*header, error) {
	var head [12]byte
	if err := readAt(s, head[:], 0); err != nil {
		return nil, err
	}
	end := int64(binary.LittleEndian.Uint32(head[4:])) + 8
	if string(head[:4]) != "RIFF" || string(head[8:]) != "WEBP" {
		return nil, damaged("not a WEBP")
	}
	if end > s.size {
		return nil, io.ErrUnexpectedEOF
	}
	f := &webpFile{}
	if err := f.read(s, 12, end, false); err != nil {
		return nil, err
	}
	if err := f.measure(s); err != nil {
		return nil, err
	}
	h := &header{width: f.width, height: f.height, orientation: 1}
	if f.exif.size > 0 && f.exif.size <= maxEXIF {
		exif := make([]byte, f.exif.size)
		if err := readAt(s, exif, f.exif.offset); err != nil {
			return nil, err
		}
		h.orientation = orientation(bytes.TrimPrefix(exif, []byte("Exif\x00\x00")))
	}
	h.memory = f.memory()
	h.paint = func(c *canvas) error { return f.paint(s, c) }
	return h, nil
}

func readAt(s *source, b []byte, offset int64) error {
	_, err := io.ReadFull(s.part(offset, int64(len(b))), b)
	return err
}

// read walks through chunks until it has seen what is needed. Those of a frame
// are inside another chunk.
func (f *webpFile) read(s *source, at, end int64, inFrame bool) error {
	for at < end {
		var head [8]byte
		if err := readAt(s, head[:], at); err != nil {
			return err
		}
		c := webpChunk{name: string(head[:4]), offset: at + 8, size: int64(binary.LittleEndian.Uint32(head[4:]))}
		if c.offset+c.size > end {
			return damaged("a chunk is longer than the file")
		}
		if err := f.chunk(s, c, inFrame); err != nil {
			return err
		}
		if f.bits.size > 0 && (inFrame || !f.wantEXIF || f.exif.size > 0) {
			return nil
		}
		at = c.next()
	}
	return nil
}

func (f *webpFile) chunk(s *source, c webpChunk, inFrame bool) error {
	switch c.name {
	case "VP8 ", "VP8L":
		if f.bits.size == 0 {
			f.bits = c
		}
	case "ALPH":
		if f.bits.size == 0 {
			f.alpha = c
		}
	case "EXIF":
		f.exif = c
	case "VP8X":
		var b [10]byte
		if f.extended || inFrame || c.size < int64(len(b)) {
			return damaged("chunks out of order")
		}
		if err := readAt(s, b[:], c.offset); err != nil {
			return err
		}
		f.extended, f.wantEXIF = true, b[0]&8 != 0
		f.width, f.height = little24(b[4:])+1, little24(b[7:])+1
	case "ANMF":
		return f.firstFrame(s, c, inFrame)
	}
	return nil
}

func (f *webpFile) firstFrame(s *source, c webpChunk, inFrame bool) error {
	var b [16]byte
	switch {
	case f.bits.size > 0:
		return nil // one frame is enough
	case inFrame, !f.extended, c.size < int64(len(b)):
		return damaged("chunks out of order")
	}
	if err := readAt(s, b[:], c.offset); err != nil {
		return err
	}
	x, y := 2*little24(b[0:]), 2*little24(b[3:])
	f.frame = image.Rect(x, y, x+little24(b[6:])+1, y+little24(b[9:])+1)
	if err := f.read(s, c.offset+int64(len(b)), c.offset+c.size, true); err != nil {
		return err
	}
	if f.bits.size == 0 {
		return damaged("a frame without a picture")
	}
	return nil
}

func little24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// measure reads the size out of the picture itself and compares it with what
// the chunks around it say.
func (f *webpFile) measure(s *source) error {
	var b [10]byte
	head := b[:min(int64(len(b)), f.bits.size)]
	if err := readAt(s, head, f.bits.offset); err != nil {
		return err
	}
	var w, h int
	switch {
	case f.bits.name == "VP8 " && len(head) == 10 && b[0]&1 == 0 && string(b[3:6]) == "\x9d\x01\x2a":
		w, h = little16(b[6:])&0x3fff, little16(b[8:])&0x3fff
	case f.bits.name == "VP8L" && len(head) >= 5 && b[0] == 0x2f:
		v := binary.LittleEndian.Uint32(b[1:])
		w, h = int(v&0x3fff)+1, int(v>>14&0x3fff)+1
	default:
		return damaged("a WEBP without a picture")
	}
	if !f.extended {
		f.width, f.height = w, h
	}
	if f.frame.Empty() {
		f.frame = image.Rect(0, 0, f.width, f.height)
	}
	if f.frame.Dx() != w || f.frame.Dy() != h {
		return damaged("two sizes")
	}
	if !f.frame.In(image.Rect(0, 0, f.width, f.height)) {
		return damaged("a frame outside of the picture")
	}
	return nil
}

// memory is how much painting allocates.
func (f *webpFile) memory() int64 {
	w, h := int64(f.frame.Dx()), int64(f.frame.Dy())
	memory := 4*w + rowMemory(f.frame.Dx())
	if f.bits.name == "VP8L" {
		return memory + losslessMemory(w, h, f.bits.size)
	}
	// The file is read before decoding. Each block of 16 x 16 has four more bytes.
	blocks := ((w + 15) / 16) * ((h + 15) / 16)
	memory += f.bits.size + 1<<19 + blocks*(16*16*3/2+4) + w
	if f.alpha.size > 0 {
		memory += 2*w + losslessMemory(w, h, f.alpha.size)
	}
	return memory
}

func (f *webpFile) paint(s *source, c *canvas) error {
	bits := s.part(f.bits.offset, f.bits.size)
	if f.bits.name == "VP8L" {
		return f.paintLossless(s, c, bits)
	}
	d := vp8.NewDecoder()
	d.Init(bits, int(f.bits.size))
	if _, err := d.DecodeFrameHeader(); err != nil {
		return err
	}
	img, err := d.DecodeFrame()
	if err != nil {
		return err
	}
	if f.alpha.size == 0 && f.frame.Dx() == c.width && f.frame.Dy() == c.height {
		c.planes(img, videoRange)
		return nil
	}
	alpha := &alphaRows{width: f.frame.Dx()}
	if f.alpha.size > 0 {
		if err := alpha.open(s.part(f.alpha.offset, f.alpha.size), f.frame.Dy()); err != nil {
			return err
		}
	}
	return paintRows(s, c, f.frame, func(row []byte, y int) error {
		videoRow(row, img, y)
		return alpha.next(row)
	})
}

func (f *webpFile) paintLossless(s *source, c *canvas, bits io.Reader) error {
	if _, err := io.CopyN(io.Discard, bits, 5); err != nil { // the signature and the size
		return err
	}
	l, err := newLossless(bits, f.frame.Dx(), f.frame.Dy())
	if err != nil {
		return err
	}
	return paintRows(s, c, f.frame, func(row []byte, _ int) error {
		pixels, err := l.next()
		for x, p := range pixels {
			put(row[4*x:], uint8(p>>16), uint8(p>>8), uint8(p), uint8(p>>24))
		}
		return err
	})
}

// alphaRows reads the transparency that a lossy WEBP has beside its colours.
type alphaRows struct {
	width      int
	raw        io.Reader // either as bytes
	coded      *lossless // or as the green of a picture
	filter     byte
	row, above []byte
	first      bool
}

func (a *alphaRows) open(r io.Reader, height int) error {
	var head [1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	a.filter = head[0] >> 2 & 3
	a.row, a.above, a.first = make([]byte, a.width), make([]byte, a.width), true
	var err error
	switch head[0] & 3 {
	case 0:
		a.raw = r
	case 1:
		a.coded, err = newLossless(r, a.width, height)
	default:
		err = damaged("unknown transparency")
	}
	return err
}

// next puts the transparency of the next row into its pixels. Where there is
// none they stay as they are.
func (a *alphaRows) next(row []byte) error {
	switch {
	case a.raw != nil:
		if _, err := io.ReadFull(a.raw, a.row); err != nil {
			return err
		}
	case a.coded != nil:
		pixels, err := a.coded.next()
		if err != nil {
			return err
		}
		for x, p := range pixels {
			a.row[x] = uint8(p >> 8)
		}
	default:
		return nil
	}
	a.unfilter()
	for x, v := range a.row {
		row[4*x+3] = v
	}
	a.row, a.above, a.first = a.above, a.row, false
	return nil
}

// unfilter turns differences into values: to the left, above, or both.
func (a *alphaRows) unfilter() {
	b, up := a.row, a.above
	if a.filter == 0 {
		return
	}
	for x := range b {
		switch {
		case x == 0 && a.first:
		case x == 0:
			b[x] += up[x]
		case a.first || a.filter == 1:
			b[x] += b[x-1]
		case a.filter == 2:
			b[x] += up[x]
		default:
			b[x] += uint8(max(0, min(int(b[x-1])+int(up[x])-int(up[x-1]), 255)))
		}
	}
}

// videoRow converts a row of opaque pixels.
func videoRow(row []byte, img *image.YCbCr, y int) {
	for x := range img.Rect.Dx() {
		ci := img.COffset(x, y)
		r, g, b := videoRange(float32(img.Y[y*img.YStride+x]), float32(img.Cb[ci]), float32(img.Cr[ci]))
		put(row[4*x:], byteOf(r), byteOf(g), byteOf(b), 0xff)
	}
}
