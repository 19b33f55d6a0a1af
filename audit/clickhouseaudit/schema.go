package clickhouseaudit

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
)

//go:embed schema/*.sql
var schema embed.FS

// Window is how many inserts into a table ClickHouse remembers, so as not to
// take one twice. At a batch a second it is more than a day of one writer. On one
// server that is not relied on (settle).
const Window = 100_000

// tables are where the streams are.
var tables = map[audit.Stream]string{
	audit.Events: "audit_events", audit.Decisions: "access_decisions", audit.Requests: "api_key_usage",
	audit.Mails: "email_audit", audit.Factors: "mfa_events", audit.Limits: "rate_limit_events",
}

// expiry tells what of a table goes when: it is kept as long as the stream, or
// rollups for two years if that is longer.
type expiry struct {
	table  string
	stream audit.Stream
	rollup bool
	time   string // an expression of type DateTime
}

// The tables beside the events that pages are found by.
const (
	eventHours   = "event_hours"
	eventParties = "event_parties"
)

const rollupRetention = 730 * audit.Day

var expiries = []expiry{
	{"audit_events", audit.Events, false, "toDateTime(time)"},
	{eventHours, audit.Events, false, "hour"},
	{eventParties, audit.Events, false, "toDateTime(time)"},
	{"event_counts_hourly", audit.Events, true, "start"},
	{"event_counts_daily", audit.Events, true, "start"},
	{"access_decisions", audit.Decisions, false, "toDateTime(time)"},
	{"decision_counts_hourly", audit.Decisions, true, "start"},
	{"decision_counts_daily", audit.Decisions, true, "start"},
	{"api_key_usage", audit.Requests, false, "toDateTime(time)"},
	{"request_counts_hourly", audit.Requests, true, "start"},
	{"request_counts_daily", audit.Requests, true, "start"},
	{"key_last_used", audit.Requests, true, "toDateTime(time)"},
	{"email_audit", audit.Mails, false, "toDateTime(time)"},
	{"mfa_events", audit.Factors, false, "toDateTime(time)"},
	{"rate_limit_events", audit.Limits, false, "toDateTime(time)"},
}

// ttl returns the expression after which a row goes, as ClickHouse writes it;
// "" is never.
func (e expiry) ttl(r audit.Retention) string {
	keep := r[e.stream]
	if keep > 0 && e.rollup {
		keep = max(keep, rollupRetention)
	}
	if keep > 0 && e.table == eventHours {
		keep += audit.Day // an hour must not go before its last event
	}
	switch {
	case keep == 0:
		return ""
	case keep%audit.Day == 0:
		return e.time + " + toIntervalDay(" + strconv.FormatInt(int64(keep/audit.Day), 10) + ")"
	default:
		return e.time + " + toIntervalSecond(" + strconv.FormatInt(int64(keep/time.Second), 10) + ")"
	}
}

// layout is what the schema files are filled in with.
type layout struct {
	cluster   string
	retention audit.Retention
}

// On names the cluster.
func (l layout) On() string {
	if l.cluster == "" {
		return ""
	}
	return " ON CLUSTER '" + l.cluster + "'"
}

// Engine returns the engine of a table.
func (l layout) Engine(family, table string) string {
	if l.cluster == "" {
		return family
	}
	return "Replicated" + family + "('/clickhouse/tables/{shard}/{database}/" + table + "', '{replica}')"
}

// TTL returns the clause with a line of its own.
func (l layout) TTL(table string) (string, error) {
	i := slices.IndexFunc(expiries, func(e expiry) bool { return e.table == table })
	if i < 0 {
		return "", fmt.Errorf("nothing tells how long %s is kept", table)
	}
	if t := expiries[i].ttl(l.retention); t != "" {
		return "TTL " + t + "\n", nil
	}
	return "", nil
}

// Window returns the settings by which repeated inserts are known. A week: an
// insert whose outcome was open may come again after a long outage.
func (l layout) Window() string {
	if l.cluster == "" {
		return fmt.Sprintf("non_replicated_deduplication_window = %d", Window)
	}
	return fmt.Sprintf("replicated_deduplication_window = %d, replicated_deduplication_window_seconds = %d", Window, int(7*audit.Day/time.Second))
}

// Expiry returns the settings by which rows go. Rows, not only whole parts: a
// retention is a promise, and a part holds a month. Once a day, since the oldest
// part of a table is rewritten each time. And a changed TTL reads nothing but times.
func (l layout) Expiry() string {
	return "ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1"
}

// Compact returns the settings by which a partition that nothing was added to for
// a day becomes one part.
func (l layout) Compact() string {
	return "min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1"
}

