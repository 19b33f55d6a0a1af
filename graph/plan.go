package graph

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Plan evaluates the batches of a group one after the other against the
// state that tx shows, head being the store's last revision. It gives one
// result per batch and the net effects of those that were accepted and are
// not dry. An error is an error of tx. This is the one place where the meaning of steps is
// written down; engines only load and store.
func Plan(ctx context.Context, tx Tx, head Revision, group []Batch) ([]Result, Effects, error) {
	p := &planner{
		ctx: ctx, tx: tx, head: head,
		nodes: map[Ref]*nodeSlot{}, edges: map[EdgeKey]*edgeSlot{}, names: map[string]*nameSlot{},
		out: map[Ref][]*edgeSlot{}, in: map[Ref][]*edgeSlot{}, whole: map[Around]bool{},
		last: map[EdgeKey]Revision{}, asked: map[EdgeKey]bool{},
	}
	if err := p.load(p.wants(group)); err != nil {
		return nil, Effects{}, err
	}
	results := make([]Result, len(group))
	var changes []Change
	for i := range group {
		b := &group[i]
		refused, err := p.run(b, i+1)
		if err != nil {
			return nil, Effects{}, err
		}
		if refused != nil {
			p.rollback()
			results[i] = Result{Revision: p.head, Err: refused}
			continue
		}
		results[i].Revision = p.head
		if entries := p.settle(b.Time); len(entries) > 0 {
			c := &Change{Revision: p.head + 1, ID: b.ID, Time: b.Time, Actor: b.Actor, Origin: b.Origin, Entries: entries}
			results[i] = Result{Revision: c.Revision, Change: c}
			if !b.Dry {
				p.accept(c)
				changes = append(changes, *c)
			}
		}
		if b.Dry {
			p.rollback()
		}
	}
	return results, p.effects(changes), nil
}

// run applies the steps of one batch. refused tells why the batch cannot be;
// err is an error of the engine.
func (p *planner) run(b *Batch, number int) (refused, err error) {
	p.batch = number
	p.touchedNodes, p.touchedEdges, p.touchedNames = p.touchedNodes[:0], p.touchedEdges[:0], p.touchedNames[:0]
	for i := range b.Steps {
		s := &b.Steps[i]
		no, err := p.step(s)
		if err != nil {
			return nil, err
		}
		if no != nil {
			if s.Msg != "" {
				no.Msg = s.Msg
			}
			no.Step = i
			return no, nil
		}
	}
	return nil, nil
}

func (p *planner) step(s *Step) (*Error, error) {
	switch s.Op {
	case PutNode, TouchNode, DeleteNode, RequireNode, RequireNoNode, RequireRevision, RequireNoEdgesTo:
		n, err := p.node(s.Node.Ref)
		if err != nil {
			return nil, err
		}
		return p.nodeStep(s, n)
	case RequireNoPath:
		return p.noPath(s.Edge.Kind, s.Edge.From, s.Edge.To)
	case RequireQuiet:
		k := EdgeKey{Kind: s.Edge.Kind, Key: s.Edge.Key}
		if p.last[k] > s.Revision {
			return Errorf(Stale, "edges of %s %s have been written meanwhile", k.Kind, k.Key), nil
		}
		return nil, nil
	case RequireEdgesAround:
		return p.settled(s.Node.Ref, s.Count, s.Revision)
	}
	return p.edgeStep(s)
}

func (p *planner) nodeStep(s *Step, n *nodeSlot) (*Error, error) {
	switch s.Op {
	case PutNode:
		return p.put(n, &s.Node)
	case TouchNode:
		if n.now == nil {
			return missing(n.ref), nil
		}
		fresh := *n.now
		fresh.Revision = -1
		p.setNode(n, &fresh)
		n.touched = p.batch
	case DeleteNode:
		return nil, p.delete(n)
	case RequireNode:
		if n.now == nil {
			return missing(n.ref), nil
		}
	case RequireNoNode:
		if n.now != nil {
			return &Error{Kind: Exists, Msg: n.ref.String() + " exists already", Ref: n.ref}, nil
		}
	case RequireRevision:
		if n.now == nil {
			return missing(n.ref), nil
		}
		if n.now.Revision != s.Revision {
			return &Error{Kind: Stale, Msg: n.ref.String() + " has been changed meanwhile", Ref: n.ref}, nil
		}
	case RequireNoEdgesTo:
		return p.leaf(n, s.Edge.Kind)
	}
	return nil, nil
}

func missing(r Ref) *Error {
	return &Error{Kind: NotFound, Msg: r.String() + " does not exist", Ref: r}
}

func (p *planner) put(s *nodeSlot, n *Node) (*Error, error) {
	var w Want
	for _, name := range n.Names {
		if p.names[name] == nil {
			w.Names = append(w.Names, name)
		}
	}
	if err := p.load(w); err != nil {
		return nil, err
	}
	for _, name := range n.Names {
		if h := p.names[name].now; !h.IsZero() && h != s.ref {
			return &Error{Kind: Exists, Msg: "the name " + quote(name) + " belongs to " + h.String(), Ref: h}, nil
		}
	}
	p.dropNames(s, n.Names)
	for _, name := range n.Names {
		p.setName(p.names[name], s.ref)
	}
	fresh := &Node{Ref: s.ref, Names: n.Names, Props: n.Props, Revision: -1}
	if s.now != nil {
		fresh.Created = s.now.Created
	}
	p.setNode(s, fresh)
	return nil, nil
}

