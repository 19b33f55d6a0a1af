package clickhouseaudit

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
)

// rollup tells where the counts of a stream are, and how they are made from
// the records themselves. Sums are count, errors, bytes and latency.
type rollup struct {
	table  string
	scoped bool
	sums   string
	raw    string
}

var rollups = map[audit.Stream]rollup{
	audit.Events:    {"event_counts", true, "sum(c.count), toInt64(0), toInt64(0), toInt64(0)", "toInt64(count()), toInt64(0), toInt64(0), toInt64(0)"},
	audit.Decisions: {"decision_counts", true, "sum(c.count), toInt64(0), toInt64(0), toInt64(0)", "sum(c.weight), toInt64(0), toInt64(0), toInt64(0)"},
	audit.Requests:  {"request_counts", false, "sum(c.count), sum(c.errors), sum(c.bytes_out), sum(c.latency)", ""},
}

// scoped tells whether what is within the node is counted by the views.
func scoped(within string) bool { return within == "" || strings.HasPrefix(within, "organization:") }

// Stats implements audit.Reader. What is within a node that is no organization
// is counted from the records, so only for as long as there are any.
func (s *Sink) Stats(ctx context.Context, q audit.StatsQuery) ([]audit.Bucket, error) {
	done, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := q.Validate(); err != nil {
		return nil, err
	}
	query, args, err := statistics(q)
	if err != nil {
		return nil, err
	}
	var all []audit.Bucket
	err = s.read(ctx, query, args, func(scan scanner) error {
		var b audit.Bucket
		var start uint32
		err := scan(&start, &b.Value, &b.Count, &b.Errors, &b.Bytes, &b.Latency)
		b.Start = time.Unix(int64(start), 0).UTC()
		all = append(all, b)
		return err
	})
	if err != nil {
		return nil, s.fault(ctx, "counting records", err)
	}
	if q.Top > 0 && q.By != "" && !scoped(q.Within) {
		all = top(all, q.Top)
	}
	return all, nil
}

// top leaves the values with the highest counts and puts the rest together: for
// what is counted from the records, which are not to be read a second time.
func top(all []audit.Bucket, n int) []audit.Bucket {
	totals := map[string]int64{}
	for _, b := range all {
		totals[b.Value] += b.Count
	}
	values := slices.SortedFunc(maps.Keys(totals), func(a, b string) int {
		return cmp.Or(cmp.Compare(totals[b], totals[a]), cmp.Compare(a, b))
	})
	if len(values) <= n {
		return all
	}
	stays := map[string]bool{}
	for _, v := range values[:n] {
		stays[v] = true
	}
	var out []audit.Bucket
	rest := -1 // where in out the rest of the present hour or day is
	for _, b := range all {
		if !stays[b.Value] {
			b.Value = ""
		}
		switch {
		case b.Value == "" && rest >= 0 && out[rest].Start.Equal(b.Start):
			out[rest].Count += b.Count
		case b.Value == "":
			rest = len(out)
			fallthrough
		default:
			out = append(out, b)
		}
	}
	slices.SortStableFunc(out, func(a, b audit.Bucket) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Value, b.Value))
	})
	return out
}

// statistics writes the question as SQL.
func statistics(q audit.StatsQuery) (string, []any, error) {
	r, size := rollups[q.Stream], "hourly"
	if q.Size == audit.Daily {
		size = "daily"
	}
	list, args, err := conditions(q.Stream, q.Where)
	if err != nil {
		return "", nil, err
	}
	from, to := q.From.Truncate(q.Size).Unix(), q.To.Add(q.Size-1).Truncate(q.Size).Unix()
	args = append(args, clickhouse.Named("from", min(max(0, from), lastMilli/1000)), clickhouse.Named("to", min(max(0, to), lastMilli/1000)))
	table, start, sums := r.table+"_"+size, "start", r.sums
	bounds := []string{"start >= toDateTime({from:Int64}, 'UTC')", "start < toDateTime({to:Int64}, 'UTC')"}
	switch {
	case !scoped(q.Within):
		table, start, sums = tables[q.Stream], "toStartOfHour(time)", r.raw
		if q.Size == audit.Daily {
			start = "toDateTime(toStartOfDay(time), 'UTC')"
		}
		bounds = []string{"time >= toDateTime64({from:Int64}, 3, 'UTC')", "time < toDateTime64({to:Int64}, 3, 'UTC')", "has(within, {within:String})"}
		if q.Stream == audit.Events {
			bounds = append(bounds, "toStartOfHour(time) IN (SELECT hour FROM event_hours WHERE term IN (concat('node=', {within:String}), concat('within=', {within:String}))"+
				" AND hour >= toDateTime({from:Int64}, 'UTC') AND hour < toDateTime({to:Int64}, 'UTC'))")
		}
	case r.scoped:
		bounds = append(bounds, "scope = {within:String}")
	}
	if !scoped(q.Within) || r.scoped {
		args = append(args, clickhouse.Named("within", q.Within))
	}
	source := " FROM " + table + " AS c WHERE " + strings.Join(append(bounds, list...), " AND ")
	value := "''"
	if q.By != "" {
		value = "toString(c." + q.By + ")"
		if q.Top > 0 && scoped(q.Within) {
			sum, _, _ := strings.Cut(sums, ",")
			value = "if(" + value + " IN (SELECT " + value + " AS v" + source + " GROUP BY v ORDER BY " + sum + " DESC, v LIMIT {top:UInt64}), " + value + ", '')"
			args = append(args, clickhouse.Named("top", uint64(q.Top)))
		}
	}
	return "SELECT toUInt32(" + start + ") AS bucket, " + value + " AS value, " + sums + source + " GROUP BY bucket, value ORDER BY bucket, value", args, nil
}
