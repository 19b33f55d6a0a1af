package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// kind is one type of node as the API offers it.
type kind struct {
	typ    graph.Type
	path   string // of the list
	param  string // the element that names one
	plural string
	one    string
	noun   string // in names of operations, if it is not made of the type
	// below says in words where new ones are created.
	below string
	above func(*call) error // resolves the path of the list; nil if it names nothing
	node  func(*call) error // resolves the path
	fresh func(*call) error // the same, where PUT may make it
}

func (k kind) operation(verb string) string {
	if k.noun != "" {
		return verb + k.noun
	}
	parts := strings.Split(string(k.typ), "_")
	for i := range parts {
		parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
	}
	return verb + strings.Join(parts, "")
}

func kinds() []kind {
	plain := func(t graph.Type, path, plural, one, below string) kind {
		return kind{typ: t, path: path, param: "id", plural: plural, one: one, below: below, node: nodeOf(t, "id", false), fresh: nodeOf(t, "id", true)}
	}
	org := plain(identity.Organization, "/organizations", "organizations", "organization", "platform:root")
	// The router wants one name for one place in a path.
	org.param, org.node, org.fresh = "org", nodeOf(identity.Organization, "org", false), nodeOf(identity.Organization, "org", true)
	team := kind{typ: identity.Team, path: "/organizations/{org}/teams", param: "team", plural: "teams", one: "team", below: "the organization", above: orgFor(identity.Team), node: teamOf(false), fresh: teamOf(true)}
	resource := kind{typ: resource, path: "/resources/{type}", param: "id", plural: "resources", one: "resource", below: "each of its parents", above: typeOf, node: resourceOf(false), fresh: resourceOf(true)}
	return append([]kind{
		plain(identity.User, "/users", "users", "user", "platform:root"),
		plain(identity.ServiceAccount, "/service-accounts", "service accounts", "service account", "platform:root"),
		plain(identity.Group, "/groups", "groups", "group", "platform:root"),
		org,
		team,
		plain(identity.Role, "/roles", "roles", "role", "platform:vocabulary or its organization"),
		plain(identity.ResourceType, "/resource-types", "resource types", "resource type", "platform:vocabulary"),
		resource,
	}, catalogKinds()...)
}

// resource stands, in the table, for any registered type.
const resource graph.Type = "resource"

func nodeRoutes() []route {
	var rows []route
	for _, k := range kinds() {
		rows = append(rows, k.routes()...)
	}
	return append(rows,
		route{method: get, path: "/permissions", id: "listPermissions", tag: "permissions", summary: "List the permissions there are",
			self: "lists only what the caller may read", query: paged(), out: nodeList(identity.Permission), handle: listOf(identity.Permission)},
		route{method: get, path: "/permissions/{id}", id: "readPermission", tag: "permissions", summary: "Read a permission",
			needs: need{permission: "permission:read", on: "the permission"}, node: nodeOf(identity.Permission, "id", false), out: nodeSchema(identity.Permission), handle: readNode},
		route{method: get, path: "/me", id: "readMe", tag: "me", summary: "Say who is calling",
			self: "the answer is about the caller", out: Me{}, handle: readMe},
	)
}

