package api

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"trellis/storage"
	"trellis/storage/content"
	"trellis/storage/uploads"
)

// fileBody is a file that a request brought.
type fileBody struct {
	bytes         *storage.Spooled
	name, claimed string
	fields        map[string]string // of the form
}

// Limits on what comes with a file.
const (
	maxFormParts = 8
	maxFormField = 2000    // bytes
	formRoom     = 1 << 20 // for all of the form that is not the file
)

// readFile takes in the file that the request brings, as the part "file" of a
// form or as the whole body. It is closed when the request ends.
func (c *call) readFile() error {
	limit := c.Uploads.MaxSize
	if c.r.ContentLength > limit+formRoom {
		return tooLargeFile(limit)
	}
	free, err := c.arrive()
	if err != nil {
		return err
	}
	c.atEnd(free)
	c.bePatient(limit + formRoom)
	media, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	c.file.fields = map[string]string{}
	if err == nil && media == "multipart/form-data" {
		if params["boundary"] == "" {
			return problem(http.StatusBadRequest, "malformed", "the form does not say what is between its parts")
		}
		err = c.readForm(multipart.NewReader(c.r.Body, params["boundary"]))
	} else {
		c.file.name, c.file.claimed = c.query["filename"], c.r.Header.Get("Content-Type")
		err = c.take(c.r.Body)
	}
	if err != nil {
		return err
	}
	if c.file.bytes == nil {
		return badField("/file", "is required")
	}
	if name := c.file.fields["filename"]; name != "" {
		c.file.name = name
	}
	// What the idempotency key is held against.
	c.body = []byte(strings.Join([]string{hex.EncodeToString(c.file.bytes.SHA256[:]), c.file.name, c.file.claimed, c.file.fields["parent"]}, "\n"))
	return nil
}

func tooLargeFile(limit int64) error {
	return problem(http.StatusRequestEntityTooLarge, "too-large", "the file is larger than %d bytes", limit)
}

// take spools the file.
func (c *call) take(r io.Reader) error {
	f, err := c.Uploads.Spool().Take(c.ctx(), r, c.Uploads.MaxSize)
	if errors.Is(err, storage.ErrUnavailable) {
		return err
	}
	if err != nil {
		return c.cutOff(err)
	}
	c.file.bytes = f
	c.atEnd(func() { _ = f.Close() }) // it has no name, and nothing is to be kept of it
	return nil
}

// cutOff says why the body could not be read to its end.
func (c *call) cutOff(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, storage.ErrTooLarge), errors.As(err, &tooLarge):
		return tooLargeFile(c.Uploads.MaxSize)
	case c.ctx().Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return problem(http.StatusRequestTimeout, "timeout", "the file did not arrive in time")
	}
	return problem(http.StatusBadRequest, "malformed", "what was sent could not be read to its end")
}

func (c *call) readForm(form *multipart.Reader) error {
	for range maxFormParts {
		part, err := form.NextPart()
		// Wrapped, it says that the end is missing.
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return c.cutOff(err)
		}
		name := part.FormName()
		// What can be said in the query can be said in the form.
		field := slices.ContainsFunc(c.rt.query, func(p param) bool { return p.name == name })
		switch {
		case name == "file" && c.file.bytes == nil:
			c.file.name, c.file.claimed = part.FileName(), part.Header.Get("Content-Type")
			if err := c.take(part); err != nil {
				return err
			}
		case field && c.file.fields[name] == "":
			b, err := io.ReadAll(io.LimitReader(part, maxFormField+1))
			if err != nil {
				return c.cutOff(err)
			}
			if len(b) > maxFormField {
				return badField("/"+name, "is longer than %d bytes", maxFormField)
			}
			c.file.fields[name] = string(b)
		case name == "file" || field:
			return badField("/"+name, "comes twice")
		default:
			return badField("/"+pointerText(name), "there is no such field")
		}
	}
	return problem(http.StatusUnprocessableEntity, "invalid", "the form has more than %d parts", maxFormParts)
}

