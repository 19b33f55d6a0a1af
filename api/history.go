package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"trellis/audit"
	"trellis/audit/trail"
	"trellis/graph"
	"trellis/graph/identity"
)

// HistoryEntry is what one change of the graph did to a node.
type HistoryEntry struct {
	Revision  int64          `json:"revision" doc:"The revision of the change; the node's ETag if it was the last one"`
	Time      time.Time      `json:"time"`
	Actor     string         `json:"actor" doc:"Who did it, as type:id"`
	Action    string         `json:"action" doc:"What was done, as in the audit log"`
	RequestID string         `json:"request_id,omitempty"`
	Changes   []HistoryField `json:"changes" doc:"Which fields are others since, of a secret only that it is" nullable:"false"`
	Edges     []HistoryEdge  `json:"edges" doc:"What the node was tied to, or parted from" nullable:"false"`
	// For those who may read the audit log of the node.
	Key     string `json:"key,omitempty" doc:"The id of the API key used; needs audit:read on the node, as do the next two"`
	Address string `json:"address,omitempty" doc:"The client's address, as far as it is kept"`
	Agent   string `json:"agent,omitempty" doc:"What the client called itself"`

	position string // in the sink, of the last record
}

// HistoryField is a field before and after.
type HistoryField struct {
	Field  string          `json:"field"`
	Before json.RawMessage `json:"before,omitempty" doc:"Absent if it was not set"`
	After  json.RawMessage `json:"after,omitempty" doc:"Absent if it is not set any more"`
}

// HistoryEdge is an edge at the node that came, went or carries other things.
type HistoryEdge struct {
	Effect   identity.Effect `json:"effect" enum:"created,updated,deleted"`
	Relation string          `json:"relation" doc:"member, grant, parent, inherits, grants, or the field that holds it, such as depends_on"`
	Incoming bool            `json:"incoming,omitempty" doc:"It leads from the other node to this one: whose field it is, the member of this set, who was given access"`
	Node     string          `json:"node" doc:"The other end, as type:id"`
	Name     string          `json:"name,omitempty" doc:"How that is called now"`
	Before   json.RawMessage `json:"before,omitempty" doc:"What the edge carried"`
	After    json.RawMessage `json:"after,omitempty" doc:"What it carries since"`
}

// Meanwhile is a change that a caller did not know of.
type Meanwhile struct {
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Fields   []string  `json:"fields" doc:"The fields and relations that were changed" nullable:"false"`
}

// HistoryPage is a page of a history.
type HistoryPage struct {
	Page[HistoryEntry]
	// Incomplete says that something older is not there.
	Incomplete bool `json:"incomplete,omitempty" doc:"true if what lies before cannot be told: this server keeps no audit log, or cannot reach it now"`
}

func historyRoute(k kind) route {
	t := string(k.typ)
	if k.typ == resource {
		t = "{type}"
	}
	return route{method: get, path: k.path + "/{" + k.param + "}/history", id: k.operation("read") + "History", tag: k.plural, summary: "Tell what was done to a " + k.one,
		doc:   "Newest first, from the audit log and, for what is not there yet, from the feed of changes. What is at the other end of an edge is told to those who may read it, grants to those who may inspect access.",
		needs: need{permission: t + ":read", on: "the " + k.one}, node: k.node, query: paged(k.scope()...), out: HistoryPage{}, handle: readHistory}
}

func readHistory(c *call) error {
	after, err := c.after()
	if err != nil {
		return err
	}
	h := c.historian(0)
	if err := h.resume(after); err != nil {
		return err
	}
	next, err := h.collect(c.limit())
	if err != nil {
		return err
	}
	if err := h.nameOthers(); err != nil {
		return err
	}
	out := HistoryPage{Page: Page[HistoryEntry]{Items: h.entries, NextCursor: c.cursor(next)}, Incomplete: h.incomplete}
	return c.json(200, out)
}

