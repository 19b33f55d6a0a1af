package clickhouseaudit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
)

// rests are the pauses between looking for what is misfiled and looking again: rows
// of an insert appear in one table before they do in the other, on a busy server long before.
var rests = [...]time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}

// Misfiled implements audit.Reader: it compares event_parties with what its view makes
// of audit_events, by sums of keyed hashes for each month, and only where these
// differ row by row. The key is a new one each time, so that nobody can prepare
// rows that come to the same sum.
func (s *Sink) Misfiled(ctx context.Context, stream audit.Stream, limit int, yield func(audit.Head) error) error {
	done, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !slices.Contains(audit.Streams, stream) {
		return fmt.Errorf("%w: there is no stream %q", audit.ErrRefused, stream)
	}
	if stream != audit.Events {
		return nil
	}
	c := comparison{sink: s, args: []any{clickhouse.Named("k0", rand.Uint64()), clickhouse.Named("k1", rand.Uint64())}}
	if keep := s.opts.Retention[stream]; keep > 0 {
		c.from = s.opts.Now().Add(-keep).UnixMilli()
	}
	list, err := c.differing(ctx, limit)
	if err != nil {
		return s.fault(ctx, "comparing events", err)
	}
	for _, h := range list {
		if err := yield(h); err != nil {
			return err
		}
	}
	return nil
}

// comparison is one Misfiled under way.
type comparison struct {
	sink *Sink
	from int64 // in milliseconds: what is older may be gone from one table already
	args []any
}

// months lists the months that there are events of.
func (c *comparison) months(ctx context.Context) (all []uint32, err error) {
	months := func(table string) string {
		return "SELECT DISTINCT toYYYYMM(time) AS month FROM " + table + " WHERE time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')"
	}
	err = c.sink.read(ctx, "SELECT DISTINCT month FROM ("+months(tables[audit.Events])+" UNION ALL "+months(eventParties)+") ORDER BY month",
		[]any{clickhouse.Named("from", c.from)}, func(scan scanner) error {
			var m uint32
			err := scan(&m)
			all = append(all, m)
			return err
		})
	return all, err
}

// differing returns the places of events that the tables differ about each time
// they are looked at.
func (c *comparison) differing(ctx context.Context, limit int) ([]audit.Head, error) {
	months, err := c.months(ctx)
	if err != nil {
		return nil, err
	}
	list, months, err := c.look(ctx, months, limit)
	for _, rest := range c.sink.rests {
		if err != nil || len(list) == 0 {
			return nil, err
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		before := map[audit.Position]bool{}
		for _, h := range list {
			before[placeOf(h)] = true
		}
		list, months, err = c.look(ctx, months, limit)
		list = slices.DeleteFunc(list, func(h audit.Head) bool { return !before[placeOf(h)] })
	}
	return list[:min(limit, len(list))], err
}

func placeOf(h audit.Head) audit.Position {
	return audit.Position{Time: h.Time, Writer: h.Writer, Seq: h.Seq}
}

// look returns the places of which the tables do not have the same now, up to a limit
// for each month, and the months that they are of.
func (c *comparison) look(ctx context.Context, months []uint32, limit int) (list []audit.Head, still []uint32, err error) {
	for _, m := range months {
		if ok, err := c.equal(ctx, m); err != nil {
			return nil, nil, err
		} else if ok {
			continue
		}
		rows, err := c.rows(ctx, m, limit)
		if err != nil {
			return nil, nil, err
		}
		if len(rows) > 0 {
			list, still = append(list, rows...), append(still, m)
		}
	}
	return list, still, nil
}

// equal tells whether the sums of a month are. They may differ although no row does.
func (c *comparison) equal(ctx context.Context, month uint32) (ok bool, err error) {
	err = c.sink.readFor(ctx, prepareTimeout, "SELECT sum(sign) = 0 AND sum(sign * reinterpretAsInt64(sum)) = 0 FROM ("+c.rowsOf()+")", c.of(month), func(scan scanner) error {
		return scan(&ok)
	})
	return ok, err
}

// rows returns the places of which the tables do not have the same, up to a limit.
func (c *comparison) rows(ctx context.Context, month uint32, limit int) (list []audit.Head, err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_bytes_before_external_group_by": 256 << 20}))
	err = c.sink.readFor(ctx, prepareTimeout, "SELECT DISTINCT time, writer, seq FROM (SELECT time, writer, seq FROM ("+c.rowsOf()+") GROUP BY term, time, writer, seq"+
		" HAVING arraySort(groupUniqArrayIf(sum, sign = 1)) != arraySort(groupUniqArrayIf(sum, sign = -1))) ORDER BY writer, seq, time LIMIT {limit:UInt64}",
		append(c.of(month), clickhouse.Named("limit", uint64(limit))), func(scan scanner) error {
			var h audit.Head
			err := scan(&h.Time, &h.Writer, &h.Seq)
			h.Time = h.Time.UTC()
			list = append(list, h)
			return err
		})
	return list, err
}

func (c *comparison) of(month uint32) []any {
	return append(slices.Clone(c.args), clickhouse.Named("from", c.from), clickhouse.Named("month", month))
}

// rowsOf reads a month of both tables: what audit_events comes to counts as 1, what
// is in event_parties as -1.
func (c *comparison) rowsOf() string {
	k := kindsOf(audit.Events)
	columns := "writer, seq, hash, `" + strings.Join(k.names, "`, `") + "`"
	side := func(sign, from string) string {
		return "SELECT time, writer, seq, term, sipHash64Keyed(({k0:UInt64}, {k1:UInt64}), term, toInt64(toUnixTimestamp64Milli(time)), " + columns + ") AS sum, " + sign + " AS sign FROM " + from +
			" WHERE time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND toYYYYMM(time) = {month:UInt32}"
	}
	return side("1", tables[audit.Events]+" ARRAY JOIN "+parties+" AS term") + " UNION ALL " + side("-1", eventParties)
}
