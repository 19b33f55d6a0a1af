package identity_test

import (
	"strings"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// shows asserts which upload is the picture of a node, by its field and by the edge.
func (w *world) shows(r, id string) {
	w.t.Helper()
	field := identity.PictureField(node(w.t, r).Type)
	want := ""
	if id != "" {
		want = "upload:" + id
	}
	if got := w.props(r).String(field); got != want {
		w.t.Errorf("the %s of %s is %q, want %q", field, r, got, want)
	}
	if got := w.relations(r, identity.HasPicture); got != want {
		w.t.Errorf("the edge of %s leads to %q, want %q", r, got, want)
	}
}

func TestAPictureIsAReadableImage(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.must(root, `{"op":"put_grant","subject":"user:eve","resource":"project:billing","actions":["project:read","project:update"]}`)
		w.upload(root, "hers", "project:billing", false)
		w.upload(root, "secret", "organization:umbrella", false)
		w.done(root, storing("pending", "project:billing", &identity.File{Name: "x.png", ContentType: "image/png", Due: time.Now().Add(time.Hour)}))
		pdf := w.file("pdf", false)
		pdf.ContentType = "application/pdf"
		w.done(root, storing("pdf", "project:billing", pdf))
		w.must(root, `{"op":"put_grant","subject":"user:eve","resource":"project:billing","actions":["project:read","project:update","upload:read"]}`)
		said := map[string]string{}
		for id, word := range map[string]string{"secret": "no such upload", "none": "no such upload", strings.Repeat("x", 300): "no such upload", "pending": "not complete", "pdf": "is no picture"} {
			e := w.refused(user("eve"), graph.Invalid, `{"op":"patch","node":"project:billing","data":{"icon":"upload:`+id+`"}}`)
			pointing(t, e, "/data/icon", word)
			said[id] = e.Fields[0].Msg + e.Msg
			w.refused(user("eve"), graph.Invalid, `{"op":"put","node":"project:billing","data":{"slug":"billing","icon":"upload:`+id+`"}}`)
			w.refused(user("eve"), graph.Invalid, `{"op":"ensure","node":"project:billing","data":{"icon":"upload:`+id+`"}}`)
			pointing(t, w.not(user("eve"), graph.Invalid, picturing("project:billing", id)), "/data/icon", word)
		}
		if said["secret"] != said["none"] {
			t.Errorf("what she may not see is told by %q, what is not there by %q", said["secret"], said["none"])
		}
		w.refused(user("dev"), graph.Invalid, `{"op":"create","node":"project:new","data":{"organization":"acme","icon":"upload:none"}}`)
		m := picturing("project:billing", "")
		*m.Picture = node(t, "user:dev")
		w.not(user("eve"), graph.Invalid, m)
		w.shows("project:billing", "")

		w.must(user("eve"), `{"op":"patch","node":"project:billing","data":{"icon":"upload:hers"}}`)
		w.shows("project:billing", "hers")
		// What was readable when it was chosen may stay.
		w.must(root, `{"op":"put_grant","subject":"user:eve","resource":"project:billing","actions":["project:read","project:update"]}`)
		w.must(user("eve"), `{"op":"patch","node":"project:billing","data":{"icon":"upload:hers","name":"B"}}`)
		w.shows("project:billing", "hers")
		w.refused(root, graph.Invalid, `{"op":"put_picture","node":"project:billing"}`)
		w.not(root, graph.Invalid, picturing("tag:g1", "hers"))
		w.not(root, graph.Invalid, picturing("folder:plans", "hers"))
		w.not(root, graph.NotFound, picturing("project:none", "hers"))
	})
}

func TestAPictureThatIsNoIDIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.upload(root, "a", "project:billing", false)
		w.must(root, `{"op":"patch","node":"project:billing","data":{"icon":"upload:a"}}`)
		for _, id := range []string{"", `a\nb`, `\u202e`} {
			for _, c := range []struct{ field, mutation string }{
				{"icon", `{"op":"patch","node":"project:billing","data":{"icon":"upload:%"}}`},
				{"icon", `{"op":"put","node":"project:billing","data":{"slug":"billing","icon":"upload:%"}}`},
				{"icon", `{"op":"ensure","node":"project:ledger","data":{"icon":"upload:%"}}`},
				{"icon", `{"op":"create","node":"project:new","data":{"organization":"acme","icon":"upload:%"}}`},
				{"avatar", `{"op":"patch","node":"user:eve","data":{"avatar":"upload:%"}}`},
				{"avatar", `{"op":"create","node":"service_account:new","data":{"avatar":"upload:%"}}`},
			} {
				pointing(t, w.refused(root, graph.Invalid, strings.ReplaceAll(c.mutation, "%", id)), "/data/"+c.field, "want upload:ID")
			}
		}
		w.shows("project:billing", "a")
		w.must(root, `{"op":"patch","node":"project:billing","data":{"icon":"uploads"}}`)
	})
}

