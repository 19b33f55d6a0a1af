package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trellis/storage"
)

var lifeCases = []testCase{
	{name: "WritersOfOneKeyNeverMix", run: writersOfOneKey},
	{name: "OneOfManyCreates", run: oneOfManyCreates},
	{name: "WritersOfManyKeys", run: writersOfManyKeys},
	{name: "WritersAndDeletesInOneDirectory", run: writersAndDeletes},
	{name: "WhoReadsGoesOn", run: whoReadsGoesOn},
	{name: "NothingWorksAfterClose", run: afterClose},
	{name: "AnEndedContextEndsEverything", run: endedContext},
}

func (r *room) putErr(b storage.Blobs, key storage.Key, content []byte) error {
	return b.Put(r.ctx, key, bytes.NewReader(content), Object(content, octets))
}

// inParallel calls f for 0 to n-1, from so many goroutines.
func (r *room) inParallel(workers, n int, f func(int) error) {
	r.Helper()
	var next atomic.Int64
	var g sync.WaitGroup
	for range workers {
		g.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					r.Error(err)
				}
			}
		})
	}
	g.Wait()
}

// writersOfOneKey writes from two openings, and looks on from both.
func writersOfOneKey(r *room) {
	stores := []storage.Blobs{r.blobs, r.open()}
	version := func(i int) []byte {
		b := bytes.Repeat([]byte{byte(i)}, 100_000+i)
		return b
	}
	r.put("k", version(0))
	ctx, stop := context.WithCancel(r.ctx)
	var readers sync.WaitGroup
	var looks atomic.Int64
	for i := range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				o, err := stores[i%2].Open(r.ctx, "k", storage.Range{})
				if err != nil {
					r.Errorf("open: %v", err)
					return
				}
				b, err := io.ReadAll(o.Body)
				o.Body.Close()
				if err != nil || len(b) < 100_000 || !bytes.Equal(b, version(len(b)-100_000)) {
					r.Errorf("%d bytes that nobody wrote, %v", len(b), err)
				}
				looks.Add(1)
			}
		})
	}
	r.inParallel(16, 64, func(i int) error { return r.putErr(stores[i%2], "k", version(i)) })
	stop()
	readers.Wait()
	if looks.Load() == 0 {
		r.Error("nobody looked")
	}
	if b := r.get("k"); len(b) < 100_000 || !bytes.Equal(b, version(len(b)-100_000)) {
		r.Errorf("%d bytes that nobody wrote", len(b))
	}
}

// oneOfManyCreates has many create an object at once, again and again, from
// several openings that know nothing of the store yet.
func oneOfManyCreates(r *room) {
	const creators = 16
	var stores []storage.Blobs
	for range 4 {
		stores = append(stores, r.open())
	}
	for round := range 8 {
		key := storage.Key(fmt.Sprintf("o/%d", round))
		winner := atomic.Int64{}
		winner.Store(-1)
		r.inParallel(creators, creators, func(i int) error {
			b := Bytes(1000+i, uint64(i))
			err := stores[i%len(stores)].Create(r.ctx, key, bytes.NewReader(b), Object(b, octets))
			if errors.Is(err, storage.ErrExists) {
				return nil
			}
			if err == nil && !winner.CompareAndSwap(-1, int64(i)) {
				err = fmt.Errorf("round %d: both %d and %d created it", round, winner.Load(), i)
			}
			return err
		})
		if w := int(winner.Load()); w < 0 {
			r.Errorf("round %d: nobody created it", round)
		} else {
			r.holds(key, Bytes(1000+w, uint64(w)))
		}
	}
}

func writersOfManyKeys(r *room) {
	key := func(i int) storage.Key { return storage.Key(fmt.Sprintf("m/%d/%d", i%5, i)) }
	r.inParallel(16, 100, func(i int) error { return r.putErr(r.blobs, key(i), Bytes(1000+i, uint64(i))) })
	r.inParallel(16, 100, func(i int) error {
		r.holds(key(i), Bytes(1000+i, uint64(i)))
		return nil
	})
}

