package clickhouseaudit_test

import (
	"fmt"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/clickhouseaudit"
)

// company is a table of events over two years, made within ClickHouse: 20,000
// actors and 200,000 nodes, each occurring in inverse proportion to its
// number, of 50 organizations.
type company struct {
	*database
	sink  *clickhouseaudit.Sink
	rows  int
	begin time.Time
}

// worldEnd is the time of the last event, and worldSpan how long before it the first is.
var worldEnd = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const worldSpan = 730 * audit.Day

// newCompany makes it. Counts take more than half of the time, so they are
// left out unless wanted.
func newCompany(t testing.TB, rows int, counts bool) *company {
	t.Helper()
	c := &company{database: newDatabase(t), rows: rows, begin: worldEnd.Add(-worldSpan)}
	c.sink = c.open(t, clickhouseaudit.Options{})
	if _, err := c.sink.Sweep(t.Context(), worldEnd); err != nil {
		t.Fatal(err)
	}
	if !counts {
		c.ask(t, "DROP TABLE event_counts_hourly_view")
		c.ask(t, "DROP TABLE event_counts_daily_view")
	}
	const most = 1_000_000 // in one insert
	for from := 0; from < rows; from += most {
		c.ask(t, fmt.Sprintf(`INSERT INTO audit_events SETTINGS optimize_on_insert = 0
WITH
    toUInt64(least(20000, floor(pow(20001, (cityHash64(number, 1) %% 1000003) / 1000003)))) AS a,
    toUInt64(least(200000, floor(pow(200001, (cityHash64(number, 2) %% 1000003) / 1000003)))) AS n,
    toUInt64(least(50, floor(pow(51, (cityHash64(n, 3) %% 1000003) / 1000003)))) AS o,
    cityHash64(number, 4) AS r
SELECT
    fromUnixTimestamp64Milli(toInt64(%d + number * %d), 'UTC'), ['changes_1', 'web-1', 'web-2'][number %% 3 + 1], intDiv(number, 3) + 1, MD5(toString(number)),
    concat('user:', toString(a)), if(r %% 4 = 0, concat('key-', toString(a %% 3000)), ''),
    ['repo:update', 'repo:create', 'grant:create', 'grant:delete', 'user:update', 'team:update', 'repo:read', 'project:update'][r %% 8 + 1],
    ['success', 'success', 'success', 'success', 'success', 'success', 'success', 'denied', 'success', 'failure'][r %% 10 + 1],
    concat('repo:', toString(n)), if(r %% 5 = 0, concat('user:', toString(intDiv(r, 5) %% 20000)), ''),
    [concat('repo:', toString(n)), concat('team:', toString(n %% 4000)), concat('organization:', toString(o))],
    if(r %% 3 = 0, concat('{"description":"', hex(r), '","visibility":"private"}'), ''), concat('{"description":"', hex(cityHash64(number, 5)), '","visibility":"public"}'),
    if(r %% 10 = 7, 'lacks the permission', ''), hex(MD5(toString(cityHash64(number, 6)))), concat('10.', toString(r %% 256), '.', toString(intDiv(r, 256) %% 256), '.7'),
    ['curl/8.5.0', 'trellis/0.3 (linux; amd64)', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36'][r %% 3 + 1], number + 1
FROM numbers(%d, %d)`, c.begin.UnixMilli(), worldSpan.Milliseconds()/int64(rows), from, min(most, rows-from)))
	}
	return c
}

// page asks for a page of 50, newest first.
func page(where ...audit.Match) audit.Query {
	return audit.Query{Stream: audit.Events, Where: where, Limit: 50}
}

func match(field, value string) audit.Match { return audit.Match{Field: field, Value: value} }
