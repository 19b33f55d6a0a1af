package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"trellis/cmd/trellis/client"
	"trellis/cmd/trellis/people"
	"trellis/cmd/trellis/wanted"
	"trellis/graph"
	"trellis/graph/manifest"
)

// setOptions are the flags of importers that apply a set of manifests.
type setOptions struct {
	organization string
	set          string
	plan         bool
	prune        bool
}

// home is the organization that something is loaded into; zero for none.
type home struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
}

// setName is the set's name as paths have it.
func (o setOptions) setName(h home) string {
	if h.ID == "" {
		return o.set
	}
	return h.ID + "/" + o.set
}

func findHome(ctx context.Context, cl *client.Client, name string) (h home, err error) {
	err = cl.Get(ctx, "/api/v1/organizations/"+client.Escape(name), nil, &h)
	if graph.KindOf(err) == graph.NotFound && err != nil {
		err = fmt.Errorf("there is no organization %s that this key may read; make it first", name)
	}
	return h, err
}

// declared returns the ids of the nodes that a set declared when it was last
// applied, by their types: none, if it never was.
func declared(ctx context.Context, cl *client.Client, set string) (map[graph.Type]map[string]bool, error) {
	var s struct {
		Objects []manifest.Declared `json:"objects"`
	}
	err := cl.Get(ctx, "/api/v1/manifests/"+client.Escape(set), nil, &s)
	if err != nil && graph.KindOf(err) != graph.NotFound {
		return nil, err
	}
	out := map[graph.Type]map[string]bool{}
	for _, o := range s.Objects {
		if out[o.Node.Type] == nil {
			out[o.Node.Type] = map[string]bool{}
		}
		out[o.Node.Type][o.Node.ID] = true
	}
	return out, nil
}

// list returns the nodes of a list, as the API has them.
func list[T any](ctx context.Context, cl *client.Client, path string, query url.Values) (out []T, err error) {
	err = client.List(ctx, cl, path, query, func(x T) error { out = append(out, x); return nil })
	return out, err
}

// keepPeople makes the plan go on declaring the users whom the set declared.
func keepPeople(ctx context.Context, cl *client.Client, plan *wanted.Plan, mine map[string]bool) error {
	if len(mine) == 0 {
		return nil
	}
	users := map[string]string{}
	err := client.List(ctx, cl, "/api/v1/users", nil, func(p people.Person) error {
		if mine[p.ID] {
			users[p.ID] = p.Email
		}
		return nil
	})
	plan.Keep(users)
	return err
}

// setReport is what applying a set did, or would do.
type setReport struct {
	Set      string              `json:"set"`
	Plan     bool                `json:"plan,omitempty"`
	Changed  bool                `json:"changed"`
	Revision string              `json:"revision"`
	Read     map[string]int      `json:"read"`
	Counts   manifest.PlanCounts `json:"counts"`
	Items    []manifest.PlanItem `json:"items"`
	Notes    []string            `json:"notes"`
	Missing  []people.Person     `json:"missing,omitempty"`
}

// applySet sends the plan as a set of manifests, and adds to the report what
// came of it. What the server finds wrong is named by the places in the files.
func applySet(ctx context.Context, cl *client.Client, o setOptions, h home, plan *wanted.Plan, r *setReport) error {
	docs, err := plan.Manifests(h.ID)
	if err != nil {
		return err
	}
	r.Set, r.Plan = o.setName(h), o.plan
	for _, n := range plan.Notes {
		r.Notes = append(r.Notes, n.String())
	}
	if len(docs.Documents) > manifest.MaxDocuments {
		return fmt.Errorf("these are %d documents; a set holds at most %d", len(docs.Documents), manifest.MaxDocuments)
	}
	in := map[string]any{"documents": docs.Documents, "plan": o.plan, "prune": o.prune, "merge": true}
	var ans struct {
		Revision string              `json:"revision"`
		Changed  bool                `json:"changed"`
		Plan     []manifest.PlanItem `json:"plan"`
		Counts   manifest.PlanCounts `json:"counts"`
	}
	// To send it again comes to the same: the server need not keep a record.
	if err := cl.Post(ctx, "/api/v1/manifests/"+client.Escape(r.Set), in, &ans); err != nil {
		if graph.KindOf(err) == graph.NotFound {
			return fmt.Errorf("%w\nloading needs %s on what is loaded into; perhaps this key does not have it", err, manifest.Update)
		}
		return placed(err, docs)
	}
	r.Revision, r.Changed, r.Counts = ans.Revision, ans.Changed, ans.Counts
	r.Items = slices.DeleteFunc(ans.Plan, func(i manifest.PlanItem) bool { return i.Action == manifest.Unchanged })
	return nil
}

