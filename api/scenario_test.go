package api_test

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trellis/api"
	"trellis/audit"
)

// scenario is one request and what must come of it.
type scenario struct {
	as, method, path, body string
	status                 int
	want                   string // a part of the answer, or the kind of problem
	header                 []string
}

// trace is a scenario, and the events and decisions that are in the audit log
// afterwards, as world.left describes them. ID stands for an id that the service made.
type trace struct {
	scenario
	leaves []string
}

func (w *world) run(list []scenario) {
	w.t.Helper()
	for _, s := range list {
		a := w.do(s.as, s.method, w.fill(s.path), w.fill(s.body), s.header...)
		w.keep(a)
		if a.status != s.status {
			w.t.Errorf("%s %s as %q: %d, want %d: %.600s", s.method, s.path, s.as, a.status, s.status, a.body)
			continue
		}
		got := string(a.body)
		if a.status >= 400 && a.header.Get("Content-Type") == "application/problem+json" {
			if got = a.problem(); got != s.want {
				w.t.Errorf("%s %s as %q: problem %s, want %s: %s", s.method, s.path, s.as, got, s.want, a.body)
			}
		} else if !strings.Contains(got, s.want) {
			w.t.Errorf("%s %s as %q: no %s in %.900s", s.method, s.path, s.as, s.want, got)
		}
		if a.header.Get("X-Request-Id") == "" || a.header.Get("Trellis-Revision") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			w.t.Errorf("%s %s: headers %v", s.method, s.path, a.header)
		}
	}
}

var madeID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// runAudited is run, which also looks at what each scenario left in the audit
// log: exactly its events and decisions, and one record of the request.
func (w *world) runAudited(list []trace) {
	w.t.Helper()
	id := func(i int) string { return "scenario-" + strconv.Itoa(i) }
	for i, s := range list {
		s.header = append(slices.Clone(s.header), "X-Request-Id", id(i))
		w.run([]scenario{s.scenario})
	}
	w.flush()
	for i, s := range list {
		what := s.method + " " + s.path + " as " + s.as
		got := w.left(id(i))
		for j := range got {
			got[j] = madeID.ReplaceAllString(got[j], "ID")
		}
		if d := cmp.Diff(s.leaves, got, cmpopts.EquateEmpty(), cmpopts.SortSlices(strings.Compare)); d != "" {
			w.t.Errorf("%s left (-want +got):\n%s", what, d)
		}
		requests := w.records(audit.Requests, "request_id", id(i))
		if !strings.HasPrefix(s.path, "/api/") {
			if len(requests) > 0 {
				w.t.Errorf("%s is recorded: %+v", what, requests)
			}
			continue
		}
		if len(requests) != 1 {
			w.t.Errorf("%s left %d records of the request", what, len(requests))
			continue
		}
		r := requests[0].(*audit.Request)
		if r.Status != int64(s.status) || r.Method != s.method || !strings.HasPrefix(r.Route, v1+"/") || strings.Contains(r.Route, "?") || (r.Actor == "") != (s.as == "" || s.status == 401) ||
			r.Address != "127.0.0.1" || !strings.HasPrefix(r.Agent, "Go-http-client") || r.BytesIn != int64(len(w.fill(s.body))) || (r.BytesOut == 0) != (s.want == "") || r.Latency < 0 {
			w.t.Errorf("%s: %+v", what, r)
		}
	}
}

const v1 = "/api/v1"

