package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"trellis/api"
)

func TestBadInputIsRefusedAndWritesNothing(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	w.tokens["wrong"] = "tk_aaaaaaaaaaaaaaaa_" + strings.Repeat("a", 52)
	w.tokens["garbage"] = "garbage"
	first := w.ok("root", "GET", v1+"/users?limit=1", "").json()["next_cursor"].(string)
	megabyte := strings.Repeat("x", 1<<20)
	check := v1 + "/access/check"
	const good = `{"permission":"repo:push","resource":"repo:acme/main"}`
	checkWith := func(more string) string { return strings.TrimSuffix(good, "}") + "," + more + "}" }
	token := func(rev string) string { // of this store
		return strings.SplitN(w.do("root", "GET", v1+"/me", "").header.Get("Trellis-Revision"), ".", 2)[0] + "." + rev
	}
	list := []struct {
		scenario
		at string // pointer or parameter of the first fault
	}{
		// Not known who.
		{scenario{"", "GET", v1 + "/users", "", 401, "unauthenticated", nil}, ""},
		{scenario{"wrong", "GET", v1 + "/users", "", 401, "unauthenticated", nil}, ""},
		{scenario{"garbage", "POST", check, good, 401, "unauthenticated", nil}, ""},
		{scenario{"", "GET", v1 + "/users", "", 401, "unauthenticated", []string{"Authorization", "Basic cm9vdDpyb290"}}, ""},
		// Nothing there.
		{scenario{"root", "GET", "/nothing", "", 404, "no-route", nil}, ""},
		{scenario{"root", "GET", v1 + "/users/", "", 404, "no-route", nil}, ""},
		{scenario{"root", "PUT", v1 + "/me", "", 405, "method-not-allowed", nil}, ""},
		{scenario{"root", "GET", v1 + "/resources/ghost/x", "", 404, "not-found", nil}, ""},
		{scenario{"root", "GET", v1 + "/resources/user/nobody", "", 404, "not-found", nil}, ""},
		{scenario{"root", "GET", v1 + "/organizations/other/teams/acme-core", "", 404, "not-found", nil}, ""},
		// Not readable.
		{scenario{"root", "POST", v1 + "/users", `{"name":`, 400, "malformed", nil}, ""},
		{scenario{"root", "POST", v1 + "/users", `{"name":"a"} {}`, 400, "malformed", nil}, ""},
		{scenario{"root", "POST", v1 + "/users", `{"name":"a","name":"b"}`, 400, "malformed", nil}, "/name"},
		{scenario{"root", "POST", v1 + "/users", "{\"name\":\"\xff\"}", 400, "malformed", nil}, ""},
		{scenario{"root", "POST", v1 + "/users", "", 400, "malformed", nil}, ""},
		{scenario{"root", "POST", check, `{"permission":"repo:push","permission":"repo:read","resource":"repo:x"}`, 400, "malformed", nil}, "/permission"},
		{scenario{"root", "POST", check, `{"permission":"repo:push"`, 400, "malformed", nil}, ""},
		{scenario{"root", "POST", check, good + "x", 400, "malformed", nil}, ""},
		{scenario{"root", "POST", check, good + good, 400, "malformed", nil}, ""},
		{scenario{"root", "POST", check, "", 400, "malformed", nil}, ""},
		{scenario{"root", "POST", v1 + "/batch", `{"mutations":[{"op":"put"},]}`, 400, "malformed", nil}, ""},
		{scenario{"root", "PATCH", v1 + "/users/nobody", `{"name":"x"}`, 400, "malformed", []string{"If-Match", "3"}}, ""},
		// Not JSON, too large.
		{scenario{"root", "POST", v1 + "/users", `name=x`, 415, "media-type", []string{"Content-Type", "application/x-www-form-urlencoded"}}, ""},
		{scenario{"root", "POST", v1 + "/users", `{}`, 415, "media-type", []string{"Content-Type", ""}}, ""},
		{scenario{"root", "POST", check, good, 415, "media-type", []string{"Content-Type", "text/plain"}}, ""},
		{scenario{"root", "POST", check, good, 415, "media-type", []string{"Content-Type", "application/json; charset=latin1"}}, ""},
		{scenario{"root", "PUT", v1 + "/users/x", `{}`, 415, "media-type", []string{"Content-Type", "application/merge-patch+json"}}, ""},
		{scenario{"root", "POST", v1 + "/users", `{"name":"` + megabyte + `"}`, 413, "too-large", nil}, ""},
		{scenario{"root", "POST", check, checkWith(`"context":{"x":"` + megabyte + `"}`), 413, "too-large", nil}, ""},
		{scenario{"root", "POST", v1 + "/batch", `{"mutations":[],"x":"` + strings.Repeat(megabyte, 16) + `"}`, 413, "too-large", nil}, ""},
		// Not valid.
		{scenario{"root", "POST", v1 + "/users", `{"nickname":"x"}`, 422, "invalid", nil}, "/nickname"},
		{scenario{"root", "POST", v1 + "/users", `{"email":"nobody"}`, 422, "invalid", nil}, "/email"},
		{scenario{"root", "POST", v1 + "/users", `{"id":"` + strings.Repeat("x", 1<<19) + `"}`, 422, "invalid", nil}, "/id"},
		{scenario{"root", "POST", v1 + "/users", `[]`, 422, "invalid", nil}, ""},
		{scenario{"root", "GET", v1 + "/resources/repo/" + strings.Repeat("x", 1<<19), "", 422, "invalid", nil}, ""},
		{scenario{"root", "GET", v1 + "/users/" + strings.Repeat("x", 1<<19), "", 422, "invalid", nil}, ""},
		{scenario{"root", "PUT", v1 + "/resources/repo/%00", `{"parents":["organization:acme"]}`, 422, "invalid", nil}, ""},
		{scenario{"root", "POST", v1 + "/resources/repo", `{"parents":[]}`, 422, "invalid", nil}, "/parents"},
		{scenario{"root", "POST", v1 + "/resources/repo", `{"parents":["user:nobody"]}`, 422, "invalid", nil}, "/parents"},
		{scenario{"root", "POST", v1 + "/resource-types", `{"name":"x"}`, 422, "invalid", nil}, "/id"},
		{scenario{"root", "POST", v1 + "/roles", `{"name":"x","permissions":["ghost:read"]}`, 422, "invalid", nil}, "/permissions"},
		{scenario{"root", "PUT", v1 + "/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"ghost"}`, 422, "invalid", nil}, "/role"},
		{scenario{"root", "PUT", v1 + "/grants", `{"subject":"user:nobody","resource":"repo:acme/main"}`, 422, "invalid", nil}, "/role"},
		{scenario{"root", "PUT", v1 + "/grants", `{"subject":"nobody","resource":"repo:acme/main","role":"editor"}`, 422, "invalid", nil}, "/subject"},
		{scenario{"root", "PUT", v1 + "/grants", `{"resource":"repo:acme/main","role":"editor"}`, 422, "invalid", nil}, "/subject"},
		{scenario{"root", "PUT", v1 + "/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"editor","expires_at":"2001-01-01T00:00:00Z"}`, 422, "invalid", nil}, "/expires_at"},
		{scenario{"root", "PUT", v1 + "/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"editor","owner":true}`, 422, "invalid", nil}, "/owner"},
		{scenario{"root", "DELETE", v1 + "/grants?subject=user:nobody", "", 422, "invalid", nil}, "resource"},
		{scenario{"root", "PUT", v1 + "/organizations/acme/members/nobody", "", 422, "invalid", nil}, "member"},
		{scenario{"root", "PUT", v1 + "/organizations/acme/members/everyone:*", "", 422, "invalid", nil}, ""},
		{scenario{"root", "POST", v1 + "/api-keys", `{"name":""}`, 422, "invalid", nil}, "/name"},
		{scenario{"root", "POST", v1 + "/api-keys", `{"name":"x","owner":"organization:acme"}`, 422, "invalid", nil}, "/owner"},
		{scenario{"root", "POST", v1 + "/api-keys", `{"name":"x","expires_at":"2001-01-01T00:00:00Z"}`, 422, "invalid", nil}, "/expires_at"},
		{scenario{"root", "POST", v1 + "/organizations/acme/teams", `{"name":"x","organization":"other"}`, 422, "invalid", nil}, "/organization"},
		{scenario{"root", "POST", v1 + "/batch", `{}`, 422, "invalid", nil}, "/mutations"},
		{scenario{"root", "POST", v1 + "/batch", `{"mutations":[{"op":"put","node":"user:a"},{"op":"explode"}]}`, 422, "invalid", nil}, "/mutations/1/op"},
		{scenario{"root", "POST", v1 + "/batch", `{"mutations":[{"op":"put","node":"user:a","data":{"x":1}}]}`, 422, "invalid", nil}, "/mutations/0/data/x"},
		{scenario{"root", "POST", v1 + "/batch", `{"mutations":[{"op":"put","nod":"user:a"}]}`, 422, "invalid", nil}, "/mutations/0/nod"},
		{scenario{"root", "POST", v1 + "/batch", `{"mutations":[` + strings.Repeat(`{"op":"delete","node":"user:a"},`, 10000) + `{"op":"delete","node":"user:a"}]}`, 413, "too-large", nil}, ""},
		// Questions without an answer.
		{scenario{"root", "POST", check, `{"permission":"repo:fly","resource":"repo:acme/main"}`, 422, "invalid", nil}, "/permission"},
		{scenario{"root", "POST", check, `{"permission":"repo:*","resource":"repo:acme/main"}`, 422, "invalid", nil}, "/permission"},
		{scenario{"root", "POST", check, `{"permission":"repo:push","resource":"ghost:x"}`, 422, "invalid", nil}, "/resource"},
		{scenario{"root", "POST", check, checkWith(`"subject":"ghost:x"`), 422, "invalid", nil}, "/subject"},
		{scenario{"root", "POST", check, checkWith(`"subject":"x"`), 422, "invalid", nil}, "/subject"},
		{scenario{"root", "POST", check, checkWith(`"subjekt":"user:x"`), 422, "invalid", nil}, "/subjekt"},
		{scenario{"root", "POST", check, checkWith(`"context":[]`), 422, "invalid", nil}, "/context"},
		{scenario{"root", "POST", check, `{"permission":"repo:push"}`, 422, "invalid", nil}, "/resource"},
		{scenario{"root", "POST", check, `{"resource":"repo:x"}`, 422, "invalid", nil}, "/permission"},
		{scenario{"root", "POST", check, `{"permission":7,"resource":"repo:x"}`, 422, "invalid", nil}, "/permission"},
		{scenario{"root", "POST", check, `{"permission":"repo:push","resource":"repo:` + strings.Repeat("x", 1<<19) + `"}`, 422, "invalid", nil}, "/resource"},
		{scenario{"root", "POST", check, checkWith(`"consistency":"yesterday"`), 422, "invalid", nil}, ""},
		{scenario{"root", "POST", check, checkWith(`"consistency":{"mode":"at_least_as_fresh"}`), 422, "invalid", nil}, "/consistency/revision"},
		{scenario{"root", "POST", check, checkWith(`"consistency":{"mode":"at_least_as_fresh","revision":"zzzzzzzz.1"}`), 422, "foreign-revision", nil}, "/consistency/revision"},
		{scenario{"root", "POST", check, checkWith(`"consistency":{"mode":"at_least_as_fresh","revision":"` + token("99999") + `"}`), 422, "future-revision", nil}, "/consistency/revision"},
		{scenario{"root", "POST", check, checkWith(`"consistency":{"mode":"at_least_as_fresh","revision":"x"}`), 422, "invalid", nil}, "/consistency/revision"},
		{scenario{"root", "POST", v1 + "/access/checks", `{"checks":[` + good + `,{"permission":"repo:fly","resource":"repo:x"}]}`, 422, "invalid", nil}, "/checks/1/permission"},
		{scenario{"root", "POST", v1 + "/access/checks", `{"checks":[` + good + `,{"permission":"repo:push","resource":"x"}]}`, 422, "invalid", nil}, "/checks/1/resource"},
		{scenario{"root", "POST", v1 + "/access/checks", `{"checks":[` + strings.Repeat(good+",", 1000) + good + `]}`, 422, "invalid", nil}, "/checks"},
		{scenario{"root", "POST", v1 + "/access/checks", `{"checks":null}`, 422, "invalid", nil}, "/checks"},
		{scenario{"root", "POST", v1 + "/batch", `{"mutations":null}`, 422, "invalid", nil}, "/mutations"},
		{scenario{"root", "POST", v1 + "/access/checks", `{}`, 422, "invalid", nil}, "/checks"},
		// Parameters.
		{scenario{"root", "GET", v1 + "/users?limit=0", "", 422, "invalid", nil}, "limit"},
		{scenario{"root", "GET", v1 + "/users?limit=1001", "", 422, "invalid", nil}, "limit"},
		{scenario{"root", "GET", v1 + "/users?limit=ten", "", 422, "invalid", nil}, "limit"},
		{scenario{"root", "GET", v1 + "/users?limit=1&limit=2", "", 422, "invalid", nil}, "limit"},
		{scenario{"root", "GET", v1 + "/users?colour=red", "", 422, "invalid", nil}, "colour"},
		{scenario{"root", "GET", v1 + "/groups?cursor=" + first, "", 422, "cursor", nil}, "cursor"},
		{scenario{"nobody", "GET", v1 + "/users?cursor=" + first, "", 422, "cursor", nil}, "cursor"},
		{scenario{"root", "GET", v1 + "/users?cursor=x", "", 422, "cursor", nil}, "cursor"},
		{scenario{"root", "GET", v1 + "/grants", "", 422, "invalid", nil}, "resource"},
		{scenario{"root", "GET", v1 + "/access/resources?permission=repo:fly&type=repo", "", 422, "invalid", nil}, "permission"},
		{scenario{"root", "GET", v1 + "/access/resources?permission=repo:push&type=ghost", "", 422, "invalid", nil}, "type"},
		{scenario{"root", "GET", v1 + "/access/subjects?permission=repo:push&resource=ghost:x", "", 422, "invalid", nil}, "resource"},
		{scenario{"root", "GET", v1 + "/access/permissions?resource=repo:x&revision=zzzzzzzz.1", "", 422, "foreign-revision", nil}, "revision"},
		{scenario{"root", "GET", v1 + "/changes?after=zzzzzzzz.1", "", 422, "foreign-revision", nil}, "after"},
		{scenario{"root", "GET", v1 + "/changes?after=" + token("99999"), "", 422, "future-revision", nil}, "after"},
		// Conflicts.
		{scenario{"root", "PATCH", v1 + "/users/nobody", `{"name":"x"}`, 412, "stale", []string{"If-Match", `"99999"`}}, ""},
		{scenario{"root", "PATCH", v1 + "/users/nobody", `{"name":"x"}`, 412, "stale", []string{"If-Match", `"0"`}}, ""},
		{scenario{"root", "PUT", v1 + "/users/nobody", `{"name":"x"}`, 412, "stale", []string{"If-None-Match", `*`}}, ""},
		{scenario{"root", "PUT", v1 + "/users/unborn", `{"name":"x"}`, 412, "stale", []string{"If-Match", `*`}}, ""},
		{scenario{"root", "DELETE", v1 + "/users/nobody", ``, 412, "stale", []string{"If-Match", `"1", W/"2"`}}, ""},
		{scenario{"root", "POST", v1 + "/batch", `{"mutations":[{"op":"patch","node":"user:nobody","data":{"name":"x"},"if_match":99999}]}`, 412, "stale", nil}, "/mutations/0"},
		{scenario{"root", "POST", v1 + "/users", `{"email":"NOBODY@example.com"}`, 409, "exists", nil}, "/email"},
		{scenario{"root", "POST", v1 + "/users", `{"id":"nobody"}`, 409, "exists", nil}, ""},
		{scenario{"root", "DELETE", v1 + "/organizations/acme", "", 409, "in-use", nil}, ""},
		{scenario{"root", "PATCH", v1 + "/roles/editor", `{"inherits":["editor"]}`, 409, "cycle", nil}, ""},
		{scenario{"root", "POST", v1 + "/users", `{}`, 422, "invalid", []string{"Idempotency-Key", strings.Repeat("k", 256)}}, "Idempotency-Key"},
		// Not allowed.
		{scenario{"nobody", "POST", v1 + "/users", `{}`, 403, "forbidden", nil}, ""},
		{scenario{"nobody", "POST", v1 + "/roles", `{"name":"x"}`, 403, "forbidden", nil}, ""},
		{scenario{"nobody", "PATCH", v1 + "/users/nobody", `{"status":"active"}`, 403, "forbidden", nil}, ""},
		{scenario{"root", "PATCH", v1 + "/roles/admin", `{"permissions":[]}`, 403, "forbidden", nil}, ""},
		{scenario{"nobody", "GET", v1 + "/changes", "", 403, "forbidden", nil}, ""},
		{scenario{"acme-editor", "GET", v1 + "/access/subjects?permission=repo:push&resource=repo:acme/main", "", 403, "forbidden", nil}, ""},
	}
	head := w.head()
	for _, s := range list {
		before := w.t
		name := s.method + " " + s.path[:min(len(s.path), 60)] + " " + s.body[:min(len(s.body), 60)]
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.run([]scenario{s.scenario})
			if s.at == "" {
				return
			}
			var p api.Problem
			a := w.do(s.as, s.method, s.path, s.body, s.header...)
			must(t, json.Unmarshal(a.body, &p))
			if len(p.Errors) == 0 || p.Errors[0].Pointer+p.Errors[0].Parameter != s.at {
				t.Errorf("errors %+v, want the first at %s: %s", p.Errors, s.at, a.body[:min(400, len(a.body))])
			}
			if len(a.body) > 4096 {
				t.Errorf("the answer has %d bytes", len(a.body))
			}
		})
		w.t = before
		if now := w.head(); now != head {
			t.Fatalf("%s wrote something: head %d, was %d", name, now, head)
		}
	}
}
