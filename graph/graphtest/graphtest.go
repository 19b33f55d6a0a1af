// Package graphtest is the conformance suite of graph.Store: whatever the
// contract promises is asked of each engine here, and neither is special.
//
// An engine's own test calls Run. The suite keeps the number of calls small,
// since one may cost milliseconds, and tells tests apart by the ids they use,
// so that most of them can share one store.
package graphtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trellis/graph"
)

// Engine is how the suite gets at the engine under test.
type Engine struct {
	// Place makes room for one new, empty store, and registers with t what
	// must be done to take it away again.
	Place func(t *testing.T) Place
	// Parallel tells that places do not touch one another: every case then
	// gets a place of its own and runs beside the others. Otherwise cases run
	// one by one, and those that can share a store do.
	Parallel bool
	// Rounds is how many random worlds Check is compared with; 20 if zero.
	Rounds int
	// Skip names cases that do not apply, and why. Nothing about concurrency
	// or order may be skipped.
	Skip map[string]string
}

// Place is where one store lives. Every call opens that store once more, as
// another process would; the caller closes it.
type Place func(t *testing.T) graph.Store

// A testCase is one rule, or a few that share their preparation.
type testCase struct {
	name string
	own  bool // needs a store that nothing else uses
	run  func(*room)
}

func allCases() []testCase {
	return slices.Concat(stepCases, nameCases, valueCases, readCases, checkCases, feedCases, portCases, lifeCases, raceCases, searchCases)
}

// Cases lists the names of all cases. Each of graph.Questions is one.
func Cases() []string {
	var names []string
	for _, c := range allCases() {
		names = append(names, c.name)
	}
	return names
}

// Run asks everything of the engine.
func Run(t *testing.T, e Engine) {
	cases := allCases()
	known := map[string]bool{}
	for _, c := range cases {
		if known[c.name] {
			t.Errorf("two cases are called %s", c.name)
		}
		known[c.name] = true
	}
	for name := range e.Skip {
		if !known[name] {
			t.Errorf("there is no case %s to skip", name)
		}
	}
	whole := t
	var shared Place
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if why := e.Skip[c.name]; why != "" {
				t.Skip(why)
			}
			var place Place
			switch {
			case e.Parallel:
				t.Parallel()
				place = e.Place(t)
			case c.own:
				// A place may be the one database of a server, wiped: what
				// comes after cannot use the place of before.
				place, shared = e.Place(t), nil
			default:
				if shared == nil {
					shared = e.Place(whole)
				}
				place = shared
			}
			c.run(enter(t, place, e, fmt.Sprintf("t%02d", i)))
		})
	}
}

// room is what a case works with: a store, ids of its own, and a clock.
type room struct {
	*testing.T
	ctx    context.Context
	engine Engine
	place  Place
	store  graph.Store
	prefix string
	ticks  atomic.Int64
}

func enter(t *testing.T, place Place, e Engine, prefix string) *room {
	t.Helper()
	// Longer than anything takes: a hang should tell its name.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	r := &room{T: t, ctx: ctx, engine: e, place: place, prefix: prefix}
	r.store = r.open()
	return r
}

// open opens the store once more.
func (r *room) open() graph.Store {
	r.Helper()
	s := r.place(r.T)
	r.Cleanup(func() {
		if err := s.Close(); err != nil {
			r.Errorf("Close: %v", err)
		}
	})
	return s
}

// ref names a node that no other case uses.
func (r *room) ref(t graph.Type, id string) graph.Ref {
	return graph.Ref{Type: t, ID: r.prefix + id}
}

// typ is a type that no other case uses.
func (r *room) typ(s string) graph.Type { return graph.Type(r.prefix + s) }

// kind is a kind that no other case uses.
func (r *room) kind(s string) graph.Kind { return graph.Kind(strings.ToUpper(r.prefix) + s) }

func (r *room) now() time.Time {
	return time.UnixMilli(1_700_000_000_000 + 7*r.ticks.Add(1)).UTC()
}

func (r *room) batch(steps ...graph.Step) graph.Batch {
	r.Helper()
	b := graph.Batch{
		ID:     fmt.Sprintf("%s-%d", r.prefix, r.ticks.Add(1)),
		Actor:  graph.Ref{Type: "user", ID: "tester"},
		Origin: graph.Origin{RequestID: "request-" + r.prefix, Key: "key-" + r.prefix, Address: "192.0.2.0/24", Agent: "a \"b\""},
		Time:   r.now(),
		Steps:  steps,
	}
	if err := b.Validate(); err != nil {
		r.Fatalf("the suite's own batch is invalid: %v", err)
	}
	return b
}

func (r *room) commit(group ...graph.Batch) []graph.Result {
	r.Helper()
	res, err := r.store.Commit(r.ctx, group)
	if err != nil {
		r.Fatalf("Commit: %v", err)
	}
	if len(res) != len(group) {
		r.Fatalf("%d results for %d batches", len(res), len(group))
	}
	return res
}

