package storagetest

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/storage"
)

var signedCases = []testCase{
	{name: "SignedGetIsAnswered", run: signedGet},
	{name: "SignedGetIsForThatAlone", run: signedGetTampered},
	{name: "SignedPutStores", run: signedPut},
	{name: "SignedPutIsForThatAlone", run: signedPutTampered},
	{name: "SignedAddressesExpire", run: signedExpires},
}

func (r *room) signGet(key storage.Key, g storage.Get) string {
	r.Helper()
	u, err := r.blobs.SignGet(r.ctx, key, g)
	if err != nil {
		r.Fatal(err)
	}
	return u
}

func (r *room) signPut(key storage.Key, o storage.Object, expires time.Duration) storage.SignedRequest {
	r.Helper()
	q, err := r.blobs.SignPut(r.ctx, key, o, expires)
	if err != nil {
		r.Fatal(err)
	}
	return q
}

func signedGet(r *room) {
	w := r.web()
	b := Bytes(5000, 1)
	if err := r.blobs.Put(r.ctx, "a/b.png", bytes.NewReader(b), Object(b, "image/png")); err != nil {
		r.Fatal(err)
	}
	plain := r.signGet("a/b.png", storage.Get{Expires: time.Minute})
	a := w.do(r.ctx, http.MethodGet, plain, nil, nil)
	if a.status != http.StatusOK || !bytes.Equal(a.body, b) || a.header.Get("Content-Type") != "image/png" ||
		a.header.Get("Content-Length") != "5000" || a.header.Get("Content-Disposition") != "" {
		r.Errorf("%d, %d bytes, %v", a.status, len(a.body), a.header)
	}
	tag, modified := a.header.Get("ETag"), a.header.Get("Last-Modified")
	if !strings.HasPrefix(tag, `"`) || modified == "" || a.header.Get("Accept-Ranges") != "bytes" {
		r.Errorf("ETag %q, Last-Modified %q, %v", tag, modified, a.header)
	}

	a = w.do(r.ctx, http.MethodGet, plain, http.Header{"Range": {"bytes=10-19"}}, nil)
	if a.status != http.StatusPartialContent || !bytes.Equal(a.body, b[10:20]) || a.header.Get("Content-Range") != "bytes 10-19/5000" {
		r.Errorf("range: %d, %d bytes, %v", a.status, len(a.body), a.header)
	}
	a = w.do(r.ctx, http.MethodGet, plain, http.Header{"Range": {"bytes=-7"}}, nil)
	if a.status != http.StatusPartialContent || !bytes.Equal(a.body, b[4993:]) {
		r.Errorf("suffix range: %d, %d bytes", a.status, len(a.body))
	}
	if a = w.do(r.ctx, http.MethodGet, plain, http.Header{"Range": {"bytes=5000-"}}, nil); a.status != http.StatusRequestedRangeNotSatisfiable {
		r.Errorf("range beyond the end: %d", a.status)
	}
	if a = w.do(r.ctx, http.MethodGet, plain, http.Header{"If-None-Match": {tag}}, nil); a.status != http.StatusNotModified || len(a.body) != 0 {
		r.Errorf("if-none-match: %d, %d bytes", a.status, len(a.body))
	}

	dressed := r.signGet("a/b.png", storage.Get{Expires: time.Minute, ContentType: "text/plain; charset=utf-8", Disposition: `attachment; filename="a & b+c%2F.png"`})
	a = w.do(r.ctx, http.MethodGet, dressed, nil, nil)
	if a.status != http.StatusOK || !bytes.Equal(a.body, b) || a.header.Get("Content-Type") != "text/plain; charset=utf-8" ||
		a.header.Get("Content-Disposition") != `attachment; filename="a & b+c%2F.png"` {
		r.Errorf("%d, %d bytes, %v", a.status, len(a.body), a.header)
	}
	if a = w.do(r.ctx, http.MethodGet, r.signGet("a/none", storage.Get{Expires: time.Minute}), nil, nil); a.status != http.StatusNotFound {
		r.Errorf("an object that is not there: %d", a.status)
	}
}

// tampered returns variations of an address: every parameter changed, taken
// away or doubled, one more, another key, another signature.
func (r *room) tampered(address string, key, other storage.Key) map[string]string {
	out := map[string]string{"another key": strings.Replace(address, string(key)+"?", string(other)+"?", 1)}
	path, query, _ := strings.Cut(address, "?")
	params := strings.Split(query, "&")
	with := func(changed []string) string { return path + "?" + strings.Join(changed, "&") }
	for i, p := range params {
		name, value, _ := strings.Cut(p, "=")
		change := func(v string) []string {
			c := slices.Clone(params)
			c[i] = name + "=" + v
			return c
		}
		out[name+" with one character more"] = with(change(value + "1"))
		out[name+" empty"] = with(change(""))
		if value != "" {
			first := "2"
			if value[0] == '2' {
				first = "3"
			}
			out[name+" with another character"] = with(change(first + value[1:]))
		}
		out[name+" taken away"] = with(slices.Delete(slices.Clone(params), i, i+1))
		if r.has(WholeQuery) {
			out[name+" doubled"] = with(append(slices.Clone(params), name+"=1"))
		}
	}
	if r.has(WholeQuery) {
		out["one parameter more"] = address + "&response-content-type=text%2Fhtml"
		out["one parameter more, of another kind"] = address + "&type=text%2Fhtml"
	}
	if r.has(Anonymous) {
		out["no parameters"] = path
	}
	return out
}

