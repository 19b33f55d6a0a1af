package uploads_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/image/webp"

	"trellis/graph/identity"
	"trellis/storage"
	"trellis/storage/storagetest"
	"trellis/storage/uploads"
)

// puts counts what is stored.
type puts struct {
	faults
	t *testing.T
}

func newPuts(t *testing.T) *puts {
	p := &puts{t: t}
	p.at = func(int, moment, string) {}
	p.on.Store(true)
	return p
}

// of counts the puts of keys with that end.
func (p *puts) of(suffix string) (n int) {
	for _, what := range p.list() {
		if strings.HasPrefix(what, "put ") && strings.HasSuffix(what, suffix) {
			n++
		}
	}
	return n
}

func (w *world) thumbnail(t *testing.T, id string, size int) (uploads.Content, error) {
	t.Helper()
	n, err := w.upload(id)
	must(t, err)
	return w.Thumbnail(t.Context(), n, size)
}

// forget removes the objects of an upload's blob whose keys have that end.
func (w *world) forget(t *testing.T, id, suffix string) {
	t.Helper()
	h := w.look(t)
	for key := range h.objects {
		if strings.HasPrefix(string(key), "blobs/"+h.stored[id]+"/") && strings.HasSuffix(string(key), suffix) {
			must(t, w.Blobs().Delete(t.Context(), key))
		}
	}
}

// shows checks that the content is a picture of that size.
func (w *world) shows(t *testing.T, c uploads.Content, width, height int) {
	t.Helper()
	r, err := w.Open(t.Context(), c, storage.Range{})
	must(t, err)
	defer r.Body.Close()
	got, err := webp.DecodeConfig(r.Body)
	if err != nil || got.Width != width || got.Height != height || r.ContentType != "image/webp" || c.ContentType != "image/webp" || c.Name != "picture.webp" {
		t.Errorf("%+v is %d x %d, want %d x %d; %v", c, got.Width, got.Height, width, height, err)
	}
}

func TestThumbnailIsMadeOnceForAll(t *testing.T) {
	s, p := settledSite(t), newPuts(t)
	w := s.start(t, setup{faults: &p.faults})
	id := w.mustAdd(t, pictureOf(300, 150, 1))
	if n := p.of("/256.webp"); n != 1 {
		t.Errorf("the upload put %d thumbnails", n)
	}
	w.forget(t, id, ".webp")
	// Nobody gets through before everybody waits.
	gate := make(chan struct{})
	var once sync.Once
	p.at = func(_ int, m moment, what string) {
		if m == before && strings.HasSuffix(what, "256.webp") {
			once.Do(func() { <-gate })
		}
	}
	n, err := w.upload(id)
	must(t, err)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			c, err := w.Thumbnail(context.Background(), n, 64)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := w.Stat(context.Background(), c); err != nil {
				t.Error(err)
			}
		})
	}
	// One whose caller has gone does not hinder the others.
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Thumbnail(gone, n, 64); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who had gone got %v", err)
	}
	close(gate)
	all.Wait()
	if a, b := p.of("/256.webp"), p.of("/64.webp"); a != 2 || b != 1 {
		t.Errorf("256 was put %d times and 64 %d times", a, b)
	}
	for _, size := range []struct{ size, width, height int }{{32, 32, 16}, {64, 64, 32}, {128, 128, 64}, {256, 256, 128}} {
		c, err := w.thumbnail(t, id, size.size)
		must(t, err)
		w.shows(t, c, size.width, size.height)
	}
	if n := p.of(".webp"); n != 5 {
		t.Errorf("%d pictures were put", n)
	}
	tags := map[string]bool{}
	for _, size := range uploads.Sizes {
		c, err := w.thumbnail(t, id, size)
		must(t, err)
		tags[c.Tag] = true
	}
	if len(tags) != len(uploads.Sizes) || p.of(".webp") != 5 {
		t.Errorf("tags %v, %d pictures", tags, p.of(".webp"))
	}
}

// Smaller ones are made from the picture of 256 pixels, not from the original.
func TestSmallThumbnailsDoNotNeedTheOriginal(t *testing.T) {
	w := settledSite(t).start(t, setup{})
	id := w.mustAdd(t, pictureOf(300, 150, 1))
	w.forget(t, id, "/original")
	c, err := w.thumbnail(t, id, 128)
	must(t, err)
	w.shows(t, c, 128, 64)
}

