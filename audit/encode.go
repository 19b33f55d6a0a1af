package audit

import (
	"encoding/binary"
	"errors"
	"time"
)

// AppendBody appends the time and the fields of a record to b: the form in which
// the spool keeps it and which its chain covers. Equal records give equal bytes.
//
// The form is the time in Unix milliseconds and then each field of Walk: a
// number as a zigzag varint, a string as its length and bytes, a list as its
// length and strings (encoding/binary). Empty fields at the end are left out,
// so that a field added to a stream later does not change what was written before.
func AppendBody(b []byte, r Record) []byte {
	e := encoder{b: b}
	e.begin(r.Meta().Time)
	r.Walk(&e)
	return e.b[:e.keep]
}

type encoder struct {
	b    []byte
	keep int // up to here nothing can be left out
}

// begin starts a record.
func (e *encoder) begin(t time.Time) {
	e.b = binary.AppendVarint(e.b, t.UnixMilli())
	e.keep = len(e.b)
}

func (e *encoder) text(s string) { e.b = append(binary.AppendUvarint(e.b, uint64(len(s))), s...) }

func (e *encoder) Text(_ string, v *string) {
	e.text(*v)
	if *v != "" {
		e.keep = len(e.b)
	}
}

func (e *encoder) Word(_ string, v *string) { e.Text("", v) }

func (e *encoder) Int(_ string, v *int64) {
	e.b = binary.AppendVarint(e.b, *v)
	if *v != 0 {
		e.keep = len(e.b)
	}
}

func (e *encoder) List(_ string, v *[]string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(*v)))
	for _, s := range *v {
		e.text(s)
	}
	if len(*v) > 0 {
		e.keep = len(e.b)
	}
}

// errMalformed says that bytes are not what AppendBody writes.
var errMalformed = errors.New("audit: the bytes are not a record")

// ParseBody reads exactly what AppendBody wrote into r, which must be a new
// record of the same stream.
func ParseBody(b []byte, r Record) error {
	d := decoder{b: b}
	r.Meta().Time = time.UnixMilli(d.int()).UTC()
	r.Walk(&d)
	if d.bad || len(d.b) > 0 {
		return errMalformed
	}
	return nil
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.bad, d.b = true, nil
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) text() string {
	n := d.length()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// length reads a length that the bytes left can hold.
func (d *decoder) length() int {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > uint64(len(d.b)-size) {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return int(n)
}

func (d *decoder) Text(_ string, v *string) {
	if len(d.b) > 0 {
		*v = d.text()
	}
}

func (d *decoder) Word(_ string, v *string) { d.Text("", v) }

func (d *decoder) Int(_ string, v *int64) {
	if len(d.b) > 0 {
		*v = d.int()
	}
}

func (d *decoder) List(_ string, v *[]string) {
	if len(d.b) == 0 {
		return
	}
	// A string takes a byte at least, so the length is bounded by the bytes left.
	for range d.length() {
		*v = append(*v, d.text())
	}
}
