package catalog_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/graphtest"
)

// naive answers the same questions by looking at every node and edge.
type naive struct{ o *graphtest.Oracle }

var docTypes = []graph.Type{"organization", "team", "project", "project_type", "environment", "tag", "link_definition", "third_party_service", "application", "webhook", "blueprint"}

var ends = map[graph.Kind][2]graph.Type{
	"OF_TYPE": {"project", "project_type"}, "DEPLOYED_IN": {"project", "environment"}, "DEPENDS_ON": {"project", "project"},
	"TAGGED": {"project", "tag"}, "HAS_LINK": {"project", "link_definition"}, "EXISTS_IN": {"project", "third_party_service"},
	"MANAGED_BY": {"third_party_service", "team"}, "IMPLEMENTED_BY": {"webhook", "third_party_service"},
}

var facetKinds = map[string]graph.Kind{
	"type": "OF_TYPE", "tag": "TAGGED", "environment": "DEPLOYED_IN", "team": "CHILD_OF", "service": "EXISTS_IN",
	"link": "HAS_LINK", "depends_on": "DEPENDS_ON", "manager": "MANAGED_BY",
}

func isDoc(r graph.Ref) bool { return slices.Contains(docTypes, r.Type) }

// edges lists the catalog's edges.
func (v naive) edges() (out []*graph.Edge) {
	for k, e := range v.o.Edges {
		place := isDoc(k.To) || k.To.Type == "platform"
		switch ends, ok := ends[k.Kind]; {
		case k.Key != "":
		case ok && ends == [2]graph.Type{k.From.Type, k.To.Type}, k.Kind == graph.ChildOf && place && (isDoc(k.From) || k.From.Type == "platform"):
			out = append(out, e)
		}
	}
	return out
}

func (v naive) parents(r graph.Ref) (out []graph.Ref) {
	for _, e := range v.edges() {
		if e.Kind == graph.ChildOf && e.From == r {
			out = append(out, e.To)
		}
	}
	return out
}

func (v naive) readable(r graph.Ref, s catalog.Scope) bool {
	if s.All || slices.Contains(s.Places, graph.Root) {
		return true
	}
	up := []graph.Ref{r}
	for i := 0; i < len(up); i++ {
		if slices.Contains(s.Places, up[i]) {
			return true
		}
		for _, p := range v.parents(up[i]) {
			if !slices.Contains(up, p) {
				up = append(up, p)
			}
		}
	}
	return false
}

func (v naive) targets(r graph.Ref, kind graph.Kind) (out []graph.Ref) {
	for _, e := range v.edges() {
		if e.Kind == kind && e.From == r {
			out = append(out, e.To)
		}
	}
	return out
}

func (v naive) attributes(r graph.Ref, name string) (out []string) {
	var m map[string]any
	text, _ := v.o.Nodes[r].Props["attributes"].(graph.JSON)
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	_ = d.Decode(&m)
	add := func(v any) {
		switch v.(type) {
		case string, bool, json.Number:
			out = append(out, fmt.Sprint(v))
		}
	}
	if list, ok := m[name].([]any); ok {
		for _, e := range list {
			add(e)
		}
	} else {
		add(m[name])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (v naive) words(r graph.Ref) []string {
	n := v.o.Nodes[r]
	out := append(graph.Words(n.Props.String("name")), graph.Words(n.Props.String("slug"))...)
	ids, _ := n.Props["identifiers"].(graph.JSON)
	var m map[string]any
	_ = json.Unmarshal([]byte(ids), &m)
	for _, v := range m {
		s, _ := v.(string)
		out = append(out, graph.Words(s)...)
	}
	return out
}

// match lists what passes, in no order.
func (v naive) match(q catalog.Query, but string) (out []graph.Ref) {
	for r, n := range v.o.Nodes {
		if !isDoc(r) || q.Type != "" && r.Type != q.Type || !v.readable(r, q.Scope) {
			continue
		}
		if !q.Organization.IsZero() && n.Props.String("organization") != q.Organization.ID {
			continue
		}
		if v.passes(r, &q.Filter, but) {
			out = append(out, r)
		}
	}
	return out
}

func (v naive) passes(r graph.Ref, f *catalog.Filter, but string) bool {
	for kind, refs := range f.Relations {
		if but != "" && facetKinds[but] == kind {
			continue
		}
		if !slices.ContainsFunc(v.targets(r, kind), func(t graph.Ref) bool { return slices.Contains(refs, t) }) {
			return false
		}
	}
	for name, values := range f.Attributes {
		if but == "attributes."+name {
			continue
		}
		if !slices.ContainsFunc(v.attributes(r, name), func(s string) bool { return slices.Contains(values, s) }) {
			return false
		}
	}
	for _, w := range graph.Words(f.Text) {
		if !slices.ContainsFunc(v.words(r), func(have string) bool { return strings.HasPrefix(have, w) }) {
			return false
		}
	}
	return f.Archived == nil || but == "archived" || *f.Archived == v.o.Nodes[r].Props.Bool("archived")
}

func (v naive) compare(sort string, a, b graph.Ref) int {
	x, y := v.o.Nodes[a], v.o.Nodes[b]
	switch sort {
	case "created":
		return cmp.Or(x.Created.Compare(y.Created), graph.CompareRefs(a, b))
	case "updated":
		return cmp.Or(x.Updated.Compare(y.Updated), graph.CompareRefs(a, b))
	}
	by := cmp.Or(cmp.Compare(x.Props.String("slug"), y.Props.String("slug")), graph.CompareRefs(a, b))
	if sort == "slug" {
		return by
	}
	return cmp.Or(cmp.Compare(strings.ToLower(x.Props.String("name")), strings.ToLower(y.Props.String("name"))), by)
}

func (v naive) sort(by string, refs []graph.Ref) []graph.Ref {
	bare, reverse := strings.CutPrefix(by, "-")
	slices.SortFunc(refs, func(a, b graph.Ref) int {
		if reverse {
			a, b = b, a
		}
		return v.compare(bare, a, b)
	})
	return refs
}

func (v naive) card(r graph.Ref) catalog.Card {
	n := v.o.Nodes[r]
	if n == nil {
		return catalog.Card{Ref: r}
	}
	return catalog.Card{Ref: r, Slug: n.Props.String("slug"), Name: n.Props.String("name")}
}

// facet counts the values of one facet.
func (v naive) facet(q catalog.Query, name string) (out []catalog.Count) {
	type value struct {
		text string
		node graph.Ref
	}
	counts := map[value]int{}
	for _, r := range v.match(q, name) {
		attribute, isAttribute := strings.CutPrefix(name, "attributes.")
		switch {
		case isAttribute:
			for _, s := range v.attributes(r, attribute) {
				counts[value{text: s}]++
			}
		case name == "archived":
			counts[value{text: fmt.Sprint(v.o.Nodes[r].Props.Bool("archived"))}]++
		case name == "node_type":
			counts[value{text: string(r.Type)}]++
		case name == "organization":
			if id := v.o.Nodes[r].Props.String("organization"); id != "" {
				counts[value{node: graph.Ref{Type: "organization", ID: id}}]++
			}
		default:
			for _, t := range v.targets(r, facetKinds[name]) {
				if name != "team" || t.Type == "team" && r.Type == "project" {
					counts[value{node: t}]++
				}
			}
		}
	}
	for val, n := range counts {
		c := catalog.Count{Value: val.text, N: n}
		if !val.node.IsZero() {
			c.Node = v.card(val.node)
			c.Value = c.Node.Slug
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b catalog.Count) int {
		if a.N != b.N {
			return b.N - a.N
		}
		if a.Node.Ref.IsZero() {
			return strings.Compare(a.Value, b.Value)
		}
		switch x, y := v.o.Nodes[a.Node.Ref] != nil, v.o.Nodes[b.Node.Ref] != nil; {
		case x && y:
			return v.compare("name", a.Node.Ref, b.Node.Ref)
		case x:
			return -1
		case y:
			return 1
		}
		return strings.Compare(a.Node.Ref.ID, b.Node.Ref.ID)
	})
	return out[:min(len(out), cmp.Or(q.FacetValues, 20))]
}

func (v naive) relations(r graph.Ref) (out []catalog.Relation) {
	for _, e := range v.edges() {
		if e.From == r && (e.Kind != graph.ChildOf || e.To.Type == "team") {
			out = append(out, v.relation(e, e.To))
		}
	}
	slices.SortFunc(out, func(a, b catalog.Relation) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), v.compare("name", a.Node.Ref, b.Node.Ref))
	})
	return out
}

