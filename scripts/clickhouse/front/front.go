package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"trellis/scripts/clickhouse/front/chdb"
)

// concurrent is how many requests the engine works on at once; others wait.
const concurrent = 32

// errReadOnly comes before the engine's own read-only mode, which lets through what writes
// to files.
var errReadOnly = exceptionf(164, "READONLY", "analyst: Cannot execute query in readonly mode")

// front is the handler.
type front struct {
	engine   *engine
	accounts map[string]account
	slots    chan struct{}
}

func newFront(e *engine, accounts map[string]account) *front {
	return &front{e, accounts, make(chan struct{}, concurrent)}
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-ClickHouse-Server-Display-Name", displayName)
	switch r.URL.Path {
	case "/ping":
		_, _ = io.WriteString(w, "Ok.\n") // the client may be gone
	case "/":
		f.serve(w, r)
	default:
		http.Error(w, "There is no handle "+r.URL.Path, http.StatusNotFound)
	}
}

func (f *front) serve(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	a, err := f.authenticate(r, values)
	if err != nil {
		fail(w, err)
		return
	}
	q, err := readRequest(w, r, values)
	if err != nil {
		fail(w, err)
		return
	}
	out := newAnswer(w, r, q, f.engine.timezone)
	if isHello(q) {
		f.hello(out)
		return
	}
	if !f.enter(r.Context()) {
		return
	}
	defer f.leave()
	c, err := f.engine.connect(a, q)
	if err != nil {
		fail(w, err)
		return
	}
	defer c.Close()
	began := time.Now()
	switch {
	case q.insert == "":
		err = query(r.Context(), c, a, q, out)
	case a.readOnly:
		err = errReadOnly
	default:
		err = insert(w, c, q)
	}
	if err == nil {
		return
	}
	slog.Info("failed", "error", err, "after", time.Since(began).Round(time.Millisecond), "statement", shorten(q.text))
	if out.begun {
		out.breakOff(asException(err))
	}
	fail(w, err)
}

func (f *front) enter(ctx context.Context) bool {
	select {
	case f.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *front) leave() { <-f.slots }

// insert hands the body over as it arrives.
func insert(w http.ResponseWriter, c *chdb.Conn, q *request) error {
	i, err := c.Insert(q.text, q.insert, q.params)
	if err != nil {
		return err
	}
	defer i.Close()
	to := &failing{w: i}
	if _, err := io.CopyBuffer(to, onlyReader{q.data}, make([]byte, 1<<20)); to.err != nil {
		return to.err
	} else if err != nil {
		return badBody(err)
	}
	noReadTimeout(w)
	r, err := i.Commit()
	if err != nil {
		return err
	}
	defer r.Close()
	summary(w.Header(), r.Stats())
	return nil
}

// failing remembers the error of its writer, to tell it from the reader's.
type failing struct {
	w   io.Writer
	err error
}

func (f *failing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.err = err
	return n, err
}

// onlyReader hides WriteTo, so that io.CopyBuffer reads in pieces of its buffer's size.
type onlyReader struct{ io.Reader }

// query runs everything that brings its data along, or needs none.
func query(ctx context.Context, c *chdb.Conn, a account, q *request, out *answer) error {
	class, n := c.Classify(q.text)
	switch {
	case n > 1:
		return exceptionf(62, "SYNTAX_ERROR", "Syntax error: Multi-statements are not allowed")
	case a.readOnly && class != chdb.ReadOnly && class != chdb.Unknown:
		return errReadOnly
	}
	noReadTimeout(out.w)
	format, streams := q.streams()
	out.format(format)
	if class == chdb.ReadOnly && streams {
		return stream(ctx, c, q, out)
	}
	r, err := c.Query(q.text, q.format, q.params)
	if err != nil {
		return err
	}
	defer r.Close()
	if class == chdb.Unknown {
		// The engine skips what its parser takes for nothing, comments alone for instance.
		return exceptionf(62, "SYNTAX_ERROR", "Syntax error: there is no statement in the query")
	}
	summary(out.w.Header(), r.Stats())
	return out.whole(r.Bytes())
}

// stream sends a SELECT's result part by part. It has the next part before it sends one:
// most errors of most queries still get a status of their own that way, and a small result
// its length.
func stream(ctx context.Context, c *chdb.Conn, q *request, out *answer) error {
	s, err := c.Stream(q.text, q.format, q.params)
	if err != nil {
		return err
	}
	defer s.Close()
	part, err := s.Next()
	if err != nil {
		return err
	}
	for part != nil {
		next, err := s.Next()
		if err == nil {
			err = ctx.Err() // the client has gone
		}
		if err == nil && next == nil && !out.begun {
			summary(out.w.Header(), part.Stats())
			err = out.whole(part.Bytes())
			part.Close()
			return err
		}
		if err == nil {
			err = out.part(part.Bytes())
		}
		part.Close()
		if part = next; err != nil {
			part.Close()
			return err
		}
	}
	if !out.begun {
		return out.whole(nil)
	}
	return out.end()
}

var (
	selects = regexp.MustCompile(`(?is)^(\s|--[^\n]*\n|/\*.*?\*/|\()*(SELECT|WITH|FROM)\b`)
	formats = regexp.MustCompile(`(?i)\bFORMAT\b`)
	clause  = regexp.MustCompile(`(?is)\sFORMAT\s+(\w+)\s*;?\s*$`)
)

// concatenates are the formats whose parts, one after the other, are the whole: nothing
// comes before the first row or after the last.
var concatenates = map[string]bool{
	"Native": true, "RowBinary": true, "TabSeparated": true, "TSV": true, "TabSeparatedRaw": true, "TSVRaw": true, "CSV": true,
	"JSONEachRow": true, "JSONLines": true, "NDJSON": true, "JSONCompactEachRow": true, "JSONStringsEachRow": true, "LineAsString": true,
}

// streams tells the format of the result, as far as that can be seen, and whether the
// result can be sent in parts.
func (q *request) streams() (string, bool) {
	format := q.format
	switch len(formats.FindAllIndex(q.text, 2)) {
	case 0:
	case 1:
		m := clause.FindSubmatch(q.text)
		if m == nil {
			return format, false
		}
		format = string(m[1])
	default:
		return format, false
	}
	return format, concatenates[format] && selects.Match(q.text) && q.values.Get("wait_end_of_query") != "1"
}

func shorten(statement []byte) string {
	return strings.ToValidUTF8(string(statement[:min(len(statement), 300)]), "?")
}