// historian collects what was done to c.ref, newest first: what lies above bound
// from the feed of changes, the rest from the audit log, which has all of that.
type historian struct {
	*call
	ctx        context.Context
	self       string
	bound      graph.Revision
	before     graph.Revision // the feed is to be read below this
	position   string         // in the sink
	since      graph.Revision // nothing older is wanted
	entries    []HistoryEntry
	incomplete bool
	audited    bool
}

func (c *call) historian(since graph.Revision) *historian {
	h := &historian{call: c, ctx: c.ctx(), self: c.ref.String(), before: c.view.Revision() + 1, since: since, entries: []HistoryEntry{}, audited: c.holds(identity.ReadAudit, c.ref)}
	if c.Audit != nil && c.Changes != nil {
		h.bound = min(c.Changes.Delivered(), h.before-1)
	}
	return h
}

// resume goes on where a page ended: F and S tell in which of the sources.
func (h *historian) resume(after string) error {
	if after == "" {
		return nil
	}
	var source string
	_, err := fmt.Sscanf(after, "%1s %d %d %s", &source, &h.bound, &h.before, &h.position)
	if source == "F" && err != nil {
		err = nil // there is no position yet
	}
	if err != nil {
		return graph.Wrap(graph.Internal, err, "reading a cursor")
	}
	return nil
}

func (h *historian) feedCursor() string {
	return fmt.Sprintf("F %d %d", h.bound, h.before)
}

// collect fills entries and returns where to go on; "" at the end.
func (h *historian) collect(limit int) (string, error) {
	if next, err := h.fromFeed(limit); next != "" || err != nil {
		return next, err
	}
	if h.bound <= h.since {
		return "", nil
	}
	if h.Audit == nil {
		h.incomplete = true
		return "", nil
	}
	next, err := h.fromSink(limit)
	if errors.Is(err, audit.ErrUnavailable) {
		h.incomplete = true
		return "", nil
	}
	return next, err
}

// fromFeed reads the feed backwards, but not for ever.
func (h *historian) fromFeed(limit int) (string, error) {
	const window, mostWindows = 500, 20
	for range mostWindows {
		low := max(h.bound, h.since)
		if h.before-1 <= low {
			return "", nil
		}
		after := max(low, h.before-1-window)
		changes, err := h.Graph.Store().Changes(h.ctx, after, int(h.before-1-after))
		if graph.KindOf(err) == graph.Gone && err != nil {
			// What was trimmed has been delivered, if there is anything to deliver it to.
			info, err := h.Graph.Store().Info(h.ctx)
			if err != nil {
				return "", err
			}
			if info.Oldest <= h.bound {
				return "", graph.Errorf(graph.Unavailable, "the feed of changes cannot be read now")
			}
			h.bound = info.Oldest
			continue
		}
		if err != nil {
			return "", err
		}
		for _, ch := range slices.Backward(changes) {
			if ch.Revision >= h.before {
				continue
			}
			if len(h.entries) == limit {
				return h.feedCursor(), nil
			}
			h.before = ch.Revision
			if touches(&ch, h.ref) {
				h.add(trail.Events(&ch, nil), "")
			}
		}
		h.before = after + 1
	}
	return h.feedCursor(), nil
}

func touches(ch *graph.Change, r graph.Ref) bool {
	return slices.ContainsFunc(ch.Entries, func(e graph.Entry) bool {
		if n := e.Node; n != nil {
			return n.Before != nil && n.Before.Ref == r || n.After != nil && n.After.Ref == r
		}
		k := cmp.Or(e.Edge.After, e.Edge.Before).EdgeKey
		return k.From == r || k.To == r
	})
}

