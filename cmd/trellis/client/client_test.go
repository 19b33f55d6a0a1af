package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/cmd/trellis/client"
	"trellis/graph"
)

const token = "tk_hush_hush"

// server answers with the handlers one after the other, the last one for ever.
func server(t *testing.T, handlers ...http.HandlerFunc) *client.Client {
	t.Helper()
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := handlers[0]
		if len(handlers) > 1 {
			handlers = handlers[1:]
		}
		mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	c, err := client.New(s.URL, token, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestAProblemIsToldWithItsLines(t *testing.T) {
	c := server(t, answer(422, `{"type":"x","title":"The input is not valid","detail":"the body is not valid","request_id":"r1","errors":[{"pointer":"/a","detail":"is wrong"},{"parameter":"b","detail":"too"}]}`))
	err := c.Get(t.Context(), "/x", nil, nil)
	if want := "the body is not valid\n  /a: is wrong\n  b: too\n  request id: r1"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if graph.KindOf(err) != graph.Invalid {
		t.Errorf("the kind is %v", graph.KindOf(err))
	}
}

func TestAnAnswerThatIsNoneOfTrellisIsAnError(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"page":  answer(200, "<html>"),
		"error": answer(502, "<html>bad gateway"),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		},
	} {
		var out struct{}
		err := server(t, h).Get(t.Context(), "/x", nil, &out)
		if err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A server that cannot answer now, or whose answer broke off, is asked again:
// a write that must not be repeated under the same key.
func TestARequestIsRepeatedUnderTheSameKey(t *testing.T) {
	got := make(chan string, 3)
	note := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			got <- r.Header.Get("Idempotency-Key")
			h(w, r)
		}
	}
	taken := func() (keys []string) {
		for len(got) > 0 {
			keys = append(keys, <-got)
		}
		return keys
	}
	c := server(t, note(answer(503, "")), note(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), note(answer(200, "{}")))
	if err := c.PostOnce(t.Context(), "/x", 1, nil); err != nil {
		t.Fatal(err)
	}
	if keys := taken(); len(keys) != 3 || keys[0] == "" || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Errorf("keys %q", keys)
	}
	if err := c.PostOnce(t.Context(), "/x", 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Post(t.Context(), "/x", 1, nil); err != nil {
		t.Fatal(err)
	}
	if keys := taken(); len(keys) != 2 || keys[0] == "" || keys[1] != "" {
		t.Errorf("keys %q", keys)
	}
}

func TestARefusalIsNotRepeated(t *testing.T) {
	n := 0
	c := server(t, func(w http.ResponseWriter, _ *http.Request) { n++; w.WriteHeader(http.StatusConflict) })
	var p *client.Problem
	if err := c.Post(t.Context(), "/x", 1, nil); !errors.As(err, &p) || p.Status != 409 || n != 1 {
		t.Errorf("%d requests, %v", n, err)
	}
}

func TestAListIsReadPageByPage(t *testing.T) {
	var asked []string
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		if r.URL.Query().Get("cursor") == "" {
			fmt.Fprint(w, `{"items":["a","b"],"next_cursor":"2"}`)
			return
		}
		fmt.Fprint(w, `{"items":["c"]}`)
	})
	var got []string
	err := client.List(t.Context(), c, "/x", url.Values{"type": {"t"}}, func(s string) error { got = append(got, s); return nil })
	if err != nil || !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if d := cmp.Diff([]string{"limit=1000&type=t", "cursor=2&limit=1000&type=t"}, asked); d != "" {
		t.Error(d)
	}
	c = server(t, answer(200, `{"items":[],"next_cursor":"2"}`))
	if err := client.List(t.Context(), c, "/x", nil, func(string) error { return nil }); err == nil {
		t.Error("a list that repeats itself did not end with an error")
	}
}

func TestAWrongAddressIsRefused(t *testing.T) {
	for _, base := range []string{"localhost:8080", "ftp://x", "http://", "://"} {
		if _, err := client.New(base, "", ""); err == nil || !strings.Contains(err.Error(), "TRELLIS_URL is") {
			t.Errorf("%s: got %v", base, err)
		}
	}
	if _, err := client.New("", "a b", ""); err == nil || strings.Contains(err.Error(), "a b") {
		t.Errorf("got %v", err)
	}
}

// A long answer that breaks off cannot be taken for a whole one.
func TestAnOpenedAnswerEndsOnlyWhenItIsWhole(t *testing.T) {
	const typ = "text/csv"
	part := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", typ+"; charset=utf-8")
		fmt.Fprint(w, "a,b\n")
		w.(http.Flusher).Flush()
	}
	read := func(c *client.Client) (string, error) {
		body, err := c.Open(t.Context(), "/x", nil, typ)
		if err != nil {
			return "", err
		}
		defer body.Close()
		b, err := io.ReadAll(body)
		return string(b), err
	}
	if got, err := read(server(t, answer(503, ""), part)); got != "a,b\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	cut := func(w http.ResponseWriter, r *http.Request) { part(w, r); panic(http.ErrAbortHandler) }
	if got, err := read(server(t, cut)); got != "a,b\n" || err == nil {
		t.Errorf("cut off: got %q, %v", got, err)
	}
	if _, err := read(server(t, answer(200, "a,b\n"))); err == nil {
		t.Error("an answer of another type was taken")
	}
	var p *client.Problem
	if _, err := read(server(t, answer(403, `{"title":"no"}`))); !errors.As(err, &p) || p.Status != 403 {
		t.Errorf("got %v", err)
	}
}

func TestRequestsAreNamedAsAsked(t *testing.T) {
	var ids []string
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		ids = append(ids, r.Header.Get("X-Request-ID"))
		fmt.Fprint(w, "{}")
	})
	c.RequestIDs = "mine-"
	for range 2 {
		if err := c.Get(t.Context(), "/x", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(ids, []string{"mine-1", "mine-2"}) {
		t.Errorf("got %q", ids)
	}
}
