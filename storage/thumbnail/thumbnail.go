// Package thumbnail owns the way from an uploaded picture to a small one: bytes
// in, WEBP out. Hostile input ends here.
//
// It promises that no input makes it panic, hold more memory or work longer
// than the limits allow, and that every picture it returns is made of pixels
// alone: EXIF, XMP, comments and profiles are gone, the orientation that EXIF
// asked for is applied, transparency is kept. Of an animation the first frame
// counts. Only decoders written in Go see what came from outside; the encoder,
// libwebp where cgo is on, sees nothing but pixels that were made here.
//
// Pixels are taken to be sRGB. An embedded colour profile is dropped and not
// applied: a picture in a wider colour space comes out a little paler.
//
// It never looks at names, never writes a file, and knows nothing of storage.
package thumbnail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"runtime"
	"time"
)

// MaxSize is how many pixels the longest side of a thumbnail has at most.
const MaxSize = 256

// Why there is no thumbnail. Every error that says something about the picture
// wraps one of these; what else Make returns is the context's or the reader's.
var (
	// ErrTooManyPixels says that the picture is larger than Limits.Pixels.
	ErrTooManyPixels = errors.New("the picture has too many pixels")
	// ErrDamaged says that the file is not a whole picture of its type.
	ErrDamaged = errors.New("the picture is damaged")
	// ErrUnsupported says that the file may be fine and cannot be decoded here:
	// another type, or a rare kind such as an arithmetic-coded JPEG.
	ErrUnsupported = errors.New("this kind of picture cannot be decoded")
	// ErrTooExpensive says that decoding would need more than Limits.Memory, or
	// took more than Limits.Time.
	ErrTooExpensive = errors.New("the picture is too expensive to decode")
)

// Limits bound what pictures may cost. Zero values mean the defaults.
type Limits struct {
	// Pixels is how many one picture may have, by its header, before anything
	// is decoded: 64,000,000.
	Pixels int64
	// Memory is how many bytes all decoding may hold at one time, garbage that
	// was not collected yet included: 128 MiB.
	Memory int64
	// Time is how long one picture may take, waiting for its turn not counted:
	// 20 seconds.
	Time time.Duration
	// Workers is how many pictures are decoded at one time: GOMAXPROCS.
	Workers int
}

// Picture is a thumbnail.
type Picture struct {
	WEBP          []byte
	Width, Height int
}

// Maker makes thumbnails within limits that all its callers share. Its methods
// may be called concurrently.
type Maker struct {
	pixels int64
	time   time.Duration
	gate   *gate
}

// New returns a Maker with these limits.
func New(l Limits) *Maker {
	if l.Pixels <= 0 {
		l.Pixels = 64_000_000
	}
	if l.Memory <= 0 {
		l.Memory = 128 << 20
	}
	if l.Time <= 0 {
		l.Time = 20 * time.Second
	}
	if l.Workers <= 0 {
		l.Workers = runtime.GOMAXPROCS(0)
	}
	return &Maker{pixels: l.Pixels, time: l.Time, gate: newGate(l.Memory, l.Workers)}
}

// Make reads the picture once and returns a thumbnail for each of the sizes:
// its longest side has that many pixels, or as many as the picture, and the
// aspect is kept. contentType is image/jpeg, image/png, image/gif or
// image/webp; src is read from its beginning and never held whole.
//
// A call waits while others hold what it needs. It ends with the context's
// error as soon as that is over, an error of reading src comes back as it is,
// and every other error wraps one of the package's.
func (m *Maker) Make(ctx context.Context, src io.ReadSeeker, contentType string, sizes ...int) ([]Picture, error) {
	largest := 0
	for _, size := range sizes {
		if size < 1 || size > MaxSize {
			return nil, fmt.Errorf("thumbnail: no size between 1 and %d: %d", MaxSize, size)
		}
		largest = max(largest, size)
	}
	if largest == 0 {
		return nil, nil
	}
	s, err := newSource(ctx, src, m.time)
	if err != nil {
		return nil, err
	}
	h, err := guard(s, func() (*header, error) { return readHeader(s, contentType) })
	if err != nil {
		return nil, err
	}
	if err := m.check(h); err != nil {
		return nil, err
	}
	need := h.memory + canvasMemory(h.width, h.height, largest)
	if err := m.gate.enter(ctx, need); err != nil {
		return nil, err
	}
	defer m.gate.leave(need)
	s.start(m.time)
	return guard(s, func() ([]Picture, error) { return h.thumbnails(largest, sizes) })
}

// Shrink makes a smaller thumbnail of one that was made before. It costs a
// little of the quality that making it from the original would have.
func (m *Maker) Shrink(ctx context.Context, webp []byte, size int) (Picture, error) {
	pictures, err := m.Make(ctx, bytes.NewReader(webp), "image/webp", size)
	if err != nil {
		return Picture{}, err
	}
	return pictures[0], nil
}

func (m *Maker) check(h *header) error {
	if h.width <= 0 || h.height <= 0 {
		return fmt.Errorf("%w: it has no pixels", ErrDamaged)
	}
	if int64(h.width) > m.pixels/int64(h.height) {
		return fmt.Errorf("%w: %d x %d, at most %d", ErrTooManyPixels, h.width, h.height, m.pixels)
	}
	return nil
}

// header is what is known of a picture before it is decoded.
type header struct {
	width, height int
	// orientation is that of EXIF, 1 to 8. Painting may still find it.
	orientation int
	// memory is how many bytes painting allocates at most, the canvas left out.
	memory int64
	// paint decodes the pixels onto the canvas.
	paint func(*canvas) error
}

func readHeader(s *source, contentType string) (*header, error) {
	switch contentType {
	case "image/jpeg":
		return readJPEG(s)
	case "image/png":
		return readPNG(s)
	case "image/gif":
		return readGIF(s)
	case "image/webp":
		return readWebP(s)
	}
	return nil, fmt.Errorf("%w: %q", ErrUnsupported, contentType)
}

func (h *header) thumbnails(largest int, sizes []int) ([]Picture, error) {
	c := newCanvas(h.width, h.height, largest)
	if err := h.paint(c); err != nil {
		return nil, err
	}
	pixels := c.image()
	pictures := make([]Picture, 0, len(sizes))
	for _, size := range sizes {
		w, h2 := fit(h.width, h.height, size)
		p, err := picture(orient(resize(pixels, w, h2), h.orientation))
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, p)
	}
	return pictures, nil
}

func picture(img *image.NRGBA) (Picture, error) {
	data, err := Encode(img)
	return Picture{WEBP: data, Width: img.Rect.Dx(), Height: img.Rect.Dy()}, err
}
