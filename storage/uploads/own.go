package uploads

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"

	"trellis/graph"
	"trellis/storage"
)

// ErrForeign says that the objects belong to another graph. Nothing is stored
// among them, and nothing removed: to a sweep all of them would look lost.
var ErrForeign = errors.New("uploads: the files in this place belong to another graph")

// ownerKey is that of the object that names the store of the graph.
const ownerKey storage.Key = "owner"

// own makes sure, once, that the objects are those of this graph.
func (s *Service) own(ctx context.Context) error {
	if s.owned.Load() {
		return nil
	}
	return s.claim(ctx)
}

// claim looks whose the objects are, and writes that down where nobody has yet.
// Objects named as another graph's are taken over only if that is asked for, and
// nodes of this one stand for them: then it was moved to another store. A copy of a
// graph that is tried out beside the original would sweep away what is new there.
// A process whose objects were taken over does not take them back.
func (s *Service) claim(ctx context.Context) error {
	info, err := s.graph.Store().Info(ctx)
	if err != nil {
		return err
	}
	owner, err := ownerOfPlace(ctx, s.blobs)
	if err != nil {
		return err
	}
	if owner != info.Store {
		s.owned.Store(false)
		if owner != "" && (!s.TakeOver || s.was.Load()) {
			return ErrForeign
		}
		if err := s.known(ctx); err != nil {
			return err
		}
		if owner == "" {
			err = takePlace(ctx, s.blobs, info.Store)
		} else {
			err = writeOwner(ctx, s.blobs.Put, info.Store)
		}
		if err != nil {
			return err
		}
	}
	s.owned.Store(true)
	s.was.Store(true)
	return nil
}

// ownerOfPlace returns the store that the objects are named as those of; "" if of none.
func ownerOfPlace(ctx context.Context, blobs storage.Blobs) (string, error) {
	r, err := blobs.Open(ctx, ownerKey, storage.Range{})
	if errors.Is(err, storage.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer r.Body.Close() // what counts is what was read
	b, err := io.ReadAll(io.LimitReader(r.Body, 256))
	return strings.TrimSpace(string(b)), err
}

// takePlace names the objects as those of the store, unless somebody else was
// faster: of any number at once, one has them.
func takePlace(ctx context.Context, blobs storage.Blobs, store string) error {
	err := writeOwner(ctx, blobs.Create, store)
	if !errors.Is(err, storage.ErrExists) {
		return err
	}
	owner, err := ownerOfPlace(ctx, blobs)
	if err == nil && owner != store {
		err = ErrForeign
	}
	return err
}

// writeOwner writes the name by Put or Create.
func writeOwner(ctx context.Context, write func(context.Context, storage.Key, io.ReadSeeker, storage.Object) error, store string) error {
	text := store + "\n"
	return write(ctx, ownerKey, strings.NewReader(text), storage.Object{Size: int64(len(text)), SHA256: sha256.Sum256([]byte(text)), ContentType: "text/plain"})
}

// known makes sure that nodes stand for some of the objects, if there are any.
func (s *Service) known(ctx context.Context) error {
	list, err := s.blobs.List(ctx, "", "", listed)
	if err != nil {
		return err
	}
	var refs []graph.Ref
	for i := range list {
		if r, ok := ownerOf(list[i].Key); ok {
			refs = append(refs, r)
		}
	}
	if len(refs) == 0 {
		return nil
	}
	found, err := s.graph.Store().Nodes(ctx, refs)
	if err == nil && len(found) == 0 {
		err = ErrForeign
	}
	return err
}
