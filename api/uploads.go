package api

import (
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage/uploads"
)

// Upload is what is known of a file.
type Upload struct {
	ID           string         `json:"id"`
	Filename     string         `json:"filename" doc:"What it was called where it came from, with the ending of its type"`
	ContentType  string         `json:"content_type" doc:"What it is, by its bytes"`
	Size         int64          `json:"size" doc:"In bytes"`
	SHA256       string         `json:"sha256" doc:"Of its bytes, in hexadecimal digits"`
	Width        int64          `json:"width,omitempty" doc:"Of a picture, in pixels, before it is turned as its EXIF orientation says"`
	Height       int64          `json:"height,omitempty"`
	HasThumbnail bool           `json:"has_thumbnail"`
	NoThumbnail  string         `json:"no_thumbnail,omitempty" doc:"Why it has none"`
	State        string         `json:"state" enum:"pending,ready" doc:"pending: it was announced, and its bytes have not been looked at"`
	BelongsTo    graph.Ref      `json:"belongs_to" doc:"The node that it belongs to; access to that is access to it"`
	Organization string         `json:"organization,omitempty" doc:"The id of the organization in whose quota it counts"`
	CreatedBy    graph.Ref      `json:"created_by"`
	Picture      bool           `json:"picture,omitempty" doc:"It was sent as an icon or avatar, and goes when nothing has it any more"`
	CompleteBy   *time.Time     `json:"complete_by,omitempty" doc:"Until when an announced file must have been sent and completed"`
	CreatedAt    time.Time      `json:"created_at"`
	UpdatedAt    time.Time      `json:"updated_at"`
	Revision     graph.Revision `json:"revision"`
}

// Announced is a pending upload, with the request by which its bytes are sent.
type Announced struct {
	Upload
	Send SendRequest `json:"send" doc:"The request that sends the file, as it must be made; it needs no other credential"`
}

// SendRequest is a request that the caller is to make.
type SendRequest struct {
	Method    string            `json:"method"`
	URL       string            `json:"url" doc:"Absolute, or a path of this service"`
	Headers   map[string]string `json:"headers" doc:"Headers that must be sent as they are"`
	ExpiresAt time.Time         `json:"expires_at"`
}

// PresignInput announces a file.
type PresignInput struct {
	Filename    string    `json:"filename" minLength:"1" maxLength:"1000"`
	ContentType string    `json:"content_type" minLength:"1" maxLength:"200" doc:"What the file is; it is refused if its bytes say something else"`
	Size        int64     `json:"size" minimum:"1" doc:"In bytes, exactly"`
	SHA256      string    `json:"sha256" pattern:"^[0-9a-fA-F]{64}$" doc:"Of its bytes, in hexadecimal digits"`
	Parent      graph.Ref `json:"parent,omitempty" doc:"The node that it is to belong to; the caller if absent"`
}

func uploadOf(n *graph.Node) Upload {
	p := n.Props
	u := Upload{
		ID: n.Ref.ID, Filename: p.String(identity.PropFilename), ContentType: p.String(identity.PropContentType), Size: p.Int(identity.PropSize), SHA256: p.String(identity.PropSHA256),
		Width: p.Int(identity.PropWidth), Height: p.Int(identity.PropHeight), NoThumbnail: p.String(identity.PropThumbnail), State: p.String(identity.PropState),
		Organization: p.String("organization"), Picture: p.Bool(identity.PropPicture), CompleteBy: millis(p.Int(identity.PropDue)),
		CreatedAt: n.Created, UpdatedAt: n.Updated, Revision: n.Revision,
	}
	u.HasThumbnail = u.NoThumbnail == "" && u.State == identity.StateReady
	// What cannot be read is shown as empty.
	u.BelongsTo, _ = graph.ParseRef(p.String(identity.PropOwner))
	u.CreatedBy, _ = graph.ParseRef(p.String(identity.PropCreator))
	return u
}

const aboutFiles = "JPEG, PNG, GIF, WebP, SVG and PDF are kept, and told by their bytes. A file that is something else besides, that is damaged, or a drawing with script in it, is refused. "

