package api_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/webp"

	"trellis/api"
	"trellis/graph"
)

var asPNG = []string{"Content-Type", "image/png"}

func TestWhatHasNoPictureGetsOneOfItsOwn(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	seen := map[string]string{}
	for _, path := range []string{"/users/acme-owner/avatar", "/users/other-owner/avatar", "/service-accounts/bootstrap/avatar", "/organizations/acme/icon", "/organizations/other/icon", "/organizations/acme/teams/core/icon", "/organizations/acme/projects/ledger/icon", "/organizations/acme/projects/billing/icon"} {
		a := w.ok("root", "GET", v1+path, "")
		if other := seen[string(a.body)]; other != "" {
			t.Errorf("%s and %s look the same", path, other)
		}
		seen[string(a.body)] = path
		for _, size := range []int{256, 128, 64, 32} {
			sized := v1 + path + fmt.Sprint("?size=", size)
			b := w.ok("root", "GET", sized, "")
			m, err := webp.Decode(bytes.NewReader(b.body))
			if must(t, err); m.Bounds().Dx() != size || m.Bounds().Dy() != size || b.header.Get("Content-Type") != "image/webp" {
				t.Errorf("%s: %v", sized, m.Bounds())
			}
			if size == 256 && !bytes.Equal(a.body, b.body) {
				t.Errorf("%s is not what comes without a size", sized)
			}
			if c := w.do("root", "GET", sized, "", "If-None-Match", b.header.Get("ETag")); c.status != 304 || len(c.body) > 0 {
				t.Errorf("%s again: %d", sized, c.status)
			}
		}
	}
	before := w.ok("root", "GET", v1+"/users/acme-owner/avatar", "")
	w.restart()
	if a := w.ok("nobody", "GET", v1+"/users/nobody/avatar", ""); seen[string(a.body)] != "" {
		t.Error("nobody looks like somebody")
	}
	if a := w.ok("root", "GET", v1+"/users/acme-owner/avatar", ""); !bytes.Equal(a.body, before.body) {
		t.Error("after a restart it is another one")
	}
}

func TestAReplacedPictureGoesWithTheLastNodeThatHasIt(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue().tidying()
	icon := v1 + "/organizations/acme/icon"
	first := w.ok("acme-owner", "PUT", icon, picture(t, 500, 500, 1), asPNG...).json()["id"].(string)
	if o := w.ok("acme-owner", "GET", v1+"/organizations/acme", "").json(); o["icon"] != "upload:"+first {
		t.Errorf("icon %v", o["icon"])
	}
	a := w.ok("acme-editor", "GET", icon+"?size=64", "") // who reads the node sees its picture, without upload:read
	if m, err := webp.Decode(bytes.NewReader(a.body)); err != nil || m.Bounds().Dx() != 64 {
		t.Errorf("%v %v", m, err)
	}
	// A team has it as well: then it stays when the organization gets another one.
	w.ok("acme-owner", "PATCH", v1+"/organizations/acme/teams/core", `{"icon":"upload:`+first+`"}`)
	second := w.ok("acme-owner", "PUT", icon, picture(t, 50, 50, 2), asPNG...).json()["id"].(string)
	w.ok("acme-owner", "GET", v1+"/uploads/"+first+"/meta", "")
	if b := w.ok("acme-owner", "GET", v1+"/organizations/acme/teams/core/icon?size=64", ""); !bytes.Equal(a.body, b.body) {
		t.Error("the team has another picture")
	}
	if b := w.ok("acme-owner", "GET", icon, ""); bytes.Equal(a.body, b.body) || b.header.Get("ETag") == a.header.Get("ETag") {
		t.Error("the organization has the old one")
	}
	// It cannot be deleted while it is a picture, unless that is wanted.
	w.run([]scenario{{"acme-owner", "DELETE", v1 + "/uploads/" + second, "", 409, "in-use", nil}})
	w.ok("acme-owner", "DELETE", v1+"/organizations/acme/teams/core/icon", "")
	w.run([]scenario{{"acme-owner", "GET", v1 + "/uploads/" + first + "/meta", "", 404, "not-found", nil}})
	w.soon("one picture alone", func() bool { return len(w.objects()) == 2 })
	w.ok("acme-owner", "DELETE", v1+"/uploads/"+second+"?cascade=true", "")
	if o := w.ok("acme-owner", "GET", v1+"/organizations/acme", "").json(); o["icon"] != nil && o["icon"] != "" {
		t.Errorf("icon %v", o["icon"])
	}
	w.soon("an empty directory", func() bool { return len(w.objects()) == 0 })
	// What was not sent as a picture stays when it is one no more.
	plain := w.sent("acme-owner", "?parent=organization:acme", "p.png", picture(t, 9, 9, 1))
	w.ok("acme-owner", "PATCH", v1+"/organizations/acme", `{"icon":"upload:`+plain+`"}`)
	w.ok("acme-owner", "DELETE", icon, "")
	w.ok("acme-owner", "DELETE", icon, "") // again changes nothing
	w.ok("acme-owner", "GET", v1+"/uploads/"+plain+"/meta", "")
	// Icons that are names, as they were before there were files, are no uploads.
	w.ok("acme-owner", "PATCH", v1+"/organizations/acme", `{"icon":"building"}`)
	w.ok("acme-owner", "PUT", icon, drawing, "Content-Type", "image/svg+xml")
	b := w.ok("acme-editor", "GET", icon+"?size=32", "")
	if string(b.body) != drawing || b.header.Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(b.header.Get("Content-Security-Policy"), "sandbox") || b.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v %s", b.header, b.body)
	}
}

