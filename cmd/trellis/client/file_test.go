package client_test

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"trellis/cmd/trellis/client"
)

// file is one that holds text.
func file(name, text string) client.File {
	return client.File{Name: name, Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

// parts reads a form, part by part.
func parts(t *testing.T, r *http.Request) string {
	t.Helper()
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Error(err)
	}
	var got strings.Builder
	for form := multipart.NewReader(r.Body, params["boundary"]); ; {
		p, err := form.NextPart()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			return got.String()
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Error(err)
		}
		got.WriteString(p.FormName() + "(" + p.FileName() + ")=" + string(b) + ";")
	}
}

func TestAFileIsSentWithItsFields(t *testing.T) {
	for _, size := range []int64{-1, 5} {
		c := server(t, func(w http.ResponseWriter, r *http.Request) {
			if known := r.ContentLength >= 0; known != (size >= 0) {
				t.Errorf("the length is %d", r.ContentLength)
			}
			if got := parts(t, r); got != `parent()=group:x;file(a "b".png)=hello;` {
				t.Errorf("got %s", got)
			}
			_, _ = io.WriteString(w, `{"id":"1"}`)
		})
		f := file(`a "b".png`, "hello")
		f.Size = size
		var out struct{ ID string }
		if err := c.SendFile(t.Context(), http.MethodPost, "/x", map[string]string{"parent": "group:x"}, f, &out); err != nil || out.ID != "1" {
			t.Errorf("got %v, %v", out, err)
		}
	}
}

// A file is sent again from its beginning, under the same key, unless it can
// be read only once.
func TestAFileIsSentAgain(t *testing.T) {
	var keys []string
	away := func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	there := func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if got := parts(t, r); got != "file(a)=hello;" {
			t.Errorf("got %s", got)
		}
		_, _ = io.WriteString(w, `{}`)
	}
	c := server(t, away, there)
	if err := c.SendFile(t.Context(), http.MethodPost, "/x", nil, file("a", "hello"), nil); err != nil {
		t.Fatal(err)
	}
	if len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] {
		t.Errorf("keys %q", keys)
	}
	once := file("a", "hello")
	once.Once = true
	var p *client.Problem
	if err := server(t, away, there).SendFile(t.Context(), http.MethodPut, "/x", nil, once, nil); !errors.As(err, &p) || p.Status != 503 {
		t.Errorf("got %v", err)
	}
	if keys[2] != "" {
		t.Error("a PUT has a key")
	}
}

// A server that does not want the file says so before it is sent.
func TestARefusedFileIsNotSent(t *testing.T) {
	c := server(t, answer(413, `{"title":"no"}`))
	f := file("a", "")
	f.Size, f.Open = 1<<40, func() (io.ReadCloser, error) { return io.NopCloser(unread{t}), nil }
	var p *client.Problem
	if err := c.SendFile(t.Context(), http.MethodPost, "/x", nil, f, nil); !errors.As(err, &p) || p.Status != 413 {
		t.Errorf("got %v", err)
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the file was read")
	return 0, io.EOF
}

// What is wrong with the file is no reason to try again, and nothing that the
// server could take for a whole file is sent.
func TestAFileThatChangesOrBreaksIsNotSent(t *testing.T) {
	broken := errors.New("the disk is gone")
	for name, f := range map[string]client.File{
		"shorter": {Name: "shorter", Size: 9, Open: file("", "hello").Open},
		"longer":  {Name: "longer", Size: 3, Open: file("", "hello").Open},
		"broken": {Name: "broken", Size: -1, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("hel"), failing{broken})), nil
		}},
		"gone": {Name: "gone", Size: 3, Open: func() (io.ReadCloser, error) { return nil, broken }},
	} {
		n := 0
		c := server(t, func(_ http.ResponseWriter, r *http.Request) {
			n++
			if _, err := io.ReadAll(r.Body); err == nil {
				t.Errorf("%s: a whole body came", name)
			}
		})
		err := c.SendFile(t.Context(), http.MethodPost, "/x", nil, f, nil)
		if err == nil || n > 1 || !errors.Is(err, broken) && !strings.Contains(err.Error(), name+" was changed while it was sent") {
			t.Errorf("%s: %d requests, %v", name, n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestADownloadEndsOnlyWhenItIsWhole(t *testing.T) {
	c := server(t, answer(503, ""), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "hello")
	})
	body, size, err := c.Download(t.Context(), "/x", nil)
	if err != nil || size != 9 {
		t.Fatal(size, err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); err == nil {
		t.Errorf("got %q", b)
	}
}
