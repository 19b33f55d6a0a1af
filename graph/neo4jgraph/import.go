package neo4jgraph

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
)

const (
	// importBatch is how many records one transaction of an import creates.
	importBatch = 5_000
	// clearBatch is how many nodes, with their edges, one transaction deletes.
	clearBatch = 2_000
)

// Import marks the store with an id of its own, fills it in transactions that
// each require the mark, and removes the mark in the last. An import that
// fails empties the store again; one that dies leaves the mark, and whoever
// comes next takes it over.
func (s *Store) Import(ctx context.Context, head graph.Revision, next func() (graph.Record, error)) error {
	if head < 0 {
		return graph.Errorf(graph.Invalid, "an import needs a head that is not negative")
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	im := &importer{s: s, id: s.opts.NewID(), head: head, given: map[graph.Ref]bool{}}
	before, err := im.begin(ctx)
	if err != nil {
		return err
	}
	if before.Head != 0 {
		return graph.Errorf(graph.Exists, "an import needs an empty store; this one is at revision %d", before.Head)
	}
	err = im.run(ctx, next)
	if err == nil || errors.Is(err, errOvertaken) {
		return err
	}
	// The caller may be gone; the store should be of use again all the same.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CallTimeout)
	defer cancel()
	if again := im.restart(clean); again != nil {
		return errors.Join(err, again)
	}
	return err
}

var errOvertaken = graph.Errorf(graph.Unavailable, "another import into this store has begun")

type importer struct {
	s     *Store
	id    string
	head  graph.Revision
	batch int // the number of the last transaction

	records  int
	lastNode graph.Ref
	lastEdge graph.EdgeKey
	given    map[graph.Ref]bool // those of the given nodes that came

	steps []graph.Step // nodes of one type, or edges of one kind
	// pending is the transaction under way: the next batch is read and
	// encoded beside it.
	pending chan error
}

func (im *importer) begin(ctx context.Context) (i graph.Info, err error) {
	err = im.s.try(ctx, neo4j.AccessModeWrite, func(ctx context.Context, session neo4j.SessionWithContext) error {
		rows, err := all(ctx, im.s.auto(session), text("import_begin"), map[string]any{"import": im.id})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return errNotPrepared
		}
		var r row
		i.Head = graph.Revision(field[int64](&r, rows[0].Values[1]))
		return r.bad
	})
	return i, err
}

func (im *importer) run(ctx context.Context, next func() (graph.Record, error)) error {
	if err := im.clear(ctx); err != nil {
		return err
	}
	for {
		rec, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := im.add(ctx, rec); err != nil {
			return err
		}
	}
	if err := im.flush(ctx); err != nil {
		return err
	}
	return im.end(ctx)
}

// end adds those of the given nodes that did not come and takes the mark away.
func (im *importer) end(ctx context.Context) error {
	now := im.s.opts.Now().UTC().Truncate(time.Millisecond)
	for _, r := range []graph.Ref{graph.Root, graph.Everyone, graph.Authenticated} {
		if im.given[r] {
			continue
		}
		im.steps = append(im.steps, graph.Put(graph.Node{Ref: r, Created: now, Updated: now}))
		if err := im.flush(ctx); err != nil {
			return err
		}
	}
	if err := im.send(ctx, text("import_end"), map[string]any{"head": int64(im.head)}, 1); err != nil {
		return err
	}
	return im.wait()
}

// restart empties the store as if no import had begun.
func (im *importer) restart(ctx context.Context) error {
	_ = im.wait() // it failed, or what it did is deleted now
	im.head, im.steps, im.given = 0, nil, map[graph.Ref]bool{}
	if err := im.clear(ctx); err != nil {
		return err
	}
	return im.end(ctx)
}

func (im *importer) clear(ctx context.Context) error {
	for {
		var count int64
		err := im.s.try(ctx, neo4j.AccessModeWrite, func(ctx context.Context, session neo4j.SessionWithContext) error {
			rows, err := all(ctx, im.s.auto(session), text("import_clear"), map[string]any{"import": im.id, "limit": clearBatch})
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				return errOvertaken
			}
			count, _ = rows[0].Values[0].(int64)
			return nil
		})
		if err != nil || count < clearBatch {
			return err
		}
	}
}

