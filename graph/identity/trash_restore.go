package identity

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"trellis/graph"
)

// restore brings back what is in a tombstone, and removes the tombstone. All
// nodes come back or none does. Edges come back whose other end is still there;
// those by which what is restored would hold something outside of it, only as
// far as the caller could give that now.
func (c *compiler) restore(m *Mutation) error {
	s, err := c.state(m.Node)
	if err != nil {
		return err
	}
	if m.Node.Type != Tombstone {
		return wrong("/node", "want a tombstone")
	}
	if s.node == nil {
		return &graph.Error{Kind: graph.NotFound, Msg: m.Node.String() + " does not exist", Ref: m.Node}
	}
	if err := c.need(RestoreTombstone, m.Node); err != nil {
		return err
	}
	if until := s.node.Props.Int(PropUntil); until <= c.at.UnixMilli() {
		return &graph.Error{Kind: graph.Gone, Msg: "it could be restored until " + time.UnixMilli(until).UTC().Format(time.RFC3339), Ref: m.Node}
	}
	slug, err := otherSlug(m.Data)
	if err != nil {
		return inData(err)
	}
	c.pin(m, s)
	v, err := c.exhume(s.node)
	if err != nil {
		return err
	}
	for _, prepare := range []func() error{v.lookAround, v.mayStand, func() error { return v.rename(slug) }, v.choose, v.shelter, v.mend} {
		if err := prepare(); err != nil {
			return err
		}
	}
	return v.raise()
}

// otherSlug reads what a restoration may say: the slug that the node is to have.
func otherSlug(data json.RawMessage) (string, error) {
	in, err := object(data)
	if err != nil || len(in) == 0 {
		return "", err
	}
	var slug string
	if raw, ok := in["slug"]; !ok || len(in) > 1 || json.Unmarshal(raw, &slug) != nil {
		return "", &graph.Error{Kind: graph.Invalid, Msg: "want nothing but a slug"}
	}
	v, err := readText(FieldInfo{Kind: Slug}, slug)
	if err != nil {
		return "", &graph.Error{Kind: graph.Invalid, Msg: "the slug cannot be used", Fields: []graph.Field{{Pointer: "/slug", Msg: err.Error()}}}
	}
	return v, nil
}

// revival is the work on one restoration.
type revival struct {
	*compiler
	tombstone *graph.Node
	top       graph.Ref
	t         trash
	inside    map[graph.Ref]*graph.Node
	edges     []graph.Edge // those that come back
	words     map[graph.Ref][]string
	pictures  map[graph.Ref]graph.Ref // that nodes outside get back
}

// exhume reads what is in a tombstone.
func (c *compiler) exhume(tombstone *graph.Node) (*revival, error) {
	parts := partsOf(tombstone)
	if err := c.states(parts); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(parts, func(r graph.Ref) bool { return c.nodes[r].node == nil }) {
		// Somebody else may have been faster between the two looks.
		found, err := c.s.graph.Store().Nodes(c.ctx, []graph.Ref{tombstone.Ref})
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, &graph.Error{Kind: graph.NotFound, Msg: tombstone.Ref.String() + " does not exist", Ref: tombstone.Ref}
		}
	}
	t, err := packed(tombstone, func(r graph.Ref) *graph.Node { return c.nodes[r].node })
	if err != nil {
		return nil, err
	}
	v := &revival{compiler: c, tombstone: tombstone, t: t, inside: map[graph.Ref]*graph.Node{}, words: map[graph.Ref][]string{}, pictures: map[graph.Ref]graph.Ref{}}
	for i := range t.nodes {
		v.inside[t.nodes[i].Ref] = &v.t.nodes[i]
	}
	v.top, err = graph.ParseRef(tombstone.Props.String(PropBuried))
	if err == nil && v.inside[v.top] == nil {
		err = fmt.Errorf("it does not hold %s", v.top)
	}
	if err != nil {
		return nil, graph.Wrap(graph.Corrupt, err, "what is packed in %s cannot be read", tombstone.Ref)
	}
	return v, nil
}

// there tells whether a node is among what is restored, or exists.
func (v *revival) there(r graph.Ref) bool {
	return v.inside[r] != nil || v.nodes[r] != nil && v.nodes[r].node != nil
}

