package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"trellis/cmd/trellis/client"
	"trellis/graph/manifest"
)

// applyOptions are the flags of apply.
type applyOptions struct {
	files                      []string
	set                        string
	plan, prune, all, detailed bool
}

// manifestAnswer is what the API says to POST /manifests/{set}.
type manifestAnswer struct {
	Revision string              `json:"revision"`
	Changed  bool                `json:"changed"`
	Plan     []manifest.PlanItem `json:"plan"`
	Counts   manifest.PlanCounts `json:"counts"`
}

// applyFiles reads the files and applies what is in them.
func (a *app) applyFiles(ctx context.Context, o applyOptions) error {
	files, err := manifestFiles(o.files)
	if err != nil {
		return err
	}
	b := a.progress("read", len(files))
	var docs []manifest.Source
	for i, name := range files {
		text, err := a.readFile(name)
		if err != nil {
			return err
		}
		if len(files) == 1 && isMutations(text) {
			b.done()
			return a.applyMutations(ctx, name, text, o)
		}
		list, err := manifest.Parse(name, bytes.NewReader(text))
		if err != nil {
			return err
		}
		docs = append(docs, list...)
		b.set(i + 1)
	}
	b.done()
	switch {
	case len(docs) == 0 && !o.prune:
		return errors.New("there are no manifests in these files; with --prune, that deletes all that the set declared")
	case len(docs) > manifest.MaxDocuments:
		return fmt.Errorf("these are %d documents; a set holds at most %d", len(docs), manifest.MaxDocuments)
	case o.set == "" && len(docs) == 0:
		return errors.New("which set is to be emptied? give --set")
	}
	if o.set == "" {
		o.set = defaultSet(manifest.Documents(docs))
	}
	return a.applyManifests(ctx, docs, o)
}

// defaultSet is what a set is called that has no other name.
func defaultSet(docs []manifest.Document) string {
	if org := manifest.OneOrganization(docs); org != "" {
		return org + "/default"
	}
	return "default"
}

// applyMutations carries out a list of changes.
func (a *app) applyMutations(ctx context.Context, name string, text []byte, o applyOptions) error {
	if o.plan || o.prune || o.set != "" {
		return fmt.Errorf("%s is a list of changes, not of manifests: --plan, --prune and --set are for manifests", name)
	}
	muts, err := readMutations(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	return a.apply(ctx, cl, muts)
}

// isMutations tells whether the text is a list of changes, as POST /batch takes
// them, and not of documents. What cannot be read is neither.
func isMutations(text []byte) bool {
	var doc yaml.Node
	if yaml.NewDecoder(bytes.NewReader(text)).Decode(&doc) != nil || len(doc.Content) == 0 {
		return false
	}
	list := doc.Content[0]
	if list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		return false
	}
	first := list.Content[0]
	if first.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i < len(first.Content); i += 2 {
		if first.Content[i].Value == "apiVersion" || first.Content[i].Value == "kind" {
			return false
		}
	}
	return true
}

// manifestFiles lists the files that names stand for: those of a directory in
// the order of their paths, hidden ones left out.
func manifestFiles(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		if name == "-" {
			out = append(out, name)
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, name)
			continue
		}
		err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			hidden := path != name && strings.HasPrefix(d.Name(), ".")
			switch {
			case err != nil:
				return err
			case d.IsDir() && hidden:
				return fs.SkipDir
			case !d.IsDir() && !hidden && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
				out = append(out, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readFile reads a file, or standard input.
func (a *app) readFile(name string) ([]byte, error) {
	in, done, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer done()
	text, err := io.ReadAll(io.LimitReader(in, manifest.MaxFile+1))
	if err == nil && len(text) > manifest.MaxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, manifest.MaxFile)
	}
	return text, err
}

func (a *app) applyManifests(ctx context.Context, docs []manifest.Source, o applyOptions) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	in := map[string]any{"documents": manifest.Documents(docs), "plan": o.plan, "prune": o.prune}
	var ans manifestAnswer
	stop := a.waiting(fmt.Sprintf("apply %d documents", len(docs)))
	// To apply again comes to the same, so it may be sent again.
	err = cl.PostLong(ctx, "/api/v1/manifests/"+client.Escape(o.set), in, &ans)
	stop()
	if err != nil {
		return locate(err, docs)
	}
	if a.json {
		err = a.printJSON(ans)
	} else {
		a.printPlan(&ans, o)
	}
	if err == nil && o.plan && o.detailed && ans.Changed {
		return errPending
	}
	return err
}

// waiting shows that something goes on, until the function it returns is called.
func (a *app) waiting(what string) (stop func()) {
	b := a.progress(what, -1)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-end:
				return
			case <-tick.C:
				b.set(n)
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		b.done()
	}
}

// locate turns pointers into the request into places in the files.
func locate(err error, docs []manifest.Source) error {
	var p *client.Problem
	if !errors.As(err, &p) {
		return err
	}
	q := *p
	q.Errors = slices.Clone(p.Errors)
	for i := range q.Errors {
		f := &q.Errors[i]
		var n int
		if got, _ := fmt.Sscanf(f.Pointer, "/documents/%d", &n); got != 1 || n < 0 || n >= len(docs) {
			continue
		}
		d := &docs[n]
		rest := strings.TrimPrefix(f.Pointer, fmt.Sprintf("/documents/%d", n))
		f.Pointer = fmt.Sprintf("%s:%d", d.File, d.LineOf(rest))
		if rest = strings.TrimPrefix(rest, "/"); rest != "" {
			f.Pointer += " " + d.Kind + " " + rest
		} else {
			f.Pointer += " " + d.Kind
		}
	}
	return &q
}
