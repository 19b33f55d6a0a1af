package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
)

const (
	maxBody      = 1 << 30  // bytes on the wire; only an INSERT's data may be as many
	maxStatement = 64 << 20 // bytes of a statement after decompression
)

// request is what the address, the headers and, for a statement, the body say.
type request struct {
	values           url.Values
	settings, params map[string]string
	database, format string
	text             []byte // the statement
	insert           string // where the body is an INSERT's data: the format of it
	data             io.Reader
}

// control are the parameters of the interface itself; all others are settings.
var control = map[string]bool{
	"query": true, "database": true, "default_format": true, "user": true, "password": true, "query_id": true, "quota_key": true,
	"compress": true, "decompress": true, "enable_http_compression": true, "network_compression_method": true, "network_zstd_compression_level": true,
	"client_protocol_version": true, "wait_end_of_query": true, "buffer_size": true, "stacktrace": true,
}

var (
	settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	insertInto  = regexp.MustCompile(`(?is)^\s*(INSERT\s+INTO\s.*?)\sFORMAT\s+(\w+)\s*;?\s*$`)
)

func readRequest(w http.ResponseWriter, r *http.Request, values url.Values) (*request, error) {
	q := &request{values: values, settings: map[string]string{}, params: map[string]string{}}
	q.database = first(values.Get("database"), r.Header.Get("X-ClickHouse-Database"), "default")
	q.format = first(values.Get("default_format"), r.Header.Get("X-ClickHouse-Format"), "TabSeparated")
	for name := range values {
		param, isParam := strings.CutPrefix(name, "param_")
		switch {
		case isParam:
			q.params[param] = values.Get(name)
		case name == "session_id" || name == "role":
			return nil, exceptionf(48, "NOT_IMPLEMENTED", "%s is not implemented by this front of the engine", name)
		case control[name] || name == "session_timeout" || name == "session_check":
		case settingName.MatchString(name):
			q.settings[name] = values.Get(name)
		default:
			return nil, exceptionf(115, "UNKNOWN_SETTING", "Unknown setting '%s'", name)
		}
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return nil, exceptionf(48, "NOT_IMPLEMENTED", "external tables are not implemented by this front of the engine")
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		// As ClickHouse has it: GET changes nothing.
		if q.settings["readonly"] == "" || q.settings["readonly"] == "0" {
			q.settings["readonly"] = "2"
		}
	}
	body, err := decode(http.MaxBytesReader(w, r.Body, maxBody), r.Header.Get("Content-Encoding"), values.Get("decompress") == "1")
	if err != nil {
		return nil, err
	}
	statement := values.Get("query")
	if m := insertInto.FindStringSubmatch(statement); m != nil {
		q.text, q.insert, q.data = []byte(m[1]), m[2], body
		return q, nil
	}
	return q, q.readStatement(statement, body)
}

// readStatement puts the statement together: its beginning may be in the address and the
// rest in the body.
func (q *request) readStatement(start string, body io.Reader) error {
	var text bytes.Buffer
	text.WriteString(start)
	if start != "" {
		text.WriteByte('\n')
	}
	n, err := io.Copy(&text, io.LimitReader(body, maxStatement+1))
	if err != nil {
		return badBody(err)
	}
	if n > maxStatement {
		return tooLarge(maxStatement)
	}
	q.text = text.Bytes()
	if len(bytes.TrimSpace(q.text)) == 0 {
		return exceptionf(62, "SYNTAX_ERROR", "Empty query")
	}
	return nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// decode undoes HTTP's compression and ClickHouse's own.
func decode(body io.Reader, encoding string, native bool) (io.Reader, error) {
	switch encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, badBody(err)
		}
		body = z
	case "deflate":
		z, err := zlib.NewReader(body)
		if err != nil {
			return nil, badBody(err)
		}
		body = z
	default:
		return nil, exceptionf(48, "NOT_IMPLEMENTED", "Content-Encoding %.20q is not implemented by this front of the engine", encoding)
	}
	if native {
		counted := &counter{r: body}
		body = &blocks{compress.NewReader(counted), counted}
	}
	return body, nil
}

// blocks reads compressed blocks and tells the end between two from the end within one,
// which the reader beneath does not.
type blocks struct {
	r     *compress.Reader
	under *counter
}

func (b *blocks) Read(p []byte) (int, error) {
	before := b.under.n
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) {
		if b.under.n != before {
			return n, io.ErrUnexpectedEOF
		}
		return n, io.EOF
	}
	return n, err
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// badBody turns what reading a body gave into an exception.
func badBody(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return tooLarge(large.Limit)
	}
	return exceptionf(33, "CANNOT_READ_ALL_DATA", "Cannot read the body of the request: %v", err)
}

func tooLarge(limit int64) error {
	return exceptionf(307, "TOO_MANY_BYTES", "The body of the request has more than %d bytes", limit)
}
