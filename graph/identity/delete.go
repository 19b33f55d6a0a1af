package identity

import (
	"fmt"
	"slices"

	"trellis/graph"
)

// delete removes a node. What is below it is refused or, with Cascade, goes
// too, as long as it has no other parent.
func (c *compiler) delete(m *Mutation) error {
	s, err := c.state(m.Node)
	if err != nil {
		return err
	}
	if s.node == nil {
		return &graph.Error{Kind: graph.NotFound, Msg: m.Node.String() + " does not exist", Ref: m.Node}
	}
	if err := c.need(string(m.Node.Type)+":delete", m.Node); err != nil {
		return err
	}
	if m.Node.Type == Permission || Known(m.Node.Type) && shapeOf(m.Node.Type) == nil {
		return wrong("/node", "%s nodes are not deleted this way", m.Node.Type)
	}
	if s.node.Props.Bool("system") {
		e := graph.Errorf(graph.Denied, "%s belongs to Trellis itself and cannot be deleted", m.Node)
		e.Ref, e.Permission = m.Node, string(m.Node.Type)+":delete"
		return e
	}
	c.pin(m, s)
	doomed, err := c.below(m)
	if err != nil {
		return err
	}
	if err := c.partRoles(doomed); err != nil {
		return err
	}
	if err := c.release(m, s.node); err != nil {
		return err
	}
	// Leaves first, so that each is a leaf when its turn comes.
	for _, r := range slices.Backward(doomed) {
		if err := c.bury(r, m.Cascade); err != nil {
			return err
		}
		step := graph.RequireLeaf(r, graph.ChildOf)
		step.Msg = m.Node.String() + " has children; delete them first or ask to cascade"
		// With Cascade a new child means that the look was too early.
		c.push(step, m.Cascade)
		c.add(graph.Delete(r))
		c.nodes[r] = &state{changed: true}
	}
	return nil
}

// release refuses while other nodes of the catalog are related to the node or,
// with Cascade, parts them from it. What goes with its organization is related
// to nothing outside of it.
func (c *compiler) release(m *Mutation, n *graph.Node) error {
	if !Catalogued(m.Node.Type) && m.Node.Type != Team {
		return nil
	}
	for _, k := range RelationKinds {
		if k == graph.ChildOf {
			continue
		}
		sources, err := c.sources(m.Node, k)
		if err != nil {
			return err
		}
		if len(sources) > 0 && !m.Cascade {
			return &graph.Error{Kind: graph.InUse, Msg: fmt.Sprintf("%d nodes are related to %s by %s; part them first or ask to cascade", len(sources), m.Node, k), Ref: m.Node}
		}
		if k == Tagged {
			continue // retag writes them anyway
		}
		for _, r := range sources {
			if s := c.nodes[r]; s == nil || s.node != nil || !s.changed {
				c.add(graph.Touch(r))
			}
		}
	}
	if m.Node.Type == Tag {
		return c.retag(m.Node, n.Props, nil)
	}
	return nil
}

// below lists the node and what must go with it, parents before children.
func (c *compiler) below(m *Mutation) ([]graph.Ref, error) {
	doomed, known := []graph.Ref{m.Node}, map[graph.Ref]bool{m.Node: true}
	for i := 0; i < len(doomed); i++ {
		r := doomed[i]
		children, err := c.children(r)
		if err != nil {
			return nil, err
		}
		for _, child := range children {
			if known[child] {
				continue
			}
			if child.Type != APIKey {
				if !m.Cascade {
					return nil, &graph.Error{Kind: graph.InUse, Msg: fmt.Sprintf("%s has children; delete them first or ask to cascade", m.Node), Ref: m.Node}
				}
				if c.outlives(child, r, known) {
					// It lives on below another parent; only the edge goes.
					c.add(graph.Unlink(graph.EdgeKey{From: child, Kind: graph.ChildOf, To: r}))
					c.add(graph.Touch(child))
					continue
				}
				if err := c.need(string(child.Type)+":delete", child); err != nil {
					e := graph.Errorf(graph.Denied, "something below %s may not be deleted by the caller", m.Node)
					e.Ref, e.Permission = m.Node, string(child.Type)+":delete"
					return nil, e
				}
			}
			known[child] = true
			doomed = append(doomed, child)
			if len(doomed) > graph.MaxSteps/4 {
				return nil, graph.Errorf(graph.TooLarge, "more than %d nodes are below %s: delete parts of it first", graph.MaxSteps/4, m.Node)
			}
		}
	}
	return doomed, nil
}

