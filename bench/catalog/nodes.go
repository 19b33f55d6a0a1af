package catalog

import (
	"cmp"
	"iter"
	"slices"
)

// Ref names a node.
type Ref struct{ Type, ID string }

// String returns the form type:id.
func (r Ref) String() string { return r.Type + ":" + r.ID }

func compareRefs(a, b Ref) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID)) }

// props are the properties of a node or an edge.
type props map[string]any

// node and edge are what the graph holds.
type node struct {
	Ref   Ref
	names []string
	props props
}

type edge struct {
	from, to  Ref
	kind, key string
	props     props
}

var root = Ref{"platform", "root"}

// Types of nodes.
const (
	tOrg, tTeam, tUser, tProject = "organization", "team", "user", "project"
	tType, tEnv, tTag            = "project_type", "environment", "tag"
	tLink, tService              = "link_definition", "third_party_service"
)

const childOf, memberOf, canAccess = "CHILD_OF", "MEMBER_OF", "CAN_ACCESS"

// node makes a node of the organization.
func (o *Org) node(t string, e Entry, more props) node {
	p := props{"slug": e.Slug, "name": e.Name, "organization": o.ID}
	for k, v := range more {
		p[k] = v
	}
	return node{Ref{t, e.ID}, []string{"slug:" + t + ":" + o.ID + "/" + e.Slug}, p}
}

func (p Person) ref() Ref   { return Ref{tUser, p.ID} }
func (o *Org) ref() Ref     { return Ref{tOrg, o.ID} }
func (p *Project) ref() Ref { return Ref{tProject, p.ID} }

var colors = []string{"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728"}

// nodes yields all nodes, in no order.
func (w *World) nodes() iter.Seq[node] {
	return func(yield func(node) bool) {
		for _, p := range append(slices.Clone(w.People), w.Three) {
			if !yield(node{p.ref(), []string{"email:" + p.Email}, props{"name": p.Name, "email": p.Email}}) {
				return
			}
		}
		for _, o := range w.Orgs {
			for n := range w.nodesOf(o) {
				if !yield(n) {
					return
				}
			}
		}
	}
}

func (w *World) nodesOf(o *Org) iter.Seq[node] {
	return func(yield func(node) bool) {
		ok := yield(node{o.ref(), []string{"slug:" + tOrg + ":" + o.Slug}, props{"slug": o.Slug, "name": o.Name, "description": "The tenant " + o.Name}})
		for i, list := range [][]Entry{o.Types, o.Environments, o.Tags, o.Links, o.Services, o.Teams} {
			for j, e := range list {
				t := [...]string{tType, tEnv, tTag, tLink, tService, tTeam}[i]
				var more props
				switch t {
				case tEnv:
					more = props{"sort_order": int64(j), "label_color": colors[j]}
				case tTag:
					more = props{"color": colors[j%len(colors)]}
				case tLink:
					more = props{"url_template": "https://" + e.Slug + ".example.com/{slug}"}
				case tService:
					more = props{"vendor": e.Name, "category": "operations", "lifecycle": "active"}
				case tTeam:
					more = props{"description": "Builds and runs " + e.Slug}
				}
				ok = ok && yield(o.node(t, e, more))
			}
		}
		for _, p := range o.Projects {
			ok = ok && yield(p.node())
		}
	}
}

func (p *Project) node() node {
	more := props{
		"description": p.About,
		"attributes":  map[string]any{"tier": p.Tier, "language": p.Language, "score": p.Score, "pci": p.PCI},
		"identifiers": map[string]string{"github": p.GitHub, "cost_center": p.Costcenter},
	}
	if len(p.Tags) > 0 {
		var words []string
		for _, t := range p.Tags {
			words = append(words, p.Org.Tags[t].Slug+" "+p.Org.Tags[t].Name)
		}
		slices.Sort(words)
		more["keywords"] = words
	}
	return p.Org.node(tProject, p.Entry, more)
}

