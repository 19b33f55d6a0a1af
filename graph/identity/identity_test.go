package identity_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

func TestBootstrapTwiceChangesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.graph.State().Applied
	if err := w.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := w.graph.State().Applied; after != before {
		t.Errorf("the second bootstrap moved the head from %d to %d", before, after)
	}
}

func TestApplyTwiceChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample)
	again := `
{"op":"put","node":"organization:acme","data":{"name":"Acme"}}
{"op":"ensure","node":"user:alice","data":{}}
{"op":"put","node":"role:viewer","data":{"permissions":["folder:read"]}}
{"op":"put","node":"folder:plans","data":{"parents":["organization:acme"]}}
{"op":"put_grant","subject":"user:bob","resource":"organization:acme","role":"editor"}`
	if o := w.must(root, again); o.Changed {
		t.Errorf("changed: %+v", o.Change)
	}
}

func TestCreatorOwnsWhatTheyCreate(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`
{"op":"put_grant","subject":"user:eve","resource":"organization:acme","actions":["folder:create"]}`)
	w.must(user("eve"), `{"op":"create","node":"folder:eves","data":{"parents":["organization:acme"]}}`)
	if !w.allowed("user:eve", "folder:delete", "folder:eves") {
		t.Error("eve does not own her folder")
	}
	if w.allowed("user:eve", "folder:read", "folder:plans") {
		t.Error("eve reads a folder that is not hers")
	}
}

