package neo4jgraph

import (
	"context"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
)

// Commit applies a group in one transaction of four round trips: begin; lock,
// head and all that is known to be needed; effects; commit.
func (s *Store) Commit(ctx context.Context, group []graph.Batch) ([]graph.Result, error) {
	c := &commit{group: group, want: graph.Wants(group)}
	err := s.call(ctx, neo4j.AccessModeWrite, func(ctx context.Context, session neo4j.SessionWithContext) error {
		tx, err := s.begin(ctx, session)
		if err != nil {
			return err
		}
		return c.attempt(ctx, tx)
	})
	if err != nil {
		if c.unsure != nil {
			return nil, graph.Wrap(graph.KindOf(err), err, "the connection to the graph store broke while it was committing; whether it did is unknown")
		}
		return nil, err
	}
	return c.results, nil
}

// commit is one call of Commit over all its attempts.
type commit struct {
	group   []graph.Batch
	want    graph.Want
	results []graph.Result
	// unsure is the attempt whose commit was sent and not answered.
	unsure *sent
}

type sent struct {
	head    graph.Revision // before it
	ids     []string       // of the batches that it changed something for
	results []graph.Result
}

func (c *commit) attempt(ctx context.Context, tx neo4j.ExplicitTransaction) error {
	w := &writeTx{run: tx.Run}
	head, err := w.lock(ctx, c.want)
	if err != nil {
		return err
	}
	if c.unsure != nil && head > c.unsure.head {
		// We hold the lock, so the transaction in question is over.
		found, err := happened(ctx, tx, c.unsure)
		if err != nil {
			return err
		}
		if found {
			c.results = c.unsure.results
			return tx.Rollback(ctx)
		}
	}
	c.unsure = nil
	results, effects, err := graph.Plan(ctx, w, head, c.group)
	if err != nil {
		return err
	}
	if len(effects.Changes) == 0 {
		c.results = results
		return tx.Rollback(ctx)
	}
	if err := w.apply(ctx, &effects); err != nil {
		return err
	}
	u := &sent{head: head, results: results}
	for i := range effects.Changes {
		u.ids = append(u.ids, effects.Changes[i].ID)
	}
	if err := tx.Commit(ctx); err != nil {
		// Whatever the error says, the next attempt can look.
		c.unsure = u
		return err
	}
	c.results = results
	return nil
}

func happened(ctx context.Context, tx neo4j.ExplicitTransaction, u *sent) (bool, error) {
	rows, err := all(ctx, tx.Run, text("changes_with_id"), map[string]any{"after": int64(u.head), "ids": u.ids})
	if err != nil {
		return false, err
	}
	n, _ := rows[0].Values[0].(int64)
	return n > 0, nil
}

// writeTx is the graph.Tx of one attempt.
type writeTx struct {
	run   runner
	first *graph.Found // what came with the lock; for Plan's first question
}

// lock takes the write lock, loads what is wanted and returns the head.
func (w *writeTx) lock(ctx context.Context, want graph.Want) (graph.Revision, error) {
	head, found, err := w.load(ctx, want)
	if len(want.Nodes)+len(want.Edges)+len(want.Names)+len(want.Around)+len(want.Last) > 0 {
		w.first = &found
	}
	return head, err
}

// Load implements graph.Tx.
func (w *writeTx) Load(ctx context.Context, want graph.Want) (graph.Found, error) {
	if f := w.first; f != nil {
		w.first = nil
		err := w.rest(ctx, want, f)
		return *f, err
	}
	var found graph.Found
	if len(want.Nodes)+len(want.Edges)+len(want.Names)+len(want.Last) > 0 {
		var err error
		if _, found, err = w.load(ctx, want); err != nil {
			return found, err
		}
	}
	err := w.rest(ctx, want, &found)
	return found, err
}

