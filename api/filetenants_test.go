package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"trellis/api"
	"trellis/audit"
	"trellis/graph"
)

// filesOfOther fills the other organization with files, and returns what can be
// asked about them and their places: all of it is 404 for whoever may see none.
func (w *world) filesOfOther() (list []scenario) {
	w.t.Helper()
	logo := picture(w.t, 20, 20, 1)
	w.ok("root", "PUT", v1+"/service-accounts/other-bot", `{"slug":"other-bot","name":"Bot"}`)
	project := w.ok("root", "GET", v1+"/organizations/other/projects/billing", "").json()["id"].(string)
	file := w.sent("other-owner", "?parent=organization:other", "a.png", logo)
	below := w.sent("other-owner", "?parent=project:"+project, "b.svg", drawing)
	icon := w.ok("other-owner", "PUT", v1+"/organizations/other/icon", logo, asPNG...).json()["id"].(string)
	pending := w.ok("other-owner", "POST", v1+"/uploads/presign", announcement("c.png", "image/png", logo, "organization:other")).json()["id"].(string)
	add := func(method, path, body, contentType string, header ...string) {
		list = append(list, scenario{method: method, path: v1 + path, body: body, status: 404, want: "not-found", header: append(header, "Content-Type", contentType)})
	}
	for _, id := range []string{file, below, icon, pending} {
		for _, rest := range []string{"", "?disposition=stream", "/meta", "/thumbnail", "/thumbnail?size=64&disposition=stream"} {
			add("GET", "/uploads/"+id+rest, "", "")
			add("GET", "/uploads/"+id+rest, "", "", "If-None-Match", "*")
		}
		add("POST", "/uploads/"+id+"/complete", "", "")
		add("POST", "/uploads/"+id+"/complete", "", "", "Idempotency-Key", "k")
		add("DELETE", "/uploads/"+id, "", "")
		add("DELETE", "/uploads/"+id+"?cascade=true", "", "", "If-Match", `"1"`)
	}
	for _, node := range []string{
		"/users/other-editor/avatar", "/users/other-editor@example.com/avatar", "/service-accounts/other-bot/avatar", "/organizations/other/icon", "/organizations/other/teams/core/icon",
		"/organizations/other/projects/billing/icon", "/teams/other-core/icon", "/projects/" + project + "/icon",
	} {
		add("GET", node, "", "")
		add("GET", node+"?size=32", "", "")
		add("PUT", node, logo, "image/png")
		add("PUT", node, "<html>", "text/html")
		add("PUT", node, logo, "image/png", "If-Match", `"1"`)
		add("DELETE", node, "", "")
		add("DELETE", node, "", "", "If-Match", "*")
	}
	for _, parent := range []string{"organization:other", "team:other-core", "project:" + project, "user:other-editor", "service_account:other-bot", "repo:other/main"} {
		body, contentType := form(w.t, part{"file", "a.png", "", logo}, part{"parent", "", "", parent})
		add("POST", "/uploads", body, contentType)
		add("POST", "/uploads?parent="+parent, logo, "image/png")
		add("POST", "/uploads?parent="+parent, "<html>", "image/png")
		add("POST", "/uploads/presign", announcement("a.png", "image/png", logo, parent), "application/json")
		add("POST", "/uploads/presign", claim(organizationQuota+1, parent), "application/json")
	}
	add("GET", "/uploads?organization=other", "", "")
	add("GET", "/uploads?organization=other&limit=1&state=ready", "", "")
	return list
}

