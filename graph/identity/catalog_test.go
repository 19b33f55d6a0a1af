package identity_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
)

// The catalog: acme has types, tags, environments and three projects; umbrella
// has a tag and an environment of the same slugs; dev is a developer of acme.
const catalog = sample + `
{"op":"create","node":"user:dev","data":{}}
{"op":"put_grant","subject":"user:dev","resource":"organization:acme","role":"developer"}
{"op":"create","node":"team:pay","data":{"organization":"acme","slug":"payments"}}
{"op":"create","node":"project_type:t1","data":{"organization":"acme","slug":"api"}}
{"op":"create","node":"project_type:t2","data":{"organization":"acme","slug":"library"}}
{"op":"create","node":"environment:e1","data":{"organization":"acme","slug":"production","sort_order":2,"label_color":"#Ff0000"}}
{"op":"create","node":"environment:e2","data":{"organization":"acme","slug":"staging"}}
{"op":"create","node":"environment:u1","data":{"organization":"umbrella","slug":"production"}}
{"op":"create","node":"tag:g1","data":{"organization":"acme","slug":"go","name":"Go lang"}}
{"op":"create","node":"tag:g2","data":{"organization":"acme","slug":"core"}}
{"op":"create","node":"tag:ug","data":{"organization":"umbrella","slug":"secret"}}
{"op":"create","node":"link_definition:l1","data":{"organization":"acme","slug":"runbook"}}
{"op":"create","node":"third_party_service:s1","data":{"organization":"acme","slug":"sentry","team":"payments"}}
{"op":"create","node":"project:ledger","data":{"organization":"acme"}}
{"op":"create","node":"project:billing","data":{"organization":"acme","name":"Billing","types":["api","t2"],"team":"payments","tags":["go"],"depends_on":["ledger"],"environments":{"production":{"url":"https://b"},"staging":{}},"links":{"runbook":{"url":"https://r"}},"services":{"sentry":{"identifier":"42"}},"identifiers":{"github":"acme/billing"}}}
`

