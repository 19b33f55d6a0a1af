package sqlitegraph

import (
	"context"
	"database/sql"
	"encoding/base64"
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
			a.Next = place{column(a.Nodes[q.Limit-1].Ref), ""}.String()
		}
	default:
		if a.Edges, err = collectEdges(rows, nil); err != nil {
			return graph.Answer{}, fault(ctx, err)
		}
		if len(a.Edges) > q.Limit {
			a.Edges = a.Edges[:q.Limit]
			a.Next = placeOf(q.Name, a.Edges[q.Limit-1].EdgeKey).String()
		}
	}
	return a, nil
}

// statement picks the statement of a question and what to bind. Every paged
// one asks for one row more than wanted, to know whether there is a next page.
func (s *Store) statement(q *graph.Question) (*sql.Stmt, []any, error) {
	st := s.asks[q.Name]
	from, to := "", "~"
	if q.Type != "" {
		from, to = string(q.Type)+"/", string(q.Type)+"0"
	}
	after, err := parsePlace(q.After)
	if err != nil {
		return nil, nil, err
	}
	if after.first < from {
		after = place{from, ""}
	}
	switch q.Name {
	case graph.NodesByType:
		return st, []any{after.first, to, q.Limit + 1}, nil
	case graph.NodesByName:
		return st, []any{string(graph.AppendTexts(nil, q.Names))}, nil
	case graph.EdgesTo:
		return st, []any{column(q.Ref), string(q.Kind), after.first, after.second, to, q.Limit + 1}, nil
	case graph.EdgesFrom:
		return st, []any{column(q.Ref), string(q.Kind), after.first, after.second, q.Limit + 1}, nil
	}
	if q.Key == "" {
		return s.asks["edges_without_key"], []any{string(q.Kind), after.first, after.second, q.Limit + 1}, nil
	}
	return st, []any{string(q.Kind), q.Key, after.first, after.second, q.Limit + 1}, nil
}

// place is where a page ended: the two columns that its question orders by.
type place struct{ first, second string }

func placeOf(question string, k graph.EdgeKey) place {
	switch question {
	case graph.EdgesFrom:
		return place{column(k.To), k.Key}
	case graph.EdgesTo:
		return place{column(k.From), k.Key}
	}
	return place{column(k.From), column(k.To)}
}

// String gives the opaque form; neither half holds a line break.
func (p place) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.first + "\n" + p.second))
}

func parsePlace(s string) (place, error) {
	if s == "" {
		return place{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	first, second, ok := strings.Cut(string(b), "\n")
	if err != nil || !ok || !graph.Printable(first) || !graph.Printable(second) {
		return place{}, graph.Errorf(graph.Invalid, "the cursor was not made by this store")
	}
	return place{first, second}, nil
}
