package thumbnail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
)

// frame is what a JPEG says of itself before its first scan, read with the
// rules of image/jpeg, so that both see the same.
type frame struct {
	width, height int
	progressive   bool
	sampling      []uint8 // of each component, horizontal << 4 | vertical
	names         []uint8 // of each component
	jfif          bool
	adobe         bool
	transform     uint8 // by Adobe
	orientation   int
}

func readJPEG(s *source) (*header, error) {
	f := frame{orientation: 1}
	r := bufio.NewReaderSize(s, 8<<10)
	if err := f.read(r); err != nil {
		return nil, err
	}
	head := s.pos - int64(r.Buffered())
	h := &header{width: f.width, height: f.height, orientation: f.orientation}
	if h.width == 0 || h.height == 0 {
		return h, nil // refused by whoever looks at the size
	}
	h.memory = f.memory()
	h.paint = func(c *canvas) error {
		if err := s.seek(0); err != nil {
			return err
		}
		in := &scans{s: s, r: bufio.NewReaderSize(s, 32<<10), piece: 4 << 10, head: head}
		if f.progressive {
			in.piece = 128 // a scan may take long and have a few bytes only
		}
		img, err := jpeg.Decode(in)
		if err != nil {
			return jpegError(err)
		}
		return paintJPEG(s, c, img)
	}
	return h, nil
}

// read walks through the segments up to the first scan.
func (f *frame) read(r *bufio.Reader) error {
	var start [2]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return err
	}
	if start != [2]byte{0xff, 0xd8} {
		return damaged("not a JPEG")
	}
	for {
		marker, err := nextMarker(r)
		if err != nil {
			return err
		}
		switch {
		case marker == 0xd9:
			return damaged("no picture in it")
		case marker >= 0xd0 && marker <= 0xd7:
			continue
		}
		var size [2]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return err
		}
		n := int(size[0])<<8 | int(size[1]) - 2
		if n < 0 {
			return damaged("a segment is too short")
		}
		if marker == 0xda {
			if f.sampling == nil {
				return damaged("a scan before the frame")
			}
			return nil
		}
		if err := f.segment(r, marker, n); err != nil {
			return err
		}
	}
}

func nextMarker(r *bufio.Reader) (byte, error) {
	previous, marker := byte(0), byte(0)
	for previous != 0xff || marker == 0 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		previous, marker = marker, b
		for previous == 0xff && marker == 0xff {
			if marker, err = r.ReadByte(); err != nil {
				return 0, err
			}
		}
	}
	return marker, nil
}

func (f *frame) segment(r *bufio.Reader, marker byte, n int) error {
	switch marker {
	case 0xc0, 0xc1, 0xc2:
		return f.start(r, marker, n)
	case 0xc3, 0xc7, 0xcb, 0xcf:
		return fmt.Errorf("%w: a lossless JPEG", ErrUnsupported)
	case 0xc5, 0xc6, 0xcd, 0xce:
		return fmt.Errorf("%w: a hierarchical JPEG", ErrUnsupported)
	case 0xc9, 0xca, 0xcc:
		return fmt.Errorf("%w: an arithmetic-coded JPEG", ErrUnsupported)
	}
	var known []byte
	switch marker {
	case 0xe0:
		known = make([]byte, 5)
	case 0xe1:
		known = make([]byte, maxEXIF)
	case 0xee:
		known = make([]byte, 12)
	}
	known = known[:min(n, len(known))]
	if _, err := io.ReadFull(r, known); err != nil {
		return err
	}
	switch {
	case marker == 0xe0 && len(known) == 5:
		f.jfif = string(known) == "JFIF\x00"
	case marker == 0xe1 && bytes.HasPrefix(known, []byte("Exif\x00\x00")) && f.orientation == 1:
		f.orientation = orientation(known[6:])
	case marker == 0xee && len(known) == 12 && string(known[:5]) == "Adobe":
		f.adobe, f.transform = true, known[11]
	}
	_, err := r.Discard(n - len(known))
	return err
}

// start reads the head of the frame.
func (f *frame) start(r *bufio.Reader, marker byte, n int) error {
	if f.sampling != nil {
		return damaged("two frames")
	}
	head := make([]byte, 6+3*4)
	if n != 6+3*1 && n != 6+3*3 && n != 6+3*4 {
		return fmt.Errorf("%w: the number of components", ErrUnsupported)
	}
	head = head[:n]
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	if head[0] != 8 {
		return fmt.Errorf("%w: a JPEG of %d bits", ErrUnsupported, head[0])
	}
	f.progressive = marker == 0xc2
	f.height, f.width = int(head[1])<<8|int(head[2]), int(head[3])<<8|int(head[4])
	for c := head[6:]; len(c) >= 3; c = c[3:] {
		if c[1]>>4 == 0 || c[1]>>4 > 4 || c[1]&15 == 0 || c[1]&15 > 4 {
			return damaged("impossible subsampling")
		}
		f.names, f.sampling = append(f.names, c[0]), append(f.sampling, c[1])
	}
	if len(f.sampling) == 1 {
		f.sampling[0] = 0x11
	}
	return nil
}

