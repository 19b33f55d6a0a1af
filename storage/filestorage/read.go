package filestorage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"trellis/storage"
)

// object is an open object.
type object struct {
	file *os.File
	storage.Info
}

func (s *Store) open(what string, key storage.Key) (*object, error) {
	f, err := s.root.Open(objectPath(key))
	if err != nil {
		return nil, fault(what, key, err)
	}
	o, err := readObject(f, key)
	if err != nil {
		f.Close()
		return nil, err
	}
	return o, nil
}

func readObject(f *os.File, key storage.Key) (*object, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fault("read", key, err)
	}
	b := make([]byte, trailerSize)
	size := info.Size() - trailerSize
	if info.Mode().IsRegular() && size >= 0 {
		if _, err := f.ReadAt(b, size); err != nil && !errors.Is(err, io.EOF) {
			return nil, fault("read", key, err)
		}
		if t, ok := parseTrailer(b); ok && t.Size == size {
			return &object{f, storage.Info{Key: key, Size: size, ContentType: t.ContentType, SHA256: t.SHA256, Modified: info.ModTime()}}, nil
		}
	}
	return nil, fmt.Errorf("%w: read %q: its file is damaged", storage.ErrMismatch, key)
}

// Open reads an object, or the part of it.
func (s *Store) Open(ctx context.Context, key storage.Key, part storage.Range) (*storage.Reader, error) {
	if !key.Valid() {
		return nil, invalid("open", key)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := s.open("open", key)
	if err != nil {
		return nil, err
	}
	offset, length, ok := within(o.Size, part)
	if !ok {
		o.file.Close()
		return nil, fmt.Errorf("%w: open %q", storage.ErrRange, key)
	}
	return &storage.Reader{Info: o.Info, Offset: offset, Length: length, Body: &body{ctx, io.NewSectionReader(o.file, offset, length), o.file}}, nil
}

// within tells which bytes of an object of that size are in the part; false if none.
func within(size int64, part storage.Range) (offset, length int64, ok bool) {
	if part == (storage.Range{}) {
		return 0, size, true
	}
	offset = part.Offset
	if offset < 0 {
		offset = max(0, size+offset)
	}
	if offset >= size || part.Length < 0 {
		return 0, 0, false
	}
	length = size - offset
	if part.Length > 0 {
		length = min(length, part.Length)
	}
	return offset, length, true
}

// body is part of an open file. It ends with the context it was opened with.
type body struct {
	ctx context.Context
	io.Reader
	file *os.File
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}

// Close closes the file.
func (b *body) Close() error { return b.file.Close() }

// Stat tells what is stored.
func (s *Store) Stat(ctx context.Context, key storage.Key) (storage.Info, error) {
	if !key.Valid() {
		return storage.Info{}, invalid("stat", key)
	}
	if err := ctx.Err(); err != nil {
		return storage.Info{}, err
	}
	o, err := s.open("stat", key)
	if err != nil {
		return storage.Info{}, err
	}
	defer o.file.Close()
	return o.Info, nil
}

// List returns objects in the order of their keys.
func (s *Store) List(ctx context.Context, prefix string, after storage.Key, limit int) ([]storage.Info, error) {
	l := lister{Store: s, ctx: ctx, prefix: prefix, after: string(after), limit: limit}
	if err := l.walk(""); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fault("list", storage.Key(prefix), err)
	}
	return l.found, nil
}

type lister struct {
	*Store
	ctx           context.Context
	prefix, after string
	limit         int
	found         []storage.Info
}

// walk finds what is below a directory, which is "" or ends with a slash.
func (l *lister) walk(dir string) error {
	if len(l.found) >= l.limit || !l.wanted(dir) {
		return nil
	}
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := l.readDir(cmp.Or(strings.TrimSuffix(dir, "/"), "."))
	if errors.Is(err, fs.ErrNotExist) && dir != "" {
		return nil // emptied meanwhile
	}
	if err != nil {
		return err
	}
	// A directory stands where the keys in it do: after a-b, which is before a/b.
	type child struct {
		key   string
		entry fs.DirEntry
	}
	children := make([]child, 0, len(entries))
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), objectMark); ok {
			children = append(children, child{dir + name, e})
		} else if e.IsDir() {
			children = append(children, child{dir + e.Name() + "/", e})
		}
	}
	slices.SortFunc(children, func(a, b child) int { return strings.Compare(a.key, b.key) })
	for _, c := range children {
		if len(l.found) >= l.limit {
			return nil
		}
		if c.entry.IsDir() {
			err = l.walk(c.key)
		} else {
			err = l.add(storage.Key(c.key), c.entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wanted tells whether keys below a directory can be among those asked for.
func (l *lister) wanted(dir string) bool {
	return (strings.HasPrefix(dir, l.prefix) || strings.HasPrefix(l.prefix, dir)) &&
		(l.after < dir || strings.HasPrefix(l.after, dir))
}

func (l *lister) add(key storage.Key, e fs.DirEntry) error {
	if string(key) <= l.after || !strings.HasPrefix(string(key), l.prefix) || !key.Valid() || !e.Type().IsRegular() {
		return nil
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	l.found = append(l.found, storage.Info{Key: key, Size: max(0, info.Size()-trailerSize), Modified: info.ModTime()})
	return nil
}
