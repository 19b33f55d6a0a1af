package storage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Blobs keeps bytes by key. Engines: filestorage (a directory, the embedded
// default) and s3storage; storagetest is the suite that both pass.
//
// All methods may be called concurrently. What Put was given is there whole or
// not at all, for everybody who looks afterwards, also after a power cut.
// Opening does not need the server: the first call that reaches it may prepare
// the bucket. Errors wrap ErrUnavailable where trying again later may help (for
// a write the outcome is then open), ErrNotFound, ErrExists, ErrMismatch,
// ErrRefused where it will not help, or the context's error where that ended.
// Their texts never hold a credential or a signed address.
type Blobs interface {
	// Put stores what r holds from where it stands, exactly o.Size bytes, in the
	// place of what is there. r is read again from that place when a try fails.
	// ErrMismatch if the bytes are not those of o.SHA256 or not that many; then
	// nothing was stored.
	Put(ctx context.Context, key Key, r io.ReadSeeker, o Object) error
	// Create stores as Put does, if nothing is under the key; else ErrExists. Of
	// any number at once one succeeds. Who is told ErrExists after a broken
	// connection may have been the one: whose it is, the object has to tell.
	Create(ctx context.Context, key Key, r io.ReadSeeker, o Object) error
	// Open reads an object, or the part of it. The caller closes Reader.Body.
	// ErrNotFound if there is none, ErrRange if none of the part is in it, ErrMismatch,
	// perhaps from Body, where the store sees that it is not what was stored.
	Open(ctx context.Context, key Key, part Range) (*Reader, error)
	// Stat tells what is stored. ErrNotFound if there is nothing.
	Stat(ctx context.Context, key Key) (Info, error)
	// Delete removes the objects. One that is not there is no error; after an
	// error some may be gone.
	Delete(ctx context.Context, keys ...Key) error
	// List returns up to limit objects whose key begins with prefix, in the
	// order of their keys' bytes, that come after the key.
	List(ctx context.Context, prefix string, after Key, limit int) ([]Info, error)

	// SignGet returns an address at which anybody can read the object until it
	// expires. It is not checked that there is one.
	SignGet(ctx context.Context, key Key, g Get) (string, error)
	// SignPut returns the request by which anybody can store one object under
	// the key until it expires: of exactly that size, content type and SHA-256.
	SignPut(ctx context.Context, key Key, o Object, expires time.Duration) (SignedRequest, error)

	// Ping tells whether the store answers, and prepares it if it was not.
	Ping(ctx context.Context) error
	// Close waits for nothing and releases everything. Twice is no error.
	Close() error
}

// Signed is what an engine has besides whose signed addresses Trellis serves
// itself: those of paths below SignedPath. The signature alone decides; nothing
// else of the caller is looked at.
type Signed interface {
	// ServeSigned answers a request to a signed address. It keeps to the limits
	// that were signed, and leaves it to others to say problem documents: the
	// error is one of the package's (nothing was written then) or nil.
	ServeSigned(w http.ResponseWriter, r *http.Request) error
}

// SignedPath is below which the addresses are that Trellis serves itself.
const SignedPath = "/api/v1/blobs/"

// Key names an object: of 1 to 200 characters a-z 0-9 - . /, in parts that are
// neither empty nor begin with a dot. Keys are made by the service only.
type Key string

// Valid tells whether the key is one.
func (k Key) Valid() bool {
	if k == "" || len(k) > 200 {
		return false
	}
	start := true
	for i := range len(k) {
		switch c := k[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
			start = false
		case c == '.' && !start:
		case c == '/' && !start:
			start = true
		default:
			return false
		}
	}
	return !start
}

// Object is what a Put stores besides bytes.
type Object struct {
	Size        int64
	SHA256      [32]byte
	ContentType string
}

// Valid tells whether an engine takes it: a size that can be, and a content
// type of 1 to 200 printable ASCII characters.
func (o Object) Valid() bool {
	return o.Size >= 0 && o.ContentType != "" && len(o.ContentType) <= 200 && printable(o.ContentType)
}

// Info is what is known of a stored object.
type Info struct {
	Key         Key
	Size        int64
	ContentType string    // not told by List
	SHA256      [32]byte  // of all of it; zero from List, and where the store does not know
	Modified    time.Time // when it was stored, by the store's clock
}

// Range is a part of an object. The zero value is all of it.
type Range struct {
	// Offset is where it begins; negative: so many bytes before the end.
	Offset int64
	// Length is how many bytes at most; 0: up to the end.
	Length int64
}

// Reader is an object opened for reading.
type Reader struct {
	// Info is that of the whole object.
	Info
	// Offset is where in the object the body begins, Length how many bytes it has.
	Offset, Length int64
	Body           io.ReadCloser
}

// Get is what a signed address answers with.
type Get struct {
	Expires time.Duration
	// ContentType and Disposition are the headers of the answer; what was
	// stored if empty.
	ContentType, Disposition string
}

// Valid tells whether such an address can be signed: for up to MaxSigned, with
// headers of at most 1000 printable ASCII characters.
func (g Get) Valid() bool {
	return g.Expires > 0 && g.Expires <= MaxSigned && len(g.ContentType) <= 1000 && len(g.Disposition) <= 1000 &&
		printable(g.ContentType) && printable(g.Disposition)
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// SignedRequest is a request that somebody else may make.
type SignedRequest struct {
	Method string
	// URL is absolute, or a path of Trellis itself.
	URL string
	// Header is what must be sent, besides Host.
	Header  http.Header
	Expires time.Time
}

// MaxSigned is for how long an address may be signed at most.
const MaxSigned = 7 * 24 * time.Hour

var (
	// ErrNotFound says that there is no such object.
	ErrNotFound = errors.New("storage: there is no such object")
	// ErrExists says that there is an object already.
	ErrExists = errors.New("storage: there is such an object already")
	// ErrRange says that the object ends before the part begins.
	ErrRange = errors.New("storage: the object ends before that")
	// ErrMismatch says that the bytes are not what they were said to be.
	ErrMismatch = errors.New("storage: the bytes are not what was announced")
	// ErrUnavailable says that the store cannot be reached, or not now.
	ErrUnavailable = errors.New("storage: the store is not available")
	// ErrRefused says that the store will not do that: wrong credentials, no
	// such bucket, an expired or forged address.
	ErrRefused = errors.New("storage: the store refuses")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("storage: closed")
)