// lookAround reads the nodes outside that what is restored was tied to.
func (v *revival) lookAround() error {
	var refs []graph.Ref
	want := func(r graph.Ref) {
		if v.inside[r] == nil {
			refs = append(refs, r)
		}
	}
	for i := range v.t.edges {
		e := &v.t.edges[i]
		want(e.From)
		want(e.To)
		if e.Kind == graph.CanAccess && e.Key != "" {
			want(graph.Ref{Type: Role, ID: e.Key})
		}
	}
	for i := range v.t.nodes {
		if t := v.t.nodes[i].Ref.Type; !Known(t) {
			want(graph.Ref{Type: ResourceType, ID: string(t)})
		}
	}
	return v.states(refs)
}

// mayStand refuses unless there is still a place for what is restored.
func (v *revival) mayStand() error {
	var parents []graph.Ref
	for _, p := range v.t.parents(v.top) {
		if v.there(p) {
			parents = append(parents, p)
		}
	}
	if h := home(v.top.Type, v.inside[v.top].Props); len(parents) == 0 || !h.IsZero() && !v.there(h) {
		return &graph.Error{Kind: graph.Stale, Msg: "what " + v.top.String() + " belonged to is gone: restore that first", Ref: v.tombstone.Ref}
	}
	types := map[graph.Type]bool{}
	for i := range v.t.nodes {
		t := v.t.nodes[i].Ref.Type
		if Known(t) || types[t] {
			continue
		}
		types[t] = true
		r := graph.Ref{Type: ResourceType, ID: string(t)}
		if !v.there(r) {
			return &graph.Error{Kind: graph.Stale, Msg: fmt.Sprintf("there is no resource type %s any more, which %s is of", t, v.t.nodes[i].Ref), Ref: v.tombstone.Ref}
		}
		v.guard(graph.Require(r))
	}
	return nil
}

// rename gives the top its slug, if it is to have another one, and refuses if a
// name is taken. A slug of the past that leads elsewhere by now is forgotten.
func (v *revival) rename(slug string) error {
	if top := v.inside[v.top]; slug != "" && top.Props.String("slug") != slug {
		top.Props["slug"] = slug
		top.Names = names(v.top, top.Props)
	}
	var all []string
	for i := range v.t.nodes {
		all = append(all, v.t.nodes[i].Names...)
	}
	if err := v.findNames(all); err != nil {
		return err
	}
	for i := range v.t.nodes {
		n := &v.t.nodes[i]
		former := slices.Clone(n.Props.Strings(PropFormerSlugs))
		for _, name := range n.Names {
			holder := v.holder(name)
			if holder.IsZero() || holder == n.Ref { // that it is there again, the batch will say
				continue
			}
			if !strings.HasPrefix(name, "former:") {
				return taken(name, n, holder)
			}
			former = slices.DeleteFunc(former, func(s string) bool { return formerName(n.Ref.Type, n.Props, s) == name })
		}
		if len(former) < len(n.Props.Strings(PropFormerSlugs)) {
			if n.Props[PropFormerSlugs] = former; len(former) == 0 {
				delete(n.Props, PropFormerSlugs)
			}
			n.Names = names(n.Ref, n.Props)
		}
	}
	return nil
}

// holder returns who bears a name, as the mutations so far leave it.
func (v *revival) holder(name string) graph.Ref {
	for _, r := range []graph.Ref{v.written[name], v.named[name]} {
		if s := v.nodes[r]; s != nil && s.node != nil && slices.Contains(s.node.Names, name) {
			return r
		}
	}
	return graph.Ref{}
}

func taken(name string, n *graph.Node, holder graph.Ref) error {
	what := "slug"
	if strings.HasPrefix(name, "email:") {
		what = "email"
	}
	msg := fmt.Sprintf("another %s has the %s %s by now", strings.ReplaceAll(string(n.Ref.Type), "_", " "), what, n.Props.String(what))
	return &graph.Error{Kind: graph.Exists, Msg: msg, Ref: holder, Fields: []graph.Field{{Pointer: "/data/" + what, Msg: msg}}}
}

// choose finds the edges that come back.
func (v *revival) choose() error {
	single, err := v.singles()
	if err != nil {
		return err
	}
	for i := range v.t.edges {
		e := &v.t.edges[i]
		back, err := v.comes(e)
		if err != nil {
			return err
		}
		if k := (relationKey{e.From, e.Kind, e.To.Type}); back && v.inside[e.From] == nil && isSingle(k) {
			back = !single[k]
			single[k] = true
			v.fix(e.From)
		}
		if back {
			v.edges = append(v.edges, *e)
		}
	}
	// Where it may close a circle, an edge from outside is looked at last.
	slices.SortStableFunc(v.edges, func(a, b graph.Edge) int { return cmp.Compare(v.side(&a), v.side(&b)) })
	return nil
}

