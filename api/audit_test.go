package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/api"
	"trellis/audit"
	"trellis/auth"
	"trellis/graph"
)

// as sends a request with an id of its own and returns that id.
func (w *world) as(who, method, path, body string, header ...string) (string, answer) {
	w.t.Helper()
	id := fmt.Sprintf("r%d", w.requests.Add(1))
	return id, w.do(who, method, path, body, append(header, "X-Request-Id", id)...)
}

func (w *world) oneEvent(id string) *audit.Event {
	w.t.Helper()
	w.flush()
	list := w.records(audit.Events, "request_id", id)
	if len(list) != 1 {
		w.t.Fatalf("request %s left %d events: %v", id, len(list), w.left(id))
	}
	return list[0].(*audit.Event)
}

func TestARefusedWriteSaysWhoWhatAndWhy(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{})
	w.twoTenants()
	for _, c := range []struct {
		as, method, path, body string
		status                 int
		want                   audit.Event
	}{
		{"acme-editor", "DELETE", "/organizations/acme", "", 403, audit.Event{Action: "organization:delete", Outcome: audit.Denied, Node: "organization:acme", Within: []string{"organization:acme"}, Reason: "organization:delete on organization:acme is needed"}},
		{"acme-editor", "PUT", "/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"editor"}`, 403, audit.Event{Action: "access:grant", Outcome: audit.Denied, Node: "repo:acme/main", Within: []string{"repo:acme/main", "organization:acme"}, Reason: "access:grant on repo:acme/main is needed"}},
		// The answer says that there is nothing; the log knows better.
		{"acme-owner", "PATCH", "/resources/repo/other%2Fmain", `{"name":"mine"}`, 404, audit.Event{Action: "repo:update", Outcome: audit.Denied, Node: "repo:other/main", Within: []string{"repo:other/main", "organization:other"}, Reason: "repo:update on repo:other/main is needed"}},
		{"acme-owner", "DELETE", "/organizations/other/teams/core", "", 404, audit.Event{Action: "team:delete", Outcome: audit.Denied, Node: "team:other-core", Within: []string{"team:other-core", "organization:other"}, Reason: "team:delete on team:other-core is needed"}},
		{"acme-owner", "GET", "/users/other-editor@example.com", "", 404, audit.Event{Action: "user:read", Outcome: audit.Denied, Node: "user:other-editor", Within: []string{"user:other-editor"}, Reason: "user:read on user:other-editor is needed"}},
		{"acme-owner", "POST", "/access/check", `{"subject":"user:other-editor","permission":"repo:read","resource":"repo:other/main"}`, 404, audit.Event{Action: "access:inspect", Outcome: audit.Denied, Node: "repo:other/main", Within: []string{"repo:other/main", "organization:other"}, Reason: "access:inspect on repo:other/main is needed"}},
		{"acme-owner", "GET", "/audit/requests", "", 403, audit.Event{Action: "audit:read", Outcome: audit.Denied, Node: "platform:root", Reason: "audit:read on platform:root is needed"}},
		// What is not there is recorded like what is hidden, for whom it must look the same.
		{"acme-owner", "PATCH", "/resources/repo/none", `{"name":"mine"}`, 404, audit.Event{Action: "repo:update", Outcome: audit.Failure, Node: "repo:none", Within: []string{"repo:none"}, Reason: "there is no such node"}},
		{"acme-owner", "GET", "/users/ghost@example.com", "", 404, audit.Event{Action: "user:read", Outcome: audit.Failure, Node: "user:ghost@example.com", Reason: "there is no such node"}},
		{"acme-owner", "POST", "/access/check", `{"subject":"user:nobody","permission":"repo:read","resource":"repo:none"}`, 404, audit.Event{Action: "access:inspect", Outcome: audit.Failure, Node: "repo:none", Within: []string{"repo:none"}, Reason: "there is no such node"}},
	} {
		id, a := w.as(c.as, c.method, v1+c.path, c.body)
		if a.status != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.status, a.body)
			continue
		}
		got := w.oneEvent(id)
		if got.Actor != "user:"+c.as || got.Key == "" || got.RequestID != id || got.Address != "127.0.0.1" || got.Agent == "" || time.Since(got.Time) > time.Minute {
			t.Errorf("%s %s: %+v", c.method, c.path, got)
		}
		if got.Action != c.want.Action || got.Outcome != c.want.Outcome || got.Node != c.want.Node || got.Reason != c.want.Reason || !slices.Equal(sorted(got.Within), sorted(c.want.Within)) {
			t.Errorf("%s %s left\n %+v, want\n %+v", c.method, c.path, got, c.want)
		}
	}
	// To whom nothing is hidden, nothing was refused.
	id, _ := w.as("root", "GET", v1+"/users/ghost", "")
	if w.flush(); len(w.left(id)) > 0 {
		t.Errorf("root: %v", w.left(id))
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func TestAChangeIsRecordedWithWhereItCameFrom(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).sample()
	id, _ := w.as("acme-owner", "PATCH", v1+"/organizations/acme", `{"name":"New"}`, "User-Agent", "terraform/1.2")
	e := w.oneEvent(id)
	key := strings.Split(w.tokens["acme-owner"], "_")[1]
	if e.Actor != "user:acme-owner" || e.Key != key || e.Action != "organization:update" || e.Outcome != audit.Success || e.Node != "organization:acme" || e.Address != "127.0.0.1" || e.Agent != "terraform/1.2" || e.Revision == 0 ||
		!strings.Contains(e.Before, `"acme"`) || !strings.Contains(e.After, `"New"`) {
		t.Errorf("%+v", e)
	}
}

