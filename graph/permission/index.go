package permission

import (
	"hash/maphash"
	"sync/atomic"

	"trellis/graph"
)

// Index is the permission index: a graph.Replica that hands out Views.
type Index struct {
	view atomic.Pointer[View]
	w    *writer // what the newest view was made of
	load *loader // between Begin and Ready
}

var _ graph.Replica = (*Index)(nil)

// New returns an empty index, whose View is not ready.
func New() *Index {
	ix := &Index{w: newWriter()}
	ix.w.settle()
	ix.view.Store(&View{state: ix.w.state})
	ix.w.edit++
	return ix
}

// View returns the newest snapshot. It is never nil, costs one atomic load,
// and stays valid and unchanged for as long as it is held.
func (ix *Index) View() *View { return ix.view.Load() }

// Begin starts a full load; see graph.Replica.
func (ix *Index) Begin() { ix.load = newLoader() }

// Node takes one node of the load.
func (ix *Index) Node(n *graph.Node) { ix.load.node(n) }

// Edge takes one edge of the load.
func (ix *Index) Edge(e *graph.Edge) { ix.load.edge(e) }

// Ready makes what was loaded the newest view.
func (ix *Index) Ready(info graph.Info) {
	ix.w = ix.load.finish()
	ix.w.revision = info.Head
	ix.load = nil
	ix.publish()
}

// Apply makes one new view of all the changes together.
func (ix *Index) Apply(changes []graph.Change) {
	if len(changes) == 0 {
		return
	}
	for i := range changes {
		for j := range changes[i].Entries {
			ix.w.entry(&changes[i].Entries[j])
		}
	}
	ix.w.revision = changes[len(changes)-1].Revision
	ix.publish()
}

func (ix *Index) publish() {
	ix.w.settle()
	ix.view.Store(&View{state: ix.w.state, revision: ix.w.revision, ready: true})
	ix.w.edit++
}

// writer is the state that the next view is made of, and what only changing
// it needs.
type writer struct {
	state
	revision graph.Revision
	edit     uint64 // see table
	ownTypes uint64 // the edit in which types was copied

	next uint32 // the first node number never used
	free []uint32

	rights     []right
	rightOf    map[string]uint32
	freeRights []uint32
	roles      map[graph.Ref]*roleEdges
	newPolicy  bool // something that the policy is made of has changed

	termOf    map[term]termUse
	nextTerm  uint32
	freeTerms []uint32

	// loose is the nodes whose memberships, or whose being a set, changed.
	loose map[uint32]bool
	sweep uint32 // the next node to bring to the present epoch; 0 if all are
	walk  walk
}

type termUse struct {
	id    uint32
	edges int
}

func newWriter() *writer {
	w := &writer{
		edit: 1, next: 1,
		rightOf: map[string]uint32{}, roles: map[graph.Ref]*roleEdges{}, newPolicy: true,
		termOf: map[term]termUse{}, loose: map[uint32]bool{},
	}
	w.epoch = 1
	w.seed = maphash.MakeSeed()
	w.names = newNames(w.edit)
	return w
}

// settle brings what is derived up to date: the policy and the closures.
func (w *writer) settle() {
	if w.newPolicy {
		w.policy = newPolicy(&w.state, w.rights, w.roles)
		w.newPolicy = false
	}
	w.closures()
}
