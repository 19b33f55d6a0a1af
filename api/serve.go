package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"trellis/audit"
	"trellis/graph"
)

// Headers that every answer carries; the slices are shared and not written to.
var (
	nosniff = []string{"nosniff"}
	noStore = []string{"no-store"}
	noCode  = []string{"default-src 'none'; frame-ancestors 'none'"}
)

const headerRequestID = "X-Request-Id"

// serve makes the gin handler of a row: everything that happens to every
// request happens here, in this order, and nowhere else.
func (s *server) serve(rt *route) gin.HandlerFunc {
	seen := s.metrics.route(rt)
	return func(g *gin.Context) {
		c := &call{server: s, rt: rt, gin: g, w: g.Writer, r: g.Request, start: time.Now(), now: s.Now(), view: s.Index.View()}
		c.begin()
		if rt.unlimited {
			// Only connections that are gone already refuse this.
			_ = http.NewResponseController(g.Writer).SetWriteDeadline(time.Time{})
		} else if !rt.stream && !rt.quick {
			limit := s.o.Timeout
			if rt.files || rt.in.file {
				limit = s.o.FileTimeout
				// The server counts from the head of the request.
				_ = http.NewResponseController(g.Writer).SetWriteDeadline(c.start.Add(limit + s.o.Stall))
			}
			ctx, cancel := context.WithTimeout(c.r.Context(), limit)
			defer cancel()
			c.r = c.r.WithContext(ctx)
		}
		defer c.close()
		err := c.run()
		if err != nil {
			c.fail(err)
		}
		if !c.done {
			// A stream, or an answer without a body, of which nothing must be recorded.
			_ = c.record(g.Writer.Status(), max(0, g.Writer.Size()))
		}
		status := g.Writer.Status()
		took := time.Since(c.start)
		seen.observe(status, took)
		if s.o.AccessLog {
			s.Log.LogAttrs(c.r.Context(), slog.LevelInfo, "request", slog.String("request_id", c.id), slog.String("method", c.r.Method),
				slog.String("route", rt.path), slog.Int("status", status), slog.Int("bytes", g.Writer.Size()),
				slog.Duration("took", took), slog.String("subject", c.caller.Subject.String()), slog.String("key", c.caller.Key))
		}
	}
}

// begin sets what every answer carries, also a refusal.
func (c *call) begin() {
	h := c.w.Header()
	c.id = requestID(c.r.Header)
	h[headerRequestID] = []string{c.id}
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	if c.r.Method == get {
		// Only what a browser can open by an address could become a page.
		h["Content-Security-Policy"] = noCode
	}
	if st := c.Graph.State(); st.Ready {
		h[headerRevision] = c.tokenFor(st.Store, c.view.Revision())
	}
}

// atEnd has do called when the request is over, last things first.
func (c *call) atEnd(do func()) { c.closers = append(c.closers, do) }

func (c *call) close() {
	for _, do := range slices.Backward(c.closers) {
		do()
	}
}

// requestID takes the caller's id if it is fit to be logged, or makes one.
func requestID(h http.Header) string {
	if v := h[headerRequestID]; len(v) == 1 && v[0] != "" && len(v[0]) <= 128 && graph.Printable(v[0]) {
		return v[0]
	}
	return uuid.Must(uuid.NewV7()).String()
}

// run carries the request through its row: who, what, whether, then the deed.
// A panic becomes an Internal error.
func (c *call) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares the same way: it is a value to panic with
				panic(p)
			}
			err = graph.Errorf(graph.Internal, "panic: %v\n%s", p, debug.Stack())
		}
	}()
	rt := c.rt
	if rt.public == "" {
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	if err := c.readQuery(); err != nil {
		return err
	}
	if rt.node != nil {
		if err := rt.node(c); err != nil {
			return err
		}
	}
	if rt.needs.permission != "" && !rt.needs.inside {
		on := c.ref
		if rt.needs.ref != nil {
			on = rt.needs.ref(c)
		}
		if err := c.require(strings.Replace(rt.needs.permission, "{type}", string(on.Type), 1), on); err != nil {
			return err
		}
	}
	if !rt.in.none() {
		if err := c.readBody(); err != nil {
			return err
		}
	}
	if rt.idempotent {
		return c.runOnce()
	}
	return rt.handle(c)
}

func (c *call) authenticate() (err error) {
	if !c.view.Ready() {
		return unavailable("the service is starting: it has not read the graph yet")
	}
	if !c.Prepared() {
		return unavailable("the service is starting: it has not prepared the graph yet")
	}
	var header string
	if v := c.r.Header["Authorization"]; len(v) > 0 {
		header = v[0]
	}
	if c.caller, err = c.Keys.Authenticate(header); err == nil && c.caller.Key != "" {
		c.used.note(c.caller.Key, c.now)
	}
	return err
}

// fail answers with the problem, or with where to ask instead, unless an answer
// has begun.
func (c *call) fail(err error) {
	var m *moved
	if errors.As(err, &m) {
		c.redirect(m.to)
		return
	}
	p := c.problem(err)
	c.tellMeanwhile(p)
	if p.Status >= 500 && p.Status != http.StatusServiceUnavailable {
		c.Log.Error("a request failed", "request_id", c.id, "method", c.r.Method, "route", c.rt.path, "error", err)
	}
	if c.gin.Writer.Written() {
		// The status is out: all that is left is to break the connection off,
		// so that the caller does not take a part for the whole.
		_ = c.record(c.gin.Writer.Status(), c.gin.Writer.Size())
		if !errors.Is(err, context.Canceled) {
			panic(http.ErrAbortHandler)
		}
		return
	}
	c.records, c.level = c.records[:0], audit.Note // questions that were not answered
	c.refused(err, p)
	p.RequestID = c.id
	b := p.encode()
	if full := c.record(p.Status, len(b)); full != nil {
		c.full(full)
		return
	}
	p.write(c.w, b)
}

// full answers with the problem that a record cannot be made. Nothing of
// the answer that was meant is left.
func (c *call) full(p *Problem) {
	h := c.w.Header()
	for _, name := range [...]string{"Location", headerReplayed, "Content-Disposition", "WWW-Authenticate"} {
		h.Del(name)
	}
	p.RequestID = c.id
	p.write(c.w, p.encode())
}
