package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"trellis/audit"
	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/permission"
)

// AccessPage is one page of an answer.
type AccessPage struct {
	Items      []string `json:"items" doc:"Nodes as type:id, or names of permissions" nullable:"false"`
	NextCursor string   `json:"next_cursor,omitempty" doc:"Give it as cursor to get the next page; absent on the last one"`
	Freshness
}

// buffers hold answers while they are put together.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// fresh adds the parameters of lists and of consistency.
func fresh(p ...param) []param {
	return paged(append(p,
		param{name: "consistency", doc: "How fresh the answer must be; with revision, at_least_as_fresh", schema: &huma.Schema{Type: huma.TypeString, Enum: []any{minimizeLatency, atLeastAsFresh, fullyConsistent}}},
		text("revision", "A revision token that the answer must not be older than", 128))...)
}

func (c *call) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.ctx(), c.o.Timeout)
}

// begun reads what all three lists have in common.
func (c *call) begun() (after string, err error) {
	k := Consistency{Mode: c.query["consistency"], Revision: c.query["revision"]}
	if k.Mode == "" && k.Revision != "" {
		k.Mode = atLeastAsFresh
	}
	if (k.Mode == atLeastAsFresh) != (k.Revision != "") {
		return "", badParameter("revision", "at_least_as_fresh, and no other mode, comes with a revision")
	}
	if err := c.freshen(k); err != nil {
		return "", revisionProblem(err, Fault{Parameter: "revision"})
	}
	return c.after()
}

// lister returns the items after a position, at most limit of them, and the
// position of the last one looked at; "" if there are no more.
type lister func(after string, limit int) (items []string, next string)

// deliver sends one page, or everything as NDJSON.
func (c *call) deliver(prefix, after string, list lister) error {
	if strings.Contains(c.r.Header.Get("Accept"), "application/x-ndjson") {
		return c.deliverAll(prefix, after, list)
	}
	items, next := list(after, c.limit())
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b := append((*buf)[:0], `{"items":[`...)
	for i, id := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendItem(b, prefix, id)
	}
	b = append(b, ']', ',')
	if next != "" {
		b = append(append(append(b, `"next_cursor":"`...), c.cursor(next)...), `",`...)
	}
	b = append(c.appendFreshness(b), '}')
	c.send(http.StatusOK, b)
	*buf = b
	return nil
}

func (c *call) deliverAll(prefix, after string, list lister) error {
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.WriteHeader(http.StatusOK)
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b, count := (*buf)[:0], 0
	for {
		if err := c.ctx().Err(); err != nil {
			return graph.Wrap(graph.Canceled, err, "the caller is gone")
		}
		// All pages come from one view: the list is whole, at one revision.
		items, next := list(after, maxLimit)
		b = b[:0]
		for _, id := range items {
			b = append(appendItem(append(b, `{"item":`...), prefix, id), '}', '\n')
		}
		count += len(items)
		if next == "" {
			b = append(strconv.AppendInt(append(b, `{"end":true,"count":`...), int64(count), 10), ',')
			b = append(c.appendFreshness(b), '}', '\n')
		}
		if _, err := c.w.Write(b); err != nil {
			return graph.Wrap(graph.Canceled, err, "the caller is gone")
		}
		if *buf = b; next == "" {
			return nil
		}
		after = next
	}
}

func appendItem(b []byte, prefix, id string) []byte {
	if plain(id) {
		b = append(append(append(b, '"'), prefix...), id...)
		return append(b, '"')
	}
	b, err := jsontext.AppendQuote(b, prefix+id)
	if err != nil {
		panic(err) // ids are valid UTF-8
	}
	return b
}

// plain tells whether s needs no escapes.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// asked reads the parameters permission, type and subject.
func (c *call) asked(defaultType graph.Type) (name string, t graph.Type, err error) {
	name, t = c.query["permission"], graph.Type(c.query["type"])
	if t == "" {
		t = defaultType
	}
	switch {
	case !c.permission(name):
		return "", "", badParameter("permission", "there is no such permission")
	case !t.Valid() || !c.typed(t):
		return "", "", badParameter("type", "there is no such resource type")
	}
	return name, t, nil
}