func TestWhoMayChangeAPicture(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	logo := picture(t, 20, 20, 1)
	w.ok("root", "PUT", v1+"/roles/clerk", `{"name":"Clerk","permissions":["user:read","user:update","service_account:read"]}`)
	w.user("clerk")
	w.grant("user:clerk", "clerk", "platform:root")
	project := w.ok("root", "GET", v1+"/organizations/acme/projects/ledger", "").json()["id"].(string)
	archived := v1 + "/organizations/acme/projects/console"
	w.ok("root", "PUT", archived+"/icon", logo, asPNG...)
	w.ok("root", "POST", archived+"/archive", "")
	acme := w.ok("root", "GET", v1+"/organizations/acme", "").header.Get("ETag")
	stale := append(slices.Clone(asPNG), "If-Match", `"1"`)
	head := w.head()
	list := []scenario{
		{"dev", "PUT", v1 + "/users/acme-owner/avatar", logo, 404, "not-found", asPNG},
		{"dev", "DELETE", v1 + "/users/acme-owner/avatar", "", 404, "not-found", nil},
		{"dev", "GET", v1 + "/users/acme-owner/avatar", "", 404, "not-found", nil},
		{"nobody", "GET", v1 + "/organizations/acme/icon", "", 404, "not-found", nil},
		{"clerk", "GET", v1 + "/users/acme-owner/avatar", "", 200, "WEBP", nil},
		{"clerk", "PUT", v1 + "/users/acme-owner/avatar", logo, 403, "forbidden", asPNG},
		{"clerk", "DELETE", v1 + "/users/acme-owner/avatar", "", 403, "forbidden", nil},
		{"clerk", "PUT", v1 + "/service-accounts/bootstrap/avatar", logo, 403, "forbidden", asPNG},
		{"nobody", "PUT", v1 + "/projects/" + project + "/icon", logo, 404, "not-found", asPNG},
		{"nobody", "PUT", v1 + "/service-accounts/bootstrap/avatar", logo, 404, "not-found", asPNG},
		{"acme-editor", "PUT", v1 + "/organizations/acme/icon", logo, 403, "forbidden", asPNG},
		{"acme-editor", "DELETE", v1 + "/organizations/acme/icon", "", 403, "forbidden", nil},
		{"root", "PUT", v1 + "/users/ghost/avatar", logo, 404, "not-found", asPNG},
		{"root", "PUT", v1 + "/projects/billing/icon", logo, 404, "not-found", asPNG}, // not by its slug
		{"root", "PUT", archived + "/icon", logo, 409, "archived", asPNG},
		{"root", "DELETE", archived + "/icon", "", 409, "archived", nil},
		{"root", "PUT", v1 + "/organizations/acme/icon", logo, 412, "stale", stale},
		{"root", "DELETE", v1 + "/organizations/acme/icon", "", 412, "stale", []string{"If-Match", `"1"`}},
		{"root", "PUT", v1 + "/organizations/acme/icon", document(1), 415, "file-type", []string{"Content-Type", "application/pdf"}},
		{"root", "PUT", v1 + "/organizations/acme/icon", "<html>", 415, "file-type", []string{"Content-Type", "image/png"}},
		{"root", "PUT", v1 + "/organizations/acme/icon?parent=user:nobody", logo, 422, "invalid", asPNG},
		{"root", "GET", v1 + "/organizations/acme/icon?size=33", "", 422, "invalid", nil},
		{"", "GET", v1 + "/organizations/acme/icon", "", 401, "unauthenticated", nil},
	}
	w.run(list)
	body, contentType := form(t, part{"parent", "", "", "user:nobody"}, part{"file", "a.png", "", logo})
	w.run([]scenario{{"root", "PUT", v1 + "/organizations/acme/icon", body, 422, "invalid", []string{"Content-Type", contentType}}})
	// Making an upload that is refused leaves a blob that nothing leads to at most.
	if n := len(ids(w.ok("root", "GET", v1+"/uploads", ""))); n != 1 {
		t.Errorf("%d uploads, head %d, was %d", n, w.head(), head)
	}
	w.run([]scenario{
		{"dev", "PUT", v1 + "/users/dev/avatar", logo, 201, `"belongs_to":"user:dev"`, asPNG},
		{"dev", "PUT", v1 + "/organizations/acme/projects/ledger/icon", logo, 201, `"belongs_to":"project:` + project, asPNG},
		{"dev", "GET", v1 + "/projects/" + project + "/icon", "", 200, "WEBP", nil},
		{"root", "PUT", v1 + "/organizations/acme/icon", logo, 201, "picture", append(slices.Clone(asPNG), "If-Match", acme)},
		{"dev", "DELETE", v1 + "/users/dev/avatar", "", 200, `"deleted"`, nil},
	})
}

