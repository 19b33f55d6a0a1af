package api_test

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"trellis/api"
)

// announce announces a file and returns the path of the upload, and the request that sends it.
func (w *world) announce(as, body string) (path, address string, header []string) {
	w.t.Helper()
	a := w.ok(as, "POST", v1+"/uploads/presign", body)
	send := a.json()["send"].(map[string]any)
	for name, v := range send["headers"].(map[string]any) {
		if name != "Content-Length" { // the client says that
			header = append(header, name, v.(string))
		}
	}
	if send["method"] != "PUT" || !strings.HasPrefix(send["url"].(string), v1+"/blobs/") {
		w.t.Fatalf("%s", a.body)
	}
	return a.header.Get("Location"), send["url"].(string), header
}

func TestAnAnnouncedFileIsSentAndCompleted(t *testing.T) {
	w := newWorld(t, api.Options{}).catalogue()
	logo := picture(t, 300, 200, 1)
	path, address, header := w.announce("acme-owner", announcement("a.png", "image/png", logo, "organization:acme"))
	head := w.head()
	w.run([]scenario{
		{"acme-owner", "GET", path + "/meta", "", 200, `"has_thumbnail":false,"state":"pending"`, nil},
		{"acme-owner", "GET", path, "", 409, "not-arrived", nil},
		{"acme-owner", "GET", path + "?disposition=stream", "", 409, "not-arrived", nil},
		{"acme-owner", "GET", path + "/thumbnail", "", 409, "not-arrived", nil},
		{"acme-owner", "POST", path + "/complete", "", 409, "not-arrived", nil},
		{"acme-editor", "POST", path + "/complete", "", 404, "not-found", nil},
		// Nothing but what was announced is taken.
		{"", "PUT", address, logo + "x", 422, "file-mismatch", header},
		{"", "PUT", address, logo[1:], 422, "file-mismatch", header},
		{"", "PUT", address, "X" + logo[1:], 422, "file-mismatch", header},
		{"", "PUT", address, logo, 422, "file-mismatch", []string{"Content-Type", "text/html"}},
		{"", "PUT", address, logo, 422, "file-mismatch", []string{"Content-Type", ""}},
		{"acme-owner", "POST", path + "/complete", "", 409, "not-arrived", nil},
		{"", "GET", address, "", 403, "forbidden", nil},
	})
	if w.head() != head || len(w.objects()) > 0 {
		t.Errorf("what was refused left %v", w.objects())
	}
	w.run([]scenario{
		{"", "PUT", address, logo, 200, "", header},
		{"", "PUT", address, logo, 200, "", header},
		{"viewer", "POST", path + "/complete", "", 200, "", nil},
	}[:2])
	first := w.ok("acme-owner", "POST", path+"/complete", "")
	again := w.ok("acme-owner", "POST", path+"/complete", "")
	if u := first.json(); u["state"] != "ready" || u["width"] != 300.0 || u["has_thumbnail"] != true || u["complete_by"] != nil || !bytes.Equal(first.body, again.body) {
		t.Errorf("%s, then %s", first.body, again.body)
	}
	if a := w.ok("acme-owner", "GET", path+"?disposition=stream", ""); string(a.body) != logo {
		t.Error("it is another file")
	}
	for _, key := range w.objects() {
		if strings.HasPrefix(key, "arriving/") {
			t.Errorf("%s is left", key)
		}
	}
	// The address still holds; what is sent to it changes nothing.
	w.run([]scenario{{"", "PUT", address, logo, 200, "", header}, {"acme-owner", "POST", path + "/complete", "", 200, `"ready"`, nil}})
}