// pointerText writes a name as an element of an RFC 6901 pointer.
func pointerText(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(short(name))
}

// arrive waits for a turn: so many files come in at once, since each takes room
// on the disk.
func (c *call) arrive() (func(), error) {
	select {
	case c.arriving <- struct{}{}:
		return func() { <-c.arriving }, nil
	case <-time.After(arriveWait):
		return nil, unavailable("too many files are coming in at once")
	case <-c.ctx().Done():
		return nil, c.ctx().Err()
	}
}

const arriveWait = 10 * time.Second

// patient reads a body for as long as something comes.
type patient struct {
	io.ReadCloser
	conn  *http.ResponseController
	stall time.Duration
	read  int64
	fault error // why it could not be read to its end
}

// bePatient has the body, of at most so many bytes, read like that.
func (c *call) bePatient(limit int64) {
	c.coming = &patient{ReadCloser: http.MaxBytesReader(c.w, c.r.Body, limit), conn: http.NewResponseController(c.w), stall: c.o.Stall}
	c.r.Body = c.coming
}

// Read waits for the next piece.
func (p *patient) Read(b []byte) (int, error) {
	// A connection that cannot set it has the deadline of the server.
	_ = p.conn.SetReadDeadline(time.Now().Add(p.stall))
	n, err := p.ReadCloser.Read(b)
	if p.read += int64(n); err != nil && !errors.Is(err, io.EOF) {
		p.fault = err
	}
	return n, err
}

// came is how many bytes of the body have been read.
func (c *call) came() int64 {
	if c.coming != nil {
		return c.coming.read
	}
	return int64(len(c.body))
}

// fileProblem says what is wrong with a file, or with where it is kept; nil if
// the error is about neither.
func fileProblem(err error) *Problem {
	var refusal *content.Refusal
	var quota *uploads.QuotaError
	var none *uploads.NoThumbnailError
	switch {
	case errors.As(err, &refusal):
		k := refusals[refusal.Kind]
		return problem(k.status, k.problem, "%s", refusal.Reason)
	case errors.As(err, &quota):
		return problem(http.StatusRequestEntityTooLarge, "quota", "%s", quota.Error())
	case errors.As(err, &none):
		return problem(http.StatusNotFound, "no-thumbnail", "%s", none.Reason)
	case errors.Is(err, uploads.ErrNotArrived):
		return problem(http.StatusConflict, "not-arrived", "the file has not been sent yet")
	case errors.Is(err, uploads.ErrPending):
		return problem(http.StatusConflict, "not-arrived", "the upload is not complete")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable("it took too long")
	case errors.Is(err, uploads.ErrLost):
		return problem(http.StatusInternalServerError, "bytes-missing", "the file is known, but its bytes are not where they should be")
	case errors.Is(err, storage.ErrTooLarge):
		return problem(http.StatusRequestEntityTooLarge, "too-large", "the file is too large")
	case errors.Is(err, storage.ErrUnavailable), errors.Is(err, storage.ErrRefused), errors.Is(err, storage.ErrClosed), errors.Is(err, uploads.ErrForeign):
		p := unavailable("files cannot be stored or read now")
		p.cause = err
		return p
	}
	return nil
}

// refusals says how each kind of refusal is answered.
var refusals = map[content.Kind]struct {
	status  int
	problem string
}{
	content.NotAllowed: {http.StatusUnsupportedMediaType, "file-type"},
	content.Mismatch:   {http.StatusUnsupportedMediaType, "file-mismatch"},
	content.Polyglot:   {http.StatusUnsupportedMediaType, "file-polyglot"},
	content.Damaged:    {http.StatusUnprocessableEntity, "file-damaged"},
	content.TooLarge:   {http.StatusUnprocessableEntity, "file-dimensions"},
	content.Active:     {http.StatusUnprocessableEntity, "file-active"},
}
