package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"trellis/storage"
	"trellis/storage/content"
	"trellis/storage/uploads"
)

// sizeParam asks for one of the sizes of pictures, the largest by default.
func sizeParam() param {
	var sizes []any
	for _, n := range slices.Backward(uploads.Sizes) {
		sizes = append(sizes, strconv.Itoa(n))
	}
	return param{name: "size", doc: "How many pixels the longer side has at most", schema: choice(sizes...)}
}

func (c *call) size() int {
	n, err := strconv.Atoi(c.query["size"])
	if err != nil {
		return uploads.ThumbnailSize // it was not asked for: the schema was held against it
	}
	return n
}

func readUpload(c *call) error {
	n, err := c.stored(c.ref)
	if err != nil {
		return err
	}
	what, err := c.Uploads.Original(c.ctx(), n)
	if err != nil {
		return err
	}
	return c.download(what)
}

func readThumbnail(c *call) error {
	n, err := c.stored(c.ref)
	if err != nil {
		return err
	}
	what, err := c.Uploads.Thumbnail(c.ctx(), n, c.size())
	if err != nil {
		return err
	}
	return c.download(what)
}

// shownInline tells whether a browser may show what has the type where it finds
// it: what is nothing but pixels.
func shownInline(contentType string) bool {
	return contentType != content.SVG && contentType != content.PDF
}

// download answers with an address for the content or, where it is asked for, with
// the content itself.
func (c *call) download(what uploads.Content) error {
	if c.query["disposition"] == "stream" {
		return c.stream(what)
	}
	if c.sameTag(what.Tag) {
		return nil
	}
	address, _, err := c.Uploads.Sign(c.ctx(), what, shownInline(what.ContentType))
	if err != nil {
		return err
	}
	if p := c.record(http.StatusTemporaryRedirect, 0); p != nil {
		c.full(p)
		return nil
	}
	h := c.w.Header()
	h.Set("Location", address)
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusTemporaryRedirect)
	c.gin.Writer.WriteHeaderNow()
	return nil
}

// Headers of content. Whoever asks again asks whether they still may.
const (
	revalidate = "private, no-cache"
	// sandboxed keeps a drawing that is opened as a page from doing anything.
	sandboxed = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)

// stream answers with the bytes, or the part of them that is asked for.
func (c *call) stream(what uploads.Content) error {
	if what.Size == 0 {
		info, err := c.Uploads.Stat(c.ctx(), what)
		if err != nil {
			return err
		}
		what.Size = info.Size
	}
	h := c.w.Header()
	h.Set("Content-Type", what.ContentType)
	h.Set("ETag", `"`+what.Tag+`"`)
	h.Set("Cache-Control", revalidate)
	h.Set("Content-Disposition", uploads.Disposition(what.Name, what.ContentType != content.PDF))
	if what.ContentType == content.SVG {
		h.Set("Content-Security-Policy", sandboxed)
	}
	r := &contentReader{ctx: c.ctx(), service: c.Uploads, what: what, size: what.Size}
	defer r.close()
	if err := c.serveContent(r); err != nil || r.err == nil || errors.Is(r.err, context.Canceled) {
		return err
	}
	return r.err
}

// serveContent answers with what is read, or the part of it that is asked for,
// or that it is still the same: the headers are set.
func (c *call) serveContent(r io.ReadSeeker) error {
	w := c.patientWriter()
	http.ServeContent(w, c.r, "", time.Time{}, r)
	if w.outside {
		return outsideOfFile()
	}
	return nil
}

func outsideOfFile() error {
	return problem(http.StatusRequestedRangeNotSatisfiable, "range", "what is asked for is not within the file")
}

// contentReader reads content from wherever it is asked to.
type contentReader struct {
	ctx     context.Context //nolint:containedctx // it lives as long as one request
	service *uploads.Service
	what    uploads.Content
	size    int64

	at   int64
	body io.ReadCloser // reads from at
	err  error         // what stopped it
}

// Seek notes where the next Read begins.
func (r *contentReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return r.at, errors.New("a negative place")
	}
	if offset != r.at {
		r.close()
	}
	r.at = offset
	return offset, nil
}

// Read opens the content where it has not been opened yet.
func (r *contentReader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if r.body == nil {
		opened, err := r.service.Open(r.ctx, r.what, storage.Range{Offset: r.at})
		if err != nil {
			r.err = err
			return 0, err
		}
		r.body = opened.Body
	}
	n, err := r.body.Read(p)
	if r.at += int64(n); err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

func (r *contentReader) close() {
	if r.body != nil {
		_ = r.body.Close() // what counts is what was read
		r.body = nil
	}
}

// patientWriter writes an answer for as long as it is read.
func (c *call) patientWriter() *patientWriter {
	return &patientWriter{ResponseWriter: c.gin.Writer, conn: http.NewResponseController(c.gin.Writer), stall: c.o.Stall}
}

type patientWriter struct {
	http.ResponseWriter
	conn    *http.ResponseController
	stall   time.Duration
	outside bool // the range asked for is not in the file, which is for a problem document to say
}

// WriteHeader begins the answer.
func (w *patientWriter) WriteHeader(status int) {
	if w.outside = status == http.StatusRequestedRangeNotSatisfiable; !w.outside {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write waits until the piece is taken.
func (w *patientWriter) Write(b []byte) (int, error) {
	if w.outside {
		return len(b), nil
	}
	// A connection that cannot set it has the deadline of the server.
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.stall))
	return w.ResponseWriter.Write(b)
}

// blobRoutes are the addresses that a directory of files has signed.
func blobRoutes() []route {
	const why = "the address is signed: whoever has it may use it until it expires"
	var signed []param
	for _, name := range []string{"disposition", "expires", "sha256", "signature", "size", "type"} {
		signed = append(signed, text(name, "As the signed address has it", 4000))
	}
	return []route{
		{method: get, path: "/blobs/{key...}", id: "readBlob", tag: "uploads", summary: "Read a file by a signed address", public: why, query: signed,
			answers: map[int]string{http.StatusPartialContent: "A part of it"}, binary: true, files: true, handle: serveSigned},
		{method: put, path: "/blobs/{key...}", id: "sendBlob", tag: "uploads", summary: "Send a file to a signed address", public: why, query: signed, files: true, sends: true, handle: serveSigned},
	}
}

func serveSigned(c *call) error {
	signed, ok := c.Uploads.Blobs().(storage.Signed)
	if !ok {
		return problem(http.StatusNotFound, "no-route", "there is nothing at this path")
	}
	c.bePatient(c.Uploads.MaxSize + 1)
	w := c.patientWriter()
	err := signed.ServeSigned(w, c.r)
	switch {
	case err == nil && w.outside:
		return outsideOfFile()
	case err != nil && c.coming.fault != nil:
		return c.cutOff(c.coming.fault)
	case errors.Is(err, storage.ErrRefused):
		return problem(http.StatusForbidden, "forbidden", "the address is not valid, or not any more")
	case errors.Is(err, storage.ErrMismatch):
		return problem(http.StatusUnprocessableEntity, "file-mismatch", "what was sent is not what was announced")
	case errors.Is(err, storage.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", "there is no such file any more")
	}
	return err
}
