package main

import (
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

const displayName = "trellis-front"

// isHello recognizes the query with which clickhouse-go opens a connection.
func isHello(q *request) bool {
	return strings.TrimSpace(string(q.text)) == "SELECT displayName(), version(), revision(), timezone()"
}

// hello answers it. The revision is 0, so that the driver expects the plain blocks that
// the library writes, without what later revisions put before each column.
func (f *front) hello(out *answer) {
	var b proto.Buffer
	b.PutUVarInt(1) // block info: field 1, no overflow
	b.PutBool(false)
	b.PutUVarInt(2) // field 2, no bucket
	b.PutInt32(-1)
	b.PutUVarInt(0) // end of it
	b.PutUVarInt(4) // columns
	b.PutUVarInt(1) // rows
	text := func(name, value string) {
		b.PutString(name)
		b.PutString("String")
		b.PutBool(false) // no serialization of its own
		b.PutString(value)
	}
	text("displayName()", displayName)
	text("version()", f.engine.version)
	b.PutString("revision()")
	b.PutString("UInt32")
	b.PutBool(false)
	b.PutUInt32(0)
	text("timezone()", f.engine.timezone)
	out.format("Native")
	_ = out.whole(b.Buf) // the client may be gone
}
