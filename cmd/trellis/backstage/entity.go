package backstage

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"trellis/cmd/trellis/wanted"
	"trellis/graph"
)

// ours is how the apiVersion of Backstage's own kinds begins.
const ours = "backstage.io/"

// location is what a Location names.
type location struct {
	targets  []target
	optional bool
}

type target struct {
	text  string
	place wanted.Place
}

// read decodes one document: an entity, a Location, or, with a note, neither.
func (d *document) read() (e *Entity, l *location, note string) {
	top := map[string]entry{}
	for _, f := range d.entries(d.root, "entity") {
		top[f.key] = f
	}
	if len(top) == 0 {
		return nil, nil, ""
	}
	d.Line = d.root.Line
	e = &Entity{Place: d.Place}
	version := ""
	if f, ok := top["apiVersion"]; ok {
		version = d.text(f.value, "apiVersion")
	}
	if f, ok := top["kind"]; ok {
		e.Kind = d.text(f.value, "kind")
	}
	e.Ref.Kind = strings.ToLower(e.Kind)
	switch {
	case version == "" || e.Kind == "":
		d.fail(d.root, "this is no entity: want apiVersion and kind")
		return nil, nil, ""
	case !strings.HasPrefix(version, ours) || e.Ref.Kind != kindLocation && relationFields[e.Ref.Kind] == nil:
		return nil, nil, "skipped: there is nothing here for the kind " + shown(e.Kind) + " of " + shown(version)
	}
	if f, ok := top["metadata"]; ok {
		d.metadata(e, f.value)
	}
	if e.Ref.Namespace == "" {
		e.Ref.Namespace = defaultNamespace
	}
	spec := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	if f, ok := top["spec"]; ok {
		spec = *f.value
	}
	if e.Ref.Kind == kindLocation {
		return nil, d.location(&spec), ""
	}
	if e.Name == "" {
		d.fail(d.root, "%s: metadata.name is missing", e.Kind)
		return nil, nil, ""
	}
	d.spec(e, &spec)
	return e, nil, ""
}

// maxName limits names and namespaces, in bytes. Backstage allows 63, unless
// it is told otherwise.
const maxName = 200

func (d *document) metadata(e *Entity, n *yaml.Node) {
	e.Meta = map[string]any{}
	for _, f := range d.entries(n, "metadata") {
		what := "metadata." + shown(f.key)
		switch f.key {
		case "name":
			e.Name = d.name(f.value, what)
			e.Ref.Name = strings.ToLower(e.Name)
		case "namespace":
			e.Ref.Namespace = strings.ToLower(d.name(f.value, what))
		case "title":
			e.Title = d.text(f.value, what)
		case "description":
			e.Description = d.text(f.value, what)
		case "labels":
			e.Labels = d.texts(f.value, what)
		case "annotations":
			e.Annotations = d.texts(f.value, what)
		case "tags":
			for _, t := range d.list(f.value, what) {
				if s := d.text(t, what); s != "" && !slices.Contains(e.Tags, s) {
					e.Tags = append(e.Tags, s)
				}
			}
		case "links":
			for _, l := range d.list(f.value, what) {
				e.Links = append(e.Links, d.link(l))
			}
		case "uid", "etag", "generation": // what an export of Backstage adds
		default:
			e.Meta[f.key] = d.value(f.value, what, 0)
		}
	}
}

func (d *document) name(n *yaml.Node, what string) string {
	s := d.text(n, what)
	if len(s) > maxName || !graph.Printable(s) || strings.ContainsAny(s, ":/ ") {
		d.fail(n, "%s: %q cannot be a name: want at most %d characters, no blank, colon or slash", what, shown(s), maxName)
	}
	return s
}

func (d *document) link(n *yaml.Node) Link {
	l := Link{Line: n.Line}
	for _, f := range d.entries(n, "metadata.links") {
		what := "metadata.links: " + shown(f.key)
		switch f.key {
		case "url":
			l.URL = d.text(f.value, what)
		case "title":
			l.Title = d.text(f.value, what)
		case "icon":
			l.Icon = d.text(f.value, what)
		case "type":
			l.Type = d.text(f.value, what)
		}
	}
	if l.URL == "" {
		d.fail(n, "metadata.links: url is missing")
	}
	return l
}

