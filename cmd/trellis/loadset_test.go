package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/graph/manifest"
	"trellis/graph/neo4jgraph/neo4jtest"
)

// acme is a Backstage catalog with everything in it.
const acme = "../../testdata/backstage"

const bootstrap = "a-key-of-32-characters-or-even-more"

// engines runs a test on an empty server with an organization, on SQLite and on
// the Neo4j that TRELLIS_TEST_NEO4J_URL names.
func engines(t *testing.T, test func(t *testing.T, s *testServer)) {
	t.Helper()
	with := func(env ...string) func(t *testing.T) {
		return func(t *testing.T) {
			s := serve(t, env...)
			if s.token == "" { // it is printed by the embedded engine alone
				s.token = bootstrap
			}
			s.change(t, `{op: create, node: "organization:acme-id", data: {slug: acme, name: Acme}}`)
			test(t, s)
		}
	}
	t.Run("sqlite", with())
	t.Run("neo4j", func(t *testing.T) {
		neo := os.Getenv("TRELLIS_TEST_NEO4J_URL")
		if neo == "" {
			t.Skip("TRELLIS_TEST_NEO4J_URL is not set: not tested on Neo4j (the database it names is emptied)")
		}
		neo4jtest.Wipe(t, neo)
		t.Cleanup(func() { neo4jtest.Wipe(t, neo) })
		with("TRELLIS_GRAPH_URL="+neo, "TRELLIS_SECRET_KEY="+secret, "TRELLIS_BOOTSTRAP_KEY="+bootstrap)(t)
	})
}

// change carries out mutations.
func (s *testServer) change(t *testing.T, muts ...string) {
	t.Helper()
	if code, _, errs := s.trellis(t, "- "+strings.Join(muts, "\n- "), "apply", "-f", "-"); code != 0 {
		t.Fatal(errs)
	}
}

// set runs a command with --json and returns its report.
func (s *testServer) set(t *testing.T, args ...string) (r setReport) {
	t.Helper()
	out := s.must(t, append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// items lists what a report says was done, the catalog's words left out.
func items(r setReport) (out []string) {
	for _, i := range r.Items {
		if i.Kind != "Tag" && i.Kind != "ProjectType" && i.Kind != "LinkDefinition" {
			out = append(out, string(i.Action)+" "+i.Kind+" "+i.Name)
		}
	}
	return out
}

// node reads a node's fields.
func (s *testServer) node(t *testing.T, path string) (n map[string]any) {
	t.Helper()
	if status := s.get(t, "/api/v1"+path, &n); status != 200 {
		t.Fatalf("%s: %d", path, status)
	}
	return n
}

// members lists the addresses or slugs of a set's members.
func (s *testServer) members(t *testing.T, path string) (out []string) {
	t.Helper()
	var page struct {
		Items []struct{ Member string }
	}
	s.get(t, "/api/v1"+path+"/members", &page)
	for _, m := range page.Items {
		typ, id, _ := strings.Cut(m.Member, ":")
		at, name := "/users/", "email"
		if typ == "team" {
			at, name = "/organizations/acme/teams/", "slug"
		}
		text, _ := s.node(t, at+strings.ReplaceAll(id, "/", "%2F"))[name].(string)
		out = append(out, text)
	}
	return out
}

// fields picks some of a node's fields, lists in order.
func fields(n map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		if list, ok := n[name].([]any); ok {
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		}
		out[name] = n[name]
	}
	return out
}

func TestABackstageCatalogIsLoadedAndLoadedAgain(t *testing.T) {
	engines(t, func(t *testing.T, s *testServer) {
		planned := s.set(t, "load", "backstage", acme, "--organization", "acme", "--plan")
		if !planned.Plan || planned.Counts.Create != 50 {
			t.Errorf("%+v", planned.Counts)
		}
		if status := s.get(t, "/api/v1/organizations/acme/teams/payments", nil); status != 404 {
			t.Errorf("a plan made a team: %d", status)
		}
		first := s.set(t, "load", "backstage", acme, "--organization", "acme")
		if d := cmp.Diff(planned.Items, first.Items, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Node" }, cmp.Ignore())); d != "" || !first.Changed || len(first.Notes) != 10 {
			t.Error(d, first.Notes)
		}
		checkout := fields(s.node(t, "/organizations/acme/projects/checkout"), "name", "team", "types", "tags", "depends_on", "links")
		want := map[string]any{
			"name": "Checkout", "team": "payments", "types": []any{"component", "component-website"}, "tags": []any{"csharp", "frontend", "typescript"},
			"depends_on": []any{"checkout-widget", "payments.api", "sessions.resource", "web.shared-ui"},
			"links": map[string]any{
				"dashboard": map[string]any{"url": "https://dash.example.com/checkout"}, "dashboard-2": map[string]any{"url": "https://dash.example.com/checkout/slow"},
				"documentation": map[string]any{"url": "https://docs.example.com/checkout"},
			},
		}
		if d := cmp.Diff(want, checkout); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"user-1@example.com", "user-2@example.com"}, slices.Sorted(slices.Values(s.members(t, "/organizations/acme/teams/payments")))); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"payments", "platform"}, slices.Sorted(slices.Values(s.members(t, "/organizations/acme/teams/engineering")))); d != "" {
			t.Error(d)
		}
		before := revision(t, s)
		code, out, _ := s.trellis(t, "", "load", "backstage", acme, "--organization", "acme", "--prune")
		if code != 0 || !strings.Contains(out, "unchanged: 50\nnothing needed changing; revision ") {
			t.Errorf("exit code %d: %s", code, out)
		}
		if after := revision(t, s); after != before {
			t.Errorf("the second load went from revision %s to %s", before, after)
		}
	})
}

