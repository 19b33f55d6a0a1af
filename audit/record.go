package audit

import (
	"fmt"
	"time"
)

// Stream is a kind of record. Each has a table of its own in a sink, and a
// retention of its own.
type Stream string

// The streams.
const (
	// Events: who did what to which node, and what was refused.
	Events Stream = "events"
	// Decisions: permission questions that were asked, and the answers.
	Decisions Stream = "decisions"
	// Requests: every request to the API, by which key and principal.
	Requests Stream = "requests"
	// Mails: what became of a mail.
	Mails Stream = "mails"
	// Factors: second factors set up, used and refused.
	Factors Stream = "factors"
	// Limits: rate limits that were reached.
	Limits Stream = "limits"
)

// Streams lists them all.
var Streams = []Stream{Events, Decisions, Requests, Mails, Factors, Limits}

// Record is one entry of a stream: *Event, *Decision, *Request, *Mail,
// *Factor or *Limit.
type Record interface {
	// Stream tells which stream the record belongs to.
	Stream() Stream
	// Meta gives access to what all records have.
	Meta() *Head
	// Walk shows every other field to the visitor, always in the same order.
	// It is the one list of the fields: the encoding, the tables of the sinks,
	// filters and exports follow it.
	Walk(Visitor)
}

// New returns an empty record of the stream. It panics on a stream that does not exist.
func New(s Stream) Record {
	switch s {
	case Events:
		return &Event{}
	case Decisions:
		return &Decision{}
	case Requests:
		return &Request{}
	case Mails:
		return &Mail{}
	case Factors:
		return &Factor{}
	case Limits:
		return &Limit{}
	}
	panic(fmt.Sprintf("audit: there is no stream %q", s))
}

// Visitor sees the fields of a record. A field keeps its name for ever; new
// fields go to the end. Names are lower-case words joined by underscores.
type Visitor interface {
	// Text is a string of many different values.
	Text(name string, v *string)
	// Word is a string of few different values.
	Word(name string, v *string)
	// List is a set of strings; nil and empty are the same.
	List(name string, v *[]string)
	// Int is a number.
	Int(name string, v *int64)
}

// Head is what every record has. Time is set by whoever records, in UTC and
// whole milliseconds (Log sees to both); the rest by the writer's chain.
type Head struct {
	Time time.Time
	Link
}

// Meta implements Record for those who embed it.
func (h *Head) Meta() *Head { return h }

// Outcomes of an Event.
const (
	Success = "success"
	Denied  = "denied"
	Failure = "failure"
)

// Event tells who did what to which node.
type Event struct {
	Head
	// Actor is who did it, as type:id; "" if not known.
	Actor string
	// Key is the id of the API key that was used.
	Key string
	// Action is what was done, as type:verb, such as "user:update"; of what
	// was refused, the permission that was lacking.
	Action string
	// Outcome is Success, Denied or Failure.
	Outcome string
	// Node is what it was done to, Other the other end of an edge: the
	// subject of a grant, the member of a set, the new parent.
	Node, Other string
	// Within are Node and the nodes above it at the time, without the root:
	// who may read audit records on one of them may read this.
	Within []string
	// Before and After are JSON objects of what changed, "" for nothing.
	Before, After string
	// Reason says why it was refused or failed.
	Reason string
	// RequestID, Address and Agent tell where it came from.
	RequestID, Address, Agent string
	// Revision is the graph's revision that the change made, 0 if it made none.
	Revision int64
}

// Answers of a Decision.
const (
	Allowed = "allowed"
	Refused = "denied"
	Listed  = "listed"
)

// Decision tells what was asked of the permission index, and the answer.
type Decision struct {
	Head
	// Actor and Key asked.
	Actor, Key string
	// Question is check, explain, resources, subjects or permissions.
	Question string
	// Subject, Permission and Resource are what was asked about.
	Subject, Permission, Resource string
	// Within are Resource and the nodes above it, without the root.
	Within []string
	// Answer is Allowed, Refused or Listed.
	Answer string
	// Path says what gave the permission, in words; "" if it was not looked for.
	Path string
	// Latency is how long the answer took, in microseconds.
	Latency int64
	// Weight is how many such decisions this one stands for, where only some are recorded.
	Weight int64
	// RequestID and Address tell where it came from.
	RequestID, Address string
	// Revision is the graph's revision that the answer holds at.
	Revision int64
}

// Request tells of one request to the API.
type Request struct {
	Head
	// Actor is the principal, "" if it is not known; Key its API key, if it used one.
	Actor, Key string
	// Method and Route (the template, not the path).
	Method, Route string
	// Status is the HTTP status.
	Status int64
	// Latency is the time from reading the head to the end of the answer, in microseconds.
	Latency int64
	// BytesIn and BytesOut are the sizes of the bodies.
	BytesIn, BytesOut int64
	// RequestID, Address and Agent tell where it came from.
	RequestID, Address, Agent string
}

