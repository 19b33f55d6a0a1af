package identity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/neo4jgraph"
	"trellis/graph/neo4jgraph/neo4jtest"
)

// export lists all that there is, without times and revisions.
func (w *world) export() []string {
	w.t.Helper()
	var out []string
	_, err := w.store.Export(context.Background(), func(r graph.Record) error {
		if r.Node != nil {
			n := *r.Node
			n.Created, n.Updated, n.Revision = time.Time{}, time.Time{}, 0
			r = graph.Record{Node: &n}
		} else {
			e := *r.Edge
			e.Created, e.Updated, e.Revision = time.Time{}, time.Time{}, 0
			r = graph.Record{Edge: &e}
		}
		out = append(out, string(r.AppendJSON(nil)))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// same fails unless both exports are, and says where they differ.
func (w *world) same(what string, got, want []string) {
	w.t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for _, s := range want {
		if !slices.Contains(got, s) {
			w.t.Errorf("%s: missing %s", what, s)
		}
	}
	for _, s := range got {
		if !slices.Contains(want, s) {
			w.t.Errorf("%s: there is %s", what, s)
		}
	}
	w.t.FailNow()
}

// buried returns the tombstone that a deletion left.
func (w *world) buried(o identity.Outcome) graph.Node {
	w.t.Helper()
	for _, e := range o.Change.Entries {
		if e.Node != nil && e.Node.Before == nil && e.Node.After.Ref.Type == identity.Tombstone {
			return *e.Node.After
		}
	}
	w.t.Fatal("the deletion left no tombstone")
	return graph.Node{}
}

func (w *world) delete(who graph.Ref, r string) string {
	w.t.Helper()
	n := w.buried(w.must(who, `{"op":"delete","node":"`+r+`","cascade":true}`))
	if n.Props.String(identity.PropBuried) != r || n.Props.String(identity.PropDeletedBy) != who.String() {
		w.t.Errorf("the tombstone of %s says %v", r, n.Props)
	}
	return n.Ref.String()
}

func (w *world) restore(who graph.Ref, tombstone string) identity.Outcome {
	w.t.Helper()
	return w.must(who, `{"op":"restore","node":"`+tombstone+`"}`)
}

// rich is the catalog with one of everything that a deletion has to carry along.
const rich = catalog + `
{"op":"create","node":"application:app","data":{"service":"s1","slug":"app","client_secret":"hush"}}
{"op":"create","node":"webhook:h1","data":{"organization":"acme","slug":"hook","services":{"sentry":{"identifier_selector":"$.id"}}}}
{"op":"create","node":"role:own","data":{"organization":"acme","slug":"own","permissions":["folder:read","project:*"]}}
{"op":"create","node":"role:heir","data":{"organization":"acme","slug":"heir","inherits":["own","viewer"]}}
{"op":"create","node":"folder:sub","data":{"parents":["folder:plans"]}}
{"op":"create","node":"folder:shared","data":{"parents":["folder:plans","organization:umbrella"]}}
{"op":"create","node":"group:everybody","data":{"name":"All"}}
{"op":"create","node":"project:old","data":{"organization":"acme","team":"payments","tags":["go","core"],"depends_on":["billing","ledger"]}}
{"op":"patch","node":"project:billing","data":{"slug":"invoices"}}
{"op":"put_member","set":"team:pay","member":"user:dev"}
{"op":"put_member","set":"organization:acme","member":"team:pay","expires_at":"2099-01-01T00:00:00Z"}
{"op":"put_member","set":"group:everybody","member":"team:writers"}
{"op":"put_grant","subject":"team:pay","resource":"project:ledger","role":"heir","expires_at":"2099-01-01T00:00:00Z"}
{"op":"put_grant","subject":"user:eve","resource":"folder:sub","role":"own"}
{"op":"put_grant","subject":"team:writers","resource":"organization:umbrella","role":"viewer"}
{"op":"put_grant","subject":"everyone:*","resource":"folder:plans","actions":["folder:read"]}
`

func richWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	secrets, err := auth.NewSecrets(strings.Repeat("s", 32))
	if err != nil {
		t.Fatal(err)
	}
	w.Sealer = secrets
	w.must(root, rich)
	return w
}

func TestRestoringGivesBackWhatWasDeleted(t *testing.T) {
	w := richWorld(t)
	before := w.export()
	for _, r := range []string{
		"project:billing", "project:ledger", "tag:g1", "environment:e1", "project_type:t1", "link_definition:l1",
		"third_party_service:s1", "application:app", "webhook:h1", "team:pay", "team:writers", "organization:acme",
	} {
		tombstone := w.delete(root, r)
		if w.index.View().Exists(node(t, r)) {
			t.Errorf("%s is still there", r)
		}
		o := w.restore(root, tombstone)
		if !slices.Equal(o.Results, []identity.Effect{identity.Created}) {
			t.Errorf("the result is %v", o.Results)
		}
		w.same(r, w.export(), before)
		top, nodes, edges, lost, err := identity.Restored(o.Change, node(t, tombstone))
		if err != nil || top.String() != r || nodes < 1 || edges < 1 || len(lost) > 0 {
			t.Errorf("restored %v: %d nodes, %d edges, lost %v (%v)", top, nodes, edges, lost, err)
		}
	}
	found, err := w.graph.Store().Nodes(t.Context(), []graph.Ref{node(t, "application:app")})
	if err != nil || len(found) == 0 {
		t.Fatal(err)
	}
	if s, err := w.Reveal(found[0]); err != nil || s["client_secret"] != "hush" {
		t.Errorf("the secret is %v (%v)", s, err)
	}
}

func TestTombstonesOfTombstones(t *testing.T) {
	w := richWorld(t)
	before := w.export()
	project, team := w.delete(root, "project:ledger"), w.delete(root, "team:pay")
	half := w.export()
	org := w.delete(root, "organization:acme")
	for _, r := range []string{project, team} {
		if w.index.View().Exists(node(t, r)) {
			t.Errorf("%s outlived the organization", r)
		}
	}
	w.refused(root, graph.NotFound, `{"op":"restore","node":"`+project+`"}`)
	w.restore(root, org)
	w.same("with two tombstones in it", w.export(), half)
	w.restore(root, team)
	w.restore(root, project)
	w.same("one after the other", w.export(), before)
}

func TestRestoringInTheOrderOfDeletionLosesWhatLayBetween(t *testing.T) {
	w := richWorld(t)
	tag, project := w.delete(root, "tag:g1"), w.delete(root, "project:billing")
	w.restore(root, tag)
	if p := w.props("tag:g1"); p.String("slug") != "go" {
		t.Errorf("got %v", p)
	}
	w.restore(root, project)
	w.wants("project:billing", map[graph.Kind]string{identity.Tagged: ""})
	if p := w.props("project:billing"); p[identity.PropKeywords] != nil {
		t.Errorf("the words of a tag that it does not bear: %v", p)
	}
	w.wants("project:old", map[graph.Kind]string{identity.Tagged: "tag:g1 tag:g2"})
	if got := w.props("project:old").Strings(identity.PropKeywords); !slices.Equal(got, []string{"core", "go Go lang"}) {
		t.Errorf("keywords %q", got)
	}
}

func TestRestoredUnderAnotherSlug(t *testing.T) {
	w := richWorld(t)
	tombstone := w.delete(root, "project:billing")
	w.must(root, `{"op":"create","node":"project:new","data":{"organization":"acme","slug":"invoices"}}`)
	e := w.refused(root, graph.Exists, `{"op":"restore","node":"`+tombstone+`"}`)
	if e.Ref.String() != "project:new" || len(e.Fields) != 1 || e.Fields[0].Pointer != "/data/slug" || !strings.Contains(e.Msg, "invoices") {
		t.Errorf("got %v, %v", e, e.Fields)
	}
	w.refused(root, graph.Invalid, `{"op":"restore","node":"`+tombstone+`","data":{"slug":"No Good"}}`)
	w.refused(root, graph.Invalid, `{"op":"restore","node":"`+tombstone+`","data":{"slug":"good","name":"x"}}`)
	w.must(root, `{"op":"restore","node":"`+tombstone+`","data":{"slug":"bills"}}`)
	if p := w.props("project:billing"); p.String("slug") != "bills" {
		t.Errorf("got %v", p)
	}
	r, err := w.Resolve(t.Context(), identity.Project, node(t, "organization:acme"), "bills")
	if err != nil || r.ID != "billing" {
		t.Errorf("bills is %v (%v)", r, err)
	}
	// A slug of the past that somebody else has had since leads there.
	tombstone = w.delete(root, "project:billing")
	w.must(root, `{"op":"create","node":"project:b2","data":{"organization":"acme","slug":"billing"}}
{"op":"patch","node":"project:b2","data":{"slug":"b2"}}`)
	w.restore(root, tombstone)
	if got := w.props("project:billing").Strings(identity.PropFormerSlugs); len(got) != 0 {
		t.Errorf("former slugs %q", got)
	}
	// An id that is taken again.
	tombstone = w.delete(root, "project:b2")
	w.must(root, `{"op":"create","node":"project:b2","data":{"organization":"acme","slug":"b3"}}`)
	if e := w.refused(root, graph.Exists, `{"op":"restore","node":"`+tombstone+`"}`); e.Ref.String() != "project:b2" {
		t.Errorf("got %v", e)
	}
}

func TestEdgesWhoseOtherEndIsGoneStayAway(t *testing.T) {
	w := richWorld(t)
	tombstone := w.delete(root, "team:pay")
	w.must(root, `{"op":"delete","node":"user:dev"}
{"op":"delete","node":"project:ledger","cascade":true,"erase":true}
{"op":"patch","node":"third_party_service:s1","data":{"team":"bosses"}}`)
	o := w.restore(root, tombstone)
	_, _, _, lost, err := identity.Restored(o.Change, node(t, tombstone))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range lost {
		got = append(got, k.String())
	}
	slices.Sort(got)
	want := []string{
		"team:pay -CAN_ACCESS(heir)-> project:ledger", "third_party_service:s1 -MANAGED_BY-> team:pay", "user:dev -MEMBER_OF-> team:pay",
	}
	if !slices.Equal(got, want) {
		t.Errorf("lost %q, want %q", got, want)
	}
	w.wants("third_party_service:s1", map[graph.Kind]string{identity.ManagedBy: "team:bosses"})
	w.wants("project:billing", map[graph.Kind]string{graph.ChildOf: "organization:acme team:pay"})
}

func TestGrantsOfARoleThatIsGoneStayAway(t *testing.T) {
	w := richWorld(t)
	w.must(root, `{"op":"put_grant","subject":"user:eve","resource":"project:ledger","role":"viewer"}`)
	tombstone := w.delete(root, "project:ledger")
	w.must(root, `{"op":"patch","node":"role:heir","data":{"inherits":["own"]}}
{"op":"delete","node":"role:viewer","cascade":true}`)
	w.restore(root, tombstone)
	a, err := w.graph.Store().Ask(t.Context(), graph.Question{Name: graph.EdgesTo, Ref: node(t, "project:ledger"), Kind: graph.CanAccess, Limit: 10})
	if err != nil || len(a.Edges) != 1 || a.Edges[0].Key != "heir" {
		t.Errorf("the grants are %v (%v)", a.Edges, err)
	}
}

func TestRestoringReachesNoFurtherThanTheCaller(t *testing.T) {
	w := richWorld(t)
	alice := user("alice") // owns acme, and nothing of umbrella
	tombstone := w.delete(alice, "team:writers")
	if !w.allowed("user:alice", identity.RestoreTombstone, tombstone) || w.allowed("user:bob", identity.RestoreTombstone, tombstone) || w.allowed("user:eve", "tombstone:read", tombstone) {
		t.Error("the wrong people may restore")
	}
	w.refused(user("bob"), graph.Denied, `{"op":"restore","node":"`+tombstone+`"}`)
	o := w.restore(alice, tombstone)
	_, _, _, lost, err := identity.Restored(o.Change, node(t, tombstone))
	if err != nil || len(lost) != 2 {
		t.Errorf("lost %v (%v); want the grant on umbrella and the seat in the group", lost, err)
	}
	for _, k := range lost {
		if k.From.String() != "team:writers" || k.Kind != graph.CanAccess && k.Kind != graph.MemberOf {
			t.Errorf("lost %v", k)
		}
	}
}

func TestWhoDeletesMayRestore(t *testing.T) {
	w := richWorld(t)
	w.must(root, `{"op":"put_grant","subject":"user:eve","resource":"project:ledger","actions":["project:delete"]}`)
	tombstone := w.delete(user("eve"), "project:ledger")
	if !w.allowed("user:eve", identity.RestoreTombstone, tombstone) {
		t.Error("eve cannot undo what she did")
	}
	if n := w.relations(tombstone, graph.ChildOf); n != "organization:acme" {
		t.Errorf("the tombstone is below %s", n)
	}
	w.restore(user("eve"), tombstone)
	tombstone = w.delete(user("alice"), "project:ledger")
	a, err := w.graph.Store().Ask(t.Context(), graph.Question{Name: graph.EdgesTo, Ref: node(t, tombstone), Kind: graph.CanAccess, Limit: 10})
	if err != nil || len(a.Edges) != 0 {
		t.Errorf("who owns the organization got %v (%v)", a.Edges, err)
	}
}

func TestErasedIsGoneForGood(t *testing.T) {
	w := richWorld(t)
	w.must(root, `{"op":"delete","node":"project:ledger","cascade":true,"erase":true}`)
	tombstone := w.delete(root, "project:billing")
	w.must(root, `{"op":"put_grant","subject":"user:bob","resource":"organization:acme","actions":["tombstone:read","tombstone:restore"]}`)
	w.refused(user("bob"), graph.Denied, `{"op":"delete","node":"`+tombstone+`"}`)
	w.must(root, `{"op":"delete","node":"`+tombstone+`"}`)
	w.nothingOf(identity.Tombstone, identity.TombstonePart)
	w.Trash = -1
	w.must(root, `{"op":"delete","node":"organization:acme","cascade":true}`)
	w.nothingOf(identity.Tombstone, identity.TombstonePart)
	w.refused(root, graph.Invalid, `{"op":"put","node":"tombstone:mine","data":{}}`)
	w.refused(root, graph.Invalid, `{"op":"create","node":"tombstone_part:mine","data":{}}`)
	w.refused(root, graph.Invalid, `{"op":"restore","node":"project:old"}`)
}

func (w *world) nothingOf(types ...graph.Type) {
	w.t.Helper()
	for _, t := range types {
		a, err := w.graph.Store().Ask(context.Background(), graph.Question{Name: graph.NodesByType, Type: t, Limit: 10})
		if err != nil || len(a.Nodes) > 0 {
			w.t.Errorf("there is %v (%v)", a.Nodes, err)
		}
	}
}

func TestOneBatchDeletesWhatItMadeAndRestores(t *testing.T) {
	w := richWorld(t)
	o := w.must(root, `{"op":"create","node":"project:p","data":{"organization":"acme","slug":"p","team":"payments","tags":["go"]}}
{"op":"put_grant","subject":"user:eve","resource":"project:p","role":"viewer"}
{"op":"patch","node":"tag:g1","data":{"name":"Gopher"}}
{"op":"put_member","set":"team:pay","member":"user:eve"}
{"op":"delete","node":"tag:g1","cascade":true}
{"op":"delete","node":"project:p","cascade":true}
{"op":"delete","node":"team:pay","cascade":true}
{"op":"create","node":"project:p","data":{"organization":"acme","slug":"p"}}
{"op":"delete","node":"project:p"}`)
	tombstones := tombstonesOf(o.Change)
	if len(tombstones) != 4 {
		t.Fatalf("%d tombstones", len(tombstones))
	}
	slices.SortFunc(tombstones, func(a, b string) int { return strings.Compare(fmt.Sprintf("%20s", a), fmt.Sprintf("%20s", b)) })
	w.restore(root, tombstones[2])
	w.restore(root, tombstones[0])
	w.restore(root, tombstones[1])
	w.wants("project:p", map[graph.Kind]string{graph.ChildOf: "organization:acme team:pay", identity.Tagged: ""})
	if !w.allowed("user:eve", "folder:read", "project:p") {
		t.Error("eve's grant is gone")
	}
	if p := w.props("tag:g1"); p.String("name") != "Gopher" {
		t.Errorf("got %v", p)
	}
	if got := w.relations("user:eve", graph.MemberOf); got != "team:pay" {
		t.Errorf("eve is in %q", got)
	}
	w.refused(root, graph.Exists, `{"op":"restore","node":"`+tombstones[3]+`"}`)
	// Nobody holds anything yet on what the same batch restored.
	tombstone := w.delete(root, "project:p")
	w.refused(root, graph.Denied, `{"op":"restore","node":"`+tombstone+`"}
{"op":"patch","node":"project:p","data":{"name":"P"}}`)
	w.restore(root, tombstone)
}

// TestConcurrentDeletionsLoseNothing lets many write at what others delete and
// restore: whatever a deletion took away comes back with the restoration.
func TestConcurrentDeletionsLoseNothing(t *testing.T) {
	w := richWorld(t)
	ctx := context.Background()
	apply := func(text string) (identity.Outcome, error) {
		return w.Apply(ctx, identity.Caller{Subject: root}, parse(t, text), identity.ApplyOptions{})
	}
	stop := make(chan struct{})
	var writing, deleting sync.WaitGroup
	for i := range 3 {
		writing.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("w%d-%d", i, n)
				// Each of these fails while the team or the tag is away.
				_, _ = apply(`{"op":"put_member","set":"team:pay","member":"user:bob"}`)
				_, _ = apply(`{"op":"create","node":"project:` + name + `","data":{"organization":"acme","team":"payments","tags":["go"]}}`)
				_, _ = apply(`{"op":"put_grant","subject":"team:pay","resource":"project:` + name + `","role":"viewer"}`)
				_, _ = apply(`{"op":"delete_grant","subject":"team:pay","resource":"project:` + name + `","role":"viewer"}`)
			}
		})
	}
	for _, r := range []string{"team:pay", "tag:g1", "project:billing"} {
		deleting.Go(func() {
			for range 8 {
				o, err := apply(`{"op":"delete","node":"` + r + `","cascade":true}`)
				if err != nil {
					if k := graph.KindOf(err); k != graph.Stale {
						t.Errorf("%s: %v", r, err)
					}
					continue
				}
				tombstone := w.buried(o)
				if n := len(deleted(o.Change)); int64(n) != tombstone.Props.Int(identity.PropEdges) {
					t.Errorf("%s: %d edges went, %d were packed", r, n, tombstone.Props.Int(identity.PropEdges))
				}
				var twice sync.WaitGroup
				var back, failed int
				var mu sync.Mutex
				for range 2 {
					twice.Go(func() {
						_, err := apply(`{"op":"restore","node":"` + tombstone.Ref.String() + `"}`)
						for err != nil && graph.KindOf(err) == graph.Stale {
							_, err = apply(`{"op":"restore","node":"` + tombstone.Ref.String() + `"}`)
						}
						mu.Lock()
						defer mu.Unlock()
						if back++; err != nil {
							back--
							if failed++; graph.KindOf(err) != graph.NotFound {
								t.Errorf("%s: %v", r, err)
							}
						}
					})
				}
				twice.Wait()
				if back != 1 || failed != 1 {
					t.Errorf("%s came back %d times", r, back)
				}
			}
		})
	}
	deleting.Wait()
	close(stop)
	writing.Wait()
	w.nothingOf(identity.Tombstone, identity.TombstonePart)
}

