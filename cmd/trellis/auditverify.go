package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// verification is what the API says of the log's chains.
type verification struct {
	Records int64 `json:"records"`
	Chains  []struct {
		Stream  string    `json:"stream"`
		Writer  string    `json:"writer"`
		Records int64     `json:"records"`
		First   uint64    `json:"first"`
		Last    uint64    `json:"last"`
		Begins  time.Time `json:"begins"`
		Ends    time.Time `json:"ends"`
		Faults  int64     `json:"faults"`
	} `json:"chains"`
	Faults []struct {
		Stream string    `json:"stream"`
		Writer string    `json:"writer"`
		Kind   string    `json:"kind"`
		From   uint64    `json:"from"`
		To     uint64    `json:"to"`
		Time   time.Time `json:"time"`
		Detail string    `json:"detail"`
	} `json:"faults"`
	Total     int64 `json:"total"`
	EndsKnown bool  `json:"ends_known"`
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var stream, writer string
	c := &cobra.Command{
		Use: "verify", Short: "Find out whether the audit log was tampered with", Args: cobra.NoArgs,
		Long: `Read every record of the audit log and tell which were removed, changed, moved
or doubled since they were written, and of which pages by actor or node show
something else (misfiled). A chain of records that does not begin with
number 1 has lost its oldest: to the retention, or to somebody; that it does
not tell. The exit code is 0 if the log is intact, 1 if it is not and 2 if it
could not be read. It needs audit:read on the root.`,
		Example: "  trellis audit verify\n  trellis audit verify --stream events --json",
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, v := range map[string]string{"stream": stream, "writer": writer} {
				if v != "" {
					q.Set(name, v)
				}
			}
			return a.auditVerify(c.Context(), q)
		},
	}
	c.Flags().StringVar(&stream, "stream", "", "look at this stream only")
	c.Flags().StringVar(&writer, "writer", "", "look at the chains of this writer only")
	return a.jsonFlag(c)
}

func (a *app) auditVerify(ctx context.Context, q url.Values) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	body, err := cl.Open(ctx, "/api/v1/audit/verification", q, "application/json")
	if err != nil {
		return err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	var v verification
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	if a.json {
		_, err = fmt.Fprintf(a.stdout, "%s\n", strings.TrimSpace(string(b)))
	} else {
		err = a.printVerification(&v)
	}
	if err == nil && v.Total > 0 {
		err = errDenied
	}
	return err
}

func (a *app) printVerification(v *verification) error {
	var rows [][]string
	for _, c := range v.Chains {
		state := "intact"
		if c.Faults > 0 {
			state = plural(c.Faults, "fault")
		}
		rows = append(rows, []string{c.Stream, c.Writer, strconv.FormatInt(c.Records, 10), span(c.First, c.Last), state})
	}
	if len(rows) > 0 {
		if err := a.table([]string{"STREAM", "WRITER", "RECORDS", "NUMBERS", "STATE"}, rows); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout)
	}
	if !v.EndsKnown {
		fmt.Fprintln(a.stdout, "Records are on their way: whether the newest of this server's are there was not looked at.")
	}
	if v.Total == 0 {
		_, err := fmt.Fprintf(a.stdout, "intact: %s in %s\n", plural(v.Records, "record"), plural(int64(len(v.Chains)), "chain"))
		return err
	}
	fmt.Fprintf(a.stdout, "%s in %s:\n", plural(v.Total, "fault"), plural(v.Records, "record"))
	rows = nil
	for _, f := range v.Faults {
		at := ""
		if !f.Time.IsZero() {
			at = f.Time.UTC().Format(time.RFC3339)
		}
		number := span(f.From, f.To)
		if f.Kind == "moved" { // To is where it came from, which the detail says
			number = strconv.FormatUint(f.From, 10)
		}
		rows = append(rows, []string{f.Stream, f.Writer, number, f.Kind, at, f.Detail})
	}
	if err := a.table([]string{"STREAM", "WRITER", "NUMBER", "FAULT", "TIME", "DETAIL"}, rows); err != nil {
		return err
	}
	if more := v.Total - int64(len(v.Faults)); more > 0 {
		fmt.Fprintf(a.stdout, "… and %d more\n", more)
	}
	return nil
}

