package api

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
)

// catalogList stands, in the table, for a page of nodes that the catalog's
// index finds.
type catalogList graph.Type

// indexed tells whether lists of the type come from the catalog's index.
func indexed(t graph.Type) bool {
	return t == identity.Organization || t == identity.Team || identity.Catalogued(t)
}

// relative is a relation that a list can be filtered and counted by.
type relative struct {
	name  string // of the parameter, and of the facet in answers
	kind  graph.Kind
	to    graph.Type
	facet string // the index's name of it
	doc   string
}

// relatives lists them by the type of the list.
var relatives = map[graph.Type][]relative{
	identity.Project: {
		{"type", identity.OfType, identity.ProjectType, catalog.FacetType, "Of this project type"},
		{"tag", identity.Tagged, identity.Tag, catalog.FacetTag, "With this tag"},
		{"environment", identity.DeployedIn, identity.Environment, catalog.FacetEnvironment, "Running in this environment"},
		{"team", graph.ChildOf, identity.Team, catalog.FacetTeam, "Owned by this team"},
		{"service", identity.ExistsIn, identity.ThirdPartyService, catalog.FacetService, "Known to this third-party service"},
		{"link", identity.HasLink, identity.LinkDefinition, catalog.FacetLink, "With a link of this definition"},
		{"depends_on", identity.DependsOn, identity.Project, catalog.FacetDependsOn, "Depending on this project itself"},
	},
	identity.ThirdPartyService: {{"team", identity.ManagedBy, identity.Team, catalog.FacetManager, "Looked after by this team"}},
	identity.Webhook:           {{"service", identity.ImplementedBy, identity.ThirdPartyService, "", "Notified by this third-party service"}},
}

// counted lists, by type, the relation by which projects lead to its nodes, and
// are counted in lists of them.
var counted = map[graph.Type]graph.Kind{
	identity.ProjectType: identity.OfType, identity.Environment: identity.DeployedIn, identity.Tag: identity.Tagged, identity.Team: graph.ChildOf,
	identity.LinkDefinition: identity.HasLink, identity.ThirdPartyService: identity.ExistsIn,
}

// described tells whether blueprints describe attributes of the type.
func described(t graph.Type) bool {
	return slices.ContainsFunc(identity.Describe(t), func(f identity.FieldInfo) bool { return f.Name == "attributes" })
}

// findParams are the parameters of a list that the index answers, except for
// the filters named.
func findParams(t graph.Type, without ...string) []param {
	const value = "; its slug or id, any of several"
	var out []param
	for _, r := range relatives[t] {
		if !slices.Contains(without, r.name) {
			out = append(out, text(r.name, r.doc+value, 2*graph.MaxID).many())
		}
	}
	if described(t) {
		out = append(out, text(catalog.FacetAttribute+"*", "The attribute of that name has this value, any of several, compared as text", 500).many())
	}
	out = append(out, text("text", "Every word of it begins a word of the name, the slug or an identifier", 200))
	if t == identity.Project {
		out = append(out, param{name: "archived", doc: "Whether archived ones are listed", schema: choice("false", "true", "any")})
	}
	if names := facetNames(t); len(names) > 0 {
		out = append(out, text("facets", "What to count values of on all pages together, separated by commas: "+strings.Join(names, ", "), 500))
	}
	orders := []any{"name", "-name", "slug", "-slug", "created", "-created", "updated", "-updated"}
	if t == identity.Environment {
		orders = append(orders, byPlace)
	}
	out = append(out,
		flag("total", "Tell how many there are on all pages"),
		param{name: "sort", doc: "The order; with - before it, the reverse", schema: choice(orders...)})
	return paged(out...)
}

// byPlace sorts environments by their sort_order. They are few enough to be
// sorted when asked for.
const byPlace = "sort_order"

// choice is the schema of a parameter of a few words, the first by default.
func choice(words ...any) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: words, Default: words[0]}
}

// facetNames lists what can be counted in a list of the type.
func facetNames(t graph.Type) (names []string) {
	for _, r := range relatives[t] {
		if r.facet != "" {
			names = append(names, r.name)
		}
	}
	if t == identity.Project {
		names = append(names, catalog.FacetArchived, catalog.FacetOrganization)
	}
	if described(t) {
		names = append(names, catalog.FacetAttribute+"NAME")
	}
	return names
}

// CatalogPage is one page of a list of the catalog.
type CatalogPage struct {
	Page[nodeBody]
	Total  *int               `json:"total,omitempty"`
	Facets map[string][]Facet `json:"facets,omitempty"`
}

// Facet is one value that documents of a list have, and how many have it.
type Facet struct {
	Value string `json:"value,omitempty" doc:"The value, as text, where it is no node"`
	ID    string `json:"id,omitempty" doc:"The id of the node"`
	Slug  string `json:"slug,omitempty" doc:"The slug of the node"`
	Name  string `json:"name,omitempty" doc:"The name of the node"`
	Count int    `json:"count" doc:"How many have it"`
}

