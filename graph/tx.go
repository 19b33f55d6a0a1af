package graph

import "context"

// Tx is what an engine offers to Plan inside one write transaction, which
// must already hold the store's write lock: nothing Load returned may change
// until the effects are applied.
type Tx interface {
	Load(ctx context.Context, w Want) (Found, error)
}

// Want lists what Plan needs to know. Entries are distinct.
type Want struct {
	Nodes []Ref
	// Brief is how many of Nodes, the last ones, are only looked at: for them
	// Ref and Revision are enough.
	Brief  int
	Edges  []EdgeKey
	Names  []string
	Around []Around
	// Last asks for the highest revision of the edges of a kind and key; of
	// each EdgeKey only Kind and Key are set.
	Last []EdgeKey
}

// Around asks for edges at a node: those of Kind (all kinds if empty) that
// start (Out) or end (In) there, at most Limit of them if Limit is not 0.
type Around struct {
	Ref     Ref
	Kind    Kind
	In, Out bool
	Limit   int
}

// Found is what there is of a Want, in any order, repeats allowed; what does
// not exist is left out.
type Found struct {
	Nodes []Node
	Edges []Edge
	Names map[string]Ref
	Last  map[EdgeKey]Revision
}

// Effects is what the accepted batches of a group amount to. An engine
// applies the fields in this order. An empty Changes means there is nothing
// to do.
type Effects struct {
	EdgesGone []EdgeKey
	NamesGone []string
	NodesGone []Ref
	Nodes     []NodePut
	Names     []NamePut
	Edges     []EdgePut
	Changes   []Change
	// Head is the store's head afterwards.
	Head Revision
}

// NodePut is a node to be written whole. New tells that the store has none of that Ref.
type NodePut struct {
	Node *Node
	New  bool
}

// EdgePut is an edge to be written whole, all but its key if it is not New.
type EdgePut struct {
	Edge *Edge
	New  bool
}

// NamePut gives a unique name to a node, taking it from any other holder.
type NamePut struct {
	Name string
	Ref  Ref
}
