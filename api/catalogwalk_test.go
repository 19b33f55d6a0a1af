package api_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trellis/api"
	"trellis/audit"
	"trellis/graph"
	"trellis/graph/neo4jgraph"
	"trellis/graph/neo4jgraph/neo4jtest"
	"trellis/graph/sqlitegraph"
)

// onEngines runs a test on both engines, each time on an empty store.
func onEngines(t *testing.T, run func(t *testing.T, store graph.Store)) {
	t.Run("sqlite", func(t *testing.T) {
		store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
		must(t, err)
		run(t, store)
	})
	t.Run("neo4j", func(t *testing.T) {
		address := os.Getenv("TRELLIS_TEST_NEO4J_URL")
		if address == "" {
			t.Skip("TRELLIS_TEST_NEO4J_URL is not set: nothing on Neo4j was tested (the database it names is emptied)")
		}
		neo4jtest.Wipe(t, address)
		store, err := neo4jgraph.Open(address, neo4jgraph.Options{})
		must(t, err)
		run(t, store)
	})
}

// TestAWalkThroughTheCatalog does, as a client of the REST API alone, what a
// company does with it from the first day to the last.
func TestAWalkThroughTheCatalog(t *testing.T) {
	onEngines(t, func(t *testing.T, store graph.Store) {
		w := &walk{world: buildWorld(t, store, api.Options{}, &auditing{})}
		w.settle()
		w.fill()
		w.grants()
		w.look()
		w.rename()
		w.archive()
		w.end()
	})
}

type walk struct{ *world }

const umbrella = v1 + "/organizations/umbrella"

// settle makes the organization and what its projects are described by.
func (w *walk) settle() {
	w.t.Helper()
	w.run([]scenario{
		{"root", "PUT", umbrella, `{"name":"Umbrella"}`, 201, `"slug":"umbrella"`, nil},
		{"root", "POST", v1 + "/organizations", `{"slug":"rival","name":"Rival"}`, 201, `"slug":"rival"`, nil},
	})
	w.user("boss")
	w.grant("user:boss", "owner", "organization:umbrella")
	w.run([]scenario{
		{"boss", "POST", umbrella + "/teams", `{"name":"Payments"}`, 201, `"slug":"payments"`, nil},
		{"boss", "POST", umbrella + "/teams", `{"name":"Platform"}`, 201, `"slug":"platform"`, nil},
		{"boss", "POST", umbrella + "/project-types", `{"name":"API"}`, 201, `"slug":"api"`, nil},
		{"boss", "POST", umbrella + "/project-types", `{"name":"Library"}`, 201, `"slug":"library"`, nil},
		{"boss", "POST", umbrella + "/environments", `{"name":"Staging","sort_order":1}`, 201, `"slug":"staging"`, nil},
		{"boss", "POST", umbrella + "/environments", `{"name":"Production","sort_order":2,"label_color":"#d00000"}`, 201, `"slug":"production"`, nil},
		{"boss", "POST", umbrella + "/tags", `{"slug":"go","name":"Golang"}`, 201, `"slug":"go"`, nil},
		{"boss", "POST", umbrella + "/link-definitions", `{"name":"Runbook","url_template":"https://wiki/{slug}"}`, 201, `"slug":"runbook"`, nil},
		{"boss", "POST", umbrella + "/third-party-services", `{"name":"Sentry","team":"platform"}`, 201, `"slug":"sentry"`, nil},
		{"boss", "POST", umbrella + "/blueprints", `{"name":"Tier","applies_to":"project","schema":{"type":"object","properties":{"tier":{"type":"integer","minimum":1,"maximum":3}}}}`, 201, `"slug":"tier"`, nil},
	})
}

// fill makes fifty projects: each depends on the one before it, and the first
// on the tenth.
func (w *walk) fill() {
	w.t.Helper()
	for i := range 50 {
		team, typ := "payments", "api"
		if i%5 == 0 {
			team, typ = "platform", "library"
		}
		body := fmt.Sprintf(`{"slug":"p%02d","name":"Part %02d","description":"The part of number%d","types":[%q],"team":%q,"tags":["go"],"attributes":{"tier":%d},"environments":{"production":{"url":"https://p%02d"}},"services":{"sentry":{"identifier":"s%d"}}`, i, i, i, typ, team, i%3+1, i, i)
		if i > 0 {
			body += fmt.Sprintf(`,"depends_on":["p%02d"]`, i-1)
		}
		w.run([]scenario{{"boss", "POST", umbrella + "/projects", body + "}", 201, fmt.Sprintf(`"slug":"p%02d"`, i), nil}})
	}
	w.run([]scenario{
		{"boss", "PATCH", umbrella + "/projects/p00", `{"depends_on":["p09"]}`, 200, `"depends_on":["p09"]`, nil},
		{"boss", "POST", umbrella + "/projects", `{"slug":"p00"}`, 409, "exists", nil},
	})
}