// scope is what the caller may read of a type.
func (c *call) scope(t graph.Type) catalog.Scope {
	return catalog.Scope{Places: c.view.Places(c.subject(), string(t)+":read", c.now)}
}

// answerList answers with the nodes of a type below c.home, if there is one,
// that the caller may read, and that are related as fixed says.
func (c *call) answerList(t graph.Type, fixed map[graph.Kind][]graph.Ref) error {
	q := catalog.Query{Type: t, Organization: c.org, Scope: c.scope(t), Filter: catalog.Filter{Relations: map[graph.Kind][]graph.Ref{}}, Sort: c.query["sort"], Limit: c.limit(), Total: c.flag("total")}
	switch {
	case t == identity.Application:
		q.Filter.Relations[graph.ChildOf] = []graph.Ref{c.home}
	case t == identity.Blueprint && c.org.IsZero():
		q.Filter.Relations[graph.ChildOf] = []graph.Ref{identity.Vocabulary}
	}
	for kind, refs := range fixed {
		q.Filter.Relations[kind] = refs
	}
	var err error
	if q.After, err = c.after(); err != nil {
		return err
	}
	if err := c.filter(&q); err != nil {
		return err
	}
	asked, err := c.facets(&q)
	if err != nil {
		return err
	}
	if q.Sort == byPlace {
		return c.answerInPlace(q, asked)
	}
	found, err := c.Catalog.Find(q)
	if err != nil {
		return err
	}
	return c.answerPage(&q, &found, asked)
}

// answerInPlace is answerPage for environments by their sort_order. Where a
// page begins is the number of those before it.
func (c *call) answerInPlace(q catalog.Query, asked []facetAsked) error {
	skip, _ := strconv.Atoi(q.After) // "" or what was put into the cursor below
	limit := q.Limit
	q.Sort, q.After, q.Limit = "", "", catalog.MaxLimit
	found, err := c.Catalog.Find(q)
	if err != nil {
		return err
	}
	if found.Next != "" {
		return badParameter("sort", "there are more than %s, which is too many for this order", strconv.Itoa(catalog.MaxLimit))
	}
	all, err := c.bodies(found.Refs)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b nodeBody) int {
		x, _ := a[byPlace].(int64)
		y, _ := b[byPlace].(int64)
		return cmp.Compare(x, y)
	})
	refs := refsOf(all)
	found.Refs = refs[min(skip, len(refs)):min(skip+limit, len(refs))]
	if skip+limit < len(refs) {
		found.Next = strconv.Itoa(skip + limit)
	}
	return c.answerPage(&q, &found, asked)
}

func (c *call) answerPage(q *catalog.Query, found *catalog.Page, asked []facetAsked) error {
	var out CatalogPage
	var err error
	if out.Items, err = c.bodies(found.Refs); err != nil {
		return err
	}
	if kind, ok := counted[q.Type]; ok {
		scope := c.scope(identity.Project)
		for i, n := range c.Catalog.Counts(identity.Project, kind, refsOf(out.Items), scope) {
			out.Items[i]["counts"] = map[string]int{"projects": n}
		}
	}
	out.NextCursor = c.cursor(found.Next)
	if q.Total {
		out.Total = &found.Total
	}
	if len(asked) > 0 {
		out.Facets = map[string][]Facet{}
	}
	for _, f := range asked {
		out.Facets[f.name] = c.facetValues(found.Facets[f.index])
	}
	return c.json(http.StatusOK, out)
}

// bodies reads nodes at once, and returns those that are there in the order of refs.
func (c *call) bodies(refs []graph.Ref) ([]nodeBody, error) {
	out := make([]nodeBody, 0, len(refs))
	if len(refs) == 0 {
		return out, nil
	}
	nodes, err := c.Graph.Store().Nodes(c.ctx(), refs)
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		if i, ok := slices.BinarySearchFunc(nodes, r, func(n graph.Node, r graph.Ref) int { return graph.CompareRefs(n.Ref, r) }); ok {
			out = append(out, c.shown(nodes[i]))
		}
	}
	return out, nil
}

func refsOf(items []nodeBody) []graph.Ref {
	out := make([]graph.Ref, len(items))
	for i, b := range items {
		out[i].Type, _ = b["type"].(graph.Type)
		out[i].ID, _ = b["id"].(string)
	}
	return out
}

