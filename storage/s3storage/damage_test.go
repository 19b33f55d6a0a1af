package s3storage_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"trellis/storage"
	"trellis/storage/storagetest"
)

// flipped changes the first byte of what is read.
type flipped struct {
	io.ReadCloser
	done bool
}

func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if n > 0 && !f.done {
		f.done = true
		p[0]++
	}
	return n, err
}

func TestBytesThatChangedAreNoticed(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	o := room(t, server(t, localStack))
	b := storagetest.Bytes(300_000, 1)
	if err := put(ctx, open(t, o), "k", b); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method == http.MethodGet {
			r.Body = &flipped{ReadCloser: r.Body}
		}
		return nil
	}
	service := httptest.NewServer(proxy)
	t.Cleanup(service.Close)
	o.Endpoint = service.URL
	if got, err := get(ctx, open(t, o), "k"); !errors.Is(err, storage.ErrMismatch) || errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
