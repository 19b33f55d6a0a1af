package sqlitegraph

import (
	"context"
	"database/sql"
	"errors"
	"io"

	"trellis/graph"
)

// Export streams the graph from one read transaction.
func (s *Store) Export(ctx context.Context, yield func(graph.Record) error) (graph.Info, error) {
	if err := s.enter(ctx); err != nil {
		return graph.Info{}, err
	}
	defer s.gate.leave()
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return graph.Info{}, fault(ctx, err)
	}
	defer tx.Rollback()
	var i graph.Info
	if err := tx.StmtContext(ctx, s.asks["info"]).QueryRowContext(ctx).Scan(&i.Store, &i.Head, &i.Oldest); err != nil {
		return graph.Info{}, fault(ctx, err)
	}
	var stopped error
	each := func(query string, one func(*sql.Rows) error) error {
		rows, err := tx.StmtContext(ctx, s.asks[query]).QueryContext(ctx)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := one(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}
	err = each("all_nodes", func(rows *sql.Rows) error {
		var n graph.Node
		if err := scanNode(rows, &n); err != nil {
			return err
		}
		stopped = yield(graph.Record{Node: &n})
		return stopped
	})
	if err == nil {
		err = each("all_edges", func(rows *sql.Rows) error {
			var e graph.Edge
			if err := scanEdge(rows, &e); err != nil {
				return err
			}
			stopped = yield(graph.Record{Edge: &e})
			return stopped
		})
	}
	switch {
	case stopped != nil:
		return graph.Info{}, stopped
	case err != nil:
		return graph.Info{}, fault(ctx, err)
	}
	return i, nil
}

// Import fills the empty store in one transaction. The indexes of edges are
// built afterwards: sorting once costs less than 100,000 random insertions.
func (s *Store) Import(ctx context.Context, head graph.Revision, next func() (graph.Record, error)) error {
	if head < 0 {
		return graph.Errorf(graph.Invalid, "the revision %d is negative", head)
	}
	caller := ctx
	return s.write(ctx, func(ctx context.Context, w *writer) error {
		var old graph.Revision
		if err := w.run.head.QueryRowContext(ctx).Scan(&old); err != nil {
			return err
		}
		if old != 0 {
			return graph.Errorf(graph.Exists, "the graph store is not empty")
		}
		im := importer{w: w, head: head}
		if err := im.prepare(ctx); err != nil {
			return err
		}
		for {
			if err := caller.Err(); err != nil {
				return err
			}
			r, err := next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if err := im.add(ctx, r); err != nil {
				return err
			}
		}
		return im.finish(ctx)
	})
}

type importer struct {
	w     *writer
	head  graph.Revision
	batch graph.Batch // gathered for one validation
	kept  []graph.Record
	edges bool
	count int
}

// Indexes of edge that wait until all edges are there.
var lateIndexes = [...][2]string{
	{"edge_to", "CREATE INDEX edge_to ON edge (dst, kind, src, key)"},
	{"edge_key", "CREATE INDEX edge_key ON edge (kind, key, src, dst) WHERE key <> ''"},
}

func (im *importer) prepare(ctx context.Context) error {
	for _, ix := range lateIndexes {
		if _, err := im.w.conn.ExecContext(ctx, "DROP INDEX "+ix[0]); err != nil {
			return err
		}
	}
	return nil
}

// importAtOnce is how many records are validated together.
const importAtOnce = 500

func (im *importer) add(ctx context.Context, r graph.Record) error {
	im.count++
	switch {
	case r.Node != nil && r.Edge == nil:
		if im.edges {
			return graph.Errorf(graph.Invalid, "record %d is a node after an edge", im.count)
		}
		if err := im.number(r.Node.Revision); err != nil {
			return err
		}
		n := *r.Node
		im.batch.Steps = append(im.batch.Steps, graph.Put(n))
	case r.Edge != nil && r.Node == nil:
		if err := im.number(r.Edge.Revision); err != nil {
			return err
		}
		im.edges = true
		im.batch.Steps = append(im.batch.Steps, graph.Link(*r.Edge))
	default:
		return graph.Errorf(graph.Invalid, "record %d is neither a node nor an edge", im.count)
	}
	if len(im.batch.Steps) == importAtOnce {
		return im.flush(ctx)
	}
	return nil
}

func (im *importer) number(rev graph.Revision) error {
	if rev < 0 || rev > im.head {
		return graph.Errorf(graph.Invalid, "record %d has revision %d; the head is %d", im.count, rev, im.head)
	}
	return nil
}

func (im *importer) flush(ctx context.Context) error {
	steps := im.batch.Steps
	if err := im.batch.Validate(); err != nil {
		return err
	}
	for i := range steps {
		var err error
		if steps[i].Op == graph.PutNode {
			err = im.node(ctx, &steps[i].Node)
		} else {
			err = im.edge(ctx, &steps[i].Edge)
		}
		if err != nil {
			return err
		}
	}
	im.batch.Steps = steps[:0]
	return nil
}

func (im *importer) node(ctx context.Context, n *graph.Node) error {
	st := im.w.run.newNode
	if n.Ref == graph.Root || n.Ref == graph.Everyone || n.Ref == graph.Authenticated {
		st = im.w.run.setNode
	}
	if _, err := st.ExecContext(ctx, column(n.Ref), namesValue(n.Names), propsValue(n.Props), n.Created.UnixMilli(), n.Updated.UnixMilli(), int64(n.Revision)); err != nil {
		return twice(err, n.Ref.String())
	}
	for _, name := range n.Names {
		if _, err := im.w.conn.ExecContext(ctx, "INSERT INTO name (name, ref) VALUES (?, ?)", name, column(n.Ref)); err != nil {
			return twice(err, "the name "+name)
		}
	}
	return nil
}

func (im *importer) edge(ctx context.Context, e *graph.Edge) error {
	_, err := im.w.run.newEdge.ExecContext(ctx, string(e.Kind), column(e.From), column(e.To), e.Key, propsValue(e.Props),
		e.Created.UnixMilli(), e.Updated.UnixMilli(), int64(e.Revision), expiresValue(e))
	return twice(err, e.EdgeKey.String())
}

func twice(err error, what string) error {
	if isConstraint(err) {
		return graph.Wrap(graph.Invalid, err, "%s comes twice", what)
	}
	return err
}

func (im *importer) finish(ctx context.Context) error {
	if err := im.flush(ctx); err != nil {
		return err
	}
	for _, ix := range lateIndexes {
		if _, err := im.w.conn.ExecContext(ctx, ix[1]); err != nil {
			return err
		}
	}
	for _, end := range []string{"src", "dst"} {
		var lost string
		err := im.w.conn.QueryRowContext(ctx, `
			SELECT `+end+` FROM edge WHERE NOT EXISTS (SELECT 1 FROM node WHERE node.ref = edge.`+end+`) LIMIT 1`).Scan(&lost)
		if err == nil {
			return graph.Errorf(graph.Invalid, "an edge ends at %s, which is not among the nodes", parseColumn(lost))
		}
		if err != sql.ErrNoRows {
			return err
		}
	}
	if _, err := im.w.conn.ExecContext(ctx, "INSERT INTO last (kind, key, revision) SELECT kind, key, max(revision) FROM edge GROUP BY kind, key"); err != nil {
		return err
	}
	_, err := im.w.conn.ExecContext(ctx, "UPDATE store SET head = ?1, oldest = ?1", int64(im.head))
	return err
}
