package uploads_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crypto/rand"

	"github.com/google/uuid"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/neo4jgraph"
	"trellis/graph/neo4jgraph/neo4jtest"
	"trellis/graph/permission"
	"trellis/graph/sqlitegraph"
	"trellis/storage"
	"trellis/storage/filestorage"
	"trellis/storage/s3storage"
	"trellis/storage/storagetest"
	"trellis/storage/thumbnail"
	"trellis/storage/uploads"
)

var quiet = slog.New(slog.DiscardHandler)

var (
	root = graph.Ref{Type: identity.ServiceAccount, ID: "root"}
	acme = graph.Ref{Type: identity.Organization, ID: "acme"}
)

// site is where a graph and its files are: two addresses, which any number of
// processes open, and a directory for what arrives.
type site struct{ graph, files, dir string }

// newSite is one of SQLite and a directory, where nothing has been written.
func newSite(t testing.TB) site {
	t.Helper()
	return siteIn(t.TempDir())
}

func siteIn(dir string) site {
	return site{filepath.Join(dir, "graph.db"), filepath.Join(dir, "files"), dir}
}

// settled is a site on which nothing but settle was done, to be copied.
var settled = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "trellis-uploads-")
	if err != nil {
		return "", err
	}
	_, stop, err := siteIn(dir).open(setup{})
	if err != nil {
		return dir, err
	}
	stop()
	return dir, nil
})

// settledSite is a copy of one that has been settled: they all have one store id.
func settledSite(t testing.TB) site {
	t.Helper()
	dir, err := settled()
	must(t, err)
	return siteIn(dir).copy(t)
}

// copy copies a site of SQLite and a directory that no process has open.
func (s site) copy(t testing.TB) site {
	t.Helper()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(s.dir)))
	return siteIn(dir)
}

// onEngines runs a test on both engines of the graph, on an empty site each.
func onEngines(t *testing.T, run func(t *testing.T, s site)) {
	t.Run("sqlite", func(t *testing.T) { run(t, settledSite(t)) })
	t.Run("neo4j", func(t *testing.T) {
		s := newSite(t)
		if s.graph = os.Getenv("TRELLIS_TEST_NEO4J_URL"); s.graph == "" {
			t.Skip("TRELLIS_TEST_NEO4J_URL is not set: nothing on Neo4j was tested (the database it names is emptied)")
		}
		neo4jtest.Wipe(t, s.graph)
		run(t, s)
	})
}

// Servers for tests: LocalStack, and one that checks more.
const (
	localStack = "TRELLIS_TEST_S3_URL"
	versity    = "TRELLIS_TEST_VERSITY_URL"
)

// bucket is a prefix of the test's own on a real S3, emptied when it ends.
func bucket(t testing.TB, variable string) string {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		t.Skipf("%s is not set: nothing is tried on a real S3", variable)
	}
	head, query, _ := strings.Cut(address, "?")
	address = strings.TrimSuffix(head, "/") + "/u-" + strings.ToLower(rand.Text()) + "?" + query
	t.Cleanup(func() {
		b, err := openBlobs(address, nil)
		must(t, err)
		defer b.Close()
		for {
			list, err := b.List(context.Background(), "", "", 1000)
			must(t, err)
			if len(list) == 0 {
				return
			}
			keys := make([]storage.Key, len(list))
			for i := range list {
				keys[i] = list[i].Key
			}
			must(t, b.Delete(context.Background(), keys...))
		}
	})
	return address
}

func openBlobs(address string, tune func(*s3storage.Options)) (storage.Blobs, error) {
	if !strings.Contains(address, "://") {
		return filestorage.Open(address, filestorage.Options{})
	}
	o, err := s3storage.Parse(address)
	if err != nil {
		return nil, err
	}
	if tune != nil {
		tune(&o)
	}
	return s3storage.Open(o)
}

func openStore(address string) (graph.Store, error) {
	if strings.Contains(address, "://") {
		return neo4jgraph.Open(address, neo4jgraph.Options{})
	}
	return sqlitegraph.Open(address, sqlitegraph.Options{})
}

// setup says how a process differs from others.
type setup struct {
	uploads.Options
	// faults go off in what the process does to its store and its blobs.
	faults *faults
	s3     func(*s3storage.Options)
}

// world is one process on a site.
type world struct {
	*uploads.Service
	site   site
	store  graph.Store
	graph  *graph.Graph
	ids    *identity.Service
	ledger *uploads.Ledger
	late   atomic.Int64 // by how much the clock of the uploads is ahead
}

// open starts a process on the site. The administrator service_account:root and
// organization:acme are made if they are not there.
func (s site) open(o setup) (w *world, stop func(), err error) {
	w = &world{site: s, ledger: uploads.NewLedger()}
	if w.store, err = openStore(s.graph); err != nil {
		return nil, nil, err
	}
	blobs, err := openBlobs(s.files, o.s3)
	if err != nil {
		return nil, nil, err
	}
	store := w.store
	if o.faults != nil {
		store, blobs = &faultyStore{store, o.faults}, &faultyBlobs{blobs, o.faults}
	}
	index := permission.New()
	w.graph = graph.New(store, graph.Options{Poll: 20 * time.Millisecond, Log: quiet}, index, w.ledger)
	stop = sync.OnceFunc(func() {
		w.graph.Close()
		_ = blobs.Close()
		_ = w.store.Close()
	})
	w.ids = identity.New(w.graph, func() identity.Authority { return index.View() },
		identity.Options{Now: time.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() }})
	spool, err := storage.NewSpool(filepath.Join(s.dir, "spool"))
	if err != nil {
		return nil, nil, err
	}
	o.Options.Log = quiet
	o.Options.Now = func() time.Time { return time.Now().Add(time.Duration(w.late.Load())) }
	w.Service = uploads.New(uploads.Parts{Graph: w.graph, Identity: w.ids, Ledger: w.ledger, Blobs: blobs, Spool: spool, Maker: thumbnail.New(thumbnail.Limits{})}, o.Options)
	if err := w.settle(); err != nil {
		stop()
		return nil, nil, err
	}
	return w, stop, nil
}

