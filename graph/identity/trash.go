package identity

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"trellis/graph"
)

// What is deleted softly is gone from the graph: its nodes, names and edges are
// packed into a Tombstone, from which they can be restored until its time is over.
const (
	// Tombstone stands where something was deleted that can be restored. It is
	// below what the deleted node was below.
	Tombstone graph.Type = "tombstone"
	// TombstonePart holds a piece of what was packed. Nothing leads to it but
	// its id, TOMBSTONE/NUMBER: it is listed nowhere, and nobody has access to it.
	TombstonePart graph.Type = "tombstone_part"
)

// RestoreTombstone is the permission, on a tombstone, to bring back what was deleted,
// with the access to it that was deleted with it.
const RestoreTombstone = "tombstone:restore"

// DefaultTrash is how long what was deleted can be restored.
const DefaultTrash = 30 * 24 * time.Hour

// Properties of a tombstone.
const (
	PropBuried    = "node"  // what was deleted, as type:id
	PropNodes     = "nodes" // how many nodes are packed, the buried one included
	PropEdges     = "edges"
	PropDeletedBy = "deleted_by"
	PropDeletedAt = "deleted_at" // Unix milliseconds, as is the next
	PropUntil     = "until"      // from then on it cannot be restored
	propParts     = "parts"
	propData      = "data" // of a part
)

// tombstoneShape lists what is told of a tombstone where its making and its end are.
var tombstoneShape = []FieldInfo{
	{Name: PropBuried, Kind: Text, Doc: "What was deleted, as type:id"},
	{Name: "organization", Kind: OrgID, Doc: "Id of the organization that it belonged to"},
	{Name: "slug", Kind: Text, Doc: "Its slug"},
	fieldName,
	{Name: PropNodes, Kind: Whole, Doc: "How many nodes were deleted with it, itself included"},
	{Name: PropEdges, Kind: Whole, Doc: "How many edges were"},
}

// partBytes is how much of the packed data one part holds.
const partBytes = graph.MaxPropBytes - 4<<10

// soft tells whether the end of a node leaves a tombstone.
func (c *compiler) soft(m *Mutation) bool {
	return !m.Erase && c.s.Trash >= 0 && (Catalogued(m.Node.Type) || m.Node.Type == Team || m.Node.Type == Organization)
}

// trash is what a deletion takes away, as it was before.
type trash struct {
	nodes []graph.Node
	edges []graph.Edge
}

// gather makes the batch fail if the edges at what is to go are others when it is
// committed: another child, for example, or another grant. What is to be kept it
// reads, and makes the batch fail if it is another by then.
func (c *compiler) gather(doomed []graph.Ref, keep bool) (trash, error) {
	var t trash
	for _, r := range doomed {
		if near, s := c.look.stored[r], c.nodes[r]; near != nil && (s == nil || s.stored) {
			c.ahead(graph.RequireAround(r, near.count, c.auth.Revision()))
		}
	}
	if !keep {
		return t, nil
	}
	if err := c.states(doomed); err != nil {
		return t, err
	}
	seen := map[graph.EdgeKey]bool{}
	for _, r := range doomed {
		if s := c.nodes[r]; s.node != nil {
			n := *s.node
			var err error
			if n.Props, err = n.Props.Normalize(); err != nil {
				return t, err
			}
			t.nodes = append(t.nodes, n)
			if s.stored {
				c.ahead(graph.RequireAt(r, n.Revision))
			}
		} else {
			c.ahead(graph.Require(r)) // it was there a moment ago
		}
		for _, in := range []bool{true, false} {
			for _, e := range c.edgesAt(r, in) {
				if !seen[e.EdgeKey] {
					seen[e.EdgeKey] = true
					t.edges = append(t.edges, e)
				}
			}
		}
	}
	slices.SortFunc(t.nodes, func(a, b graph.Node) int { return graph.CompareRefs(a.Ref, b.Ref) })
	return t, nil
}

// add notes edges that go although neither end does: grants of a role that goes.
func (t *trash) add(c *compiler, taken []graph.Edge) {
	for i := range taken {
		e := &taken[i]
		if t.node(e.From) == nil && t.node(e.To) == nil {
			c.ahead(graph.RequireLinked(e.EdgeKey))
			t.edges = append(t.edges, *e)
		}
	}
}

