package uploads_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage"
	"trellis/storage/storagetest"
	"trellis/storage/uploads"
)

// owner is what the place says whose it is.
func (w *world) owner(t *testing.T) string {
	t.Helper()
	r, err := w.Blobs().Open(t.Context(), "owner", storage.Range{})
	must(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return strings.TrimSpace(string(b))
}

func (w *world) storeID(t *testing.T) string {
	t.Helper()
	info, err := w.store.Info(t.Context())
	must(t, err)
	return info.Store
}

// isForeign checks that nothing is stored, and nothing removed.
func (w *world) isForeign(t *testing.T) {
	t.Helper()
	before := w.look(t)
	_, add := w.add(uploads.Incoming{}, picture(99))
	_, announce := w.announce(uuid.NewString(), picture(99))
	w.graceOver()
	_, sweep := w.Sweep(t.Context())
	w.late.Store(0)
	for what, err := range map[string]error{"add": add, "announce": announce, "sweep": sweep} {
		if !errors.Is(err, uploads.ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
	}
	after := w.look(t)
	if len(after.uploads) != len(before.uploads) || len(after.blobs) != len(before.blobs) || !slices.Equal(keys(after), keys(before)) {
		t.Errorf("before: %v, after: %v", keys(before), keys(after))
	}
}

func keys(h holdings) []storage.Key { return slices.Sorted(maps.Keys(h.objects)) }

func TestPlaceOfAnotherGraphIsLeftAlone(t *testing.T) {
	mine := newSite(t)
	w := mine.start(t, setup{})
	w.mustAdd(t, picture(1))
	other := newSite(t)
	other.files = mine.files
	b := other.start(t, setup{})
	b.isForeign(t)
	b.isForeign(t)
	w.isSwept(t)
	if w.owner(t) != w.storeID(t) {
		t.Errorf("the owner is %s, not %s", w.owner(t), w.storeID(t))
	}
}

// Two graphs start on an empty place and have both seen that it is.
func TestOneOfTwoGraphsHasAnEmptyPlace(t *testing.T) {
	for _, place := range []string{"directory", localStack, versity} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			files := filepath.Join(t.TempDir(), "shared")
			if place != "directory" {
				files = bucket(t, place)
			}
			var bothLooked sync.WaitGroup
			bothLooked.Add(2)
			var worlds [2]*world
			var errs [2]error
			for i := range worlds {
				s := newSite(t)
				s.files = files
				looked := sync.OnceFunc(func() { bothLooked.Done(); bothLooked.Wait() })
				f := &faults{at: func(_ int, m moment, what string) {
					if m == before && strings.HasSuffix(what, " owner") {
						looked()
					}
				}}
				worlds[i] = s.start(t, setup{faults: f})
				f.on.Store(true)
			}
			var wg sync.WaitGroup
			for i, w := range worlds {
				wg.Go(func() { _, errs[i] = w.add(uploads.Incoming{}, picture(i)) })
			}
			wg.Wait()
			winner := 0
			if errs[0] != nil {
				winner = 1
			}
			if errs[winner] != nil || !errors.Is(errs[1-winner], uploads.ErrForeign) {
				t.Fatalf("%v and %v", errs[0], errs[1])
			}
			w := worlds[winner]
			if w.owner(t) != w.storeID(t) {
				t.Errorf("the owner is %s, not %s", w.owner(t), w.storeID(t))
			}
			worlds[1-winner].isForeign(t)
			w.isSwept(t)
			w.isCurrent(t)
		})
	}
}

func TestImportedGraphTakesItsPlaceOver(t *testing.T) {
	from := newSite(t)
	old := from.start(t, setup{})
	kept := old.mustAdd(t, picture(1))
	into := newSite(t)
	into.files = from.files
	importInto(t, old, into.graph)
	untold := into.start(t, setup{})
	untold.isForeign(t)
	w := into.start(t, setup{Options: uploads.Options{TakeOver: true}})
	w.mustAdd(t, picture(2))
	w.isSwept(t)
	w.isCurrent(t)
	if _, err := w.upload(kept); err != nil {
		t.Error(err)
	}
	if w.owner(t) != w.storeID(t) {
		t.Errorf("the owner is %s, not %s", w.owner(t), w.storeID(t))
	}
	// The process of the graph that it was must not take away what is new here.
	before := w.look(t)
	for range 2 {
		old.graceOver()
		if _, err := old.Sweep(t.Context()); !errors.Is(err, uploads.ErrForeign) {
			t.Errorf("the old graph: %v", err)
		}
	}
	old.isForeign(t)
	if got := keys(w.look(t)); !slices.Equal(got, keys(before)) || w.owner(t) != w.storeID(t) {
		t.Errorf("the old graph left %v of %v to %s", got, keys(before), w.owner(t))
	}
	w.isSwept(t)
}