// grants lets one person see everything, and another three projects.
func (w *walk) grants() {
	w.t.Helper()
	w.user("reader")
	w.grant("user:reader", "readonly", "organization:umbrella")
	w.user("few")
	for _, slug := range []string{"p07", "p08", "p20"} {
		id := w.ok("boss", "GET", umbrella+"/projects/"+slug, "").json()["id"].(string)
		w.run([]scenario{{"boss", "PUT", v1 + "/grants", `{"subject":"user:few","role":"developer","resource":"project:` + id + `"}`, 201, `"granted_by":"user:boss"`, nil}})
	}
	w.run([]scenario{
		{"few", "PATCH", umbrella + "/projects/p07", `{"description":"Mine to edit"}`, 200, `"Mine to edit"`, nil},
		{"few", "PATCH", umbrella + "/projects/p09", `{"description":"Not mine"}`, 404, "not-found", nil},
		{"reader", "PATCH", umbrella + "/projects/p09", `{"description":"Not mine"}`, 403, "forbidden", nil},
	})
}

func (w *walk) look() {
	w.t.Helper()
	w.run([]scenario{
		{"reader", "GET", umbrella + "/projects?type=library&total=true&limit=1", "", 200, `"total":10`, nil},
		{"reader", "GET", umbrella + "/projects?team=payments&attributes.tier=1&total=true&limit=1", "", 200, `"total":13`, nil},
		{"reader", "GET", umbrella + "/projects?facets=type&limit=1", "", 200, `"name":"API","count":40}`, nil},
		{"reader", "GET", umbrella + "/teams", "", 200, `"counts":{"projects":10}`, nil},
		{"few", "GET", v1 + "/projects?total=true&facets=team", "", 200, `"total":3`, nil},
		{"few", "GET", umbrella + "/projects?type=library", "", 200, `"slug":"p20"`, nil},
		{"reader", "GET", umbrella + "/projects/p03/dependencies?depth=2", "", 200, `"slug":"p01","name":"Part 01","depth":2`, nil},
		{"reader", "GET", umbrella + "/projects/p03/dependents?depth=10", "", 200, `"cycles":[["p03",`, nil},
		{"few", "GET", umbrella + "/projects/p08/dependencies", "", 200, `"edges":[{"from":"p08","to":"p07"}]`, nil},
		{"reader", "GET", v1 + "/search?q=number17", "", 200, `"slug":"p17"`, nil},
		{"reader", "GET", v1 + "/search?q=runbok", "", 200, `"slug":"runbook"`, nil},
		{"few", "GET", v1 + "/search?q=number17", "", 200, `"items":[]`, nil},
		{"few", "GET", v1 + "/search?q=part+20", "", 200, `"slug":"p20"`, nil},
		{"reader", "GET", umbrella + "/environments/production/projects?total=true&limit=1", "", 200, `"total":50`, nil},
	})
	var all []string
	cursor := ""
	for {
		a := w.ok("reader", "GET", umbrella+"/projects?sort=slug&limit=7"+cursor, "")
		all = append(all, slugs(a)...)
		next, ok := a.json()["next_cursor"].(string)
		if !ok {
			break
		}
		cursor = "&cursor=" + next
	}
	if len(all) != 50 || !slices.IsSorted(all) {
		w.t.Errorf("the pages have %v", all)
	}
}

func (w *walk) rename() {
	w.t.Helper()
	etag := w.ok("boss", "GET", umbrella+"/projects/p10", "").header.Get("ETag")
	w.run([]scenario{
		{"boss", "PATCH", umbrella + "/projects/p10", `{"slug":"ten"}`, 200, `"former_slugs":["p10"]`, []string{"If-Match", etag}},
		{"boss", "PATCH", umbrella + "/projects/ten", `{"slug":"eleven"}`, 412, "stale", []string{"If-Match", etag}},
		{"reader", "GET", umbrella + "/projects/p10", "", 200, `"slug":"ten"`, nil}, // by way of 308
		{"reader", "GET", umbrella + "/projects/p11", "", 200, `"depends_on":["ten"]`, nil},
		{"reader", "GET", v1 + "/search?q=ten&type=project", "", 200, `"slug":"ten"`, nil},
		{"boss", "PATCH", umbrella + "/tags/go", `{"name":"Gopher"}`, 200, `"name":"Gopher"`, nil},
		{"reader", "GET", v1 + "/search?q=gopher&type=project&limit=1", "", 200, `"matched":["tags"]`, nil},
	})
}

