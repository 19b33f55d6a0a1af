package api_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/image/webp"

	"trellis/api"
	"trellis/graph"
	"trellis/storage"
)

// tidying has what nothing needs removed, as a server does.
func (w *world) tidying() *world {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.uploads.Run(ctx) })
	w.t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// objects lists what is stored, in the order of keys.
func (w *world) objects() (keys []string) {
	w.t.Helper()
	list, err := w.uploads.Blobs().List(context.Background(), "", "", 1000)
	must(w.t, err)
	for _, o := range list {
		// Of whom a bucket is, is said in it.
		if k := string(o.Key); strings.HasPrefix(k, "blobs/") || strings.HasPrefix(k, "arriving/") {
			keys = append(keys, k)
		}
	}
	return keys
}

func (w *world) soon(what string, is func() bool) {
	w.t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("there never was %s; stored is %v", what, w.objects())
}

// ids are those of the items of a page.
func ids(a answer) (out []string) {
	a.t.Helper()
	for _, i := range a.json()["items"].([]any) {
		out = append(out, i.(map[string]any)["id"].(string))
	}
	return out
}

func TestAFileGoesInAndComesOut(t *testing.T) {
	onEngines(t, func(t *testing.T, store graph.Store) {
		w := worldOn(t, store, api.Options{}).sample().tidying()
		w.ok("root", "PUT", v1+"/service-accounts/robot", `{"slug":"robot","name":"Robot"}`)
		w.key("service_account", "robot")
		w.grant("service_account:robot", "developer", "organization:acme")
		photo := picture(t, 600, 400, 3)
		for i, c := range []struct {
			as, query, field, belongs string
			raw                       bool
		}{
			{"acme-owner", "", "", "user:acme-owner", false},
			{"acme-owner", "", "", "user:acme-owner", true},
			{"acme-owner", "", "organization:acme", "organization:acme", false},
			{"acme-owner", "?parent=repo:acme/main", "", "repo:acme/main", false},
			{"acme-owner", "?parent=team:acme-core&filename=photo.png", "", "team:acme-core", true},
			{"robot", "", "", "service_account:robot", false},
			{"robot", "?parent=organization:acme", "", "organization:acme", true},
		} {
			parts := []part{{"file", "photo.png", "image/png", photo}}
			if c.field != "" {
				parts = append(parts, part{name: "parent", body: c.field}) // also after the file
			}
			body, contentType := form(t, parts...)
			if c.raw {
				body, contentType = photo, "image/png"
			}
			a := w.do(c.as, "POST", v1+"/uploads"+c.query, body, "Content-Type", contentType)
			if a.status != 201 {
				t.Fatalf("%d: %d %s", i, a.status, a.body)
			}
			u := a.json()
			if u["belongs_to"] != c.belongs || u["state"] != "ready" || u["size"] != float64(len(photo)) || u["width"] != 600.0 || u["has_thumbnail"] != true || !strings.HasSuffix(fmt.Sprint(u["created_by"]), c.as) ||
				u["filename"] != "photo.png" && c.query+c.field != "" && !(c.raw && c.as == "robot") || (u["organization"] == "acme") == strings.HasSuffix(c.belongs, c.as) {
				t.Errorf("%d: %s", i, a.body)
			}
			id := u["id"].(string)
			if m := w.ok(c.as, "GET", a.header.Get("Location")+"/meta", ""); string(m.body) != string(a.body) || m.header.Get("ETag") != a.header.Get("ETag") {
				t.Errorf("%d: meta %s, made %s", i, m.body, a.body)
			}
			r := w.do(c.as, "GET", v1+"/uploads/"+id, "")
			got := w.do("", "GET", r.header.Get("Location"), "")
			if r.status != 307 || len(r.body) > 0 || got.status != 200 || string(got.body) != photo || got.header.Get("Content-Type") != "image/png" || !strings.HasPrefix(got.header.Get("Content-Disposition"), "inline; filename=") {
				t.Errorf("%d: %d, then %d %v", i, r.status, got.status, got.header)
			}
			w.ok(c.as, "DELETE", v1+"/uploads/"+id, "")
			if a := w.do(c.as, "GET", v1+"/uploads/"+id, ""); a.status != 404 {
				t.Errorf("%d: deleted, and %d", i, a.status)
			}
			w.soon("an empty directory", func() bool { return len(w.objects()) == 0 })
			if a := w.do("", "GET", r.header.Get("Location"), ""); a.status != 404 || a.problem() != "not-found" {
				t.Errorf("%d: the address of what was deleted: %d %s", i, a.status, a.body)
			}
		}
	})
}

