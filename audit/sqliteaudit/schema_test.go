package sqliteaudit_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"trellis/audit"
	"trellis/audit/sqliteaudit"
)

// walker lists the names of a record's fields, and their values as the view shows them.
type walker struct{ names, values []string }

func (w *walker) add(n, v string)            { w.names, w.values = append(w.names, n), append(w.values, v) }
func (w *walker) Text(n string, v *string)   { w.add(n, *v) }
func (w *walker) Word(n string, v *string)   { w.add(n, *v) }
func (w *walker) Int(n string, v *int64)     { w.add(n, strconv.FormatInt(*v, 10)) }
func (w *walker) List(n string, v *[]string) { w.add(n, strings.Join(*v, " ")) }

// The views have the names that ClickHouse has, and show every field.
func TestViewsShowWhatFindFinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	s := mustOpen(t, path, sqliteaudit.Options{})
	deliver(t, s, batches("w", 300, 100)...)
	conn := raw(t, path)
	views := []string{"audit_events", "access_decisions", "api_key_usage", "email_audit", "mfa_events", "rate_limit_events"}
	for i, stream := range audit.Streams {
		if v := sqliteaudit.Views()[string(stream)]; v != views[i] {
			t.Errorf("%s are shown by %s", stream, v)
		}
		rows, err := conn.QueryContext(t.Context(), "SELECT * FROM "+views[i]+" ORDER BY time, seq")
		if err != nil {
			t.Fatal(err)
		}
		names, _ := rows.Columns()
		var w walker
		audit.New(stream).Walk(&w)
		if want := append([]string{"time", "writer", "seq", "hash"}, w.names...); !slices.Equal(names, want) || !slices.Equal(sqliteaudit.Columns(string(stream)), w.names) {
			t.Errorf("%s has the columns %q, want %q", views[i], names, want)
		}
		var shown []string
		for rows.Next() {
			shown = append(shown, line(t, rows, names))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		var found []string
		if err := s.Find(t.Context(), audit.Query{Stream: stream, Oldest: true}, func(r audit.Record) error {
			var w walker
			r.Walk(&w)
			h := r.Meta()
			found = append(found, fmt.Sprint(h.Time.UnixMilli(), "|", h.Writer, "|", h.Seq, "|", h.Hash, "|", strings.Join(w.values, "|")))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 || !slices.Equal(shown, found) {
			t.Errorf("%s shows %d records of %d:\n%s\n%s", views[i], len(shown), len(found), shown[0], found[0])
		}
	}
}

// line is a row of a view as text.
func line(t *testing.T, rows *sql.Rows, names []string) string {
	t.Helper()
	values, into := make([]string, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		t.Fatal(err)
	}
	for i, n := range names {
		if n == "within" {
			var list []string
			if err := json.Unmarshal([]byte(values[i]), &list); err != nil {
				t.Errorf("%s: %v", values[i], err)
			}
			values[i] = strings.Join(list, " ")
		}
	}
	return strings.Join(values, "|")
}

// A file of the first version is brought up to date and keeps its records.
func TestAFileOfTheFirstVersionIsUpgraded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	conn := raw(t, path)
	run(t, conn, sqliteaudit.First())
	for _, text := range []string{
		`PRAGMA application_id = 0x54726c41`, `PRAGMA user_version = 1`,
		`INSERT INTO text (id, text, seen) VALUES (1, 'w', 0), (2, 'user:a', 0), (3, 'repo:update', 0), (4, 'success', 0), (5, 'repo:r', 0), (6, '["repo:r","organization:o"]', 0), (7, 'organization:o', 0)`,
		`INSERT INTO member (node, list) VALUES (5, 6), (7, 6)`,
		`INSERT INTO events VALUES (1790000000123 << 20, 1, 1, x'000102030405060708090a0b0c0d0e0f', 2, 0, 3, 4, 5, 0, 6, '', '{}', '', x'0198f0a1000070000000000000000001', 0, 0, 7)`,
		`INSERT INTO events_within (node, id) VALUES (5, 1790000000123 << 20), (7, 1790000000123 << 20)`,
		`INSERT INTO events_about (node, id) VALUES (5, 1790000000123 << 20)`,
	} {
		run(t, conn, text)
	}
	s := mustOpen(t, path, sqliteaudit.Options{})
	for range 2 {
		n := 0
		for _, m := range [][]audit.Match{nil, {{Field: "within", Value: "organization:o"}}, {{Field: audit.About, Value: "repo:r"}}, {{Field: "request_id", Value: "0198f0a1-0000-7000-0000-000000000001"}, {Field: "actor", Value: "user:a"}}} {
			if err := s.Find(context.Background(), audit.Query{Stream: audit.Events, Where: m}, func(r audit.Record) error {
				if e := r.(*audit.Event); e.Seq == 1 && e.Action == "repo:update" && e.After == "{}" && len(e.Within) == 2 && e.Time.UnixMilli() == 1790000000123 && e.Hash.String() == "000102030405060708090a0b0c0d0e0f" {
					n++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if n != 4 {
			t.Errorf("the record was found %d times", n)
		}
		deliver(t, s, batches("x", 60, 20)...)
	}
}
