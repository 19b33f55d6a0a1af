package identity

import (
	"slices"
	"strings"

	"trellis/graph"
)

// maxRoles bounds how many roles one role may inherit from, all levels.
const maxRoles = 1000

// makeRole checks a new role. It is granted nowhere yet, so it gives nothing
// away, whatever it holds.
func (c *compiler) makeRole(r graph.Ref, p graph.Props) error {
	if err := c.checkPermissions(p.Strings("permissions")); err != nil {
		return err
	}
	return c.checkInherits(r, p.Strings("inherits"), p.String("organization"))
}

// editRole checks a role's change: what it comes to grant, the caller must
// hold wherever the role, or one that inherits from it, is granted.
func (c *compiler) editRole(r graph.Ref, before, after graph.Props) error {
	if err := c.makeRole(r, after); err != nil {
		return err
	}
	was, _, err := c.rolePermissions(r.ID)
	if err != nil {
		return err
	}
	added := slices.Clone(after.Strings("permissions"))
	for _, i := range after.Strings("inherits") {
		p, _, err := c.rolePermissions(i)
		if err != nil {
			return err
		}
		added = append(added, p...)
	}
	added = slices.DeleteFunc(added, func(p string) bool { return slices.Contains(was, p) })
	slices.Sort(added)
	if added = slices.Compact(added); len(added) > 0 {
		c.fixRoles()
		for _, q := range c.auth.RolesInheriting(r.ID) {
			c.guard(graph.RequireUnchanged(graph.CanAccess, q, c.auth.Revision()))
			for _, place := range c.auth.PlacesOfRole(q) {
				if err := c.cover(place, added, "this role"); err != nil {
					return err
				}
			}
		}
		if err := c.coverGrantsOfBatch(r.ID, added); err != nil {
			return err
		}
	}
	c.linkRole(r, before, after)
	return nil
}

// coverGrantsOfBatch does for the grants that this batch makes what
// PlacesOfRole does for those that are.
func (c *compiler) coverGrantsOfBatch(role string, added []string) error {
	for i := range c.steps {
		s := &c.steps[i]
		if s.Op != graph.PutEdge || s.Edge.Kind != graph.CanAccess || s.Edge.Key == "" {
			continue
		}
		if reach, err := c.inherits(s.Edge.Key, role); err != nil || !reach {
			if err != nil {
				return err
			}
			continue
		}
		if err := c.cover(s.Edge.To, added, "this role"); err != nil {
			return err
		}
	}
	return nil
}

// inherits tells whether role is, or inherits from, base.
func (c *compiler) inherits(role, base string) (bool, error) {
	found := false
	_, err := c.walkRoles(role, func(id string) { found = found || id == base })
	return found, err
}

// linkRole keeps the edges that permissions are found by in step with the
// role's own lists.
func (c *compiler) linkRole(r graph.Ref, before, after graph.Props) {
	c.relink(r, graph.Grants, Permission, before.Strings("permissions"), after.Strings("permissions"))
	c.relink(r, graph.Inherits, Role, before.Strings("inherits"), after.Strings("inherits"))
}

func (c *compiler) relink(r graph.Ref, k graph.Kind, t graph.Type, before, after []string) {
	edge := func(id string) graph.EdgeKey {
		return graph.EdgeKey{From: r, Kind: k, To: graph.Ref{Type: t, ID: id}}
	}
	for _, id := range before {
		if !slices.Contains(after, id) {
			c.add(graph.Unlink(edge(id)))
		}
	}
	for _, id := range after {
		if slices.Contains(before, id) {
			continue
		}
		if k == graph.Inherits {
			c.add(graph.RequireAcyclic(r, k, graph.Ref{Type: t, ID: id}))
		}
		c.add(graph.Link(graph.Edge{EdgeKey: edge(id)}))
	}
}

// checkPermissions makes sure that every name stands for a permission, and
// makes the nodes of wildcards, which exist once somebody uses them.
func (c *compiler) checkPermissions(names []string) error {
	for _, n := range names {
		ok, err := c.permissionExists(n)
		if err != nil {
			return err
		}
		if !ok {
			return wrong("/data/permissions", "there is no permission %s", n)
		}
		if strings.Contains(n, "*") {
			c.wildcard(n)
		}
	}
	return nil
}

func (c *compiler) wildcard(name string) {
	r := graph.Ref{Type: Permission, ID: name}
	c.add(graph.Put(graph.Node{Ref: r}))
	c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: graph.ChildOf, To: Vocabulary}}))
}

// permissionExists tells whether a permission of this name has been declared;
// a wildcard, whether its type has been.
func (c *compiler) permissionExists(name string) (bool, error) {
	t, a, _ := strings.Cut(name, ":")
	if name == "*" || t == "*" {
		return true, nil
	}
	if a == "*" {
		s, err := c.state(graph.Ref{Type: ResourceType, ID: t})
		return err == nil && s.node != nil, err
	}
	r := graph.Ref{Type: Permission, ID: name}
	if _, ok := c.nodes[r]; !ok && c.auth.Exists(r) {
		return true, nil
	}
	s, err := c.state(r)
	return err == nil && s.node != nil, err
}

// checkInherits makes sure that the roles exist and may be used there.
func (c *compiler) checkInherits(r graph.Ref, ids []string, org string) error {
	for _, id := range ids {
		if id == r.ID {
			return &graph.Error{Kind: graph.Cycle, Msg: "a role cannot inherit from itself", Ref: r, Fields: []graph.Field{{Pointer: "/data/inherits", Msg: "is the role itself"}}}
		}
		s, err := c.state(graph.Ref{Type: Role, ID: id})
		if err != nil {
			return err
		}
		if s.node == nil {
			return wrong("/data/inherits", "there is no role %.80q", id)
		}
		if owner := s.node.Props.String("organization"); owner != "" && owner != org {
			return wrong("/data/inherits", "the role %s belongs to another organization", id)
		}
		c.add(graph.Require(graph.Ref{Type: Role, ID: id}))
	}
	return nil
}

// rolePermissions returns all that a role grants, as the batch so far leaves
// it; false if there is no such role.
func (c *compiler) rolePermissions(id string) ([]string, bool, error) {
	if !c.rolesWritten {
		p, ok := c.auth.RolePermissions(id)
		return p, ok, nil
	}
	var out []string
	ok, err := c.walkRoles(id, func(role string) {
		out = append(out, c.nodes[graph.Ref{Type: Role, ID: role}].node.Props.Strings("permissions")...)
	})
	slices.Sort(out)
	return slices.Compact(out), ok, err
}

// walkRoles calls visit for the role and every role it inherits from.
func (c *compiler) walkRoles(id string, visit func(id string)) (bool, error) {
	seen := map[string]bool{id: true}
	for queue := []string{id}; len(queue) > 0; queue = queue[1:] {
		s, err := c.state(graph.Ref{Type: Role, ID: queue[0]})
		if err != nil {
			return false, err
		}
		if s.node == nil {
			if queue[0] == id && len(seen) == 1 {
				return false, nil
			}
			continue
		}
		visit(queue[0])
		for _, i := range s.node.Props.Strings("inherits") {
			if !seen[i] && len(seen) < maxRoles {
				seen[i] = true
				queue = append(queue, i)
			}
		}
	}
	return true, nil
}