func signedGetTampered(r *room) {
	w := r.web()
	b := Bytes(100, 1)
	r.put("k", b)
	r.put("other", b)
	address := r.signGet("k", storage.Get{Expires: time.Minute, ContentType: "image/png", Disposition: "inline"})
	if a := w.do(r.ctx, http.MethodGet, address, nil, nil); a.status != http.StatusOK {
		r.Fatalf("%d %s", a.status, a.body)
	}
	for what, u := range r.tampered(address, "k", "other") {
		if a := w.do(r.ctx, http.MethodGet, u, nil, nil); !a.refused() || bytes.Contains(a.body, b) {
			r.Errorf("%s: %d", what, a.status)
		}
	}
	for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch} {
		if a := w.do(r.ctx, method, address, nil, []byte("x")); !a.refused() {
			r.Errorf("%s: %d", method, a.status)
		}
	}
	r.holds("k", b)
}

func signedPut(r *room) {
	w := r.web()
	for _, n := range []int{0, 1, 100_000} {
		b := Bytes(n, 2)
		key := storage.Key("up/" + strconv.Itoa(n))
		before := time.Now()
		q := r.signPut(key, Object(b, "image/png"), time.Minute)
		if until := q.Expires.Sub(before); q.Method != http.MethodPut || until < 58*time.Second || until > 62*time.Second || q.Header.Get("Content-Length") != strconv.Itoa(n) {
			r.Errorf("%s, expires in %s, %v", q.Method, until, q.Header)
		}
		for range 2 { // once more is the same
			if a := w.do(r.ctx, q.Method, q.URL, q.Header, b); a.status != http.StatusOK {
				r.Fatalf("%d bytes: %d %s", n, a.status, a.body)
			}
		}
		r.holds(key, b)
		if info, err := r.blobs.Stat(r.ctx, key); err != nil || info.ContentType != "image/png" {
			r.Errorf("%+v, %v", info, err)
		}
	}
}

func signedPutTampered(r *room) {
	w := r.web()
	b := Bytes(1000, 3)
	q := r.signPut("k", Object(b, "image/png"), time.Minute)
	with := func(name, value string) http.Header {
		h := q.Header.Clone()
		h.Set(name, value)
		return h
	}
	flipped := bytes.Clone(b)
	flipped[500]++
	other := Object(flipped, "image/png")
	for what, try := range map[string]struct {
		header http.Header
		body   []byte
	}{
		"another content type":     {with("Content-Type", "text/html"), b},
		"a content type with more": {with("Content-Type", "image/png; charset=x"), b},
		"one byte less":            {q.Header, b[:999]},
		"one byte more":            {q.Header, append(bytes.Clone(b), 1)},
		"nothing":                  {q.Header, nil},
		"other bytes":              {q.Header, flipped},
	} {
		if a := w.do(r.ctx, q.Method, q.URL, try.header, try.body); !a.refused() {
			r.Errorf("%s: %d", what, a.status)
		}
	}
	// Each header that was signed, left out or replaced by that of other bytes.
	for name := range q.Header {
		h := q.Header.Clone()
		h.Del(name)
		if name != "Content-Length" {
			if a := w.do(r.ctx, q.Method, q.URL, h, b); !a.refused() {
				r.Errorf("without %s: %d", name, a.status)
			}
		}
		for _, v := range r.signPut("k", other, time.Minute).Header[name] {
			if v != q.Header.Get(name) {
				if a := w.do(r.ctx, q.Method, q.URL, with(name, v), flipped); !a.refused() {
					r.Errorf("%s and the bytes for it: %d", name, a.status)
				}
			}
		}
	}
	for what, u := range r.tampered(q.URL, "k", "other") {
		if a := w.do(r.ctx, q.Method, u, q.Header, b); !a.refused() {
			r.Errorf("%s: %d", what, a.status)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if a := w.do(r.ctx, method, q.URL, q.Header, b); !a.refused() {
			r.Errorf("%s: %d", method, a.status)
		}
	}
	r.holds("k", nil)
	r.holds("other", nil)
}

func signedExpires(r *room) {
	w := r.web()
	b := Bytes(10, 1)
	r.put("k", b)
	get := r.signGet("k", storage.Get{Expires: time.Second})
	put := r.signPut("new", Object(b, octets), time.Nanosecond)
	time.Sleep(time.Until(put.Expires) + 2*time.Second)
	if a := w.do(r.ctx, http.MethodGet, get, nil, nil); !a.refused() {
		r.Errorf("get: %d", a.status)
	}
	if a := w.do(r.ctx, put.Method, put.URL, put.Header, b); !a.refused() {
		r.Errorf("put: %d", a.status)
	}
	r.holds("new", nil)
}
