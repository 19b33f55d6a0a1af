package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"trellis/api"
)

// set is the body of a request to apply documents.
func set(more string, docs ...string) string {
	const version = `{"apiVersion":"trellis/v1",`
	return `{` + more + `"documents":[` + version + strings.Join(docs, "},"+version) + `}]}`
}

const (
	tagGo     = `"kind":"Tag","metadata":{"organization":"acme","slug":"go"}`
	projectOK = `"kind":"Project","metadata":{"organization":"acme","slug":"billing"},"spec":{"name":"Billing","tags":["go"]}`
)

func TestManifestsAreForThoseWhoMay(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	mine := v1 + "/manifests/acme%2Fmain"
	w.run([]scenario{
		{as: "", method: "POST", path: mine, body: set("", tagGo), status: 401, want: "unauthenticated"},
		{as: "nobody", method: "POST", path: mine, body: set("", tagGo), status: 404, want: "not-found"},
		{as: "other-owner", method: "POST", path: mine, body: set("", tagGo), status: 404, want: "not-found"},
		{as: "acme-editor", method: "POST", path: mine, body: set("", tagGo), status: 404, want: "not-found"},
		{as: "acme-owner", method: "POST", path: v1 + "/manifests/main", body: set("", tagGo), status: 404, want: "not-found"},
		{as: "acme-owner", method: "POST", path: mine, body: set(`"plan":true,`, tagGo, projectOK), status: 200, want: `"create":2`},
		{as: "acme-owner", method: "GET", path: mine, status: 404, want: "not-found"},
		{as: "acme-owner", method: "POST", path: mine, body: set("", tagGo, projectOK), status: 200, want: `"create":2`},
		{as: "acme-owner", method: "POST", path: mine, body: set("", tagGo, projectOK), status: 200, want: `"changed":false`},
		{as: "acme-owner", method: "GET", path: v1 + "/manifests", status: 200, want: `"size":2`},
		{as: "other-owner", method: "GET", path: v1 + "/manifests", status: 200, want: `"items":[]`},
		{as: "other-owner", method: "GET", path: mine, status: 404, want: "not-found"},
		{as: "other-owner", method: "DELETE", path: mine, status: 404, want: "not-found"},
		{as: "other-owner", method: "POST", path: v1 + "/manifests/other%2Fmain", body: set("", tagGo), status: 422, want: "invalid"},
		{as: "acme-owner", method: "POST", path: mine, body: set(`"prune":true,`, tagGo), status: 200, want: `"delete":1`},
		{as: "acme-owner", method: "DELETE", path: mine, status: 200, want: `"name":"acme/main"`},
		{as: "acme-owner", method: "GET", path: mine, status: 404, want: "not-found"},
	})
}

func TestFaultsOfManifestsNameTheDocument(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	path := v1 + "/manifests/acme%2Fmain"
	for _, c := range []struct {
		body    string
		status  int
		pointer string
	}{
		{`{}`, 422, "/documents"},
		{`{"documents":[{"kind":"Tag"}]}`, 422, "/documents/0/apiVersion"},
		{set("", `"kind":"Nothing"`), 422, "/documents/0/kind"},
		{set("", tagGo, `"kind":"Tag","metadata":{"slag":"x"}`), 422, "/documents/1/metadata/slag"},
		{set("", tagGo, `"kind":"Project","metadata":{"organization":"acme","slug":"x"},"spec":{"types":["none"]}`), 422, "/documents/1/spec/types/0"},
		{set("", tagGo, `"kind":"User","metadata":{"id":"new"}`), 404, "/documents/1"},
	} {
		a := w.do("acme-owner", "POST", path, c.body)
		if a.status != c.status || !strings.Contains(string(a.body), `"pointer":"`+c.pointer+`"`) {
			t.Errorf("%s: %d %s", c.body, a.status, a.body)
		}
	}
}

func TestARepeatedApplyIsCarriedOutOnce(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	path := v1 + "/manifests/acme%2Fmain"
	first := w.ok("acme-owner", "POST", path, set("", tagGo, projectOK), "Idempotency-Key", "k")
	head := w.head()
	again := w.ok("acme-owner", "POST", path, set("", tagGo, projectOK), "Idempotency-Key", "k")
	if w.head() != head || again.header.Get("Idempotent-Replayed") != "true" || string(first.body) != string(again.body) {
		t.Errorf("%s\n%s", first.body, again.body)
	}
}

func TestTenThousandDocumentsAreOneRevision(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	docs := make([]string, 10_000)
	for i := range docs {
		docs[i] = fmt.Sprintf(`"kind":"Project","metadata":{"organization":"acme","slug":"p%d"},"spec":{"name":"P %d"}`, i, i)
	}
	before := w.head()
	var out api.ManifestOutput
	must(t, json.Unmarshal(w.ok("acme-owner", "POST", v1+"/manifests/acme%2Fall", set("", docs...)).body, &out))
	if w.head() != before+1 || out.Counts.Create != len(docs) {
		t.Errorf("%d revisions, %+v", w.head()-before, out.Counts)
	}
	if a := w.do("acme-owner", "POST", v1+"/manifests/acme%2Fall", set("", slices.Concat(docs, docs[:1])...)); a.status != 413 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
