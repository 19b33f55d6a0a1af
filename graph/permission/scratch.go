package permission

import "sync"

// scratch is the working memory of one question.
type scratch struct {
	up, sets, goals, found idSet
	names                  []string
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

// free gives the scratch back, unless one large question has swollen it.
func (sc *scratch) free() {
	const most = 1 << 16
	for _, s := range [...]*idSet{&sc.up, &sc.sets, &sc.goals, &sc.found} {
		if len(s.slots) > most {
			return
		}
		s.reset()
	}
	if cap(sc.names) > most {
		return
	}
	clear(sc.names)
	sc.names = sc.names[:0]
	scratches.Put(sc)
}

// idSet is a set of nodes in the order they were added. Emptying it costs
// nothing: slots of an earlier round count as free.
type idSet struct {
	ids   []uint32
	slots []uint64 // round in the upper half, node in the lower
	round uint32
}

func (s *idSet) reset() {
	s.ids = s.ids[:0]
	s.round++
	if s.round == 0 {
		clear(s.slots)
		s.round = 1
	}
}

func (s *idSet) has(id uint32) bool {
	if len(s.slots) == 0 {
		return false
	}
	m := uint32(len(s.slots) - 1)
	for i := spread(id) & m; ; i = (i + 1) & m {
		w := s.slots[i]
		if uint32(w>>32) != s.round {
			return false
		}
		if uint32(w) == id {
			return true
		}
	}
}

// add tells whether the node was not there yet.
func (s *idSet) add(id uint32) bool {
	if 2*len(s.ids) >= len(s.slots) {
		s.grow()
	}
	m := uint32(len(s.slots) - 1)
	for i := spread(id) & m; ; i = (i + 1) & m {
		w := s.slots[i]
		if uint32(w>>32) != s.round {
			s.slots[i] = uint64(s.round)<<32 | uint64(id)
			s.ids = append(s.ids, id)
			return true
		}
		if uint32(w) == id {
			return false
		}
	}
}

func (s *idSet) grow() {
	n := max(64, 2*len(s.slots))
	s.slots = make([]uint64, n)
	s.round = 1
	m := uint32(n - 1)
	for _, id := range s.ids {
		i := spread(id) & m
		for s.slots[i] != 0 {
			i = (i + 1) & m
		}
		s.slots[i] = 1<<32 | uint64(id)
	}
}