func (w *world) settle() error {
	ctx := context.Background()
	if _, err := w.graph.Sync(ctx); err != nil {
		return err
	}
	if found, err := w.store.Nodes(ctx, []graph.Ref{root}); err != nil || len(found) > 0 {
		return err
	}
	if err := w.ids.Bootstrap(ctx); err != nil {
		return err
	}
	link := func(k graph.Kind, key string, p graph.Props) graph.Step {
		return graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: root, Kind: k, To: graph.Root, Key: key}, Props: p})
	}
	_, err := w.graph.Write(ctx, graph.Batch{Steps: []graph.Step{
		graph.Put(graph.Node{Ref: root}), link(graph.ChildOf, "", nil),
		link(graph.CanAccess, identity.RoleAdmin, graph.Props{graph.PropRole: identity.RoleAdmin}),
	}})
	if err != nil {
		return err
	}
	return w.do(identity.Mutation{Op: identity.OpCreate, Node: acme, Data: []byte(`{"name":"Acme","slug":"acme"}`)})
}

// start is open for the length of a test.
func (s site) start(t testing.TB, o setup) *world {
	t.Helper()
	w, stop, err := s.open(o)
	must(t, err)
	t.Cleanup(stop)
	return w
}

var admin = identity.Caller{Subject: root, Origin: graph.Origin{RequestID: "test"}}

func (w *world) do(muts ...identity.Mutation) error {
	_, err := w.ids.Apply(context.Background(), admin, muts, identity.ApplyOptions{})
	return err
}

func (w *world) spooled(b []byte) (*storage.Spooled, error) {
	return w.Spool().Take(context.Background(), bytes.NewReader(b), 1<<30)
}

// add stores bytes as an upload of acme, or of what in says.
func (w *world) add(in uploads.Incoming, b []byte) (string, error) {
	f, err := w.spooled(b)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if in.ID == "" {
		in.ID = uuid.Must(uuid.NewV7()).String()
	}
	if in.Parent.IsZero() && in.PictureOf.IsZero() {
		in.Parent = acme
	}
	in.Name, in.Bytes = "picture.png", f
	_, err = w.Add(context.Background(), admin, in, identity.ApplyOptions{})
	return in.ID, err
}

func (w *world) mustAdd(t testing.TB, b []byte) string {
	t.Helper()
	id, err := w.add(uploads.Incoming{}, b)
	must(t, err)
	return id
}

// announce makes a pending upload and returns the request for its bytes.
func (w *world) announce(id string, b []byte) (storage.SignedRequest, error) {
	ctx := context.Background()
	a := uploads.Announcement{ID: id, Name: "picture.png", ContentType: "image/png", Parent: acme, Size: int64(len(b)), SHA256: sha256.Sum256(b)}
	if _, err := w.Announce(ctx, admin, a, identity.ApplyOptions{}); err != nil {
		return storage.SignedRequest{}, err
	}
	n, err := w.upload(id)
	if err != nil {
		return storage.SignedRequest{}, err
	}
	return w.Request(ctx, n)
}

// send makes a signed request.
func (w *world) send(q storage.SignedRequest, b []byte) error {
	if signed, ok := w.signed(); ok {
		server := httptest.NewServer(storagetest.Handler(signed))
		defer server.Close()
		q.URL = server.URL + q.URL
	}
	r, err := http.NewRequest(q.Method, q.URL, bytes.NewReader(b))
	if err != nil {
		return err
	}
	r.Header = q.Header.Clone()
	r.Header.Del("Content-Length")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the signed request was answered with %s", res.Status)
	}
	return nil
}

func (w *world) signed() (storage.Signed, bool) {
	b := w.Blobs()
	if f, ok := b.(*faultyBlobs); ok {
		b = f.Blobs
	}
	s, ok := b.(storage.Signed)
	return s, ok
}

func (w *world) complete(id string) error {
	_, err := w.Complete(context.Background(), admin, id, identity.ApplyOptions{})
	return err
}

// delete removes an upload as a caller would.
func (w *world) delete(id string) error {
	if err := w.do(identity.Mutation{Op: identity.OpDelete, Node: upload(id), Cascade: true}); err != nil {
		return err
	}
	w.Deleted(context.Background(), id)
	return nil
}

func upload(id string) graph.Ref { return graph.Ref{Type: identity.Upload, ID: id} }

func (w *world) upload(id string) (*graph.Node, error) {
	found, err := w.store.Nodes(context.Background(), []graph.Ref{upload(id)})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there is no upload %s", id)
	}
	return &found[0], nil
}

// graceOver sets the clock of the uploads to when everything is old.
func (w *world) graceOver() { w.late.Store(int64(3 * time.Hour)) }

// picture is a small PNG, another for each seed.
func picture(seed int) []byte { return pictureOf(8, 6, seed) }

func pictureOf(width, height, seed int) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetNRGBA(x, y, color.NRGBA{uint8(seed), uint8(seed >> 8), uint8(x * y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// tb is what tests and rapid's cases have in common.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

func must(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
