package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trellis/api"
	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

// flaky is a store that can be taken away.
type flaky struct {
	graph.Store
	away atomic.Bool
}

func (f *flaky) err() error {
	if f.away.Load() {
		return graph.Errorf(graph.Unavailable, "the store is away")
	}
	return nil
}

func (f *flaky) Info(ctx context.Context) (graph.Info, error) {
	if err := f.err(); err != nil {
		return graph.Info{}, err
	}
	return f.Store.Info(ctx)
}

func (f *flaky) Changes(ctx context.Context, after graph.Revision, n int) ([]graph.Change, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	return f.Store.Changes(ctx, after, n)
}

func (f *flaky) Commit(ctx context.Context, b []graph.Batch) ([]graph.Result, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	return f.Store.Commit(ctx, b)
}

func (f *flaky) Nodes(ctx context.Context, r []graph.Ref) ([]graph.Node, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	return f.Store.Nodes(ctx, r)
}

func TestChecksGoOnWhileTheStoreIsAway(t *testing.T) {
	s, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "g.db"), sqlitegraph.Options{})
	must(t, err)
	f := &flaky{Store: s}
	w := worldOn(t, f, api.Options{}).sample()
	question := `{"permission":"repo:push","resource":"repo:acme/main"}`
	f.away.Store(true)
	deadline := time.Now().Add(time.Minute)
	for w.ok("acme-owner", "POST", v1+"/access/check", question).json()["stale"] != true {
		if time.Now().After(deadline) {
			t.Fatal("the answer never said that it is stale")
		}
		time.Sleep(20 * time.Millisecond)
	}
	a := w.ok("acme-owner", "POST", v1+"/access/check", question)
	if _, ok := a.json()["stale_seconds"]; !ok || a.json()["allowed"] != true {
		t.Errorf("%s", a.body)
	}
	for _, r := range []scenario{
		{"root", "PATCH", v1 + "/users/nobody", `{"name":"x"}`, 503, "unavailable", nil},
		{"root", "POST", v1 + "/users", `{"name":"x"}`, 503, "unavailable", nil},
		{"acme-owner", "POST", v1 + "/access/check", strings.Replace(question, "}", `,"consistency":"fully_consistent"}`, 1), 503, "unavailable", nil},
	} {
		w.run([]scenario{r})
		if a := w.do(r.as, r.method, r.path, r.body); a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "is away") {
			t.Errorf("%v %s", a.header, a.body)
		}
	}
	if a := w.do("", "GET", "/readyz", ""); a.status != 200 || !strings.Contains(string(a.body), "no answer") {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	f.away.Store(false)
	for w.do("acme-owner", "POST", v1+"/access/check", question).json()["stale"] == true {
		if time.Now().After(deadline.Add(time.Minute)) {
			t.Fatal("the answer stays stale")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestAnAnswerIsAsFreshAsTheLastWrite(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	question := `{"permission":"repo:push","resource":"repo:acme/main"}`
	for range 5 {
		token := w.ok("root", "PUT", v1+"/grants", `{"subject":"user:nobody","resource":"repo:acme/main","role":"editor"}`).header.Get("Trellis-Revision")
		a := w.ok("nobody", "POST", v1+"/access/check", strings.Replace(question, "}", `,"consistency":{"mode":"at_least_as_fresh","revision":"`+token+`"}}`, 1))
		if a.json()["allowed"] != true || a.json()["revision"] != a.header.Get("Trellis-Revision") {
			t.Errorf("after the grant: %s", a.body)
		}
		w.ok("root", "DELETE", v1+"/grants?subject=user:nobody&resource=repo:acme/main&role=editor", "")
		if a := w.ok("nobody", "POST", v1+"/access/check", question); a.json()["allowed"] != false {
			t.Errorf("after the revocation: %s", a.body)
		}
	}
}

func TestListsComeInPagesOrWhole(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	var muts []string
	for i := range 23 {
		muts = append(muts, fmt.Sprintf(`{"op":"put","node":"repo:acme/é\"%02d","data":{"parents":["organization:acme"]}}`, i))
	}
	w.ok("root", "POST", v1+"/batch", `{"mutations":[`+strings.Join(muts, ",")+`]}`)
	for path, want := range map[string]int{
		"/access/resources?type=repo&permission=repo:read":                                  24,
		"/access/resources?type=repo&permission=repo:read&subject=user:acme-editor":         24,
		"/access/subjects?permission=repo:read&resource=repo:acme%2Fmain":                   2,
		"/access/permissions?resource=repo:acme/main&subject=user:acme-editor":              5,
		"/access/subjects?permission=repo:read&resource=repo:acme%2Fmain&type=organization": 0,
		"/access/resources?type=repo&permission=repo:read&consistency=fully_consistent":     24,
		"/access/resources?type=repo&permission=repo:read&subject=user:nobody":              0,
		"/resources/repo":                    24,
		"/users":                             1,
		"/permissions":                       -1,
		"/resource-types":                    -1,
		"/roles":                             -1,
		"/grants?resource=organization:acme": 2,
	} {
		all := -1
		for _, size := range []int{1000, 1, 7, 23, 24, 25} {
			got, cursor, pages := []string{}, "", 0
			for {
				u := path
				if strings.Contains(u, "?") {
					u += "&"
				} else {
					u += "?"
				}
				u += fmt.Sprintf("limit=%d", size)
				if cursor != "" {
					u += "&cursor=" + cursor
				}
				var page struct {
					Items []json.RawMessage
					Next  string `json:"next_cursor"`
				}
				must(t, json.Unmarshal(w.ok("acme-owner", "GET", v1+u, "").body, &page))
				for _, it := range page.Items {
					got = append(got, string(it))
				}
				if pages++; page.Next == "" || pages > 200 {
					break
				}
				cursor = page.Next
			}
			if all < 0 {
				all = len(got)
			}
			seen := map[string]bool{}
			for _, g := range got {
				seen[g] = true
			}
			if len(got) != all || len(seen) != len(got) || want >= 0 && len(got) != want {
				t.Errorf("%s in pages of %d: %d items, want %d", path, size, len(got), want)
			}
		}
	}
	a := w.ok("acme-owner", "GET", v1+"/access/resources?type=repo&permission=repo:read", "", "Accept", "application/x-ndjson")
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	if len(lines) != 25 || !strings.HasPrefix(lines[24], `{"end":true,"count":24,"revision":"`) || a.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d lines: %s", len(lines), a.body)
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("not JSON: %s", l)
		}
	}
}

func TestChangesAreStreamedWithoutSecrets(t *testing.T) {
	w := newWorld(t, api.Options{Heartbeat: 30 * time.Millisecond}).sample()
	start := w.ok("root", "GET", v1+"/me", "").header.Get("Trellis-Revision")
	follow := func(header, value string) (*bufio.Scanner, func()) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+v1+"/changes", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+w.tokens["root"])
		if header != "" {
			req.Header.Set(header, value)
		}
		resp, err := w.client.Do(req) //nolint:bodyclose // the function returned closes it
		must(t, err)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%d %v", resp.StatusCode, resp.Header)
		}
		sc := bufio.NewScanner(resp.Body)
		sc.Buffer(nil, 1<<20)
		return sc, func() { cancel(); resp.Body.Close() }
	}
	next := func(sc *bufio.Scanner) (id string, ev api.ChangeEvent, raw string) {
		for sc.Scan() {
			if v, ok := strings.CutPrefix(sc.Text(), "id: "); ok {
				id = v
			}
			if v, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
				must(t, json.Unmarshal([]byte(v), &ev))
				return id, ev, v
			}
		}
		t.Fatal("the stream ended: ", sc.Err())
		return
	}
	sc, done := follow("Last-Event-ID", start)
	defer done()
	w.ok("root", "PATCH", v1+"/users/nobody", `{"name":"Somebody"}`, "X-Request-Id", "req-1")
	id, ev, _ := next(sc)
	if ev.RequestID != "req-1" || ev.Actor.String() != "service_account:bootstrap" || len(ev.Entries) != 1 || ev.Entries[0].Before["name"] != "nobody" || ev.Entries[0].After["name"] != "Somebody" || id != ev.Revision {
		t.Errorf("%s %+v", id, ev)
	}
	key := w.ok("root", "POST", v1+"/api-keys", `{"name":"k","owner":"user:nobody"}`, "Idempotency-Key", "secret-key").json()
	second, ev, raw := next(sc)
	if strings.Contains(raw, "hash") || strings.Contains(raw, key["token"].(string)[20:]) || strings.Contains(raw, "idempotency_key") || strings.Contains(raw, "sealed") {
		t.Errorf("%s", raw)
	}
	if len(ev.Entries) != 2 || ev.Entries[0].Node.String() != "api_key:"+key["id"].(string) {
		t.Errorf("%s", raw)
	}
	// A heartbeat comes while nothing happens.
	for sc.Scan() && !strings.HasPrefix(sc.Text(), ": alive") {
	}
	// Who reconnects misses nothing.
	again, done2 := follow("Last-Event-ID", id)
	defer done2()
	if got, _, _ := next(again); got != second {
		t.Errorf("after %s came %s, want %s", id, got, second)
	}
	// Who loses the right loses the stream.
	w.ok("root", "DELETE", v1+"/grants?subject=service_account:bootstrap&resource=platform:root&role=admin", "")
	for again.Scan() {
	}
}

