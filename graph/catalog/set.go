package catalog

import (
	"math/bits"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// set is a set of document numbers. Most sets are small, and a bitmap with
// one member takes some 200 bytes: so there is one only for the large.
type set struct {
	few  []uint32 // sorted; nil if there is a bitmap
	many *roaring.Bitmap
}

const fewMax = 128

func (s *set) add(n uint32) {
	if s.many != nil {
		s.many.Add(n)
		return
	}
	i, ok := slices.BinarySearch(s.few, n)
	switch {
	case ok:
	case len(s.few) == fewMax:
		s.many = roaring.BitmapOf(s.few...)
		s.many.Add(n)
		s.few = nil
	default:
		s.few = slices.Insert(s.few, i, n)
	}
}

func (s *set) remove(n uint32) {
	if s.many != nil {
		s.many.Remove(n)
		if s.many.GetCardinality() < fewMax/2 {
			s.few, s.many = s.many.ToArray(), nil
		}
		return
	}
	if i, ok := slices.BinarySearch(s.few, n); ok {
		s.few = slices.Delete(s.few, i, i+1)
		if len(s.few) == 0 {
			s.few = nil
		}
	}
}

func (s *set) size() int {
	if s.many != nil {
		return int(s.many.GetCardinality())
	}
	return len(s.few)
}

// each calls yield for the members in order, until it says false; it returns
// false then.
func (s *set) each(yield func(n uint32) bool) bool {
	if s.many == nil {
		for _, n := range s.few {
			if !yield(n) {
				return false
			}
		}
		return true
	}
	it := s.many.ManyIterator()
	var buf [256]uint32
	for {
		got := it.NextMany(buf[:])
		if got == 0 {
			return true
		}
		for _, n := range buf[:got] {
			if !yield(n) {
				return false
			}
		}
	}
}

// bitset holds one bit per document, for the time of one question.
type bitset []uint64

func (b bitset) has(n uint32) bool { return b[n>>6]&(1<<(n&63)) != 0 }
func (b bitset) set(n uint32)      { b[n>>6] |= 1 << (n & 63) }
func (b bitset) unset(n uint32)    { b[n>>6] &^= 1 << (n & 63) }

func (b bitset) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

func (b bitset) and(c bitset) {
	c = c[:len(b)]
	for i := range b {
		b[i] &= c[i]
	}
}

func (b bitset) andNot(c bitset) {
	c = c[:len(b)]
	for i := range b {
		b[i] &^= c[i]
	}
}

func (b bitset) or(c bitset) {
	c = c[:len(b)]
	for i := range b {
		b[i] |= c[i]
	}
}

func (b bitset) each(yield func(n uint32) bool) bool {
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			if !yield(uint32(i<<6 + bits.TrailingZeros64(w))) {
				return false
			}
		}
	}
	return true
}

// fill adds the set to the bits. tmp is another bitset, of any content.
func (s *set) fill(b, tmp bitset) {
	if s.many == nil {
		for _, n := range s.few {
			b.set(n)
		}
		return
	}
	// Not straight into b: where it can, this copies words instead of adding bits.
	clear(tmp)
	s.many.WriteDenseTo(tmp)
	b.or(tmp)
}