// side is 1 if the edge comes from outside.
func (v *revival) side(e *graph.Edge) int {
	if v.inside[e.From] == nil {
		return 1
	}
	return 0
}

// fix makes the batch fail if a node outside is changed meanwhile.
func (v *revival) fix(r graph.Ref) {
	v.compiler.fix(r, v.nodes[r])
}

// isSingle tells whether a relation field holds one node at most.
func isSingle(k relationKey) bool {
	return slices.ContainsFunc(Describe(k.from.Type), func(f FieldInfo) bool {
		return f.Kind == Relation && f.Edge == k.kind && f.To == k.to
	})
}

// comes tells whether an edge can come back.
func (v *revival) comes(e *graph.Edge) (bool, error) {
	if !v.there(e.From) || !v.there(e.To) {
		return false, nil
	}
	if e.Kind == graph.CanAccess && e.Key != "" {
		role := graph.Ref{Type: Role, ID: e.Key}
		if !v.there(role) {
			return false, nil
		}
		if v.inside[role] == nil {
			v.guard(graph.Require(role))
		}
	}
	if e.Kind == HasPicture && v.inside[e.From] == nil {
		return v.wears(e), nil
	}
	if v.inside[e.To] != nil {
		return true, nil
	}
	// Above this, somebody else decides: the caller must be able to give it.
	switch e.Kind {
	case graph.CanAccess:
		return v.mayGrant(e)
	case graph.MemberOf:
		v.fixRoles()
		return v.check(string(e.To.Type)+":update", e.To) && v.coverSet(e.To, "membership") == nil, nil
	}
	return true, nil
}

func (v *revival) mayGrant(e *graph.Edge) (bool, error) {
	given := e.Props.Strings(graph.PropActions)
	if e.Key != "" && v.inside[graph.Ref{Type: Role, ID: e.Key}] == nil {
		var err error
		if given, _, err = v.rolePermissions(e.Key); err != nil {
			return false, err
		}
	} else if e.Key != "" {
		given = []string{"*"} // what a role that is restored too gives is not looked into
	}
	v.fixRoles()
	return v.check(GrantAccess, e.To) && len(v.missing(e.To, given)) == 0, nil
}

// singles lists the relation fields of nodes outside that hold one node at most
// and hold another one by now.
func (v *revival) singles() (map[relationKey]bool, error) {
	var refs []graph.Ref
	for i := range v.t.edges {
		e := &v.t.edges[i]
		if s := v.nodes[e.From]; v.inside[e.From] == nil && s != nil && s.stored && (Catalogued(e.From.Type) || e.From.Type == Team) {
			refs = append(refs, e.From)
		}
	}
	slices.SortFunc(refs, graph.CompareRefs)
	refs = slices.DeleteFunc(slices.Compact(refs), func(r graph.Ref) bool { return v.surveyed[r] })
	if err := v.survey(refs); err != nil {
		return nil, err
	}
	out := map[relationKey]bool{}
	for k, to := range v.related {
		if len(to) > 0 && isSingle(k) {
			out[k] = true
		}
	}
	return out, nil
}

// mend makes the properties fit the edges that come back: the words of tags,
// pictures, and what a role names.
func (v *revival) mend() error {
	links := map[graph.EdgeKey]bool{}
	for i := range v.edges {
		e := &v.edges[i]
		links[e.EdgeKey] = true
		if e.Kind != Tagged {
			continue
		}
		tag := v.inside[e.To]
		if tag == nil {
			tag = v.nodes[e.To].node
		}
		v.words[e.From] = append(v.words[e.From], keyword(tag.Props))
	}
	for i := range v.t.nodes {
		n := &v.t.nodes[i]
		if p := PictureOf(n.Ref.Type, n.Props); !p.IsZero() && !links[graph.EdgeKey{From: n.Ref, Kind: HasPicture, To: p}] {
			delete(n.Props, PictureField(n.Ref.Type))
		}
		if n.Ref.Type == Project {
			setWords(n.Props, v.words[n.Ref])
		}
		if n.Ref.Type == Role {
			v.keepLinked(n, "permissions", graph.Grants, Permission, links)
			v.keepLinked(n, "inherits", graph.Inherits, Role, links)
		}
	}
	return nil
}

func setWords(p graph.Props, words []string) {
	slices.Sort(words)
	if p[PropKeywords] = words; len(words) == 0 {
		delete(p, PropKeywords)
	}
}

