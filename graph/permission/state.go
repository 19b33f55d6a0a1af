package permission

import (
	"hash/maphash"
	"math"
	"math/bits"
	"unsafe"

	"trellis/graph"
)

// state is everything that answers are worked out from. A View holds one that
// never changes; the writer holds the next one.
type state struct {
	seed   maphash.Seed
	names  names
	nodes  table[node]
	links  table[links]
	terms  table[term]
	types  []typeIndex
	policy *policy

	everyone, authenticated uint32
	count, edges            int
	epoch                   uint32 // see closed
}

// node is what a check reads of a node, in one cache line: one kilobyte of
// such lines per chunk is copied when one of them is written.
type node struct {
	id    *byte
	idLen uint16
	typ   uint16
	flags uint32
	up    entry    // the parent; 0 for none
	more  *[]entry // the other parents of a node that has several
	sets  sets     // MEMBER_OF from here
	given list     // CAN_ACCESS to here
}

const (
	// isActive: the node may hold something.
	isActive = 1 << iota
	// holdsGrants: links.held is not empty.
	holdsGrants
	// hasMembers: links.members is not empty, so sets holds the closure.
	hasMembers

	// The upper bits are the epoch in which the closure was written; see closed.
	epochShift = 8
	maxEpoch   = 1<<(32-epochShift) - 1
)

// closed tells whether the node's sets hold its whole closure. Those of sets
// always do. Those of other nodes are written anew with every change of their
// own memberships, but after a change above very many of them only little by
// little; until then their closure is put together from those of their sets.
func (s *state) closed(n *node) bool {
	return n.flags&hasMembers != 0 || n.flags>>epochShift == s.epoch
}

// links is what lists and explanations read besides: edges as their other end
// sees them.
type links struct {
	members  list // MEMBER_OF to here
	children list // CHILD_OF to here
	held     list // CAN_ACCESS from here
}

// attr says what an edge says, besides its ends: for a grant the number of a
// right (see policy), for others 0; with hasTerm the number of a term instead.
const hasTerm = 1 << 31

// term is what few edges have: a time limit, or a key that is not the role's.
type term struct {
	expires int64 // never for none
	right   uint32
	key     string
}

const never = math.MaxInt64

type typeIndex struct {
	name  graph.Type
	order order
}

func (n *node) name() string { return unsafe.String(n.id, int(n.idLen)) }

// parents calls yield with every CHILD_OF entry of the node.
func (n *node) parents(yield func(entry) bool) {
	if n.up == 0 || !yield(n.up) || n.more == nil {
		return
	}
	for _, e := range *n.more {
		if !yield(e) {
			return
		}
	}
}

func (s *state) hash(r graph.Ref) uint32 {
	h := maphash.String(s.seed, r.ID) ^ bits.RotateLeft64(maphash.String(s.seed, string(r.Type)), 29)
	return uint32((h * 0x9e3779b97f4a7c15) >> 32)
}

// lookup returns the node's number, or 0 if there is no such node.
func (s *state) lookup(r graph.Ref) uint32 {
	fp := s.hash(r)
	p := s.names.page(fp)
	return s.find(r, fp, p, &p.slots[fp&(pageLen-1)])
}

// lookups returns the numbers of both nodes. It has both slots fetched from
// memory at the same time.
func (s *state) lookups(a, b graph.Ref) (uint32, uint32) {
	fa, fb := s.hash(a), s.hash(b)
	pa, pb := s.names.page(fa), s.names.page(fb)
	sa, sb := &pa.slots[fa&(pageLen-1)], &pb.slots[fb&(pageLen-1)]
	return s.find(a, fa, pa, sa), s.find(b, fb, pb, sb)
}

func (s *state) find(r graph.Ref, fp uint32, p *page, at *slot) uint32 {
	for i := fp; ; {
		mark := at.mark
		if mark == 0 {
			return 0
		}
		if uint32(mark>>32) == fp {
			n := s.nodes.at(uint32(mark))
			if int(n.idLen) == len(r.ID) && unsafe.String(at.id, len(r.ID)) == r.ID && s.types[n.typ].name == r.Type {
				return uint32(mark)
			}
		}
		i++
		at = &p.slots[i&(pageLen-1)]
	}
}

func (s *state) ref(id uint32) graph.Ref {
	n := s.nodes.at(id)
	return graph.Ref{Type: s.types[n.typ].name, ID: n.name()}
}

// typeOf returns the number of a type, or -1 if no node ever had it.
func (s *state) typeOf(t graph.Type) int {
	for i := range s.types {
		if s.types[i].name == t {
			return i
		}
	}
	return -1
}

// live tells whether an edge counts at the time.
func (s *state) live(attr uint32, at int64) bool {
	return attr < hasTerm || at < s.terms.at(attr&^hasTerm).expires
}

func (s *state) expires(attr uint32) int64 {
	if attr < hasTerm {
		return never
	}
	return s.terms.at(attr &^ hasTerm).expires
}

// right returns the right that a grant gives.
func (s *state) right(attr uint32) uint32 {
	if attr < hasTerm {
		return attr
	}
	return s.terms.at(attr &^ hasTerm).right
}

// key returns the key of an edge that is no grant.
func (s *state) key(attr uint32) string {
	if attr < hasTerm {
		return ""
	}
	return s.terms.at(attr &^ hasTerm).key
}

var noLinks links

func (s *state) linksOf(id uint32) *links {
	if l := s.links.peek(id); l != nil {
		return l
	}
	return &noLinks
}
