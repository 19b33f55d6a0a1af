package identity

import (
	"slices"

	"trellis/graph"
)

// standardActions are what can be done to a node of any type, whether its
// type names them or not.
var standardActions = []string{"create", "read", "update", "delete"}

// reserved are the types of nodes that the service keeps for itself, now or
// later; a registered type of that name would open them to callers.
var reserved = []string{"access", "audit", "change", "session", "credential", "identity", "mfa", "mail", "signing_key", "idempotency_key", "audit_chain", "manifest_part"}

// makeType checks a new resource type.
func (c *compiler) makeType(r graph.Ref, p graph.Props) error {
	if !graph.Type(r.ID).Valid() {
		return wrong("/node", "%.80q cannot be the name of a type: want a lower-case letter, then letters, digits or underscores", r.ID)
	}
	if Known(graph.Type(r.ID)) || slices.Contains(reserved, r.ID) {
		return wrong("/node", "the type %s belongs to Trellis itself", r.ID)
	}
	return c.checkParentTypes(r, p)
}

func (c *compiler) checkParentTypes(r graph.Ref, p graph.Props) error {
	if p["name"] == nil {
		p["name"] = r.ID
	}
	if len(p.Strings("parents")) == 0 {
		p["parents"] = []string{string(graph.Root.Type)}
	}
	for _, t := range p.Strings("parents") {
		if t == r.ID || t == string(graph.Root.Type) {
			continue
		}
		if t == string(Upload) {
			return wrong("/data/parents", "nothing can be below an upload")
		}
		s, err := c.state(graph.Ref{Type: ResourceType, ID: t})
		if err != nil {
			return err
		}
		if s.node == nil {
			return wrong("/data/parents", "there is no resource type %s", t)
		}
	}
	return nil
}

// editType checks a type's change. An action that a role still grants stays.
func (c *compiler) editType(r graph.Ref, before, after graph.Props) error {
	if err := c.checkParentTypes(r, after); err != nil {
		return err
	}
	for _, a := range before.Strings("actions") {
		if slices.Contains(after.Strings("actions"), a) || slices.Contains(standardActions, a) {
			continue
		}
		p := graph.Ref{Type: Permission, ID: r.ID + ":" + a}
		s := graph.RequireLeaf(p, graph.Grants)
		s.Msg = "the action " + a + " is still granted by a role"
		c.add(s)
		c.add(graph.Delete(p))
		delete(c.nodes, p)
		c.nodes[p] = &state{}
	}
	c.linkType(r, before, after)
	return nil
}

// linkType makes the permissions of a type's new actions.
func (c *compiler) linkType(r graph.Ref, before, after graph.Props) {
	var had []string
	if before != nil {
		had = append(slices.Clone(standardActions), before.Strings("actions")...)
	}
	want := append(slices.Clone(standardActions), after.Strings("actions")...)
	slices.Sort(want)
	for _, a := range slices.Compact(want) {
		if !slices.Contains(had, a) {
			c.permission(r.ID, a)
		}
	}
}

func (c *compiler) permission(t, action string) {
	r := graph.Ref{Type: Permission, ID: t + ":" + action}
	n := graph.Node{Ref: r, Props: graph.Props{"name": r.ID}}
	c.add(graph.Put(n))
	c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: graph.ChildOf, To: Vocabulary}}))
	c.nodes[r] = &state{node: &n}
}
