package identity

import (
	"context"
	"strings"

	"trellis/graph"
)

// NewID returns a fresh id for a node that the service names.
func (s *Service) NewID() string { return s.newID() }

// Resolve finds the node that an element of a path means: by its id or, where
// nothing has that id, by its slug, or by its address if it is a user. org,
// which may be zero, is the organization that teams and roles of its own are
// looked for in. NotFound if there is none.
func (s *Service) Resolve(ctx context.Context, t graph.Type, org graph.Ref, idOrSlug string) (graph.Ref, error) {
	r := graph.Ref{Type: t, ID: idOrSlug}
	none := &graph.Error{Kind: graph.NotFound, Msg: "there is no such " + strings.ReplaceAll(string(t), "_", " ")}
	if r.Validate() != nil {
		return graph.Ref{}, none
	}
	a := s.authority()
	if a.Exists(r) && (org.IsZero() || a.Within(r, org)) {
		return r, nil
	}
	var name string
	switch {
	case t == User && strings.Contains(idOrSlug, "@"):
		name = EmailName(idOrSlug)
	case !validSlug(idOrSlug):
		return graph.Ref{}, none
	case (t == Team || t == Role) && !org.IsZero():
		name = SlugName(t, org.ID, idOrSlug)
	default:
		name = SlugName(t, "", idOrSlug)
	}
	found, err := s.graph.Store().Ask(ctx, graph.Question{Name: graph.NodesByName, Names: []string{name}, Limit: 1})
	if err != nil {
		return graph.Ref{}, err
	}
	if len(found.Nodes) == 0 || found.Nodes[0].Ref.Type != t {
		return graph.Ref{}, none
	}
	return found.Nodes[0].Ref, nil
}
