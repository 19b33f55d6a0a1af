package api

import (
	"errors"
	"fmt"
	"net/http"

	"trellis/graph"
	"trellis/graph/identity"
)

// BatchInput is many mutations at once.
type BatchInput struct {
	Mutations []identity.Mutation `json:"mutations" maxItems:"10000" doc:"Carried out in order, all or none" nullable:"false"`
}

// BatchOutput tells what became of them.
type BatchOutput struct {
	Revision string        `json:"revision" doc:"The revision at which all of it is in force"`
	Changed  bool          `json:"changed" doc:"false if everything was so already"`
	Results  []BatchResult `json:"results" doc:"One for each mutation, in order" nullable:"false"`
}

// BatchResult tells what became of the node or edge of one mutation in all.
type BatchResult struct {
	Effect identity.Effect `json:"effect" enum:"created,updated,deleted,unchanged"`
}

func batchRoute() route {
	return route{method: post, path: "/batch", id: "applyBatch", tag: "batch", summary: "Make many changes at once, all or none",
		self: "each mutation needs what the route that does it alone needs", in: body{value: BatchInput{}}, out: BatchOutput{},
		idempotent: true, big: true, handle: applyBatch}
}

func applyBatch(c *call) error {
	var in BatchInput
	if err := c.wellFormed(); err != nil {
		return err
	}
	// Ten thousand items are not held against the schema: identity checks
	// each of them anyway.
	if err := unmarshal(c.body, &in); err != nil {
		return err
	}
	if in.Mutations == nil {
		return badField("/mutations", "is required")
	}
	var results []identity.Effect
	rev, ch, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		out, err := c.Identity.Apply(c.ctx(), c.actor(), in.Mutations, o)
		results = out.Results
		return out.Revision, out.Change, err
	})
	if err != nil {
		return c.batchProblem(err, in.Mutations)
	}
	if results == nil {
		results = identity.Effects(in.Mutations, ch)
	}
	out := BatchOutput{Revision: c.tokenText(rev), Results: make([]BatchResult, len(results))}
	for i, e := range results {
		out.Results[i].Effect = e
		out.Changed = out.Changed || e != identity.Unchanged
	}
	return c.json(http.StatusOK, out)
}

// batchProblem points an error at the mutation it is about.
func (c *call) batchProblem(err error, muts []identity.Mutation) error {
	var e *graph.Error
	if !errors.As(err, &e) || e.Step < 0 || e.Step >= len(muts) || e.Kind == graph.TooLarge || e.Kind == graph.Unavailable {
		return err
	}
	c.matched = muts[e.Step].IfMatch != 0
	p := c.problem(err)
	at := fmt.Sprintf("/mutations/%d", e.Step)
	for i := range p.Errors {
		p.Errors[i].Pointer = at + p.Errors[i].Pointer
	}
	if len(p.Errors) == 0 {
		p.Errors = []Fault{{Pointer: at, Detail: p.Detail}}
	}
	return p
}
