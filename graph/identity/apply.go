package identity

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"trellis/graph"
)

// maxTries bounds how often an Apply starts over because something it relied
// on changed between its look and its commit.
const maxTries = 10

// Apply carries out the mutations in order, all or none, as one batch. An
// error is a *graph.Error whose Step is the index of the mutation concerned
// (-1: one of o.Conditions) and whose Fields point into that mutation's Data
// ("/data/slug") or the mutation itself ("/member").
//
// Denied: the caller lacks a permission, or would give away what it does not
// hold. Stale: IfMatch does not match. Others as in package graph.
func (s *Service) Apply(ctx context.Context, caller Caller, muts []Mutation, o ApplyOptions) (Outcome, error) {
	if most := cmp.Or(o.Most, MaxMutations); len(muts) > most {
		return Outcome{}, graph.Errorf(graph.TooLarge, "%d mutations; the limit is %d", len(muts), most)
	}
	for try := 1; ; try++ {
		out, again, err := s.try(ctx, caller, muts, o)
		if err == nil || !again || try == maxTries {
			return out, err
		}
		// The index may be behind what another process wrote.
		if _, err := s.graph.Sync(ctx); err != nil {
			return Outcome{}, err
		}
	}
}

func (s *Service) try(ctx context.Context, caller Caller, muts []Mutation, o ApplyOptions) (out Outcome, again bool, err error) {
	c := s.compiler(ctx, caller)
	if err := c.load(muts); err != nil {
		return Outcome{}, false, err
	}
	for i := range muts {
		c.cur = i
		if err := c.mutation(&muts[i]); err != nil {
			var e *graph.Error
			if errors.As(err, &e) {
				e.Step = i
			}
			return Outcome{}, false, err
		}
	}
	c.arrange()
	steps := make([]graph.Step, 0, len(o.Conditions)+len(c.steps)+len(o.Steps))
	steps = append(append(append(steps, o.Conditions...), c.steps...), o.Steps...)
	r, err := s.graph.Write(ctx, graph.Batch{Actor: caller.Subject, Origin: caller.Origin, Time: c.at, Steps: steps, Dry: o.Dry})
	if err != nil {
		again := false
		var e *graph.Error
		if errors.As(err, &e) {
			if i := e.Step - len(o.Conditions); i >= 0 && i < len(c.marks) {
				again = c.marks[i].guard
				e.Step = c.marks[i].mutation
			} else {
				e.Step = -1
			}
			friendly(e)
		}
		return Outcome{}, again, err
	}
	return Outcome{Revision: r.Revision, Changed: r.Change != nil, Results: Effects(muts, r.Change), Change: r.Change}, false, nil
}

// friendly says in the words of the caller which field a taken name stands for.
func friendly(e *graph.Error) {
	if e.Kind != graph.Exists || !strings.HasPrefix(e.Msg, "the name ") {
		return
	}
	field, word := "/data/slug", "slug"
	if strings.HasPrefix(e.Msg, `the name "email:`) {
		field, word = "/data/email", "email"
	}
	e.Msg = "another " + string(e.Ref.Type) + " has this " + word + " already"
	e.Fields = []graph.Field{{Pointer: field, Msg: e.Msg}}
}

// Effects tells from the change record what became of each mutation.
func Effects(muts []Mutation, ch *graph.Change) []Effect {
	out := make([]Effect, len(muts))
	nodes, edges := map[graph.Ref]Effect{}, map[graph.EdgeKey]Effect{}
	if ch != nil {
		for i := range ch.Entries {
			if n := ch.Entries[i].Node; n != nil {
				nodes[ref(n)] = effect(n.Before != nil, n.After != nil)
			} else if e := ch.Entries[i].Edge; e != nil {
				edges[key(e)] = effect(e.Before != nil, e.After != nil)
			}
		}
	}
	for i := range muts {
		m := &muts[i]
		var e Effect
		switch m.Op {
		case OpPutMember, OpDeleteMember:
			e = edges[memberKey(m)]
		case OpPutGrant, OpDeleteGrant:
			e = edges[grantKey(m)]
		case OpRestore:
			if nodes[m.Node] == Deleted {
				e = Created
			}
		default:
			e = nodes[m.Node]
		}
		if e == "" {
			e = Unchanged
		}
		out[i] = e
	}
	return out
}

func effect(before, after bool) Effect {
	switch {
	case !before:
		return Created
	case !after:
		return Deleted
	}
	return Updated
}

func ref(n *graph.NodeEntry) graph.Ref {
	if n.After != nil {
		return n.After.Ref
	}
	return n.Before.Ref
}

func key(e *graph.EdgeEntry) graph.EdgeKey {
	if e.After != nil {
		return e.After.EdgeKey
	}
	return e.Before.EdgeKey
}