func uploadRoutes() []route {
	one, tag := "/uploads/{upload}", "uploads"
	creates := need{permission: identity.CreateUpload, on: "the node that it is to belong to", inside: true}
	reads := need{permission: identity.ReadUpload, on: "the upload"}
	stream := param{name: "disposition", doc: "stream: answer with the bytes themselves, of which a Range can be asked for, instead of an address for them", schema: choice("redirect", "stream")}
	return []route{
		{method: get, path: "/uploads", id: "listUploads", tag: tag, summary: "List uploads", self: "lists only what the caller may read",
			doc: "In the order in which they were made. A page may hold fewer than asked for although there are more: next_cursor tells.",
			query: paged(text("content_type", "Only of this type; image/* for all images", 100), text("belongs_to", "Only what belongs to this node, as type:id", 600), text("created_by", "Only what this user or service account sent, as type:id", 600),
				text("organization", "Only what counts in the quota of this organization: its id or slug", graph.MaxID), param{name: "state", doc: "Only those in this state", schema: choice("any", "ready", "pending")}),
			out: Page[Upload]{}, handle: listUploads},
		{method: post, path: "/uploads", id: "createUpload", tag: tag, summary: "Send a file", status: http.StatusCreated, needs: creates,
			doc: aboutFiles + "Send it as the part `file` of a form, or as the body. A thumbnail is made of pictures. Nothing tells whether the same file was sent before.",
			query: []param{text("parent", "The node that it is to belong to, as type:id; the caller if absent. A field of that name in the form does as well", 600),
				text("filename", "What it is called, where it is sent as the body", 1000)},
			in: body{file: true}, out: Upload{}, idempotent: true, handle: createUpload},
		{method: post, path: "/uploads/presign", id: "announceUpload", tag: tag, summary: "Announce a file that is sent straight to where files are kept", status: http.StatusCreated, needs: creates,
			doc: "The answer holds the request that sends it. Then the upload is to be completed.",
			in:  body{value: PresignInput{}}, out: Announced{}, idempotent: true, handle: announceUpload},
		{method: post, path: one + "/complete", id: "completeUpload", tag: tag, summary: "Say that an announced file has been sent",
			doc:   "What has arrived is looked at. If it is not what was announced, or is refused, the upload is gone.",
			needs: need{permission: identity.CreateUpload, on: "the upload"}, node: uploadNode, out: Upload{}, idempotent: true, files: true, handle: completeUpload},
		{method: get, path: one, id: "readUpload", tag: tag, summary: "Get a file", needs: reads, node: uploadNode, query: []param{stream},
			answers: map[int]string{http.StatusTemporaryRedirect: "An address at which the file can be read for an hour", http.StatusPartialContent: "A part of it"},
			binary:  true, files: true, handle: readUpload},
		{method: get, path: one + "/meta", id: "readUploadMeta", tag: tag, summary: "Read what is known of a file", needs: reads, node: uploadNode, out: Upload{}, handle: readUploadMeta},
		{method: get, path: one + "/thumbnail", id: "readThumbnail", tag: tag, summary: "Get the thumbnail of a file", needs: reads, node: uploadNode, query: []param{sizeParam(), stream},
			doc:     "A WEBP picture whose longer side has at most so many pixels; never larger than the original.",
			answers: map[int]string{http.StatusTemporaryRedirect: "An address at which it can be read for an hour"}, binary: true, files: true, handle: readThumbnail},
		{method: del, path: one, id: "deleteUpload", tag: tag, summary: "Delete a file", edits: true, needs: need{permission: identity.DeleteUpload, on: "the upload"}, node: uploadNode,
			doc:   "409 while it is the icon or avatar of a node.",
			query: []param{flag("cascade", "Take it away from the nodes whose picture it is")}, out: Deletion{}, handle: deleteUpload},
	}
}

func uploadNode(c *call) error {
	c.ref = graph.Ref{Type: identity.Upload, ID: c.path("upload")}
	c.named = "upload:" + short(c.ref.ID)
	if c.ref.Validate() != nil {
		c.ref = graph.Ref{}
		return &graph.Error{Kind: graph.NotFound}
	}
	if !c.view.Exists(c.ref) {
		return &graph.Error{Kind: graph.NotFound, Ref: c.ref}
	}
	return nil
}

// stored reads the node that the path names.
func (c *call) stored(r graph.Ref) (*graph.Node, error) {
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{r})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &graph.Error{Kind: graph.NotFound, Ref: r}
	}
	return &found[0], nil
}

// parent is what a new upload is to belong to.
func (c *call) parent() (graph.Ref, error) {
	if text := c.file.fields["parent"]; text != "" {
		r, err := graph.ParseRef(text)
		if err != nil {
			return r, badField("/parent", "%s", err.Error())
		}
		return r, nil
	}
	return c.refParam("parent")
}

func createUpload(c *call) error {
	parent, err := c.parent()
	if err != nil {
		return err
	}
	return c.add(uploads.Incoming{Parent: parent})
}

// add stores the file that came, and answers with the upload.
func (c *call) add(in uploads.Incoming) error {
	in.ID, in.Name, in.Claimed, in.Bytes = c.newID(), c.file.name, c.file.claimed, c.file.bytes
	_, ch, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		out, err := c.Uploads.Add(c.ctx(), c.actor(), in, o)
		return out.Revision, out.Change, err
	})
	if err != nil {
		return bodyFields(err)
	}
	return c.made(ch, graph.Ref{Type: identity.Upload, ID: in.ID})
}

// made answers with an upload that the request made.
func (c *call) made(ch *graph.Change, r graph.Ref) error {
	n, _, _ := changed(ch, r)
	if n == nil {
		return &graph.Error{Kind: graph.NotFound, Ref: r}
	}
	h := c.w.Header()
	h.Set("Location", prefix+"/uploads/"+r.ID)
	h.Set("ETag", etag(n.Revision))
	return c.json(http.StatusCreated, uploadOf(n))
}

