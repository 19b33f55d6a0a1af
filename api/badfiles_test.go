package api_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"trellis/api"
)

func zipped(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("A.class")
	must(t, err)
	_, err = f.Write([]byte("\xca\xfe\xba\xbe"))
	must(t, err)
	must(t, z.Close())
	return b.String()
}

// enlarged is the PNG with other dimensions in its header, whose checksum is right.
func enlarged(png string, w, h uint32) string {
	b := []byte(png)
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	binary.BigEndian.PutUint32(b[29:], crc(b[12:29]))
	return string(b)
}

func crc(b []byte) uint32 {
	c := ^uint32(0)
	for _, x := range b {
		c ^= uint32(x)
		for range 8 {
			c = c>>1 ^ 0xedb88320*(c&1)
		}
	}
	return ^c
}

func TestHostileFilesAreRefused(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	logo := picture(t, 20, 20, 1)
	svg := func(inside string) string { return strings.Replace(drawing, "<rect", inside+"<rect", 1) }
	head := w.head()
	titles := map[string]string{}
	for _, c := range []struct {
		what, body, claimed string
		status              int
		want                string
	}{
		{"nothing", "", "image/png", 415, "file-type"},
		{"HTML", "<!doctype html><script>alert(1)</script>", "image/png", 415, "file-type"},
		{"JSON", `{}`, "application/json", 415, "file-type"},
		{"text", "hello", "text/plain", 415, "file-type"},
		{"zip", zipped(t), "", 415, "file-type"},
		{"ELF", "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 64), "", 415, "file-type"},
		{"TIFF", "II*\x00" + strings.Repeat("\x00", 64), "image/tiff", 415, "file-type"},
		{"PNG said to be JPEG", logo, "image/jpeg", 415, "file-mismatch"},
		{"PNG said to be HTML", logo, "text/html", 415, "file-mismatch"},
		{"SVG said to be PNG", drawing, "image/png", 415, "file-mismatch"},
		{"PNG and zip", logo + zipped(t), "image/png", 415, "file-polyglot"},
		{"PDF and zip", document(1) + zipped(t), "", 415, "file-polyglot"},
		{"truncated", logo[:len(logo)-20], "image/png", 422, "file-damaged"},
		{"header alone", logo[:33], "image/png", 422, "file-damaged"},
		{"bomb of 60,000 x 60,000", enlarged(logo, 60_000, 60_000), "image/png", 422, "file-dimensions"},
		{"lying header", enlarged(logo, 4000, 4000), "image/png", 422, "file-damaged"},
		{"GIF of 65,535 x 65,535", "GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02D\x01\x00;", "image/gif", 422, "file-dimensions"},
		{"SVG with script", svg("<script>alert(1)</script>"), "image/svg+xml", 422, "file-active"},
		{"SVG with a handler", svg(`<g onload="alert(1)"/>`), "image/svg+xml", 422, "file-active"},
		{"SVG with an address", svg(`<image href="https://example.com/x.png"/>`), "", 422, "file-active"},
		{"SVG with HTML in it", svg(`<foreignObject><p/></foreignObject>`), "", 422, "file-active"},
	} {
		byForm, formType := form(t, part{"file", "a.png", c.claimed, c.body})
		for _, s := range []struct{ path, method, body, contentType string }{
			{"/uploads", "POST", c.body, c.claimed}, {"/uploads", "POST", byForm, formType}, {"/users/acme-owner/avatar", "PUT", c.body, c.claimed},
		} {
			a := w.do("acme-owner", s.method, v1+s.path, s.body, "Content-Type", s.contentType)
			if a.status != c.status || a.problem() != c.want {
				t.Errorf("%s at %s: %d %s", c.what, s.path, a.status, a.body)
				continue
			}
			title, detail := fmt.Sprint(a.json()["title"]), fmt.Sprint(a.json()["detail"])
			if before := titles[c.want]; before != "" && before != title || detail == "" || strings.Contains(detail, "content:") {
				t.Errorf("%s: %s, before it was %s", c.what, a.body, before)
			}
			titles[c.want] = title
		}
	}
	if w.head() != head || len(w.objects()) > 0 {
		t.Errorf("head %d, was %d, stored is %v", w.head(), head, w.objects())
	}
}

func TestFormsThatAreNotInOrderAreRefused(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	logo := picture(t, 20, 20, 1)
	head := w.head()
	file := part{"file", "a.png", "image/png", logo}
	post := func(body, contentType string, status int, want, at string) {
		t.Helper()
		a := w.do("acme-owner", "POST", v1+"/uploads", body, "Content-Type", contentType)
		if a.status != status || a.problem() != want || at != "" && !strings.Contains(string(a.body), `"pointer":"`+at+`"`) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	refused := func(status int, want, at string, parts ...part) {
		t.Helper()
		body, contentType := form(t, parts...)
		post(body, contentType, status, want, at)
	}
	refused(422, "invalid", "/file")
	refused(422, "invalid", "/file", part{"parent", "", "", "user:acme-owner"})
	refused(422, "invalid", "/file", file, file)
	refused(422, "invalid", "/colour", file, part{"colour", "", "", "red"})
	refused(422, "invalid", "/a~1b~0", part{"a/b~", "", "", "red"}, file)
	refused(422, "invalid", "/parent", file, part{"parent", "", "", "user:acme-owner"}, part{"parent", "", "", "user:nobody"})
	refused(422, "invalid", "/parent", file, part{"parent", "", "", strings.Repeat("x", 2001)})
	refused(422, "invalid", "/parent", file, part{"parent", "", "", "nonsense"})
	refused(415, "file-type", "", part{"file", "a.png", "image/png", ""})
	body, contentType := form(t, file)
	post(body, "multipart/form-data", 400, "malformed", "")
	post(body, "multipart/form-data; boundary=another", 400, "malformed", "")
	post(body, contentType+"x", 400, "malformed", "")
	post("", contentType, 400, "malformed", "")
	post(body[:len(body)-60], contentType, 400, "malformed", "")                                       // in the file
	post(body[:len(body)-4], contentType, 400, "malformed", "")                                        // in the last line
	post(strings.Replace(body, "Content-Type:", "Content-Type", 1), contentType, 400, "malformed", "") // in a header
	many := make([]part, 20)
	for i := range many {
		many[i] = part{"file", "a.png", "image/png", logo}
	}
	refused(422, "invalid", "/file", many...)
	if w.head() != head || len(w.objects()) > 0 {
		t.Error("something was written")
	}
}

// raw sends bytes as they are, and returns what comes back.
func (w *world) raw(request string, hangUp bool) (int, string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.server.URL, "http://"))
	must(w.t, err)
	defer conn.Close()
	_, err = conn.Write([]byte(request))
	must(w.t, err)
	if hangUp {
		return 0, ""
	}
	must(w.t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return resp.StatusCode, string(b)
}

func TestABodyThatDoesNotComeWholeLeavesNothing(t *testing.T) {
	w := newWorld(t, api.Options{Stall: 500 * time.Millisecond, Files: 1}).sample()
	w.uploads.MaxSize = 1 << 20
	logo := picture(t, 20, 20, 1)
	head := w.head()
	request := func(path, contentType string, more ...string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + w.tokens["acme-owner"] + "\r\nContent-Type: " + contentType + "\r\n" + strings.Join(more, "\r\n")
	}
	body, contentType := form(t, part{"file", "a.png", "image/png", logo})
	for what, c := range map[string]struct {
		request string
		status  int
		want    string
	}{
		"stalled":              {request(v1+"/uploads", "image/png", "Content-Length: 1000", "", logo[:30]), 408, "timeout"},
		"stalled at once":      {request(v1+"/uploads", "image/png", "Content-Length: 1000", "", ""), 408, "timeout"},
		"stalled form":         {request(v1+"/uploads", contentType, "Content-Length: 1000", "", body[:200]), 408, "timeout"},
		"stalled, no part":     {request(v1+"/uploads", contentType, "Content-Length: 1000", "", body[:10]), 408, "timeout"},
		"stalled in chunks":    {request(v1+"/uploads", "image/png", "Transfer-Encoding: chunked", "", "4\r\nabcd\r\n"), 408, "timeout"},
		"bad chunks":           {request(v1+"/uploads", "image/png", "Transfer-Encoding: chunked", "", "zz\r\nabcd\r\n"), 400, "malformed"},
		"too large, announced": {request(v1+"/uploads", "image/png", "Content-Length: 99999999", "", ""), 413, "too-large"},
	} {
		if status, got := w.raw(c.request, false); status != c.status || !strings.Contains(got, "problem:"+c.want+`"`) {
			t.Errorf("%s: %d %s", what, status, got)
		}
	}
	for range 3 {
		w.raw(request(v1+"/uploads", "image/png", "Content-Length: 1000", "", logo[:30]), true)
		w.raw(request(v1+"/uploads", contentType, "Content-Length: 1000", "", body[:200]), true)
	}
	// In chunks, nobody says how much there will be.
	for _, c := range []struct{ contentType, before string }{{"image/png", ""}, {contentType, body[:strings.Index(body, "\r\n\r\n")+4]}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+v1+"/uploads", io.MultiReader(strings.NewReader(c.before), strings.NewReader(strings.Repeat("x", 1<<20+1))))
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+w.tokens["acme-owner"])
		req.Header.Set("Content-Type", c.contentType)
		resp, err := w.client.Do(req)
		must(t, err)
		b, err := io.ReadAll(resp.Body)
		must(t, err)
		if resp.Body.Close(); resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(b), "too-large") {
			t.Errorf("in chunks: %d %s", resp.StatusCode, b)
		}
	}
	if w.head() != head || len(w.objects()) > 0 {
		t.Error("something was written")
	}
	// The one place for files that come in is free again.
	w.sent("acme-owner", "", "a.png", logo)
}

