package manifest_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/manifest"
)

func (w *world) export(who graph.Ref, organization string) string {
	w.t.Helper()
	var b bytes.Buffer
	must(w.t, w.sets.Export(context.Background(), identity.Caller{Subject: who}, organization, func(d manifest.Exported) error {
		return manifest.WriteYAML(&b, d)
	}))
	return b.String()
}

func TestAnExportMakesAnEmptyStoreTheSame(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "acme/main", acme)
	first := w.export(root, "")
	for _, want := range []string{"# left out, because it is secret: client_secret", "depends_on:\n    - ledger", "set: team:acme/payments", "resource: project:acme/billing", "expires_at: \"2100-01-01T00:00:00Z\""} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in\n%s", want, first)
		}
	}
	if r := w.apply(root, "acme/main", first, "plan"); r.Counts.Change+r.Counts.Create+r.Counts.Delete != 0 {
		t.Errorf("applied where it came from it would change\n%s", lines(r))
	}
	other := newWorld(t)
	other.apply(root, "all", first)
	// Secrets do not travel.
	if second := other.export(root, ""); second != strings.ReplaceAll(first, "# left out, because it is secret: client_secret\n", "") {
		t.Errorf("first\n%s\nsecond\n%s", first, second)
	}
}

func TestAnExportHoldsWhatTheCallerMayRead(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "acme/main", acme+`
- {apiVersion: trellis/v1, kind: Organization, metadata: {slug: other, id: other}}
- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: other, slug: secret}}
- {apiVersion: trellis/v1, kind: User, metadata: {id: eve}}
- {apiVersion: trellis/v1, kind: Grant, spec: {subject: "user:eve", resource: "organization:acme", actions: ["organization:read", "project:read"]}}
`)
	got := w.export(user("eve"), "acme")
	if strings.Contains(got, "other") || strings.Contains(got, "kind: Team") || strings.Contains(got, "payments") || strings.Count(got, "kind: Project") != 2 {
		t.Error(got)
	}
	err := w.sets.Export(context.Background(), identity.Caller{Subject: user("eve")}, "other", func(manifest.Exported) error { return nil })
	if graph.KindOf(err) != graph.NotFound {
		t.Error(err)
	}
	if all := w.export(root, "acme"); strings.Contains(all, "other") || !strings.Contains(all, "kind: Team") {
		t.Error(all)
	}
}

// TestAPictureIsNoneOfAManifestsAffairs: an upload is on this server only, so exports leave it
// out, and a document that does not speak of an icon leaves one that was sent.
func TestAPictureIsNoneOfAManifestsAffairs(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "acme/main", acme)
	project := w.idOf("project", "billing")
	send := func(id string, to graph.Ref) {
		t.Helper()
		u := graph.Ref{Type: identity.Upload, ID: id}
		_, err := w.ids.Apply(context.Background(), identity.Caller{Subject: root}, []identity.Mutation{
			{Op: identity.OpStoreUpload, Node: u, File: &identity.File{Name: "a.png", Parent: to, ContentType: "image/png", Size: 1, Picture: true}},
			{Op: identity.OpPutPicture, Node: to, Picture: &u},
		}, identity.ApplyOptions{})
		must(t, err)
	}
	send("u", project)
	send("v", root)
	exported := w.export(root, "")
	for _, word := range []string{"upload:u", "upload:v", "icon:", "avatar:", "blob"} {
		if strings.Contains(exported, word) {
			t.Errorf("it tells of %s:\n%s", word, exported)
		}
	}
	shown := func(want string) {
		t.Helper()
		found, err := w.graph.Store().Nodes(context.Background(), []graph.Ref{project})
		must(t, err)
		if got := found[0].Props.String("icon"); got != want {
			t.Errorf("the icon is %q, want %q", got, want)
		}
	}
	for _, set := range []string{acme, exported} {
		if r := w.apply(root, "acme/main", set); r.Counts.Change+r.Counts.Drift != 0 {
			t.Errorf("it changed\n%s", lines(r))
		}
		shown("upload:u")
	}
	newWorld(t).apply(root, "all", exported)

	const of = "apiVersion: trellis/v1\nkind: Project\nmetadata: {organization: acme, slug: billing}\n"
	// What else the document leaves out is emptied.
	same(t, lines(w.apply(root, "acme/icons", of+"spec: {name: B}", "plan")), lines(w.apply(root, "acme/icons", of+"spec: {name: B}")))
	shown("upload:u")
	same(t, lines(w.apply(root, "acme/icons", of+"spec: {name: B, icon: rocket}")), "change Project acme/billing icon:upload:u>rocket")
	if found, err := w.graph.Store().Nodes(context.Background(), []graph.Ref{{Type: identity.Upload, ID: "u"}}); err != nil || len(found) > 0 {
		t.Errorf("%v is left (%v)", found, err)
	}
	same(t, lines(w.apply(root, "acme/icons", of+"spec: {name: B}")), "change Project acme/billing icon:rocket>")
	send("w", project)
	same(t, lines(w.apply(root, "acme/icons", of+"spec: {name: B}")), "")
	same(t, lines(w.apply(root, "acme/icons", of+"spec: {name: B, description: x}", "merge")), "change Project acme/billing description:>x")
	shown("upload:w")
	send("x", project)
	same(t, lines(w.apply(root, "acme/icons", of+"spec: {name: B, icon: \"upload:x\"}")), "change Project acme/billing description:x>")
	w.refused(graph.Invalid, "/documents/0/spec/icon", root, "acme/icons", of+"spec: {name: B, icon: \"upload:none\"}")
	same(t, lines(w.apply(root, "acme/icons", of+"spec: {name: B, icon: null}")), "change Project acme/billing icon:upload:x>")
	shown("")
}

// idOf finds a node of acme by its slug.
func (w *world) idOf(t graph.Type, slug string) graph.Ref {
	w.t.Helper()
	r, err := w.ids.Resolve(context.Background(), t, graph.Ref{Type: identity.Organization, ID: orgID(w.t, w)}, slug)
	must(w.t, err)
	return r
}
