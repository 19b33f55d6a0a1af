package catalog_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"trellis/graph"
	"trellis/graph/catalog"
)

// world makes random catalogs and questions about them, out of choices.
type world struct {
	pick  func(n int) int // 0 to n-1
	sizes map[graph.Type]int
	now   time.Time
}

func smallWorld(pick func(n int) int) *world {
	return &world{pick: pick, now: time.UnixMilli(1_750_000_000_000).UTC(), sizes: map[graph.Type]int{
		"organization": 3, "team": 4, "project": 12, "project_type": 3, "environment": 2, "tag": 3, "link_definition": 2,
		"third_party_service": 2, "application": 2, "webhook": 2, "blueprint": 2, "user": 2,
	}}
}

var worldTypes = []graph.Type{"organization", "team", "project", "project", "project", "project", "project_type", "environment", "tag", "link_definition", "third_party_service", "application", "webhook", "blueprint", "user"}

func (w *world) ref(types ...graph.Type) graph.Ref {
	t := types[w.pick(len(types))]
	return graph.Ref{Type: t, ID: fmt.Sprintf("%s%d", t[:2], w.pick(w.sizes[t]))}
}

func oneOf[T any](w *world, values ...T) T { return values[w.pick(len(values))] }

func (w *world) node(r graph.Ref) graph.Step {
	p := graph.Props{
		"slug": oneOf(w, "api", "web", "core", "billing", r.ID),
		"name": oneOf(w, "Billing API", "billing web", "Core", "ÄPFEL & core", "äpfel", "billing long name one", "Billing long name two", ""),
	}
	if r.Type != "organization" && w.pick(5) > 0 {
		p["organization"] = w.ref("organization").ID
	}
	if w.pick(3) == 0 {
		p["archived"] = true
	}
	if w.pick(2) == 0 {
		p["attributes"] = graph.JSON(oneOf(w, `{"language":"go","tier":1}`, `{"language":["go","java",["no"],"go"]}`, `{"language":"java","tier":1.5,"public":true}`, `{"tier":{"deep":1},"language":null}`, `{"owner":"`+r.ID+`"}`))
	}
	if w.pick(3) == 0 {
		p["identifiers"] = graph.JSON(oneOf(w, `{"jira":"BILL-1","repo":"acme/web"}`, `{"jira":7}`, `{"x":"goods"}`))
	}
	return graph.Put(graph.Node{Ref: r, Props: p})
}

func (w *world) edge() graph.EdgeKey {
	kinds := []graph.Kind{"CHILD_OF", "CHILD_OF", "CHILD_OF", "DEPENDS_ON", "DEPENDS_ON", "OF_TYPE", "DEPLOYED_IN", "TAGGED", "HAS_LINK", "EXISTS_IN", "MANAGED_BY", "IMPLEMENTED_BY"}
	k := graph.EdgeKey{Kind: kinds[w.pick(len(kinds))]}
	if e, ok := ends[k.Kind]; ok && w.pick(12) > 0 {
		k.From, k.To = w.ref(e[0]), w.ref(e[1])
		return k
	}
	k.From = w.ref(worldTypes...)
	switch w.pick(6) {
	case 0:
		k.To = w.ref(worldTypes...)
	case 1, 2:
		k.To = w.ref("team")
	case 3:
		k.To = graph.Ref{Type: "platform", ID: "vocabulary"}
	default:
		k.To = w.ref("organization", "third_party_service")
	}
	if w.pick(20) == 0 {
		k.Key = "another"
	}
	return k
}

func (w *world) step() graph.Step {
	switch n := w.pick(20); {
	case n < 5:
		return w.node(w.ref(worldTypes...))
	case n < 7:
		return graph.Delete(w.ref(worldTypes...))
	case n < 10:
		return graph.Unlink(w.edge())
	case n == 10:
		return graph.Touch(w.ref(worldTypes...))
	}
	e := graph.Edge{EdgeKey: w.edge()}
	if w.pick(2) == 0 {
		e.Props = graph.Props{"url": fmt.Sprintf("https://%d.example.com", w.pick(3)), "identifier": `a "b"`}
	}
	return graph.Link(e)
}

