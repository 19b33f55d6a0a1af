package main

import (
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"

	"trellis/scripts/clickhouse/front/chdb"
)

// perPart is how long a client may take to receive one part of an answer.
const perPart = time.Minute

// block is how much goes into one compressed block.
const block = 1 << 20

// answer writes a result, compressed as the request asks.
type answer struct {
	w        http.ResponseWriter
	native   *compress.Writer // ClickHouse's own compression
	encoding string           // or HTTP's
	encoder  io.WriteCloser
	tag      string
	begun    bool
}

func newAnswer(w http.ResponseWriter, r *http.Request, q *request, timezone string) *answer {
	a := &answer{w: w, tag: rand.Text()[:16]}
	h := w.Header()
	h.Set("X-ClickHouse-Timezone", timezone)
	h.Set("X-ClickHouse-Exception-Tag", a.tag)
	if id := q.values.Get("query_id"); id != "" {
		h.Set("X-ClickHouse-Query-Id", id)
	}
	switch accepted := r.Header.Get("Accept-Encoding"); {
	case q.values.Get("compress") == "1":
		method := compress.LZ4
		if strings.EqualFold(q.values.Get("network_compression_method"), "zstd") {
			method = compress.ZSTD
		}
		a.native = compress.NewWriter(compress.LevelZero, method)
	case q.values.Get("enable_http_compression") != "1":
	case strings.Contains(accepted, "gzip"):
		a.encoding, a.encoder = "gzip", gzip.NewWriter(w)
	case strings.Contains(accepted, "deflate"):
		a.encoding, a.encoder = "deflate", zlib.NewWriter(w)
	}
	return a
}

func (a *answer) format(name string) { a.w.Header().Set("X-ClickHouse-Format", name) }

// whole sends a result that is there in full.
func (a *answer) whole(data []byte) error {
	if a.native == nil && a.encoder == nil {
		a.w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	}
	if err := a.part(data); err != nil {
		return err
	}
	return a.end()
}

func (a *answer) part(data []byte) error {
	a.begin()
	// Not every ResponseWriter has deadlines, and one of tests needs none.
	_ = http.NewResponseController(a.w).SetWriteDeadline(time.Now().Add(perPart))
	var err error
	switch {
	case a.encoder != nil:
		_, err = a.encoder.Write(data)
	case a.native != nil:
		for err == nil && len(data) > 0 {
			n := min(len(data), block)
			if err = a.native.Compress(data[:n]); err == nil {
				_, err = a.w.Write(a.native.Data)
			}
			data = data[n:]
		}
	default:
		_, err = a.w.Write(data)
	}
	return err
}

func (a *answer) begin() {
	if !a.begun && a.encoding != "" {
		a.w.Header().Set("Content-Encoding", a.encoding)
	}
	a.begun = true
}

func (a *answer) end() error {
	if a.encoder != nil {
		return a.encoder.Close()
	}
	return nil
}

// breakOff ends an answer that cannot be completed as ClickHouse does: it puts the error
// behind what was sent, in a frame that drivers know, and leaves the HTTP message without
// its end, so that nobody takes the part for the whole. It does not return.
func (a *answer) breakOff(e *exception) {
	frame := fmt.Sprintf("\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", a.tag, e.text, len(e.text)+1, a.tag)
	var err error
	if a.encoder != nil {
		if _, err = io.WriteString(a.encoder, frame); err == nil {
			err = a.encoder.Close()
		}
	} else {
		_, err = io.WriteString(a.w, frame)
	}
	if err == nil {
		_ = http.NewResponseController(a.w).Flush() // the client may be gone
	}
	panic(http.ErrAbortHandler)
}

// summary is sent where it is known before the answer begins.
func summary(h http.Header, s chdb.Stats) {
	h.Set("X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","result_rows":"%d"}`,
		s.RowsRead, s.BytesRead, s.RowsWritten, s.BytesWritten, s.Rows))
}

// noReadTimeout comes once the body is read: from then on the timeout would only end the
// request while the engine works on it.
func noReadTimeout(w http.ResponseWriter) {
	// Not every ResponseWriter has deadlines, and one of tests needs none.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}