// migration is one schema file.
type migration struct {
	version    uint32
	name       string
	statements []string
}

// migrations returns the schema in the order in which it is applied.
func migrations(l layout) ([]migration, error) {
	names, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("clickhouseaudit: the schema file %s has no number", file)
		}
		t, err := template.ParseFS(schema, file)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, l); err != nil {
			return nil, err
		}
		m := migration{version: uint32(version), name: name}
		for _, st := range strings.Split(b.String(), "\n;\n") {
			if st = strings.TrimSpace(comments.ReplaceAllString(st, "")); st != "" {
				m.statements = append(m.statements, st)
			}
		}
		all = append(all, m)
	}
	return all, nil
}

var comments = regexp.MustCompile(`(?m)^--.*\n`)

// ledger is where it is written which migrations have been applied. Two
// processes may both write a line.
const ledger = `CREATE TABLE IF NOT EXISTS schema_migrations%s (
    version UInt32 COMMENT 'The number of the schema file',
    name String COMMENT 'Its name',
    applied DateTime('UTC') DEFAULT now() COMMENT 'When it had been applied'
)
ENGINE = %s
ORDER BY version
COMMENT 'Which schema files have been applied'`

// prepare makes the tables what this version needs, once.
func (s *Sink) prepare(ctx context.Context) error {
	ready := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.prepared
	}
	if ready() {
		return nil
	}
	select {
	case <-s.preparing:
		defer func() { s.preparing <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if ready() {
		return nil
	}
	if err := s.migrate(ctx); err != nil {
		// Whatever it is, it is not the fault of what is to be stored.
		return s.trouble(ctx, "preparing the tables", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prepared = true
	return nil
}

func (s *Sink) migrate(ctx context.Context) error {
	l := layout{s.opts.Cluster, s.opts.Retention}
	all, err := migrations(l)
	if err != nil {
		return err
	}
	applied, err := s.applied(ctx)
	if err != nil {
		return err
	}
	if applied == nil {
		if err := s.alter(ctx, fmt.Sprintf(ledger, l.On(), l.Engine("ReplacingMergeTree", "schema_migrations"))); err != nil {
			return err
		}
	}
	for _, m := range all {
		if applied[m.version] {
			continue
		}
		for _, st := range m.statements {
			if err := s.alter(ctx, st); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
		if err := s.alter(ctx, "INSERT INTO schema_migrations (version, name) SELECT {version:UInt32}, {name:String}",
			clickhouse.Named("version", m.version), clickhouse.Named("name", m.name)); err != nil {
			return err
		}
		s.opts.Logger.InfoContext(ctx, "audit tables changed", "schema", m.name)
	}
	return s.keep(ctx, l)
}

// applied returns the migrations that have been applied; nil if there is no list of them.
func (s *Sink) applied(ctx context.Context) (map[uint32]bool, error) {
	var there []uint64
	err := s.read(ctx, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'", nil, func(scan scanner) error {
		var n uint64
		defer func() { there = append(there, n) }()
		return scan(&n)
	})
	if err != nil || there[0] == 0 {
		return nil, err
	}
	applied := map[uint32]bool{}
	err = s.read(ctx, "SELECT version FROM schema_migrations", nil, func(scan scanner) error {
		var v uint32
		err := scan(&v)
		applied[v] = true
		return err
	})
	return applied, err
}

var ttlClause = regexp.MustCompile(` TTL (.*) SETTINGS `)

// keep gives the tables the retention that was asked for. ClickHouse then
// works out in the background what of the present parts goes when.
func (s *Sink) keep(ctx context.Context, l layout) error {
	has := map[string]string{}
	if err := s.read(ctx, "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()", nil, func(scan scanner) error {
		var name, engine string
		if err := scan(&name, &engine); err != nil {
			return err
		}
		has[name] = ""
		if m := ttlClause.FindStringSubmatch(engine); m != nil {
			has[name] = m[1]
		}
		return nil
	}); err != nil {
		return err
	}
	for _, e := range expiries {
		want := e.ttl(l.retention)
		if has[e.table] == want {
			continue
		}
		change := "MODIFY TTL " + want + " SETTINGS materialize_ttl_after_modify = 1"
		if want == "" {
			change = "REMOVE TTL"
		}
		if err := s.alter(ctx, "ALTER TABLE "+e.table+l.On()+" "+change); err != nil {
			return err
		}
		s.opts.Logger.InfoContext(ctx, "audit retention changed", "table", e.table, "from", has[e.table], "to", want)
	}
	return nil
}

// alter runs a statement that changes tables or what is derived in them.
func (s *Sink) alter(ctx context.Context, statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	return s.conn.Exec(ctx, statement, args...)
}
