package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"trellis/api"
	"trellis/graph"
)

func TestAnAPIKeyLivesUntilItIsRevoked(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	a := w.ok("nobody", "POST", v1+"/api-keys", `{"name":"laptop"}`)
	id, token := a.json()["id"].(string), a.json()["token"].(string)
	if !strings.HasPrefix(token, "tk_"+id+"_") || a.status != 201 || a.header.Get("Location") != v1+"/api-keys/"+id {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	w.tokens["k"] = token
	works := func(want bool) {
		t.Helper()
		if got := w.do("k", "GET", v1+"/me", "").status == 200; got != want {
			t.Errorf("the key works: %v", got)
		}
	}
	works(true)
	read := w.ok("k", "GET", v1+"/api-keys/"+id, "")
	if strings.Contains(string(read.body), "token") || strings.Contains(string(read.body), "hash") {
		t.Errorf("%s", read.body)
	}
	if a := w.do("k", "GET", v1+"/api-keys/"+id, "", "If-None-Match", read.header.Get("ETag")); a.status != 304 {
		t.Errorf("If-None-Match: %d", a.status)
	}
	list := w.ok("nobody", "GET", v1+"/api-keys?owner=user:nobody&limit=1", "")
	if !strings.Contains(string(list.body), "next_cursor") {
		t.Errorf("%s", list.body)
	}
	w.ok("nobody", "GET", v1+"/api-keys?owner=user:nobody&limit=1&cursor="+list.json()["next_cursor"].(string), "")
	if all := w.ok("nobody", "GET", v1+"/api-keys", "").json()["items"].([]any); len(all) != 2 {
		t.Errorf("%v", all)
	}
	patched := w.ok("nobody", "PATCH", v1+"/api-keys/"+id, `{"name":"phone","expires_at":"2099-01-01T00:00:00Z"}`, "If-Match", read.header.Get("ETag"), "Content-Type", "application/merge-patch+json")
	if m := patched.json(); m["name"] != "phone" || m["expires_at"] != "2099-01-01T00:00:00Z" {
		t.Errorf("%s", patched.body)
	}
	if a := w.do("nobody", "PATCH", v1+"/api-keys/"+id, `{"name":"x"}`, "If-Match", read.header.Get("ETag")); a.status != 412 {
		t.Errorf("stale: %d %s", a.status, a.body)
	}
	if m := w.ok("nobody", "PATCH", v1+"/api-keys/"+id, `{"expires_at":null}`).json(); m["expires_at"] != nil || m["name"] != "phone" {
		t.Errorf("%v", m)
	}
	w.tokens["new"] = w.ok("nobody", "POST", v1+"/api-keys/"+id+"/rotate", "").json()["token"].(string)
	works(false)
	w.tokens["k"] = w.tokens["new"]
	works(true)
	if m := w.ok("nobody", "DELETE", v1+"/api-keys/"+id, "").json(); m["deleted"].(map[string]any)["nodes"] != 1.0 {
		t.Errorf("%v", m)
	}
	works(false)
}

func TestAKeyIsWorthAsMuchAsItsOwner(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	expiring := w.ok("nobody", "POST", v1+"/api-keys", `{"name":"x","expires_at":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`).json()["token"].(string)
	w.tokens["expiring"], w.tokens["unknown"] = expiring, strings.Repeat("x", 40)
	want := w.do("unknown", "GET", v1+"/me", "", "X-Request-Id", "r")
	refused := func(why, as string) {
		t.Helper()
		a := w.do(as, "GET", v1+"/me", "", "X-Request-Id", "r")
		if a.status != 401 || string(a.body) != string(want.body) || a.header.Get("WWW-Authenticate") != want.header.Get("WWW-Authenticate") {
			t.Errorf("%s: %d %s, want %s", why, a.status, a.body, want.body)
		}
	}
	now := time.Now()
	w.ok("expiring", "GET", v1+"/me", "")
	w.clock = func() time.Time { return now.Add(2 * time.Hour) }
	refused("expired", "expiring")
	w.clock = time.Now
	w.ok("root", "PATCH", v1+"/users/nobody", `{"status":"suspended"}`)
	refused("owner suspended", "nobody")
	w.ok("root", "PATCH", v1+"/users/nobody", `{"status":"active"}`)
	w.ok("nobody", "GET", v1+"/me", "")
	w.ok("root", "DELETE", v1+"/users/nobody?cascade=true", "")
	refused("owner deleted", "nobody")
	w.ok("root", "PUT", v1+"/users/nobody", `{}`)
	refused("another owner of the same id", "nobody")
	w.ok("root", "PATCH", v1+"/service-accounts/bootstrap", `{"status":"suspended"}`)
	refused("bootstrap suspended", "root")
}

func TestTheStoreHoldsNoSecret(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	a, err := w.graph.Store().Ask(context.Background(), graph.Question{Name: graph.NodesByType, Type: "api_key", Limit: 100})
	must(t, err)
	if len(a.Nodes) == 0 {
		t.Fatal("no keys")
	}
	for _, n := range a.Nodes {
		for name, v := range n.Props {
			if s, ok := v.(string); ok && strings.Contains(s, w.tokens["nobody"][20:]) {
				t.Errorf("property %s holds the secret", name)
			}
		}
	}
}