// fromSink reads the audit log.
func (h *historian) fromSink(limit int) (string, error) {
	q := audit.Query{Stream: audit.Events, After: h.position, Limit: 500, Where: []audit.Match{{Field: audit.About, Value: h.self}, {Field: "outcome", Value: audit.Success}}}
	var events []*audit.Event // of one revision
	for {
		n, full := 0, false
		err := h.Sink.Find(h.ctx, q, func(r audit.Record) error {
			n++
			q.After = audit.PositionOf(r)
			e, ok := r.(*audit.Event)
			if !ok || full || e.Revision == 0 || graph.Revision(e.Revision) > h.bound || graph.Revision(e.Revision) <= h.since {
				return nil
			}
			if len(events) > 0 && events[0].Revision != e.Revision {
				h.flush(events)
				if events = nil; len(h.entries) == limit {
					full = true
					return nil
				}
			}
			events = append(events, e)
			return nil
		})
		switch {
		case errors.Is(err, audit.ErrUnavailable):
			return "", err
		case err != nil:
			return "", sinkProblem(err)
		case full:
			return fmt.Sprintf("S %d %d %s", h.bound, h.bound+1, h.entries[limit-1].position), nil
		case n < q.Limit:
			h.flush(events)
			return "", nil
		}
	}
}

// flush adds the events of one revision, which the sink gives last one first.
func (h *historian) flush(events []*audit.Event) {
	if len(events) == 0 {
		return
	}
	position := audit.PositionOf(events[len(events)-1])
	slices.Reverse(events)
	h.add(events, position)
}

// add makes an entry of the events of one change, if any of it may be seen.
func (h *historian) add(events []*audit.Event, position string) {
	var e HistoryEntry
	for _, ev := range events {
		if ev.Node != h.self && ev.Other != h.self {
			continue
		}
		if ev.Other == "" {
			e.Action, e.Changes = ev.Action, append(e.Changes, fieldChanges(ev)...)
		} else if edge, ok := h.edgeChange(ev); ok {
			e.Edges, e.Action = append(e.Edges, edge), cmp.Or(e.Action, ev.Action)
		} else {
			continue
		}
		e.Revision, e.Time, e.Actor, e.RequestID = ev.Revision, ev.Time, ev.Actor, ev.RequestID
		if h.audited {
			e.Key, e.Address, e.Agent = ev.Key, ev.Address, ev.Agent
		}
	}
	if e.Revision == 0 {
		return
	}
	e.position = position
	if e.Changes == nil {
		e.Changes = []HistoryField{}
	}
	if e.Edges == nil {
		e.Edges = []HistoryEdge{}
	}
	h.entries = append(h.entries, e)
}

func fieldChanges(ev *audit.Event) []HistoryField {
	before, after := objectOf(ev.Before), objectOf(ev.After)
	var names []string
	for _, m := range []map[string]json.RawMessage{before, after} {
		for n := range m {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	var out []HistoryField
	for _, n := range slices.Compact(names) {
		out = append(out, HistoryField{n, before[n], after[n]})
	}
	return out
}

func objectOf(s string) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if s != "" {
		_ = json.Unmarshal([]byte(s), &m) // what is no object says nothing
	}
	return m
}

// edgeChange tells of an edge, if the caller may know of it.
func (h *historian) edgeChange(ev *audit.Event) (HistoryEdge, bool) {
	at, err1 := graph.ParseRef(ev.Node)
	other, err2 := graph.ParseRef(ev.Other)
	if err1 != nil || err2 != nil {
		return HistoryEdge{}, false
	}
	kind, verb, _ := strings.Cut(ev.Action, ":")
	out := HistoryEdge{Relation: kind, Effect: effects[verb]}
	before, after := objectOf(ev.Before), objectOf(ev.After)
	// Of grants and memberships, events name the end where the edge leads to first.
	from, to := at, other
	switch kind {
	case "grant", "member":
		from, to = other, at
	case "role":
		out.Relation = map[string]string{"inherit": "inherits", "disinherit": "inherits"}[verb]
		out.Relation = cmp.Or(out.Relation, "grants")
	case "edge", "relation":
		var k graph.Kind
		_ = json.Unmarshal([]byte(cmp.Or(string(after["kind"]), string(before["kind"]))), &k)
		out.Relation = relationName(k, from, to)
	case "parent":
		if name := relationName(graph.ChildOf, from, to); name != string(graph.ChildOf) {
			out.Relation = name
		}
	}
	out.Incoming = to == h.ref
	if !out.Incoming {
		from = to
	}
	out.Node = from.String() // the other end
	delete(before, "kind")
	delete(after, "kind")
	out.Before, out.After = rawObject(before), rawObject(after)
	switch {
	case kind == "member" && out.Incoming:
		return out, true // who reads a set may list its members
	case kind == "grant" && other != h.subject() && !h.holds(identity.InspectAccess, at):
		return out, false
	}
	if h.view.Exists(from) {
		return out, h.visible(from)
	}
	return out, h.holds(string(from.Type)+":read", graph.Root)
}

var effects = map[string]identity.Effect{
	"create": identity.Created, "add": identity.Created, "inherit": identity.Created, "permit": identity.Created, "update": identity.Updated,
	"delete": identity.Deleted, "remove": identity.Deleted, "disinherit": identity.Deleted, "unpermit": identity.Deleted,
}

func rawObject(m map[string]json.RawMessage) json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil
	}
	return b
}

