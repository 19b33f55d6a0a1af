package api

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trellis/audit"
	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
)

// What a request leaves in the audit log is collected while it is carried out
// and appended once, before its answer is written: what a caller has seen is in
// the log. Answers that come bit by bit are the exception: of them, what must be
// recorded is appended before they begin, and the request itself at the end.
//
// Changes of the graph are not recorded here. They are in the change feed with
// the commit itself; call.actor gives them their origin.

// recording is what a request leaves in the audit log.
type recording struct {
	level   audit.Level
	records []audit.Record
	few     [2]audit.Record // room for the usual records
	done    bool            // nothing more is recorded of the request

	address, agent string
	located        bool // the two above are known
	self           string
}

// audits tells whether the request is recorded: not without a log, and not
// the service's own pages, which say nothing of anybody.
func (c *call) audits() bool { return c.Audit != nil && !c.rt.unrecorded }

// collect keeps one record. at is what it needs before the answer is written.
func (c *call) collect(at audit.Level, r audit.Record) {
	if c.records == nil {
		c.records = c.few[:0]
	}
	r.Meta().Time = c.now.UTC()
	c.records, c.level = append(c.records, r), max(c.level, at)
}

// origin tells where the request came from.
func (c *call) origin() (address, agentName string) {
	if !c.located {
		c.address, c.agent, c.located = c.clients.address(c.r), agent(c.r.Header), true
	}
	return c.address, c.agent
}

// who is the caller as records hold it.
func (c *call) who() string {
	if c.self == "" {
		c.self = name(c.caller.Subject)
	}
	return c.self
}

// record appends what was collected, and the request itself with how it is
// about to be answered. If what must be recorded cannot be, it returns the
// problem that is to be the answer instead.
func (c *call) record(status, size int) *Problem {
	if c.done || !c.audits() {
		c.done = true
		return nil
	}
	c.done = true
	address, agentName := c.origin()
	r := &audit.Request{
		Actor: c.who(), Key: c.caller.Key, Method: c.method(), Route: c.rt.path, Status: int64(status), Latency: time.Since(c.start).Microseconds(),
		BytesIn: c.came(), BytesOut: int64(size), RequestID: c.id, Address: address, Agent: agentName,
	}
	c.share(r.Latency)
	c.collect(audit.Note, r)
	err := c.append(c.level, c.records...)
	if err == nil || c.level == audit.Note {
		return nil
	}
	p := auditFull(err)
	// The records are the log's, whatever came of them.
	again := *r
	again.Head, again.Status, again.BytesOut = audit.Head{Time: c.now.UTC()}, int64(p.Status), 0
	_ = c.append(audit.Note, &again)
	return p
}

// recordNow appends what was collected so far, for an answer that is about to begin.
func (c *call) recordNow() error {
	if len(c.records) == 0 {
		return nil
	}
	c.share(time.Since(c.start).Microseconds())
	records, level := c.records, c.level
	c.records, c.level = make([]audit.Record, 0, 1), audit.Note // the others are the log's
	if err := c.append(level, records...); err != nil && level != audit.Note {
		return auditFull(err)
	}
	return nil
}

// append does not heed the request's context: a caller who goes away is
// recorded none the less.
func (c *call) append(level audit.Level, records ...audit.Record) error {
	err := c.Audit.Append(context.Background(), level, records...)
	if err != nil && !errors.Is(err, audit.ErrFull) {
		c.Log.Error("what a request did could not be recorded", "request_id", c.id, "error", err)
	}
	return err
}

func auditFull(err error) *Problem {
	p := problem(http.StatusServiceUnavailable, "audit-full", "this must be recorded, and the audit log takes no more records now")
	p.headers, p.cause = map[string]string{"Retry-After": "5"}, err
	return p
}

// share gives each decision its part of the time.
func (c *call) share(latency int64) {
	n := int64(0)
	for _, r := range c.records {
		if _, ok := r.(*audit.Decision); ok {
			n++
		}
	}
	// Of a batch in which only some are recorded, every question took its part.
	n = max(n, int64(c.answered))
	for _, r := range c.records {
		if d, ok := r.(*audit.Decision); ok {
			d.Latency = latency / n
		}
	}
}

// method is the request's, if it is one that routes can have: others are up to callers.
func (c *call) method() string {
	switch c.r.Method {
	case get, post, put, patch, del, http.MethodHead, http.MethodOptions:
		return c.r.Method
	}
	return "other"
}

