package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/client"
)

func (a *app) whoCanCommand() *cobra.Command {
	var typ string
	c := &cobra.Command{
		Use: "who-can PERMISSION RESOURCE", Short: "List who may do this to that resource", Args: cobra.ExactArgs(2),
		Long:    "List every subject of a type that holds a permission on a resource, however it\ncame to it: directly, by a team, from above, through a role.",
		Example: "  trellis who-can repo:admin repo:etcd-io/etcd\n  trellis who-can repo:admin repo:etcd-io/etcd --type team",
		RunE: func(c *cobra.Command, args []string) error {
			return a.list(c.Context(), "/api/v1/access/subjects", url.Values{"permission": {args[0]}, "resource": {args[1]}, "type": {typ}}, "SUBJECT")
		},
	}
	c.Flags().StringVar(&typ, "type", "user", "type of the subjects")
	return a.jsonFlag(c)
}

func (a *app) canCommand() *cobra.Command {
	var typ, resource string
	c := &cobra.Command{
		Use: "can SUBJECT [PERMISSION]", Short: "List what this subject may do", Args: cobra.RangeArgs(1, 2),
		Long: `List every resource on which a subject holds a permission. Without PERMISSION,
list all resources of the type with what the subject may do to each; without
--type too, of every type. With --resource, list what the subject may do to
that one.`,
		Example: "  trellis can user:member-1501 repo:write\n  trellis can user:member-1501 --type repo\n  trellis can user:member-1501 --resource repo:etcd-io/etcd",
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case resource != "" && len(args) == 2:
				return fmt.Errorf("with a permission and a resource the question is: trellis check %s %s %s", args[0], args[1], resource)
			case resource != "":
				return a.list(c.Context(), "/api/v1/access/permissions", url.Values{"subject": {args[0]}, "resource": {resource}}, "PERMISSION")
			case len(args) == 1:
				return a.canDoWhat(c.Context(), args[0], typ)
			}
			if typ == "" {
				// A permission is about resources of its own type, as a rule.
				typ, _, _ = strings.Cut(args[1], ":")
			}
			return a.list(c.Context(), "/api/v1/access/resources", url.Values{"subject": {args[0]}, "permission": {args[1]}, "type": {typ}}, "RESOURCE")
		},
	}
	c.Flags().StringVar(&typ, "type", "", "type of the resources")
	c.Flags().StringVar(&resource, "resource", "", "list what the subject may do to this resource")
	c.MarkFlagsMutuallyExclusive("type", "resource")
	return a.jsonFlag(c)
}

// list prints one of the lists of the API, as it comes.
func (a *app) list(ctx context.Context, path string, query url.Values, head string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	items := []string{}
	err = client.List(ctx, cl, path, query, func(s string) error {
		if a.json {
			items = append(items, s)
			return nil
		}
		if len(items) == 0 {
			fmt.Fprintln(a.stdout, head)
			items = append(items, s)
		}
		_, err := fmt.Fprintln(a.stdout, s)
		return err
	})
	switch {
	case err != nil:
		return err
	case a.json:
		return a.printJSON(map[string]any{"items": items})
	case len(items) == 0:
		fmt.Fprintln(a.stdout, "none")
	}
	return nil
}

// canDoWhat asks for every permission of the type, or of all types, and puts
// the answers together by resource.
func (a *app) canDoWhat(ctx context.Context, subject, typ string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	permissions, err := permissionsOf(ctx, cl, typ)
	if err != nil {
		return err
	}
	type held struct {
		Resource    string   `json:"resource"`
		Permissions []string `json:"permissions"`
	}
	var all []*held
	byName := map[string]*held{}
	for _, p := range permissions {
		t, _, _ := strings.Cut(p, ":")
		err := client.List(ctx, cl, "/api/v1/access/resources", url.Values{"subject": {subject}, "permission": {p}, "type": {t}}, func(s string) error {
			h := byName[s]
			if h == nil {
				h = &held{Resource: s}
				byName[s], all = h, append(all, h)
			}
			h.Permissions = append(h.Permissions, p)
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(all, func(x, y *held) int { return strings.Compare(x.Resource, y.Resource) })
	if a.json {
		if all == nil {
			all = []*held{}
		}
		return a.printJSON(map[string]any{"items": all})
	}
	if len(all) == 0 {
		fmt.Fprintln(a.stdout, "none")
		return nil
	}
	var rows [][]string
	for _, h := range all {
		var actions []string
		for _, p := range h.Permissions {
			_, action, _ := strings.Cut(p, ":")
			actions = append(actions, action)
		}
		rows = append(rows, []string{h.Resource, strings.Join(actions, " ")})
	}
	return a.table([]string{"RESOURCE", "MAY"}, rows)
}

// permissionsOf lists the permissions of a type, "" for every type that has
// nodes.
func permissionsOf(ctx context.Context, cl *client.Client, typ string) ([]string, error) {
	var out []string
	err := client.List(ctx, cl, "/api/v1/permissions", nil, func(p struct {
		ID string `json:"id"`
	}) error {
		t, action, ok := strings.Cut(p.ID, ":")
		// access and change only name permissions: nothing is of these types.
		named := typ == "" && t != "access" && t != "change" || typ != "" && t == typ
		if ok && named && t != "*" && action != "*" {
			out = append(out, p.ID)
		}
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("there are no permissions of type %q, or you may not see them", typ)
	}
	return out, err
}