// relations lists the edges of the kind as "to" or "to{name=value}".
func (w *world) relations(r string, k graph.Kind) string {
	w.t.Helper()
	a, err := w.graph.Store().Ask(w.t.Context(), graph.Question{Name: graph.EdgesFrom, Ref: node(w.t, r), Kind: k, Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range a.Edges {
		s := e.To.String()
		if len(e.Props) > 0 {
			s += fmt.Sprint(e.Props)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func (w *world) props(r string) graph.Props {
	w.t.Helper()
	found, err := w.graph.Store().Nodes(w.t.Context(), []graph.Ref{node(w.t, r)})
	if err != nil || len(found) == 0 {
		w.t.Fatal(r, err)
	}
	return found[0].Props
}

func (w *world) wants(r string, want map[graph.Kind]string) {
	w.t.Helper()
	for k, s := range want {
		if got := w.relations(r, k); got != s {
			w.t.Errorf("%s of %s: %q, want %q", k, r, got, s)
		}
	}
}

func TestRelationsAreWrittenBySlugOrID(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	w.wants("project:billing", map[graph.Kind]string{
		identity.OfType: "project_type:t1 project_type:t2", graph.ChildOf: "organization:acme team:pay", identity.Tagged: "tag:g1",
		identity.DependsOn: "project:ledger", identity.DeployedIn: "environment:e1map[url:https://b] environment:e2",
		identity.HasLink: "link_definition:l1map[url:https://r]", identity.ExistsIn: "third_party_service:s1map[identifier:42]",
	})
	w.wants("third_party_service:s1", map[graph.Kind]string{identity.ManagedBy: "team:pay"})
	if o := w.must(root, `{"op":"put","node":"project:billing","data":{"name":"Billing","slug":"billing","types":["t1","library"],"team":"pay","tags":["g1"],"depends_on":["ledger"],"environments":{"e1":{"url":"https://b"},"staging":{}},"links":{"runbook":{"url":"https://r"}},"services":{"sentry":{"identifier":"42"}},"identifiers":{"github":"acme/billing"}}}`); o.Changed {
		t.Errorf("the same again changed %+v", o.Change.Entries)
	}
}

func TestPatchLeavesWhatItDoesNotName(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	before := w.props("project:billing")
	w.must(root, `{"op":"patch","node":"project:billing","data":{"environments":{"production":{"url":"https://c"},"staging":null},"tags":["core"]}}`)
	w.wants("project:billing", map[graph.Kind]string{
		identity.OfType: "project_type:t1 project_type:t2", identity.DeployedIn: "environment:e1map[url:https://c]", identity.Tagged: "tag:g2",
	})
	if after := w.props("project:billing"); after.String("identifiers") != before.String("identifiers") || after.String("name") != "Billing" {
		t.Errorf("got %v", after)
	}
	w.must(root, `{"op":"put","node":"project:billing","data":{"slug":"billing"}}`)
	w.wants("project:billing", map[graph.Kind]string{identity.OfType: "", identity.Tagged: "", graph.ChildOf: "organization:acme", identity.DeployedIn: ""})
}

func TestRelationsStayWithinTheOrganization(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	for pointer, data := range map[string]string{
		"/data/tags/1":          `{"tags":["go","secret"]}`,
		"/data/tags/0":          `{"tags":["ug"]}`,
		"/data/environments/u1": `{"environments":{"u1":{}}}`,
		"/data/depends_on/0":    `{"depends_on":["billing"]}`,
		"/data/team":            `{"team":"nobody"}`,
		"/data/environments":    `{"environments":{"production":{"uri":"x"}}}`,
		"/data/types":           `{"types":"api"}`,
		"/data/links/no~1such":  `{"links":{"no/such":{}}}`,
		"/data/services":        `{"services":{"sentry":{"identifier":7}}}`,
		"/data/types/0":         `{"types":["nope"]}`,
		"/data/identifiers":     `{"identifiers":{"a":1}}`,
		"/data/organization":    `{"organization":"umbrella"}`,
		"/data/former_slugs":    `{"former_slugs":["x"]}`,
	} {
		e := w.refused(root, graph.Invalid, `{"op":"patch","node":"project:billing","data":`+data+`}`)
		if len(e.Fields) != 1 || e.Fields[0].Pointer != pointer {
			t.Errorf("%s: got %v, want %s", data, e.Fields, pointer)
		}
	}
}

func TestWhatTheCallerCannotReadStaysWhenAllIsWritten(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog+`{"op":"create","node":"role:writer","data":{"permissions":["project:read","project:update"]}}
{"op":"put_grant","subject":"user:eve","resource":"project:billing","role":"writer"}
{"op":"create","node":"project:other","data":{"organization":"acme"}}
{"op":"put_grant","subject":"user:eve","resource":"project:other","role":"writer"}`)
	// She is shown the types, tags and so on of the project, but not what it depends on.
	same := `"name":"Billing","types":["api","library"],"team":"payments","tags":["go"],"environments":{"production":{"url":"https://b"},"staging":{}},"links":{"runbook":{"url":"https://r"}},"services":{"sentry":{"identifier":"42"}},"identifiers":{"github":"acme/billing"}`
	if o := w.must(user("eve"), `{"op":"put","node":"project:billing","data":{"depends_on":[],`+same+`}}`); o.Changed {
		t.Errorf("the same again changed %+v", o.Change.Entries)
	}
	w.must(user("eve"), `{"op":"put","node":"project:billing","data":{"depends_on":["other"],`+same+`}}`)
	w.wants("project:billing", map[graph.Kind]string{identity.DependsOn: "project:ledger project:other"})
	w.refused(user("eve"), graph.Invalid, `{"op":"patch","node":"project:billing","data":{"depends_on":["ledger"]}}`)
	w.refused(user("eve"), graph.Invalid, `{"op":"patch","node":"project:billing","data":{"tags":["go","core"]}}`)
}

func TestADeveloperMakesProjectsAndReadsWhatTheyRelateTo(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	w.must(user("dev"), `{"op":"create","node":"project:mine","data":{"organization":"acme","team":"payments","tags":["go"],"depends_on":["billing"]}}`)
	w.refused(user("dev"), graph.Denied, `{"op":"create","node":"environment:mine","data":{"organization":"acme"}}`)
	w.refused(user("eve"), graph.Denied, `{"op":"create","node":"project:hers","data":{"organization":"acme"}}`)
	// Whoever may create below a team only, creates there and nowhere else.
	w.must(root, `{"op":"put_grant","subject":"user:eve","resource":"team:pay","role":"developer"}`)
	w.must(user("eve"), `{"op":"create","node":"project:hers","data":{"organization":"acme","team":"payments"}}`)
	w.refused(user("eve"), graph.Denied, `{"op":"create","node":"project:more","data":{"organization":"acme"}}`)
}

func TestATeamsProjectIsReadByTheTeam(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog+`{"op":"put_grant","subject":"user:eve","resource":"team:pay","role":"readonly"}`)
	if !w.allowed("user:eve", "project:read", "project:billing") || w.allowed("user:eve", "project:read", "project:ledger") {
		t.Error("access does not follow the team")
	}
	w.must(root, `{"op":"patch","node":"project:billing","data":{"team":null}}`)
	if w.allowed("user:eve", "project:read", "project:billing") {
		t.Error("access stays when the team has gone")
	}
}

func TestWhoMovesAProjectHoldsWhatFlowsToIt(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog+`{"op":"put_grant","subject":"user:eve","resource":"team:pay","role":"admin"}`)
	w.refused(user("dev"), graph.Denied, `{"op":"patch","node":"project:ledger","data":{"team":"payments"}}`)
	w.must(root, `{"op":"patch","node":"project:ledger","data":{"team":"payments"}}`)
}

func TestWhatIsMadeInOneApplyMayBeRelated(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	w.must(root, `
{"op":"create","node":"tag:new","data":{"organization":"acme","slug":"fresh"}}
{"op":"create","node":"project:a","data":{"organization":"acme"}}
{"op":"create","node":"project:b","data":{"organization":"acme","tags":["fresh"],"depends_on":["a"]}}
{"op":"patch","node":"project:a","data":{"depends_on":["b"]}}
{"op":"patch","node":"tag:new","data":{"slug":"renamed"}}
{"op":"patch","node":"project:a","data":{"tags":["renamed"]}}`)
	w.wants("project:a", map[graph.Kind]string{identity.DependsOn: "project:b", identity.Tagged: "tag:new"})
	w.wants("project:b", map[graph.Kind]string{identity.DependsOn: "project:a", identity.Tagged: "tag:new"})
	if got := w.props("project:b").Strings(identity.PropKeywords); !slices.Equal(got, []string{"renamed"}) {
		t.Errorf("keywords %q", got)
	}
	w.refused(root, graph.Invalid, `
{"op":"delete","node":"tag:new","cascade":true}
{"op":"patch","node":"project:a","data":{"tags":["renamed"]}}`)
}

func TestKeywordsFollowTheTags(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	want := func(words ...string) {
		t.Helper()
		if got := w.props("project:billing").Strings(identity.PropKeywords); !slices.Equal(got, words) {
			t.Errorf("keywords %q, want %q", got, words)
		}
	}
	want("go Go lang")
	w.must(root, `{"op":"patch","node":"project:billing","data":{"description":"x"}}`)
	want("go Go lang")
	w.must(root, `{"op":"patch","node":"tag:g1","data":{"name":"Golang"}}`)
	want("go Golang")
	w.must(root, `{"op":"patch","node":"project:billing","data":{"tags":["core","go"]}}`)
	want("core", "go Golang")
	w.refused(root, graph.InUse, `{"op":"delete","node":"tag:g1"}`)
	w.must(root, `{"op":"delete","node":"tag:g1","cascade":true}`)
	want("core")
}

func TestARenamedSlugIsFoundByTheOldOne(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	acme := node(t, "organization:acme")
	former := func(slug, want, now string) {
		t.Helper()
		r, is, err := w.Former(t.Context(), identity.Project, acme, slug)
		if want == "" {
			if graph.KindOf(err) != graph.NotFound {
				t.Errorf("%s: got %v, %v", slug, r, err)
			}
			return
		}
		if err != nil || r.ID != want || is != now {
			t.Errorf("%s: got %v %s, %v", slug, r, is, err)
		}
	}
	w.must(root, `{"op":"patch","node":"project:billing","data":{"slug":"invoices"}}`)
	former("billing", "billing", "invoices")
	if _, err := w.Resolve(t.Context(), identity.Project, acme, "invoices"); err != nil {
		t.Error(err)
	}
	w.must(root, `{"op":"patch","node":"project:billing","data":{"slug":"bills"}}`)
	former("billing", "billing", "bills")
	former("invoices", "billing", "bills")
	w.must(root, `{"op":"create","node":"project:later","data":{"organization":"acme","depends_on":["invoices"]}}`)
	w.wants("project:later", map[graph.Kind]string{identity.DependsOn: "project:billing"})
	// Somebody else takes the slug and gives it up again: it is theirs now.
	w.must(root, `{"op":"patch","node":"project:ledger","data":{"slug":"invoices"}}`)
	w.must(root, `{"op":"patch","node":"project:ledger","data":{"slug":"books"}}`)
	former("invoices", "ledger", "books")
	// Back to the first name: it is no former one any more.
	w.must(root, `{"op":"patch","node":"project:billing","data":{"slug":"billing"}}`)
	if got := w.props("project:billing").Strings(identity.PropFormerSlugs); !slices.Equal(got, []string{"bills"}) {
		t.Errorf("former slugs %q", got)
	}
	w.must(root, `{"op":"delete","node":"project:billing","cascade":true}`)
	former("bills", "", "")
}

func TestSlugsAreUniqueWithinAnOrganization(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	w.refused(root, graph.Exists, `{"op":"create","node":"tag:x","data":{"organization":"acme","slug":"go"}}`)
	w.must(root, `{"op":"create","node":"tag:x","data":{"organization":"umbrella","slug":"go"}}`)
	w.must(root, `
{"op":"create","node":"third_party_service:s2","data":{"organization":"acme","slug":"pager"}}
{"op":"create","node":"application:a1","data":{"service":"s1","slug":"app"}}
{"op":"create","node":"application:a2","data":{"service":"s2","slug":"app"}}`)
	w.refused(root, graph.Exists, `{"op":"create","node":"application:a3","data":{"service":"s2","slug":"app"}}`)
	if got := w.props("application:a1").String("organization"); got != "acme" {
		t.Errorf("the application is of %q", got)
	}
}

func TestAnArchivedProjectStaysAsItIs(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	w.must(root, `{"op":"patch","node":"project:billing","data":{"archived":true}}`)
	for _, data := range []string{`{"name":"x"}`, `{"tags":["core"]}`, `{"slug":"x"}`} {
		w.refused(root, graph.Locked, `{"op":"patch","node":"project:billing","data":`+data+`}`)
	}
	if o := w.must(root, `{"op":"patch","node":"project:billing","data":{"archived":true,"tags":["go"],"name":"Billing"}}`); o.Changed {
		t.Error("the same again is a change")
	}
	w.must(root, `{"op":"patch","node":"project:billing","data":{"archived":false,"name":"x"}}`)
}

func TestDeletingAnOrganizationTakesItsCatalogAlong(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	w.refused(root, graph.InUse, `{"op":"delete","node":"team:pay"}`)
	w.must(root, `{"op":"delete","node":"team:pay","cascade":true}`)
	w.wants("project:billing", map[graph.Kind]string{graph.ChildOf: "organization:acme"})
	w.must(root, `{"op":"delete","node":"organization:acme","cascade":true}`)
	for _, gone := range []string{"project:billing", "project:ledger", "tag:g1", "environment:e1", "third_party_service:s1", "project_type:t1"} {
		if w.index.View().Exists(node(t, gone)) {
			t.Errorf("%s is still there", gone)
		}
	}
	if !w.index.View().Exists(node(t, "environment:u1")) {
		t.Error("another organization lost its environment")
	}
}

func TestSecretsAreSealedAndKept(t *testing.T) {
	w := newWorld(t)
	keys, err := auth.NewSecrets(strings.Repeat("s", auth.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	w.Sealer = keys
	w.must(root, catalog+`
{"op":"create","node":"application:a1","data":{"service":"s1","client_secret":"hush-1","private_key":"hush-2"}}
{"op":"create","node":"webhook:w1","data":{"organization":"acme","secret":"hush-3","rules":[{"filter":"true","handler":"deploy","config":{"a":1}}],"services":{"sentry":{"identifier_selector":"/project"}}}}`)
	reveal := func(r string) map[string]string {
		t.Helper()
		found, err := w.graph.Store().Nodes(t.Context(), []graph.Ref{node(t, r)})
		if err != nil {
			t.Fatal(err)
		}
		if shown := fmt.Sprint(identity.Fields(found[0]), found[0].Props); strings.Contains(shown, "hush") {
			t.Errorf("a secret shows: %s", shown)
		}
		out, err := w.Reveal(found[0])
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := reveal("application:a1"); got["client_secret"] != "hush-1" || got["private_key"] != "hush-2" || len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if o := w.must(root, `{"op":"patch","node":"application:a1","data":{"client_secret":"hush-1"}}`); o.Changed {
		t.Error("the same secret is a change")
	}
	// Edits of other fields, whole ones too, leave secrets alone.
	w.must(root, `{"op":"put","node":"application:a1","data":{"name":"x","client_id":"c"}}
{"op":"patch","node":"application:a1","data":{"private_key":null}}
{"op":"put","node":"webhook:w1","data":{"name":"y"}}`)
	if got := reveal("application:a1"); got["client_secret"] != "hush-1" || len(got) != 1 {
		t.Errorf("got %v", got)
	}
	if got := reveal("webhook:w1"); got["secret"] != "hush-3" {
		t.Errorf("got %v", got)
	}
	w.refused(root, graph.Invalid, `{"op":"patch","node":"webhook:w1","data":{"rules":[{"filter":"true"}]}}`)
	w.refused(root, graph.Invalid, `{"op":"patch","node":"webhook:w1","data":{"rules":[{"handler":"x","code":"y"}]}}`)
}