func TestASignedAddressIsOnlyGoodForWhatWasSigned(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	logo := picture(t, 30, 30, 1)
	_, address, header := w.announce("acme-owner", announcement("a.png", "image/png", logo, ""))
	id := w.sent("acme-owner", "", "b.png", logo)
	signed := w.do("acme-owner", "GET", v1+"/uploads/"+id, "").header.Get("Location")
	change := func(address, name, value string) string {
		u, err := url.Parse(address)
		must(t, err)
		q := u.Query()
		if q.Set(name, value); value == "" {
			q.Del(name)
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	for _, name := range []string{"expires", "type", "size", "sha256", "signature", "disposition"} {
		for _, value := range []string{"", "0", "9999999999", "text/html", strings.Repeat("ab", 32)} {
			for _, c := range []struct{ method, address, body string }{{"PUT", address, logo}, {"GET", signed, ""}} {
				// An address for reading has the size 0, said or not.
				if tampered := change(c.address, name, value); tampered != change(c.address, "x", "") && (c.method+name+value) != "GETsize0" {
					w.run([]scenario{{"", c.method, tampered, c.body, 403, "forbidden", header}})
				}
			}
		}
	}
	for _, c := range []struct{ method, address, body string }{
		{"PUT", signed, logo}, {"GET", strings.Replace(signed, "/original", "/256.webp", 1), ""}, {"GET", strings.Replace(signed, "/blobs/blobs/", "/blobs/blobs/../blobs/", 1), ""},
		{"GET", v1 + "/blobs/secret?" + strings.SplitN(signed, "?", 2)[1], ""}, {"GET", strings.SplitN(signed, "?", 2)[0], ""}, {"PUT", strings.Replace(address, "arriving/", "arriving/a", 1), logo},
	} {
		if a := w.do("", c.method, c.address, c.body, header...); a.status != 403 && a.status != 404 && a.status != 422 {
			t.Errorf("%s %s: %d", c.method, c.address, a.status)
		}
	}
	for _, more := range []string{"&expires=9999999999", "&colour=red"} {
		if a := w.do("", "GET", signed+more, ""); a.status != 422 && a.status != 403 {
			t.Errorf("%s: %d", more, a.status)
		}
	}
	// A key of the API is no way around it, and an hour later it is over.
	w.run([]scenario{{"root", "GET", strings.SplitN(signed, "?", 2)[0], "", 403, "forbidden", nil}, {"", "GET", signed, "", 200, logo, nil}})
	w.clock = func() time.Time { return time.Now().Add(61 * time.Minute) }
	w.run([]scenario{{"", "GET", signed, "", 403, "forbidden", nil}, {"", "PUT", address, logo, 403, "forbidden", header}})
}

func TestAnAnnouncedFileThatIsRefusedEndsItsUpload(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	html := "<!doctype html><script>alert(1)</script>"
	for _, c := range []struct{ name, contentType, body, want string }{
		{"a.png", "image/png", html, "file-type"},
		{"a.png", "image/png", drawing, "file-mismatch"},
		{"a.png", "image/png", picture(t, 20, 20, 1)[:60], "file-damaged"},
		{"a.svg", "image/svg+xml", strings.Replace(drawing, "<rect", "<script>alert(1)</script><rect", 1), "file-active"},
	} {
		path, address, header := w.announce("acme-owner", announcement(c.name, c.contentType, c.body, "organization:acme"))
		w.run([]scenario{{"", "PUT", address, c.body, 200, "", header}})
		a := w.do("acme-owner", "POST", path+"/complete", "")
		if a.status != 415 && a.status != 422 || a.problem() != c.want {
			t.Errorf("%.20s as %s: %d %s", c.body, c.contentType, a.status, a.body)
		}
		w.run([]scenario{{"acme-owner", "GET", path + "/meta", "", 404, "not-found", nil}, {"acme-owner", "POST", path + "/complete", "", 404, "not-found", nil}})
		if len(w.objects()) > 0 {
			t.Errorf("left is %v", w.objects())
		}
	}
}

func TestWhatIsAnnouncedMustBePossible(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	head := w.head()
	good := announcement("a.png", "image/png", "x", "")
	presign := v1 + "/uploads/presign"
	for _, c := range []struct {
		old, new, want string
		status         int
	}{
		{`"image/png"`, `"text/html"`, "file-type", 415}, {`"image/png"`, `"image/tiff"`, "file-type", 415}, {`"image/png"`, `"application/octet-stream"`, "file-type", 415}, {`"image/png"`, `""`, "invalid", 422},
		{`"size":1`, `"size":0`, "invalid", 422}, {`"size":1`, `"size":-1`, "invalid", 422}, {`"size":1`, `"size":1.5`, "invalid", 422}, {`"size":1`, fmt.Sprint(`"size":`, 51<<20), "too-large", 413},
		{`"sha256":"2d`, `"sha256":"2`, "invalid", 422}, {`"sha256":"2d`, `"sha256":"xx`, "invalid", 422},
		{`"parent":""`, `"parent":"nonsense"`, "invalid", 422}, {`"parent":""`, `"parent":"user:ghost"`, "not-found", 404}, {`"a.png"`, `""`, "invalid", 422}, {`{"`, `{"state":"ready","`, "invalid", 422},
	} {
		body := strings.Replace(good, c.old, c.new, 1)
		if body == good {
			t.Fatalf("%s is not in %s", c.old, good)
		}
		w.run([]scenario{{"acme-owner", "POST", presign, body, c.status, c.want, nil}})
	}
	if w.head() != head {
		t.Error("something was written")
	}
	w.run([]scenario{{"acme-owner", "POST", presign, strings.Replace(good, `,"parent":""`, "", 1), 201, `"belongs_to":"user:acme-owner"`, nil}})
}

func TestASignedBodyThatDoesNotComeWholeIsNotStored(t *testing.T) {
	w := newWorld(t, api.Options{Stall: 500 * time.Millisecond}).sample()
	logo := picture(t, 30, 30, 1)
	path, address, _ := w.announce("acme-owner", announcement("a.png", "image/png", logo, ""))
	request := fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n", address)
	announced := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(logo))
	if status, body := w.raw(request+announced+logo[:40], false); status != 408 || !strings.Contains(body, "problem:timeout") {
		t.Errorf("stalled: %d %s", status, body)
	}
	if status, body := w.raw(request+"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", false); status != 422 || !strings.Contains(body, "problem:file-mismatch") {
		t.Errorf("in chunks: %d %s", status, body)
	}
	w.raw(request+announced+logo[:40], true)
	w.run([]scenario{{"acme-owner", "POST", path + "/complete", "", 409, "not-arrived", nil}})
	for end := time.Now().Add(time.Minute); len(w.objects()) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // for the server to notice
	}
	if len(w.objects()) > 0 || strings.Contains(w.logs.String(), "level=ERROR") {
		t.Errorf("%v %s", w.objects(), w.logs)
	}
}
