package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trellis/audit"
	"trellis/cmd/trellis/client"
)

func (a *app) auditCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "audit", Short: "Read the audit log: who did what, who was refused, what a key did", Args: cobra.NoArgs,
		Long: `Read the audit log of a server. It has these streams: events (changes, and
what was refused), decisions (permission questions and their answers), requests
(every request to the API), mails, factors (uses of second factors) and limits
(rate limits that were reached).

Reading needs audit:read on the node that --within names, the root if it names
none. Reading is itself recorded.`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.auditTailCommand(), a.auditQueryCommand(), a.auditExportCommand(), a.auditVerifyCommand(), a.auditStatsCommand())
	return c
}

// auditStreams are what can be read.
var auditStreams = func() (names []string) {
	for _, s := range audit.Streams {
		names = append(names, string(s))
	}
	return names
}()

// auditFilter chooses records, by flags.
type auditFilter struct {
	stream          string
	values          map[string]*string // by the name of the parameter
	from, to, since string
	where           []string
}

// auditFlags are the filters that have a flag of their own. Which of them a
// stream has is the server's to say.
var auditFlags = []struct{ name, doc string }{
	{"actor", "what this principal did, as type:id"},
	{"key", "what was done with the API key of this id"},
	{"about", "what is about this node"},
	{"within", "what is at or below this node"},
	{"action", "events of this action, such as grant:delete"},
	{"outcome", "events with this outcome: success, denied or failure"},
}

func (f *auditFilter) add(c *cobra.Command, ranges bool) {
	f.values = map[string]*string{}
	flags := c.Flags()
	flags.StringVar(&f.stream, "stream", "events", "what to read: "+strings.Join(auditStreams, ", "))
	for _, v := range auditFlags {
		f.values[v.name] = flags.String(v.name, "", v.doc)
	}
	flags.StringArrayVar(&f.where, "where", nil, "FIELD=VALUE, a filter on another field; may be repeated")
	if !ranges {
		return
	}
	flags.StringVar(&f.from, "from", "", "not before this time, such as 2026-05-01 or 2026-05-01T10:00:00Z")
	flags.StringVar(&f.to, "to", "", "before this time")
	flags.StringVar(&f.since, "since", "", "not before this long ago, such as 90m, 24h or 30d")
	c.MarkFlagsMutuallyExclusive("from", "since")
}

// query returns the parameters of the question.
func (f *auditFilter) query(now time.Time) (url.Values, error) {
	if !slices.Contains(auditStreams, f.stream) {
		return nil, fmt.Errorf("--stream is %q: want one of %s", f.stream, strings.Join(auditStreams, ", "))
	}
	q := url.Values{}
	for name, v := range f.values {
		if *v != "" {
			q.Set(name, *v)
		}
	}
	for _, w := range f.where {
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--where is %q: want FIELD=VALUE", w)
		}
		if q.Has(name) {
			return nil, fmt.Errorf("%s is given twice", name)
		}
		q.Set(name, value)
	}
	if f.since != "" {
		d, err := parseSince(f.since)
		if err != nil {
			return nil, err
		}
		q.Set("from", formatTime(now.Add(-d)))
	}
	for name, text := range map[string]string{"from": f.from, "to": f.to} {
		if text == "" {
			continue
		}
		t, err := parseTime(text)
		if err != nil {
			return nil, fmt.Errorf("--%s is %q: %w", name, text, err)
		}
		q.Set(name, formatTime(t))
	}
	return q, nil
}

func (f *auditFilter) path() string { return "/api/v1/audit/" + f.stream }

func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// parseTime reads a time; one without a zone is UTC.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("want a time such as 2026-05-01 or 2026-05-01T10:00:00Z")
}