func (v naive) relation(e *graph.Edge, other graph.Ref) catalog.Relation {
	r := catalog.Relation{Kind: e.Kind, Node: v.card(other)}
	if len(e.Props) > 0 && e.Kind != graph.ChildOf {
		r.Props = e.Props
	}
	return r
}

func (v naive) sources(kind graph.Kind, to graph.Ref, from graph.Type, s catalog.Scope) (out []catalog.Relation) {
	for _, e := range v.edges() {
		if e.Kind == kind && e.To == to && isDoc(e.From) && (from == "" || e.From.Type == from) && v.readable(e.From, s) {
			out = append(out, v.relation(e, e.From))
		}
	}
	slices.SortFunc(out, func(a, b catalog.Relation) int { return v.compare("name", a.Node.Ref, b.Node.Ref) })
	return out
}

// walk works out what is within the depth; without a limit.
func (v naive) walk(q catalog.WalkQuery) (nodes []catalog.WalkNode, edges map[catalog.WalkEdge]bool, cyclic map[graph.Ref]bool, more bool) {
	all := map[catalog.WalkEdge]bool{}
	for _, e := range v.edges() {
		if e.Kind == "DEPENDS_ON" && v.readable(e.From, q.Scope) && v.readable(e.To, q.Scope) {
			all[catalog.WalkEdge{From: e.From, To: e.To}] = true
		}
	}
	depth := map[graph.Ref]int{q.Start: 0}
	for d := 1; d <= q.Depth+1; d++ {
		for e := range all {
			from, to := e.From, e.To
			if q.Dependents {
				from, to = to, from
			}
			at, ok := depth[from]
			if _, met := depth[to]; ok && at == d-1 && !met {
				if d > q.Depth {
					more = true
				} else {
					depth[to] = d
				}
			}
		}
	}
	for r, d := range depth {
		nodes = append(nodes, catalog.WalkNode{Card: v.card(r), Depth: d})
	}
	slices.SortFunc(nodes, func(a, b catalog.WalkNode) int { return cmp.Or(a.Depth-b.Depth, v.compare("name", a.Ref, b.Ref)) })
	edges = map[catalog.WalkEdge]bool{}
	for e := range all {
		_, from := depth[e.From]
		_, to := depth[e.To]
		if from && to {
			edges[e] = true
		}
	}
	cyclic = map[graph.Ref]bool{}
	for start := range depth {
		met := map[graph.Ref]bool{}
		for todo := []graph.Ref{start}; len(todo) > 0; todo = todo[1:] {
			for e := range edges {
				if e.From == todo[0] && !met[e.To] {
					met[e.To] = true
					todo = append(todo, e.To)
				}
			}
		}
		cyclic[start] = met[start]
	}
	return nodes, edges, cyclic, more
}
