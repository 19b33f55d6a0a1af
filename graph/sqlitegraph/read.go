package sqlitegraph

import (
	"context"
	"database/sql"
	"encoding/base64"
	"slices"
	"strings"

	"trellis/graph"
)

// Info says which store this is and how far it has come.
func (s *Store) Info(ctx context.Context) (graph.Info, error) {
	if err := s.enter(ctx); err != nil {
		return graph.Info{}, err
	}
	defer s.gate.leave()
	var i graph.Info
	err := s.asks["info"].QueryRowContext(ctx).Scan(&i.Store, &i.Head, &i.Oldest)
	return i, fault(ctx, err)
}

// Nodes returns those of the nodes that exist.
func (s *Store) Nodes(ctx context.Context, refs []graph.Ref) ([]graph.Node, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if len(refs) == 0 {
		return nil, nil
	}
	rows, err := s.asks["nodes"].QueryContext(ctx, refList(refs))
	if err != nil {
		return nil, fault(ctx, err)
	}
	nodes, err := collectNodes(rows, make([]graph.Node, 0, len(refs)))
	return nodes, fault(ctx, err)
}

// Check answers the rule of permission by SQL.
func (s *Store) Check(ctx context.Context, q graph.CheckQuery) (graph.CheckAnswer, error) {
	if err := s.enter(ctx); err != nil {
		return graph.CheckAnswer{}, err
	}
	defer s.gate.leave()
	var a graph.CheckAnswer
	names := string(graph.AppendTexts(nil, graph.Wildcards(q.Permission)))
	err := s.asks["check"].QueryRowContext(ctx, column(q.Subject), column(q.Resource), names, q.At.UnixMilli()).Scan(&a.Allowed, &a.Revision)
	return a, fault(ctx, err)
}

// Ask answers a named question.
func (s *Store) Ask(ctx context.Context, q graph.Question) (graph.Answer, error) {
	if err := s.enter(ctx); err != nil {
		return graph.Answer{}, err
	}
	defer s.gate.leave()
	if err := q.Validate(); err != nil {
		return graph.Answer{}, err
	}
	st, args, err := s.statement(&q) //nolint:sqlclosecheck // the statement is the store's, and stays prepared
	if err != nil {
		return graph.Answer{}, err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return graph.Answer{}, fault(ctx, err)
	}
	var a graph.Answer
	switch q.Name {
	case graph.NodesByType, graph.NodesByName:
		if a.Nodes, err = collectNodes(rows, nil); err != nil {
			return graph.Answer{}, fault(ctx, err)
		}
		if q.Name == graph.NodesByType && len(a.Nodes) > q.Limit {
			a.Nodes = a.Nodes[:q.Limit]
			a.Next = placeText(column(a.Nodes[q.Limit-1].Ref), "")
		}
	default:
		if a.Edges, err = collectEdges(rows, nil); err != nil {
			return graph.Answer{}, fault(ctx, err)
		}
		if len(a.Edges) > q.Limit {
			a.Edges = a.Edges[:q.Limit]
			a.Next = placeOf(q.Name, a.Edges[q.Limit-1].EdgeKey)
		}
	}
	return a, nil
}

// statement picks the statement of a question and what to bind. Every paged
// one asks for one row more than wanted, to know whether there is a next page.
func (s *Store) statement(q *graph.Question) (*sql.Stmt, []any, error) {
	st := s.asks[q.Name]
	if q.Name == graph.EdgesOut || q.Name == graph.EdgesIn {
		args, err := among(q)
		return st, args, err
	}
	from, to := "", "~"
	if q.Type != "" {
		from, to = string(q.Type)+"/", string(q.Type)+"0"
	}
	after, err := parsePlace(q.After, 2)
	if err != nil {
		return nil, nil, err
	}
	if after[0] < from {
		after = []string{from, ""}
	}
	switch q.Name {
	case graph.NodesByType:
		return st, []any{after[0], to, q.Limit + 1}, nil
	case graph.NodesByName:
		return st, []any{string(graph.AppendTexts(nil, q.Names))}, nil
	case graph.EdgesTo:
		return st, []any{column(q.Ref), string(q.Kind), after[0], after[1], to, q.Limit + 1}, nil
	case graph.EdgesFrom:
		return st, []any{column(q.Ref), string(q.Kind), after[0], after[1], q.Limit + 1}, nil
	}
	if q.Key == "" {
		return s.asks["edges_without_key"], []any{string(q.Kind), after[0], after[1], q.Limit + 1}, nil
	}
	return st, []any{string(q.Kind), q.Key, after[0], after[1], q.Limit + 1}, nil
}

// among is what to bind for the edges of some kinds at some nodes. The kind
// that the page before ended in is asked for from there on, those before it
// not at all.
func among(q *graph.Question) ([]any, error) {
	after, err := parsePlace(q.After, 4)
	if err != nil {
		return nil, err
	}
	kinds := []string{}
	for _, k := range q.Kinds {
		if string(k) >= after[0] {
			kinds = append(kinds, string(k))
		}
	}
	return []any{string(graph.AppendTexts(nil, kinds)), refList(q.Refs), after[0], after[1], after[2], after[3], q.Limit + 1}, nil
}

// placeOf is where a page ended: what its question orders by.
func placeOf(question string, k graph.EdgeKey) string {
	switch question {
	case graph.EdgesFrom:
		return placeText(column(k.To), k.Key)
	case graph.EdgesTo:
		return placeText(column(k.From), k.Key)
	case graph.EdgesByKey:
		return placeText(column(k.From), column(k.To))
	}
	return placeText(string(k.Kind), column(k.From), column(k.To), k.Key)
}

// placeText gives the opaque form; no part holds a line break.
func placeText(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "\n")))
}

// parsePlace returns the n parts of a place, empty ones for the start.
func parsePlace(s string, n int) ([]string, error) {
	if s == "" {
		return make([]string, n), nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	parts := strings.Split(string(b), "\n")
	if err != nil || len(parts) != n || slices.ContainsFunc(parts, func(p string) bool { return !graph.Printable(p) }) {
		return nil, graph.Errorf(graph.Invalid, "the cursor was not made by this store")
	}
	return parts, nil
}
