package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"trellis/graph"
)

// maxRelations limits one relation field of a node.
const maxRelations = 1000

// wish is what a caller wants of one relation field.
type wish struct {
	// whole: what is not named is to go. Otherwise it stays.
	whole bool
	names []string // in the caller's order, without repeats
	// edges holds what the edges are to carry, by name. Where wish is not
	// whole, an absent text stays as it is, and "" removes it.
	edges map[string]map[string]string
	gone  []string // names that are to go, if not whole
}

// readWish reads a relation field. raw is nil if the field was not given, which
// is to mean none.
func readWish(f FieldInfo, raw json.RawMessage, patch bool) (wish, error) {
	w := wish{whole: true, edges: map[string]map[string]string{}}
	if len(raw) == 0 || string(raw) == "null" {
		return w, nil
	}
	var err error
	switch f.Kind {
	case Relation:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return w, errors.New("want a string")
		}
		if s != "" {
			w.names = []string{s}
		}
	case Relations:
		if json.Unmarshal(raw, &w.names) != nil {
			return w, errors.New("want a list of strings")
		}
		seen := map[string]bool{}
		w.names = slices.DeleteFunc(w.names, func(s string) bool { was := seen[s]; seen[s] = true; return was })
	case RelationMap:
		w.whole = !patch
		err = w.readMap(f, raw)
	}
	if len(w.names) > maxRelations {
		return w, fmt.Errorf("has %d entries; the limit is %d", len(w.names), maxRelations)
	}
	for _, s := range w.names {
		if (graph.Ref{Type: f.To, ID: s}).Validate() != nil {
			return w, fmt.Errorf("%.80q is neither a slug nor an id", s)
		}
	}
	return w, err
}

func (w *wish) readMap(f FieldInfo, raw json.RawMessage) error {
	var entries map[string]map[string]*string
	if json.Unmarshal(raw, &entries) != nil || entries == nil {
		return errors.New("want an object of objects of strings")
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		fields := entries[name]
		if fields == nil {
			w.gone = append(w.gone, name)
			continue
		}
		w.names = append(w.names, name)
		w.edges[name] = map[string]string{}
		for k, v := range fields {
			switch {
			case !slices.Contains(f.EdgeFields, k):
				return fmt.Errorf("%.80q of %.80q: there is no such field; there is %s", k, name, strings.Join(f.EdgeFields, ", "))
			case v == nil:
				w.edges[name][k] = ""
			case len(*v) > maxURL || strings.ContainsRune(*v, 0):
				return fmt.Errorf("%s of %.80q: want at most %d bytes of text", k, name, maxURL)
			default:
				w.edges[name][k] = *v
			}
		}
	}
	return nil
}

// merged returns what the edge is to carry, given what it carries now.
func (w *wish) merged(name string, now graph.Props) graph.Props {
	p := graph.Props{}
	if !w.whole {
		p = now.Clone()
	}
	for k, v := range w.edges[name] {
		if v == "" {
			delete(p, k)
		} else {
			p[k] = v
		}
	}
	return p
}

// relate brings the relations of a node to what the draft wants. s is the
// node's state, org the organization it belongs to.
func (c *compiler) relate(r graph.Ref, s *state, d *draft) error {
	if len(d.wishes) == 0 {
		return nil
	}
	touched := false
	for _, f := range Describe(r.Type) {
		w, ok := d.wishes[f.Name]
		if !ok {
			continue
		}
		changed, err := c.relateField(r, s, d, f, &w)
		if err != nil {
			return err
		}
		touched = touched || changed
	}
	if touched && s.stored {
		c.add(graph.Touch(r))
	}
	return nil
}

