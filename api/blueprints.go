package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
)

// Schema is a JSON Schema as an answer.
type Schema map[string]any

// Misfit is a node whose attributes are not as the blueprints want them.
type Misfit struct {
	Node         graph.Ref `json:"node" doc:"The node, as type:id"`
	Organization string    `json:"organization,omitempty" doc:"Id of the organization that it belongs to"`
	Slug         string    `json:"slug"`
	Name         string    `json:"name"`
	Errors       []Fault   `json:"errors" doc:"What is wrong, as the next change of the node would be told" nullable:"false"`
}

const schemaDoc = "The schemas of all blueprints that apply, merged. Each property names its blueprint in " + catalog.Mark + "."

func blueprintRoutes() []route {
	const org = "/organizations/{org}"
	schema := func(t graph.Type, path, noun string, node func(*call) error) route {
		return route{method: get, path: org + path + "/schema", id: kind{typ: t}.operation("schemaOf"), tag: "blueprints", summary: "Read the schema of a " + noun + "'s attributes", doc: schemaDoc,
			needs: need{permission: string(t) + ":read", on: "the " + noun}, node: node, out: Schema{}, handle: schemaOfNode}
	}
	misfits := func(path, id string, node func(*call) error) route {
		return route{method: get, path: path + "/misfits", id: id, tag: "blueprints", summary: "List the nodes that a blueprint applies to and that are not valid now",
			doc:   "Lists only what the caller may read, and no archived projects. A page may be short, or empty, and yet not be the last: next_cursor tells.",
			needs: need{permission: "blueprint:read", on: "the blueprint"}, node: node, query: paged(), out: Page[Misfit]{}, handle: listMisfits}
	}
	types := make([]any, 0, 5)
	for _, t := range []graph.Type{identity.Organization, identity.Project, identity.Team, identity.Environment, identity.ProjectType} {
		types = append(types, string(t))
	}
	return []route{
		schema(identity.Project, "/projects/{project}", "project", entryOf(identity.Project, "project", false)),
		schema(identity.Team, "/teams/{team}", "team", teamOf(false)),
		schema(identity.Environment, "/environments/{environment}", "environment", entryOf(identity.Environment, "environment", false)),
		schema(identity.ProjectType, "/project-types/{project_type}", "project type", entryOf(identity.ProjectType, "project_type", false)),
		{method: get, path: org + "/schema", id: "schemaOfOrganization", tag: "blueprints", summary: "Read the schema of the attributes of an organization, or of what is to be made in it", doc: schemaDoc,
			self: "whoever may see the organization, or read or make such nodes in it, may know what they are to be like", node: orgForSchema, out: Schema{}, handle: schemaOfNew,
			query: []param{
				{name: "applies_to", doc: "The type of node", schema: &huma.Schema{Type: huma.TypeString, Enum: types, Default: types[0]}},
				text("type", "Of a project: the slug of a project type that it is to have", 100).many(),
				text("environment", "Of a project: the slug of an environment that it is to be in", 100).many(),
			}},
		misfits(org+"/blueprints/{blueprint}", "listMisfits", entryOf(identity.Blueprint, "blueprint", false)),
		misfits("/blueprints/{id}", "listMisfitsOfGlobalBlueprint", entryOf(identity.Blueprint, "id", false)),
	}
}

// appliesTo reads the parameter of that name.
func (c *call) appliesTo() graph.Type {
	if t, ok := c.query["applies_to"]; ok {
		return graph.Type(t)
	}
	return identity.Organization
}

// orgForSchema resolves "{org}" for who may read or make nodes of the type in it.
func orgForSchema(c *call) error { return orgFor(c.appliesTo())(c) }

// formOf returns what the blueprints say of a node that is there.
func (c *call) formOf(r graph.Ref, organization string) (*catalog.Form, error) {
	q := catalog.FormQuery{Organization: organization, Type: r.Type}
	if r.Type == identity.Project {
		for _, rel := range c.Catalog.Relations(r) {
			switch {
			case rel.Kind == identity.OfType:
				q.ProjectTypes = append(q.ProjectTypes, rel.Node.Slug)
			case rel.Kind == identity.DeployedIn:
				q.Environments = append(q.Environments, rel.Node.Slug)
			}
		}
	}
	return c.Blueprints.Form(q)
}

