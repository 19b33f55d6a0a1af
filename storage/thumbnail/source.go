package thumbnail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// source is the uploaded file. Reading from it fails once the context is over
// or the time is up, which is how decoders are stopped.
type source struct {
	ctx      context.Context //nolint:containedctx // it lives as long as the call
	r        io.ReadSeeker
	size     int64
	pos      int64
	deadline time.Time
	// err is why reading failed, apart from the end of the file.
	err error
}

func newSource(ctx context.Context, r io.ReadSeeker, limit time.Duration) (*source, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	s := &source{ctx: ctx, r: r, size: size, pos: size}
	s.start(limit)
	return s, s.seek(0)
}

// start gives so much time from now on.
func (s *source) start(limit time.Duration) { s.deadline = time.Now().Add(limit) }

func (s *source) seek(to int64) error {
	if s.pos == to {
		return nil
	}
	if _, err := s.r.Seek(to, io.SeekStart); err != nil {
		s.err = err
		return err
	}
	s.pos = to
	return nil
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	s.pos += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// check tells whether there is a reason to stop.
func (s *source) check() error {
	if s.err != nil {
		return s.err
	}
	if s.err = s.ctx.Err(); s.err == nil && time.Now().After(s.deadline) {
		s.err = fmt.Errorf("%w: it takes too long", ErrTooExpensive)
	}
	return s.err
}

// part returns a reader of n bytes from an offset on. Parts may be read in any
// order, one after the other.
func (s *source) part(offset, n int64) io.Reader {
	return &part{s: s, at: offset, left: n}
}

type part struct {
	s        *source
	at, left int64
}

func (p *part) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, io.EOF
	}
	if err := p.s.seek(p.at); err != nil {
		return 0, err
	}
	n, err := p.s.Read(b[:min(int64(len(b)), p.left)])
	p.at += int64(n)
	p.left -= int64(n)
	return n, err
}

// guard runs a decoder. What goes wrong in it becomes one of the package's
// errors, whatever the decoder made of it, a panic too.
func guard[T any](s *source, decode func() (T, error)) (result T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the decoder gave up", ErrDamaged)
		}
		if err == nil {
			return
		}
		var none T
		result = none
		if s.err != nil {
			err = s.err
			return
		}
		err = classify(err)
	}()
	return decode()
}

func classify(err error) error {
	for _, known := range []error{ErrDamaged, ErrUnsupported, ErrTooExpensive, ErrTooManyPixels} {
		if errors.Is(err, known) {
			return err
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrDamaged)
	}
	return damaged(err.Error())
}

// damaged is the error of a file that breaks the rules of its format.
func damaged(what string) error { return fmt.Errorf("%w: %s", ErrDamaged, what) }