// name is a node as records hold it.
func name(r graph.Ref) string {
	if r.IsZero() {
		return ""
	}
	return r.String()
}

// maxWithin limits how many nodes above a node are recorded with it.
const maxWithin = 32

// around returns the node and those above it, nearest first, without the root.
func (c *call) around(r graph.Ref) []string {
	if r.IsZero() || r == graph.Root {
		return nil
	}
	out := append(make([]string, 0, 4), r.String())
	for _, a := range c.view.Ancestors(r) {
		if a != graph.Root && len(out) < maxWithin {
			out = append(out, a.String())
		}
	}
	return out
}

// asked is a question at a revision: a change of the graph makes it another one.
type asked struct {
	at         graph.Revision
	subject    graph.Ref
	permission string
	resource   graph.Ref
}

func (a asked) hash(seed maphash.Seed) uint64 {
	return maphash.String(seed, a.resource.ID)*31 + maphash.String(seed, a.subject.ID) + uint64(len(a.permission))
}

// facts are what is recorded again and again of a question.
type facts struct {
	subject, resource string
	within            []string
	path              string // in words, of what was allowed
	until             int64  // when the path ends, in Unix milliseconds
}

// facts returns those of the question, with the path if it is wanted.
func (c *call) facts(q *Question, path bool) facts {
	k, now := asked{c.view.Revision(), q.Subject, q.Permission, q.Resource}, c.now.UnixMilli()
	f, ok := c.told.get(k)
	if ok && (!path || now < f.until) {
		return f
	}
	if !ok {
		f = facts{subject: q.Subject.String(), resource: q.Resource.String(), within: c.around(q.Resource)}
	}
	if path {
		hops := c.view.Explain(q.Subject, q.Permission, q.Resource, c.now).Path
		f.path, f.until = story(steps(hops)), math.MaxInt64
		for _, h := range hops {
			if h.Expires != 0 {
				f.until = min(f.until, h.Expires)
			}
		}
	}
	c.told.put(k, f)
	return f
}

// decided records the answer to a question about a permission: every no, and a
// share of the yeses.
func (c *call) decided(question string, q *Question, allowed bool) {
	if c.answered++; !c.audits() {
		return
	}
	weight := int64(1)
	if allowed {
		var chosen bool
		if weight, chosen = c.sample.next(); !chosen {
			return
		}
	}
	f := c.facts(q, allowed)
	d := &audit.Decision{Question: question, Subject: f.subject, Permission: q.Permission, Resource: f.resource, Within: f.within, Answer: audit.Refused, Weight: weight}
	at := audit.Must
	if allowed {
		at, d.Answer, d.Path = audit.Note, audit.Allowed, f.path
	}
	c.decision(at, d)
}

// listed records that a list was asked for.
func (c *call) listed(d audit.Decision, resource graph.Ref) {
	if !c.audits() {
		return
	}
	d.Answer, d.Weight, d.Within = audit.Listed, 1, c.around(resource)
	c.decision(audit.Note, &d)
}

func (c *call) decision(at audit.Level, d *audit.Decision) {
	d.Actor, d.Key, d.RequestID, d.Revision = c.who(), c.caller.Key, c.id, int64(c.view.Revision())
	d.Address, _ = c.origin()
	c.collect(at, d)
}

// happened collects an event: it fills in who and where from.
func (c *call) happened(at audit.Level, e *audit.Event) {
	e.Actor, e.Key, e.RequestID = c.who(), c.caller.Key, c.id
	e.Address, e.Agent = c.origin()
	c.collect(at, e)
}