func TestWhoMayChooseAPicture(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	w.upload(user("eve"), "me", "", true)
	w.done(user("eve"), picturing("user:eve", "me"))
	w.shows("user:eve", "me")
	w.refused(user("eve"), graph.Denied, `{"op":"patch","node":"user:eve","data":{"avatar":"upload:me"}}`)
	w.not(user("eve"), graph.Denied, picturing("user:bob", "me"))
	w.not(user("eve"), graph.Denied, picturing("project:billing", "me"))
	w.must(root, `{"op":"patch","node":"project:billing","data":{"archived":true}}`)
	w.upload(root, "late", "project:billing", true)
	w.not(root, graph.Locked, picturing("project:billing", "late"))
	w.refused(root, graph.Locked, `{"op":"patch","node":"project:billing","data":{"icon":"upload:late"}}`)
	w.refused(root, graph.Locked, `{"op":"put","node":"project:billing","data":{"slug":"billing","archived":true,"icon":"upload:late"}}`)
	w.shows("project:billing", "")
	// As somebody else has changed the node meanwhile.
	m := picturing("project:ledger", "late")
	m.IfMatch = 1
	w.not(root, graph.Stale, m)
}

func TestTheEdgeFollowsTheField(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		for _, id := range []string{"a", "b", "c"} {
			w.upload(root, id, "organization:acme", false)
		}
		w.must(root, `{"op":"create","node":"project:p","data":{"organization":"acme","icon":"upload:a"}}`)
		w.shows("project:p", "a")
		w.must(root, `{"op":"put","node":"project:p","data":{"icon":"upload:b"}}`)
		w.shows("project:p", "b")
		w.must(root, `{"op":"ensure","node":"project:p","data":{"name":"P"}}`)
		w.shows("project:p", "b")
		w.must(root, `{"op":"ensure","node":"project:p","data":{"icon":"upload:a"}}`)
		w.shows("project:p", "a")
		w.must(root, `{"op":"patch","node":"project:p","data":{"icon":null}}`)
		w.shows("project:p", "")
		w.done(root, picturing("project:p", "c"))
		w.shows("project:p", "c")
		if o := w.done(root, picturing("project:p", "c")); o.Changed {
			t.Error("the same again is a change")
		}
		w.must(root, `{"op":"put","node":"project:p","data":{"name":"P"}}`)
		w.shows("project:p", "")
		w.must(root, `{"op":"patch","node":"project:p","data":{"icon":"upload:b"}}
{"op":"patch","node":"project:p","data":{"icon":"rocket"}}`)
		if w.relations("project:p", identity.HasPicture) != "" || w.props("project:p").String("icon") != "rocket" {
			t.Error("an edge is left")
		}
		w.must(root, `{"op":"patch","node":"project:p","data":{"icon":"upload:b"}}
{"op":"patch","node":"project:p","data":{"icon":"upload:a"}}
{"op":"patch","node":"project:p","data":{"icon":"upload:c"}}`)
		w.shows("project:p", "c")
		keep := identity.Mutation{Op: identity.OpPut, Node: node(t, "project:p"), Data: []byte(`{"name":"Q"}`), KeepPicture: true}
		w.done(root, keep)
		w.shows("project:p", "c")
		keep.Data = []byte(`{"name":"Q","icon":""}`)
		w.done(root, keep)
		w.shows("project:p", "")
		w.must(root, `{"op":"create","node":"team:x","data":{"organization":"acme","icon":"upload:a"}}
{"op":"delete","node":"team:x"}`)
		if got := w.sources("upload:a", identity.HasPicture); got != "" {
			t.Errorf("%s has it", got)
		}
		for _, id := range []string{"a", "b", "c"} {
			if !w.exists("upload:" + id) {
				t.Errorf("upload:%s is gone, which was not sent as a picture", id)
			}
		}
	})
}

func TestAPictureGoesWithTheLastThatHasIt(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		f := func(id string) identity.Mutation { return storing(id, "project:billing", w.file(id, true)) }
		w.done(root, f("a"), picturing("project:billing", "a"))
		w.must(root, `{"op":"patch","node":"project:ledger","data":{"icon":"upload:a"}}`)
		w.done(root, f("b"), picturing("project:billing", "b"))
		if w.shows("project:ledger", "a"); !w.exists("upload:a") {
			t.Fatal("it went while a project had it")
		}
		w.done(root, picturing("project:ledger", ""))
		if w.exists("upload:a") {
			t.Error("it stays although nothing has it")
		}
		// Set, shared and replaced in one batch.
		w.done(root, append(append([]identity.Mutation{f("c"), picturing("project:billing", "c"), picturing("project:ledger", "c"), f("d"), picturing("project:billing", "d")},
			parse(t, `{"op":"patch","node":"project:ledger","data":{"icon":null}}
{"op":"create","node":"team:x","data":{"organization":"acme","icon":"upload:d"}}
{"op":"patch","node":"project:billing","data":{"icon":null}}`)...), f("e"))...)
		w.shows("project:billing", "")
		w.shows("team:x", "d")
		if w.exists("upload:b") || w.exists("upload:c") || !w.exists("upload:d") || !w.exists("upload:e") {
			t.Error("the wrong uploads are left")
		}
		w.must(root, `{"op":"delete","node":"team:x","erase":true}`)
		if w.exists("upload:d") {
			t.Error("it stays although the last that had it is erased")
		}
		w.done(root, f("g"), picturing("project:billing", "g"), picturing("project:ledger", "g"))
		w.must(root, `{"op":"delete","node":"project:ledger","cascade":true,"erase":true}`)
		w.shows("project:billing", "g")
	})
}

func TestDeletingAPictureAsksFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.upload(root, "a", "organization:acme", true)
		w.must(root, `{"op":"patch","node":"project:billing","data":{"icon":"upload:a"}}
{"op":"patch","node":"team:pay","data":{"icon":"upload:a"}}
{"op":"patch","node":"user:dev","data":{"avatar":"upload:a"}}`)
		w.refused(root, graph.InUse, `{"op":"delete","node":"upload:a"}`)
		w.must(root, `{"op":"patch","node":"project:billing","data":{"archived":true}}`)
		before := w.props("project:billing")
		w.must(root, `{"op":"delete","node":"upload:a","cascade":true}`)
		for _, r := range []string{"project:billing", "team:pay", "user:dev"} {
			w.shows(r, "")
		}
		after := w.props("project:billing")
		if delete(before, "icon"); !before.Equal(after) {
			t.Errorf("it is %v, was %v", after, before)
		}
		if w.exists("upload:a") {
			t.Error("it is still there")
		}
		// Together with the node that has it there is nothing to ask.
		w.upload(root, "b", "tag:g2", true)
		w.must(root, `{"op":"create","node":"project:alone","data":{"organization":"acme","icon":"upload:b"}}
{"op":"delete","node":"project:alone","erase":true}`)
		if w.exists("upload:b") {
			t.Error("it is still there")
		}
	})
}

func TestNodesLoseThePictureThatGoesWithItsPlace(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.upload(user("dev"), "mine", "", false)
		w.must(root, `{"op":"patch","node":"project:billing","data":{"icon":"upload:mine"}}
{"op":"patch","node":"team:pay","data":{"icon":"upload:mine"}}
{"op":"patch","node":"user:dev","data":{"avatar":"upload:mine"}}
{"op":"delete","node":"user:dev"}`)
		w.shows("project:billing", "")
		w.shows("team:pay", "")
		if w.exists("upload:mine") {
			t.Error("it outlived its place")
		}
	})
}

// TestPicturesChangeAtTheLastMoment lets somebody else be faster, each time where it
// would hurt: the work starts over on what is there then.
func TestPicturesChangeAtTheLastMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.done(root, storing("both", "organization:acme", w.file("both", true)), picturing("project:billing", "both"), picturing("project:ledger", "both"))
		happened := w.between("upload:both", true, func() { w.done(root, picturing("project:ledger", "")) })
		w.done(root, picturing("project:billing", ""))
		if !happened() || w.exists("upload:both") {
			t.Error("two left a picture at once, and it stays")
		}

		w.upload(root, "first", "organization:acme", true)
		w.done(root, picturing("project:billing", "first"))
		happened = w.between("upload:first", true, func() { w.done(root, picturing("project:ledger", "first")) })
		w.done(root, picturing("project:billing", ""))
		if !happened() {
			t.Error("nothing happened")
		}
		w.shows("project:ledger", "first")

		happened = w.between("project:ledger", false, func() { w.must(root, `{"op":"patch","node":"project:ledger","data":{"name":"Books"}}`) })
		w.must(root, `{"op":"delete","node":"upload:first","cascade":true}`)
		if w.shows("project:ledger", ""); !happened() || w.props("project:ledger").String("name") != "Books" {
			t.Error("a change of the node is lost")
		}

		w.upload(root, "gone", "organization:acme", false)
		happened = w.between("upload:gone", false, func() { w.must(root, `{"op":"delete","node":"upload:gone"}`) })
		pointing(t, w.lost(root, graph.Invalid, `{"op":"patch","node":"project:ledger","data":{"icon":"upload:gone"}}`), "/data/icon", "no such upload")
		if !happened() {
			t.Error("nothing happened")
		}
	})
}

// lost asserts the kind of error.
func (w *world) lost(who graph.Ref, kind graph.ErrorKind, text string) *graph.Error {
	w.t.Helper()
	_, err := w.apply(who, text)
	if err == nil || graph.KindOf(err) != kind {
		w.t.Fatalf("%s: got %v (%v), want %v", text, err, graph.KindOf(err), kind)
	}
	return err.(*graph.Error)
}
