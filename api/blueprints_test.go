package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"trellis/api"
)

// blueprinted is a sample world with blueprints in acme and everywhere.
func (w *world) blueprinted() *world {
	w.t.Helper()
	w.sample()
	const acme = v1 + "/organizations/acme"
	w.ok("acme-owner", "PUT", acme+"/project-types/api", `{"name":"API"}`)
	w.ok("acme-owner", "PUT", acme+"/environments/production", `{"name":"Production"}`)
	for _, p := range []string{"old", "older", "fine"} {
		w.ok("acme-owner", "PUT", acme+"/projects/"+p, `{"name":"`+p+`","types":["api"],"attributes":{"tier":"gold","n":1}}`)
	}
	w.ok("acme-owner", "PUT", acme+"/projects/plain", `{"name":"plain"}`)
	w.ok("acme-owner", "PATCH", acme+"/projects/old", `{"attributes":{"tier":"lead"}}`)
	w.ok("acme-owner", "PATCH", acme+"/projects/older", `{"attributes":{"tier":7,"n":"x"}}`)
	w.ok("acme-owner", "PUT", acme+"/blueprints/tier", `{"applies_to":"project","project_types":["api"],"schema":{"type":"object","required":["tier"],"properties":{"tier":{"enum":["gold","silver"]}}}}`)
	w.ok("root", "PUT", v1+"/blueprints/number", `{"applies_to":"project","schema":{"type":"object","properties":{"n":{"type":"integer"}}}}`)
	return w
}

func TestBlueprintsOverHTTP(t *testing.T) {
	w := newWorld(t, api.Options{}).blueprinted()
	const acme = v1 + "/organizations/acme"
	at := func(as, method, path, body string, status int, want string) scenario {
		return scenario{as: as, method: method, path: path, body: body, status: status, want: want}
	}
	bad := `{"applies_to":"project","schema":{"type":"object","properties":{"tier":{"enum":"gold"}}}}`
	w.run([]scenario{
		at("acme-owner", "PUT", acme+"/blueprints/bad", bad, 422, "invalid"),
		at("acme-owner", "PUT", acme+"/projects/new", `{"types":["api"],"attributes":{"tier":"lead"}}`, 422, "invalid"),
		at("acme-owner", "PUT", acme+"/projects/new", `{"types":["api"],"attributes":{"tier":"gold"}}`, 201, `"attributes":{"tier":"gold"}`),
		at("acme-owner", "PATCH", acme+"/projects/new", `{"attributes":{"n":1.5}}`, 422, "invalid"),
		// One that does not fit since the blueprint came is told so at its next change, whatever that is.
		at("acme-owner", "PATCH", acme+"/projects/old", `{"name":"Old"}`, 422, "invalid"),
		at("acme-owner", "PATCH", acme+"/projects/old", `{"name":"Old","attributes":{"tier":"gold"}}`, 200, `"name":"Old"`),

		at("acme-owner", "GET", acme+"/projects/fine/schema", "", 200, `"tier":{"enum":["gold","silver"],"x-trellis-blueprint":{"id":"`),
		at("acme-owner", "GET", acme+"/projects/plain/schema", "", 200, `"properties":{"n":`),
		at("acme-owner", "GET", acme+"/teams/core/schema", "", 200, `"properties":{}`),
		at("acme-owner", "GET", acme+"/environments/production/schema", "", 200, `"properties":{}`),
		at("acme-owner", "GET", acme+"/project-types/api/schema", "", 200, `"properties":{}`),
		at("acme-owner", "GET", acme+"/schema", "", 200, `"properties":{}`),
		at("acme-owner", "GET", acme+"/schema?applies_to=project", "", 200, `"properties":{"n":`),
		at("acme-owner", "GET", acme+"/schema?applies_to=project&type=x&type=api&environment=production", "", 200, `"required":["tier"]`),
		at("acme-owner", "GET", acme+"/schema?applies_to=tag", "", 422, "invalid"),
		at("acme-owner", "GET", acme+"/schema?applies_to=team&type=api", "", 422, "invalid"),
		at("acme-owner", "GET", acme+"/schema?kind=team", "", 422, "invalid"),
		at("acme-owner", "GET", acme+"/projects/none/schema", "", 404, "not-found"),
		at("acme-owner", "GET", acme+"/blueprints/none/misfits", "", 404, "not-found"),
		at("acme-owner", "GET", acme+"/blueprints/number/misfits", "", 404, "not-found"),
		at("acme-owner", "GET", acme+"/blueprints/tier/misfits?cursor=x", "", 422, "cursor"),
		at("acme-owner", "GET", acme+"/blueprints/tier/misfits?limit=0", "", 422, "invalid"),
		at("", "GET", acme+"/blueprints/tier/misfits", "", 401, "unauthenticated"),
		at("", "GET", acme+"/schema", "", 401, "unauthenticated"),

		// Who may read the organization but nothing more, and who may see nothing of it.
		at("acme-editor", "GET", acme+"/schema", "", 200, `"properties":{}`),
		at("acme-editor", "GET", acme+"/projects/fine/schema", "", 404, "not-found"),
		at("acme-editor", "GET", acme+"/blueprints/tier/misfits", "", 404, "not-found"),
		at("acme-owner", "GET", v1+"/blueprints/number/misfits", "", 200, `"slug":"older"`),
		at("other-owner", "GET", v1+"/blueprints/number/misfits", "", 200, `{"items":[]}`),
		at("other-owner", "PUT", v1+"/blueprints/number", `{"applies_to":"project","schema":{"type":"object","properties":{}}}`, 403, "forbidden"),
	})
	for _, as := range []string{"other-owner", "nobody"} {
		for _, path := range []string{"/schema", "/schema?applies_to=project", "/projects/fine/schema", "/teams/core/schema", "/environments/production/schema", "/project-types/api/schema", "/blueprints/tier/misfits", "/blueprints/tier"} {
			w.run([]scenario{at(as, "GET", acme+path, "", 404, "not-found")})
		}
		w.run([]scenario{at(as, "PUT", acme+"/blueprints/tier", bad, 404, "not-found"), at(as, "DELETE", acme+"/blueprints/tier", "", 404, "not-found")})
	}
	// A blueprint's name may be taken, and its revision may be another one.
	w.run([]scenario{
		at("acme-owner", "POST", acme+"/blueprints", `{"slug":"tier","applies_to":"project","schema":{"type":"object","properties":{}}}`, 409, "exists"),
		{as: "acme-owner", method: "PATCH", path: acme + "/blueprints/tier", body: `{"priority":2}`, status: 412, want: "stale", header: []string{"If-Match", `"1"`}},
		at("acme-owner", "PATCH", acme+"/blueprints/tier", `{"priority":2}`, 200, `"version":2`),
		at("acme-owner", "PATCH", acme+"/blueprints/tier", `{"applies_to":"team"}`, 422, "invalid"),
	})
}

