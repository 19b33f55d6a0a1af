package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trellis/audit"
	"trellis/graph"
	"trellis/graph/identity"
)

// AuditStats are counts of audit records.
type AuditStats struct {
	From   time.Time     `json:"from" doc:"The beginning of the first bucket"`
	To     time.Time     `json:"to" doc:"The end of the last bucket"`
	Bucket string        `json:"bucket" enum:"hour,day"`
	By     string        `json:"by,omitempty"`
	Items  []AuditBucket `json:"items" doc:"By time, then by value; empty ones are absent" nullable:"false"`
}

// AuditBucket is one count.
type AuditBucket struct {
	Start time.Time `json:"start"`
	Value string    `json:"value,omitempty" doc:"Of the field that is counted by; absent for all beyond the top ones, and for those without a value"`
	Count int64     `json:"count" doc:"How many records; of decisions, how many they stand for"`
	Sums
}

// Sums are what is added up of requests.
type Sums struct {
	Errors  int64 `json:"errors,omitempty" doc:"Requests answered with a status of 400 or more"`
	Bytes   int64 `json:"bytes,omitempty" doc:"What requests were answered with"`
	Latency int64 `json:"latency,omitempty" doc:"The sum of how long requests took, in microseconds"`
}

// KeyUsage tells what an API key was used for.
type KeyUsage struct {
	Key        string     `json:"key" doc:"The id of the key"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"Absent if it was never used"`
	From       time.Time  `json:"from" doc:"The beginning of the first bucket"`
	To         time.Time  `json:"to" doc:"The end of the last bucket"`
	Requests   int64      `json:"requests" doc:"In this time"`
	Sums
	Bucket string        `json:"bucket" enum:"hour,day"`
	By     string        `json:"by,omitempty"`
	Items  []AuditBucket `json:"items" doc:"By time, then by value; empty ones are absent" nullable:"false"`
}

// AuditVerification tells whether the audit log is what was written.
type AuditVerification struct {
	Records int64        `json:"records" doc:"How many were looked at"`
	Chains  []AuditChain `json:"chains" nullable:"false"`
	Faults  []AuditFault `json:"faults" doc:"The first of them" nullable:"false"`
	Total   int64        `json:"total" doc:"How many faults there are; the log is intact if there are none"`
	// EndsKnown is false while records are on their way.
	EndsKnown bool `json:"ends_known" doc:"Whether it was looked if the ends of this server's own chains are there; false if records are still on their way"`
}

// AuditChain is the chain of one writer in one stream.
type AuditChain struct {
	Stream  string    `json:"stream"`
	Writer  string    `json:"writer"`
	Records int64     `json:"records"`
	First   uint64    `json:"first" doc:"The number with which the chain begins now; above 1, what was before has expired or was removed"`
	Last    uint64    `json:"last"`
	Begins  time.Time `json:"begins,omitzero"`
	Ends    time.Time `json:"ends,omitzero"`
	Faults  int64     `json:"faults"`
}

// AuditFault is something wrong with a chain.
type AuditFault struct {
	Stream string    `json:"stream"`
	Writer string    `json:"writer"`
	Kind   string    `json:"kind" enum:"missing,changed,moved,doubled,misfiled"`
	From   uint64    `json:"from"`
	To     uint64    `json:"to" doc:"The last of those missing; of a moved record, where it was written"`
	Time   time.Time `json:"time,omitzero"`
	Detail string    `json:"detail"`
}

const (
	hourly = "hour"
	daily  = "day"
	// mostHours and mostDays limit how many buckets an answer can have.
	mostHours, mostDays = 35 * audit.Day, 3660 * audit.Day
	// usualTop is how many values are told apart if nobody says.
	usualTop, mostTop = 100, 1000
)