// entities writes a catalog-info.yaml of entities.
func entities(t *testing.T, dir string, list ...string) {
	t.Helper()
	var b strings.Builder
	for _, e := range list {
		b.WriteString("---\n{apiVersion: backstage.io/v1alpha1, " + e + "}\n")
	}
	write(t, dir, map[string]string{"catalog-info.yaml": b.String()})
}

func TestWhatACatalogNoLongerHasGoesWhenPruned(t *testing.T) {
	engines(t, func(t *testing.T, s *testServer) {
		dir := t.TempDir()
		user := "kind: User, metadata: {name: user-1}, spec: {profile: {email: user-1@example.com}, memberOf: [one]}"
		team := "kind: Group, metadata: {name: one}"
		web := "kind: Component, metadata: {name: web, tags: [go, mine]}, spec: {owner: one, lifecycle: production, dependsOn: ['resource:db']}"
		db := "kind: Resource, metadata: {name: db}, spec: {owner: one}"
		s.change(t, `{op: create, node: "tag:t", data: {organization: acme-id, slug: mine, name: Ours, color: "#112233"}}`)
		entities(t, dir, user, team, web, db)
		s.must(t, "load", "backstage", dir, "--organization", "acme")
		// What is done by hand beside it stays as it is.
		s.change(t,
			`{op: create, node: "environment:e", data: {organization: acme-id, slug: production}}`,
			`{op: patch, node: "`+ref(s.node(t, "/organizations/acme/projects/web"))+`", data: {environments: {production: {url: "https://web.example.com"}}, attributes: {tier: 1}}}`,
			`{op: patch, node: "`+ref(s.node(t, "/organizations/acme/tags/go"))+`", data: {color: "#445566"}}`,
			`{op: create, node: "user:by-hand", data: {email: by-hand@example.com}}`,
			`{op: put_member, set: "`+ref(s.node(t, "/organizations/acme/teams/one"))+`", member: "user:by-hand"}`,
		)
		entities(t, dir, team, "kind: Component, metadata: {name: web, tags: [go]}, spec: {owner: one, lifecycle: old}")
		kept := s.set(t, "load", "backstage", dir, "--organization", "acme")
		if d := cmp.Diff([]string{"change Project acme-id/web"}, items(kept)); d != "" || kept.Counts.Orphans != 4 {
			t.Error(d, kept.Counts)
		}
		pruned := s.set(t, "load", "backstage", dir, "--organization", "acme", "--prune")
		want := []string{"delete Membership user:user-1@example.com in organization:acme-id", "delete Membership user:user-1@example.com in team:one", "delete Project acme-id/db.resource"}
		if d := cmp.Diff(want, slices.Sorted(slices.Values(items(pruned)))); d != "" {
			t.Error(d)
		}
		n := s.node(t, "/organizations/acme/projects/web")
		if d := cmp.Diff(map[string]any{
			"environments": map[string]any{"production": map[string]any{"url": "https://web.example.com"}}, "attributes": map[string]any{"lifecycle": "old", "tier": 1.0},
			"tags": []any{"go"}, "depends_on": []any{},
		}, fields(n, "environments", "attributes", "tags", "depends_on")); d != "" {
			t.Error(d)
		}
		if c := s.node(t, "/organizations/acme/tags/go")["color"]; c != "#445566" {
			t.Errorf("the tag go is %v", c)
		}
		if n := s.node(t, "/organizations/acme/tags/mine"); n["name"] != "Ours" || n["color"] != "#112233" {
			t.Errorf("the tag made by hand: %v", n)
		}
		if d := cmp.Diff([]string{"by-hand@example.com"}, s.members(t, "/organizations/acme/teams/one")); d != "" {
			t.Error(d)
		}
		var users struct{ Items []struct{ Email string } }
		if s.get(t, "/api/v1/users", &users); len(users.Items) != 2 {
			t.Errorf("people: %v", users.Items)
		}
	})
}

