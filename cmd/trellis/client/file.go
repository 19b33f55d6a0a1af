package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
)

// File is what SendFile sends.
type File struct {
	Name string
	// Size is -1 if it is not known before the end.
	Size int64
	// Open returns the bytes from their beginning. They are closed by whoever reads them.
	Open func() (io.ReadCloser, error)
	// Once says that Open can be called once only.
	Once bool
}

// SendFile sends a form of the fields and, as the part "file", the file, which
// is never held in memory, and decodes the answer into out. The server tells
// whether it wants the file before the bytes go. Unless it can be read only once,
// it is sent again as other requests are: a POST carries an Idempotency-Key.
func (c *Client) SendFile(ctx context.Context, method, path string, fields map[string]string, f File, out any) error {
	key := ""
	if method == http.MethodPost {
		key = rand.Text()
	}
	send := func() error { return c.sendFile(ctx, method, path, fields, f, key, out) }
	if f.Once {
		return send()
	}
	return c.repeat(ctx, send)
}

func (c *Client) sendFile(ctx context.Context, method, path string, fields map[string]string, f File, key string, out any) error {
	form, err := newForm(fields, f)
	if err != nil {
		return err
	}
	req, err := c.request(ctx, method, path, nil, nil, key)
	if err != nil {
		return errors.Join(err, form.Close())
	}
	req.Body, req.ContentLength, req.GetBody = form, form.length, nil
	req.Header.Set("Content-Type", form.contentType)
	req.Header.Set("Expect", "100-continue")
	resp, err := c.do(c.slow, req)
	if err != nil {
		if bad := form.fault.Load(); bad != nil {
			return *bad // the connection broke because of that
		}
		return err
	}
	return c.answer(resp, out)
}

// form is a body: the fields, the file and the end, one after the other.
type form struct {
	io.Reader
	io.Closer
	length      int64 // -1 if it is not known
	contentType string
	// fault is what is wrong with the file itself. The body is read by another
	// goroutine, which may go on when the answer is there.
	fault atomic.Pointer[error]
}

func newForm(fields map[string]string, f File) (*form, error) {
	var text bytes.Buffer
	w := multipart.NewWriter(&text)
	// What is written goes into memory, which does not fail.
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		_ = w.WriteField(name, fields[name])
	}
	_, _ = w.CreateFormFile("file", f.Name)
	head := bytes.Clone(text.Bytes())
	text.Reset()
	_ = w.Close()
	out := &form{length: -1, contentType: w.FormDataContentType()}
	if f.Size >= 0 {
		out.length = int64(len(head)) + f.Size + int64(text.Len())
	}
	opened, err := f.Open()
	if err != nil {
		return nil, err
	}
	out.Closer = opened
	out.Reader = io.MultiReader(bytes.NewReader(head), &wanted{opened, f, 0, &out.fault}, &text)
	return out, nil
}

// wanted reads a file to its end, which must be where it was said to be.
type wanted struct {
	r     io.Reader
	file  File
	at    int64
	fault *atomic.Pointer[error]
}

func (w *wanted) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.at += int64(n)
	switch {
	case w.file.Size >= 0 && (w.at > w.file.Size || errors.Is(err, io.EOF) && w.at < w.file.Size):
		err = fmt.Errorf("%s was changed while it was sent", w.file.Name)
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	}
	w.fault.Store(&err)
	return n, err
}

// Delete asks to delete what is at path. A second time comes to the same.
func (c *Client) Delete(ctx context.Context, path string, query url.Values) error {
	return c.call(ctx, http.MethodDelete, path, query, nil, "", nil)
}

// Download asks for path with the query, and returns the bytes that it answers
// with, whatever type they have. Reading them ends with io.EOF only if all of
// them came. The caller closes the body.
func (c *Client) Download(ctx context.Context, path string, query url.Values) (body io.ReadCloser, size int64, err error) {
	err = c.repeat(ctx, func() error {
		resp, err := c.open(ctx, path, query, "*/*") //nolint:bodyclose // the caller does
		if err == nil {
			body, size = resp.Body, resp.ContentLength
		}
		return err
	})
	return body, size, err
}
