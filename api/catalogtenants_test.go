package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"trellis/api"
	"trellis/audit"
	"trellis/graph"
)

// elementsOf are what elements of paths stand for in the organization.
func elementsOf(org string) *strings.Replacer {
	return strings.NewReplacer("{org}", org, "{team}", "core", "{project}", "billing", "{project_type}", "api", "{environment}", "production", "{tag}", "go",
		"{link_definition}", "runbook", "{service}", "sentry", "{app}", "web", "{webhook}", "errors", "{blueprint}", "tier", "{member}", "user:other-editor")
}

// bodyFor is a body that the route takes, as far as that is known.
func bodyFor(r api.RouteInfo) string {
	switch {
	case strings.HasSuffix(r.Path, "/secrets"):
		return `{"client_secret":"mine"}`
	case strings.Contains(r.Path, "{member}"), strings.HasSuffix(r.Path, "archive"):
		return ""
	case r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/blueprints"):
		return `{"name":"mine","applies_to":"team","schema":{"type":"object","properties":{}}}`
	case r.Method == http.MethodGet || r.Method == http.MethodDelete:
		return ""
	}
	return `{"name":"mine"}`
}

// everyRouteOf lists what can be asked of an organization: each route that
// names one, by slugs and by what its nodes hold.
func everyRouteOf(org string) (list []scenario) {
	for _, r := range api.Routes() {
		if strings.Contains(r.Path, "{org}") {
			path := madeElement.ReplaceAllString(elementsOf(org).Replace(r.Path), "x")
			list = append(list, scenario{method: r.Method, path: path, body: bodyFor(r), status: 404, want: "not-found"})
			if !strings.HasSuffix(r.Path, "{org}") && r.Method != http.MethodGet && r.Method != http.MethodDelete {
				list = append(list, scenario{method: r.Method, path: path, body: `{"nonsense":true}`, status: 404, want: "not-found"})
			}
		}
	}
	return list
}

func TestEveryRouteOfAnotherOrganizationIsAnsweredLikeThatOfNone(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).catalogue()
	list := everyRouteOf("other")
	if len(list) < 80 {
		t.Fatalf("%d routes", len(list))
	}
	head := w.head()
	hidden := map[string]answer{}
	for _, as := range []string{"acme-owner", "three", "nobody"} {
		for i, s := range list {
			s.as, s.header = as, []string{"X-Request-Id", fmt.Sprint(as, "-", i)}
			w.run([]scenario{s})
			hidden[as+s.method+s.path+s.body] = w.do(as, s.method, s.path, s.body, "X-Request-Id", "same")
			if now := w.head(); now != head {
				t.Fatalf("%s %s as %s wrote something", s.method, s.path, as)
			}
		}
	}
	w.flush()
	for i, s := range list {
		events := w.records(audit.Events, "request_id", fmt.Sprint("acme-owner-", i))
		if len(events) != 1 || events[0].(*audit.Event).Outcome == audit.Success {
			t.Errorf("%s %s left %v", s.method, s.path, events)
		}
	}
	// Its nodes are not in another organization either, by whatever name.
	for _, s := range list {
		if !strings.Contains(s.path, "/other/") || s.method == "PUT" || s.method == "POST" {
			continue
		}
		for _, r := range w.within("other") {
			for name, as := range map[string]string{"billing": "acme-owner", "sentry": "acme-owner"} {
				if strings.HasSuffix(s.path, "/"+name) {
					path := strings.Replace(strings.TrimSuffix(s.path, name), "/other/", "/acme/", 1) + r.ID
					if a := w.do(as, s.method, path, s.body); a.status != 404 {
						t.Errorf("%s %s: %d %s", s.method, path, a.status, a.body)
					}
				}
			}
		}
	}
	for _, path := range []string{"/projects?archived=any", "/projects?facets=type,team,organization&total=true", "/organizations", "/search?q=ledger", "/search?q=other&type=organization", "/search?q=core&type=team", "/projects?type=other/api", "/projects?team=other-core"} {
		if a := w.ok("acme-owner", "GET", v1+path, ""); strings.Contains(string(a.body), `"other`) || strings.Contains(string(a.body), "of other") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	w.erase("other")
	for _, as := range []string{"acme-owner", "three", "nobody"} {
		for _, s := range list {
			before, after := hidden[as+s.method+s.path+s.body], w.do(as, s.method, s.path, s.body, "X-Request-Id", "same")
			if before.status != after.status || string(before.body) != string(after.body) {
				t.Errorf("%s %s as %s:\n hidden  %d %s\n missing %d %s", s.method, s.path, as, before.status, before.body, after.status, after.body)
			}
		}
	}
}

