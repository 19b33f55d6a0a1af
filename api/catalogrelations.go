package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
)

// Dependencies are the projects that one depends on, or that depend on it,
// directly or through others.
type Dependencies struct {
	Items []Dependency `json:"items" doc:"In order of distance, then name" nullable:"false"`
	Edges []DependsOn  `json:"edges" doc:"Every dependency among the project and the items" nullable:"false"`
	// Cycles name their members by slug.
	Cycles    [][]string `json:"cycles" doc:"Groups of projects that all depend on one another, by slug" nullable:"false"`
	Truncated bool       `json:"truncated" doc:"There is more, beyond the depth or the limit"`
}

// Dependency is one of them.
type Dependency struct {
	ID    string `json:"id"`
	Slug  string `json:"slug"`
	Name  string `json:"name,omitempty"`
	Depth int    `json:"depth" doc:"How many steps it is away; 1 is direct"`
}

// DependsOn says that one project depends on another.
type DependsOn struct {
	From string `json:"from" doc:"Slug of the project that depends"`
	To   string `json:"to" doc:"Slug of the project that it depends on"`
}

// ProjectServices are the third-party services that know a project.
type ProjectServices struct {
	Items []ProjectService `json:"items" doc:"By name; all of them" nullable:"false"`
}

// ProjectService is one of them.
type ProjectService struct {
	ID            string `json:"id"`
	Slug          string `json:"slug"`
	Name          string `json:"name,omitempty"`
	Identifier    string `json:"identifier,omitempty" doc:"What the project is called there"`
	CanonicalLink string `json:"canonical_link,omitempty" doc:"Where the project is there"`
}

// relationRoutes are those that follow relations from one node.
func relationRoutes() []route {
	project := "/organizations/{org}/projects/{project}"
	node := entryOf(identity.Project, "project", false)
	read := need{permission: "project:read", on: "the project"}
	walk := []param{
		number("depth", "How many steps to go", catalog.MaxDepth, catalog.MaxDepth),
		number("limit", "How many projects to show at most", catalog.MaxNodes, 500),
	}
	rows := []route{
		{method: get, path: "/projects", id: "listAllProjects", tag: "projects", summary: "List the projects of all organizations",
			doc:  "A slug has that of its organization before it, acme/api, unless organization is given.",
			self: "lists only what the caller may read", query: append([]param{text("organization", "Only the projects of this organization: its id or slug", graph.MaxID)}, findParams(identity.Project)...),
			node: organizationQuery, out: catalogList(identity.Project), handle: listOfCatalog(identity.Project)},
		{method: get, path: project + "/dependencies", id: "listProjectDependencies", tag: "projects", summary: "List what a project depends on, directly and through others",
			doc: "Paths through what the caller may not read are not followed.", needs: read, node: node, query: walk, out: Dependencies{}, handle: walked(false)},
		{method: get, path: project + "/dependents", id: "listProjectDependents", tag: "projects", summary: "List what depends on a project, directly and through others",
			doc: "Paths through what the caller may not read are not followed.", needs: read, node: node, query: walk, out: Dependencies{}, handle: walked(true)},
		{method: get, path: project + "/services", id: "listProjectServices", tag: "projects", summary: "List the third-party services that know a project",
			needs: read, node: node, out: ProjectServices{}, handle: listServices},
	}
	for _, k := range kinds() {
		kind, ok := counted[k.typ]
		if !ok {
			continue
		}
		var name string
		for _, r := range relatives[identity.Project] {
			if r.to == k.typ {
				name = r.name
			}
		}
		rows = append(rows, route{method: get, path: k.path + "/{" + k.param + "}/projects", id: k.operation("list") + "Projects", tag: k.plural,
			summary: "List the projects of a " + k.one, doc: "Lists only the projects that the caller may read.",
			needs: need{permission: string(k.typ) + ":read", on: "the " + k.one}, node: k.node, query: findParams(identity.Project, name), out: catalogList(identity.Project), handle: projectsOf(kind)})
	}
	return rows
}

// number is a whole number from 1 on.
func number(name, doc string, most, usual int) param {
	lo, hi := 1.0, float64(most)
	return param{name: name, doc: doc, schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &lo, Maximum: &hi, Default: usual}}
}

// organizationQuery resolves the parameter organization, if it is given.
func organizationQuery(c *call) (err error) {
	s, ok := c.query["organization"]
	if !ok {
		return nil
	}
	c.named = string(identity.Organization) + ":" + short(s)
	if c.ref, err = c.Identity.Resolve(c.ctx(), identity.Organization, graph.Ref{}, s); err != nil {
		return err
	}
	c.org = c.ref
	return c.enter(identity.Project)
}

func listOfCatalog(t graph.Type) func(*call) error {
	return func(c *call) error { return c.answerList(t, nil) }
}

// projectsOf lists the projects that lead to c.ref.
func projectsOf(kind graph.Kind) func(*call) error {
	return func(c *call) error {
		return c.answerList(identity.Project, map[graph.Kind][]graph.Ref{kind: {c.ref}})
	}
}

func walked(dependents bool) func(*call) error {
	return func(c *call) error {
		q := catalog.WalkQuery{Start: c.ref, Dependents: dependents, Depth: c.number("depth"), Limit: 500, Scope: c.scope(identity.Project)}
		if _, ok := c.query["limit"]; ok {
			q.Limit = c.number("limit")
		}
		if q.Limit < catalog.MaxNodes {
			q.Limit++ // the start is among the nodes
		}
		found, err := c.Catalog.Walk(q)
		if err != nil {
			return err
		}
		return c.json(http.StatusOK, dependencies(&found))
	}
}

func dependencies(w *catalog.Walk) Dependencies {
	out := Dependencies{Items: []Dependency{}, Edges: []DependsOn{}, Cycles: [][]string{}, Truncated: w.Truncated}
	slugs := map[graph.Ref]string{}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		if slugs[n.Ref] = n.Slug; n.Depth > 0 {
			out.Items = append(out.Items, Dependency{n.Ref.ID, n.Slug, n.Name, n.Depth})
		}
	}
	for _, e := range w.Edges {
		out.Edges = append(out.Edges, DependsOn{slugs[e.From], slugs[e.To]})
	}
	for _, refs := range w.Cycles {
		names := make([]string, len(refs))
		for i, r := range refs {
			names[i] = slugs[r]
		}
		out.Cycles = append(out.Cycles, names)
	}
	return out
}

func listServices(c *call) error {
	out := ProjectServices{Items: []ProjectService{}}
	for _, r := range c.Catalog.Relations(c.ref) {
		if r.Kind == identity.ExistsIn {
			out.Items = append(out.Items, ProjectService{r.Node.Ref.ID, r.Node.Slug, r.Node.Name, r.Props.String("identifier"), r.Props.String("canonical_link")})
		}
	}
	return c.json(http.StatusOK, out)
}
