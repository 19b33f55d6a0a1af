package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"trellis/api"
	"trellis/auth"
	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
	"trellis/graph/permission"
	"trellis/graph/sqlitegraph"
	"trellis/storage"
	"trellis/storage/filestorage"
	"trellis/storage/thumbnail"
	"trellis/storage/uploads"
)

const bootstrapKey = "bootstrap-key-of-the-tests-0123456789"

// world is the whole service in one process, on SQLite.
type world struct {
	t       testing.TB
	store   graph.Store
	graph   *graph.Graph
	index   *permission.Index
	catalog *catalog.Index
	keys    *auth.Keys
	id      *identity.Service
	uploads *uploads.Service
	files   string // the directory of their bytes
	vars    map[string]string
	handler http.Handler
	server  *httptest.Server
	client  *http.Client
	logs    *bytes.Buffer
	clock   func() time.Time
	tokens  map[string]string // by name of the caller

	unprepared atomic.Bool

	log      *slog.Logger
	auditing *auditing // nil if nothing is recorded
	requests atomic.Int64
	restart  func() // makes the API anew, with nothing in its memory
}

func newWorld(t testing.TB, o api.Options) *world {
	t.Helper()
	store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	must(t, err)
	return worldOn(t, store, o)
}

func worldOn(t testing.TB, store graph.Store, o api.Options) *world {
	t.Helper()
	return buildWorld(t, store, o, nil)
}

func buildWorld(t testing.TB, store graph.Store, o api.Options, a *auditing) *world {
	t.Helper()
	w := &world{t: t, store: store, logs: &bytes.Buffer{}, tokens: map[string]string{"root": bootstrapKey}, vars: map[string]string{}, files: t.TempDir(), clock: time.Now}
	now := func() time.Time { return w.clock() }
	log := slog.New(slog.NewTextHandler(w.logs, nil))
	w.log, w.auditing = log, a
	secrets, err := auth.NewSecrets(strings.Repeat("s", 32))
	must(t, err)
	w.keys, err = auth.NewKeys(secrets, bootstrapKey, now)
	must(t, err)
	w.index, w.catalog = permission.New(), catalog.New()
	blueprints, ledger := catalog.NewBlueprints(), uploads.NewLedger()
	w.graph = graph.New(store, graph.Options{Poll: 20 * time.Millisecond, Log: log}, w.index, w.catalog, blueprints, w.keys, ledger)
	w.id = identity.New(w.graph, func() identity.Authority { return w.index.View() }, identity.Options{Now: now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() }, Sealer: secrets, Rules: []identity.Rule{blueprints}})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = w.graph.Sync(ctx)
	must(t, err)
	must(t, w.id.Bootstrap(ctx))
	_, err = w.graph.Write(ctx, graph.Batch{Actor: graph.Root, Steps: auth.BootstrapSteps(identity.RoleAdmin)})
	must(t, err)
	d := api.Deps{Graph: w.graph, Index: w.index, Catalog: w.catalog, Blueprints: blueprints, Identity: w.id, Keys: w.keys, Secrets: secrets, Now: now, Log: log, Prepared: func() bool { return !w.unprepared.Load() }}
	blobs, err := filestorage.Open(w.files, filestorage.Options{Now: now})
	must(t, err)
	arriving := t.TempDir()
	spool, err := storage.NewSpool(arriving)
	must(t, err)
	w.uploads = uploads.New(uploads.Parts{Graph: w.graph, Identity: w.id, Ledger: ledger, Blobs: blobs, Spool: spool, Maker: thumbnail.New(thumbnail.Limits{})},
		uploads.Options{Now: now, Log: log, OrganizationQuota: 10 << 20, CreatorQuota: 20 << 20})
	d.Uploads = w.uploads
	closeAudit := func() {}
	if a != nil {
		a.secrets = secrets
		closeAudit = a.open(t, w)
		d.Audit, d.Sink, d.Changes = a.log, a.sink, a.changes
	}
	w.restart = func() {
		d.Registry = nil
		w.handler, err = api.New(d, o)
		must(t, err)
	}
	w.restart()
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.handler.ServeHTTP(rw, r) }))
	w.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.Response.StatusCode == http.StatusTemporaryRedirect {
			return http.ErrUseLastResponse // tests look at addresses of files
		}
		return nil
	}}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		w.server.CloseClientConnections()
		w.server.Close()
		closeAudit()
		w.graph.Close()
		must(t, store.Close())
		must(t, blobs.Close())
		left, err := os.ReadDir(arriving)
		if must(t, err); len(left) > 0 {
			t.Errorf("%v was left where files arrive", left)
		}
		if t.Failed() {
			t.Log(w.logs.String())
		}
	})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// header pairs follow the body: "If-Match", `"3"`.