func (c *compiler) relateField(r graph.Ref, s *state, d *draft, f FieldInfo, w *wish) (changed bool, err error) {
	now, err := c.relations(r, s, f)
	if err != nil {
		return false, err
	}
	want := map[graph.Ref]graph.Props{}
	for to, props := range now {
		// Of its own kind a caller is shown only what they may read, so that
		// what they leave out is none of the others.
		if !w.whole || f.To == r.Type && !c.check(string(to.Type)+":read", to) {
			want[to] = props
		}
	}
	for _, name := range w.gone {
		if to, err := c.target(r, d, f, name, now); err == nil {
			delete(want, to)
		}
	}
	for i, name := range w.names {
		to, err := c.target(r, d, f, name, now)
		if err != nil {
			return false, at(err, relationPointer(f, i, name))
		}
		want[to] = w.merged(name, now[to])
	}
	if len(want) > maxRelations {
		return false, wrong("/data/"+f.Name, "would have %d entries; the limit is %d", len(want), maxRelations)
	}
	for _, to := range slices.SortedFunc(maps.Keys(now), graph.CompareRefs) {
		if _, stays := want[to]; !stays {
			c.add(graph.Unlink(graph.EdgeKey{From: r, Kind: f.Edge, To: to}))
			changed = true
		}
	}
	for _, to := range slices.SortedFunc(maps.Keys(want), graph.CompareRefs) {
		if was, is := now[to]; is && was.Equal(want[to]) {
			continue
		}
		if _, is := now[to]; !is && f.Edge == graph.ChildOf {
			if err := c.adopt(r, s, to); err != nil {
				return false, err
			}
		}
		c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: f.Edge, To: to}, Props: want[to]}))
		changed = true
	}
	if changed {
		c.related[relationKey{r, f.Edge, f.To}] = want
		if f.Edge == graph.ChildOf {
			s.parents = append([]graph.Ref{home(r.Type, d.props)}, slices.Collect(maps.Keys(want))...)
		}
	}
	if f.Edge == Tagged {
		return changed, c.keywords(d, want)
	}
	return changed, nil
}

func relationPointer(f FieldInfo, i int, name string) string {
	switch f.Kind {
	case Relations:
		return fmt.Sprintf("/data/%s/%d", f.Name, i)
	case RelationMap:
		return "/data/" + f.Name + "/" + pointer.Replace(name)
	}
	return "/data/" + f.Name
}

// adopt checks that the caller may put the node below a team, with all that
// flows to it from there.
func (c *compiler) adopt(r graph.Ref, s *state, team graph.Ref) error {
	if err := c.need(string(r.Type)+":create", team); err != nil {
		return err
	}
	c.fixRoles()
	if s.made {
		return nil // what its maker owns, its maker may give away
	}
	return c.coverFlow(r, team)
}

// target finds the node that a relation names: in the node's own organization,
// by its slug, its id, or a slug that it had before, and only if the caller may
// read it or, being shown what the node consists of, reads it there already.
func (c *compiler) target(r graph.Ref, d *draft, f FieldInfo, name string, now map[graph.Ref]graph.Props) (graph.Ref, error) {
	org := d.props.String("organization")
	for _, find := range []func() (graph.Ref, error){
		func() (graph.Ref, error) { return c.bySlug(f.To, org, name) },
		func() (graph.Ref, error) { return graph.Ref{Type: f.To, ID: name}, nil },
		func() (graph.Ref, error) { return c.byName(FormerName(f.To, org, name)) },
	} {
		to, err := find()
		if err != nil {
			return graph.Ref{}, err
		}
		if to.IsZero() {
			continue
		}
		s, err := c.state(to)
		if err != nil {
			return graph.Ref{}, err
		}
		_, shown := now[to]
		if s.node == nil || s.node.Props.String("organization") != org || !(shown && f.To != r.Type || c.check(string(to.Type)+":read", to)) {
			continue
		}
		if to == r {
			return graph.Ref{}, graph.Errorf(graph.Invalid, "it cannot be related to itself")
		}
		return to, nil
	}
	return graph.Ref{}, graph.Errorf(graph.Invalid, "there is no %s %.80q in this organization", strings.ReplaceAll(string(f.To), "_", " "), name)
}

