package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"trellis/audit/trail"
	"trellis/graph"
	"trellis/graph/identity"
)

// ChangeEvent is one accepted change, as the stream of changes shows it.
type ChangeEvent struct {
	Revision  string        `json:"revision"`
	Time      time.Time     `json:"time"`
	Actor     graph.Ref     `json:"actor"`
	RequestID string        `json:"request_id,omitempty"`
	Entries   []ChangeEntry `json:"entries" nullable:"false"`
}

// ChangeEntry is one node or edge, before and after. Of a node it shows the
// fields that the API shows of it, and no others.
type ChangeEntry struct {
	Effect identity.Effect `json:"effect" enum:"created,updated,deleted"`
	Node   graph.Ref       `json:"node,omitzero"`
	Edge   *graph.EdgeKey  `json:"edge,omitempty"`
	Before map[string]any  `json:"before,omitempty"`
	After  map[string]any  `json:"after,omitempty"`
}

func changeRoutes() []route {
	return []route{batchRoute(),
		{method: get, path: "/changes", id: "streamChanges", tag: "changes", summary: "Follow every change as server-sent events",
			doc: "Each event has the revision token as its id and a ChangeEvent as its data. The stream begins after the token given by Last-Event-ID or after, else with the next change. " +
				"Comments come while nothing happens. 410: changes that were asked for are no longer kept.",
			needs: need{permission: identity.ReadChanges, on: "platform:root", ref: onRoot},
			query: []param{text("after", "A revision token; the stream begins with the change after it", 128)}, stream: true, out: ChangeEvent{}, handle: streamChanges}}
}

func streamChanges(c *call) error {
	from := c.r.Header.Get("Last-Event-ID")
	if from == "" {
		from = c.query["after"]
	}
	state := c.Graph.State()
	after := state.Applied
	if from != "" {
		t, err := graph.ParseToken(state.Store, from)
		if err == nil {
			err = c.reach(t.Revision)
		}
		if err != nil {
			return revisionProblem(err, Fault{Parameter: "after"})
		}
		after = t.Revision
	}
	// The first page is read before the answer begins, so that a trimmed feed
	// is an error and not a broken stream.
	const page = 200
	changes, err := c.Graph.Store().Changes(c.ctx(), after, page)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write([]byte(": trellis\n\n")) // the flush below notices a caller who is gone
	flush := http.NewResponseController(c.w)
	for {
		for i := range changes {
			if err := c.event(state.Store, &changes[i]); err != nil {
				return err
			}
			after = changes[i].Revision
		}
		alive := flush.Flush() == nil
		if alive && len(changes) < page {
			alive = c.await(after)
		}
		if !alive || !c.mayFollow() {
			return nil
		}
		if changes, err = c.Graph.Store().Changes(c.ctx(), after, page); err != nil {
			return err
		}
	}
}

// mayFollow asks again: rights may be lost while the stream is open.
func (c *call) mayFollow() bool {
	c.refresh()
	c.now = c.Now()
	_, err := c.Keys.Authenticate(c.r.Header.Get("Authorization"))
	return err == nil && c.holds(identity.ReadChanges, graph.Root)
}

// await waits for a revision after this one, or a heartbeat's time; false
// when the caller is gone.
func (c *call) await(after graph.Revision) bool {
	ctx, cancel := context.WithTimeout(c.ctx(), c.o.Heartbeat)
	defer cancel()
	if _, err := c.Graph.Wait(ctx, after); err != nil {
		if c.ctx().Err() != nil {
			return false
		}
		_, err := c.w.Write([]byte(": alive\n\n"))
		return err == nil
	}
	return true
}

func (c *call) event(store string, ch *graph.Change) error {
	ev := ChangeEvent{Revision: graph.Token{Store: store, Revision: ch.Revision}.String(), Time: ch.Time, Actor: ch.Actor, RequestID: ch.RequestID, Entries: []ChangeEntry{}}
	for _, e := range ch.Entries {
		if entry, ok := shownEntry(e); ok {
			ev.Entries = append(ev.Entries, entry)
		}
	}
	var b bytes.Buffer
	b.WriteString("id: " + ev.Revision + "\nevent: change\ndata: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(ev); err != nil {
		return graph.Wrap(graph.Internal, err, "encoding a change")
	}
	b.WriteByte('\n')
	_, err := c.w.Write(b.Bytes())
	if err != nil {
		return graph.Wrap(graph.Canceled, err, "the caller is gone")
	}
	return nil
}

func shownEntry(e graph.Entry) (ChangeEntry, bool) {
	d, ok := trail.Describe(e)
	out := ChangeEntry{Effect: d.Effect, Edge: d.Edge, Before: d.Before, After: d.After}
	if d.Edge == nil {
		out.Node = d.Node
	}
	return out, ok
}
