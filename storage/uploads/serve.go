package uploads

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage"
	"trellis/storage/thumbnail"
)

// Content says where something that can be shown is.
type Content struct {
	Key         storage.Key
	ContentType string
	// Tag names the bytes: the same tag means the same bytes.
	Tag string
	// Name is what a file of it is to be called.
	Name string
	// Size is how many bytes there are; 0 if nobody has looked yet.
	Size int64
}

// Original finds the bytes of an upload. ErrPending if it is not complete.
func (s *Service) Original(ctx context.Context, n *graph.Node) (Content, error) {
	blob, err := s.blobOf(ctx, n)
	if err != nil {
		return Content{}, err
	}
	return Content{Key: original(blob), ContentType: n.Props.String(identity.PropContentType), Tag: n.Props.String(identity.PropSHA256), Name: n.Props.String(identity.PropFilename)}, nil
}

// Thumbnail finds the picture of an upload in one of Sizes, and makes it if it
// has not been made yet. A *NoThumbnailError if there can be none.
func (s *Service) Thumbnail(ctx context.Context, n *graph.Node, size int) (Content, error) {
	blob, err := s.blobOf(ctx, n)
	if err != nil {
		return Content{}, err
	}
	if why := n.Props.String(identity.PropThumbnail); why != "" {
		return Content{}, &NoThumbnailError{Reason: why}
	}
	key := sized(blob, size)
	info, err := s.blobs.Stat(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		err = s.making.do(ctx, string(key), func(ctx context.Context) error {
			return s.noted(ctx, n, s.make(ctx, blob, n.Props.String(identity.PropContentType), size))
		})
	}
	if err != nil {
		return Content{}, err
	}
	name := n.Props.String(identity.PropFilename)
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		name = name[:dot]
	}
	return Content{Key: key, ContentType: "image/webp", Tag: fmt.Sprintf("%s-%d", n.Props.String(identity.PropSHA256), size), Name: name + ".webp", Size: info.Size}, nil
}

// noted writes down that there can be no thumbnail, so that it is not tried each
// time that somebody asks.
func (s *Service) noted(ctx context.Context, n *graph.Node, err error) error {
	var none *NoThumbnailError
	if !errors.As(err, &none) {
		return err
	}
	props := n.Props.Clone()
	props[identity.PropThumbnail] = none.Reason
	if _, failed := s.system(ctx, graph.RequireAt(n.Ref, n.Revision), graph.Put(graph.Node{Ref: n.Ref, Names: n.Names, Props: props})); failed != nil && !moved(failed) {
		s.Log.WarnContext(ctx, "that an upload has no thumbnail could not be written down", "upload", n.Ref.ID, "error", failed)
	}
	return err
}

// make makes a picture unless it is there.
func (s *Service) make(ctx context.Context, blob, contentType string, size int) error {
	if _, err := s.blobs.Stat(ctx, sized(blob, size)); !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if size == ThumbnailSize {
		return s.picture(ctx, blob, contentType)
	}
	big, err := s.readPicture(ctx, sized(blob, ThumbnailSize))
	if errors.Is(err, storage.ErrNotFound) {
		if err = s.picture(ctx, blob, contentType); err == nil {
			big, err = s.readPicture(ctx, sized(blob, ThumbnailSize))
		}
	}
	if err != nil {
		return err
	}
	p, err := s.maker.Shrink(ctx, big, size)
	if err != nil {
		return err
	}
	return s.putPicture(ctx, sized(blob, size), p.WEBP)
}

// picture makes the first picture from the original.
func (s *Service) picture(ctx context.Context, blob, contentType string) error {
	r, err := s.blobs.Open(ctx, original(blob), storage.Range{})
	if err != nil {
		return lost(err)
	}
	defer r.Body.Close() // what counts is what was read
	f, err := s.spool.Take(ctx, r.Body, r.Size)
	if err != nil {
		return err
	}
	defer f.Close() // it was read, and has no name
	pictures, err := s.maker.Make(ctx, f, contentType, ThumbnailSize)
	if errors.Is(err, thumbnail.ErrDamaged) || errors.Is(err, thumbnail.ErrTooExpensive) || errors.Is(err, thumbnail.ErrUnsupported) || errors.Is(err, thumbnail.ErrTooManyPixels) {
		return &NoThumbnailError{Reason: reason(err)}
	}
	if err != nil {
		return err
	}
	return s.putPicture(ctx, sized(blob, ThumbnailSize), pictures[0].WEBP)
}

// maxPicture is more than any picture that we make is.
const maxPicture = 1 << 20

func (s *Service) readPicture(ctx context.Context, key storage.Key) ([]byte, error) {
	r, err := s.blobs.Open(ctx, key, storage.Range{})
	if err != nil {
		return nil, err
	}
	defer r.Body.Close() // what counts is what was read
	return io.ReadAll(io.LimitReader(r.Body, maxPicture))
}

func (s *Service) putPicture(ctx context.Context, key storage.Key, webp []byte) error {
	return s.blobs.Put(ctx, key, bytes.NewReader(webp), storage.Object{Size: int64(len(webp)), SHA256: sha256.Sum256(webp), ContentType: "image/webp"})
}

// blobOf finds the blob of an upload.
func (s *Service) blobOf(ctx context.Context, n *graph.Node) (string, error) {
	if n.Props.String(identity.PropState) != identity.StateReady {
		return "", ErrPending
	}
	if _, blob, ok := s.ledger.Get(n.Ref.ID); ok && blob != "" {
		return blob, nil
	}
	// Another process wrote it, and this one has not heard of it yet.
	a, err := s.graph.Store().Ask(ctx, graph.Question{Name: graph.EdgesFrom, Ref: n.Ref, Kind: identity.StoredAs, Limit: 1})
	if err != nil {
		return "", err
	}
	if len(a.Edges) == 0 {
		return "", graph.Errorf(graph.Corrupt, "%s has no bytes", n.Ref)
	}
	return a.Edges[0].To.ID, nil
}

// Sign returns the address at which anybody can read the content for a while,
// and until when. inline says that a browser may show it.
func (s *Service) Sign(ctx context.Context, c Content, inline bool) (string, time.Time, error) {
	g := storage.Get{Expires: s.Options.Sign, ContentType: c.ContentType, Disposition: Disposition(c.Name, inline)}
	until := s.Now().Add(g.Expires)
	address, err := s.blobs.SignGet(ctx, c.Key, g)
	return address, until, err
}

// Open reads the content, or a part of it.
func (s *Service) Open(ctx context.Context, c Content, part storage.Range) (*storage.Reader, error) {
	r, err := s.blobs.Open(ctx, c.Key, part)
	return r, lost(err)
}

// Stat tells how large the content is.
func (s *Service) Stat(ctx context.Context, c Content) (storage.Info, error) {
	i, err := s.blobs.Stat(ctx, c.Key)
	return i, lost(err)
}

func lost(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}
