package identity

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"trellis/graph"
)

// delete removes a node. What is below it is refused or, with Cascade, goes
// too, as long as it has no other parent. What can be restored is packed into a
// tombstone.
func (c *compiler) delete(m *Mutation) error {
	s, err := c.deletable(m)
	if err != nil {
		return err
	}
	c.pin(m, s)
	doomed, partings, err := c.below(m)
	if err != nil {
		return err
	}
	pictures, err := c.lastPictures(doomed)
	if err != nil {
		return err
	}
	doomed = append(doomed, pictures...)
	soft := c.soft(m)
	t, err := c.gather(doomed, soft)
	if err != nil {
		return err
	}
	for _, step := range partings {
		c.add(step)
	}
	if err := c.partRoles(doomed); err != nil {
		return err
	}
	if err := c.release(m, s.node, doomed); err != nil {
		return err
	}
	for _, r := range slices.Backward(doomed) {
		taken, err := c.bury(r, m.Cascade)
		if err != nil {
			return err
		}
		if soft {
			t.add(c, taken)
		}
		c.add(graph.Delete(r))
		c.nodes[r] = &state{changed: true}
	}
	if soft {
		return c.entomb(m, t)
	}
	return nil
}

// deletable returns the node, after checking that the caller may delete it.
func (c *compiler) deletable(m *Mutation) (*state, error) {
	s, err := c.state(m.Node)
	if err != nil {
		return nil, err
	}
	if s.node == nil {
		return nil, &graph.Error{Kind: graph.NotFound, Msg: m.Node.String() + " does not exist", Ref: m.Node}
	}
	if m.Node.Type == Tombstone {
		return s, c.mayErase(s.node)
	}
	if err := c.need(string(m.Node.Type)+":delete", m.Node); err != nil {
		return nil, err
	}
	if m.Node.Type == Permission || Known(m.Node.Type) && shapeOf(m.Node.Type) == nil {
		return nil, wrong("/node", "%s nodes are not deleted this way", m.Node.Type)
	}
	if s.node.Props.Bool("system") {
		e := graph.Errorf(graph.Denied, "%s belongs to Trellis itself and cannot be deleted", m.Node)
		e.Ref, e.Permission = m.Node, string(m.Node.Type)+":delete"
		return nil, e
	}
	return s, nil
}

// mayErase refuses unless the caller may delete for good what is in a tombstone:
// what deleting such a node needs, on the tombstone.
func (c *compiler) mayErase(tombstone *graph.Node) error {
	r, err := graph.ParseRef(tombstone.Props.String(PropBuried))
	if err != nil {
		return graph.Wrap(graph.Corrupt, err, "%s does not tell what was deleted", tombstone.Ref)
	}
	return c.need(string(r.Type)+":delete", tombstone.Ref)
}