// bySlug finds a node by its slug within an organization, as the mutations so
// far leave it; zero if there is none.
func (c *compiler) bySlug(t graph.Type, org, slug string) (graph.Ref, error) {
	if !validSlug(slug) {
		return graph.Ref{}, nil
	}
	return c.byName(SlugName(t, org, slug))
}

func (c *compiler) byName(name string) (graph.Ref, error) {
	r, ok := c.written[name]
	if !ok {
		if r, ok = c.named[name]; !ok {
			if err := c.findNames([]string{name}); err != nil {
				return graph.Ref{}, err
			}
			r = c.named[name]
		}
	}
	if r.IsZero() {
		return r, nil
	}
	// A mutation before this one may have renamed or removed it.
	s, err := c.state(r)
	if err != nil || s.node == nil || !slices.Contains(s.node.Names, name) {
		return graph.Ref{}, err
	}
	return r, nil
}

// findNames looks up who holds the names, in the store.
func (c *compiler) findNames(names []string) error {
	for chunk := range slices.Chunk(names, graph.MaxPage) {
		a, err := c.s.graph.Store().Ask(c.ctx, graph.Question{Name: graph.NodesByName, Names: chunk, Limit: graph.MaxPage})
		if err != nil {
			return err
		}
		for _, n := range chunk {
			c.named[n] = graph.Ref{}
		}
		for i := range a.Nodes {
			n := &a.Nodes[i]
			for _, name := range n.Names {
				c.named[name] = n.Ref
			}
			if _, known := c.nodes[n.Ref]; !known {
				c.nodes[n.Ref] = &state{node: n, stored: true}
			}
		}
	}
	return nil
}

// relationKey names one relation field of a node.
type relationKey struct {
	from graph.Ref
	kind graph.Kind
	to   graph.Type
}

// relations returns the present edges of a relation field, as the mutations so
// far leave them.
func (c *compiler) relations(r graph.Ref, s *state, f FieldInfo) (map[graph.Ref]graph.Props, error) {
	k := relationKey{r, f.Edge, f.To}
	if out, ok := c.related[k]; ok {
		return out, nil
	}
	if s.stored && !c.surveyed[r] {
		if err := c.survey([]graph.Ref{r}); err != nil {
			return nil, err
		}
	}
	out := c.related[k]
	if out == nil {
		out = map[graph.Ref]graph.Props{}
	}
	return out, nil
}

// survey reads the relations of stored nodes.
func (c *compiler) survey(refs []graph.Ref) error {
	for chunk := range slices.Chunk(refs, 1000) {
		q := graph.Question{Name: graph.EdgesOut, Refs: chunk, Kinds: RelationKinds, Limit: graph.MaxPage}
		for {
			a, err := c.s.graph.Store().Ask(c.ctx, q)
			if err != nil {
				return err
			}
			for i := range a.Edges {
				e := &a.Edges[i]
				k := relationKey{e.From, e.Kind, e.To.Type}
				if c.related[k] == nil {
					c.related[k] = map[graph.Ref]graph.Props{}
				}
				c.related[k][e.To] = e.Props
			}
			if q.After = a.Next; a.Next == "" {
				break
			}
		}
		for _, r := range chunk {
			c.surveyed[r] = true
		}
	}
	return nil
}

