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
	if err := s.may(ctx, caller, muts(&identity.File{Name: "file", ContentType: "image/png", Parent: in.Parent, Picture: !in.PictureOf.IsZero()})); err != nil {
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
	out, err := s.keep(ctx, f, file, func(ctx context.Context) (identity.Outcome, error) {
		return s.identity.Apply(ctx, caller, muts(file), o)
	})
	if err == nil && !in.PictureOf.IsZero() {
		s.Tidy() // another picture may have been replaced
	}
	return out, err
}

// may finds out whether the caller may do it, before anything is looked at or
// stored, and before a quota tells of an organization that is none of theirs.
func (s *Service) may(ctx context.Context, caller identity.Caller, muts []identity.Mutation) error {
	_, err := s.identity.Apply(ctx, caller, muts, identity.ApplyOptions{Dry: true})
	return err
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
const maxTries = 10

// keep stores what is in f and has write make the upload of it, with file saying what it is.
func (s *Service) keep(ctx context.Context, f *inspected, file *identity.File, write func(context.Context) (identity.Outcome, error)) (identity.Outcome, error) {
	// A sweep takes bytes that are older than Grace and have no node for lost.
	ctx, cancel := context.WithTimeout(ctx, s.Grace/2)
	defer cancel()
	file.ContentType, file.Size, file.SHA256 = f.Type, f.Size, hex.EncodeToString(f.SHA256[:])
	file.Width, file.Height, file.Thumbnail = f.Width, f.Height, f.fault
	for try := 1; ; try++ {
		var err error
		if file.Blob, file.BlobAt, err = s.blobFor(ctx, file.SHA256); err != nil {
			return identity.Outcome{}, err
		}
		if err := s.put(ctx, file.Blob.ID, f); err != nil {
			return identity.Outcome{}, err
		}
		out, err := write(ctx)
		if err == nil {
			s.vitals.note(func(h *Health) { h.Stored++ })
			return out, nil
		}
		if file.BlobAt == 0 {
			s.abandon(ctx, file.Blob, err)
		}
		if !overtaken(err, file.Blob) {
			return out, err
		}
		if try == maxTries {
			return out, graph.Errorf(graph.Unavailable, "the same file is sent and deleted by too many at once")
		}
	}
}

// overtaken tells whether a write failed because the blob was given up, or because
// the content has another one by now.
func overtaken(err error, blob graph.Ref) bool {
	var e *graph.Error
	if !errors.As(err, &e) {
		return false
	}
	return (e.Kind == graph.Stale || e.Kind == graph.NotFound) && e.Ref == blob || e.Kind == graph.Exists && e.Ref.Type == identity.Blob
}

// blobFor finds the blob of the content. If there is none, it names a new one.
func (s *Service) blobFor(ctx context.Context, sha256 string) (graph.Ref, graph.Revision, error) {
	a, err := s.graph.Store().Ask(ctx, graph.Question{Name: graph.NodesByName, Names: []string{identity.BlobName(sha256)}, Limit: 1})
	if err != nil {
		return graph.Ref{}, 0, err
	}
	if len(a.Nodes) > 0 {
		return a.Nodes[0].Ref, a.Nodes[0].Revision, nil
	}
	return graph.Ref{Type: identity.Blob, ID: s.identity.NewID()}, 0, nil
}

// abandon removes what was put for a blob that was not made. Where it is open
// whether it was, a sweep will find out.
func (s *Service) abandon(ctx context.Context, blob graph.Ref, err error) {
	switch graph.KindOf(err) {
	case graph.Unavailable, graph.Canceled, graph.Closed, graph.Internal:
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTime)
	defer cancel()
	if err := s.deleteBelow(ctx, below(blob)); err != nil {
		s.Log.WarnContext(ctx, "the bytes of an upload that was refused could not be removed yet", "blob", blob.ID, "error", err)
	}
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