func TestACredentialThatIsNotValidIsRecorded(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).sample()
	key := strings.Split(w.tokens["nobody"], "_")[1]
	forged := "tk_" + key + "_" + strings.Repeat("a", 52)
	w.tokens["forged"], w.tokens["junk"] = forged, "some-password-of-mine"
	for as, node := range map[string]string{"forged": "api_key:" + key, "junk": ""} {
		id, a := w.as(as, "GET", v1+"/me", "")
		e := w.oneEvent(id)
		if a.status != 401 || e.Action != "credential:use" || e.Outcome != audit.Denied || e.Node != node || e.Actor != "" || e.Key != "" || e.Reason != auth.ErrCredential.Error() || (node != "") != slices.Contains(e.Within, "user:nobody") {
			t.Errorf("%s: %d %+v", as, a.status, e)
		}
	}
	// Who says nothing was not refused anything.
	if id, _ := w.as("", "GET", v1+"/me", ""); len(w.records(audit.Events, "request_id", id)) > 0 {
		t.Error("a request without a credential is an event")
	}
	if all := w.everything(); strings.Contains(all, strings.Repeat("a", 52)) || strings.Contains(all, "some-password") {
		t.Error("what was tried is in the log")
	}
}

func TestDecisionsAreRecorded(t *testing.T) {
	w := audited(t, api.Options{DecisionRate: 1}, &auditing{}).sample()
	id, _ := w.as("acme-owner", "POST", v1+"/access/checks", `{"checks":[{"subject":"user:acme-editor","permission":"repo:push","resource":"repo:acme/main"},{"permission":"repo:push","resource":"repo:other/main"}]}`)
	w.flush()
	list := w.records(audit.Decisions, "request_id", id)
	if len(list) != 2 {
		t.Fatalf("%v", w.left(id))
	}
	for _, r := range list {
		d := r.(*audit.Decision)
		if d.Actor != "user:acme-owner" || d.Key == "" || d.Question != "check" || d.Permission != "repo:push" || d.Weight != 1 || d.Address == "" || d.Revision != int64(w.head()) {
			t.Errorf("%+v", d)
		}
		switch d.Resource {
		case "repo:acme/main":
			if d.Answer != audit.Allowed || d.Subject != "user:acme-editor" || d.Path != "user:acme-editor has role editor on organization:acme, and repo:acme/main is below organization:acme, and role editor grants repo:push" || !slices.Equal(d.Within, []string{"repo:acme/main", "organization:acme"}) {
				t.Errorf("%+v", d)
			}
		case "repo:other/main":
			if d.Answer != audit.Refused || d.Subject != "user:acme-owner" || d.Path != "" || !slices.Equal(d.Within, []string{"repo:other/main", "organization:other"}) {
				t.Errorf("%+v", d)
			}
		default:
			t.Errorf("%+v", d)
		}
	}
	// A path that has changed is told anew, also if it was remembered.
	ask := func() string {
		id, a := w.as("acme-owner", "POST", v1+"/access/check", `{"subject":"user:nobody","permission":"repo:push","resource":"repo:acme/main"}`)
		w.flush()
		for _, r := range w.records(audit.Decisions, "request_id", id) {
			return r.(*audit.Decision).Path
		}
		t.Fatalf("nothing of %s", a.body)
		return ""
	}
	w.grant("user:nobody", "editor", "organization:acme")
	if p := ask(); !strings.Contains(p, "role editor on organization:acme") {
		t.Error(p)
	}
	w.grant("user:nobody", "editor", "repo:acme/main")
	w.ok("root", "DELETE", v1+"/grants?subject=user:nobody&role=editor&resource=organization:acme", "")
	for range 2 {
		if p := ask(); !strings.Contains(p, "role editor on repo:acme/main") {
			t.Error(p)
		}
	}
	// What was not answered was not decided.
	id, _ = w.as("acme-owner", "POST", v1+"/access/checks", `{"checks":[{"permission":"repo:push","resource":"repo:other/main"},{"permission":"none:none","resource":"repo:acme/main"}]}`)
	if w.flush(); len(w.left(id)) > 0 {
		t.Errorf("%v", w.left(id))
	}
}

