package api_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"trellis/api"
	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage"
	"trellis/storage/content"
	"trellis/storage/thumbnail"
)

// camera is a picture of 12 megapixels as a camera would write it: 4:2:0,
// quality 90, more than 4 MB.
var camera = sync.OnceValue(func() []byte {
	const w, h = 4000, 3000
	img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	r := rand.New(rand.NewPCG(1, 2))
	for y := range h {
		for x := range w {
			v := 120 + 60*math.Sin(float64(x)/360)*math.Cos(float64(y)/520)
			if (x/280+y/180)%5 == 0 {
				v *= 0.6
			}
			img.Y[y*img.YStride+x] = uint8(v) + uint8(r.Uint32()%30)
		}
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = uint8(110+i%2000/80)+uint8(r.Uint32()%9), uint8(120+i/60_000)+uint8(r.Uint32()%9)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	return b.Bytes()
})

// another is the same picture with a comment in it, so that its bytes are not
// stored yet.
func another(i int) []byte {
	mark := fmt.Sprintf("%09d", i)
	return bytes.Join([][]byte{camera()[:2], {0xff, 0xfe, 0, byte(len(mark) + 2)}, []byte(mark), camera()[2:]}, nil)
}

// filesWorld has no quotas.
func filesWorld(b *testing.B) *world {
	w := newWorld(b, api.Options{}).sample()
	w.uploads.OrganizationQuota, w.uploads.CreatorQuota = 0, 0
	return w
}

// clocked is what something took: by the clock, and of the processors, which other
// work on the machine disturbs less.
type clocked struct{ wall, cpu []float64 }

func (c *clocked) run(do func()) {
	began, before := time.Now(), cpu()
	do()
	c.wall = append(c.wall, time.Since(began).Seconds()*1000)
	c.cpu = append(c.cpu, float64((cpu()-before).Microseconds())/1000)
}

func (c *clocked) report(b *testing.B, name string) {
	b.ReportMetric(median(c.wall), name+"-ms")
	b.ReportMetric(median(c.cpu), name+"-cpu-ms")
}

// ratio is the median of the ratios of two that were taken in turn.
func ratio(x, y []float64) float64 {
	var out []float64
	for i := range x {
		out = append(out, x[i]/y[i])
	}
	return median(out)
}

// BenchmarkUpload compares sending a picture over HTTP with making its thumbnail
// alone, in turn, and measures the parts of it by themselves.
func BenchmarkUpload(b *testing.B) {
	const rounds = 7
	w, maker := filesWorld(b), thumbnail.New(thumbnail.Limits{})
	c := client(1)
	defer c.CloseIdleConnections()
	spooling := spoolOnly(b, w)
	n := 0
	upload := func(body []byte) {
		mustSend(b, c, w, w.server.URL+v1+"/uploads?parent=organization:acme&filename=a.jpg", body)
	}
	alone := func() {
		_, err := maker.Make(b.Context(), bytes.NewReader(camera()), "image/jpeg", 256)
		must(b, err)
	}
	upload(another(0))
	alone()
	for b.Loop() {
		var sent, made, received clocked
		parts := map[string]*clocked{}
		for range rounds {
			n++
			body := another(n)
			if n%2 == 0 {
				sent.run(func() { upload(body) })
				made.run(alone)
			} else {
				made.run(alone)
				sent.run(func() { upload(body) })
			}
			received.run(func() { mustSend(b, c, w, spooling.URL, body) })
			partsOf(b, w, another(-n), parts)
		}
		b.ReportMetric(float64(len(camera()))/1e6, "MB")
		received.report(b, "receive")
		sent.report(b, "upload")
		made.report(b, "thumbnail")
		b.ReportMetric(ratio(sent.wall, made.wall), "ratio")
		b.ReportMetric(ratio(sent.cpu, made.cpu), "cpu-ratio")
		for name, c := range parts {
			c.report(b, name)
		}
	}
}

// spoolOnly is a server that takes files in and does nothing with them.
func spoolOnly(b *testing.B, w *world) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		f, err := w.uploads.Spool().Take(r.Context(), r.Body, 50<<20)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		rw.WriteHeader(http.StatusCreated)
	}))
	b.Cleanup(s.Close)
	return s
}

func mustSend(b *testing.B, c *http.Client, w *world, url string, body []byte) {
	b.Helper()
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	must(b, err)
	req.Header.Set("Content-Type", "image/jpeg")
	req.Header.Set("Authorization", "Bearer "+w.tokens["root"])
	resp, err := c.Do(req)
	must(b, err)
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
		b.Fatalf("%d %s %v", resp.StatusCode, answer, err)
	}
}

// partsOf does what the service does with a file, one thing after the other.
func partsOf(b *testing.B, w *world, body []byte, parts map[string]*clocked) {
	b.Helper()
	part := func(name string, do func() error) {
		if parts[name] == nil {
			parts[name] = &clocked{}
		}
		parts[name].run(func() { must(b, do()) })
	}
	var f *storage.Spooled
	part("spool", func() (err error) {
		f, err = w.uploads.Spool().Take(b.Context(), bytes.NewReader(body), 50<<20)
		return err
	})
	defer f.Close()
	part("inspect", func() error { _, err := content.Inspect(b.Context(), f, f.Size, "image/jpeg"); return err })
	key := storage.Key(fmt.Sprintf("bench/%x", f.SHA256[:8]))
	part("put", func() error {
		return w.uploads.Blobs().Put(b.Context(), key, f, storage.Object{Size: f.Size, SHA256: f.SHA256, ContentType: "image/jpeg"})
	})
	part("write", func() error {
		_, err := w.graph.Write(b.Context(), graph.Batch{Actor: graph.Root, Steps: []graph.Step{graph.Put(graph.Node{Ref: graph.Ref{Type: identity.User, ID: "bench"}, Props: graph.Props{"name": string(key)}})}})
		return err
	})
}

