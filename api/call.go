package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/permission"
)

// call is one request on its way through a handler.
type call struct {
	*server
	rt  *route
	gin *gin.Context
	w   http.ResponseWriter
	r   *http.Request

	start   time.Time
	id      string // of the request
	caller  auth.Principal
	now     time.Time
	view    *permission.View
	query   map[string]string
	values  map[string][]string // of parameters that may come more than once
	body    []byte
	file    fileBody
	coming  *patient // the body, where it is read bit by bit
	closers []func() // what is to be done when the request is over

	// ref is the node that the path names, org the organization above it,
	// and named the words of the path, so that an answer about a hidden node
	// says no more than one about a missing one.
	ref   graph.Ref
	org   graph.Ref
	named string
	// home is what the slug of ref counts in: org or, of an application, its
	// service. unborn says that ref is not there yet, but may be made.
	home   graph.Ref
	unborn bool

	// matched says that the request depends on If-Match; see graph.Stale.
	matched bool
	// relied is the newest revision that If-Match names.
	relied graph.Revision
	once   once

	recording
	answered int // questions about permissions that were answered
}

// path returns an element of the path, decoded.
func (c *call) path(name string) string {
	v := c.gin.Param(name)
	if c.r.URL.RawPath == "" {
		return v
	}
	if d, err := url.PathUnescape(v); err == nil {
		return d
	}
	return v // not reached: the server refuses what cannot be decoded
}

func (c *call) subject() graph.Ref { return c.caller.Subject }

func (c *call) actor() identity.Caller {
	address, agentName := c.origin()
	return identity.Caller{Subject: c.caller.Subject, Origin: graph.Origin{RequestID: c.id, Key: c.caller.Key, Address: address, Agent: agentName}}
}

// holds tells whether the caller has the permission on the node.
func (c *call) holds(permission string, on graph.Ref) bool {
	return c.view.Check(c.caller.Subject, permission, on, c.now)
}

// require refuses unless the caller has the permission on the node.
func (c *call) require(permission string, on graph.Ref) error {
	if c.holds(permission, on) {
		return nil
	}
	return &graph.Error{Kind: graph.Denied, Msg: permission + " on " + on.String() + " is needed", Ref: on, Permission: permission}
}

// refresh takes the newest view: what a write of this request has done is in it.
func (c *call) refresh() { c.view = c.Index.View() }

// inQuery tells whether the request's query names the node.
func (c *call) inQuery(r graph.Ref) bool {
	for _, v := range c.query {
		if v == r.String() {
			return true
		}
	}
	return false
}

// at tells the revision of the answer in its header.
func (c *call) at(rev graph.Revision) {
	if s := c.Graph.State().Store; s != "" {
		c.w.Header()[headerRevision] = c.tokenFor(s, rev)
	}
}

// tokenText returns the revision as callers see it.
func (s *server) tokenText(rev graph.Revision) string {
	return graph.Token{Store: s.Graph.State().Store, Revision: rev}.String()
}

const headerRevision = "Trellis-Revision"

// revisionToken keeps the text of the newest revision: most answers name the
// same one.
type revisionToken struct {
	store  string
	rev    graph.Revision
	header []string
}

func (s *server) tokenFor(store string, rev graph.Revision) []string {
	if t := s.token.Load(); t != nil && t.rev == rev && t.store == store {
		return t.header
	}
	t := &revisionToken{store, rev, []string{graph.Token{Store: store, Revision: rev}.String()}}
	s.token.Store(t)
	return t.header
}

// json answers with v.
func (c *call) json(status int, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return graph.Wrap(graph.Internal, err, "encoding the answer")
	}
	c.send(status, b.Bytes())
	return nil
}

var jsonType = []string{"application/json"}

func (c *call) send(status int, b []byte) {
	if p := c.record(status, len(b)); p != nil {
		c.full(p)
		return
	}
	h := c.w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	c.w.WriteHeader(status)
	// A caller who is gone needs no answer.
	_, _ = c.w.Write(b)
}

// etag names a revision of a node as RFC 9110 wants it.
func etag(rev graph.Revision) string { return `"` + strconv.FormatInt(int64(rev), 10) + `"` }

// entityTags reads If-Match or If-None-Match. It returns the tags without
// quotes; all is true for "*". Weak tags and tags that we never make match
// nothing, which is no error; what does not parse is.
func entityTags(header string) (tags []string, all, ok bool) {
	rest := strings.Trim(header, " \t")
	if rest == "*" {
		return nil, true, true
	}
	for {
		weak := strings.HasPrefix(rest, "W/")
		rest = strings.TrimPrefix(rest, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return nil, false, false
		}
		tag, after, closed := strings.Cut(rest[1:], `"`)
		if !closed {
			return nil, false, false
		}
		if !weak {
			tags = append(tags, tag)
		}
		rest = strings.Trim(after, " \t")
		if rest == "" {
			return tags, false, true
		}
		if rest[0] != ',' {
			return nil, false, false
		}
		rest = strings.Trim(rest[1:], " \t")
	}
}

// ifMatch returns the revision that the caller relies on: 0 for none. current
// is what the node has now, 0 if there is no node.
func (c *call) ifMatch(current func() (graph.Revision, error)) (graph.Revision, error) {
	h := c.r.Header.Get("If-Match")
	if h == "" {
		return 0, nil
	}
	tags, all, ok := entityTags(h)
	if !ok {
		return 0, problem(http.StatusBadRequest, "malformed", "If-Match is not a list of entity tags")
	}
	c.matched = true
	now, err := current()
	if err != nil {
		return 0, err
	}
	for _, t := range tags {
		all = all || now != 0 && t == strconv.FormatInt(int64(now), 10)
		if rev, err := strconv.ParseInt(t, 10, 64); err == nil {
			c.relied = max(c.relied, graph.Revision(rev))
		}
	}
	if now == 0 || !all {
		return 0, problem(http.StatusPreconditionFailed, "stale", "the entity tag does not match; what is there is %s", what(now))
	}
	return now, nil
}

func what(rev graph.Revision) string {
	if rev == 0 {
		return "nothing"
	}
	return etag(rev)
}

// unchanged answers 304 if the caller has this revision already.
func (c *call) unchanged(rev graph.Revision) bool {
	return c.sameTag(strconv.FormatInt(int64(rev), 10))
}

// sameTag answers 304 if the caller has what the tag names.
func (c *call) sameTag(tag string) bool {
	c.w.Header().Set("ETag", `"`+tag+`"`)
	tags, all, ok := entityTags(strings.ReplaceAll(c.r.Header.Get("If-None-Match"), "W/", ""))
	if !ok || !all && !slices.Contains(tags, tag) {
		return false
	}
	c.w.WriteHeader(http.StatusNotModified)
	return true
}
