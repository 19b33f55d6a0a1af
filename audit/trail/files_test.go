package trail_test

import (
	"strings"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// TestFilesAreToldOfAndBlobsAreNot follows a file from its announcement to its end:
// a picture is told by the field of its node, and of blobs there is no word.
func TestFilesAreToldOfAndBlobsAreNot(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	w.must(root, `{"op":"create","node":"organization:acme","data":{}}
{"op":"create","node":"project:till","data":{"organization":"acme"}}`)
	do := func(want string, muts ...identity.Mutation) {
		t.Helper()
		o, err := w.Apply(t.Context(), identity.Caller{Subject: root}, muts, identity.ApplyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		events := eventsOf(t, w, o.Change)
		isLines(t, events, want)
		for _, e := range events {
			if strings.Contains(line(e), "blob") || strings.Contains(line(e), "complete_by") || strings.Contains(line(e), "secret") {
				t.Errorf("it tells %s", line(e))
			}
		}
	}
	blob := graph.Node{Ref: graph.Ref{Type: identity.Blob, ID: "b"}, Names: []string{"blob:5ae7"}, Props: graph.Props{identity.PropSHA256: "5ae7"}}
	made := w.write(graph.Put(blob))
	isLines(t, eventsOf(t, w, made), ``)

	upload, project := graph.Ref{Type: identity.Upload, ID: "u"}, graph.Ref{Type: identity.Project, ID: "till"}
	const known = `"belongs_to":"project:till","content_type":"image/png","created_by":"service_account:root","filename":"a.png"`
	do(`upload:create upload:u +{`+known+`,"organization":"acme","parents":["project:till"],"sha256":"00","size":3,"state":"pending"} @upload:u,project:till,organization:acme`,
		identity.Mutation{Op: identity.OpStoreUpload, Node: upload, File: &identity.File{Name: "a.png", Parent: project, ContentType: "image/png", Size: 3, SHA256: "00", Due: time.Now().Add(time.Hour)}})
	do(`upload:update upload:u -{"height":0,"sha256":"00","state":"pending","width":0} +{"height":2,"sha256":"5ae7","state":"ready","width":1} @upload:u,project:till,organization:acme`,
		identity.Mutation{Op: identity.OpStoreUpload, Node: upload, Arrived: true, File: &identity.File{ContentType: "image/png", Size: 3, SHA256: "5ae7", Width: 1, Height: 2, Blob: blob.Ref, BlobAt: made.Revision}})
	do(`project:update project:till -{"icon":""} +{"icon":"upload:u"} @project:till,organization:acme`,
		identity.Mutation{Op: identity.OpPutPicture, Node: project, Picture: &upload})
	do(`
		project:update project:till -{"icon":"upload:u"} +{"icon":""} @project:till,organization:acme
		upload:delete upload:u -{`+known+`,"height":2,"organization":"acme","parents":["project:till"],"sha256":"5ae7","size":3,"state":"ready","width":1} @upload:u,project:till,organization:acme`,
		identity.Mutation{Op: identity.OpDelete, Node: upload, Cascade: true})

	// A tombstone that holds a blob says nothing of it either.
	k := graph.EdgeKey{From: graph.Ref{Type: identity.Tombstone, ID: "t"}, Kind: identity.StoredAs, To: blob.Ref}
	for _, e := range eventsOf(t, w, w.write(graph.Put(graph.Node{Ref: k.From}), graph.Link(graph.Edge{EdgeKey: k}))) {
		if strings.Contains(line(e), "blob") {
			t.Errorf("it tells %s", line(e))
		}
	}
}
