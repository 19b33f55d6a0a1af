package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"trellis/scripts/clickhouse/front/chdb"
)

// maxExecutionTime is the limit, in seconds, of a query that sets none itself: as nothing
// can stop a query whose client has gone, each must end by itself.
const maxExecutionTime = "60"

// engine makes connections. Each request gets a new one, which takes less than a
// millisecond, and with it nothing of the requests before: no setting, no current
// database, no temporary table.
type engine struct {
	args              []string
	keep              *chdb.Conn // the engine lives as long as its connections
	version, timezone string
}

func openEngine(lib, data, database string) (*engine, error) {
	// Like the container's.
	if err := os.Setenv("TZ", "UTC"); err != nil {
		return nil, err
	}
	if err := chdb.Open(lib); err != nil {
		return nil, fmt.Errorf("the library %q cannot be loaded: %w", lib, err)
	}
	// The library starts with some settings of clickhouse-local; a server has these.
	e := &engine{args: []string{"--path=" + data, "--implicit_select=0", "--allow_introspection_functions=0", "--max_execution_time=" + maxExecutionTime}}
	var err error
	if e.keep, err = chdb.Connect(e.args...); err != nil {
		return nil, fmt.Errorf("the data in %s cannot be opened, or another process has them open: %w", data, err)
	}
	row, err := line(e.keep, "CREATE DATABASE IF NOT EXISTS "+quoteName(database)+"; SELECT version(), timezone()")
	if err != nil {
		return nil, err
	}
	e.version, e.timezone, _ = strings.Cut(row, "\t")
	return e, nil
}

func (e *engine) close() {
	e.keep.Close()
	if err := chdb.Shutdown(); err != nil {
		// Seen wherever there are MergeTree tables; the threads end with the process.
		slog.Debug("shutdown", "error", err)
	}
}

// connect opens a connection for one request.
func (e *engine) connect(a account, r *request) (*chdb.Conn, error) {
	c, err := chdb.Connect(e.args...)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "USE %s;", quoteName(r.database))
	if a.readOnly {
		// Before the request's own settings, which may change all others then.
		b.WriteString("SET readonly = 2;")
	}
	for _, name := range slices.Sorted(maps.Keys(r.settings)) {
		fmt.Fprintf(&b, "SET %s = %s;", quoteName(name), quoteText(r.settings[name]))
	}
	if _, err := line(c, b.String()); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// line runs statements and returns the one line of the last.
func line(c *chdb.Conn, statements string) (string, error) {
	r, err := c.Query([]byte(statements), "TabSeparatedRaw", nil)
	if err != nil {
		return "", err
	}
	defer r.Close()
	return strings.TrimSpace(string(r.Bytes())), nil
}

func quoteName(s string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(s) + "`"
}

func quoteText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
