package uploads_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"trellis/storage"
	"trellis/storage/storagetest"
	"trellis/storage/uploads"
)

// onPlaces runs a test with an empty place of each kind to copy to.
func onPlaces(t *testing.T, run func(t *testing.T, place string)) {
	t.Run("directory", func(t *testing.T) { run(t, filepath.Join(t.TempDir(), "copy")) })
	for _, variable := range []string{localStack, versity} {
		t.Run(variable, func(t *testing.T) { run(t, bucket(t, variable)) })
	}
}

func opened(t *testing.T, address string) storage.Blobs {
	t.Helper()
	b, err := openBlobs(address, nil)
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	return b
}

// copying is what a copy told.
type copying struct {
	done    uploads.Copied
	err     error
	damaged []storage.Key
}

// copyTo runs a copy of the world's place; meanwhile, which may be nil, is told of each object.
func (w *world) copyTo(ctx context.Context, to storage.Blobs, meanwhile func(uploads.Copied)) (c copying) {
	run := uploads.Copy{
		From: w.Blobs(), To: to, Spool: w.Spool(), Parallel: 4,
		Damaged: func(k storage.Key, _ error) { c.damaged = append(c.damaged, k) },
		Report: func(done uploads.Copied) {
			if meanwhile != nil {
				meanwhile(done)
			}
		},
	}
	c.done, c.err = run.Run(ctx)
	return c
}

// is checks what a copy did: objects copied and left as they were.
func (c copying) is(t *testing.T, objects, same int) {
	t.Helper()
	if c.err != nil || c.done.Objects != objects || c.done.Same != same || c.done.Damaged != 0 {
		t.Errorf("%+v, %v; want %d copied and %d there already", c.done, c.err, objects, same)
	}
}

// contents reads all that is in a place.
func contents(t *testing.T, b storage.Blobs) map[storage.Key]string {
	t.Helper()
	list, err := b.List(t.Context(), "", "", 1000)
	must(t, err)
	out := map[storage.Key]string{}
	for _, o := range list {
		text, err := textOf(t.Context(), b, o.Key)
		for try := 1; errors.Is(err, storage.ErrUnavailable) && try < 4; try++ { // a busy server
			text, err = textOf(t.Context(), b, o.Key)
		}
		must(t, err)
		out[o.Key] = text
	}
	return out
}

func textOf(ctx context.Context, b storage.Blobs, key storage.Key) (string, error) {
	r, err := b.Open(ctx, key, storage.Range{})
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return r.ContentType + " " + string(text), err
}

