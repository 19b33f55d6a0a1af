package filestorage

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"trellis/storage"
)

// ServeSigned answers a request to a signed address: GET and HEAD with range and
// conditions, PUT of exactly what was signed.
func (s *Store) ServeSigned(w http.ResponseWriter, r *http.Request) error {
	if err := s.usable(r.Context()); err != nil {
		return err
	}
	path, ok := strings.CutPrefix(r.URL.Path, storage.SignedPath)
	if !ok {
		return fmt.Errorf("%w: the path is not below %s", storage.ErrRefused, storage.SignedPath)
	}
	key := storage.Key(path)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.serveGet(w, r, key)
	case http.MethodPut:
		return s.servePut(w, r, key)
	}
	return fmt.Errorf("%w: the address is not for %s", storage.ErrRefused, r.Method)
}

func (s *Store) serveGet(w http.ResponseWriter, r *http.Request, key storage.Key) error {
	g, err := s.verify(http.MethodGet, key, r.URL.RawQuery)
	if err != nil {
		return err
	}
	o, err := s.open("get", key)
	if err != nil {
		return err
	}
	defer o.file.Close()
	h := w.Header()
	h.Set("Content-Type", o.ContentType)
	if g.contentType != "" {
		h.Set("Content-Type", g.contentType)
	}
	if g.disposition != "" {
		h.Set("Content-Disposition", g.disposition)
	}
	h.Set("Cache-Control", "private, max-age="+strconv.FormatInt(g.expires-s.now().Unix(), 10))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", etag(o.SHA256))
	http.ServeContent(w, r, "", o.Modified, io.NewSectionReader(o.file, 0, o.Size))
	return nil
}

func (s *Store) servePut(w http.ResponseWriter, r *http.Request, key storage.Key) error {
	g, err := s.verify(http.MethodPut, key, r.URL.RawQuery)
	if err != nil {
		return err
	}
	if r.ContentLength != g.size || r.Header.Get("Content-Type") != g.contentType {
		return fmt.Errorf("%w: put %q: another length or content type", storage.ErrMismatch, key)
	}
	o := storage.Object{Size: g.size, SHA256: g.sha256, ContentType: g.contentType}
	if err := s.put(r.Context(), key, r.Body, o, s.root.Rename); err != nil {
		return err
	}
	w.Header().Set("ETag", etag(g.sha256))
	w.WriteHeader(http.StatusOK)
	return nil
}

func etag(sum [32]byte) string {
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