func (w *world) batch(steps ...graph.Step) graph.Batch {
	w.now = w.now.Add(time.Duration(w.pick(3)) * time.Millisecond)
	return graph.Batch{ID: "b", Time: w.now, Actor: graph.Root, Steps: steps}
}

// start makes most nodes, and random makes changes one by one, since a step
// that cannot be done refuses its batch.
func (w *world) start() (group []graph.Batch) {
	steps := []graph.Step{graph.Put(graph.Node{Ref: graph.Ref{Type: "platform", ID: "vocabulary"}})}
	for _, t := range slices.Sorted(maps.Keys(w.sizes)) {
		n := w.sizes[t]
		for i := range n {
			if i == 0 || w.pick(6) > 0 {
				steps = append(steps, w.node(graph.Ref{Type: t, ID: fmt.Sprintf("%s%d", t[:2], i)}))
			}
		}
	}
	group = append(group, w.batch(steps...))
	return append(group, w.random(60)...)
}

func (w *world) random(n int) (group []graph.Batch) {
	for range n {
		group = append(group, w.batch(w.step()))
	}
	return group
}

func (w *world) scope() catalog.Scope {
	s := catalog.Scope{All: w.pick(4) == 0}
	for range w.pick(4) {
		s.Places = append(s.Places, w.ref(worldTypes...))
	}
	switch w.pick(12) {
	case 0:
		s.Places = append(s.Places, graph.Root)
	case 1:
		s.Places = append(s.Places, graph.Ref{Type: "platform", ID: "vocabulary"})
	}
	return s
}

func (w *world) query() catalog.Query {
	q := catalog.Query{Type: "project", Scope: w.scope(), Total: true, Filter: w.filter()}
	switch w.pick(6) {
	case 0:
		q.Type = ""
	case 1:
		q.Type = docTypes[w.pick(len(docTypes))]
	}
	if w.pick(3) == 0 {
		q.Organization = w.ref("organization")
	}
	q.Sort = oneOf(w, "", "name", "-name", "slug", "-slug", "created", "-created", "updated", "-updated")
	q.Facets = []string{"organization", "type", "tag", "environment", "team", "service", "link", "depends_on", "manager", "archived", "node_type", "attributes.language"}
	if w.pick(2) == 0 {
		q.Facets[11] = oneOf(w, "attributes.tier", "attributes.owner", "attributes.none")
	}
	q.FacetValues = oneOf(w, 0, 1, 2)
	return q
}

func (w *world) filter() (f catalog.Filter) {
	for _, kind := range slices.Sorted(maps.Keys(ends)) {
		e := ends[kind]
		if w.pick(12) == 0 {
			f.Relations = withRef(f.Relations, kind, w.ref(e[1]), w.ref(e[1]))
		}
	}
	if w.pick(8) == 0 {
		f.Relations = withRef(f.Relations, graph.ChildOf, w.ref("team", "organization"), w.ref("team", "third_party_service"))
	}
	if w.pick(5) == 0 {
		f.Attributes = map[string][]string{"language": {oneOf(w, "go", "java", "no"), "java"}}
	}
	if w.pick(8) == 0 {
		f.Attributes = map[string][]string{"tier": {oneOf(w, "1", "1.5", "2")}, "owner": {"pr1", "pr2", "pr3"}}
	}
	if w.pick(4) == 0 {
		f.Text = oneOf(w, "b", "bill", "billing long", "ÄP", "core", "acme web", "goods", "LO na on", "zzz")
	}
	if w.pick(4) == 0 {
		archived := w.pick(2) == 0
		f.Archived = &archived
	}
	return f
}

func withRef(m map[graph.Kind][]graph.Ref, k graph.Kind, refs ...graph.Ref) map[graph.Kind][]graph.Ref {
	if m == nil {
		m = map[graph.Kind][]graph.Ref{}
	}
	m[k] = refs
	return m
}
