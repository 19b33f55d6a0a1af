package audit

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowSink takes its time for each batch.
type slowSink struct {
	Sink
	took time.Duration

	mu sync.Mutex
	n  int
}

func (s *slowSink) Deliver(_ context.Context, b Batch) error {
	time.Sleep(s.took)
	s.mu.Lock()
	s.n += len(b.Records)
	s.mu.Unlock()
	return nil
}

func (s *slowSink) delivered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// While records come in fast the shipper rests; a Flush does not wait for that,
// and neither does what is delivered when it has become quiet.
func TestTheShipperRestsUnderLoad(t *testing.T) {
	l, err := OpenLog(LogOptions{Dir: t.TempDir(), Secret: []byte(strings.Repeat("s", 32)), BatchSize: 100, BatchAge: 10 * time.Millisecond,
		Rest: 1e6, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sink := &slowSink{took: 5 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go l.Ship(ctx, sink)
	total := 0
	add := func() {
		for range 100 {
			if err := l.Append(t.Context(), Note, &Request{Route: "/x"}, &Request{Route: "/x"}, &Request{Route: "/x"}, &Request{Route: "/x"}); err != nil {
				t.Fatal(err)
			}
			total += 4
		}
	}
	for begun := time.Now(); sink.delivered() == 0 || time.Since(begun) < 600*time.Millisecond; time.Sleep(5 * time.Millisecond) {
		add() // 80,000 a second at most
	}
	if n := sink.delivered(); n > 500 {
		t.Errorf("%d records were delivered under load, want a batch or two", n)
	}
	flush, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	if err := l.Flush(flush); err != nil || sink.delivered() != total {
		t.Errorf("%d of %d delivered after a flush, %v", sink.delivered(), total, err)
	}
}
