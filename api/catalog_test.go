package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/api"
)

// catalogue fills organization acme of the sample, and other with words of the
// same slugs; dev may read and edit acme, three sees three of its projects.
func (w *world) catalogue() *world {
	w.t.Helper()
	w.sample()
	for _, org := range []string{"acme", "other"} {
		base := v1 + "/organizations/" + org
		w.ok("root", "PUT", base+"/project-types/api", `{"name":"API"}`)
		w.ok("root", "PUT", base+"/project-types/library", `{"name":"Library"}`)
		w.ok("root", "PUT", base+"/environments/production", `{"name":"Production","sort_order":2,"label_color":"#00ff00"}`)
		w.ok("root", "PUT", base+"/environments/staging", `{"name":"Staging","sort_order":1}`)
		w.ok("root", "PUT", base+"/tags/go", `{"name":"Golang"}`)
		w.ok("root", "PUT", base+"/link-definitions/runbook", `{"name":"Runbook"}`)
		w.ok("root", "PUT", base+"/third-party-services/sentry", `{"name":"Sentry","team":"core","links":{"status":"https://s"}}`)
		w.ok("root", "PUT", base+"/third-party-services/sentry/applications/web", `{"name":"Web","client_secret":"sesame-`+org+`"}`)
		w.ok("root", "PUT", base+"/webhooks/errors", `{"path":"/in","secret":"sesame-`+org+`","services":{"sentry":{"identifier_selector":"/p"}},"rules":[{"handler":"note","filter":"true"}]}`)
		w.ok("root", "PUT", base+"/blueprints/tier", `{"applies_to":"team","schema":{"type":"object","properties":{}}}`)
		w.ok("root", "PUT", base+"/projects/ledger", `{"name":"Ledger of `+org+`","types":["library"]}`)
		w.ok("root", "PUT", base+"/projects/billing", billing)
		w.ok("root", "PUT", base+"/projects/console", `{"name":"Console","depends_on":["billing"],"types":["api"],"attributes":{"tier":2}}`)
	}
	w.user("dev")
	w.grant("user:dev", "developer", "organization:acme")
	w.user("three")
	for i := range 3 {
		a := w.ok("root", "POST", v1+"/organizations/acme/projects", fmt.Sprintf(`{"slug":"small-%d","types":["api"],"tags":["go"],"depends_on":["ledger"]}`, i))
		w.grant("user:three", "developer", "project:"+a.json()["id"].(string))
	}
	return w
}

const billing = `{"name":"Billing","description":"Sends invoices","types":["api","library"],"team":"core","tags":["go"],"depends_on":["ledger"],` +
	`"environments":{"production":{"url":"https://b"},"staging":{}},"links":{"runbook":{"url":"https://r"}},` +
	`"services":{"sentry":{"identifier":"42","canonical_link":"https://c"}},"identifiers":{"github":"gh/invoicer"},"attributes":{"tier":1,"languages":["go","sql"]}}`

// slugs are those of the items of a page.
func slugs(a answer) (out []string) {
	a.t.Helper()
	for _, i := range a.json()["items"].([]any) {
		out = append(out, i.(map[string]any)["slug"].(string))
	}
	return out
}

