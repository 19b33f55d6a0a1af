package catalog

import (
	"time"

	"trellis/graph"
)

// Limits on what one question may ask for.
const (
	MaxLimit       = 1000 // documents of a page
	MaxFilters     = 32   // relation kinds and attributes in one filter
	MaxValues      = 100  // values of one relation kind or attribute
	MaxWords       = 8    // words of a text
	MaxFacets      = 12   // facets of one question
	MaxFacetValues = 100  // values shown of one facet
	MaxDepth       = 32   // steps of a walk
	MaxNodes       = 2000 // nodes of a walk; it shows four edges for each at most
)

// Scope is what the caller may read: what is at or below one of the places.
// The root among the places means everything, as All does. The zero Scope is
// nothing.
type Scope struct {
	All    bool
	Places []graph.Ref
}

// Query asks for a list.
type Query struct {
	// Type of the documents; "" for all types.
	Type graph.Type
	// Organization that they belong to; the zero Ref for all.
	Organization graph.Ref
	Scope        Scope
	Filter       Filter
	// Sort is name (the default), slug, created or updated, with "-" before
	// it for the reverse. Names are compared without regard to case, then
	// slugs, then refs, so the order is total and the same everywhere.
	Sort string
	// After is the Next of the page before. It is refused with Invalid if it
	// is none or of another sort.
	After string
	// Limit is 1 to MaxLimit; 0 asks for facets and total alone.
	Limit int
	// Facets names what to count values of: see the constants. An own filter
	// of a facet does not limit that facet, so that it shows what could be
	// chosen besides; Organization and Text limit all facets.
	Facets []string
	// FacetValues is how many values each facet shows, those of the most
	// documents first; 0 for 20.
	FacetValues int
	// Total asks how many documents there are on all pages.
	Total bool
}

// Facets. A relation is counted by the node it leads to, and filtered by
// Filter.Relations of the kind given here.
const (
	FacetOrganization = "organization"
	FacetNodeType     = "node_type"
	FacetArchived     = "archived"
	FacetType         = "type"        // OF_TYPE
	FacetTag          = "tag"         // TAGGED
	FacetEnvironment  = "environment" // DEPLOYED_IN
	FacetTeam         = "team"        // CHILD_OF, the owner team
	FacetService      = "service"     // EXISTS_IN
	FacetLink         = "link"        // HAS_LINK
	FacetDependsOn    = "depends_on"  // DEPENDS_ON
	FacetManager      = "manager"     // MANAGED_BY
	// FacetAttribute with the name of an attribute behind it counts that
	// attribute's values: "attributes.language".
	FacetAttribute = "attributes."
)

// Filter narrows a list down. A document must pass all that is given; of the
// values of one relation kind or attribute it needs one. The zero Filter lets
// everything pass.
type Filter struct {
	// Relations: it is related by the kind to one of these. CHILD_OF are its
	// parents: the owner team of a project, the service of an application.
	// Nodes that do not exist match nothing, and so does an empty list.
	Relations map[graph.Kind][]graph.Ref
	// Attributes: its attribute has one of these values, or is a list that
	// has one in it. Values are compared as text: "true", "3", "1.5".
	Attributes map[string][]string
	// Text: every word of it begins a word of the name, slug or identifiers.
	Text string
	// Archived: it is (not) archived; nil for both.
	Archived *bool
}

// Page is one page of a list.
type Page struct {
	Refs []graph.Ref
	// Next is the After of the next page, "" on the last.
	Next string
	// Total and Facets are of all pages together, as far as asked for.
	Total  int
	Facets map[string][]Count
}

// Count says how many documents have a value. Values with more documents come
// first, then by name or text.
type Count struct {
	// Value is the text of an attribute, "true" or "false" of archived, a
	// type's name; of nodes it is the slug.
	Value string
	// Node is what the value stands for where that is a node.
	Node Card
	N    int
}

// Card is what a list shows of a node that is related to another.
type Card struct {
	Ref        graph.Ref
	Slug, Name string
}

// Document is what the index knows of one node by itself.
type Document struct {
	Card
	// Organization that it belongs to; zero for organizations and for what belongs to nobody.
	Organization     graph.Ref
	Created, Updated time.Time
	Archived         bool
}

// Relation is one relation of a node, seen from it.
type Relation struct {
	Kind graph.Kind
	// Node is the other end.
	Node  Card
	Props graph.Props
}

// SourcesQuery asks for what leads to a node.
type SourcesQuery struct {
	Kind  graph.Kind
	To    graph.Ref
	From  graph.Type // "" for all types
	Scope Scope
	After string
	Limit int // 1 to MaxLimit
}

// SourcesPage is one page of what leads to a node, by name.
type SourcesPage struct {
	Items []Relation
	Next  string
}

// WalkQuery asks for what a node depends on, or what depends on it, directly
// or through others.
type WalkQuery struct {
	Start      graph.Ref
	Dependents bool
	Depth      int // 1 to MaxDepth; 0 for MaxDepth
	Limit      int // 1 to MaxNodes; 0 for MaxNodes
	Scope      Scope
}

// Walk is what was found. Paths through what the caller may not read are not
// followed, so that nothing tells that they exist.
type Walk struct {
	// Nodes are in order of distance, then name; the start is the first.
	Nodes []WalkNode
	// Edges are all dependencies among the nodes, by the nodes' order.
	Edges []WalkEdge
	// Cycles are the largest groups of nodes that all depend on one another
	// by these edges (one node, if it depends on itself). In the nodes' order.
	Cycles [][]graph.Ref
	// Truncated: there is more, beyond the depth or the limit.
	Truncated bool
}

// WalkNode is a node and how many steps it is from the start.
type WalkNode struct {
	Card
	Depth int
}

// WalkEdge says that From depends on To.
type WalkEdge struct{ From, To graph.Ref }
