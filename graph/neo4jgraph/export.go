package neo4jgraph

import (
	"cmp"
	"context"
	"slices"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
)

// exportPage is how many nodes or edges one statement of an export reads.
const exportPage = 5_000

// Export reads the graph page by page while others write. Neo4j shows each
// page as it is at that moment; what has changed since the export began is
// undone with the before images of the feed, so that all that is yielded is of
// the revision the export began at (docs/adr/0002).
func (s *Store) Export(ctx context.Context, yield func(graph.Record) error) (graph.Info, error) {
	if err := s.enter(ctx); err != nil {
		return graph.Info{}, err
	}
	defer s.leave()
	begun, err := s.fence(ctx)
	if err != nil {
		return graph.Info{}, err
	}
	x := &export{s: s, begun: begun, seen: begun.Head, yield: yield,
		nodes: map[graph.Ref]*graph.Node{}, edges: map[graph.EdgeKey]*graph.Edge{}}
	if err := x.run(ctx); err != nil {
		return graph.Info{}, err
	}
	return begun, nil
}

// fence takes the write lock and lets it go. What others had begun to commit
// before is whole afterwards, and has a revision up to the head it returns.
func (s *Store) fence(ctx context.Context) (i graph.Info, err error) {
	err = s.try(ctx, neo4j.AccessModeWrite, func(ctx context.Context, session neo4j.SessionWithContext) error {
		tx, err := s.begin(ctx, session)
		if err != nil {
			return err
		}
		values, err := one(ctx, tx.Run, text("lock"), nil)
		if err != nil {
			return err
		}
		if i, err = info(values); err != nil {
			return err
		}
		return tx.Rollback(ctx)
	})
	return i, err
}

type export struct {
	s     *Store
	begun graph.Info
	yield func(graph.Record) error

	// What changed after begun.Head, up to seen, as it was at begun.Head; nil
	// for what was not there.
	seen  graph.Revision
	nodes map[graph.Ref]*graph.Node
	edges map[graph.EdgeKey]*graph.Edge

	// Everything up to these has been yielded.
	lastNode graph.Ref
	lastEdge graph.EdgeKey
}

func (x *export) run(ctx context.Context) error {
	types, err := x.types(ctx)
	if err != nil {
		return err
	}
	for _, t := range types {
		if err := x.nodesOf(ctx, t); err != nil {
			return err
		}
	}
	if err := x.mergeNodes(ctx, nil, graph.Ref{Type: "\x7f"}); err != nil {
		return err
	}
	rows, err := x.rows(ctx, text("export_kinds"), nil)
	if err != nil {
		return err
	}
	var r row
	var kinds []graph.Kind
	for _, rec := range rows {
		if k := graph.Kind(field[string](&r, rec.Values[0])); k.Valid() {
			kinds = append(kinds, k)
		}
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		for _, t := range types {
			if err := x.edgesOf(ctx, k, t); err != nil {
				return err
			}
		}
	}
	if err := x.mergeEdges(ctx, nil, graph.EdgeKey{Kind: "\x7f"}); err != nil {
		return err
	}
	return r.bad
}

func (x *export) rows(ctx context.Context, statement string, params map[string]any) (rows []*neo4j.Record, err error) {
	err = x.s.try(ctx, neo4j.AccessModeRead, func(ctx context.Context, session neo4j.SessionWithContext) error {
		rows, err = all(ctx, x.s.auto(session), statement, params)
		return err
	})
	return rows, err
}

// types lists the types that there are nodes of, in their order.
func (x *export) types(ctx context.Context) ([]graph.Type, error) {
	var out []graph.Type
	var r row
	for after := ""; ; {
		rows, err := x.rows(ctx, text("export_next_type"), map[string]any{"after": after})
		if err != nil || len(rows) == 0 || r.bad != nil {
			slices.Sort(out)
			return out, cmp.Or(err, r.bad)
		}
		t := field[string](&r, rows[0].Values[0])
		out = append(out, graph.Type(t))
		after = t + ";"
	}
}

func (x *export) nodesOf(ctx context.Context, t graph.Type) error {
	for after, more := "", true; more; {
		page, err := steady(func() ([]graph.Node, error) { return x.nodePage(ctx, typePage(t, after, exportPage)) })
		if err != nil {
			return err
		}
		// No type goes on with a NUL: this is after all of t and before what follows.
		end := graph.Ref{Type: t + "\x00"}
		if more = len(page) == exportPage; more {
			end = page[len(page)-1].Ref
			after = end.ID
		}
		if err := x.mergeNodes(ctx, page, end); err != nil {
			return err
		}
	}
	return nil
}

func (x *export) nodePage(ctx context.Context, params map[string]any) ([]graph.Node, error) {
	rows, err := x.rows(ctx, text(graph.NodesByType), params)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, graph.Errorf(graph.Unavailable, "the store was emptied during the export")
	}
	var r row
	page := r.nodes(rows[0].Values[1])
	return page, r.bad
}