// filter reads the parameters that narrow a list down.
func (c *call) filter(q *catalog.Query) error {
	q.Filter.Text = c.query["text"]
	if q.Type == identity.Project && c.query["archived"] != "any" {
		archived := c.flag("archived")
		q.Filter.Archived = &archived
	}
	for name, values := range c.values {
		if attribute, ok := strings.CutPrefix(name, catalog.FacetAttribute); ok {
			if q.Filter.Attributes == nil {
				q.Filter.Attributes = map[string][]string{}
			}
			q.Filter.Attributes[attribute] = values
		}
	}
	var named []naming
	for _, r := range relatives[q.Type] {
		for _, v := range c.values[r.name] {
			named = append(named, naming{relative: r, text: v})
		}
	}
	if len(named) > catalog.MaxFilters*catalog.MaxValues {
		return badParameter(named[0].name, "is given too often")
	}
	if err := c.lookUp(q.Organization, named); err != nil {
		return err
	}
	for _, n := range named {
		if err := n.ref.Validate(); err != nil {
			return badParameter(n.name, "%s", err.Error())
		}
		q.Filter.Relations[n.kind] = append(q.Filter.Relations[n.kind], n.ref)
	}
	return nil
}

// naming is a node that a parameter names, and which it is.
type naming struct {
	relative
	text string
	ref  graph.Ref
}

// lookUp finds the nodes that are meant, all at once: by slug within the
// organization, or else by id. Across organizations the slug has that of its
// organization before it: acme/api. What is not there is named all the same,
// and matches nothing.
func (c *call) lookUp(org graph.Ref, named []naming) error {
	orgs := map[string]graph.Ref{}
	if org.IsZero() {
		var names []string
		for _, n := range named {
			if of, _, ok := strings.Cut(n.text, "/"); ok && slugForm.MatchString(of) {
				names = append(names, identity.SlugName(identity.Organization, "", of))
			}
		}
		found, err := c.holders(names)
		if err != nil {
			return err
		}
		orgs = found
	}
	var names []string
	nameOf := func(n *naming) (string, bool) {
		home, slug := org, n.text
		if org.IsZero() {
			of, rest, _ := strings.Cut(n.text, "/")
			home, slug = orgs[identity.SlugName(identity.Organization, "", of)], rest
			if home.IsZero() && of != "" && rest != "" {
				home = graph.Ref{Type: identity.Organization, ID: of}
			}
		}
		return identity.SlugName(n.to, home.ID, slug), !home.IsZero() && slugForm.MatchString(slug)
	}
	for i := range named {
		if s, ok := nameOf(&named[i]); ok {
			names = append(names, s)
		}
	}
	found, err := c.holders(names)
	if err != nil {
		return err
	}
	for i := range named {
		n := &named[i]
		n.ref = graph.Ref{Type: n.to, ID: n.text}
		if s, ok := nameOf(n); ok && !found[s].IsZero() {
			n.ref = found[s]
		}
	}
	return nil
}

// holders finds who holds the unique names.
func (c *call) holders(names []string) (map[string]graph.Ref, error) {
	out := map[string]graph.Ref{}
	if len(names) == 0 {
		return out, nil
	}
	slices.Sort(names)
	a, err := c.Graph.Store().Ask(c.ctx(), graph.Question{Name: graph.NodesByName, Names: slices.Compact(names), Limit: graph.MaxPage})
	for i := range a.Nodes {
		for _, name := range a.Nodes[i].Names {
			out[name] = a.Nodes[i].Ref
		}
	}
	return out, err
}

// facetAsked is a facet as the caller and as the index calls it.
type facetAsked struct{ name, index string }

// facets reads the parameter of that name into the query.
func (c *call) facets(q *catalog.Query) (asked []facetAsked, err error) {
	for _, name := range strings.FieldsFunc(c.query["facets"], func(r rune) bool { return r == ',' }) {
		f := facetAsked{name: name}
		for _, r := range relatives[q.Type] {
			if r.name == name {
				f.index = r.facet
			}
		}
		attribute, ok := strings.CutPrefix(name, catalog.FacetAttribute)
		switch {
		case ok && attribute != "" && described(q.Type),
			q.Type == identity.Project && (name == catalog.FacetArchived || name == catalog.FacetOrganization):
			f.index = name
		case f.index == "":
			return nil, badParameter("facets", "there is no facet %.64q; there is %s", name, strings.Join(facetNames(q.Type), ", "))
		}
		if len(asked) == catalog.MaxFacets {
			return nil, badParameter("facets", "names more than %s", strconv.Itoa(catalog.MaxFacets))
		}
		asked = append(asked, f)
		q.Facets = append(q.Facets, f.index)
	}
	return asked, nil
}

// facetValues shows the values of a facet. What projects are made of they
// tell; other projects, and organizations, are shown to who may read them.
func (c *call) facetValues(counts []catalog.Count) []Facet {
	out := make([]Facet, 0, len(counts))
	for _, n := range counts {
		f := Facet{Count: n.N}
		if r := n.Node.Ref; r.IsZero() {
			f.Value = n.Value
		} else if c.tells(r) {
			f.ID, f.Slug, f.Name = r.ID, cmp.Or(n.Node.Slug, r.ID), n.Node.Name
		} else {
			continue
		}
		out = append(out, f)
	}
	return out
}

// tells tells whether a node that may be read shows this one, which it is
// related to.
func (c *call) tells(r graph.Ref) bool {
	return r.Type != identity.Project && r.Type != identity.Organization || c.visible(r)
}