// entomb puts what a deletion took away into a tombstone.
func (c *compiler) entomb(m *Mutation, t trash) error {
	slices.SortFunc(t.edges, func(a, b graph.Edge) int { return graph.CompareEdges(a.EdgeKey, b.EdgeKey) })
	if t.restoring(m.Node) > graph.MaxSteps {
		return graph.Errorf(graph.TooLarge, "%s has %d nodes and %d edges, which is more than could be restored: delete parts of it first, or ask to erase", m.Node, len(t.nodes), len(t.edges))
	}
	data, err := t.pack()
	if err != nil {
		return graph.Wrap(graph.Internal, err, "packing what is deleted")
	}
	parts := slices.Collect(slices.Chunk(data, partBytes))
	r, top := graph.Ref{Type: Tombstone, ID: c.s.NewID()}, t.node(m.Node)
	keep := c.s.Trash
	if keep == 0 {
		keep = DefaultTrash
	}
	p := graph.Props{
		PropBuried: m.Node.String(), PropNodes: t.count(), PropEdges: int64(len(t.edges)), propParts: int64(len(parts)),
		PropDeletedBy: c.caller.Subject.String(), PropDeletedAt: c.at.UnixMilli(), PropUntil: c.at.Add(keep).UnixMilli(),
	}
	for _, name := range []string{"name", "slug", "organization"} {
		if v := top.Props.String(name); v != "" {
			p[name] = v
		}
	}
	n := graph.Node{Ref: r, Props: p}
	c.add(graph.Put(n))
	c.keepBlobs(r, &t)
	for i, part := range parts {
		p := graph.Node{Ref: partRef(r, i), Props: graph.Props{propData: string(part)}}
		c.add(graph.Put(p))
		c.nodes[p.Ref] = &state{node: &p, changed: true}
	}
	parents := t.parents(m.Node)
	for _, to := range parents {
		c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: graph.ChildOf, To: to}}))
	}
	c.nodes[r] = &state{node: &n, made: true, changed: true, parents: parents}
	c.firstGrants(r, parents)
	return nil
}

func partRef(tombstone graph.Ref, i int) graph.Ref {
	return graph.Ref{Type: TombstonePart, ID: tombstone.ID + "/" + strconv.Itoa(i+1)}
}

// partsOf lists the parts of a tombstone.
func partsOf(n *graph.Node) []graph.Ref {
	out := make([]graph.Ref, n.Props.Int(propParts))
	for i := range out {
		out[i] = partRef(n.Ref, i)
	}
	return out
}

// count tells how many nodes there are, without those of the trash itself: what
// had been deleted before was counted then.
func (t *trash) count() (n int64) {
	for i := range t.nodes {
		if typ := t.nodes[i].Ref.Type; typ != Tombstone && typ != TombstonePart {
			n++
		}
	}
	return n
}

func (t *trash) node(r graph.Ref) *graph.Node {
	i, ok := slices.BinarySearchFunc(t.nodes, r, func(n graph.Node, r graph.Ref) int { return graph.CompareRefs(n.Ref, r) })
	if !ok {
		return nil
	}
	return &t.nodes[i]
}

// parents returns what a node was below.
func (t *trash) parents(r graph.Ref) (out []graph.Ref) {
	for i := range t.edges {
		if e := &t.edges[i]; e.Kind == graph.ChildOf && e.From == r {
			out = append(out, e.To)
		}
	}
	return out
}

// restoring is how many steps it takes at most to bring all of it back.
func (t *trash) restoring(top graph.Ref) int {
	steps := 2*len(t.nodes) + len(t.edges)
	for i := range t.edges {
		switch e := &t.edges[i]; {
		case e.Kind == Tagged && top.Type == Tag:
			steps += 3
		case t.node(e.From) == nil || t.node(e.To) == nil:
			steps += 2
		}
	}
	return steps + len(t.nodes)/100 + 100 // parts, and what the caller adds
}

// pack writes the nodes, then the edges, as lines of JSON, compressed, as text.
func (t *trash) pack() ([]byte, error) {
	var b bytes.Buffer
	text := base64.NewEncoder(base64.RawStdEncoding, &b)
	z, err := gzip.NewWriterLevel(text, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	var line []byte
	write := func(r graph.Record) {
		if err == nil {
			line = append(r.AppendJSON(line[:0]), '\n')
			_, err = z.Write(line)
		}
	}
	for i := range t.nodes {
		write(graph.Record{Node: &t.nodes[i]})
	}
	for i := range t.edges {
		write(graph.Record{Edge: &t.edges[i]})
	}
	err = errors.Join(err, z.Close(), text.Close())
	return b.Bytes(), err
}

// unpack reads what pack wrote.
func unpack(data []byte) (trash, error) {
	var t trash
	z, err := gzip.NewReader(base64.NewDecoder(base64.RawStdEncoding, bytes.NewReader(data)))
	if err != nil {
		return t, err
	}
	for d := json.NewDecoder(z); ; {
		var r graph.Record
		switch err := d.Decode(&r); {
		case errors.Is(err, io.EOF):
			return t, nil
		case err != nil:
			return t, err
		case r.Node != nil:
			t.nodes = append(t.nodes, *r.Node)
		case r.Edge != nil:
			t.edges = append(t.edges, *r.Edge)
		}
	}
}

// packed joins the parts of a tombstone and reads what they hold. find returns a part, nil
// if it is not there.
func packed(n *graph.Node, find func(graph.Ref) *graph.Node) (trash, error) {
	var data []byte
	for _, r := range partsOf(n) {
		if part := find(r); part != nil {
			data = append(data, part.Props.String(propData)...)
		}
	}
	t, err := unpack(data)
	if err == nil && (t.count() != n.Props.Int(PropNodes) || int64(len(t.edges)) != n.Props.Int(PropEdges)) {
		err = fmt.Errorf("it holds %d nodes and %d edges", len(t.nodes), len(t.edges))
	}
	if err != nil {
		return t, graph.Wrap(graph.Corrupt, err, "what is packed in %s cannot be read", n.Ref)
	}
	return t, nil
}