func TestAFileIsServedInPartsAndOnlyIfItChanged(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	photo := picture(t, 300, 200, 1)
	id := w.sent("acme-owner", "", "p.png", photo)
	path := v1 + "/uploads/" + id + "?disposition=stream"
	whole := w.ok("acme-owner", "GET", path, "")
	tag := whole.header.Get("ETag")
	if string(whole.body) != photo || tag == "" || whole.header.Get("Content-Type") != "image/png" || whole.header.Get("Cache-Control") != "private, no-cache" || whole.header.Get("Content-Length") != fmt.Sprint(len(photo)) || whole.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%v", whole.header)
	}
	signed := w.do("acme-owner", "GET", v1+"/uploads/"+id, "").header.Get("Location")
	size := len(photo)
	for _, at := range []struct{ as, path string }{{"acme-owner", path}, {"", signed}} {
		for _, c := range []struct {
			header []string
			status int
			want   string
		}{
			{[]string{"Range", "bytes=0-9"}, 206, photo[:10]},
			{[]string{"Range", "bytes=100-"}, 206, photo[100:]},
			{[]string{"Range", "bytes=-7"}, 206, photo[size-7:]},
			{[]string{"Range", fmt.Sprintf("bytes=5-%d", size+99)}, 206, photo[5:]},
			{[]string{"Range", "bytes=3-5", "If-Range", tag}, 206, photo[3:6]},
			{[]string{"Range", "bytes=3-5", "If-Range", `"another"`}, 200, photo},
			{[]string{"Range", fmt.Sprintf("bytes=%d-", size)}, 416, ""},
			{[]string{"Range", "bytes=9-3"}, 416, ""},
			{[]string{"Range", "nonsense"}, 416, ""},
			{[]string{"If-None-Match", tag}, 304, ""},
			{[]string{"If-None-Match", `"another", W/` + tag}, 304, ""},
			{[]string{"If-None-Match", `"another"`}, 200, photo},
		} {
			a := w.do(at.as, "GET", at.path, "", c.header...)
			if a.status != c.status {
				t.Errorf("%q %.60s: %d %.300s", c.header, at.path, a.status, a.body)
			} else if a.status == 416 && (a.problem() != "range" || !strings.HasPrefix(a.header.Get("Content-Range"), "bytes */") && !strings.Contains(c.header[1], "nonsense") && !strings.Contains(c.header[1], "9-3")) {
				t.Errorf("%q %.60s: %v %s", c.header, at.path, a.header, a.body)
			} else if a.status != 416 && string(a.body) != c.want {
				t.Errorf("%q %.60s: %d bytes", c.header, at.path, len(a.body))
			}
		}
		if a := w.do(at.as, "GET", at.path, "", "Range", "bytes=0-1,4-5"); a.status != 206 || !strings.HasPrefix(a.header.Get("Content-Type"), "multipart/byteranges") || !bytes.Contains(a.body, []byte(photo[4:6])) {
			t.Errorf("two ranges: %d %v", a.status, a.header)
		}
	}
	// Whoever has it already need not be told where it is.
	if a := w.do("acme-owner", "GET", v1+"/uploads/"+id, "", "If-None-Match", tag); a.status != 304 || a.header.Get("Location") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