func TestNobodyGivesAwayMoreThanTheyHold(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample)
	bob := user("bob")
	// What bob holds, he may give.
	w.must(bob, `{"op":"put_grant","subject":"user:eve","resource":"folder:plans","role":"viewer"}`)
	for name, text := range map[string]string{
		"a bigger role":              `{"op":"put_grant","subject":"user:bob","resource":"folder:plans","role":"boss"}`,
		"the administrator's role":   `{"op":"put_grant","subject":"user:bob","resource":"organization:acme","role":"admin"}`,
		"a wildcard":                 `{"op":"put_grant","subject":"user:bob","resource":"folder:plans","actions":["folder:*"]}`,
		"any read":                   `{"op":"put_grant","subject":"user:bob","resource":"folder:plans","actions":["*:read"]}`,
		"another permission":         `{"op":"put_grant","subject":"user:bob","resource":"folder:plans","actions":["folder:delete"]}`,
		"his role higher up":         `{"op":"put_grant","subject":"user:bob","resource":"platform:root","role":"editor"}`,
		"his role elsewhere":         `{"op":"put_grant","subject":"user:bob","resource":"organization:umbrella","role":"editor"}`,
		"a seat in a mightier team":  `{"op":"put_member","set":"team:bosses","member":"user:bob"}`,
		"a team in a mightier team":  `{"op":"put_member","set":"team:bosses","member":"team:writers"}`,
		"more to his own role":       `{"op":"patch","node":"role:editor","data":{"permissions":["folder:delete"]}}`,
		"taking the owner's grant":   `{"op":"delete_grant","subject":"user:alice","resource":"organization:acme","role":"owner"}`,
		"a role he makes for that":   `{"op":"create","node":"role:mine","data":{"permissions":["*"]}}`,
		"a type with a way in":       `{"op":"create","node":"resource_type:hole","data":{"parents":["organization"]}}`,
		"himself back to life":       `{"op":"patch","node":"user:bob","data":{"status":"active"}}`,
		"a reach for the vocabulary": `{"op":"put_grant","subject":"user:bob","resource":"platform:vocabulary","actions":["role:update"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{Service: w.Service, t: t, graph: w.graph, index: w.index}
			w.refused(bob, graph.Denied, text)
		})
	}
	w.must(bob, `{"op":"put_member","set":"team:writers","member":"user:eve"}`)
	w.must(bob, `{"op":"delete_grant","subject":"user:eve","resource":"folder:plans","role":"viewer"}`)
}

func TestRoleMayNotGrowBeyondItsEditorWhereverItIsGranted(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`
{"op":"create","node":"role:local","data":{"organization":"acme","permissions":["folder:read"]}}
{"op":"create","node":"role:local-lead","data":{"organization":"acme","inherits":["local"]}}
{"op":"create","node":"folder:secret","data":{"parents":["organization:acme"]}}
{"op":"put_grant","subject":"user:bob","resource":"role:local","actions":["role:update","role:read"]}
{"op":"put_grant","subject":"user:eve","resource":"folder:plans","role":"local-lead"}`)
	// bob holds folder:update where local-lead is granted, but not folder:delete.
	w.refused(user("bob"), graph.Denied, `{"op":"patch","node":"role:local","data":{"permissions":["folder:read","folder:delete"]}}`)
	w.must(user("bob"), `{"op":"patch","node":"role:local","data":{"permissions":["folder:read","folder:update"]}}`)
	if !w.allowed("user:eve", "folder:update", "folder:plans") {
		t.Error("the heir of the role did not grow")
	}
}

func TestMovingBelowAParentGivesNothingNew(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`
{"op":"create","node":"folder:own","data":{"parents":["organization:umbrella"]}}
{"op":"put_grant","subject":"user:bob","resource":"folder:own","role":"owner"}`)
	w.refused(user("bob"), graph.Denied, `{"op":"patch","node":"folder:plans","data":{"parents":["organization:acme","folder:own"]}}`)
	// Nor by way of a parent that the same batch makes.
	w.refused(user("bob"), graph.Denied, `
{"op":"create","node":"folder:trap","data":{"parents":["folder:own"]}}
{"op":"patch","node":"folder:plans","data":{"parents":["organization:acme","folder:trap"]}}
{"op":"put_grant","subject":"user:bob","resource":"folder:trap","actions":["folder:delete"]}`)
	o := w.must(user("alice"), `{"op":"create","node":"folder:below","data":{"parents":["organization:acme"]}}`)
	before := o.Revision
	o = w.must(user("alice"), `{"op":"patch","node":"folder:plans","data":{"parents":["folder:below"]}}`)
	if o.Revision <= before || !w.allowed("user:alice", "folder:delete", "folder:plans") {
		t.Error("alice could not move her own folder")
	}
	if got := w.index.View().Parents(node(t, "folder:plans")); !slices.Equal(got, []graph.Ref{node(t, "folder:below")}) {
		t.Errorf("parents: %v", got)
	}
}

func TestRoleOfAnOrganizationIsGrantedOnlyInsideIt(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`{"op":"create","node":"role:local","data":{"organization":"acme","permissions":["folder:read"]}}`)
	w.must(root, `{"op":"put_grant","subject":"user:eve","resource":"folder:plans","role":"local"}`)
	e := w.refused(root, graph.Invalid, `{"op":"put_grant","subject":"user:eve","resource":"organization:umbrella","role":"local"}`)
	if len(e.Fields) != 1 || e.Fields[0].Pointer != "/role" {
		t.Errorf("fields: %v", e.Fields)
	}
	w.refused(root, graph.Invalid, `{"op":"put_grant","subject":"user:eve","resource":"platform:root","role":"local"}`)
	w.refused(root, graph.Invalid, `{"op":"create","node":"role:thief","data":{"organization":"umbrella","inherits":["local"]}}`)
}

func TestCyclesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`
{"op":"create","node":"folder:a","data":{"parents":["organization:acme"]}}
{"op":"create","node":"folder:b","data":{"parents":["folder:a"]}}
{"op":"put_member","set":"team:bosses","member":"team:writers"}`)
	for _, text := range []string{
		`{"op":"put_member","set":"team:writers","member":"team:bosses"}`,
		`{"op":"put_member","set":"team:writers","member":"team:writers"}`,
		`{"op":"patch","node":"folder:a","data":{"parents":["folder:b"]}}`,
		`{"op":"patch","node":"folder:a","data":{"parents":["folder:a"]}}`,
		`{"op":"patch","node":"role:editor","data":{"inherits":["boss"]}}`,
		`{"op":"patch","node":"role:editor","data":{"inherits":["editor"]}}`,
	} {
		w.refused(root, graph.Cycle, text)
	}
}

func TestBadInputNamesTheField(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample)
	for _, c := range []struct{ text, pointer string }{
		{`{"op":"create","node":"user:x","data":{"emial":"a@b.c"}}`, "/data/emial"},
		{`{"op":"create","node":"user:x","data":{"email":"not an address"}}`, "/data/email"},
		{`{"op":"create","node":"user:x","data":{"status":"dead"}}`, "/data/status"},
		{`{"op":"create","node":"user:x","data":{"attributes":[1]}}`, "/data/attributes"},
		{`{"op":"create","node":"user:x","data":{"name":7}}`, "/data/name"},
		{`{"op":"create","node":"user:x","data":[]}`, "/data"},
		{`{"op":"create","node":"team:x","data":{}}`, "/data/organization"},
		{`{"op":"create","node":"organization:x","data":{"slug":"No Slug"}}`, "/data/slug"},
		{`{"op":"create","node":"organization:!","data":{"name":"??"}}`, "/data/slug"},
		{`{"op":"create","node":"role:x","data":{"permissions":["folder:fly"]}}`, "/data/permissions"},
		{`{"op":"create","node":"role:x","data":{"permissions":["nothing:*"]}}`, "/data/permissions"},
		{`{"op":"create","node":"role:x","data":{"inherits":["ghost"]}}`, "/data/inherits"},
		{`{"op":"create","node":"role:x","data":{"system":true}}`, "/data/system"},
		{`{"op":"patch","node":"team:writers","data":{"organization":"umbrella"}}`, "/data/organization"},
		{`{"op":"create","node":"folder:x","data":{}}`, "/data/parents"},
		{`{"op":"create","node":"folder:x","data":{"parents":[]}}`, "/data/parents"},
		{`{"op":"create","node":"folder:x","data":{"parents":["user:alice"]}}`, "/data/parents"},
		{`{"op":"create","node":"rocket:x","data":{"parents":["organization:acme"]}}`, "/node"},
		{`{"op":"create","node":"resource_type:Bad","data":{}}`, "/node"},
		{`{"op":"create","node":"resource_type:idempotency_key","data":{}}`, "/node"},
		{`{"op":"create","node":"resource_type:x","data":{"parents":["rocket"]}}`, "/data/parents"},
		{`{"op":"create","node":"resource_type:x","data":{"actions":["Fly!"]}}`, "/data/actions"},
		{`{"op":"create","node":"permission:x:y","data":{}}`, "/node"},
		{`{"op":"create","node":"api_key:x","data":{}}`, "/node"},
		{`{"op":"explode","node":"user:alice"}`, "/op"},
		{`{"op":"put_grant","subject":"user:alice","resource":"folder:plans","role":"ghost"}`, "/role"},
		{`{"op":"put_grant","subject":"user:alice","resource":"folder:plans"}`, "/role"},
		{`{"op":"put_grant","subject":"user:alice","resource":"folder:plans","role":"viewer","actions":["folder:read"]}`, "/actions"},
		{`{"op":"put_grant","subject":"folder:plans","resource":"folder:plans","role":"viewer"}`, "/subject"},
		{`{"op":"put_grant","subject":"user:alice","resource":"folder:plans","role":"viewer","expires_at":"2001-01-01T00:00:00Z"}`, "/expires_at"},
		{`{"op":"put_grant","resource":"folder:plans","role":"viewer"}`, "/subject"},
		{`{"op":"put_member","set":"folder:plans","member":"user:alice"}`, "/set"},
		{`{"op":"put_member","set":"team:writers","member":"role:viewer"}`, "/member"},
		{`{"op":"put_member","set":"team:writers","member":"everyone:*"}`, "/member"},
	} {
		e := w.refused(root, graph.Invalid, c.text)
		if len(e.Fields) == 0 || e.Fields[0].Pointer != c.pointer {
			t.Errorf("%s\npoints at %v, want %s (%s)", c.text, e.Fields, c.pointer, e.Msg)
		}
	}
	e := w.refused(root, graph.Invalid, `
{"op":"create","node":"user:fine","data":{}}
{"op":"create","node":"user:x","data":{"nope":1}}`)
	if e.Step != 1 {
		t.Errorf("the error is about mutation %d, want 1", e.Step)
	}
}

func TestMissingEndsAreNotFound(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample)
	for _, text := range []string{
		`{"op":"put_grant","subject":"user:ghost","resource":"folder:plans","role":"viewer"}`,
		`{"op":"put_member","set":"team:writers","member":"user:ghost"}`,
		`{"op":"delete_member","set":"team:writers","member":"user:alice"}`,
		`{"op":"delete_grant","subject":"user:eve","resource":"folder:plans","role":"viewer"}`,
		`{"op":"patch","node":"user:ghost","data":{}}`,
		`{"op":"delete","node":"user:ghost"}`,
	} {
		w.refused(root, graph.NotFound, text)
	}
}

func TestUniqueNames(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample)
	e := w.refused(root, graph.Exists, `{"op":"create","node":"user:x","data":{"email":"aLICE@example.COM"}}`)
	if len(e.Fields) != 1 || e.Fields[0].Pointer != "/data/email" {
		t.Errorf("fields: %v", e.Fields)
	}
	w.refused(root, graph.Exists, `{"op":"create","node":"organization:other","data":{"slug":"acme"}}`)
	w.refused(root, graph.Exists, `{"op":"create","node":"team:t2","data":{"organization":"acme","slug":"writers"}}`)
	w.must(root, `{"op":"create","node":"team:t3","data":{"organization":"umbrella","slug":"writers"}}`)
	w.must(root, `{"op":"patch","node":"organization:acme","data":{"slug":"acme-inc"}}`)
	w.must(root, `{"op":"create","node":"organization:other","data":{"slug":"acme"}}`)
	for slug, want := range map[string]string{"acme-inc": "acme", "other": "other", "acme": "acme"} {
		if got, err := w.Resolve(t.Context(), identity.Organization, graph.Ref{}, slug); err != nil || got.ID != want {
			t.Errorf("%s is %v (%v), want %s", slug, got, err, want)
		}
	}
	if got, err := w.Resolve(t.Context(), identity.Team, node(t, "organization:umbrella"), "writers"); err != nil || got.ID != "t3" {
		t.Errorf("the team is %v (%v)", got, err)
	}
	if got, err := w.Resolve(t.Context(), identity.User, graph.Ref{}, "alice@EXAMPLE.com"); err != nil || got.ID != "alice" {
		t.Errorf("the user is %v (%v)", got, err)
	}
}

func TestPatchPutEnsure(t *testing.T) {
	w := newWorld(t)
	w.must(root, `{"op":"create","node":"user:x","data":{"email":"x@example.com","name":"X","attributes":{"a":1,"b":{"c":2}}}}`)
	show := func() string {
		n, err := w.graph.Store().Nodes(t.Context(), []graph.Ref{user("x")})
		if err != nil || len(n) != 1 {
			t.Fatal(n, err)
		}
		f := identity.Fields(n[0])
		return fmt.Sprintf("%v %v %v %s", f["email"], f["name"], f["status"], f["attributes"])
	}
	for _, c := range []struct{ text, want string }{
		{`{"op":"patch","node":"user:x","data":{"name":null,"attributes":{"a":null,"b":{"d":3}}}}`, `x@example.com  active {"b":{"c":2,"d":3}}`},
		{`{"op":"ensure","node":"user:x","data":{"name":"Y"}}`, `x@example.com Y active {"b":{"c":2,"d":3}}`},
		{`{"op":"patch","node":"user:x","data":{"status":"suspended"}}`, `x@example.com Y suspended {"b":{"c":2,"d":3}}`},
		{`{"op":"put","node":"user:x","data":{"name":"Z"}}`, `<nil> Z active {}`},
	} {
		w.must(root, c.text)
		if got := show(); got != c.want {
			t.Errorf("%s\ngives %s, want %s", c.text, got, c.want)
		}
	}
}

func TestIfMatchRefusesTheStale(t *testing.T) {
	w := newWorld(t)
	o := w.must(root, `{"op":"create","node":"user:x","data":{"name":"1"}}`)
	w.must(root, fmt.Sprintf(`{"op":"patch","node":"user:x","data":{"name":"2"},"if_match":%d}`, o.Revision))
	w.refused(root, graph.Stale, fmt.Sprintf(`{"op":"patch","node":"user:x","data":{"name":"3"},"if_match":%d}`, o.Revision))
	w.refused(root, graph.Stale, fmt.Sprintf(`{"op":"delete","node":"user:x","if_match":%d}`, o.Revision))
}

func TestConcurrentPatchesLoseNothing(t *testing.T) {
	w := newWorld(t)
	w.must(root, `{"op":"create","node":"user:x","data":{}}`)
	const n = 5
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			muts := parse(t, fmt.Sprintf(`{"op":"patch","node":"user:x","data":{"attributes":{"k%d":true}}}`, i))
			if _, err := w.Apply(context.Background(), identity.Caller{Subject: root}, muts, identity.ApplyOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	nodes, err := w.graph.Store().Nodes(t.Context(), []graph.Ref{user("x")})
	if err != nil {
		t.Fatal(err)
	}
	want := graph.JSON(`{"k0":true,"k1":true,"k2":true,"k3":true,"k4":true}`)
	if got := nodes[0].Props["attributes"]; got != want {
		t.Errorf("attributes %v, want %v", got, want)
	}
}

func TestDeleteWithChildren(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`
{"op":"create","node":"folder:child","data":{"parents":["folder:plans"]}}
{"op":"create","node":"folder:shared","data":{"parents":["folder:plans","organization:umbrella"]}}
{"op":"create","node":"role:a","data":{"organization":"acme","permissions":["folder:read"]}}
{"op":"create","node":"role:b","data":{"organization":"acme","inherits":["a"]}}
{"op":"put_grant","subject":"user:eve","resource":"folder:child","role":"b"}`)
	w.refused(root, graph.InUse, `{"op":"delete","node":"folder:plans"}`)
	w.refused(root, graph.InUse, `{"op":"delete","node":"organization:acme"}`)
	o := w.must(user("alice"), `{"op":"delete","node":"organization:acme","cascade":true}`)
	nodes := 0
	for _, e := range o.Change.Entries {
		if e.Node != nil && e.Node.After == nil {
			nodes++
		}
	}
	if nodes != 7 { // acme, plans, child, two teams, two roles
		t.Errorf("%d nodes deleted, want 7", nodes)
	}
	v := w.index.View()
	for ref, want := range map[string]bool{"organization:acme": false, "folder:child": false, "role:b": false, "team:bosses": false, "folder:shared": true, "user:bob": true} {
		if got := v.Exists(node(t, ref)); got != want {
			t.Errorf("%s exists: %v, want %v", ref, got, want)
		}
	}
}

func TestCascadeNeedsTheRightOnEverythingBelow(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`
{"op":"put_grant","subject":"user:eve","resource":"organization:acme","actions":["organization:delete","organization:read"]}`)
	w.refused(user("eve"), graph.Denied, `{"op":"delete","node":"organization:acme","cascade":true}`)
}

func TestRoleInUseIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample)
	w.refused(root, graph.InUse, `{"op":"delete","node":"role:boss"}`)
	w.refused(root, graph.InUse, `{"op":"delete","node":"role:editor","cascade":true}`) // boss inherits from it
	w.must(root, `{"op":"delete","node":"role:boss","cascade":true}`)
	w.must(root, `{"op":"delete","node":"role:viewer"}`)
	w.refused(root, graph.Denied, `{"op":"delete","node":"role:admin","cascade":true}`)
	w.refused(root, graph.Denied, `{"op":"patch","node":"role:readonly","data":{"permissions":["*"]}}`)
	w.refused(root, graph.Denied, `{"op":"patch","node":"resource_type:user","data":{"actions":["fly"]}}`)
}

func TestResourceTypeInUseIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample)
	w.refused(root, graph.InUse, `{"op":"delete","node":"resource_type:folder"}`)
	w.refused(root, graph.InUse, `{"op":"patch","node":"resource_type:folder","data":{"actions":[]}}`) // editor grants folder:share
	w.must(root, `{"op":"patch","node":"resource_type:folder","data":{"actions":["share","print","read"]}}`)
	if !w.index.View().HasPermission("folder:print") {
		t.Error("the new action has no permission")
	}
	w.must(root, `{"op":"patch","node":"resource_type:folder","data":{"actions":["share"]}}`)
	if !w.index.View().HasPermission("folder:read") {
		t.Error("a standard action went with the list")
	}
	if w.index.View().HasPermission("folder:print") {
		t.Error("the action that was dropped still has its permission")
	}
	w.must(root, `
{"op":"create","node":"resource_type:crate","data":{}}
{"op":"create","node":"crate:1","data":{"parents":["platform:root"]}}`)
	w.must(root, `{"op":"delete","node":"crate:1"}`)
	w.must(root, `{"op":"delete","node":"resource_type:crate"}`)
	w.refused(root, graph.Invalid, `{"op":"create","node":"crate:1","data":{"parents":["platform:root"]}}`)
}

func TestMembershipAndGrantsExpire(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample)
	soon := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339Nano)
	w.must(root, `
{"op":"put_member","set":"team:bosses","member":"user:eve","expires_at":"`+soon+`"}`)
	if !w.allowed("user:eve", "folder:delete", "folder:plans") {
		t.Fatal("the membership gives nothing")
	}
	for deadline := time.Now().Add(time.Minute); w.allowed("user:eve", "folder:delete", "folder:plans"); {
		if time.Now().After(deadline) {
			t.Fatal("the membership did not end")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestEverybodyMayLeaveAndGiveUp(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`
{"op":"put_member","set":"team:writers","member":"user:eve"}
{"op":"put_grant","subject":"user:eve","resource":"folder:plans","role":"viewer"}`)
	w.must(user("eve"), `{"op":"delete_member","set":"team:writers","member":"user:eve"}`)
	w.must(user("eve"), `{"op":"delete_grant","subject":"user:eve","resource":"folder:plans","role":"viewer"}`)
}

func TestSuspendedHoldNothing(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`{"op":"patch","node":"user:alice","data":{"status":"suspended"}}`)
	w.refused(user("alice"), graph.Denied, `{"op":"patch","node":"folder:plans","data":{"name":"mine"}}`)
}

// A role that grows while it is being granted must not slip past either
// check: whichever commits second has to look again.
func TestGrowingRoleAndGrantingItDoNotRace(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`
{"op":"put_grant","subject":"user:bob","resource":"platform:vocabulary","actions":["role:update"]}
{"op":"put_grant","subject":"user:eve","resource":"organization:umbrella","actions":["access:grant","folder:read"]}`)
	for i := range 25 {
		role := fmt.Sprintf("role:r%d", i)
		w.must(root, `{"op":"create","node":"`+role+`","data":{"permissions":["folder:read"]}}`)
		grow := parse(t, `{"op":"patch","node":"`+role+`","data":{"permissions":["folder:read","folder:update"]}}`)
		give := parse(t, fmt.Sprintf(`{"op":"put_grant","subject":"user:eve","resource":"organization:umbrella","role":"r%d"}`, i))
		var group sync.WaitGroup
		var grew, gave error
		group.Go(func() {
			_, grew = w.Apply(context.Background(), identity.Caller{Subject: user("bob")}, grow, identity.ApplyOptions{})
		})
		group.Go(func() {
			_, gave = w.Apply(context.Background(), identity.Caller{Subject: user("eve")}, give, identity.ApplyOptions{})
		})
		group.Wait()
		if grew == nil && gave == nil {
			t.Fatalf("round %d: both happened, so eve holds folder:update on umbrella, which neither held there", i)
		}
		if grew != nil && gave != nil {
			t.Fatalf("round %d: neither happened: %v; %v", i, grew, gave)
		}
	}
}

// A taken id that the caller may not see is answered like a free one.
func TestHiddenIDsCannotBeProbed(t *testing.T) {
	w := newWorld(t)
	w.must(root, sample+`
{"op":"put_grant","subject":"user:eve","resource":"organization:umbrella","actions":["organization:read"]}`)
	for _, op := range []string{"create", "put", "ensure"} {
		taken := w.refused(user("eve"), graph.Denied, `{"op":"`+op+`","node":"folder:plans","data":{"parents":["organization:umbrella"]}}`)
		free := w.refused(user("eve"), graph.Denied, `{"op":"`+op+`","node":"folder:free","data":{"parents":["organization:umbrella"]}}`)
		if taken.Msg != free.Msg || taken.Ref != free.Ref {
			t.Errorf("%s: %v against %v", op, taken, free)
		}
	}
	for _, text := range []string{
		`{"op":"put","node":"user:%s","data":{}}`, `{"op":"ensure","node":"user:%s","data":{}}`,
		`{"op":"put","node":"folder:%s","data":{"parents":["organization:acme"]}}`,
	} {
		for _, id := range []string{"alice", "plans", "free"} {
			w.refused(user("eve"), graph.NotFound, fmt.Sprintf(text, id))
		}
	}
	w.must(root, `{"op":"put_grant","subject":"user:eve","resource":"organization:umbrella","actions":["folder:create"]}`)
	e := w.refused(user("eve"), graph.Exists, `{"op":"put","node":"folder:plans","data":{"parents":["organization:umbrella"]}}`)
	if !e.Ref.IsZero() {
		t.Errorf("the error names %s", e.Ref)
	}
}
