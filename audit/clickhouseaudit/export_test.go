package clickhouseaudit

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trellis/audit"
)

// Tables lists all tables that hold data.
func Tables() (all []string) {
	for _, e := range expiries {
		all = append(all, e.table)
	}
	return all
}

// TableOf returns where a stream is.
func TableOf(s audit.Stream) string { return tables[s] }

// Statements returns the schema as it is applied, with its TTLs.
func Statements(cluster string, r audit.Retention) (string, error) {
	all, err := migrations(layout{cluster, r})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, m := range all {
		b.WriteString("-- " + m.name + "\n")
		for _, st := range m.statements {
			b.WriteString(st + "\n;\n")
		}
	}
	return b.String(), nil
}

// Conn returns the driver's connection, for comparisons.
func (s *Sink) Conn() driver.Conn { return s.conn }

// Insertion returns what a batch of one stream is inserted with.
func Insertion(stream audit.Stream) (statement string, types []clickhouse.ColumnNameAndType, settings clickhouse.Settings) {
	c := newColumns(stream)
	return c.statement, c.types, insertSettings
}

// Hasten makes Misfiled look again at once. Nothing may be delivered at that time.
func (s *Sink) Hasten() { s.rests = []time.Duration{0, 0} }

// Recorder remembers the questions that a sink asks.
type Recorder struct {
	driver.Conn
	mu    sync.Mutex
	Asked []Question
}

// Question is one of them.
type Question struct {
	Text string
	Args []any
}

// Query implements driver.Conn.
func (r *Recorder) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	r.mu.Lock()
	r.Asked = append(r.Asked, Question{query, args})
	r.mu.Unlock()
	return r.Conn.Query(ctx, query, args...)
}

// Record begins to remember questions. Nothing may run at that time.
func (s *Sink) Record() *Recorder {
	r := &Recorder{Conn: s.conn}
	s.conn = r
	return r
}

// Much sets from how many rows on Find looks for hours, where only some of what lies together may fit.
func (s *Sink) Much(rows int) { s.much = rows }
