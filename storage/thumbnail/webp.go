package thumbnail

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/webp"
)

// webpFile is what a WEBP holds of its first frame. The decoder gets those
// chunks and nothing else, as a still picture: it knows no animations.
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

// memory is how much the decoder allocates.
func (f *webpFile) memory() int64 {
	w, h := int64(f.frame.Dx()), int64(f.frame.Dy())
	rows := 4*w + rowMemory(f.frame.Dx())
	if f.bits.name == "VP8L" {
		return rows + losslessMemory(w, h, f.bits.size)
	}
	blocks := ((w + 15) / 16) * ((h + 15) / 16)
	memory := rows + f.bits.size + 1<<19 + blocks*(16*16*3/2+4) + w
	if f.alpha.size > 0 {
		memory += 2*w*h + losslessMemory(w, h, f.alpha.size)
	}
	return memory
}

// losslessMemory is that of VP8L: pixels of four bytes, twice if they were
// indexes, tiles of at least 4 x 4 pixels for two transforms and the choice of
// codes, and the codes. A code takes up to 256 times the bytes that it has in
// the file, and there are at most 2,600 groups of them.
func losslessMemory(w, h, size int64) int64 {
	const group = 56 << 10
	tiles := ((w + 3) / 4) * ((h + 3) / 4)
	codes := min(group*min(2600, tiles+8), 1100*size)
	return 8*w*h + 3*4*tiles + codes + 64<<10
}

func (f *webpFile) paint(s *source, c *canvas) error {
	img, err := webp.Decode(f.still(s))
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	at := f.frame.Min
	switch img := img.(type) {
	case *image.YCbCr:
		if f.frame.Dx() == c.width && f.frame.Dy() == c.height {
			c.planes(img, videoRange)
			return nil
		}
		return paintRows(s, c, at, img.Rect, func(row []byte, y int) { videoRow(row, img, nil, y) })
	case *image.NYCbCrA:
		return paintRows(s, c, at, img.Rect, func(row []byte, y int) {
			videoRow(row, &img.YCbCr, img.A[y*img.AStride:], y)
		})
	case *image.NRGBA:
		return paintRows(s, c, at, img.Rect, func(row []byte, y int) { copy(row, img.Pix[y*img.Stride:]) })
	}
	return fmt.Errorf("%w: a WEBP with unknown colours", ErrUnsupported)
}

// still is a file with nothing but the picture.
func (f *webpFile) still(s *source) io.Reader {
	le := binary.LittleEndian
	body := []io.Reader{nil}
	head := []byte("RIFF\x00\x00\x00\x00WEBP")
	total := f.bits.size + 8 + 4
	if f.alpha.size > 0 && f.bits.name == "VP8 " {
		const hasAlpha = 1 << 4
		w, h := uint32(f.frame.Dx()-1), uint32(f.frame.Dy()-1)
		head = append(head, "VP8X\x0a\x00\x00\x00"...)
		head = append(head, hasAlpha, 0, 0, 0, byte(w), byte(w>>8), byte(w>>16), byte(h), byte(h>>8), byte(h>>16))
		head = le.AppendUint32(append(head, "ALPH"...), uint32(f.alpha.size))
		body = append(body, s.part(f.alpha.offset, f.alpha.size), bytes.NewReader(make([]byte, f.alpha.size&1)))
		total += 18 + 8 + f.alpha.size + f.alpha.size&1
		body = append(body, bytes.NewReader(f.bitsHead()))
	} else {
		head = append(head, f.bitsHead()...)
	}
	le.PutUint32(head[4:], uint32(total))
	body[0] = bytes.NewReader(head)
	return io.MultiReader(append(body, s.part(f.bits.offset, f.bits.size))...)
}

func (f *webpFile) bitsHead() []byte {
	return binary.LittleEndian.AppendUint32([]byte(f.bits.name), uint32(f.bits.size))
}

// videoRow converts a row; where there is no alpha it is opaque.
func videoRow(row []byte, img *image.YCbCr, alpha []byte, y int) {
	for x := range img.Rect.Dx() {
		ci := img.COffset(x, y)
		r, g, b := videoRange(float32(img.Y[y*img.YStride+x]), float32(img.Cb[ci]), float32(img.Cr[ci]))
		a := uint8(0xff)
		if alpha != nil {
			a = alpha[x]
		}
		put(row[4*x:], byteOf(r), byteOf(g), byteOf(b), a)
	}
}
