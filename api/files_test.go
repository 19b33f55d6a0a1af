package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"

	"trellis/storage/storagetest"
)

// picture is a PNG of that size; another seed makes another one.
func picture(t testing.TB, w, h, seed int) string {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(x + seed), uint8(y * seed), uint8(seed >> 8), 255})
		}
	}
	var b bytes.Buffer
	must(t, png.Encode(&b, m))
	return b.String()
}

const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9"/></svg>`

// document is a PDF with as many bytes of comment as wanted.
func document(comment int) string { return string(storagetest.PDF(comment)) }

// part is one of a form: a file if it has a file name.
type part struct{ name, filename, contentType, body string }

// form returns the body, and its Content-Type.
func form(t testing.TB, parts ...part) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q`, p.name)}}
		if p.filename != "" {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename="%s"`, p.name, p.filename))
		}
		if p.contentType != "" {
			h.Set("Content-Type", p.contentType)
		}
		pw, err := w.CreatePart(h)
		must(t, err)
		_, err = pw.Write([]byte(p.body))
		must(t, err)
	}
	must(t, w.Close())
	return b.String(), w.FormDataContentType()
}

// send uploads a file by form, and returns the answer.
func (w *world) send(as, query, filename, body string, header ...string) answer {
	w.t.Helper()
	b, contentType := form(w.t, part{"file", filename, "", body})
	return w.do(as, "POST", v1+"/uploads"+query, b, append(header, "Content-Type", contentType)...)
}

// sent is send that must succeed; it returns the upload's id.
func (w *world) sent(as, query, filename, body string, header ...string) string {
	w.t.Helper()
	a := w.send(as, query, filename, body, header...)
	if a.status != 201 {
		w.t.Fatalf("sending %s as %s: %d %s", filename, as, a.status, a.body)
	}
	return a.json()["id"].(string)
}

// announcement is the body that announces a file.
func announcement(filename, contentType, body, parent string) string {
	sum := sha256.Sum256([]byte(body))
	return fmt.Sprintf(`{"filename":%q,"content_type":%q,"size":%d,"sha256":%q,"parent":%q}`, filename, contentType, len(body), hex.EncodeToString(sum[:]), parent)
}

// keep remembers what later scenarios name: the upload that was made, where to
// send an announced one, and the address of one.
func (w *world) keep(a answer) {
	location := a.header.Get("Location")
	if id, ok := strings.CutPrefix(location, v1+"/uploads/"); ok && a.status == 201 {
		w.vars["$upload"] = id
	}
	if s, ok := strings.CutPrefix(location, v1+"/blobs/"); ok && a.status == 307 {
		w.vars["$address"] = s
	}
	if a.status == 201 && strings.Contains(location, "/projects/") && bytes.Contains(a.body, []byte(`"slug":"ledger"`)) {
		w.vars["$ledger"] = a.json()["id"].(string)
	}
	if a.status == 201 && bytes.Contains(a.body, []byte(`"send"`)) {
		w.vars["$send"] = strings.TrimPrefix(a.json()["send"].(map[string]any)["url"].(string), v1+"/blobs/")
	}
}

// fill puts what was remembered in the place of names.
func (w *world) fill(s string) string {
	for name, value := range w.vars {
		s = strings.ReplaceAll(s, name, value)
	}
	return s
}

// fileScenarios are the routes of files, in an order in which each finds what it needs.
func fileScenarios(t testing.TB) []trace {
	ok := func(as, method, path, body, contentType string, status int, want string, leaves ...string) trace {
		return trace{scenario{as: as, method: method, path: v1 + path, body: body, status: status, want: want, header: []string{"Content-Type", contentType}}, leaves}
	}
	const js = "application/json"
	logo, other := picture(t, 300, 200, 1), picture(t, 40, 60, 2)
	byForm, formType := form(t, part{"parent", "", "", "organization:acme"}, part{"file", "logo.png", "image/png", logo})
	list := []trace{
		ok("acme-owner", "POST", "/uploads", byForm, formType, 201, `"filename":"logo.png","content_type":"image/png"`, "upload:create success upload:ID"),
		ok("acme-owner", "GET", "/uploads?content_type=image/*&belongs_to=organization:acme&created_by=user:acme-owner&organization=acme&state=ready", "", "", 200, `"filename":"logo.png"`),
		ok("acme-owner", "GET", "/uploads/$upload/meta", "", "", 200, `"width":300,"height":200,"has_thumbnail":true,"state":"ready"`),
		ok("acme-owner", "GET", "/uploads/$upload", "", "", 307, ""),
		ok("", "GET", "/blobs/$address", "", "", 200, logo),
		ok("acme-owner", "GET", "/uploads/$upload?disposition=stream", "", "", 200, logo),
		ok("acme-owner", "GET", "/uploads/$upload/thumbnail?size=32&disposition=stream", "", "", 200, "WEBP"),
		ok("nobody", "DELETE", "/uploads/$upload", "", "", 404, "not-found", "upload:delete denied upload:ID"),
		ok("acme-owner", "DELETE", "/uploads/$upload", "", "", 200, `"nodes":1`, "upload:delete success upload:ID"),
		ok("acme-owner", "GET", "/uploads/$upload", "", "", 404, "not-found", "upload:read failure upload:ID"),
		ok("nobody", "POST", "/uploads?filename=mine.svg", drawing, "image/svg+xml", 201, `"belongs_to":"user:nobody"`, "upload:create success upload:ID"),
		ok("acme-owner", "POST", "/uploads/presign", announcement("late.png", "image/png", other, "organization:acme"), js, 201, `"state":"pending"`, "upload:create success upload:ID"),
		ok("acme-owner", "POST", "/uploads/$upload/complete", "", "", 409, "not-arrived"),
		ok("", "PUT", "/blobs/$send", other, "image/png", 200, ""),
		ok("acme-owner", "POST", "/uploads/$upload/complete", "", "", 200, `"width":40,"height":60`, "upload:update success upload:ID"),
		ok("acme-owner", "POST", "/uploads/$upload/complete", "", "", 200, `"state":"ready"`),
	}
	for _, p := range []struct{ as, path, action, node string }{
		{"acme-owner", "/users/acme-owner/avatar", "user", "user:acme-owner"},
		{"root", "/service-accounts/bootstrap/avatar", "service_account", "service_account:bootstrap"},
		{"acme-owner", "/organizations/acme/icon", "organization", "organization:acme"},
		{"acme-owner", "/organizations/acme/teams/core/icon", "team", "team:acme-core"},
		{"acme-owner", "/teams/acme-core/icon", "team", "team:acme-core"},
		{"acme-owner", "/organizations/acme/projects/ledger/icon", "project", "project:ID"},
		{"acme-owner", "/projects/$ledger/icon", "project", "project:ID"},
	} {
		list = append(list,
			ok(p.as, "GET", p.path, "", "", 200, "WEBP"),
			ok(p.as, "PUT", p.path, other, "image/png", 201, `"picture":true`, "upload:create success upload:ID", p.action+":update success "+p.node),
			ok(p.as, "GET", p.path+"?size=32", "", "", 200, "WEBP"),
			ok(p.as, "DELETE", p.path, "", "", 200, `"deleted"`, p.action+":update success "+p.node, "upload:delete success upload:ID"))
	}
	return list
}