// keepLinked takes from a list of a role what it has no edge to.
func (v *revival) keepLinked(n *graph.Node, list string, k graph.Kind, t graph.Type, links map[graph.EdgeKey]bool) {
	if was, ok := n.Props[list].([]string); ok {
		n.Props[list] = slices.DeleteFunc(slices.Clone(was), func(id string) bool {
			return !links[graph.EdgeKey{From: n.Ref, Kind: k, To: graph.Ref{Type: t, ID: id}}]
		})
	}
}

// raise adds the steps.
func (v *revival) raise() error {
	c := v.compiler
	for i := range v.t.nodes {
		n := &v.t.nodes[i]
		c.add(graph.RequireAbsent(n.Ref))
		c.add(graph.Put(graph.Node{Ref: n.Ref, Names: n.Names, Props: n.Props}))
		c.nodes[n.Ref] = &state{node: n, changed: true}
		for _, name := range n.Names {
			c.written[name] = n.Ref
		}
	}
	touched := map[graph.Ref]bool{}
	for i := range v.edges {
		e := &v.edges[i]
		v.tie(e, touched)
		if slices.Contains(RelationKinds, e.Kind) {
			k := relationKey{e.From, e.Kind, e.To.Type}
			if c.related[k] == nil {
				c.related[k] = map[graph.Ref]graph.Props{}
			}
			c.related[k][e.To] = e.Props
		}
	}
	for _, r := range slices.SortedFunc(maps.Keys(touched), graph.CompareRefs) {
		if words := v.words[r]; len(words) > 0 {
			v.reword(r, words)
		} else {
			c.add(graph.Touch(r))
		}
	}
	for _, r := range slices.SortedFunc(maps.Keys(v.pictures), graph.CompareRefs) {
		c.face(r, c.nodes[r], v.pictures[r])
	}
	for _, r := range partsOf(v.tombstone) {
		c.add(graph.Delete(r))
		c.nodes[r] = &state{changed: true}
	}
	c.add(graph.Delete(v.tombstone.Ref))
	c.nodes[v.tombstone.Ref] = &state{changed: true}
	return nil
}

// tie links an edge that comes back. Its end outside may vanish at this moment.
func (v *revival) tie(e *graph.Edge, touched map[graph.Ref]bool) {
	link := graph.Link(graph.Edge{EdgeKey: e.EdgeKey, Props: e.Props})
	outside := v.inside[e.From] == nil
	if outside && (e.Kind == graph.ChildOf && !hasHome(e.From.Type) || e.Kind == graph.MemberOf && e.From.Type != User && e.From.Type != ServiceAccount) {
		// What was below or in it may be above it by now.
		v.add(graph.RequireAcyclic(e.From, e.Kind, e.To))
	}
	v.push(link, outside || v.inside[e.To] == nil)
	if outside && slices.Contains(RelationKinds, e.Kind) {
		touched[e.From] = true
	}
}

// reword gives a node outside the words of its tags that come back.
func (v *revival) reword(r graph.Ref, words []string) {
	v.fix(r)
	s := v.nodes[r]
	p := s.node.Props.Clone()
	setWords(p, append(slices.Clone(p.Strings(PropKeywords)), words...))
	v.store(r, s, p)
}

// Restored tells from a change what a restoration brought back, and which edges
// could not come back.
func Restored(ch *graph.Change, tombstone graph.Ref) (top graph.Ref, nodes, edges int, lost []graph.EdgeKey, err error) {
	gone, made := map[graph.Ref]*graph.Node{}, map[graph.EdgeKey]bool{}
	for _, e := range ch.Entries {
		switch {
		case e.Node != nil && e.Node.After == nil:
			gone[e.Node.Before.Ref] = e.Node.Before
		case e.Edge != nil && e.Edge.After != nil && e.Edge.Before == nil:
			made[e.Edge.After.EdgeKey] = true
		}
	}
	n := gone[tombstone]
	if n == nil {
		return top, 0, 0, nil, graph.Errorf(graph.Internal, "the change restored nothing")
	}
	t, err := packed(n, func(r graph.Ref) *graph.Node { return gone[r] })
	if err != nil {
		return top, 0, 0, nil, err
	}
	for i := range t.edges {
		if k := t.edges[i].EdgeKey; made[k] {
			edges++
		} else {
			lost = append(lost, k)
		}
	}
	top, err = graph.ParseRef(n.Props.String(PropBuried))
	return top, int(t.count()), edges, lost, err
}
