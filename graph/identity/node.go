package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"trellis/graph"
)

// edit creates, replaces or patches a node.
func (c *compiler) edit(m *Mutation) error {
	s, err := c.state(m.Node)
	if err != nil {
		return err
	}
	if err := c.editable(m, s); err != nil {
		return err
	}
	if s.node == nil {
		return c.create(m, s)
	}
	if (m.Op == OpPut || m.Op == OpEnsure) && !c.check(string(m.Node.Type)+":read", m.Node) {
		return c.hidden(m)
	}
	if err := c.need(string(m.Node.Type)+":update", m.Node); err != nil {
		return err
	}
	if s.node.Props.Bool("system") {
		e := graph.Errorf(graph.Denied, "%s belongs to Trellis itself and cannot be changed", m.Node)
		e.Ref, e.Permission = m.Node, string(m.Node.Type)+":update"
		return e
	}
	base := draft{props: s.node.Props}
	if !Known(m.Node.Type) {
		if base.parents = s.parents; base.parents == nil {
			base.parents = c.auth.Parents(m.Node)
		}
	}
	d, err := decode(m.Node.Type, m.Data, &base, m.Op != OpPut)
	if err != nil {
		return inData(err)
	}
	if err := keepPicture(m, base.props, &d); err != nil {
		return err
	}
	c.pin(m, s)
	if err := c.fill(m.Node, &d); err != nil {
		return err
	}
	switch {
	case m.Node.Type == Role:
		err = c.editRole(m.Node, base.props, d.props)
	case m.Node.Type == ResourceType:
		err = c.editType(m.Node, base.props, d.props)
	case hasHome(m.Node.Type), m.Node.Type == Organization:
		err = c.editEntry(m.Node, s, &d)
	case !Known(m.Node.Type):
		err = c.move(m.Node, base.parents, &d)
	}
	if err != nil {
		return err
	}
	c.store(m.Node, s, d.props)
	return c.picture(m.Node, base.props, d.props)
}

// editEntry does what an edit of the catalog, a team or an organization asks
// for besides its own fields.
func (c *compiler) editEntry(r graph.Ref, s *state, d *draft) error {
	before, began := s.node.Props, len(c.steps)
	if words, ok := before[PropKeywords]; ok {
		d.props[PropKeywords] = words
	}
	if err := c.complete(r, s, d); err != nil {
		return err
	}
	if before.Bool(PropArchived) && d.props.Bool(PropArchived) && (len(c.steps) > began || !before.Equal(d.props)) {
		return &graph.Error{Kind: graph.Locked, Msg: r.String() + " is archived; set archived to false first", Ref: r}
	}
	if err := c.rename(r, before, d.props); err != nil {
		return err
	}
	if r.Type == Tag {
		return c.retag(r, before, d.props)
	}
	return nil
}

// complete seals what is secret, writes the relations and asks the rules.
func (c *compiler) complete(r graph.Ref, s *state, d *draft) error {
	var before graph.Props
	if s.node != nil {
		before = s.node.Props
	}
	if err := c.seal(r, before, d); err != nil {
		return err
	}
	if err := c.relate(r, s, d); err != nil {
		return err
	}
	for _, rule := range c.s.Rules {
		if err := rule.Judge(c.ctx, &Draft{Ref: r, Before: before, Props: d.props, c: c, s: s}); err != nil {
			return inData(err)
		}
	}
	return nil
}

// maxFormerSlugs limits how many slugs of its past a node keeps.
const maxFormerSlugs = 20

// rename keeps the old slug of a node, so that it still leads there. Whoever
// bore the slug last is found by it.
func (c *compiler) rename(r graph.Ref, before, after graph.Props) error {
	was, is := before.String("slug"), after.String("slug")
	if was == is || was == "" {
		return nil
	}
	former := slices.DeleteFunc(slices.Clone(before.Strings(PropFormerSlugs)), func(s string) bool { return s == was || s == is })
	former = append(former, was)
	after[PropFormerSlugs] = former[max(0, len(former)-maxFormerSlugs):]
	name := formerName(r.Type, before, was)
	if err := c.findNames([]string{name}); err != nil {
		return err
	}
	holder := c.named[name]
	if holder.IsZero() || holder == r {
		return nil
	}
	s, err := c.state(holder)
	if err != nil || s.node == nil || !slices.Contains(s.node.Names, name) {
		return err
	}
	c.fix(holder, s)
	p := s.node.Props.Clone()
	p[PropFormerSlugs] = slices.DeleteFunc(slices.Clone(p.Strings(PropFormerSlugs)), func(s string) bool { return s == was })
	c.store(holder, s, p)
	return nil
}

