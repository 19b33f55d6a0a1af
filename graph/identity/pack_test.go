package identity_test

import (
	"crypto/rand"
	"slices"
	"testing"

	"trellis/graph"
	"trellis/graph/identity"
)

func TestWhatIsPackedFitsIntoPropertiesAndComesBack(t *testing.T) {
	for _, n := range []int{0, 1, 10, 20_000} {
		in := make([]string, n)
		for i := range in {
			in[i] = rand.Text()
		}
		parts, err := identity.Pack(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			if len(p) > graph.MaxPropBytes {
				t.Errorf("a part has %d bytes", len(p))
			}
		}
		var out []string
		if err := identity.Unpack(parts, &out); err != nil || !slices.Equal(in, out) {
			t.Errorf("%d texts came back as %d: %v", n, len(out), err)
		}
	}
}

func TestWhatWasNotPackedIsCorrupt(t *testing.T) {
	parts, err := identity.Pack("whole")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]string{nil, {"x"}, {parts[0][:len(parts[0])/2]}, {"!!!"}} {
		var s string
		if err := identity.Unpack(p, &s); graph.KindOf(err) != graph.Corrupt {
			t.Errorf("%q: %v", p, err)
		}
	}
}
