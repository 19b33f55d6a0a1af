package sqliteaudit_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/sqliteaudit"
)

func engine() audittest.Engine {
	return audittest.Engine{
		New: func(t testing.TB) audittest.Place {
			// A name that a careless connection string would misread.
			path := filepath.Join(t.TempDir(), "a b%3f?&#.db")
			return func(t testing.TB, o audittest.Options) audit.Sink {
				t.Helper()
				return mustOpen(t, path, sqliteaudit.Options{Retention: o.Retention})
			}
		},
		Expire: func(t testing.TB, s audit.Sink) {
			t.Helper()
			if _, err := s.Sweep(context.Background(), time.Now()); err != nil {
				t.Fatal(err)
			}
		},
		Parallel: true,
	}
}

func TestSink(t *testing.T) { audittest.Run(t, engine()) }

func mustOpen(t testing.TB, path string, o sqliteaudit.Options) *sqliteaudit.Sink {
	t.Helper()
	s, err := sqliteaudit.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}
