package uploads

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/storage"
)

// Copy copies the files of a graph from one place to another, also while servers
// use it. What is there already with the same hash is left as it is, so a run that
// was interrupted goes on where it ended, and a later one fetches what came
// meanwhile. Nothing is removed, on either side.
type Copy struct {
	From, To storage.Blobs
	Spool    *storage.Spool
	// Parallel is how many objects are copied at once; 8.
	Parallel int
	// Report is told what was done so far after each object, Damaged which object
	// cannot be read as it was stored, and why; one call at a time. Both are needed.
	Report  func(Copied)
	Damaged func(storage.Key, error)

	mu   sync.Mutex
	done Copied
}

// Copied tells what a Copy did.
type Copied struct {
	Objects int   // copied
	Bytes   int64 // of those
	Same    int   // there already
	Damaged int   // cannot be read
}

var (
	// ErrUnowned says that no graph has stored anything in a place.
	ErrUnowned = errors.New("uploads: no graph has stored files in this place")
	// ErrDamaged says that a copy lacks objects that cannot be read as they were
	// stored. It is not marked as whole then.
	ErrDamaged = errors.New("uploads: files are damaged")
)

// Run copies. The object that says whose the place is comes last, so that one
// which has it was copied whole. A place of another graph is ErrForeign, and so is
// one of which none of the files are known here. After any other error it can be
// run again.
func (c *Copy) Run(ctx context.Context) (Copied, error) {
	owner, err := ownerOfPlace(ctx, c.From)
	if err != nil {
		return c.done, err
	}
	if owner == "" {
		return c.done, ErrUnowned
	}
	switch to, err := ownerOfPlace(ctx, c.To); {
	case err != nil:
		return c.done, err
	case to == "":
		if err := c.known(ctx); err != nil {
			return c.done, err
		}
	case to != owner:
		return c.done, ErrForeign
	}
	if err := c.all(ctx); err != nil {
		return c.done, err
	}
	if c.done.Damaged > 0 {
		return c.done, ErrDamaged
	}
	return c.done, takePlace(ctx, c.To, owner)
}

// known refuses a place without an owner whose files are of another graph: once it
// was named as this one's, a sweep would remove them.
func (c *Copy) known(ctx context.Context) error {
	list, err := c.To.List(ctx, "", "", listed)
	if err != nil {
		return err
	}
	strange := false
	for i := range list {
		if _, ours := ownerOf(list[i].Key); !ours {
			continue
		}
		_, err := c.From.Stat(ctx, list[i].Key)
		if err == nil || errors.Is(err, storage.ErrMismatch) {
			return nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		strange = true
	}
	if strange {
		return ErrForeign
	}
	return nil
}

// copied is how many objects are listed at once to be copied: more than elsewhere,
// as a directory is read as a whole each time.
const copied = 10 * listed

func (c *Copy) all(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if c.Parallel <= 0 {
		c.Parallel = 8
	}
	g.SetLimit(c.Parallel)
	var failed error
	for after := storage.Key(""); failed == nil; {
		var list []storage.Info
		if list, failed = c.From.List(ctx, "", after, copied); len(list) == 0 {
			break
		}
		for i := range list {
			// What else is in a bucket is nobody's business.
			if _, ours := ownerOf(list[i].Key); ours && ctx.Err() == nil {
				g.Go(func() error { return c.persist(ctx, list[i].Key) })
			}
		}
		after = list[len(list)-1].Key
	}
	if err := g.Wait(); err != nil { // it made the listing fail
		return err
	}
	return failed
}

// persist copies an object, and tries again where that may help.
func (c *Copy) persist(ctx context.Context, key storage.Key) error {
	for try := 1; ; try++ {
		err := c.object(ctx, key)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, storage.ErrNotFound):
			return nil // it was deleted meanwhile
		case errors.Is(err, ErrDamaged):
			c.note(func(done *Copied) { done.Damaged++; c.Damaged(key, err) })
			return nil
		case !errors.Is(err, storage.ErrUnavailable) || try == 3:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
}

func (c *Copy) note(what func(*Copied)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what(&c.done)
	c.Report(c.done)
}

func (c *Copy) object(ctx context.Context, key storage.Key) error {
	there, err := c.To.Stat(ctx, key)
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrMismatch):
	case err != nil:
		return err
	case there.SHA256 != [32]byte{}:
		here, err := c.From.Stat(ctx, key)
		if err != nil {
			return unreadable(ctx, err)
		}
		if here.SHA256 == there.SHA256 && here.Size == there.Size && here.ContentType == there.ContentType {
			c.note(func(done *Copied) { done.Same++ })
			return nil
		}
	}
	r, err := c.From.Open(ctx, key, storage.Range{})
	if err != nil {
		return unreadable(ctx, err)
	}
	defer r.Body.Close() // what counts is what was read
	f, err := c.Spool.Take(ctx, r.Body, r.Size)
	if err != nil {
		return unreadable(ctx, err)
	}
	defer f.Close() // it has no name
	o := storage.Object{Size: f.Size, SHA256: f.SHA256, ContentType: r.ContentType}
	if f.Size != r.Size || r.SHA256 != [32]byte{} && f.SHA256 != r.SHA256 || !o.Valid() {
		return fmt.Errorf("%w: %q is not what was stored", ErrDamaged, key)
	}
	if err := c.To.Put(ctx, key, f, o); err != nil {
		return err
	}
	c.note(func(done *Copied) { done.Objects++; done.Bytes += f.Size })
	return nil
}

// unreadable tells an object that is damaged from a place that is not to be had.
func unreadable(ctx context.Context, err error) error {
	for _, other := range []error{storage.ErrUnavailable, storage.ErrNotFound, storage.ErrRefused, storage.ErrClosed} {
		if errors.Is(err, other) {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
