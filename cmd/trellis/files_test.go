package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestFilesTakeLittleMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc here to tell how much memory a process takes")
	}
	if b, ok := debug.ReadBuildInfo(); ok && slices.Contains(b.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		// With the race detector the test binary takes several times as much, so it cannot stand in.
		dir := t.TempDir()
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "trellis"), ".").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	t.Run("hostile", hostileFilesAtOnce)
	t.Run("large", largeFilesAtOnce)
}

// peak is how much memory the process has held at most.
func (p *process) peak(t *testing.T) (megabytes int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes >> 10
}

// hostileFilesAtOnce sends every hostile file there is, 16 at once, in another
// order each round.
func hostileFilesAtOnce(t *testing.T) {
	const most = 256 // MB
	p := startProcess(t, t.TempDir())
	files := hostileFiles(t)
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	others := askedMeanwhile(t, &p.testServer)
	r := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		began := time.Now()
		r.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		atOnce(16, len(files), func(i int) { files[i].send(t, &p.testServer) })
		t.Logf("round %d: %d files in %.1f s, peak %d MB", round, len(files), time.Since(began).Seconds(), p.peak(t))
	}
	t.Logf("%d requests of others were answered meanwhile", others())
	if got := p.peak(t); got > most {
		t.Errorf("the server held %d MB, more than %d", got, most)
	}
}

// askedMeanwhile asks the server for something else all the while; the returned
// function ends that and tells how often it was answered.
func askedMeanwhile(t *testing.T, s *testServer) func() int64 {
	var done atomic.Bool
	var asked atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for ; !done.Load(); time.Sleep(5 * time.Millisecond) {
			if status, answer, err := send(t.Context(), http.MethodGet, s.url+"/api/v1/me", s.token, "me", ""); err != nil || status != http.StatusOK {
				t.Errorf("another request: %d %s %v", status, answer, err)
				return
			}
			asked.Add(1)
		}
	})
	return func() int64 {
		done.Store(true)
		wg.Wait()
		return asked.Load()
	}
}

