package identity

import (
	"trellis/graph"
)

// isSet tells whether a type stands for its members.
func isSet(t graph.Type) bool { return t == Group || t == Team || t == Organization }

func memberKey(m *Mutation) graph.EdgeKey {
	return graph.EdgeKey{From: m.Member, Kind: graph.MemberOf, To: m.Set}
}

// member adds or ends a membership.
func (c *compiler) member(m *Mutation) error {
	if err := m.Set.Validate(); err != nil {
		return at(err, "/set")
	}
	if !isSet(m.Set.Type) {
		return wrong("/set", "a %s has no members", m.Set.Type)
	}
	if err := m.Member.Validate(); err != nil {
		return at(err, "/member")
	}
	k := memberKey(m)
	if m.Op == OpDeleteMember {
		// Everybody may leave.
		if m.Member != c.caller.Subject {
			if err := c.need(string(m.Set.Type)+":update", m.Set); err != nil {
				return err
			}
		}
		c.add(graph.RequireLinked(k))
		c.add(graph.Unlink(k))
		return nil
	}
	if err := c.need(string(m.Set.Type)+":update", m.Set); err != nil {
		return err
	}
	ok, err := c.canBeSubject(m.Member.Type)
	if err != nil {
		return err
	}
	if !ok || m.Member.Type == graph.Everyone.Type || m.Member.Type == graph.Authenticated.Type {
		return wrong("/member", "a %s cannot be a member", m.Member.Type)
	}
	if err := c.coverSet(m.Set, "membership in "+m.Set.String()); err != nil {
		return err
	}
	props := graph.Props{}
	if err := c.expires(m, props); err != nil {
		return err
	}
	c.fixRoles()
	if isSet(m.Member.Type) {
		c.add(graph.RequireAcyclic(m.Member, graph.MemberOf, m.Set))
	}
	c.add(graph.Link(graph.Edge{EdgeKey: k, Props: props}))
	return nil
}

// canBeSubject tells whether nodes of the type may be given access.
func (c *compiler) canBeSubject(t graph.Type) (bool, error) {
	switch t {
	case User, ServiceAccount, Group, Team, Organization, graph.Everyone.Type, graph.Authenticated.Type:
		return true, nil
	}
	if Known(t) {
		return false, nil
	}
	s, err := c.state(graph.Ref{Type: ResourceType, ID: string(t)})
	return err == nil && s.node != nil && s.node.Props.Bool("subject"), err
}