func (k kind) routes() []route {
	t, tag := "{type}", k.plural
	if k.typ != resource {
		t = string(k.typ)
	}
	one := k.path + "/{" + k.param + "}"
	list := route{method: get, path: k.path, id: k.operation("list") + "s", tag: tag, summary: "List the " + k.plural,
		self: "lists only what the caller may read", query: paged(), node: k.above, out: nodeList(k.typ), handle: k.list}
	create := route{method: post, path: k.path, id: k.operation("create"), tag: tag, summary: "Make a " + k.one, status: http.StatusCreated,
		needs: need{permission: t + ":create", on: k.below, inside: true}, in: body{node: k.typ, withID: true, needID: k.typ == identity.ResourceType},
		node: k.above, out: nodeSchema(k.typ), idempotent: true, handle: k.create}
	switch {
	case k.typ == identity.Role:
		list.query = paged(text("organization", "Only the roles of this organization: its id or slug", graph.MaxID))
	case indexed(k.typ):
		list.query, list.out = findParams(k.typ), catalogList(k.typ)
	}
	return []route{list, create,
		{method: get, path: one, id: k.operation("read"), tag: tag, summary: "Read a " + k.one,
			needs: need{permission: t + ":read", on: "the " + k.one}, node: k.node, query: k.scope(), out: nodeSchema(k.typ), handle: readNode},
		{method: put, path: one, id: k.operation("put"), tag: tag, summary: "Make or replace a " + k.one, edits: true, upserts: true, answers: map[int]string{http.StatusCreated: "It was made"},
			needs: need{permission: t + ":update", on: "the " + k.one + ", or " + t + ":create on " + k.below + " if it is new", inside: true},
			node:  k.fresh, query: k.scope(), in: body{node: k.typ}, out: nodeSchema(k.typ), handle: k.put},
		{method: patch, path: one, id: k.operation("patch"), tag: tag, summary: "Change a " + k.one, edits: true,
			needs: need{permission: t + ":update", on: "the " + k.one}, node: k.node, query: k.scope(), in: body{node: k.typ, patch: true}, out: nodeSchema(k.typ), handle: patchNode},
		{method: del, path: one, id: k.operation("delete"), tag: tag, summary: "Delete a " + k.one, edits: true,
			needs: need{permission: t + ":delete", on: "the " + k.one}, node: k.node, query: k.deletion(), out: Deletion{}, handle: deleteNode},
		historyRoute(k),
	}
}

// scope is the parameter that says in which organization a role's slug counts.
func (k kind) scope() []param {
	if k.typ != identity.Role {
		return nil
	}
	return []param{text("organization", "The organization in which the slug of a role is looked up", graph.MaxID)}
}

// Deletion says what was deleted.
type Deletion struct {
	Deleted Counts `json:"deleted"`
	// Tombstone is where it can be restored from.
	Tombstone       string     `json:"tombstone,omitempty" doc:"The id under which it can be restored, where that is possible"`
	RestorableUntil *time.Time `json:"restorable_until,omitempty" doc:"Until when"`
}

// Counts counts nodes and edges.
type Counts struct {
	Nodes int `json:"nodes"`
	Edges int `json:"edges"`
}

// Me is who is calling.
type Me struct {
	Subject    graph.Ref `json:"subject" doc:"The caller, as type:id"`
	Credential string    `json:"credential" enum:"api_key,bootstrap_key" doc:"How the caller proved it"`
	APIKey     string    `json:"api_key,omitempty" doc:"The id of the API key used"`
	Node       nodeBody  `json:"node" doc:"The caller's node"`
}

func readMe(c *call) error {
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{c.subject()})
	if err != nil {
		return err
	}
	me := Me{Subject: c.subject(), Credential: "api_key", APIKey: c.caller.Key}
	if me.APIKey == "" {
		me.Credential = "bootstrap_key"
	}
	if len(found) > 0 {
		me.Node = bodyOf(found[0], nil)
	}
	return c.json(http.StatusOK, me)
}

// nodeBody is a node as callers see it.
type nodeBody map[string]any

func bodyOf(n graph.Node, parents []graph.Ref) nodeBody {
	b := nodeBody(identity.Fields(n))
	b["id"], b["type"] = n.Ref.ID, n.Ref.Type
	b["created_at"], b["updated_at"], b["revision"] = n.Created, n.Updated, n.Revision
	if !identity.Known(n.Ref.Type) {
		if parents == nil {
			parents = []graph.Ref{}
		}
		b["parents"] = parents
	}
	return b
}

func (c *call) ctx() context.Context { return c.r.Context() }

// shown returns the node with what is kept beside it.
func (c *call) shown(n graph.Node) nodeBody {
	if !identity.Known(n.Ref.Type) {
		return bodyOf(n, c.view.Parents(n.Ref))
	}
	b := bodyOf(n, nil)
	if identity.Catalogued(n.Ref.Type) {
		c.relate(b, n.Ref, c.Catalog.Relations(n.Ref))
	}
	return b
}

