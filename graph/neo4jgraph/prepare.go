package neo4jgraph

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/cypher"
	"trellis/graph"
)

// prepare brings the schema up to date and writes the store node, once per
// process. Two processes may do so at the same time.
func (s *Store) prepare(ctx context.Context) error {
	if s.ready.Load() {
		return nil
	}
	// Waiting here must not outlast the caller.
	select {
	case s.preparing <- struct{}{}:
		defer func() { <-s.preparing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.ready.Load() {
		return nil
	}
	err := s.inSession(ctx, neo4j.AccessModeWrite, func(ctx context.Context, session neo4j.SessionWithContext) error {
		run := s.auto(session)
		if err := s.migrate(ctx, run); err != nil {
			return err
		}
		rows, err := all(ctx, run, text("prepare"), map[string]any{"id": s.opts.NewID(), "nodes": s.given()})
		if err != nil {
			return err
		}
		indexed, _ := rows[0].Values[2].(string)
		return s.reindex(ctx, run, indexed)
	})
	if err == nil {
		s.ready.Store(true)
	}
	return err
}

// given are the nodes that every store holds.
func (s *Store) given() []any {
	now := s.opts.Now().UTC().Truncate(time.Millisecond)
	var out []any
	for _, r := range []graph.Ref{graph.Root, graph.Everyone, graph.Authenticated} {
		n := graph.Node{Ref: r, Created: now, Updated: now}
		out = append(out, map[string]any{"key": r.String(), "label": label(r.Type), "props": nodeProps(&n)})
	}
	return out
}

func (s *Store) migrate(ctx context.Context, run runner) error {
	rows, err := all(ctx, run, text("schema_version"), nil)
	if err != nil {
		return err
	}
	have, _ := rows[0].Values[0].(int64)
	steps := cypher.Schema()
	if have > int64(len(steps)) {
		return graph.Errorf(graph.Invalid, "the graph was written by a newer version: its schema is number %d, this version knows %d", have, len(steps))
	}
	if have == int64(len(steps)) {
		return nil
	}
	for _, m := range steps[have:] {
		if err := s.change(ctx, run, m.Text); err != nil {
			return err
		}
	}
	if _, err := all(ctx, run, text("schema_await"), map[string]any{"seconds": int(s.opts.CallTimeout.Seconds())}); err != nil {
		return err
	}
	for _, m := range steps[have:] {
		params := map[string]any{"number": m.Number, "name": m.Name, "now": s.opts.Now().UnixMilli()}
		if _, err := all(ctx, run, text("schema_record"), params); err != nil {
			return err
		}
	}
	return nil
}

// change runs one step of the schema. IF NOT EXISTS does not save two
// processes from meeting at the same step; the one that loses finds it done
// when it tries again.
func (s *Store) change(ctx context.Context, run runner, statement string) error {
	for tries := 1; ; tries++ {
		_, err := all(ctx, run, statement, nil)
		var server *neo4j.Neo4jError
		if err == nil || tries == 5 || !errors.As(err, &server) || !strings.Contains(server.Code, ".Schema.") {
			return err
		}
		select {
		case <-time.After(time.Duration(tries) * 50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
