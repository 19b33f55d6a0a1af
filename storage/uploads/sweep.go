package uploads

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage"
)

// Swept tells what a sweep found.
type Swept struct {
	Overdue int // announced uploads that were never completed, removed
	Blobs   int // blobs that nothing led to, removed with their objects
	Objects int // objects without a node, removed
	Missing int // blobs whose bytes are not there: those of a store that was replaced
}

// Tidy has Run remove soon what nothing leads to any more.
func (s *Service) Tidy() {
	select {
	case s.kick <- struct{}{}:
	default: // it will come anyway
	}
}

// Deleted has what an upload that was deleted leaves behind removed soon.
func (s *Service) Deleted(ctx context.Context, id string) {
	// If this fails, a sweep will find it.
	if err := s.blobs.Delete(ctx, arriving(id)); err != nil {
		s.Log.WarnContext(ctx, "what arrived for an upload that was deleted could not be removed yet", "upload", id, "error", err)
	}
	s.Tidy()
}

// How often Run looks for what can go, and at every object.
const (
	tidyEvery  = time.Minute
	sweepEvery = 24 * time.Hour
)

// Run removes what nothing needs, until ctx ends. Any number of processes may
// do so for one graph. It looks at every object when Grace has passed since its
// start: then what was there before it, and has no node, is old enough to be lost.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	next := s.Now().Add(s.Grace)
	s.look(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look(ctx)
		case <-s.kick:
		}
		sweep, whole := s.Discard, !s.Now().Before(next)
		if whole {
			sweep, next = s.Sweep, s.Now().Add(sweepEvery)
		}
		done, err := sweep(ctx)
		if whole && err != nil {
			next = s.Now().Add(s.Grace)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			s.Log.WarnContext(ctx, "files that nothing needs could not all be removed; they will be tried again", "error", err)
		case done.Missing > 0:
			s.Log.ErrorContext(ctx, "the bytes of uploads are missing", "blobs", done.Missing)
		}
	}
}

// Discard removes announced uploads whose time is over, and blobs that nothing
// leads to, with their objects.
func (s *Service) Discard(ctx context.Context) (done Swept, err error) {
	s.swept.Lock()
	defer s.swept.Unlock()
	before := s.Now().Add(-s.Grace)
	var faults []error
	for _, u := range s.ledger.overdue(before) {
		if err := s.forget(ctx, u.ID, u.Revision); err == nil {
			done.Overdue++
		} else if !moved(err) {
			faults = append(faults, err)
		}
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
	}
	for _, id := range s.ledger.loose() {
		if err := s.discard(ctx, graph.Ref{Type: identity.Blob, ID: id}); err == nil {
			done.Blobs++
		} else if !moved(err) {
			faults = append(faults, err)
		}
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
	}
	return done, errors.Join(faults...)
}

// moved tells whether an error says that somebody else was quicker, or that the
// thing is needed after all.
func moved(err error) bool {
	switch graph.KindOf(err) {
	case graph.Stale, graph.InUse, graph.NotFound:
		return true
	}
	return false
}

// discard removes a blob: first its name, unless something leads to it, then its
// objects, then the node.
func (s *Service) discard(ctx context.Context, r graph.Ref) error {
	found, err := s.graph.Store().Nodes(ctx, []graph.Ref{r})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &graph.Error{Kind: graph.NotFound, Ref: r}
	}
	if n := found[0]; !n.Props.Bool(propCondemned) {
		p := n.Props.Clone()
		p[propCondemned] = true
		if _, err := s.system(ctx, graph.RequireAt(r, n.Revision), graph.RequireLeaf(r, identity.StoredAs), graph.Put(graph.Node{Ref: r, Props: p})); err != nil {
			return err
		}
	}
	if err := s.deleteBelow(ctx, below(r)); err != nil {
		return err
	}
	_, err = s.system(ctx, graph.RequireLeaf(r, identity.StoredAs), graph.Delete(r))
	return err
}

// listed is how many objects are listed at once.
const listed = 1000

func (s *Service) deleteBelow(ctx context.Context, prefix string) error {
	for {
		list, err := s.blobs.List(ctx, prefix, "", listed)
		if err != nil || len(list) == 0 {
			return err
		}
		keys := make([]storage.Key, len(list))
		for i := range list {
			keys[i] = list[i].Key
		}
		if err := s.blobs.Delete(ctx, keys...); err != nil {
			return err
		}
	}
}

// Sweep does what Discard does, and looks at every object: one that is older
// than Grace and has no node is removed; a blob without its bytes is counted.
func (s *Service) Sweep(ctx context.Context) (Swept, error) {
	done, err := s.Discard(ctx)
	if err != nil {
		return done, err
	}
	if err := s.claim(ctx); err != nil {
		return done, err
	}
	before := s.Now().Add(-s.Grace)
	stored := s.ledger.stored(before)
	for after := storage.Key(""); ; {
		list, err := s.blobs.List(ctx, "", after, listed)
		if err != nil {
			return done, err
		}
		if len(list) == 0 {
			break
		}
		after = list[len(list)-1].Key
		n, err := s.orphans(ctx, list, before, stored)
		done.Objects += n
		if err != nil {
			return done, err
		}
	}
	defer func() { s.vitals.note(func(h *Health) { h.Last = done }) }()
	for id, there := range stored {
		if there {
			continue
		}
		// It may have gone, or come, since the list was made.
		if _, err := s.blobs.Stat(ctx, original(id)); errors.Is(err, storage.ErrNotFound) && s.ledger.needs(id) {
			done.Missing++
			s.Log.ErrorContext(ctx, "the bytes of uploads are missing", "blob", id)
		}
	}
	return done, nil
}

// orphans removes those of the objects that are older than the time and have no
// node, and notes whose originals are there.
func (s *Service) orphans(ctx context.Context, list []storage.Info, before time.Time, stored map[string]bool) (int, error) {
	owners := map[storage.Key]graph.Ref{}
	var refs []graph.Ref
	for i := range list {
		o := &list[i]
		r, ok := ownerOf(o.Key)
		if !ok {
			continue // not ours: the bucket holds something else as well
		}
		if _, known := stored[r.ID]; known && o.Key == original(r.ID) {
			stored[r.ID] = true
		}
		if o.Modified.Before(before) {
			owners[o.Key] = r
			refs = append(refs, r)
		}
	}
	if len(refs) == 0 {
		return 0, nil
	}
	slices.SortFunc(refs, graph.CompareRefs)
	found, err := s.graph.Store().Nodes(ctx, slices.Compact(refs))
	if err != nil {
		return 0, err
	}
	there := map[graph.Ref]bool{}
	for i := range found {
		n := &found[i]
		// What arrived for an upload that is complete has been stored elsewhere.
		there[n.Ref] = n.Ref.Type == identity.Blob || n.Props.String(identity.PropState) == identity.StatePending
	}
	var lost []storage.Key
	for key, r := range owners {
		if !there[r] {
			lost = append(lost, key)
		}
	}
	return len(lost), s.blobs.Delete(ctx, lost...)
}

// ownerOf returns the node that an object belongs to; false if we would not make
// such a key.
func ownerOf(k storage.Key) (graph.Ref, bool) {
	kind, rest, _ := strings.Cut(string(k), "/")
	id, name, below := strings.Cut(rest, "/")
	switch {
	case kind == "blobs" && below && id != "" && name != "":
		return graph.Ref{Type: identity.Blob, ID: id}, true
	case kind == "arriving" && !below && id != "":
		return ref(id), true
	}
	return graph.Ref{}, false
}