// parseSince reads a duration, in days too.
func parseSince(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.Atoi(n); err == nil && days > 0 && days <= 36_500 {
			return time.Duration(days) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q is no length of time: want one such as 90m, 24h or 30d", s)
}

// auditRecord is a record of any stream as far as tables show it.
type auditRecord struct {
	Time      time.Time `json:"time"`
	Writer    string    `json:"writer"`
	Seq       uint64    `json:"seq"`
	Actor     string    `json:"actor"`
	RequestID string    `json:"request_id"`

	Action  string `json:"action"`
	Node    string `json:"node"`
	Other   string `json:"other"`
	Outcome string `json:"outcome"`

	Subject    string `json:"subject"`
	Permission string `json:"permission"`
	Resource   string `json:"resource"`
	Answer     string `json:"answer"`

	Method  string          `json:"method"`
	Route   string          `json:"route"`
	Status  json.RawMessage `json:"status"` // a number, or a word
	Latency int64           `json:"latency"`

	Domain     string `json:"domain"`
	Template   string `json:"template"`
	Kind       string `json:"kind"`
	Address    string `json:"address"`
	Identifier string `json:"identifier"`
	Rule       string `json:"rule"`
	Blocked    int64  `json:"blocked"`

	raw json.RawMessage
}

func (r *auditRecord) UnmarshalJSON(b []byte) error {
	type plain auditRecord // without this method
	if err := json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	r.raw = slices.Clone(b)
	return nil
}

// auditTables are what tables show of a stream, besides the time, and how wide
// the columns may become; 0 is for what names a node, and takes what the
// others leave.
var auditTables = map[string]struct {
	heads []string
	most  []int
	cells func(*auditRecord) []string
}{
	"events": {[]string{"TIME", "ACTOR", "ACTION", "NODE", "OUTCOME"}, []int{20, 21, 18, 0, 7}, func(r *auditRecord) []string {
		node := r.Node
		if r.Other != "" {
			node += ", " + r.Other
		}
		return []string{r.Actor, r.Action, node, r.Outcome}
	}},
	"decisions": {[]string{"TIME", "SUBJECT", "PERMISSION", "RESOURCE", "ANSWER"}, []int{20, 24, 18, 0, 7}, func(r *auditRecord) []string {
		return []string{r.Subject, r.Permission, r.Resource, r.Answer}
	}},
	"requests": {[]string{"TIME", "ACTOR", "REQUEST", "MS", "STATUS"}, []int{20, 24, 0, 7, 6}, func(r *auditRecord) []string {
		return []string{r.Actor, r.Method + " " + r.Route, strconv.FormatFloat(float64(r.Latency)/1000, 'f', 1, 64), string(r.Status)}
	}},
	"mails": {[]string{"TIME", "DOMAIN", "TEMPLATE", "NODE", "STATUS"}, []int{20, 24, 18, 0, 7}, func(r *auditRecord) []string {
		return []string{r.Domain, r.Template, r.Node, strings.Trim(string(r.Status), `"`)}
	}},
	"factors": {[]string{"TIME", "SUBJECT", "KIND", "ADDRESS", "OUTCOME"}, []int{20, 26, 11, 0, 7}, func(r *auditRecord) []string {
		return []string{r.Subject, r.Kind, r.Address, r.Outcome}
	}},
	"limits": {[]string{"TIME", "IDENTIFIER", "RULE", "ROUTE", "BLOCKED"}, []int{20, 24, 14, 0, 7}, func(r *auditRecord) []string {
		return []string{r.Identifier, r.Rule, r.Route, strconv.FormatInt(r.Blocked, 10)}
	}},
}

func (a *app) auditQueryCommand() *cobra.Command {
	var f auditFilter
	var limit int
	var wide bool
	c := &cobra.Command{
		Use: "query", Short: "Find records of the audit log", Args: cobra.NoArgs,
		Long: `Print the records that all filters find, newest first. Times are in UTC. A
table has at most 100 columns, and long names are cut in the middle, unless
--wide is given; with --json every record is whole, one JSON object a line.`,
		Example: `  trellis audit query --actor user:ann --since 30d
  trellis audit query --about role:repo-write --since 90d
  trellis audit query --stream decisions --within organization:etcd-io --where answer=denied`,
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			if limit < 0 {
				return fmt.Errorf("--limit is %d: want 0, for all, or more", limit)
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			p := a.auditPrinter(f.stream, wide)
			err = auditRecords(c.Context(), cl, f.path(), q, limit, func(page []auditRecord) error { return p.print(page) })
			if err == nil {
				err = p.end()
			}
			return err
		},
	}
	f.add(c, true)
	c.Flags().IntVar(&limit, "limit", 100, "how many records at most; 0 is all")
	c.Flags().BoolVar(&wide, "wide", false, "do not cut names to fit 100 columns")
	return a.jsonFlag(c)
}

// auditPage is how many records are asked for at once.
const auditPage = 1000

// auditRecords calls each with page after page of records, newest first, until
// there were limit of them; 0 is all.
func auditRecords(ctx context.Context, cl *client.Client, path string, query url.Values, limit int, each func([]auditRecord) error) error {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	for left := limit; ; {
		size := auditPage
		if limit > 0 {
			size = min(size, left)
		}
		q.Set("limit", strconv.Itoa(size))
		var page struct {
			Items      []auditRecord `json:"items"`
			NextCursor string        `json:"next_cursor"`
		}
		if err := cl.Get(ctx, path, q, &page); err != nil {
			return err
		}
		if err := each(page.Items); err != nil {
			return err
		}
		left -= len(page.Items)
		switch page.NextCursor {
		case "":
			return nil
		case q.Get("cursor"):
			return fmt.Errorf("the list %s repeats its cursor", path)
		}
		if limit > 0 && left <= 0 {
			return nil
		}
		q.Set("cursor", page.NextCursor)
	}
}
