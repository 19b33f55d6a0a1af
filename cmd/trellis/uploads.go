package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/client"
	"trellis/graph"
)

func (a *app) uploadsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "uploads", Short: "List, get and delete files that were sent", Args: cobra.NoArgs,
		Long: "List, get and delete files that were sent with trellis upload or through the\nAPI, as far as you may.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.uploadsListCommand(), a.uploadsGetCommand(), a.uploadsDeleteCommand())
	return c
}

func (a *app) uploadsListCommand() *cobra.Command {
	var to, typ, organization string
	var mine bool
	c := &cobra.Command{
		Use: "list", Short: "List files", Args: cobra.NoArgs,
		Long:    "List the files that you may read, the oldest first.",
		Example: "  trellis uploads list --to organization:acme --type 'image/*'\n  trellis uploads list --mine",
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, v := range map[string]string{"belongs_to": to, "content_type": typ, "organization": organization} {
				if v != "" {
					q.Set(name, v)
				}
			}
			return a.listUploads(c.Context(), q, mine)
		},
	}
	f := c.Flags()
	f.StringVar(&to, "to", "", "only what belongs to this node, as type:id")
	f.StringVar(&typ, "type", "", "only files of this type, such as application/pdf or image/*")
	f.StringVar(&organization, "organization", "", "only what counts in the quota of this organization")
	f.BoolVar(&mine, "mine", false, "only what you have sent")
	return a.jsonFlag(c)
}

func (a *app) listUploads(ctx context.Context, q url.Values, mine bool) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	if mine {
		var me struct {
			Subject graph.Ref `json:"subject"`
		}
		if err := cl.Get(ctx, "/api/v1/me", nil, &me); err != nil {
			return err
		}
		q.Set("created_by", me.Subject.String())
	}
	items := []json.RawMessage{}
	var rows [][]string
	err = client.List(ctx, cl, "/api/v1/uploads", q, func(raw json.RawMessage) error {
		if a.json {
			items = append(items, raw)
			return nil
		}
		var u uploadAnswer
		if err := json.Unmarshal(raw, &u); err != nil {
			return err
		}
		created, _, _ := strings.Cut(u.CreatedAt, "T")
		name := u.Filename
		if u.State == "pending" {
			name += " (announced)"
		}
		rows = append(rows, []string{u.ID, u.ContentType, strconv.FormatInt(u.Size, 10), created, u.BelongsTo, name})
		return nil
	})
	switch {
	case err != nil:
		return err
	case a.json:
		return a.printJSON(map[string]any{"items": items})
	case len(rows) == 0:
		fmt.Fprintln(a.stdout, "none")
		return nil
	}
	return a.table([]string{"ID", "TYPE", "SIZE", "SENT", "BELONGS TO", "NAME"}, rows)
}

func (a *app) uploadsGetCommand() *cobra.Command {
	var file, size string
	c := &cobra.Command{
		Use: "get ID -o FILE", Short: "Get a file, or its thumbnail", Args: cobra.ExactArgs(1),
		Long:    "Write a file that was sent to FILE, or its thumbnail. FILE is there when it is\nwhole: an answer that breaks off is an error and leaves nothing.",
		Example: "  trellis uploads get 0197c1d2-… -o plan.pdf\n  trellis uploads get 0197c1d2-… --thumbnail 128 -o small.webp",
		RunE: func(c *cobra.Command, args []string) error {
			path, q := uploadPath(args[0]), url.Values{"disposition": {"stream"}}
			if size != "" {
				path += "/thumbnail"
				q.Set("size", size)
			}
			return a.download(c.Context(), path, q, file)
		},
	}
	f := c.Flags()
	f.StringVar(&size, "thumbnail", "", "get the thumbnail with at most so many pixels a side: 32, 64, 128 or 256")
	f.StringVarP(&file, "output", "o", "", "the file to write; - is standard output")
	_ = c.MarkFlagRequired("output") // it fails only if there is no such flag
	return c
}

// uploadPath is where an upload is, which may be written upload:ID as well.
func uploadPath(id string) string {
	return "/api/v1/uploads/" + client.Escape(strings.TrimPrefix(id, "upload:"))
}

// download writes what is at path to a file, - for standard output.
func (a *app) download(ctx context.Context, path string, q url.Values, file string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	body, size, err := cl.Download(ctx, path, q)
	if err != nil {
		return err
	}
	defer body.Close()
	b := a.progress("bytes", int(size))
	defer b.done()
	from := &counted{body, b, 0}
	if file == "-" {
		return copyWhole(a.stdout, from)
	}
	return writeWhole(file, from)
}

func copyWhole(w io.Writer, r io.Reader) error {
	if n, err := io.Copy(w, r); err != nil {
		return fmt.Errorf("the answer broke off after %d bytes: %w", n, err)
	}
	return nil
}

// writeWhole writes a file that is either whole or as it was before.
func writeWhole(file string, r io.Reader) error {
	// In the same directory, so that the last step is a rename.
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // has mode 0600
	if err != nil {
		return err
	}
	err = copyWhole(tmp, r)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

func (a *app) uploadsDeleteCommand() *cobra.Command {
	var cascade bool
	c := &cobra.Command{
		Use: "delete ID...", Short: "Delete files", Args: cobra.MinimumNArgs(1),
		Long:    "Delete files, one after the other; it ends at the first that cannot be. One\nthat is an icon or avatar is not deleted, unless --cascade takes it away there.",
		Example: "  trellis uploads delete 0197c1d2-…",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			q := url.Values{}
			if cascade {
				q.Set("cascade", "true")
			}
			for _, id := range args {
				if err := cl.Delete(c.Context(), uploadPath(id), q); err != nil {
					return fmt.Errorf("%s: %w", id, err)
				}
				fmt.Fprintf(a.stdout, "deleted  %s\n", id)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&cascade, "cascade", false, "take it away from the nodes whose icon or avatar it is")
	return c
}
