package people

import (
	"slices"
	"strings"

	"trellis/cmd/trellis/wanted"
	"trellis/graph/identity"
)

// Present says what the graph holds already.
type Present struct {
	People []Person
	// Teams are those of the organization.
	Teams, Groups []Set
	// InOrg holds the ids of the users who are members of the organization.
	InOrg map[string]bool
	// Declared holds the ids of the users whom the same set declared before.
	Declared map[string]bool
	// Caller is the id of the user on whose behalf this is done, if it is one.
	Caller string
}

// Options say how a table is to be understood.
type Options struct {
	// Organization is the id of the organization, "" if there is none: then
	// the table cannot name teams.
	Organization string
	// DeactivateMissing takes all access from the members of the organization
	// whom the table does not name.
	DeactivateMissing bool
}

// Plan says what the graph is to hold. missing are the active members of the
// organization whom the table does not name: nobody without an address, whom it
// could not name, and not the caller. The errors are as those of Read.
func (t *Table) Plan(there Present, o Options) (plan *wanted.Plan, missing []Person, err error) {
	p := &planner{plan: &wanted.Plan{Notes: slices.Clone(t.Notes)}, byEmail: map[string]Person{}, listed: map[string]bool{}}
	for _, who := range there.People {
		if who.Email != "" {
			p.byEmail[strings.ToLower(who.Email)] = who
		}
	}
	teams, groups := newSets("team", there.Teams), newSets("group", there.Groups)
	for i := range t.Rows {
		row := &t.Rows[i]
		member := p.person(row)
		if o.Organization != "" {
			p.join("organization:"+o.Organization, member, row.Place)
		} else if len(row.Teams) > 0 {
			p.problems.Add(row.Place, "teams belong to an organization: say which with --organization")
			continue
		}
		for _, name := range row.Teams {
			p.in(teams, name, member, row.Place)
		}
		for _, name := range row.Groups {
			p.in(groups, name, member, row.Place)
		}
	}
	for _, who := range there.People {
		if p.listed[strings.ToLower(who.Email)] {
			continue
		}
		active := who.Status != deactivated
		gone := active && there.InOrg[who.ID] && who.Email != "" && who.ID != there.Caller
		if gone {
			missing = append(missing, who)
		}
		if o.DeactivateMissing && (gone || !active && there.Declared[who.ID]) {
			p.plan.Documents = append(p.plan.Documents, wanted.Document{Type: identity.User, ID: who.ID, Spec: map[string]any{"status": deactivated}})
		}
	}
	p.plan.Keep(there.declared())
	if err := p.problems.Err(); err != nil {
		return nil, nil, err
	}
	return p.plan, missing, nil
}

const deactivated = "deactivated"

// declared returns the addresses of those whom the set declared, by id.
func (there Present) declared() map[string]string {
	out := map[string]string{}
	for _, who := range there.People {
		if there.Declared[who.ID] {
			out[who.ID] = who.Email
		}
	}
	return out
}

type planner struct {
	plan     *wanted.Plan
	problems wanted.Problems
	byEmail  map[string]Person
	listed   map[string]bool // addresses
}

// person adds one user and returns the name by which memberships call them.
func (p *planner) person(row *Row) string {
	spec := map[string]any{}
	for field, text := range map[string]string{"name": row.Name, "status": row.Status} {
		if text != "" {
			spec[field] = text
		}
	}
	if len(row.Attributes) > 0 {
		spec["attributes"] = row.Attributes
	}
	p.listed[row.Email] = true
	d := wanted.Document{Type: identity.User, Email: row.Email, Spec: spec, Place: row.Place}
	if known, ok := p.byEmail[row.Email]; ok {
		d.Email = known.Email // as it is spelt there
	}
	p.plan.Documents = append(p.plan.Documents, d)
	return d.Name()
}

func (p *planner) join(set, member string, at wanted.Place) {
	p.plan.Memberships = append(p.plan.Memberships, wanted.Membership{Set: set, Member: member, Place: at})
}

// in makes somebody a member of the set that a cell names.
func (p *planner) in(s *sets, name, member string, at wanted.Place) {
	switch found := s.find(name); len(found) {
	case 1:
		p.join(s.kind+":"+found[0].Slug, member, at)
	case 0:
		p.problems.Add(at, "there is no %s %q", s.kind, clip(name))
	default:
		p.problems.Add(at, "%d %ss are called %q: write the slug", len(found), s.kind, clip(name))
	}
}

// sets finds teams or groups by what people write.
type sets struct {
	kind   string
	bySlug map[string]Set
	byName map[string][]Set
}

func newSets(kind string, list []Set) *sets {
	s := &sets{kind, map[string]Set{}, map[string][]Set{}}
	for _, x := range list {
		s.bySlug[x.Slug] = x
		if n := strings.ToLower(x.Name); n != "" {
			s.byName[n] = append(s.byName[n], x)
		}
	}
	return s
}

// find returns the set with that slug or else those with that name, whatever
// its case.
func (s *sets) find(name string) []Set {
	name = strings.ToLower(name)
	if x, ok := s.bySlug[name]; ok {
		return []Set{x}
	}
	return s.byName[name]
}