func TestWhatIsReadCanBeSentBack(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	acme := v1 + "/organizations/acme"
	w.ok("root", "PATCH", acme+"/projects/console", `{"slug":"shell"}`)
	w.ok("root", "POST", acme+"/projects/small-0/archive", "")
	for _, path := range []string{
		"/projects/billing", "/projects/ledger", "/projects/shell", "/projects/small-0", "/project-types/api", "/environments/production", "/tags/go", "/link-definitions/runbook",
		"/third-party-services/sentry", "/third-party-services/sentry/applications/web", "/webhooks/errors", "/blueprints/tier", "/teams/core", "",
	} {
		read := w.ok("root", "GET", acme+path, "")
		back := w.ok("root", "PUT", acme+path, string(read.body), "If-Match", read.header.Get("ETag"))
		if d := cmp.Diff(read.json(), back.json()); d != "" || back.header.Get("ETag") != read.header.Get("ETag") {
			t.Errorf("%s is another after PUT of what GET gave, %s and %s:\n%s", path, read.header.Get("ETag"), back.header.Get("ETag"), d)
		}
	}
	// Whoever sees less sends back less, and takes nothing away by that.
	small := w.ok("three", "GET", acme+"/projects/small-1", "")
	if s := string(small.body); !strings.Contains(s, `"depends_on":[]`) || !strings.Contains(s, `"types":["api"]`) || !strings.Contains(s, `"tags":["go"]`) {
		t.Errorf("shown to who may read it alone: %s", s)
	}
	w.ok("three", "PUT", acme+"/projects/small-1", string(small.body))
	if s := string(w.ok("root", "GET", acme+"/projects/small-1", "").body); !strings.Contains(s, `"depends_on":["ledger"]`) {
		t.Errorf("a dependency that the caller may not see is gone: %s", s)
	}
	edited := strings.Replace(string(w.ok("root", "GET", acme+"/projects/billing", "").body), `"production":{"url":"https://b"}`, `"production":{"url":"https://new"}`, 1)
	if got := w.ok("root", "PUT", acme+"/projects/billing", edited); !strings.Contains(string(got.body), `{"url":"https://new"}`) {
		t.Errorf("the answer to a PUT has the old relations: %s", got.body)
	}
}

func TestPutNamesANewNodeByItsSlug(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	seen := map[any]bool{}
	for _, org := range []string{"acme", "other"} {
		path := v1 + "/organizations/" + org + "/projects/same"
		a := w.ok("root", "PUT", path, `{"name":"Same"}`)
		if a.status != 201 || a.json()["slug"] != "same" || seen[a.json()["id"]] {
			t.Errorf("%s: %d %s", org, a.status, a.body)
		}
		seen[a.json()["id"]] = true
		if b := w.ok("root", "PUT", path, `{"name":"Same again"}`); b.status != 200 || b.json()["id"] != a.json()["id"] {
			t.Errorf("%s again: %d %s", org, b.status, b.body)
		}
		if b := w.do("root", "PUT", path, `{"name":"No"}`, "If-None-Match", "*"); b.status != 412 {
			t.Errorf("%s only if new: %d %s", org, b.status, b.body)
		}
	}
	const id = "0198a000-0000-7000-8000-000000000001"
	w.run([]scenario{
		{"root", "PUT", v1 + "/organizations/acme/projects/" + id, `{"name":"By id"}`, 201, `"id":"` + id + `"`, nil},
		{"root", "PUT", v1 + "/organizations/acme/projects/my-id", `{"slug":"my-slug"}`, 201, `"id":"my-id"`, nil},
		{"root", "GET", v1 + "/organizations/acme/projects/my-slug", "", 200, `"id":"my-id"`, nil},
		{"root", "PUT", v1 + "/organizations/other/projects/my-id", `{"name":"theirs"}`, 201, `"slug":"my-id"`, nil},
		{"dev", "PUT", v1 + "/organizations/acme/projects/made-by-dev", `{}`, 201, `"slug":"made-by-dev"`, nil},
		{"dev", "PUT", v1 + "/organizations/other/projects/made-by-dev", `{}`, 404, "not-found", nil},
		{"dev", "PUT", v1 + "/organizations/acme/environments/made-by-dev", `{}`, 403, "forbidden", nil},
	})
}

