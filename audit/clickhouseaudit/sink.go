// Package clickhouseaudit is the audit.Sink on ClickHouse.
//
// It promises that a batch counts once, in the tables and in all that is
// counted from them, however often it is delivered and whenever the server is killed (on a
// cluster, as long as ClickHouse remembers it: Window); that tables are prepared by whoever comes first, also
// when several do; and that no question reads more than it needs. It must never
// put a value into the text of a statement.
package clickhouseaudit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trellis/audit"
)

var _ audit.Sink = (*Sink)(nil)

// Options tune a sink. The zero value keeps everything for ever on one server.
type Options struct {
	// Retention is for how long records are kept; what is absent, or 0, for
	// ever. Tables that have another one are changed at the first call.
	Retention audit.Retention
	// Cluster is the name of a cluster of replicas: tables are then made on all
	// of them, replicated. "" is one server.
	Cluster string
	// Timeout is how long one statement may take; 30 s if 0.
	Timeout time.Duration
	// MaxConns is how many statements run at a time; 8 if 0.
	MaxConns int
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Logger learns of changes to the tables; nothing is logged if nil.
	Logger *slog.Logger
}

// prepareTimeout is how long a statement that changes tables may take: on a
// cluster it waits for the replicas.
const prepareTimeout = 5 * time.Minute

// Sink is the engine. Make it with Open.
type Sink struct {
	conn     driver.Conn
	opts     Options
	database string
	secrets  []string
	gate     gate
	rests    []time.Duration // between looks at what may be misfiled
	much     int             // rows to read, where only some may fit

	preparing chan struct{} // holds a token while nobody prepares the tables
	mu        sync.Mutex
	prepared  bool
	lanes     map[string]chan map[audit.Stream]uint64 // by writer
	transport *http.Transport                         // of HTTP, once there is a connection
}

// Open returns a sink for the database at the URL; the database must exist.
// clickhouse:// is the native protocol, clickhouses:// (or ?secure=true) the same
// with TLS, http:// and https:// are HTTP. Further parameters are those of clickhouse-go,
// or settings of ClickHouse. Nothing is sent before the first call.
func Open(rawURL string, o Options) (*Sink, error) {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.MaxConns == 0 {
		o.MaxConns = 8
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_.{}-]*$`).MatchString(o.Cluster) {
		return nil, fmt.Errorf("clickhouseaudit: %q is not the name of a cluster", o.Cluster)
	}
	for s, d := range o.Retention {
		if d < 0 || d%time.Second != 0 {
			return nil, fmt.Errorf("clickhouseaudit: the retention of %s is %v; want whole seconds", s, d)
		}
	}
	opt, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	opt.MaxOpenConns, opt.MaxIdleConns, opt.DialTimeout, opt.ReadTimeout = o.MaxConns, o.MaxConns, min(o.Timeout, 10*time.Second), prepareTimeout
	s := &Sink{opts: o, database: opt.Auth.Database, preparing: make(chan struct{}, 1), lanes: map[string]chan map[audit.Stream]uint64{}, rests: rests[:], much: muchRows}
	if p := opt.Auth.Password; p != "" {
		s.secrets = []string{p, url.QueryEscape(p), url.PathEscape(p), url.UserPassword("", p).String()[1:]}
	}
	s.gate.idle = sync.NewCond(&s.gate.mu)
	s.preparing <- struct{}{}
	opt.TransportFunc = s.share
	if s.conn, err = clickhouse.Open(opt); err != nil {
		return nil, errors.New("clickhouseaudit: " + s.hide(err.Error()))
	}
	return s, nil
}

// parse reads the URL. Its errors do not repeat it, since it holds a password.
func parse(rawURL string) (*clickhouse.Options, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("clickhouseaudit: the address is no URL; characters such as / # ? % in a password are written as %2F %23 %3F %25")
	}
	q, ports := u.Query(), map[string]string{"clickhouse": "9000", "clickhouses": "9440", "http": "8123", "https": "8443"}
	port, known := ports[u.Scheme]
	switch {
	case !known:
		return nil, fmt.Errorf("clickhouseaudit: the address begins with %q; want clickhouse, clickhouses, http or https", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("clickhouseaudit: the address names no host")
	case strings.Trim(u.Path, "/") == "" && q.Get("database") == "":
		return nil, errors.New("clickhouseaudit: the address names no database, as in clickhouse://user:password@host:9000/trellis")
	}
	if u.Scheme == "clickhouses" || u.Scheme == "https" {
		q.Set("secure", "true")
	}
	if u.Scheme == "clickhouses" {
		u.Scheme = "clickhouse"
	}
	if u.Scheme == "clickhouse" && q.Has("secure") && q.Get("secure") != "false" {
		port = ports["clickhouses"]
	}
	u.RawQuery = q.Encode()
	opt, err := clickhouse.ParseDSN(u.String())
	if err != nil {
		return nil, errors.New("clickhouseaudit: the address has a parameter that cannot be used: " + strings.ReplaceAll(err.Error(), rawURL, "…"))
	}
	for i, host := range opt.Addr {
		if _, _, err := net.SplitHostPort(host); err != nil {
			opt.Addr[i] = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
	}
	if opt.TLS != nil {
		opt.TLS.MinVersion = tls.VersionTLS12
	}
	if opt.Compression == nil {
		opt.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	return opt, nil
}

// share gives all connections one HTTP transport. The driver would make one for
// each, and forget it with its open socket where the server refuses the login.
func (s *Sink) share(t *http.Transport) (http.RoundTripper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport == nil {
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = s.opts.MaxConns, s.opts.MaxConns, 90*time.Second
		s.transport = t
	}
	return s.transport, nil
}

// Close implements audit.Sink.
func (s *Sink) Close() error {
	if !s.gate.close() {
		return nil
	}
	err := s.conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	return err
}

// Sweep implements audit.Sink: ClickHouse removes by itself what is past its
// retention.
func (s *Sink) Sweep(ctx context.Context, _ time.Time) (int, error) {
	done, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	return 0, nil
}

// errClosed: the sink was used after Close.
var errClosed = errors.New("clickhouseaudit: the sink is closed")

// enter begins a call, and prepares the tables if nobody has; the caller must
// call done unless there was an error.
func (s *Sink) enter(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.gate.enter() {
		return nil, errClosed
	}
	if err := s.prepare(ctx); err != nil {
		s.gate.leave()
		return nil, err
	}
	return s.gate.leave, nil
}

// gate counts the calls under way, so that Close can wait for them.
type gate struct {
	mu     sync.Mutex
	idle   *sync.Cond
	calls  int
	closed bool
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.calls++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls--; g.calls == 0 {
		g.idle.Broadcast()
	}
}

// close lets nobody in any more, waits until all have left, and tells whether
// it was the first to.
func (g *gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := !g.closed
	g.closed = true
	for g.calls > 0 {
		g.idle.Wait()
	}
	return first
}