// TestAPictureThatMayNotBeReadIsNotThere: naming an upload as an icon would show
// it to whoever may read the node.
func TestAPictureThatMayNotBeReadIsNotThere(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	id := w.sent("other-owner", "?parent=organization:other", "secret.png", picture(t, 20, 20, 1))
	ask := func(id string) [2]answer {
		return [2]answer{
			w.do("acme-owner", "PATCH", v1+"/organizations/acme", `{"icon":"upload:`+id+`"}`, "X-Request-Id", "same"),
			w.do("acme-owner", "POST", v1+"/batch", `{"mutations":[{"op":"patch","node":"team:acme-core","data":{"icon":"upload:`+id+`"}}]}`, "X-Request-Id", "same"),
		}
	}
	hidden := ask(id)
	w.erase("other")
	if found, err := w.graph.Store().Nodes(t.Context(), []graph.Ref{{Type: "upload", ID: id}}); err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	for i, missing := range ask(id) {
		if hidden[i].status != 422 || missing.status != 422 || !bytes.Equal(hidden[i].body, missing.body) || !bytes.Contains(missing.body, []byte("/icon")) {
			t.Errorf("hidden %d %s\nmissing %d %s", hidden[i].status, hidden[i].body, missing.status, missing.body)
		}
	}
	for _, c := range []struct{ name, body string }{{"a.pdf", document(1)}} {
		id := w.sent("acme-owner", "", c.name, c.body)
		w.run([]scenario{{"acme-owner", "PATCH", v1 + "/organizations/acme", `{"icon":"upload:` + id + `"}`, 422, "invalid", nil}})
	}
	pending := w.ok("acme-owner", "POST", v1+"/uploads/presign", announcement("l.png", "image/png", "x", "")).json()["id"].(string)
	w.run([]scenario{{"acme-owner", "PATCH", v1 + "/organizations/acme", `{"icon":"upload:` + pending + `"}`, 422, "invalid", nil}})
}
