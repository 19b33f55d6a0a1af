package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trellis/audit"
	"trellis/graph"
	"trellis/graph/identity"
)

// auditList is a stream that can be asked for.
type auditList struct {
	stream audit.Stream
	one    string
	// within: the records are within nodes. Others are for who may read the
	// log of everything.
	within bool
	// filters are the fields that a question may name.
	filters []string
}

var auditLists = []auditList{
	{audit.Events, "Event", true, []string{"actor", audit.About, "node", "other", "key", "action", "outcome", "request_id", "address"}},
	{audit.Decisions, "Decision", true, []string{"actor", audit.About, "key", "question", "subject", "permission", "resource", "answer", "request_id", "address"}},
	{audit.Requests, "Request", false, []string{"actor", "key", "method", "route", "status", "request_id", "address"}},
	{audit.Mails, "Mail", false, []string{"actor", "node", "recipient", "domain", "template", "status", "request_id"}},
	{audit.Factors, "Factor", false, []string{"subject", "kind", "outcome", "request_id", "address"}},
	{audit.Limits, "Limit", false, []string{"identifier", "rule", "route", "address"}},
}

const (
	exported = "With Accept: application/x-ndjson, text/csv or application/vnd.apache.parquet everything that matches comes at once, without limit; " +
		"a connection that breaks off means that it is not complete. Of CSV, values that a spreadsheet would take for a formula (they begin with = + - @, a tab or a line break), " +
		"and those that begin with an apostrophe, have an apostrophe put before them."
	withinDoc = "Only what is at or below this node, as type:id, at the time; everything if absent"
	readEvent = "Reading the audit log is itself recorded, as an event audit:read."
)

func auditRoutes() []route {
	var rows []route
	for i := range auditLists {
		l := &auditLists[i]
		r := route{method: get, path: "/audit/" + string(l.stream), id: "list" + l.one + "Records", tag: "audit", summary: "List the " + string(l.stream) + " of the audit log",
			doc: readEvent + " " + exported, needs: need{permission: identity.ReadAudit, on: "platform:root", ref: onRoot},
			out: recordList(l.stream), stream: true, exports: true, handle: l.handle}
		for _, f := range l.filters {
			r.query = append(r.query, filter(f, l.stream))
		}
		if l.within {
			r.query = append(r.query, text("within", withinDoc, 600))
			r.needs.on, r.needs.ref, r.node = "within, or platform:root", queriedResource, withinQuery
		}
		order := text("order", "newest (the default) or oldest first", 6)
		order.schema.Enum = []any{"newest", "oldest"}
		r.query = paged(append(append(r.query, period()...), order)...)
		rows = append(rows, r)
	}
	return append(rows, auditStatsRoutes()...)
}

// filter is the parameter that gives a field a value.
func filter(f string, s audit.Stream) param {
	if f == "status" && s == audit.Requests {
		lo, hi := 100.0, 599.0
		return param{name: f, doc: "The HTTP status", schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &lo, Maximum: &hi}}
	}
	p := text(f, fieldDocs[f], 600)
	p.schema.Enum = fieldEnums[f]
	return p
}

func period() []param {
	from, to := text("from", "From this time on (RFC 3339)", 40), text("to", "Before this time (RFC 3339)", 40)
	from.schema.Format, to.schema.Format = "date-time", "date-time"
	return []param{from, to}
}

// times reads from and to; zero if they are not given.
func (c *call) times() (from, to time.Time, err error) {
	for name, t := range map[string]*time.Time{"from": &from, "to": &to} {
		if s, ok := c.query[name]; ok {
			if *t, err = time.Parse(time.RFC3339, s); err != nil {
				return from, to, badParameter(name, "want a time as RFC 3339 writes it, such as 2026-01-31T00:00:00Z")
			}
		}
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, badParameter("to", "want a time after from")
	}
	return from, to, nil
}

// withinQuery resolves the parameter within as c.ref: the node on which
// audit:read is needed. Who may read everything may also ask what was below a
// node that is gone.
func withinQuery(c *call) error {
	r, err := c.refParam("within")
	if err != nil {
		return err
	}
	if r.IsZero() || r == graph.Root || c.holds(identity.ReadAudit, graph.Root) {
		c.ref = graph.Root
		return nil
	}
	c.ref, c.named = r, r.String()
	if !c.view.Exists(r) {
		return &graph.Error{Kind: graph.NotFound, Ref: r}
	}
	return nil
}

// withinNode is the parameter as sinks want it: "" for everything.
func (c *call) withinNode() string {
	if s := c.query["within"]; s != graph.Root.String() {
		return s
	}
	return ""
}

// query reads the parameters.
func (l *auditList) query(c *call) (audit.Query, error) {
	q := audit.Query{Stream: l.stream, Oldest: c.query["order"] == "oldest"}
	for _, f := range l.filters {
		if v, ok := c.query[f]; ok {
			q.Where = append(q.Where, audit.Match{Field: f, Value: v})
		}
	}
	if n := c.withinNode(); n != "" {
		q.Where = append(q.Where, audit.Match{Field: "within", Value: n})
	}
	var err error
	if q.From, q.To, err = c.times(); err != nil {
		return q, err
	}
	q.After, err = c.after()
	return q, err
}

// handle answers with a page of records, or with all of them as an export.
func (l *auditList) handle(c *call) error {
	if c.Audit == nil {
		return noAudit()
	}
	q, err := l.query(c)
	if err != nil {
		return err
	}
	c.read(c.ref)
	if f, ok := exportOf(c.r.Header.Get("Accept")); ok {
		return c.export(q, f)
	}
	ctx, cancel := c.limited()
	defer cancel()
	q.Limit = c.limit() + 1 // one more tells whether there are more
	b, n, last := []byte(`{"items":[`), 0, ""
	more := false
	err = c.Sink.Find(ctx, q, func(r audit.Record) error {
		if n == q.Limit-1 {
			more = true
			return nil
		}
		if n > 0 {
			b = append(b, ',')
		}
		b, last = appendRecord(b, r), audit.PositionOf(r)
		n++
		return nil
	})
	if err != nil {
		return sinkProblem(err)
	}
	b = append(b, ']')
	if more {
		b = append(append(append(b, `,"next_cursor":"`...), c.cursor(last)...), '"')
	}
	c.send(http.StatusOK, append(b, '}'))
	return nil
}

// read records that the log is read: what is at or below the node.
func (c *call) read(on graph.Ref) {
	if on.IsZero() {
		on = graph.Root
	}
	reason := c.rt.path
	for _, f := range slices.Sorted(maps.Keys(c.query)) {
		if f != "cursor" {
			reason += " " + f + "=" + c.query[f]
		}
	}
	c.happened(audit.Sync, &audit.Event{Action: identity.ReadAudit, Outcome: audit.Success, Node: on.String(), Within: c.around(on), Reason: reason})
}

func noAudit() *Problem {
	return problem(http.StatusNotFound, "no-route", "this server keeps no audit log")
}

// sinkProblem is what callers hear of an error of the sink.
func sinkProblem(err error) error {
	switch {
	case errors.Is(err, audit.ErrUnavailable):
		p := unavailable("what was recorded cannot be read now: the audit log's store is away; nothing is lost")
		p.headers["Retry-After"], p.cause = "5", err
		return p
	case errors.Is(err, audit.ErrRefused):
		p := problem(http.StatusUnprocessableEntity, "invalid", "the audit log's store does not answer this question")
		p.cause = err
		return p
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return graph.Wrap(graph.Canceled, err, "the audit log's store took too long")
	}
	return graph.Wrap(graph.Internal, err, "asking the audit log")
}
