package manifest_test

import (
	"context"
	"strings"
	"testing"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/manifest"
)

// acme declares some of everything, in an order in which it cannot be made.
const acme = `
apiVersion: trellis/v1
kind: Grant
spec: {subject: "team:acme/payments", resource: "project:acme/billing", role: deployer}
---
apiVersion: trellis/v1
kind: Membership
spec: {set: "team:acme/payments", members: ["user:ann@example.com", {member: "user:bob", expires_at: 2100-01-01T00:00:00Z}]}
---
apiVersion: trellis/v1
kind: Project
metadata: {organization: acme, slug: billing}
spec:
  name: Billing
  types: [service]
  team: payments
  environments: {production: {url: "https://billing.example.com"}}
  depends_on: [ledger]
  tags: [go]
  services: {sentry: {identifier: billing}}
---
apiVersion: trellis/v1
kind: Project
metadata: {organization: acme, slug: ledger}
spec: {name: Ledger, depends_on: [billing]}
---
apiVersion: trellis/v1
kind: Organization
metadata: {slug: acme}
spec: {name: Acme}
---
- {apiVersion: trellis/v1, kind: Team, metadata: {organization: acme, slug: payments}, spec: {name: Payments}}
- {apiVersion: trellis/v1, kind: ProjectType, metadata: {organization: acme, slug: service}}
- {apiVersion: trellis/v1, kind: Environment, metadata: {organization: acme, slug: production}, spec: {sort_order: 1}}
- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: go}}
- {apiVersion: trellis/v1, kind: ThirdPartyService, metadata: {organization: acme, slug: sentry}, spec: {team: payments}}
- {apiVersion: trellis/v1, kind: Application, metadata: {organization: acme, slug: web}, spec: {service: sentry, client_secret: hush}}
- {apiVersion: trellis/v1, kind: User, spec: {email: ann@example.com, name: Ann}}
- {apiVersion: trellis/v1, kind: User, metadata: {id: bob}, spec: {name: Bob}}
- {apiVersion: trellis/v1, kind: Role, metadata: {organization: acme, slug: deployer}, spec: {inherits: [viewer], permissions: ["project:update"]}}
- {apiVersion: trellis/v1, kind: Role, metadata: {slug: viewer}, spec: {permissions: ["project:read", "folder:share"]}}
- {apiVersion: trellis/v1, kind: ResourceType, metadata: {id: folder}, spec: {parents: [shelf, organization], actions: [share]}}
- {apiVersion: trellis/v1, kind: ResourceType, metadata: {id: shelf}, spec: {parents: [folder, organization]}}
- {apiVersion: trellis/v1, kind: Resource, metadata: {type: folder, id: acme/plans}, spec: {parents: ["shelf:acme/top"]}}
- {apiVersion: trellis/v1, kind: Resource, metadata: {type: shelf, id: acme/top}, spec: {parents: ["organization:acme"]}}
`

func TestASetIsAppliedInOneRevisionAndThenChangesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.head()
	planned := w.apply(root, "acme/main", acme, "plan")
	if w.head() != before {
		t.Fatal("a plan wrote something")
	}
	if planned.Counts.Create != len(planned.Plan) || len(planned.Plan) != 20 || !planned.Changed {
		t.Errorf("%+v", planned.Counts)
	}
	done := w.apply(root, "acme/main", acme)
	if w.head() != before+1 || done.Revision != before+1 || done.Counts != planned.Counts {
		t.Errorf("revision %d, head %d after %d, %+v", done.Revision, w.head(), before, done.Counts)
	}
	again := w.apply(root, "acme/main", acme)
	if again.Changed || again.Change != nil || w.head() != before+1 || again.Counts.Unchanged != 20 {
		t.Errorf("a second run: %+v, head %d\n%s", again.Counts, w.head(), lines(again))
	}
	if got := w.index.View().Check(user("bob"), "project:update", again.Plan[0].Node, w.ids.Now()); got {
		t.Error("a grant has a node")
	}
	project, err := w.ids.Resolve(context.Background(), identity.Project, graph.Ref{Type: identity.Organization, ID: orgID(t, w)}, "billing")
	must(t, err)
	for _, p := range []string{"project:update", "project:read"} {
		if !w.index.View().Check(user("bob"), p, project, w.ids.Now()) {
			t.Errorf("bob lacks %s", p)
		}
	}
}