func span(first, last uint64) string {
	if first == last {
		return strconv.FormatUint(first, 10)
	}
	return fmt.Sprintf("%d-%d", first, last)
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (a *app) auditStatsCommand() *cobra.Command {
	var stream, by, bucket, since, within string
	var top int
	c := &cobra.Command{
		Use: "stats", Short: "Count records of the audit log by time", Args: cobra.NoArgs,
		Long: `Count records by the hour or the day, in UTC. Events are counted by action,
outcome or actor, decisions by permission, answer or actor, requests by route,
status, key or actor; without --by, all together.`,
		Example: "  trellis audit stats --by action --since 30d\n  trellis audit stats --stream requests --by route --bucket hour --since 24h --top 5",
		RunE: func(c *cobra.Command, _ []string) error {
			if !slices.Contains(auditStreams, stream) {
				return fmt.Errorf("--stream is %q: want one of %s", stream, strings.Join(auditStreams, ", "))
			}
			d, err := parseSince(since)
			if err != nil {
				return err
			}
			now := time.Now()
			q := url.Values{"stream": {stream}, "bucket": {bucket}, "from": {formatTime(now.Add(-d))}, "to": {formatTime(now)}}
			for name, v := range map[string]string{"by": by, "within": within} {
				if v != "" {
					q.Set(name, v)
				}
			}
			if top > 0 {
				q.Set("top", strconv.Itoa(top))
			}
			return a.auditStats(c.Context(), stream, by, bucket, q)
		},
	}
	f := c.Flags()
	f.StringVar(&stream, "stream", "events", "what to count: "+strings.Join(auditStreams, ", "))
	f.StringVar(&by, "by", "", "a line for each value of this field")
	f.StringVar(&bucket, "bucket", "day", "hour or day")
	f.StringVar(&since, "since", "7d", "not before this long ago, such as 24h or 30d")
	f.StringVar(&within, "within", "", "count what is at or below this node")
	f.IntVar(&top, "top", 0, "only the values that are most frequent; the others are counted together")
	return a.jsonFlag(c)
}

func (a *app) auditStats(ctx context.Context, stream, by, bucket string, q url.Values) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	var raw json.RawMessage
	if err := cl.Get(ctx, "/api/v1/audit/stats", q, &raw); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(raw)
	}
	var out struct {
		Items []struct {
			Start   time.Time `json:"start"`
			Value   string    `json:"value"`
			Count   int64     `json:"count"`
			Errors  int64     `json:"errors"`
			Latency int64     `json:"latency"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	if len(out.Items) == 0 {
		_, err := fmt.Fprintln(a.stdout, "none")
		return err
	}
	layout := time.DateOnly
	if bucket == "hour" {
		layout = "2006-01-02T15:04Z"
	}
	head := []string{"START"}
	if by != "" {
		head = append(head, strings.ToUpper(by))
	}
	head = append(head, "COUNT")
	if stream == "requests" {
		head = append(head, "ERRORS", "MEAN MS")
	}
	var rows [][]string
	for _, b := range out.Items {
		row := []string{b.Start.UTC().Format(layout)}
		if by != "" {
			value := printable(b.Value)
			if value == "" {
				value = "-"
			}
			row = append(row, value)
		}
		row = append(row, strconv.FormatInt(b.Count, 10))
		if stream == "requests" {
			mean := float64(b.Latency) / 1000 / float64(max(b.Count, 1))
			row = append(row, strconv.FormatInt(b.Errors, 10), strconv.FormatFloat(mean, 'f', 1, 64))
		}
		rows = append(rows, row)
	}
	return a.table(head, rows)
}