func TestAnExpiredPathIsNotTold(t *testing.T) {
	w := audited(t, api.Options{DecisionRate: 1}, &auditing{}).sample()
	now := time.Now()
	w.ok("root", "PUT", v1+"/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"editor","expires_at":"`+now.Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
	w.grant("user:nobody", "editor", "organization:acme")
	paths := map[string]bool{}
	for _, clock := range []time.Time{now, now.Add(2 * time.Hour)} {
		w.clock = func() time.Time { return clock }
		id, _ := w.as("nobody", "POST", v1+"/access/check", `{"permission":"repo:push","resource":"repo:acme/main"}`)
		w.flush()
		paths[w.records(audit.Decisions, "request_id", id)[0].(*audit.Decision).Path] = true
	}
	if len(paths) != 2 {
		t.Errorf("%v", paths)
	}
}

func TestOnlyAShareOfAllowedDecisionsIsRecorded(t *testing.T) {
	w := audited(t, api.Options{DecisionRate: 0.1}, &auditing{}).sample()
	for range 10 {
		yes := strings.Repeat(`{"permission":"repo:push","resource":"repo:acme/main"},`, 20)
		no := strings.Repeat(`,{"permission":"repo:push","resource":"repo:other/main"}`, 5)
		w.ok("acme-owner", "POST", v1+"/access/checks", `{"checks":[`+strings.TrimSuffix(yes, ",")+no+`]}`)
	}
	w.flush()
	var weights int64
	yes := w.records(audit.Decisions, "answer", audit.Allowed)
	for _, r := range yes {
		weights += r.(*audit.Decision).Weight
	}
	if no := w.records(audit.Decisions, "answer", audit.Refused); len(yes) != 20 || weights != 200 || len(no) != 50 {
		t.Errorf("%d allowed for %d, %d refused", len(yes), weights, len(no))
	}
}

// fill fills the spool until it drops what need not be recorded.
func (a *auditing) fill(t *testing.T) {
	t.Helper()
	e := func() audit.Record { return &audit.Event{Reason: strings.Repeat("x", 4000)} }
	// What is on its way to the disk may count for a moment, and then no more.
	waitFor(t, "a full spool", func() bool {
		for a.log.Append(context.Background(), audit.Must, e(), e(), e(), e()) == nil {
			continue
		}
		return a.log.State().Bytes >= a.limit
	})
}

func TestAFullSpoolRefusesWhatMustBeRecorded(t *testing.T) {
	a := &auditing{limit: 16 << 20, idle: true}
	w := audited(t, api.Options{DecisionRate: 1}, a).sample()
	a.fill(t)
	dropped := a.log.State().Dropped
	head := w.head()
	const denied = `{"permission":"repo:push","resource":"repo:other/main"}`
	for _, s := range []scenario{
		{"acme-owner", "POST", v1 + "/access/check", `{"permission":"repo:push","resource":"repo:acme/main"}`, 200, `"allowed":true`, nil},
		{"acme-owner", "POST", v1 + "/access/check", denied, 503, "audit-full", nil},
		{"acme-owner", "POST", v1 + "/access/checks", `{"checks":[{"permission":"repo:push","resource":"repo:acme/main"},` + denied + `]}`, 503, "audit-full", nil},
		{"acme-owner", "POST", v1 + "/access/explain", denied, 503, "audit-full", nil},
		{"acme-owner", "GET", v1 + "/organizations/acme", "", 200, `"acme"`, nil},
		{"acme-owner", "GET", v1 + "/access/resources?permission=repo:read&type=repo", "", 200, "repo:acme/main", nil},
		// Hidden or missing: not even now can they be told apart.
		{"acme-owner", "GET", v1 + "/organizations/other", "", 503, "audit-full", nil},
		{"acme-owner", "GET", v1 + "/organizations/none", "", 503, "audit-full", nil},
		{"acme-editor", "DELETE", v1 + "/organizations/acme", "", 503, "audit-full", nil},
		{"root", "GET", v1 + "/audit/events", "", 503, "audit-full", nil},
		{"root", "GET", v1 + "/audit/events", "", 503, "audit-full", []string{"Accept", "text/csv"}},
		{"", "GET", v1 + "/me", "", 401, "unauthenticated", nil},
	} {
		w.run([]scenario{s})
	}
	if w.head() != head {
		t.Error("something was written")
	}
	// Changes come from the feed, which is not full.
	w.ok("acme-owner", "PATCH", v1+"/organizations/acme", `{"name":"still"}`)
	if b := w.do("acme-owner", "POST", v1+"/access/check", denied); b.header.Get("Retry-After") == "" || strings.Contains(string(b.body), "allowed") {
		t.Errorf("%v %s", b.header, b.body)
	}
	if now := a.log.State().Dropped; now < dropped+10 {
		t.Errorf("%d records were dropped, before it were %d", now, dropped)
	}
	ready := w.ok("", "GET", "/readyz", "").json()
	if s := ready["checks"].(map[string]any)["audit"].(string); ready["status"] != "ok" || !strings.Contains(s, "the spool is full") {
		t.Errorf("%v", ready)
	}
	// Once there is room again, all is well.
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.log.Ship(ctx, a.sink) }()
	defer func() { cancel(); <-done }()
	must(t, a.log.Flush(ctx))
	waitFor(t, "room in the spool", func() bool { return w.do("acme-owner", "POST", v1+"/access/check", denied).status == 200 })
	w.run([]scenario{{"acme-editor", "DELETE", v1 + "/organizations/acme", "", 403, "forbidden", nil}})
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("there never was %s", what)
}

func TestASinkThatIsAwayHoldsNothingUp(t *testing.T) {
	a := &auditing{}
	w := audited(t, api.Options{DecisionRate: 1}, a).sample()
	w.flush()
	a.sink.away.Store(true)
	const denied = `{"permission":"repo:push","resource":"repo:other/main"}`
	w.run([]scenario{
		{"acme-owner", "POST", v1 + "/access/check", denied, 200, `"allowed":false`, []string{"X-Request-Id", "while-away"}},
		{"acme-owner", "PATCH", v1 + "/organizations/acme", `{"name":"new"}`, 200, `"new"`, []string{"X-Request-Id", "while-away"}},
		{"acme-editor", "DELETE", v1 + "/organizations/acme", "", 403, "forbidden", []string{"X-Request-Id", "while-away"}},
		{"root", "GET", v1 + "/api-keys", "", 200, `"items"`, nil},
		{"root", "GET", v1 + "/audit/events", "", 503, "unavailable", nil},
		{"root", "GET", v1 + "/audit/requests", "", 503, "unavailable", []string{"Accept", "application/x-ndjson"}},
		{"root", "GET", v1 + "/audit/requests", "", 503, "unavailable", []string{"Accept", "application/vnd.apache.parquet"}},
		{"root", "GET", v1 + "/audit/stats?stream=events", "", 503, "unavailable", nil},
	})
	if b := w.do("root", "GET", v1+"/audit/verification", ""); b.status != 503 || b.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", b.status, b.body)
	}
	waitFor(t, "a word about it in /readyz", func() bool {
		h := w.ok("", "GET", "/readyz", "").json()
		return h["status"] == "ok" && strings.Contains(h["checks"].(map[string]any)["audit"].(string), "not delivered")
	})
	metrics := string(w.ok("", "GET", "/metrics", "").body)
	for _, m := range []string{`trellis_audit_backlog{source="spool"}`, `trellis_audit_backlog{source="changes"}`, `trellis_audit_oldest_seconds{source="spool"}`, `trellis_audit_spool_bytes{source="spool"}`, `trellis_audit_spool_limit_bytes{source="spool"} 1.07`,
		`trellis_audit_dropped_total{source="spool"} 0`, `trellis_audit_refused_total{source="spool"} 0`, `trellis_audit_damaged_total{source="spool"} 0`} {
		if !strings.Contains(metrics, m) {
			t.Errorf("no %s", m)
		}
	}
	if strings.Contains(metrics, `trellis_audit_backlog{source="spool"} 0`) || strings.Contains(metrics, `trellis_audit_backlog{source="changes"} 0`) {
		t.Error("there is no backlog")
	}
	a.sink.away.Store(false)
	w.flush()
	want := []string{"check denied user:acme-owner repo:push repo:other/main", "organization:delete denied organization:acme", "organization:update success organization:acme"}
	if got := w.left("while-away"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	waitFor(t, "health", func() bool {
		return w.ok("", "GET", "/readyz", "").json()["checks"].(map[string]any)["audit"] == "ok"
	})
}

func TestNothingSecretIsRecorded(t *testing.T) {
	a := &auditing{}
	w := audited(t, api.Options{DecisionRate: 1}, a).sample()
	for _, s := range everyRoute() {
		w.do(s.as, s.method, s.path, s.body, s.header...)
	}
	w.tokens["wrong"], w.tokens["half"] = "tk_"+strings.Repeat("b", 16)+"_"+strings.Repeat("c", 52), "Basic-credential-of-somebody"
	made := w.ok("acme-owner", "POST", v1+"/api-keys", `{"name":"k"}`, "Idempotency-Key", "idempotency-key-of-mine").json()
	w.tokens["made"] = made["token"].(string)
	w.tokens["rotated"] = w.ok("acme-owner", "POST", v1+"/api-keys/"+made["id"].(string)+"/rotate", "").json()["token"].(string)
	for _, as := range []string{"wrong", "half", "made", "rotated"} {
		w.do(as, "GET", v1+"/me", "")
		w.do(as, "GET", v1+"/users/secret", "", "Authorization", "Basic "+w.tokens[as])
	}
	keys, err := w.graph.Store().Ask(context.Background(), graph.Question{Name: graph.NodesByType, Type: "api_key", Limit: 1000})
	must(t, err)
	for _, n := range keys.Nodes {
		w.tokens["hash of "+n.Ref.ID] = n.Props.String("hash")
	}
	all := w.everything()
	if !strings.Contains(all, "user:acme-owner") || !strings.Contains(all, "api_key:rotate") && !strings.Contains(all, "api_key:update") {
		t.Fatal("nothing was recorded")
	}
	spool := ""
	must(t, filepath.WalkDir(a.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		spool += string(b)
		return err
	}))
	secrets := []string{"Authorization", "Bearer ", "idempotency-key-of-mine", strings.Repeat("s", 32)}
	for name, token := range w.tokens {
		if i := strings.LastIndexByte(token, '_'); i > 0 && strings.HasPrefix(token, "tk_") {
			token = token[i+1:] // the id is public
		}
		if token == "" {
			t.Errorf("no token of %s", name)
		}
		secrets = append(secrets, token)
	}
	for _, s := range secrets {
		if strings.Contains(all, s) || strings.Contains(spool, s) {
			t.Errorf("%q is recorded", s)
		}
	}
}

func TestAKeyTellsWhenItWasLastUsed(t *testing.T) {
	a := &auditing{}
	w := audited(t, api.Options{}, a).sample()
	made := w.ok("nobody", "POST", v1+"/api-keys", `{"name":"laptop"}`).json()
	id := made["id"].(string)
	w.tokens["laptop"] = made["token"].(string)
	lastUsed := func() string {
		t.Helper()
		one := w.ok("nobody", "GET", v1+"/api-keys/"+id, "").json()
		for _, list := range []string{"/api-keys", "/api-keys?owner=user:nobody"} {
			for _, k := range w.ok("nobody", "GET", v1+list, "").json()["items"].([]any) {
				if k := k.(map[string]any); k["id"] == id && k["last_used_at"] != one["last_used_at"] {
					t.Errorf("%s says %v, the key %v", list, k["last_used_at"], one["last_used_at"])
				}
			}
		}
		s, _ := one["last_used_at"].(string)
		return s
	}
	if s := lastUsed(); s != "" {
		t.Errorf("used %s before it was", s)
	}
	// At once, before anything was delivered; also if the use was refused something.
	now := time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC)
	w.clock = func() time.Time { return now }
	if a := w.do("laptop", "DELETE", v1+"/organizations/acme", ""); a.status != 404 {
		t.Errorf("%d", a.status)
	}
	w.clock = time.Now
	if s := lastUsed(); s != "2030-01-02T03:04:05.678Z" {
		t.Errorf("used %s", s)
	}
	a.sink.away.Store(true)
	if s := lastUsed(); s != "2030-01-02T03:04:05.678Z" {
		t.Errorf("without the sink: %s", s)
	}
	a.sink.away.Store(false)
	w.flush()
	// Another process knows it from the sink.
	w.restart()
	if s := lastUsed(); s != "2030-01-02T03:04:05.678Z" {
		t.Errorf("after a restart: %s", s)
	}
	a.sink.away.Store(true)
	if s := lastUsed(); s != "" {
		t.Errorf("after a restart without the sink: %s", s)
	}
	a.sink.away.Store(false)

	// What it did, to whom may know.
	if b := w.do("nobody", "GET", v1+"/api-keys/"+id+"/usage", ""); b.status != 403 {
		t.Errorf("%d %s", b.status, b.body)
	}
	w.grant("user:nobody", "auditor", "user:nobody")
	path := v1 + "/api-keys/" + id + "/usage?from=2030-01-02T00:00:00Z&to=2030-01-03T00:00:00Z&bucket=hour"
	var usage api.KeyUsage
	must(t, json.Unmarshal(w.ok("nobody", "GET", path+"&by=status", "").body, &usage))
	if usage.Key != id || usage.Requests != 1 || usage.Errors != 1 || usage.LastUsedAt == nil || len(usage.Items) != 1 || usage.Items[0].Value != "404" || usage.Items[0].Start.Hour() != 3 || usage.Bytes == 0 {
		t.Errorf("%+v", usage)
	}
	must(t, json.Unmarshal(w.ok("nobody", "GET", path+"&by=route", "").body, &usage))
	if len(usage.Items) != 1 || usage.Items[0].Value != v1+"/organizations/{org}" {
		t.Errorf("%+v", usage)
	}
	// The key of somebody else is not there.
	other := w.ok("other-owner", "POST", v1+"/api-keys", `{"name":"x"}`).json()["id"].(string)
	if b := w.do("nobody", "GET", v1+"/api-keys/"+other+"/usage", ""); b.status != 404 {
		t.Errorf("%d %s", b.status, b.body)
	}
}

func TestWithoutALogNothingIsRecorded(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	for _, path := range []string{"/audit/events", "/audit/stats?stream=events", "/audit/verification"} {
		if a := w.do("root", "GET", v1+path, ""); a.status != http.StatusNotFound || a.problem() != "no-route" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	w.ok("root", "GET", v1+"/api-keys", "")
	if h := string(w.ok("", "GET", "/readyz", "").body); strings.Contains(h, "audit") {
		t.Error(h)
	}
	if _, err := api.New(api.Deps{Audit: &audit.Log{}}, api.Options{}); err == nil {
		t.Error("a log without a sink is taken")
	}
}
