package api

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"trellis/graph"
)

// The two routes that are called most read the usual form of their body token
// by token. Whatever is unusual, and every mistake, is left to decode, which
// is slower and says exactly what is wrong: this path must never accept what
// decode refuses.

// reader is a decoder for one body after the other.
type reader struct {
	buf bytes.Buffer
	dec *jsontext.Decoder
}

var readers = sync.Pool{New: func() any { return &reader{dec: jsontext.NewDecoder(&bytes.Buffer{})} }}

func (c *call) quickly(read func(*jsontext.Decoder) bool) bool {
	r := readers.Get().(*reader)
	defer readers.Put(r)
	body := bytes.TrimRight(c.body, " \t\r\n")
	r.buf = *bytes.NewBuffer(body)
	r.dec.Reset(&r.buf)
	ok := read(r.dec) && r.dec.PeekKind() == 0 && r.dec.InputOffset() == int64(len(body))
	r.buf = bytes.Buffer{}
	return ok
}

// decodeCheck is decode for a single check.
func (c *call) decodeCheck(in *CheckInput) error {
	if c.quickly(in.Question.read) {
		return nil
	}
	*in = CheckInput{}
	return c.decode(in)
}

// decodeChecks is decode for many.
func (c *call) decodeChecks(in *ChecksInput) error {
	if c.quickly(in.read) {
		return nil
	}
	*in = ChecksInput{}
	return c.decode(in)
}

// read takes {"checks":[…]}, and nothing beside.
func (in *ChecksInput) read(d *jsontext.Decoder) bool {
	if !open(d, '{') {
		return false
	}
	name, err := d.ReadValue()
	if err != nil || string(name) != `"checks"` || !open(d, '[') {
		return false
	}
	in.Checks = make([]Question, 0, 100)
	for d.PeekKind() != ']' {
		if len(in.Checks) == MaxChecks {
			return false
		}
		in.Checks = append(in.Checks, Question{})
		if !in.Checks[len(in.Checks)-1].read(d) {
			return false
		}
	}
	return open(d, ']') && open(d, '}')
}

// read takes a question without context.
func (q *Question) read(d *jsontext.Decoder) bool {
	if !open(d, '{') {
		return false
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return false
		}
		var to *graph.Ref
		switch string(name) {
		case `"permission"`:
		case `"subject"`:
			to = &q.Subject
		case `"resource"`:
			to = &q.Resource
		default:
			return false
		}
		v, err := d.ReadValue()
		if err != nil || v.Kind() != '"' || len(v) < 3 || bytes.IndexByte(v, '\\') >= 0 {
			return false
		}
		s := string(v[1 : len(v)-1])
		if to == nil {
			q.Permission = s
			continue
		}
		if *to, err = graph.ParseRef(s); err != nil {
			return false
		}
	}
	return open(d, '}') && q.Permission != "" && !q.Resource.IsZero()
}

// open takes one bracket.
func open(d *jsontext.Decoder, k jsontext.Kind) bool {
	t, err := d.ReadToken()
	return err == nil && t.Kind() == k
}