func TestThumbnailsComeInEverySize(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	id := w.sent("acme-owner", "", "p.png", picture(t, 600, 400, 1))
	small := w.sent("acme-owner", "", "s.png", picture(t, 40, 60, 1))
	for _, c := range []struct {
		id, size      string
		width, height int
	}{{id, "", 256, 171}, {id, "256", 256, 171}, {id, "128", 128, 85}, {id, "64", 64, 43}, {id, "32", 32, 21}, {small, "", 40, 60}, {small, "64", 40, 60}, {small, "32", 21, 32}} {
		path := v1 + "/uploads/" + c.id + "/thumbnail?disposition=stream"
		if c.size != "" {
			path += "&size=" + c.size
		}
		a := w.ok("acme-owner", "GET", path, "")
		m, err := webp.Decode(bytes.NewReader(a.body))
		if must(t, err); m.Bounds().Dx() != c.width || m.Bounds().Dy() < c.height-1 || m.Bounds().Dy() > c.height+1 || a.header.Get("Content-Type") != "image/webp" || !strings.Contains(a.header.Get("Content-Disposition"), ".webp") {
			t.Errorf("size %s: %v, %v", c.size, m.Bounds(), a.header)
		}
		r := w.do("acme-owner", "GET", strings.Replace(path, "disposition=stream", "disposition=redirect", 1), "")
		if b := w.do("", "GET", r.header.Get("Location"), ""); r.status != 307 || !bytes.Equal(b.body, a.body) {
			t.Errorf("size %s by its address: %d, %d", c.size, r.status, b.status)
		}
		if b := w.do("acme-owner", "GET", path, "", "If-None-Match", a.header.Get("ETag")); b.status != 304 {
			t.Errorf("size %s again: %d", c.size, b.status)
		}
	}
	for _, c := range []struct{ name, body string }{{"d.svg", drawing}, {"d.pdf", document(9)}} {
		u := w.send("acme-owner", "", c.name, c.body).json()
		if u["has_thumbnail"] != false || u["no_thumbnail"] == nil {
			t.Errorf("%v", u)
		}
		a := w.do("acme-owner", "GET", v1+"/uploads/"+u["id"].(string)+"/thumbnail", "")
		if a.status != 404 || a.problem() != "no-thumbnail" || a.json()["detail"] != u["no_thumbnail"] {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	if a := w.do("acme-owner", "GET", v1+"/uploads/"+id+"/thumbnail?size=33", ""); a.status != 422 {
		t.Errorf("%d", a.status)
	}
}

func TestUploadsAreListedForWhoMayReadThem(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	var all, three []string
	for i := range 12 {
		all = append(all, w.sent("acme-owner", "?parent=organization:acme", "a.png", picture(t, 8, 8, i)))
	}
	for i := range 3 {
		p := w.ok("root", "GET", v1+fmt.Sprintf("/organizations/acme/projects/small-%d", i), "").json()["id"].(string)
		id := w.sent("acme-owner", "?parent=project:"+p, "s.svg", strings.Replace(drawing, "9", fmt.Sprint(7+i), 1))
		all, three = append(all, id), append(three, id)
	}
	all = append(all, w.sent("other-owner", "?parent=organization:other", "o.pdf", document(1)), w.sent("nobody", "", "n.png", picture(t, 8, 8, 1)))
	pending := w.ok("acme-owner", "POST", v1+"/uploads/presign", announcement("late.gif", "image/gif", "GIF89a", "organization:acme")).json()["id"].(string)
	all = append(all, pending)
	list := func(as, query string) []string { t.Helper(); return ids(w.ok(as, "GET", v1+"/uploads"+query, "")) }
	for _, c := range []struct {
		as, query string
		want      []string
	}{
		{"root", "", all}, {"root", "?content_type=image/*", slices.Concat(all[:15], all[16:])}, {"root", "?content_type=image/svg%2Bxml", three}, {"root", "?content_type=application/pdf", all[15:16]},
		{"root", "?belongs_to=organization:acme", append(slices.Clone(all[:12]), pending)}, {"root", "?created_by=user:nobody", all[16:17]}, {"root", "?created_by=user:ghost", nil}, {"root", "?organization=other", all[15:16]},
		{"root", "?state=pending", []string{pending}}, {"root", "?state=ready", all[:17]}, {"root", "?state=ready&content_type=image/svg%2Bxml&organization=acme&created_by=user:acme-owner", three},
		{"acme-owner", "", append(slices.Clone(all[:15]), pending)}, {"acme-owner", "?created_by=user:nobody", nil},
		{"three", "", three}, {"three", "?content_type=image/*", three}, {"three", "?state=pending", nil}, {"three", "?belongs_to=organization:acme", nil},
		{"nobody", "", all[16:17]}, {"acme-editor", "", nil}, {"other-owner", "", all[15:16]},
	} {
		if got := list(c.as, c.query); !slices.Equal(got, c.want) {
			t.Errorf("%s as %s: %v, want %v", c.query, c.as, got, c.want)
		}
		// In pages of two it is the same.
		var got []string
		sep, cursor := "?", ""
		if c.query != "" {
			sep = "&"
		}
		for range 20 {
			page := w.ok(c.as, "GET", v1+"/uploads"+c.query+sep+"limit=2"+cursor, "")
			got = append(got, ids(page)...)
			next, more := page.json()["next_cursor"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + next
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s as %s in pages: %v, want %v", c.query, c.as, got, c.want)
		}
	}
	w.run([]scenario{
		{"nobody", "GET", v1 + "/uploads?organization=acme", "", 404, "not-found", nil},
		{"root", "GET", v1 + "/uploads?belongs_to=acme", "", 422, "invalid", nil},
		{"root", "GET", v1 + "/uploads?state=lost", "", 422, "invalid", nil},
	})
}

func TestWhoMayNotSeeAFileIsToldThatThereIsNone(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	logo := picture(t, 20, 20, 1)
	id := w.sent("acme-owner", "?parent=organization:acme", "logo.png", logo)
	w.ok("root", "PUT", v1+"/roles/viewer", `{"name":"V","permissions":["upload:read"]}`)
	w.user("viewer")
	w.grant("user:viewer", "viewer", "upload:"+id)
	one := v1 + "/uploads/" + id
	png := []string{"Content-Type", "image/png"}
	w.run([]scenario{
		// dev may read and add, not delete; viewer may read; acme-editor sees the organization, not its files.
		{"dev", "GET", one + "/meta", "", 200, "logo.png", nil},
		{"dev", "DELETE", one, "", 403, "forbidden", nil},
		{"dev", "POST", v1 + "/uploads?parent=organization:acme", logo, 201, id[:4], png},
		{"viewer", "GET", one + "?disposition=stream", "", 200, logo, nil},
		{"viewer", "DELETE", one, "", 403, "forbidden", nil},
		{"viewer", "POST", one + "/complete", "", 403, "forbidden", nil},
		{"viewer", "POST", v1 + "/uploads?parent=organization:acme", logo, 404, "not-found", png},
		{"acme-editor", "POST", v1 + "/uploads?parent=organization:acme", logo, 403, "forbidden", png},
		{"acme-editor", "POST", v1 + "/uploads/presign", announcement("l.png", "image/png", logo, "organization:acme"), 403, "forbidden", nil},
		{"nobody", "POST", v1 + "/uploads?parent=upload:" + id, logo, 422, "invalid", png},
		{"root", "POST", v1 + "/uploads?parent=role:owner", logo, 422, "invalid", png},
		{"root", "POST", v1 + "/uploads?parent=nonsense", logo, 422, "invalid", png},
	})
	for _, as := range []string{"acme-editor", "nobody", "other-owner"} {
		for _, path := range []string{"", "?disposition=stream", "/meta", "/thumbnail", "/thumbnail?size=64"} {
			w.run([]scenario{{as, "GET", one + path, "", 404, "not-found", nil}})
		}
		w.run([]scenario{{as, "DELETE", one, "", 404, "not-found", nil}, {as, "POST", one + "/complete", "", 404, "not-found", nil}})
	}
}

func TestTheSameContentIsStoredOnceAndNobodyLearnsOfIt(t *testing.T) {
	w := newWorld(t, api.Options{}).sample().tidying()
	logo := picture(t, 100, 100, 5)
	variable := func(a answer) map[string]any {
		m := a.json()
		for _, k := range []string{"id", "created_at", "updated_at", "revision", "belongs_to", "created_by", "organization"} {
			delete(m, k)
		}
		return m
	}
	first := w.send("other-owner", "?parent=organization:other", "a.png", logo)
	stored := w.objects()
	second := w.send("acme-owner", "?parent=organization:acme", "a.png", logo)
	if a, b := fmt.Sprint(variable(first)), fmt.Sprint(variable(second)); first.status != 201 || second.status != 201 || a != b {
		t.Errorf("%s, then %s", a, b)
	}
	if now := w.objects(); !slices.Equal(now, stored) || len(now) != 2 {
		t.Errorf("stored %v, then %v", stored, now)
	}
	// Announcing it says nothing either: it must be sent.
	a := w.ok("nobody", "POST", v1+"/uploads/presign", announcement("a.png", "image/png", logo, ""))
	if b := w.do("nobody", "POST", a.header.Get("Location")+"/complete", ""); b.status != 409 || b.problem() != "not-arrived" {
		t.Errorf("%d %s", b.status, b.body)
	}
	// What one deletes, the other keeps.
	id := first.json()["id"].(string)
	w.ok("other-owner", "DELETE", v1+"/uploads/"+id, "")
	if b := w.ok("acme-owner", "GET", second.header.Get("Location")+"?disposition=stream", ""); string(b.body) != logo {
		t.Error("it is another one")
	}
	w.ok("acme-owner", "DELETE", second.header.Get("Location"), "")
	w.soon("an empty directory", func() bool { return len(w.objects()) == 0 })
}

func TestARepeatedUploadIsMadeOnce(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	logo := picture(t, 30, 30, 5)
	key := []string{"Idempotency-Key", "one"}
	// A form is the same whatever is between its parts.
	first, again := w.send("acme-owner", "", "a.png", logo, key...), w.send("acme-owner", "", "a.png", logo, key...)
	if first.status != 201 || again.status != 201 || !bytes.Equal(first.body, again.body) || again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("ETag") != first.header.Get("ETag") {
		t.Errorf("%d %s, then %d %s", first.status, first.body, again.status, again.body)
	}
	if n := len(ids(w.ok("acme-owner", "GET", v1+"/uploads", ""))); n != 1 || len(w.objects()) != 2 {
		t.Errorf("%d uploads, %v", n, w.objects())
	}
	for what, a := range map[string]answer{
		"another file": w.send("acme-owner", "", "a.png", picture(t, 30, 30, 6), key...), "another name": w.send("acme-owner", "", "b.png", logo, key...),
	} {
		if a.status != 422 || a.problem() != "idempotency-mismatch" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	answers := make([]answer, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = w.send("acme-owner", "", "c.png", logo, "Idempotency-Key", "at once") })
	}
	wg.Wait()
	for _, a := range answers {
		if a.status != 201 || !bytes.Equal(a.body, answers[0].body) {
			t.Errorf("at once: %d %s, want %s", a.status, a.body, answers[0].body)
		}
	}
	body := announcement("l.png", "image/png", logo, "")
	first = w.ok("acme-owner", "POST", v1+"/uploads/presign", body, "Idempotency-Key", "two")
	again = w.ok("acme-owner", "POST", v1+"/uploads/presign", body, "Idempotency-Key", "two")
	if first.json()["id"] != again.json()["id"] || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%s, then %s", first.body, again.body)
	}
	url := again.json()["send"].(map[string]any)["url"].(string)
	w.ok("", "PUT", url, logo, "Content-Type", "image/png")
	complete := first.header.Get("Location") + "/complete"
	done := w.ok("acme-owner", "POST", complete, "", "Idempotency-Key", "three")
	if b := w.ok("acme-owner", "POST", complete, "", "Idempotency-Key", "three"); !bytes.Equal(b.body, done.body) {
		t.Errorf("%s, then %s", done.body, b.body)
	}
	if n := len(ids(w.ok("acme-owner", "GET", v1+"/uploads", ""))); n != 3 {
		t.Errorf("%d uploads", n)
	}
}

func TestWhatCannotBeReadIsNotSaidToBeThere(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	logo := picture(t, 30, 30, 1)
	id := w.sent("acme-owner", "?parent=organization:acme", "a.png", logo)
	w.ok("acme-owner", "PATCH", v1+"/organizations/acme", `{"icon":"upload:`+id+`"}`)
	one := v1 + "/uploads/" + id
	signed := w.do("acme-owner", "GET", one, "").header.Get("Location")
	path, address, header := w.announce("acme-owner", announcement("b.png", "image/png", logo, ""))
	for _, key := range w.objects() {
		must(t, w.uploads.Blobs().Delete(t.Context(), storage.Key(key)))
	}
	w.run([]scenario{
		{"acme-owner", "GET", one + "?disposition=stream", "", 500, "bytes-missing", nil},
		{"acme-owner", "GET", one + "/thumbnail", "", 500, "bytes-missing", nil},
		{"acme-owner", "GET", v1 + "/organizations/acme/icon", "", 500, "bytes-missing", nil},
		{"", "GET", signed, "", 404, "not-found", nil},
		{"acme-owner", "GET", one + "/meta", "", 200, `"ready"`, nil},
	})
	if logs := w.logs.String(); !strings.Contains(logs, "level=ERROR") || strings.Contains(logs, "signature=") {
		t.Error(logs)
	}
	head := w.head()
	must(t, w.uploads.Blobs().Close())
	w.run([]scenario{
		{"acme-owner", "GET", one + "?disposition=stream", "", 503, "unavailable", nil},
		{"acme-owner", "GET", one, "", 503, "unavailable", nil},
		{"acme-owner", "GET", one + "/thumbnail?size=32", "", 503, "unavailable", nil},
		{"acme-owner", "POST", path + "/complete", "", 503, "unavailable", nil},
		{"", "PUT", address, logo, 503, "unavailable", header},
		{"", "GET", signed, "", 503, "unavailable", nil},
		{"acme-owner", "GET", one + "/meta", "", 200, `"ready"`, nil},
		{"acme-owner", "GET", v1 + "/users/acme-owner/avatar", "", 200, "WEBP", nil},
	})
	if w.head() != head {
		t.Error("something was written")
	}
	if a := w.do("acme-owner", "POST", v1+"/uploads", picture(t, 31, 31, 1), asPNG...); a.status != 503 || a.problem() != "unavailable" || len(ids(w.ok("acme-owner", "GET", v1+"/uploads", ""))) != 2 {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.ok("acme-owner", "DELETE", one+"?cascade=true", "")
}
