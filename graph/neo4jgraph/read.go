package neo4jgraph

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
)

// read runs a statement of one row in a transaction of its own.
func (s *Store) read(ctx context.Context, mode neo4j.AccessMode, statement string, params map[string]any) (values []any, err error) {
	err = s.call(ctx, mode, func(ctx context.Context, session neo4j.SessionWithContext) error {
		values, err = one(ctx, s.auto(session), statement, params)
		return err
	})
	return values, err
}

// Info asks the leader of a cluster, so that the head is the newest there is.
// The answer's bookmark makes every later read of this process, at whatever
// member, see that head.
func (s *Store) Info(ctx context.Context) (graph.Info, error) {
	values, err := s.read(ctx, neo4j.AccessModeWrite, text("info"), nil)
	if err != nil {
		return graph.Info{}, err
	}
	return info(values)
}

func info(values []any) (graph.Info, error) {
	var r row
	i := graph.Info{
		Store:  field[string](&r, values[0]),
		Head:   graph.Revision(field[int64](&r, values[1])),
		Oldest: graph.Revision(field[int64](&r, values[2])),
	}
	return i, r.bad
}

// Nodes implements graph.Reader.
func (s *Store) Nodes(ctx context.Context, refs []graph.Ref) ([]graph.Node, error) {
	keys := make([]string, len(refs))
	for i, r := range refs {
		keys[i] = r.String()
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	return steady(func() ([]graph.Node, error) {
		values, err := s.read(ctx, neo4j.AccessModeRead, text("nodes"), map[string]any{"keys": keys})
		if err != nil {
			return nil, err
		}
		return sortedNodes(values[0])
	})
}

// steady reads again what came out unreadable. Neo4j shows a node or an edge
// that is deleted while a statement runs, but without its properties; the next
// time it is gone. What stays unreadable is Corrupt.
func steady[T any](read func() (T, error)) (T, error) {
	const tries = 10
	for try := 1; ; try++ {
		v, err := read()
		if err == nil || graph.KindOf(err) != graph.Corrupt || try == tries {
			return v, err
		}
	}
}

func sortedNodes(v any) ([]graph.Node, error) {
	var r row
	nodes := r.nodes(v)
	slices.SortFunc(nodes, func(a, b graph.Node) int { return graph.CompareRefs(a.Ref, b.Ref) })
	return slices.CompactFunc(nodes, func(a, b graph.Node) bool { return a.Ref == b.Ref }), r.bad
}

// Ask implements graph.Reader.
func (s *Store) Ask(ctx context.Context, q graph.Question) (graph.Answer, error) {
	return steady(func() (graph.Answer, error) { return s.ask(ctx, q) })
}

func (s *Store) ask(ctx context.Context, q graph.Question) (graph.Answer, error) {
	if q.Name == graph.NodesByName {
		return s.nodesByName(ctx, q)
	}
	if q.Limit < 1 || q.Limit > graph.MaxPage {
		return graph.Answer{}, graph.Errorf(graph.Invalid, "a page has 1 to %d entries, not %d", graph.MaxPage, q.Limit)
	}
	switch q.Name {
	case graph.NodesByType:
		return s.nodesByType(ctx, q)
	case graph.EdgesFrom, graph.EdgesTo:
		return s.edgesAt(ctx, q)
	case graph.EdgesByKey:
		return s.edgesByKey(ctx, q)
	case graph.EdgesOut, graph.EdgesIn:
		return s.edgesAmong(ctx, q)
	}
	return graph.Answer{}, graph.Errorf(graph.Invalid, "there is no question %q", q.Name)
}

func (s *Store) nodesByName(ctx context.Context, q graph.Question) (graph.Answer, error) {
	if len(q.Names) > graph.MaxPage {
		return graph.Answer{}, graph.Errorf(graph.Invalid, "%d names at once; the limit is %d", len(q.Names), graph.MaxPage)
	}
	values, err := s.read(ctx, neo4j.AccessModeRead, text(graph.NodesByName), map[string]any{"names": texts0(q.Names)})
	if err != nil {
		return graph.Answer{}, err
	}
	nodes, err := sortedNodes(values[0])
	return graph.Answer{Nodes: nodes}, err
}

func (s *Store) nodesByType(ctx context.Context, q graph.Question) (graph.Answer, error) {
	if !q.Type.Valid() {
		return graph.Answer{}, graph.Errorf(graph.Invalid, "%q is not a type", string(q.Type))
	}
	after, err := place(q.After, 1)
	if err != nil {
		return graph.Answer{}, err
	}
	values, err := s.read(ctx, neo4j.AccessModeRead, text(graph.NodesByType), typePage(q.Type, after[0], q.Limit+1))
	if err != nil {
		return graph.Answer{}, err
	}
	var r row
	a := graph.Answer{Nodes: r.nodes(values[0])}
	if len(a.Nodes) > q.Limit {
		a.Nodes = a.Nodes[:q.Limit]
		a.Next = placeText(a.Nodes[q.Limit-1].Ref.ID)
	}
	return a, r.bad
}

// typePage are the parameters of nodes_by_type. All keys of a type lie
// between "type:" and "type;", since no type holds either character.
func typePage(t graph.Type, afterID string, limit int) map[string]any {
	return map[string]any{"after": string(t) + ":" + afterID, "end": string(t) + ";", "limit": limit}
}

func (s *Store) edgesAt(ctx context.Context, q graph.Question) (graph.Answer, error) {
	if err := q.Ref.Validate(); err != nil {
		return graph.Answer{}, err
	}
	if q.Type != "" && !q.Type.Valid() {
		return graph.Answer{}, graph.Errorf(graph.Invalid, "%q is not a type", string(q.Type))
	}
	statement, err := ofKind(q.Name, q.Kind)
	if err != nil {
		return graph.Answer{}, err
	}
	after, err := place(q.After, 3)
	if err != nil {
		return graph.Answer{}, err
	}
	values, err := s.read(ctx, neo4j.AccessModeRead, statement, map[string]any{
		"node": q.Ref.String(), "kind": string(q.Kind), "type": string(q.Type),
		"after_type": after[0], "after_id": after[1], "after_key": after[2], "limit": q.Limit + 1,
	})
	if err != nil {
		return graph.Answer{}, err
	}
	var r row
	var a graph.Answer
	for _, v := range field[[]any](&r, values[0]) {
		l := field[[]any](&r, v)
		from, to := q.Ref, r.ref(l[0], l[1])
		if q.Name == graph.EdgesTo {
			from, to = to, from
		}
		a.Edges = append(a.Edges, r.edge(from, q.Kind, to, l[2]))
	}
	if len(a.Edges) > q.Limit {
		a.Edges = a.Edges[:q.Limit]
		last := a.Edges[q.Limit-1]
		other := last.To
		if q.Name == graph.EdgesTo {
			other = last.From
		}
		a.Next = placeText(string(other.Type), other.ID, last.Key)
	}
	return a, r.bad
}

func (s *Store) edgesByKey(ctx context.Context, q graph.Question) (graph.Answer, error) {
	statement, err := ofKind(q.Name, q.Kind)
	if err != nil {
		return graph.Answer{}, err
	}
	after, err := place(q.After, 4)
	if err != nil {
		return graph.Answer{}, err
	}
	params := map[string]any{
		"kind": string(q.Kind), "key": q.Key, "limit": q.Limit + 1,
		"after_from_type": after[0], "after_from_id": after[1], "after_to_type": after[2], "after_to_id": after[3],
	}
	if q.Kind == graph.CanAccess {
		statement = text("grants_by_key")
		delete(params, "kind")
	}
	values, err := s.read(ctx, neo4j.AccessModeRead, statement, params)
	if err != nil {
		return graph.Answer{}, err
	}
	var r row
	var a graph.Answer
	for _, v := range field[[]any](&r, values[0]) {
		l := field[[]any](&r, v)
		a.Edges = append(a.Edges, r.edge(r.ref(l[0], l[1]), q.Kind, r.ref(l[2], l[3]), l[4]))
	}
	if len(a.Edges) > q.Limit {
		a.Edges = a.Edges[:q.Limit]
		last := a.Edges[q.Limit-1]
		a.Next = placeText(string(last.From.Type), last.From.ID, string(last.To.Type), last.To.ID)
	}
	return a, r.bad
}

func (s *Store) edgesAmong(ctx context.Context, q graph.Question) (graph.Answer, error) {
	if err := q.Validate(); err != nil {
		return graph.Answer{}, err
	}
	after, err := place(q.After, 6)
	if err != nil {
		return graph.Answer{}, err
	}
	keys := make([]string, len(q.Refs))
	for i, r := range q.Refs {
		keys[i] = r.String()
	}
	slices.Sort(keys)
	var kinds []graph.Kind
	for _, k := range q.Kinds {
		if string(k) >= after[0] {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		return graph.Answer{}, nil
	}
	statement, err := ofKinds(q.Name, kinds)
	if err != nil {
		return graph.Answer{}, err
	}
	values, err := s.read(ctx, neo4j.AccessModeRead, statement, map[string]any{
		"nodes": slices.Compact(keys), "limit": q.Limit + 1, "after_kind": after[0], "after_from_type": after[1],
		"after_from_id": after[2], "after_to_type": after[3], "after_to_id": after[4], "after_key": after[5],
	})
	if err != nil {
		return graph.Answer{}, err
	}
	var r row
	var a graph.Answer
	for _, v := range field[[]any](&r, values[0]) {
		l := field[[]any](&r, v)
		a.Edges = append(a.Edges, r.edge(r.ref(l[1], l[2]), graph.Kind(field[string](&r, l[0])), r.ref(l[3], l[4]), l[5]))
	}
	if len(a.Edges) > q.Limit {
		a.Edges = a.Edges[:q.Limit]
		e := a.Edges[q.Limit-1].EdgeKey
		a.Next = placeText(string(e.Kind), string(e.From.Type), e.From.ID, string(e.To.Type), e.To.ID, e.Key)
	}
	return a, r.bad
}

// placeText writes where a page ended, place reads it: n empty parts for the start.
func placeText(parts ...string) string {
	b, _ := json.Marshal(parts) // strings cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

func place(after string, n int) ([]string, error) {
	parts := make([]string, 0, n)
	if after == "" {
		return parts[:n], nil
	}
	b, err := base64.RawURLEncoding.DecodeString(after)
	if err == nil {
		err = json.Unmarshal(b, &parts)
	}
	if err != nil || len(parts) != n {
		return nil, graph.Errorf(graph.Invalid, "this is not where a page of this list ended")
	}
	return parts, nil
}

// Check works the answer out without hindering writers, then takes the write
// lock for a moment: if the head is still the same, no change was under way
// that the answer could have seen a part of. If not, it works it out again
// while it holds the lock.
func (s *Store) Check(ctx context.Context, q graph.CheckQuery) (answer graph.CheckAnswer, err error) {
	for _, r := range []graph.Ref{q.Subject, q.Resource} {
		if err := r.Validate(); err != nil {
			return answer, err
		}
	}
	params := checkParams(q)
	err = s.call(ctx, neo4j.AccessModeWrite, func(ctx context.Context, session neo4j.SessionWithContext) error {
		tx, err := s.begin(ctx, session)
		if err != nil {
			return err
		}
		if answer, err = checkOnce(ctx, tx.Run, params); err != nil {
			return err
		}
		values, err := one(ctx, tx.Run, text("lock"), nil)
		if err != nil {
			return err
		}
		now, err := info(values)
		if err == nil && now.Head != answer.Revision {
			answer, err = checkOnce(ctx, tx.Run, params)
		}
		return err
	})
	return answer, err
}

func checkParams(q graph.CheckQuery) map[string]any {
	anyone := []string{graph.Everyone.String()}
	if q.Subject != graph.Everyone {
		anyone = append(anyone, graph.Authenticated.String())
	}
	permissions := graph.Wildcards(q.Permission)
	keys := make([]string, len(permissions))
	for i, p := range permissions {
		keys[i] = graph.Ref{Type: "permission", ID: p}.String()
	}
	return map[string]any{
		"subject": q.Subject.String(), "resource": q.Resource.String(), "anyone": anyone,
		"at": q.At.UnixMilli(), "permissions": permissions, "permission_keys": keys,
	}
}

func checkOnce(ctx context.Context, run runner, params map[string]any) (graph.CheckAnswer, error) {
	rows, err := all(ctx, run, text("check"), params)
	if err != nil {
		return graph.CheckAnswer{}, err
	}
	if len(rows) == 0 {
		return graph.CheckAnswer{}, errNotPrepared
	}
	if rows[0].Values[0] != nil {
		return graph.CheckAnswer{}, errImporting()
	}
	var r row
	a := graph.CheckAnswer{
		Revision: graph.Revision(field[int64](&r, rows[0].Values[1])),
		Allowed:  field[bool](&r, rows[0].Values[2]),
	}
	return a, r.bad
}
