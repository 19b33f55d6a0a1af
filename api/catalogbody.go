package api

import (
	"cmp"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
)

// Relations are no part of a node. Bodies show them as they are written, by
// slug, so that what was read can be edited and sent back.
//
// A project's types, tags, environments and the like are shown to whoever may
// read the project: they say what it is. Other projects are things of their
// own, and those that the caller may not read are left out; a PUT leaves them
// as they are (identity).

// relate adds the relations of a node to its body.
func (c *call) relate(b nodeBody, r graph.Ref, list []catalog.Relation) {
	for _, f := range identity.Describe(r.Type) {
		switch f.Kind {
		case identity.Relation:
			b[f.Name] = nil
		case identity.Relations:
			b[f.Name] = []string{}
		case identity.RelationMap:
			b[f.Name] = map[string]map[string]string{}
		default:
			continue
		}
		for i := range list {
			if rel := &list[i]; rel.Kind == f.Edge && rel.Node.Ref.Type == f.To && c.tells(rel.Node.Ref) {
				addRelation(b, &f, rel)
			}
		}
	}
}

func addRelation(b nodeBody, f *identity.FieldInfo, rel *catalog.Relation) {
	slug := cmp.Or(rel.Node.Slug, rel.Node.Ref.ID)
	switch v := b[f.Name].(type) {
	case []string:
		b[f.Name] = append(v, slug)
	case map[string]map[string]string:
		v[slug] = map[string]string{}
		for _, name := range f.EdgeFields {
			if s := rel.Props.String(name); s != "" {
				v[slug][name] = s
			}
		}
	default:
		b[f.Name] = slug
	}
}

// relationsIn returns the relations that a change made of a new node: what a
// repeated request is answered with, whatever has happened since.
func (c *call) relationsIn(ch *graph.Change, r graph.Ref) []catalog.Relation {
	var out []catalog.Relation
	for _, e := range ch.Entries {
		if e.Edge == nil || e.Edge.After == nil || e.Edge.After.From != r {
			continue
		}
		rel := catalog.Relation{Kind: e.Edge.After.Kind, Node: catalog.Card{Ref: e.Edge.After.To}, Props: e.Edge.After.Props}
		if card, ok := c.Catalog.Card(rel.Node.Ref); ok {
			rel.Node = card
		}
		out = append(out, rel)
	}
	return out
}