// questioned reads the parameter subject: the caller if it is absent.
func (c *call) questioned() (graph.Ref, error) {
	s, err := c.refParam("subject")
	if err == nil && s.IsZero() {
		s = c.subject()
	}
	if err == nil && !c.typed(s.Type) {
		err = badParameter("subject", "there is no resource type %s", s.Type)
	}
	return s, err
}

func listResources(c *call) error {
	after, err := c.begun()
	if err != nil {
		return err
	}
	name, t, err := c.asked("")
	if err != nil {
		return err
	}
	subject, err := c.questioned()
	if err != nil {
		return err
	}
	c.listed(audit.Decision{Question: "resources", Subject: subject.String(), Permission: name, Resource: string(t) + ":*"}, graph.Ref{})
	all := subject == c.subject() || c.holds(identity.InspectAccess, graph.Root)
	return c.deliver(string(t)+":", after, func(after string, limit int) ([]string, string) {
		return c.inspectable(permission.ResourcesQuery{Subject: subject, Permission: name, Type: t, After: after, Limit: limit, At: c.now}, all)
	})
}

// inspectable pages through what a subject may do, leaving out what the
// caller may not inspect. Where nearly everything is left out the page is
// short, but never the list.
func (c *call) inspectable(q permission.ResourcesQuery, all bool) (items []string, next string) {
	const mostPages = 64
	limit := q.Limit
	for range mostPages {
		q.Limit = limit - len(items)
		ids, more := c.view.Resources(q)
		for _, id := range ids {
			if all || c.holds(identity.InspectAccess, graph.Ref{Type: q.Type, ID: id}) {
				items = append(items, id)
			}
		}
		if !more {
			return items, ""
		}
		if q.After = ids[len(ids)-1]; len(items) == limit {
			break
		}
	}
	return items, q.After
}

func queriedResource(c *call) graph.Ref { return c.ref }

// resourceQuery resolves the parameter resource. What is not there is
// answered for by inspect, alike with what is hidden.
func resourceQuery(c *call) error {
	r, err := c.refParam("resource")
	if err != nil {
		return err
	}
	c.ref, c.named = r, r.String()
	if !c.typed(r.Type) {
		return badParameter("resource", "there is no resource type %s", r.Type)
	}
	return c.inspect(r)
}

func listSubjects(c *call) error {
	after, err := c.begun()
	if err != nil {
		return err
	}
	name, t, err := c.asked(identity.User)
	if err != nil {
		return err
	}
	c.listed(audit.Decision{Question: "subjects", Subject: string(t) + ":*", Permission: name, Resource: c.ref.String()}, c.ref)
	return c.deliver(string(t)+":", after, func(after string, limit int) ([]string, string) {
		ids, more := c.view.Subjects(permission.SubjectsQuery{Resource: c.ref, Permission: name, Type: t, After: after, Limit: limit, At: c.now})
		if more {
			return ids, ids[len(ids)-1]
		}
		return ids, ""
	})
}

func listPermissions(c *call) error {
	after, err := c.begun()
	if err != nil {
		return err
	}
	subject, err := c.questioned()
	if err != nil {
		return err
	}
	r, err := c.refParam("resource")
	if err != nil {
		return err
	}
	if !c.typed(r.Type) {
		return badParameter("resource", "there is no resource type %s", r.Type)
	}
	if subject != c.subject() {
		if err := c.inspect(r); err != nil {
			return err
		}
	}
	c.listed(audit.Decision{Question: "permissions", Subject: subject.String(), Resource: r.String()}, r)
	names := c.view.Permissions(subject, r, c.now)
	return c.deliver("", after, func(after string, limit int) ([]string, string) {
		i := 0
		for i < len(names) && names[i] <= after {
			i++
		}
		rest := names[i:]
		if len(rest) <= limit {
			return rest, ""
		}
		return rest[:limit], rest[limit-1]
	})
}
