package backstage

import (
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"

	"trellis/cmd/trellis/wanted"
	"trellis/graph"
	"trellis/graph/identity"
)

// Present says what the organization has already, by slugs: what entities may
// refer to although it is not in the files.
type Present struct {
	Teams, Projects map[string]bool
	// Words holds, by type, the project types, tags and link definitions that
	// are not to be declared, since somebody else made them.
	Words map[graph.Type]map[string]bool
}

// Elsewhere tells whether an entity refers to a project that is not in the files.
func (c *Catalog) Elsewhere() bool {
	known := map[Ref]bool{}
	for _, e := range c.Entities {
		known[e.Ref] = true
	}
	return slices.ContainsFunc(c.Entities, func(e *Entity) bool {
		for _, field := range []relationField{fieldDependsOn, fieldConsumes} {
			if slices.ContainsFunc(e.Relations[field.name], func(r Relation) bool { return !known[r.To] }) {
				return true
			}
		}
		return false
	})
}

// Plan says what the organization, of which org is the id, is to hold. The
// errors are as those of Read.
func (c *Catalog) Plan(org string, there Present) (*wanted.Plan, error) {
	p := &planner{
		org: org, there: there, plan: &wanted.Plan{Notes: slices.Clone(c.Notes)},
		entities: map[Ref]*Entity{}, slugs: map[Ref]string{}, people: map[Ref]string{}, addresses: map[string]*Entity{},
		vocabulary: map[graph.Type]map[string]*wanted.Document{},
		needs:      map[Ref]map[string]bool{}, members: map[wanted.Membership]bool{},
	}
	p.name(c.Entities)
	p.hierarchy(c.Entities)
	p.depend(c.Entities)
	var teams, users, projects []wanted.Document
	for _, e := range c.Entities {
		switch e.Ref.Kind {
		case kindGroup:
			teams = append(teams, p.team(e))
		case kindUser:
			if d, ok := p.user(e); ok {
				users = append(users, d)
			}
		default:
			projects = append(projects, p.project(e))
		}
	}
	for _, e := range c.Entities { // now that everybody has a name
		p.memberships(e)
	}
	for _, t := range []graph.Type{identity.ProjectType, identity.Tag, identity.LinkDefinition} {
		words := p.vocabulary[t]
		for _, slug := range slices.Sorted(maps.Keys(words)) {
			if !there.Words[t][slug] {
				p.plan.Documents = append(p.plan.Documents, *words[slug])
			}
		}
	}
	p.plan.Documents = slices.Concat(p.plan.Documents, teams, users, projects)
	if err := p.problems.Err(); err != nil {
		return nil, err
	}
	return p.plan, nil
}

// planner turns entities into documents.
type planner struct {
	org      string
	there    Present
	plan     *wanted.Plan
	problems wanted.Problems

	entities  map[Ref]*Entity
	slugs     map[Ref]string     // of teams and projects
	people    map[Ref]string     // names of users' documents
	addresses map[string]*Entity // of users
	// vocabulary holds what is made because an entity uses it.
	vocabulary map[graph.Type]map[string]*wanted.Document
	needs      map[Ref]map[string]bool // slugs of what a project depends on
	members    map[wanted.Membership]bool
}

func (p *planner) note(at wanted.Place, format string, args ...any) {
	if len(p.plan.Notes) < maxNotes {
		p.plan.Notes = append(p.plan.Notes, wanted.Note{Place: at, Msg: fmt.Sprintf(format, args...)})
	}
}

// name gives a slug to every team and project. Two with one slug are a
// mistake: one would overwrite the other.
func (p *planner) name(entities []*Entity) {
	teams, projects := map[string]*Entity{}, map[string]*Entity{}
	for _, e := range entities {
		p.entities[e.Ref] = e
		if e.Ref.Kind == kindUser {
			continue
		}
		taken, slug := projects, Slug(e.Ref)
		if e.Ref.Kind == kindGroup {
			taken = teams
		}
		switch first := taken[slug]; {
		case slug == "":
			p.problems.Add(e.Place, "%s: no slug can be made of the name", e.Ref)
		case first != nil:
			p.problems.Add(e.Place, "%s would have the slug %s, which is that of %s at %s", e.Ref, slug, first.Ref, first.Place)
		default:
			taken[slug], p.slugs[e.Ref] = e, slug
		}
	}
}

// hierarchy refuses groups that are their own ancestors.
func (p *planner) hierarchy(entities []*Entity) {
	above := map[Ref][]Ref{}
	for _, e := range entities {
		for _, r := range e.Relations[fieldParent.name] {
			above[e.Ref] = append(above[e.Ref], r.To)
		}
		for _, r := range e.Relations[fieldChildren.name] {
			above[r.To] = append(above[r.To], e.Ref)
		}
	}
	const open, done = 1, 2
	state := map[Ref]int{}
	var visit func(r Ref) bool
	visit = func(r Ref) bool {
		state[r] = open
		for _, a := range above[r] {
			if state[a] == open || state[a] == 0 && !visit(a) {
				return false
			}
		}
		state[r] = done
		return true
	}
	for _, e := range entities {
		if e.Ref.Kind == kindGroup && state[e.Ref] == 0 && !visit(e.Ref) {
			p.problems.Add(e.Place, "%s is above itself, by parent or children", e.Ref)
			return
		}
	}
}