// foresee reads, all at once, what the relations of many mutations will need.
// What it leaves out is read when its turn comes.
func (c *compiler) foresee(muts []Mutation) error {
	var names []string
	var refs, there []graph.Ref
	for i := range muts {
		m := &muts[i]
		if m.Op == OpDelete || !Catalogued(m.Node.Type) {
			continue
		}
		in, err := object(m.Data)
		if err != nil {
			continue // the mutation itself will say so
		}
		org, _ := readOrg(in["organization"])
		if s := c.nodes[m.Node]; s != nil && s.stored {
			org = s.node.Props.String("organization")
			there = append(there, m.Node)
		}
		if org != "" {
			refs = append(refs, graph.Ref{Type: Organization, ID: org})
		}
		for _, f := range Describe(m.Node.Type) {
			if raw := in[f.Name]; f.Kind.related() && len(raw) > 0 {
				w, err := readWish(f, raw, true)
				if err != nil {
					continue
				}
				for _, n := range w.names {
					names = append(names, SlugName(f.To, org, n))
				}
			}
		}
	}
	slices.Sort(names)
	if err := c.findNames(slices.Compact(names)); err != nil {
		return err
	}
	if err := c.states(refs); err != nil {
		return err
	}
	return c.survey(there)
}

func readOrg(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", err
	}
	return readText(FieldInfo{Kind: OrgID}, s)
}

// keyword is what a tag adds to the words by which search finds a project.
func keyword(tag graph.Props) string {
	return strings.TrimSpace(tag.String("slug") + " " + tag.String("name"))
}

// keywords keeps the words of its tags with a project.
func (c *compiler) keywords(d *draft, tags map[graph.Ref]graph.Props) error {
	var words []string
	for r := range tags {
		s, err := c.state(r)
		if err != nil {
			return err
		}
		if s.node != nil {
			words = append(words, keyword(s.node.Props))
		}
	}
	slices.Sort(words)
	if delete(d.props, PropKeywords); len(words) > 0 {
		d.props[PropKeywords] = words
	}
	return nil
}

// retag rewrites the words of a tag with everything that bears it: after is
// nil if the tag goes.
func (c *compiler) retag(tag graph.Ref, before, after graph.Props) error {
	old, fresh := keyword(before), ""
	if after != nil {
		fresh = keyword(after)
	}
	if old == fresh {
		return nil
	}
	bearers, err := c.bearers(tag)
	if err != nil {
		return err
	}
	if err := c.states(bearers); err != nil {
		return err
	}
	for _, r := range bearers {
		s := c.nodes[r]
		if s.node == nil {
			continue
		}
		c.fix(r, s)
		p := s.node.Props.Clone()
		words := slices.DeleteFunc(slices.Clone(p.Strings(PropKeywords)), func(w string) bool { return w == old })
		if fresh != "" {
			words = append(words, fresh)
		}
		slices.Sort(words)
		if p[PropKeywords] = words; len(words) == 0 {
			delete(p, PropKeywords)
		}
		c.store(r, s, p)
	}
	return nil
}

// bearers lists what bears the tag, as the mutations so far leave it.
func (c *compiler) bearers(tag graph.Ref) ([]graph.Ref, error) {
	stored, err := c.sources(tag, Tagged)
	if err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(stored, func(r graph.Ref) bool {
		return c.related[relationKey{r, Tagged, Tag}] != nil
	})
	for k, to := range c.related {
		if _, bears := to[tag]; bears && k.kind == Tagged {
			out = append(out, k.from)
		}
	}
	slices.SortFunc(out, graph.CompareRefs)
	return out, nil
}

// sources lists the nodes that have an edge of the kind to r.
func (c *compiler) sources(r graph.Ref, k graph.Kind) ([]graph.Ref, error) {
	var out []graph.Ref
	q := graph.Question{Name: graph.EdgesTo, Ref: r, Kind: k, Limit: graph.MaxPage}
	for {
		a, err := c.s.graph.Store().Ask(c.ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range a.Edges {
			if !c.gone(a.Edges[i].EdgeKey) {
				out = append(out, a.Edges[i].From)
			}
		}
		if len(out) > graph.MaxSteps/4 {
			return nil, graph.Errorf(graph.TooLarge, "more than %d nodes are related to %s by %s: change some of them first", graph.MaxSteps/4, r, k)
		}
		if q.After = a.Next; a.Next == "" {
			return out, nil
		}
	}
}