func (d *document) spec(e *Entity, n *yaml.Node) {
	e.Relations, e.More = map[string][]Relation{}, map[string]any{}
	fields := relationFields[e.Ref.Kind]
	for _, f := range d.entries(n, "spec") {
		what := "spec." + shown(f.key)
		i := slices.IndexFunc(fields, func(r relationField) bool { return r.name == f.key })
		switch {
		case i >= 0:
			e.Relations[f.key] = d.relations(e, fields[i], f.value, what)
		case f.key == "type":
			e.Type = d.text(f.value, what)
		case f.key == "profile" && (e.Ref.Kind == kindGroup || e.Ref.Kind == kindUser):
			d.profile(e, f.value)
		case f.key == "definition" && follow(f.value).Kind == yaml.ScalarNode:
			// The text of an API is a document of its own, not a fact about it.
		default:
			e.More[f.key] = d.value(f.value, what, 0)
		}
	}
}

func (d *document) profile(e *Entity, n *yaml.Node) {
	for _, f := range d.entries(n, "spec.profile") {
		what := "spec.profile." + shown(f.key)
		switch f.key {
		case "displayName":
			e.Profile.DisplayName = d.text(f.value, what)
		case "email":
			e.Profile.Email, e.Profile.EmailLine = d.text(f.value, what), f.value.Line
		case "picture":
			e.Profile.Picture = d.text(f.value, what)
		default:
			e.More[f.key] = d.value(f.value, what, 0)
		}
	}
}

func (d *document) relations(e *Entity, field relationField, n *yaml.Node, what string) []Relation {
	list := []*yaml.Node{follow(n)}
	if field.many {
		list = d.list(n, what)
	} else if isNull(list[0]) || list[0].Kind == yaml.ScalarNode && strings.TrimSpace(list[0].Value) == "" {
		return nil
	}
	kind := field.kinds[0]
	if field.must {
		kind = ""
	}
	var out []Relation
	for _, v := range list {
		r, err := d.ref(v, kind, e.Ref.Namespace, what)
		switch {
		case err != nil:
			d.fail(v, "%s: %v", what, err)
		case r == Ref{}: // said already
		case !field.allows(r.Kind):
			d.fail(v, "%s: %s is a %s; want a %s", what, r, r.Kind, strings.Join(field.kinds, " or "))
		case !slices.ContainsFunc(out, func(o Relation) bool { return o.To == r }):
			out = append(out, Relation{r, v.Line})
		}
	}
	return out
}

// ref reads a reference: as text, or as a mapping of its parts.
func (d *document) ref(n *yaml.Node, kind, namespace, what string) (Ref, error) {
	if n.Kind != yaml.MappingNode {
		if s := d.text(n, what); s != "" {
			return ParseRef(s, kind, namespace)
		}
		if n.Kind == yaml.ScalarNode {
			d.fail(n, "%s: a reference is empty", what)
		}
		return Ref{}, nil
	}
	r := Ref{Kind: kind, Namespace: namespace}
	for _, f := range d.entries(n, what) {
		switch f.key {
		case "kind":
			r.Kind = d.text(f.value, what)
		case "namespace":
			r.Namespace = d.text(f.value, what)
		case "name":
			r.Name = d.text(f.value, what)
		}
	}
	return r.check(r.String())
}

func (d *document) location(spec *yaml.Node) *location {
	l := &location{}
	add := func(n *yaml.Node, what string) {
		if s := d.text(n, what); s != "" {
			l.targets = append(l.targets, target{s, d.on(n)})
		}
	}
	for _, f := range d.entries(spec, "spec") {
		switch f.key {
		case "target":
			add(f.value, "spec.target")
		case "targets":
			for _, t := range d.list(f.value, "spec.targets") {
				add(t, "spec.targets")
			}
		case "presence":
			l.optional = d.text(f.value, "spec.presence") == "optional"
		}
	}
	return l
}
