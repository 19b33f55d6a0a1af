package uploads_test

import (
	"context"
	"flag"
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

// The last upload of some content is deleted while two others send the same
// content, and everything that nothing needs is removed at the same time.
func TestContentThatGoesAndComes(t *testing.T) {
	rounds := map[string]int{"sqlite": *many, "neo4j": *many / 5}
	onEngines(t, func(t *testing.T, s site) {
		// The grace is over from the start: nothing may be safe by its age alone.
		a, b := s.start(t, setup{}), s.start(t, setup{})
		a.graceOver()
		b.graceOver()
		content := picture(1)
		var busy, sweeping sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for _, w := range []*world{a, b} {
			sweeping.Go(func() {
				for ctx.Err() == nil {
					time.Sleep(time.Millisecond)
					if _, err := w.Discard(context.Background()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var added, tooMany atomic.Int64
		_, engine, _ := strings.Cut(t.Name(), "/")
		for i := range 4 {
			w := []*world{a, b}[i%2]
			busy.Go(func() {
				for range rounds[engine] {
					id, err := w.add(uploads.Incoming{}, content)
					if graph.KindOf(err) == graph.Unavailable {
						tooMany.Add(1)
						continue
					}
					if err != nil {
						t.Errorf("add: %v", err)
						return
					}
					added.Add(1)
					n, err := w.upload(id)
					if err != nil {
						t.Errorf("it was added: %v", err)
						return
					}
					c, err := w.Original(context.Background(), n)
					if err == nil {
						_, err = w.Stat(context.Background(), c)
					}
					if err != nil {
						t.Errorf("upload %s was added, but: %v", id, err)
						return
					}
					if err := w.delete(id); err != nil {
						t.Errorf("delete: %v", err)
						return
					}
				}
			})
		}
		busy.Wait()
		cancel()
		sweeping.Wait()
		a.mustAdd(t, content)
		a.isSwept(t)
		a.isCurrent(t)
		b.isCurrent(t)
		if t.Logf("%d added, %d times too many at once", added.Load(), tooMany.Load()); added.Load() < tooMany.Load() {
			t.Error("that is too often")
		}
	})
}

// The blob that bytes were put for is given up, and has gone, when the upload is
// to be written; each time, until it is said that others are too many.
func TestBlobGivenUpMeanwhile(t *testing.T) {
	s := settledSite(t)
	other := s.start(t, setup{})
	other.graceOver()
	for _, times := range []int{1, 3, 100} {
		seen := 0
		f := &faults{at: func(_ int, m moment, what string) {
			if m != after || !strings.HasSuffix(what, "/original") || seen >= times {
				return
			}
			seen++
			if _, err := other.graph.Sync(context.Background()); err != nil {
				t.Error(err)
			}
			done, err := other.Discard(context.Background())
			if err != nil || done.Blobs != 1 {
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