func orgID(t testing.TB, w *world) string {
	t.Helper()
	r, err := w.ids.Resolve(context.Background(), identity.Organization, graph.Ref{}, "acme")
	must(t, err)
	return r.ID
}

func TestAPlanTellsWhatChangesField(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "acme/main", acme)
	changed := strings.NewReplacer(
		"name: Billing", "name: Invoices", "team: payments\n", "team: platform\n", "depends_on: [ledger]", "depends_on: []",
		"https://billing.example.com", "https://invoices.example.com", "2100-01-01", "2101-01-01", "client_secret: hush", "client_secret: louder",
	).Replace(acme) + `
- {apiVersion: trellis/v1, kind: Team, metadata: {organization: acme, slug: platform}}
`
	for _, options := range [][]string{{"plan"}, nil} {
		same(t, lines(w.apply(root, "acme/main", changed, options...)), `
			change Membership user:bob in team:acme/payments expires_at:2100-01-01T00:00:00Z>2101-01-01T00:00:00Z
			change Project acme/billing depends_on:ledger><nil> environments/production:map[url:https://billing.example.com]>map[url:https://invoices.example.com] name:Billing>Invoices team:payments>platform
			change Application acme/sentry/web client_secret:***>***
			create Team acme/platform`)
	}
}

func TestPruneTakesAwayWhatTheSetMadeAndNothingElse(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "acme/main", acme)
	// By hand, and by another set: neither is this set's to delete.
	w.apply(root, "hand", `
- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: rust}}
- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: go}}`)
	less := `
- {apiVersion: trellis/v1, kind: Organization, metadata: {slug: acme}, spec: {name: Acme}}
- {apiVersion: trellis/v1, kind: Team, metadata: {organization: acme, slug: payments}, spec: {name: Payments}}
- {apiVersion: trellis/v1, kind: Project, metadata: {organization: acme, slug: ledger}, spec: {name: Ledger, tags: [rust]}}
- {apiVersion: trellis/v1, kind: User, metadata: {id: bob}, spec: {name: Bob}}
`
	kept := w.apply(root, "acme/main", less)
	if kept.Counts.Orphans != 16 || kept.Counts.Delete != 0 || kept.Counts.Change != 1 {
		t.Errorf("without prune: %+v\n%s", kept.Counts, lines(kept))
	}
	want := `
		delete Grant deployer for team:acme/payments on project:acme/billing
		delete Membership user:ann@example.com in team:acme/payments
		delete Membership user:bob in team:acme/payments
		delete Resource folder:acme/plans
		delete Resource shelf:acme/top
		delete Project acme/billing
		delete Application acme/sentry/web
		delete ThirdPartyService acme/sentry
		delete Environment acme/production
		delete ProjectType acme/service
		release Tag acme/go
		delete User ann@example.com
		delete Role acme/deployer
		delete Role viewer
		delete ResourceType folder
		delete ResourceType shelf`
	same(t, lines(w.apply(root, "acme/main", less, "prune", "plan")), want)
	same(t, lines(w.apply(root, "acme/main", less, "prune")), want)
	if again := w.apply(root, "acme/main", less, "prune"); again.Changed || again.Counts.Orphans != 0 {
		t.Errorf("%+v\n%s", again.Counts, lines(again))
	}
	if same := w.apply(root, "hand", `
- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: rust}}
- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: go}}`, "plan"); same.Changed {
		t.Errorf("the other set lost something:\n%s", lines(same))
	}
}

