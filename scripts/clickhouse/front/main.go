// chshim: the ClickHouse HTTP interface in front of libchdb, for clickhouse-go v2 tests.
package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

var (
	so     = flag.String("lib", "libchdb.so", "libchdb path")
	path   = flag.String("path", "data", "data directory")
	addr   = flag.String("addr", "127.0.0.1:8123", "listen")
	nconn  = flag.Int("conns", 8, "engine connections")
	verb   = flag.Bool("v", false, "log queries")
	extra  = flag.String("args", "", "more engine arguments, space separated")
	hello  = "SELECT displayName(), version(), revision(), timezone()"
	insRe  = regexp.MustCompile(`(?is)^\s*INSERT\s+INTO\s+.*?\sFORMAT\s+(\w+)\s*;?\s*$`)
	fmtRe  = regexp.MustCompile(`(?is)\sFORMAT\s+\w+\s*;?\s*$`)
	codeRe = regexp.MustCompile(`Code: (\d+)\.`)
	tailRe = regexp.MustCompile(`\(([A-Z_0-9]+)\)\s*(\(version|$)`)
	notSet = map[string]bool{"query": true, "database": true, "default_format": true, "compress": true, "decompress": true,
		"network_compression_method": true, "network_zstd_compression_level": true, "client_protocol_version": true,
		"query_id": true, "quota_key": true, "user": true, "password": true, "session_id": true, "session_timeout": true,
		"session_check": true, "wait_end_of_query": true, "buffer_size": true, "role": true, "enable_http_compression": true}
	identRe = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

type account struct {
	pass string
	ro   bool
}
type server struct {
	pool, ro chan *chConn
	users    map[string]account
	version  string
}

func status(code string) int {
	switch code {
	case "516", "193", "192": // auth failed
		return 401
	case "497", "291", "164":
		return 403
	case "60", "81", "16", "47", "46":
		return 404
	case "36", "62", "27", "53", "6", "8", "43", "44", "70":
		return 400
	}
	return 500
}

func (s *server) fail(w http.ResponseWriter, err error) {
	m := err.Error()
	code := "1002"
	if g := codeRe.FindStringSubmatch(m); g != nil {
		code = g[1]
	}
	w.Header().Set("X-ClickHouse-Exception-Code", code)
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(status(code))
	io.WriteString(w, strings.TrimSpace(m)+"\n")
}

func quote(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

func (s *server) helloBlock() []byte {
	var b proto.Buffer
	b.PutUVarInt(1)
	b.PutBool(false)
	b.PutUVarInt(2)
	b.PutInt32(-1)
	b.PutUVarInt(0)
	b.PutUVarInt(4)
	b.PutUVarInt(1)
	str := func(n, v string) { b.PutString(n); b.PutString("String"); b.PutBool(false); b.PutString(v) }
	str("displayName()", "chshim")
	str("version()", s.version)
	b.PutString("revision()")
	b.PutString("UInt32")
	b.PutBool(false)
	b.PutUInt32(0) // the client then decodes plain (revision 0) Native blocks, as libchdb writes them
	str("timezone()", "UTC")
	return b.Buf
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-ClickHouse-Server-Display-Name", "chshim")
	if r.URL.Path == "/ping" {
		io.WriteString(w, "Ok.\n")
		return
	}
	qv := r.URL.Query()
	u, p, ok := r.BasicAuth()
	if !ok {
		u, p = r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
		if u == "" {
			u, p = qv.Get("user"), qv.Get("password")
		}
		if u == "" {
			u = "default"
		}
	}
	acc, known := s.users[u]
	if !known || acc.pass != p {
		s.fail(w, fmt.Errorf("Code: 516. DB::Exception: %s: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)", u))
		return
	}
	body := io.Reader(r.Body)
	switch r.Header.Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			s.fail(w, err)
			return
		}
		body = z
	case "deflate":
		z, err := zlib.NewReader(body)
		if err != nil {
			s.fail(w, err)
			return
		}
		body = z
	}
	if qv.Get("decompress") == "1" {
		body = compress.NewReader(body)
	}
	query := qv.Get("query")
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		s.fail(w, fmt.Errorf("Code: 48. DB::Exception: external tables are not implemented by chshim. (NOT_IMPLEMENTED)"))
		return
	}
	isInsert := false
	insFormat := ""
	if query != "" {
		if g := insRe.FindStringSubmatch(query); g != nil {
			isInsert, insFormat = true, g[1]
		}
	}
	var full []byte
	if !isInsert {
		b, err := io.ReadAll(body)
		if err != nil {
			s.fail(w, err)
			return
		}
		full = append([]byte(query), b...)
	}
	if strings.TrimSpace(string(full)) == hello {
		s.write(w, r, s.helloBlock(), "Native")
		return
	}
	pool := s.pool
	if acc.ro {
		pool = s.ro
	}
	var c *chConn
	select {
	case c = <-pool:
	case <-r.Context().Done():
		return
	}
	defer func() { pool <- c }()
	db := qv.Get("database")
	if db == "" {
		db = "default"
	}
	if _, err := c.Query([]byte("USE `"+strings.ReplaceAll(db, "`", "")+"`"), "Null", nil); err != nil {
		s.fail(w, err)
		return
	}
	var sets, resets []string
	params := map[string]string{}
	for k, v := range qv {
		if strings.HasPrefix(k, "param_") {
			params[k[6:]] = v[0]
			continue
		}
		if notSet[k] || !identRe.MatchString(k) {
			continue
		}
		sets = append(sets, k+" = "+quote(v[0]))
		resets = append(resets, k+" = DEFAULT")
	}
	if len(sets) > 0 {
		if _, err := c.Query([]byte("SET "+strings.Join(sets, ", ")), "Null", nil); err != nil {
			s.fail(w, err)
			return
		}
		defer c.Query([]byte("SET "+strings.Join(resets, ", ")), "Null", nil)
	}
	format := qv.Get("default_format")
	if format == "" {
		format = r.Header.Get("X-ClickHouse-Format")
	}
	if format == "" {
		format = "TabSeparated"
	}
	var res *result
	var err error
	if isInsert {
		stmt := fmtRe.ReplaceAllString(query, "")
		res, err = c.Insert(stmt, insFormat, body)
	} else {
		res, err = c.Query(full, format, params)
	}
	if *verb {
		log.Printf("%s insert=%v %.200q settings=%v err=%v", u, isInsert, query+string(full), sets, err)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	h.Set("X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d"}`, res.RowsRead, res.Bytes, res.RowsWritten))
	s.write(w, r, res.Data, format)
}

func (s *server) write(w http.ResponseWriter, r *http.Request, data []byte, format string) {
	h := w.Header()
	h.Set("X-ClickHouse-Format", format)
	h.Set("X-ClickHouse-Timezone", "UTC")
	if r.URL.Query().Get("compress") == "1" && len(data) > 0 {
		m := compress.LZ4
		if r.URL.Query().Get("network_compression_method") == "ZSTD" {
			m = compress.ZSTD
		}
		cw := compress.NewWriter(compress.LevelZero, m)
		for len(data) > 0 {
			n := min(len(data), 1<<20)
			if err := cw.Compress(data[:n]); err != nil {
				s.fail(w, err)
				return
			}
			w.Write(cw.Data)
			data = data[n:]
		}
		return
	}
	switch ae := r.Header.Get("Accept-Encoding"); {
	case len(data) == 0:
	case strings.Contains(ae, "gzip"):
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(data)
		z.Close()
		return
	case strings.Contains(ae, "deflate"):
		h.Set("Content-Encoding", "deflate")
		z := zlib.NewWriter(w)
		z.Write(data)
		z.Close()
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(data)))
	io.Copy(w, bytes.NewReader(data))
}

func main() {
	flag.Parse()
	if err := loadLib(*so); err != nil {
		log.Fatal(err)
	}
	args := append([]string{"clickhouse", "--path=" + *path}, strings.Fields(*extra)...)
	s := &server{pool: make(chan *chConn, *nconn), ro: make(chan *chConn, 2), users: map[string]account{}}
	hasRO := false
	s.users["trellis"] = account{os.Getenv("TRELLIS_SERVICES_CLICKHOUSE_PASSWORD"), false}
	s.users["analyst"] = account{os.Getenv("TRELLIS_SERVICES_CLICKHOUSE_ANALYST_PASSWORD"), true}
	hasRO = true
	var all []*chConn
	open := func(ch chan *chConn) {
		c, err := connect(args...)
		if err != nil {
			log.Fatal(err)
		}
		all = append(all, c)
		ch <- c
	}
	for range *nconn {
		open(s.pool)
	}
	if hasRO {
		for range cap(s.ro) {
			open(s.ro)
			if _, err := all[len(all)-1].Query([]byte("SET readonly = 2"), "Null", nil); err != nil {
				log.Fatal(err)
			}
		}
	}
	if _, err := all[0].Query([]byte("CREATE DATABASE IF NOT EXISTS trellis"), "Null", nil); err != nil {
		log.Fatal(err)
	}
	r, err := all[0].Query([]byte("SELECT version()"), "TabSeparatedRaw", nil)
	if err != nil {
		log.Fatal(err)
	}
	s.version = strings.TrimSpace(string(r.Data))
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	hs := &http.Server{Handler: s}
	go hs.Serve(ln)
	log.Printf("chshim: engine %s (lib %s) on %s, data %s", s.version, libVersion(), ln.Addr(), *path)
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGTERM, syscall.SIGINT)
	<-sig
	hs.Shutdown(context.Background())
	var wg sync.WaitGroup
	for _, c := range all {
		c.Close()
	}
	wg.Wait()
	libShutdown()
	log.Print("chshim: stopped")
}
