package identity

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"trellis/graph"
)

// compiler turns the mutations of one Apply into the steps of one batch. It
// checks every rule on the way, against the Authority at one revision and
// against what the mutations before have already done.
type compiler struct {
	s      *Service
	ctx    context.Context
	caller Caller
	auth   Authority
	at     time.Time

	steps []graph.Step
	marks []mark
	cur   int // index of the mutation being compiled

	nodes map[graph.Ref]*state
	// meant lists the nodes that the mutations so far name, by type.
	meant map[graph.Type][]graph.Ref
	// named is who holds which slugs in the store, as far as that was asked;
	// written, who holds them by what the mutations so far write.
	named, written map[string]graph.Ref
	// related holds relation fields as the mutations so far leave them, of the
	// nodes in surveyed and of those that the mutations made.
	related  map[relationKey]map[graph.Ref]graph.Props
	surveyed map[graph.Ref]bool
	// parted holds the edges that the mutations so far remove.
	parted map[graph.EdgeKey]bool
	// rolesWritten notes that the batch itself writes roles; only then must they
	// be followed in it instead of in the index.
	rolesWritten bool
	// look is what is known of the edges at nodes; see there.
	look look
	// first holds the steps that go before all others.
	first      []graph.Step
	firstMarks []mark
	// rolesFixed notes that the batch already refuses to run if roles changed.
	rolesFixed bool
}

// mark tells which mutation a step belongs to, and whether its failure only
// means that the ground has shifted since the compiler looked.
type mark struct {
	mutation int
	guard    bool
}

// state is a node as the mutations so far would leave it.
type state struct {
	node    *graph.Node // nil: there is none
	stored  bool
	made    bool        // made by this batch
	changed bool        // written or removed by this batch
	parents []graph.Ref // of a node made or moved by this batch
	fixed   bool        // a step already ties the batch to the stored revision
}

func (s *Service) compiler(ctx context.Context, caller Caller) *compiler {
	return &compiler{
		s: s, ctx: ctx, caller: caller, auth: s.authority(), at: s.Now(), nodes: map[graph.Ref]*state{}, meant: map[graph.Type][]graph.Ref{},
		named: map[string]graph.Ref{}, written: map[string]graph.Ref{},
		related: map[relationKey]map[graph.Ref]graph.Props{}, surveyed: map[graph.Ref]bool{},
		parted: map[graph.EdgeKey]bool{},
	}
}

func (c *compiler) add(s graph.Step)   { c.push(s, false) }
func (c *compiler) guard(s graph.Step) { c.push(s, true) }

func (c *compiler) push(s graph.Step, guard bool) {
	c.steps = append(c.steps, s)
	c.marks = append(c.marks, mark{c.cur, guard})
	switch {
	case s.Op == graph.DeleteEdge:
		c.parted[s.Edge.EdgeKey] = true
	case s.Op == graph.PutEdge && len(c.parted) > 0:
		delete(c.parted, s.Edge.EdgeKey)
	case s.Op == graph.PutNode && s.Node.Ref.Type == Role:
		c.rolesWritten = true
	}
}

// gone tells whether the mutations so far have removed a stored edge, or a node
// at either end of it.
func (c *compiler) gone(k graph.EdgeKey) bool {
	return c.parted[k] || c.removed(k.From) || c.removed(k.To)
}

// removed tells whether the mutations so far have removed the node.
func (c *compiler) removed(r graph.Ref) bool {
	s := c.nodes[r]
	return s != nil && s.changed && s.node == nil
}

// load reads the nodes that the mutations name, all at once.
func (c *compiler) load(muts []Mutation) error {
	var refs []graph.Ref
	want := func(r graph.Ref) {
		if _, ok := c.nodes[r]; !ok && !r.IsZero() {
			c.nodes[r] = &state{}
			refs = append(refs, r)
		}
	}
	for i := range muts {
		m := &muts[i]
		for _, t := range [...]graph.Type{m.Node.Type, m.Member.Type, m.Subject.Type} {
			if t != "" && !Known(t) {
				want(graph.Ref{Type: ResourceType, ID: string(t)})
			}
		}
		want(m.Node)
	}
	if err := c.fetch(refs); err != nil {
		return err
	}
	if err := c.lookAhead(muts); err != nil {
		return err
	}
	return c.foresee(muts)
}

// states reads those of the nodes that are not known yet, all at once.
func (c *compiler) states(refs []graph.Ref) error {
	var unknown []graph.Ref
	for _, r := range refs {
		if _, ok := c.nodes[r]; !ok {
			c.nodes[r] = &state{}
			unknown = append(unknown, r)
		}
	}
	return c.fetch(unknown)
}

func (c *compiler) fetch(refs []graph.Ref) error {
	if len(refs) == 0 {
		return nil
	}
	found, err := c.s.graph.Store().Nodes(c.ctx, refs)
	if err != nil {
		return err
	}
	for i := range found {
		*c.nodes[found[i].Ref] = state{node: &found[i], stored: true}
	}
	return nil
}

func (c *compiler) state(r graph.Ref) (*state, error) {
	if s, ok := c.nodes[r]; ok {
		return s, nil
	}
	c.nodes[r] = &state{}
	err := c.fetch([]graph.Ref{r})
	return c.nodes[r], err
}

// made tells whether this batch made r, so that its maker will own it.
func (c *compiler) made(r graph.Ref) (*state, bool) {
	s, ok := c.nodes[r]
	return s, ok && s.made
}