// writersAndDeletes empties directories while others write into them.
func writersAndDeletes(r *room) {
	r.needs(Folders)
	r.inParallel(16, 200, func(i int) error {
		key := storage.Key(fmt.Sprintf("p/q/%d", i%3))
		if i%2 == 0 {
			return r.blobs.Delete(r.ctx, key)
		}
		return r.putErr(r.blobs, key, Bytes(100, 1))
	})
	r.put("p/q/0", Bytes(100, 1))
	r.holds("p/q/0", Bytes(100, 1))
}

func whoReadsGoesOn(r *room) {
	b := Bytes(12<<20, 7)
	meanwhiles := map[string]func() error{"replaced": func() error { return r.putErr(r.blobs, "k", Bytes(1<<20, 8)) }}
	if r.has(OpenReaders) {
		meanwhiles["deleted"] = func() error { return r.blobs.Delete(r.ctx, "k") }
	}
	for name, meanwhile := range meanwhiles {
		r.put("k", b)
		o, err := r.blobs.Open(r.ctx, "k", storage.Range{})
		if err != nil {
			r.Fatal(err)
		}
		first := make([]byte, 1000)
		if _, err := io.ReadFull(o.Body, first); err != nil {
			r.Fatal(err)
		}
		if err := meanwhile(); err != nil {
			r.Fatal(err)
		}
		rest, err := io.ReadAll(o.Body)
		o.Body.Close()
		if err != nil || !bytes.Equal(slices.Concat(first, rest), b) {
			r.Errorf("an object that was %s while it was read: %d bytes, %v", name, len(first)+len(rest), err)
		}
	}
}

// calls are all methods that take a context.
func (r *room) calls(b storage.Blobs) map[string]func(context.Context) error {
	content := Bytes(10, 1)
	return map[string]func(context.Context) error{
		"put": func(ctx context.Context) error {
			return b.Put(ctx, "k", bytes.NewReader(content), Object(content, octets))
		},
		"create": func(ctx context.Context) error {
			return b.Create(ctx, "new", bytes.NewReader(content), Object(content, octets))
		},
		"open":   func(ctx context.Context) error { _, err := b.Open(ctx, "k", storage.Range{}); return err },
		"stat":   func(ctx context.Context) error { _, err := b.Stat(ctx, "k"); return err },
		"delete": func(ctx context.Context) error { return b.Delete(ctx, "k") },
		"list":   func(ctx context.Context) error { _, err := b.List(ctx, "", "", 10); return err },
		"sign get": func(ctx context.Context) error {
			_, err := b.SignGet(ctx, "k", storage.Get{Expires: time.Minute})
			return err
		},
		"sign put": func(ctx context.Context) error {
			_, err := b.SignPut(ctx, "k", Object(content, octets), time.Minute)
			return err
		},
		"ping": b.Ping,
	}
}

func afterClose(r *room) {
	r.put("k", Bytes(10, 2))
	b := r.open()
	for range 2 {
		if err := b.Close(); err != nil {
			r.Errorf("close: %v", err)
		}
	}
	for name, call := range r.calls(b) {
		r.is(name, call(r.ctx), storage.ErrClosed)
	}
	r.holds("k", Bytes(10, 2)) // others go on
}

func endedContext(r *room) {
	r.put("k", Bytes(10, 2))
	cancelled, cancel := context.WithCancel(r.ctx)
	cancel()
	late, cancel := context.WithDeadline(r.ctx, time.Now().Add(-time.Second))
	defer cancel()
	for name, call := range r.calls(r.blobs) {
		r.is(name, call(cancelled), context.Canceled)
		err := call(late)
		r.is(name, err, context.DeadlineExceeded)
		if errors.Is(err, storage.ErrUnavailable) {
			r.Errorf("%s: the caller's end is not the store's trouble: %v", name, err)
		}
		if strings.Contains(err.Error(), "ignature=") {
			r.Errorf("%s: %v", name, err)
		}
	}
	r.holds("k", Bytes(10, 2))
}
