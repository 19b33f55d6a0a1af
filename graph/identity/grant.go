package identity

import (
	"slices"

	"trellis/graph"
)

func grantKey(m *Mutation) graph.EdgeKey {
	return graph.EdgeKey{From: m.Subject, Kind: graph.CanAccess, To: m.Resource, Key: m.Role}
}

// grant gives or takes a role or single actions.
func (c *compiler) grant(m *Mutation) error {
	if err := m.Subject.Validate(); err != nil {
		return at(err, "/subject")
	}
	if err := m.Resource.Validate(); err != nil {
		return at(err, "/resource")
	}
	if m.Op == OpDeleteGrant {
		return c.revoke(m)
	}
	ok, err := c.canBeSubject(m.Subject.Type)
	if err != nil {
		return err
	}
	if !ok {
		return wrong("/subject", "a %s cannot be given access", m.Subject.Type)
	}
	if err := c.need(GrantAccess, m.Resource); err != nil {
		return err
	}
	props := graph.Props{}
	var given []string
	switch {
	case m.Role != "" && len(m.Actions) > 0:
		return wrong("/actions", "a grant gives either a role or actions")
	case m.Role != "":
		if given, err = c.grantable(m); err != nil {
			return err
		}
		props[graph.PropRole] = m.Role
		c.add(graph.Require(graph.Ref{Type: Role, ID: m.Role}))
	case len(m.Actions) > 0:
		if given, err = c.actions(m.Actions); err != nil {
			return err
		}
		props[graph.PropActions] = given
	default:
		return wrong("/role", "a grant needs a role or actions")
	}
	if err := c.cover(m.Resource, given, "this grant"); err != nil {
		return err
	}
	if err := c.expires(m, props); err != nil {
		return err
	}
	props[graph.PropGrantedBy] = c.caller.Subject.String()
	c.fixRoles()
	c.add(graph.Link(graph.Edge{EdgeKey: grantKey(m), Props: props}))
	return nil
}

// grantable returns what the role of m grants, if it can be granted there.
func (c *compiler) grantable(m *Mutation) ([]string, error) {
	role := graph.Ref{Type: Role, ID: m.Role}
	if err := role.Validate(); err != nil {
		return nil, at(err, "/role")
	}
	permissions, ok, err := c.rolePermissions(m.Role)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wrong("/role", "there is no role %.80q", m.Role)
	}
	parents := c.auth.Parents(role)
	if s, ok := c.made(role); ok {
		parents = s.parents
	}
	for _, p := range parents {
		if p.Type == Organization && !c.within(m.Resource, p) {
			return nil, wrong("/role", "the role %s can be granted only inside %s", m.Role, p)
		}
	}
	return permissions, nil
}

func (c *compiler) actions(list []string) ([]string, error) {
	list = slices.Clone(list)
	slices.Sort(list)
	list = slices.Compact(list)
	for _, a := range list {
		if !validPermission(a) {
			return nil, wrong("/actions", "%.80q is not a permission", a)
		}
		if ok, err := c.permissionExists(a); err != nil || !ok {
			if err == nil {
				err = wrong("/actions", "there is no permission %s", a)
			}
			return nil, err
		}
	}
	return list, nil
}

// revoke takes a grant back. Whoever takes must hold what is taken, as
// whoever gives must: else an editor could lock the owner out. Giving up
// one's own is always possible.
func (c *compiler) revoke(m *Mutation) error {
	k := grantKey(m)
	if m.Subject != c.caller.Subject {
		if err := c.need(GrantAccess, m.Resource); err != nil {
			return err
		}
		taken := []string{}
		if m.Role != "" {
			taken, _, _ = c.rolePermissions(m.Role)
		} else if e, err := c.edge(k); err != nil {
			return err
		} else if e != nil {
			taken = e.Props.Strings(graph.PropActions)
		}
		if lack := c.missing(m.Resource, taken); len(lack) > 0 {
			e := graph.Errorf(graph.Denied, "taking this grant needs all that it gives; the caller does not hold %s on %s", lack[0], m.Resource)
			e.Ref, e.Permission = m.Resource, lack[0]
			return e
		}
	}
	c.add(graph.RequireLinked(k))
	c.add(graph.Unlink(k))
	return nil
}

// edge reads one edge as it is stored.
func (c *compiler) edge(k graph.EdgeKey) (*graph.Edge, error) {
	q := graph.Question{Name: graph.EdgesFrom, Ref: k.From, Kind: k.Kind, Limit: graph.MaxPage}
	for {
		a, err := c.s.graph.Store().Ask(c.ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range a.Edges {
			if a.Edges[i].EdgeKey == k {
				return &a.Edges[i], nil
			}
		}
		if a.Next == "" {
			return nil, nil
		}
		q.After = a.Next
	}
}
