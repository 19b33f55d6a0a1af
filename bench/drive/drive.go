// Package drive sends requests to a server on this machine and takes the
// time. It promises that every answer is judged, that a run is bounded in
// time and in the number of requests, and that connections are kept, so that
// what is measured is the server and not the opening of sockets. It only
// talks to loopback addresses.
package drive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Request is one request with what is needed to judge its answer.
type Request struct {
	Method string
	URL    string
	Accept string // of the answer, JSON if empty
	Body   []byte // JSON
	// Right tells whether the body of a successful answer says what it must.
	// It runs on the processors that the server runs on, so it is to be quick.
	Right func(body []byte) bool
	// Exact, if set, looks closer, and takes the place of Right while warming up.
	Exact func(body []byte) bool
	// Unanswered, if set, is asked about an answer that is not right: whether
	// it says that it could not be worked out. That is a failure, not a mistake.
	Unanswered func(body []byte) bool
}

// Source gives request number i. It is called by several goroutines at once.
type Source func(i int) Request

// Cycle gives the requests again and again.
func Cycle(rs []Request) Source { return func(i int) Request { return rs[i%len(rs)] } }

// Client sends requests.
type Client struct {
	http  *http.Client
	token string
}

// maxConnections is also the number of connections that are kept.
const maxConnections = 256

// New returns a Client that gives token as bearer credential unless it is empty.
func New(token string) *Client {
	t := &http.Transport{
		DialContext: dialLoopback, MaxConnsPerHost: maxConnections, MaxIdleConns: maxConnections, MaxIdleConnsPerHost: maxConnections,
		DisableCompression: true, ResponseHeaderTimeout: 30 * time.Second,
	}
	return &Client{http: &http.Client{Transport: t}, token: token}
}

func dialLoopback(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// Close closes the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends one request and returns the answer's body, in buf if it fits. An
// answer that is not 2xx is an error.
func (c *Client) Do(ctx context.Context, r Request, buf []byte) ([]byte, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	req := &http.Request{Method: r.Method, URL: u, Host: u.Host, Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1}
	if r.Body != nil {
		req.Header["Content-Type"] = []string{"application/json"}
		req.ContentLength = int64(len(r.Body))
		req.Body = io.NopCloser(bytes.NewReader(r.Body))
	}
	if r.Accept != "" {
		req.Header["Accept"] = []string{r.Accept}
	}
	if c.token != "" {
		req.Header["Authorization"] = []string{"Bearer " + c.token}
	}
	res, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b := bytes.NewBuffer(buf[:0])
	if _, err := b.ReadFrom(res.Body); err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %d %s", r.Method, u.Path, res.StatusCode, b.Bytes()[:min(b.Len(), 400)])
	}
	return b.Bytes(), nil
}

// Limit bounds a run: it ends when the time is over or, if Requests is not 0,
// that many were sent.
type Limit struct {
	Time     time.Duration
	Requests int
	Exact    bool // judge by Request.Exact
}

// Result is what a run measured. Only right answers count for the rate and
// the times.
type Result struct {
	Done      int
	PerSecond float64
	P50, P99  time.Duration
	CPU       time.Duration // of the server for one answer, if the caller took it
	Wrong     int64
	Failed    int64
	Err       error // the first failure
	Next      int   // the number of the request after the last one sent
}

// Run sends the requests from number first on over so many connections.
func (c *Client) Run(ctx context.Context, s Source, connections, first int, l Limit) Result {
	run := &run{client: c, source: s, first: first, limit: l.Requests, exact: l.Exact}
	took := make([][]time.Duration, connections)
	start := time.Now()
	run.end = start.Add(l.Time)
	var wg sync.WaitGroup
	for i := range connections {
		wg.Go(func() { took[i] = run.work(ctx) })
	}
	wg.Wait()
	all := slices.Concat(took...)
	r := Result{
		Done: len(all), PerSecond: float64(len(all)) / time.Since(start).Seconds(), Wrong: run.wrong.Load(), Failed: run.failed.Load(),
		Next: first + int(run.next.Load()),
	}
	if err := run.err.Load(); err != nil {
		r.Err = *err
	}
	slices.Sort(all)
	r.P50, r.P99 = Quantile(all, 0.5), Quantile(all, 0.99)
	return r
}

type run struct {
	client        *Client
	source        Source
	first, limit  int
	exact         bool
	end           time.Time
	next          atomic.Int64
	wrong, failed atomic.Int64
	err           atomic.Pointer[error]
}

// work is one connection: it sends the next request when the answer to the
// last one has come.
func (r *run) work(ctx context.Context) []time.Duration {
	took := make([]time.Duration, 0, 1<<14)
	buf := make([]byte, 0, 64<<10)
	for ctx.Err() == nil {
		start := time.Now()
		if start.After(r.end) {
			break
		}
		n := int(r.next.Add(1)) - 1
		if r.limit > 0 && n >= r.limit {
			r.next.Add(-1)
			break
		}
		req := r.source(r.first + n)
		start = time.Now() // making a request is not the server's work
		body, err := r.client.Do(ctx, req, buf)
		d := time.Since(start)
		right := req.Right
		if r.exact && req.Exact != nil {
			right = req.Exact
		}
		switch {
		case err != nil:
			r.failed.Add(1)
			r.err.CompareAndSwap(nil, &err)
		case right != nil && !right(body):
			if req.Unanswered == nil || !req.Unanswered(body) {
				r.wrong.Add(1)
				continue
			}
			r.failed.Add(1)
			err := fmt.Errorf("not answered: %s", body[:min(len(body), 400)])
			r.err.CompareAndSwap(nil, &err)
		default:
			took = append(took, d)
		}
	}
	return took
}

// Quantile returns the value below which the part q of the sorted values is.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// Median returns the result whose rate is in the middle, with the wrong and
// failed answers of all added up.
func Median(rs []Result) Result {
	if len(rs) == 0 {
		return Result{}
	}
	rs = slices.Clone(rs)
	slices.SortFunc(rs, func(a, b Result) int {
		switch {
		case a.PerSecond < b.PerSecond:
			return -1
		case a.PerSecond > b.PerSecond:
			return 1
		}
		return 0
	})
	m := rs[len(rs)/2]
	m.Wrong, m.Failed, m.Done = 0, 0, 0
	for _, r := range rs {
		m.Wrong += r.Wrong
		m.Failed += r.Failed
		m.Done += r.Done
		if m.Err == nil {
			m.Err = r.Err
		}
	}
	return m
}