// editable refuses mutations of nodes that callers never write themselves.
func (c *compiler) editable(m *Mutation, s *state) error {
	t := m.Node.Type
	switch {
	case t == Permission:
		return wrong("/node", "permissions are made by their resource types")
	case t == Upload:
		return wrong("/node", "uploads are made by sending a file, and stay as they are")
	case Known(t) && shapeOf(t) == nil:
		return wrong("/node", "%s nodes are not written this way", t)
	case !Known(t):
		rt, err := c.state(graph.Ref{Type: ResourceType, ID: string(t)})
		if err != nil {
			return err
		}
		if rt.node == nil {
			return wrong("/node", "there is no resource type %s", t)
		}
	}
	if s.node != nil && m.Op == OpCreate {
		if c.check(string(t)+":read", m.Node) {
			return &graph.Error{Kind: graph.Exists, Msg: m.Node.String() + " exists already", Ref: m.Node, Fields: []graph.Field{{Pointer: "/node", Msg: "is taken"}}}
		}
		return c.hidden(m)
	}
	if s.node == nil && (m.Op == OpPatch || m.IfMatch != 0) {
		return &graph.Error{Kind: graph.NotFound, Msg: m.Node.String() + " does not exist", Ref: m.Node}
	}
	return nil
}

// hidden answers a caller who would make a node whose id is taken by one that
// they may not see: with what they would hear if it were free, as far as that
// is a refusal, so that ids cannot be probed by those who may not create.
func (c *compiler) hidden(m *Mutation) error {
	d, err := decode(m.Node.Type, m.Data, nil, false)
	if err != nil {
		return inData(err)
	}
	if _, err := c.mayCreate(m, &d); err != nil {
		return err
	}
	return &graph.Error{Kind: graph.Exists, Msg: "this id is taken", Fields: []graph.Field{{Pointer: "/node", Msg: "is taken"}}}
}

// pin ties the batch to the revision of the node that the compiler saw, or
// to the one the caller insists on.
func (c *compiler) pin(m *Mutation, s *state) {
	if m.IfMatch != 0 {
		c.add(graph.RequireAt(m.Node, m.IfMatch))
		s.fixed = true
	}
	c.fix(m.Node, s)
}

// fix ties the batch to the revision of a stored node that the compiler saw. It is asked
// before the batch changes anything: what the batch itself has touched has another one.
func (c *compiler) fix(r graph.Ref, s *state) {
	if s.stored && !s.fixed {
		s.fixed = true
		c.ahead(graph.RequireAt(r, s.node.Revision))
	}
}

// store adds the step that writes the node and remembers it for the
// mutations that follow.
func (c *compiler) store(r graph.Ref, s *state, props graph.Props) {
	n := graph.Node{Ref: r, Names: names(r, props), Props: props}
	slices.Sort(n.Names)
	if s.stored && s.fixed && !s.changed && s.node.Props.Equal(props) && slices.Equal(s.node.Names, n.Names) {
		return // it is so already, and a step sees to it that it still is
	}
	c.add(graph.Put(n))
	if s.node != nil {
		n.Revision = s.node.Revision
	}
	s.node, s.changed = &n, true
	for _, name := range n.Names {
		c.written[name] = r
	}
}

// names returns the unique keys of a node.
func names(r graph.Ref, p graph.Props) []string {
	var out []string
	if e := p.String("email"); e != "" {
		out = append(out, EmailName(e))
	}
	if s := p.String("slug"); s != "" {
		out = append(out, SlugName(r.Type, home(r.Type, p).ID, s))
	}
	for _, s := range p.Strings(PropFormerSlugs) {
		out = append(out, formerName(r.Type, p, s))
	}
	return out
}

// EmailName is the unique name under which a user with this address is found.
func EmailName(address string) string { return "email:" + strings.ToLower(address) }

// SlugName is the unique name of a slug: of its type, within the organization
// (or, of an application, the service) if there is one.
func SlugName(t graph.Type, home, slug string) string {
	if home != "" {
		return "slug:" + string(t) + ":" + home + "/" + slug
	}
	return "slug:" + string(t) + ":" + slug
}

