// Package chdb runs ClickHouse's engine inside this process, by the library libchdb.so.
//
// One process opens one data directory, once; connections to it share the engine and keep
// their own settings and current database. A connection runs one statement at a time: it
// must not be used by two goroutines at once. Whatever a call returns as Result, Stream or
// Insert is memory of the library and has to be closed.
package chdb

// #cgo CFLAGS: -O2 -Wall
// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "api.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Open loads the library. It comes before everything else of this package.
func Open(path string) error {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	if problem := C.api_open(p); problem != nil {
		return errors.New(C.GoString(problem))
	}
	return nil
}

// Version is the library's own, which is not always the engine's.
func Version() string { return C.GoString(C.api_version()) }

// Shutdown stops the engine for good, once all connections are closed.
func Shutdown() error {
	if C.api_shutdown() != 0 {
		return errors.New("the engine did not stop all its threads")
	}
	return nil
}

// Conn is a connection to the engine.
type Conn struct{ c C.chdb_connection }

// Connect opens a connection with settings as `--name=value`. The first one also starts
// the engine, on the data directory of `--path=`.
func Connect(args ...string) (*Conn, error) {
	var m memory
	defer m.free()
	argc, argv := m.arguments(append([]string{"clickhouse"}, args...))
	c := C.api_connect(argc, argv)
	if c == nil {
		return nil, errors.New("the engine refused to connect")
	}
	return &Conn{c}, nil
}

// Close ends the connection.
func (c *Conn) Close() { C.api_close(c.c) }

// Class says what a statement may change.
type Class uint32

// The classes, from the least to the most restricted.
const (
	ReadOnly Class = iota
	Mutating
	MutatingGlobal
	Control // SET, USE, SYSTEM, KILL, BACKUP and their like
	Unknown // did not parse
)

// Classify parses without running: the class of the text and how many statements it holds.
func (c *Conn) Classify(query []byte) (Class, int) {
	a := C.chdb_analysis{}
	a.struct_size = C.uint32_t(unsafe.Sizeof(a))
	if C.api_classify(c.c, text(query), &a) != 0 {
		return Unknown, 0
	}
	return Class(a.query_class), int(a.statement_count)
}

// Query runs statements and returns the whole result.
func (c *Conn) Query(query []byte, format string, params map[string]string) (*Result, error) {
	var m memory
	defer m.free()
	return result(C.api_query(c.c, text(query), text(format), m.params(params)))
}

// Result is what a statement gave, or a part of it.
type Result struct{ r C.chdb_result }

func result(r C.chdb_result) (*Result, error) {
	if r == nil {
		return nil, errors.New("the engine gave no result")
	}
	if problem := C.api_result_error(r); problem != nil {
		err := errors.New(C.GoString(problem))
		C.api_result_free(r)
		return nil, err
	}
	return &Result{r}, nil
}

// Bytes is valid until Close.
func (r *Result) Bytes() []byte {
	data, n := C.api_result_data(r.r), C.api_result_len(r.r)
	if data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(data)), n)
}

// Stats is what a statement read and wrote.
type Stats struct{ Rows, RowsRead, BytesRead, RowsWritten, BytesWritten uint64 }

// Stats counts.
func (r *Result) Stats() Stats {
	return Stats{
		Rows: uint64(C.api_result_rows(r.r)), RowsRead: uint64(C.api_result_rows_read(r.r)), BytesRead: uint64(C.api_result_bytes_read(r.r)),
		RowsWritten: uint64(C.api_result_rows_written(r.r)), BytesWritten: uint64(C.api_result_bytes_written(r.r)),
	}
}

// Close frees the result; there need not be one.
func (r *Result) Close() {
	if r != nil {
		C.api_result_free(r.r)
	}
}

// Stream is a result that is fetched in parts.
type Stream struct {
	conn *Conn
	s    C.chdb_result
	open bool
}

// Stream starts a SELECT. The connection takes nothing else until the stream is closed.
func (c *Conn) Stream(query []byte, format string, params map[string]string) (*Stream, error) {
	var m memory
	defer m.free()
	r, err := result(C.api_stream(c.c, text(query), text(format), m.params(params)))
	if err != nil {
		return nil, err
	}
	return &Stream{c, r.r, true}, nil
}

// Next returns the next part, or nil at the end.
func (s *Stream) Next() (*Result, error) {
	r, err := result(C.api_stream_fetch(s.conn.c, s.s))
	if err != nil {
		s.open = false
		return nil, err
	}
	if len(r.Bytes()) == 0 {
		s.open = false
		r.Close()
		return nil, nil
	}
	return r, nil
}

// Close ends the query, where it still runs.
func (s *Stream) Close() {
	if s.open {
		C.api_stream_cancel(s.conn.c, s.s)
	}
	C.api_result_free(s.s)
}

// Insert is an INSERT whose data is still coming.
type Insert struct{ i C.chdb_insert }

// Insert starts one. The statement has neither a FORMAT clause nor data.
func (c *Conn) Insert(query []byte, format string, params map[string]string) (*Insert, error) {
	var m memory
	defer m.free()
	i := &Insert{C.api_insert(c.c, text(query), text(format), m.params(params))}
	if err := i.failed(); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

func (i *Insert) failed() error {
	if problem := C.api_insert_error(i.i); problem != nil {
		return errors.New(C.GoString(problem))
	}
	return nil
}

// Write hands over data, which need not end where a row does.
func (i *Insert) Write(data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	if C.api_insert_append(i.i, unsafe.Pointer(&data[0]), C.size_t(len(data))) == 0 {
		return len(data), nil
	}
	if err := i.failed(); err != nil {
		return 0, err
	}
	return 0, errors.New("the engine takes no more data")
}

// Commit ends the data and stores it.
func (i *Insert) Commit() (*Result, error) { return result(C.api_insert_done(i.i)) }

// Close frees the insert; one that was not committed is given up.
func (i *Insert) Close() { C.api_insert_free(i.i) }
