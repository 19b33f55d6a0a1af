package permission

// table is a growing array of records of which every older copy stays as it
// was: writers copy the chunk they touch once per edit. Reading takes three
// dependent loads, of which the first two stay in the processor's cache.
//
// An edit is a number that a writer raises for each group of changes it
// publishes; what carries the current number is not visible to any reader yet
// and is changed in place.
type table[T any] struct {
	top  []*middle[T]
	edit uint64
}

const (
	chunkBits  = 5
	middleBits = 8
	chunkLen   = 1 << chunkBits
	middleLen  = 1 << middleBits
)

type middle[T any] struct {
	chunks [middleLen]*chunk[T]
	edit   uint64
}

type chunk[T any] struct {
	recs [chunkLen]T
	edit uint64
}

// at returns record i, which must have been written before.
func (t *table[T]) at(i uint32) *T {
	return &t.top[i>>(chunkBits+middleBits)].chunks[i>>chunkBits&(middleLen-1)].recs[i&(chunkLen-1)]
}

// peek returns record i, or nil if nothing near it was ever written.
func (t *table[T]) peek(i uint32) *T {
	m := int(i >> (chunkBits + middleBits))
	if m >= len(t.top) || t.top[m] == nil {
		return nil
	}
	c := t.top[m].chunks[i>>chunkBits&(middleLen-1)]
	if c == nil {
		return nil
	}
	return &c.recs[i&(chunkLen-1)]
}

// write returns record i for changing.
func (t *table[T]) write(i uint32, edit uint64) *T {
	m, c := int(i>>(chunkBits+middleBits)), i>>chunkBits&(middleLen-1)
	if t.edit != edit {
		t.top = append(make([]*middle[T], 0, len(t.top)+1), t.top...)
		t.edit = edit
	}
	for m >= len(t.top) {
		t.top = append(t.top, nil)
	}
	mid := t.top[m]
	switch {
	case mid == nil:
		mid = &middle[T]{edit: edit}
		t.top[m] = mid
	case mid.edit != edit:
		own := *mid
		own.edit = edit
		mid = &own
		t.top[m] = mid
	}
	ch := mid.chunks[c]
	switch {
	case ch == nil:
		ch = &chunk[T]{edit: edit}
		mid.chunks[c] = ch
	case ch.edit != edit:
		own := *ch
		own.edit = edit
		ch = &own
		mid.chunks[c] = ch
	}
	return &ch.recs[i&(chunkLen-1)]
}