// FormerName is the unique name under which a node is found by a slug that it
// had once.
func FormerName(t graph.Type, home, slug string) string {
	return "former:" + strings.TrimPrefix(SlugName(t, home, slug), "slug:")
}

func formerName(t graph.Type, p graph.Props, slug string) string {
	return FormerName(t, home(t, p).ID, slug)
}

// fill gives defaults that depend on other fields.
func (c *compiler) fill(r graph.Ref, d *draft) error {
	if !slices.ContainsFunc(Describe(r.Type), func(f FieldInfo) bool { return f.Kind == Slug }) || d.props.String("slug") != "" {
		return nil
	}
	slug := slugOf(d.props.String("name"))
	if s := slugOf(r.ID); s != "" && !isUUID(r.ID) || slug == "" {
		slug = s
	}
	if slug == "" {
		return wrong("/data/slug", "no slug can be made of the id or the name: give one")
	}
	d.props["slug"] = slug
	return nil
}

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'
}

// create makes a node below its parents.
func (c *compiler) create(m *Mutation, s *state) error {
	r := m.Node
	d, err := decode(r.Type, m.Data, nil, false)
	if err != nil {
		return inData(err)
	}
	parents, err := c.mayCreate(m, &d)
	if err != nil {
		return err
	}
	if err := c.fill(r, &d); err != nil {
		return err
	}
	s.made, s.parents = true, parents
	if m.Op == OpCreate {
		c.add(graph.RequireAbsent(r))
	} else {
		c.guard(graph.RequireAbsent(r))
	}
	if !Known(r.Type) {
		// A type that is deleted at the same moment must not leave this behind.
		c.add(graph.Require(graph.Ref{Type: ResourceType, ID: string(r.Type)}))
	}
	switch r.Type {
	case Role:
		err = c.makeRole(r, d.props)
	case ResourceType:
		err = c.makeType(r, d.props)
	}
	if err != nil {
		return err
	}
	at := len(c.steps)
	if hasHome(r.Type) || r.Type == Organization {
		if err := c.complete(r, s, &d); err != nil {
			return err
		}
	}
	// The edges that complete made need the node to be there before them.
	edges := slices.Clone(c.steps[at:])
	marks := slices.Clone(c.marks[at:])
	c.steps, c.marks = c.steps[:at], c.marks[:at]
	c.store(r, s, d.props)
	c.steps, c.marks = append(c.steps, edges...), append(c.marks, marks...)
	for _, p := range parents {
		if p.Type == r.Type {
			c.add(graph.RequireAcyclic(r, graph.ChildOf, p))
		}
		c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: graph.ChildOf, To: p}}))
	}
	switch r.Type {
	case Role:
		c.linkRole(r, nil, d.props)
	case ResourceType:
		c.linkType(r, nil, d.props)
	}
	c.firstGrants(r, parents)
	return c.picture(r, nil, d.props)
}

// firstGrants gives a newborn to itself, if it is somebody, and to its maker,
// unless the maker holds everything there anyway.
func (c *compiler) firstGrants(r graph.Ref, parents []graph.Ref) {
	give := func(subject graph.Ref, role string) {
		c.add(graph.Link(graph.Edge{
			EdgeKey: graph.EdgeKey{From: subject, Kind: graph.CanAccess, To: r, Key: role},
			Props:   graph.Props{graph.PropRole: role, graph.PropGrantedBy: c.caller.Subject.String()},
		}))
	}
	if r.Type == User || r.Type == ServiceAccount {
		give(r, RoleSelf)
	}
	if !owned(r.Type) || slices.ContainsFunc(parents, func(p graph.Ref) bool { return len(c.missing(p, []string{"*"})) == 0 }) {
		return
	}
	give(c.caller.Subject, RoleOwner)
}

// mayCreate returns what a new node is put under, after checking that the
// caller may create it there. To those who asked to create it, the answer may
// be what they lack. To those who name a node as if it were there, it is that
// there is none, unless they at least see where it would belong.
func (c *compiler) mayCreate(m *Mutation, d *draft) ([]graph.Ref, error) {
	parents, err := c.parentsOf(m.Node, d)
	if err != nil {
		return nil, err
	}
	for _, p := range parents {
		err := c.need(string(m.Node.Type)+":create", p)
		if err == nil || c.hosted(m.Node, d) {
			continue
		}
		if m.Op != OpCreate && (p.Type == graph.Root.Type || !c.check(string(p.Type)+":read", p)) {
			return nil, &graph.Error{Kind: graph.NotFound, Msg: m.Node.String() + " does not exist", Ref: m.Node}
		}
		return nil, err
	}
	return parents, nil
}

