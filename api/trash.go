package api

import (
	"net/http"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// Trashed is what was deleted and can be restored.
type Trashed struct {
	ID           string    `json:"id" doc:"Under which it is restored"`
	Node         graph.Ref `json:"node" doc:"What was deleted, as type:id"`
	Name         string    `json:"name,omitempty"`
	Slug         string    `json:"slug,omitempty"`
	Organization string    `json:"organization,omitempty" doc:"The id of the organization that it belonged to"`
	DeletedBy    graph.Ref `json:"deleted_by"`
	DeletedAt    time.Time `json:"deleted_at"`
	Until        time.Time `json:"restorable_until"`
	Deleted      Counts    `json:"deleted" doc:"What was deleted with it, itself included"`
}

// RestoreInput says how something is restored.
type RestoreInput struct {
	Slug string `json:"slug,omitempty" doc:"Another slug for what was deleted, if its own is taken by now"`
}

// Restoration says what was restored.
type Restoration struct {
	Node     graph.Ref `json:"node" doc:"What was deleted, as type:id"`
	Restored Counts    `json:"restored"`
	// Lost are edges that could not come back.
	Lost      int        `json:"lost" doc:"How many edges could not come back: their other end or their role is gone, something else is in their place, or the caller could not give them"`
	LostEdges []LostEdge `json:"lost_edges,omitempty" doc:"Those of them that the caller may see" nullable:"false"`
}

// LostEdge is an edge that could not come back.
type LostEdge struct {
	graph.EdgeKey
	Reason string `json:"reason" enum:"gone,refused" doc:"gone: an end of it or its role is not there; refused: something else is in its place, or the caller could not give it"`
}

func trashRoutes() []route {
	one, tag := "/trash/{id}", "trash"
	return []route{
		{method: get, path: "/trash", id: "listTrash", tag: tag, summary: "List what was deleted and can be restored",
			doc:  "Organizations, teams and all that the catalog has can be restored for a while, with everything that was deleted with them.",
			self: "lists only what the caller may read", query: paged(text("type", "Only what was of this type", graph.MaxType), text("organization", "Only what belonged to this organization: its id", graph.MaxID)),
			out: Page[Trashed]{}, handle: listTrash},
		{method: get, path: one, id: "readTrash", tag: tag, summary: "Read what was deleted",
			needs: need{permission: "tombstone:read", on: "what was deleted"}, node: tombstoneOf, out: Trashed{}, handle: readTrash},
		{method: post, path: one + "/restore", id: "restoreTrash", tag: tag, summary: "Restore what was deleted, all of it or nothing",
			doc:   "409: what it belonged to is gone, its id or its slug is taken. 410: its time is over. Memberships and grants come back as they were; those by which it would hold something outside of itself only as far as the caller could give that now.",
			needs: need{permission: identity.RestoreTombstone, on: "what was deleted", inside: true}, node: tombstoneNamed, in: body{value: RestoreInput{}, optional: true}, out: Restoration{},
			idempotent: true, handle: restoreTrash},
		{method: del, path: one, id: "eraseTrash", tag: tag, summary: "Erase what was deleted, for good",
			needs: need{permission: "tombstone:read", on: "what was deleted; and to delete such a node"}, node: tombstoneOf, out: Deletion{}, handle: eraseTrash},
	}
}

// deletion are the parameters of deleting a node of the kind.
func (k kind) deletion() []param {
	q := append(k.scope(), flag("cascade", "Delete what is below it as well"))
	if identity.Catalogued(k.typ) || k.typ == identity.Team || k.typ == identity.Organization {
		q = append(q, flag("erase", "Delete it for good: nothing is kept to restore it from"))
	}
	return q
}

// deletion tells what a change deleted, and where r can be restored from.
func deletion(ch *graph.Change, r graph.Ref) Deletion {
	d := Deletion{Deleted: counts(ch)}
	if ch == nil {
		return d
	}
	for _, e := range ch.Entries {
		if n := e.Node; n != nil && n.Before == nil && n.After.Ref.Type == identity.Tombstone && n.After.Props.String(identity.PropBuried) == r.String() {
			d.Tombstone, d.RestorableUntil = n.After.Ref.ID, millis(n.After.Props.Int(identity.PropUntil))
		}
	}
	return d
}

func tombstoneOf(c *call) error {
	if err := tombstoneNamed(c); err != nil {
		return err
	}
	if !c.view.Exists(c.ref) {
		return &graph.Error{Kind: graph.NotFound, Ref: c.ref}
	}
	return nil
}

// tombstoneNamed resolves the path even if nothing is there any more: a restoration
// that is repeated by its idempotency key finds none.
func tombstoneNamed(c *call) error {
	c.ref = graph.Ref{Type: identity.Tombstone, ID: c.path("id")}
	c.named = "tombstone:" + short(c.ref.ID)
	if c.ref.Validate() != nil {
		c.ref = graph.Ref{}
		return &graph.Error{Kind: graph.NotFound}
	}
	return nil
}

func trashed(n *graph.Node) (Trashed, error) {
	p := n.Props
	t := Trashed{
		ID: n.Ref.ID, Name: p.String("name"), Slug: p.String("slug"), Organization: p.String("organization"),
		DeletedAt: *at(p.Int(identity.PropDeletedAt)), Until: *at(p.Int(identity.PropUntil)),
		Deleted: Counts{Nodes: int(p.Int(identity.PropNodes)), Edges: int(p.Int(identity.PropEdges))},
	}
	if err := t.Node.UnmarshalText([]byte(p.String(identity.PropBuried))); err != nil {
		return t, graph.Wrap(graph.Corrupt, err, "reading %s", n.Ref)
	}
	if err := t.DeletedBy.UnmarshalText([]byte(p.String(identity.PropDeletedBy))); err != nil {
		return t, graph.Wrap(graph.Corrupt, err, "reading %s", n.Ref)
	}
	return t, nil
}

func at(ms int64) *time.Time {
	t := time.UnixMilli(ms).UTC()
	return &t
}

func readTrash(c *call) error {
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{c.ref})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &graph.Error{Kind: graph.NotFound, Ref: c.ref}
	}
	t, err := trashed(&found[0])
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, t)
}