// mergeNodes yields the nodes after lastNode up to end, page being those that
// the database showed of them.
func (x *export) mergeNodes(ctx context.Context, page []graph.Node, end graph.Ref) error {
	if err := x.catchUp(ctx); err != nil {
		return err
	}
	var undone []*graph.Node
	for ref, n := range x.nodes {
		if n != nil && graph.CompareRefs(ref, x.lastNode) > 0 && graph.CompareRefs(ref, end) <= 0 {
			undone = append(undone, n)
		}
	}
	slices.SortFunc(undone, func(a, b *graph.Node) int { return graph.CompareRefs(a.Ref, b.Ref) })
	for i := range page {
		n := &page[i]
		for len(undone) > 0 && graph.CompareRefs(undone[0].Ref, n.Ref) < 0 {
			if err := x.yield(graph.Record{Node: undone[0]}); err != nil {
				return err
			}
			undone = undone[1:]
		}
		if _, changed := x.nodes[n.Ref]; changed {
			continue
		}
		if err := x.yield(graph.Record{Node: n}); err != nil {
			return err
		}
	}
	for _, n := range undone {
		if err := x.yield(graph.Record{Node: n}); err != nil {
			return err
		}
	}
	x.lastNode = end
	return nil
}

func (x *export) edgesOf(ctx context.Context, k graph.Kind, t graph.Type) error {
	statement, err := ofKind("export_edges", k)
	if err != nil {
		return err
	}
	params := map[string]any{"kind": string(k), "from": string(t) + ":", "end": string(t) + ";", "after_type": "", "after_id": "", "after_key": "", "limit": exportPage}
	for more := true; more; {
		page, err := steady(func() ([]graph.Edge, error) { return x.edgePage(ctx, statement, params, k, t) })
		if err != nil {
			return err
		}
		end := graph.EdgeKey{Kind: k, From: graph.Ref{Type: t + "\x00"}}
		if more = len(page) == exportPage; more {
			end = page[len(page)-1].EdgeKey
			params["from"], params["after_type"], params["after_id"], params["after_key"] = end.From.String(), string(end.To.Type), end.To.ID, end.Key
		}
		if err := x.mergeEdges(ctx, page, end); err != nil {
			return err
		}
	}
	return nil
}

func (x *export) edgePage(ctx context.Context, statement string, params map[string]any, k graph.Kind, t graph.Type) ([]graph.Edge, error) {
	rows, err := x.rows(ctx, statement, params)
	if err != nil {
		return nil, err
	}
	var r row
	page := make([]graph.Edge, len(rows))
	for i, rec := range rows {
		v := rec.Values
		page[i] = r.edge(graph.Ref{Type: t, ID: field[string](&r, v[0])}, k, r.ref(v[1], v[2]), v[3])
	}
	return page, r.bad
}

// mergeEdges is mergeNodes for edges.
func (x *export) mergeEdges(ctx context.Context, page []graph.Edge, end graph.EdgeKey) error {
	if err := x.catchUp(ctx); err != nil {
		return err
	}
	var undone []*graph.Edge
	for key, e := range x.edges {
		if e != nil && graph.CompareEdges(key, x.lastEdge) > 0 && graph.CompareEdges(key, end) <= 0 {
			undone = append(undone, e)
		}
	}
	slices.SortFunc(undone, func(a, b *graph.Edge) int { return graph.CompareEdges(a.EdgeKey, b.EdgeKey) })
	for i := range page {
		e := &page[i]
		for len(undone) > 0 && graph.CompareEdges(undone[0].EdgeKey, e.EdgeKey) < 0 {
			if err := x.yield(graph.Record{Edge: undone[0]}); err != nil {
				return err
			}
			undone = undone[1:]
		}
		if _, changed := x.edges[e.EdgeKey]; changed {
			continue
		}
		if err := x.yield(graph.Record{Edge: e}); err != nil {
			return err
		}
	}
	for _, e := range undone {
		if err := x.yield(graph.Record{Edge: e}); err != nil {
			return err
		}
	}
	x.lastEdge = end
	return nil
}

// catchUp reads the changes that the last page may have shown.
func (x *export) catchUp(ctx context.Context) error {
	now, err := x.s.fence(ctx)
	if err != nil {
		return err
	}
	if now.Store != x.begun.Store || now.Head < x.seen {
		return graph.Errorf(graph.Unavailable, "the store was replaced during the export")
	}
	for x.seen < now.Head {
		var list []graph.Change
		err := x.s.try(ctx, neo4j.AccessModeRead, func(ctx context.Context, session neo4j.SessionWithContext) (err error) {
			list, err = x.s.changes(ctx, session, x.seen, 1_000)
			return err
		})
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return graph.Errorf(graph.Corrupt, "the change record of revision %d is missing", x.seen+1)
		}
		for i := range list {
			x.undo(&list[i])
		}
	}
	return nil
}

// undo notes what a change replaced, unless an earlier one did already.
func (x *export) undo(c *graph.Change) {
	for _, e := range c.Entries {
		switch {
		case e.Node != nil:
			n := cmp.Or(e.Node.Before, e.Node.After)
			if _, known := x.nodes[n.Ref]; !known {
				x.nodes[n.Ref] = e.Node.Before
			}
		case e.Edge != nil:
			n := cmp.Or(e.Edge.Before, e.Edge.After)
			if _, known := x.edges[n.EdgeKey]; !known {
				x.edges[n.EdgeKey] = e.Edge.Before
			}
		}
	}
	x.seen = c.Revision
}
