package manifest_test

import (
	"slices"
	"testing"
)

// What an importer knows is not all there is to know.
func TestMergingLeavesWhatIsNotSaid(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "acme/main", acme)
	const of = "apiVersion: trellis/v1\nkind: Project\nmetadata: {organization: acme, slug: billing}\n"
	const part = of + "spec: {name: Bills, attributes: {tier: 1}, tags: []}\n"
	var fields []string
	for _, c := range w.apply(root, "acme/imported", part, "merge").Plan[0].Changes {
		fields = append(fields, c.Field)
	}
	if !slices.Equal(fields, []string{"attributes", "name", "tags"}) {
		t.Errorf("%q changed", fields)
	}
	if got := w.apply(root, "acme/imported", part, "merge"); got.Changed {
		t.Errorf("a second run: %s", lines(got))
	}
	more := w.apply(root, "acme/imported", of+"spec: {attributes: {owner: x}}\n", "merge", "plan")
	if len(more.Plan) != 1 || len(more.Plan[0].Changes) != 1 {
		t.Errorf("%+v", more.Plan)
	}
	// Without merge, it is the whole of the project.
	whole := w.apply(root, "acme/imported", part, "plan")
	if l := lines(whole); l == "" {
		t.Error("nothing would change")
	}
}