// within lists the nodes of an organization, those below others last.
func (w *world) within(org string) []graph.Ref {
	w.t.Helper()
	list := []graph.Ref{{Type: "organization", ID: org}}
	for i := 0; i < len(list); i++ {
		a, err := w.graph.Store().Ask(context.Background(), graph.Question{Name: graph.EdgesTo, Ref: list[i], Kind: graph.ChildOf, Limit: 1000})
		must(w.t, err)
		for _, e := range a.Edges {
			list = append(list, e.From)
		}
	}
	return list
}

// erase takes an organization away as if it had never been.
func (w *world) erase(org string) {
	w.t.Helper()
	var steps []graph.Step
	gone := map[graph.Ref]bool{}
	for _, r := range w.within(org) {
		if !gone[r] {
			gone[r] = true
			steps = append(steps, graph.Delete(r))
		}
	}
	_, err := w.graph.Write(context.Background(), graph.Batch{Actor: graph.Root, Steps: steps})
	must(w.t, err)
}

func TestTheCatalogSaysWhoMayDoWhat(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	w.ok("root", "POST", v1+"/organizations/acme/projects/console/archive", "")
	tag := w.ok("root", "GET", v1+"/organizations/acme/tags/go", "").header.Get("ETag")
	head := w.head()
	megabyte := `{"name":"` + strings.Repeat("x", 1<<20) + `"}`
	for _, path := range []string{"projects/billing", "project-types/api", "environments/production", "tags/go", "link-definitions/runbook", "third-party-services/sentry", "third-party-services/sentry/applications/web", "webhooks/errors", "blueprints/tier"} {
		one := v1 + "/organizations/acme/" + path
		list := one[:strings.LastIndexByte(one, '/')]
		w.run([]scenario{
			{"", "GET", list, "", 401, "unauthenticated", nil},
			{"", "PUT", one, "{}", 401, "unauthenticated", nil},
			{"nobody", "GET", list, "", 404, "not-found", nil},
			{"nobody", "POST", list, "{}", 404, "not-found", nil},
			{"nobody", "GET", one, "", 404, "not-found", nil},
			{"nobody", "PATCH", one, "{}", 404, "not-found", nil},
			{"dev", "GET", one, "", 200, `"type":"`, nil},
			{"dev", "DELETE", one, "", 403, "forbidden", nil},
			{"root", "GET", one + "-x", "", 404, "not-found", nil},
			{"root", "PATCH", one + "-x", "{}", 404, "not-found", nil},
			{"root", "PATCH", one, `{"name":"x"}`, 412, "stale", []string{"If-Match", `"99999"`}},
			{"root", "DELETE", one, "", 412, "stale", []string{"If-Match", `"99999"`}},
			{"root", "PUT", one, "{}", 412, "stale", []string{"If-None-Match", "*"}},
			{"root", "PATCH", one, megabyte, 413, "too-large", nil},
			{"root", "POST", list, `{"name":`, 400, "malformed", nil},
			{"root", "PUT", one, `{"id":"another"}`, 422, "invalid", nil},
			{"root", "PATCH", one, `{"colour":"x"}`, 422, "invalid", nil},
			{"root", "PATCH", one, `{"organization":"other"}`, 422, "invalid", nil},
		})
	}
	acme := v1 + "/organizations/acme"
	for _, s := range []struct {
		scenario
		at string
	}{
		{scenario{"root", "POST", acme + "/projects", `{"slug":"billing"}`, 409, "exists", nil}, "/slug"},
		{scenario{"root", "PATCH", acme + "/projects/ledger", `{"slug":"billing"}`, 409, "exists", nil}, "/slug"},
		{scenario{"root", "POST", acme + "/projects", `{"slug":"New Project"}`, 422, "invalid", nil}, "/slug"},
		{scenario{"root", "POST", acme + "/projects", `{"slug":"x","organization":"other"}`, 422, "invalid", nil}, "/organization"},
		{scenario{"root", "POST", acme + "/projects", `{"slug":"x","types":["api","ghost"]}`, 422, "invalid", nil}, "/types/1"},
		{scenario{"root", "PATCH", acme + "/projects/billing", `{"environments":{"ghost":{}}}`, 422, "invalid", nil}, "/environments/ghost"},
		{scenario{"root", "PATCH", acme + "/projects/billing", `{"depends_on":["billing"]}`, 422, "invalid", nil}, "/depends_on/0"},
		{scenario{"root", "POST", acme + "/environments", `{"slug":"x","label_color":"red"}`, 422, "invalid", nil}, "/label_color"},
		{scenario{"root", "POST", acme + "/environments", `{"slug":"x","sort_order":1.5}`, 422, "invalid", nil}, "/sort_order"},
		{scenario{"root", "POST", acme + "/third-party-services/sentry/applications", `{"slug":"x","service":"github"}`, 422, "invalid", nil}, "/service"},
		{scenario{"root", "PUT", acme + "/third-party-services/sentry/applications/web/secrets", `{"password":"x"}`, 422, "invalid", nil}, "/password"},
		{scenario{"root", "PUT", acme + "/third-party-services/sentry/applications/web/secrets", `{"client_secret":7}`, 422, "invalid", nil}, "/client_secret"},
		{scenario{"root", "POST", v1 + "/blueprints", `{"slug":"x","organization":"acme","applies_to":"team","schema":{}}`, 422, "invalid", nil}, "/organization"},
		{scenario{"root", "PATCH", acme + "/projects/console", `{"name":"x"}`, 409, "archived", nil}, ""},
		{scenario{"root", "DELETE", acme + "/environments/production", "", 409, "in-use", nil}, ""},
		{scenario{"root", "DELETE", acme + "/third-party-services/sentry", "", 409, "in-use", nil}, ""},
		{scenario{"dev", "GET", acme + "/third-party-services/sentry/applications/web/secrets", "", 403, "forbidden", nil}, ""},
		{scenario{"dev", "PUT", acme + "/third-party-services/sentry/applications/web/secrets", "{}", 403, "forbidden", nil}, ""},
		{scenario{"nobody", "GET", acme + "/third-party-services/sentry/applications/web/secrets", "", 404, "not-found", nil}, ""},
		{scenario{"acme-editor", "POST", acme + "/projects/billing/archive", "", 404, "not-found", nil}, ""},
		{scenario{"root", "POST", acme + "/projects/billing/archive", "", 412, "stale", []string{"If-Match", `"1"`}}, ""},
		{scenario{"root", "GET", acme + "/tags/go", "", 304, "", []string{"If-None-Match", tag}}, ""},
	} {
		a := w.do(s.as, s.method, s.path, s.body, s.header...)
		if a.status != s.status || a.status > 304 && a.problem() != s.want || s.at != "" && !strings.Contains(string(a.body), `"pointer":"`+s.at+`"`) {
			t.Errorf("%s %s %s as %s: %d %s", s.method, s.path, s.body, s.as, a.status, a.body)
		}
	}
	if now := w.head(); now != head {
		t.Errorf("what was refused wrote something: head %d, was %d", now, head)
	}
}