// A store without the system's roles yet would refuse even administrators:
// until it is prepared, nobody is answered at all.
func TestNobodyIsAnsweredBeforeTheStoreIsPrepared(t *testing.T) {
	w := newWorld(t, api.Options{})
	w.unprepared.Store(true)
	for _, path := range []string{"/readyz", "/api/v1/users", "/api/v1/me"} {
		if a := w.do("root", "GET", path, ""); a.status != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := w.do("", "GET", "/livez", ""); a.status != 200 {
		t.Errorf("livez: %d", a.status)
	}
	w.unprepared.Store(false)
	if a := w.do("root", "GET", "/readyz", ""); a.status != 200 {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
}

func TestATrimmedFeedIsGone(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	start := strings.SplitN(w.ok("root", "GET", v1+"/me", "").header.Get("Trellis-Revision"), ".", 2)[0] + ".1"
	key := []string{"Idempotency-Key", "k"}
	w.ok("root", "POST", v1+"/groups", `{"name":"G"}`, key...)
	if _, err := w.graph.Store().Trim(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	head := w.head()
	w.run([]scenario{
		{"root", "GET", v1 + "/changes?after=" + start, "", 410, "gone", nil},
		// Carried out once, although the answer is no longer known.
		{"root", "POST", v1 + "/groups", `{"name":"G"}`, 409, "idempotency-forgotten", key},
	})
	if w.head() != head {
		t.Error("something was written")
	}
}
