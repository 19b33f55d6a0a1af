package thumbnail

import (
	"bytes"
	"context"
	"image"
	"time"
)

// Painted is a picture as it is before it is resized to fit into 256 x 256:
// exact, if it has less than 1,024 pixels a side.
func Painted(data []byte, contentType string) (*image.NRGBA, error) {
	s, err := newSource(context.Background(), bytes.NewReader(data), time.Minute)
	if err != nil {
		return nil, err
	}
	h, err := guard(s, func() (*header, error) { return readHeader(s, contentType) })
	if err != nil {
		return nil, err
	}
	if err := New(Limits{}).check(h); err != nil {
		return nil, err
	}
	return guard(s, func() (*image.NRGBA, error) {
		c := newCanvas(h.width, h.height, MaxSize)
		if err := h.paint(c); err != nil {
			return nil, err
		}
		return c.image(), nil
	})
}

// Orientation is orientation.
func Orientation(tiff []byte) int { return orientation(tiff) }

// Estimate is how many bytes are set aside for decoding a picture and painting
// it for thumbnails of 256.
func Estimate(data []byte, contentType string) (int64, error) {
	s, err := newSource(context.Background(), bytes.NewReader(data), time.Minute)
	if err != nil {
		return 0, err
	}
	h, err := readHeader(s, contentType)
	if err != nil {
		return 0, err
	}
	return h.memory + canvasMemory(h.width, h.height, MaxSize), nil
}
