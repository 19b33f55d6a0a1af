package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/archive"
	"trellis/graph"
)

func (a *app) exportCommand() *cobra.Command {
	var m manifestExport
	c := a.configFlag(&cobra.Command{
		Use: "export [FILE]", Short: "Write the whole graph to a file, for import elsewhere, or as manifests", Args: cobra.MaximumNArgs(1),
		Long: `Write the whole graph, as it is at one revision, as JSON lines to FILE or to
standard output. It works directly on the graph that the settings name, also
while a server uses it. The file holds hashes of credentials: keep it like the
graph itself. It is the way from one engine to another; see import.

With --manifest, ask a running server instead (TRELLIS_URL, TRELLIS_TOKEN) and
write what the key may read as manifests, which apply accepts: to standard
output, to the file that -o names, or to one file a kind if that is a directory
(or ends in a slash). Secrets and credentials are not in them.`,
		Example: "  trellis export graph.ndjson\n  trellis export | zstd > graph.ndjson.zst\n  trellis export --manifest --organization acme -o acme.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			if m.wanted {
				if len(args) > 0 {
					return errors.New("with --manifest, give the file by -o")
				}
				return a.exportManifests(c.Context(), m)
			}
			if m.to != "" || m.organization != "" {
				return errors.New("-o and --organization are for --manifest")
			}
			return a.onStore(func(store graph.Store) error {
				if len(args) == 0 || args[0] == "-" {
					return a.export(c.Context(), store, a.stdout, "")
				}
				return a.exportTo(c.Context(), store, args[0])
			})
		},
	})
	c.Flags().BoolVar(&m.wanted, "manifest", false, "write manifests, of what the server lets the key read")
	c.Flags().StringVarP(&m.to, "output", "o", "", "with --manifest: the file or directory to write to")
	c.Flags().StringVar(&m.organization, "organization", "", "with --manifest: only this organization and what is below it")
	return c
}

// onStore opens the store that the settings name.
func (a *app) onStore(f func(graph.Store) error) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	store, err := openStore(cfg)
	if err != nil {
		return err
	}
	return errors.Join(f(store), store.Close())
}

// exportTo writes a file that is either whole or not there.
func (a *app) exportTo(ctx context.Context, store graph.Store, file string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // has mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := a.export(ctx, store, tmp, file); err != nil {
		tmp.Close()
		return err
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

func (a *app) export(ctx context.Context, store graph.Store, w io.Writer, name string) error {
	b := a.progress("export", -1)
	h, f, err := archive.Write(ctx, w, store, time.Now(), b.set)
	b.done()
	if err != nil {
		return err
	}
	if name != "" {
		name = " to " + name
	}
	fmt.Fprintf(a.stderr, "exported store %s at revision %d%s: %d nodes, %d edges\n", h.Store, f.Revision, name, f.Nodes, f.Edges)
	return nil
}

func (a *app) importCommand() *cobra.Command {
	return a.configFlag(&cobra.Command{
		Use: "import FILE", Short: "Fill an empty graph from an export", Args: cobra.ExactArgs(1),
		Long: `Fill the graph that the settings name with what export wrote; FILE may be - for
standard input. A graph that holds anything is refused, and so is a file that
is not complete and unchanged: then nothing is written. Give the new server
the TRELLIS_SECRET_KEY of the old one, or API keys stop working. No server may
use the graph meanwhile.`,
		Example: "  TRELLIS_GRAPH_URL=neo4j://neo4j:secret@localhost:7687 trellis import graph.ndjson",
		RunE: func(c *cobra.Command, args []string) error {
			return a.onStore(func(store graph.Store) error { return a.restore(c.Context(), store, args[0]) })
		},
	})
}

// restore reads the file twice: what is wrong with it must be known before
// anything is written.
func (a *app) restore(ctx context.Context, store graph.Store, file string) error {
	if info, err := store.Info(ctx); err != nil {
		return err
	} else if info.Head != 0 {
		return fmt.Errorf("the graph is not empty: it is store %s at revision %d. Import into a new one", info.Store, info.Head)
	}
	in, err := a.seekable(file)
	if err != nil {
		return err
	}
	defer in.Close()
	h, f, err := archive.Check(bufio.NewReader(in))
	if err != nil {
		return fmt.Errorf("%s is refused, nothing was written: %w", file, err)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	b := a.progress("import", f.Nodes+f.Edges)
	err = archive.Import(ctx, store, in, f, b.set)
	b.done()
	if err != nil {
		return fmt.Errorf("%s could not be imported: %w", file, err)
	}
	fmt.Fprintf(a.stderr, "imported %d nodes and %d edges of store %s at revision %d\n", f.Nodes, f.Edges, h.Store, f.Revision)
	return nil
}

// seekable opens a file, or copies standard input to one that goes away by
// itself.
func (a *app) seekable(name string) (*os.File, error) {
	if name != "-" {
		return os.Open(name)
	}
	f, err := os.CreateTemp("", "trellis-import-*")
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, a.stdin)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err := errors.Join(err, os.Remove(f.Name())); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