// tombstonesOf returns the tombstones that a change made.
func tombstonesOf(ch *graph.Change) (out []string) {
	for _, e := range ch.Entries {
		if e.Node != nil && e.Node.After != nil && e.Node.After.Ref.Type == identity.Tombstone {
			out = append(out, e.Node.After.Ref.String())
		}
	}
	return out
}

func deleted(ch *graph.Change) (out []graph.EdgeKey) {
	for _, e := range ch.Entries {
		if e.Edge != nil && e.Edge.After == nil {
			out = append(out, e.Edge.Before.EdgeKey)
		}
	}
	return out
}

// fill gives the organization big many projects with what projects have.
func (w *world) fill(projects int) {
	w.t.Helper()
	w.must(root, `{"op":"create","node":"organization:big","data":{}}
{"op":"create","node":"team:bt","data":{"organization":"big","slug":"t"}}
{"op":"create","node":"tag:bg","data":{"organization":"big","slug":"go"}}
{"op":"create","node":"project_type:bp","data":{"organization":"big","slug":"api"}}
{"op":"create","node":"environment:be","data":{"organization":"big","slug":"prod"}}`)
	var muts []identity.Mutation
	for i := range projects {
		data, err := json.Marshal(map[string]any{
			"organization": "big", "slug": fmt.Sprintf("p%d", i), "name": fmt.Sprintf("Project %d", i), "description": fmt.Sprintf("What project number %d is for", i),
			"team": "t", "tags": []string{"go"}, "types": []string{"api"}, "environments": map[string]any{"prod": map[string]string{"url": fmt.Sprintf("https://p%d.example.com", i)}},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		muts = append(muts, identity.Mutation{Op: identity.OpCreate, Node: graph.Ref{Type: identity.Project, ID: fmt.Sprintf("p%d", i)}, Data: data})
		if len(muts) == 5000 || i == projects-1 {
			if _, err := w.Apply(context.Background(), identity.Caller{Subject: root}, muts, identity.ApplyOptions{}); err != nil {
				w.t.Fatal(err)
			}
			muts = nil
		}
	}
}

func TestAnOrganizationOfAThousandProjectsComesBack(t *testing.T) {
	w := newWorld(t)
	w.fill(1000)
	before := w.export()
	n := w.buried(w.must(root, `{"op":"delete","node":"organization:big","cascade":true}`))
	if n.Props.Int(identity.PropNodes) != 1005 {
		t.Errorf("%d nodes are packed", n.Props.Int(identity.PropNodes))
	}
	w.restore(root, n.Ref.String())
	w.same("the organization", w.export(), before)
}

// act is something that may happen to the drawn world; it may be refused.
var act = rapid.Custom(func(t *rapid.T) string {
	pick := func(list string) string { return rapid.SampledFrom(strings.Fields(list)).Draw(t, "one") }
	node := func() string {
		return pick("project:p0 project:p1 project:p2 team:t0 team:t1 tag:g0 tag:g1 environment:e0 third_party_service:s0 application:a0 folder:f0 folder:f1 folder:f2 organization:acme organization:umbrella role:r0 role:r1")
	}
	who := func() string {
		return pick("user:alice user:bob user:eve team:t0 team:t1 group:everybody organization:umbrella")
	}
	org := pick("acme acme acme umbrella")
	switch rapid.IntRange(0, 13).Draw(t, "act") {
	case 10:
		return "upload " + pick("u0 u1 u2 u3") + " " + pick("user:alice project:p0 project:p1 team:t0 folder:f0 organization:acme organization:umbrella") + " " + pick("b0 b1 b2") + " " + pick("picture plain")
	case 11, 12:
		return fmt.Sprintf(`{"op":"patch","node":"%s","data":{"icon":"%s"}}`, pick("project:p0 project:p1 project:billing team:t0 environment:e0 third_party_service:s0 organization:acme organization:umbrella"), pick("upload:u0 upload:u1 upload:u2 upload:u3 rocket"))
	case 13:
		return fmt.Sprintf(`{"op":"delete","node":"upload:%s","cascade":true}`, pick("u0 u1 u2 u3"))
	case 0:
		return fmt.Sprintf(`{"op":"put","node":"%s","data":{"organization":"%s","slug":"%s"}}`, pick("team:t0 team:t1 tag:g0 tag:g1 environment:e0 third_party_service:s0"), org, pick("a b c"))
	case 1:
		return fmt.Sprintf(`{"op":"put","node":"folder:f%s","data":{"parents":["%s","%s"]}}`, pick("0 1 2"), pick("organization:acme folder:f0 folder:f1"), pick("organization:acme organization:umbrella folder:f2"))
	case 2:
		return fmt.Sprintf(`{"op":"put_member","set":"%s","member":"%s"}`, pick("team:t0 team:t1 group:everybody organization:acme"), who())
	case 3:
		return fmt.Sprintf(`{"op":"put_grant","subject":"%s","resource":"%s","role":"%s"}`, who(), node(), pick("viewer owner r0 r1 own"))
	case 4:
		return fmt.Sprintf(`{"op":"put","node":"role:r%s","data":{"organization":"%s","permissions":["folder:read"],"inherits":["%s"]}}`, pick("0 1"), org, pick("viewer own r0"))
	case 5:
		return fmt.Sprintf(`{"op":"put","node":"application:a0","data":{"service":"%s","slug":"%s"}}`, pick("s0 s1"), pick("a b"))
	case 6:
		return fmt.Sprintf(`{"op":"patch","node":"%s","data":{"slug":"%s","name":"%s"}}`, node(), pick("a b c d e"), pick("x y"))
	}
	return fmt.Sprintf(`{"op":"ensure","node":"project:p%s","data":{"organization":"%s","slug":"%s","team":"%s","tags":["%s"],"depends_on":["%s"],"environments":{"%s":{"url":"x"}},"services":{"%s":{}}}}`,
		pick("0 1 2"), org, pick("a b c p q"), pick("t0 t1 pay"), pick("g0 g1"), pick("p0 p1 p2 ledger"), pick("e0 e1"), pick("s0 s1"))
})

// story is what happens, and what is deleted in the end.
var story = rapid.Custom(func(t *rapid.T) (s struct{ acts, victims []string }) {
	s.acts = rapid.SliceOfN(act, 0, 25).Draw(t, "acts")
	s.victims = rapid.SliceOfN(rapid.SampledFrom(strings.Fields("project:p0 project:p1 project:billing team:t0 team:t1 team:pay tag:g0 tag:g1 environment:e0 third_party_service:s0 third_party_service:s1 application:a0 organization:acme organization:umbrella")), 1, 3).Draw(t, "victims")
	return s
})

// TestDeletingAndRestoringChangesNothing draws worlds and what is deleted: what
// is restored last in, first out, leaves everything as it was.
func TestDeletingAndRestoringChangesNothing(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		w := richWorld(t)
		rapid.Check(t, func(rt *rapid.T) { w.deleteAndRestore(story.Draw(rt, "story")) })
	})
	t.Run("neo4j", func(t *testing.T) {
		address := os.Getenv("TRELLIS_TEST_NEO4J_URL")
		if address == "" {
			t.Skip("TRELLIS_TEST_NEO4J_URL is not set: nothing on Neo4j was tested (the database it names is emptied)")
		}
		w := newWorldOn(t, neo4jStore(t, address))
		w.must(root, strings.ReplaceAll(rich, `,"client_secret":"hush"`, ""))
		for seed := range 15 {
			w.deleteAndRestore(story.Example(seed))
		}
	})
}

func (w *world) deleteAndRestore(s struct{ acts, victims []string }) {
	w.t.Helper()
	for _, a := range s.acts {
		if f := strings.Fields(a); f[0] == "upload" {
			file := w.file("u.png", f[4] == "picture")
			file.Blob, file.BlobAt = w.blob(f[3])
			_, _ = w.do(root, storing(f[1], f[2], file))
			continue
		}
		_, _ = w.apply(root, a)
	}
	var before [][]string
	var tombstones []string
	for _, v := range s.victims {
		if w.index.View().Exists(node(w.t, v)) {
			before = append(before, w.export())
			tombstones = append(tombstones, w.delete(root, v))
		}
	}
	for i, tombstone := range slices.Backward(tombstones) {
		w.restore(root, tombstone)
		w.same(fmt.Sprintf("%s after %s", s.victims, strings.Join(s.acts, "\n")), w.export(), before[i])
	}
}

func neo4jStore(t testing.TB, address string) graph.Store {
	t.Helper()
	neo4jtest.Wipe(t, address)
	s, err := neo4jgraph.Open(address, neo4jgraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
