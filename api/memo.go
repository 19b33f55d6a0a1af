package api

import (
	"hash/maphash"
	"sync/atomic"
)

// memo remembers some values by their keys, in a fixed number of slots. It
// takes no lock, and may forget anything: a key that falls into the slot of
// another one takes its place. Values are shared and must not be changed.
type memo[K comparable, V any] struct {
	seed  maphash.Seed
	slots []atomic.Pointer[slotted[K, V]]
}

type slotted[K comparable, V any] struct {
	key   K
	value V
}

func newMemo[K comparable, V any](slots int) *memo[K, V] {
	return &memo[K, V]{maphash.MakeSeed(), make([]atomic.Pointer[slotted[K, V]], slots)}
}

func (m *memo[K, V]) slot(k K) *atomic.Pointer[slotted[K, V]] {
	return &m.slots[maphash.Comparable(m.seed, k)%uint64(len(m.slots))]
}

func (m *memo[K, V]) get(k K) (v V, ok bool) {
	if e := m.slot(k).Load(); e != nil && e.key == k {
		return e.value, true
	}
	return v, false
}

func (m *memo[K, V]) put(k K, v V) { m.slot(k).Store(&slotted[K, V]{k, v}) }
