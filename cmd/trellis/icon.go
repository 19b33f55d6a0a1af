package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/client"
)

// iconPaths are where nodes have their picture, by type.
var iconPaths = map[string]string{
	"user": "/api/v1/users/%s/avatar", "service_account": "/api/v1/service-accounts/%s/avatar",
	"organization": "/api/v1/organizations/%s/icon", "team": "/api/v1/teams/%s/icon", "project": "/api/v1/projects/%s/icon",
}

func (a *app) iconCommand() *cobra.Command {
	var name, file, size string
	var remove bool
	c := &cobra.Command{
		Use: "icon NODE FILE | icon NODE --remove | icon NODE -o FILE", Short: "Set, remove or get the icon or avatar of a node", Args: cobra.RangeArgs(1, 2),
		Long: `Send FILE as the icon of an organization, team or project, or as the avatar of
a user or service account; FILE may be - for standard input. The one before
goes unless something else has it as its picture. With -o, get the picture:
where none is set, it is one made of the node's id.`,
		Example: "  trellis icon organization:acme logo.svg\n  trellis icon user:ann --remove\n  trellis icon team:0197c1d2 --size 64 -o team.webp",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := iconPath(args[0])
			if err != nil {
				return err
			}
			if one := len(args) == 2; one == (remove || file != "") {
				return fmt.Errorf("want one of: trellis icon %[1]s FILE, trellis icon %[1]s --remove, trellis icon %[1]s -o FILE", args[0])
			}
			switch {
			case remove:
				return a.removeIcon(c.Context(), args[0], path)
			case file != "":
				q := url.Values{}
				if size != "" {
					q.Set("size", size)
				}
				return a.download(c.Context(), path, q, file)
			}
			return a.setIcon(c.Context(), path, args[1], name)
		},
	}
	f := c.Flags()
	f.BoolVar(&remove, "remove", false, "take the picture away")
	f.StringVarP(&file, "output", "o", "", "write the picture to this file; - is standard output")
	f.StringVar(&size, "size", "", "with -o: at most so many pixels a side: 32, 64, 128 or 256")
	f.StringVar(&name, "name", "", "what the file is to be called, instead of its own name")
	c.MarkFlagsMutuallyExclusive("remove", "output", "name")
	c.MarkFlagsMutuallyExclusive("remove", "size")
	return a.jsonFlag(c)
}

// iconPath is where the picture of a node is.
func iconPath(node string) (string, error) {
	typ, id, _ := strings.Cut(node, ":")
	path := iconPaths[typ]
	if path == "" || id == "" {
		return "", fmt.Errorf("%q has no icon: want user:ID, service_account:ID, organization:ID, team:ID or project:ID", node)
	}
	return fmt.Sprintf(path, client.Escape(id)), nil
}

func (a *app) setIcon(ctx context.Context, path, file, name string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	if file == "-" && name == "" {
		name = "icon"
	}
	var raw json.RawMessage
	if err := a.send(ctx, cl, http.MethodPut, path, file, name, nil, &raw); err != nil {
		return ofFile(file, err)
	}
	if a.json {
		return a.printJSON(raw)
	}
	var u uploadAnswer
	if err := json.Unmarshal(raw, &u); err != nil {
		return err
	}
	return a.table(uploadHead, [][]string{u.row()})
}

func (a *app) removeIcon(ctx context.Context, node, path string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.Delete(ctx, path, nil); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "removed the picture of %s\n", node)
	return nil
}
