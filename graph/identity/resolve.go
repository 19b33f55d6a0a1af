package identity

import (
	"context"
	"strings"

	"trellis/graph"
)

// NewID returns a fresh id for a node that the service names.
func (s *Service) NewID() string { return s.Options.NewID() }

// Resolve finds the node that an element of a path means: by its id or, where
// nothing has that id, by its slug, or by its address if it is a user. home,
// which may be zero, is what slugs of the type count in: the organization or,
// of an application, the service. NotFound if there is none.
func (s *Service) Resolve(ctx context.Context, t graph.Type, home graph.Ref, idOrSlug string) (graph.Ref, error) {
	r := graph.Ref{Type: t, ID: idOrSlug}
	none := &graph.Error{Kind: graph.NotFound, Msg: "there is no such " + strings.ReplaceAll(string(t), "_", " ")}
	if r.Validate() != nil {
		return graph.Ref{}, none
	}
	a := s.authority()
	if a.Exists(r) && (home.IsZero() || a.Within(r, home)) {
		return r, nil
	}
	var name string
	switch {
	case t == User && strings.Contains(idOrSlug, "@"):
		name = EmailName(idOrSlug)
	case !validSlug(idOrSlug):
		return graph.Ref{}, none
	default:
		name = SlugName(t, scope(t, home), idOrSlug)
	}
	n, err := s.holder(ctx, name)
	if err != nil {
		return graph.Ref{}, err
	}
	if n == nil || n.Ref.Type != t {
		return graph.Ref{}, none
	}
	return n.Ref, nil
}

// scope is the part of a slug's name that says where it counts.
func scope(t graph.Type, home graph.Ref) string {
	if t == Role || hasHome(t) {
		return home.ID
	}
	return ""
}

// Former finds the node that bore the slug before, and the slug it has now.
// NotFound if there is none, or if it is called so again.
func (s *Service) Former(ctx context.Context, t graph.Type, home graph.Ref, slug string) (graph.Ref, string, error) {
	none := &graph.Error{Kind: graph.NotFound, Msg: "there is no such " + strings.ReplaceAll(string(t), "_", " ")}
	if !validSlug(slug) {
		return graph.Ref{}, "", none
	}
	n, err := s.holder(ctx, FormerName(t, scope(t, home), slug))
	if err != nil {
		return graph.Ref{}, "", err
	}
	if n == nil || n.Ref.Type != t {
		return graph.Ref{}, "", none
	}
	return n.Ref, n.Props.String("slug"), nil
}

// holder returns the node that bears a unique name, nil if none does.
func (s *Service) holder(ctx context.Context, name string) (*graph.Node, error) {
	found, err := s.graph.Store().Ask(ctx, graph.Question{Name: graph.NodesByName, Names: []string{name}, Limit: 1})
	if err != nil || len(found.Nodes) == 0 {
		return nil, err
	}
	return &found.Nodes[0], nil
}
