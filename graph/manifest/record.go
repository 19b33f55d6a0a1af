package manifest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"trellis/graph"
	"trellis/graph/identity"
)

// Declared is one thing that a set declared when it was last applied.
type Declared struct {
	Kind string `json:"kind"`
	// Name is what the document calls it.
	Name string `json:"name"`
	// Node is set of a node; of a membership or grant From, To and Role are.
	Node graph.Ref `json:"node,omitzero"`
	From graph.Ref `json:"from,omitzero"`
	To   graph.Ref `json:"to,omitzero"`
	Role string    `json:"role,omitempty"`
	// Hash tells whether the document is the same as then; "" if it held secrets.
	Hash string `json:"hash,omitempty"`
	// Orphan says that the set no longer declares it, and did not take it away.
	Orphan bool `json:"orphan,omitempty"`
}

func (o *Declared) key() key {
	switch o.Kind {
	case Membership:
		return key{edge: graph.EdgeKey{From: o.From, Kind: graph.MemberOf, To: o.To}}
	case Grant:
		return key{edge: graph.EdgeKey{From: o.From, Kind: graph.CanAccess, To: o.To, Key: o.Role}}
	}
	return key{node: o.Node}
}

func objectOf(e *entry) Declared {
	k := e.key
	return Declared{Kind: e.kind.name, Name: e.label, Node: k.node, From: k.edge.From, To: k.edge.To, Role: k.edge.Key, Hash: e.hash}
}

// digest is enough of a hash to notice that a document changed.
func digest(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// canonical writes a value the way that equal values are equal.
func canonical(b json.RawMessage) json.RawMessage {
	v := jsontext.Value(slices.Clone(orEmpty(b)))
	if v.Canonicalize() != nil {
		return b
	}
	return json.RawMessage(v)
}

// Properties of a set's node.
const (
	propParts   = "parts"   // how many nodes hold the record
	propObjects = "objects" // how many objects the record holds
	propPart    = "data"    // of a part
)

// record is what the store has of a set.
type record struct {
	ref     graph.Ref
	node    *graph.Node // nil if there is none
	objects []Declared
	byKey   map[key]*Declared
	byName  map[[2]string]*Declared // of nodes, by kind and name
}

func partRef(set graph.Ref, i int) graph.Ref {
	return graph.Ref{Type: identity.ManifestPart, ID: fmt.Sprintf("%s#%d", set.ID, i)}
}

// recall reads the record of a set.
func recall(ctx context.Context, store graph.Reader, set graph.Ref) (*record, error) {
	r := &record{ref: set, byKey: map[key]*Declared{}, byName: map[[2]string]*Declared{}}
	found, err := store.Nodes(ctx, []graph.Ref{set})
	if err != nil || len(found) == 0 {
		return r, err
	}
	r.node = &found[0]
	refs := make([]graph.Ref, r.node.Props.Int(propParts))
	for i := range refs {
		refs[i] = partRef(set, i)
	}
	parts, err := store.Nodes(ctx, refs)
	if err != nil {
		return nil, err
	}
	texts := map[graph.Ref]string{}
	for i := range parts {
		texts[parts[i].Ref] = parts[i].Props.String(propPart)
	}
	var all []string
	for _, p := range refs {
		all = append(all, texts[p])
	}
	if err := identity.Unpack(all, &r.objects); err != nil {
		return nil, err
	}
	for i := range r.objects {
		o := &r.objects[i]
		r.byKey[o.key()] = o
		if !o.Node.IsZero() {
			r.byName[[2]string{o.Kind, o.Name}] = o
		}
	}
	return r, nil
}

// guard refuses a batch if the set was changed meanwhile.
func (r *record) guard() graph.Step {
	if r.node == nil {
		return graph.RequireAbsent(r.ref)
	}
	return graph.RequireAt(r.ref, r.node.Revision)
}

// keep returns the steps that make the record hold the objects; none if it does.
func (r *record) keep(home graph.Ref, objects []Declared) ([]graph.Step, error) {
	if r.node != nil && slices.Equal(r.objects, objects) {
		return nil, nil
	}
	texts, err := identity.Pack(objects)
	if err != nil {
		return nil, err
	}
	_, name := splitSet(r.ref.ID)
	p := graph.Props{"name": name, propParts: len(texts), propObjects: len(objects)}
	if home.Type == identity.Organization {
		p["organization"] = home.ID
	}
	child := func(r, of graph.Ref) graph.Step {
		return graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: graph.ChildOf, To: of}})
	}
	steps := []graph.Step{graph.Put(graph.Node{Ref: r.ref, Props: p}), child(r.ref, home), graph.Touch(r.ref)}
	for i, t := range texts {
		part := partRef(r.ref, i)
		steps = append(steps, graph.Put(graph.Node{Ref: part, Props: graph.Props{propPart: t}}), child(part, r.ref))
	}
	return append(steps, r.drop(len(texts))...), nil
}

// drop returns the steps that delete the parts from the one given on.
func (r *record) drop(from int) []graph.Step {
	var out []graph.Step
	if r.node != nil {
		for i := from; i < int(r.node.Props.Int(propParts)); i++ {
			out = append(out, graph.Delete(partRef(r.ref, i)))
		}
	}
	return out
}

// rewound reads nodes as they were before a change.
type rewound struct {
	graph.Reader
	before map[graph.Ref]*graph.Node
}

func rewind(store graph.Reader, ch *graph.Change) graph.Reader {
	if ch == nil {
		return store
	}
	r := rewound{store, map[graph.Ref]*graph.Node{}}
	for _, e := range ch.Entries {
		if n := e.Node; n != nil {
			r.before[cmp.Or(n.After, n.Before).Ref] = n.Before
		}
	}
	return r
}

// Nodes implements graph.Reader.
func (r rewound) Nodes(ctx context.Context, refs []graph.Ref) ([]graph.Node, error) {
	var out []graph.Node
	var still []graph.Ref
	for _, ref := range refs {
		switch n, changed := r.before[ref]; {
		case !changed:
			still = append(still, ref)
		case n != nil:
			out = append(out, *n)
		}
	}
	found, err := r.Reader.Nodes(ctx, still)
	return append(out, found...), err
}
