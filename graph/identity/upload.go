package identity

import (
	"time"

	"trellis/graph"
)

// Files. An Upload is what somebody sent, below the node it belongs to or, if
// to none, below whoever sent it. Its bytes are those of a Blob, which several
// uploads of the same content share; no caller has access to blobs, so nobody
// learns that somebody else has the same file.
const (
	Upload graph.Type = "upload"
	Blob   graph.Type = "blob"
)

// Kinds of edges of files. They carry no permission.
const (
	// StoredAs leads from an upload to its blob, and from a tombstone to the
	// blobs of the uploads packed in it. A blob that none leads to can go.
	StoredAs graph.Kind = "STORED_AS"
	// HasPicture leads from a node to the upload that its icon or avatar is.
	HasPicture graph.Kind = "HAS_PICTURE"
)

// Permissions of uploads.
const (
	CreateUpload = "upload:create" // on what the upload is to belong to
	ReadUpload   = "upload:read"
	DeleteUpload = "upload:delete"
)

// Properties of uploads.
const (
	PropFilename    = "filename"
	PropContentType = "content_type"
	PropSize        = "size"
	PropSHA256      = "sha256" // in hexadecimal digits
	PropWidth       = "width"
	PropHeight      = "height"
	PropThumbnail   = "thumbnail"   // why there is none; not set if there is one, or can be
	PropState       = "state"       // one of the states below
	PropOwner       = "belongs_to"  // the node it is below, as type:id
	PropCreator     = "created_by"  // type:id
	PropPicture     = "picture"     // sent as the icon or avatar of a node, and goes when nothing has it any more
	PropDue         = "complete_by" // of a pending upload, Unix milliseconds
	StatePending    = "pending"     // announced; its bytes have not been looked at
	StateReady      = "ready"       // its bytes are safe
	iconPrefix      = "upload:"     // what the icon or avatar field holds where it is an upload
	maxFilename     = 255           // bytes
	fieldPicture    = "icon"        // where nodes keep their picture
	fieldOfPeople   = "avatar"      // where users and service accounts do
	noSuchUpload    = "there is no such upload"
)

var uploadShape = []FieldInfo{
	{Name: PropFilename, Kind: Text, Max: maxFilename, ReadOnly: true, Doc: "What it was called where it came from"},
	{Name: PropContentType, Kind: Text, Max: 100, ReadOnly: true, Doc: "What it is, by its bytes"},
	{Name: PropSize, Kind: Whole, ReadOnly: true, Doc: "In bytes"},
	{Name: PropSHA256, Kind: Text, Max: 64, ReadOnly: true, Doc: "SHA-256 of the bytes, in hexadecimal digits"},
	{Name: PropWidth, Kind: Whole, ReadOnly: true, Doc: "Of a picture, in pixels; 0 if that is not known"},
	{Name: PropHeight, Kind: Whole, ReadOnly: true, Doc: "Of a picture, in pixels; 0 if that is not known"},
	{Name: PropThumbnail, Kind: Text, Max: 500, ReadOnly: true, Doc: "Why it has no thumbnail; empty if it has one"},
	{Name: PropState, Kind: Choice, Options: []string{StatePending, StateReady}, ReadOnly: true, Doc: "Whether its bytes have arrived and are safe"},
	{Name: PropOwner, Kind: Text, Max: 600, ReadOnly: true, Doc: "The node that it belongs to, as type:id"},
	{Name: PropCreator, Kind: Text, Max: 600, ReadOnly: true, Doc: "Who sent it, as type:id"},
	{Name: "organization", Kind: OrgID, ReadOnly: true, Doc: "Id of the organization in whose quota it counts, if in one"},
	{Name: PropPicture, Kind: Flag, ReadOnly: true, Doc: "Whether it was sent as an icon or avatar; then it goes when nothing has it any more"},
}

// File is what the service has found out about a file that arrived or is
// announced. Nobody else can say that, so it is no part of a Mutation's JSON.
type File struct {
	Name        string
	Parent      graph.Ref // zero: whoever calls
	ContentType string
	Size        int64
	SHA256      string
	Width       int
	Height      int
	Thumbnail   string // why there is none
	Picture     bool
	// Due is until when an announced file must have arrived; zero: it has.
	Due time.Time
	// Blob holds the bytes of a file that arrived. It is made with the upload if
	// BlobAt is 0; then the batch is refused with Exists, and names the blob that is
	// there, if the content has one. Else it is refused with Stale, and names this
	// blob, unless that is as it was at BlobAt.
	Blob   graph.Ref
	BlobAt graph.Revision
}

// BlobName is the unique name under which the blob of some content is found.
func BlobName(sha256 string) string { return "blob:" + sha256 }

