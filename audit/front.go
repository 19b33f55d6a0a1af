package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	// A spool has two fronts: while one is written to the spool, the other takes records.
	fronts    = 2
	frontSize = 1 << 20
)

func frontName(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("front-%d", i)) }

// mapFront maps a front, making the file if it is not there or too short.
func mapFront(name string) (b []byte, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the mapping stays
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if short := frontSize - info.Size(); short > 0 {
		// The disk must have room for all of it now: later there is nobody to
		// tell that it has not.
		if _, err := f.WriteAt(make([]byte, short), info.Size()); err != nil {
			return nil, err
		}
	}
	b, err = syscall.Mmap(int(f.Fd()), 0, frontSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errMapping, name, err)
	}
	return b, nil
}

var errMapping = errors.New("mapping")

// mapFronts maps those of the spool. Where files cannot be mapped it has none.
func (s *spool) mapFronts() error {
	for i := range fronts {
		b, err := mapFront(frontName(s.dir, i))
		if errors.Is(err, errMapping) {
			s.logger.Warn("the audit spool has no front: every record is written at once", "error", err)
			s.unmapFronts()
			return nil
		}
		if err != nil {
			return err
		}
		s.fronts = append(s.fronts, b)
	}
	return nil
}

func (s *spool) unmapFronts() {
	for _, b := range s.fronts {
		_ = syscall.Munmap(b) // it was mapped
	}
	s.fronts = nil
}
