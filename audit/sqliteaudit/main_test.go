package sqliteaudit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/sqliteaudit"
)

// TestMain makes this binary the child that TestKilledProcessDeliversAllOrNothing kills.
func TestMain(m *testing.M) {
	path, ok := audittest.KillAddress()
	if !ok {
		os.Exit(m.Run())
	}
	s, err := sqliteaudit.Open(path, sqliteaudit.Options{})
	if err == nil {
		err = audittest.Killed(s, os.Stdout)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}

func TestKilledProcessDeliversAllOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	audittest.RunKilled(t, path, 8, func(t testing.TB, _ audittest.Options) audit.Sink {
		s, err := sqliteaudit.Open(path, sqliteaudit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