func readNode(c *call) error {
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{c.ref})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &graph.Error{Kind: graph.NotFound, Ref: c.ref}
	}
	if c.unchanged(found[0].Revision) {
		return nil
	}
	return c.json(http.StatusOK, c.shown(found[0]))
}

// current returns the revision of c.ref, 0 if it is not there.
func (c *call) current() (graph.Revision, error) {
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{c.ref})
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0].Revision, nil
}

// listOf lists the nodes of a type that the caller may read.
func listOf(t graph.Type) func(*call) error {
	return func(c *call) error { return c.listReadable(t) }
}

func (c *call) listReadable(t graph.Type) error {
	after, err := c.after()
	if err != nil {
		return err
	}
	ids, more := c.view.Resources(readable(c, t, after))
	page, err := c.page(t, ids)
	if err != nil {
		return err
	}
	if more {
		page.NextCursor = c.cursor(ids[len(ids)-1])
	}
	return c.json(http.StatusOK, page)
}

// page reads the nodes of one page at once.
func (c *call) page(t graph.Type, ids []string) (Page[nodeBody], error) {
	page := Page[nodeBody]{Items: make([]nodeBody, 0, len(ids))}
	if len(ids) == 0 {
		return page, nil
	}
	refs := make([]graph.Ref, len(ids))
	for i, id := range ids {
		refs[i] = graph.Ref{Type: t, ID: id}
	}
	nodes, err := c.Graph.Store().Nodes(c.ctx(), refs)
	for i := range nodes {
		page.Items = append(page.Items, c.shown(nodes[i]))
	}
	return page, err
}

func (k kind) list(c *call) error {
	switch k.typ {
	case resource:
		return c.listReadable(graph.Type(c.path("type")))
	case identity.Role:
		if org, ok := c.query["organization"]; ok {
			ref, err := c.organization(org)
			if err != nil {
				return err
			}
			return c.listBelow(ref, identity.Role)
		}
	}
	if indexed(k.typ) {
		return c.answerList(k.typ, nil)
	}
	return c.listReadable(k.typ)
}

// listBelow lists the readable nodes of a type that are children of the node.
func (c *call) listBelow(parent graph.Ref, t graph.Type) error {
	var ids []string
	next, err := c.edges(graph.Question{Name: graph.EdgesTo, Ref: parent, Kind: graph.ChildOf, Type: t}, func(e *graph.Edge) bool {
		ok := c.holds(string(t)+":read", e.From)
		if ok {
			ids = append(ids, e.From.ID)
		}
		return ok
	})
	if err != nil {
		return err
	}
	page, err := c.page(t, ids)
	page.NextCursor = c.cursor(next)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, page)
}

// edges walks the pages of a question until keep has said yes often enough to
// fill a page, and returns where the next one begins. Who may see very little
// gets short pages rather than long waits.
func (c *call) edges(q graph.Question, keep func(*graph.Edge) bool) (next string, err error) {
	if q.After, err = c.after(); err != nil {
		return "", err
	}
	const mostPages = 16
	room := c.limit()
	for range mostPages {
		q.Limit = room
		a, err := c.Graph.Store().Ask(c.ctx(), q)
		if err != nil {
			return "", err
		}
		for i := range a.Edges {
			if keep(&a.Edges[i]) {
				room--
			}
		}
		if q.After = a.Next; a.Next == "" || room == 0 {
			break
		}
	}
	return q.After, nil
}

// apply carries out one mutation and points its errors into the body.
func (c *call) apply(m identity.Mutation) (graph.Revision, *graph.Change, error) {
	rev, ch, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		out, err := c.Identity.Apply(c.ctx(), c.actor(), []identity.Mutation{m}, o)
		return out.Revision, out.Change, err
	})
	return rev, ch, bodyFields(err)
}

