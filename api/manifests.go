package api

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/manifest"
)

// ManifestInput is a set of documents and what is to be done with it.
type ManifestInput struct {
	Documents []manifest.Document `json:"documents" maxItems:"10000" doc:"What is to be there, in any order"`
	Plan      bool                `json:"plan,omitempty" doc:"Only tell what would happen"`
	Prune     bool                `json:"prune,omitempty" doc:"Delete what the set declared before and does not any more"`
	Merge     bool                `json:"merge,omitempty" doc:"What a document does not say of a node that is there stays as it is, also inside of objects"`
}

// ManifestOutput tells what happened, or would.
type ManifestOutput struct {
	Revision string              `json:"revision" doc:"The revision at which all of it is in force; of a plan, the one that it would have if it came next"`
	Changed  bool                `json:"changed" doc:"false if everything was so already, and the set had declared it"`
	Plan     []manifest.PlanItem `json:"plan" doc:"One for each node, membership and grant that the documents declare, then what is deleted" nullable:"false"`
	Counts   manifest.PlanCounts `json:"counts"`
}

// ManifestSet is a set that was applied.
type ManifestSet struct {
	Name         string         `json:"name" doc:"As paths name it: NAME, or ORGANIZATION/NAME with the id of the organization"`
	Organization string         `json:"organization,omitempty" doc:"Id of the organization that it belongs to"`
	Size         int64          `json:"size" doc:"How many objects it declares"`
	CreatedAt    time.Time      `json:"created_at"`
	UpdatedAt    time.Time      `json:"updated_at"`
	Revision     graph.Revision `json:"revision"`
	// Objects are left out of lists.
	Objects []manifest.Declared `json:"objects,omitempty" doc:"What it declared when it was last applied; not in lists"`
}

func manifestRoutes() []route {
	const tag = "manifests"
	inside := need{permission: manifest.Update, on: "the set, or what it is to belong to if it is new", inside: true}
	return []route{
		{method: get, path: "/manifests", id: "listManifests", tag: tag, summary: "List the sets of manifests that were applied",
			self: "lists only what the caller may read", query: paged(), out: Page[ManifestSet]{}, handle: listManifests},
		{method: post, path: "/manifests/{set}", id: "applyManifests", tag: tag, summary: "Make the graph what a set of manifests declares, in one revision or not at all",
			doc:   "Each document also needs what the route that writes what it declares needs. A second run changes nothing.",
			needs: inside, in: body{value: ManifestInput{}}, out: ManifestOutput{}, idempotent: true, huge: true, unlimited: true, handle: applyManifests},
		{method: get, path: "/manifests/export", id: "exportManifests", tag: tag, summary: "Write what is there as documents that could be applied",
			doc:  "As JSON lines, or as a stream of YAML by Accept: application/yaml. Secrets are left out, and so is what the caller may not read.",
			self: "writes only what the caller may read", query: []param{text("organization", "Only this organization and what is below it: its id or slug", graph.MaxID)},
			out: manifest.Document{}, stream: true, handle: exportManifests},
		{method: get, path: "/manifests/schema", id: "readManifestSchema", tag: tag, summary: "The JSON Schema of documents, for editors",
			self: "the same for everybody", out: map[string]any{}, handle: readManifestSchema},
		{method: get, path: "/manifests/{set}", id: "readManifest", tag: tag, summary: "Tell what a set of manifests declared when it was last applied",
			needs: need{permission: manifest.Read, on: "the set", inside: true}, out: ManifestSet{}, handle: readManifest},
		{method: del, path: "/manifests/{set}", id: "forgetManifest", tag: tag, summary: "Forget a set of manifests; what it declared stays",
			needs: need{permission: manifest.Update, on: "the set", inside: true}, out: ManifestSet{}, handle: forgetManifest},
	}
}

// set reads "{set}": what is said about a hidden one does not tell whether it is there.
func (c *call) set() string {
	c.named = "manifest:" + short(c.path("set"))
	return c.path("set")
}

