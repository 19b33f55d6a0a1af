package uploads_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/graph"
	"trellis/storage/uploads"
)

// many is how often what races is tried: enough for every day; 1000 finds more.
var many = flag.Int("many", 20, "rounds of the tests of races")

// The last upload of some content is deleted while others send the same content,
// and everything that nothing needs is removed at the same time.
func TestContentThatGoesAndComes(t *testing.T) {
	onEngines(t, func(t *testing.T, s site) {
		rounds := *many
		if strings.HasSuffix(t.Name(), "neo4j") {
			rounds = *many / 5
		}
		a, b := s.start(t, setup{}), s.start(t, setup{})
		for _, old := range []bool{false, true} {
			if old {
				// Nothing is safe by its age alone: what is new is taken for lost as well.
				a.graceOver()
				b.graceOver()
			}
			added, tooMany := goAndCome(t, []*world{a, b}, rounds)
			t.Logf("%d added, %d times too many at once", added, tooMany)
			if !old && tooMany > added/4 || added == 0 {
				t.Error("that is too often")
			}
			a.mustAdd(t, picture(1))
			a.isSwept(t)
			a.isCurrent(t)
			b.isCurrent(t)
		}
	})
}

// goAndCome adds and deletes the same content in two processes, twice in each at
// once, and counts what was stored and what was given up.
func goAndCome(t *testing.T, worlds []*world, rounds int) (added, tooMany int64) {
	t.Helper()
	var busy, sweeping sync.WaitGroup
	var good, bad atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	for _, w := range worlds {
		sweeping.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(time.Millisecond)
				if _, err := w.Discard(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
		for range 2 {
			busy.Go(func() {
				for range rounds {
					err := w.comeAndGo()
					if graph.KindOf(err) == graph.Unavailable {
						bad.Add(1)
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					good.Add(1)
				}
			})
		}
	}
	busy.Wait()
	cancel()
	sweeping.Wait()
	return good.Load(), bad.Load()
}

// comeAndGo adds an upload, looks at its bytes and deletes it.
func (w *world) comeAndGo() error {
	id, err := w.add(uploads.Incoming{}, picture(1))
	if err != nil {
		return err
	}
	n, err := w.upload(id)
	if err != nil {
		return err
	}
	c, err := w.Original(context.Background(), n)
	if err == nil {
		_, err = w.Stat(context.Background(), c)
	}
	if err != nil {
		return fmt.Errorf("upload %s was added, but: %w", id, err)
	}
	return w.delete(id)
}

// Each time that bytes were put, somebody else is quicker: sends the same content,
// or deletes what had it so that its blob is gone. Then it is done again, until it
// is said that others are too many.
func TestOvertaken(t *testing.T) {
	s := settledSite(t)
	other := s.start(t, setup{})
	for _, times := range []int{1, 2, 3, 4, 100} {
		seen, theirs := 0, ""
		f := &faults{at: func(_ int, m moment, what string) {
			if m != after || !strings.HasSuffix(what, "/original") || seen >= times {
				return
			}
			seen++
			if theirs == "" {
				theirs = other.mustAdd(t, picture(times))
				return
			}
			must(t, other.delete(theirs))
			theirs = ""
			if done, err := other.Discard(context.Background()); err != nil || done.Blobs != 1 {
				t.Errorf("%+v, %v", done, err)
			}
		}}
		w := s.start(t, setup{faults: f})
		f.on.Store(true)
		id, err := w.add(uploads.Incoming{}, picture(times))
		f.on.Store(false)
		switch {
		case times < 5 && (err != nil || seen != times):
			t.Errorf("after %d of %d times: %v", seen, times, err)
		case times > 5 && (graph.KindOf(err) != graph.Unavailable || seen < 5):
			t.Errorf("after %d times: %v", seen, err)
		case times < 5:
			if _, err := w.upload(id); err != nil {
				t.Error(err)
			}
		}
		w.isSwept(t)
	}
}
