// Package client talks to a Trellis server over its HTTP API. It owns how a
// request is made, repeated when the server says so, and how an error is
// read; it promises that a write is never carried out twice because it was
// repeated, and that the token never appears in an error. It knows the shapes
// of the API that the command line needs, and no rules.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"trellis/graph"
)

// DefaultURL is where a server listens unless it is told otherwise.
const DefaultURL = "http://127.0.0.1:8080"

// maxAnswer limits an answer that is read whole.
const maxAnswer = 64 << 20

// Client is safe for concurrent use.
type Client struct {
	// RequestIDs, if not empty, begins the ids of all requests, so that what the
	// server notes of them can be told from the rest. Set it before the first one.
	RequestIDs string

	base  *url.URL
	token string
	http  *http.Client
	// slow is for answers that may take long to begin.
	slow     *http.Client
	agent    string
	requests atomic.Int64
	// patience is how long a request is repeated while the server says that it cannot answer now.
	patience time.Duration
}

// New returns a client of the server at base, DefaultURL if empty. token, if
// not empty, is sent as bearer credential.
func New(base, token, agent string) (*Client, error) {
	if base == "" {
		base = DefaultURL
	}
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("TRELLIS_URL is %q: want the address of a server, for example %s", base, DefaultURL)
	}
	if strings.ContainsAny(token, " \t\r\n") {
		return nil, errors.New("TRELLIS_TOKEN holds blanks or line ends: want the key as it was printed")
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
	}
	// An answer that leads elsewhere is an error: the credential must not follow.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	slow := t.Clone()
	slow.ResponseHeaderTimeout = 0
	slow.ExpectContinueTimeout = time.Second
	return &Client{
		base: u, token: token, http: &http.Client{Transport: t, CheckRedirect: stay}, slow: &http.Client{Transport: slow, CheckRedirect: stay},
		agent: agent, patience: 30 * time.Second,
	}, nil
}

// Close lets idle connections go.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.slow.CloseIdleConnections()
}

// Problem is an error that the server described.
type Problem struct {
	Type      string  `json:"type"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail"`
	RequestID string  `json:"request_id"`
	Errors    []Fault `json:"errors"`

	retryAfter time.Duration
}

// Fault is one part of the input that is wrong.
type Fault struct {
	Pointer   string `json:"pointer"`
	Parameter string `json:"parameter"`
	Detail    string `json:"detail"`
}

// Error returns the problem's detail and a line for each fault.
func (p *Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Detail != "":
		b.WriteString(p.Detail)
	case p.Title != "":
		b.WriteString(p.Title)
	default:
		fmt.Fprintf(&b, "the server answered %d %s", p.Status, http.StatusText(p.Status))
	}
	if p.Status == http.StatusUnauthorized {
		b.WriteString("; set TRELLIS_TOKEN to a valid key")
	}
	for _, f := range p.Errors {
		where := f.Pointer
		if where == "" {
			where = f.Parameter
		}
		fmt.Fprintf(&b, "\n  %s: %s", where, f.Detail)
	}
	if p.RequestID != "" {
		fmt.Fprintf(&b, "\n  request id: %s", p.RequestID)
	}
	return b.String()
}

// Unwrap returns a graph.Error of the kind that the status stands for.
func (p *Problem) Unwrap() error {
	kinds := map[int]graph.ErrorKind{
		http.StatusNotFound: graph.NotFound, http.StatusConflict: graph.Exists, http.StatusForbidden: graph.Denied,
		http.StatusUnprocessableEntity: graph.Invalid, http.StatusServiceUnavailable: graph.Unavailable,
	}
	if k, ok := kinds[p.Status]; ok {
		return &graph.Error{Kind: k, Msg: p.Detail}
	}
	return nil
}

// Get asks for path with the query and decodes the answer into out.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, "", out)
}

// Post sends in to path and decodes the answer into out. It may be sent more
// than once: for questions, and for writes that come to the same when repeated.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	return c.post(ctx, path, in, out, "")
}

