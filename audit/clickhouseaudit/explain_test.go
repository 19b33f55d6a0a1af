package clickhouseaudit_test

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
	"trellis/audit/clickhouseaudit"
)

var granules = regexp.MustCompile(`Granules: (\d+)/(\d+)`)

// explained returns how many granules of events the statements behind a query
// may read, by EXPLAIN indexes = 1, and how many there are.
func (c *company) explained(t *testing.T, rec *clickhouseaudit.Recorder, q audit.Query) (read, of, found int) {
	t.Helper()
	rec.Asked = nil
	if err := c.sink.Find(t.Context(), q, func(audit.Record) error {
		found++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// EXPLAIN does not run what the server would otherwise put off until it reads.
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"use_skip_indexes_on_data_read": 0, "use_query_condition_cache": 0}))
	for _, asked := range rec.Asked {
		if !strings.Contains(asked.Text, "FROM audit_events WHERE") && !strings.Contains(asked.Text, "FROM event_parties WHERE") {
			continue
		}
		plan := c.explain(ctx, t, rec, asked)
		if strings.Contains(asked.Text, "event_parties") && !strings.Contains(plan, "Read type: InReverseOrder") {
			t.Errorf("not read from the end:\n%s", plan)
		}
		steps := granules.FindAllStringSubmatch(plan, -1)
		if len(steps) == 0 {
			t.Fatalf("no index is used:\n%s", plan)
		}
		number := func(s string) int {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		read += number(steps[len(steps)-1][1])
		of = max(of, number(steps[0][2]))
	}
	return read, of, found
}

func (c *company) explain(ctx context.Context, t *testing.T, rec *clickhouseaudit.Recorder, asked clickhouseaudit.Question) string {
	t.Helper()
	rows, err := rec.Conn.Query(ctx, "EXPLAIN indexes = 1 "+asked.Text, asked.Args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

func TestPagesReadFewGranules(t *testing.T) {
	const rows = 1_000_000
	c := newCompany(t, rows, false)
	rec := c.sink.Record()
	later := func(q audit.Query) audit.Query {
		q.From, q.To = worldEnd.Add(-200*audit.Day), worldEnd.Add(-199*audit.Day)
		return q
	}
	for _, tc := range []struct {
		name string
		q    audit.Query
		most int // granules
	}{
		// The most are all that there are of one; they are read from the end.
		{"a busy actor", page(match("actor", "user:1")), 160},
		{"a rare actor", page(match("actor", "user:15001")), 40},
		{"all of a rare actor", audit.Query{Stream: audit.Events, Where: []audit.Match{match("actor", "user:15001")}}, 40},
		{"about a busy node", page(match(audit.About, "repo:1")), 130},
		{"about a rare node", page(match(audit.About, "repo:150000")), 20},
		{"about a user", page(match(audit.About, "user:77")), 80},
		{"within a large organization", page(match("within", "organization:1")), 80},
		{"within a small organization", page(match("within", "organization:49")), 80},
		{"within a team", page(match("within", "team:3001")), 80},
		{"a rare actor within an organization", page(match("within", "organization:2"), match("actor", "user:15001")), 40},
		{"a day", later(page()), 6},
		{"all of a day", later(audit.Query{Stream: audit.Events}), 6},
		{"refusals of an actor on a day", later(page(match("actor", "user:3"), match("outcome", "denied"))), 6},
		{"the newest", page(), 110},
		{"a request", page(match("request_id", c.one(t, "SELECT request_id FROM audit_events WHERE writer = 'web-1' AND seq = 1000"))), 60},
	} {
		read, of, found := c.explained(t, rec, tc.q)
		t.Logf("%-40s %3d of %d granules for %d records", tc.name, read, of, found)
		if read > tc.most || found > 0 && read == 0 {
			t.Errorf("%s reads %d granules, want at most %d", tc.name, read, tc.most)
		}
		if of < rows/520 {
			t.Errorf("%d granules in all", of)
		}
	}
}
