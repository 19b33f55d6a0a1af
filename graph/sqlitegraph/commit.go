package sqlitegraph

import (
	"context"
	"database/sql/driver"

	"trellis/graph"
)

// Commit plans the group inside the write transaction and stores what the
// plan amounts to.
func (s *Store) Commit(ctx context.Context, group []graph.Batch) ([]graph.Result, error) {
	var results []graph.Result
	err := s.write(ctx, func(w *writer) error {
		head, err := w.head()
		if err != nil {
			return err
		}
		var effects graph.Effects
		if results, effects, err = graph.Plan(ctx, loader{w}, head, group); err != nil {
			return err
		}
		return w.apply(&effects)
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// loader is graph.Tx on the write transaction.
type loader struct{ w *writer }

// Load answers what graph.Plan asks.
func (l loader) Load(_ context.Context, want graph.Want) (graph.Found, error) {
	var f graph.Found
	for _, load := range []func(*graph.Want, *graph.Found) error{l.nodes, l.names, l.edges, l.around, l.last} {
		if err := load(&want, &f); err != nil {
			return graph.Found{}, err
		}
	}
	return f, nil
}

func (l loader) nodes(want *graph.Want, f *graph.Found) error {
	f.Nodes = make([]graph.Node, 0, len(want.Nodes))
	whole := want.Nodes[:len(want.Nodes)-want.Brief]
	if len(whole) > 0 {
		if err := l.w.run.nodes.query(func(row []driver.Value) error {
			f.Nodes = append(f.Nodes, graph.Node{})
			return nodeOf(row, &f.Nodes[len(f.Nodes)-1])
		}, refList(whole)); err != nil {
			return err
		}
	}
	if want.Brief == 0 {
		return nil
	}
	var c cells
	return l.w.run.brief.query(func(row []driver.Value) error {
		f.Nodes = append(f.Nodes, graph.Node{Ref: parseColumn(c.text(row[0])), Revision: graph.Revision(c.number(row[1]))})
		return nil
	}, refList(want.Nodes[len(whole):]))
}

// refList is a JSON list of the refs' columns.
func refList(refs []graph.Ref) string {
	list := make([]string, len(refs))
	for i, r := range refs {
		list[i] = column(r)
	}
	return string(graph.AppendTexts(make([]byte, 0, 48*len(list)), list))
}

func (l loader) names(want *graph.Want, f *graph.Found) error {
	if len(want.Names) == 0 {
		return nil
	}
	f.Names = make(map[string]graph.Ref, len(want.Names))
	var c cells
	return l.w.run.names.query(func(row []driver.Value) error {
		f.Names[c.text(row[0])] = parseColumn(c.text(row[1]))
		return nil
	}, string(graph.AppendTexts(nil, want.Names)))
}

func (l loader) edges(want *graph.Want, f *graph.Found) error {
	if len(want.Edges) == 0 {
		return nil
	}
	list := make([]byte, 0, 128*len(want.Edges))
	for i, k := range want.Edges {
		sep := byte(',')
		if i == 0 {
			sep = '['
		}
		list = graph.AppendTexts(append(list, sep), []string{string(k.Kind), column(k.From), column(k.To), k.Key})
	}
	return l.w.run.edges.query(edgeInto(f), string(append(list, ']')))
}

func (l loader) around(want *graph.Want, f *graph.Found) error {
	for _, a := range want.Around {
		limit := int64(-1)
		if a.Limit > 0 {
			limit = int64(a.Limit)
		}
		out, in, args := l.w.run.edgesOut, l.w.run.edgesIn, []driver.Value{column(a.Ref), string(a.Kind), limit}
		if a.Kind == "" {
			out, in, args = l.w.run.edgesOutAll, l.w.run.edgesInAll, []driver.Value{column(a.Ref), limit}
		}
		if a.Out {
			if err := out.query(edgeInto(f), args...); err != nil {
				return err
			}
		}
		if a.In {
			if err := in.query(edgeInto(f), args...); err != nil {
				return err
			}
		}
	}
	return nil
}

func edgeInto(f *graph.Found) func(row []driver.Value) error {
	return func(row []driver.Value) error {
		f.Edges = append(f.Edges, graph.Edge{})
		return edgeOf(row, &f.Edges[len(f.Edges)-1])
	}
}

func (l loader) last(want *graph.Want, f *graph.Found) error {
	if len(want.Last) == 0 {
		return nil
	}
	f.Last = make(map[graph.EdgeKey]graph.Revision, len(want.Last))
	for _, k := range want.Last {
		rev, _, err := l.w.run.last.number(string(k.Kind), k.Key)
		if err != nil {
			return err
		}
		f.Last[k] = graph.Revision(rev)
	}
	return nil
}

// apply stores the effects of a plan.
func (w *writer) apply(f *graph.Effects) error {
	if len(f.Changes) == 0 {
		return nil
	}
	var x indexer
	if err := w.applyDeletions(f, &x); err != nil {
		return err
	}
	if err := w.applyNodes(f, &x); err != nil {
		return err
	}
	for _, p := range f.Names {
		if _, err := w.run.setName.exec(p.Name, column(p.Ref)); err != nil {
			return err
		}
	}
	if err := w.applyEdges(f.Edges); err != nil {
		return err
	}
	var buf []byte
	for i := range f.Changes {
		c := &f.Changes[i]
		buf = c.AppendJSON(buf[:0])
		if _, err := w.run.change.exec(int64(c.Revision), c.Time.UnixMilli(), string(buf)); err != nil {
			return err
		}
	}
	if err := x.flush(w); err != nil {
		return err
	}
	_, err := w.run.setHead.exec(int64(f.Head))
	return err
}

func (w *writer) applyNodes(f *graph.Effects, x *indexer) error {
	before := searchedBefore(f)
	for _, p := range f.Nodes {
		n := p.Node
		now, then := graph.SearchedOf(n), before[n.Ref]
		if p.New {
			id, err := w.run.newNode.insert(nodeValues(n)...)
			if err != nil {
				return err
			}
			x.put(id, now)
			continue
		}
		if _, err := w.run.setNode.exec(nodeValues(n)...); err != nil {
			return err
		}
		if now.Equal(then) {
			continue
		}
		if err := w.reindex(n.Ref, now, x); err != nil {
			return err
		}
	}
	return nil
}

func nodeValues(n *graph.Node) []driver.Value {
	return []driver.Value{column(n.Ref), namesValue(n.Names), propsValue(n.Props), n.Created.UnixMilli(), n.Updated.UnixMilli(), int64(n.Revision)}
}

// reindex notes that a node that is there is to be found by other words, or
// none, from now on.
func (w *writer) reindex(r graph.Ref, now graph.Searched, x *indexer) error {
	id, found, err := w.run.nodeID.number(column(r))
	if err != nil || !found {
		return err
	}
	x.drop(id)
	x.put(id, now)
	return nil
}

func (w *writer) applyDeletions(f *graph.Effects, x *indexer) error {
	for _, k := range f.EdgesGone {
		if _, err := w.run.dropEdge.exec(string(k.Kind), column(k.From), column(k.To), k.Key); err != nil {
			return err
		}
	}
	for _, n := range f.NamesGone {
		if _, err := w.run.dropName.exec(n); err != nil {
			return err
		}
	}
	for _, r := range f.NodesGone {
		if graph.Searchable(r.Type) {
			if err := w.reindex(r, graph.Searched{}, x); err != nil {
				return err
			}
		}
		if _, err := w.run.dropNode.exec(column(r)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) applyEdges(puts []graph.EdgePut) error {
	last := map[graph.EdgeKey]graph.Revision{} // by kind and key only
	for _, p := range puts {
		st := w.run.newEdge
		if !p.New {
			st = w.run.setEdge
		}
		if err := putEdge(st, p.Edge); err != nil {
			return err
		}
		k := graph.EdgeKey{Kind: p.Edge.Kind, Key: p.Edge.Key}
		last[k] = max(last[k], p.Edge.Revision)
	}
	for k, rev := range last {
		if _, err := w.run.setLast.exec(string(k.Kind), k.Key, int64(rev)); err != nil {
			return err
		}
	}
	return nil
}

func putEdge(st *statement, e *graph.Edge) error {
	_, err := st.exec(string(e.Kind), column(e.From), column(e.To), e.Key, propsValue(e.Props),
		e.Created.UnixMilli(), e.Updated.UnixMilli(), int64(e.Revision), expiresValue(e))
	return err
}
