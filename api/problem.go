package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"trellis/auth"
	"trellis/graph"
)

// Problem is an RFC 9457 problem document. Type is stable: programs tell
// problems apart by it, and by nothing else.
type Problem struct {
	Type      string  `json:"type" doc:"What kind of problem this is; stable" example:"urn:trellis:problem:not-found"`
	Title     string  `json:"title" doc:"The kind of problem in words"`
	Status    int     `json:"status" doc:"The HTTP status"`
	Detail    string  `json:"detail,omitempty" doc:"What is wrong this time"`
	RequestID string  `json:"request_id,omitempty" doc:"The X-Request-ID of the answer"`
	Node      string  `json:"node,omitempty" doc:"The node concerned, if there is one that the caller may see"`
	Errors    []Fault `json:"errors,omitempty" doc:"Which parts of the input are wrong" nullable:"false"`
	// Current and Meanwhile are for callers who may read the node.
	Current   string      `json:"current,omitempty" doc:"Of stale and conflict: the ETag that the node has now"`
	Meanwhile []Meanwhile `json:"meanwhile,omitempty" doc:"Of stale and conflict: what was changed since the revision that the caller relied on, newest first, at most 20 changes" nullable:"false"`

	cause   error
	headers map[string]string
}

// Fault is one part of the input that is wrong.
type Fault struct {
	Pointer   string `json:"pointer,omitempty" doc:"JSON pointer into the body"`
	Parameter string `json:"parameter,omitempty" doc:"The query parameter or header"`
	Detail    string `json:"detail"`
}

// Error makes a Problem an error that handlers can return.
func (p *Problem) Error() string { return p.Type + ": " + p.Detail }

// Unwrap returns the cause, for logs.
func (p *Problem) Unwrap() error { return p.cause }

const problemType = "urn:trellis:problem:"

// titles holds every kind of problem there is.
var titles = map[string]string{
	"malformed":             "The request cannot be read",
	"invalid":               "The input is not valid",
	"unauthenticated":       "The caller is not known",
	"forbidden":             "The caller may not do this",
	"not-found":             "There is no such thing",
	"no-route":              "There is no such path",
	"method-not-allowed":    "The path does not know this method",
	"exists":                "It exists already",
	"in-use":                "Something depends on it",
	"archived":              "It is archived",
	"cycle":                 "It would close a circle",
	"conflict":              "It changed meanwhile",
	"stale":                 "It is not what If-Match says",
	"gone":                  "It is no longer kept",
	"too-large":             "The request is too large",
	"media-type":            "The content type is not understood",
	"cursor":                "The cursor does not belong to this query",
	"foreign-revision":      "The revision is of another store",
	"future-revision":       "The revision has not happened",
	"idempotency-mismatch":  "The idempotency key was used for another request",
	"idempotency-forgotten": "The answer to this idempotency key is no longer kept",
	"file-type":             "Files of this kind are not kept",
	"file-mismatch":         "The file is not what it was said to be",
	"file-polyglot":         "The file is something else besides",
	"file-damaged":          "The file is damaged",
	"file-dimensions":       "The picture is too large",
	"file-active":           "The drawing does something",
	"quota":                 "There is no room left",
	"not-arrived":           "The file is not there yet",
	"no-thumbnail":          "There is no thumbnail",
	"range":                 "The range is outside of the file",
	"bytes-missing":         "The bytes of the file are missing",
	"unavailable":           "The service cannot answer now",
	"audit-full":            "It cannot be recorded now",
	"timeout":               "The request took too long",
	"internal":              "Something went wrong inside",
}

func problem(status int, kind, format string, args ...any) *Problem {
	p := &Problem{Type: problemType + kind, Title: titles[kind], Status: status, Detail: format}
	if len(args) > 0 {
		p.Detail = fmt.Sprintf(format, args...)
	}
	return p
}

// badField is about one part of the body.
func badField(pointer, format string, args ...any) *Problem {
	p := problem(http.StatusUnprocessableEntity, "invalid", "the body is not valid")
	p.Errors = []Fault{{Pointer: pointer, Detail: fmt.Sprintf(format, args...)}}
	return p
}

// badParameter is about one parameter or header.
func badParameter(name, format string, args ...any) *Problem {
	p := problem(http.StatusUnprocessableEntity, "invalid", "the parameters are not valid")
	p.Errors = []Fault{{Parameter: name, Detail: fmt.Sprintf(format, args...)}}
	return p
}

