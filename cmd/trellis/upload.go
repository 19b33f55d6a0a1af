package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/client"
)

// uploadAnswer is what the API says of an upload, as far as tables show it.
type uploadAnswer struct {
	ID          string `json:"id"`
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size"`
	State       string `json:"state"`
	NoThumbnail string `json:"no_thumbnail"`
	BelongsTo   string `json:"belongs_to"`
	CreatedAt   string `json:"created_at"`
}

func (u uploadAnswer) row() []string {
	thumbnail := "yes"
	if u.NoThumbnail != "" {
		thumbnail = u.NoThumbnail
	}
	return []string{u.ID, u.ContentType, strconv.FormatInt(u.Size, 10), u.Filename, thumbnail}
}

var uploadHead = []string{"ID", "TYPE", "SIZE", "NAME", "THUMBNAIL"}

func (a *app) uploadCommand() *cobra.Command {
	var to, name string
	c := &cobra.Command{
		Use: "upload FILE...", Short: "Send files", Args: cobra.MinimumNArgs(1),
		Long: `Send files to be kept. JPEG, PNG, GIF, WebP, SVG and PDF are, and are told by
their bytes; thumbnails are made of pictures. FILE may be - for standard input,
with --name. A file belongs to the node of --to, and whoever has access to that
has access to it; without --to it belongs to whoever sends it.

A file that is refused does not keep the others from being sent; the exit code
is 2 then. See also: trellis uploads, trellis icon, docs/files.md.`,
		Example: "  trellis upload plan.pdf site.png --to project:0197c1d2\n  pdftoppm -png -singlefile plan.pdf | trellis upload - --name plan.png",
		RunE: func(c *cobra.Command, args []string) error {
			if name != "" && len(args) > 1 {
				return errors.New("--name is for one file")
			}
			return a.upload(c.Context(), args, to, name)
		},
	}
	c.Flags().StringVar(&to, "to", "", "the node that the files are to belong to, as type:id")
	c.Flags().StringVar(&name, "name", "", "what the file is to be called, instead of its own name")
	return a.jsonFlag(c)
}

func (a *app) upload(ctx context.Context, names []string, to, name string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	fields := map[string]string{}
	if to != "" {
		fields["parent"] = to
	}
	items := []json.RawMessage{}
	var rows [][]string
	var faults []error
	for _, file := range names {
		var raw json.RawMessage
		err := a.send(ctx, cl, http.MethodPost, "/api/v1/uploads", file, name, fields, &raw)
		var u uploadAnswer
		if err == nil {
			err = json.Unmarshal(raw, &u)
		}
		if err != nil {
			faults = append(faults, ofFile(file, err))
			if !aboutFile(err) {
				break // the next one would not fare better
			}
			continue
		}
		items, rows = append(items, raw), append(rows, u.row())
	}
	// What was stored is told even if something else was not.
	if a.json {
		faults = append(faults, a.printJSON(map[string]any{"items": items}))
	} else if len(rows) > 0 {
		faults = append(faults, a.table(uploadHead, rows))
	}
	return errors.Join(faults...)
}

// aboutFile tells whether an error is about one file, so that others may still
// be sent.
func aboutFile(err error) bool {
	var p *client.Problem
	if errors.As(err, &p) {
		switch p.Status {
		case http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
			return true
		}
		return false
	}
	var path *fs.PathError
	return errors.As(err, &path) || errors.Is(err, errNoFile)
}

var errNoFile = errors.New("this is no file")

// ofFile puts the name of a file before an error.
func ofFile(file string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && path.Path == file {
		return &fs.PathError{Op: path.Op, Path: file, Err: path.Err} // it says the name itself
	}
	return fmt.Errorf("%s: %w", file, err)
}

// send sends one file, - for standard input, with a bar that shows how much has gone.
func (a *app) send(ctx context.Context, cl *client.Client, method, path, file, name string, fields map[string]string, out any) error {
	f := client.File{Name: name, Size: -1, Once: true}
	var b bar
	if file == "-" {
		if name == "" {
			return errors.New("what comes from standard input needs a --name")
		}
		b = a.progress(name, -1)
		f.Open = func() (io.ReadCloser, error) { return io.NopCloser(&counted{a.stdin, b, 0}), nil }
	} else {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return fmt.Errorf("%w but a directory", errNoFile)
		}
		if info.Mode().IsRegular() { // and not a pipe
			f.Size, f.Once = info.Size(), false
		}
		if f.Name == "" {
			f.Name = filepath.Base(file)
		}
		b = a.progress(f.Name, int(f.Size))
		f.Open = func() (io.ReadCloser, error) {
			r, err := os.Open(file)
			if err != nil {
				return nil, err
			}
			return &countedFile{counted{r, b, 0}, r}, nil
		}
	}
	defer b.done()
	return cl.SendFile(ctx, method, path, fields, f, out)
}

// countedFile shows how much of a file was read.
type countedFile struct {
	counted
	io.Closer
}
