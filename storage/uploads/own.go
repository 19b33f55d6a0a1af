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
	owner, err := s.owner(ctx)
	if err != nil {
		return err
	}
	if owner != info.Store {
		s.owned.Store(false)
		if owner != "" && (!s.TakeOver || s.was.Load()) {
			return ErrForeign
		}
		if err := s.adopt(ctx, info.Store); err != nil {
			return err
		}
	}
	s.owned.Store(true)
	s.was.Store(true)
	return nil
}

func (s *Service) owner(ctx context.Context) (string, error) {
	r, err := s.blobs.Open(ctx, ownerKey, storage.Range{})
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

func (s *Service) adopt(ctx context.Context, store string) error {
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
	known := 0
	if len(refs) > 0 {
		found, err := s.graph.Store().Nodes(ctx, refs)
		if err != nil {
			return err
		}
		known = len(found)
	}
	if known == 0 && len(refs) > 0 {
		return ErrForeign
	}
	text := store + "\n"
	return s.blobs.Put(ctx, ownerKey, strings.NewReader(text), storage.Object{Size: int64(len(text)), SHA256: sha256.Sum256([]byte(text)), ContentType: "text/plain"})
}