// found makes answers that lead elsewhere count as such that were found.
type found struct{ http.RoundTripper }

func (f found) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusTemporaryRedirect {
		resp.StatusCode = http.StatusOK
	}
	return resp, err
}

// small is a picture of a few bytes.
func small(b *testing.B) []byte {
	b.Helper()
	var buf bytes.Buffer
	must(b, png.Encode(&buf, image.NewNRGBA(image.Rect(0, 0, 300, 200))))
	return buf.Bytes()
}

// pairOf runs GETs of two paths in turn, and reports the first against the second.
func pairOf(b *testing.B, w *world, token string, connections, requests int, path, plain string) {
	const rounds = 7
	c := client(connections)
	c.Transport = found{c.Transport}
	defer c.CloseIdleConnections()
	run := func(path string, n int) (micros, costs, p50 float64) {
		before := cpu()
		d, took := load(b, c, connections, n, w.server.URL+path, token, nil)
		return float64(d.Microseconds()) / float64(n), float64((cpu() - before).Microseconds()) / float64(n), float64(took[len(took)/2].Microseconds())
	}
	run(path, requests/5+1)
	run(plain, requests/5+1)
	for b.Loop() {
		var wall, cost, p50, wall0, cost0 []float64
		for range rounds {
			x, y, z := run(path, requests)
			x0, y0, _ := run(plain, requests)
			wall, cost, p50, wall0, cost0 = append(wall, x), append(cost, y), append(p50, z), append(wall0, x0), append(cost0, y0)
		}
		b.ReportMetric(ratio(wall, wall0), "ratio")
		b.ReportMetric(ratio(cost, cost0), "cpu-ratio")
		b.ReportMetric(median(p50), "p50-us")
		b.ReportMetric(median(cost), "cpu-us")
		b.ReportMetric(median(cost0), "plain-cpu-us")
	}
}

// BenchmarkReadUpload compares the ways to read a file, or a picture, with a
// plain GET of a node.
func BenchmarkReadUpload(b *testing.B) {
	w := filesWorld(b)
	body := string(small(b))
	id := w.ok("root", "POST", v1+"/uploads?parent=organization:acme", body, "Content-Type", "image/png").json()["id"].(string)
	w.ok("root", "PUT", v1+"/organizations/acme/icon", body, "Content-Type", "image/png")
	org, upload := v1+"/organizations/acme", v1+"/uploads/"+id
	for _, p := range []struct{ name, path, plain string }{
		{"redirect,against=organization", upload, org},
		{"redirect,against=meta", upload, upload + "/meta"},
		{"thumbnail-redirect,against=organization", upload + "/thumbnail", org},
		{"thumbnail-stream,against=organization", upload + "/thumbnail?disposition=stream", org},
		{"icon-set,against=organization", org + "/icon", org},
		{"icon-default,against=organization", v1 + "/organizations/other/icon", org},
	} {
		b.Run(p.name, func(b *testing.B) { pairOf(b, w, w.tokens["root"], 16, 3000, p.path, p.plain) })
	}
}

// BenchmarkListUploads lists 50 of 100,000 uploads, and the three that somebody
// may see.
func BenchmarkListUploads(b *testing.B) {
	const all, batch = 100_000, 2_000
	w := filesWorld(b)
	acme := graph.Ref{Type: identity.Organization, ID: "acme"}
	for i := 0; i < all; i += batch {
		var steps []graph.Step
		for j := range batch {
			r := graph.Ref{Type: identity.Upload, ID: fmt.Sprintf("0%09d", i+j)}
			steps = append(steps, graph.Put(graph.Node{Ref: r, Props: graph.Props{
				identity.PropFilename: "a.png", identity.PropContentType: "image/png", identity.PropSize: int64(1000), identity.PropSHA256: fmt.Sprintf("%064x", i+j), identity.PropState: identity.StateReady,
				identity.PropOwner: acme.String(), identity.PropCreator: "user:acme-owner", "organization": "acme",
			}}), graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: graph.ChildOf, To: acme}}))
		}
		_, err := w.graph.Write(context.Background(), graph.Batch{Actor: graph.Root, Steps: steps})
		must(b, err)
	}
	w.grant("user:nobody", "editor", "organization:other")
	w.ok("root", "PUT", v1+"/roles/sender", `{"name":"Sender","permissions":["upload:create","upload:read"]}`)
	w.grant("user:nobody", "sender", "organization:other")
	for range 3 {
		w.ok("nobody", "POST", v1+"/uploads?parent=organization:other", string(small(b)), "Content-Type", "image/png")
	}
	list, org := v1+"/uploads?limit=50", v1+"/organizations/other"
	for _, q := range []struct{ name, caller, path string }{
		{"first page,administrator", "root", list},
		{"one type,administrator", "root", list + "&content_type=image/png"},
		{"none of that type,administrator", "root", list + "&content_type=image/gif"},
		{"own,administrator", "root", list + "&created_by=user:nobody"},
		{"first page,sees 3", "nobody", list},
		{"one type,sees 3", "nobody", list + "&content_type=image/png"},
	} {
		b.Run(q.name, func(b *testing.B) { pairOf(b, w, w.tokens[q.caller], 1, 100, q.path, org) })
	}
}