// hosted tells whether a new node is to belong to a team below which the caller
// may create it.
func (c *compiler) hosted(r graph.Ref, d *draft) bool {
	for _, f := range Describe(r.Type) {
		if w, ok := d.wishes[f.Name]; ok && f.Edge == graph.ChildOf && len(w.names) == 1 {
			team, err := c.target(r, d, f, w.names[0], nil)
			return err == nil && c.check(string(r.Type)+":create", team)
		}
	}
	return false
}

// parentsOf returns what a new node is put under, after checking that it may
// be there at all.
func (c *compiler) parentsOf(r graph.Ref, d *draft) ([]graph.Ref, error) {
	if !Known(r.Type) {
		return d.parents, c.allowedParents(r, d.parents)
	}
	if r.Type == Application {
		return c.serviceOf(d)
	}
	if org := d.props.String("organization"); org != "" {
		return []graph.Ref{{Type: Organization, ID: org}}, nil
	}
	if r.Type == Role || r.Type == ResourceType || r.Type == Blueprint {
		return []graph.Ref{Vocabulary}, nil
	}
	return []graph.Ref{graph.Root}, nil
}

// serviceOf returns the service of a new application, whose organization is the
// application's too.
func (c *compiler) serviceOf(d *draft) ([]graph.Ref, error) {
	r := graph.Ref{Type: ThirdPartyService, ID: d.props.String("service")}
	s, err := c.state(r)
	if err != nil {
		return nil, err
	}
	if s.node == nil || !c.check(string(ThirdPartyService)+":read", r) {
		return nil, wrong("/data/service", "there is no such service")
	}
	org := s.node.Props.String("organization")
	if given := d.props.String("organization"); given != "" && given != org {
		return nil, wrong("/data/organization", "is not the organization of the service")
	}
	d.props["organization"] = org
	return []graph.Ref{r}, nil
}

func (c *compiler) allowedParents(r graph.Ref, parents []graph.Ref) error {
	rt, err := c.state(graph.Ref{Type: ResourceType, ID: string(r.Type)})
	if err != nil {
		return err
	}
	if rt.node == nil {
		return wrong("/node", "there is no resource type %s", r.Type)
	}
	allowed := rt.node.Props.Strings("parents")
	for _, p := range parents {
		if !slices.Contains(allowed, string(p.Type)) {
			return wrong("/data/parents", "a %s cannot have a %s as parent; allowed: %s", r.Type, p.Type, strings.Join(allowed, ", "))
		}
		if p == r {
			return &graph.Error{Kind: graph.Cycle, Msg: fmt.Sprintf("%s cannot be its own parent", r), Ref: r}
		}
	}
	return nil
}

// move changes the parents of a resource.
func (c *compiler) move(r graph.Ref, was []graph.Ref, d *draft) error {
	if d.parents == nil {
		return wrong("/data/parents", "is required")
	}
	if err := c.allowedParents(r, d.parents); err != nil {
		return err
	}
	moved := false
	for _, p := range d.parents {
		if slices.Contains(was, p) {
			continue
		}
		if err := c.need(string(r.Type)+":create", p); err != nil {
			return err
		}
		if err := c.coverFlow(r, p); err != nil {
			return err
		}
		moved = true
		c.fixRoles()
		c.add(graph.RequireAcyclic(r, graph.ChildOf, p))
		c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: graph.ChildOf, To: p}}))
	}
	for _, p := range was {
		if !slices.Contains(d.parents, p) {
			moved = true
			c.add(graph.Unlink(graph.EdgeKey{From: r, Kind: graph.ChildOf, To: p}))
		}
	}
	if moved {
		c.nodes[r].parents = d.parents
		c.add(graph.Touch(r))
	}
	return nil
}

// inData moves the pointers of an Invalid error below /data.
func inData(err error) error {
	var e *graph.Error
	if errors.As(err, &e) {
		if len(e.Fields) == 0 {
			e.Fields = []graph.Field{{Msg: e.Msg}}
		}
		for i := range e.Fields {
			e.Fields[i].Pointer = "/data" + e.Fields[i].Pointer
		}
	}
	return err
}