// outlives tells whether a child of r stays when r goes. What has a home goes
// with it and with nothing else; other things go with the last of their parents.
func (c *compiler) outlives(child, r graph.Ref, gone map[graph.Ref]bool) bool {
	if hasHome(child.Type) {
		return r.Type == Team
	}
	return slices.ContainsFunc(c.auth.Parents(child), func(p graph.Ref) bool { return !gone[p] })
}

// partRoles unties the roles among the doomed from what they inherit from, so
// that the order in which they go does not matter.
func (c *compiler) partRoles(doomed []graph.Ref) error {
	for _, r := range doomed {
		if r.Type != Role {
			continue
		}
		s, err := c.state(r)
		if err != nil {
			return err
		}
		if s.node != nil {
			c.relink(r, graph.Inherits, Role, s.node.Props.Strings("inherits"), nil)
		}
	}
	return nil
}

func (c *compiler) children(r graph.Ref) ([]graph.Ref, error) {
	if s, ok := c.made(r); ok && !s.stored {
		return nil, nil
	}
	var out []graph.Ref
	q := graph.Question{Name: graph.EdgesTo, Ref: r, Kind: graph.ChildOf, Limit: graph.MaxPage}
	for {
		a, err := c.s.graph.Store().Ask(c.ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range a.Edges {
			if !c.gone(a.Edges[i].EdgeKey) {
				out = append(out, a.Edges[i].From)
			}
		}
		if a.Next == "" {
			return out, nil
		}
		q.After = a.Next
	}
}

// bury does what the end of a node asks for beyond its own edges.
func (c *compiler) bury(r graph.Ref, cascade bool) error {
	switch r.Type {
	case Role:
		return c.buryRole(r, cascade)
	case ResourceType:
		return c.buryType(r)
	}
	return nil
}

// buryRole refuses while the role is granted or inherited from, or takes
// those grants and inheritances away.
func (c *compiler) buryRole(r graph.Ref, cascade bool) error {
	s := graph.RequireLeaf(r, graph.Inherits)
	s.Msg = "other roles inherit from " + r.String()
	c.add(s)
	q := graph.Question{Name: graph.EdgesByKey, Kind: graph.CanAccess, Key: r.ID, Limit: graph.MaxPage}
	c.guard(graph.RequireUnchanged(graph.CanAccess, r.ID, c.auth.Revision()))
	for {
		a, err := c.s.graph.Store().Ask(c.ctx, q)
		if err != nil {
			return err
		}
		for i := range a.Edges {
			if c.gone(a.Edges[i].EdgeKey) {
				continue
			}
			if !cascade {
				return &graph.Error{Kind: graph.InUse, Msg: fmt.Sprintf("the role %s is still granted; take the grants back first or ask to cascade", r.ID), Ref: r}
			}
			c.add(graph.Unlink(a.Edges[i].EdgeKey))
		}
		if a.Next == "" {
			return nil
		}
		q.After = a.Next
	}
}

// buryType refuses while there are resources of the type, or roles that name
// its permissions.
func (c *compiler) buryType(r graph.Ref) error {
	q := graph.Question{Name: graph.NodesByType, Type: graph.Type(r.ID), Limit: 100}
	for {
		a, err := c.s.graph.Store().Ask(c.ctx, q)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(a.Nodes, func(n graph.Node) bool { return !c.removed(n.Ref) }) {
			return &graph.Error{Kind: graph.InUse, Msg: fmt.Sprintf("there are still resources of type %s", r.ID), Ref: r}
		}
		if q.After = a.Next; a.Next == "" {
			break
		}
	}
	actions := append(slices.Clone(standardActions), c.nodes[r].node.Props.Strings("actions")...)
	slices.Sort(actions)
	for _, a := range append(slices.Compact(actions), "*") {
		p := graph.Ref{Type: Permission, ID: r.ID + ":" + a}
		s := graph.RequireLeaf(p, graph.Grants)
		s.Msg = "a role still grants " + p.ID
		c.add(s)
		c.add(graph.Delete(p))
	}
	return nil
}
