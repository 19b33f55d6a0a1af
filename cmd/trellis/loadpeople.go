package main

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/client"
	"trellis/cmd/trellis/people"
	"trellis/graph"
	"trellis/graph/identity"
)

// peopleOptions are the flags of load people.
type peopleOptions struct {
	setOptions
	attributes []string
	deactivate bool
}

func (a *app) loadPeopleCommand() *cobra.Command {
	var o peopleOptions
	c := &cobra.Command{
		Use: "people FILE.csv", Short: "Load people and their memberships from a table", Args: cobra.ExactArgs(1),
		Long: `Make users of the rows of a table (- for standard input): CSV in UTF-8 with a
header, separated by commas, semicolons or tabs. Columns in any order: email
(required), name (or first name and last name), status (active, suspended,
deactivated), manager, teams and groups (several in a cell separated by | or ;).
Other columns are not read, unless --attribute names them.

People are known by their address. With --organization they become members of
it; teams are those of the organization and must be there, as groups must. What
the table does not say of somebody stays as it is. Active members of the
organization whom the table does not name are only reported, unless
--deactivate-missing takes their access away; nobody is ever deleted.`,
		Example: "  trellis load people people.csv --organization acme --plan\n  trellis load people people.csv --organization acme --prune --deactivate-missing",
		RunE: func(c *cobra.Command, args []string) error {
			table, err := a.readPeople(args[0], o.attributes)
			if err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			r, err := a.loadPeople(c.Context(), cl, table, o)
			if err != nil {
				return err
			}
			return a.printSet(r)
		},
	}
	setFlags(c, &o.setOptions, "people")
	c.Flags().StringSliceVar(&o.attributes, "attribute", nil, "a further column to keep as an attribute; may be repeated")
	c.Flags().BoolVar(&o.deactivate, "deactivate-missing", false, "deactivate the members of the organization whom the table does not name")
	return a.jsonFlag(c)
}

func (a *app) readPeople(file string, attributes []string) (*people.Table, error) {
	in, closeFile, err := a.open(file)
	if err != nil {
		return nil, err
	}
	defer closeFile()
	text, err := io.ReadAll(io.LimitReader(in, people.MaxFile+1))
	if err != nil {
		return nil, err
	}
	return people.Read(file, text, attributes)
}

func (a *app) loadPeople(ctx context.Context, cl *client.Client, table *people.Table, o peopleOptions) (*setReport, error) {
	var h home
	var err error
	if o.organization != "" {
		if h, err = findHome(ctx, cl, o.organization); err != nil {
			return nil, err
		}
	} else if o.deactivate {
		return nil, fmt.Errorf("--deactivate-missing needs --organization: whose members are to be compared with the table")
	}
	there, err := presentPeople(ctx, cl, h, table)
	if err != nil {
		return nil, err
	}
	mine, err := declared(ctx, cl, o.setName(h))
	if err != nil {
		return nil, err
	}
	there.Declared = mine[identity.User]
	plan, missing, err := table.Plan(there, people.Options{Organization: h.ID, DeactivateMissing: o.deactivate})
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		a.tellMissing(missing, o)
	}
	r := &setReport{Read: map[string]int{"people": len(table.Rows)}, Missing: missing}
	return r, applySet(ctx, cl, o.setOptions, h, plan, r)
}

// tellMissing says, before anything is written, whom the table does not name.
func (a *app) tellMissing(missing []people.Person, o peopleOptions) {
	fate := "they stay as they are; --deactivate-missing would take their access away"
	switch {
	case o.deactivate && o.plan:
		fate = "they would be deactivated"
	case o.deactivate:
		fate = "they will be deactivated"
	}
	fmt.Fprintf(a.stderr, "%d active members of %s are not in the table: %s\n", len(missing), o.organization, fate)
	for i, p := range missing {
		if i == maxNotes {
			fmt.Fprintf(a.stderr, "  and %d more\n", len(missing)-maxNotes)
			break
		}
		fmt.Fprintf(a.stderr, "  %s\n", p.Email)
	}
}

// presentPeople asks what the graph holds that a table may name.
func presentPeople(ctx context.Context, cl *client.Client, h home, table *people.Table) (there people.Present, err error) {
	if there.People, err = list[people.Person](ctx, cl, "/api/v1/users", nil); err != nil {
		return there, err
	}
	if table.Groups {
		if there.Groups, err = list[people.Set](ctx, cl, "/api/v1/groups", nil); err != nil {
			return there, err
		}
	}
	var me struct {
		Subject graph.Ref `json:"subject"`
	}
	if err := cl.Get(ctx, "/api/v1/me", nil, &me); err != nil {
		return there, err
	}
	if me.Subject.Type == identity.User {
		there.Caller = me.Subject.ID
	}
	if h.ID == "" {
		return there, nil
	}
	base := "/api/v1/organizations/" + client.Escape(h.ID)
	if table.Teams {
		if there.Teams, err = list[people.Set](ctx, cl, base+"/teams", nil); err != nil {
			return there, err
		}
	}
	there.InOrg = map[string]bool{}
	err = client.List(ctx, cl, base+"/members", url.Values{"type": {string(identity.User)}}, func(m struct {
		Member graph.Ref `json:"member"`
	}) error {
		there.InOrg[m.Member.ID] = true
		return nil
	})
	return there, err
}
