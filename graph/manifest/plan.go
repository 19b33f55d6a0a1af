package manifest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"trellis/graph"
	"trellis/graph/identity"
)

// Action is what happens to an object.
type Action string

// The actions.
const (
	Create    Action = "create"
	Change    Action = "change"
	Delete    Action = "delete"
	Unchanged Action = "unchanged"
	// Release: the set no longer declares it, but another one does, so it stays.
	Release Action = "release"
)

// PlanItem tells what happens to one object.
type PlanItem struct {
	Action Action `json:"action" enum:"create,change,delete,unchanged,release"`
	Kind   string `json:"kind" doc:"The kind of document"`
	Name   string `json:"name" doc:"What the document calls it"`
	// Node is set of a node.
	Node graph.Ref `json:"node,omitzero" doc:"The node, as type:id"`
	// Document is the index of the document, -1 of what is deleted or released.
	Document int `json:"document" doc:"The index of the document; -1 of what is deleted or released"`
	// Drift: the document is as it was when the set was last applied, so
	// somebody else changed the object.
	Drift   bool          `json:"drift" doc:"The document is as it was: somebody else has changed the object since"`
	Changes []FieldChange `json:"changes" doc:"The fields that change, of what is there already" nullable:"false"`
}

// FieldChange is one field before and after, absent where there was or will be
// nothing. What is written in relations appears once for each entry.
type FieldChange struct {
	Field  string `json:"field"`
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}

// PlanCounts counts objects.
type PlanCounts struct {
	Create    int `json:"create"`
	Change    int `json:"change"`
	Delete    int `json:"delete"`
	Unchanged int `json:"unchanged"`
	Release   int `json:"release"`
	Drift     int `json:"drift" doc:"How many of them somebody else has changed since the set was last applied"`
	// Adopt is how many were there before the set declared them.
	Adopt int `json:"adopt" doc:"How many are there already, and are declared by this set for the first time"`
	// Orphans is how many the set declared before, and would be deleted by pruning.
	Orphans int `json:"orphans" doc:"How many the set declared before and does not any more; prune deletes them"`
}

func (c *PlanCounts) add(a Action) {
	switch a {
	case Create:
		c.Create++
	case Change:
		c.Change++
	case Delete:
		c.Delete++
	case Release:
		c.Release++
	case Unchanged:
		c.Unchanged++
	}
}

// effects is a change record, by what it is about.
type effects struct {
	nodes map[graph.Ref]*graph.NodeEntry
	edges map[graph.EdgeKey]*graph.EdgeEntry
	out   map[graph.Ref][]*graph.EdgeEntry // relations, by where they begin
	slugs map[graph.Ref]string             // of what they lead to
}

func sortOut(ch *graph.Change) *effects {
	x := &effects{map[graph.Ref]*graph.NodeEntry{}, map[graph.EdgeKey]*graph.EdgeEntry{}, map[graph.Ref][]*graph.EdgeEntry{}, map[graph.Ref]string{}}
	if ch == nil {
		return x
	}
	for i := range ch.Entries {
		if n := ch.Entries[i].Node; n != nil {
			x.nodes[cmp.Or(n.After, n.Before).Ref] = n
			continue
		}
		e := ch.Entries[i].Edge
		k := cmp.Or(e.After, e.Before).EdgeKey
		if k.Kind == graph.MemberOf || k.Kind == graph.CanAccess {
			x.edges[k] = e
		} else if slices.Contains(identity.RelationKinds, k.Kind) {
			x.out[k.From] = append(x.out[k.From], e)
		}
	}
	return x
}

func act(before, after bool) Action {
	switch {
	case !before:
		return Create
	case !after:
		return Delete
	}
	return Change
}

// result tells what an Apply did, or would do, in the words of the documents.
func (s *Service) result(ctx context.Context, a *attempt, out identity.Outcome) (*Result, error) {
	r := &Result{Revision: out.Revision, Changed: out.Changed, Change: out.Change, Plan: make([]PlanItem, 0, len(a.entries)+len(a.gone))}
	x := sortOut(out.Change)
	if err := x.names(ctx, a); err != nil {
		return nil, err
	}
	for _, e := range a.entries {
		it := PlanItem{Action: Unchanged, Kind: e.kind.name, Name: e.label, Node: e.key.node, Document: e.doc, Changes: []FieldChange{}}
		if e.isNode() {
			x.node(&it)
		} else {
			x.edge(&it, e.key.edge)
		}
		was := a.rec.byKey[e.key]
		it.Drift = it.Action != Unchanged && was != nil && was.Hash == e.hash && e.hash != "" && !was.Orphan
		if was == nil && it.Action != Create {
			r.Counts.Adopt++
		}
		r.put(it)
	}
	if a.q.Prune {
		freed := map[key]bool{}
		for _, o := range a.freed {
			freed[o.key()] = true
		}
		for _, o := range a.gone {
			it := PlanItem{Action: Delete, Kind: o.Kind, Name: o.Name, Node: o.Node, Document: -1, Changes: []FieldChange{}}
			switch {
			case freed[o.key()]:
				it.Action = Release
			case x.nodes[o.Node] == nil && x.edges[o.key().edge] == nil:
				continue // it was gone already
			}
			r.put(it)
		}
	}
	for i := range a.objects {
		if a.objects[i].Orphan {
			r.Counts.Orphans++
		}
	}
	return r, nil
}