// atOnce does n things, so many at once.
func atOnce(many, n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// send sends the file, and looks at the answer.
func (h *hostile) send(t *testing.T, s *testServer) {
	status, answer, err := post(t, s, h.name, bytes.NewReader(h.body), int64(len(h.body)))
	if err != nil {
		t.Errorf("%s, %s: %v", h.name, h.about, err)
		return
	}
	var doc struct {
		Type   string
		Status int
		Detail string
	}
	if err := json.Unmarshal(answer, &doc); err != nil {
		t.Errorf("%s, %s: %d %s", h.name, h.about, status, answer)
	}
	refused := status >= 400 && status < 500 && doc.Status == status && strings.HasPrefix(doc.Type, "urn:trellis:problem:")
	switch {
	case h.kept == "" && !refused:
		t.Errorf("%s, %s: %d %s, want a refusal", h.name, h.about, status, answer)
	case h.kept != "" && status != http.StatusCreated:
		t.Errorf("%s, %s: %d %s, although %s", h.name, h.about, status, answer, h.kept)
	}
}

// post sends a file as a part of a form.
func post(t *testing.T, s *testServer, name string, body io.Reader, size int64) (int, []byte, error) {
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	if _, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="file"; filename=%q`, name)}, "Content-Type": {typeOf(name)}}); err != nil {
		return 0, nil, err
	}
	tail := "\r\n--" + form.Boundary() + "--\r\n"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/api/v1/uploads", io.MultiReader(&head, body, strings.NewReader(tail)))
	if err != nil {
		return 0, nil, err
	}
	req.ContentLength = int64(head.Len()) + size + int64(len(tail))
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", form.FormDataContentType())
	return answered(req)
}

// answered makes a request and reads the whole answer.
func answered(req *http.Request) (int, []byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// typeOf is what the ending of a name claims.
func typeOf(name string) string {
	return map[string]string{
		".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".svg": "image/svg+xml", ".pdf": "application/pdf",
	}[filepath.Ext(name)]
}

// file is an honest one.
type file struct {
	name  string
	parts [][]byte
}

func (f file) size() (n int64) {
	for _, p := range f.parts {
		n += int64(len(p))
	}
	return n
}

func (f file) body() io.Reader {
	var all []io.Reader
	for _, p := range f.parts {
		all = append(all, bytes.NewReader(p))
	}
	return io.MultiReader(all...)
}

func (f file) sum() string {
	h := sha256.New()
	_, _ = io.Copy(h, f.body()) // neither side fails
	return hex.EncodeToString(h.Sum(nil))
}

// noise is a PNG of random pixels, of about so many bytes.
func noise(size int) file {
	const width = 1000
	height := size / (3*width + 1)
	pixels := garbage(height * (3*width + 1))
	for y := range height {
		pixels[y*(3*width+1)] = 0 // no filter
	}
	var b bytes.Buffer
	z := stored(&b)
	_, _ = z.Write(pixels) // into memory
	_ = z.Close()
	return file{"noise.png", [][]byte{pngFile(pngChunk("IHDR", ihdr(width, uint32(height), 8, 2, 0)), pngChunk("IDAT", b.Bytes()))}}
}

// marked is the same file with a text in it, so that its bytes are others.
func (f file) marked(text string) file {
	whole, at, mark, over := f.parts[0], 0, []byte(nil), 0
	switch filepath.Ext(f.name) {
	case ".png":
		at, mark = 33, pngChunk("tEXt", []byte("Comment\x00"+text))
	case ".jpg":
		at, mark = 2, append([]byte{0xff, 0xfe, 0, byte(len(text) + 2)}, text...)
	case ".pdf":
		at, mark, over = 1000, []byte("\n%"+text+"\n"), len(text)+3 // where objects are is counted in bytes
	}
	return file{f.name, [][]byte{whole[:at], mark, whole[at+over:]}}
}

// photo is a JPEG of about 10 MB.
func photo(t *testing.T) file {
	t.Helper()
	img := image.NewYCbCr(image.Rect(0, 0, 2700, 2000), image.YCbCrSubsampleRatio420)
	for _, plane := range [][]byte{img.Y, img.Cb, img.Cr} {
		copy(plane, garbage(len(plane)))
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 97}); err != nil {
		t.Fatal(err)
	}
	return file{"photo.jpg", [][]byte{b.Bytes()}}
}

// document is a PDF with an object of that size in it.
func document(size int) file {
	body := bytes.Repeat([]byte("0 0 m 100 100 l S\n"), size/18)
	head := []byte("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\n3 0 obj\n" +
		fmt.Sprintf("<</Length %d>>\nstream\n", len(body)))
	end := []byte("endstream\nendobj\n")
	directory := fmt.Appendf(nil, "xref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(head)+len(body)+len(end))
	return file{"document.pdf", [][]byte{bytes.Join([][]byte{head, body, end, directory}, nil)}}
}

// sender sends a file and returns the id of its upload.
type sender func(t *testing.T, s *testServer, f file) (id string, err error)

var errGone = errors.New("the server is gone")

func sendForm(t *testing.T, s *testServer, f file) (string, error) {
	status, answer, err := post(t, s, f.name, f.body(), f.size())
	return idOf(status, answer, err)
}

// idOf reads the id of what was made.
func idOf(status int, answer []byte, err error) (string, error) {
	var out struct{ ID string }
	if err != nil {
		return "", fmt.Errorf("%w: %w", errGone, err)
	}
	if status >= 300 || json.Unmarshal(answer, &out) != nil {
		return "", fmt.Errorf("%d %s", status, answer)
	}
	return out.ID, nil
}

func sendPresigned(t *testing.T, s *testServer, f file) (string, error) {
	id, err := announce(t, s, f)
	if err != nil {
		return "", err
	}
	return idOf(send(t.Context(), http.MethodPost, s.url+"/api/v1/uploads/"+id+"/complete", s.token, "complete", ""))
}

// announce announces a file and sends it to the address it is given.
func announce(t *testing.T, s *testServer, f file) (string, error) {
	in := fmt.Sprintf(`{"filename":%q,"content_type":%q,"size":%d,"sha256":%q}`, f.name, typeOf(f.name), f.size(), f.sum())
	status, answer, err := send(t.Context(), http.MethodPost, s.url+"/api/v1/uploads/presign", s.token, "presign", in)
	id, err := idOf(status, answer, err)
	if err != nil {
		return "", err
	}
	var out struct {
		Send struct {
			Method, URL string
			Headers     map[string]string
		}
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return "", err
	}
	address, err := url.Parse(s.url)
	if err == nil {
		address, err = address.Parse(out.Send.URL)
	}
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(t.Context(), out.Send.Method, address.String(), f.body())
	if err != nil {
		return "", err
	}
	for name, value := range out.Send.Headers {
		req.Header.Set(name, value)
	}
	req.ContentLength = f.size()
	status, answer, err = answered(req)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errGone, err)
	}
	if status >= 300 {
		return "", fmt.Errorf("%d %s", status, answer)
	}
	return id, nil
}

// largeFilesAtOnce sends 32 files of 10 MB at once, in both ways.
func largeFilesAtOnce(t *testing.T) {
	const files, most = 32, 200 // MB
	large := []file{photo(t), noise(10 << 20), document(10 << 20)}
	ways := map[string]sender{"sent": sendForm, "presigned": sendPresigned}
	if testing.Short() {
		delete(ways, "sent") // the other way takes as much
	}
	for name, send := range ways {
		p := startProcess(t, t.TempDir())
		began := time.Now()
		atOnce(files, files, func(i int) {
			f := large[i%len(large)].marked(strconv.Itoa(i))
			if _, err := send(t, &p.testServer, f); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		})
		got := p.peak(t)
		t.Logf("%s: %d files of %d, %d and %d bytes in %.1f s, peak %d MB", name, files, large[0].size(), large[1].size(), large[2].size(), time.Since(began).Seconds(), got)
		if got > most {
			t.Errorf("%s: the server held %d MB, more than %d", name, got, most)
		}
		p.kill()
	}
}

// sentFiles are what the server has said that it has, by upload: the hashes.
type sentFiles struct {
	mu      sync.Mutex
	stored  map[string]string
	arrived map[string]string // announced and sent, and not known to be complete
	read    map[string]bool   // found after a restart
	count   atomic.Int64
}

func (s *sentFiles) note(where map[string]string, id, sum string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.arrived, id)
	where[id] = sum
}

// work sends files until the server is gone: every other one straight to where
// they are kept.
func (s *sentFiles) work(t *testing.T, server *testServer, base file, name string) {
	for i := 0; ; i++ {
		f := base.marked(fmt.Sprintf("%s-%d", name, i))
		sum := f.sum()
		var id string
		var err error
		if i%2 == 0 {
			id, err = sendForm(t, server, f)
		} else if id, err = announce(t, server, f); err == nil {
			s.note(s.arrived, id, sum)
			_, err = idOf(send(t.Context(), http.MethodPost, server.url+"/api/v1/uploads/"+id+"/complete", server.token, "complete", ""))
		}
		if errors.Is(err, errGone) {
			return
		}
		if err != nil {
			t.Errorf("sending %s-%d: %v", name, i, err)
			return
		}
		s.note(s.stored, id, sum)
		s.count.Add(1)
	}
}

// check looks for everything that is listed and everything that the server has
// said it has, on a server that was started anew.
func (s *sentFiles) check(t *testing.T, server *testServer) {
	t.Helper()
	for id, sum := range s.arrived {
		// What was sent and acknowledged can still be completed.
		got, err := idOf(send(t.Context(), http.MethodPost, server.url+"/api/v1/uploads/"+id+"/complete", server.token, "complete", ""))
		if got != id || err != nil {
			t.Errorf("completing %s after the restart: %v", id, err)
			continue
		}
		s.stored[id] = sum
	}
	clear(s.arrived)
	listed := map[string]string{}
	for next := "?limit=200"; next != ""; {
		var page struct {
			Items      []struct{ ID, State, SHA256 string }
			NextCursor string `json:"next_cursor"`
		}
		if status := server.get(t, "/api/v1/uploads"+next, &page); status != http.StatusOK {
			t.Fatalf("the list: %d", status)
		}
		for _, u := range page.Items {
			if u.State == "ready" {
				listed[u.ID] = u.SHA256
			}
		}
		if next = ""; page.NextCursor != "" {
			next = "?limit=200&cursor=" + url.QueryEscape(page.NextCursor)
		}
	}
	for id, sum := range s.stored {
		if listed[id] != sum {
			t.Errorf("%s was acknowledged as %s, and is listed as %q", id, sum, listed[id])
		}
	}
	for id, sum := range listed {
		if s.read[id] {
			continue
		}
		s.read[id] = true
		status, b, err := send(t.Context(), http.MethodGet, server.url+"/api/v1/uploads/"+id+"?disposition=stream", server.token, "read", "")
		got := sha256.Sum256(b)
		if err != nil || status != http.StatusOK || hex.EncodeToString(got[:]) != sum {
			t.Errorf("the bytes of %s: %d, %d bytes, %v", id, status, len(b), err)
		}
		status, b, err = send(t.Context(), http.MethodGet, server.url+"/api/v1/uploads/"+id+"/thumbnail?disposition=stream", server.token, "picture", "")
		if err != nil || status != http.StatusOK {
			t.Errorf("the thumbnail of %s: %d %s %v", id, status, b, err)
		}
	}
}

// TestNoAcknowledgedFileIsLostWhenTheProcessIsKilled kills the server in the
// middle of eight uploads, again and again.
func TestNoAcknowledgedFileIsLostWhenTheProcessIsKilled(t *testing.T) {
	kills := 5
	if testing.Short() {
		kills = 3
	}
	data, token := t.TempDir(), ""
	base := noise(200_000)
	sent := &sentFiles{stored: map[string]string{}, arrived: map[string]string{}, read: map[string]bool{}}
	for round := range kills {
		p := startProcess(t, data)
		if round > 0 {
			p.token = token
			sent.check(t, &p.testServer)
		}
		token = p.token
		before := sent.count.Load()
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() { sent.work(t, &p.testServer, base, fmt.Sprintf("%d-%d", round, w)) })
		}
		if !eventually(func() bool { return sent.count.Load() > before+4 }) {
			t.Fatal("nothing is stored")
		}
		time.Sleep(rand.N(100 * time.Millisecond)) // random points are the test
		p.kill()
		wg.Wait()
	}
	p := startProcess(t, data)
	p.token = token
	t.Logf("%d files were acknowledged, %d more had been sent", len(sent.stored), len(sent.arrived))
	clear(sent.read)
	sent.check(t, &p.testServer)
}
