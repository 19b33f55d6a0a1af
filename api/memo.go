package api

import (
	"hash/maphash"
	"sync/atomic"
)

// memo remembers some values by their keys, in a fixed number of slots. It
// takes no lock, and may forget anything: each key has two slots, and may take
// the place of another one. Values are shared and must not be changed.
type memo[K memoKey, V any] struct {
	seed  maphash.Seed
	slots []atomic.Pointer[slotted[K, V]]
}

// memoKey is a key that hashes the part of it by which keys differ most.
type memoKey interface {
	comparable
	hash(seed maphash.Seed) uint64
}

type slotted[K memoKey, V any] struct {
	key   K
	value V
}

// newMemo returns a memo of so many slots: a power of two.
func newMemo[K memoKey, V any](slots int) *memo[K, V] {
	return &memo[K, V]{maphash.MakeSeed(), make([]atomic.Pointer[slotted[K, V]], slots)}
}

func (m *memo[K, V]) get(k K) (v V, ok bool) {
	i := k.hash(m.seed) & uint64(len(m.slots)-1)
	for _, at := range [...]uint64{i, i ^ 1} {
		if e := m.slots[at].Load(); e != nil && e.key == k {
			return e.value, true
		}
	}
	return v, false
}

func (m *memo[K, V]) put(k K, v V) {
	h := k.hash(m.seed)
	i := h & uint64(len(m.slots)-1)
	if e := m.slots[i].Load(); e != nil && e.key != k {
		if f := m.slots[i^1].Load(); f == nil || f.key == k || h>>63 == 1 {
			i ^= 1
		}
	}
	m.slots[i].Store(&slotted[K, V]{k, v})
}
