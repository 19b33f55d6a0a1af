package identity_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/sqlitegraph"
)

// onStores runs a test on each engine, with an empty store.
func onStores(t *testing.T, test func(t *testing.T, store graph.Store)) {
	t.Run("sqlite", func(t *testing.T) {
		store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
		if err != nil {
			t.Fatal(err)
		}
		test(t, store)
	})
	t.Run("neo4j", func(t *testing.T) {
		address := os.Getenv("TRELLIS_TEST_NEO4J_URL")
		if address == "" {
			t.Skip("TRELLIS_TEST_NEO4J_URL is not set: nothing on Neo4j was tested (the database it names is emptied)")
		}
		test(t, neo4jStore(t, address))
	})
}

// onBoth runs a test on each engine, in a world with a catalog.
func onBoth(t *testing.T, test func(t *testing.T, w *world)) {
	onStores(t, func(t *testing.T, store graph.Store) {
		w := newWorldOn(t, &lateStore{Store: store})
		w.must(root, catalog)
		test(t, w)
	})
}

// lateStore lets something happen after it was asked for a node, or for the edges
// at one, before the answer is used.
type lateStore struct {
	graph.Store
	at     graph.Ref
	edges  bool
	happen func()
}

func (s *lateStore) Ask(ctx context.Context, q graph.Question) (graph.Answer, error) {
	a, err := s.Store.Ask(ctx, q)
	s.asked(q.Refs, q.Name == graph.EdgesIn)
	return a, err
}

func (s *lateStore) Nodes(ctx context.Context, refs []graph.Ref) ([]graph.Node, error) {
	n, err := s.Store.Nodes(ctx, refs)
	s.asked(refs, false)
	return n, err
}

func (s *lateStore) asked(refs []graph.Ref, edges bool) {
	if h := s.happen; h != nil && edges == s.edges && slices.Contains(refs, s.at) {
		s.happen = nil
		h()
	}
}

// between has something happen when the service has looked at a node, or at the edges
// there, and not yet written. What it returns tells whether that has come.
func (w *world) between(r string, edges bool, happen func()) func() bool {
	s := w.store.(*lateStore)
	s.at, s.edges, s.happen = node(w.t, r), edges, happen
	return func() bool { return s.happen == nil }
}

func (w *world) do(who graph.Ref, muts ...identity.Mutation) (identity.Outcome, error) {
	return w.Apply(context.Background(), identity.Caller{Subject: who}, muts, identity.ApplyOptions{})
}

func (w *world) done(who graph.Ref, muts ...identity.Mutation) identity.Outcome {
	w.t.Helper()
	o, err := w.do(who, muts...)
	if err != nil {
		w.t.Fatalf("%+v\nby %s: %v (step %d, %v)", muts, who, err, step(err), fields(err))
	}
	return o
}

// not asserts the kind of error and that nothing was written.
func (w *world) not(who graph.Ref, kind graph.ErrorKind, muts ...identity.Mutation) *graph.Error {
	w.t.Helper()
	before := w.graph.State().Applied
	_, err := w.do(who, muts...)
	if err == nil || graph.KindOf(err) != kind {
		w.t.Fatalf("%+v\nby %s: got %v (%v), want an error of kind %v", muts, who, err, graph.KindOf(err), kind)
	}
	if after := w.graph.State().Applied; after != before {
		w.t.Fatalf("%+v\nwas refused but wrote revision %d", muts, after)
	}
	return err.(*graph.Error)
}

// pointing asserts that the error points at one part of the mutation, and what it says.
func pointing(t *testing.T, e *graph.Error, pointer, word string) {
	t.Helper()
	if len(e.Fields) != 1 || e.Fields[0].Pointer != pointer || !strings.Contains(e.Fields[0].Msg, word) {
		t.Errorf("got %v; want %s: %s", e.Fields, pointer, word)
	}
}

// file is a picture that has arrived, whose bytes are those of a blob of its own.
func (w *world) file(name string, asPicture bool) *identity.File {
	w.t.Helper()
	f := &identity.File{Name: name, ContentType: "image/png", Size: 9, SHA256: "5ae7", Width: 3, Height: 2, Picture: asPicture}
	f.Blob, f.BlobAt = w.blob("of-" + name)
	return f
}

// blob returns a blob, which it makes if there is none.
func (w *world) blob(id string) (graph.Ref, graph.Revision) {
	w.t.Helper()
	n := graph.Node{Ref: graph.Ref{Type: identity.Blob, ID: id}, Names: []string{"blob:" + id}, Props: graph.Props{identity.PropSize: 9}}
	if _, err := w.graph.Write(context.Background(), graph.Batch{Actor: graph.Root, Steps: []graph.Step{graph.Put(n)}}); err != nil {
		w.t.Fatal(err)
	}
	found, err := w.store.Nodes(context.Background(), []graph.Ref{n.Ref})
	if err != nil || len(found) != 1 {
		w.t.Fatal(found, err)
	}
	return n.Ref, found[0].Revision
}