func (w *walk) archive() {
	w.t.Helper()
	w.run([]scenario{
		{"boss", "POST", umbrella + "/projects/p30/archive", "", 200, `"archived":true`, nil},
		{"boss", "PATCH", umbrella + "/projects/p30", `{"name":"x"}`, 409, "archived", nil},
		{"reader", "GET", umbrella + "/projects?total=true&limit=1", "", 200, `"total":49`, nil},
		{"reader", "GET", umbrella + "/projects?archived=true&total=true", "", 200, `"total":1`, nil},
		{"boss", "POST", umbrella + "/projects/p30/unarchive", "", 200, `"archived":false`, nil},
		{"reader", "GET", umbrella + "/projects?total=true&limit=1", "", 200, `"total":50`, nil},
	})
}

// end deletes the organization with all that is in it, and looks at what is
// known of it afterwards.
func (w *walk) end() {
	w.t.Helper()
	w.run([]scenario{
		{"boss", "DELETE", umbrella, "", 409, "in-use", nil},
		{"boss", "DELETE", umbrella + "/teams/platform", "", 409, "in-use", nil},
		{"boss", "DELETE", umbrella + "/teams/platform?cascade=true", "", 200, `{"deleted":{"nodes":1,`, nil},
	})
	var gone api.Deletion
	must(w.t, json.Unmarshal(w.ok("boss", "DELETE", umbrella+"?cascade=true", "", "X-Request-Id", "the-end").body, &gone))
	// The organization, a team, fifty projects, and two types, two environments, a
	// tag, a link definition, a service and a blueprint.
	if gone.Deleted.Nodes < 60 || gone.Deleted.Edges < 300 {
		w.t.Errorf("%+v went with the organization", gone)
	}
	w.run([]scenario{
		{"root", "GET", umbrella, "", 404, "not-found", nil},
		{"root", "GET", umbrella + "/projects", "", 404, "not-found", nil},
		{"root", "GET", v1 + "/projects?total=true", "", 200, `{"items":[],"total":0}`, nil},
		{"root", "GET", v1 + "/search?q=part&type=project", "", 200, `"items":[]`, nil},
		{"few", "GET", v1 + "/projects", "", 200, `"items":[]`, nil},
		{"root", "GET", v1 + "/organizations", "", 200, `"slug":"rival"`, nil},
	})
	w.flush()
	count := func(action string, where ...string) (n int) {
		for _, r := range w.records(audit.Events, append([]string{"action", action, "outcome", audit.Success}, where...)...) {
			if e := r.(*audit.Event); strings.HasPrefix(e.Actor, "user:") {
				n++
			}
		}
		return n
	}
	for what, n := range map[string]int{
		"project:create": count("project:create"), "project:delete": count("project:delete", "request_id", "the-end"), "organization:delete": count("organization:delete"), "grant:create": count("grant:create") - 4, // the fourth is who deleted the organization, on its tombstone
	} {
		if want := map[string]int{"project:create": 50, "project:delete": 50, "organization:delete": 1, "grant:create": 0}[what]; n != want {
			w.t.Errorf("the audit log has %d of %s, want %d", n, what, want)
		}
	}
	w.back(gone)
}

// back restores the organization: what was deleted with it is there again, and
// its history goes on.
func (w *walk) back(gone api.Deletion) {
	w.t.Helper()
	trash := v1 + "/trash/" + gone.Tombstone
	w.run([]scenario{
		{"reader", "GET", trash, "", 404, "not-found", nil},
		{"reader", "POST", trash + "/restore", "", 404, "not-found", nil},
		{"boss", "GET", v1 + "/trash", "", 200, gone.Tombstone, nil},
	})
	var r struct {
		Restored api.Counts `json:"restored"`
		Lost     int        `json:"lost"`
	}
	must(w.t, json.Unmarshal(w.ok("boss", "POST", trash+"/restore", "").body, &r))
	if r.Restored != gone.Deleted || r.Lost != 0 {
		w.t.Errorf("deleted %+v, restored %+v, lost %d", gone.Deleted, r.Restored, r.Lost)
	}
	w.flush()
	w.run([]scenario{
		{"boss", "GET", trash, "", 404, "not-found", nil},
		{"reader", "GET", umbrella + "/projects?total=true&limit=1", "", 200, `"total":50`, nil},
		{"reader", "GET", umbrella + "/teams/payments/projects?limit=1", "", 200, `"team":"payments"`, nil},
		{"reader", "GET", v1 + "/search?q=part&type=project&limit=1", "", 200, `"type":"project"`, nil},
		{"reader", "GET", umbrella + "/projects/p30/history", "", 200, `"field":"archived"`, nil},
		{"few", "GET", umbrella + "/history", "", 404, "not-found", nil},
	})
}