// address is where a project runs in an environment, or what a link of it leads to.
func (p *Project) address(of Entry) string {
	return "https://" + p.Slug + "." + of.Slug + ".example.com"
}

// edges yields all edges, in no order. granter is who gave the grants.
func (w *World) edges(granter string) iter.Seq[edge] {
	grant := func(from, to Ref, role string) edge {
		return edge{from, to, canAccess, role, props{"role": role, "granted_by": granter}}
	}
	return func(yield func(edge) bool) {
		for _, p := range append(slices.Clone(w.People), w.Three) {
			if !yield(edge{from: p.ref(), kind: childOf, to: root}) || !yield(grant(p.ref(), p.ref(), "self")) {
				return
			}
		}
		for _, p := range w.ThreeOf {
			if !yield(grant(w.Three.ref(), p.ref(), "readonly")) {
				return
			}
		}
		for _, o := range w.Orgs {
			for e := range w.edgesOf(o, grant) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// edgesOf yields those of an organization: what belongs to it is below it. Its
// members read all of it, members of a team develop what the team owns (or
// read it), and owners do anything.
func (w *World) edgesOf(o *Org, grant func(from, to Ref, role string) edge) iter.Seq[edge] {
	return func(yield func(edge) bool) {
		ok := yield(edge{from: o.ref(), kind: childOf, to: root}) && yield(grant(o.ref(), o.ref(), "readonly"))
		for n := range w.nodesOf(o) {
			ok = ok && (n.Ref.Type == tOrg || yield(edge{from: n.Ref, kind: childOf, to: o.ref()}))
		}
		for _, i := range o.Members {
			ok = ok && yield(edge{from: w.People[i].ref(), kind: memberOf, to: o.ref()})
		}
		for _, i := range o.Owners {
			ok = ok && yield(grant(w.People[i].ref(), o.ref(), "owner"))
		}
		for t, team := range o.Teams {
			r, role := Ref{tTeam, team.ID}, "developer"
			if slices.Contains(o.Readers, t) {
				role = "readonly"
			}
			ok = ok && yield(grant(r, r, role))
			for _, i := range o.TeamMembers[t] {
				ok = ok && yield(edge{from: w.People[i].ref(), kind: memberOf, to: r})
			}
		}
		for i, s := range o.Services {
			ok = ok && yield(edge{from: Ref{tService, s.ID}, kind: "MANAGED_BY", to: Ref{tTeam, o.Teams[i%len(o.Teams)].ID}})
		}
		for _, p := range o.Projects {
			for e := range p.edges() {
				ok = ok && yield(e)
			}
		}
	}
}

// edges yields the relations of a project.
func (p *Project) edges() iter.Seq[edge] {
	return func(yield func(edge) bool) {
		o, ok := p.Org, true
		all := func(kind, t string, of []Entry, which []int, more func(e Entry) props) {
			for _, i := range which {
				e := edge{from: p.ref(), kind: kind, to: Ref{t, of[i].ID}}
				if more != nil {
					e.props = more(of[i])
				}
				ok = ok && yield(e)
			}
		}
		all(childOf, tTeam, o.Teams, []int{p.Team}, nil)
		all("OF_TYPE", tType, o.Types, p.Types, nil)
		all("DEPLOYED_IN", tEnv, o.Environments, p.Environments, func(e Entry) props { return props{"url": p.address(e)} })
		all("TAGGED", tTag, o.Tags, p.Tags, nil)
		all("HAS_LINK", tLink, o.Links, p.Links, func(e Entry) props { return props{"url": p.address(e)} })
		all("EXISTS_IN", tService, o.Services, p.Services, func(e Entry) props {
			return props{"identifier": p.GitHub, "canonical_link": p.address(e)}
		})
		for _, i := range p.DependsOn {
			ok = ok && yield(edge{from: p.ref(), kind: "DEPENDS_ON", to: o.Projects[i].ref()})
		}
	}
}
