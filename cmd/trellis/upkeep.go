package main

import (
	"context"
	"math/rand/v2"
	"time"

	"trellis/api"
)

// upkeepEvery is how often a server clears away what is over. Servers of one
// graph all do it; what one has cleared the others do not find.
const upkeepEvery = time.Hour

// upkeep clears away until the context ends.
func (s *server) upkeep(ctx context.Context, every time.Duration) {
	// Servers that were started together should not all come at once.
	for sleep(ctx, every/2+rand.N(every)) {
		s.clear(ctx, time.Now())
	}
}

// clear deletes the records of idempotency keys whose time is over, and the
// change records that are older than the settings say and that every consumer
// of the feed is past, and audit records and deleted nodes whose time is over.
func (s *server) clear(ctx context.Context, now time.Time) {
	keys, err := api.SweepIdempotency(ctx, s.graph, now)
	if err != nil {
		s.log.Warn("records of idempotency keys could not be cleared away", "error", err)
	}
	changes, err := s.store.Trim(ctx, now.Add(-s.cfg.FeedRetention))
	if err != nil {
		s.log.Warn("old change records could not be cleared away", "error", err)
	}
	trash, err := s.ids.Sweep(ctx, now)
	if err != nil {
		s.log.Warn("what was deleted and can no longer be restored could not be erased", "error", err)
	}
	records := s.audit.upkeep(ctx, now)
	if keys+changes+trash+records > 0 {
		s.log.Info("cleared away", "idempotency_keys", keys, "changes", changes, "trash", trash, "audit_records", records)
	}
}
