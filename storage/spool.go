package storage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ErrTooLarge says that more bytes came than may.
var ErrTooLarge = errors.New("storage: too many bytes")

// Spool takes in bytes of unknown length: into a file without a name, so that
// nothing is left of it whatever happens to the process, and never into memory.
// Directories on one machine may be shared by processes.
type Spool struct {
	dir string
}

// NewSpool keeps its files in the directory, which is made if it is not there. What
// a process that was killed between making a file and taking its name away has left
// is removed.
func NewSpool(dir string) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the directory for files that arrive: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return nil, fmt.Errorf("the directory for files that arrive: %w", err)
	}
	for _, name := range left {
		// Another process may just have made it, or removed it.
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(name)
		}
	}
	return &Spool{dir: dir}, nil
}

// pattern names files for the moment until their name is taken away.
const pattern = "arriving-*"

// Spooled is what was taken in. It reads from its beginning, and can be read at
// several places at once by ReadAt. Close gives its room back.
type Spooled struct {
	*os.File
	Size   int64
	SHA256 [32]byte
}

// piece is how much is read at once.
const piece = 128 << 10

// Take reads r to its end. ErrTooLarge as soon as there are more bytes than
// limit; ErrUnavailable if there is no room for them; other errors are those of
// r and the context's.
func (s *Spool) Take(ctx context.Context, r io.Reader, limit int64) (*Spooled, error) {
	f, err := os.CreateTemp(s.dir, pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrUnavailable, err), f.Close())
	}
	out := &Spooled{File: f}
	if err := out.fill(ctx, r, limit); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return out, nil
}

func (s *Spooled) fill(ctx context.Context, r io.Reader, limit int64) error {
	sum, buf := sha256.New(), make([]byte, piece)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		if s.Size += int64(n); s.Size > limit {
			return fmt.Errorf("%w: the limit is %d", ErrTooLarge, limit)
		}
		_, _ = sum.Write(buf[:n]) // never fails
		if _, err := s.Write(buf[:n]); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	sum.Sum(s.SHA256[:0])
	_, err := s.Seek(0, io.SeekStart)
	return err
}