func TestCopyHoldsTheSame(t *testing.T) {
	onPlaces(t, func(t *testing.T, place string) {
		t.Parallel()
		s := settledSite(t)
		w := s.start(t, setup{})
		var ids []string
		for i := range 4 {
			ids = append(ids, w.mustAdd(t, picture(i)))
		}
		waiting := uuid.NewString()
		q, err := w.announce(waiting, picture(5))
		must(t, err)
		must(t, w.send(q, picture(5)))
		strange := []byte("not ours")
		must(t, w.Blobs().Put(t.Context(), "other/thing", bytes.NewReader(strange), storagetest.Object(strange, "text/plain")))
		to := opened(t, place)
		w.copyTo(t.Context(), to, nil).is(t, 9, 0)
		want := contents(t, w.Blobs())
		delete(want, "other/thing")
		if got := contents(t, to); !maps.Equal(got, want) {
			t.Errorf("%v were copied, of %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		w.copyTo(t.Context(), to, nil).is(t, 0, 9)

		// Servers go on; another copy fetches what came, and what went is swept.
		w.mustAdd(t, picture(6))
		must(t, w.delete(ids[0]))
		must(t, discard(w))
		w.copyTo(t.Context(), to, nil).is(t, 2, 7)
		s.files = place
		moved := s.start(t, setup{})
		must(t, moved.complete(waiting))
		moved.isSwept(t)
		moved.isCurrent(t)

		// And back, from S3 to a directory.
		back := opened(t, filepath.Join(t.TempDir(), "back"))
		moved.copyTo(t.Context(), back, nil).is(t, 10, 0)
		if got, want := contents(t, back), contents(t, to); !maps.Equal(got, want) {
			t.Errorf("%v came back, of %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	})
}

func TestInterruptedCopyGoesOn(t *testing.T) {
	onPlaces(t, func(t *testing.T, place string) {
		t.Parallel()
		w := settledSite(t).start(t, setup{})
		for i := range 10 {
			w.mustAdd(t, picture(i))
		}
		to := opened(t, place)
		ctx, cancel := context.WithCancel(t.Context())
		first := w.copyTo(ctx, to, func(done uploads.Copied) {
			if done.Objects == 5 {
				cancel()
			}
		})
		if !errors.Is(first.err, context.Canceled) || first.done.Objects < 5 || first.done.Objects > 12 {
			t.Errorf("%+v, %v", first.done, first.err)
		}
		if _, err := to.Stat(t.Context(), "owner"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("it is marked as whole: %v", err)
		}
		second := w.copyTo(t.Context(), to, nil)
		if second.err != nil || second.done.Same < first.done.Objects || second.done.Objects+second.done.Same != 20 {
			t.Errorf("first %+v, then %+v, %v", first.done, second.done, second.err)
		}
		if got, want := contents(t, to), contents(t, w.Blobs()); !maps.Equal(got, want) {
			t.Errorf("%v were copied, of %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	})
}

func TestCopyLeavesPlacesOfOthersAlone(t *testing.T) {
	w := newSite(t).start(t, setup{})
	to := opened(t, filepath.Join(t.TempDir(), "copy"))
	if c := w.copyTo(t.Context(), to, nil); !errors.Is(c.err, uploads.ErrUnowned) {
		t.Errorf("of nothing: %v", c.err)
	}
	w.mustAdd(t, picture(1))
	other := newSite(t).start(t, setup{})
	other.mustAdd(t, picture(2))
	before := contents(t, other.Blobs())
	refused := func(what string) {
		t.Helper()
		if c := w.copyTo(t.Context(), other.Blobs(), nil); !errors.Is(c.err, uploads.ErrForeign) || c.done != (uploads.Copied{}) {
			t.Errorf("%s: %+v, %v", what, c.done, c.err)
		}
		if got := contents(t, other.Blobs()); !maps.Equal(got, before) {
			t.Errorf("%s: now there are %v", what, slices.Sorted(maps.Keys(got)))
		}
	}
	refused("of another graph")
	must(t, other.Blobs().Delete(t.Context(), "owner"))
	delete(before, "owner")
	refused("half of another graph's copy")

	// It becomes another graph's while it is copied to.
	name := []byte("another store\n")
	c := w.copyTo(t.Context(), to, func(done uploads.Copied) {
		if done.Objects == 1 {
			must(t, to.Create(t.Context(), "owner", bytes.NewReader(name), storagetest.Object(name, "text/plain")))
		}
	})
	if got := contents(t, to)["owner"]; !errors.Is(c.err, uploads.ErrForeign) || got != "text/plain another store\n" {
		t.Errorf("%v; the owner is %q", c.err, got)
	}
}

func TestCopyNamesWhatIsDamaged(t *testing.T) {
	s := settledSite(t)
	w := s.start(t, setup{})
	var ids []string
	for i := range 3 {
		ids = append(ids, w.mustAdd(t, picture(i)))
	}
	bytesOf := func(id string) (storage.Key, string) {
		blob := w.look(t).stored[id]
		return storage.Key("blobs/" + blob + "/original"), filepath.Join(s.files, "blobs", blob, "_original")
	}
	var want []storage.Key
	saved := map[string][]byte{}
	for i, damage := range []func([]byte) []byte{
		func(b []byte) []byte { b[20]++; return b },     // its hash is another one
		func(b []byte) []byte { return b[:len(b)-100] }, // it is cut off
	} {
		key, file := bytesOf(ids[i])
		b, err := os.ReadFile(file)
		must(t, err)
		saved[file] = b
		must(t, os.WriteFile(file, damage(slices.Clone(b)), 0o600))
		want = append(want, key)
	}
	to := opened(t, filepath.Join(t.TempDir(), "copy"))
	for range 2 {
		c := w.copyTo(t.Context(), to, nil)
		slices.Sort(c.damaged)
		slices.Sort(want)
		if !errors.Is(c.err, uploads.ErrDamaged) || c.done.Damaged != 2 || !slices.Equal(c.damaged, want) || c.done.Objects+c.done.Same != 4 {
			t.Errorf("%+v, %v; %v are damaged, want %v", c.done, c.err, c.damaged, want)
		}
	}
	if got := contents(t, to); len(got) != 4 {
		t.Errorf("there are %v", slices.Sorted(maps.Keys(got)))
	}
	for file, b := range saved {
		must(t, os.WriteFile(file, b, 0o600))
	}
	w.copyTo(t.Context(), to, nil).is(t, 2, 4)
	if got, want := contents(t, to), contents(t, w.Blobs()); !maps.Equal(got, want) {
		t.Errorf("%v were copied, of %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// moody fails every other thing for the moment.
type moody struct {
	storage.Blobs
	mu    sync.Mutex
	calls map[string]int
}

func (m *moody) well(call string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls[call]++; m.calls[call] == 1 {
		return fmt.Errorf("%w: %s", storage.ErrUnavailable, call)
	}
	return nil
}

func (m *moody) Put(ctx context.Context, key storage.Key, r io.ReadSeeker, o storage.Object) error {
	if err := m.well("put " + string(key)); err != nil {
		return err
	}
	return m.Blobs.Put(ctx, key, r, o)
}

func TestCopyTriesAgain(t *testing.T) {
	w := settledSite(t).start(t, setup{})
	w.mustAdd(t, picture(1))
	to := &moody{Blobs: opened(t, filepath.Join(t.TempDir(), "copy")), calls: map[string]int{}}
	w.copyTo(t.Context(), to, nil).is(t, 2, 0)
	if got, want := contents(t, to), contents(t, w.Blobs()); !maps.Equal(got, want) {
		t.Errorf("%v were copied, of %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}
