package thumbnail

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
)

// gate lets decodes in, first come first served, as long as there are workers
// and memory for them. What a finished decode held counts until it is known to
// be collected: the collector alone lets twice as much pile up.
type gate struct {
	limit   int64
	workers int

	mu       sync.Mutex
	used     int64  // by those inside
	garbage  int64  // left behind by those who went
	cycle    uint64 // of the collector, when the last of them went
	inside   int
	cleaning bool
	waiting  []*waiter
}

type waiter struct {
	need     int64
	admitted chan struct{}
}

func newGate(limit int64, workers int) *gate {
	return &gate{limit: limit, workers: workers}
}

// enter waits until there is room for so many bytes. What needs more than there
// is at all is refused at once.
func (g *gate) enter(ctx context.Context, need int64) error {
	if need > g.limit {
		return fmt.Errorf("%w: it needs %d MB of memory, at most %d", ErrTooExpensive, need>>20, g.limit>>20)
	}
	w := &waiter{need: need, admitted: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	g.admit()
	select {
	case <-w.admitted:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	i := slices.Index(g.waiting, w)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	g.mu.Unlock()
	if i < 0 {
		g.leave(need)
	} else {
		g.admit()
	}
	return ctx.Err()
}

// leave gives back what enter took.
func (g *gate) leave(need int64) {
	g.mu.Lock()
	g.inside--
	g.used -= need
	g.garbage += need
	g.cycle = cycles()
	g.mu.Unlock()
	g.admit()
}

// admit lets in whoever is first, while there is room, and has the garbage
// collected when that is what is in the way.
func (g *gate) admit() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) > 0 && g.inside < g.workers && !g.cleaning {
		w := g.waiting[0]
		if g.used+w.need > g.limit {
			return
		}
		if g.used+g.garbage+w.need > g.limit && !g.collected() {
			g.clean()
			continue
		}
		g.waiting = slices.Delete(g.waiting, 0, 1)
		g.inside++
		g.used += w.need
		close(w.admitted)
	}
}

// collected tells whether the garbage is gone without being asked: a cycle that
// ended may have begun before it was garbage, the one after that has not.
func (g *gate) collected() bool {
	if cycles() < g.cycle+2 {
		return false
	}
	g.garbage = 0
	return true
}

// cycles is how many the collector has completed.
func cycles() uint64 {
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// clean is called with the lock held and lets go of it for the while. Nobody is
// let in meanwhile.
func (g *gate) clean() {
	collected := g.garbage
	g.cleaning = true
	g.mu.Unlock()
	debug.FreeOSMemory()
	g.mu.Lock()
	g.cleaning = false
	g.garbage -= collected
}