// listTrash goes through what the caller may read until a page is full, or so
// much has been looked at that a short page is better than a long wait.
func listTrash(c *call) error {
	after, err := c.after()
	if err != nil {
		return err
	}
	const mostRounds = 16
	page, next := Page[Trashed]{Items: []Trashed{}}, ""
	for range mostRounds {
		q := readable(c, identity.Tombstone, after)
		q.Limit = max(1, c.limit()-len(page.Items))
		ids, more := c.view.Resources(q)
		refs := make([]graph.Ref, len(ids))
		for i, id := range ids {
			refs[i] = graph.Ref{Type: identity.Tombstone, ID: id}
		}
		nodes, err := c.Graph.Store().Nodes(c.ctx(), refs)
		if err != nil {
			return err
		}
		for i := range nodes {
			t, err := trashed(&nodes[i])
			if err != nil {
				return err
			}
			if c.wanted(&t) {
				page.Items = append(page.Items, t)
			}
		}
		if next = ""; !more {
			break
		}
		next = ids[len(ids)-1]
		if after = next; len(page.Items) >= c.limit() {
			break
		}
	}
	page.NextCursor = c.cursor(next)
	return c.json(http.StatusOK, page)
}

func (c *call) wanted(t *Trashed) bool {
	typ, byType := c.query["type"]
	org, byOrg := c.query["organization"]
	return (!byType || typ == string(t.Node.Type)) && (!byOrg || org == t.Organization || t.Node == graph.Ref{Type: identity.Organization, ID: org})
}

func restoreTrash(c *call) error {
	var in RestoreInput
	if err := c.decode(&in); err != nil {
		return err
	}
	_, ch, err := c.apply(identity.Mutation{Op: identity.OpRestore, Node: c.ref, Data: c.body})
	if err != nil {
		return err
	}
	top, nodes, edges, lost, err := identity.Restored(ch, c.ref)
	if err != nil {
		return err
	}
	out := Restoration{Node: top, Restored: Counts{nodes, edges}, Lost: len(lost)}
	c.refresh()
	for _, k := range lost {
		e := LostEdge{EdgeKey: k, Reason: "gone"}
		from, to := c.view.Exists(k.From), c.view.Exists(k.To)
		if from && to && (k.Kind != graph.CanAccess || k.Key == "" || c.view.Exists(graph.Ref{Type: identity.Role, ID: k.Key})) {
			e.Reason = "refused"
		}
		// Of what is gone, who may see all of that type is told.
		if (c.visible(k.From) || !from && c.holds(string(k.From.Type)+":read", graph.Root)) && (c.visible(k.To) || !to && c.holds(string(k.To.Type)+":read", graph.Root)) {
			out.LostEdges = append(out.LostEdges, e)
		}
	}
	return c.json(http.StatusOK, out)
}

func eraseTrash(c *call) error {
	_, ch, err := c.apply(identity.Mutation{Op: identity.OpDelete, Node: c.ref})
	if err != nil {
		return err
	}
	var out Deletion
	for _, e := range ch.Entries {
		if e.Node != nil && e.Node.After == nil && e.Node.Before.Ref == c.ref {
			t, err := trashed(e.Node.Before)
			if err != nil {
				return err
			}
			out.Deleted = t.Deleted
		}
	}
	return c.json(http.StatusOK, out)
}
