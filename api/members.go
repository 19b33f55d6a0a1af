package api

import (
	"net/http"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// Membership is one member of a group, team or organization.
type Membership struct {
	Member    graph.Ref  `json:"member" doc:"Who is a member, as type:id"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the membership ends by itself"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// MembershipInput is what can be said of a membership.
type MembershipInput struct {
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the membership ends by itself; null or absent: never" nullable:"true"`
}

func membership(e *graph.Edge) Membership {
	return Membership{Member: e.From, ExpiresAt: millis(e.Expires()), CreatedAt: e.Created, UpdatedAt: e.Updated}
}

func memberRoutes() []route {
	var rows []route
	for _, k := range kinds() {
		if k.typ != identity.Group && k.typ != identity.Team && k.typ != identity.Organization {
			continue
		}
		t, base := string(k.typ), k.path+"/{"+k.param+"}/members"
		rows = append(rows,
			route{method: get, path: base, id: k.operation("list") + "Members", tag: k.plural, summary: "List the members of a " + k.one,
				needs: need{permission: t + ":read", on: "the " + k.one}, node: k.node, query: paged(text("type", "Only members of this type", graph.MaxType)),
				out: Page[Membership]{}, handle: listMembers},
			route{method: put, path: base + "/{member}", id: k.operation("put") + "Member", tag: k.plural, summary: "Add a member to a " + k.one + ", or change until when it is one",
				doc:   "The caller must hold everything that membership gives.",
				needs: need{permission: t + ":update", on: "the " + k.one}, node: k.node, in: body{value: MembershipInput{}, optional: true},
				out: Membership{}, answers: map[int]string{http.StatusCreated: "It was added"}, handle: putMember},
			route{method: del, path: base + "/{member}", id: k.operation("delete") + "Member", tag: k.plural, summary: "End a membership",
				doc:   "Everybody may end a membership of their own.",
				needs: need{permission: t + ":update", on: "the " + k.one, inside: true}, node: k.node, out: Deletion{}, handle: deleteMember})
	}
	return rows
}

func listMembers(c *call) error {
	page := Page[Membership]{Items: []Membership{}}
	q := graph.Question{Name: graph.EdgesTo, Ref: c.ref, Kind: graph.MemberOf, Type: graph.Type(c.query["type"])}
	if q.Type != "" && !q.Type.Valid() {
		return badParameter("type", "is not a type")
	}
	next, err := c.edges(q, func(e *graph.Edge) bool {
		page.Items = append(page.Items, membership(e))
		return true
	})
	if err != nil {
		return err
	}
	page.NextCursor = c.cursor(next)
	return c.json(http.StatusOK, page)
}

func (c *call) member() (graph.Ref, error) {
	r, err := graph.ParseRef(c.path("member"))
	if err != nil {
		return r, badParameter("member", "%s", err.Error())
	}
	return r, nil
}

func putMember(c *call) error {
	var in MembershipInput
	member, err := c.member()
	if err != nil {
		return err
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	m := identity.Mutation{Op: identity.OpPutMember, Set: c.ref, Member: member, ExpiresAt: in.ExpiresAt}
	_, ch, err := c.apply(m)
	if err != nil {
		return err
	}
	e, created, err := c.edge(ch, graph.EdgeKey{From: member, Kind: graph.MemberOf, To: c.ref})
	if err != nil {
		return err
	}
	return c.json(made(created), membership(e))
}

func made(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func deleteMember(c *call) error {
	member, err := c.member()
	if err != nil {
		return err
	}
	if member != c.subject() || !c.view.Exists(c.ref) {
		if err := c.require(string(c.ref.Type)+":update", c.ref); err != nil {
			return err
		}
	}
	_, ch, err := c.apply(identity.Mutation{Op: identity.OpDeleteMember, Set: c.ref, Member: member})
	if graph.KindOf(err) == graph.NotFound && err != nil {
		return c.noEdge(member.String() + " is no member of it, or you may not see it")
	}
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, Deletion{Deleted: counts(ch)})
}

// noEdge answers about a relation that is not there. A caller who may not see
// the node learns only that.
func (c *call) noEdge(detail string) error {
	if !c.ref.IsZero() && !c.visible(c.ref) {
		return c.missing(c.ref)
	}
	return problem(http.StatusNotFound, "not-found", "%s", detail)
}

// edge returns an edge as a change left it or, if the change did not touch
// it, as it is stored.
func (c *call) edge(ch *graph.Change, k graph.EdgeKey) (*graph.Edge, bool, error) {
	if ch != nil {
		for _, e := range ch.Entries {
			if e.Edge != nil && e.Edge.After != nil && e.Edge.After.EdgeKey == k {
				return e.Edge.After, e.Edge.Before == nil, nil
			}
		}
	}
	q := graph.Question{Name: graph.EdgesFrom, Ref: k.From, Kind: k.Kind, Limit: 1000}
	for {
		a, err := c.Graph.Store().Ask(c.ctx(), q)
		if err != nil {
			return nil, false, err
		}
		for i := range a.Edges {
			if a.Edges[i].EdgeKey == k {
				return &a.Edges[i], false, nil
			}
		}
		if q.After = a.Next; a.Next == "" {
			return nil, false, &graph.Error{Kind: graph.NotFound, Ref: k.To}
		}
	}
}
