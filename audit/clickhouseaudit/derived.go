package clickhouseaudit

import (
	"slices"
	"strings"
	"time"

	"trellis/audit"
)

// derived is a table that a view fills from the records r of a stream. The schema has the
// same words; a test compares what they come to.
type derived struct {
	table   string
	stream  audit.Stream
	columns []column
	where   []string
	// sums are the columns that are added up by the others, for each hour or day, as size
	// says. A table without sums may get a row twice: it counts once.
	sums []column
	size time.Duration
}

// column is one of a derived table, and what it is made from.
type column struct{ name, from string }

// same are columns taken over as they are.
func same(names ...string) (all []column) {
	for _, n := range names {
		all = append(all, column{n, "r." + n})
	}
	return all
}

// What an event is filed under: the terms of event_parties and of event_hours, and
// the scopes of counts.
const (
	parties = "arrayDistinct(arrayFilter(pair -> NOT endsWith(pair, '='), [concat('actor=', actor), concat('about=', node), concat('about=', other)]))"
	hours   = "arrayConcat(arrayFilter(pair -> NOT endsWith(pair, '='), [concat('actor=', actor), concat('key=', key), concat('node=', node), concat('other=', other)])," +
		" arrayMap(above -> concat('within=', above), arrayFilter(above -> above != node AND above != '', within)))"
	scopes = "arrayConcat([''], arrayDistinct(arrayFilter(node -> startsWith(node, 'organization:'), within)))"
)

var derivedTables = append([]derived{
	{table: eventHours, stream: audit.Events, columns: []column{{"term", "arrayJoin(" + hours + ")"}, {"hour", "toStartOfHour(r.time)"}}},
	{table: eventParties, stream: audit.Events, columns: slices.Concat([]column{{"term", "arrayJoin(" + parties + ")"}},
		same("time", "writer", "seq", "hash"), same(kindsOf(audit.Events).names...)),
		where: []string{"(r.time, r.writer, r.seq) NOT IN (SELECT r.time, r.writer, r.seq FROM " + eventParties + " AS r WHERE " + between + ")"}},
	{table: "key_last_used", stream: audit.Requests, columns: same("key", "time"), where: []string{"r.key != ''"}},
}, append(counts("_hourly", audit.Hourly, "toStartOfHour(r.time)"), counts("_daily", audit.Daily, "toDateTime(toStartOfDay(r.time), 'UTC')")...)...)

func counts(suffix string, size time.Duration, start string) []derived {
	head := slices.Concat([]column{{"start", start}}, same("writer"))
	scope := []column{{"scope", "arrayJoin(" + scopes + ")"}}
	return []derived{
		{table: rollups[audit.Events].table + suffix, stream: audit.Events, size: size,
			columns: slices.Concat(head, scope, same("action", "outcome", "actor")), sums: []column{{"count", "1"}}},
		{table: rollups[audit.Decisions].table + suffix, stream: audit.Decisions, size: size,
			columns: slices.Concat(head, scope, same("permission", "answer", "actor")), sums: []column{{"count", "r.weight"}}},
		{table: rollups[audit.Requests].table + suffix, stream: audit.Requests, size: size,
			columns: slices.Concat(head, same("route", "status", "key", "actor")),
			sums:    slices.Concat([]column{{"count", "1"}, {"errors", "r.status >= 400"}}, same("bytes_out", "latency"))},
	}
}

// settlement is the statement that makes the table what it has to be, as far as records
// between bounds have a part in it.
//
// Rows that may come again are made again. Counts are compared with the writer's records of the
// same hours or days, and the difference is added: nobody else counts for this writer meanwhile. Left alone are hours
// and days of which records may be gone, and those in which a version counted that did not tell writers apart.
func (d derived) settlement() string {
	columns := join(d.columns, ", ", column.title)
	made := "SELECT " + join(slices.Concat(d.columns, d.sums), ", ", func(c column) string { return c.from + " AS " + c.name }) + " FROM " + tables[d.stream] + " AS r WHERE "
	if d.sums == nil {
		return "INSERT INTO " + d.table + " (" + columns + ") " + made + strings.Join(append(d.where, between), " AND ")
	}
	there := " FROM " + d.table + " AS r WHERE has({starts:Array(Int64)}, toInt64(r.start)) AND r.writer = "
	return "INSERT INTO " + d.table + " (" + columns + ", " + join(d.sums, ", ", column.title) + ")" +
		" SELECT " + columns + ", " + join(d.sums, ", ", func(c column) string { return "sum(d." + c.name + ")" }) +
		" FROM (" + made + "r.writer = {writer:String} AND has({starts:Array(Int64)}, toInt64(start))" +
		" AND r.time >= toDateTime64({from:Int64}, 3, 'UTC') AND r.time < toDateTime64({to:Int64}, 3, 'UTC')" +
		" UNION ALL SELECT " + columns + ", " + join(d.sums, ", ", func(c column) string { return "-r." + c.name }) + there + "{writer:String}" +
		") AS d WHERE d.start NOT IN (SELECT r.start" + there + "'')" +
		" GROUP BY " + columns + " HAVING " + join(d.sums, " OR ", func(c column) string { return "sum(d." + c.name + ") != 0" })
}

func (c column) title() string { return c.name }

func join(list []column, sep string, text func(column) string) string {
	var all []string
	for _, c := range list {
		all = append(all, text(c))
	}
	return strings.Join(all, sep)
}