// refused records why a request is answered with the problem, if that is
// because of who is calling.
//
// What is not there, and what the caller may not see, are recorded alike, for
// callers to whom the one must look like the other: otherwise the time that
// recording takes, or that it fails, would tell them apart.
func (c *call) refused(err error, p *Problem) {
	if !c.audits() || c.rt.public != "" {
		return
	}
	if p.Status == http.StatusUnauthorized {
		c.refusedCredential(err)
		return
	}
	if c.caller.Subject.IsZero() {
		return
	}
	var e *graph.Error
	if !errors.As(err, &e) {
		e = &graph.Error{}
	}
	permission := e.Permission
	if permission == "" {
		permission = c.needed(e.Ref.Type)
	}
	switch {
	case e.Kind == graph.Denied && e.Msg != "":
		c.happened(audit.Sync, &audit.Event{Action: permission, Outcome: audit.Denied, Node: name(e.Ref), Within: c.around(e.Ref), Reason: e.Msg})
	case p.Type == problemType+"not-found" && c.maybeHidden(e.Ref):
		ev := &audit.Event{Action: permission, Outcome: audit.Failure, Node: c.named, Reason: "there is no such node"}
		if !e.Ref.IsZero() {
			ev.Node, ev.Within = e.Ref.String(), c.around(e.Ref)
		} else if ev.Node == "" {
			ev.Node = c.query["resource"]
		}
		c.happened(audit.Sync, ev)
	}
}

// needed is the permission that a refused request was about, as far as the row tells.
func (c *call) needed(t graph.Type) string {
	if t == "" {
		t = c.ref.Type
	}
	if typ, _, ok := strings.Cut(c.named, ":"); t == "" && ok {
		t = graph.Type(typ)
	}
	if p := c.rt.needs.permission; p != "" {
		return strings.Replace(p, "{type}", string(t), 1)
	}
	if t == "" {
		t = identity.ResourceType
	}
	return string(t) + ":read"
}

// maybeHidden tells whether nodes such as this one may be hidden from the caller.
func (c *call) maybeHidden(r graph.Ref) bool {
	t := r.Type
	if typ, _, ok := strings.Cut(c.named, ":"); t == "" && ok {
		t = graph.Type(typ)
	}
	return t == "" || !c.holds(string(t)+":read", graph.Root) || c.rt.upserts && !c.holds("organization:read", graph.Root)
}

// refusedCredential records that a credential is not valid. Nobody is known
// yet, so it is a Note: outsiders can neither force the log to wait for the
// disk nor fill what is reserved for others.
func (c *call) refusedCredential(err error) {
	if !errors.Is(err, auth.ErrCredential) {
		return
	}
	e := &audit.Event{Action: "credential:use", Outcome: audit.Denied, Reason: err.Error()}
	if _, credential, ok := strings.Cut(c.r.Header.Get("Authorization"), " "); ok {
		// The id of a key is no secret; an id that nobody has is no news.
		if t, ok := auth.ParseToken(strings.TrimSpace(credential)); ok && c.view.Exists(auth.Ref(t.ID)) {
			e.Node, e.Within = auth.Ref(t.ID).String(), c.around(auth.Ref(t.ID))
		}
	}
	c.happened(audit.Note, e)
}

// sampler chooses one in every so many, without a lock. Which one of them
// changes from round to round, so that questions which come in a fixed
// order are all chosen some time.
type sampler struct {
	every uint64 // 0 is never
	n     atomic.Uint64
}

func newSampler(rate float64) *sampler {
	s := &sampler{}
	if rate > 0 {
		s.every = max(1, uint64(1/rate+0.5))
	}
	return s
}

// next tells whether this one is chosen, and for how many it stands.
func (s *sampler) next() (weight int64, chosen bool) {
	if s.every <= 1 {
		return 1, s.every == 1
	}
	n := s.n.Add(1) - 1
	round := n / s.every
	// The finalizer of SplitMix64: its bits look random.
	round = (round ^ round>>30) * 0xbf58476d1ce4e5b9
	round = (round ^ round>>27) * 0x94d049bb133111eb
	return int64(s.every), n%s.every == (round^round>>31)%s.every
}

// lastUses remembers when each API key was last used in this process: the
// audit log knows it only once the records have been delivered.
type lastUses struct{ keys sync.Map } // string -> *atomic.Int64, in Unix milliseconds

func (l *lastUses) note(key string, at time.Time) {
	v, ok := l.keys.Load(key)
	if !ok {
		v, _ = l.keys.LoadOrStore(key, &atomic.Int64{})
	}
	// Clocks of requests may overtake each other by a little: that is no matter.
	v.(*atomic.Int64).Store(at.UnixMilli())
}

// of returns the newer of what is remembered and the time given.
func (l *lastUses) of(key string, other time.Time) time.Time {
	if v, ok := l.keys.Load(key); ok {
		if t := time.UnixMilli(v.(*atomic.Int64).Load()).UTC(); t.After(other) {
			return t
		}
	}
	return other
}
