package uploads

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage"
	"trellis/storage/content"
)

// Incoming is a file that has come in whole.
type Incoming struct {
	// ID is that of the upload that is made.
	ID string
	// Name and Claimed are what the client calls it, and says it is.
	Name, Claimed string
	// Parent is the node that it belongs to; whoever sends it if zero.
	Parent graph.Ref
	// PictureOf is the node that gets it as its icon or avatar, which is then its
	// parent as well.
	PictureOf graph.Ref
	// IfMatch is the revision of that node that the caller relies on; 0 for any.
	IfMatch graph.Revision
	Bytes   *storage.Spooled
}

// Add stores the file as a new upload. Besides the errors of identity.Apply it
// returns a *content.Refusal, a *QuotaError, or one of package storage.
func (s *Service) Add(ctx context.Context, caller identity.Caller, in Incoming, o identity.ApplyOptions) (identity.Outcome, error) {
	if in.Parent.IsZero() {
		in.Parent = caller.Subject
	}
	muts := func(f *identity.File) []identity.Mutation {
		m := []identity.Mutation{{Op: identity.OpStoreUpload, Node: ref(in.ID), File: f}}
		if !in.PictureOf.IsZero() {
			r := ref(in.ID)
			m = append(m, identity.Mutation{Op: identity.OpPutPicture, Node: in.PictureOf, Picture: &r, IfMatch: in.IfMatch})
		}
		return m
	}
	if !in.PictureOf.IsZero() {
		in.Parent = in.PictureOf
	}
	// Whoever may not is told so before anything is looked at or stored.
	if _, err := s.identity.Apply(ctx, caller, muts(&identity.File{Name: "file", ContentType: "image/png", Parent: in.Parent, Picture: !in.PictureOf.IsZero()}), identity.ApplyOptions{Dry: true}); err != nil {
		return identity.Outcome{}, err
	}
	if err := s.own(ctx); err != nil {
		return identity.Outcome{}, err
	}
	free, err := s.reserve(in.Parent, caller.Subject, in.Bytes.Size)
	if err != nil {
		return identity.Outcome{}, err
	}
	defer free()
	f, err := s.inspect(ctx, in.Bytes, in.Claimed)
	if err != nil {
		return identity.Outcome{}, err
	}
	if !in.PictureOf.IsZero() && f.Type == content.PDF {
		return identity.Outcome{}, &content.Refusal{Kind: content.NotAllowed, Reason: "an icon or avatar must be an image"}
	}
	file := &identity.File{Name: Filename(in.Name, f.Extension), Parent: in.Parent, Picture: !in.PictureOf.IsZero()}
	out, err := s.keep(ctx, f, file, func() (identity.Outcome, error) { return s.identity.Apply(ctx, caller, muts(file), o) })
	if err == nil {
		s.Tidy() // a picture may have been replaced
	}
	return out, err
}

func ref(id string) graph.Ref { return graph.Ref{Type: identity.Upload, ID: id} }

// reserve sets room aside in the quotas of the organization of a node and of whoever sends.
func (s *Service) reserve(parent, creator graph.Ref, size int64) (func(), error) {
	org := ""
	if s.OrganizationQuota > 0 {
		org = s.identity.Tenant(parent)
	}
	list := accounts(org, creator)
	limits := []int64{s.OrganizationQuota, s.CreatorQuota}
	return s.ledger.reserve(list, limits[len(limits)-len(list):], size)
}

// maxTries bounds how often bytes are put again because the blob that they were
// put for was given up meanwhile.
const maxTries = 5

// keep stores what is in f and has write make the upload of it, with file saying what it is.
func (s *Service) keep(ctx context.Context, f *inspected, file *identity.File, write func() (identity.Outcome, error)) (identity.Outcome, error) {
	file.ContentType, file.Size, file.SHA256 = f.Type, f.Size, hex.EncodeToString(f.SHA256[:])
	file.Width, file.Height, file.Thumbnail = f.Width, f.Height, f.fault
	for try := 1; ; try++ {
		b, err := s.blobFor(ctx, f)
		if err != nil {
			return identity.Outcome{}, err
		}
		if err := s.put(ctx, b.Ref.ID, f); err != nil {
			return identity.Outcome{}, err
		}
		file.Blob, file.BlobAt = b.Ref, b.Revision
		out, err := write()
		if err == nil {
			s.vitals.note(func(h *Health) { h.Stored++ })
			return out, nil
		}
		if !givenUp(err, b.Ref) {
			return out, err
		}
		if try == maxTries {
			return out, errBusy()
		}
	}
}

// givenUp tells whether a write failed because the blob is not what it was, or
// is not there any more.
func givenUp(err error, blob graph.Ref) bool {
	var e *graph.Error
	return errors.As(err, &e) && (e.Kind == graph.Stale || e.Kind == graph.NotFound) && e.Ref == blob
}

func errBusy() error {
	return graph.Errorf(graph.Unavailable, "the same file is sent and deleted by too many at once")
}

// blobName is the unique name of the blob of some content.
func blobName(sha256 string) string { return "blob:" + sha256 }

// blobFor finds the blob of the content, or makes it.
func (s *Service) blobFor(ctx context.Context, f *inspected) (graph.Node, error) {
	sum := hex.EncodeToString(f.SHA256[:])
	for range maxTries {
		a, err := s.graph.Store().Ask(ctx, graph.Question{Name: graph.NodesByName, Names: []string{blobName(sum)}, Limit: 1})
		if err != nil || len(a.Nodes) > 0 {
			if err != nil {
				return graph.Node{}, err
			}
			return a.Nodes[0], nil
		}
		n := graph.Node{Ref: graph.Ref{Type: identity.Blob, ID: s.identity.NewID()}, Names: []string{blobName(sum)}, Props: graph.Props{
			identity.PropSize: f.Size, identity.PropSHA256: sum, identity.PropContentType: f.Type,
		}}
		res, err := s.system(ctx, graph.RequireAbsent(n.Ref), graph.Put(n))
		if err == nil {
			n.Revision = res.Revision
			return n, nil
		}
		if graph.KindOf(err) != graph.Exists {
			return graph.Node{}, err
		}
	}
	return graph.Node{}, errBusy()
}

// system writes what the service does on its own account.
func (s *Service) system(ctx context.Context, steps ...graph.Step) (graph.Result, error) {
	return s.graph.Write(ctx, graph.Batch{Actor: graph.Root, Origin: graph.Origin{RequestID: "uploads"}, Steps: steps})
}

// put stores the bytes and the thumbnail below the blob's key.
func (s *Service) put(ctx context.Context, blob string, f *inspected) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
		}
		return s.blobs.Put(ctx, original(blob), f, storage.Object{Size: f.Size, SHA256: f.SHA256, ContentType: f.Type})
	})
	if f.thumb != nil {
		g.Go(func() error { return s.putPicture(ctx, sized(blob, ThumbnailSize), f.thumb.WEBP) })
	}
	return g.Wait()
}
