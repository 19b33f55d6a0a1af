package graph

import "context"

// A slot is one node, edge or name as the store has it and as the batches so
// far have made it. before is its value at the start of batch number mark.
type nodeSlot struct {
	ref                 Ref
	stored, now, before *Node
	mark                int
	touched             int // the number of the last batch that asked for a new revision
}

type edgeSlot struct {
	key                 EdgeKey
	stored, now, before *Edge
	mark                int
}

type nameSlot struct {
	name                string
	stored, now, before Ref
	mark                int
}

// planner is what Plan knows of the store, and what the batches so far have made of it.
type planner struct {
	ctx   context.Context
	tx    Tx
	head  Revision
	nodes map[Ref]*nodeSlot
	edges map[EdgeKey]*edgeSlot
	names map[string]*nameSlot
	out   map[Ref][]*edgeSlot  // every known edge slot that starts at a node
	in    map[Ref][]*edgeSlot  // and that ends there
	whole map[Around]bool      // adjacencies that are completely known
	last  map[EdgeKey]Revision // highest revision of a kind and key, stored or accepted
	asked map[EdgeKey]bool     // kinds and keys whose stored revision is in last

	batch        int
	touchedNodes []*nodeSlot
	touchedEdges []*edgeSlot
	touchedNames []*nameSlot
}

// Wants lists all that the steps of a group will look at first. If that is
// not empty, it is what Plan asks tx for before anything else, so an engine
// behind a network can fetch it together with the lock and the head.
func Wants(group []Batch) Want {
	p := planner{whole: map[Around]bool{}, asked: map[EdgeKey]bool{}}
	return p.wants(group)
}

// wants is Wants; it marks as asked for what has to be asked for only once.
func (p *planner) wants(group []Batch) Want {
	var w Want
	var looked []Ref
	whole, seenNode, seenEdge, seenName := map[Ref]bool{}, map[Ref]bool{}, map[EdgeKey]bool{}, map[string]bool{}
	changed := func(r Ref) {
		if !whole[r] {
			whole[r] = true
			w.Nodes = append(w.Nodes, r)
		}
	}
	node := func(r Ref) {
		if !seenNode[r] {
			seenNode[r] = true
			looked = append(looked, r)
		}
	}
	around := func(a Around) {
		if !p.whole[a] {
			p.whole[a] = true
			w.Around = append(w.Around, a)
		}
	}
	for i := range group {
		for j := range group[i].Steps {
			switch s := &group[i].Steps[j]; s.Op {
			case PutNode:
				for _, n := range s.Node.Names {
					if !seenName[n] {
						seenName[n] = true
						w.Names = append(w.Names, n)
					}
				}
				changed(s.Node.Ref)
			case TouchNode, DeleteNode:
				changed(s.Node.Ref)
			case RequireNode, RequireNoNode, RequireRevision, RequireNoEdgesTo:
				node(s.Node.Ref)
			case PutEdge, DeleteEdge, RequireEdge, RequireNoEdge:
				if s.Op == PutEdge {
					node(s.Edge.From)
					node(s.Edge.To)
				}
				if !seenEdge[s.Edge.EdgeKey] {
					seenEdge[s.Edge.EdgeKey] = true
					w.Edges = append(w.Edges, s.Edge.EdgeKey)
				}
			case RequireEdgesAround:
				around(Around{Ref: s.Node.Ref, In: true, Out: true})
			case RequireNoPath:
				node(s.Edge.From)
				node(s.Edge.To)
				around(Around{Ref: s.Edge.From, Kind: s.Edge.Kind, Out: true})
			case RequireQuiet:
				if k := (EdgeKey{Kind: s.Edge.Kind, Key: s.Edge.Key}); !p.asked[k] {
					p.asked[k] = true
					w.Last = append(w.Last, k)
				}
			}
		}
	}
	for _, r := range looked {
		if !whole[r] {
			w.Nodes = append(w.Nodes, r)
			w.Brief++
		}
	}
	return w
}

// load asks the engine and files what it found; what was asked for and not
// found becomes an empty slot.
func (p *planner) load(w Want) error {
	if len(w.Nodes)+len(w.Edges)+len(w.Names)+len(w.Around)+len(w.Last) == 0 {
		return nil
	}
	f, err := p.tx.Load(p.ctx, w)
	if err != nil {
		return err
	}
	for i := range f.Nodes {
		if n := &f.Nodes[i]; p.nodes[n.Ref] == nil {
			p.nodes[n.Ref] = &nodeSlot{ref: n.Ref, stored: n, now: n}
		}
	}
	for _, r := range w.Nodes {
		if p.nodes[r] == nil {
			p.nodes[r] = &nodeSlot{ref: r}
		}
	}
	for i := range f.Edges {
		if e := &f.Edges[i]; p.edges[e.EdgeKey] == nil {
			p.addEdge(&edgeSlot{key: e.EdgeKey, stored: e, now: e})
		}
	}
	for _, k := range w.Edges {
		if p.edges[k] == nil {
			p.addEdge(&edgeSlot{key: k})
		}
	}
	for _, n := range w.Names {
		if p.names[n] == nil {
			r := f.Names[n]
			p.names[n] = &nameSlot{name: n, stored: r, now: r}
		}
	}
	for _, k := range w.Last {
		p.last[k] = max(p.last[k], f.Last[k])
	}
	return nil
}

func (p *planner) addEdge(s *edgeSlot) {
	p.edges[s.key] = s
	p.out[s.key.From] = append(p.out[s.key.From], s)
	p.in[s.key.To] = append(p.in[s.key.To], s)
}

func (p *planner) node(r Ref) (*nodeSlot, error) {
	if s := p.nodes[r]; s != nil {
		return s, nil
	}
	err := p.load(Want{Nodes: []Ref{r}})
	return p.nodes[r], err
}

func (p *planner) setNode(s *nodeSlot, n *Node) {
	if s.mark != p.batch {
		s.mark, s.before = p.batch, s.now
		p.touchedNodes = append(p.touchedNodes, s)
	}
	s.now = n
}

func (p *planner) setEdge(s *edgeSlot, e *Edge) {
	if s.mark != p.batch {
		s.mark, s.before = p.batch, s.now
		p.touchedEdges = append(p.touchedEdges, s)
	}
	s.now = e
}

func (p *planner) setName(s *nameSlot, r Ref) {
	if s.mark != p.batch {
		s.mark, s.before = p.batch, s.now
		p.touchedNames = append(p.touchedNames, s)
	}
	s.now = r
}