func (r *Result) put(it PlanItem) {
	r.Counts.add(it.Action)
	if it.Drift {
		r.Counts.Drift++
	}
	r.Plan = append(r.Plan, it)
}

// names finds the slugs of what relations lead to.
func (x *effects) names(ctx context.Context, a *attempt) error {
	var refs []graph.Ref
	for from, list := range x.out {
		if n := x.nodes[from]; n != nil && n.Before == nil {
			continue // a new node is not told field by field
		}
		for _, e := range list {
			to := cmp.Or(e.After, e.Before).To
			switch n, made := x.nodes[to], a.made[to]; {
			case made != nil && made.meta.Slug != "":
				x.slugs[to] = made.meta.Slug
			case n != nil:
				x.slugs[to] = cmp.Or(n.After, n.Before).Props.String("slug")
			case x.slugs[to] == "":
				x.slugs[to] = to.ID
				refs = append(refs, to)
			}
		}
	}
	if len(refs) == 0 {
		return nil
	}
	found, err := a.store.Nodes(ctx, refs)
	for i := range found {
		if slug := found[i].Props.String("slug"); slug != "" {
			x.slugs[found[i].Ref] = slug
		}
	}
	return err
}

// node tells what happens to a node.
func (x *effects) node(it *PlanItem) {
	n, edges := x.nodes[it.Node], x.out[it.Node]
	switch {
	case n != nil:
		it.Action = act(n.Before != nil, n.After != nil)
	case len(edges) > 0:
		it.Action = Change
	}
	if it.Action != Change {
		return
	}
	infos := identity.Describe(it.Node.Type)
	if n != nil {
		it.Changes = fieldChanges(infos, *n.Before, *n.After)
	}
	for _, e := range edges {
		x.relation(it, infos, e)
	}
	slices.SortStableFunc(it.Changes, func(a, b FieldChange) int { return cmp.Compare(a.Field, b.Field) })
}

// hidden stands for a secret.
const hidden = "***"

func fieldChanges(infos []identity.FieldInfo, before, after graph.Node) []FieldChange {
	out := []FieldChange{}
	was, is := identity.Fields(before), identity.Fields(after)
	for _, f := range infos {
		if f.ReadOnly {
			continue
		}
		if f.Kind == identity.Secret {
			if a, b := before.Props.String(f.Name), after.Props.String(f.Name); a != b {
				out = append(out, FieldChange{Field: f.Name, Before: veil(a), After: veil(b)})
			}
			continue
		}
		if a, b := encoded(was[f.Name]), encoded(is[f.Name]); !bytes.Equal(a, b) {
			out = append(out, FieldChange{Field: f.Name, Before: was[f.Name], After: is[f.Name]})
		}
	}
	return out
}

func veil(s string) any {
	if s == "" {
		return nil
	}
	return hidden
}

func encoded(v any) []byte {
	b, _ := json.Marshal(v) // values of fields are JSON
	return b
}

// relation adds what happens to one entry of a relation field.
func (x *effects) relation(it *PlanItem, infos []identity.FieldInfo, e *graph.EdgeEntry) {
	k := cmp.Or(e.After, e.Before).EdgeKey
	if !identity.Known(it.Node.Type) && k.Kind == graph.ChildOf {
		c := FieldChange{Field: "parents"}
		if e.Before != nil {
			c.Before = k.To.String()
		}
		if e.After != nil {
			c.After = k.To.String()
		}
		it.Changes = append(it.Changes, c)
		return
	}
	i := slices.IndexFunc(infos, func(f identity.FieldInfo) bool {
		return f.Edge == k.Kind && f.To == k.To.Type
	})
	if i < 0 {
		return
	}
	f, slug := infos[i], x.slugs[k.To]
	c := FieldChange{Field: f.Name}
	side := func(e *graph.Edge) any {
		switch {
		case e == nil:
			return nil
		case f.Kind == identity.RelationMap:
			return maps.Clone(map[string]any(e.Props))
		}
		return slug
	}
	if f.Kind == identity.RelationMap {
		c.Field += "/" + slug
	}
	c.Before, c.After = side(e.Before), side(e.After)
	if f.Kind == identity.Relation {
		// One goes and another comes: that is one change.
		for j := range it.Changes {
			if was := &it.Changes[j]; was.Field == c.Field {
				was.Before, was.After = cmp.Or(was.Before, c.Before), cmp.Or(was.After, c.After)
				return
			}
		}
	}
	it.Changes = append(it.Changes, c)
}

// edge tells what happens to a membership or a grant.
func (x *effects) edge(it *PlanItem, k graph.EdgeKey) {
	e := x.edges[k]
	if e == nil {
		return
	}
	if it.Action = act(e.Before != nil, e.After != nil); it.Action != Change {
		return
	}
	for _, name := range [...]string{graph.PropActions, graph.PropExpires} {
		if a, b := e.Before.Props[name], e.After.Props[name]; !bytes.Equal(encoded(a), encoded(b)) {
			it.Changes = append(it.Changes, FieldChange{Field: name, Before: shown(name, a), After: shown(name, b)})
		}
	}
}

func shown(name string, v any) any {
	if ms, ok := v.(int64); ok && name == graph.PropExpires {
		return instant(ms)
	}
	return v
}
