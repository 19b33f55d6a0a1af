package ceiling_test

import (
	"testing"
	"time"

	"trellis/bench/ceiling"
)

func TestRawSQLiteWrites(t *testing.T) {
	s, err := ceiling.OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, group := range []int{1, 64} {
		n, took, err := s.Write(t.Context(), group, 20*time.Millisecond)
		if err != nil || n < group || took < 20*time.Millisecond {
			t.Errorf("groups of %d: %d in %v, %v", group, n, took, err)
		}
	}
}
