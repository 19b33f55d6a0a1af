package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/client"
	"trellis/cmd/trellis/githuborg"
	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/manifest"
)

func (a *app) loadCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "load", Short: "Load data of other systems", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.loadGithubCommand(), a.loadBackstageCommand(), a.loadPeopleCommand())
	return c
}

// loadOptions are the flags of load github-org.
type loadOptions struct {
	orgs     []string
	dryRun   bool
	projects bool
}

func (a *app) loadGithubCommand() *cobra.Command {
	var o loadOptions
	c := &cobra.Command{
		Use: "github-org DIR", Short: "Load GitHub organizations: people, teams, repositories and who may do what", Args: cobra.ExactArgs(1),
		Long: `Make the graph say what the files in DIR say, in the format of the peribolos
tool: one folder an organization, an org.yaml in it, teams in further YAML
files below it.

Organizations become organization:ORG, teams team:ORG/NAME, repositories
repo:ORG/NAME, people user:LOGIN; roles repo-read, repo-triage, repo-write,
repo-maintain and repo-admin grant repo:read to repo:admin, each all the lower
ones. A second run changes nothing. Teams, memberships and grants of these
organizations that the files no longer have are taken away; repositories and
people stay, and so does whatever the files cannot express, such as a grant of
another role.

With --projects the catalog of each organization gets a project for each
repository, owned by the team that may do most with it, as the set of manifests
ORG/github (see trellis apply).`,
		Example: "  trellis load github-org testdata/kubernetes-org --projects\n  trellis load github-org config --org kubernetes --dry-run",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			return a.loadGithub(c.Context(), cl, os.DirFS(args[0]), args[0], o)
		},
	}
	c.Flags().StringSliceVar(&o.orgs, "org", nil, "load only the organization of this name; may be repeated")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "only say what would be sent")
	c.Flags().BoolVar(&o.projects, "projects", false, "make a project of the catalog for each repository")
	return a.jsonFlag(c)
}

// loadReport is what a load did.
type loadReport struct {
	Read struct {
		Organizations int `json:"organizations"`
		People        int `json:"people"`
		Teams         int `json:"teams"`
		Repositories  int `json:"repositories"`
	} `json:"read"`
	// Effects by type of node, "membership" or "grant".
	Effects  map[string]map[identity.Effect]int `json:"effects"`
	Changed  bool                               `json:"changed"`
	Revision string                             `json:"revision,omitempty"`
	DryRun   bool                               `json:"dry_run,omitempty"`
}

func (a *app) loadGithub(ctx context.Context, cl *client.Client, dir fs.FS, name string, o loadOptions) error {
	world, err := githuborg.Read(dir, o.orgs...)
	if err != nil {
		return named(name, err)
	}
	b := a.progress("compare", -1)
	plan, err := world.Plan(ctx, source{cl}, func(done, all int) { b.grow(all); b.set(done) })
	b.done()
	if err != nil {
		return err
	}
	r := loadReport{Effects: map[string]map[identity.Effect]int{}, DryRun: o.dryRun}
	c := world.Counts()
	r.Read.Organizations, r.Read.People, r.Read.Teams, r.Read.Repositories = c.Organizations, c.People, c.Teams, c.Repositories
	r.count(string(identity.User), identity.Unchanged, plan.Present)
	if o.dryRun {
		return a.dryRun(&r, plan.Mutations)
	}
	b = a.progress("changes", len(plan.Mutations))
	done := 0
	for chunk := range slices.Chunk(plan.Mutations, identity.MaxMutations) {
		ans, err := sendBatch(ctx, cl, chunk)
		if err != nil {
			b.done()
			return explainBatch(err, chunk, done)
		}
		for i := range chunk {
			r.count(subjectOf(&chunk[i]), ans.Results[i].Effect, 1)
		}
		r.Revision, r.Changed = ans.Revision, r.Changed || ans.Changed
		done += len(chunk)
		b.set(done)
	}
	b.done()
	if o.projects {
		if err := loadProjects(ctx, cl, world, &r); err != nil {
			return err
		}
	}
	return a.printLoad(&r)
}

// loadProjects applies the projects of each organization as a set of manifests.
func loadProjects(ctx context.Context, cl *client.Client, world *githuborg.World, r *loadReport) error {
	for _, org := range world.Orgs {
		plan := org.Projects()
		set := setReport{}
		o := setOptions{set: "github", prune: true}
		if err := applySet(ctx, cl, o, home{ID: org.Name}, plan, &set); err != nil {
			return fmt.Errorf("projects of %s: %w", org.Name, err)
		}
		same := map[graph.Type]int{}
		for i := range plan.Documents {
			same[plan.Documents[i].Type]++
		}
		for i := range set.Items {
			item := &set.Items[i]
			r.count(string(item.Node.Type), effectOf[item.Action], 1)
			if item.Document >= 0 {
				same[item.Node.Type]--
			}
		}
		for t, n := range same {
			r.count(string(t), identity.Unchanged, n)
		}
		r.Revision, r.Changed = set.Revision, r.Changed || set.Changed
	}
	return nil
}

// effectOf says what an action of a plan comes to; what a set lets go of stays.
var effectOf = map[manifest.Action]identity.Effect{
	manifest.Create: identity.Created, manifest.Change: identity.Updated, manifest.Delete: identity.Deleted, manifest.Release: identity.Unchanged,
}

