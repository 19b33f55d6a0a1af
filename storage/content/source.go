package content

import (
	"context"
	"errors"
	"io"
)

// windowSize is how much of a file is in memory at once.
const windowSize = 64 << 10

// source reads a file through a window.
type source struct {
	ctx   context.Context
	r     io.ReaderAt
	size  int64
	space []byte
	// window is what was read last, from start on.
	window []byte
	start  int64
}

func newSource(ctx context.Context, r io.ReaderAt, size int64) *source {
	return &source{ctx: ctx, r: r, size: size, space: make([]byte, min(windowSize, size))}
}

// load moves the window so that it begins at off.
func (s *source) load(off int64) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	b := s.space[:max(0, min(int64(len(s.space)), s.size-off))]
	s.window, s.start = nil, off
	for n := 0; n < len(b); {
		m, err := s.r.ReadAt(b[n:], off+int64(n))
		n += m
		if n < len(b) && err != nil {
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF // shorter than it was said to be
			}
			return err
		}
	}
	s.window = b
	return nil
}

// from returns what the window has from off on, at least one byte unless the
// file ends there. It is good until the next call.
func (s *source) from(off int64) ([]byte, error) {
	if i := off - s.start; i >= 0 && i < int64(len(s.window)) {
		return s.window[i:], nil
	}
	if err := s.load(off); err != nil {
		return nil, err
	}
	return s.window, nil
}

// at returns the n bytes at off, which are part of what is named. They are good
// until the next call. A file that ends before is damaged.
func (s *source) at(off int64, n int, part string) ([]byte, error) {
	if i := off - s.start; i >= 0 && i+int64(n) <= int64(len(s.window)) {
		return s.window[i : i+int64(n)], nil
	}
	if off+int64(n) > s.size {
		return nil, cutOff(part)
	}
	if err := s.load(off); err != nil {
		return nil, err
	}
	return s.window[:n], nil
}

func cutOff(part string) error { return damaged("the file ends in the middle of %s", part) }

// upTo returns the n bytes at off, or as many as there are.
func (s *source) upTo(off int64, n int) ([]byte, error) {
	if off >= s.size {
		return nil, nil
	}
	return s.at(off, int(min(int64(n), s.size-off)), "")
}

// skip returns the first place from off on that holds another byte than c, or
// the end of the file.
func (s *source) skip(off int64, c byte) (int64, error) {
	for off < s.size {
		b, err := s.from(off)
		if err != nil {
			return 0, err
		}
		for _, x := range b {
			if x != c {
				return off, nil
			}
			off++
		}
	}
	return off, nil
}
