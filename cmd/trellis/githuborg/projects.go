package githuborg

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"trellis/cmd/trellis/wanted"
	"trellis/graph/identity"
)

// Projects says what an organization's catalog is to hold, one project a
// repository: it belongs to the team that may do most with the repository (of
// several, to the one that is named after it) and is tagged with the group
// whose files name that team, such as sig-docs.
func (o *Org) Projects() *wanted.Plan {
	p := &wanted.Plan{}
	p.Documents = append(p.Documents,
		wanted.Document{Type: identity.ProjectType, Slug: "repository", Spec: map[string]any{"name": "Repository"}},
		wanted.Document{Type: identity.LinkDefinition, Slug: "github", Spec: map[string]any{"name": "GitHub", "url_template": "https://github.com/{repository}"}},
	)
	tags, slugs := map[string]bool{}, map[string]bool{}
	var projects []wanted.Document
	for _, repo := range o.Repos {
		full := o.Name + "/" + repo
		slug := wanted.Slug(repo)
		if slug == "" || slugs[slug] {
			p.Notes = append(p.Notes, wanted.Note{Msg: full + ": no project is made of it, another one has the slug " + slug})
			continue
		}
		slugs[slug] = true
		spec := map[string]any{
			"name": repo, "types": []string{"repository"}, "identifiers": map[string]string{"github": full},
			"links": map[string]any{"github": map[string]string{"url": "https://github.com/" + full}},
		}
		if t := o.owner(repo); t != nil {
			spec["team"] = o.Name + "/" + t.Name
			if tag := wanted.Slug(t.group()); tag != "" {
				spec["tags"] = []string{tag}
				tags[tag] = true
			}
		}
		projects = append(projects, wanted.Document{Type: identity.Project, Slug: slug, Spec: spec})
	}
	var names []string
	for tag := range tags {
		names = append(names, tag)
	}
	slices.Sort(names)
	for _, tag := range names {
		p.Documents = append(p.Documents, wanted.Document{Type: identity.Tag, Slug: tag})
	}
	p.Documents = append(p.Documents, projects...)
	return p
}

// owner is the team that a repository's project belongs to, nil if no team may
// do anything with it.
func (o *Org) owner(repo string) *Team {
	var best *Team
	for _, t := range o.Teams {
		if t.Repos[repo] == none {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(t.Repos[repo], best.Repos[repo]), compareBool(t.isNamedAfter(repo), best.isNamedAfter(repo))) > 0 {
			best = t
		}
	}
	return best
}

func (t *Team) isNamedAfter(repo string) bool { return strings.HasPrefix(t.Name, repo+"-") }

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// group is the folder of the file that names the team, "" for the
// organization's own file.
func (t *Team) group() string {
	dir := path.Dir(t.pos.file)
	if strings.Count(dir, "/") == 0 {
		return ""
	}
	return path.Base(dir)
}
