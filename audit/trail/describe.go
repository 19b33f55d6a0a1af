package trail

import (
	"maps"
	"slices"
	"time"

	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
)

// Description is what may be shown of one entry of a change.
type Description struct {
	Effect identity.Effect
	// Node is the node concerned. Of an edge it is the end to which something
	// was done: the resource of a grant, the set of a membership; of the other
	// kinds the end where the edge begins: the child, the role.
	Node graph.Ref
	// Other is the other end of an edge, zero of a node.
	Other graph.Ref
	// Edge is set if the entry is an edge.
	Edge *graph.EdgeKey
	// Before and After are the fields that may be shown, nil if there was
	// nothing before, or is nothing after.
	Before, After map[string]any
	// Hidden says that something was updated which is not shown: a secret.
	Hidden bool
	// Touched says that an update changed nothing at all.
	Touched bool
}

// inner are the types of nodes that the service keeps for its own work. Nobody
// can register a type of such a name, and nothing is told of the nodes.
var inner = map[graph.Type]bool{
	"idempotency_key": true,
	"manifest_part":   true,
	chainType:         true,
	// Pieces of what was deleted; the tombstone itself is told of.
	identity.TombstonePart: true,
	// Bytes that uploads share: what becomes of the uploads is told.
	identity.Blob: true,
	"session":     true,
	"credential":  true,
	"identity":    true,
	"mfa":         true,
	"mail":        true,
	"signing_key": true,
}

// Describe tells what may be shown of an entry; false if nothing, because it
// is about a node of an inner type. Of a node these are the fields that its type
// declares. A type of which nothing is known may be registered, and then its
// nodes hold what resources hold; a node that holds anything else is not one that
// callers write, and shows no field at all.
func Describe(e graph.Entry) (Description, bool) {
	if n := e.Node; n != nil {
		d := Description{Node: either(n.After, n.Before).Ref, Before: nodeFields(n.Before), After: nodeFields(n.After)}
		d.Effect = effect(n.Before != nil, n.After != nil)
		if d.Effect == identity.Updated {
			d.Touched = alike(n.Before.Props, n.After.Props)
			d.Hidden = !d.Touched && !unshown(n.Before).Equal(unshown(n.After))
		}
		return d, !inner[d.Node.Type]
	}
	k := either(e.Edge.After, e.Edge.Before).EdgeKey
	d := Description{Edge: &k, Node: k.From, Other: k.To, Before: edgeFields(e.Edge.Before), After: edgeFields(e.Edge.After)}
	if k.Kind == graph.CanAccess || k.Kind == graph.MemberOf {
		d.Node, d.Other = k.To, k.From
	}
	d.Effect = effect(e.Edge.Before != nil, e.Edge.After != nil)
	if d.Effect == identity.Updated {
		d.Touched = e.Edge.Before.Props.Equal(e.Edge.After.Props)
	}
	return d, !inner[k.From.Type] && !inner[k.To.Type]
}

func either[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

func effect(before, after bool) identity.Effect {
	switch {
	case !before:
		return identity.Created
	case !after:
		return identity.Deleted
	}
	return identity.Updated
}

func nodeFields(n *graph.Node) map[string]any {
	switch {
	case n == nil:
		return nil
	case inner[n.Ref.Type]:
		return map[string]any{}
	case n.Ref.Type == identity.APIKey:
		k := auth.KeyOf(*n)
		out := map[string]any{"name": k.Name, "owner": k.Owner}
		if !k.Expires.IsZero() {
			out["expires_at"] = k.Expires
		}
		return out
	case assumed(n.Ref.Type) && len(unshown(n)) > 0:
		return map[string]any{}
	}
	return identity.Fields(*n)
}

// assumed tells whether the fields of a type are those of resources only
// because nothing else is known of it.
func assumed(t graph.Type) bool {
	return !identity.Known(t) || t == graph.Root.Type || t == graph.Everyone.Type || t == graph.Authenticated.Type
}

// unshown are the properties of a node that are not shown.
func unshown(n *graph.Node) graph.Props {
	out := graph.Props{}
	for name, v := range n.Props {
		out[name] = v
	}
	if n.Ref.Type == identity.APIKey {
		for _, name := range []string{"name", "owner", graph.PropExpires} {
			delete(out, name)
		}
		return out
	}
	for _, f := range identity.Describe(n.Ref.Type) {
		if f.Kind != identity.Secret {
			delete(out, f.Name)
		}
	}
	// The words of its tags are nobody's secret, and told of with the tags. Until
	// when a file may come is said to whoever sends it, and is over when it has.
	delete(out, identity.PropKeywords)
	if n.Ref.Type == identity.Upload {
		delete(out, identity.PropDue)
	}
	return out
}

// alike tells whether nothing differs but what is derived from other nodes.
func alike(before, after graph.Props) bool {
	a, b := maps.Clone(before), maps.Clone(after)
	delete(a, identity.PropKeywords)
	delete(b, identity.PropKeywords)
	return a.Equal(b)
}

// relation tells whether edges of the kind relate nodes of the catalog.
func relation(k graph.Kind) bool {
	return k != graph.ChildOf && slices.Contains(identity.RelationKinds, k)
}

// edgeFields picks the properties of memberships and grants, and all of the
// catalog's relations. Edges of other kinds show none.
func edgeFields(e *graph.Edge) map[string]any {
	if e == nil {
		return nil
	}
	out := map[string]any{}
	if relation(e.Kind) {
		maps.Copy(out, e.Props)
		return out
	}
	if e.Kind != graph.CanAccess && e.Kind != graph.MemberOf {
		return out
	}
	for _, name := range []string{graph.PropRole, graph.PropActions, graph.PropCondition, graph.PropGrantedBy} {
		if v, ok := e.Props[name]; ok {
			out[name] = v
		}
	}
	if ms := e.Expires(); ms != 0 {
		out[graph.PropExpires] = time.UnixMilli(ms).UTC()
	}
	return out
}