func TestARenamedSlugLeadsToTheNewOne(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	acme := v1 + "/organizations/acme"
	w.ok("root", "PATCH", acme+"/projects/billing", `{"slug":"invoices"}`)
	w.ok("root", "PATCH", acme+"/teams/core", `{"slug":"kernel"}`)
	w.ok("root", "PATCH", acme+"/third-party-services/sentry", `{"slug":"errors"}`)
	w.ok("root", "PATCH", acme+"/third-party-services/errors/applications/web", `{"slug":"site"}`)
	moved := func(as, method, from, to string) {
		t.Helper()
		head := w.head()
		a := w.do(as, method, from, `{"name":"x"}`)
		if to == "" {
			if a.status != 404 || a.problem() != "not-found" {
				t.Errorf("%s %s as %s: %d %s", method, from, as, a.status, a.body)
			}
		} else if a.status != 308 || a.header.Get("Location") != to || a.header.Get("Trellis-Revision") == "" {
			t.Errorf("%s %s as %s: %d to %s, want %s", method, from, as, a.status, a.header.Get("Location"), to)
		}
		if w.head() != head {
			t.Errorf("%s %s wrote something", method, from)
		}
	}
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		moved("dev", method, acme+"/projects/billing", acme+"/projects/invoices")
		moved("acme-editor", method, acme+"/teams/core", acme+"/teams/kernel")
		moved("nobody", method, acme+"/projects/billing", "")
		moved("three", method, acme+"/projects/billing", "")
	}
	moved("dev", "GET", acme+"/projects/billing/dependents?depth=2&limit=3", acme+"/projects/invoices/dependents?depth=2&limit=3")
	moved("dev", "POST", acme+"/projects/billing/archive", acme+"/projects/invoices/archive")
	moved("dev", "GET", acme+"/teams/core/members", acme+"/teams/kernel/members")
	moved("dev", "GET", acme+"/third-party-services/sentry/applications/web", acme+"/third-party-services/errors/applications/web")
	moved("dev", "GET", acme+"/third-party-services/errors/applications/web", acme+"/third-party-services/errors/applications/site")
	w.ok("root", "PATCH", acme, `{"slug":"acme-inc"}`)
	// The id of the sample's organization is its first slug: give it one that is none.
	w.ok("root", "PATCH", acme, `{"slug":"acme-ltd"}`)
	old, now := v1+"/organizations/acme-inc", v1+"/organizations/acme-ltd"
	for _, r := range api.Routes() {
		if !strings.Contains(r.Path, "{org}") {
			continue
		}
		rest := strings.NewReplacer(v1+"/organizations/{org}", "", "{project}", "invoices", "{team}", "kernel", "{service}", "errors", "{app}", "site", "{member}", "user:dev").Replace(r.Path)
		rest = madeElement.ReplaceAllString(rest, "x")
		moved("dev", r.Method, old+rest, now+rest)
		moved("nobody", r.Method, old+rest, "")
	}
	// A slug that somebody else has now is theirs.
	w.ok("root", "POST", acme+"/projects", `{"slug":"billing","name":"New"}`)
	if a := w.ok("dev", "GET", acme+"/projects/billing", ""); a.status != 200 || a.json()["name"] != "New" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestListsOfTheCatalog(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	acme := v1 + "/organizations/acme"
	w.ok("root", "POST", acme+"/projects/console/archive", "")
	team := w.ok("root", "GET", acme+"/teams/core", "").json()["id"].(string)
	for _, s := range []struct{ as, path, want string }{
		{"root", acme + "/projects", "small-0 small-1 small-2 billing ledger"},
		{"root", acme + "/projects?archived=any", "small-0 small-1 small-2 billing console ledger"},
		{"root", acme + "/projects?archived=true", "console"},
		{"root", acme + "/projects?sort=-slug&archived=any&limit=2", "small-2 small-1"},
		{"root", acme + "/projects?type=library", "billing ledger"},
		{"root", acme + "/projects?type=library&type=api&tag=go", "small-0 small-1 small-2 billing"},
		{"root", acme + "/projects?type=library&tag=go", "billing"},
		{"root", acme + "/projects?team=core", "billing"},
		{"root", acme + "/projects?team=" + team, "billing"},
		{"root", acme + "/projects?team=nobody", ""},
		{"root", acme + "/projects?environment=staging&service=sentry&link=runbook", "billing"},
		{"root", acme + "/projects?depends_on=ledger", "small-0 small-1 small-2 billing"},
		{"root", acme + "/projects?attributes.tier=1", "billing"},
		{"root", acme + "/projects?attributes.languages=sql&attributes.tier=1", "billing"},
		{"root", acme + "/projects?attributes.tier=2", ""},
		{"root", acme + "/projects?attributes.tier=2&archived=any", "console"},
		{"root", acme + "/projects?text=led", "ledger"},
		{"root", acme + "/projects?text=invoicer", "billing"},
		{"root", acme + "/teams/core/projects", "billing"},
		{"root", acme + "/environments/production/projects?type=library", "billing"},
		{"root", acme + "/tags/go/projects?limit=2", "small-0 small-1"},
		{"root", v1 + "/projects?type=acme/library", "billing ledger"},
		{"root", v1 + "/projects?type=library&organization=other", "billing ledger"},
		{"root", v1 + "/projects?type=library", ""},
		{"root", v1 + "/projects?text=ledger", "ledger ledger"},
		{"three", v1 + "/projects", "small-0 small-1 small-2"},
		{"three", acme + "/projects?tag=go", "small-0 small-1 small-2"},
		{"three", acme + "/projects?text=ledger", ""},
		{"nobody", v1 + "/projects", ""},
		{"dev", v1 + "/projects?text=ledger", "ledger"},
		{"dev", acme + "/environments", "production staging"},
		{"dev", acme + "/environments?sort=sort_order", "staging production"},
		{"dev", acme + "/environments?sort=sort_order&limit=1", "staging"},
		{"dev", acme + "/third-party-services?team=core", "sentry"},
		{"dev", acme + "/webhooks?service=sentry", "errors"},
		{"dev", acme + "/third-party-services/sentry/applications", "web"},
		{"dev", v1 + "/organizations", "acme"},
		{"root", v1 + "/organizations?sort=-name", "other acme"},
		{"dev", acme + "/teams", "core"},
		{"root", v1 + "/blueprints", ""},
	} {
		if got := strings.Join(slugs(w.ok(s.as, "GET", s.path, "")), " "); got != s.want {
			t.Errorf("%s as %s: %s, want %s", s.path, s.as, got, s.want)
		}
	}
	w.run([]scenario{
		{"root", "GET", acme + "/projects?facets=type,attributes.tier,archived&total=true&limit=1", "", 200, `"facets":{"archived":[{"value":"false","count":5},{"value":"true","count":1}],"attributes.tier":[{"value":"1","count":1}],"type":[{"id":`, nil},
		{"root", "GET", acme + "/projects?total=true&limit=1", "", 200, `"total":5`, nil},
		{"three", "GET", acme + "/projects?facets=type,depends_on,team", "", 200, `"name":"API","count":3}]}`, nil},
		{"three", "GET", acme + "/projects?facets=depends_on,team", "", 200, `"facets":{"depends_on":[],"team":[]}`, nil},
		{"root", "GET", acme + "/tags", "", 200, `"counts":{"projects":4}`, nil},
		{"root", "GET", acme + "/teams", "", 200, `"counts":{"projects":1}`, nil},
		{"dev", "GET", acme + "/project-types?text=api", "", 200, `"counts":{"projects":5}`, nil},
		{"three", "GET", v1 + "/organizations/other/projects", "", 404, "not-found", nil},
		{"three", "GET", acme + "/tags", "", 200, `{"items":[]}`, nil},
		{"nobody", "GET", acme + "/tags", "", 404, "not-found", nil},
		{"three", "GET", v1 + "/projects?organization=other", "", 404, "not-found", nil},
		{"dev", "GET", acme + "/projects?facets=nothing", "", 422, "invalid", nil},
		{"dev", "GET", acme + "/projects?sort=size", "", 422, "invalid", nil},
		{"dev", "GET", acme + "/projects?archived=maybe", "", 422, "invalid", nil},
		{"dev", "GET", acme + "/projects?colour=red", "", 422, "invalid", nil},
		{"dev", "GET", acme + "/projects?text=a&text=b", "", 422, "invalid", nil},
		{"dev", "GET", acme + "/tags?type=api", "", 422, "invalid", nil},
		{"dev", "GET", acme + "/environments/nowhere/projects", "", 404, "not-found", nil},
		{"dev", "GET", acme + "/environments/production/projects?environment=staging", "", 422, "invalid", nil},
	})
}