// bodyFields makes what points into the data of a mutation point into the body.
func bodyFields(err error) error {
	var e *graph.Error
	if errors.As(err, &e) {
		e.Fields = slices.Clone(e.Fields)
		for i := range e.Fields {
			e.Fields[i].Pointer = strings.TrimPrefix(e.Fields[i].Pointer, "/data")
		}
	}
	return err
}

// after finds a node, and its parents if it was made, in a change.
func changed(ch *graph.Change, r graph.Ref) (n *graph.Node, parents []graph.Ref, created bool) {
	if ch == nil {
		return nil, nil, false
	}
	for _, e := range ch.Entries {
		switch {
		case e.Node != nil && e.Node.After != nil && e.Node.After.Ref == r:
			n, created = e.Node.After, e.Node.Before == nil
		case e.Edge != nil && e.Edge.After != nil && e.Edge.After.Kind == graph.ChildOf && e.Edge.After.From == r:
			parents = append(parents, e.Edge.After.To)
		}
	}
	slices.SortFunc(parents, graph.CompareRefs)
	return n, parents, created
}

// edited answers with the node as the mutation left it.
func (c *call) edited(m identity.Mutation) error {
	_, ch, err := c.apply(m)
	if err != nil {
		return err
	}
	n, parents, created := changed(ch, m.Node)
	if n == nil {
		found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{m.Node})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return &graph.Error{Kind: graph.NotFound, Ref: m.Node}
		}
		n = &found[0]
	}
	c.w.Header().Set("ETag", etag(n.Revision))
	if !created {
		return c.json(http.StatusOK, c.shown(*n))
	}
	c.w.Header().Set("Location", c.location(m.Node))
	b := bodyOf(*n, parents)
	if identity.Catalogued(n.Ref.Type) {
		c.relate(b, n.Ref, c.relationsIn(ch, n.Ref))
	}
	return c.json(http.StatusCreated, b)
}

func (c *call) location(r graph.Ref) string {
	path := strings.TrimSuffix(c.r.URL.EscapedPath(), "/")
	if c.r.Method == post {
		path += "/" + url.PathEscape(r.ID)
	}
	return path
}

// create makes a node whose id the service chooses, unless the body does.
func (k kind) create(c *call) error {
	if err := c.wellFormed(); err != nil {
		return err
	}
	fields, err := members(c.body)
	if err != nil {
		return err
	}
	m := identity.Mutation{Op: identity.OpCreate, Node: graph.Ref{Type: k.typ}}
	if k.typ == resource {
		m.Node.Type = graph.Type(c.path("type"))
	}
	if raw, ok := fields["id"]; ok {
		if json.Unmarshal(raw, &m.Node.ID) != nil || m.Node.Validate() != nil {
			return badField("/id", "want 1 to %d bytes of printable text", graph.MaxID)
		}
		delete(fields, "id")
	} else if k.typ == identity.ResourceType {
		return badField("/id", "is required: the name of the type")
	} else {
		m.Node.ID = c.newID()
	}
	if err := k.settle(c, fields); err != nil {
		return err
	}
	if m.Data, err = json.Marshal(fields); err != nil {
		return graph.Wrap(graph.Internal, err, "encoding a body")
	}
	return c.edited(m)
}

func members(b []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil || m == nil {
		return nil, badField("", "want an object")
	}
	return m, nil
}

// settle writes what the path says of where a node belongs into its fields.
func (k kind) settle(c *call, fields map[string]json.RawMessage) error {
	if k.typ != identity.Team && !identity.Catalogued(k.typ) {
		return nil
	}
	if c.org.IsZero() {
		if _, ok := fields["organization"]; ok {
			return badField("/organization", "what is made here belongs to none")
		}
		return nil
	}
	if k.typ == identity.Application {
		if err := place(fields, "service", c.home, c.path("service")); err != nil {
			return err
		}
	}
	return place(fields, "organization", c.org, c.path("org"))
}

