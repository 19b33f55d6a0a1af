package uploads_test

import (
	"testing"

	"github.com/google/uuid"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage/uploads"
)

// Whoever may not is told so before anything is looked at, stored or removed.
func TestStrangersLeaveNoTrace(t *testing.T) {
	p := newPuts(t)
	w := settledSite(t).start(t, setup{faults: &p.faults})
	kept, waiting := w.mustAdd(t, picture(1)), uuid.NewString()
	q, err := w.announce(waiting, picture(2))
	must(t, err)
	if err := w.send(q, picture(9)[1:]); err == nil {
		t.Error("other bytes than announced were taken")
	}
	must(t, w.send(q, picture(2)))
	must(t, w.do(identity.Mutation{Op: identity.OpCreate, Node: graph.Ref{Type: identity.User, ID: "eve"}, Data: []byte(`{"email":"eve@example.org"}`)}))
	eve := identity.Caller{Subject: graph.Ref{Type: identity.User, ID: "eve"}}
	before, steps := w.look(t), len(p.list())
	f, err := w.spooled(picture(3))
	must(t, err)
	defer f.Close()
	_, add := w.Add(t.Context(), eve, uploads.Incoming{ID: "x", Name: "x", Parent: acme, Bytes: f}, idApply)
	_, icon := w.Add(t.Context(), eve, uploads.Incoming{ID: "x", Name: "x", PictureOf: acme, Bytes: f}, idApply)
	_, announce := w.Announce(t.Context(), eve, uploads.Announcement{ID: "x", Name: "x", ContentType: "image/png", Parent: acme, Size: 1}, idApply)
	_, complete := w.Complete(t.Context(), eve, waiting, idApply)
	for what, err := range map[string]error{"add": add, "icon": icon, "announce": announce, "complete": complete} {
		if kind := graph.KindOf(err); kind != graph.Denied && kind != graph.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Only what Announce asks of the graph is refused there; nothing else was tried.
	if n := len(p.list()) - steps; n > 1 {
		t.Errorf("%q was done for a stranger", p.list()[steps:])
	}
	after := w.look(t)
	if len(after.uploads) != len(before.uploads) || len(after.objects) != len(before.objects) || len(after.blobs) != len(before.blobs) || after.uploads[kept] == nil {
		t.Errorf("before: %v, after: %v", keys(before), keys(after))
	}
	must(t, w.complete(waiting))
	w.isSwept(t)
}
