package sqlitegraph

import (
	"context"
	"database/sql"

	"trellis/graph"
)

// Commit plans the group inside the write transaction and stores what the
// plan amounts to.
func (s *Store) Commit(ctx context.Context, group []graph.Batch) ([]graph.Result, error) {
	var results []graph.Result
	err := s.write(ctx, func(ctx context.Context, w *writer) error {
		var head graph.Revision
		if err := w.run.head.QueryRowContext(ctx).Scan(&head); err != nil {
			return err
		}
		var effects graph.Effects
		var err error
		if results, effects, err = graph.Plan(ctx, loader{w}, head, group); err != nil {
			return err
		}
		return w.apply(ctx, &effects)
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// loader is graph.Tx on the write transaction.
type loader struct{ w *writer }

// Load answers what graph.Plan asks.
func (l loader) Load(ctx context.Context, want graph.Want) (graph.Found, error) {
	var f graph.Found
	for _, load := range []func(context.Context, *graph.Want, *graph.Found) error{l.nodes, l.names, l.edges, l.around, l.last} {
		if err := load(ctx, &want, &f); err != nil {
			return graph.Found{}, err
		}
	}
	return f, nil
}

func (l loader) nodes(ctx context.Context, want *graph.Want, f *graph.Found) error {
	if len(want.Nodes) == 0 {
		return nil
	}
	rows, err := l.w.run.nodes.QueryContext(ctx, refList(want.Nodes))
	if err != nil {
		return err
	}
	f.Nodes, err = collectNodes(rows, make([]graph.Node, 0, len(want.Nodes)))
	return err
}

// refList is a JSON list of the refs' columns.
func refList(refs []graph.Ref) string {
	list := make([]string, len(refs))
	for i, r := range refs {
		list[i] = column(r)
	}
	return string(graph.AppendTexts(nil, list))
}

func (l loader) names(ctx context.Context, want *graph.Want, f *graph.Found) error {
	f.Names = make(map[string]graph.Ref, len(want.Names))
	if len(want.Names) == 0 {
		return nil
	}
	rows, err := l.w.run.names.QueryContext(ctx, string(graph.AppendTexts(nil, want.Names)))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, ref string
		if err := rows.Scan(&name, &ref); err != nil {
			return err
		}
		f.Names[name] = parseColumn(ref)
	}
	return rows.Err()
}

func (l loader) edges(ctx context.Context, want *graph.Want, f *graph.Found) (err error) {
	for _, k := range want.Edges {
		rows, err := l.w.run.edge.QueryContext(ctx, string(k.Kind), column(k.From), column(k.To), k.Key)
		if err != nil {
			return err
		}
		if f.Edges, err = collectEdges(rows, f.Edges); err != nil {
			return err
		}
	}
	return nil
}

func (l loader) around(ctx context.Context, want *graph.Want, f *graph.Found) error {
	for _, a := range want.Around {
		limit := -1
		if a.Limit > 0 {
			limit = a.Limit
		}
		out, in, args := l.w.run.edgesOut, l.w.run.edgesIn, []any{column(a.Ref), string(a.Kind), limit}
		if a.Kind == "" {
			out, in, args = l.w.run.edgesOutAll, l.w.run.edgesInAll, []any{column(a.Ref), limit}
		}
		for _, side := range [...]struct {
			wanted bool
			st     *sql.Stmt
		}{{a.Out, out}, {a.In, in}} {
			if !side.wanted {
				continue
			}
			rows, err := side.st.QueryContext(ctx, args...)
			if err != nil {
				return err
			}
			if f.Edges, err = collectEdges(rows, f.Edges); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l loader) last(ctx context.Context, want *graph.Want, f *graph.Found) error {
	f.Last = make(map[graph.EdgeKey]graph.Revision, len(want.Last))
	for _, k := range want.Last {
		var rev graph.Revision
		err := l.w.run.last.QueryRowContext(ctx, string(k.Kind), k.Key).Scan(&rev)
		if err != nil && err != sql.ErrNoRows {
			return err
		}
		f.Last[k] = rev
	}
	return nil
}

// apply stores the effects of a plan.
func (w *writer) apply(ctx context.Context, f *graph.Effects) error {
	if len(f.Changes) == 0 {
		return nil
	}
	if err := w.applyDeletions(ctx, f); err != nil {
		return err
	}
	for _, p := range f.Nodes {
		n, st := p.Node, w.run.newNode
		if !p.New {
			st = w.run.setNode
		}
		if _, err := st.ExecContext(ctx, column(n.Ref), namesValue(n.Names), propsValue(n.Props), n.Created.UnixMilli(), n.Updated.UnixMilli(), int64(n.Revision)); err != nil {
			return err
		}
	}
	for _, p := range f.Names {
		if _, err := w.run.setName.ExecContext(ctx, p.Name, column(p.Ref)); err != nil {
			return err
		}
	}
	if err := w.applyEdges(ctx, f.Edges); err != nil {
		return err
	}
	var buf []byte
	for i := range f.Changes {
		c := &f.Changes[i]
		buf = c.AppendJSON(buf[:0])
		if _, err := w.run.change.ExecContext(ctx, int64(c.Revision), c.Time.UnixMilli(), string(buf)); err != nil {
			return err
		}
	}
	_, err := w.run.setHead.ExecContext(ctx, int64(f.Head))
	return err
}

func (w *writer) applyDeletions(ctx context.Context, f *graph.Effects) error {
	for _, k := range f.EdgesGone {
		if _, err := w.run.dropEdge.ExecContext(ctx, string(k.Kind), column(k.From), column(k.To), k.Key); err != nil {
			return err
		}
	}
	for _, n := range f.NamesGone {
		if _, err := w.run.dropName.ExecContext(ctx, n); err != nil {
			return err
		}
	}
	for _, r := range f.NodesGone {
		if _, err := w.run.dropNode.ExecContext(ctx, column(r)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) applyEdges(ctx context.Context, puts []graph.EdgePut) error {
	type kindKey struct {
		kind graph.Kind
		key  string
	}
	last := map[kindKey]graph.Revision{}
	for _, p := range puts {
		e, st := p.Edge, w.run.newEdge
		if !p.New {
			st = w.run.setEdge
		}
		if _, err := st.ExecContext(ctx, string(e.Kind), column(e.From), column(e.To), e.Key, propsValue(e.Props),
			e.Created.UnixMilli(), e.Updated.UnixMilli(), int64(e.Revision), expiresValue(e)); err != nil {
			return err
		}
		k := kindKey{e.Kind, e.Key}
		last[k] = max(last[k], e.Revision)
	}
	for k, rev := range last {
		if _, err := w.run.setLast.ExecContext(ctx, string(k.kind), k.key, int64(rev)); err != nil {
			return err
		}
	}
	return nil
}
