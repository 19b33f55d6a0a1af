package filestorage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"trellis/storage"
)

// Put stores an object. It returns when it is on the disk.
func (s *Store) Put(ctx context.Context, key storage.Key, r io.ReadSeeker, o storage.Object) error {
	return s.put(ctx, key, r, o, s.root.Rename)
}

// Create stores an object if there is none. A link either makes the whole file
// or fails.
func (s *Store) Create(ctx context.Context, key storage.Key, r io.ReadSeeker, o storage.Object) error {
	err := s.put(ctx, key, r, o, s.root.Link)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: create %q", storage.ErrExists, key)
	}
	return err
}

// put stores an object; publish gives the file that is on the disk its name.
func (s *Store) put(ctx context.Context, key storage.Key, r io.Reader, o storage.Object, publish func(from, to string) error) error {
	if !key.Valid() || !o.Valid() {
		return invalid("put", key)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := s.temp()
	if err != nil {
		return unplaced(key, err)
	}
	defer f.discard()
	if err := fill(ctx, f, r, key, o); err != nil {
		return err
	}
	if err := f.flush(); err != nil {
		return unplaced(key, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.place(f.name, key, publish); err != nil {
		return unplaced(key, err)
	}
	return nil
}

// fill copies an object and its trailer into a file, if it is what was announced.
func fill(ctx context.Context, f io.Writer, r io.Reader, key storage.Key, o storage.Object) error {
	src := &source{ctx: ctx, r: r}
	hash := sha256.New()
	buf := make([]byte, 64<<10)
	// One byte more would be too much, and is enough to see it.
	n, err := io.CopyBuffer(io.MultiWriter(f, hash), io.LimitReader(src, o.Size+1), buf)
	switch {
	case src.err != nil:
		return fmt.Errorf("filestorage: put %q: %w", key, src.err)
	case err != nil:
		return unplaced(key, err)
	case n != o.Size || [32]byte(hash.Sum(nil)) != o.SHA256:
		return fmt.Errorf("%w: put %q", storage.ErrMismatch, key)
	}
	if _, err := f.Write(appendTrailer(nil, o)); err != nil {
		return unplaced(key, err)
	}
	return nil
}

// source reads until the context ends, and remembers what went wrong with it.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// place publishes a file that is on the disk where the object belongs, and
// flushes all directories on the way there.
func (s *Store) place(name string, key storage.Key, publish func(from, to string) error) error {
	target := objectPath(key)
	dir := path.Dir(target)
	// A Delete may remove the empty directory before the file is in it.
	for try := 1; ; try++ {
		// Being removed meanwhile, one may both be there and not.
		if err := s.root.MkdirAll(dir, 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err
		}
		err := publish(name, target)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || try == 100 {
			return err
		}
	}
	// Those that were there before may have been made a moment ago by another
	// process, that has not flushed them yet. For a clean one it costs next to nothing.
	for ; ; dir = path.Dir(dir) {
		// One that is gone went with the object, by a Delete.
		if err := s.syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if dir == "." {
			return nil
		}
	}
}

// unplaced is fault for what is written: nothing that is missing then is an
// object that is not there.
func unplaced(key storage.Key, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: put %q: %w", storage.ErrUnavailable, key, err)
	}
	return fault("put", key, err)
}

// Delete removes objects, and directories that are empty then.
func (s *Store) Delete(ctx context.Context, keys ...storage.Key) error {
	for _, key := range keys {
		if !key.Valid() {
			return invalid("delete", key)
		}
	}
	dirs := map[string]bool{}
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.root.Remove(objectPath(key))
		if err == nil {
			dirs[path.Dir(objectPath(key))] = true
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fault("delete", key, err)
		}
	}
	for dir := range dirs {
		if err := s.prune(dir); err != nil {
			return fault("delete", storage.Key(dir), err)
		}
	}
	return nil
}

// prune removes a directory and those above it as far as they are empty, and
// flushes the first that is not.
func (s *Store) prune(dir string) error {
	for ; dir != "."; dir = path.Dir(dir) {
		if s.root.Remove(dir) != nil {
			break // not empty, or gone
		}
	}
	if err := s.syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