func announceUpload(c *call) error {
	var in PresignInput
	if err := c.decode(&in); err != nil {
		return err
	}
	a := uploads.Announcement{ID: c.newID(), Name: in.Filename, ContentType: in.ContentType, Parent: in.Parent, Size: in.Size}
	sum, err := hex.DecodeString(in.SHA256)
	if err != nil || len(sum) != len(a.SHA256) {
		return badField("/sha256", "want 64 hexadecimal digits")
	}
	copy(a.SHA256[:], sum)
	_, ch, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		out, err := c.Uploads.Announce(c.ctx(), c.actor(), a, o)
		return out.Revision, out.Change, err
	})
	if err != nil {
		return bodyFields(err)
	}
	n, _, _ := changed(ch, graph.Ref{Type: identity.Upload, ID: a.ID})
	if n == nil {
		return &graph.Error{Kind: graph.NotFound, Ref: graph.Ref{Type: identity.Upload, ID: a.ID}}
	}
	send, err := c.Uploads.Request(c.ctx(), n)
	if err != nil {
		return err
	}
	out := Announced{Upload: uploadOf(n), Send: SendRequest{Method: send.Method, URL: send.URL, Headers: map[string]string{}, ExpiresAt: send.Expires}}
	for name, values := range send.Header {
		out.Send.Headers[name] = values[0]
	}
	c.w.Header().Set("Location", prefix+"/uploads/"+a.ID)
	return c.json(http.StatusCreated, out)
}

func completeUpload(c *call) error {
	_, _, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		out, err := c.Uploads.Complete(c.ctx(), c.actor(), c.ref.ID, o)
		return out.Revision, out.Change, err
	})
	if err != nil {
		return err
	}
	return readUploadMeta(c)
}

func readUploadMeta(c *call) error {
	n, err := c.stored(c.ref)
	if err != nil {
		return err
	}
	if c.r.Method == get && c.unchanged(n.Revision) {
		return nil
	}
	return c.json(http.StatusOK, uploadOf(n))
}

func deleteUpload(c *call) error {
	err := deleteNode(c)
	if err == nil {
		c.Uploads.Deleted(c.ctx(), c.ref.ID)
	}
	return err
}

// mostLooked is how many uploads one request looks at: a page may end there,
// with few of them on it.
const mostLooked = 20_000

func listUploads(c *call) error {
	f, err := c.uploadFilter()
	if err != nil {
		return err
	}
	after, err := c.after()
	if err != nil {
		return err
	}
	ids, next := c.readableUploads(f, after)
	refs := make([]graph.Ref, len(ids))
	for i, id := range ids {
		refs[i] = graph.Ref{Type: identity.Upload, ID: id}
	}
	page := Page[Upload]{Items: []Upload{}}
	if next != "" {
		page.NextCursor = c.cursor(next)
	}
	if len(refs) > 0 {
		nodes, err := c.Graph.Store().Nodes(c.ctx(), refs)
		if err != nil {
			return err
		}
		for i := range nodes {
			page.Items = append(page.Items, uploadOf(&nodes[i]))
		}
	}
	return c.json(http.StatusOK, page)
}

func (c *call) uploadFilter() (f uploads.Filter, err error) {
	f.ContentType = c.query["content_type"]
	if f.Parent, err = c.refParam("belongs_to"); err != nil {
		return f, err
	}
	if f.Creator, err = c.refParam("created_by"); err != nil {
		return f, err
	}
	if s, ok := c.query["organization"]; ok {
		org, err := c.organization(s)
		if err != nil {
			return f, err
		}
		f.Organization = org.ID
	}
	if s := c.query["state"]; s == identity.StatePending || s == identity.StateReady {
		pending := s == identity.StatePending
		f.Pending = &pending
	}
	return f, nil
}

// readableUploads returns a page of the uploads that pass and that the caller may
// read. Who may read all of them has the filter applied first; for others that
// would mean to ask about many that are none of theirs.
func (c *call) readableUploads(f uploads.Filter, after string) (ids []string, next string) {
	limit := c.limit()
	if slices.Contains(c.view.Places(c.subject(), identity.ReadUpload, c.now), graph.Root) {
		c.Uploads.Ledger().Find(f, after, func(id string) bool {
			if len(ids) == limit {
				next = ids[limit-1]
				return false
			}
			if c.holds(identity.ReadUpload, graph.Ref{Type: identity.Upload, ID: id}) {
				ids = append(ids, id)
			}
			return true
		})
		return ids, next
	}
	q := readable(c, identity.Upload, after)
	q.Limit = maxLimit
	for looked := 0; looked < mostLooked; looked += maxLimit {
		list, more := c.view.Resources(q)
		for _, id := range list {
			if e, _, ok := c.Uploads.Ledger().Get(id); !ok || !f.Match(&e) {
				continue
			}
			if len(ids) == limit {
				return ids, ids[limit-1]
			}
			ids = append(ids, id)
		}
		if !more {
			return ids, ""
		}
		q.After = list[len(list)-1]
	}
	return ids, q.After
}