func auditStatsRoutes() []route {
	stream := word("stream", "What to count", string(audit.Events), string(audit.Decisions), string(audit.Requests)).must()
	within := text("within", withinDoc+". Not of requests", 600)
	return []route{
		{method: get, path: "/audit/stats", id: "auditStats", tag: "audit", summary: "Count the records of the audit log by time",
			doc: "Events are counted by action, outcome or actor; decisions by permission, answer or actor; requests by route, status, key or actor. The same fields can be given as filters. " +
				"The time is widened to whole buckets; without from it is the last day by hours, or the last 30 days. " + readEvent,
			needs: need{permission: identity.ReadAudit, on: "within, or platform:root", ref: queriedResource}, node: withinQuery,
			query: append(append([]param{stream}, buckets()...), slices.Concat([]param{word("by", "Count each value of this field", allDimensions()...), within, top()}, dimensionFilters())...),
			out:   AuditStats{}, handle: auditStats},
		{method: get, path: "/audit/verification", id: "verifyAudit", tag: "audit", summary: "Find out whether the audit log was tampered with",
			doc:   "Reads every record. Each server knows the ends of its own chains, and the graph remembers those of all as they were in the last hour, so that it is also found when the newest records were removed. " + readEvent,
			needs: need{permission: identity.ReadAudit, on: "platform:root", ref: onRoot},
			query: []param{word("stream", "Only this stream", streamNames()...), text("writer", "Only the chains of this writer", 200)}, out: AuditVerification{}, unlimited: true, handle: verifyAudit},
		{method: get, path: "/api-keys/{id}/usage", id: "readApiKeyUsage", tag: "API keys", summary: "Tell what an API key was used for",
			doc:   "The time is widened to whole buckets; without from it is the last day by hours, or the last 30 days. " + readEvent,
			needs: need{permission: identity.ReadAudit, on: "the key"}, node: keyNode,
			query: append(buckets(), word("by", "Count each value of this field", "route", "status")), out: KeyUsage{}, handle: keyUsage},
	}
}

func word(name, doc string, values ...string) param {
	p := text(name, doc, 64)
	for _, v := range values {
		p.schema.Enum = append(p.schema.Enum, v)
	}
	return p
}

func buckets() []param {
	return append(period(), word("bucket", "How much time one count is of; day if absent", hourly, daily))
}

func top() param {
	lo, hi := 1.0, float64(mostTop)
	return param{name: "top", doc: "How many values of by are told apart, those with the highest counts; all others are counted together", schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &lo, Maximum: &hi, Default: usualTop}}
}

