// Package neo4jgraph is the graph.Store on Neo4j 5.26 or newer. It owns how
// nodes, edges, names and change records lie in the database, and the one
// lock that orders writers (docs/adr/0002).
//
// Each node has the label Entity and one of its own, its relationships are
// named like their kinds, and properties are native, so that
// MATCH (u:User)-[:MEMBER_OF]->(t:Team) RETURN u.email, t.slug reads as it
// should. Statements live in package cypher. The package promises what
// graph.Store promises and translates every error of the driver; it must
// never put a name or value into the text of a statement, but for the names
// of labels and kinds that kept to the rules of graph.Type and graph.Kind.
package neo4jgraph

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/cypher"
	"trellis/graph"
)

var _ graph.Store = (*Store)(nil)

func newID() string {
	var b [10]byte
	rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// Close waits for calls under way and releases the connections.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	s.stop(errors.New("the store is being closed"))
	s.calls.Wait()
	if again {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.ConnectTimeout)
	defer cancel()
	if err := s.driver.Close(ctx); err != nil {
		return graph.Wrap(graph.Unavailable, err, "the graph store's connections could not be closed in order")
	}
	return nil
}

// enter counts a call under way; leave must follow unless it fails.
func (s *Store) enter(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return graph.Errorf(graph.Closed, "the graph store is closed")
	}
	if ctx.Err() != nil {
		return graph.Wrap(graph.Canceled, context.Cause(ctx), "the request ended before the graph store was asked")
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) leave() { s.calls.Done() }

// call is one method of the Store: it counts it, makes sure the schema is
// there and tries work until it succeeds, fails for good or RetryFor is over.
func (s *Store) call(ctx context.Context, mode neo4j.AccessMode, work func(context.Context, neo4j.SessionWithContext) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.try(ctx, mode, work)
}

// try is call within a call.
func (s *Store) try(ctx context.Context, mode neo4j.AccessMode, work func(context.Context, neo4j.SessionWithContext) error) error {
	return s.retry(ctx, func(ctx context.Context) error {
		if err := s.prepare(ctx); err != nil {
			return err
		}
		err := s.inSession(ctx, mode, work)
		if errors.Is(err, errNotPrepared) {
			s.ready.Store(false)
		}
		return err
	})
}

// retry tries work again while its errors may pass. Every attempt has
// CallTimeout; the last error is translated.
func (s *Store) retry(ctx context.Context, work func(context.Context) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 20*time.Millisecond, time.Second
	until := time.Now().Add(s.opts.RetryFor)
	for {
		err := s.attempt(ctx, work)
		if err == nil {
			return nil
		}
		pause := wait.NextBackOff()
		if !passing(err) || ctx.Err() != nil || s.opts.RetryFor < 0 || time.Now().Add(pause).After(until) {
			return translate(ctx, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-s.stopping.Done():
			timer.Stop()
			return translate(ctx, err)
		}
		timer.Stop()
	}
}

func (s *Store) attempt(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CallTimeout)
	defer cancel()
	return work(ctx)
}

func (s *Store) inSession(ctx context.Context, mode neo4j.AccessMode, work func(context.Context, neo4j.SessionWithContext) error) error {
	session := s.driver.NewSession(ctx, neo4j.SessionConfig{
		AccessMode:      mode,
		DatabaseName:    s.opts.Database,
		BookmarkManager: s.bookmarks,
	})
	err := work(ctx, session)
	if closing := session.Close(ctx); err == nil {
		err = closing
	}
	return err
}

// A runner is a session or a transaction.
type runner func(ctx context.Context, text string, params map[string]any) (neo4j.ResultWithContext, error)

func (s *Store) auto(session neo4j.SessionWithContext) runner {
	return func(ctx context.Context, text string, params map[string]any) (neo4j.ResultWithContext, error) {
		return session.Run(ctx, text, params, neo4j.WithTxTimeout(s.opts.CallTimeout))
	}
}

// begin starts a transaction. The caller commits it or leaves it to the
// session's Close to roll it back.
func (s *Store) begin(ctx context.Context, session neo4j.SessionWithContext) (neo4j.ExplicitTransaction, error) {
	return session.BeginTransaction(ctx, neo4j.WithTxTimeout(s.opts.CallTimeout))
}

// given are parameters as statements take them (package cypher).
func given(params map[string]any) map[string]any { return map[string]any{"p": params} }

// all runs a statement and returns its rows.
func all(ctx context.Context, run runner, text string, params map[string]any) ([]*neo4j.Record, error) {
	result, err := run(ctx, text, given(params))
	if err != nil {
		return nil, err
	}
	return result.Collect(ctx)
}

// one runs a statement whose only row begins with the store's import mark,
// and returns the other columns. No row means that there is no store.
func one(ctx context.Context, run runner, text string, params map[string]any) ([]any, error) {
	rows, err := all(ctx, run, text, params)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errNotPrepared
	}
	values := rows[0].Values
	if values[0] != nil {
		return nil, errImporting()
	}
	return values[1:], nil
}

func errImporting() error {
	return graph.Errorf(graph.Unavailable, "an import into this store has not finished; it answers again after a whole one")
}

// text returns a statement by name.
func text(name string) string { return cypher.Query(name).Text }

// ofKind returns a statement with the dynamic type $($p.kind) written out, so
// that the database can plan with it: an index or a chain of one type instead
// of everything. Only a name that keeps to the rules gets so far.
func ofKind(name string, k graph.Kind) (string, error) {
	if !k.Valid() {
		return "", graph.Errorf(graph.Invalid, "%q is not a kind of edge", string(k))
	}
	return strings.ReplaceAll(text(name), "$($p.kind)", "`"+string(k)+"`"), nil
}

// ofKinds is ofKind for $any($p.kinds): the kinds in order and each once, so that
// one set of kinds is one statement.
func ofKinds(name string, kinds []graph.Kind) (string, error) {
	kinds = slices.Compact(slices.Sorted(slices.Values(kinds)))
	names := make([]string, len(kinds))
	for i, k := range kinds {
		if !k.Valid() {
			return "", graph.Errorf(graph.Invalid, "%q is not a kind of edge", string(k))
		}
		names[i] = "`" + string(k) + "`"
	}
	return strings.ReplaceAll(text(name), "$any($p.kinds)", strings.Join(names, "|")), nil
}

// ofType is ofKind for the label of a type.
func ofType(name string, t graph.Type) (string, error) {
	if !t.Valid() {
		return "", graph.Errorf(graph.Invalid, "%q is not a type", string(t))
	}
	return strings.ReplaceAll(text(name), "$($p.label)", "`"+label(t)+"`"), nil
}