func TestThumbnailIsMadeLaterWhenWorkersAreBusy(t *testing.T) {
	p := newPuts(t)
	w := settledSite(t).start(t, setup{faults: &p.faults, Options: uploads.Options{Picturing: time.Nanosecond}})
	id := w.mustAdd(t, pictureOf(300, 150, 1))
	n, err := w.upload(id)
	must(t, err)
	if p.of(".webp") != 0 || n.Props.String(identity.PropThumbnail) != "" {
		t.Errorf("%d pictures, %q", p.of(".webp"), n.Props.String(identity.PropThumbnail))
	}
	c, err := w.thumbnail(t, id, 32)
	must(t, err)
	w.shows(t, c, 32, 16)
	if p.of("/256.webp") != 1 || p.of("/32.webp") != 1 {
		t.Errorf("put: %v", p.list())
	}
}

func TestNoThumbnailOfDocumentsAndDrawings(t *testing.T) {
	p := newPuts(t)
	w := settledSite(t).start(t, setup{faults: &p.faults})
	for kind, b := range map[string][]byte{
		"PDF":     storagetest.PDF(0),
		"drawing": []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>`),
	} {
		id := w.mustAdd(t, b)
		_, err := w.thumbnail(t, id, 64)
		var none *uploads.NoThumbnailError
		if !errors.As(err, &none) || !strings.Contains(none.Reason, kind) {
			t.Errorf("%s: %v", kind, err)
		}
		n, err := w.upload(id)
		must(t, err)
		c, err := w.Original(t.Context(), n)
		must(t, err)
		r, err := w.Open(t.Context(), c, storage.Range{})
		must(t, err)
		got, err := io.ReadAll(r.Body)
		must(t, errors.Join(err, r.Body.Close()))
		if !slices.Equal(got, b) {
			t.Errorf("%s: other bytes", kind)
		}
	}
	if p.of(".webp") != 0 {
		t.Errorf("put: %v", p.list())
	}
}

func TestLostBytesAreReported(t *testing.T) {
	w := settledSite(t).start(t, setup{})
	id, other := w.mustAdd(t, pictureOf(300, 150, 1)), w.mustAdd(t, picture(2))
	w.forget(t, id, "")
	n, err := w.upload(id)
	must(t, err)
	c, err := w.Original(t.Context(), n)
	must(t, err)
	_, open := w.Open(t.Context(), c, storage.Range{})
	_, stat := w.Stat(t.Context(), c)
	_, thumb := w.Thumbnail(t.Context(), n, 64)
	for what, err := range map[string]error{"open": open, "stat": stat, "thumbnail": thumb} {
		if !errors.Is(err, uploads.ErrLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.graceOver()
	for range 2 {
		if done, err := w.Sweep(t.Context()); err != nil || done != (uploads.Swept{Missing: 1}) {
			t.Errorf("%+v, %v", done, err)
		}
	}
	// Whoever sends the content again brings it back.
	w.mustAdd(t, pictureOf(300, 150, 1))
	w.isSwept(t)
	if _, err := w.thumbnail(t, id, 64); err != nil {
		t.Error(err)
	}
	if _, err := w.upload(other); err != nil {
		t.Error(err)
	}
}

// A pending upload has nothing to show, and is completed once.
func TestPendingUpload(t *testing.T) {
	s := settledSite(t)
	a, b := s.start(t, setup{}), s.start(t, setup{})
	id := uuid.NewString()
	q, err := a.announce(id, picture(1))
	must(t, err)
	n, err := a.upload(id)
	must(t, err)
	if _, err := a.Original(t.Context(), n); !errors.Is(err, uploads.ErrPending) {
		t.Errorf("original: %v", err)
	}
	if _, err := a.Thumbnail(t.Context(), n, 64); !errors.Is(err, uploads.ErrPending) {
		t.Errorf("thumbnail: %v", err)
	}
	if err := a.complete(id); !errors.Is(err, uploads.ErrNotArrived) {
		t.Errorf("complete: %v", err)
	}
	must(t, a.send(q, picture(1)))
	_, err = b.graph.Sync(t.Context())
	must(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		w := []*world{a, b}[i%2]
		all.Go(func() {
			if err := w.complete(id); err != nil {
				t.Errorf("one of several who complete it: %v", err)
			}
		})
	}
	all.Wait()
	must(t, a.complete(id))
	a.isSwept(t)
	a.isCurrent(t)
}