func TestProblemsPointIntoAttributesAndSchemas(t *testing.T) {
	w := newWorld(t, api.Options{}).blueprinted()
	const acme = v1 + "/organizations/acme"
	errors := func(a answer) (out []string) {
		for _, e := range a.json()["errors"].([]any) {
			m := e.(map[string]any)
			out = append(out, m["pointer"].(string)+" "+m["detail"].(string))
		}
		return out
	}
	for _, c := range []struct{ path, body, want string }{
		{"/projects/new", `{"types":["api"],"attributes":{"n":"1"}}`, "/attributes/n want a whole number|/attributes/tier is required"},
		{"/blueprints/new", `{"applies_to":"project","schema":{"type":"object","properties":{"tier":{"enum":"gold"}}}}`, "/schema/properties/tier/enum want a list"},
	} {
		if got := strings.Join(errors(w.do("acme-owner", "PUT", acme+c.path, c.body)), "|"); got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
	}
}

func TestSchemasHaveTags(t *testing.T) {
	w := newWorld(t, api.Options{}).blueprinted()
	const path = v1 + "/organizations/acme/projects/fine/schema"
	first := w.ok("acme-owner", "GET", path, "")
	tag := first.header.Get("ETag")
	if a := w.do("acme-owner", "GET", path, "", "If-None-Match", `"x", W/`+tag); a.status != 304 || len(a.body) > 0 || a.header.Get("ETag") != tag {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.ok("acme-owner", "PATCH", v1+"/organizations/acme/blueprints/tier", `{"schema":{"properties":{"more":true}}}`)
	if a := w.do("acme-owner", "GET", path, "", "If-None-Match", tag); a.status != 200 || a.header.Get("ETag") == tag {
		t.Errorf("%d %s", a.status, a.header)
	}
	// Whoever may make projects in a team of it, and sees nothing else, sees the schema.
	w.ok("root", "PUT", v1+"/roles/maker", `{"permissions":["project:create"]}`)
	w.grant("user:nobody", "maker", "team:acme-core")
	w.ok("nobody", "GET", v1+"/organizations/acme/schema?applies_to=project", "")
	if a := w.do("nobody", "GET", v1+"/organizations/acme/schema?applies_to=team", ""); a.status != 404 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// misfits follows the cursors to the end.
func (w *world) misfits(as, path string, limit int) (slugs []string, pages int) {
	w.t.Helper()
	cursor := ""
	for {
		q := url.Values{"limit": {fmt.Sprint(limit)}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		var page struct {
			Items      []struct{ Node, Slug string }
			NextCursor string `json:"next_cursor"`
		}
		must(w.t, json.Unmarshal(w.ok(as, "GET", path+"/misfits?"+q.Encode(), "").body, &page))
		if pages++; len(page.Items) > limit {
			w.t.Fatalf("%d items on a page of %d", len(page.Items), limit)
		}
		for _, m := range page.Items {
			slugs = append(slugs, m.Slug)
		}
		if cursor = page.NextCursor; cursor == "" {
			return slugs, pages
		}
	}
}

func TestMisfitsAreListed(t *testing.T) {
	w := newWorld(t, api.Options{}).blueprinted()
	const acme = v1 + "/organizations/acme"
	want := `{"items":[{"node":"project:%s","organization":"acme","slug":"old","name":"old","errors":[{"pointer":"/attributes/tier","detail":"want one of gold, silver"}]},` +
		`{"node":"project:%s","organization":"acme","slug":"older","name":"older","errors":[{"pointer":"/attributes/n","detail":"want a whole number"},{"pointer":"/attributes/tier","detail":"want one of gold, silver"}]}]}`
	id := func(slug string) string {
		return w.ok("acme-owner", "GET", acme+"/projects/"+slug, "").json()["id"].(string)
	}
	want = fmt.Sprintf(want, id("old"), id("older"))
	if got := strings.TrimSpace(string(w.ok("acme-owner", "GET", acme+"/blueprints/tier/misfits", "").body)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	check := func(what string, got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	// Only what one may read: old alone, for who may read that and the blueprint.
	w.ok("root", "PUT", v1+"/roles/looker", `{"permissions":["project:read","blueprint:read"]}`)
	blueprint := w.ok("acme-owner", "GET", acme+"/blueprints/tier", "").json()["id"].(string)
	w.grant("user:nobody", "looker", "project:"+id("old"))
	w.grant("user:nobody", "looker", "blueprint:"+blueprint)
	got, _ := w.misfits("nobody", acme+"/blueprints/tier", 1)
	check("who sees one", got, []string{"old"})
	got, _ = w.misfits("root", v1+"/blueprints/number", 50)
	check("global", got, []string{"old", "older"})

	// Many, by pages, in which the others are passed over.
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, `{"op":"create","node":"project:m%02d","data":{"organization":"acme","slug":"m%02[1]d","name":"m%02[1]d","types":["api"],"attributes":{"tier":"gold"}}},`, i)
	}
	w.ok("acme-owner", "POST", v1+"/batch", `{"mutations":[`+strings.TrimSuffix(b.String(), ",")+`]}`)
	w.ok("acme-owner", "PATCH", acme+"/blueprints/tier", `{"schema":{"properties":{"tier":{"enum":["silver"]}}}}`)
	for i := 0; i < 60; i += 3 {
		w.ok("acme-owner", "PATCH", fmt.Sprintf("%s/projects/m%02d", acme, i), `{"attributes":{"tier":"silver"}}`)
	}
	all, _ := w.misfits("acme-owner", acme+"/blueprints/tier", 1000)
	if len(all) != 43 || all[0] != "fine" || all[1] != "m01" {
		t.Errorf("%d: %v", len(all), all)
	}
	for _, limit := range []int{1, 7, 43} {
		got, pages := w.misfits("acme-owner", acme+"/blueprints/tier", limit)
		check(fmt.Sprint("by ", limit), got, all)
		if pages > 43/limit+2 {
			t.Errorf("%d pages of %d", pages, limit)
		}
	}
	// Archived and repaired ones are no misfits, nor is anything of a disabled blueprint.
	w.ok("acme-owner", "POST", acme+"/projects/m01/archive", "")
	w.ok("acme-owner", "PATCH", acme+"/projects/fine", `{"attributes":{"tier":"silver"}}`)
	got, _ = w.misfits("acme-owner", acme+"/blueprints/tier", 100)
	check("fewer", got, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "m01" || s == "fine" }))
	w.ok("acme-owner", "PATCH", acme+"/blueprints/tier", `{"disabled":true}`)
	got, _ = w.misfits("acme-owner", acme+"/blueprints/tier", 100)
	check("disabled", got, nil)
}

func TestMisfitsOfOtherTypes(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	const acme = v1 + "/organizations/acme"
	w.ok("acme-owner", "PUT", acme+"/project-types/api", `{}`)
	w.ok("acme-owner", "PUT", acme+"/environments/production", `{}`)
	for typ, slug := range map[string]string{"team": "core", "environment": "production", "project_type": "api", "organization": "acme"} {
		body := fmt.Sprintf(`{"applies_to":%q,"schema":{"type":"object","properties":{"owner":{"type":"string"}},"required":["owner"]}}`, typ)
		w.ok("acme-owner", "PUT", acme+"/blueprints/b-"+strings.ReplaceAll(typ, "_", "-"), body)
		got, _ := w.misfits("acme-owner", acme+"/blueprints/b-"+strings.ReplaceAll(typ, "_", "-"), 10)
		if !slices.Equal(got, []string{slug}) {
			t.Errorf("%s: %v", typ, got)
		}
	}
	w.ok("root", "PUT", v1+"/blueprints/everyone", `{"applies_to":"organization","schema":{"type":"object","properties":{"vat":{"type":"string"}},"required":["vat"]}}`)
	got, _ := w.misfits("root", v1+"/blueprints/everyone", 10)
	if !slices.Equal(got, []string{"acme", "other"}) {
		t.Errorf("%v", got)
	}
	w.ok("acme-owner", "GET", acme+"/schema", "")
	if a := w.do("acme-owner", "PATCH", acme, `{"name":"Acme"}`); a.status != 422 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestListsAreFilteredByWhatBlueprintsDescribe goes through what attributes may be.
func TestListsAreFilteredByWhatBlueprintsDescribe(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	const acme = v1 + "/organizations/acme"
	w.ok("acme-owner", "PUT", acme+"/blueprints/all", `{"applies_to":"project","schema":{"type":"object","additionalProperties":false,"properties":{
		"text":{"type":"string"},"whole":{"type":"integer"},"number":{"type":"number"},"flag":{"type":"boolean"},"list":{"type":"array","items":{"type":["string","integer","boolean"]}},"odd name.x":{"type":"string"},"nothing":{"type":"null"}}}}`)
	w.ok("acme-owner", "PUT", acme+"/projects/p", `{"attributes":{"text":"Hé llo","whole":3.0,"number":1.50,"flag":true,"list":["a",2,false],"odd name.x":"&=","nothing":null}}`)
	w.ok("acme-owner", "PUT", acme+"/projects/q", `{"attributes":{"text":"x","whole":1e2,"number":-0.5,"flag":false,"list":[]}}`)
	for filter, want := range map[string][]string{
		"text=Hé llo": {"p"}, "text=hé llo": nil, "whole=3": {"p"}, "whole=100": {"q"}, "number=1.5": {"p"}, "number=-0.5": {"q"}, "flag=true": {"p"}, "flag=false": {"q"},
		"list=a": {"p"}, "list=2": {"p"}, "list=false": {"p"}, "list=b": nil, "odd name.x=&=": {"p"}, "unknown=1": nil,
	} {
		name, value, _ := strings.Cut(filter, "=")
		var got []string
		for _, n := range w.ok("acme-owner", "GET", acme+"/projects?attributes."+url.PathEscape(name)+"="+url.QueryEscape(value), "").json()["items"].([]any) {
			got = append(got, n.(map[string]any)["slug"].(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", filter, got, want)
		}
	}
	facets := w.ok("acme-owner", "GET", acme+"/projects?facets=attributes.list,attributes.whole", "").json()["facets"]
	b, err := json.Marshal(facets)
	must(t, err)
	if want := `{"attributes.list":[{"count":1,"value":"2"},{"count":1,"value":"a"},{"count":1,"value":"false"}],"attributes.whole":[{"count":1,"value":"100"},{"count":1,"value":"3"}]}`; string(b) != want {
		t.Errorf("%s", b)
	}
}