// dropNames frees the names that the node holds and is not to keep.
func (p *planner) dropNames(s *nodeSlot, keep []string) {
	if s.now == nil {
		return
	}
	for _, name := range s.now.Names {
		if slices.Contains(keep, name) {
			continue
		}
		slot := p.names[name]
		if slot == nil {
			// A name nobody asked for until now is as stored: this node's.
			slot = &nameSlot{name: name, stored: s.ref, now: s.ref}
			p.names[name] = slot
		}
		p.setName(slot, Ref{})
	}
}

func (p *planner) delete(s *nodeSlot) error {
	if s.now == nil {
		return nil
	}
	if err := p.surround(Around{Ref: s.ref, In: true, Out: true}); err != nil {
		return err
	}
	for _, side := range [...][]*edgeSlot{p.out[s.ref], p.in[s.ref]} {
		for _, e := range side {
			if e.now != nil {
				p.setEdge(e, nil)
			}
		}
	}
	p.dropNames(s, nil)
	p.setNode(s, nil)
	return nil
}

// surround makes sure that all stored edges that a asks for are known.
func (p *planner) surround(list ...Around) error {
	var w Want
	for _, a := range list {
		if n := p.nodes[a.Ref]; n != nil && n.stored == nil {
			continue // not in the store, so nothing is stored around it
		}
		if !p.whole[a] && !p.whole[Around{Ref: a.Ref, In: true, Out: true}] {
			p.whole[a] = true
			w.Around = append(w.Around, a)
		}
	}
	return p.load(w)
}

func (p *planner) leaf(s *nodeSlot, k Kind) (*Error, error) {
	gone := 0
	for _, e := range p.in[s.ref] {
		if e.key.Kind == k {
			if e.now != nil {
				return inUse(e.key), nil
			}
			if e.stored != nil {
				gone++
			}
		}
	}
	if s.stored == nil || p.whole[Around{Ref: s.ref, In: true, Out: true}] {
		return nil, nil
	}
	// One more than those that are known to be gone is enough to tell.
	if err := p.load(Want{Around: []Around{{Ref: s.ref, Kind: k, In: true, Limit: gone + 1}}}); err != nil {
		return nil, err
	}
	for _, e := range p.in[s.ref] {
		if e.key.Kind == k && e.now != nil {
			return inUse(e.key), nil
		}
	}
	return nil, nil
}

// settled refuses unless the edges around a node are that many and all of them
// that old.
func (p *planner) settled(r Ref, count int, since Revision) (*Error, error) {
	if err := p.surround(Around{Ref: r, In: true, Out: true}); err != nil {
		return nil, err
	}
	found := 0
	for i, side := range [...][]*edgeSlot{p.out[r], p.in[r]} {
		for _, e := range side {
			if e.now == nil || i == 1 && e.key.From == r { // a loop is on both sides
				continue
			}
			if found++; e.now.Revision > since {
				return &Error{Kind: Stale, Msg: "an edge at " + r.String() + " was written meanwhile", Ref: r}, nil
			}
		}
	}
	if found != count {
		return &Error{Kind: Stale, Msg: "the edges at " + r.String() + " are others by now", Ref: r}, nil
	}
	return nil, nil
}

func inUse(k EdgeKey) *Error {
	return &Error{Kind: InUse, Msg: k.To.String() + " is still in use: " + k.String(), Ref: k.To}
}

func (p *planner) noPath(k Kind, from, to Ref) (*Error, error) {
	cycle := &Error{Kind: Cycle, Msg: from.String() + " already leads to " + to.String() + " by " + string(k), Ref: from}
	if from == to {
		cycle.Msg = from.String() + " cannot lead to itself by " + string(k)
		return cycle, nil
	}
	seen := map[Ref]bool{from: true}
	for front := []Ref{from}; len(front) > 0; {
		var list []Around
		for _, r := range front {
			list = append(list, Around{Ref: r, Kind: k, Out: true})
		}
		if err := p.surround(list...); err != nil {
			return nil, err
		}
		var next []Ref
		for _, r := range front {
			for _, e := range p.out[r] {
				if e.now == nil || e.key.Kind != k || seen[e.key.To] {
					continue
				}
				if e.key.To == to {
					return cycle, nil
				}
				seen[e.key.To] = true
				next = append(next, e.key.To)
			}
		}
		front = next
	}
	return nil, nil
}