func (w *world) do(as, method, path, body string, header ...string) answer {
	w.t.Helper()
	req, err := http.NewRequest(method, w.server.URL+path, strings.NewReader(body))
	must(w.t, err)
	if body == "" {
		req.Body, req.ContentLength = nil, 0
	}
	if as != "" {
		token, ok := w.tokens[as]
		if !ok {
			w.t.Fatalf("no key of %s", as)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	resp, err := w.client.Do(req)
	must(w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return answer{w.t, resp.StatusCode, resp.Header, b}
}

// ok is do that must succeed.
func (w *world) ok(as, method, path, body string, header ...string) answer {
	w.t.Helper()
	a := w.do(as, method, path, body, header...)
	if a.status >= 300 {
		w.t.Fatalf("%s %s as %s: %d %s", method, path, as, a.status, a.body)
	}
	return a
}

func (a answer) json() map[string]any {
	a.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
	return m
}

func (a answer) problem() string {
	a.t.Helper()
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		a.t.Fatalf("%d with %s: %s", a.status, ct, a.body)
	}
	m := a.json()
	if m["request_id"] != a.header.Get("X-Request-Id") || m["status"] != float64(a.status) || m["title"] == "" {
		a.t.Fatalf("the problem document is not complete: %s", a.body)
	}
	return strings.TrimPrefix(m["type"].(string), "urn:trellis:problem:")
}

func (w *world) head() graph.Revision {
	w.t.Helper()
	i, err := w.graph.Store().Info(context.Background())
	must(w.t, err)
	return i.Head
}

// user makes a user with a key of its own.
func (w *world) user(name string) graph.Ref {
	w.t.Helper()
	w.ok("root", "PUT", "/api/v1/users/"+name, fmt.Sprintf(`{"name":%q,"email":"%s@example.com"}`, name, name))
	w.key("user", name)
	return graph.Ref{Type: identity.User, ID: name}
}

func (w *world) key(typ, id string) {
	w.t.Helper()
	a := w.ok("root", "POST", "/api/v1/api-keys", fmt.Sprintf(`{"name":"test","owner":"%s:%s"}`, typ, id))
	w.tokens[id] = a.json()["token"].(string)
}

func (w *world) grant(subject, role, resource string) {
	w.t.Helper()
	w.ok("root", "PUT", "/api/v1/grants", fmt.Sprintf(`{"subject":%q,"role":%q,"resource":%q}`, subject, role, resource))
}

// sample fills the world: organizations acme and other, each with a team, a
// repository and people: an owner, a developer (of acme) and an outsider.
func (w *world) sample() *world {
	w.t.Helper()
	w.ok("root", "POST", "/api/v1/resource-types", `{"id":"repo","name":"Repository","parents":["organization","team"],"actions":["push"]}`)
	w.ok("root", "PUT", "/api/v1/roles/editor", `{"name":"Editor","permissions":["repo:read","repo:update","repo:push","organization:read","team:read"]}`)
	for _, org := range []string{"acme", "other"} {
		w.ok("root", "PUT", "/api/v1/organizations/"+org, `{"name":"`+org+`"}`)
		w.ok("root", "PUT", "/api/v1/organizations/"+org+"/teams/"+org+"-core", `{"name":"Core","slug":"core"}`)
		w.ok("root", "PUT", "/api/v1/resources/repo/"+org+"%2Fmain", `{"name":"Main","parents":["organization:`+org+`"]}`)
		w.user(org + "-owner")
		w.grant("user:"+org+"-owner", "owner", "organization:"+org)
		w.user(org + "-editor")
		w.grant("user:"+org+"-editor", "editor", "organization:"+org)
	}
	w.user("nobody")
	return w
}