func TestWhatSomebodyElseChangedIsDrift(t *testing.T) {
	w := newWorld(t)
	first := w.apply(root, "acme/main", acme)
	node := func(name string) graph.Ref {
		for _, it := range first.Plan {
			if it.Name == name {
				return it.Node
			}
		}
		t.Fatalf("no %s", name)
		return graph.Ref{}
	}
	ctx, byHand := context.Background(), identity.Caller{Subject: root}
	_, err := w.ids.Apply(ctx, byHand, []identity.Mutation{
		{Op: identity.OpPatch, Node: node("acme/billing"), Data: []byte(`{"slug":"invoices","description":"by hand"}`)},
		{Op: identity.OpDelete, Node: node("acme/go"), Cascade: true},
		{Op: identity.OpDeleteMember, Set: node("acme/payments"), Member: user("bob")},
		{Op: identity.OpPatch, Node: node("acme/production"), Data: []byte(`{"sort_order":7}`)},
	}, identity.ApplyOptions{})
	must(t, err)
	planned := w.apply(root, "acme/main", strings.Replace(acme, "sort_order: 1", "sort_order: 2", 1), "plan")
	same(t, lines(planned), `
		create Membership user:bob in team:acme/payments drift
		change Project acme/billing drift description:by hand> slug:invoices>billing tags:<nil>>go
		change Environment acme/production sort_order:7>2
		create Tag acme/go drift`)
	w.apply(root, "acme/main", acme)
	if again := w.apply(root, "acme/main", acme); again.Changed {
		t.Error(lines(again))
	}
}

func TestFaultsPointIntoTheDocuments(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "acme/main", acme)
	doc := func(kind, metadata, spec string) string {
		return "- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: go}}\n" +
			"- {apiVersion: trellis/v1, kind: " + kind + ", metadata: {" + metadata + "}, spec: {" + spec + "}}\n"
	}
	for _, c := range []struct{ pointer, text string }{
		{"/documents/1/spec/types/1", doc("Project", "organization: acme, slug: x", "types: [service, none]")},
		{"/documents/1/spec/nonsense", doc("Project", "organization: acme, slug: x", "nonsense: 1")},
		{"/documents/1/spec/slug", doc("Project", "organization: acme, slug: x", "slug: y")},
		{"/documents/1/metadata/slug", doc("Project", "organization: acme, slug: X", "")},
		{"/documents/1/metadata/slug", doc("Project", "organization: acme", "")},
		{"/documents/1/metadata/organization", doc("Project", "organization: none, slug: x", "")},
		{"/documents/1/metadata/organization", doc("Project", "slug: x", "")},
		{"/documents/1/metadata/organization", doc("Group", "slug: x, organization: acme", "")},
		{"/documents/1/metadata/type", doc("Resource", "type: nothing at all, id: x", "")},
		{"/documents/1/metadata", doc("Tag", "organization: acme, slug: go", "")},
		{"/documents/1/metadata/id", doc("User", "", "name: Nobody")},
		{"/documents/1/spec/service", doc("Application", "organization: acme, slug: x", "service: none")},
		{"/documents/1/spec/parents/0", doc("Resource", "type: folder, id: x", "parents: ['shelf:none']")},
		{"/documents/1/spec/set", doc("Membership", "", "members: ['user:bob']")},
		{"/documents/1/spec/members/1", doc("Membership", "", "set: 'team:acme/payments', members: ['user:bob', 'user:none']")},
		{"/documents/1/spec/members", doc("Membership", "", "set: 'team:acme/payments', members: ['user:bob', 'user:bob']")},
		{"/documents/1/spec", doc("Membership", "", "set: 'team:acme/payments', member: []")},
		{"/documents/1/spec/role", doc("Grant", "", "subject: 'user:bob', resource: 'project:acme/billing', role: none")},
		{"/documents/1/spec/subject", doc("Grant", "", "subject: 'team:acme/none', resource: 'project:acme/billing', role: deployer")},
		{"/documents/1/spec/resource", doc("Grant", "", "subject: 'user:bob', resource: 'nothing', role: deployer")},
		{"/documents/1/spec/expires_at", doc("Grant", "", "subject: 'user:bob', resource: 'project:acme/billing', role: deployer, expires_at: 2001-01-01T00:00:00Z")},
		{"/documents/1/spec/depends_on/0", doc("Project", "organization: acme, slug: x", "depends_on: [x]")},
	} {
		w.refused(graph.Invalid, c.pointer, root, "test", c.text)
	}
	w.refused(graph.Invalid, "", root, "No Name", acme)
}

