package api

import (
	"net/http"
	"net/url"
	"strings"

	"trellis/graph"
	"trellis/graph/identity"
)

// moved says where what the path names is now: somebody gave it another slug.
type moved struct{ to string }

// Error makes it an error that whoever resolves a path can return.
func (m *moved) Error() string { return "it is at " + m.to + " now" }

// find returns the node that an element of the path means; home is what its
// slug counts in. A slug that a node had before leads, for those who may see
// it, to where it is now, and is nothing to others.
func (c *call) find(t graph.Type, home graph.Ref, element string) (graph.Ref, error) {
	r, err := c.Identity.Resolve(c.ctx(), t, home, c.path(element))
	if err == nil || graph.KindOf(err) != graph.NotFound || !renamed(t) {
		return r, err
	}
	r, slug, err := c.Identity.Former(c.ctx(), t, home, c.path(element))
	switch {
	case err == nil && slug != "" && c.visible(r):
		return graph.Ref{}, &moved{c.replaced(element, slug)}
	case err == nil:
		err = &graph.Error{Kind: graph.NotFound}
	}
	return graph.Ref{}, err
}

// renamed tells whether nodes of the type keep the slugs that they had.
func renamed(t graph.Type) bool {
	return t == identity.Organization || t == identity.Team || identity.Catalogued(t)
}

// replaced is the address of the request with another element in the path.
func (c *call) replaced(element, slug string) string {
	template, path := strings.Split(c.rt.path, "/"), strings.Split(c.r.URL.EscapedPath(), "/")
	for i := range min(len(template), len(path)) {
		if template[i] == "{"+element+"}" {
			path[i] = url.PathEscape(slug)
		}
	}
	to := strings.Join(path, "/")
	if c.r.URL.RawQuery != "" {
		to += "?" + c.r.URL.RawQuery
	}
	return to
}

// redirect answers that the same request is to be sent elsewhere.
func (c *call) redirect(to string) {
	if p := c.record(http.StatusPermanentRedirect, 0); p != nil {
		c.full(p)
		return
	}
	h := c.w.Header()
	h.Set("Location", to)
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusPermanentRedirect)
	c.gin.Writer.WriteHeaderNow()
}