// do commits one batch that must be accepted.
func (r *room) do(steps ...graph.Step) graph.Result {
	r.Helper()
	res := r.commit(r.batch(steps...))[0]
	if res.Err != nil {
		r.Fatalf("refused: %v", res.Err)
	}
	return res
}

// refuse commits one batch that must be refused for this reason, without
// effect.
func (r *room) refuse(kind graph.ErrorKind, ref graph.Ref, step int, steps ...graph.Step) *graph.Error {
	r.Helper()
	before := r.head()
	res := r.commit(r.batch(steps...))[0]
	if after := r.head(); after != before {
		r.Errorf("a refused batch moved the head from %d to %d", before, after)
	}
	return r.refused(res, kind, ref, step)
}

func (r *room) refused(res graph.Result, kind graph.ErrorKind, ref graph.Ref, step int) *graph.Error {
	r.Helper()
	if res.Err == nil {
		r.Fatalf("accepted at %d; want a refusal (%s)", res.Revision, kind)
	}
	e, ok := res.Err.(*graph.Error)
	if !ok {
		r.Fatalf("the refusal is a %T (%v), want a *graph.Error", res.Err, res.Err)
	}
	if e.Kind != kind || e.Ref != ref || e.Step != step {
		r.Errorf("refused with kind %q, ref %q, step %d (%s); want kind %q, ref %q, step %d", e.Kind, e.Ref, e.Step, e.Msg, kind, ref, step)
	}
	if res.Change != nil {
		r.Errorf("a refused batch has a change")
	}
	return e
}

func (r *room) info() graph.Info {
	r.Helper()
	i, err := r.store.Info(r.ctx)
	if err != nil {
		r.Fatalf("Info: %v", err)
	}
	return i
}

func (r *room) head() graph.Revision {
	r.Helper()
	return r.info().Head
}

func (r *room) nodes(refs ...graph.Ref) []graph.Node {
	r.Helper()
	list, err := r.store.Nodes(r.ctx, refs)
	if err != nil {
		r.Fatalf("Nodes: %v", err)
	}
	return list
}

// node returns the node, or nil.
func (r *room) node(ref graph.Ref) *graph.Node {
	r.Helper()
	list := r.nodes(ref)
	switch len(list) {
	case 0:
		return nil
	case 1:
		return &list[0]
	}
	r.Fatalf("%d nodes for one ref", len(list))
	return nil
}

func (r *room) ask(q graph.Question) graph.Answer {
	r.Helper()
	if q.Limit == 0 {
		q.Limit = graph.MaxPage
	}
	a, err := r.store.Ask(r.ctx, q)
	if err != nil {
		r.Fatalf("Ask %s: %v", q.Name, err)
	}
	return a
}

func (r *room) edgesFrom(ref graph.Ref, k graph.Kind) []graph.Edge {
	r.Helper()
	return r.ask(graph.Question{Name: graph.EdgesFrom, Ref: ref, Kind: k}).Edges
}

func (r *room) edgesTo(ref graph.Ref, k graph.Kind) []graph.Edge {
	r.Helper()
	return r.ask(graph.Question{Name: graph.EdgesTo, Ref: ref, Kind: k}).Edges
}

func (r *room) changes(after graph.Revision, limit int) []graph.Change {
	r.Helper()
	list, err := r.store.Changes(r.ctx, after, limit)
	if err != nil {
		r.Fatalf("Changes after %d: %v", after, err)
	}
	return list
}

// wantKind tells whether err is of the kind.
func (r *room) wantKind(what string, err error, kind graph.ErrorKind) {
	r.Helper()
	switch {
	case err == nil:
		r.Errorf("%s: no error; want %s", what, kind)
	case graph.KindOf(err) != kind:
		r.Errorf("%s: %v (%s); want %s", what, err, graph.KindOf(err), kind)
	}
}

func key(from graph.Ref, k graph.Kind, to graph.Ref) graph.EdgeKey {
	return graph.EdgeKey{From: from, Kind: k, To: to}
}

func put(ref graph.Ref) graph.Step { return graph.Put(graph.Node{Ref: ref}) }

func putProps(ref graph.Ref, p graph.Props) graph.Step {
	return graph.Put(graph.Node{Ref: ref, Props: p})
}

func putNamed(ref graph.Ref, names ...string) graph.Step {
	return graph.Put(graph.Node{Ref: ref, Names: names})
}

func link(from graph.Ref, k graph.Kind, to graph.Ref) graph.Step {
	return graph.Link(graph.Edge{EdgeKey: key(from, k, to)})
}

func linkProps(k graph.EdgeKey, p graph.Props) graph.Step {
	return graph.Link(graph.Edge{EdgeKey: k, Props: p})
}

// text shows a change in its JSON form, in which equal things look equal.
func text(c *graph.Change) string { return string(c.AppendJSON(nil)) }

func nodeText(n *graph.Node) string {
	if n == nil {
		return "nothing"
	}
	return string(n.AppendJSON(nil))
}

func edgeText(e *graph.Edge) string {
	if e == nil {
		return "nothing"
	}
	return string(e.AppendJSON(nil))
}

func (r *room) same(what, got, want string) {
	r.Helper()
	if got != want {
		r.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}