func everyRoute() []trace {
	ok := func(as, method, path, body string, status int, want string, leaves ...string) trace {
		return trace{scenario{as: as, method: method, path: v1 + path, body: body, status: status, want: want}, leaves}
	}
	return []trace{
		ok("acme-owner", "POST", "/access/check", `{"permission":"repo:push","resource":"repo:acme/main"}`, 200, `"allowed":true`,
			"check allowed user:acme-owner repo:push repo:acme/main"),
		ok("acme-owner", "POST", "/access/check", `{"permission":"repo:push","resource":"repo:other/main"}`, 200, `"allowed":false`,
			"check denied user:acme-owner repo:push repo:other/main"),
		ok("acme-owner", "POST", "/access/check", `{"subject":"user:acme-editor","permission":"repo:push","resource":"repo:acme/main","context":{"mfa":true},"consistency":"fully_consistent"}`, 200, `"allowed":true`,
			"check allowed user:acme-editor repo:push repo:acme/main"),
		ok("root", "POST", "/access/check", `{"subject":"user:ghost","permission":"repo:push","resource":"repo:none"}`, 200, `"allowed":false`,
			"check denied user:ghost repo:push repo:none"),
		ok("acme-owner", "POST", "/access/checks", `{"checks":[{"permission":"repo:push","resource":"repo:acme/main"},{"permission":"repo:push","resource":"repo:other/main"}]}`, 200, `"results":[{"allowed":true},{"allowed":false}]`,
			"check allowed user:acme-owner repo:push repo:acme/main", "check denied user:acme-owner repo:push repo:other/main"),
		ok("acme-owner", "POST", "/access/checks", `{"checks":[]}`, 200, `"results":[]`),
		ok("acme-owner", "POST", "/access/explain", `{"subject":"user:acme-editor","permission":"repo:push","resource":"repo:acme/main"}`, 200, "user:acme-editor has role editor on organization:acme, and repo:acme/main is below organization:acme, and role editor grants repo:push",
			"explain allowed user:acme-editor repo:push repo:acme/main"),
		ok("acme-owner", "POST", "/access/explain", `{"subject":"user:acme-editor","permission":"repo:delete","resource":"repo:acme/main"}`, 200, `"reason":"insufficient"`,
			"explain denied user:acme-editor repo:delete repo:acme/main"),
		ok("acme-owner", "POST", "/access/explain", `{"subject":"user:nobody","permission":"repo:delete","resource":"repo:acme/main"}`, 200, `"reason":"no_grant"`,
			"explain denied user:nobody repo:delete repo:acme/main"),
		ok("acme-owner", "GET", "/access/resources?permission=repo:read&type=repo", "", 200, `"items":["repo:acme/main"]`,
			"resources listed user:acme-owner repo:read repo:*"),
		ok("acme-owner", "GET", "/access/subjects?permission=repo:read&resource=repo:acme%2Fmain", "", 200, `"items":["user:acme-editor","user:acme-owner"]`,
			"subjects listed user:* repo:read repo:acme/main"),
		ok("acme-editor", "GET", "/access/permissions?resource=repo:acme%2Fmain", "", 200, `"items":["organization:read","repo:push","repo:read","repo:update","team:read"]`,
			"permissions listed user:acme-editor repo:acme/main"),

		ok("root", "GET", "/users?limit=1", "", 200, `"next_cursor"`),
		ok("root", "POST", "/users", `{"id":"u1","name":"U","email":"U@example.com"}`, 201, `"email":"U@example.com"`,
			"user:create success user:u1"),
		ok("root", "GET", "/users/u@EXAMPLE.com", "", 200, `"id":"u1"`),
		ok("root", "PUT", "/users/u1", `{"name":"V"}`, 200, `"name":"V"`,
			"user:update success user:u1"),
		ok("root", "PATCH", "/users/u1", `{"status":"suspended"}`, 200, `"status":"suspended"`,
			"user:update success user:u1"),
		ok("root", "DELETE", "/users/u1", "", 200, `{"deleted":{"nodes":1,"edges":`,
			"user:delete success user:u1"),

		ok("root", "GET", "/service-accounts", "", 200, `"slug":"bootstrap"`),
		ok("root", "POST", "/service-accounts", `{"slug":"robot","name":"Robot"}`, 201, `"slug":"robot"`,
			"service_account:create success service_account:ID"),
		ok("root", "GET", "/service-accounts/robot", "", 200, `"name":"Robot"`),
		ok("root", "PUT", "/service-accounts/robot", `{"slug":"robot","name":"R2"}`, 200, `"name":"R2"`,
			"service_account:update success service_account:ID"),
		ok("root", "PATCH", "/service-accounts/robot", `{"description":"d"}`, 200, `"description":"d"`,
			"service_account:update success service_account:ID"),
		ok("root", "DELETE", "/service-accounts/robot", "", 200, `"nodes":1`,
			"service_account:delete success service_account:ID"),

		ok("root", "POST", "/groups", `{"id":"g1","name":"All"}`, 201, `"slug":"g1"`,
			"group:create success group:g1"),
		ok("root", "GET", "/groups", "", 200, `"id":"g1"`),
		ok("root", "GET", "/groups/g1", "", 200, `"name":"All"`),
		ok("root", "PUT", "/groups/g1", `{"name":"Some","slug":"some"}`, 200, `"slug":"some"`,
			"group:update success group:g1"),
		ok("root", "PATCH", "/groups/some", `{"name":"Any"}`, 200, `"name":"Any"`,
			"group:update success group:g1"),
		ok("root", "PUT", "/groups/some/members/user:nobody", `{"expires_at":"2099-01-02T03:04:05Z"}`, 201, `"expires_at":"2099-01-02T03:04:05Z"`,
			"member:add success group:g1 user:nobody"),
		ok("root", "PUT", "/groups/some/members/user:nobody", `{"expires_at":null}`, 200, `"member":"user:nobody"`,
			"member:update success group:g1 user:nobody"),
		ok("root", "PUT", "/groups/some/members/user:nobody", "", 200, `"member":"user:nobody"`),
		ok("root", "GET", "/groups/some/members", "", 200, `"member":"user:nobody"`),
		ok("nobody", "DELETE", "/groups/some/members/user:nobody", "", 200, `{"deleted":{"nodes":0,"edges":1}}`,
			"member:remove success group:g1 user:nobody"),
		ok("root", "DELETE", "/groups/some", "", 200, `"nodes":1`,
			"group:delete success group:g1"),

		ok("root", "POST", "/organizations", `{"id":"o1","name":"O"}`, 201, `"slug":"o1"`,
			"organization:create success organization:o1"),
		ok("root", "GET", "/organizations", "", 200, `"id":"o1"`),
		ok("root", "GET", "/organizations/o1", "", 200, `"name":"O"`),
		ok("root", "PUT", "/organizations/o1", `{"name":"P"}`, 200, `"name":"P"`,
			"organization:update success organization:o1"),
		ok("root", "PATCH", "/organizations/o1", `{"slug":"oh-one"}`, 200, `"slug":"oh-one"`,
			"organization:update success organization:o1"),
		ok("root", "PUT", "/organizations/oh-one/members/user:nobody", "", 201, `"member":"user:nobody"`,
			"member:add success organization:o1 user:nobody"),
		ok("root", "GET", "/organizations/oh-one/members?type=user", "", 200, `"member":"user:nobody"`),
		ok("root", "DELETE", "/organizations/oh-one/members/user:nobody", "", 200, `"edges":1`,
			"member:remove success organization:o1 user:nobody"),
		ok("root", "POST", "/organizations/oh-one/teams", `{"name":"Tee","slug":"tee"}`, 201, `"organization":"o1"`,
			"team:create success team:ID"),
		ok("root", "GET", "/organizations/oh-one/teams", "", 200, `"slug":"tee"`),
		ok("root", "GET", "/organizations/oh-one/teams/tee", "", 200, `"name":"Tee"`),
		ok("root", "PUT", "/organizations/oh-one/teams/tee", `{"name":"Toe","slug":"toe"}`, 200, `"name":"Toe"`,
			"team:update success team:ID"),
		ok("root", "PATCH", "/organizations/oh-one/teams/toe", `{"name":"Tip"}`, 200, `"name":"Tip"`,
			"team:update success team:ID"),
		ok("root", "PUT", "/organizations/oh-one/teams/toe/members/user:nobody", "", 201, `"member"`,
			"member:add success team:ID user:nobody"),
		ok("root", "GET", "/organizations/oh-one/teams/toe/members", "", 200, `"member":"user:nobody"`),
		ok("root", "DELETE", "/organizations/oh-one/teams/toe/members/user:nobody", "", 200, `"edges":1`,
			"member:remove success team:ID user:nobody"),
		ok("root", "DELETE", "/organizations/oh-one/teams/toe", "", 200, `"nodes":1`,
			"team:delete success team:ID", "tombstone:create success tombstone:ID"),
		ok("root", "DELETE", "/organizations/oh-one?cascade=true", "", 200, `"nodes":1`,
			"organization:delete success organization:o1", "tombstone:create success tombstone:ID", "tombstone:delete success tombstone:ID"),

		ok("root", "POST", "/roles", `{"id":"r1","name":"R","permissions":["repo:read"],"inherits":["readonly"]}`, 201, `"inherits":["readonly"]`,
			"role:create success role:r1", "role:inherit success role:r1 role:readonly", "role:permit success role:r1 permission:repo:read"),
		ok("root", "GET", "/roles", "", 200, `"id":"r1"`),
		ok("root", "POST", "/roles", `{"name":"Ours","slug":"ours","organization":"acme","permissions":["repo:read"]}`, 201, `"organization":"acme"`,
			"role:create success role:ID", "role:permit success role:ID permission:repo:read"),
		ok("acme-owner", "GET", "/roles?organization=acme", "", 200, `"slug":"ours"`),
		ok("acme-owner", "GET", "/roles/ours?organization=acme", "", 200, `"name":"Ours"`),
		ok("nobody", "GET", "/roles/r1", "", 200, `"permissions":["repo:read"]`),
		ok("root", "PUT", "/roles/r1", `{"name":"RR","permissions":["repo:*"]}`, 200, `"permissions":["repo:*"]`,
			"permission:create success permission:repo:*", "role:disinherit success role:r1 role:readonly", "role:permit success role:r1 permission:repo:*", "role:unpermit success role:r1 permission:repo:read", "role:update success role:r1"),
		ok("root", "PATCH", "/roles/r1", `{"permissions":[]}`, 200, `"permissions":[]`,
			"role:unpermit success role:r1 permission:repo:*", "role:update success role:r1"),
		ok("root", "DELETE", "/roles/r1", "", 200, `"nodes":1`,
			"role:delete success role:r1"),

		ok("nobody", "GET", "/permissions?limit=1000", "", 200, `"id":"repo:push"`),
		ok("nobody", "GET", "/permissions/repo:push", "", 200, `"type":"permission"`),

		ok("nobody", "GET", "/resource-types", "", 200, `"id":"repo"`),
		ok("root", "POST", "/resource-types", `{"id":"issue","parents":["repo"],"actions":["close"]}`, 201, `"actions":["close"]`,
			"permission:create success permission:issue:close", "permission:create success permission:issue:create", "permission:create success permission:issue:delete", "permission:create success permission:issue:read", "permission:create success permission:issue:update", "resource_type:create success resource_type:issue"),
		ok("nobody", "GET", "/resource-types/issue", "", 200, `"parents":["repo"]`),
		ok("root", "PUT", "/resource-types/issue", `{"name":"Issue","parents":["repo","issue"],"actions":["close"]}`, 200, `"name":"Issue"`,
			"resource_type:update success resource_type:issue"),
		ok("root", "PATCH", "/resource-types/issue", `{"description":"x"}`, 200, `"description":"x"`,
			"resource_type:update success resource_type:issue"),

		ok("acme-owner", "POST", "/resources/issue", `{"name":"1","parents":["repo:acme/main"]}`, 201, `"parents":["repo:acme/main"]`,
			"issue:create success issue:ID"),
		ok("acme-owner", "GET", "/resources/issue", "", 200, `"name":"1"`),
		ok("acme-owner", "PUT", "/resources/issue/a%2F%C3%A9%20b", `{"parents":["repo:acme/main"],"attributes":{"x":1}}`, 201, `"id":"a/é b"`,
			"issue:create success issue:a/é b"),
		ok("acme-owner", "GET", "/resources/issue/a%2F%C3%A9%20b", "", 200, `"attributes":{"x":1}`),
		ok("acme-owner", "PATCH", "/resources/issue/a%2F%C3%A9%20b", `{"attributes":{"y":2}}`, 200, `"attributes":{"x":1,"y":2}`,
			"issue:update success issue:a/é b"),
		ok("acme-owner", "DELETE", "/resources/issue/a%2F%C3%A9%20b", "", 200, `"nodes":1`,
			"issue:delete success issue:a/é b"),
		ok("root", "DELETE", "/resource-types/issue", "", 409, "in-use"),

		ok("acme-owner", "PUT", "/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"editor"}`, 201, `"granted_by":"user:acme-owner"`,
			"grant:create success repo:acme/main user:nobody"),
		ok("acme-owner", "POST", "/grants", `{"subject":"user:nobody","resource":"repo:acme/main","actions":["repo:read"]}`, 201, `"actions":["repo:read"]`,
			"grant:create success repo:acme/main user:nobody"),
		ok("acme-owner", "PUT", "/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"editor","expires_at":"2099-01-01T00:00:00Z"}`, 200, `"expires_at":"2099-01-01T00:00:00Z"`,
			"grant:update success repo:acme/main user:nobody"),
		ok("acme-owner", "PUT", "/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"editor","expires_at":null}`, 200, `"role":"editor"`,
			"grant:update success repo:acme/main user:nobody"),
		ok("nobody", "GET", "/grants?subject=user:nobody", "", 200, `"actions":["repo:read"]`),
		ok("acme-owner", "GET", "/grants?role=editor", "", 200, `"subject":"user:nobody"`),
		ok("acme-owner", "GET", "/grants?resource=repo:acme/main&subject=user:nobody&role=editor", "", 200, `"role":"editor"`),
		ok("acme-owner", "DELETE", "/grants?subject=user:nobody&resource=repo:acme/main&role=editor", "", 200, `"edges":1`,
			"grant:delete success repo:acme/main user:nobody"),
		ok("nobody", "DELETE", "/grants?subject=user:nobody&resource=repo:acme/main", "", 200, `"edges":1`,
			"grant:delete success repo:acme/main user:nobody"),
		ok("nobody", "DELETE", "/grants?subject=user:nobody&resource=repo:acme/main", "", 404, "not-found",
			"access:grant failure repo:acme/main"),

		ok("nobody", "GET", "/me", "", 200, `"credential":"api_key"`),
		ok("root", "GET", "/me", "", 200, `"subject":"service_account:bootstrap"`),
		ok("root", "POST", "/batch", `{"mutations":[{"op":"put","node":"group:b","data":{"name":"B"}},{"op":"put_member","set":"group:b","member":"user:nobody"},{"op":"put_grant","subject":"group:b","resource":"organization:acme","role":"readonly"},{"op":"delete_member","set":"group:b","member":"user:nobody"}]}`, 200, `"results":[{"effect":"created"},{"effect":"unchanged"},{"effect":"created"},{"effect":"unchanged"}]`,
			"grant:create success organization:acme group:b", "group:create success group:b"),

		ok("acme-owner", "POST", "/manifests/acme%2Fmain", `{"documents":[{"apiVersion":"trellis/v1","kind":"Tag","metadata":{"organization":"acme","slug":"declared"}}]}`, 200, `"changed":true`,
			"manifest:create success manifest:acme/main", "tag:create success tag:ID"),
		ok("acme-owner", "GET", "/manifests", "", 200, `"name":"acme/main"`),
		ok("acme-owner", "GET", "/manifests/acme%2Fmain", "", 200, `"name":"acme/declared"`),
		ok("acme-owner", "GET", "/manifests/export?organization=acme", "", 200, `"slug":"declared"`),
		ok("acme-owner", "GET", "/manifests/schema", "", 200, `"const":"trellis/v1"`),
		ok("acme-owner", "DELETE", "/manifests/acme%2Fmain", "", 200, `"name":"acme/main"`,
			"manifest:delete success manifest:acme/main"),

		{scenario: scenario{as: "", method: "GET", path: "/livez", status: 200, want: `"ok"`}},
		{scenario: scenario{as: "", method: "GET", path: "/readyz", status: 200, want: `"index":"ok"`}},
		{scenario: scenario{as: "", method: "GET", path: "/metrics", status: 200, want: `trellis_http_request_duration_seconds_count{method="GET",route="/api/v1/me",status="2xx"}`}},
		{scenario: scenario{as: "", method: "GET", path: "/openapi.json", status: 200, want: `"openapi": "3.1.0"`}},
		{scenario: scenario{as: "", method: "GET", path: "/docs", status: 200, want: "swagger-ui"}},
		{scenario: scenario{as: "", method: "GET", path: "/docs/swagger-ui.css", status: 200, want: ".swagger-ui"}},
	}
}