// storeUpload makes the upload, or says of an announced one that it has arrived.
func (c *compiler) storeUpload(m *Mutation) error {
	if m.File == nil || m.Node.Type != Upload {
		return wrong("/op", "uploads are made by sending a file")
	}
	s, err := c.state(m.Node)
	if err != nil {
		return err
	}
	switch {
	case s.node == nil && m.Arrived:
		return &graph.Error{Kind: graph.NotFound, Msg: noSuchUpload, Ref: m.Node}
	case m.Arrived:
		err = c.arrived(m, s)
	case s.node != nil:
		return &graph.Error{Kind: graph.Exists, Msg: "this id is taken", Fields: []graph.Field{{Pointer: "/node", Msg: "is taken"}}}
	default:
		err = c.newUpload(m, s)
	}
	if err != nil || m.File.Blob.IsZero() {
		return err
	}
	if f := m.File; f.BlobAt != 0 {
		c.add(graph.RequireAt(f.Blob, f.BlobAt))
	} else {
		c.add(graph.RequireAbsent(f.Blob))
		c.add(graph.Put(graph.Node{Ref: f.Blob, Names: []string{BlobName(f.SHA256)}, Props: graph.Props{PropSize: f.Size, PropSHA256: f.SHA256, PropContentType: f.ContentType}}))
	}
	c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: m.Node, Kind: StoredAs, To: m.File.Blob}}))
	return nil
}

func (c *compiler) newUpload(m *Mutation, s *state) error {
	f := m.File
	parent := f.Parent
	if parent.IsZero() {
		parent = c.caller.Subject
	}
	if !holdsUploads(parent.Type) {
		return wrong("/parent", "a %s cannot hold uploads", parent.Type)
	}
	p, err := c.state(parent)
	if err != nil {
		return err
	}
	err = c.need(CreateUpload, parent)
	if there := p.node != nil || parent == graph.Root; !there || err != nil && !c.check(string(parent.Type)+":read", parent) {
		return &graph.Error{Kind: graph.NotFound, Msg: parent.String() + " does not exist", Ref: parent}
	}
	if err != nil {
		return err
	}
	props := f.props()
	props[PropOwner], props[PropCreator] = parent.String(), c.caller.Subject.String()
	if org := tenant(parent, c.above); org != "" {
		props["organization"] = org
	}
	s.made, s.parents = true, []graph.Ref{parent}
	c.add(graph.RequireAbsent(m.Node))
	c.store(m.Node, s, props)
	c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: m.Node, Kind: graph.ChildOf, To: parent}}))
	if len(c.missing(parent, []string{CreateUpload, ReadUpload, DeleteUpload})) > 0 {
		c.firstGrants(m.Node, s.parents)
	}
	return nil
}

// arrived completes an announced upload.
func (c *compiler) arrived(m *Mutation, s *state) error {
	if err := c.need(CreateUpload, m.Node); err != nil {
		return err
	}
	if s.node.Props.String(PropState) != StatePending {
		return &graph.Error{Kind: graph.Exists, Msg: "the upload is complete already", Ref: m.Node}
	}
	c.pin(m, s)
	props := m.File.props()
	for _, name := range []string{PropFilename, PropOwner, PropCreator, "organization"} {
		if v := s.node.Props.String(name); v != "" {
			props[name] = v
		}
	}
	if s.node.Props.Bool(PropPicture) {
		props[PropPicture] = true
	}
	c.store(m.Node, s, props)
	return nil
}

func (f *File) props() graph.Props {
	p := graph.Props{PropFilename: f.Name, PropContentType: f.ContentType, PropSize: f.Size, PropSHA256: f.SHA256, PropState: StateReady}
	if !f.Due.IsZero() {
		p[PropState], p[PropDue] = StatePending, f.Due.UnixMilli()
	}
	if f.Width > 0 {
		p[PropWidth], p[PropHeight] = int64(f.Width), int64(f.Height)
	}
	if f.Thumbnail != "" {
		p[PropThumbnail] = f.Thumbnail
	}
	if f.Picture {
		p[PropPicture] = true
	}
	return p
}

// holdsUploads tells whether nodes of the type can have uploads below them:
// those that people see and edit.
func holdsUploads(t graph.Type) bool {
	switch t {
	case Upload, Permission, ResourceType, Role:
		return false
	case graph.Root.Type:
		return true
	}
	return !Known(t) || shapeOf(t) != nil
}

// tenant returns the id of the organization that a node is or is below, the
// nearest if of several; "" if none.
func tenant(r graph.Ref, parents func(graph.Ref) []graph.Ref) string {
	seen := map[graph.Ref]bool{}
	for next := []graph.Ref{r}; len(next) > 0; next = next[1:] {
		if next[0].Type == Organization {
			return next[0].ID
		}
		if !seen[next[0]] {
			seen[next[0]] = true
			next = append(next, parents(next[0])...)
		}
	}
	return ""
}

// Tenant returns the id of the organization in whose quota an upload at the node
// counts; "" if in none.
func (s *Service) Tenant(r graph.Ref) string { return tenant(r, s.authority().Parents) }

// above returns the parents of a node, as the mutations so far leave them.
func (c *compiler) above(r graph.Ref) []graph.Ref {
	if s, ok := c.made(r); ok {
		return s.parents
	}
	return c.auth.Parents(r)
}

// keepBlobs lets the tombstone hold the blobs of the uploads that are packed in it.
func (c *compiler) keepBlobs(tombstone graph.Ref, t *trash) {
	kept := map[graph.Ref]bool{}
	for i := range t.edges {
		if e := &t.edges[i]; e.Kind == StoredAs && !kept[e.To] {
			kept[e.To] = true
			c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: tombstone, Kind: StoredAs, To: e.To}}))
		}
	}
}
