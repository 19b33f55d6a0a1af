package audittest

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"time"

	"trellis/audit"
)

// Secret is that of the chains which Linker makes.
var Secret = bytes.Repeat([]byte("secret!!"), 4)

// Linker links records as one writer.
type Linker struct {
	writer string
	chain  *audit.Chain
	last   map[audit.Stream]audit.Link
	n      int
}

// NewLinker returns the Linker of a writer that has not written yet.
func NewLinker(writer string) *Linker {
	return &Linker{writer: writer, chain: audit.NewChain(Secret), last: map[audit.Stream]audit.Link{}}
}

// Link links the records, in their order, and returns them.
func (l *Linker) Link(rs ...audit.Record) []audit.Record {
	for _, r := range rs {
		last := l.last[r.Stream()]
		last.Writer = l.writer
		l.chain.Next(last, r)
		l.last[r.Stream()] = r.Meta().Link
	}
	return rs
}

// Batches links the records and cuts them into batches of a size.
func (l *Linker) Batches(rs iter.Seq[audit.Record], size int) iter.Seq[audit.Batch] {
	return func(yield func(audit.Batch) bool) {
		var rest []audit.Record
		cut := func() bool {
			l.n++
			b := audit.Batch{ID: fmt.Sprintf("%s-%d", l.writer, l.n), Records: rest}
			rest = nil
			return yield(b)
		}
		for r := range rs {
			if rest = append(rest, l.Link(r)...); len(rest) == size && !cut() {
				return
			}
		}
		if len(rest) > 0 {
			cut()
		}
	}
}

// World is the company that Records tells of. Of each kind of thing, the one
// with the number 0 occurs most often, the last one hardly ever.
var World = struct {
	Users, Robots, Organizations, Repos int
	// Until is the end of the 30 days.
	Until time.Time
}{2000, 200, 40, 5000, time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)}

// User is a person.
func User(i int) string { return fmt.Sprintf("user:0197f3a2-7c1e-7000-8000-%012x", i*7919) }

// Robot is a service account.
func Robot(i int) string { return fmt.Sprintf("service_account:0197f3a2-7c1e-7000-9000-%012x", i*7919) }

// KeyOf is the id of the actor's API key.
func KeyOf(actor string) string { return "k" + actor[len(actor)-12:] + "x7" }

// Organization is an organization.
func Organization(i int) string { return "organization:acme-" + strconv.Itoa(i) }

// Repo is a repository; within returns it, its team and its organization.
func Repo(i int) string { return fmt.Sprintf("repo:acme-%d/service-%d", i%World.Organizations, i) }

func within(i int) []string {
	org := i % World.Organizations
	return []string{Repo(i), fmt.Sprintf("team:acme-%d/team-%d", org, i/World.Organizations%10), Organization(org)}
}

// Records makes n records as a busy company would, oldest first, over the 30
// days before World.Until, the same for the same seed. Without streams they
// are mixed as a server writes them; otherwise they are of these.
func Records(n int, seed uint64, streams ...audit.Stream) iter.Seq[audit.Record] {
	if len(streams) == 0 {
		// In the order of audit.Streams, out of a hundred.
		for i, parts := range []int{9, 18, 70, 1, 1, 1} {
			for range parts {
				streams = append(streams, audit.Streams[i])
			}
		}
	}
	return func(yield func(audit.Record) bool) {
		rng := rand.New(rand.NewPCG(seed, 7))
		zipf := func(n int) func() int {
			z := rand.NewZipf(rng, 1.2, 8, uint64(n-1))
			return func() int { return int(z.Uint64()) }
		}
		m := maker{rng: rng, user: zipf(World.Users), robot: zipf(World.Robots), repo: zipf(World.Repos), agent: zipf(60)}
		step := 30 * 24 * time.Hour / time.Duration(n+1)
		at := World.Until.Add(-30 * 24 * time.Hour)
		for i := range n {
			r := m.make(streams[rng.IntN(len(streams))], i)
			at = at.Add(step)
			r.Meta().Time = at.Truncate(time.Millisecond)
			if !yield(r) {
				return
			}
		}
	}
}

// maker draws the fields of records.
type maker struct {
	rng                      *rand.Rand
	user, robot, repo, agent func() int
}

