package uploads

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage"
	"trellis/storage/content"
)

// Announcement is a file that is to be sent straight to where bytes are kept.
type Announcement struct {
	ID          string
	Name        string
	ContentType string
	Parent      graph.Ref
	Size        int64
	SHA256      [32]byte
}

// Announce makes a pending upload.
func (s *Service) Announce(ctx context.Context, caller identity.Caller, a Announcement, o identity.ApplyOptions) (identity.Outcome, error) {
	a.ContentType = content.Canonical(a.ContentType)
	extension := content.Extension(a.ContentType)
	if extension == "" {
		return identity.Outcome{}, &content.Refusal{Kind: content.NotAllowed, Reason: fmt.Sprintf("files of type %.100q are not kept", a.ContentType)}
	}
	if a.Size > s.MaxSize {
		return identity.Outcome{}, fmt.Errorf("%w: the limit is %d", storage.ErrTooLarge, s.MaxSize)
	}
	if a.Parent.IsZero() {
		a.Parent = caller.Subject
	}
	if err := s.own(ctx); err != nil {
		return identity.Outcome{}, err
	}
	muts := []identity.Mutation{{Op: identity.OpStoreUpload, Node: ref(a.ID), File: &identity.File{
		Name: Filename(a.Name, extension), Parent: a.Parent, ContentType: a.ContentType, Size: a.Size, SHA256: hex.EncodeToString(a.SHA256[:]), Due: s.Now().Add(s.Options.Announce),
	}}}
	if err := s.may(ctx, caller, muts); err != nil {
		return identity.Outcome{}, err
	}
	free, err := s.reserve(a.Parent, caller.Subject, a.Size)
	if err != nil {
		return identity.Outcome{}, err
	}
	defer free()
	return s.identity.Apply(ctx, caller, muts, o)
}

// Request returns the request by which the bytes of a pending upload are to be
// sent. It holds until the upload is due.
func (s *Service) Request(ctx context.Context, n *graph.Node) (storage.SignedRequest, error) {
	o, err := announced(n)
	if err != nil {
		return storage.SignedRequest{}, err
	}
	left := time.UnixMilli(n.Props.Int(identity.PropDue)).Sub(s.Now())
	return s.blobs.SignPut(ctx, arriving(n.Ref.ID), o, max(left, time.Second))
}

// announced reads what a pending upload is to be.
func announced(n *graph.Node) (storage.Object, error) {
	o := storage.Object{Size: n.Props.Int(identity.PropSize), ContentType: n.Props.String(identity.PropContentType)}
	sum, err := hex.DecodeString(n.Props.String(identity.PropSHA256))
	if err != nil || len(sum) != len(o.SHA256) {
		return o, graph.Errorf(graph.Corrupt, "%s has no hash", n.Ref)
	}
	copy(o.SHA256[:], sum)
	return o, nil
}

// Complete looks at what has arrived for a pending upload, and stores it. A file
// that is refused ends the upload, and what has arrived is removed. To complete
// an upload that is complete changes nothing. ErrNotArrived if there is nothing yet.
func (s *Service) Complete(ctx context.Context, caller identity.Caller, id string, o identity.ApplyOptions) (identity.Outcome, error) {
	n, err := s.node(ctx, id)
	if err != nil {
		return identity.Outcome{}, err
	}
	muts := func(f *identity.File) []identity.Mutation {
		return []identity.Mutation{{Op: identity.OpStoreUpload, Node: n.Ref, File: f, Arrived: true}}
	}
	if n.Props.String(identity.PropState) != identity.StatePending {
		return identity.Outcome{Revision: n.Revision}, nil
	}
	want, err := announced(&n)
	if err != nil {
		return identity.Outcome{}, err
	}
	if err := s.may(ctx, caller, muts(&identity.File{})); err != nil {
		return s.orComplete(ctx, id, err)
	}
	f, err := s.arrived(ctx, id, want)
	if err != nil {
		return s.orComplete(ctx, id, s.refuse(ctx, &n, err))
	}
	defer f.Close() // it was read, and has no name
	in, err := s.inspect(ctx, f, want.ContentType)
	if err != nil {
		return identity.Outcome{}, s.refuse(ctx, &n, err)
	}
	file := &identity.File{}
	out, err := s.keep(ctx, in, file, func(ctx context.Context) (identity.Outcome, error) {
		return s.identity.Apply(ctx, caller, muts(file), o)
	})
	if err != nil {
		return s.orComplete(ctx, id, err)
	}
	// If this fails, a sweep will find it.
	if err := s.blobs.Delete(ctx, arriving(id)); err != nil {
		s.Log.WarnContext(ctx, "what arrived for an upload is stored, but could not be removed yet", "upload", id, "error", err)
	}
	return out, nil
}

// orComplete is what a Complete that failed returns: no error if another one has
// completed the upload meanwhile.
func (s *Service) orComplete(ctx context.Context, id string, err error) (identity.Outcome, error) {
	var e *graph.Error
	changed := errors.As(err, &e) && e.Ref == ref(id) && (e.Kind == graph.Exists || e.Kind == graph.Stale)
	if !changed && !errors.Is(err, ErrNotArrived) {
		return identity.Outcome{}, err
	}
	n, failed := s.node(ctx, id)
	if failed != nil || n.Props.String(identity.PropState) == identity.StatePending {
		return identity.Outcome{}, err
	}
	return identity.Outcome{Revision: n.Revision}, nil
}

// node reads an upload.
func (s *Service) node(ctx context.Context, id string) (graph.Node, error) {
	found, err := s.graph.Store().Nodes(ctx, []graph.Ref{ref(id)})
	if err != nil {
		return graph.Node{}, err
	}
	if len(found) == 0 {
		return graph.Node{}, &graph.Error{Kind: graph.NotFound, Msg: "there is no such upload", Ref: ref(id)}
	}
	return found[0], nil
}

// arrived fetches what was sent: whoever has the address can still send
// something else, so what is looked at is what is stored.
func (s *Service) arrived(ctx context.Context, id string, want storage.Object) (*storage.Spooled, error) {
	r, err := s.blobs.Open(ctx, arriving(id), storage.Range{})
	if errors.Is(err, storage.ErrNotFound) {
		return nil, ErrNotArrived
	}
	if err != nil {
		return nil, err
	}
	defer r.Body.Close() // what counts is what was read
	f, err := s.spool.Take(ctx, r.Body, want.Size)
	if errors.Is(err, storage.ErrTooLarge) {
		return nil, mismatch()
	}
	if err != nil {
		return nil, err
	}
	if f.Size != want.Size || f.SHA256 != want.SHA256 {
		return nil, errors.Join(mismatch(), f.Close())
	}
	return f, nil
}

func mismatch() error {
	return &content.Refusal{Kind: content.Mismatch, Reason: "what arrived is not what was announced"}
}

// refuse ends a pending upload if the error says that its file cannot be kept.
func (s *Service) refuse(ctx context.Context, n *graph.Node, err error) error {
	var refusal *content.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	if failed := s.forget(ctx, n.Ref.ID, n.Revision); failed != nil {
		s.Log.WarnContext(ctx, "an upload that was refused could not be removed yet", "upload", n.Ref.ID, "error", failed)
	}
	return err
}

// forget removes a pending upload and what has arrived for it, bytes first.
func (s *Service) forget(ctx context.Context, id string, at graph.Revision) error {
	if err := s.blobs.Delete(ctx, arriving(id)); err != nil {
		return err
	}
	_, err := s.system(ctx, graph.RequireAt(ref(id), at), graph.Delete(ref(id)))
	return err
}