func (p *planner) edgeStep(s *Step) (*Error, error) {
	e := p.edges[s.Edge.EdgeKey]
	if e == nil {
		if err := p.load(Want{Edges: []EdgeKey{s.Edge.EdgeKey}}); err != nil {
			return nil, err
		}
		e = p.edges[s.Edge.EdgeKey]
	}
	switch s.Op {
	case PutEdge:
		for _, r := range [...]Ref{e.key.From, e.key.To} {
			n, err := p.node(r)
			if err != nil {
				return nil, err
			}
			if n.now == nil {
				return missing(r), nil
			}
		}
		fresh := &Edge{EdgeKey: e.key, Props: s.Edge.Props, Revision: -1}
		if e.now != nil {
			fresh.Created = e.now.Created
			if by, ok := e.now.Props[PropGrantedBy]; ok && fresh.Props.equalBut(e.now.Props, PropGrantedBy) {
				fresh.Props = fresh.Props.Clone()
				fresh.Props[PropGrantedBy] = by
			}
		}
		p.setEdge(e, fresh)
	case DeleteEdge:
		if e.now != nil {
			p.setEdge(e, nil)
		}
	case RequireEdge:
		if e.now == nil {
			return &Error{Kind: NotFound, Msg: e.key.String() + " does not exist", Ref: e.key.To}, nil
		}
	case RequireNoEdge:
		if e.now != nil {
			return &Error{Kind: Exists, Msg: e.key.String() + " exists already", Ref: e.key.To}, nil
		}
	}
	return nil, nil
}

func (p *planner) rollback() {
	for _, s := range p.touchedNodes {
		s.now = s.before
	}
	for _, s := range p.touchedEdges {
		s.now = s.before
	}
	for _, s := range p.touchedNames {
		s.now = s.before
	}
}

// settle closes a batch that was not refused: what is as it was before stays
// untouched, the rest gets the next revision. It returns the entries of the
// change.
func (p *planner) settle(at time.Time) []Entry {
	rev := p.head + 1
	var entries []Entry
	for _, s := range p.touchedEdges {
		switch {
		case s.now == nil && s.before != nil:
			entries = append(entries, Entry{Edge: &EdgeEntry{Before: s.before}})
		case s.now != nil && s.before != nil && s.now.Props.Equal(s.before.Props):
			s.now = s.before
		}
	}
	for _, s := range p.touchedNodes {
		switch {
		case s.now == nil && s.before != nil:
			entries = append(entries, Entry{Node: &NodeEntry{Before: s.before}})
		case s.now != nil && s.before != nil && s.touched != p.batch && slices.Equal(s.now.Names, s.before.Names) && s.now.Props.Equal(s.before.Props):
			s.now = s.before
		}
	}
	for _, s := range p.touchedNodes {
		if s.now != nil && s.now != s.before {
			n := s.now
			n.Updated, n.Revision = at, rev
			if s.before == nil || n.Created.IsZero() {
				n.Created = at
			}
			entries = append(entries, Entry{Node: &NodeEntry{Before: s.before, After: n}})
		}
	}
	for _, s := range p.touchedEdges {
		if s.now != nil && s.now != s.before {
			e := s.now
			e.Updated, e.Revision = at, rev
			if s.before == nil || e.Created.IsZero() {
				e.Created = at
			}
			entries = append(entries, Entry{Edge: &EdgeEntry{Before: s.before, After: e}})
		}
	}
	return entries
}

// accept makes a change count for the batches after it.
func (p *planner) accept(c *Change) {
	p.head = c.Revision
	for _, entry := range c.Entries {
		if entry.Edge != nil && entry.Edge.After != nil {
			e := entry.Edge.After
			p.last[EdgeKey{Kind: e.Kind, Key: e.Key}] = c.Revision
		}
	}
}

func (p *planner) effects(changes []Change) Effects {
	f := Effects{Changes: changes, Head: p.head}
	if len(changes) == 0 {
		return f
	}
	for _, s := range p.edges {
		switch {
		case s.now == s.stored:
		case s.now == nil:
			f.EdgesGone = append(f.EdgesGone, s.key)
		default:
			f.Edges = append(f.Edges, EdgePut{s.now, s.stored == nil})
		}
	}
	for _, s := range p.nodes {
		switch {
		case s.now == s.stored:
		case s.now == nil:
			f.NodesGone = append(f.NodesGone, s.ref)
		default:
			f.Nodes = append(f.Nodes, NodePut{s.now, s.stored == nil})
		}
	}
	for _, s := range p.names {
		switch {
		case s.now == s.stored:
		case s.now.IsZero():
			f.NamesGone = append(f.NamesGone, s.name)
		default:
			f.Names = append(f.Names, NamePut{s.name, s.now})
		}
	}
	// Map order is random; a fixed order makes replays and plans repeat.
	slices.SortFunc(f.EdgesGone, CompareEdges)
	slices.Sort(f.NamesGone)
	slices.SortFunc(f.NodesGone, CompareRefs)
	slices.SortFunc(f.Names, func(a, b NamePut) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Nodes, func(a, b NodePut) int { return CompareRefs(a.Node.Ref, b.Node.Ref) })
	slices.SortFunc(f.Edges, func(a, b EdgePut) int { return CompareEdges(a.Edge.EdgeKey, b.Edge.EdgeKey) })
	return f
}
