// Package storagetest is the conformance suite of storage.Blobs: whatever the
// contract promises is asked of each engine here, and neither is special.
//
// An engine's own test calls Run. Proxy stands between an engine and its server,
// and does to their connections what networks do.
package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/storage"
)

// Engine is how the suite gets at the engine under test.
type Engine struct {
	// New makes room for one new, empty store, and registers with t what must
	// be done to take it away again.
	New func(t testing.TB) Place
	// Lacks says what a server is known not to do, and why. It is for servers:
	// what an engine itself must do has no category.
	Lacks map[Category]string
}

// Place is where the data of one store lives. Every call opens a store on that
// data once more, as another process would; the caller closes it.
type Place func(t testing.TB) storage.Blobs

// Category is something that a server may lack.
type Category string

// What is known to be missing somewhere.
const (
	// Order is the order of keys in a list.
	Order Category = "order"
	// Both is an object a beside an object a/b.
	Both Category = "both"
	// OpenReaders is that who reads an object goes on when it is deleted.
	OpenReaders Category = "open readers"
	// Folders is that keys with a part in common do not hinder each other.
	Folders Category = "folders"
	// Anonymous is that a request without a signature is refused.
	Anonymous Category = "anonymous"
	// WholeQuery is that a signature covers parameters that were added to the address.
	WholeQuery Category = "whole query"
)

// A testCase is one rule, or a few that share their preparation.
type testCase struct {
	name  string
	alone bool // what it measures must not be mixed with others
	run   func(*room)
}

// Run asks everything of the engine.
func Run(t *testing.T, e Engine) {
	names := map[string]bool{}
	for _, c := range slices.Concat(objectCases, listCases, lifeCases, signedCases) {
		if names[c.name] {
			t.Errorf("two cases are called %s", c.name)
		}
		names[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			if !c.alone {
				t.Parallel()
			}
			// Longer than anything takes: a hang should tell its name.
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			r := &room{T: t, ctx: ctx, engine: e, place: e.New(t)}
			r.blobs = r.open()
			c.run(r)
		})
	}
}

// room is what a case works with: an empty store.
type room struct {
	*testing.T
	ctx    context.Context
	engine Engine
	place  Place
	blobs  storage.Blobs
}

// open opens the store once more.
func (r *room) open() storage.Blobs {
	r.Helper()
	b := r.place(r)
	r.Cleanup(func() {
		if err := b.Close(); err != nil {
			r.Errorf("close: %v", err)
		}
	})
	return b
}

// needs skips the rest if the server lacks something.
func (r *room) needs(c Category) {
	r.Helper()
	if why, ok := r.engine.Lacks[c]; ok {
		r.Skipf("%s: %s", c, why)
	}
}

func (r *room) has(c Category) bool {
	_, lacks := r.engine.Lacks[c]
	return !lacks
}

// Bytes are n bytes that look like no others of another seed.
func Bytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// Object describes bytes.
func Object(b []byte, contentType string) storage.Object {
	return storage.Object{Size: int64(len(b)), SHA256: sha256.Sum256(b), ContentType: contentType}
}

const octets = "application/octet-stream"

// put stores bytes, which must work.
func (r *room) put(key storage.Key, b []byte) {
	r.Helper()
	if err := r.blobs.Put(r.ctx, key, bytes.NewReader(b), Object(b, octets)); err != nil {
		r.Fatalf("put %s: %v", key, err)
	}
}

// get reads all of an object, which must be there.
func (r *room) get(key storage.Key) []byte {
	r.Helper()
	o, err := r.blobs.Open(r.ctx, key, storage.Range{})
	if err != nil {
		r.Fatalf("open %s: %v", key, err)
	}
	defer o.Body.Close()
	b, err := io.ReadAll(o.Body)
	if err != nil {
		r.Fatalf("read %s: %v", key, err)
	}
	if o.Size != int64(len(b)) || o.Length != o.Size || o.Offset != 0 {
		r.Errorf("%s: size %d, length %d, offset %d, but %d bytes came", key, o.Size, o.Length, o.Offset, len(b))
	}
	return b
}

// holds checks what is stored; nil for nothing.
func (r *room) holds(key storage.Key, want []byte) {
	r.Helper()
	if want == nil {
		if info, err := r.blobs.Stat(r.ctx, key); !errors.Is(err, storage.ErrNotFound) {
			r.Errorf("%s is there: %+v, %v", key, info, err)
		}
		return
	}
	if got := r.get(key); !bytes.Equal(got, want) {
		r.Errorf("%s holds %d other bytes, not the %d that were stored", key, len(got), len(want))
	}
}

// is checks that an error is of a kind.
func (r *room) is(what string, err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Errorf("%s: %v, want %v", what, err, want)
	}
}

// web reaches signed addresses: a service's own, or those that Trellis serves.
type web struct {
	base   string
	client *http.Client
}

// web serves the store's signed addresses if it does not do so itself.
func (r *room) web() *web {
	w := &web{client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if signed, ok := r.blobs.(storage.Signed); ok {
		server := httptest.NewServer(Handler(signed))
		r.Cleanup(server.Close)
		w.base = server.URL
	}
	return w
}

// Handler serves signed addresses as Trellis does, with bare errors.
func Handler(s storage.Signed) http.Handler {
	statuses := []struct {
		err    error
		status int
	}{
		{storage.ErrRefused, http.StatusForbidden},
		{storage.ErrNotFound, http.StatusNotFound},
		{storage.ErrMismatch, http.StatusBadRequest},
		{storage.ErrRange, http.StatusRequestedRangeNotSatisfiable},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := s.ServeSigned(w, r)
		if err == nil {
			return
		}
		for _, s := range statuses {
			if errors.Is(err, s.err) {
				w.WriteHeader(s.status)
				return
			}
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes a request. A refused one may be cut off while it is sent; then the
// status is 0.
func (w *web) do(ctx context.Context, method, url string, h http.Header, body []byte) answer {
	if strings.HasPrefix(url, "/") {
		url = w.base + url
	}
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	q, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return answer{body: fmt.Append(nil, err)}
	}
	for k, v := range h {
		if k != "Content-Length" { // what the client sends by itself, from the body
			q.Header[k] = v
		}
	}
	res, err := w.client.Do(q)
	if err != nil {
		return answer{body: fmt.Append(nil, err)}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		b = fmt.Append(b, err)
	}
	return answer{res.StatusCode, res.Header, b}
}

// refused tells whether nothing was given or done.
func (a answer) refused() bool {
	return a.status == 0 || a.status >= 400
}
