package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"trellis/api"
	"trellis/graph/identity"
)

func TestWhatWasDeletedIsRestoredByThoseWhoMay(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	before := w.ok("root", "GET", "/api/v1/organizations/acme/teams/core", "").json()
	a := w.ok("acme-owner", "DELETE", "/api/v1/organizations/acme/teams/core", "")
	gone := a.json()
	id, _ := gone["tombstone"].(string)
	if id == "" || gone["restorable_until"] == nil || fmt.Sprint(gone["deleted"]) != "map[edges:2 nodes:1]" && fmt.Sprint(gone["deleted"]) != "map[edges:1 nodes:1]" {
		t.Fatalf("got %s", a.body)
	}
	path := "/api/v1/trash/" + id
	for _, who := range []string{"other-owner", "other-editor", "acme-editor", "nobody"} {
		for _, r := range [][2]string{{"GET", path}, {"POST", path + "/restore"}, {"DELETE", path}} {
			if a := w.do(who, r[0], r[1], ""); a.status != http.StatusNotFound || a.problem() != "not-found" {
				t.Errorf("%s %s as %s: %d %s", r[0], r[1], who, a.status, a.body)
			}
		}
		if items := w.ok(who, "GET", "/api/v1/trash", "").json()["items"].([]any); len(items) != 0 {
			t.Errorf("%s lists %v", who, items)
		}
	}
	for query, want := range map[string]int{"": 1, "?type=team": 1, "?type=project": 0, "?organization=acme": 1, "?organization=other": 0, "?limit=1": 1} {
		if items := w.ok("acme-owner", "GET", "/api/v1/trash"+query, "").json()["items"].([]any); len(items) != want {
			t.Errorf("%s lists %v", query, items)
		}
	}
	item := w.ok("acme-owner", "GET", path, "").json()
	if item["node"] != "team:acme-core" || item["organization"] != "acme" || item["deleted_by"] != "user:acme-owner" || item["slug"] != "core" {
		t.Errorf("got %v", item)
	}
	// Whoever may read and not restore is told so.
	w.ok("root", "PUT", "/api/v1/grants", `{"subject":"user:acme-editor","actions":["tombstone:read"],"resource":"organization:acme"}`)
	if a := w.do("acme-editor", "POST", path+"/restore", ""); a.status != http.StatusForbidden {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.do("acme-editor", "DELETE", path, ""); a.status != http.StatusForbidden {
		t.Errorf("%d %s", a.status, a.body)
	}
	// The slug is taken by now.
	w.ok("acme-owner", "PUT", "/api/v1/organizations/acme/teams/another", `{"slug":"core"}`)
	if a := w.do("acme-owner", "POST", path+"/restore", ""); a.status != http.StatusConflict || a.problem() != "exists" || !strings.Contains(string(a.body), "core by now") || a.json()["node"] != "team:another" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.do("acme-owner", "POST", path+"/restore", `{"slug":"Bad Slug"}`); a.status != 422 || !strings.Contains(string(a.body), `"/slug"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	back := w.ok("acme-owner", "POST", path+"/restore", `{"slug":"heart"}`, "Idempotency-Key", "once").json()
	again := w.ok("acme-owner", "POST", path+"/restore", `{"slug":"heart"}`, "Idempotency-Key", "once")
	if again.header.Get("Idempotent-Replayed") != "true" || fmt.Sprint(again.json()) != fmt.Sprint(back) {
		t.Errorf("repeated: %s, not %v", again.body, back)
	}
	if back["node"] != "team:acme-core" || back["lost"] != 0.0 || back["restored"].(map[string]any)["nodes"] != 1.0 {
		t.Errorf("got %v", back)
	}
	after := w.ok("root", "GET", "/api/v1/organizations/acme/teams/heart", "").json()
	if after["id"] != before["id"] || after["name"] != before["name"] {
		t.Errorf("got %v", after)
	}
	if a := w.do("acme-owner", "POST", path+"/restore", ""); a.status != http.StatusNotFound {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestErasedOrPastItsTimeNothingIsRestored(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	if a := w.ok("acme-owner", "DELETE", "/api/v1/organizations/acme/teams/core?erase=true", ""); strings.Contains(string(a.body), "tombstone") {
		t.Errorf("got %s", a.body)
	}
	a := w.ok("root", "DELETE", "/api/v1/organizations/other?cascade=true", "").json()
	path := "/api/v1/trash/" + a["tombstone"].(string)
	now := time.Now()
	w.clock = func() time.Time { return now.Add(identity.DefaultTrash) }
	if a := w.do("root", "POST", path+"/restore", ""); a.status != http.StatusGone || a.problem() != "gone" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := w.ok("root", "DELETE", path, "").json()["deleted"].(map[string]any); got["nodes"] != 3.0 {
		t.Errorf("erased %v", got)
	}
	if a := w.do("root", "GET", path, ""); a.status != http.StatusNotFound {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestPiecesOfTheTrashAreShownNowhere(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).sample()
	head := w.head()
	a := w.ok("root", "DELETE", "/api/v1/organizations/acme?cascade=true", "").json()
	path := "/api/v1/trash/" + a["tombstone"].(string)
	w.ok("root", "POST", path+"/restore", "")
	for _, q := range []string{`{"type":"tombstone_part","permission":"tombstone:read"}`, `{"type":"tombstone_part","permission":"*"}`} {
		if a := w.do("root", "POST", "/api/v1/access/resources", q); strings.Contains(string(a.body), a0(path)) {
			t.Errorf("%s: %s", q, a.body)
		}
	}
	if a := w.do("root", "GET", "/api/v1/resources/tombstone_part", ""); a.status != http.StatusNotFound {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.do("root", "GET", "/api/v1/resources/tombstone", ""); a.status != http.StatusNotFound {
		t.Errorf("%d %s", a.status, a.body)
	}
	if s := w.everything(); strings.Contains(s, "tombstone_part") {
		t.Error("the audit log tells of pieces")
	}
	changes, err := w.graph.Store().Changes(t.Context(), head, 10)
	if err != nil || len(changes) != 2 {
		t.Fatal(len(changes), err)
	}
}

func a0(path string) string { return path[strings.LastIndexByte(path, '/')+1:] + "/1" }
