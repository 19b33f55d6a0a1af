package catalog

import (
	"sync"

	"trellis/graph"
)

// Index is the catalog in memory: a graph.Replica that answers lists. All
// methods may be called concurrently, those of the Replica from one goroutine
// at a time.
type Index struct {
	mu    sync.RWMutex
	state *state // nil before the first load
	load  *state // between Begin and Ready

	scratch  sync.Pool
	manyFrom int // see question.many; 0 for what fits the size
}

var _ graph.Replica = (*Index)(nil)

// New returns an empty index, which is not ready.
func New() *Index { return &Index{} }

// Begin starts a full load; see graph.Replica.
func (x *Index) Begin() {
	x.load = newState()
	x.load.loading = true
}

// Node takes one node of the load.
func (x *Index) Node(n *graph.Node) {
	if typeNumber(n.Ref.Type) >= 0 {
		c := contentOf(n)
		x.load.put(&c)
	}
}

// Edge takes one edge of the load.
func (x *Index) Edge(e *graph.Edge) {
	if s, ok := stepOf(&graph.EdgeEntry{After: e}); ok {
		x.load.step(&s)
	}
}

// Ready makes what was loaded the index.
func (x *Index) Ready(info graph.Info) {
	s := x.load
	x.load = nil
	s.finish()
	s.revision = info.Head
	x.mu.Lock()
	defer x.mu.Unlock()
	x.state = s
}

// maxHeld is how many entries of a change are carried out before readers have
// their turn.
const maxHeld = 1024

// Apply takes changes. Readers see a change at once and whole, unless it has
// more than a thousand entries that concern the catalog: then they see it
// grow for some milliseconds. Since a change begins with what is taken away
// and ends with relations, nobody sees more by that than before or after.
func (x *Index) Apply(changes []graph.Change) {
	for i := range changes {
		var steps []step
		for j := range changes[i].Entries {
			steps = appendSteps(steps, &changes[i].Entries[j])
		}
		for len(steps) > maxHeld {
			x.carryOut(steps[:maxHeld], 0)
			steps = steps[maxHeld:]
		}
		x.carryOut(steps, changes[i].Revision)
	}
}

func (x *Index) carryOut(steps []step, revision graph.Revision) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range steps {
		x.state.step(&steps[i])
	}
	x.state.tidy(false)
	if revision != 0 {
		x.state.revision = revision
	}
}

// Revision is that of the last change seen; false before the first load.
func (x *Index) Revision() (graph.Revision, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.state == nil {
		return 0, false
	}
	return x.state.revision, true
}

// step is one entry of a change, made ready to be carried out quickly.
type step struct {
	content  *content  // put this document, or
	gone     graph.Ref // remove this one, or
	from, to graph.Ref // link or unlink these
	relation relation
	props    string
	unlink   bool
}

func appendSteps(to []step, e *graph.Entry) []step {
	switch n := e.Node; {
	case n == nil:
		if s, ok := stepOf(e.Edge); ok {
			to = append(to, s)
		}
	case n.After != nil && typeNumber(n.After.Ref.Type) >= 0:
		c := contentOf(n.After)
		to = append(to, step{content: &c})
	case n.After == nil && typeNumber(n.Before.Ref.Type) >= 0:
		to = append(to, step{gone: n.Before.Ref})
	}
	return to
}

func stepOf(e *graph.EdgeEntry) (step, bool) {
	edge := e.After
	if edge == nil {
		edge = e.Before
	}
	r, ok := relationOf(edge.EdgeKey)
	if !ok {
		return step{}, false
	}
	s := step{from: edge.From, to: edge.To, relation: r, unlink: e.After == nil}
	if !s.unlink && edge.Kind != graph.ChildOf {
		s.props = propsText(edge.Props)
	}
	return s, true
}

func (s *state) step(p *step) {
	switch {
	case p.content != nil:
		s.put(p.content)
	case !p.gone.IsZero():
		s.remove(p.gone)
	default:
		from, to := s.number(p.from), s.number(p.to)
		switch {
		case from == 0 || to == 0:
		case p.unlink:
			s.unlink(from, to, p.relation)
		default:
			s.link(from, to, p.relation, p.props)
		}
	}
}