// add checks that a record comes in Export's order, which also finds repeats,
// and keeps it until a batch of its like is full.
func (im *importer) add(ctx context.Context, rec graph.Record) error {
	im.records++
	var step graph.Step
	switch {
	case rec.Node != nil && rec.Edge == nil:
		n := rec.Node
		if im.lastEdge.Kind != "" || graph.CompareRefs(im.lastNode, n.Ref) >= 0 {
			return graph.Errorf(graph.Invalid, "record %d, %s, is repeated or out of order", im.records, n.Ref)
		}
		if im.lastNode.Type != n.Ref.Type || len(im.steps) == importBatch {
			if err := im.flush(ctx); err != nil {
				return err
			}
		}
		step, im.lastNode, im.given[n.Ref] = graph.Put(*n), n.Ref, true
	case rec.Edge != nil && rec.Node == nil:
		e := rec.Edge
		if im.lastEdge.Kind != "" && graph.CompareEdges(im.lastEdge, e.EdgeKey) >= 0 {
			return graph.Errorf(graph.Invalid, "record %d, %s, is repeated or out of order", im.records, e.EdgeKey)
		}
		if im.lastEdge.Kind != e.Kind || len(im.steps) == importBatch {
			if err := im.flush(ctx); err != nil {
				return err
			}
		}
		step, im.lastEdge = graph.Link(*e), e.EdgeKey
	default:
		return graph.Errorf(graph.Invalid, "record %d is neither a node nor an edge", im.records)
	}
	if rev := max(step.Node.Revision, step.Edge.Revision); rev < 0 || rev > im.head {
		return graph.Errorf(graph.Invalid, "record %d is of revision %d; the store's head is to be %d", im.records, rev, im.head)
	}
	im.steps = append(im.steps, step)
	return nil
}

func (im *importer) flush(ctx context.Context) error {
	if len(im.steps) == 0 {
		return nil
	}
	// Validate knows the rules of every field, whoever wrote the records.
	b := graph.Batch{Steps: im.steps}
	if err := b.Validate(); err != nil {
		return err
	}
	defer func() { im.steps = im.steps[:0] }()
	if b.Steps[0].Op == graph.PutEdge {
		return im.flushEdges(ctx, b.Steps)
	}
	return im.flushNodes(ctx, b.Steps)
}

func (im *importer) flushNodes(ctx context.Context, steps []graph.Step) error {
	rows := make([]any, len(steps))
	var names []any
	for i := range steps {
		n := &steps[i].Node
		rows[i] = nodeProps(n)
		for _, name := range n.Names {
			names = append(names, map[string]any{"name": name, "key": n.Ref.String()})
		}
	}
	t := steps[0].Node.Ref.Type
	statement, err := ofType("import_nodes", t)
	if err != nil {
		return err
	}
	if err := im.send(ctx, statement, map[string]any{"label": label(t), "rows": rows}, len(rows)); err != nil {
		return err
	}
	if len(names) == 0 {
		return nil
	}
	return im.send(ctx, text("import_names"), map[string]any{"rows": names}, len(names))
}

func (im *importer) flushEdges(ctx context.Context, steps []graph.Step) error {
	rows := make([]any, len(steps))
	for i := range steps {
		e := &steps[i].Edge
		rows[i] = map[string]any{"from": e.From.String(), "to": e.To.String(), "props": edgeProps(e)}
	}
	k := steps[0].Edge.Kind
	statement, err := ofKind("import_edges", k)
	if err != nil {
		return err
	}
	return im.send(ctx, statement, map[string]any{"kind": string(k), "rows": rows}, len(rows))
}

// send starts a transaction of the import once the one before is done.
func (im *importer) send(ctx context.Context, statement string, params map[string]any, want int) error {
	if err := im.wait(); err != nil {
		return err
	}
	im.batch++
	params["import"], params["batch"] = im.id, im.batch
	done := make(chan error, 1)
	im.pending = done
	go func() { done <- im.write(ctx, statement, params, want) }()
	return nil
}

// wait returns what became of the transaction under way.
func (im *importer) wait() error {
	if im.pending == nil {
		return nil
	}
	err := <-im.pending
	im.pending = nil
	return err
}

// write runs one transaction of the import. Its number makes sure that it
// happens once, also when an answer was lost and it is tried again.
func (im *importer) write(ctx context.Context, statement string, params map[string]any, want int) error {
	return im.s.try(ctx, neo4j.AccessModeWrite, func(ctx context.Context, session neo4j.SessionWithContext) error {
		rows, err := all(ctx, im.s.auto(session), statement, params)
		var server *neo4j.Neo4jError
		if errors.As(err, &server) && server.Code == "Neo.ClientError.Schema.ConstraintValidationFailed" {
			return graph.Wrap(graph.Invalid, err, "a node or a unique name is there twice")
		}
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return errOvertaken
		}
		v := rows[0].Values
		fresh, _ := v[0].(bool)
		if n, _ := v[1].(int64); fresh && int(n) != want {
			return graph.Errorf(graph.Invalid, "an edge's end is not among the nodes")
		}
		return nil
	})
}
