package catalog

import "trellis/graph"

// Index is the catalog in memory: a graph.Replica that answers lists. All
// methods may be called concurrently, those of the Replica from one goroutine
// at a time.
type Index struct{}

var _ graph.Replica = (*Index)(nil)

// New returns an empty index, which is not ready.
func New() *Index { return &Index{} }

// Begin starts a full load; see graph.Replica.
func (x *Index) Begin() {}

// Node takes one node of the load.
func (x *Index) Node(*graph.Node) {}

// Edge takes one edge of the load.
func (x *Index) Edge(*graph.Edge) {}

// Ready makes what was loaded the index.
func (x *Index) Ready(graph.Info) {}

// Apply takes changes.
func (x *Index) Apply([]graph.Change) {}

// Revision is that of the last change seen; false before the first load.
func (x *Index) Revision() (graph.Revision, bool) { return 0, false }

// Find answers a list.
func (x *Index) Find(Query) (Page, error) { return Page{}, nil }

// Card returns what is shown of a node; false if it is no document.
func (x *Index) Card(graph.Ref) (Card, bool) { return Card{}, false }

// Document returns what is known of a node by itself; false if it is no document.
func (x *Index) Document(graph.Ref) (Document, bool) { return Document{}, false }

// Relations returns what the node is related to: by kind, then name. Its
// owner team and the team above a team are CHILD_OF; other parents are no
// relations.
func (x *Index) Relations(graph.Ref) []Relation { return nil }

// Sources returns what is related to a node and may be read, by name.
func (x *Index) Sources(SourcesQuery) (SourcesPage, error) { return SourcesPage{}, nil }

// Counts returns for each target how many readable documents of the type (""
// for all) are related to it by the kind.
func (x *Index) Counts(_ graph.Type, _ graph.Kind, targets []graph.Ref, _ Scope) []int {
	return make([]int, len(targets))
}

// Walk follows dependencies. NotFound if the caller may not read the start.
func (x *Index) Walk(WalkQuery) (Walk, error) { return Walk{}, nil }
