package audit_test

import (
	"context"
	"errors"
	"testing"

	"trellis/audit"
)

// everything takes what it gets.
type everything struct{ audit.Sink }

func (everything) Deliver(context.Context, audit.Batch) error { return nil }

// However small the limit, a full spool takes records again once it is empty.
func TestASmallSpoolRecovers(t *testing.T) {
	for _, limit := range []int64{1 << 20, 4 << 20} {
		o := audit.LogOptions{Dir: t.TempDir(), Secret: secret, Limit: limit}
		l, err := audit.OpenLog(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		fill := func() (n int) {
			for n = 0; n < 1_000_000; n++ {
				if err := l.Append(t.Context(), audit.Must, &audit.Request{Route: "/x", Agent: "someone who fills the spool with long words"}); errors.Is(err, audit.ErrFull) {
					return n
				} else if err != nil {
					t.Fatal(err)
				}
			}
			return n
		}
		first := fill()
		go l.Ship(ctx, everything{})
		for round := range 3 {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := l.Append(t.Context(), audit.Sync, &audit.Request{}); err != nil {
				t.Errorf("limit %d: %d records fitted; round %d, after all were delivered: %v; %+v", limit, first, round, err, l.State())
				break
			}
			fill()
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		cancel()
		l.Close()
		if l, err = audit.OpenLog(o); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), audit.Sync, &audit.Request{}); err != nil {
			t.Errorf("limit %d, opened again: %v; %+v", limit, err, l.State())
		}
		l.Close()
	}
}
