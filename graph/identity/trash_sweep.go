package identity

import (
	"context"
	"time"

	"trellis/graph"
)

// sweepNodes is about how many nodes one batch of a sweep removes.
const sweepNodes = 500

// Sweep erases what can no longer be restored, in batches of bounded size, and
// returns how many tombstones it removed. Several processes may do it at once.
func (s *Service) Sweep(ctx context.Context, now time.Time) (int, error) {
	swept, q := 0, graph.Question{Name: graph.NodesByType, Type: Tombstone, Limit: 1000}
	for {
		a, err := s.graph.Store().Ask(ctx, q)
		if err != nil {
			return swept, err
		}
		var steps []graph.Step
		tombstones := 0
		for i := range a.Nodes {
			if n := &a.Nodes[i]; n.Props.Int(PropUntil) <= now.UnixMilli() {
				// One that is restored or erased at this moment is not ours.
				steps = append(steps, graph.RequireAt(n.Ref, n.Revision), graph.Delete(n.Ref))
				for _, r := range partsOf(n) {
					steps = append(steps, graph.Delete(r))
				}
				tombstones++
			}
			if len(steps) == 0 || len(steps) < sweepNodes && i < len(a.Nodes)-1 {
				continue
			}
			_, err := s.graph.Write(ctx, graph.Batch{Actor: graph.Root, Origin: graph.Origin{RequestID: "sweep"}, Time: now, Steps: steps})
			switch {
			case err == nil:
				swept += tombstones
			case graph.KindOf(err) != graph.Stale && graph.KindOf(err) != graph.NotFound:
				return swept, err // what another process was faster with is left to the next sweep
			}
			steps, tombstones = nil, 0
		}
		if a.Next == "" {
			return swept, nil
		}
		q.After = a.Next
	}
}