// release refuses while other nodes of the catalog are related to the node or,
// with Cascade, parts them from it. What goes with its organization is related
// to nothing outside of it.
func (c *compiler) release(m *Mutation, n *graph.Node, doomed []graph.Ref) error {
	if err := c.unpicture(m, doomed); err != nil {
		return err
	}
	if !Catalogued(m.Node.Type) && m.Node.Type != Team {
		return nil
	}
	sources := map[graph.Kind][]graph.Ref{}
	for _, e := range c.edgesAt(m.Node, true) {
		if e.Kind != graph.ChildOf && slices.Contains(RelationKinds, e.Kind) && !slices.Contains(doomed, e.From) {
			sources[e.Kind] = append(sources[e.Kind], e.From)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(sources)) {
		if !m.Cascade {
			return &graph.Error{Kind: graph.InUse, Msg: fmt.Sprintf("%d nodes are related to %s by %s; part them first or ask to cascade", len(sources[k]), m.Node, k), Ref: m.Node}
		}
		if len(sources[k]) > graph.MaxSteps/4 {
			return graph.Errorf(graph.TooLarge, "more than %d nodes are related to %s by %s: change some of them first", graph.MaxSteps/4, m.Node, k)
		}
		if k == Tagged {
			continue // retag writes them anyway
		}
		for _, r := range sources[k] {
			c.add(graph.Touch(r))
		}
	}
	if m.Node.Type == Tag {
		return c.retag(m.Node, n.Props, nil)
	}
	return nil
}

// below lists the node and what must go with it, parents before children, and
// the steps that part from it what stays.
func (c *compiler) below(m *Mutation) (doomed []graph.Ref, partings []graph.Step, err error) {
	doomed, known := []graph.Ref{m.Node}, map[graph.Ref]bool{m.Node: true}
	for i, level := 0, 0; i < len(doomed); i++ {
		if i == level {
			if err := c.descend(doomed[level:]); err != nil {
				return nil, nil, err
			}
			level = len(doomed)
		}
		r := doomed[i]
		if s := c.nodes[r]; r.Type == Tombstone && s.node != nil {
			doomed = append(doomed, partsOf(s.node)...)
		}
		for _, e := range c.edgesAt(r, true) {
			child := e.From
			if e.Kind != graph.ChildOf || known[child] {
				continue
			}
			if !goesAlong(child.Type) && !m.Cascade {
				return nil, nil, &graph.Error{Kind: graph.InUse, Msg: fmt.Sprintf("%s has children; delete them first or ask to cascade", m.Node), Ref: m.Node}
			}
			if child.Type != APIKey && c.outlives(child, r, known) {
				// It lives on below another parent; only the edge goes.
				partings = append(partings, graph.Unlink(e.EdgeKey))
				if child.Type != Tombstone {
					partings = append(partings, graph.Touch(child))
				}
				continue
			}
			if err := c.mayTake(child, m.Node); err != nil {
				return nil, nil, err
			}
			known[child] = true
			doomed = append(doomed, child)
		}
		if len(doomed) > graph.MaxSteps/4 {
			return nil, nil, graph.Errorf(graph.TooLarge, "more than %d nodes are below %s: delete parts of it first", graph.MaxSteps/4, m.Node)
		}
	}
	return doomed, partings, nil
}

// goesAlong tells whether nodes of the type are no children that anybody would
// have to delete first.
func goesAlong(t graph.Type) bool { return t == APIKey || t == Tombstone || t == Upload }

// descend reads what below wants to know of the nodes.
func (c *compiler) descend(refs []graph.Ref) error {
	var look, tombstones []graph.Ref
	for _, r := range refs {
		switch r.Type {
		case TombstonePart: // nothing leads to it
		case Tombstone:
			tombstones = append(tombstones, r)
			fallthrough
		default:
			look = append(look, r)
		}
	}
	if err := c.states(tombstones); err != nil {
		return err
	}
	return c.lookAt(look)
}

// mayTake refuses unless the caller may delete what is below the node.
func (c *compiler) mayTake(child, top graph.Ref) error {
	if _, made := c.made(child); !made && !c.auth.Exists(child) {
		// It came after the index's revision: the batch will find that the edges
		// of its parent are newer, and all of this is looked at again.
		return nil
	}
	var err error
	switch child.Type {
	case APIKey, Upload:
	case Tombstone:
		var s *state
		if s, err = c.state(child); err == nil && s.node != nil {
			err = c.mayErase(s.node)
		}
	default:
		err = c.need(string(child.Type)+":delete", child)
	}
	var e *graph.Error
	if errors.As(err, &e) && e.Kind == graph.Denied {
		hidden := graph.Errorf(graph.Denied, "something below %s may not be deleted by the caller", top)
		hidden.Ref, hidden.Permission = top, e.Permission
		return hidden
	}
	return err
}

// outlives tells whether a child of r stays when r goes. What has a home goes
// with it and with nothing else; other things go with the last of their parents.
func (c *compiler) outlives(child, r graph.Ref, gone map[graph.Ref]bool) bool {
	if hasHome(child.Type) {
		return r.Type == Team
	}
	parents := c.auth.Parents(child)
	if s := c.nodes[child]; s != nil && s.parents != nil {
		parents = s.parents
	}
	return slices.ContainsFunc(parents, func(p graph.Ref) bool { return !gone[p] })
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

// bury does what the end of a node asks for beyond its own edges. It returns the
// edges that it takes away.
func (c *compiler) bury(r graph.Ref, cascade bool) ([]graph.Edge, error) {
	switch r.Type {
	case Role:
		return c.buryRole(r, cascade)
	case ResourceType:
		return nil, c.buryType(r)
	}
	return nil, nil
}

// buryRole refuses while the role is granted or inherited from, or takes
// those grants away.
func (c *compiler) buryRole(r graph.Ref, cascade bool) (taken []graph.Edge, err error) {
	s := graph.RequireLeaf(r, graph.Inherits)
	s.Msg = "other roles inherit from " + r.String()
	c.add(s)
	q := graph.Question{Name: graph.EdgesByKey, Kind: graph.CanAccess, Key: r.ID, Limit: graph.MaxPage}
	c.guard(graph.RequireUnchanged(graph.CanAccess, r.ID, c.auth.Revision()))
	for {
		a, err := c.s.graph.Store().Ask(c.ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range a.Edges {
			if c.gone(a.Edges[i].EdgeKey) {
				continue
			}
			if !cascade {
				return nil, &graph.Error{Kind: graph.InUse, Msg: fmt.Sprintf("the role %s is still granted; take the grants back first or ask to cascade", r.ID), Ref: r}
			}
			c.add(graph.Unlink(a.Edges[i].EdgeKey))
			taken = append(taken, a.Edges[i])
		}
		if a.Next == "" {
			return taken, nil
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
