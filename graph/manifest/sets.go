package manifest

import (
	"context"

	"trellis/graph"
	"trellis/graph/identity"
)

// find returns the record of a set that is there and on which the caller holds
// the permission. NotFound: there is none, as far as the caller may know.
func (s *Service) find(ctx context.Context, caller identity.Caller, set, permission string) (*record, error) {
	a := &attempt{q: Request{Set: set}, resolver: s.resolver(ctx, caller, s.authority(), nil)}
	org, name := splitSet(set)
	ref, home := graph.Ref{Type: identity.Manifest, ID: name}, graph.Root
	if org != "" {
		if err := a.look([]string{identity.SlugName(identity.Organization, "", org)}); err != nil {
			return nil, err
		}
		if home = a.organization(org); home.IsZero() {
			return nil, noSet()
		}
		ref.ID = home.ID + "/" + name
	}
	if !setName.MatchString(name) || ref.Validate() != nil {
		return nil, noSet()
	}
	if err := allowed(a.resolver, ref, home, permission); err != nil {
		return nil, err
	}
	r, err := recall(ctx, a.store, ref)
	if err == nil && r.node == nil {
		err = noSet()
	}
	return r, err
}

// Read returns the node of a set, and what it declared when it was last applied.
// NotFound if there is none, or if the caller may not know.
func (s *Service) Read(ctx context.Context, caller identity.Caller, set string) (*graph.Node, []Declared, error) {
	r, err := s.find(ctx, caller, set, Read)
	if err != nil {
		return nil, nil, err
	}
	return r.node, r.objects, nil
}

// Forget removes the record of a set; all that it declared stays. It returns
// the set's node as it was, and the revision.
func (s *Service) Forget(ctx context.Context, caller identity.Caller, set string) (*graph.Node, graph.Revision, error) {
	for try := 1; ; try++ {
		r, err := s.find(ctx, caller, set, Update)
		if err != nil {
			return nil, 0, err
		}
		steps := append([]graph.Step{r.guard()}, append(r.drop(0), graph.Delete(r.ref))...)
		out, err := s.graph.Write(ctx, graph.Batch{Actor: caller.Subject, Origin: caller.Origin, Steps: steps})
		if err == nil || !shifting(err) || try == maxTries {
			return r.node, out.Revision, err
		}
		if _, err := s.graph.Sync(ctx); err != nil {
			return nil, 0, err
		}
	}
}

// Retell tells again what came of a request that was carried out with the
// change, which may be nil. Documents mean what they mean by now.
func (s *Service) Retell(ctx context.Context, caller identity.Caller, q Request, ch *graph.Change) (*Result, error) {
	a, err := s.prepare(ctx, caller, q, s.authority(), map[string]string{}, ch)
	if err != nil {
		return nil, err
	}
	out := identity.Outcome{Change: ch}
	if ch != nil {
		out.Revision, out.Changed = ch.Revision, true
	}
	return s.result(ctx, a, out)
}
