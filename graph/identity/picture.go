package identity

import (
	"slices"
	"strings"

	"trellis/graph"
)

// PictureField returns the field in which nodes of the type keep their picture,
// "" if they have none.
func PictureField(t graph.Type) string {
	if t == User || t == ServiceAccount {
		return fieldOfPeople
	}
	if slices.ContainsFunc(shapeOf(t), func(f FieldInfo) bool { return f.Name == fieldPicture }) {
		return fieldPicture
	}
	return ""
}

// PictureOf returns the upload that is the picture of a node by its fields, zero
// if it has none, or one that is no upload.
func PictureOf(t graph.Type, p graph.Props) graph.Ref {
	text := p.String(PictureField(t))
	if id, ok := strings.CutPrefix(text, iconPrefix); ok && id != "" {
		return graph.Ref{Type: Upload, ID: id}
	}
	return graph.Ref{}
}

// putPicture gives a node the upload m.Upload as its picture, or none.
func (c *compiler) putPicture(m *Mutation) error {
	if m.Picture == nil {
		return wrong("/op", "pictures are set by sending a file")
	}
	field := PictureField(m.Node.Type)
	if field == "" {
		return wrong("/node", "a %s has no picture", m.Node.Type)
	}
	if !m.Picture.IsZero() && m.Picture.Type != Upload {
		return wrong("/data/"+field, noSuchUpload)
	}
	s, err := c.state(m.Node)
	if err != nil {
		return err
	}
	if s.node == nil {
		return &graph.Error{Kind: graph.NotFound, Msg: m.Node.String() + " does not exist", Ref: m.Node}
	}
	if err := c.need(PicturePermission(m.Node.Type), m.Node); err != nil {
		return err
	}
	if s.node.Props.Bool(PropArchived) {
		return &graph.Error{Kind: graph.Locked, Msg: m.Node.String() + " is archived; set archived to false first", Ref: m.Node}
	}
	c.pin(m, s)
	props := s.node.Props.Clone()
	if delete(props, field); !m.Picture.IsZero() {
		props[field] = m.Picture.String()
	}
	before := s.node.Props
	c.store(m.Node, s, props)
	return c.picture(m.Node, before, props)
}

// PicturePermission is what changing the picture of a node needs on the node:
// whoever may keep files of their own may choose their avatar, although they may
// not change what else is known of them.
func PicturePermission(t graph.Type) string {
	if t == User || t == ServiceAccount {
		return CreateUpload
	}
	return string(t) + ":update"
}

// picture ties a node to the upload that its fields say is its picture. Whoever
// writes it must be able to read the upload: from then on, whoever may read the
// node may see it. An upload that was sent as a picture goes with the last node
// that has it.
func (c *compiler) picture(r graph.Ref, before, after graph.Props) error {
	field := PictureField(r.Type)
	if id, ok := strings.CutPrefix(after.String(field), iconPrefix); ok && after.String(field) != before.String(field) &&
		(graph.Ref{Type: Upload, ID: id}).Validate() != nil {
		return wrong("/data/"+field, "want upload:ID, with the id of an upload")
	}
	was, is := PictureOf(r.Type, before), PictureOf(r.Type, after)
	if was == is {
		return nil
	}
	if !is.IsZero() {
		if err := c.presentable(r, is); err != nil {
			return err
		}
		// The upload may go at this moment.
		c.guard(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: HasPicture, To: is}}))
	}
	if was.IsZero() {
		return nil
	}
	c.add(graph.Unlink(graph.EdgeKey{From: r, Kind: HasPicture, To: was}))
	idle, err := c.idle([]graph.Ref{was}, nil)
	for _, upload := range idle {
		c.add(graph.Delete(upload))
		c.nodes[upload] = &state{changed: true}
	}
	return err
}

// idle returns those of the uploads that were sent as pictures and are not the
// picture of any node but the ones that go. That nobody takes or leaves one of
// them meanwhile, the batch makes sure.
func (c *compiler) idle(uploads []graph.Ref, going map[graph.Ref]bool) (out []graph.Ref, err error) {
	if err := c.states(uploads); err != nil {
		return nil, err
	}
	if err := c.lookAt(uploads); err != nil {
		return nil, err
	}
	for _, r := range uploads {
		s := c.nodes[r]
		if s.node == nil || !s.node.Props.Bool(PropPicture) {
			continue
		}
		if s.stored {
			c.ahead(graph.RequireAround(r, c.look.stored[r].count, c.auth.Revision()))
		}
		if !slices.ContainsFunc(c.edgesAt(r, true), func(e graph.Edge) bool { return e.Kind == HasPicture && !going[e.From] }) {
			out = append(out, r)
		}
	}
	return out, nil
}

