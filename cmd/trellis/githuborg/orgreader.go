package githuborg

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth limits how deep teams nest, which also ends an anchor that
// contains itself.
const maxDepth = 32

// orgReader gathers one organization from its files.
type orgReader struct {
	*reader
	org   *Org
	teams map[string]*Team
	repos map[string]string // lower-case name -> as first written
}

// top reads the topmost mapping of a file. Only org.yaml speaks of the
// organization itself; the others add teams.
func (o *orgReader) top(n *yaml.Node, main bool) {
	if main {
		o.orgYAML(n)
		return
	}
	o.fields(n, "file", func(k, v *yaml.Node) {
		if k.Value != "teams" {
			o.fail(k, "unknown key %q: only %s has more than teams", k.Value, orgFile)
			return
		}
		o.teamList(v, "", 0)
	})
}

func (o *orgReader) orgYAML(n *yaml.Node) {
	o.fields(n, "organization", func(k, v *yaml.Node) {
		switch k.Value {
		case "name":
			o.org.Title = o.text(v, "name")
		case "description":
			o.org.Description = o.text(v, "description")
		case "default_repository_permission":
			o.org.Default = o.level(v, k.Value)
			if o.org.Default == triage || o.org.Default == maintain {
				o.fail(v, "default_repository_permission: want none, read, write or admin")
			}
		case "admins":
			o.org.Admins = o.logins(v, "admins")
		case "members":
			o.org.Members = o.logins(v, "members")
		case "repos":
			o.fields(v, "repos", func(k, _ *yaml.Node) { o.repo(k) })
		case "teams":
			o.teamList(v, "", 0)
		default:
			if !slices.Contains(orgIgnored, k.Value) {
				o.fail(k, "unknown key %q in an organization", k.Value)
			}
		}
	})
}

func (o *orgReader) teamList(n *yaml.Node, parent string, depth int) {
	if depth == maxDepth {
		o.fail(n, "teams are nested deeper than %d", maxDepth)
		return
	}
	o.fields(n, "teams", func(k, v *yaml.Node) {
		name := o.teamName(k)
		if name == "" {
			return
		}
		if first, ok := o.teams[strings.ToLower(name)]; ok {
			o.fail(k, "the team %q is here a second time; the first is at %s", name, first.pos)
			return
		}
		t := &Team{Name: name, Parent: parent, Repos: map[string]Level{}, pos: position{o.file, k.Line}}
		o.teams[strings.ToLower(name)] = t
		o.team(t, v, depth)
	})
}

// teamName allows blanks: GitHub's team names are titles.
func (o *orgReader) teamName(k *yaml.Node) string {
	if strings.Contains(k.Value, " ") {
		c := *k
		c.Value = strings.ReplaceAll(k.Value, " ", "-")
		return o.name(&c, "team", "team")
	}
	return o.name(k, "team", "team")
}

func (o *orgReader) team(t *Team, n *yaml.Node, depth int) {
	what := "team " + t.Name
	o.fields(n, what, func(k, v *yaml.Node) {
		switch k.Value {
		case "description":
			t.Description = o.text(v, what)
		case "members", "maintainers":
			t.Members = append(t.Members, o.logins(v, what+": "+k.Value)...)
		case "repos":
			o.fields(v, what+": repos", func(k, v *yaml.Node) {
				if repo := o.repo(k); repo != "" {
					t.Repos[repo] = o.level(v, what+": "+repo)
				}
			})
		case "teams":
			o.teamList(v, t.Name, depth+1)
		default:
			if !slices.Contains(teamIgnored, k.Value) {
				o.fail(k, "unknown key %q in %s", k.Value, what)
			}
		}
	})
}

// repo notes a repository and returns its name as it was first written:
// GitHub does not tell Upper from lower case here either.
func (o *orgReader) repo(k *yaml.Node) string {
	name := o.name(k, "repos", "repo")
	if name == "" {
		return ""
	}
	lower := strings.ToLower(name)
	if first, ok := o.repos[lower]; ok {
		return first
	}
	o.repos[lower] = name
	return name
}

func (o *orgReader) finish() *Org {
	o.org.Admins = sortedSet(o.org.Admins)
	o.org.Members = sortedSet(o.org.Members)
	for _, name := range o.repos {
		o.org.Repos = append(o.org.Repos, name)
	}
	slices.Sort(o.org.Repos)
	for _, t := range o.teams {
		t.Members = sortedSet(t.Members)
		o.org.Teams = append(o.org.Teams, t)
	}
	slices.SortFunc(o.org.Teams, func(a, b *Team) int { return strings.Compare(a.Name, b.Name) })
	return o.org
}