// load answers for the nodes, edges and names of a Want, and for the last
// revisions of edges without a key.
func (w *writeTx) load(ctx context.Context, want graph.Want) (graph.Revision, graph.Found, error) {
	var found graph.Found
	keys := make([]string, len(want.Nodes))
	for i, r := range want.Nodes {
		keys[i] = r.String()
	}
	whole := len(keys) - want.Brief
	edges := make([]any, len(want.Edges))
	for i, k := range want.Edges {
		edges[i] = edgeRow(k)
	}
	kinds := []string{}
	for _, k := range want.Last {
		if k.Key == "" {
			kinds = append(kinds, string(k.Kind))
		}
	}
	values, err := one(ctx, w.run, text("load"), map[string]any{
		"nodes": keys[:whole], "brief": keys[whole:], "edges": edges, "names": texts0(want.Names), "kinds": kinds,
	})
	if err != nil {
		return 0, found, err
	}
	var r row
	found.Nodes = r.nodes(values[1])
	for _, v := range field[[]any](&r, values[2]) {
		pair := field[[]any](&r, v)
		found.Nodes = append(found.Nodes, graph.Node{Ref: want.Nodes[whole+int(field[int64](&r, pair[0]))], Revision: graph.Revision(field[int64](&r, pair[1]))})
	}
	for _, v := range field[[]any](&r, values[3]) {
		pair := field[[]any](&r, v)
		k := want.Edges[field[int64](&r, pair[0])]
		found.Edges = append(found.Edges, r.edge(k.From, k.Kind, k.To, pair[1]))
	}
	found.Names = map[string]graph.Ref{}
	for _, v := range field[[]any](&r, values[4]) {
		pair := field[[]any](&r, v)
		holder, err := graph.ParseRef(field[string](&r, pair[1]))
		if err != nil && r.bad == nil {
			r.bad = graph.Wrap(graph.Corrupt, err, "the graph holds a name without holder")
		}
		found.Names[field[string](&r, pair[0])] = holder
	}
	found.Last = make(map[graph.EdgeKey]graph.Revision, len(want.Last))
	for i, v := range field[[]any](&r, values[5]) {
		found.Last[graph.EdgeKey{Kind: graph.Kind(kinds[i])}] = graph.Revision(field[int64](&r, v))
	}
	return graph.Revision(field[int64](&r, values[0])), found, r.bad
}

// rest answers for the other fields of a Want, one statement per kind.
func (w *writeTx) rest(ctx context.Context, want graph.Want, found *graph.Found) error {
	type shape struct {
		kind  graph.Kind
		in    bool
		limit int
	}
	groups := map[shape][]string{}
	for _, a := range want.Around {
		limit := a.Limit
		if limit <= 0 {
			limit = 1 << 40
		}
		if a.Kind == "" {
			groups[shape{}] = append(groups[shape{}], a.Ref.String())
			continue
		}
		if a.Out {
			groups[shape{a.Kind, false, limit}] = append(groups[shape{a.Kind, false, limit}], a.Ref.String())
		}
		if a.In {
			groups[shape{a.Kind, true, limit}] = append(groups[shape{a.Kind, true, limit}], a.Ref.String())
		}
	}
	for g, keys := range groups {
		statement, err := "around_all", error(nil)
		switch {
		case g.kind == "":
			statement = text(statement)
		case g.in:
			statement, err = ofKind("around_in", g.kind)
		default:
			statement, err = ofKind("around_out", g.kind)
		}
		if err != nil {
			return err
		}
		if err := w.around(ctx, statement, map[string]any{"nodes": keys, "kind": string(g.kind), "limit": g.limit}, found); err != nil {
			return err
		}
	}
	return w.last(ctx, want.Last, found)
}

func (w *writeTx) around(ctx context.Context, statement string, params map[string]any, found *graph.Found) error {
	rows, err := all(ctx, w.run, statement, params)
	if err != nil {
		return err
	}
	var r row
	for _, rec := range rows {
		v := rec.Values
		found.Edges = append(found.Edges, r.edge(r.ref(v[1], v[2]), graph.Kind(field[string](&r, v[0])), r.ref(v[3], v[4]), v[5]))
	}
	return r.bad
}

