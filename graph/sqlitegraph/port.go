package sqlitegraph

import (
	"context"
	"database/sql"
	"database/sql/driver"
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
	tx, err := s.streams.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return graph.Info{}, fault(ctx, err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	var i graph.Info
	if err := tx.QueryRowContext(ctx, text("info")).Scan(&i.Store, &i.Head, &i.Oldest); err != nil {
		return graph.Info{}, fault(ctx, err)
	}
	var stopped error
	all := func(query string, columns int, one func([]any) error) error {
		rows, err := tx.QueryContext(ctx, text(query))
		if err != nil {
			return err
		}
		return each(rows, columns, one)
	}
	err = all("all_nodes", 6, func(v []any) error {
		var n graph.Node
		if err := nodeOf(v, &n); err != nil {
			return err
		}
		stopped = yield(graph.Record{Node: &n})
		return stopped
	})
	if err == nil {
		err = all("all_edges", 8, func(v []any) error {
			var e graph.Edge
			if err := edgeOf(v, &e); err != nil {
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
	return s.write(ctx, func(w *writer) error {
		old, err := w.head()
		if err != nil {
			return err
		}
		if old != 0 {
			return graph.Errorf(graph.Exists, "the graph store is not empty")
		}
		im := importer{w: w, head: head}
		if err := im.prepare(); err != nil {
			return err
		}
		defer im.newName.st.Close()
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			r, err := next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if err := im.add(r); err != nil {
				return err
			}
		}
		return im.finish()
	})
}

type importer struct {
	w     *writer
	head  graph.Revision
	batch graph.Batch // gathered for one validation
	edges bool
	count int

	newName *statement // unlike setName, it takes no name from another node
	index   indexer
}

// Indexes of edge that wait until all edges are there.
var lateIndexes = [...][2]string{
	{"edge_to", "CREATE INDEX edge_to ON edge (dst, kind, src, key)"},
	{"edge_key", "CREATE INDEX edge_key ON edge (kind, key, src, dst) WHERE key <> ''"},
}

func (im *importer) prepare() (err error) {
	if im.newName, err = im.w.statement("INSERT INTO name (name, ref) VALUES (?, ?)"); err != nil {
		return err
	}
	for _, ix := range lateIndexes {
		if _, err := im.w.exec("DROP INDEX " + ix[0]); err != nil {
			return err
		}
	}
	return nil
}

// importAtOnce is how many records are validated together.
const importAtOnce = 500

func (im *importer) add(r graph.Record) error {
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
		return im.flush()
	}
	return nil
}

func (im *importer) number(rev graph.Revision) error {
	if rev < 0 || rev > im.head {
		return graph.Errorf(graph.Invalid, "record %d has revision %d; the head is %d", im.count, rev, im.head)
	}
	return nil
}

func (im *importer) flush() error {
	steps := im.batch.Steps
	if err := im.batch.Validate(); err != nil {
		return err
	}
	for i := range steps {
		var err error
		if steps[i].Op == graph.PutNode {
			err = im.node(&steps[i].Node)
		} else {
			err = im.edge(&steps[i].Edge)
		}
		if err != nil {
			return err
		}
	}
	im.batch.Steps = steps[:0]
	return nil
}

func (im *importer) node(n *graph.Node) error {
	if n.Ref == graph.Root || n.Ref == graph.Everyone || n.Ref == graph.Authenticated {
		// They are there, and are never searched.
		if _, err := im.w.run.setNode.exec(nodeValues(n)...); err != nil {
			return err
		}
	} else {
		id, err := im.w.run.newNode.insert(nodeValues(n)...)
		if err != nil {
			return twice(err, n.Ref.String())
		}
		im.index.put(id, graph.SearchedOf(n))
		if err := im.index.some(im.w); err != nil {
			return err
		}
	}
	for _, name := range n.Names {
		if _, err := im.newName.exec(name, column(n.Ref)); err != nil {
			return twice(err, "the name "+name)
		}
	}
	return nil
}

func (im *importer) edge(e *graph.Edge) error {
	if err := putEdge(im.w.run.newEdge, e); err != nil {
		return twice(err, e.EdgeKey.String())
	}
	return nil
}

func twice(err error, what string) error {
	if isConstraint(err) {
		return graph.Wrap(graph.Invalid, err, "%s comes twice", what)
	}
	return err
}

func (im *importer) finish() error {
	if err := im.flush(); err != nil {
		return err
	}
	if err := im.index.flush(im.w); err != nil {
		return err
	}
	for _, ix := range lateIndexes {
		if _, err := im.w.exec(ix[1]); err != nil {
			return err
		}
	}
	for _, end := range []string{"src", "dst"} {
		st, err := im.w.statement(`
			SELECT ` + end + ` FROM edge WHERE NOT EXISTS (SELECT 1 FROM node WHERE node.ref = edge.` + end + `) LIMIT 1`)
		if err != nil {
			return err
		}
		err = st.query(func(row []driver.Value) error {
			ref, _ := row[0].(string)
			return graph.Errorf(graph.Invalid, "an edge ends at %s, which is not among the nodes", parseColumn(ref))
		})
		if err := errors.Join(err, st.st.Close()); err != nil {
			return err
		}
	}
	if _, err := im.w.exec("INSERT INTO last (kind, key, revision) SELECT kind, key, max(revision) FROM edge GROUP BY kind, key"); err != nil {
		return err
	}
	_, err := im.w.exec("UPDATE store SET head = ?1, oldest = ?1", int64(im.head))
	return err
}
