package catalog

import "slices"

// cells holds the lists of all documents end to end, so that going through
// many documents reads memory in order. A list that grows out of its room
// moves to the end; when half is holes, all are moved together.
type cells struct {
	list  []uint32
	holes int
}

// room gives a document's lists room for n cells in all.
func (s *state) room(doc uint32, n uint32) {
	h := &s.heads[doc]
	if n <= h.room {
		return
	}
	used := h.out + uint32(h.attrs) + uint32(h.words)
	at := uint32(len(s.cells.list))
	old := s.cells.list[h.at : h.at+used]
	s.cells.holes += int(h.room)
	if h.room > 0 {
		n += n / 4
	}
	s.cells.list = slices.Grow(s.cells.list, int(n))[:at+n]
	copy(s.cells.list[at:], old)
	h.at, h.room = at, n
}

// drop gives up a document's room.
func (s *state) drop(doc uint32) {
	h := &s.heads[doc]
	s.cells.holes += int(h.room)
	*h = head{}
}

// tidy moves the lists together if there are many holes, or if it must.
func (s *state) tidy(must bool) {
	c := &s.cells
	if !must && (c.holes < 1<<14 || c.holes < len(c.list)/2) {
		return
	}
	next := make([]uint32, 0, len(c.list)-c.holes)
	for n := range s.heads {
		h := &s.heads[n]
		used := h.out + uint32(h.attrs) + uint32(h.words)
		at := uint32(len(next))
		next = append(next, c.list[h.at:h.at+used]...)
		h.at, h.room = at, used
	}
	*c = cells{list: next}
}

// setTerms replaces the terms of a document.
func (s *state) setTerms(doc uint32, attrs, words []uint32) {
	out := s.heads[doc].out
	s.room(doc, out+uint32(len(attrs)+len(words)))
	h := &s.heads[doc]
	to := s.cells.list[h.at+out:]
	copy(to, attrs)
	copy(to[len(attrs):], words)
	h.attrs, h.words = uint16(len(attrs)), uint16(len(words))
}

// addCell adds a relation to a document's; false if it has it.
func (s *state) addCell(doc, cell uint32) bool {
	i, ok := slices.BinarySearch(s.outOf(doc), cell)
	if ok {
		return false
	}
	h := &s.heads[doc]
	used := h.out + uint32(h.attrs) + uint32(h.words)
	s.room(doc, used+1)
	h = &s.heads[doc]
	list := s.cells.list[h.at : h.at+used+1]
	copy(list[i+1:], list[i:])
	list[i] = cell
	h.out++
	return true
}

// removeCell takes a relation away; false if there is none.
func (s *state) removeCell(doc, cell uint32) bool {
	i, ok := slices.BinarySearch(s.outOf(doc), cell)
	if !ok {
		return false
	}
	h := &s.heads[doc]
	used := h.out + uint32(h.attrs) + uint32(h.words)
	list := s.cells.list[h.at : h.at+used]
	copy(list[i:], list[i+1:])
	h.out--
	return true
}
