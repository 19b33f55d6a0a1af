package identity_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

func TestSweepErasesWhatIsPastItsTime(t *testing.T) {
	w := richWorld(t)
	now := time.Now()
	clock := now
	w.Now = func() time.Time { return clock }
	first := w.delete(root, "project:ledger")
	clock = now.Add(24 * time.Hour)
	second := w.delete(root, "project:billing")
	many := w.must(root, strings.Repeat(`{"op":"create","node":"tag:x","data":{"organization":"acme"}}
{"op":"delete","node":"tag:x"}
`, 700))
	if n := len(tombstonesOf(many.Change)); n != 700 {
		t.Fatalf("%d tombstones", n)
	}
	clock = now.Add(identity.DefaultTrash)
	if e := w.refused(root, graph.Gone, `{"op":"restore","node":"`+first+`"}`); e.Ref.String() != first {
		t.Errorf("got %v", e)
	}
	if n, err := w.Sweep(t.Context(), clock); n != 1 || err != nil {
		t.Errorf("swept %d (%v), want the first", n, err)
	}
	w.refused(root, graph.NotFound, `{"op":"restore","node":"`+first+`"}`)
	clock = now.Add(identity.DefaultTrash + 24*time.Hour - time.Millisecond)
	w.restore(root, second)
	clock = clock.Add(time.Millisecond)
	var sweeping sync.WaitGroup
	for range 3 {
		sweeping.Go(func() {
			if _, err := w.Sweep(context.Background(), clock); err != nil {
				t.Error(err)
			}
		})
	}
	sweeping.Wait()
	if _, err := w.Sweep(t.Context(), clock); err != nil {
		t.Error(err)
	}
	w.nothingOf(identity.Tombstone, identity.TombstonePart)
}

// There are more than the store gives at a time.
func TestOneSweepErasesAll(t *testing.T) {
	w := richWorld(t)
	w.must(root, strings.Repeat(`{"op":"create","node":"tag:x","data":{"organization":"acme"}}
{"op":"delete","node":"tag:x"}
`, 1100))
	if n, err := w.Sweep(t.Context(), time.Now().Add(identity.DefaultTrash)); n != 1100 || err != nil {
		t.Errorf("swept %d (%v), want 1100", n, err)
	}
	w.nothingOf(identity.Tombstone, identity.TombstonePart)
}
