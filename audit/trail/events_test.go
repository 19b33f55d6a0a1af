package trail_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/audit"
	"trellis/audit/trail"
	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
)

// line writes what an event says that is not the same for all.
func line(e *audit.Event) string {
	s := e.Action + " " + e.Node
	if e.Other != "" {
		s += " / " + e.Other
	}
	if e.Before != "" {
		s += " -" + e.Before
	}
	if e.After != "" {
		s += " +" + e.After
	}
	return s + " @" + strings.Join(e.Within, ",")
}

// eventsOf works out the events of one change, with the places before it.
func eventsOf(t *testing.T, w *world, ch *graph.Change) []*audit.Event {
	t.Helper()
	if ch == nil {
		t.Fatal("nothing changed")
	}
	o := oracle{}
	for after := graph.Revision(0); after < ch.Revision-1; {
		changes, err := w.store.Changes(t.Context(), after, 1)
		if err != nil || len(changes) == 0 {
			t.Fatal(err)
		}
		o.apply(&changes[0])
		after = changes[0].Revision
	}
	return trail.Events(ch, o.above)
}

func isLines(t *testing.T, events []*audit.Event, want string) {
	t.Helper()
	var got []string
	for _, e := range events {
		got = append(got, line(e))
	}
	var lines []string
	for l := range strings.Lines(want) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	// The order is that of the change, which is the store's affair.
	slices.Sort(lines)
	slices.Sort(got)
	if d := cmp.Diff(lines, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

const soon = "2100-01-02T03:04:05Z"

// Every mutation that there is, and the events that it makes.
func TestEveryMutationHasItsEvents(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	for _, c := range []struct{ do, want string }{
		{`{"op":"create","node":"user:alice","data":{"email":"alice@example.com","attributes":{"b":1,"a":"<x>"}}}`,
			`user:create user:alice +{"attributes":{"a":"<x>","b":1},"email":"alice@example.com","parents":["platform:root"],"status":"active"} @user:alice`},
		{`{"op":"create","node":"organization:acme","data":{"name":"Acme"}}`,
			`organization:create organization:acme +{"name":"Acme","parents":["platform:root"],"slug":"acme"} @organization:acme`},
		{`{"op":"patch","node":"organization:acme","data":{"name":"ACME","description":"All"}}`,
			`organization:update organization:acme -{"description":"","name":"Acme"} +{"description":"All","name":"ACME"} @organization:acme`},
		{`{"op":"put","node":"organization:acme","data":{"name":"ACME"}}`,
			`organization:update organization:acme -{"description":"All"} +{"description":""} @organization:acme`},
		{`{"op":"create","node":"resource_type:folder","data":{"parents":["organization","folder"],"actions":["share"]}}`, `
			resource_type:create resource_type:folder +{"actions":["share"],"name":"folder","parents":["platform:vocabulary"]} @resource_type:folder,platform:vocabulary
			permission:create permission:folder:create +{"name":"folder:create","parents":["platform:vocabulary"]} @permission:folder:create,platform:vocabulary
			permission:create permission:folder:delete +{"name":"folder:delete","parents":["platform:vocabulary"]} @permission:folder:delete,platform:vocabulary
			permission:create permission:folder:read +{"name":"folder:read","parents":["platform:vocabulary"]} @permission:folder:read,platform:vocabulary
			permission:create permission:folder:share +{"name":"folder:share","parents":["platform:vocabulary"]} @permission:folder:share,platform:vocabulary
			permission:create permission:folder:update +{"name":"folder:update","parents":["platform:vocabulary"]} @permission:folder:update,platform:vocabulary`},
		{`{"op":"ensure","node":"team:core","data":{"organization":"acme","name":"Core"}}`,
			`team:create team:core +{"name":"Core","organization":"acme","parents":["organization:acme"],"slug":"core"} @team:core,organization:acme`},
		{`{"op":"put_member","set":"team:core","member":"user:alice","expires_at":"` + soon + `"}`,
			`member:add team:core / user:alice +{"expires_at":"` + soon + `"} @team:core,organization:acme`},
		{`{"op":"put_member","set":"team:core","member":"user:alice"}`,
			`member:update team:core / user:alice -{"expires_at":"` + soon + `"} @team:core,organization:acme`},
		{`{"op":"create","node":"role:reader","data":{"permissions":["folder:read"]}}`, `
			role:create role:reader +{"parents":["platform:vocabulary"],"permissions":["folder:read"],"slug":"reader"} @role:reader,platform:vocabulary
			role:permit role:reader / permission:folder:read @role:reader,platform:vocabulary`},
		{`{"op":"create","node":"role:editor","data":{"organization":"acme","inherits":["reader"],"permissions":["folder:update"]}}`, `
			role:create role:editor +{"inherits":["reader"],"organization":"acme","parents":["organization:acme"],"permissions":["folder:update"],"slug":"editor"} @role:editor,organization:acme
			role:permit role:editor / permission:folder:update @role:editor,organization:acme
			role:inherit role:editor / role:reader @role:editor,organization:acme`},
		{`{"op":"patch","node":"role:editor","data":{"inherits":[],"permissions":["folder:update","folder:share"]}}`, `
			role:disinherit role:editor / role:reader @role:editor,organization:acme
			role:update role:editor -{"inherits":["reader"],"permissions":["folder:update"]} +{"inherits":[],"permissions":["folder:share","folder:update"]} @role:editor,organization:acme
			role:permit role:editor / permission:folder:share @role:editor,organization:acme`},
		{`{"op":"patch","node":"role:editor","data":{"permissions":["folder:update"]}}`, `
			role:unpermit role:editor / permission:folder:share @role:editor,organization:acme
			role:update role:editor -{"permissions":["folder:share","folder:update"]} +{"permissions":["folder:update"]} @role:editor,organization:acme`},
		{`{"op":"create","node":"folder:plans","data":{"parents":["organization:acme"],"name":"Plans"}}
		  {"op":"create","node":"folder:2026","data":{"parents":["folder:plans"]}}`, `
			folder:create folder:plans +{"name":"Plans","parents":["organization:acme"]} @folder:plans,organization:acme
			folder:create folder:2026 +{"parents":["folder:plans"]} @folder:2026,folder:plans,organization:acme`},
		{`{"op":"put_grant","subject":"team:core","resource":"folder:2026","role":"editor"}`,
			`grant:create folder:2026 / team:core +{"granted_by":"service_account:root","role":"editor"} @folder:2026,folder:plans,organization:acme`},
		{`{"op":"put_grant","subject":"team:core","resource":"folder:2026","role":"editor","expires_at":"` + soon + `"}`,
			`grant:update folder:2026 / team:core +{"expires_at":"` + soon + `"} @folder:2026,folder:plans,organization:acme`},
		{`{"op":"put_grant","subject":"user:alice","resource":"platform:root","actions":["folder:read"]}`,
			`grant:create platform:root / user:alice +{"actions":["folder:read"],"granted_by":"service_account:root"} @`},
		{`{"op":"create","node":"organization:umbrella","data":{}}`,
			`organization:create organization:umbrella +{"parents":["platform:root"],"slug":"umbrella"} @organization:umbrella`},
		{`{"op":"create","node":"tag:go","data":{"organization":"umbrella"}}
		  {"op":"create","node":"environment:live","data":{"organization":"umbrella"}}
		  {"op":"create","node":"project:till","data":{"organization":"umbrella","tags":["go"],"environments":{"live":{"url":"https://a"}}}}`, `
			tag:create tag:go +{"organization":"umbrella","parents":["organization:umbrella"],"slug":"go"} @tag:go,organization:umbrella
			environment:create environment:live +{"organization":"umbrella","parents":["organization:umbrella"],"slug":"live"} @environment:live,organization:umbrella
			project:create project:till +{"organization":"umbrella","parents":["organization:umbrella"],"slug":"till"} @project:till,organization:umbrella
			relation:add project:till / tag:go +{"kind":"TAGGED"} @project:till,organization:umbrella
			relation:add project:till / environment:live +{"kind":"DEPLOYED_IN","url":"https://a"} @project:till,organization:umbrella`},
		{`{"op":"patch","node":"project:till","data":{"environments":{"live":{"url":"https://b"}}}}`,
			`relation:update project:till / environment:live -{"kind":"DEPLOYED_IN","url":"https://a"} +{"kind":"DEPLOYED_IN","url":"https://b"} @project:till,organization:umbrella`},
		// The words that a project has of its tags are no change of the project.
		{`{"op":"patch","node":"tag:go","data":{"name":"Golang"}}`,
			`tag:update tag:go -{"name":""} +{"name":"Golang"} @tag:go,organization:umbrella`},
		{`{"op":"create","node":"webhook:hook","data":{"organization":"umbrella","secret":"hush"}}`,
			`webhook:create webhook:hook +{"organization":"umbrella","parents":["organization:umbrella"],"secrets":["secret"],"slug":"hook"} @webhook:hook,organization:umbrella`},
		{`{"op":"patch","node":"webhook:hook","data":{"secret":"hush-hush"}}`,
			`webhook:update webhook:hook +{"secret":"changed"} @webhook:hook,organization:umbrella`},
		// Both sides see the move; that the folder was touched needs no word.
		{`{"op":"patch","node":"folder:2026","data":{"parents":["organization:umbrella"]}}`, `
			parent:remove folder:2026 / folder:plans @folder:2026,folder:plans,organization:acme,organization:umbrella
			parent:add folder:2026 / organization:umbrella @folder:2026,folder:plans,organization:acme,organization:umbrella`},
		{`{"op":"delete_grant","subject":"team:core","resource":"folder:2026","role":"editor"}`,
			`grant:delete folder:2026 / team:core -{"expires_at":"` + soon + `","granted_by":"service_account:root","role":"editor"} @folder:2026,organization:umbrella`},
		{`{"op":"patch","node":"folder:2026","data":{"parents":["folder:plans"]}}
		  {"op":"put_grant","subject":"user:alice","resource":"folder:2026","role":"reader"}`, `
			parent:remove folder:2026 / organization:umbrella @folder:2026,organization:umbrella,folder:plans,organization:acme
			parent:add folder:2026 / folder:plans @folder:2026,organization:umbrella,folder:plans,organization:acme
			grant:create folder:2026 / user:alice +{"granted_by":"service_account:root","role":"reader"} @folder:2026,organization:umbrella,folder:plans,organization:acme`},
		// All of an organization goes, and is still filed under it.
		{`{"op":"delete","node":"organization:acme","cascade":true}`, `
			grant:delete folder:2026 / user:alice -{"granted_by":"service_account:root","role":"reader"} @folder:2026,folder:plans,organization:acme
			role:unpermit role:editor / permission:folder:update @role:editor,organization:acme
			member:remove team:core / user:alice @team:core,organization:acme
			folder:delete folder:2026 -{"parents":["folder:plans"]} @folder:2026,folder:plans,organization:acme
			folder:delete folder:plans -{"name":"Plans","parents":["organization:acme"]} @folder:plans,organization:acme
			organization:delete organization:acme -{"name":"ACME","parents":["platform:root"],"slug":"acme"} @organization:acme
			role:delete role:editor -{"organization":"acme","parents":["organization:acme"],"permissions":["folder:update"],"slug":"editor"} @role:editor,organization:acme
			team:delete team:core -{"name":"Core","organization":"acme","parents":["organization:acme"],"slug":"core"} @team:core,organization:acme
			tombstone:create tombstone:id-1 +{"edges":8,"name":"ACME","node":"organization:acme","nodes":5,"parents":["platform:root"],"slug":"acme"} @tombstone:id-1`},
		{`{"op":"put_member","set":"organization:umbrella","member":"user:alice"}
		  {"op":"delete_member","set":"organization:umbrella","member":"user:alice"}
		  {"op":"put_member","set":"organization:umbrella","member":"service_account:root"}`,
			`member:add organization:umbrella / service_account:root @organization:umbrella`},
		{`{"op":"delete_member","set":"organization:umbrella","member":"service_account:root"}`,
			`member:remove organization:umbrella / service_account:root @organization:umbrella`},
		{`{"op":"delete","node":"user:alice"}`, `
			grant:delete platform:root / user:alice -{"actions":["folder:read"],"granted_by":"service_account:root"} @
			user:delete user:alice -{"attributes":{"a":"<x>","b":1},"email":"alice@example.com","parents":["platform:root"],"status":"active"} @user:alice`},
	} {
		ch := w.must(root, c.do)
		events := eventsOf(t, w, ch)
		isLines(t, events, c.want)
		for _, e := range events {
			common := audit.Event{
				Head:  audit.Head{Time: ch.Time},
				Actor: "service_account:root", Key: "key-1", RequestID: "request-1", Address: "192.0.2.0/24", Agent: "tests",
				Outcome: audit.Success, Revision: int64(ch.Revision),
				Action: e.Action, Node: e.Node, Other: e.Other, Within: e.Within, Before: e.Before, After: e.After,
			}
			if d := cmp.Diff(&common, e); d != "" {
				t.Errorf("%s: (-want +got)\n%s", line(e), d)
			}
		}
		if t.Failed() {
			t.Fatalf("after %s", c.do)
		}
	}
}

func TestOtherEdgesNameTheirKind(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	k := graph.EdgeKey{From: root, Kind: "OWNED_BY", To: graph.Root}
	isLines(t, eventsOf(t, w, w.write(graph.Link(graph.Edge{EdgeKey: k, Props: graph.Props{"a": 1}}))),
		`edge:create service_account:root / platform:root +{"kind":"OWNED_BY"} @service_account:root`)
	isLines(t, eventsOf(t, w, w.write(graph.Link(graph.Edge{EdgeKey: k, Props: graph.Props{"a": 2}}))),
		`edge:update service_account:root / platform:root -{"kind":"OWNED_BY"} +{"kind":"OWNED_BY"} @service_account:root`)
	isLines(t, eventsOf(t, w, w.write(graph.Unlink(k))),
		`edge:delete service_account:root / platform:root -{"kind":"OWNED_BY"} @service_account:root`)
}

func TestATouchAloneIsAnEvent(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	isLines(t, eventsOf(t, w, w.write(graph.Touch(root))), `service_account:update service_account:root @service_account:root`)
	// A record of the service's own is no company.
	inner := graph.Node{Ref: graph.Ref{Type: "idempotency_key", ID: "x"}}
	isLines(t, eventsOf(t, w, w.write(graph.Touch(root), graph.Put(inner))), `service_account:update service_account:root @service_account:root`)
	isLines(t, eventsOf(t, w, w.write(graph.Delete(inner.Ref))), ``)
}

func TestKeysShowWhoseTheyAreAndNoSecret(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	w.must(root, `{"op":"create","node":"user:alice","data":{}}`)
	secrets, err := auth.NewSecrets(strings.Repeat("s", 32))
	if err != nil {
		t.Fatal(err)
	}
	issuer := auth.NewIssuer(w.graph, func() identity.Authority { return w.index.View() }, secrets, time.Now)
	alice := graph.Ref{Type: identity.User, ID: "alice"}
	token := auth.NewToken()
	caller := identity.Caller{Subject: alice}
	change := func(r graph.Result, err error) []*audit.Event {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := json.Marshal(r.Change)
		if r.Change.Entries[0].Node == nil && !strings.Contains(string(raw), "hash") {
			t.Fatalf("the test does not see what it should: %s", raw)
		}
		events := eventsOf(t, w, r.Change)
		for _, e := range events {
			if strings.Contains(fmt.Sprint(*e), "hash") || strings.Contains(fmt.Sprint(*e), token.Secret) {
				t.Errorf("%s", line(e))
			}
		}
		return events
	}
	key := "api_key:" + token.ID
	isLines(t, change(issuer.Create(t.Context(), caller, token, alice, auth.KeyFields{Name: "ci"}, identity.ApplyOptions{})),
		`api_key:create `+key+` +{"name":"ci","owner":"user:alice","parents":["user:alice"]} @`+key+`,user:alice`)
	other := auth.NewToken()
	other.ID = token.ID
	isLines(t, change(issuer.Rotate(t.Context(), caller, other, identity.ApplyOptions{})),
		`api_key:update `+key+` +{"secret":"changed"} @`+key+`,user:alice`)
	end := time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)
	isLines(t, change(issuer.Change(t.Context(), caller, token.ID, 0, func(f auth.KeyFields) (auth.KeyFields, error) {
		f.Expires = end
		return f, nil
	}, identity.ApplyOptions{})), `api_key:update `+key+` +{"expires_at":"`+soon+`"} @`+key+`,user:alice`)
	isLines(t, change(issuer.Revoke(t.Context(), caller, token.ID, 0, identity.ApplyOptions{})),
		`api_key:delete `+key+` -{"expires_at":"`+soon+`","name":"ci","owner":"user:alice","parents":["user:alice"]} @`+key+`,user:alice`)
}

func TestWithinHasAnEnd(t *testing.T) {
	o := oracle{}
	ref := func(i int) graph.Ref { return graph.Ref{Type: "folder", ID: fmt.Sprint(i)} }
	for i := range 3000 {
		o[ref(i)] = map[graph.Ref]bool{ref(i + 1): true}
	}
	ch := graph.Change{Entries: []graph.Entry{{Node: &graph.NodeEntry{After: &graph.Node{Ref: ref(0)}}}}}
	if w := trail.Events(&ch, o.above)[0].Within; len(w) != 1000 || w[999] != "folder:999" {
		t.Errorf("%d nodes, the last %s", len(w), w[len(w)-1])
	}
}