// relationName is the field that keeps edges of the kind, or the kind.
func relationName(k graph.Kind, from, to graph.Ref) string {
	for _, f := range identity.Describe(from.Type) {
		if f.Edge == k && f.To == to.Type {
			return f.Name
		}
	}
	return string(k)
}

// nameOthers adds how the other ends of edges are called now.
func (h *historian) nameOthers() error {
	var refs []graph.Ref
	for i := range h.entries {
		for j := range h.entries[i].Edges {
			if r, err := graph.ParseRef(h.entries[i].Edges[j].Node); err == nil {
				refs = append(refs, r)
			}
		}
	}
	if len(refs) == 0 {
		return nil
	}
	slices.SortFunc(refs, graph.CompareRefs)
	nodes, err := h.Graph.Store().Nodes(h.ctx, slices.Compact(refs))
	if err != nil {
		return err
	}
	names := map[string]string{}
	for i := range nodes {
		p := nodes[i].Props
		if !h.visible(nodes[i].Ref) {
			continue
		}
		names[nodes[i].Ref.String()] = cmp.Or(p.String("name"), p.String("slug"))
	}
	for i := range h.entries {
		for j := range h.entries[i].Edges {
			e := &h.entries[i].Edges[j]
			e.Name = names[e.Node]
		}
	}
	return nil
}

// mostMeanwhile limits Problem.Meanwhile.
const mostMeanwhile = 20

// tellMeanwhile adds to a conflict what has become of the node that the request
// is about, for callers who may read it. What cannot be found out is left out.
func (c *call) tellMeanwhile(p *Problem) {
	if p.Type != problemType+"stale" && p.Type != problemType+"conflict" || c.ref.IsZero() || c.caller.Subject.IsZero() {
		return
	}
	since := c.view.Revision()
	c.refresh()
	if !c.visible(c.ref) {
		return
	}
	now, err := c.current()
	if err != nil || now == 0 {
		return
	}
	p.Current = etag(now)
	if c.matched {
		since = c.relied
	}
	if since == 0 || since >= now {
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx(), 2*time.Second)
	defer cancel()
	h := c.historian(since)
	h.ctx = ctx
	if _, err := h.collect(mostMeanwhile); err != nil {
		c.Log.Debug("what happened meanwhile cannot be told", "request_id", c.id, "error", err)
	}
	for i := range h.entries {
		e := &h.entries[i]
		m := Meanwhile{Revision: e.Revision, Time: e.Time, Actor: e.Actor, Fields: []string{}}
		for _, f := range e.Changes {
			m.Fields = append(m.Fields, f.Field)
		}
		for _, x := range e.Edges {
			if !slices.Contains(m.Fields, x.Relation) {
				m.Fields = append(m.Fields, x.Relation)
			}
		}
		p.Meanwhile = append(p.Meanwhile, m)
	}
}