func applyManifests(c *call) error {
	var in ManifestInput
	if err := c.wellFormed(); err != nil {
		return err
	}
	// As with batches, package manifest checks each document itself.
	if err := unmarshal(c.body, &in); err != nil {
		return err
	}
	if in.Documents == nil {
		return badField("/documents", "is required")
	}
	q := manifest.Request{Set: c.set(), Documents: in.Documents, Plan: in.Plan, Prune: in.Prune, Merge: in.Merge}
	if in.Plan {
		res, err := c.manifests.Apply(c.ctx(), c.actor(), q, identity.ApplyOptions{})
		if err != nil {
			return err
		}
		return c.applied(res)
	}
	var res *manifest.Result
	_, ch, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		var err error
		if res, err = c.manifests.Apply(c.ctx(), c.actor(), q, o); err != nil {
			return 0, nil, err
		}
		return res.Revision, res.Change, nil
	})
	if err == nil && res == nil {
		res, err = c.manifests.Retell(c.ctx(), c.actor(), q, ch)
	}
	if err != nil {
		return err
	}
	return c.applied(res)
}

func (c *call) applied(r *manifest.Result) error {
	return c.json(http.StatusOK, ManifestOutput{Revision: c.tokenText(r.Revision), Changed: r.Changed, Plan: r.Plan, Counts: r.Counts})
}

func setOf(n *graph.Node) ManifestSet {
	return ManifestSet{Name: n.Ref.ID, Organization: n.Props.String("organization"), Size: n.Props.Int("objects"), CreatedAt: n.Created, UpdatedAt: n.Updated, Revision: n.Revision}
}

func listManifests(c *call) error {
	after, err := c.after()
	if err != nil {
		return err
	}
	ids, more := c.view.Resources(readable(c, identity.Manifest, after))
	page := Page[ManifestSet]{Items: []ManifestSet{}}
	refs := make([]graph.Ref, len(ids))
	for i, id := range ids {
		refs[i] = graph.Ref{Type: identity.Manifest, ID: id}
	}
	nodes, err := c.Graph.Store().Nodes(c.ctx(), refs)
	if err != nil {
		return err
	}
	for i := range nodes {
		page.Items = append(page.Items, setOf(&nodes[i]))
	}
	if more {
		page.NextCursor = c.cursor(ids[len(ids)-1])
	}
	return c.json(http.StatusOK, page)
}

func readManifest(c *call) error {
	n, objects, err := c.manifests.Read(c.ctx(), c.actor(), c.set())
	if err != nil {
		return err
	}
	if c.unchanged(n.Revision) {
		return nil
	}
	out := setOf(n)
	out.Objects = objects
	return c.json(http.StatusOK, out)
}

func forgetManifest(c *call) error {
	n, rev, err := c.manifests.Forget(c.ctx(), c.actor(), c.set())
	if err != nil {
		return err
	}
	c.refresh()
	c.at(rev)
	return c.json(http.StatusOK, setOf(n))
}

const yamlType = "application/yaml"

// exportManifests answers with documents, one by one. If it cannot go on, the
// connection is broken off, so that nobody takes a part for the whole.
func exportManifests(c *call) error {
	if err := c.recordNow(); err != nil {
		return err
	}
	org := c.query["organization"]
	c.named = "organization:" + short(org)
	buf := bufio.NewWriterSize(callerWriter{c.w}, exportBuffer)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	write := func(d manifest.Exported) error { return enc.Encode(d.Document) }
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	if strings.Contains(c.r.Header.Get("Accept"), yamlType) {
		c.w.Header().Set("Content-Type", yamlType)
		write = func(d manifest.Exported) error { return manifest.WriteYAML(buf, d) }
	}
	err := c.manifests.Export(c.ctx(), c.actor(), org, write)
	if err == nil {
		err = buf.Flush()
	}
	return err
}

func readManifestSchema(c *call) error { return c.json(http.StatusOK, manifest.Schema()) }
