package api

import (
	"strings"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/permission"
)

// short keeps a hostile path from coming back whole.
func short(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// resolve finds the node that an element of the path means, as c.ref. With
// fresh, one that is not there yet is named by its id.
func (c *call) resolve(t graph.Type, home graph.Ref, element string, fresh bool) error {
	c.named = string(t) + ":" + short(c.path(element))
	c.ref = graph.Ref{Type: t, ID: c.path(element)}
	if err := c.ref.Validate(); err != nil {
		c.ref = graph.Ref{}
		return err
	}
	r, err := c.find(t, home, element)
	if err != nil {
		if fresh && graph.KindOf(err) == graph.NotFound {
			return nil
		}
		return err
	}
	c.ref = r
	return nil
}

// nodeOf resolves an element of the path as a node of the type.
func nodeOf(t graph.Type, element string, fresh bool) func(*call) error {
	return func(c *call) error {
		var org graph.Ref
		if s, ok := c.query["organization"]; ok && t == identity.Role {
			var err error
			if org, err = c.organization(s); err != nil {
				return err
			}
		}
		return c.resolve(t, org, element, fresh)
	}
}

// organization finds an organization that the caller may see.
func (c *call) organization(idOrSlug string) (graph.Ref, error) {
	c.named = string(identity.Organization) + ":" + short(idOrSlug)
	ref, err := c.Identity.Resolve(c.ctx(), identity.Organization, graph.Ref{}, idOrSlug)
	if err == nil && !c.visible(ref) {
		err = &graph.Error{Kind: graph.NotFound}
	}
	return ref, err
}

// teamOf resolves "{org}" and "{team}". That the organization is missing,
// hidden, or another one looks like a missing team.
func teamOf(fresh bool) func(*call) error {
	return func(c *call) error {
		c.named = string(identity.Team) + ":" + short(c.path("team"))
		org, err := c.find(identity.Organization, graph.Ref{}, "org")
		if err != nil {
			return err
		}
		c.org = org
		if err := c.resolve(identity.Team, org, "team", fresh); err != nil {
			return err
		}
		hidden := fresh && !c.visible(c.ref) && !c.enters(identity.Team, org)
		if hidden || c.view.Exists(c.ref) && !c.view.Within(c.ref, org) {
			c.ref = graph.Ref{}
			return &graph.Error{Kind: graph.NotFound}
		}
		return nil
	}
}

// registered tells whether nodes of the type can be made by callers.
func (c *call) registered(t graph.Type) bool {
	return t.Valid() && !identity.Known(t) && c.view.Exists(graph.Ref{Type: identity.ResourceType, ID: string(t)}) &&
		c.view.HasPermission(string(t)+":read")
}

// typeOf checks that "{type}" is a registered type.
func typeOf(c *call) error {
	t := c.path("type")
	if !c.registered(graph.Type(t)) {
		c.named = string(identity.ResourceType) + ":" + short(t)
		return &graph.Error{Kind: graph.NotFound}
	}
	return nil
}

// resourceOf resolves "{type}" and "{id}".
func resourceOf(fresh bool) func(*call) error {
	return func(c *call) error {
		if err := typeOf(c); err != nil {
			return err
		}
		r := graph.Ref{Type: graph.Type(c.path("type")), ID: c.path("id")}
		c.named = string(r.Type) + ":" + short(r.ID)
		if err := r.Validate(); err != nil {
			return err
		}
		c.ref = r
		if !fresh && !c.view.Exists(r) {
			return &graph.Error{Kind: graph.NotFound, Ref: r}
		}
		return nil
	}
}

func readable(c *call, t graph.Type, after string) permission.ResourcesQuery {
	return permission.ResourcesQuery{Subject: c.subject(), Permission: string(t) + ":read", Type: t, After: after, Limit: c.limit(), At: c.now}
}