func TestPagesOfAListGoOnAndBelongToTheirQuery(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	acme := v1 + "/organizations/acme"
	var got []string
	cursor := ""
	for range 10 {
		a := w.ok("dev", "GET", acme+"/projects?tag=go&type=api&type=library&sort=-slug&limit=1"+cursor, "")
		got = append(got, slugs(a)...)
		next, _ := a.json()["next_cursor"].(string)
		if next == "" {
			break
		}
		cursor = "&cursor=" + next
		for _, other := range []string{"/projects?tag=go&type=api&sort=-slug", "/projects?tag=go&type=library&type=api&sort=-slug", "/projects?tag=go&type=api&type=library", "/tags?sort=-slug", "/tags/go/projects?type=api&type=library&sort=-slug"} {
			if a := w.do("dev", "GET", acme+other+cursor, ""); a.status != 422 || a.problem() != "cursor" {
				t.Fatalf("%s takes the cursor of another list: %d %s", other, a.status, a.body)
			}
		}
		if a := w.do("root", "GET", acme+"/projects?tag=go&type=api&type=library&sort=-slug"+cursor, ""); a.status != 422 {
			t.Fatalf("another caller's cursor is taken: %d", a.status)
		}
	}
	if want := []string{"small-2", "small-1", "small-0", "billing"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	next := w.ok("dev", "GET", acme+"/environments?sort=sort_order&limit=1", "").json()["next_cursor"].(string)
	if a := w.ok("dev", "GET", acme+"/environments?sort=sort_order&limit=1&cursor="+next, ""); strings.Join(slugs(a), "") != "production" || a.json()["next_cursor"] != nil {
		t.Errorf("second page %s", a.body)
	}
}

func TestDependenciesInBothDirections(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	acme := v1 + "/organizations/acme"
	w.ok("root", "PATCH", acme+"/projects/ledger", `{"depends_on":["console"]}`)
	var d api.Dependencies
	must(t, json.Unmarshal(w.ok("dev", "GET", acme+"/projects/console/dependencies", "").body, &d))
	var depths []string
	for _, i := range d.Items {
		depths = append(depths, fmt.Sprint(i.Slug, i.Depth))
	}
	if got := fmt.Sprint(depths, d.Edges, d.Truncated); got != "[billing1 ledger2] [{console billing} {billing ledger} {ledger console}] false" {
		t.Errorf("got %s", got)
	}
	if len(d.Cycles) != 1 || len(d.Cycles[0]) != 3 {
		t.Errorf("cycles %v", d.Cycles)
	}
	w.run([]scenario{
		{"dev", "GET", acme + "/projects/ledger/dependents?depth=1", "", 200, `"truncated":true`, nil},
		{"dev", "GET", acme + "/projects/ledger/dependents?limit=2", "", 200, `"truncated":true`, nil},
		{"dev", "GET", acme + "/projects/ledger/dependents?depth=0", "", 422, "invalid", nil},
		{"three", "GET", acme + "/projects/small-0/dependencies", "", 200, `{"items":[],"edges":[],"cycles":[],"truncated":false}`, nil},
		{"three", "GET", acme + "/projects/ledger/dependents", "", 404, "not-found", nil},
		{"dev", "GET", acme + "/projects/billing/services", "", 200, `"slug":"sentry","name":"Sentry","identifier":"42","canonical_link":"https://c"}]}`, nil},
	})
}

func TestARepeatedCreationIsAnsweredWithItsRelations(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	acme := v1 + "/organizations/acme"
	body := `{"slug":"once","tags":["go"],"environments":{"production":{"url":"https://o"}}}`
	first := w.ok("dev", "POST", acme+"/projects", body, "Idempotency-Key", "k")
	w.ok("dev", "PATCH", acme+"/projects/once", `{"tags":[]}`)
	again := w.ok("dev", "POST", acme+"/projects", body, "Idempotency-Key", "k")
	if again.status != 201 || again.header.Get("Idempotent-Replayed") != "true" || string(first.body) != string(again.body) {
		t.Errorf("first %s\nagain %d %s", first.body, again.status, again.body)
	}
	if a := w.do("dev", "POST", acme+"/projects", `{"slug":"twice"}`, "Idempotency-Key", "k"); a.status != 422 || a.problem() != "idempotency-mismatch" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestSearch(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	found := func(as, query string) string {
		t.Helper()
		var out []string
		cursor := ""
		for range 50 {
			a := w.ok(as, "GET", v1+"/search?"+query+cursor, "")
			for _, i := range a.json()["items"].([]any) {
				m := i.(map[string]any)
				out = append(out, fmt.Sprint(m["type"], ":", m["slug"]))
			}
			next, _ := a.json()["next_cursor"].(string)
			if next == "" {
				slices.Sort(out)
				return strings.Join(out, " ")
			}
			cursor = "&cursor=" + url.QueryEscape(next)
		}
		t.Fatalf("%s as %s does not end", query, as)
		return ""
	}
	for _, s := range []struct{ as, query, want string }{
		{"dev", "q=ledg", "project:ledger"},
		{"root", "q=ledg", "project:ledger project:ledger"},
		{"root", "q=ledg&organization=other", "project:ledger"},
		{"root", "q=ledg&limit=1", "project:ledger project:ledger"},
		{"dev", "q=sends+inv", "project:billing"},
		{"dev", "q=invoicer", "project:billing"},
		{"dev", "q=golang&type=project", "project:billing project:small-0 project:small-1 project:small-2"},
		{"dev", "q=golang&limit=1", "project:billing project:small-0 project:small-1 project:small-2 tag:go"},
		{"dev", "q=biling", "project:billing"},
		{"three", "q=golang", "project:small-0 project:small-1 project:small-2"},
		{"three", "q=billing", ""},
		{"three", "q=small&type=tag&type=project&limit=2", "project:small-0 project:small-1 project:small-2"},
		{"nobody", "q=ledger", ""},
		{"nobody", "q=billing&type=project", ""},
		{"other-owner", "q=small", ""},
		{"dev", "q=sentry&type=third_party_service", "third_party_service:sentry"},
		{"dev", "q=acme&type=organization", "organization:acme"},
	} {
		if got := found(s.as, s.query); got != s.want {
			t.Errorf("%s as %s: %s, want %s", s.query, s.as, got, s.want)
		}
	}
	w.run([]scenario{
		{"dev", "GET", v1 + "/search?q=invoices", "", 200, `"name":"Billing","organization":"acme","description":"Sends invoices","matched":["description"]`, nil},
		{"dev", "GET", v1 + "/search?q=golang&type=project&limit=1", "", 200, `"matched":["tags"]`, nil},
		{"dev", "GET", v1 + "/search", "", 422, "invalid", nil},
		{"dev", "GET", v1 + "/search?q=+-", "", 422, "invalid", nil},
		{"dev", "GET", v1 + "/search?q=a+b+c+d+e+f+g+h+i", "", 422, "invalid", nil},
		{"dev", "GET", v1 + "/search?q=" + strings.Repeat("x", 201), "", 422, "invalid", nil},
		{"dev", "GET", v1 + "/search?q=a&type=api_key", "", 422, "invalid", nil},
		{"dev", "GET", v1 + "/search?q=a&organization=other", "", 404, "not-found", nil},
		{"", "GET", v1 + "/search?q=a", "", 401, "unauthenticated", nil},
	})
}

func TestASearchOfWhoSeesPartOfMuchMissesNothing(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	// More than a search is made in by name: half of them are acme's.
	for _, org := range []string{"acme", "other"} {
		var muts []string
		for i := range 2500 {
			muts = append(muts, fmt.Sprintf(`{"op":"create","node":"project:%s-%d","data":{"organization":%q,"slug":"needle-%d"}}`, org, i, org, i))
		}
		w.ok("root", "POST", v1+"/batch", `{"mutations":[`+strings.Join(muts, ",")+`]}`)
	}
	seen, cursor, pages := map[string]bool{}, "", 0
	for {
		a := w.ok("acme-owner", "GET", v1+"/search?q=needle&limit=700"+cursor, "")
		for _, i := range a.json()["items"].([]any) {
			m := i.(map[string]any)
			if m["organization"] != "acme" || seen[m["id"].(string)] {
				t.Fatalf("%v is not acme's, or comes again", m)
			}
			seen[m["id"].(string)] = true
		}
		next, _ := a.json()["next_cursor"].(string)
		if pages++; next == "" || pages > 50 {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
	if len(seen) != 2500 {
		t.Errorf("%d found on %d pages", len(seen), pages)
	}
}