func upload(id string) graph.Ref { return graph.Ref{Type: identity.Upload, ID: id} }

// storing is the mutation that makes an upload; parent may be "".
func storing(id, parent string, f *identity.File) identity.Mutation {
	if parent != "" {
		f.Parent, _ = graph.ParseRef(parent)
	}
	return identity.Mutation{Op: identity.OpStoreUpload, Node: upload(id), File: f}
}

func picturing(node, id string) identity.Mutation {
	r, _ := graph.ParseRef(node)
	m := identity.Mutation{Op: identity.OpPutPicture, Node: r, Picture: &graph.Ref{}}
	if id != "" {
		*m.Picture = upload(id)
	}
	return m
}

// upload makes an upload of a picture.
func (w *world) upload(who graph.Ref, id, parent string, asPicture bool) {
	w.t.Helper()
	w.done(who, storing(id, parent, w.file(id, asPicture)))
}

func (w *world) exists(r string) bool {
	w.t.Helper()
	found, err := w.store.Nodes(context.Background(), []graph.Ref{node(w.t, r)})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(found) > 0
}

// sources lists from where edges of the kind come.
func (w *world) sources(r string, k graph.Kind) string {
	w.t.Helper()
	a, err := w.store.Ask(context.Background(), graph.Question{Name: graph.EdgesTo, Ref: node(w.t, r), Kind: k, Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range a.Edges {
		out = append(out, e.From.String())
	}
	return strings.Join(out, " ")
}

func TestAnUploadIsBelowWhatItBelongsTo(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.must(root, `{"op":"create","node":"folder:deep","data":{"parents":["folder:plans"]}}`)
		for _, c := range []struct{ who, parent, below, org, owner string }{
			{"user:dev", "project:billing", "project:billing", "acme", "user:dev"}, // developers may not delete uploads
			{"user:alice", "project:billing", "project:billing", "acme", ""},
			{"user:dev", "", "user:dev", "", ""},
			{"user:alice", "folder:deep", "folder:deep", "acme", ""},
			{"user:alice", "organization:acme", "organization:acme", "acme", ""},
			{"service_account:root", "platform:root", "platform:root", "", ""},
			{"service_account:root", "group:g", "group:g", "", ""},
		} {
			if c.parent == "group:g" {
				w.must(root, `{"op":"create","node":"group:g","data":{}}`)
			}
			id := strings.NewReplacer(":", "-").Replace(c.who + c.below)
			w.upload(node(t, c.who), id, c.parent, false)
			p := w.props("upload:" + id)
			if p.String(identity.PropOwner) != c.below || p.String(identity.PropCreator) != c.who || p.String("organization") != c.org || p.String(identity.PropState) != identity.StateReady {
				t.Errorf("%s below %s: %v", c.who, c.below, p)
			}
			w.wants("upload:"+id, map[graph.Kind]string{graph.ChildOf: c.below, identity.StoredAs: "blob:of-" + id})
			if got := w.sources("upload:"+id, graph.CanAccess); got != c.owner {
				t.Errorf("%s below %s: %q got a grant, want %q", c.who, c.below, got, c.owner)
			}
			for _, p := range []string{identity.ReadUpload, identity.DeleteUpload, identity.CreateUpload} {
				if !w.allowed(c.who, p, "upload:"+id) {
					t.Errorf("%s lacks %s on what it sent to %s", c.who, p, c.below)
				}
			}
			if w.allowed("user:eve", identity.ReadUpload, "upload:"+id) {
				t.Errorf("eve sees %s", id)
			}
		}
	})
}

func TestWhatCannotHoldUploads(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.upload(root, "u", "", false)
		for _, parent := range []string{"upload:u", "role:viewer", "resource_type:folder", "permission:folder:read", "tombstone:t", "blob:of-u", "blob:none", "api_key:k", "manifest:m", "everyone:*"} {
			pointing(t, w.not(root, graph.Invalid, storing("new", parent, w.file("new", false))), "/parent", "cannot hold uploads")
		}
		// Who may not see the parent hears what they would hear if there were none.
		hidden, none := w.not(user("eve"), graph.NotFound, storing("new", "project:billing", w.file("new", false))), w.not(user("eve"), graph.NotFound, storing("new", "project:none", w.file("new", false)))
		if strings.ReplaceAll(hidden.Msg, "billing", "none") != none.Msg {
			t.Errorf("%q and %q", hidden.Msg, none.Msg)
		}
		w.must(root, `{"op":"put_grant","subject":"user:eve","resource":"project:billing","actions":["project:read"]}`)
		if e := w.not(user("eve"), graph.Denied, storing("new", "project:billing", w.file("new", false))); e.Permission != identity.CreateUpload || e.Ref.String() != "project:billing" {
			t.Errorf("got %+v", e)
		}
		w.not(root, graph.NotFound, storing("new", "project:none", w.file("new", false)))
		w.not(root, graph.Invalid, identity.Mutation{Op: identity.OpStoreUpload, Node: node(t, "project:new"), File: w.file("new", false)})
	})
}

func TestAnAnnouncedUploadArrivesOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		due := time.Now().Add(time.Hour)
		w.done(user("dev"), storing("u", "project:billing", &identity.File{Name: "plan.png", ContentType: "image/png", Size: 9, SHA256: "5ae7", Due: due, Picture: true}))
		p := w.props("upload:u")
		if p.String(identity.PropState) != identity.StatePending || p.Int(identity.PropDue) != due.UnixMilli() {
			t.Errorf("announced: %v", p)
		}
		w.wants("upload:u", map[graph.Kind]string{identity.StoredAs: "", graph.ChildOf: "project:billing"})

		arrived := identity.Mutation{Op: identity.OpStoreUpload, Node: upload("u"), File: w.file("", false), Arrived: true}
		w.not(user("eve"), graph.Denied, arrived)
		none := arrived
		none.Node = upload("none")
		w.not(user("dev"), graph.NotFound, none)
		w.not(user("dev"), graph.Exists, storing("u", "project:billing", w.file("other", false)))

		w.done(user("dev"), arrived)
		p = w.props("upload:u")
		want := map[string]string{
			identity.PropState: identity.StateReady, identity.PropFilename: "plan.png", identity.PropOwner: "project:billing", identity.PropCreator: "user:dev", "organization": "acme",
		}
		for name, v := range want {
			if p.String(name) != v {
				t.Errorf("%s is %q, want %q", name, p.String(name), v)
			}
		}
		if p.Int(identity.PropDue) != 0 || !p.Bool(identity.PropPicture) || p.Int(identity.PropWidth) != 3 {
			t.Errorf("arrived: %v", p)
		}
		w.wants("upload:u", map[graph.Kind]string{identity.StoredAs: "blob:of-"})
		w.not(user("dev"), graph.Exists, arrived)
		w.not(user("dev"), graph.Exists, storing("u", "project:billing", w.file("other", false)))
	})
}

