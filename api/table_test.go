package api_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"trellis/api"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryRouteSaysWhoMayCall(t *testing.T) {
	ids := map[string]bool{}
	for _, r := range api.Routes() {
		if !r.Guarded {
			t.Errorf("%s %s has not exactly one of needs, public and self", r.Method, r.Path)
		}
		if r.ID == "" || ids[r.ID] {
			t.Errorf("%s %s has no operation id of its own: %q", r.Method, r.Path, r.ID)
		}
		ids[r.ID] = true
		// Addresses below /blobs/ are signed: whoever has one may use it until it expires.
		if r.Public && strings.HasPrefix(r.Path, "/api/") && r.Path != v1+"/blobs/{key...}" {
			t.Errorf("%s %s is public", r.Method, r.Path)
		}
		if r.Method == http.MethodPost && !r.Writes && !strings.Contains(r.Path, "/access/") {
			t.Errorf("%s %s writes without heeding Idempotency-Key", r.Method, r.Path)
		}
	}
}

func TestEveryRouteButThePublicOnesWantsACredential(t *testing.T) {
	w := newWorld(t, api.Options{})
	for _, r := range api.Routes() {
		path := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(r.Path, "x")
		a := w.do("", r.Method, path, "")
		if r.Public == (a.status == 401) {
			t.Errorf("%s %s without a credential: %d", r.Method, r.Path, a.status)
		}
		if !r.Public && (a.problem() != "unauthenticated" || a.header.Get("WWW-Authenticate") == "") {
			t.Errorf("%s %s: %s", r.Method, r.Path, a.body)
		}
	}
}

func TestOpenAPIIsTheGoldenFile(t *testing.T) {
	w := newWorld(t, api.Options{Version: "golden"})
	got := w.ok("", "GET", "/openapi.json", "").body
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if string(got) != string(want) {
		t.Error("the OpenAPI document is not the golden file; look at the difference after go test ./api -run OpenAPI -update")
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ OperationID string }
	}
	must(t, json.Unmarshal(got, &doc))
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi %s", doc.OpenAPI)
	}
	for _, r := range api.Routes() {
		if doc.Paths[strings.Replace(r.Path, "...}", "}", 1)][strings.ToLower(r.Method)].OperationID != r.ID {
			t.Errorf("%s %s is not in the document", r.Method, r.Path)
		}
	}
}

func TestDocsPageWorksOffline(t *testing.T) {
	w := newWorld(t, api.Options{})
	page := string(w.ok("", "GET", "/docs", "").body)
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(m[1], "/docs/") {
			t.Errorf("the page asks for %s", m[1])
			continue
		}
		if a := w.do("", "GET", m[1], ""); a.status != 200 || len(a.body) == 0 {
			t.Errorf("%s: %d", m[1], a.status)
		}
	}
}