// check tells whether the caller holds the permission on r. What the batch
// itself made the caller owns, unless it is of a type that has no owner;
// then what counts is what lies above.
func (c *compiler) check(permission string, r graph.Ref) bool {
	if s, ok := c.made(r); ok {
		return owned(r.Type) || slices.ContainsFunc(s.parents, func(p graph.Ref) bool { return c.check(permission, p) })
	}
	return c.auth.Check(c.caller.Subject, permission, r, c.at)
}

// need refuses unless the caller holds the permission on r.
func (c *compiler) need(permission string, r graph.Ref) error {
	if c.check(permission, r) {
		return nil
	}
	e := graph.Errorf(graph.Denied, "%s on %s is needed", permission, r)
	e.Ref, e.Permission = r, permission
	return e
}

// missing returns those of the permissions that the caller does not hold on r.
func (c *compiler) missing(r graph.Ref, permissions []string) []string {
	s, ok := c.made(r)
	if !ok {
		return c.auth.Missing(c.caller.Subject, r, permissions, c.at)
	}
	if owned(r.Type) {
		return nil
	}
	for _, p := range s.parents {
		permissions = c.missing(p, permissions)
	}
	return permissions
}

// cover refuses unless the caller holds all the permissions on r: nobody
// gives away more than they hold.
func (c *compiler) cover(r graph.Ref, permissions []string, what string) error {
	lack := c.missing(r, permissions)
	if len(lack) == 0 {
		return nil
	}
	if len(lack) > 5 {
		lack = append(slices.Clone(lack[:5]), "…")
	}
	e := graph.Errorf(graph.Denied, "%s would give away %s on %s, which the caller does not hold there", what, strings.Join(lack, ", "), r)
	e.Ref, e.Permission = r, lack[0]
	return e
}

// coverSet refuses unless the caller holds all that membership in set gives.
func (c *compiler) coverSet(set graph.Ref, what string) error {
	if _, ok := c.made(set); ok {
		return nil // what the batch gives to it, it checks when it gives it
	}
	for r, permissions := range c.auth.Conveys(set, c.at) {
		if err := c.cover(r, permissions, what); err != nil {
			return err
		}
	}
	return nil
}

// coverFlow refuses unless the caller holds, on r, all that would flow to it
// from a new parent.
func (c *compiler) coverFlow(r, parent graph.Ref) error {
	what := "moving it below " + parent.String()
	if s, ok := c.made(parent); ok {
		if owned(parent.Type) {
			return c.cover(r, []string{"*"}, what)
		}
		for _, p := range s.parents {
			if err := c.coverFlow(r, p); err != nil {
				return err
			}
		}
		return nil
	}
	for _, permissions := range c.auth.Flows(parent, c.at) {
		if err := c.cover(r, permissions, what); err != nil {
			return err
		}
	}
	return nil
}

// within tells whether r is org or below it.
func (c *compiler) within(r, org graph.Ref) bool {
	if s, ok := c.made(r); ok {
		return r == org || slices.ContainsFunc(s.parents, func(p graph.Ref) bool { return c.within(p, org) })
	}
	return c.auth.Within(r, org)
}

// fixRoles makes the batch fail if any role came to grant more since the
// Authority's revision: what was covered then might not be covered now.
func (c *compiler) fixRoles() {
	if !c.rolesFixed {
		c.rolesFixed = true
		c.guard(graph.RequireUnchanged(graph.Grants, "", c.auth.Revision()))
		c.guard(graph.RequireUnchanged(graph.Inherits, "", c.auth.Revision()))
	}
}

// owned tells whether whoever makes a node of this type becomes its owner.
// People are nobody's property, and resource types are for everybody.
func owned(t graph.Type) bool { return t != User && t != ResourceType && t != Permission }

func (c *compiler) mutation(m *Mutation) error {
	switch m.Op {
	case OpCreate, OpPut, OpPatch, OpEnsure, OpDelete, OpRestore:
		if err := m.Node.Validate(); err != nil {
			return at(err, "/node")
		}
		c.meant[m.Node.Type] = append(c.meant[m.Node.Type], m.Node)
		switch m.Op {
		case OpDelete:
			return c.delete(m)
		case OpRestore:
			return c.restore(m)
		}
		return c.edit(m)
	case OpStoreUpload, OpPutPicture:
		if err := m.Node.Validate(); err != nil {
			return at(err, "/node")
		}
		if m.Op == OpPutPicture {
			return c.putPicture(m)
		}
		return c.storeUpload(m)
	case OpPutMember, OpDeleteMember:
		return c.member(m)
	case OpPutGrant, OpDeleteGrant:
		return c.grant(m)
	}
	return wrong("/op", "%.40q is not an operation", string(m.Op))
}

// wrong is an Invalid error about one part of a mutation.
func wrong(pointer, format string, args ...any) *graph.Error {
	e := graph.Errorf(graph.Invalid, format, args...)
	e.Fields = []graph.Field{{Pointer: pointer, Msg: e.Msg}}
	return e
}

// at points an Invalid error at a part of the mutation.
func at(err error, pointer string) error {
	var e *graph.Error
	if errors.As(err, &e) && e.Kind == graph.Invalid && len(e.Fields) == 0 {
		e.Fields = []graph.Field{{Pointer: pointer, Msg: e.Msg}}
	}
	return err
}

// expires reads when a membership or grant ends, as a property.
func (c *compiler) expires(m *Mutation, p graph.Props) error {
	if m.ExpiresAt == nil {
		return nil
	}
	if !m.ExpiresAt.After(c.at) {
		return wrong("/expires_at", "%s is not in the future", m.ExpiresAt.UTC().Format(time.RFC3339Nano))
	}
	p[graph.PropExpires] = m.ExpiresAt.UnixMilli()
	return nil
}