// place writes one part of that, unless the body says something else.
func place(fields map[string]json.RawMessage, name string, r graph.Ref, element string) error {
	var s string
	if raw, ok := fields[name]; ok && (json.Unmarshal(raw, &s) != nil || s != r.ID && s != r.String() && s != element) {
		return badField("/"+name, "is not the %s of the path", name)
	}
	return write(fields, name, r.ID)
}

func write(fields map[string]json.RawMessage, name, value string) (err error) {
	if fields[name], err = json.Marshal(value); err != nil {
		return graph.Wrap(graph.Internal, err, "encoding a body")
	}
	return nil
}

// shownOnly are the members of a node's body that only answers have.
var shownOnly = []string{"type", "created_at", "updated_at", "revision", "secrets", "counts"}

// returned drops from a body what only answers have, so that one that was read
// can be edited and sent back.
func (k kind) returned(c *call, fields map[string]json.RawMessage) error {
	if raw, ok := fields["id"]; ok {
		var id string
		if json.Unmarshal(raw, &id) != nil || id != c.ref.ID && id != c.path(k.param) {
			return badField("/id", "is not that of the path, and the id stays")
		}
		delete(fields, "id")
	}
	for _, name := range shownOnly {
		delete(fields, name)
	}
	for _, f := range identity.Describe(c.ref.Type) {
		if f.ReadOnly {
			delete(fields, f.Name)
		}
	}
	return nil
}

func (k kind) put(c *call) error {
	if err := c.wellFormed(); err != nil {
		return err
	}
	fields, err := members(c.body)
	if err != nil {
		return err
	}
	m := identity.Mutation{Op: identity.OpPut}
	if m.IfMatch, err = c.ifMatch(c.seen); err != nil {
		return err
	}
	if strings.TrimSpace(c.r.Header.Get("If-None-Match")) == "*" {
		m.Op = identity.OpCreate
	}
	if err := k.returned(c, fields); err != nil {
		return err
	}
	if err := k.settle(c, fields); err != nil {
		return err
	}
	if c.unborn {
		if err := k.christen(c, fields); err != nil {
			return err
		}
	}
	m.Node = c.ref
	if m.Data, err = json.Marshal(fields); err != nil {
		return graph.Wrap(graph.Internal, err, "encoding a body")
	}
	err = c.edited(m)
	if e := (*graph.Error)(nil); m.Op == identity.OpCreate && errors.As(err, &e) && e.Kind == graph.Exists && len(e.Fields) > 0 && e.Fields[0].Pointer == "/node" {
		return problem(http.StatusPreconditionFailed, "stale", "it is there already, and If-None-Match forbids that")
	}
	return err
}

func patchNode(c *call) error {
	if err := c.wellFormed(); err != nil {
		return err
	}
	rev, err := c.ifMatch(c.seen)
	if err != nil {
		return err
	}
	return c.edited(identity.Mutation{Op: identity.OpPatch, Node: c.ref, Data: bytes.TrimSpace(c.body), IfMatch: rev})
}

// seen is current for callers who may see the node: to others it is not there.
func (c *call) seen() (graph.Revision, error) {
	if !c.visible(c.ref) {
		return 0, nil
	}
	return c.current()
}

func deleteNode(c *call) error {
	rev, err := c.ifMatch(c.seen)
	if err != nil {
		return err
	}
	_, ch, err := c.apply(identity.Mutation{Op: identity.OpDelete, Node: c.ref, IfMatch: rev, Cascade: c.flag("cascade"), Erase: c.flag("erase")})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, deletion(ch, c.ref))
}

func counts(ch *graph.Change) (n Counts) {
	if ch == nil {
		return n
	}
	for _, e := range ch.Entries {
		switch {
		case e.Node != nil && e.Node.After == nil && (e.Node.Before.Ref.Type == identity.Tombstone || e.Node.Before.Ref.Type == identity.TombstonePart):
			// What was deleted before, and is counted there.
		case e.Node != nil && e.Node.After == nil:
			n.Nodes++
		case e.Edge != nil && e.Edge.After == nil:
			n.Edges++
		}
	}
	return n
}

func millis(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}