// of draws one of the words, the first ones more often.
func (m *maker) of(words ...string) string {
	return words[min(m.rng.IntN(len(words)), m.rng.IntN(len(words)))]
}

func (m *maker) actor() string {
	if m.rng.IntN(3) == 0 {
		return User(m.user())
	}
	return Robot(m.robot())
}

func (m *maker) request(i int) string {
	return fmt.Sprintf("0198f0a1-%04x-7%03x-%016x", i>>12&0xffff, i&0xfff, m.rng.Uint64())
}

func (m *maker) address() string {
	i := m.user()
	return fmt.Sprintf("10.%d.%d.%d", i%4, i/4%250, i%250)
}

func (m *maker) client() string {
	return fmt.Sprintf("acme-deployer/1.%d.0 (linux; amd64) trellis-go/0.9", m.agent())
}

func (m *maker) make(s audit.Stream, i int) audit.Record {
	actor, repo, request, address := m.actor(), m.repo(), m.request(i), m.address()
	latency := int64(200 + m.rng.ExpFloat64()*1500)
	switch s {
	case audit.Events:
		e := &audit.Event{Actor: actor, Key: KeyOf(actor), Node: Repo(repo), Within: within(repo), RequestID: request, Address: address, Agent: m.client(),
			Action:  m.of("repo:update", "grant:create", "repo:create", "grant:delete", "member:create", "team:update", "member:delete", "user:update", "role:update", "api_key:create", "repo:delete"),
			Outcome: audit.Success, Revision: int64(i + 1), Before: `{"description":"the service of the month"}`, After: `{"description":"the service of the year","visibility":"internal"}`}
		if m.rng.IntN(3) == 0 {
			e.Other = User(m.user())
		}
		if m.rng.IntN(20) == 0 {
			e.Outcome, e.Reason, e.Revision, e.Before, e.After = audit.Denied, "the permission is lacking", 0, "", ""
		}
		return e
	case audit.Decisions:
		d := &audit.Decision{Actor: actor, Key: KeyOf(actor), Question: m.of("check", "check", "explain", "resources"), Subject: User(m.user()),
			Permission: m.of("repo:read", "repo:write", "repo:admin", "team:read", "organization:read"), Resource: Repo(repo), Within: within(repo),
			Answer: audit.Allowed, Latency: 1 + latency/500, Weight: 10, RequestID: request, Address: address, Revision: int64(i)}
		if m.rng.IntN(4) == 0 {
			d.Answer, d.Weight = audit.Refused, 1
		}
		return d
	case audit.Requests:
		q := &audit.Request{Actor: actor, Key: KeyOf(actor), Method: m.of("POST", "GET", "PUT", "DELETE"),
			Route:  m.of("/api/v1/access/check", "/api/v1/access/checks", "/api/v1/resources/{type}/{id}", "/api/v1/users", "/api/v1/grants", "/api/v1/users/{id}", "/api/v1/organizations", "/api/v1/batch"),
			Status: 200, Latency: latency, BytesIn: 40 + m.rng.Int64N(400), BytesOut: 30 + m.rng.Int64N(2000), RequestID: request, Address: address, Agent: m.client()}
		if m.rng.IntN(12) == 0 {
			q.Status = []int64{400, 403, 404, 429, 503}[m.rng.IntN(5)]
		}
		return q
	case audit.Mails:
		return &audit.Mail{Recipient: fmt.Sprintf("%032x", m.user()), Domain: "example.com", Template: m.of("invitation", "reset", "digest"), Subject: "You were invited",
			MessageID: "<" + request + "@example.com>", Status: m.of("sent", "sent", "failed"), Actor: actor, Node: User(m.user()), RequestID: request}
	case audit.Factors:
		return &audit.Factor{Subject: User(m.user()), Kind: m.of("verified", "failed", "enabled"), Outcome: m.of(audit.Success, audit.Denied), RequestID: request, Address: address, Agent: m.client()}
	default:
		return &audit.Limit{Identifier: actor, Rule: m.of("api", "login"), Route: "/api/v1/access/check", Requests: 600 + m.rng.Int64N(500), Blocked: m.rng.Int64N(500), Window: 60, Address: address}
	}
}
