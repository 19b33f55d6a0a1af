package identity

import (
	"encoding/json"
	"slices"
	"testing"

	"trellis/graph"
)

// Whatever data says, decode gives an Invalid error or properties that the
// graph takes as they are, and never a field that callers may not set.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"email":"a@b.c","attributes":{"x":null}}`, `{"slug":"a","name":"\u0000"}`, `null`, `[]`, `{"parents":["user:1"],"x/~y":1}`,
		`{"permissions":["*"],"inherits":["a","a"],"system":false}`, `{"organization":"organization:acme"}`, `{"actions":[1]}`, `{"attributes":{"a":{"b":[1e400]}}}`,
	} {
		for i := range uint8(8) {
			f.Add(i, s, true)
			f.Add(i, s, false)
		}
	}
	types := []graph.Type{User, ServiceAccount, Group, Organization, Team, Role, ResourceType, "repo"}
	base := &draft{
		props:   graph.Props{"name": "n", "slug": "s", "organization": "o", "system": false, "attributes": graph.JSON(`{"k":1}`)},
		parents: []graph.Ref{graph.Root},
	}
	f.Fuzz(func(t *testing.T, which uint8, data string, patch bool) {
		typ := types[int(which)%len(types)]
		for _, b := range []*draft{nil, base} {
			d, err := decode(typ, json.RawMessage(data), b, patch)
			if err != nil {
				if graph.KindOf(err) != graph.Invalid {
					t.Errorf("%v", err)
				}
				continue
			}
			n, err := d.props.Normalize()
			if err != nil || !n.Equal(d.props) {
				t.Errorf("%s is kept as %v, which is not normal (%v)", data, d.props, err)
			}
			for name := range d.props {
				if !slices.ContainsFunc(Describe(typ), func(f FieldInfo) bool { return f.Name == name }) {
					t.Errorf("the field %s came from nowhere", name)
				}
			}
			if b == nil && d.props["system"] != nil {
				t.Error("a caller set system")
			}
		}
	})
}
