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