func schemaOfNode(c *call) error {
	f, err := c.formOf(c.ref, c.org.ID)
	if err != nil {
		return err
	}
	return c.form(f)
}

func schemaOfNew(c *call) error {
	q := catalog.FormQuery{Organization: c.ref.ID, Type: c.appliesTo(), ProjectTypes: c.values["type"], Environments: c.values["environment"]}
	for _, name := range [...]string{"type", "environment"} {
		if q.Type != identity.Project && len(c.values[name]) > 0 {
			return badParameter(name, "only projects have one: ask with applies_to=project")
		}
	}
	f, err := c.Blueprints.Form(q)
	if err != nil {
		return err
	}
	return c.form(f)
}

// form answers with a merged schema, unless the caller has it.
func (c *call) form(f *catalog.Form) error {
	tag := `"` + f.Tag + `"`
	c.w.Header().Set("ETag", tag)
	tags, all, ok := entityTags(strings.ReplaceAll(c.r.Header.Get("If-None-Match"), "W/", ""))
	if ok && (all || slices.Contains(tags, f.Tag)) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	c.send(http.StatusOK, f.Schema)
	return nil
}

// mostExamined is how many nodes one request for misfits looks at.
const mostExamined = 2000

func listMisfits(c *call) error {
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{c.ref})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &graph.Error{Kind: graph.NotFound, Ref: c.ref}
	}
	t := graph.Type(found[0].Props.String("applies_to"))
	active := false
	q := catalog.Query{Type: t, Organization: c.org, Scope: c.scope(t), Filter: catalog.Filter{Archived: &active}}
	if q.After, err = c.after(); err != nil {
		return err
	}
	page := Page[Misfit]{Items: []Misfit{}}
	if t == identity.Organization && !c.org.IsZero() {
		// An organization is not one of what belongs to it.
		if c.visible(c.org) {
			page.Items, err = c.appendMisfits(page.Items, []graph.Ref{c.org})
		}
		if err != nil {
			return err
		}
		return c.json(http.StatusOK, page)
	}
	for examined := 0; examined < mostExamined && len(page.Items) < c.limit(); {
		q.Limit = min(c.limit()-len(page.Items), mostExamined-examined)
		list, err := c.Catalog.Find(q)
		if err != nil {
			return err
		}
		if page.Items, err = c.appendMisfits(page.Items, list.Refs); err != nil {
			return err
		}
		examined += len(list.Refs)
		if q.After = list.Next; q.After == "" {
			break
		}
	}
	page.NextCursor = c.cursor(q.After)
	return c.json(http.StatusOK, page)
}

// appendMisfits adds those of the nodes that the blueprint of the path applies
// to and that are not valid.
func (c *call) appendMisfits(to []Misfit, refs []graph.Ref) ([]Misfit, error) {
	if len(refs) == 0 {
		return to, nil
	}
	nodes, err := c.Graph.Store().Nodes(c.ctx(), refs)
	if err != nil {
		return nil, err
	}
	byRef := make(map[graph.Ref]*graph.Node, len(nodes))
	for i := range nodes {
		byRef[nodes[i].Ref] = &nodes[i]
	}
	for _, r := range refs {
		n := byRef[r]
		if n == nil {
			continue
		}
		m := Misfit{Node: r, Organization: n.Props.String("organization"), Slug: n.Props.String("slug"), Name: n.Props.String("name")}
		org := m.Organization
		if r.Type == identity.Organization {
			org = r.ID
		}
		f, err := c.formOf(r, org)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(f.Sources, func(s catalog.Source) bool { return s.ID == c.ref.ID }) {
			continue
		}
		attributes, _ := n.Props["attributes"].(graph.JSON)
		for _, e := range f.Check(attributes) {
			m.Errors = append(m.Errors, Fault{Pointer: e.Pointer, Detail: e.Msg})
		}
		if len(m.Errors) > 0 {
			to = append(to, m)
		}
		if err := c.ctx().Err(); err != nil {
			return nil, graph.Wrap(graph.Canceled, err, "the request took too long")
		}
	}
	return to, nil
}
