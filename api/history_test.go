package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"trellis/api"
)

// history reads all pages of a history, as words.
func (w *world) history(as, path string, limit int) []string {
	w.t.Helper()
	var out []string
	cursor := ""
	for {
		a := w.ok(as, "GET", fmt.Sprintf("/api/v1%s/history?limit=%d%s", path, limit, cursor), "").json()
		for _, i := range a["items"].([]any) {
			e := i.(map[string]any)
			s := fmt.Sprintf("%v %v", e["action"], e["actor"])
			for _, f := range e["changes"].([]any) {
				f := f.(map[string]any)
				s += fmt.Sprintf(" %v:%v>%v", f["field"], f["before"], f["after"])
			}
			for _, x := range e["edges"].([]any) {
				x := x.(map[string]any)
				s += fmt.Sprintf(" %v %v %v", x["effect"], x["relation"], x["node"])
			}
			out = append(out, fmt.Sprintf("%v %s", e["revision"], s))
		}
		next, ok := a["next_cursor"].(string)
		if !ok {
			return out
		}
		cursor = "&cursor=" + next
	}
}

// change does things to the team and returns what its history must say, newest first.
func (w *world) change() []string {
	w.t.Helper()
	const team = "/api/v1/organizations/acme/teams/core"
	w.ok("acme-owner", "PATCH", team, `{"name":"Heart"}`)
	w.ok("acme-owner", "PUT", team+"/members/user:nobody", "")
	w.ok("root", "PATCH", team, `{"slug":"heart","description":"beats"}`)
	w.ok("root", "PATCH", "/api/v1/organizations/acme", `{"name":"ACME"}`)
	w.grant("team:acme-core", "editor", "organization:acme")
	w.ok("root", "DELETE", "/api/v1/organizations/acme/teams/heart/members/user:nobody", "")
	return []string{
		"member:remove service_account:bootstrap deleted member user:nobody",
		"grant:create service_account:bootstrap created grant organization:acme",
		"team:update service_account:bootstrap description:>beats former_slugs:[]>[core] slug:core>heart",
		"member:add user:acme-owner created member user:nobody",
		"team:update user:acme-owner name:Core>Heart",
	}
}

func unnumbered(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		_, out[i], _ = strings.Cut(s, " ")
	}
	return out
}

func TestHistoryHasNeitherGapsNorRepeats(t *testing.T) {
	for name, a := range map[string]*auditing{"without a log": nil, "follower stopped": {idle: true}, "follower running": {}} {
		t.Run(name, func(t *testing.T) {
			w := newHistoryWorld(t, a)
			want := w.change()
			if a != nil && !a.idle {
				w.flush()
			}
			all := w.history("root", "/organizations/acme/teams/core", 100)
			if got := unnumbered(all)[:len(want)]; !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if last := unnumbered(all)[len(all)-1]; !strings.HasPrefix(last, "team:create ") {
				t.Errorf("it begins with %q", last)
			}
			for _, limit := range []int{1, 2, 3} {
				if got := w.history("root", "/organizations/acme/teams/core", limit); !slices.Equal(got, all) {
					t.Errorf("%d at a time: %q\nnot %q", limit, got, all)
				}
			}
			// More is done while pages are read: it is not on the pages that follow.
			first := w.ok("root", "GET", "/api/v1/organizations/acme/teams/core/history?limit=2", "").json()
			w.ok("root", "PATCH", "/api/v1/organizations/acme/teams/heart", `{"description":"stops"}`)
			if a != nil && !a.idle {
				w.flush()
			}
			rest := w.ok("root", "GET", "/api/v1/organizations/acme/teams/core/history?limit=2&cursor="+first["next_cursor"].(string), "").json()
			e := rest["items"].([]any)[0].(map[string]any)
			if got := fmt.Sprintf("%v ", e["revision"]); !strings.HasPrefix(all[2], got) {
				t.Errorf("the second page begins with %v, want %s", e, all[2])
			}
			if got := w.history("root", "/organizations/acme/teams/core", 100); !slices.Equal(got[1:], all) {
				t.Errorf("then: %q", got)
			}
		})
	}
}

func newHistoryWorld(t *testing.T, a *auditing) *world {
	t.Helper()
	if a == nil {
		return newWorld(t, api.Options{}).sample()
	}
	return audited(t, api.Options{}, a).sample()
}

func TestHistoryShowsOnlyWhatTheCallerMayRead(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).sample()
	w.change()
	w.flush()
	w.ok("root", "PUT", "/api/v1/grants", `{"subject":"user:nobody","actions":["team:read"],"resource":"team:acme-core"}`)
	for _, s := range unnumbered(w.history("nobody", "/organizations/acme/teams/core", 100)) {
		if strings.Contains(s, "grant:") && !strings.HasSuffix(s, " user:nobody") || strings.Contains(s, "organization:acme ") {
			t.Errorf("nobody is told %q", s)
		}
	}
	// user:nobody reads itself, so its own membership is no secret to it.
	got := strings.Join(unnumbered(w.history("nobody", "/organizations/acme/teams/core", 100)), "\n")
	if !strings.Contains(got, "created member user:nobody") || !strings.Contains(got, "name:Core>Heart") {
		t.Errorf("got %s", got)
	}
	for _, who := range []string{"other-owner", "other-editor"} {
		if a := w.do(who, "GET", "/api/v1/organizations/acme/teams/core/history", ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", who, a.status, a.body)
		}
	}
	body := string(w.ok("nobody", "GET", "/api/v1/organizations/acme/teams/core/history", "").body)
	if strings.Contains(body, `"agent"`) || strings.Contains(body, `"address"`) {
		t.Errorf("nobody reads %s", body)
	}
	if body := string(w.ok("acme-owner", "GET", "/api/v1/organizations/acme/teams/core/history", "").body); !strings.Contains(body, `"agent"`) {
		t.Errorf("the owner, who may read the audit log, gets %s", body)
	}
	for _, path := range []string{"/users/nobody", "/groups/g", "/organizations/acme", "/roles/editor", "/resources/repo/acme%2Fmain", "/resource-types/repo"} {
		if path == "/groups/g" {
			w.ok("root", "PUT", "/api/v1/groups/g", `{}`)
		}
		if h := w.history("root", path, 100); len(h) == 0 {
			t.Errorf("%s has no history", path)
		}
	}
}

func TestConflictsTellWhatHappenedMeanwhile(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).sample()
	const team = "/api/v1/organizations/acme/teams/acme-core"
	old := w.ok("root", "GET", team, "").header.Get("ETag")
	w.change()
	w.flush()
	now := w.ok("root", "GET", team, "").header.Get("ETag")
	for _, away := range []bool{false, true} {
		w.auditing.sink.away.Store(away)
		a := w.do("acme-owner", "PATCH", team, `{"name":"x"}`, "If-Match", old)
		if a.status != http.StatusPreconditionFailed || a.json()["current"] != now {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if away {
			continue
		}
		m := a.json()["meanwhile"].([]any)
		first, last := m[0].(map[string]any), m[len(m)-1].(map[string]any)
		if len(m) != 5 || fmt.Sprint(first["fields"]) != "[member]" || fmt.Sprint(last["fields"]) != "[name]" || last["actor"] != "user:acme-owner" {
			t.Errorf("got %s", a.body)
		}
	}
	if a := w.do("nobody", "PATCH", team, `{"name":"x"}`, "If-Match", old); strings.Contains(string(a.body), "meanwhile") || strings.Contains(string(a.body), "current") {
		t.Errorf("nobody is told %s", a.body)
	}
}
