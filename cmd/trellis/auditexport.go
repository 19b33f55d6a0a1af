package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// exportTypes are the forms of an export, by the name of the format.
var exportTypes = map[string]string{
	"ndjson": "application/x-ndjson", "csv": "text/csv", "parquet": "application/vnd.apache.parquet",
}

func (a *app) auditExportCommand() *cobra.Command {
	var f auditFilter
	var format, file string
	c := &cobra.Command{
		Use: "export", Short: "Write records of the audit log to a file", Args: cobra.NoArgs,
		Long: `Write all records that the filters find to FILE, newest first, as JSON lines,
CSV or Parquet. The file is there when it is whole: an answer that breaks off
is an error and leaves nothing.`,
		Example: `  trellis audit export --since 90d -o events.ndjson
  trellis audit export --stream requests --key 0197c1d2 --format csv -o key.csv`,
		RunE: func(c *cobra.Command, _ []string) error {
			accept, ok := exportTypes[format]
			if !ok {
				return fmt.Errorf("--format is %q: want one of %s", format, strings.Join(slices.Sorted(maps.Keys(exportTypes)), ", "))
			}
			return a.auditExport(c.Context(), f, accept, file)
		},
	}
	f.add(c, true)
	c.Flags().StringVar(&format, "format", "ndjson", "ndjson, csv or parquet")
	c.Flags().StringVarP(&file, "output", "o", "", "the file to write; - is standard output")
	_ = c.MarkFlagRequired("output") // it fails only if there is no such flag
	return c
}

func (a *app) auditExport(ctx context.Context, f auditFilter, accept, file string) (err error) {
	q, err := f.query(time.Now())
	if err != nil {
		return err
	}
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	var out io.Writer = a.stdout
	if file != "-" {
		// In the same directory, so that the last step is a rename.
		tmp, terr := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // has mode 0600
		if terr != nil {
			return terr
		}
		defer func() {
			if err == nil {
				err = tmp.Sync()
			}
			err = errors.Join(err, tmp.Close())
			if err == nil {
				err = os.Rename(tmp.Name(), file)
			}
			if err != nil {
				os.Remove(tmp.Name())
			}
		}()
		out = tmp
	}
	body, err := cl.Open(ctx, f.path(), q, accept)
	if err != nil {
		return err
	}
	defer body.Close()
	b := a.progress("bytes", -1)
	n, err := io.Copy(out, &counted{body, b, 0})
	b.done()
	if err != nil {
		return fmt.Errorf("the answer broke off after %d bytes: %w", n, err)
	}
	if file != "-" {
		fmt.Fprintf(a.stderr, "%d bytes\n", n)
	}
	return nil
}

// counted shows how much was read.
type counted struct {
	r io.Reader
	b bar
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	c.b.set(c.n)
	return n, err
}
