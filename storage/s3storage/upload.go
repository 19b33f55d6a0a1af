package s3storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"trellis/storage"
)

// upload is the body of a Put. It hashes what passes, and keeps the last piece
// back until the hash is right: a service never gets the whole of what is not
// what was announced, whether or not it looks at checksums. It can be rewound.
type upload struct {
	ctx    context.Context // the call's: nothing is sent whole after its end
	src    io.ReadSeeker
	start  int64 // where in src the object begins
	object storage.Object
	abort  func() // ends the call

	pos    int64 // where the reader stands
	hashed int64 // how far src was read
	hash   hash.Hash
	err    error // what is wrong with src, for good
}

func newUpload(ctx context.Context, src io.ReadSeeker, o storage.Object, abort func()) (*upload, error) {
	start, err := src.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	end, err := src.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if end-start != o.Size {
		return nil, fmt.Errorf("%w: there are %d bytes, not %d", storage.ErrMismatch, end-start, o.Size)
	}
	u := &upload{ctx: ctx, src: src, start: start, object: o, abort: abort, hash: sha256.New()}
	if err := u.rewind(); err != nil || o.Size > 0 {
		return u, err
	}
	return u, u.finish()
}

func (u *upload) Read(p []byte) (n int, err error) {
	switch {
	case u.err != nil:
		return 0, u.err
	case u.pos >= u.object.Size:
		return 0, io.EOF
	case u.ctx.Err() != nil:
		return 0, u.ctx.Err()
	case u.pos != u.hashed:
		err = u.rewind()
	}
	if err == nil {
		p = p[:min(int64(len(p)), u.object.Size-u.pos)]
		n, err = u.read(p)
	}
	if err != nil {
		if u.ctx.Err() == nil {
			u.err = err
			u.abort()
		}
		return 0, err
	}
	return n, nil
}

// rewind begins anew.
func (u *upload) rewind() error {
	if u.pos != 0 {
		return errors.New("s3storage: an upload is read from its beginning")
	}
	if _, err := u.src.Seek(u.start, io.SeekStart); err != nil {
		return err
	}
	u.hashed = 0
	u.hash.Reset()
	return nil
}

func (u *upload) read(p []byte) (int, error) {
	n, err := u.src.Read(p)
	u.hash.Write(p[:n])
	u.pos += int64(n)
	u.hashed = u.pos
	if u.pos == u.object.Size {
		if err := u.ctx.Err(); err != nil { // it ended while the last piece was read
			return 0, err
		}
		return n, u.finish()
	}
	if errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("%w: the bytes end too early", storage.ErrMismatch)
	}
	return n, err
}

// finish tells whether what was read is all, and right.
func (u *upload) finish() error {
	var one [1]byte
	switch n, err := io.ReadFull(u.src, one[:]); {
	case n != 0:
		return fmt.Errorf("%w: there are more bytes", storage.ErrMismatch)
	case !errors.Is(err, io.EOF):
		return err
	case !bytes.Equal(u.hash.Sum(nil), u.object.SHA256[:]):
		return fmt.Errorf("%w: another SHA-256", storage.ErrMismatch)
	}
	return nil
}

// Seek only notes the place; Read goes there.
func (u *upload) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += u.pos
	case io.SeekEnd:
		offset += u.object.Size
	}
	if offset < 0 {
		return 0, errors.New("s3storage: seek before the beginning")
	}
	u.pos = offset
	return offset, nil
}