func TestEveryRouteAnswers(t *testing.T) {
	w := audited(t, api.Options{DecisionRate: 1}, &auditing{}).sample()
	list := slices.Concat(catalogScenarios(), fileScenarios(t), everyRoute())
	w.runAudited(list)

	// API keys, the stream, the audit log, histories and the trash have tests of their own.
	elsewhere := regexp.MustCompile(`/api-keys|/changes|/audit|/history$|/trash`)
	for _, r := range api.Routes() {
		re := regexp.MustCompile("^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(strings.Replace(r.Path, "{key...}", `.+`, 1), `[^/?]+`) + `(\?.*)?$`)
		found := elsewhere.MatchString(r.Path)
		for _, s := range list {
			found = found || s.method == r.Method && s.status < 300 && re.MatchString(s.path)
		}
		if !found && r.ID != "deleteResourceType" {
			t.Errorf("no scenario for %s %s", r.Method, r.Path)
		}
	}
	if s := w.logs.String(); strings.Contains(s, "level=ERROR") {
		t.Error(s)
	}
}

func TestAnIDComesBackAsItWasSent(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	for _, id := range []string{"a+b", "a+b/c", "a b", "a%2Fb", "a:b", "..", "é/ü", `q"\`, "?#&", "x;y=1"} {
		path := v1 + "/resources/repo/" + url.PathEscape(id)
		a := w.ok("acme-owner", "PUT", path, `{"parents":["organization:acme"]}`)
		if a.json()["id"] != id {
			t.Errorf("%q became %q", id, a.json()["id"])
		}
		if a := w.ok("acme-owner", "GET", a.header.Get("Location"), ""); a.json()["id"] != id {
			t.Errorf("%q: Location leads to %s", id, a.body)
		}
		list := w.ok("acme-owner", "GET", v1+"/access/resources?type=repo&permission=repo:read", "").json()["items"].([]any)
		if !slices.Contains(list, any("repo:"+id)) {
			t.Errorf("%q is not in %v", id, list)
		}
	}
}
