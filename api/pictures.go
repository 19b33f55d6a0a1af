package api

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage/content"
	"trellis/storage/identicon"
	"trellis/storage/thumbnail"
	"trellis/storage/uploads"
)

// pictured is a path at which nodes have a picture.
type pictured struct {
	typ  graph.Type
	path string
	one  string
	name string // in names of operations
	node func(*call) error
}

// picturedTypes lists them. Teams and projects are also found by their id alone.
func picturedTypes() []pictured {
	return []pictured{
		{identity.User, "/users/{id}", "user", "User", nodeOf(identity.User, "id", false)},
		{identity.ServiceAccount, "/service-accounts/{id}", "service account", "ServiceAccount", nodeOf(identity.ServiceAccount, "id", false)},
		{identity.Organization, "/organizations/{org}", "organization", "Organization", nodeOf(identity.Organization, "org", false)},
		{identity.Team, "/organizations/{org}/teams/{team}", "team", "Team", teamOf(false)},
		{identity.Project, "/organizations/{org}/projects/{project}", "project", "Project", entryOf(identity.Project, "project", false)},
		{identity.Team, "/teams/{id}", "team, by its id", "TeamByID", byID(identity.Team)},
		{identity.Project, "/projects/{id}", "project, by its id", "ProjectByID", byID(identity.Project)},
	}
}

func pictureRoutes() []route {
	var rows []route
	for _, p := range picturedTypes() {
		field := identity.PictureField(p.typ)
		path, name := p.path+"/"+field, p.name+map[string]string{"icon": "Icon", "avatar": "Avatar"}[field]
		changes := need{permission: identity.PicturePermission(p.typ), on: "the " + p.one}
		rows = append(rows,
			route{method: get, path: path, id: "read" + name, tag: "pictures", summary: fmt.Sprintf("Get the %s of a %s", field, p.one), needs: need{permission: string(p.typ) + ":read", on: "the " + p.one}, node: p.node,
				doc:   "A WEBP picture; of a drawing in SVG, the drawing. Where none is set, one that is made of the id: always the same.",
				query: []param{sizeParam()}, binary: true, files: true, handle: readPicture},
			route{method: put, path: path, id: "put" + name, tag: "pictures", summary: fmt.Sprintf("Send a file as the %s of a %s", field, p.one), status: http.StatusCreated, edits: true, needs: changes, node: p.node,
				doc: aboutFiles + "Of these, an image is wanted. It needs upload:create on the " + p.one + " as well. The one before is deleted unless something else has it as its picture.",
				in:  body{file: true, picture: true}, out: Upload{}, handle: putPicture},
			route{method: del, path: path, id: "delete" + name, tag: "pictures", summary: fmt.Sprintf("Take away the %s of a %s", field, p.one), edits: true, needs: changes, node: p.node,
				out: Deletion{}, handle: deletePicture})
	}
	return rows
}

// byID resolves an element of the path as an id, not a slug: slugs count within
// organizations.
func byID(t graph.Type) func(*call) error {
	return func(c *call) error {
		r := graph.Ref{Type: t, ID: c.path("id")}
		c.named = string(t) + ":" + short(r.ID)
		if r.Validate() != nil || !c.view.Exists(r) {
			return &graph.Error{Kind: graph.NotFound}
		}
		c.ref = r
		return nil
	}
}

func putPicture(c *call) error {
	rev, err := c.ifMatch(c.current)
	if err != nil {
		return err
	}
	return c.add(uploads.Incoming{PictureOf: c.ref, IfMatch: rev})
}

func deletePicture(c *call) error {
	rev, err := c.ifMatch(c.current)
	if err != nil {
		return err
	}
	_, ch, err := c.apply(identity.Mutation{Op: identity.OpPutPicture, Node: c.ref, Picture: &graph.Ref{}, IfMatch: rev})
	if err != nil {
		return err
	}
	c.Uploads.Tidy()
	return c.json(http.StatusOK, deletion(ch, c.ref))
}

// readPicture answers with the bytes: they are few, and who shows many pictures
// would have to ask twice for each.
func readPicture(c *call) error {
	if upload := c.Uploads.Ledger().PictureOf(c.ref); !upload.IsZero() {
		n, err := c.stored(upload)
		if err == nil {
			err = c.sendPicture(n)
		}
		if err == nil || graph.KindOf(err) != graph.NotFound {
			return err
		}
	}
	return c.sendDefault()
}

func (c *call) sendPicture(n *graph.Node) error {
	what, err := c.Uploads.Thumbnail(c.ctx(), n, c.size())
	var none *uploads.NoThumbnailError
	if errors.As(err, &none) {
		if n.Props.String(identity.PropContentType) != content.SVG {
			return c.sendDefault()
		}
		what, err = c.Uploads.Original(c.ctx(), n)
	}
	if err != nil {
		return err
	}
	return c.stream(what)
}

// defaultKey names a default picture.
type defaultKey struct {
	graph.Ref
	size int
}

func (k defaultKey) hash(seed maphash.Seed) uint64 { return maphash.Comparable(seed, k) }

// sendDefault answers with a picture made of the node's id.
func (c *call) sendDefault() error {
	k := defaultKey{c.ref, c.size()}
	webp, ok := c.defaults.get(k)
	if !ok {
		var err error
		if webp, err = thumbnail.Encode(identicon.Make(string(k.Type), k.ID, k.size)); err != nil {
			return graph.Wrap(graph.Internal, err, "making a picture")
		}
		c.defaults.put(k, webp)
	}
	h := c.w.Header()
	h.Set("Content-Type", "image/webp")
	h.Set("Cache-Control", revalidate)
	h.Set("ETag", fmt.Sprintf(`"default-%d"`, k.size))
	h.Set("Content-Disposition", uploads.Disposition(string(k.Type)+".webp", true))
	return c.serveContent(bytes.NewReader(webp))
}
