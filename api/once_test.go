package api_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/api"
	"trellis/graph"
)

func TestARepeatedRequestIsCarriedOutOnce(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	for i, r := range []struct{ path, body string }{
		{"/users", `{"name":"Twin"}`},
		{"/organizations/acme/teams", `{"name":"Twins"}`},
		{"/resources/repo", `{"parents":["organization:acme"],"attributes":{"b":1,"a":2}}`},
		{"/resource-types", `{"id":"twin","parents":["organization"]}`},
		{"/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"editor"}`},
		{"/grants", `{"subject":"user:acme-editor","resource":"organization:acme","role":"editor"}`},
		{"/api-keys", `{"name":"k"}`},
		{"/batch", `{"mutations":[{"op":"create","node":"group:t","data":{"name":"T"}},{"op":"put_member","set":"group:t","member":"user:nobody"}]}`},
	} {
		key := fmt.Sprintf("key %d", i)
		first := w.ok("root", "POST", v1+r.path, r.body, "Idempotency-Key", key)
		head := w.head()
		// The world moves on; the answer does not.
		w.ok("root", "PATCH", v1+"/users/nobody", fmt.Sprintf(`{"name":"%d"}`, i))
		again := w.do("root", "POST", v1+r.path, r.body, "Idempotency-Key", key)
		if again.status != first.status || !bytes.Equal(again.body, first.body) || again.header.Get("ETag") != first.header.Get("ETag") ||
			again.header.Get("Location") != first.header.Get("Location") || again.header.Get("Trellis-Revision") != first.header.Get("Trellis-Revision") {
			t.Errorf("%s:\n first %d %s %v\n again %d %s %v", r.path, first.status, first.body, first.header, again.status, again.body, again.header)
		}
		if again.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s: Idempotent-Replayed %q, then %q", r.path, first.header.Get("Idempotent-Replayed"), again.header.Get("Idempotent-Replayed"))
		}
		if w.head() != head+1 {
			t.Errorf("%s: the repetition wrote something", r.path)
		}
		if a := w.do("root", "POST", v1+r.path, r.body+" ", "Idempotency-Key", key); a.status != 422 || a.problem() != "idempotency-mismatch" {
			t.Errorf("%s: another body with the same key: %d %s", r.path, a.status, a.body)
		}
	}
}

func TestRotatingAgainUnderTheSameKeyGivesTheSameSecret(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	id := w.ok("nobody", "POST", v1+"/api-keys", `{"name":"k"}`).json()["id"].(string)
	first := w.ok("nobody", "POST", v1+"/api-keys/"+id+"/rotate", "", "Idempotency-Key", "r")
	again := w.ok("nobody", "POST", v1+"/api-keys/"+id+"/rotate", "", "Idempotency-Key", "r")
	if !bytes.Equal(first.body, again.body) {
		t.Errorf("%s, then %s", first.body, again.body)
	}
	// The key of one caller is nothing to another.
	if a := w.do("acme-owner", "POST", v1+"/api-keys/"+id+"/rotate", "", "Idempotency-Key", "r"); a.status != 404 {
		t.Errorf("another caller: %d", a.status)
	}
	// The secret is nowhere in the store in clear.
	secret := first.json()["token"].(string)[20:]
	found, err := w.graph.Store().Ask(context.Background(), graph.Question{Name: graph.NodesByType, Type: "idempotency_key", Limit: 100})
	must(t, err)
	for _, n := range found.Nodes {
		for _, v := range n.Props {
			if s, ok := v.(string); ok && strings.Contains(s, secret) {
				t.Error("the record holds the secret")
			}
		}
	}
}

func TestOfRequestsAtTheSameMomentOneWins(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	answers := make([]answer, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = w.do("root", "POST", v1+"/groups", `{"name":"One"}`, "Idempotency-Key", "one") })
	}
	wg.Wait()
	replayed := 0
	for _, a := range answers {
		if a.status != 201 || !bytes.Equal(a.body, answers[0].body) {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a.header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	if replayed != len(answers)-1 {
		t.Errorf("%d of %d were replayed", replayed, len(answers))
	}
}

func TestAnIdempotencyKeyIsForgottenAfterItsTime(t *testing.T) {
	w := newWorld(t, api.Options{IdempotencyTTL: time.Hour}).sample()
	create := func() string {
		return w.ok("root", "POST", v1+"/groups", `{"name":"`+time.Now().String()[:10]+`"}`, "Idempotency-Key", "old").json()["id"].(string)
	}
	first := create()
	later := time.Now().Add(2 * time.Hour)
	ctx := context.Background()
	if n, err := api.SweepIdempotency(ctx, w.graph, time.Now()); n != 0 || err != nil {
		t.Errorf("swept %d too early: %v", n, err)
	}
	w.ok("root", "DELETE", v1+"/groups/"+first, "")
	w.clock = func() time.Time { return later }
	if create() == first {
		t.Error("an expired key was replayed")
	}
	if n, err := api.SweepIdempotency(ctx, w.graph, later.Add(2*time.Hour)); n != 1 || err != nil {
		t.Errorf("swept %d: %v", n, err)
	}
}

func TestARefusedRequestLeavesItsIdempotencyKeyFree(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	if a := w.do("root", "POST", v1+"/users", `{"email":"late@example.com","nick":"x"}`, "Idempotency-Key", "f"); a.status != 422 {
		t.Fatal(a.status)
	}
	w.ok("root", "POST", v1+"/users", `{"email":"late@example.com"}`, "Idempotency-Key", "f")
}