func TestASetBelongsToAnOrganizationAndIsHiddenFromOthers(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "orgs", `
- {apiVersion: trellis/v1, kind: Organization, metadata: {slug: acme, id: acme}}
- {apiVersion: trellis/v1, kind: Organization, metadata: {slug: other, id: other}}
- {apiVersion: trellis/v1, kind: User, metadata: {id: ann}}
- {apiVersion: trellis/v1, kind: User, metadata: {id: eve}}
- {apiVersion: trellis/v1, kind: User, metadata: {id: reader}}
- {apiVersion: trellis/v1, kind: Grant, spec: {subject: "user:ann", resource: "organization:acme", role: owner}}
- {apiVersion: trellis/v1, kind: Grant, spec: {subject: "user:eve", resource: "organization:other", role: owner}}
- {apiVersion: trellis/v1, kind: Grant, spec: {subject: "user:reader", resource: "organization:acme", actions: ["manifest:read", "organization:read"]}}`)
	tags := `- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: go}}`
	ann, eve, reader := user("ann"), user("eve"), user("reader")
	if r := w.apply(ann, "acme/tags", tags); r.Counts.Create != 1 {
		t.Errorf("%+v", r.Counts)
	}
	// Eve hears the same of a set that is there and of one that is not.
	for _, set := range []string{"acme/tags", "acme/none", "none/tags", "orgs", "none"} {
		w.refused(graph.NotFound, "", eve, set, tags)
		if _, _, err := w.sets.Read(context.Background(), identity.Caller{Subject: eve}, set); graph.KindOf(err) != graph.NotFound {
			t.Errorf("%s: %v", set, err)
		}
		if _, _, err := w.sets.Forget(context.Background(), identity.Caller{Subject: eve}, set); graph.KindOf(err) != graph.NotFound {
			t.Errorf("%s: %v", set, err)
		}
	}
	w.refused(graph.Invalid, "/documents/0/metadata/organization", eve, "other/tags", tags)
	w.refused(graph.Denied, "", reader, "acme/tags", tags)
	n, list, err := w.sets.Read(context.Background(), identity.Caller{Subject: reader}, "acme/tags")
	must(t, err)
	if len(list) != 1 || list[0].Name != "acme/go" || n.Ref.ID != "acme/tags" {
		t.Errorf("%v %v", n, list)
	}
	_, _, err = w.sets.Forget(context.Background(), identity.Caller{Subject: ann}, "acme/tags")
	must(t, err)
	if r := w.apply(ann, "acme/tags", tags, "plan"); r.Counts.Unchanged != 1 || r.Counts.Adopt != 1 || !r.Changed {
		t.Errorf("%+v", r.Counts)
	}
	// A tenant's own node with the id of another's name is not what is meant by it.
	w.apply(eve, "other/trap", `- {apiVersion: trellis/v1, kind: Team, metadata: {organization: other, slug: trap, id: acme/core}}`)
	w.refused(graph.Invalid, "/documents/0/spec/subject", ann, "acme/tags", `- {apiVersion: trellis/v1, kind: Grant, spec: {subject: "team:acme/core", resource: "organization:acme", role: owner}}`)
}

func TestNobodyDoesMoreByASetThanTheyMay(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "orgs", `
- {apiVersion: trellis/v1, kind: Organization, metadata: {slug: acme, id: acme}}
- {apiVersion: trellis/v1, kind: User, metadata: {id: ann}}
- {apiVersion: trellis/v1, kind: Grant, spec: {subject: "user:ann", resource: "organization:acme", actions: ["manifest:*", "organization:read", "tag:*", "access:grant"]}}`)
	ann := user("ann")
	for _, options := range [][]string{{"plan"}, nil} {
		w.refused(graph.Denied, "/documents/1", ann, "acme/main", `
- {apiVersion: trellis/v1, kind: Tag, metadata: {organization: acme, slug: go}}
- {apiVersion: trellis/v1, kind: Team, metadata: {organization: acme, slug: core}}`, options...)
		w.refused(graph.Denied, "/documents/0", ann, "acme/main", `
- {apiVersion: trellis/v1, kind: Grant, spec: {subject: "user:ann", resource: "organization:acme", role: owner}}`, options...)
	}
}

func TestDocumentsThatWereReadAreTold(t *testing.T) {
	w := newWorld(t)
	w.apply(root, "acme/main", acme)
	_, list, err := w.sets.Read(context.Background(), identity.Caller{Subject: root}, "acme/main")
	must(t, err)
	if len(list) != 20 {
		t.Errorf("%d objects", len(list))
	}
	for _, o := range list {
		if o.Name == "acme/sentry/web" && o.Hash != "" {
			t.Error("the hash of a secret is kept")
		}
	}
	_ = manifest.Kinds()
}
