package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"trellis/graph/manifest"
)

func (a *app) manifestCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "manifest", Short: "Help with writing manifests", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of manifests, for editors", Args: cobra.NoArgs,
		Long: `Print the JSON Schema of manifests. An editor that knows YAML schemas completes
and checks manifests with it, for example by a first line such as
# yaml-language-server: $schema=manifest.schema.json`,
		Example: "  trellis manifest schema > manifest.schema.json",
		RunE: func(*cobra.Command, []string) error {
			b, err := manifest.SchemaText()
			if err == nil {
				_, err = a.stdout.Write(b)
			}
			return err
		},
	})
	return c
}

// manifestExport are the flags of export --manifest.
type manifestExport struct {
	wanted       bool
	to           string
	organization string
}

// exportManifests writes what the server lets the caller read as manifests: to
// a file, to one file a kind in a directory, or to standard output.
func (a *app) exportManifests(ctx context.Context, o manifestExport) (err error) {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	q := url.Values{}
	if o.organization != "" {
		q.Set("organization", o.organization)
	}
	stop := a.waiting("export")
	defer stop()
	body, err := cl.Open(ctx, "/api/v1/manifests/export", q, "application/yaml")
	if err != nil {
		return err
	}
	defer body.Close()
	w := &documentWriter{to: o.to, stdout: a.stdout, files: map[string]*documentFile{}}
	if info, err := os.Stat(o.to); err == nil && info.IsDir() || strings.HasSuffix(o.to, "/") {
		w.dir = true
	}
	if err := w.close(w.copy(body)); err != nil {
		return err
	}
	if w.secrets > 0 {
		fmt.Fprintf(a.stderr, "secrets of %d documents were left out\n", w.secrets)
	}
	fmt.Fprintf(a.stderr, "%d documents\n", w.documents)
	return nil
}

// documentWriter takes a stream of YAML apart into documents.
type documentWriter struct {
	to                 string
	dir                bool
	stdout             io.Writer
	documents, secrets int
	files              map[string]*documentFile
}

// documentFile is a file that gets its name when all is written.
type documentFile struct {
	*bufio.Writer
	tmp *os.File // nil of standard output
}

func (w *documentWriter) copy(r io.Reader) error {
	in := bufio.NewReaderSize(r, 1<<20)
	var doc bytes.Buffer
	for {
		line, err := in.ReadBytes('\n')
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		// What is inside of a document is indented, so this is between two.
		if end || string(line) == "---\n" {
			if err := w.document(doc.Bytes()); err != nil || end {
				return err
			}
			doc.Reset()
		}
		doc.Write(line)
	}
}

// document writes one document to where it belongs.
func (w *documentWriter) document(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	w.documents++
	if bytes.Contains(text, []byte("\n# left out")) {
		w.secrets++
	}
	name := w.to
	if w.dir {
		_, rest, _ := bytes.Cut(text, []byte("\nkind: "))
		kind, _, _ := bytes.Cut(rest, []byte("\n"))
		name = filepath.Join(w.to, strings.ToLower(string(kind))+".yaml")
	}
	out, err := w.file(name)
	if err == nil {
		_, err = out.Write(text)
	}
	return err
}

func (w *documentWriter) file(name string) (*documentFile, error) {
	if out := w.files[name]; out != nil {
		return out, nil
	}
	out := &documentFile{}
	if name == "" || name == "-" {
		out.Writer = bufio.NewWriter(w.stdout)
		w.files[name] = out
		return out, nil
	}
	if w.dir {
		if err := os.MkdirAll(w.to, 0o750); err != nil {
			return nil, err
		}
	}
	var err error
	if out.tmp, err = os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*"); err != nil {
		return nil, err
	}
	out.Writer = bufio.NewWriter(out.tmp)
	w.files[name] = out
	return out, nil
}

// close gives the files their names, unless something went wrong: then none is
// left, and what was there before stays.
func (w *documentWriter) close(err error) error {
	for _, f := range w.files {
		if err == nil {
			err = f.Flush()
		}
		if f.tmp != nil {
			err = errors.Join(err, f.tmp.Close())
		}
	}
	for name, f := range w.files {
		switch {
		case f.tmp == nil:
		case err == nil:
			err = os.Rename(f.tmp.Name(), name)
		default:
			err = errors.Join(err, os.Remove(f.tmp.Name()))
		}
	}
	return err
}