// lastPictures lists the uploads that nothing has as its picture any more when
// the doomed go, and that are not among them.
func (c *compiler) lastPictures(doomed []graph.Ref) ([]graph.Ref, error) {
	going, uploads := setOf(doomed), []graph.Ref(nil)
	seen := map[graph.Ref]bool{}
	for _, r := range doomed {
		for _, e := range c.edgesAt(r, false) {
			if e.Kind == HasPicture && !going[e.To] && !seen[e.To] {
				seen[e.To] = true
				uploads = append(uploads, e.To)
			}
		}
	}
	return c.idle(uploads, going)
}

func setOf(refs []graph.Ref) map[graph.Ref]bool {
	out := make(map[graph.Ref]bool, len(refs))
	for _, r := range refs {
		out[r] = true
	}
	return out
}

// presentable refuses an upload that cannot be a picture, or that the caller may not read.
func (c *compiler) presentable(r, upload graph.Ref) error {
	pointer := "/data/" + PictureField(r.Type)
	s, err := c.state(upload)
	if err != nil {
		return err
	}
	if s.node == nil || !c.check(ReadUpload, upload) {
		return wrong(pointer, noSuchUpload)
	}
	if s.node.Props.String(PropState) != StateReady {
		return wrong(pointer, "the upload is not complete")
	}
	if t := s.node.Props.String(PropContentType); !strings.HasPrefix(t, "image/") {
		return wrong(pointer, "%s is no picture", t)
	}
	return nil
}

// unpicture leaves nodes without a picture whose picture is among the doomed. If
// that is what is to be deleted, and not what it belongs to, it refuses unless
// Cascade.
func (c *compiler) unpicture(m *Mutation, doomed []graph.Ref) error {
	var nodes []graph.Ref
	going := setOf(doomed)
	for _, r := range doomed {
		if r.Type != Upload {
			continue
		}
		for _, e := range c.edgesAt(r, true) {
			if e.Kind == HasPicture && !going[e.From] {
				nodes = append(nodes, e.From)
			}
		}
	}
	if len(nodes) > 0 && m.Node.Type == Upload && !m.Cascade {
		return &graph.Error{Kind: graph.InUse, Msg: "it is the picture of a node; take it away there first or ask to cascade", Ref: m.Node}
	}
	if len(nodes) > graph.MaxSteps/4 {
		return graph.Errorf(graph.TooLarge, "more than %d nodes have pictures that go with %s: change some of them first", graph.MaxSteps/4, m.Node)
	}
	if err := c.states(nodes); err != nil {
		return err
	}
	for _, r := range nodes {
		if s := c.nodes[r]; s.node != nil && going[PictureOf(r.Type, s.node.Props)] {
			c.face(r, s, graph.Ref{})
		}
	}
	return nil
}

// face writes what picture a node has, zero for none, whoever asks for it.
func (c *compiler) face(r graph.Ref, s *state, upload graph.Ref) {
	c.fix(r, s)
	props := s.node.Props.Clone()
	if delete(props, PictureField(r.Type)); !upload.IsZero() {
		props[PictureField(r.Type)] = upload.String()
	}
	c.store(r, s, props)
}

// keepPicture leaves a node its picture where a caller who writes all of it does
// not speak of pictures.
func keepPicture(m *Mutation, before graph.Props, d *draft) error {
	if !m.KeepPicture || PictureOf(m.Node.Type, before).IsZero() {
		return nil
	}
	field := PictureField(m.Node.Type)
	in, err := object(m.Data)
	if _, given := in[field]; err == nil && !given {
		d.props[field] = before[field]
	}
	return err
}

// wears tells whether a node outside gets its picture back: unless it has another
// one by now.
func (v *revival) wears(e *graph.Edge) bool {
	s := v.nodes[e.From]
	switch s.node.Props.String(PictureField(e.From.Type)) {
	case e.To.String():
	case "":
		v.pictures[e.From] = e.To
	default:
		return false
	}
	v.fix(e.From)
	return true
}

// shelter puts an upload below the top that came along as the picture of a node,
// and whose own place is gone.
func (v *revival) shelter() error {
	placed := map[graph.Ref]bool{}
	for i := range v.edges {
		if e := &v.edges[i]; e.Kind == graph.ChildOf {
			placed[e.From] = true
		}
	}
	org := v.inside[v.top].Props.String("organization")
	if v.top.Type == Organization {
		org = v.top.ID
	}
	for i := range v.t.nodes {
		n := &v.t.nodes[i]
		if n.Ref.Type != Upload || placed[n.Ref] {
			continue
		}
		v.edges = append(v.edges, graph.Edge{EdgeKey: graph.EdgeKey{From: n.Ref, Kind: graph.ChildOf, To: v.top}})
		n.Props[PropOwner] = v.top.String()
		if delete(n.Props, "organization"); org != "" {
			n.Props["organization"] = org
		}
	}
	return nil
}
