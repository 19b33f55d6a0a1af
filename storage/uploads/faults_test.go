package uploads_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"trellis/graph"
	"trellis/storage"
)

// moment is where in a call something is done.
type moment string

const (
	before moment = "before"
	during moment = "during"
	after  moment = "after"
)

// faults are called at every step that a process makes: what it writes to its
// store, stores among its blobs, or deletes there.
type faults struct {
	mu    sync.Mutex
	steps []string
	on    atomic.Bool
	// at is told the number of the step, which what does.
	at func(step int, when moment, what string)
}

// step counts a step, and returns what is to be called at its moments.
func (f *faults) step(what string) func(moment) {
	if !f.on.Load() {
		return func(moment) {}
	}
	f.mu.Lock()
	f.steps = append(f.steps, what)
	n := len(f.steps)
	f.mu.Unlock()
	return func(m moment) { f.at(n, m, what) }
}

// list returns the steps so far.
func (f *faults) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.steps)
}

// killAt makes the faults end the process at the moment of a step.
func killAt(step int, when moment) *faults {
	return &faults{at: func(n int, m moment, _ string) {
		if n == step && m == when {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // no instruction after it
		}
	}}
}

type faultyStore struct {
	graph.Store
	*faults
}

func (s *faultyStore) Commit(ctx context.Context, group []graph.Batch) ([]graph.Result, error) {
	dry := true
	for i := range group {
		dry = dry && group[i].Dry
	}
	if dry {
		return s.Store.Commit(ctx, group)
	}
	at := s.step("commit")
	at(before)
	out, err := s.Store.Commit(ctx, group)
	at(after)
	return out, err
}

type faultyBlobs struct {
	storage.Blobs
	*faults
}

func (b *faultyBlobs) Put(ctx context.Context, key storage.Key, r io.ReadSeeker, o storage.Object) error {
	at := b.step("put " + string(key))
	at(before)
	err := b.Blobs.Put(ctx, key, &halfway{r, at, 0, o.Size / 2}, o)
	at(after)
	return err
}

func (b *faultyBlobs) Create(ctx context.Context, key storage.Key, r io.ReadSeeker, o storage.Object) error {
	at := b.step("create " + string(key))
	at(before)
	err := b.Blobs.Create(ctx, key, &halfway{r, at, 0, o.Size / 2}, o)
	at(after)
	return err
}

func (b *faultyBlobs) Delete(ctx context.Context, keys ...storage.Key) error {
	if len(keys) == 0 {
		return b.Blobs.Delete(ctx)
	}
	at := b.step(fmt.Sprintf("delete %d %s", len(keys), keys[0]))
	at(before)
	// The last one alone, so that there is a middle.
	most := len(keys) - 1
	if most > 0 {
		if err := b.Blobs.Delete(ctx, keys[:most]...); err != nil {
			return err
		}
		at(during)
	}
	err := b.Blobs.Delete(ctx, keys[most])
	at(after)
	return err
}

// halfway says when half of it was read.
type halfway struct {
	io.ReadSeeker
	at         func(moment)
	read, half int64
}

func (h *halfway) Read(p []byte) (int, error) {
	if left := h.half - h.read; left > 0 && int64(len(p)) > left {
		p = p[:left]
	}
	n, err := h.ReadSeeker.Read(p)
	if h.read += int64(n); h.read == h.half {
		h.at(during)
	}
	return n, err
}