func ref(n map[string]any) string { return n["type"].(string) + ":" + n["id"].(string) }

func TestTwoCatalogsOfOneOrganizationReferToEachOther(t *testing.T) {
	engines(t, func(t *testing.T, s *testServer) {
		one, two := t.TempDir(), t.TempDir()
		entities(t, one, "kind: Group, metadata: {name: one}", "kind: Component, metadata: {name: lib}")
		entities(t, two, "kind: Component, metadata: {name: web}, spec: {owner: one, dependsOn: ['component:lib', 'component:none']}")
		s.must(t, "load", "backstage", one, "--organization", "acme", "--set", "one")
		file := filepath.Join(two, "catalog-info.yaml")
		r := s.set(t, "load", "backstage", file, "--organization", "acme", "--set", "two", "--prune")
		if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "component:default/none is neither in the files nor in the organization: left out") {
			t.Errorf("notes: %q", r.Notes)
		}
		n := s.node(t, "/organizations/acme/projects/web")
		if d := cmp.Diff(map[string]any{"team": "one", "depends_on": []any{"lib"}}, fields(n, "team", "depends_on")); d != "" {
			t.Error(d)
		}
	})
}

func TestACatalogWithAMistakeWritesNothing(t *testing.T) {
	s, dir := serve(t), t.TempDir()
	s.change(t, `{op: create, node: "organization:acme-id", data: {slug: acme}}`)
	before := revision(t, s)
	entities(t, dir, "kind: Group, metadata: {name: one}", "kind: Component, metadata: {name: x}, spec: {owner: [a]}", "kind: User, metadata: {}")
	code, _, errs := s.trellis(t, "", "load", "backstage", dir, "--organization", "acme")
	file := filepath.Join(dir, "catalog-info.yaml")
	want := "trellis: " + file + ":4: document 2: spec.owner: want a text\ntrellis: " + file + ":6: document 3: User: metadata.name is missing\n"
	if code != exitError || errs != want {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, _, errs := s.trellis(t, "", "load", "backstage", acme, "--organization", "none"); code != exitError || !strings.Contains(errs, "no organization none") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if after := revision(t, s); after != before {
		t.Errorf("from revision %s to %s", before, after)
	}
}

// What only the server can know is named by the place in the files too.
func TestARefusalNamesThePlaceInTheFiles(t *testing.T) {
	s, dir := serve(t), t.TempDir()
	s.change(t, `{op: create, node: "organization:acme-id", data: {slug: acme}}`)
	entities(t, dir, "kind: Component, metadata: {name: one}", "kind: Component, metadata: {name: two}")
	s.must(t, "load", "backstage", dir, "--organization", "acme")
	s.change(t, `{op: patch, node: "`+ref(s.node(t, "/organizations/acme/projects/two"))+`", data: {archived: true}}`)
	entities(t, dir, "kind: Component, metadata: {name: one, title: First}", "kind: Component, metadata: {name: two, title: Second}")
	code, _, errs := s.trellis(t, "", "load", "backstage", dir, "--organization", "acme")
	if code != exitError || !strings.Contains(errs, filepath.Join(dir, "catalog-info.yaml")+":4: document 2") || !strings.Contains(errs, "archived") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if n := s.node(t, "/organizations/acme/projects/one"); n["name"] != "one" {
		t.Errorf("half of it was written: %v", n["name"])
	}
}

func TestATableOfPeopleIsLoadedAndLoadedAgain(t *testing.T) {
	engines(t, func(t *testing.T, s *testServer) {
		s.change(t,
			`{op: create, node: "team:t1", data: {organization: acme-id, slug: payments, name: Payments}}`,
			`{op: create, node: "team:t2", data: {organization: acme-id, slug: platform, name: The platform}}`,
			`{op: create, node: "group:on-call", data: {slug: on-call}}`,
			`{op: create, node: "user:u1", data: {email: User-1@example.com, name: Before, status: suspended, attributes: {desk: 7}}}`,
			`{op: create, node: "user:u5", data: {email: user-5@example.com}}`,
			`{op: put_member, set: "organization:acme-id", member: "user:u5"}`,
			`{op: create, node: "user:nameless", data: {}}`,
			`{op: put_member, set: "organization:acme-id", member: "user:nameless"}`,
		)
		file := filepath.Join(t.TempDir(), "people.csv")
		table := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		table("\xef\xbb\xbfName;E-Mail;Teams;Groups;Manager\nUser One;user-1@example.com;payments|the platform;on-call;User-2@example.com\nUser Two;user-2@example.com;PAYMENTS;;\n")
		args := []string{"load", "people", file, "--organization", "acme"}
		planned := s.set(t, append(args, "--plan")...)
		want := []string{
			"change User user-1@example.com", "create Membership user:User-1@example.com in group:on-call", "create Membership user:User-1@example.com in organization:acme-id",
			"create Membership user:User-1@example.com in team:payments", "create Membership user:User-1@example.com in team:platform",
			"create Membership user:user-2@example.com in organization:acme-id", "create Membership user:user-2@example.com in team:payments", "create User user-2@example.com",
		}
		if d := cmp.Diff(want, slices.Sorted(slices.Values(lowerUsers(items(planned))))); d != "" {
			t.Error(d)
		}
		first := s.set(t, args...)
		if d := cmp.Diff(items(planned), items(first)); d != "" {
			t.Error(d)
		}
		u1 := s.node(t, "/users/u1")
		if d := cmp.Diff(map[string]any{"email": "User-1@example.com", "name": "User One", "status": "suspended", "attributes": map[string]any{"desk": 7.0, "manager": "user-2@example.com"}}, fields(u1, "email", "name", "status", "attributes")); d != "" {
			t.Error(d)
		}
		before := revision(t, s)
		code, out, errs := s.trellis(t, "", args...)
		if code != 0 || !strings.Contains(out, "nothing needed changing") || !strings.Contains(errs, "1 active members of acme are not in the table: they stay as they are") || !strings.Contains(errs, "  user-5@example.com\n") {
			t.Errorf("exit code %d: %s%s", code, out, errs)
		}
		if after := revision(t, s); after != before {
			t.Errorf("from revision %s to %s", before, after)
		}
		table("email,status,teams\nuser-1@example.com,active,platform\n")
		gone := s.set(t, append(args, "--prune", "--deactivate-missing")...)
		want = []string{
			"change User user-1@example.com", "change User user-5-id", "change User user-2-id", "delete Membership user:user-1@example.com in group:on-call",
			"delete Membership user:user-1@example.com in team:payments", "delete Membership user:user-2@example.com in organization:acme-id", "delete Membership user:user-2@example.com in team:payments",
		}
		if got := items(gone); len(got) != len(want) || len(gone.Missing) != 2 || gone.Counts.Delete != 4 {
			t.Errorf("got %q, missing %v", got, gone.Missing)
		}
		for id, status := range map[string]string{"u1": "active", "u5": "deactivated", "nameless": "active"} {
			if got := s.node(t, "/users/"+id)["status"]; got != status {
				t.Errorf("%s is %v", id, got)
			}
		}
		if again := s.set(t, append(args, "--prune", "--deactivate-missing")...); again.Changed || again.Counts.Change+again.Counts.Delete != 0 {
			t.Errorf("a second run: %+v", again.Items)
		}
	})
}

// lowerUsers writes the kind User as it is with the address in lower case.
func lowerUsers(list []string) []string {
	for i, s := range list {
		if strings.Contains(s, " User ") {
			list[i] = strings.ReplaceAll(s, "User-", "user-")
		}
	}
	return list
}

func TestATableNeedsNoOrganization(t *testing.T) {
	s := serve(t)
	const table = "email,name\nuser-1@example.com,User One\n"
	code, out, errs := s.trellis(t, table, "load", "people", "-")
	if code != 0 || !strings.Contains(out, "User  1       0       0") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	code, _, errs = s.trellis(t, "email,teams\nuser-1@example.com,x\nnobody,\n", "load", "people", "-")
	if code != exitError || errs != "trellis: -:3: \"nobody\" is not an e-mail address\n" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	code, _, errs = s.trellis(t, table, "load", "people", "-", "--deactivate-missing")
	if code != exitError || !strings.Contains(errs, "needs --organization") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestOneWhoMayNotLoadsNothing(t *testing.T) {
	s := serve(t)
	s.change(t, `{op: create, node: "organization:acme-id", data: {slug: acme}}`, `{op: create, node: "service_account:ci", data: {}}`,
		`{op: put_grant, subject: "service_account:ci", resource: "organization:acme-id", role: readonly}`)
	var key struct {
		Token string `json:"token"`
	}
	if status := s.post(t, "/api/v1/api-keys", `{"owner":"service_account:ci","name":"x"}`, &key); status != 201 {
		t.Fatalf("%d", status)
	}
	before := revision(t, s)
	s.token = key.Token
	code, _, errs := s.trellis(t, "", "load", "backstage", acme, "--organization", "acme")
	if code != exitError || !strings.Contains(errs, "manifest:update") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if after := revision(t, s); after != before {
		t.Errorf("from revision %s to %s", before, after)
	}
}

func TestItemsOfAPlanAreWrittenForPeople(t *testing.T) {
	var out strings.Builder
	a := &app{stdout: &out}
	a.printItem(&manifest.PlanItem{Action: manifest.Change, Kind: "Project", Name: "acme/web", Drift: true, Changes: []manifest.FieldChange{
		{Field: "name", Before: "Web"}, {Field: "attributes", After: map[string]any{"a": 1}},
	}})
	want := "change   Project acme/web (changed by somebody else since)\n           name: \"Web\" -> nothing\n           attributes: nothing -> {\"a\":1}\n"
	if out.String() != want {
		t.Errorf("got %s", &out)
	}
}