// memory is how much image/jpeg allocates: a plane for each component, of whole
// blocks; the coefficients of all blocks where the JPEG is progressive, of four
// bytes each; another picture where the planes are not Y, Cb and Cr.
func (f *frame) memory() int64 {
	h, v := int64(f.sampling[0]>>4), int64(f.sampling[0]&15)
	across, down := (int64(f.width)+8*h-1)/(8*h), (int64(f.height)+8*v-1)/(8*v)
	samples := int64(0)
	for _, c := range f.sampling {
		samples += across * down * 64 * int64(c>>4) * int64(c&15)
	}
	if len(f.sampling) > 1 {
		// Chroma has planes of the size that the first of them asks for.
		samples = max(samples, across*down*64*(h*v+2*int64(f.sampling[1]>>4)*int64(f.sampling[1]&15)))
	}
	memory := samples
	if f.progressive {
		memory += 4 * samples
	}
	if len(f.sampling) == 4 || f.rgb() {
		memory += 4*int64(f.width)*int64(f.height) + 4*int64(f.width) + rowMemory(f.width)
	}
	return memory
}

func (f *frame) rgb() bool {
	return len(f.sampling) == 3 && !f.jfif && (f.adobe && f.transform == 0 || string(f.names) == "RGB")
}

// scans hands a JPEG to the decoder, in pieces so small that looking at the
// time between them is enough. It refuses one that says what its colours are
// after the first scan: the memory for that was not counted.
type scans struct {
	s        *source
	r        *bufio.Reader
	piece    int
	head     int64 // what is left of the part before the first scan
	previous byte
}

func (s *scans) Read(p []byte) (int, error) {
	if err := s.s.check(); err != nil {
		return 0, err
	}
	if _, err := s.r.Peek(1); err != nil {
		return 0, err
	}
	b, err := s.r.Peek(min(len(p), s.piece, s.r.Buffered()))
	if err != nil {
		return 0, err
	}
	if s.head > 0 {
		b = b[:min(int64(len(b)), s.head)]
		s.head -= int64(len(b))
	} else if b, err = s.inspect(b); err != nil {
		return 0, err
	}
	return s.r.Discard(copy(p, b))
}

// inspect returns b up to where the picture may end: what follows is looked at
// only if the decoder goes on.
func (s *scans) inspect(b []byte) ([]byte, error) {
	for i := 0; i < len(b); {
		if s.previous != 0xff {
			next := bytes.IndexByte(b[i:], 0xff)
			if next < 0 {
				s.previous = 0
				break
			}
			s.previous = 0xff
			i += next + 1
			continue
		}
		switch b[i] {
		case 0xe0, 0xee:
			return nil, fmt.Errorf("%w: a JPEG with application data between scans", ErrUnsupported)
		case 0xd9:
			s.previous = 0
			return b[:i+1], nil
		}
		s.previous = b[i]
		i++
	}
	return b, nil
}

func jpegError(err error) error {
	var unsupported jpeg.UnsupportedError
	if errors.As(err, &unsupported) {
		return fmt.Errorf("%w: a JPEG with %s", ErrUnsupported, string(unsupported))
	}
	return err
}

func paintJPEG(s *source, c *canvas, img image.Image) error {
	switch img := img.(type) {
	case *image.Gray:
		c.grey(img)
		return nil
	case *image.YCbCr:
		c.planes(img, fullRange)
		return nil
	case *image.RGBA: // opaque, always
		return paintRows(s, c, img.Rect, func(row []byte, y int) error {
			copy(row, img.Pix[y*img.Stride:])
			return nil
		})
	case *image.CMYK:
		return paintRows(s, c, img.Rect, func(row []byte, y int) error {
			for x := range img.Rect.Dx() {
				p := img.Pix[y*img.Stride+4*x:][:4]
				r, g, b := color.CMYKToRGB(p[0], p[1], p[2], p[3])
				row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = r, g, b, 0xff
			}
			return nil
		})
	}
	return fmt.Errorf("%w: a JPEG with unknown colours", ErrUnsupported)
}

// paintRows paints a part of the picture row by row.
func paintRows(s *source, c *canvas, frame image.Rectangle, fill func(row []byte, y int) error) error {
	row := make([]byte, 4*frame.Dx())
	for y := range frame.Dy() {
		if err := s.check(); err != nil {
			return err
		}
		if err := fill(row, y); err != nil {
			return err
		}
		c.pixels(frame.Min.Y+y, frame.Min.X, 1, row)
	}
	return nil
}