// last answers for the last revisions of edges with a key.
func (w *writeTx) last(ctx context.Context, want []graph.EdgeKey, found *graph.Found) error {
	kinds := map[graph.Kind][]string{}
	for _, k := range want {
		if k.Key != "" {
			kinds[k.Kind] = append(kinds[k.Kind], k.Key)
		}
	}
	for kind, keys := range kinds {
		statement, params := text("last_grant"), map[string]any{"keys": keys}
		if kind != graph.CanAccess {
			var err error
			if statement, err = ofKind("last", kind); err != nil {
				return err
			}
			params["kind"] = string(kind)
		}
		rows, err := all(ctx, w.run, statement, params)
		if err != nil {
			return err
		}
		var r row
		for _, rec := range rows {
			found.Last[graph.EdgeKey{Kind: kind, Key: field[string](&r, rec.Values[0])}] = graph.Revision(field[int64](&r, rec.Values[1]))
		}
		if r.bad != nil {
			return r.bad
		}
	}
	return nil
}

// edgeRow names an edge to a statement.
func edgeRow(k graph.EdgeKey) map[string]any {
	return map[string]any{"from": k.From.String(), "to": k.To.String(), "kind": string(k.Kind), "key": k.Key}
}

// apply writes effects in one statement.
func (w *writeTx) apply(ctx context.Context, f *graph.Effects) error {
	nodesGone := []string{}
	var edgesGone, nodesSet, nodesNew, namesSet, edgesSet, edgesNew, changes []any
	for _, k := range f.EdgesGone {
		edgesGone = append(edgesGone, edgeRow(k))
	}
	for _, ref := range f.NodesGone {
		nodesGone = append(nodesGone, ref.String())
	}
	for _, p := range f.Nodes {
		m := map[string]any{"props": nodeProps(p.Node)}
		if p.New {
			m["label"] = label(p.Node.Ref.Type)
			nodesNew = append(nodesNew, m)
		} else {
			m["key"] = p.Node.Ref.String()
			nodesSet = append(nodesSet, m)
		}
	}
	for _, p := range f.Names {
		namesSet = append(namesSet, map[string]any{"name": p.Name, "key": p.Ref.String()})
	}
	lasts := map[string]any{}
	for _, p := range f.Edges {
		if p.Edge.Key == "" {
			name := "last_" + string(p.Edge.Kind)
			before, _ := lasts[name].(int64)
			lasts[name] = max(before, int64(p.Edge.Revision))
		}
		m := edgeRow(p.Edge.EdgeKey)
		m["props"] = edgeProps(p.Edge)
		if p.New {
			edgesNew = append(edgesNew, m)
		} else {
			edgesSet = append(edgesSet, m)
		}
	}
	for i := range f.Changes {
		m, err := changeProps(&f.Changes[i])
		if err != nil {
			return graph.Wrap(graph.Internal, err, "a change record could not be written")
		}
		changes = append(changes, m)
	}
	rows, err := all(ctx, w.run, text("apply"), map[string]any{
		"head": int64(f.Head), "lasts": lasts,
		"edges_gone": list0(edgesGone), "names_gone": texts0(f.NamesGone), "nodes_gone": nodesGone,
		"nodes_set": list0(nodesSet), "nodes_new": list0(nodesNew), "names_set": list0(namesSet),
		"edges_set": list0(edgesSet), "edges_new": list0(edgesNew), "changes": list0(changes),
	})
	if err == nil && len(rows) == 0 {
		err = errNotPrepared
	}
	return err
}

// texts0 and list0 send nil as an empty list, which the driver would send as null.
func texts0(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

func list0(l []any) []any {
	if l == nil {
		return []any{}
	}
	return l
}