// named puts the directory before the names of files.
func named(dir string, err error) error {
	var out []error
	list := []error{err}
	var missing *fs.PathError
	if errors.As(err, &missing) && missing.Path == "." {
		return fmt.Errorf("%s: %w", dir, missing.Err)
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		list = j.Unwrap()
	}
	for _, e := range list {
		var p *githuborg.Problem
		if errors.As(e, &p) {
			q := *p
			q.File = filepath.Join(dir, p.File)
			e = &q
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// explainBatch names the change that was refused and says what was done
// before it.
func explainBatch(err error, chunk []identity.Mutation, done int) error {
	var p *client.Problem
	if errors.As(err, &p) {
		for _, f := range p.Errors {
			var i int
			if n, _ := fmt.Sscanf(f.Pointer, "/mutations/%d", &i); n == 1 && i >= 0 && i < len(chunk) {
				err = fmt.Errorf("%s %s: %w", chunk[i].Op, describe(&chunk[i]), err)
				break
			}
		}
	}
	if done > 0 {
		err = fmt.Errorf("%w\n%d changes were carried out before; run the command again to go on", err, done)
	}
	return err
}

func (r *loadReport) count(what string, e identity.Effect, n int) {
	if n == 0 {
		return
	}
	if r.Effects[what] == nil {
		r.Effects[what] = map[identity.Effect]int{}
	}
	r.Effects[what][e] += n
}

// subjectOf says of what kind a change is.
func subjectOf(m *identity.Mutation) string {
	switch m.Op {
	case identity.OpPutMember, identity.OpDeleteMember:
		return "membership"
	case identity.OpPutGrant, identity.OpDeleteGrant:
		return "grant"
	}
	return string(m.Node.Type)
}

var (
	loadOrder   = []string{"resource_type", "role", "organization", "user", "team", "repo", "project_type", "link_definition", "tag", "project", "membership", "grant"}
	effectOrder = []identity.Effect{identity.Created, identity.Updated, identity.Deleted, identity.Unchanged}
)

func (a *app) printLoad(r *loadReport) error {
	if a.json {
		return a.printJSON(r)
	}
	fmt.Fprintf(a.stdout, "read: %d organizations, %d people, %d teams, %d repositories\n",
		r.Read.Organizations, r.Read.People, r.Read.Teams, r.Read.Repositories)
	head := []string{"TYPE", "CREATED", "UPDATED", "DELETED", "UNCHANGED"}
	var rows [][]string
	for _, what := range loadOrder {
		if r.Effects[what] == nil {
			continue
		}
		row := []string{what}
		for _, e := range effectOrder {
			row = append(row, strconv.Itoa(r.Effects[what][e]))
		}
		rows = append(rows, row)
	}
	if err := a.table(head, rows); err != nil {
		return err
	}
	if !r.Changed {
		fmt.Fprint(a.stdout, "nothing needed changing; ")
	}
	fmt.Fprintf(a.stdout, "revision %s\n", r.Revision)
	return nil
}

// dryRun prints what would be sent.
func (a *app) dryRun(r *loadReport, muts []identity.Mutation) error {
	if a.json {
		e := json.NewEncoder(a.stdout)
		for i := range muts {
			if err := e.Encode(&muts[i]); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range muts {
		fmt.Fprintf(a.stdout, "%-13s  %s\n", muts[i].Op, describe(&muts[i]))
	}
	fmt.Fprintf(a.stdout, "%d changes would be sent; %d people are there already\n", len(muts), r.Effects[string(identity.User)][identity.Unchanged])
	return nil
}

// source asks the API what the graph holds.
type source struct{ cl *client.Client }

// Nodes implements githuborg.Source.
func (s source) Nodes(ctx context.Context, t graph.Type, org string) ([]graph.Ref, error) {
	path := "/api/v1/resources/" + string(t)
	switch t {
	case identity.User:
		path = "/api/v1/users"
	case identity.Team:
		path = "/api/v1/organizations/" + client.Escape(org) + "/teams"
	}
	var out []graph.Ref
	err := client.List(ctx, s.cl, path, nil, func(n struct {
		ID string `json:"id"`
	}) error {
		out = append(out, graph.Ref{Type: t, ID: n.ID})
		return nil
	})
	return out, err
}

// Members implements githuborg.Source.
func (s source) Members(ctx context.Context, set graph.Ref) ([]graph.Ref, error) {
	path := "/api/v1/organizations/" + client.Escape(set.ID) + "/members"
	if set.Type == identity.Team {
		org := set.ID[:max(0, indexSlash(set.ID))]
		path = "/api/v1/organizations/" + client.Escape(org) + "/teams/" + client.Escape(set.ID) + "/members"
	}
	var out []graph.Ref
	err := client.List(ctx, s.cl, path, nil, func(m struct {
		Member graph.Ref `json:"member"`
	}) error {
		out = append(out, m.Member)
		return nil
	})
	return out, err
}

func indexSlash(s string) int {
	return slices.Index([]byte(s), '/')
}

// Grants implements githuborg.Source.
func (s source) Grants(ctx context.Context, role string) ([]githuborg.Grant, error) {
	var out []githuborg.Grant
	err := client.List(ctx, s.cl, "/api/v1/grants", url.Values{"role": {role}}, func(g struct {
		Subject  graph.Ref `json:"subject"`
		Resource graph.Ref `json:"resource"`
	}) error {
		out = append(out, githuborg.Grant{Subject: g.Subject, Resource: g.Resource})
		return nil
	})
	return out, err
}
