package githuborg

import (
	"encoding/json"
	"strconv"
	"strings"

	"trellis/graph"
	"trellis/graph/identity"
)

// Repo is the resource type of repositories.
const Repo graph.Type = "repo"

// Names of nodes. The organization's name comes first, so that what belongs
// to one organization can be told by its id.

// OrgRef names an organization's node.
func OrgRef(org string) graph.Ref { return graph.Ref{Type: identity.Organization, ID: org} }

// TeamRef names a team's node.
func TeamRef(org, team string) graph.Ref {
	return graph.Ref{Type: identity.Team, ID: org + "/" + team}
}

// RepoRef names a repository's node.
func RepoRef(org, repo string) graph.Ref { return graph.Ref{Type: Repo, ID: org + "/" + repo} }

// UserRef names a person's node.
func UserRef(login string) graph.Ref { return graph.Ref{Type: identity.User, ID: login} }

// Role returns the id of the role that grants the level and all below it.
func (l Level) Role() string { return "repo-" + l.String() }

// Permission returns the name of the permission.
func (l Level) Permission() string { return string(Repo) + ":" + l.String() }

// member and grant name what is managed here.
type member struct{ set, member graph.Ref }

type grant struct {
	subject, resource graph.Ref
	role              string
}

// desired is what the graph should hold, in the order in which it can be made.
type desired struct {
	schema  []identity.Mutation // the resource type and the roles
	nodes   []identity.Mutation // organizations, teams, repositories
	people  []string
	members []member
	grants  []grant
}

func (w *World) desired() desired {
	d := desired{schema: schema(), people: w.People()}
	for _, o := range w.Orgs {
		org := OrgRef(o.Name)
		title := o.Title
		if title == "" {
			title = o.Name
		}
		d.nodes = append(d.nodes, put(org, fields{"slug": slug(o.Name), "name": title, "description": o.Description}))
		for _, m := range o.InOrg() {
			d.members = append(d.members, member{org, UserRef(m)})
		}
		if o.Default != none {
			d.grants = append(d.grants, grant{org, org, o.Default.Role()})
		}
		for _, m := range o.Admins {
			d.grants = append(d.grants, grant{UserRef(m), org, admin.Role()})
		}
		for _, r := range o.Repos {
			d.nodes = append(d.nodes, put(RepoRef(o.Name, r), fields{"name": r, "parents": []graph.Ref{org}}))
		}
		d.addTeams(o)
	}
	return d
}

func (d *desired) addTeams(o *Org) {
	slugs := map[string]bool{}
	for _, t := range o.Teams {
		ref := TeamRef(o.Name, t.Name)
		d.nodes = append(d.nodes, put(ref, fields{
			"organization": OrgRef(o.Name), "slug": freeSlug(slugs, t.Name), "name": t.Name, "description": t.Description,
		}))
		if t.Parent != "" {
			d.members = append(d.members, member{TeamRef(o.Name, t.Parent), ref})
		}
		for _, m := range t.Members {
			d.members = append(d.members, member{ref, UserRef(m)})
		}
		for _, r := range sortedKeys(t.Repos) {
			if l := t.Repos[r]; l != none {
				d.grants = append(d.grants, grant{ref, RepoRef(o.Name, r), l.Role()})
			}
		}
	}
}

// schema is the resource type and the roles, each of which inherits from the
// one below.
func schema() []identity.Mutation {
	var actions []string
	for _, l := range Levels[1:] { // every type has read by itself
		actions = append(actions, l.String())
	}
	out := []identity.Mutation{put(graph.Ref{Type: identity.ResourceType, ID: string(Repo)}, fields{
		"description": "A repository on GitHub.", "actions": actions, "parents": []graph.Type{identity.Organization},
	})}
	for i, l := range Levels {
		inherits := []string{}
		if i > 0 {
			inherits = append(inherits, Levels[i-1].Role())
		}
		out = append(out, put(graph.Ref{Type: identity.Role, ID: l.Role()}, fields{
			"slug": l.Role(), "name": l.Role(), "description": "GitHub's permission " + l.String() + " on repositories.",
			"permissions": []string{l.Permission()}, "inherits": inherits,
		}))
	}
	return out
}

type fields map[string]any

func put(r graph.Ref, f fields) identity.Mutation {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // texts and lists of texts always have a JSON form
	}
	return identity.Mutation{Op: identity.OpPut, Node: r, Data: b}
}

func (m member) put() identity.Mutation {
	return identity.Mutation{Op: identity.OpPutMember, Set: m.set, Member: m.member}
}

func (m member) remove() identity.Mutation {
	return identity.Mutation{Op: identity.OpDeleteMember, Set: m.set, Member: m.member}
}

func (g grant) put() identity.Mutation {
	return identity.Mutation{Op: identity.OpPutGrant, Subject: g.subject, Resource: g.resource, Role: g.role}
}

func (g grant) remove() identity.Mutation {
	return identity.Mutation{Op: identity.OpDeleteGrant, Subject: g.subject, Resource: g.resource, Role: g.role}
}

// slug makes a slug of a name, as GitHub does: lower case, and a dash for
// whatever is neither a letter nor a digit.
func slug(name string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "-")
	}
	if s = strings.Trim(s, "-"); s == "" {
		s = "x"
	}
	return s
}

// freeSlug adds a number to a slug that is taken. Teams come in order of
// their names, so each gets the same slug every time.
func freeSlug(taken map[string]bool, name string) string {
	s := slug(name)
	for n := 2; taken[s]; n++ {
		s = slug(name) + "-" + strconv.Itoa(n)
	}
	taken[s] = true
	return s
}
