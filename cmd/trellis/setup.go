package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trellis/graph"
	"trellis/graph/identity"
)

// storeTimeout limits commands that work on the store directly.
const storeTimeout = 30 * time.Second

func (a *app) setupCommand() *cobra.Command {
	var email, account string
	var force bool
	c := &cobra.Command{
		Use: "setup", Short: "Make the first administrator and print its API key once", Args: cobra.NoArgs,
		Long: `Make an administrator, directly on the graph that the settings name, and print
an API key of it, once. It is a service account named admin, unless --user or
--service-account says otherwise. An account that exists is made an
administrator and gets a further key. If there is an administrator already,
setup refuses, unless --force is given.`,
		Example: "  trellis setup\n  trellis setup --user ann@example.com",
		RunE: func(c *cobra.Command, _ []string) error {
			r, fields := firstAdmin, map[string]string{"slug": firstAdmin.ID, "name": "First administrator"}
			switch {
			case email != "":
				r, fields = graph.Ref{Type: identity.User}, map[string]string{"email": email}
				r.ID = newID()
			case account != "":
				r, fields = graph.Ref{Type: identity.ServiceAccount, ID: account}, map[string]string{"slug": account, "name": account}
			}
			return a.setup(c.Context(), r, fields, force)
		},
	}
	f := c.Flags()
	f.StringVar(&email, "user", "", "make a user with this e-mail address the administrator")
	f.StringVar(&account, "service-account", "", "make a service account of this name the administrator")
	f.BoolVar(&force, "force", false, "make a further administrator although there is one")
	c.MarkFlagsMutuallyExclusive("user", "service-account")
	return a.jsonFlag(a.configFlag(c))
}

func (a *app) setup(ctx context.Context, r graph.Ref, fields map[string]string, force bool) (err error) {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	k, err := openCore(cfg, cfg.Logger(a.stderr))
	if err != nil {
		return err
	}
	defer func() {
		if cerr := k.Close(); err == nil {
			err = cerr
		}
	}()
	if err := k.loaded(ctx); err != nil {
		return fmt.Errorf("the graph cannot be read: %w", lastFault(k, err))
	}
	if err := k.ids.Bootstrap(ctx); err != nil {
		return err
	}
	admins, err := k.administrators(ctx)
	if err != nil {
		return err
	}
	if len(admins) > 0 && !force {
		return fmt.Errorf("there is an administrator already: %s. To make another one, use --force", joinRefs(admins))
	}
	// A user is known by the address, whatever the id.
	if address := fields["email"]; address != "" {
		there, err := k.store.Ask(ctx, graph.Question{Name: graph.NodesByName, Names: []string{identity.EmailName(address)}, Limit: 1})
		if err != nil {
			return err
		}
		if len(there.Nodes) > 0 {
			r = there.Nodes[0].Ref
		}
	}
	if err := k.account(ctx, r, fields); err != nil {
		return err
	}
	token, err := k.makeAdmin(ctx, r, "setup", true)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"administrator": r.String(), "key": token.String()})
	}
	fmt.Fprintf(a.stdout, "%s is an administrator. Its key, printed only this once:\n\n  export TRELLIS_TOKEN=%s\n", r, token)
	return nil
}

// lastFault says why the store did not answer, rather than that time ran out.
func lastFault(k *core, err error) error {
	if s := k.graph.State(); s.Err != nil {
		return s.Err
	}
	return err
}

func joinRefs(refs []graph.Ref) string {
	var s []string
	for i, r := range refs {
		if i == 5 {
			s = append(s, fmt.Sprintf("and %d more", len(refs)-i))
			break
		}
		s = append(s, r.String())
	}
	return strings.Join(s, ", ")
}
