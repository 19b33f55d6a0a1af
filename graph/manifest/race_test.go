package manifest_test

import (
	"fmt"
	"sync"
	"testing"

	"trellis/graph"
)

// TestSetsThatMeetAreAppliedOneAfterTheOther applies the same set, and others
// that declare the same tag, from several sides at once: each does all of its
// own, and the tag is made once.
func TestSetsThatMeetAreAppliedOneAfterTheOther(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "orgs", `- {apiVersion: trellis/v1, kind: Organization, metadata: {slug: acme}}`)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			text := fmt.Sprintf(`
- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: go}}
- {apiVersion: trellis/v1, kind: Project, metadata: {organization: acme, slug: p%d}, spec: {tags: [go]}}`, i)
			for {
				_, err := w.try(root, fmt.Sprintf("acme/set-%d", i%4), text)
				if err == nil {
					return
				}
				// Too much was going on; nothing was done.
				if k := graph.KindOf(err); k != graph.Stale && k != graph.Exists {
					t.Errorf("%v %v", err, fields(err))
					return
				}
			}
		})
	}
	wg.Wait()
	r := w.apply(root, "check", `
- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: go}}
- {apiVersion: trellis/v1, kind: Project, metadata: {organization: acme, slug: p7}, spec: {tags: [go]}}`)
	if r.Counts.Unchanged != 2 {
		t.Errorf("%+v\n%s", r.Counts, lines(r))
	}
}
