package api_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"trellis/api"
	"trellis/audit"
	"trellis/graph"
)

// hiddenFrom lists every route that names something of the organization org,
// with what a missing thing of the same name would be called.
func hiddenFrom(org string, key string) []scenario {
	list := []scenario{}
	add := func(method, path, body string) {
		list = append(list, scenario{method: method, path: v1 + path, body: body, status: 404, want: "not-found"})
	}
	for _, p := range []string{"/organizations/" + org, "/organizations/" + org + "/teams/" + org + "-core", "/organizations/" + org + "/teams/core",
		"/resources/repo/" + org + "%2Fmain", "/roles/" + org + "-role", "/users/" + org + "-editor", "/users/" + org + "-editor@example.com", "/groups/" + org + "-group", "/service-accounts/" + org + "-bot"} {
		add("GET", p, "")
		add("PATCH", p, `{"name":"mine"}`)
		add("DELETE", p, "")
		if !strings.HasSuffix(p, ".com") {
			body := `{"name":"mine"}`
			if strings.Contains(p, "/resources/") {
				body = `{"parents":["organization:` + org + `"]}`
			}
			add("PUT", p, body)
		}
	}
	for _, p := range []string{"/organizations/" + org, "/organizations/" + org + "/teams/core", "/groups/" + org + "-group"} {
		add("GET", p+"/members", "")
		add("PUT", p+"/members/user:acme-owner", "")
		add("DELETE", p+"/members/user:acme-owner", "")
		add("DELETE", p+"/members/user:"+org+"-editor", "")
	}
	add("GET", "/organizations/"+org+"/teams", "")
	add("POST", "/organizations/"+org+"/teams", `{"name":"x"}`)
	add("POST", "/resources/repo", `{"parents":["organization:`+org+`"]}`)
	add("POST", "/roles", `{"name":"x","organization":"`+org+`"}`)
	add("GET", "/roles?organization="+org, "")
	add("GET", "/roles/"+org+"-role?organization="+org, "")
	add("POST", "/api-keys", `{"name":"x","owner":"user:`+org+`-editor"}`)
	add("GET", "/api-keys/"+key, "")
	add("PATCH", "/api-keys/"+key, `{"name":"x"}`)
	add("POST", "/api-keys/"+key+"/rotate", "")
	add("DELETE", "/api-keys/"+key, "")
	for _, resource := range []string{"organization:" + org, "repo:" + org + "/main", "team:" + org + "-core"} {
		grant := `{"subject":"user:acme-owner","resource":"` + resource + `","role":"editor"}`
		add("PUT", "/grants", grant)
		add("POST", "/grants", grant)
		add("GET", "/grants?resource="+resource, "")
		add("DELETE", "/grants?subject=user:"+org+"-editor&resource="+resource+"&role=editor", "")
		question := `{"subject":"user:` + org + `-editor","permission":"repo:read","resource":"` + resource + `"}`
		add("POST", "/access/check", question)
		add("POST", "/access/explain", question)
		add("POST", "/access/checks", `{"checks":[`+question+`]}`)
		add("GET", "/access/subjects?permission=repo:read&resource="+resource, "")
		add("GET", "/access/permissions?subject=user:"+org+"-editor&resource="+resource, "")
		add("POST", "/batch", `{"mutations":[{"op":"put_grant","subject":"user:acme-owner","resource":"`+resource+`","role":"editor"}]}`)
		add("POST", "/batch", `{"mutations":[{"op":"delete","node":"`+resource+`"}]}`)
		add("POST", "/batch", `{"mutations":[{"op":"patch","node":"`+resource+`","data":{"name":"x"}}]}`)
	}
	return list
}

func (w *world) twoTenants() (key string) {
	w.sample()
	for _, org := range []string{"acme", "other"} {
		w.ok("root", "PUT", v1+"/roles/"+org+"-role", `{"name":"R","organization":"`+org+`","permissions":["repo:read"]}`)
		w.ok("root", "PUT", v1+"/groups/"+org+"-group", `{"name":"G"}`)
		w.ok("root", "PUT", v1+"/service-accounts/"+org+"-bot", `{"name":"B"}`)
		w.grant("user:"+org+"-owner", "owner", "group:"+org+"-group")
	}
	return w.ok("other-editor", "POST", v1+"/api-keys", `{"name":"k"}`).json()["id"].(string)
}