// placed names the places in the files that a refusal points at.
func placed(err error, docs *wanted.Manifests) error {
	var p *client.Problem
	if !errors.As(err, &p) {
		return err
	}
	q := *p
	for i, f := range q.Errors {
		if at, ok := docs.At(f.Pointer); ok {
			q.Errors[i].Pointer = at.String() + ": " + f.Pointer
		}
	}
	return &q
}

// maxNotes is how many remarks are printed; --json has them all.
const maxNotes = 50

// printSet tells what was done, or would be.
func (a *app) printSet(r *setReport) error {
	if a.json {
		return a.printJSON(r)
	}
	for i, n := range r.Notes {
		if i == maxNotes {
			fmt.Fprintf(a.stderr, "note: and %d more; --json has them all\n", len(r.Notes)-maxNotes)
			break
		}
		fmt.Fprintf(a.stderr, "note: %s\n", n)
	}
	var read []string
	for _, what := range slices.Sorted(maps.Keys(r.Read)) {
		read = append(read, strconv.Itoa(r.Read[what])+" "+what)
	}
	fmt.Fprintf(a.stdout, "read: %s\n", strings.Join(read, ", "))
	if r.Plan {
		for i := range r.Items {
			a.printItem(&r.Items[i])
		}
	}
	if err := a.countItems(r); err != nil {
		return err
	}
	if r.Counts.Orphans > 0 {
		fmt.Fprintf(a.stdout, "%d are no longer in the files; --prune takes them away\n", r.Counts.Orphans)
	}
	switch {
	case r.Plan && !r.Changed:
		fmt.Fprintln(a.stdout, "nothing would change")
	case r.Plan:
		fmt.Fprintln(a.stdout, "nothing was written: this is a plan")
	case !r.Changed:
		fmt.Fprintf(a.stdout, "nothing needed changing; revision %s\n", r.Revision)
	default:
		fmt.Fprintf(a.stdout, "revision %s\n", r.Revision)
	}
	return nil
}

// printItem prints one thing that would happen, with what was and what would be.
func (a *app) printItem(i *manifest.PlanItem) {
	drift := ""
	if i.Drift {
		drift = " (changed by somebody else since)"
	}
	fmt.Fprintf(a.stdout, "%-7s  %s %s%s\n", i.Action, i.Kind, i.Name, drift)
	for _, c := range i.Changes {
		fmt.Fprintf(a.stdout, "           %s: %s -> %s\n", c.Field, brief(c.Before), brief(c.After))
	}
}

// brief writes a value on one short line.
func brief(v any) string {
	if v == nil {
		return "nothing"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return wanted.Clip(string(b), 80)
}

// countItems prints a table of how much of what there is.
func (a *app) countItems(r *setReport) error {
	counts := map[string]map[manifest.Action]int{}
	for _, i := range r.Items {
		if counts[i.Kind] == nil {
			counts[i.Kind] = map[manifest.Action]int{}
		}
		counts[i.Kind][i.Action]++
	}
	actions := []manifest.Action{manifest.Create, manifest.Change, manifest.Delete}
	var rows [][]string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		row := []string{kind}
		for _, x := range actions {
			row = append(row, strconv.Itoa(counts[kind][x]))
		}
		rows = append(rows, row)
	}
	if len(rows) > 0 {
		if err := a.table([]string{"KIND", "CREATE", "CHANGE", "DELETE"}, rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.stdout, "unchanged: %d\n", r.Counts.Unchanged)
	return err
}
