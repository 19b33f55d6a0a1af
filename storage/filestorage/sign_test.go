package filestorage_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/storage"
	"trellis/storage/filestorage"
	"trellis/storage/storagetest"
)

// ask makes a request to a signed address of the store.
func ask(s storage.Signed, method, url string, header http.Header, body []byte) (*httptest.ResponseRecorder, error) {
	r := httptest.NewRequest(method, url, bytes.NewReader(body))
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	return w, s.ServeSigned(w, r)
}

func TestAnswersToSignedAddresses(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	s := open(t, t.TempDir(), filestorage.Options{Now: clock})
	b := []byte("<svg onload='alert(1)'/>")
	if err := s.Put(t.Context(), "a/b.svg", bytes.NewReader(b), storagetest.Object(b, "image/svg+xml")); err != nil {
		t.Fatal(err)
	}
	u, err := s.SignGet(t.Context(), "a/b.svg", storage.Get{Expires: time.Hour})
	if err != nil || !strings.HasPrefix(u, "/api/v1/blobs/a/b.svg?") {
		t.Fatalf("%s, %v", u, err)
	}
	now = now.Add(15 * time.Minute)
	want := map[string]string{
		"Content-Type": "image/svg+xml", "Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff",
		"Cache-Control": "private, max-age=2700", "Etag": fmt.Sprintf(`"%x"`, sha256.Sum256(b)), "Content-Length": "24",
	}
	for method, body := range map[string]string{http.MethodGet: string(b), http.MethodHead: ""} {
		w, err := ask(s, method, u, nil, nil)
		if err != nil || w.Code != http.StatusOK || w.Body.String() != body {
			t.Errorf("%s: %d, %q, %v", method, w.Code, w.Body, err)
		}
		for name, value := range want {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: %s: %q, want %q", method, name, got, value)
			}
		}
	}
	tag := want["Etag"]
	for _, c := range []struct {
		header http.Header
		status int
		body   string
	}{
		{http.Header{"If-None-Match": {tag}}, http.StatusNotModified, ""},
		{http.Header{"If-None-Match": {`"x"`}}, http.StatusOK, string(b)},
		{http.Header{"If-Match": {`"x"`}}, http.StatusPreconditionFailed, ""},
		{http.Header{"Range": {"bytes=1-3"}, "If-Range": {tag}}, http.StatusPartialContent, "svg"},
		{http.Header{"Range": {"bytes=1-3"}, "If-Range": {`"x"`}}, http.StatusOK, string(b)},
	} {
		if w, err := ask(s, http.MethodGet, u, c.header, nil); err != nil || w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%v: %d, %q, %v", c.header, w.Code, w.Body, err)
		}
	}
	now = now.Add(45*time.Minute - time.Second)
	if _, err := ask(s, http.MethodGet, u, nil, nil); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	now = now.Add(time.Second)
	if w, err := ask(s, http.MethodGet, u, nil, nil); !errors.Is(err, storage.ErrRefused) || w.Body.Len() != 0 {
		t.Errorf("at its end: %v", err)
	}
}

