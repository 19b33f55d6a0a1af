package sqlitegraph_test

import (
	"fmt"
	"os"
	"testing"

	"trellis/graph/graphtest"
	"trellis/graph/sqlitegraph"
)

// TestMain makes this binary the child that TestKilledProcessLosesNothing kills.
func TestMain(m *testing.M) {
	path, ok := graphtest.KillAddress()
	if !ok {
		os.Exit(m.Run())
	}
	s, err := sqlitegraph.Open(path, sqlitegraph.Options{})
	if err == nil {
		err = graphtest.Killed(s, os.Stdout)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}