func TestNamesOfFilesAreHarmless(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	logo := picture(t, 20, 20, 1)
	check := func(name string, a answer) {
		t.Helper()
		if a.status != 201 {
			t.Errorf("%q: %d %s", name, a.status, a.body)
			return
		}
		got := a.json()["filename"].(string)
		if len(got) > 255 || !utf8.ValidString(got) || !strings.HasSuffix(strings.ToLower(got), ".png") || strings.ContainsAny(got, "/\\\"\r\n\x00\u202e\u2066") || strings.HasPrefix(got, ".") {
			t.Errorf("%q is kept as %q", name, got)
		}
		path := v1 + "/uploads/" + a.json()["id"].(string)
		r := w.do("acme-owner", "GET", path, "")
		if r.status != 307 {
			t.Errorf("%q: %d %s", name, r.status, r.body)
			return
		}
		for _, b := range []answer{w.do("acme-owner", "GET", path+"?disposition=stream", ""), w.do("", "GET", r.header.Get("Location"), ""), w.do("acme-owner", "GET", path+"/thumbnail?disposition=stream", "")} {
			h := b.header.Get("Content-Disposition")
			kind, params, err := mime.ParseMediaType(h)
			want := got
			if strings.HasSuffix(b.header.Get("Content-Type"), "webp") {
				want = got[:strings.LastIndexByte(got, '.')] + ".webp"
			}
			if b.status != 200 || err != nil || kind != "inline" || params["filename"] != want || strings.ContainsFunc(h, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q: %d %q, %v", name, b.status, h, err)
			}
		}
	}
	for _, name := range []string{
		"../../etc/passwd", `C:\windows\system32\cmd.exe`, "a\"b.png", "a\r\nSet-Cookie: x=y.png", "\u202egnp.exe", "\u2066x\u2069.png", strings.Repeat("a", 300), strings.Repeat("é", 150) + ".png", strings.Repeat("\U0001F600", 70),
		"", "   ", "...", ".png", ".htaccess", "naïve résumé.PNG", "a%00b%0d%0a.png", "50% off; filename=evil.exe", "<script>.png", "a.png.html", "CON", "x\x00y.png", "'; drop table", "../", strings.Repeat(";=", 120), strings.Repeat("%", 251),
	} {
		check(name, w.do("acme-owner", "POST", v1+"/uploads?filename="+url.QueryEscape(name), logo, asPNG...))
		body, contentType := form(t, part{"filename", "", "", name}, part{"file", "a.png", "", logo})
		check(name, w.do("acme-owner", "POST", v1+"/uploads", body, "Content-Type", contentType))
	}
	check("not UTF-8", w.send("acme-owner", "", "a\xff\xfe.png", logo))
	check("a path", w.send("acme-owner", "", "../../a.png", logo))
	check("as RFC 8187 has it", w.send("acme-owner", "", `x"; filename*="UTF-8''%0d%0aa%2f..%22.png`, logo))
}

func TestADrawingCannotDoAnything(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	for _, c := range []struct{ name, body, contentType string }{{"a.svg", drawing, "image/svg+xml"}, {"a.pdf", document(1), "application/pdf"}} {
		id := w.sent("acme-owner", "", c.name, c.body)
		signed := w.do("acme-owner", "GET", v1+"/uploads/"+id, "").header.Get("Location")
		for _, a := range []answer{w.ok("acme-owner", "GET", v1+"/uploads/"+id+"?disposition=stream", ""), w.ok("", "GET", signed, "")} {
			h := a.header
			if policy := h.Values("Content-Security-Policy"); len(policy) != 1 || !strings.Contains(policy[0], "default-src 'none'") || c.name == "a.svg" && !strings.HasPrefix(policy[0], "sandbox;") {
				t.Errorf("%s: %q", c.name, policy)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Type") != c.contentType || string(a.body) != c.body {
				t.Errorf("%s: %v", c.name, h)
			}
		}
		if a := w.ok("", "GET", signed, ""); !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment;") {
			t.Errorf("%s: %v", c.name, a.header)
		}
	}
}