// problem turns any error into the document that the caller gets: the one
// place where kinds of errors become statuses.
func (c *call) problem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(err, auth.ErrNoCredential) || errors.Is(err, auth.ErrCredential) {
		return unauthenticated(err)
	}
	if p := fileProblem(err); p != nil {
		return p
	}
	var e *graph.Error
	if !errors.As(err, &e) {
		e = &graph.Error{Kind: graph.Internal, Err: err}
	}
	p = c.kind(e)
	p.cause = err
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, Fault{Pointer: f.Pointer, Detail: f.Msg})
	}
	if p.Node == "" && e.Kind == graph.Exists && !e.Ref.IsZero() && c.visible(e.Ref) {
		p.Node = e.Ref.String()
	}
	return p
}

func (c *call) kind(e *graph.Error) *Problem {
	switch e.Kind {
	case graph.Invalid:
		return problem(http.StatusUnprocessableEntity, "invalid", "%s", e.Msg)
	case graph.NotFound:
		return c.missing(e.Ref)
	case graph.Denied:
		return c.denied(e)
	case graph.Exists:
		return problem(http.StatusConflict, "exists", "%s", e.Msg)
	case graph.InUse:
		return problem(http.StatusConflict, "in-use", "%s", e.Msg)
	case graph.Locked:
		return problem(http.StatusConflict, "archived", "%s", e.Msg)
	case graph.Cycle:
		return problem(http.StatusConflict, "cycle", "%s", e.Msg)
	case graph.Stale:
		if c.matched {
			return problem(http.StatusPreconditionFailed, "stale", "%s", e.Msg)
		}
		return problem(http.StatusConflict, "conflict", "%s", e.Msg)
	case graph.Foreign:
		return problem(http.StatusUnprocessableEntity, "foreign-revision", "%s", e.Msg)
	case graph.Gone:
		return problem(http.StatusGone, "gone", "%s", e.Msg)
	case graph.TooLarge:
		return problem(http.StatusRequestEntityTooLarge, "too-large", "%s", e.Msg)
	case graph.Unavailable, graph.Closed:
		return unavailable("the graph store cannot be reached; what was asked for may or may not have happened")
	case graph.Canceled:
		p := problem(http.StatusServiceUnavailable, "timeout", "%s", e.Msg)
		p.headers = map[string]string{"Retry-After": "1"}
		return p
	}
	return problem(http.StatusInternalServerError, "internal", "the failure has been logged under the request id")
}

// missing says the same of what is not there and of what may not be seen.
func (c *call) missing(r graph.Ref) *Problem {
	name := r.String()
	if c.rt.upserts {
		// Whether it is the node or its parent that is hidden would tell
		// that the other one is there.
		return problem(http.StatusNotFound, "not-found", "%s, or what it is to be put under, does not exist, or you may not see it", c.named)
	}
	if c.named != "" && (r.IsZero() || r == c.ref) {
		name = c.named
	}
	if name == "" {
		return problem(http.StatusNotFound, "not-found", "it does not exist, or you may not see it")
	}
	return problem(http.StatusNotFound, "not-found", "%s does not exist, or you may not see it", name)
}

// denied is 403 about what the caller may see, 404 about what the caller asked
// for and may not see. What comes up on the way without having been asked for
// is not named.
func (c *call) denied(e *graph.Error) *Problem {
	switch {
	case e.Ref.IsZero() || c.visible(e.Ref):
		return problem(http.StatusForbidden, "forbidden", "%s", e.Msg)
	case e.Ref == c.ref || c.inBody(e.Ref) || c.inQuery(e.Ref):
		return c.missing(e.Ref)
	}
	return problem(http.StatusForbidden, "forbidden", "this would give away permissions that you do not hold, on something that you may not see")
}

// inBody tells whether the request's body names the node.
func (c *call) inBody(r graph.Ref) bool {
	return bytes.Contains(c.body, []byte(r.String())) || bytes.Contains(c.body, []byte(`"`+r.ID+`"`))
}

// visible tells whether the caller may know that the node is there. What
// Trellis itself brings along is no secret.
func (c *call) visible(r graph.Ref) bool {
	return r.Type == graph.Root.Type || c.holds(string(r.Type)+":read", r)
}

func unauthenticated(err error) *Problem {
	p := problem(http.StatusUnauthorized, "unauthenticated", "%s", err.Error())
	p.headers = map[string]string{"WWW-Authenticate": "Bearer"}
	if errors.Is(err, auth.ErrCredential) {
		p.headers["WWW-Authenticate"] = `Bearer error="invalid_token"`
	}
	return p
}

func unavailable(format string, args ...any) *Problem {
	p := problem(http.StatusServiceUnavailable, "unavailable", format, args...)
	p.headers = map[string]string{"Retry-After": "1"}
	return p
}

// encode returns the document.
func (p *Problem) encode() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and numbers only
	}
	return b
}

// write sends the document.
func (p *Problem) write(w http.ResponseWriter, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Del("ETag")
	h.Del("Content-Disposition")
	for k, v := range p.headers {
		h.Set(k, v)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(b) // a caller who is gone needs no answer
}