func TestWhatBelongsToAnotherOrganizationIsNotThere(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{})
	key := w.twoTenants()
	head := w.head()
	asked := map[string]scenario{}
	for _, as := range []string{"acme-owner", "nobody"} {
		for i, s := range hiddenFrom("other", key) {
			id := fmt.Sprint(as, "-", i)
			s.as, s.header = as, append(s.header, "X-Request-Id", id)
			w.run([]scenario{s})
			if w.head() != head {
				t.Fatalf("%s %s as %s wrote something", s.method, s.path, as)
			}
			asked[id] = s
		}
	}
	// Each is in the log, for the auditor of the other organization if it was
	// about that, and never for the caller's own.
	w.flush()
	about := 0
	for id, s := range asked {
		events := w.records(audit.Events, "request_id", id)
		if len(events) != 1 {
			t.Errorf("%s %s as %s left %d events", s.method, s.path, s.as, len(events))
			continue
		}
		e := events[0].(*audit.Event)
		if e.Actor != "user:"+s.as || e.Outcome == audit.Success || !strings.Contains(e.Action, ":") || e.Node == "" || e.Reason == "" || slices.Contains(e.Within, "organization:acme") {
			t.Errorf("%s %s %s: %+v", s.method, s.path, s.body, e)
		}
		if slices.Contains(e.Within, "organization:other") {
			about++
		}
		if decided := w.records(audit.Decisions, "request_id", id); len(decided) > 0 {
			t.Errorf("%s %s as %s: %v was decided, but not answered", s.method, s.path, s.as, decided)
		}
	}
	if about < len(asked)/3 {
		t.Errorf("%d of %d are for the auditor of the other organization", about, len(asked))
	}
	// Lists are short instead.
	for path, want := range map[string]string{
		"/organizations": `"id":"acme"`, "/resources/repo": `"id":"acme/main"`, "/groups": `"id":"acme-group"`, "/users": `"id":"acme-owner"`,
		"/access/resources?permission=repo:read&type=repo": `"repo:acme/main"`, "/grants?subject=user:other-editor": `"items":[]`, "/api-keys?owner=user:other-editor": `"items":[]`,
		"/access/resources?permission=repo:read&type=repo&subject=user:other-editor": `"items":[]`, "/grants?role=editor": `user:acme-editor`, "/service-accounts": `"items":[]`,
	} {
		a := w.ok("acme-owner", "GET", v1+path, "")
		if !strings.Contains(string(a.body), want) || strings.Contains(string(a.body), "other") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

func TestAHiddenNodeIsAnsweredLikeAMissingOne(t *testing.T) {
	w := newWorld(t, api.Options{})
	key := w.twoTenants()
	hidden := map[string]answer{}
	list := hiddenFrom("other", key)
	for _, s := range list {
		hidden[s.method+s.path+s.body] = w.do("acme-owner", s.method, s.path, s.body, "X-Request-Id", "same")
	}
	// Now the same things do not exist: a world without the other tenant.
	for _, r := range []string{"organization:other", "repo:other/main", "team:other-core", "user:other-editor", "user:other-owner", "role:other-role", "group:other-group", "service_account:other-bot", "api_key:" + key} {
		ref, err := graph.ParseRef(r)
		must(t, err)
		_, err = w.graph.Write(context.Background(), graph.Batch{Actor: graph.Root, Steps: []graph.Step{graph.Delete(ref)}})
		must(t, err)
	}
	for _, s := range list {
		// Making what is not there is refused for another reason: there is
		// nothing to hide.
		if s.method == "PUT" && !strings.Contains(s.path, "members") && !strings.Contains(s.path, "grants") && !strings.Contains(s.path, "/resources/") {
			continue
		}
		before, after := hidden[s.method+s.path+s.body], w.do("acme-owner", s.method, s.path, s.body, "X-Request-Id", "same")
		if before.status != after.status || string(before.body) != string(after.body) {
			t.Errorf("%s %s %s:\n hidden  %d %s\n missing %d %s", s.method, s.path, s.body, before.status, before.body, after.status, after.body)
		}
	}
}

func TestAnswersAboutOneselfDoNotShowWhatExists(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	ask := func(path, resource string) string {
		a := w.ok("nobody", "POST", v1+path, `{"permission":"repo:read","resource":"`+resource+`"}`)
		return strings.ReplaceAll(string(a.body), resource, "X")
	}
	for _, p := range []string{"/access/check", "/access/explain"} {
		if a, b := ask(p, "repo:other/main"), ask(p, "repo:none"); a != b {
			t.Errorf("%s: hidden %s, missing %s", p, a, b)
		}
	}
}

func TestAnEditorCannotMakeHimselfMore(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	w.ok("root", "PUT", v1+"/groups/admins", `{"name":"Admins"}`)
	w.grant("group:admins", "admin", "platform:root")
	w.ok("root", "PUT", v1+"/roles/granter", `{"name":"G","permissions":["access:grant","organization:read","organization:update","team:read","team:update","team:create","repo:read","repo:update","repo:create","group:read","group:update","user:read","user:update","role:create","role:update","api_key:create","api_key:update","api_key:read","resource_type:update","resource_type:create"]}`)
	w.user("eve")
	w.grant("user:eve", "granter", "organization:acme")
	w.grant("user:eve", "granter", "group:admins")
	w.grant("user:eve", "granter", "user:acme-owner")
	w.ok("root", "PUT", v1+"/organizations/acme/teams/bosses", `{"name":"Bosses","slug":"bosses"}`)
	w.grant("team:bosses", "owner", "organization:acme")
	w.ok("root", "PUT", v1+"/roles/acme-small", `{"name":"S","slug":"small","organization":"acme","permissions":["repo:read"]}`)
	w.grant("team:bosses", "acme-small", "organization:acme")
	key := w.ok("acme-owner", "POST", v1+"/api-keys", `{"name":"k"}`).json()["id"].(string)
	refused := func(method, path, body string) {
		t.Helper()
		head := w.head()
		a := w.do("eve", method, v1+path, body)
		if a.status != 403 && a.status != 404 {
			t.Errorf("%s %s %s: %d %s", method, path, body, a.status, a.body)
		}
		if w.head() != head {
			t.Errorf("%s %s %s wrote something", method, path, body)
		}
	}
	// Grants: more than she holds, there or elsewhere, by role or by action, to herself or to a set she is in.
	for _, body := range []string{
		`{"subject":"user:eve","resource":"organization:acme","role":"admin"}`, `{"subject":"user:eve","resource":"organization:acme","role":"owner"}`,
		`{"subject":"user:eve","resource":"organization:acme","actions":["*"]}`, `{"subject":"user:eve","resource":"organization:acme","actions":["repo:delete"]}`,
		`{"subject":"user:eve","resource":"organization:acme","actions":["repo:*"]}`, `{"subject":"user:eve","resource":"platform:root","role":"readonly"}`,
		`{"subject":"everyone:*","resource":"repo:acme/main","role":"owner"}`, `{"subject":"user:eve","resource":"organization:other","role":"granter"}`,
	} {
		refused("PUT", "/grants", body)
		refused("POST", "/grants", body)
		refused("POST", "/batch", `{"mutations":[`+strings.Replace(body, "{", `{"op":"put_grant",`, 1)+`]}`)
	}
	// Members: of a set that conveys more than she holds.
	refused("PUT", "/groups/admins/members/user:eve", "")
	refused("PUT", "/organizations/acme/teams/bosses/members/user:eve", "")
	refused("PUT", "/organizations/acme/teams/bosses/members/team:acme-core", "")
	refused("POST", "/batch", `{"mutations":[{"op":"put_member","set":"group:admins","member":"user:eve"}]}`)
	// Roles: adding to what she has, or to what somebody else granted.
	refused("PATCH", "/roles/granter", `{"permissions":["*"]}`)
	refused("PATCH", "/roles/acme-small", `{"permissions":["repo:delete"]}`)
	refused("PATCH", "/roles/acme-small", `{"inherits":["admin"]}`)
	refused("POST", "/roles", `{"name":"x","permissions":["repo:read"]}`)
	refused("POST", "/batch", `{"mutations":[{"op":"create","node":"role:x","data":{"name":"x","organization":"acme","permissions":["repo:read"]}},{"op":"put_grant","subject":"user:eve","resource":"organization:acme","role":"x"},{"op":"patch","node":"role:x","data":{"permissions":["*"]}}]}`)
	// Keys: of somebody who holds more.
	refused("POST", "/api-keys", `{"name":"x","owner":"user:acme-owner"}`)
	refused("POST", "/api-keys/"+key+"/rotate", "")
	refused("POST", "/api-keys", `{"name":"x","owner":"service_account:bootstrap"}`)
	// Resources: moving one to where she holds less, or making a type hers.
	refused("PATCH", "/resources/repo/acme%2Fmain", `{"parents":["organization:other"]}`)
	refused("POST", "/resource-types", `{"id":"mine","parents":["organization"]}`)
	refused("PATCH", "/resource-types/repo", `{"actions":["push","hack"]}`)
	refused("PUT", "/resource-types/repo", `{"parents":["user"]}`)
	// People: waking up, renaming.
	refused("PATCH", "/users/acme-editor", `{"status":"suspended"}`)
	refused("DELETE", "/users/acme-owner", "")
	refused("DELETE", "/grants?subject=user:acme-owner&resource=organization:acme&role=owner", "")

	if a := w.ok("eve", "GET", v1+"/access/permissions?resource=platform:root", "").json()["items"]; len(a.([]any)) > 0 {
		t.Errorf("eve holds %v on the root", a)
	}
}