// target returns the slug of a project or team that an entity refers to. If it
// is nowhere, it is "", and a note says what becomes of the reference.
func (p *planner) target(e *Entity, field string, r Relation, fate string) string {
	if s, ok := p.slugs[r.To]; ok {
		return s
	}
	slug, there := Slug(r.To), p.there.Projects
	if r.To.Kind == kindGroup {
		there = p.there.Teams
	}
	if there[slug] {
		return slug
	}
	p.note(e.at(r.Line), "%s: %s %s is neither in the files nor in the organization: %s", e.Ref, field, r.To, fate)
	return ""
}

const leftOut = "left out"

// maxNeeds is how many other projects one may depend on.
const maxNeeds = 1000

// depend gathers which project needs which.
func (p *planner) depend(entities []*Entity) {
	for _, e := range entities {
		for _, field := range []relationField{fieldDependsOn, fieldConsumes} {
			for _, r := range e.Relations[field.name] {
				if slug := p.target(e, field.name, r, leftOut); slug != "" {
					p.need(e, e.Ref, slug, r.Line)
				}
			}
		}
		// Said from the other end: who is needed says it of who needs it.
		for _, field := range []relationField{fieldDependencyOf, fieldProvides, fieldSystem, fieldDomain, fieldSubcomponent, fieldSubdomain} {
			for _, r := range e.Relations[field.name] {
				if p.entities[r.To] != nil {
					p.need(e, r.To, p.slugs[e.Ref], r.Line)
				} else {
					p.note(e.at(r.Line), "%s: %s %s is not in the files: it is not said there", e.Ref, field.name, r.To)
				}
			}
		}
	}
}

// need notes that the project from depends on the one with the slug. e says so.
func (p *planner) need(e *Entity, from Ref, slug string, line int) {
	switch {
	case p.slugs[from] == slug:
		p.note(e.at(line), "%s depends on itself: left out", from)
		return
	case p.needs[from] == nil:
		p.needs[from] = map[string]bool{}
	}
	p.needs[from][slug] = true
	if len(p.needs[from]) == maxNeeds+1 {
		p.problems.Add(e.at(line), "%s would depend on more than %d others", from, maxNeeds)
	}
}

// title returns what people call an entity.
func (e *Entity) title() string {
	for _, s := range []string{e.Profile.DisplayName, e.Title, e.Name} {
		if s != "" {
			return wanted.Clip(s, maxName)
		}
	}
	return ""
}

func (p *planner) team(e *Entity) wanted.Document {
	attrs := e.attributes()
	set(attrs, "type", e.Type)
	set(attrs, "email", e.Profile.Email)
	set(attrs, "backstage", e.Ref.String())
	if len(e.Annotations) > 0 {
		attrs["annotations"] = e.Annotations
	}
	spec := p.common(e)
	p.bound(e, attrs)
	spec["attributes"] = attrs
	if icon := e.Profile.Picture; icon != "" && len(icon) <= maxIcon {
		spec["icon"] = icon
	}
	return wanted.Document{Type: identity.Team, Slug: p.slugs[e.Ref], Spec: spec, Place: e.Place}
}

// user says what a person becomes. Entities with one address are one person: of
// all but the first there is no document.
func (p *planner) user(e *Entity) (doc wanted.Document, first bool) {
	doc = wanted.Document{Type: identity.User, Place: e.Place, Spec: map[string]any{
		"name": e.title(), "attributes": map[string]any{"backstage": e.Ref.String()},
	}}
	if mail := strings.ToLower(e.Profile.Email); mail == "" {
		doc.ID = p.org + "/" + qualified(e.Ref)
		p.note(e.Place, "%s has no e-mail address: it becomes user:%s", e.Ref, doc.ID)
	} else if !validEmail(mail) {
		p.problems.Add(e.at(e.Profile.EmailLine), "%s: %q is not an e-mail address", e.Ref, shown(mail))
	} else {
		doc.Email = mail
	}
	p.people[e.Ref] = doc.Name()
	if other := p.addresses[doc.Email]; other != nil && doc.Email != "" {
		p.note(e.Place, "%s has the address of %s: they are one person, as described at %s", e.Ref, other.Ref, other.Place)
		return doc, false
	}
	p.addresses[doc.Email] = e
	return doc, true
}

func validEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= 254 && graph.Printable(s)
}

func (p *planner) memberships(e *Entity) {
	join := func(set, member string, line int) {
		m := wanted.Membership{Set: set, Member: member}
		if p.members[m] || strings.HasSuffix(set, ":") || strings.HasSuffix(member, ":") {
			return
		}
		p.members[m] = true
		m.Place = e.at(line)
		p.plan.Memberships = append(p.plan.Memberships, m)
	}
	team := func(field string, r Relation) string { return "team:" + p.target(e, field, r, leftOut) }
	self := "team:" + p.slugs[e.Ref]
	for _, r := range e.Relations[fieldParent.name] {
		join(team(fieldParent.name, r), self, r.Line)
	}
	for _, r := range e.Relations[fieldChildren.name] {
		join(self, team(fieldChildren.name, r), r.Line)
	}
	for _, r := range e.Relations[fieldMembers.name] {
		if who := p.people[r.To]; who != "" {
			join(self, who, r.Line)
		} else {
			p.note(e.at(r.Line), "%s: members %s is not in the files: left out", e.Ref, r.To)
		}
	}
	if e.Ref.Kind == kindUser {
		join("organization:"+p.org, p.people[e.Ref], e.Line)
		for _, r := range e.Relations[fieldMemberOf.name] {
			join(team(fieldMemberOf.name, r), p.people[e.Ref], r.Line)
		}
	}
}
