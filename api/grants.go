package api

import (
	"net/http"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// Grant gives a subject a role, or single actions, on a resource.
type Grant struct {
	Subject   graph.Ref  `json:"subject" doc:"Who is given access, as type:id"`
	Resource  graph.Ref  `json:"resource" doc:"To what"`
	Role      string     `json:"role,omitempty" doc:"The id of the role granted"`
	Actions   []string   `json:"actions,omitempty" doc:"The single permissions granted instead" nullable:"false"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the grant ends by itself"`
	GrantedBy string     `json:"granted_by,omitempty" doc:"Who gave it"`
	GrantedAt time.Time  `json:"granted_at" doc:"When it was given"`
}

// GrantInput is what can be asked for.
type GrantInput struct {
	Subject   graph.Ref  `json:"subject" doc:"Who is given access, as type:id" minLength:"3"`
	Resource  graph.Ref  `json:"resource" doc:"To what" minLength:"3"`
	Role      string     `json:"role,omitempty" doc:"The id of the role; either this or actions" maxLength:"512"`
	Actions   []string   `json:"actions,omitempty" doc:"Single permissions, as type:action" maxItems:"1000" nullable:"false"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the grant ends by itself; null or absent: never" nullable:"true"`
}

func grantOf(e *graph.Edge) Grant {
	return Grant{Subject: e.From, Resource: e.To, Role: e.Props.String(graph.PropRole), Actions: e.Props.Strings(graph.PropActions),
		ExpiresAt: millis(e.Expires()), GrantedBy: e.Props.String(graph.PropGrantedBy), GrantedAt: e.Created}
}

func grantRoutes() []route {
	onResource := need{permission: identity.GrantAccess, on: "the resource", inside: true}
	const cover = "The caller must hold, on the resource, everything that is given away."
	return []route{
		{method: get, path: "/grants", id: "listGrants", tag: "grants", summary: "List grants by resource, by subject or by role",
			doc:   "At least one of the three is needed. Shows the caller's own grants, and others where the caller holds access:inspect on the resource.",
			self:  "lists only what the caller may inspect",
			query: paged(text("resource", "The resource, as type:id", 600), text("subject", "The subject, as type:id", 600), text("role", "The id of the role", graph.MaxID)),
			out:   Page[Grant]{}, handle: listGrants},
		{method: put, path: "/grants", id: "putGrant", tag: "grants", summary: "Give access, or change until when it is given", doc: cover,
			needs: onResource, in: body{value: GrantInput{}}, out: Grant{}, answers: map[int]string{http.StatusCreated: "It was given"}, handle: putGrant},
		{method: post, path: "/grants", id: "createGrant", tag: "grants", summary: "Give access, or change until when it is given", doc: cover,
			needs: onResource, in: body{value: GrantInput{}}, out: Grant{}, answers: map[int]string{http.StatusCreated: "It was given"}, idempotent: true, handle: putGrant},
		{method: del, path: "/grants", id: "deleteGrant", tag: "grants", summary: "Take access back",
			doc:   "Everybody may give up a grant of their own. Without role, the grant of single actions is meant.",
			needs: onResource, query: []param{text("subject", "The subject, as type:id", 600).must(), text("resource", "The resource, as type:id", 600).must(), text("role", "The id of the role", graph.MaxID)},
			out: Deletion{}, handle: deleteGrant},
	}
}

func listGrants(c *call) error {
	res, err := c.refParam("resource")
	if err != nil {
		return err
	}
	sub, err := c.refParam("subject")
	if err != nil {
		return err
	}
	role := c.query["role"]
	q := graph.Question{Kind: graph.CanAccess}
	switch {
	case !res.IsZero():
		q.Name, q.Ref = graph.EdgesTo, res
		// Whoever asks about one resource is told that it is hidden, rather
		// than shown an empty list.
		if sub != c.subject() {
			if err := c.inspect(res); err != nil {
				return err
			}
		}
	case !sub.IsZero():
		q.Name, q.Ref = graph.EdgesFrom, sub
	case role != "":
		q.Name, q.Key = graph.EdgesByKey, role
	default:
		return badParameter("resource", "one of resource, subject and role is required")
	}
	page := Page[Grant]{Items: []Grant{}}
	next, err := c.edges(q, func(e *graph.Edge) bool {
		ok := (sub.IsZero() || e.From == sub) && (role == "" || e.Key == role) &&
			(e.From == c.subject() || c.holds(identity.InspectAccess, e.To))
		if ok {
			page.Items = append(page.Items, grantOf(e))
		}
		return ok
	})
	if err != nil {
		return err
	}
	page.NextCursor = c.cursor(next)
	return c.json(http.StatusOK, page)
}

func putGrant(c *call) error {
	var in GrantInput
	if err := c.decode(&in); err != nil {
		return err
	}
	c.named, c.ref = "", in.Resource
	m := identity.Mutation{Op: identity.OpPutGrant, Subject: in.Subject, Resource: in.Resource, Role: in.Role, Actions: in.Actions, ExpiresAt: in.ExpiresAt}
	_, ch, err := c.apply(m)
	if err != nil {
		return err
	}
	e, created, err := c.edge(ch, graph.EdgeKey{From: in.Subject, Kind: graph.CanAccess, To: in.Resource, Key: in.Role})
	if err != nil {
		return err
	}
	return c.json(made(created), grantOf(e))
}

func deleteGrant(c *call) error {
	sub, err := c.refParam("subject")
	if err != nil {
		return err
	}
	res, err := c.refParam("resource")
	if err != nil {
		return err
	}
	c.ref = res
	_, ch, err := c.apply(identity.Mutation{Op: identity.OpDeleteGrant, Subject: sub, Resource: res, Role: c.query["role"]})
	if graph.KindOf(err) == graph.NotFound && err != nil {
		return c.noEdge("there is no such grant on " + res.String() + ", or you may not see it")
	}
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, Deletion{Deleted: counts(ch)})
}
