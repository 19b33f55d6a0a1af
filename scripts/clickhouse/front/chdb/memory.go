package chdb

// #include <stdlib.h>
// #include "api.h"
import "C"

import "unsafe"

// text lends bytes to the library for one call.
func text[T string | []byte](s T) C.chdb_text {
	b := []byte(s)
	return C.chdb_text{data: (*C.char)(unsafe.Pointer(unsafe.SliceData(b))), len: C.size_t(len(b))}
}

// memory is C's, for arrays of pointers: those the library cannot be lent.
type memory struct{ blocks []unsafe.Pointer }

func (m *memory) free() {
	for _, b := range m.blocks {
		C.free(b)
	}
}

func (m *memory) string(s string) *C.char {
	p := C.CString(s)
	m.blocks = append(m.blocks, unsafe.Pointer(p))
	return p
}

// array is a list of n values, all zero.
func array[T any](m *memory, n int) []T {
	var zero T
	p := C.calloc(C.size_t(max(n, 1)), C.size_t(unsafe.Sizeof(zero)))
	m.blocks = append(m.blocks, p)
	return unsafe.Slice((*T)(p), n)
}

// arguments is what main takes, with the null at its end.
func (m *memory) arguments(args []string) (C.int, **C.char) {
	list := array[*C.char](m, len(args)+1)
	for i, a := range args {
		list[i] = m.string(a)
	}
	return C.int(len(args)), unsafe.SliceData(list)
}

func (m *memory) params(values map[string]string) C.chdb_params {
	n := len(values)
	names, nameLens := array[*C.char](m, n), array[C.size_t](m, n)
	texts, textLens := array[*C.char](m, n), array[C.size_t](m, n)
	i := 0
	for name, value := range values {
		names[i], nameLens[i] = m.string(name), C.size_t(len(name))
		texts[i], textLens[i] = m.string(value), C.size_t(len(value))
		i++
	}
	return C.chdb_params{
		names: unsafe.SliceData(names), name_lens: unsafe.SliceData(nameLens),
		values: unsafe.SliceData(texts), value_lens: unsafe.SliceData(textLens), count: C.size_t(n),
	}
}