func TestFilesOfAnotherOrganizationAreNotThere(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).catalogue()
	list := w.filesOfOther()
	head, stored := w.head(), len(w.objects())
	callers := []string{"acme-owner", "nobody"}
	hidden := map[string]answer{}
	ask := func(as string, i int, id string) answer {
		s := &list[i]
		return w.do(as, s.method, s.path, s.body, append(s.header, "X-Request-Id", id)...)
	}
	for _, as := range callers {
		for i, s := range list {
			id := fmt.Sprint(as, "-", i)
			a := ask(as, i, id)
			if a.status != 404 || a.problem() != "not-found" {
				t.Errorf("%s %s %.60q as %s: %d %s", s.method, s.path, s.body, as, a.status, a.body)
			}
			hidden[id] = a
		}
		// Lists are short instead.
		for _, query := range []string{"", "?belongs_to=organization:other", "?created_by=user:other-owner", "?content_type=image/*"} {
			if got := ids(w.ok(as, "GET", v1+"/uploads"+query, "")); len(got) > 0 {
				t.Errorf("%s as %s: %v", query, as, got)
			}
		}
	}
	if w.head() != head || len(w.objects()) != stored {
		t.Errorf("something was written: head %d, was %d; %d objects, were %d", w.head(), head, len(w.objects()), stored)
	}
	w.flush()
	for i, s := range list {
		events := w.records(audit.Events, "request_id", fmt.Sprint("acme-owner-", i))
		if len(events) != 1 {
			t.Errorf("%s %s left %d events", s.method, s.path, len(events))
			continue
		}
		if e := events[0].(*audit.Event); e.Outcome == audit.Success || e.Actor != "user:acme-owner" || e.Node == "" || !strings.Contains(e.Action, ":") || e.Reason == "" {
			t.Errorf("%s %s: %+v", s.method, s.path, e)
		}
	}
	// Now nothing of it has ever been.
	w.erase("other")
	for _, r := range []graph.Ref{{Type: "user", ID: "other-editor"}, {Type: "service_account", ID: "other-bot"}} {
		_, err := w.graph.Write(context.Background(), graph.Batch{Actor: graph.Root, Steps: []graph.Step{graph.Delete(r)}})
		must(t, err)
	}
	for _, as := range callers {
		for i, s := range list {
			id := fmt.Sprint(as, "-", i)
			before, after := hidden[id], ask(as, i, id)
			if before.status != after.status || string(before.body) != string(after.body) {
				t.Errorf("%s %s as %s:\n hidden  %d %s\n missing %d %s", s.method, s.path, as, before.status, before.body, after.status, after.body)
			}
		}
	}
}