func TestSignedAddressesUnderAPublicURL(t *testing.T) {
	s := open(t, t.TempDir(), filestorage.Options{PublicURL: "https://trellis.example.com"})
	u, err := s.SignGet(t.Context(), "k", storage.Get{Expires: time.Hour})
	if err != nil || !strings.HasPrefix(u, "https://trellis.example.com/api/v1/blobs/k?") {
		t.Fatalf("%s, %v", u, err)
	}
	if err := put(s, "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(s, http.MethodGet, u, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestSignedPutWithoutALengthStoresNothing(t *testing.T) {
	s := open(t, t.TempDir(), filestorage.Options{})
	b := []byte("content")
	q, err := s.SignPut(t.Context(), "k", storagetest.Object(b, "image/png"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(q.Method, q.URL, bytes.NewReader(b))
	r.Header, r.ContentLength = q.Header, -1
	if err := s.ServeSigned(httptest.NewRecorder(), r); !errors.Is(err, storage.ErrMismatch) {
		t.Error(err)
	}
	if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
		t.Error(err)
	}
}

func TestSecretIsSharedByAllWhoOpenTheDirectory(t *testing.T) {
	dir := t.TempDir()
	var g sync.WaitGroup
	addresses := make([]string, 16)
	stores := make([]*filestorage.Store, 16)
	clock := func() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }
	for i := range stores {
		g.Go(func() {
			s, err := filestorage.Open(dir, filestorage.Options{Now: clock})
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
			addresses[i], err = s.SignGet(t.Context(), "k", storage.Get{Expires: time.Hour})
			if err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	for i, u := range addresses {
		if u != addresses[0] {
			t.Errorf("%d signs with another secret", i)
		}
		if stores[i] != nil {
			stores[i].Close()
		}
	}
	info, err := os.Stat(filepath.Join(dir, ".secret"))
	if err != nil || info.Size() != 32 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestAddressesOfAnotherSecretAreRefused(t *testing.T) {
	first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	dir := t.TempDir()
	s := open(t, dir, filestorage.Options{Secret: first})
	if err := put(s, "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	u, err := s.SignGet(t.Context(), "k", storage.Get{Expires: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		secret []byte
		want   error
	}{"the same": {first, nil}, "another": {second, storage.ErrRefused}, "its own": {nil, storage.ErrRefused}} {
		if _, err := ask(open(t, dir, filestorage.Options{Secret: c.secret}), http.MethodGet, u, nil, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, short := range [][]byte{{}, first[:31]} {
		if _, err := filestorage.Open(dir, filestorage.Options{Secret: short}); err == nil {
			t.Errorf("a secret of %d bytes is taken", len(short))
		}
	}
}

func TestDamagedSecretIsNotReplacedInSilence(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".secret"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := filestorage.Open(dir, filestorage.Options{}); err == nil || !strings.Contains(err.Error(), "damaged") || strings.Contains(err.Error(), "short") {
		t.Error(err)
	}
}

// FuzzServeSigned asks with what anybody may write: nothing is ever given or stored.
func FuzzServeSigned(f *testing.F) {
	s := open(f, f.TempDir(), filestorage.Options{Secret: bytes.Repeat([]byte{7}, 32)})
	if err := put(s, "k", []byte("content")); err != nil {
		f.Fatal(err)
	}
	other := open(f, f.TempDir(), filestorage.Options{Secret: bytes.Repeat([]byte{8}, 32)})
	get, _ := other.SignGet(f.Context(), "k", storage.Get{Expires: time.Hour, ContentType: "a/b", Disposition: "inline"})
	put, _ := other.SignPut(f.Context(), "k", storagetest.Object([]byte("content"), "a/b"), time.Hour)
	for _, u := range []string{get, put.URL, "/api/v1/blobs/", "/api/v1/blobs/../k", "/api/v1/blobs/k?%zz", "/", ""} {
		path, query, _ := strings.Cut(u, "?")
		f.Add("GET", path, query)
		f.Add("PUT", path, query)
	}
	f.Fuzz(func(t *testing.T, method, path, query string) {
		r := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}, Body: http.NoBody}
		w := httptest.NewRecorder()
		if err := s.ServeSigned(w, r.WithContext(t.Context())); !errors.Is(err, storage.ErrRefused) || w.Body.Len() != 0 || w.Flushed {
			t.Errorf("%s %s?%s: %v, %q", method, path, query, err, w.Body)
		}
	})
}

// FuzzTrailer reads files of any content as objects.
func FuzzTrailer(f *testing.F) {
	dir := f.TempDir()
	s := open(f, dir, filestorage.Options{})
	if err := put(s, "k", []byte("content")); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "_k"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[1:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, "_k"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := s.Stat(t.Context(), "k")
		if err == nil && (info.Size != int64(len(b)-256) || info.ContentType == "") {
			t.Errorf("%+v of %d bytes", info, len(b))
		}
		if err != nil && !errors.Is(err, storage.ErrMismatch) {
			t.Error(err)
		}
	})
}
