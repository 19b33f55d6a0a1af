package api

import (
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"trellis/audit"
)

// appendRecord appends a record as the API shows it: an object of its time, its
// place in the chain and its fields, those that are empty left out.
func appendRecord(b []byte, r audit.Record) []byte {
	h := r.Meta()
	b = append(b, `{"time":"`...)
	b = h.Time.UTC().AppendFormat(b, timeLayout)
	b = append(b, '"')
	w := jsonFields{append(b, `,"writer":`...)}
	w.quote(h.Writer)
	w.b = strconv.AppendUint(append(w.b, `,"seq":`...), h.Seq, 10)
	w.b = append(w.b, `,"hash":`...)
	w.quote(h.Hash.String())
	r.Walk(&w)
	return append(w.b, '}')
}

// jsonFields is an audit.Visitor that appends members to an object.
type jsonFields struct{ b []byte }

func (w *jsonFields) quote(s string) { w.b = appendItem(w.b, "", s) }

func (w *jsonFields) name(n string) {
	w.b = append(append(append(w.b, `,"`...), n...), `":`...)
}

// Text implements audit.Visitor.
func (w *jsonFields) Text(n string, v *string) {
	if *v == "" {
		return
	}
	w.name(n)
	if objects[n] && jsontext.Value(*v).IsValid() {
		w.b = append(w.b, *v...)
		return
	}
	w.quote(*v)
}

// objects are the fields that hold JSON.
var objects = map[string]bool{"before": true, "after": true}

// Word implements audit.Visitor.
func (w *jsonFields) Word(n string, v *string) { w.Text(n, v) }

// Int implements audit.Visitor.
func (w *jsonFields) Int(n string, v *int64) {
	if *v == 0 && !always[n] {
		return
	}
	w.name(n)
	w.b = strconv.AppendInt(w.b, *v, 10)
}

// always are the numbers whose zero says something.
var always = map[string]bool{"latency": true, "bytes_in": true, "bytes_out": true}

// List implements audit.Visitor.
func (w *jsonFields) List(n string, v *[]string) {
	if len(*v) == 0 {
		return
	}
	w.name(n)
	for i, s := range *v {
		w.b = append(w.b, ",["[b2i(i == 0)])
		w.quote(s)
	}
	w.b = append(w.b, ']')
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// timeLayout has milliseconds always, so that times as text are in order too.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// recordList stands, in the table, for a page of records of the stream.
type recordList audit.Stream

// recordName is what OpenAPI calls a record of the stream.
func recordName(s audit.Stream) string {
	for _, l := range auditLists {
		if l.stream == s {
			return "Audit" + l.one
		}
	}
	return ""
}

// recordSchema describes a record of the stream: the fields that Walk shows.
func recordSchema(s audit.Stream) *huma.Schema {
	v := schemaFields{&huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Required: []string{"time", "writer", "seq", "hash"}, Properties: map[string]*huma.Schema{
		"time":   {Type: huma.TypeString, Format: "date-time"},
		"writer": {Type: huma.TypeString, Description: "Who wrote the record; with seq, its place in the chain"},
		"seq":    {Type: huma.TypeInteger, Format: "int64", Description: "Counts the writer's records of the stream"},
		"hash":   {Type: huma.TypeString, Description: "Of the record and of the one before"},
	}}}
	audit.New(s).Walk(v)
	return v.s
}

type schemaFields struct{ s *huma.Schema }

// Text implements audit.Visitor.
func (v schemaFields) Text(n string, _ *string) {
	s := &huma.Schema{Type: huma.TypeString, Description: fieldDocs[n], Enum: fieldEnums[n]}
	if objects[n] {
		s.Type, s.AdditionalProperties = huma.TypeObject, true
	}
	v.s.Properties[n] = s
}

// Word implements audit.Visitor.
func (v schemaFields) Word(n string, s *string) { v.Text(n, s) }

// Int implements audit.Visitor.
func (v schemaFields) Int(n string, _ *int64) {
	v.s.Properties[n] = &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: fieldDocs[n]}
}

// List implements audit.Visitor.
func (v schemaFields) List(n string, _ *[]string) {
	v.s.Properties[n] = &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}, Description: fieldDocs[n]}
}

// fieldDocs say what fields mean, of records and as parameters.
var fieldDocs = map[string]string{
	"actor":      "Who did it or asked, as type:id",
	"about":      "The node that it is about: node or other of an event, subject or resource of a decision",
	"key":        "The id of the API key that was used",
	"action":     "What was done, as type:verb; of what was refused, the permission that was lacking",
	"outcome":    "How it ended",
	"node":       "The node that it was done to, as type:id",
	"other":      "The other end of an edge, as type:id",
	"within":     "The node and those above it at the time",
	"before":     "What changed, as it was",
	"after":      "What changed, as it is since",
	"reason":     "Why it was refused or failed",
	"request_id": "The X-Request-ID of the request",
	"address":    "The client's address, as far as it is kept",
	"agent":      "What the client calls itself",
	"revision":   "The graph's revision",
	"question":   "What was asked",
	"subject":    "Who was asked about, as type:id; of a mail, its subject",
	"permission": "The permission asked about",
	"resource":   "The resource asked about, as type:id",
	"answer":     "What the answer was",
	"path":       "What gave the permission, in words; only of what was allowed",
	"latency":    "How long it took, in microseconds",
	"weight":     "How many decisions this one stands for",
	"method":     "The HTTP method",
	"route":      "The path's template",
	"status":     "The HTTP status; of a mail, what became of it",
	"bytes_in":   "The size of the request's body",
	"bytes_out":  "The size of the answer's body",
	"recipient":  "A keyed hash of the mail's address",
	"domain":     "What follows the @ of the mail's address",
	"template":   "The mail's template",
	"kind":       "What happened to the factor",
	"identifier": "Who was counted",
	"rule":       "The limit's name",
	"window":     "The limit's window, in seconds",
}

var fieldEnums = map[string][]any{
	"outcome":  {audit.Success, audit.Denied, audit.Failure},
	"answer":   {audit.Allowed, audit.Refused, audit.Listed},
	"question": {"check", "explain", "resources", "subjects", "permissions"},
}
