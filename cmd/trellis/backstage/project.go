package backstage

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"trellis/cmd/trellis/wanted"
	"trellis/graph"
	"trellis/graph/identity"
)

// Limits of what nodes may hold, in bytes.
const (
	maxIcon        = 500
	maxURL         = 2000
	maxAbout       = 4000
	maxIdentifier  = 500
	maxIdentifiers = 200
	maxKey         = 100
	maxAttribute   = 8 << 10
	maxAttributes  = 60 << 10
	maxTags        = 100
)

// set adds a text unless it is empty.
func set(m map[string]any, key, value string) {
	if value != "" {
		m[key] = value
	}
}

// attributes returns what is in spec and metadata and has no better place.
func (e *Entity) attributes() map[string]any {
	out := maps.Clone(e.More)
	if len(e.Labels) > 0 {
		out["labels"] = e.Labels
	}
	if len(e.Meta) > 0 {
		out["metadata"] = e.Meta
	}
	return out
}

// bound leaves out what is too large for attributes.
func (p *planner) bound(e *Entity, attrs map[string]any) {
	size := 0
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		b, err := json.Marshal(attrs[k])
		if err != nil || len(b) > maxAttribute || size+len(b) > maxAttributes || len(k) > maxKey {
			p.note(e.Place, "%s: %s is too large for an attribute: left out", e.Ref, shown(k))
			delete(attrs, k)
			continue
		}
		size += len(b) + len(k)
	}
}

// common returns the fields that teams and projects share.
func (p *planner) common(e *Entity) map[string]any {
	spec := map[string]any{"name": e.title()}
	set(spec, "description", wanted.Clip(e.Description, maxAbout))
	if len(e.Description) > maxAbout {
		p.note(e.Place, "%s: the description is cut off after %d bytes", e.Ref, maxAbout)
	}
	return spec
}

// project says what an entity becomes that is neither a group nor a user.
func (p *planner) project(e *Entity) wanted.Document {
	spec, attrs := p.common(e), e.attributes()
	spec["types"] = p.types(e)
	spec["depends_on"] = slices.AppendSeq([]string{}, maps.Keys(p.needs[e.Ref]))
	slices.Sort(spec["depends_on"].([]string))
	for _, r := range e.Relations[fieldOwner.name] {
		p.owner(e, r, spec, attrs)
	}
	for _, field := range []relationField{fieldSystem, fieldDomain, fieldSubcomponent, fieldSubdomain} {
		for _, r := range e.Relations[field.name] {
			attrs[field.name] = Slug(r.To)
		}
	}
	spec["tags"] = p.tags(e)
	if links := p.links(e); len(links) > 0 {
		spec["links"] = links
	}
	spec["identifiers"] = p.identifiers(e)
	if p.bound(e, attrs); len(attrs) > 0 {
		spec["attributes"] = attrs
	}
	return wanted.Document{Type: identity.Project, Slug: p.slugs[e.Ref], Spec: spec, Place: e.Place}
}

// owner makes a group the owner team. A person cannot be one here, and is kept
// as an attribute; so is a group that is nowhere.
func (p *planner) owner(e *Entity, r Relation, spec, attrs map[string]any) {
	if r.To.Kind == kindUser {
		attrs["owner"] = r.To.String()
		if u := p.entities[r.To]; u != nil && u.Profile.Email != "" {
			attrs["owner"] = strings.ToLower(u.Profile.Email)
		}
		p.note(e.at(r.Line), "%s is owned by a person: kept as the attribute owner", e.Ref)
		return
	}
	if team := p.target(e, fieldOwner.name, r, "kept as the attribute owner"); team != "" {
		spec["team"] = team
	} else {
		attrs["owner"] = r.To.String()
	}
}

// word makes sure that there is a word of the vocabulary. name is what it is
// called, if the slug does not say it all.
func (p *planner) word(t graph.Type, slug, name string, at wanted.Place) *wanted.Document {
	words := p.vocabulary[t]
	if words == nil {
		words = map[string]*wanted.Document{}
		p.vocabulary[t] = words
	}
	d := words[slug]
	if d == nil {
		d = &wanted.Document{Type: t, Slug: slug, Spec: map[string]any{}, Place: at}
		if name = wanted.Clip(name, maxName); name != slug {
			d.Spec["name"] = name
		}
		words[slug] = d
	}
	return d
}

// types returns the slugs of the project types: one for the kind, one for the
// kind with spec.type.
func (p *planner) types(e *Entity) []string {
	kind := e.Ref.Kind
	p.word(identity.ProjectType, kind, kind, e.Place)
	t := wanted.Slug(e.Type)
	if t == "" {
		return []string{kind}
	}
	slug := wanted.Slug(kind + "-" + t)
	p.word(identity.ProjectType, slug, kind+"-"+e.Type, e.Place)
	return []string{kind, slug}
}

func (p *planner) tags(e *Entity) []string {
	out := []string{}
	for _, tag := range e.Tags {
		slug := tagSlug(tag)
		switch {
		case slug == "" || len(out) == maxTags:
			p.note(e.Place, "%s: the tag %q is left out", e.Ref, shown(tag))
		case !slices.Contains(out, slug):
			p.word(identity.Tag, slug, tag, e.Place)
			out = append(out, slug)
		}
	}
	slices.Sort(out)
	return out
}

// links returns the links by link definition: named by what they are for, or
// else by their title.
func (p *planner) links(e *Entity) map[string]any {
	out := map[string]any{}
	for _, l := range e.Links {
		u, err := url.Parse(l.URL)
		if err != nil || u.Scheme == "" || len(l.URL) > maxURL || slices.Contains([]string{"javascript", "data", "vbscript"}, strings.ToLower(u.Scheme)) {
			p.note(e.at(l.Line), "%s: the link %q is left out: it is no address", e.Ref, shown(l.URL))
			continue
		}
		name := l.Type
		if name == "" {
			name = l.Title
		}
		slug := wanted.Slug(name)
		if slug == "" {
			slug, name = "link", "link"
		}
		base, title := slug, name
		for n := 2; out[slug] != nil; n++ {
			slug, name = fmt.Sprintf("%s-%d", base, n), fmt.Sprintf("%s %d", title, n)
		}
		d := p.word(identity.LinkDefinition, slug, name, e.at(l.Line))
		if l.Icon != "" && len(l.Icon) <= maxIcon && d.Spec["icon"] == nil {
			d.Spec["icon"] = l.Icon
		}
		out[slug] = map[string]any{"url": l.URL}
	}
	return out
}

// identifiers returns what an entity is called elsewhere: in Backstage, and
// where its annotations say.
func (p *planner) identifiers(e *Entity) map[string]any {
	out := map[string]any{}
	for _, k := range slices.Sorted(maps.Keys(e.Annotations)) {
		v := e.Annotations[k]
		switch {
		case strings.HasPrefix(k, "backstage.io/managed-by-") || k == "backstage.io/orphan": // of the Backstage it came from
		case len(v) > maxIdentifier || len(k) > maxKey || !graph.Printable(k) || len(out) == maxIdentifiers:
			p.note(e.Place, "%s: the annotation %s is too long: left out", e.Ref, shown(k))
		default:
			out[k] = v
		}
	}
	out["backstage"] = e.Ref.String()
	return out
}
