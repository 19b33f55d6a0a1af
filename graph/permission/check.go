package permission

import (
	"time"

	"trellis/graph"
)

// Check answers the rule of permission; see graph.CheckQuery. It allocates
// nothing.
func (v *View) Check(subject graph.Ref, permission string, resource graph.Ref, at time.Time) bool {
	s, r := v.lookups(subject, resource)
	if s == 0 || r == 0 {
		return false
	}
	w := v.policy.want(permission)
	if w.empty() {
		return false
	}
	return v.check(s, &w, r, millis(at))
}

const (
	fastSets  = 64
	fastAbove = 24
)

// crowd is the nodes that a subject acts as, small enough for the stack: a
// filter that is right about most nodes that are not in it, then the nodes.
type crowd struct {
	filter [8]uint64
	n      int
	ids    [fastSets]uint32
	// warm keeps the compiler from leaving out loads that only start fetching.
	warm uint64
}

func sieve(id uint32) (word, bit uint32) {
	h := id * 0x9e3779b1
	return h >> 29, h >> 23 & 63
}

func (c *crowd) has(id uint32) bool {
	w, b := sieve(id)
	if c.filter[w]&(1<<b) == 0 {
		return false
	}
	for _, x := range c.ids[:c.n] {
		if x == id {
			return true
		}
	}
	return false
}

// add tells whether there was room.
func (c *crowd) add(id uint32) bool {
	w, b := sieve(id)
	if c.filter[w]&(1<<b) != 0 {
		for _, x := range c.ids[:c.n] {
			if x == id {
				return true
			}
		}
	}
	if c.n == fastSets {
		return false
	}
	c.filter[w] |= 1 << b
	c.ids[c.n] = id
	c.n++
	return true
}

// gather collects the nodes that the subject acts as at the time; false if
// they are too many.
func (s *state) gather(c *crowd, subject uint32, at int64) bool {
	n := s.nodes.at(subject)
	if n.flags&holdsGrants != 0 {
		c.add(subject)
	}
	if e := s.everyone; e != 0 && s.nodes.at(e).flags&holdsGrants != 0 {
		c.add(e)
	}
	if a := s.authenticated; a != 0 && subject != s.everyone && s.nodes.at(a).flags&holdsGrants != 0 {
		c.add(a)
	}
	if s.closed(n) {
		for _, e := range n.sets.all() {
			if s.live(attrOf(e), at) && !c.add(nodeOf(e)) {
				return false
			}
		}
		return true
	}
	for _, e := range n.sets.near() {
		if !s.live(attrOf(e), at) {
			continue
		}
		set := s.nodes.at(nodeOf(e))
		if set.flags&holdsGrants != 0 && !c.add(nodeOf(e)) {
			return false
		}
		for _, u := range set.sets.all() {
			if s.live(attrOf(u), at) && !c.add(nodeOf(u)) {
				return false
			}
		}
	}
	return true
}

func (s *state) check(subject uint32, w *want, resource uint32, at int64) bool {
	if s.nodes.at(subject).flags&isActive == 0 {
		return false
	}
	var c crowd
	var up [fastAbove]uint32
	n := s.climb(&c, &up, resource)
	if n < 0 || !s.gather(&c, subject, at) {
		return s.checkLarge(subject, w, resource, at)
	}
	if c.n == 0 {
		return false
	}
	for _, id := range up[:n] {
		if x := s.nodes.at(id); x.given.p != nil && s.meets(&c, w, x.given, at) {
			return true
		}
	}
	return false
}

// climb collects the resource and all above it and returns how many they are,
// -1 if too many. On its way it starts fetching the grants on each from
// memory, to be there when they are looked at.
func (s *state) climb(c *crowd, up *[fastAbove]uint32, resource uint32) int {
	up[0] = resource
	n := 1
	for i := 0; i < n; i++ {
		x := s.nodes.at(up[i])
		if x.given.p != nil {
			c.warm += *(*uint64)(x.given.p)
		}
		if x.up == 0 {
			continue
		}
		if n = put(up, n, nodeOf(x.up)); n < 0 {
			return n
		}
		if x.more != nil {
			for _, e := range *x.more {
				if n = put(up, n, nodeOf(e)); n < 0 {
					return n
				}
			}
		}
	}
	return n
}

// put adds a node that is not there yet and returns how many there are, or
// -1 if there is no room.
func put(up *[fastAbove]uint32, n int, id uint32) int {
	for _, x := range up[:n] {
		if x == id {
			return n
		}
	}
	if n == fastAbove {
		return -1
	}
	up[n] = id
	return n + 1
}

// meets tells whether one of the crowd has been granted what is wanted.
func (s *state) meets(c *crowd, w *want, given list, at int64) bool {
	if t := given.trie(); t != nil {
		f := t.sift
		for _, id := range c.ids[:c.n] {
			if !f.has(id) {
				continue
			}
			for _, e := range t.find(id) {
				if nodeOf(e) == id && s.gives(w, attrOf(e), at) {
					return true
				}
			}
		}
		return false
	}
	for _, e := range given.short() {
		if c.has(nodeOf(e)) && s.gives(w, attrOf(e), at) {
			return true
		}
	}
	return false
}

// gives tells whether a grant gives what is wanted, at the time.
func (s *state) gives(w *want, attr uint32, at int64) bool {
	if attr < hasTerm {
		return w.has(attr)
	}
	t := s.terms.at(attr &^ hasTerm)
	return at < t.expires && w.has(t.right)
}

// checkLarge is check for subjects in many sets and resources below many.
func (s *state) checkLarge(subject uint32, w *want, resource uint32, at int64) bool {
	sc := newScratch()
	defer sc.free()
	s.holders(subject, at, &sc.sets)
	s.above(resource, &sc.up)
	for _, x := range sc.up.ids {
		if s.grantsAt(x, &sc.sets, func(_, attr uint32) bool { return s.gives(w, attr, at) }) {
			return true
		}
	}
	return false
}

// grantsAt calls f with the grants on x to any of the sets, until it returns
// true, and tells whether it did. It goes by whichever side is smaller.
func (s *state) grantsAt(x uint32, sets *idSet, f func(holder, attr uint32) bool) bool {
	given := s.nodes.at(x).given
	t := given.trie()
	if t == nil || t.n < 4*len(sets.ids) {
		done := false
		given.each(func(e entry) bool {
			done = sets.has(nodeOf(e)) && f(nodeOf(e), attrOf(e))
			return !done
		})
		return done
	}
	for _, id := range sets.ids {
		for _, e := range t.find(id) {
			if nodeOf(e) == id && f(id, attrOf(e)) {
				return true
			}
		}
	}
	return false
}