func TestNoSecretComesOutButWhereItIsAskedFor(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).catalogue()
	acme := v1 + "/organizations/acme"
	app := acme + "/third-party-services/sentry/applications/web"
	w.ok("root", "PATCH", app, `{"private_key":"sesame-key"}`)
	w.ok("root", "PUT", app+"/secrets", `{"signing_secret":"sesame-sign"}`)
	a := w.ok("acme-owner", "GET", app+"/secrets", "", "X-Request-Id", "reveal")
	if want := `{"client_secret":"sesame-acme","private_key":"sesame-key","signing_secret":"sesame-sign"}`; strings.TrimSpace(string(a.body)) != want || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %s, %s", a.body, a.header.Get("Cache-Control"))
	}
	w.do("root", "POST", acme+"/third-party-services/sentry/applications", `{"slug":"web","client_secret":"sesame-refused"}`)
	w.do("root", "POST", v1+"/batch", `{"mutations":[{"op":"create","node":"application:b","data":{"service":"nowhere","client_secret":"sesame-batch"}}]}`)
	w.flush()
	events := w.records(audit.Events, "request_id", "reveal")
	if len(events) != 1 {
		t.Fatalf("%d events", len(events))
	}
	if e := events[0].(*audit.Event); e.Action != "application:reveal" || e.Outcome != audit.Success || e.Actor != "user:acme-owner" || !strings.Contains(e.Reason, "client_secret, private_key, signing_secret") || len(e.Within) != 3 {
		t.Errorf("recorded %+v", e)
	}
	for _, r := range api.Routes() {
		if r.Method != http.MethodGet || strings.HasSuffix(r.Path, "/secrets") || strings.HasSuffix(r.Path, "/changes") || strings.HasSuffix(r.Path, "/audit/tail") {
			continue
		}
		path := madeElement.ReplaceAllString(elementsOf("acme").Replace(r.Path), "x") + map[bool]string{true: "?q=web"}[strings.HasSuffix(r.Path, "/search")]
		for _, accept := range []string{"application/json", "application/x-ndjson"} {
			if a := w.do("root", "GET", path, "", "Accept", accept); strings.Contains(string(a.body), "sesame") {
				t.Errorf("%s: %.300s", path, a.body)
			}
		}
	}
	if strings.Contains(w.everything(), "sesame") {
		t.Error("a secret is in the audit log")
	}
	_, err := w.store.Export(context.Background(), func(r graph.Record) error {
		if r.Node != nil && strings.Contains(fmt.Sprint(r.Node.Props), "sesame") {
			t.Errorf("the export has %v", r.Node)
		}
		return nil
	})
	must(t, err)
	if strings.Contains(w.logs.String(), "sesame") {
		t.Error("a secret is in the log")
	}
}