func TestWhatIsDoneWithFilesIsRecorded(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).catalogue().tidying()
	logo := picture(t, 30, 20, 1)
	var checks []func()
	// event and request look, at the end, at what a request left.
	event := func(id, action string, is func(*audit.Event) bool) {
		checks = append(checks, func() {
			for _, r := range w.records(audit.Events, "request_id", id) {
				if e := r.(*audit.Event); e.Action == action && is(e) {
					return
				}
			}
			t.Errorf("%s left no such %s: %v %+v", id, action, w.left(id), w.records(audit.Events, "request_id", id))
		})
	}
	request := func(id string, is func(*audit.Request) bool) {
		checks = append(checks, func() {
			if r := w.records(audit.Requests, "request_id", id); len(r) != 1 || !is(r[0].(*audit.Request)) {
				t.Errorf("%s left %+v", id, r)
			}
		})
	}
	id, made := w.as("acme-owner", "POST", v1+"/uploads?parent=team:acme-core&filename=logo.png", logo, "Content-Type", "image/png", "Idempotency-Key", "idempotency-key-of-mine")
	upload := "upload:" + made.json()["id"].(string)
	one := v1 + "/" + strings.Replace(upload, ":", "s/", 1)
	event(id, "upload:create", func(e *audit.Event) bool {
		return e.Actor == "user:acme-owner" && e.Key != "" && e.Node == upload && e.Outcome == audit.Success && e.Before == "" && strings.Contains(e.After, `"logo.png"`) && strings.Contains(e.After, `"belongs_to":"team:acme-core"`) &&
			fmt.Sprint(sorted(e.Within)) == fmt.Sprint(sorted([]string{upload, "team:acme-core", "organization:acme"}))
	})
	request(id, func(r *audit.Request) bool { return r.BytesIn == int64(len(logo)) && r.Route == v1+"/uploads" })
	id, _ = w.as("acme-owner", "GET", one+"?disposition=stream", "")
	request(id, func(r *audit.Request) bool { return r.BytesOut == int64(len(logo)) && r.Status == 200 })
	id, _ = w.as("acme-owner", "GET", one, "")
	request(id, func(r *audit.Request) bool { return r.BytesOut == 0 && r.Status == 307 })
	id, _ = w.as("acme-owner", "PATCH", v1+"/organizations/acme", `{"icon":"`+upload+`"}`)
	event(id, "organization:update", func(e *audit.Event) bool {
		return strings.Contains(e.After, upload) && !strings.Contains(e.Before, upload)
	})
	id, a := w.as("acme-owner", "PUT", v1+"/organizations/acme/icon", logo, asPNG...)
	icon := "upload:" + a.json()["id"].(string)
	event(id, "organization:update", func(e *audit.Event) bool {
		return e.Node == "organization:acme" && strings.Contains(e.After, icon) && strings.Contains(e.Before, upload)
	})
	id, _ = w.as("acme-owner", "DELETE", v1+"/organizations/acme/icon", "")
	event(id, "upload:delete", func(e *audit.Event) bool {
		return e.Node == icon && strings.Contains(e.Before, `"picture":true`) && e.After == ""
	})
	id, _ = w.as("dev", "DELETE", one, "")
	event(id, "upload:delete", func(e *audit.Event) bool {
		return e.Actor == "user:dev" && e.Outcome == audit.Denied && e.Node == upload && e.Reason == "upload:delete on "+upload+" is needed"
	})
	id, _ = w.as("acme-editor", "POST", v1+"/uploads?parent=organization:acme", logo, asPNG...)
	event(id, "upload:create", func(e *audit.Event) bool { return e.Outcome == audit.Denied && e.Node == "organization:acme" })
	request(id, func(r *audit.Request) bool { return r.BytesIn == int64(len(logo)) && r.Status == 403 })
	id, _ = w.as("acme-owner", "DELETE", one, "")
	event(id, "upload:delete", func(e *audit.Event) bool {
		return e.Outcome == audit.Success && strings.Contains(e.Before, `"logo.png"`)
	})
	// What is refused for the file's sake is in the requests.
	id, _ = w.as("acme-owner", "POST", v1+"/uploads", "<html>", "Content-Type", "image/png")
	request(id, func(r *audit.Request) bool { return r.BytesIn == 6 && r.Status == 415 })
	// Announced, sent and fetched by signed addresses.
	path, address, header := w.announce("acme-owner", announcement("late.png", "image/png", logo, ""))
	id, _ = w.as("", "PUT", address, logo, header...)
	request(id, func(r *audit.Request) bool {
		return r.BytesIn == int64(len(logo)) && r.Actor == "" && r.Route == v1+"/blobs/{key...}"
	})
	w.ok("acme-owner", "POST", path+"/complete", "")
	signed := w.do("acme-owner", "GET", path, "").header.Get("Location")
	w.ok("", "GET", signed, "")
	w.do("", "GET", signed+"0", "")
	w.ok("acme-owner", "DELETE", path, "")
	w.soon("an empty directory", func() bool { return len(w.objects()) == 0 })
	all := w.everything()
	for _, check := range checks {
		check()
	}
	secrets := []string{"signature=", "idempotency-key-of-mine", `"blob:`, "blobs/0", "arriving/", "STORED_AS", "condemned"}
	for _, s := range []string{address, signed} {
		secrets = append(secrets, s[strings.Index(s, "signature=")+10:][:64])
	}
	for _, s := range secrets {
		if at := strings.Index(all, s); at >= 0 {
			t.Errorf("%q is recorded: %s", s, all[max(0, at-300):min(len(all), at+300)])
		}
		if strings.Contains(w.logs.String(), s) {
			t.Errorf("%q is logged", s)
		}
	}
}
