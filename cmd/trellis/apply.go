package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"trellis/cmd/trellis/client"
	"trellis/graph/identity"
)

// batchAnswer is what the API says to POST /batch.
type batchAnswer struct {
	Revision string `json:"revision"`
	Changed  bool   `json:"changed"`
	Results  []struct {
		Effect identity.Effect `json:"effect"`
	} `json:"results"`
}

// sendBatch sends mutations that happen all or not at all. Where all of them
// put something, sending them again comes to the same, and the server need
// not keep a record of them.
func sendBatch(ctx context.Context, cl *client.Client, muts []identity.Mutation) (batchAnswer, error) {
	post := cl.Post
	if slices.ContainsFunc(muts, func(m identity.Mutation) bool {
		return m.Op != identity.OpPut && m.Op != identity.OpPutMember && m.Op != identity.OpPutGrant || m.IfMatch != 0
	}) {
		post = cl.PostOnce
	}
	var ans batchAnswer
	err := post(ctx, "/api/v1/batch", map[string]any{"mutations": muts}, &ans)
	if err == nil && len(ans.Results) != len(muts) {
		err = fmt.Errorf("the server gave %d results for %d changes", len(ans.Results), len(muts))
	}
	return ans, err
}

// maxApply limits the file of changes.
const maxApply = 64 << 20

func (a *app) applyCommand() *cobra.Command {
	var o applyOptions
	c := &cobra.Command{
		Use: "apply -f FILE", Short: "Make the graph what manifests declare, all of it or nothing", Args: cobra.NoArgs,
		Long: `Make the graph what the manifests in FILE declare: YAML or JSON documents, or a
directory with .yaml, .yml and .json files; - is standard input. All of it
happens in one revision, or nothing does. A second run changes nothing. The
server remembers what the set of manifests declared: --prune deletes what it no
longer does, and a plan marks as drift what somebody else changed. A set is
called NAME, or ORGANIZATION/NAME if it belongs to an organization. See
docs/manifests.md.

FILE may also be a list of what POST /api/v1/batch takes: at most 10,000
changes, all or none. Each has an "op": create, put, patch or delete with "node"
and "data"; put_member or delete_member with "set" and "member"; put_grant or
delete_grant with "subject", "resource" and "role" or "actions".

Exit code 0: applied, or nothing to do; 2: an error. With --plan and
--detailed-exitcode, 3: there are changes to make.`,
		Example: `  trellis apply -f catalog/ --plan
  trellis apply -f catalog/ --set acme/catalog --prune
  trellis apply -f - <<END
  apiVersion: trellis/v1
  kind: Group
  metadata: {slug: ops}
  spec: {name: Operations}
  END`,
		RunE: func(c *cobra.Command, _ []string) error { return a.applyFiles(c.Context(), o) },
	}
	f := c.Flags()
	f.StringArrayVarP(&o.files, "file", "f", nil, "a file or directory of manifests; may be repeated")
	f.StringVar(&o.set, "set", "", "the name of the set (default: default, in the organization if all documents are of one)")
	f.BoolVar(&o.plan, "plan", false, "only tell what would happen")
	f.BoolVar(&o.prune, "prune", false, "delete what the set declared before and does not any more")
	f.BoolVar(&o.all, "all", false, "also list what is unchanged")
	f.BoolVar(&o.detailed, "detailed-exitcode", false, "with --plan: exit with 3 if there are changes to make")
	if err := c.MarkFlagRequired("file"); err != nil {
		panic(err) // only if there is no such flag
	}
	return a.jsonFlag(c)
}

func (a *app) apply(ctx context.Context, cl *client.Client, muts []identity.Mutation) error {
	ans, err := sendBatch(ctx, cl, muts)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(ans)
	}
	for i, m := range muts {
		fmt.Fprintf(a.stdout, "%-9s  %s\n", ans.Results[i].Effect, describe(&m))
	}
	if !ans.Changed {
		fmt.Fprintln(a.stdout, "nothing needed changing")
	}
	fmt.Fprintf(a.stdout, "revision %s\n", ans.Revision)
	return nil
}

// describe says in one line what a mutation is about.
func describe(m *identity.Mutation) string {
	switch m.Op {
	case identity.OpPutMember, identity.OpDeleteMember:
		return fmt.Sprintf("%s in %s", m.Member, m.Set)
	case identity.OpPutGrant, identity.OpDeleteGrant:
		what := m.Role
		if what == "" {
			what = strings.Join(m.Actions, ", ")
		}
		return fmt.Sprintf("%s for %s on %s", what, m.Subject, m.Resource)
	}
	return m.Node.String()
}

// readMutations reads a list in YAML, of which JSON is a part. Unknown fields
// are mistakes.
func readMutations(r io.Reader) ([]identity.Mutation, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxApply+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxApply {
		return nil, fmt.Errorf("more than %d bytes", maxApply)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return nil, errors.New("there is nothing in it")
	}
	list := doc.Content[0]
	if list.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("line %d: want a list of changes", list.Line)
	}
	if len(list.Content) > identity.MaxMutations {
		return nil, fmt.Errorf("%d changes; the limit is %d", len(list.Content), identity.MaxMutations)
	}
	out := make([]identity.Mutation, 0, len(list.Content))
	for _, n := range list.Content {
		m, err := readMutation(n)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n.Line, err)
		}
		out = append(out, m)
	}
	return out, nil
}

var ops = []identity.Op{
	identity.OpCreate, identity.OpPut, identity.OpPatch, identity.OpDelete,
	identity.OpPutMember, identity.OpDeleteMember, identity.OpPutGrant, identity.OpDeleteGrant,
}

func readMutation(n *yaml.Node) (m identity.Mutation, err error) {
	var fields map[string]any
	if err := n.Decode(&fields); err != nil {
		return m, errors.New("want an object such as {op: create, node: \"user:ann\", data: {}}")
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return m, fmt.Errorf("it has no JSON form: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if !slices.Contains(ops, m.Op) {
		return m, fmt.Errorf("op is %q: want one of %q", m.Op, ops)
	}
	return m, nil
}