// Mail tells what became of a mail. The address itself is not kept.
type Mail struct {
	Head
	// Recipient is a keyed hash of the address, Domain what follows its @.
	Recipient, Domain string
	// Template, Subject and MessageID tell which mail it was.
	Template, Subject, MessageID string
	// Status is sent, failed, skipped or dry_run; Error says why it failed.
	Status, Error string
	// Actor is who caused it, Node the user it is about.
	Actor, Node string
	// RequestID is that of the request that caused it.
	RequestID string
}

// Factor tells of a second factor.
type Factor struct {
	Head
	// Subject is whose factor it is.
	Subject string
	// Kind is enabled, disabled, verified, failed or backup_used.
	Kind string
	// Outcome is Success, Denied or Failure.
	Outcome string
	// RequestID, Address and Agent tell where it came from.
	RequestID, Address, Agent string
}

// Limit tells of a rate limit within one window of time.
type Limit struct {
	Head
	// Identifier is who was counted: a principal, a key or an address.
	Identifier string
	// Rule is the limit's name, Route where it was reached.
	Rule, Route string
	// Requests and Blocked count, Window is its length in seconds.
	Requests, Blocked, Window int64
	// Address tells where it came from.
	Address string
}

// Stream implements Record.
func (*Event) Stream() Stream { return Events }

// Stream implements Record.
func (*Decision) Stream() Stream { return Decisions }

// Stream implements Record.
func (*Request) Stream() Stream { return Requests }

// Stream implements Record.
func (*Mail) Stream() Stream { return Mails }

// Stream implements Record.
func (*Factor) Stream() Stream { return Factors }

// Stream implements Record.
func (*Limit) Stream() Stream { return Limits }

// Walk implements Record.
func (e *Event) Walk(v Visitor) {
	v.Text("actor", &e.Actor)
	v.Text("key", &e.Key)
	v.Word("action", &e.Action)
	v.Word("outcome", &e.Outcome)
	v.Text("node", &e.Node)
	v.Text("other", &e.Other)
	v.List("within", &e.Within)
	v.Text("before", &e.Before)
	v.Text("after", &e.After)
	v.Text("reason", &e.Reason)
	v.Text("request_id", &e.RequestID)
	v.Text("address", &e.Address)
	v.Word("agent", &e.Agent)
	v.Int("revision", &e.Revision)
}

// Walk implements Record.
func (d *Decision) Walk(v Visitor) {
	v.Text("actor", &d.Actor)
	v.Text("key", &d.Key)
	v.Word("question", &d.Question)
	v.Text("subject", &d.Subject)
	v.Word("permission", &d.Permission)
	v.Text("resource", &d.Resource)
	v.List("within", &d.Within)
	v.Word("answer", &d.Answer)
	v.Text("path", &d.Path)
	v.Int("latency", &d.Latency)
	v.Int("weight", &d.Weight)
	v.Text("request_id", &d.RequestID)
	v.Text("address", &d.Address)
	v.Int("revision", &d.Revision)
}

// Walk implements Record.
func (r *Request) Walk(v Visitor) {
	v.Text("actor", &r.Actor)
	v.Text("key", &r.Key)
	v.Word("method", &r.Method)
	v.Word("route", &r.Route)
	v.Int("status", &r.Status)
	v.Int("latency", &r.Latency)
	v.Int("bytes_in", &r.BytesIn)
	v.Int("bytes_out", &r.BytesOut)
	v.Text("request_id", &r.RequestID)
	v.Text("address", &r.Address)
	v.Word("agent", &r.Agent)
}

// Walk implements Record.
func (m *Mail) Walk(v Visitor) {
	v.Text("recipient", &m.Recipient)
	v.Word("domain", &m.Domain)
	v.Word("template", &m.Template)
	v.Text("subject", &m.Subject)
	v.Text("message_id", &m.MessageID)
	v.Word("status", &m.Status)
	v.Text("error", &m.Error)
	v.Text("actor", &m.Actor)
	v.Text("node", &m.Node)
	v.Text("request_id", &m.RequestID)
}

// Walk implements Record.
func (f *Factor) Walk(v Visitor) {
	v.Text("subject", &f.Subject)
	v.Word("kind", &f.Kind)
	v.Word("outcome", &f.Outcome)
	v.Text("request_id", &f.RequestID)
	v.Text("address", &f.Address)
	v.Word("agent", &f.Agent)
}

// Walk implements Record.
func (l *Limit) Walk(v Visitor) {
	v.Text("identifier", &l.Identifier)
	v.Word("rule", &l.Rule)
	v.Word("route", &l.Route)
	v.Int("requests", &l.Requests)
	v.Int("blocked", &l.Blocked)
	v.Int("window", &l.Window)
	v.Text("address", &l.Address)
}
