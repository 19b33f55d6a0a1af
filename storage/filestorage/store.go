// Package filestorage keeps blobs in a directory, the embedded default.
//
// An object is one file: its bytes, then a trailer of fixed length with the
// content type and the hash. It is written elsewhere in the directory, flushed
// and then renamed or linked into place, so it is there whole or not at all, for other
// processes and after a power cut too. Several processes may use one directory.
// Nothing outside of it is ever touched, also where a symbolic link points there.
//
// Its signed addresses are paths of Trellis, which ServeSigned answers.
package filestorage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"trellis/storage"
)

// Options are how a directory is opened. The zero value is good.
type Options struct {
	// Secret signs addresses, of at least 32 bytes; nil is 32 random ones that
	// are kept in the directory. Processes that share it must agree.
	Secret []byte
	// PublicURL is put before the paths of signed addresses, without a slash at
	// its end; "" leaves them paths.
	PublicURL string
	// Grace is for how long a Put may stand still before Open takes what it
	// has written for the rest of a process that was killed; 0 is an hour.
	Grace time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Store is an open directory. It is safe for concurrent use.
type Store struct {
	root      *os.Root
	secret    []byte
	publicURL string
	now       func() time.Time
}

var (
	_ storage.Blobs  = (*Store)(nil)
	_ storage.Signed = (*Store)(nil)
)

// Names in the directory. They cannot be parts of a key, which have no leading
// dot; an object's own file begins with objectMark, which is no character of keys,
// so that objects a and a/b can both be there.
const (
	tempDir    = ".tmp"
	secretFile = ".secret"
	objectMark = "_"
)

// Open makes the directory if it is not there, and clears away what killed
// processes have left in it.
func Open(dir string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Grace == 0 {
		o.Grace = time.Hour
	}
	if o.Secret != nil && len(o.Secret) < secretSize {
		return nil, fmt.Errorf("filestorage: a secret has at least %d bytes", secretSize)
	}
	if err := makeDurable(dir); err != nil {
		return nil, fmt.Errorf("filestorage: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("filestorage: %w", err)
	}
	s := &Store{root: root, secret: o.Secret, publicURL: o.PublicURL, now: o.Now}
	if err := s.prepare(o.Grace); err != nil {
		root.Close()
		return nil, fmt.Errorf("filestorage: %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) prepare(grace time.Duration) (err error) {
	if err := s.root.Mkdir(tempDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.clear(s.now().Add(-grace)); err != nil {
		return err
	}
	if s.secret == nil {
		s.secret, err = s.keptSecret()
	}
	return err
}

// clear removes temporary files that were not written to since then.
func (s *Store) clear(since time.Time) error {
	entries, err := s.readDir(tempDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // its own process was faster
		}
		if err != nil {
			return err
		}
		if info.ModTime().Before(since) {
			if err := s.root.Remove(path.Join(tempDir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// makeDurable makes a directory and those above it, so that they outlive a power cut.
func makeDurable(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	made := []string{}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil || d == filepath.Dir(d) {
			break
		}
		made = append(made, d)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range made {
		parent, err := os.Open(filepath.Dir(d))
		if err != nil {
			return err
		}
		err = errors.Join(parent.Sync(), parent.Close())
		if err != nil {
			return err
		}
	}
	return nil
}

// Ping tells whether the directory can be written to.
func (s *Store) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := s.temp()
	if err != nil {
		return fault("ping", "", err)
	}
	defer f.discard()
	if _, err := f.Write([]byte{0}); err != nil {
		return fault("ping", "", err)
	}
	return nil
}

// Close lets go of the directory. Objects that are open stay readable.
func (s *Store) Close() error {
	return s.root.Close()
}

// tempFile is a file that nobody sees yet.
type tempFile struct {
	*os.File
	root *os.Root
	name string
}

func (s *Store) temp() (*tempFile, error) {
	name := path.Join(tempDir, rand.Text())
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &tempFile{f, s.root, name}, nil
}

// discard removes the name under which the file was written.
func (f *tempFile) discard() {
	f.Close()
	_ = f.root.Remove(f.name) // gone where it was renamed
}

// flush puts on the disk what was written, and closes the file.
func (f *tempFile) flush() error {
	return errors.Join(f.Sync(), f.Close())
}

// objectPath is where an object is.
func objectPath(key storage.Key) string {
	dir, name := path.Split(string(key))
	return dir + objectMark + name
}

func (s *Store) readDir(dir string) ([]fs.DirEntry, error) {
	d, err := s.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.ReadDir(-1)
}

// syncDir puts on the disk which names a directory holds.
func (s *Store) syncDir(dir string) error {
	d, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// invalid is the answer to what no engine takes.
func invalid(what string, key storage.Key) error {
	return fmt.Errorf("%w: %s %q: the key or what is asked of it is not valid", storage.ErrRefused, what, key)
}

// fault says what an error of the file system means to the caller.
func fault(what string, key storage.Key, err error) error {
	kind := storage.ErrUnavailable
	switch {
	case errors.Is(err, os.ErrClosed):
		kind = storage.ErrClosed
	case errors.Is(err, fs.ErrNotExist):
		kind = storage.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		kind = storage.ErrRefused
	}
	return fmt.Errorf("%w: %s %q: %w", kind, what, key, err)
}