func allDimensions() []string {
	var out []string
	for _, s := range audit.Streams {
		out = append(out, audit.Dimensions[s]...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func dimensionFilters() []param {
	var out []param
	for _, d := range allDimensions() {
		out = append(out, filter(d, audit.Requests))
	}
	return out
}

func streamNames() []string {
	var out []string
	for _, s := range audit.Streams {
		out = append(out, string(s))
	}
	return out
}

// span reads what both counts have in common.
func (c *call) span(q *audit.StatsQuery) (bucket string, err error) {
	most, usual := mostDays, 30*audit.Day
	if bucket, q.Size = daily, audit.Daily; c.query["bucket"] == hourly {
		bucket, q.Size, most, usual = hourly, audit.Hourly, mostHours, audit.Day
	}
	if q.From, q.To, err = c.times(); err != nil {
		return bucket, err
	}
	if q.To.IsZero() {
		q.To = c.now.UTC()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-usual)
	}
	if q.To.Sub(q.From) > most {
		return bucket, badParameter("from", "want at most %d days before to with buckets of this size", most/audit.Day)
	}
	if !q.From.Before(q.To) {
		return bucket, badParameter("from", "want a time before to")
	}
	q.By = c.query["by"]
	return bucket, nil
}

// widened returns the time that whole buckets take.
func widened(q *audit.StatsQuery) (from, to time.Time) {
	from, to = q.From.UTC().Truncate(q.Size), q.To.UTC().Truncate(q.Size)
	if to.Before(q.To) {
		to = to.Add(q.Size)
	}
	return from, to
}

func auditStats(c *call) error {
	if c.Audit == nil {
		return noAudit()
	}
	q := audit.StatsQuery{Stream: audit.Stream(c.query["stream"]), Within: c.withinNode(), Top: usualTop}
	bucket, err := c.span(&q)
	if err != nil {
		return err
	}
	dims := audit.Dimensions[q.Stream]
	if q.By != "" && !slices.Contains(dims, q.By) {
		return badParameter("by", "%s are not counted by %s", q.Stream, q.By)
	}
	for _, d := range allDimensions() {
		v, ok := c.query[d]
		if ok && !slices.Contains(dims, d) {
			return badParameter(d, "%s are not counted by %s", q.Stream, d)
		}
		if ok {
			q.Where = append(q.Where, audit.Match{Field: d, Value: v})
		}
	}
	if q.Stream == audit.Requests && q.Within != "" {
		return badParameter("within", "requests are below nothing")
	}
	if _, ok := c.query["top"]; ok {
		q.Top = c.number("top")
	}
	c.read(c.ref)
	list, err := c.Sink.Stats(c.ctx(), q)
	if err != nil {
		return sinkProblem(err)
	}
	out := AuditStats{Bucket: bucket, By: q.By, Items: bucketsOf(list)}
	out.From, out.To = widened(&q)
	return c.json(http.StatusOK, out)
}

func bucketsOf(list []audit.Bucket) []AuditBucket {
	out := make([]AuditBucket, 0, len(list))
	for _, b := range list {
		out = append(out, AuditBucket{b.Start.UTC(), b.Value, b.Count, Sums{b.Errors, b.Bytes, b.Latency}})
	}
	return out
}

func keyUsage(c *call) error {
	if c.Audit == nil {
		return noAudit()
	}
	q := audit.StatsQuery{Stream: audit.Requests, Where: []audit.Match{{Field: "key", Value: c.ref.ID}}}
	bucket, err := c.span(&q)
	if err != nil {
		return err
	}
	c.read(c.ref)
	list, err := c.Sink.Stats(c.ctx(), q)
	if err != nil {
		return sinkProblem(err)
	}
	out := KeyUsage{Key: c.ref.ID, Bucket: bucket, By: q.By, Items: bucketsOf(list)}
	out.From, out.To = widened(&q)
	for _, b := range list {
		out.Requests += b.Count
		out.Errors += b.Errors
		out.Bytes += b.Bytes
		out.Latency += b.Latency
	}
	out.LastUsedAt = c.lastUsed([]string{c.ref.ID})[c.ref.ID]
	return c.json(http.StatusOK, out)
}

// lastUsed tells when each of the keys was last used: the newer of what the
// sink knows and of what this process has seen. It never fails: while the
// sink is away, what this process has seen has to do.
func (c *call) lastUsed(ids []string) map[string]*time.Time {
	out := make(map[string]*time.Time, len(ids))
	if c.Audit == nil {
		return out
	}
	ctx, cancel := context.WithTimeout(c.ctx(), lastUsedTime)
	defer cancel()
	known, err := c.Sink.LastUsed(ctx, ids)
	if err != nil {
		c.Log.Debug("when keys were last used cannot be read", "request_id", c.id, "error", err)
	}
	for _, id := range ids {
		if t := c.used.of(id, known[id]); !t.IsZero() {
			t = t.UTC().Truncate(time.Millisecond)
			out[id] = &t
		}
	}
	return out
}

// lastUsedTime is how long a list of keys waits for the audit log.
const lastUsedTime = 2 * time.Second

func verifyAudit(c *call) error {
	if c.Audit == nil {
		return noAudit()
	}
	if !c.verifying.TryLock() {
		return unavailable("the audit log is being verified already")
	}
	defer c.verifying.Unlock()
	c.read(graph.Root)
	if err := c.recordNow(); err != nil {
		return err
	}
	o := audit.VerifyOptions{Writer: c.query["writer"]}
	if s, ok := c.query["stream"]; ok {
		o.Streams = []audit.Stream{audit.Stream(s)}
	}
	var known bool
	var err error
	if o.Known, known, err = c.ends(); err != nil {
		return sinkProblem(err)
	}
	if len(o.Streams) > 0 {
		o.Known = slices.DeleteFunc(o.Known, func(k audit.KnownLink) bool { return k.Stream != o.Streams[0] })
	}
	rep, err := audit.Verify(c.ctx(), c.Sink, audit.NewChain(c.Secrets.AuditChain()), o)
	if err != nil {
		return sinkProblem(err)
	}
	out := AuditVerification{Records: rep.Records, Total: rep.Total, EndsKnown: known, Chains: []AuditChain{}, Faults: []AuditFault{}}
	for _, x := range rep.Chains {
		out.Chains = append(out.Chains, AuditChain{string(x.Stream), x.Writer, x.Records, x.First, x.Last, x.Begins, x.Ends, x.Faults})
	}
	for _, f := range rep.Faults {
		out.Faults = append(out.Faults, AuditFault{string(f.Stream), f.Writer, string(f.Kind), f.From, f.To, f.Time, f.Detail})
	}
	return c.json(http.StatusOK, out)
}

// endsTime is how long verifying waits for what is on its way.
const endsTime = 5 * time.Second

// ends returns the last links of this process's chains, and those that the graph remembers; false if they are not
// known to be in the sink. It fails if the sink is away.
func (c *call) ends() ([]audit.KnownLink, bool, error) {
	ctx, cancel := context.WithTimeout(c.ctx(), endsTime)
	defer cancel()
	if _, err := c.Sink.Writers(ctx, audit.Events); err != nil {
		return nil, false, err
	}
	var out []audit.KnownLink
	add := func(heads map[audit.Stream]audit.Link) {
		for s, l := range heads {
			out = append(out, audit.KnownLink{Stream: s, Link: l})
		}
	}
	if c.Changes != nil {
		add(c.Changes.Heads())
	}
	known := true
	if c.Anchors != nil {
		kept, err := c.Anchors.Kept(ctx)
		out, known = append(out, kept...), err == nil
	}
	heads := c.Audit.Heads()
	if c.Audit.Flush(ctx) != nil {
		return out, false, nil
	}
	add(heads)
	return out, known, nil
}
