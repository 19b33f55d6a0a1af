package api

import (
	"iter"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/permission"
)

// Authority lets package identity ask a view of the permission index: the two
// do not know each other.
func Authority(v *permission.View) identity.Authority { return authority{v} }

type authority struct{ *permission.View }

// Conveys implements identity.Authority.
func (a authority) Conveys(set graph.Ref, at time.Time) iter.Seq2[graph.Ref, []string] {
	return each(a.View.Conveys(set, at))
}

// Flows implements identity.Authority.
func (a authority) Flows(r graph.Ref, at time.Time) iter.Seq2[graph.Ref, []string] {
	return each(a.View.Flows(r, at))
}

func each(list []permission.Conveyance) iter.Seq2[graph.Ref, []string] {
	return func(yield func(graph.Ref, []string) bool) {
		for _, c := range list {
			if !yield(c.Resource, c.Permissions) {
				return
			}
		}
	}
}
