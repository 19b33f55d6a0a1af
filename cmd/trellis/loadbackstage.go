package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/backstage"
	"trellis/cmd/trellis/client"
	"trellis/cmd/trellis/people"
	"trellis/cmd/trellis/wanted"
	"trellis/graph"
	"trellis/graph/identity"
)

func (a *app) loadBackstageCommand() *cobra.Command {
	var o setOptions
	c := &cobra.Command{
		Use: "backstage DIR|FILE…", Short: "Load the entities of a Backstage catalog", Args: cobra.MinimumNArgs(1),
		Long: `Make an organization hold what the catalog-info.yaml files below DIR, or the
files named, say: groups become teams, users become users, and components, APIs,
resources, systems and domains become projects with the types, tags, links,
owners and dependencies that the files give them. docs/importers.md tells what
becomes of each field.

Locations are followed inside the directory only. A file with a mistake in it is
reported with all its mistakes, and nothing is written. A second run changes
nothing. What was loaded before and is no longer in the files stays, until
--prune takes it away; people stay in any case, without the memberships.`,
		Example: "  trellis load backstage . --organization acme --plan\n  trellis load backstage services/*/catalog-info.yaml --organization acme --set services --prune",
		RunE: func(c *cobra.Command, args []string) error {
			catalog, err := readBackstage(args)
			if err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			r, err := loadBackstage(c.Context(), cl, catalog, o)
			if err != nil {
				return err
			}
			return a.printSet(r)
		},
	}
	setFlags(c, &o, "backstage")
	if err := c.MarkFlagRequired("organization"); err != nil {
		panic(err) // only if there is no such flag
	}
	return a.jsonFlag(c)
}

// setFlags adds the flags of importers that apply a set of manifests.
func setFlags(c *cobra.Command, o *setOptions, set string) {
	c.Flags().StringVar(&o.organization, "organization", "", "the organization to load into: its slug or id")
	c.Flags().StringVar(&o.set, "set", set, "the name under which it is remembered what was loaded; another one for each source")
	c.Flags().BoolVar(&o.plan, "plan", false, "only say what would change")
	c.Flags().BoolVar(&o.prune, "prune", false, "take away what was loaded before and is no longer in the files")
}

// readBackstage reads directories and files. Each directory, or that of a file,
// is all that is read.
func readBackstage(args []string) (*backstage.Catalog, error) {
	var sources []backstage.Source
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		s := backstage.Source{Name: arg}
		if !info.IsDir() {
			if arg, err = filepath.EvalSymlinks(arg); err != nil {
				return nil, err
			}
			s.Name, s.Files = filepath.Dir(arg), []string{filepath.Base(arg)}
		}
		root, err := os.OpenRoot(s.Name)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		s.FS = root.FS()
		sources = append(sources, s)
	}
	return backstage.Read(sources...)
}

func loadBackstage(ctx context.Context, cl *client.Client, catalog *backstage.Catalog, o setOptions) (*setReport, error) {
	h, err := findHome(ctx, cl, o.organization)
	if err != nil {
		return nil, err
	}
	mine, err := declared(ctx, cl, o.setName(h))
	if err != nil {
		return nil, err
	}
	there, err := presentCatalog(ctx, cl, h, mine, catalog.Elsewhere())
	if err != nil {
		return nil, err
	}
	plan, err := catalog.Plan(h.ID, there)
	if err != nil {
		return nil, err
	}
	if err := keepPeople(ctx, cl, plan, mine[identity.User]); err != nil {
		return nil, err
	}
	r := &setReport{Read: map[string]int{
		"files": catalog.Files, "entities": len(catalog.Entities), "teams": plan.Count(identity.Team), "people": countPeople(plan), "projects": plan.Count(identity.Project),
	}}
	return r, applySet(ctx, cl, o, h, plan, r)
}

// countPeople counts the users that a plan says something of.
func countPeople(p *wanted.Plan) (n int) {
	for i := range p.Documents {
		if p.Documents[i].Type == identity.User && p.Documents[i].Spec != nil {
			n++
		}
	}
	return n
}

// presentCatalog asks what the organization has that entities may refer to.
func presentCatalog(ctx context.Context, cl *client.Client, h home, mine map[graph.Type]map[string]bool, projects bool) (there backstage.Present, err error) {
	base := "/api/v1/organizations/" + client.Escape(h.ID)
	slugs := func(path string, t graph.Type, others bool) (map[string]bool, error) {
		nodes, err := list[people.Set](ctx, cl, base+path, nil)
		out := map[string]bool{}
		for _, n := range nodes {
			if !others || !mine[t][n.ID] {
				out[n.Slug] = true
			}
		}
		if err != nil {
			err = fmt.Errorf("reading %s: %w", path, err)
		}
		return out, err
	}
	if there.Teams, err = slugs("/teams", identity.Team, false); err != nil {
		return there, err
	}
	if projects {
		if there.Projects, err = slugs("/projects", identity.Project, false); err != nil {
			return there, err
		}
	}
	there.Words = map[graph.Type]map[string]bool{}
	for t, path := range map[graph.Type]string{identity.ProjectType: "/project-types", identity.Tag: "/tags", identity.LinkDefinition: "/link-definitions"} {
		if there.Words[t], err = slugs(path, t, true); err != nil {
			return there, err
		}
	}
	return there, nil
}