func TestABlobThatChangedIsNamed(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		f := w.file("u", false)
		gone := graph.Node{Ref: f.Blob, Props: graph.Props{identity.PropSize: 9, "condemned": true}}
		if _, err := w.graph.Write(t.Context(), graph.Batch{Steps: []graph.Step{graph.Put(gone)}}); err != nil {
			t.Fatal(err)
		}
		if e := w.not(root, graph.Stale, storing("u", "", f)); e.Ref != f.Blob {
			t.Errorf("it names %v", e.Ref)
		}
		if _, err := w.graph.Write(t.Context(), graph.Batch{Steps: []graph.Step{graph.Delete(f.Blob)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.do(root, storing("u", "", f)); (graph.KindOf(err) != graph.Stale && graph.KindOf(err) != graph.NotFound) || err.(*graph.Error).Ref != f.Blob {
			t.Errorf("without the blob: %v", err)
		}
		if w.exists("upload:u") {
			t.Error("there is an upload without a blob")
		}
	})
}

func TestJSONMakesNoFiles(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	w.upload(root, "u", "", false)
	for text, want := range map[string][2]string{
		`{"op":"store_upload","node":"upload:new"}`: {"/op", "by sending a file"},
		`{"op":"store_upload","node":"upload:new","File":{"Name":"x"},"Arrived":true,"file":{},"arrived":true,"data":{"size":1}}`: {"/op", "by sending a file"},
		`{"op":"put_picture","node":"project:billing","Picture":"upload:u","picture":"upload:u","data":{"icon":"upload:u"}}`:      {"/op", "by sending a file"},
		`{"op":"create","node":"upload:new","data":{}}`:                                         {"/node", "by sending a file"},
		`{"op":"put","node":"upload:new","data":{"state":"ready"}}`:                             {"/node", "by sending a file"},
		`{"op":"put","node":"upload:u","data":{"sha256":"00"}}`:                                 {"/node", "stay as they are"},
		`{"op":"patch","node":"upload:u","data":{"filename":"x"}}`:                              {"/node", "stay as they are"},
		`{"op":"ensure","node":"upload:u","data":{"belongs_to":"user:eve"}}`:                    {"/node", "stay as they are"},
		`{"op":"create","node":"blob:new","data":{}}`:                                           {"/node", "not written this way"},
		`{"op":"put","node":"blob:of-u","data":{}}`:                                             {"/node", "not written this way"},
		`{"op":"patch","node":"blob:of-u","data":{}}`:                                           {"/node", "not written this way"},
		`{"op":"create","node":"resource_type:upload","data":{}}`:                               {"/node", "is taken"},
		`{"op":"create","node":"resource_type:blob","data":{}}`:                                 {"/node", "belongs to Trellis"},
		`{"op":"put","node":"resource_type:blob","data":{}}`:                                    {"/node", "belongs to Trellis"},
		`{"op":"create","node":"resource_type:note","data":{"parents":["upload"]}}`:             {"/data/parents", "below an upload"},
		`{"op":"patch","node":"resource_type:folder","data":{"parents":["upload"]}}`:            {"/data/parents", "below an upload"},
		`{"op":"create","node":"resource_type:note","data":{"parents":["blob"]}}`:               {"/data/parents", "no resource type blob"},
		`{"op":"create","node":"folder:f","data":{"parents":["upload:u"]}}`:                     {"/data/parents", "cannot have"},
		`{"op":"put_grant","subject":"upload:u","resource":"project:billing","role":"viewer"}`:  {"/subject", "cannot be given access"},
		`{"op":"put_grant","subject":"blob:of-u","resource":"project:billing","role":"viewer"}`: {"/subject", "cannot be given access"},
	} {
		kind := graph.Invalid
		if want[1] == "is taken" {
			kind = graph.Exists
		}
		pointing(t, w.refused(root, kind, text), want[0], want[1])
	}
	// Nobody holds anything on a blob.
	w.refused(root, graph.Denied, `{"op":"delete","node":"blob:of-u"}`)
	w.refused(root, graph.Denied, `{"op":"put_grant","subject":"user:eve","resource":"blob:of-u","role":"viewer"}`)
	w.refused(root, graph.Denied, `{"op":"patch","node":"resource_type:upload","data":{"actions":[]}}`)
	w.refused(root, graph.Denied, `{"op":"delete","node":"resource_type:upload"}`)
}

func TestAStoreThatUsesTheNamesOfFilesIsRefused(t *testing.T) {
	for _, name := range []string{"upload", "blob"} {
		w := newWorld(t)
		own := graph.Node{Ref: graph.Ref{Type: identity.ResourceType, ID: name}, Props: graph.Props{"name": name, "parents": []string{"platform"}}}
		if _, err := w.graph.Write(t.Context(), graph.Batch{Steps: []graph.Step{graph.Put(own)}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Bootstrap(t.Context()); graph.KindOf(err) != graph.Exists || !strings.Contains(err.Error(), "resource type "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := newWorld(t)
	if err := w.Bootstrap(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestUploadsGoWithWhatTheyBelongTo(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.must(root, `
{"op":"create","node":"user:keeper","data":{}}
{"op":"create","node":"folder:f","data":{"parents":["organization:acme"]}}
{"op":"create","node":"project:small","data":{"organization":"acme"}}
{"op":"create","node":"team:small","data":{"organization":"acme"}}
{"op":"create","node":"role:remover","data":{"permissions":["project:delete","team:delete","folder:delete","user:delete"]}}
{"op":"put_grant","subject":"user:keeper","resource":"platform:root","role":"remover"}`)
		for _, parent := range []string{"user:dev", "project:small", "team:small", "folder:f"} {
			id := strings.ReplaceAll(parent, ":", "-")
			w.upload(root, id, parent, false)
			w.done(root, storing(id+"-pending", parent, &identity.File{Name: "x", ContentType: "image/png", Due: time.Now().Add(time.Hour)}))
			w.refused(user("eve"), graph.Denied, `{"op":"delete","node":"upload:`+id+`"}`)
			if w.allowed("user:keeper", identity.DeleteUpload, "upload:"+id) {
				t.Fatal("the test means nothing")
			}
			w.must(user("keeper"), `{"op":"delete","node":"`+parent+`","erase":true}`)
			if w.exists("upload:"+id) || w.exists("upload:"+id+"-pending") {
				t.Errorf("an upload outlived %s", parent)
			}
			if !w.exists("blob:of-"+id) || w.sources("blob:of-"+id, identity.StoredAs) != "" {
				t.Errorf("the blob of the upload of %s is not left alone", parent)
			}
		}
	})
}
