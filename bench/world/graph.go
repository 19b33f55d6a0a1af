package world

import "slices"

// Edge is one edge of the graph that Trellis keeps of the world. Nodes are
// written type:id.
type Edge struct {
	From, Kind, To string
	Key            string // of a grant: the role
}

// Graph returns what Trellis keeps: the nodes and the edges between them.
func (w *World) Graph() (nodes []string, edges []Edge) {
	node := func(ref, parent string) {
		nodes = append(nodes, ref)
		edges = append(edges, Edge{ref, "CHILD_OF", parent, ""})
	}
	member := func(of, in string) { edges = append(edges, Edge{of, "MEMBER_OF", in, ""}) }
	grant := func(to, on string, l Level) {
		if l != None {
			edges = append(edges, Edge{to, "CAN_ACCESS", on, "repo-" + l.String()})
		}
	}
	const root = "platform:root"
	nodes = append(nodes, root)
	for _, p := range w.People {
		node("user:"+p, root)
	}
	for _, o := range w.Orgs {
		org := "organization:" + o.Name
		node(org, root)
		grant(org, org, o.Default)
		for _, m := range slices.Concat(o.Admins, o.Members) {
			member("user:"+m, org)
		}
		for _, m := range o.Admins {
			grant("user:"+m, org, Admin)
		}
	}
	for _, r := range w.Repos {
		node("repo:"+r.ID, "organization:"+r.Org.Name)
	}
	for _, t := range w.Teams {
		team := "team:" + t.ID()
		node(team, "organization:"+t.Org.Name)
		if t.Parent != nil {
			member(team, "team:"+t.Parent.ID())
		}
		for _, m := range t.Members {
			member("user:"+m, team)
		}
		for _, r := range sorted(t.Grants) {
			grant(team, "repo:"+t.Org.Name+"/"+r, t.Grants[r])
		}
	}
	return nodes, edges
}