// PostLong is Post for what may take long to answer.
func (c *Client) PostLong(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.repeat(ctx, func() error {
		req, err := c.request(ctx, http.MethodPost, path, nil, b, "")
		if err != nil {
			return err
		}
		resp, err := c.do(c.slow, req)
		if err != nil {
			return err
		}
		return c.answer(resp, out)
	})
}

// PostOnce is Post for writes that must not be repeated: it carries an
// Idempotency-Key, of which the server keeps a record.
func (c *Client) PostOnce(ctx context.Context, path string, in, out any) error {
	return c.post(ctx, path, in, out, rand.Text())
}

func (c *Client) post(ctx context.Context, path string, in, out any, key string) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, nil, b, key, out)
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, body []byte, key string, out any) error {
	return c.repeat(ctx, func() error { return c.once(ctx, method, path, query, body, key, out) })
}

// repeat does it again while the server says that it cannot answer now, or
// the connection broke, for as long as its patience lasts.
func (c *Client) repeat(ctx context.Context, do func() error) error {
	until := time.Now().Add(c.patience)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := do()
		var p *Problem
		if errors.As(err, &p) && (p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests) {
			wait = max(wait, p.retryAfter)
		} else if !errors.Is(err, errBroken) {
			return err
		}
		if time.Now().Add(wait).After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// errBroken marks an answer that broke off after the connection was made.
var errBroken = errors.New("the connection broke")

func (c *Client) once(ctx context.Context, method, path string, query url.Values, body []byte, key string, out any) error {
	resp, err := c.send(ctx, method, path, query, body, key)
	if err != nil {
		return err
	}
	return c.answer(resp, out)
}

// answer reads an answer into out.
func (c *Client) answer(resp *http.Response, out any) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errBroken, err)
	case len(b) > maxAnswer:
		return fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	case resp.StatusCode >= 300:
		return readProblem(resp, b)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the answer of %s cannot be read; is it a Trellis server? %w", c.base.Redacted(), err)
	}
	return nil
}

// Open asks for path with the query and returns the answer's body, which comes
// bit by bit and may take any time to begin. It has the type accept. Reading
// it ends with io.EOF only if the whole answer came. The caller closes it.
func (c *Client) Open(ctx context.Context, path string, query url.Values, accept string) (body io.ReadCloser, err error) {
	err = c.repeat(ctx, func() error {
		resp, err := c.open(ctx, path, query, accept)
		if err != nil {
			return err
		}
		if got, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); got != accept {
			resp.Body.Close()
			return fmt.Errorf("the answer of %s is of type %q, not %s; is it a Trellis server?", c.base.Redacted(), got, accept)
		}
		body = resp.Body
		return nil
	})
	return body, err
}

// open asks once, and leaves the answer to be read unless it is an error.
func (c *Client) open(ctx context.Context, path string, query url.Values, accept string) (*http.Response, error) {
	req, err := c.request(ctx, http.MethodGet, path, query, nil, "")
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	resp, err := c.do(c.slow, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errBroken, err)
		}
		return nil, readProblem(resp, b)
	}
	return resp, nil
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, body []byte, key string) (*http.Response, error) {
	req, err := c.request(ctx, method, path, query, body, key)
	if err != nil {
		return nil, err
	}
	return c.do(c.http, req)
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, body []byte, key string) (*http.Request, error) {
	u := c.base.String() + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.RequestIDs != "" {
		req.Header.Set("X-Request-ID", c.RequestIDs+strconv.FormatInt(c.requests.Add(1), 10))
	}
	return req, nil
}

func (c *Client) do(h *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := h.Do(req)
	if err == nil {
		return resp, nil
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return nil, fmt.Errorf("no server answers at %s: %w; start one with `trellis serve`, or set TRELLIS_URL", c.base.Redacted(), op.Err)
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", errBroken, err)
}

func readProblem(resp *http.Response, body []byte) error {
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Title == "" {
		p = &Problem{}
	}
	p.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		p.retryAfter = time.Duration(s) * time.Second
	}
	return p
}

// Escape makes one element of a path.
func Escape(s string) string { return url.PathEscape(s) }