// importInto fills an empty store with all that is in the world's.
func importInto(t *testing.T, w *world, address string) {
	t.Helper()
	var list []graph.Record
	info, err := w.store.Export(t.Context(), func(r graph.Record) error {
		if r.Node != nil {
			n := *r.Node
			list = append(list, graph.Record{Node: &n})
		} else {
			e := *r.Edge
			list = append(list, graph.Record{Edge: &e})
		}
		return nil
	})
	must(t, err)
	store, err := openStore(address)
	must(t, err)
	must(t, store.Import(t.Context(), info.Head, func() (graph.Record, error) {
		if len(list) == 0 {
			return graph.Record{}, io.EOF
		}
		r := list[0]
		list = list[1:]
		return r, nil
	}))
	must(t, store.Close())
}

func TestEmptyPlaceIsTaken(t *testing.T) {
	s := settledSite(t)
	w := s.start(t, setup{})
	// What is no file of Trellis is nobody's business.
	strange := []byte("not ours")
	for _, key := range []storage.Key{"other/thing", "blobs/file", "arriving/a/b", "readme"} {
		must(t, w.Blobs().Put(t.Context(), key, bytes.NewReader(strange), storagetest.Object(strange, "text/plain")))
	}
	w.graceOver()
	done, err := w.Sweep(t.Context())
	if err != nil || done != (uploads.Swept{}) || w.owner(t) != w.storeID(t) {
		t.Errorf("%+v, %v; the owner is %q", done, err, w.owner(t))
	}
	if n := len(w.look(t).objects); n != 5 {
		t.Errorf("%d objects", n)
	}
}

// What lies about is removed only when it is old, and only if nothing needs it.
func TestSweepRemovesWhatIsOldAndLost(t *testing.T) {
	w := settledSite(t).start(t, setup{})
	kept := w.mustAdd(t, picture(1))
	waiting, missing := uuid.NewString(), uuid.NewString()
	_, err := w.announce(waiting, picture(2))
	must(t, err)
	blob := w.look(t).stored[kept]
	lost := []storage.Key{"blobs/gone/original", "blobs/gone/256.webp", storage.Key("arriving/" + missing), storage.Key("arriving/" + kept)}
	for _, key := range append(lost, storage.Key("arriving/"+waiting), storage.Key("blobs/"+blob+"/64.webp")) {
		b := picture(2)
		must(t, w.Blobs().Put(t.Context(), key, bytes.NewReader(b), storagetest.Object(b, "image/png")))
	}
	if done, err := w.Sweep(context.Background()); err != nil || done != (uploads.Swept{}) {
		t.Errorf("while it is young: %+v, %v", done, err)
	}
	w.graceOver()
	if done, err := w.Sweep(t.Context()); err != nil || done != (uploads.Swept{Overdue: 1, Objects: len(lost)}) {
		t.Errorf("when it is old: %+v, %v", done, err)
	}
	w.isTidy(t)
	if h := w.look(t); len(h.objects) != 4 || h.uploads[kept] == nil {
		t.Errorf("left: %v", keys(h))
	}
	if n, err := w.upload(kept); err != nil || n.Props.String(identity.PropState) != identity.StateReady {
		t.Error(err)
	}
}

// eventually waits for something that is done beside the test.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not happen that %s", what)
		}
	}
}

// What killed processes left goes when Grace has passed since the start, or as
// long again after a sweep that failed.
func TestRunSweepsSoonAfterItsStart(t *testing.T) {
	w := settledSite(t).start(t, setup{})
	first := w.mustAdd(t, picture(1))
	b := picture(2)
	must(t, w.Blobs().Put(t.Context(), "blobs/gone/original", bytes.NewReader(b), storagetest.Object(b, "image/png")))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	defer running.Wait()
	defer cancel()
	blob := storage.Key("blobs/" + w.look(t).stored[first] + "/original")
	gone := func(key storage.Key) func() bool {
		return func() bool {
			_, err := w.Blobs().Stat(t.Context(), key)
			return errors.Is(err, storage.ErrNotFound)
		}
	}
	must(t, w.delete(first))
	eventually(t, "what was deleted is removed", gone(blob))

	// The first whole sweep finds the place to be another graph's.
	write := func(owner string) {
		text := []byte(owner + "\n")
		must(t, w.Blobs().Put(t.Context(), "owner", bytes.NewReader(text), storagetest.Object(text, "text/plain")))
	}
	write("another")
	w.late.Store(int64(time.Hour + time.Minute))
	w.Tidy()
	eventually(t, "the sweep is refused", func() bool {
		_, err := w.add(uploads.Incoming{}, picture(3))
		return errors.Is(err, uploads.ErrForeign)
	})
	write(w.storeID(t))
	w.late.Store(int64(2*time.Hour + 2*time.Minute))
	w.Tidy()
	eventually(t, "what nobody needs is removed", gone("blobs/gone/original"))
}
