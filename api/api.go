// Package api is the HTTP face of Trellis: the route table, the handlers,
// problem documents and OpenAPI. It is the only package that knows gin.
//
// It promises that every route states what it needs before it does anything,
// that what a caller may not see cannot be told from what does not exist, that
// a refused request wrote nothing, and that every answer names the revision it
// was worked out at. It holds no rules of its own: those are in graph/identity
// and graph/permission.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"trellis/audit"
	"trellis/auth"
	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
	"trellis/graph/manifest"
	"trellis/graph/permission"
	"trellis/storage/uploads"
)

// What identity asks about permissions, the index answers: the two do not know
// each other.
var _ identity.Authority = (*permission.View)(nil)

// Deps are what the API works with; all of them are required, but for those
// that say otherwise.
type Deps struct {
	Graph   *graph.Graph
	Index   *permission.Index
	Catalog *catalog.Index
	// Blueprints must be a rule of Identity.
	Blueprints *catalog.Blueprints
	Identity   *identity.Service
	// Keys must be a replica of Graph, as must Index, Catalog and Blueprints.
	Keys    *auth.Keys
	Secrets *auth.Secrets
	// Uploads takes in and finds files; its ledger must be a replica of Graph.
	Uploads *uploads.Service
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Log takes failures and, if asked for, a line per request; slog.Default() if nil.
	Log *slog.Logger
	// Prepared tells whether the store has what every caller relies on, such as
	// the system's roles; until then only public routes answer. Always if nil.
	Prepared func() bool
	// Audit takes the records of requests; nothing is recorded if nil.
	Audit *audit.Log
	// Sink answers questions about what was recorded; required with Audit.
	Sink audit.Reader
	// Changes brings the changes of the graph to the sink; optional.
	Changes AuditFollower
	// Anchors remember the ends of chains outside the sink; optional.
	Anchors AuditAnchors
	// Registry takes the metrics and is what /metrics shows; a new one if nil.
	Registry *prometheus.Registry
}

// AuditFollower brings the changes of the graph to the audit log; *trail.Follower is one.
type AuditFollower interface {
	// State tells how far behind it is.
	State() audit.State
	// Delivered returns the revision up to which every change is known to be there.
	Delivered() graph.Revision
	// Heads returns the last links that this process has delivered.
	Heads() map[audit.Stream]audit.Link
}

// AuditAnchors remember how far the chains of the audit log had come; *trail.Anchors do.
type AuditAnchors interface {
	Kept(ctx context.Context) ([]audit.KnownLink, error)
}

// Options tune the API. The zero value is good.
type Options struct {
	// Version is shown in the OpenAPI document.
	Version string
	// MaxBody limits a request's body, in bytes; 1 MiB if 0.
	MaxBody int64
	// MaxBatchBody limits the body of POST /batch; 16 MiB if 0.
	MaxBatchBody int64
	// MaxManifestBody limits the body of POST /manifests/{set}; 32 MiB if 0.
	MaxManifestBody int64
	// Timeout limits a request, streams apart; 30 s if 0.
	Timeout time.Duration
	// FileTimeout limits a request that brings or fetches a file; 5 min if 0.
	FileTimeout time.Duration
	// Stall is how long such a request waits for the next bytes; 30 s if 0.
	Stall time.Duration
	// Files limits how many files come in at once; 64 if 0. Others wait for a
	// while, and then get 503.
	Files int
	// StaleAfter is how long the store may be silent before answers say so; 5 s if 0.
	StaleAfter time.Duration
	// Heartbeat is how often an idle stream of changes says that it lives; 15 s if 0.
	Heartbeat time.Duration
	// IdempotencyTTL is how long a repeated Idempotency-Key is recognized; 24 h if 0.
	// The feed must keep changes as long.
	IdempotencyTTL time.Duration
	// AccessLog writes one line per request.
	AccessLog bool
	// DecisionRate is the share of allowed permission questions that is recorded,
	// from 0 to 1; refused ones always are. One in every round(1/rate) is, and says so.
	DecisionRate float64
	// Addresses says how much of a client's address is kept, anywhere.
	Addresses audit.Addresses
	// TrustedProxies are those whose word for the client's address is taken.
	// Whoever else connects is the client.
	TrustedProxies []netip.Prefix
	// ForwardedHeader is where trusted proxies write that: X-Forwarded-For if "", or
	// Forwarded (RFC 7239). The other one is up to clients, and not looked at.
	ForwardedHeader string
	// Searches limits how many searches are made at once; twice the processors if
	// 0. Others wait for a second, and then get 503: searches are the one kind of
	// request that can keep a store so busy that nothing else gets through.
	Searches int
	// HideMetrics takes /metrics away, for those who serve it elsewhere.
	HideMetrics bool
}

// server is what all requests share.
type server struct {
	Deps
	o      Options
	issuer *auth.Issuer

	manifests *manifest.Service
	types     huma.Registry
	openapi   []byte
	metrics   *metrics
	clients   *clients
	sample    *sampler
	used      lastUses
	told      *memo[asked, facts]
	// searching holds one entry for each search that is being made.
	searching chan struct{}
	// arriving holds one entry for each file that comes in.
	arriving chan struct{}
	// defaults holds pictures of nodes that have none.
	defaults *memo[defaultKey, []byte]
	// verifying keeps two callers from reading the whole audit log at once.
	verifying sync.Mutex
	token     atomic.Pointer[revisionToken]
	rows      []route
}

// New returns the handler of the whole API. It starts nothing that must be
// stopped; streams end with their requests.
func New(d Deps, o Options) (http.Handler, error) {
	s, err := newServer(d, o)
	if err != nil {
		return nil, err
	}
	return s.router(), nil
}

func newServer(d Deps, o Options) (*server, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Prepared == nil {
		d.Prepared = func() bool { return true }
	}
	if d.Registry == nil {
		d.Registry = prometheus.NewRegistry()
	}
	orElse(&o.Version, "dev")
	orElse(&o.MaxBody, 1<<20)
	orElse(&o.MaxBatchBody, 16<<20)
	orElse(&o.MaxManifestBody, 32<<20)
	orElse(&o.Timeout, 30*time.Second)
	orElse(&o.FileTimeout, 5*time.Minute)
	orElse(&o.Stall, 30*time.Second)
	orElse(&o.Files, 64)
	orElse(&o.StaleAfter, 5*time.Second)
	orElse(&o.Heartbeat, 15*time.Second)
	orElse(&o.IdempotencyTTL, 24*time.Hour)
	orElse(&o.ForwardedHeader, "X-Forwarded-For")
	orElse(&o.Searches, 2*runtime.GOMAXPROCS(0))
	if d.Audit != nil && d.Sink == nil {
		return nil, errors.New("api: an audit log needs a sink")
	}
	s := &server{Deps: d, o: o, clients: newClients(o), sample: newSampler(o.DecisionRate), told: newMemo[asked, facts](8192),
		searching: make(chan struct{}, o.Searches), arriving: make(chan struct{}, o.Files), defaults: newMemo[defaultKey, []byte](1024)}
	s.issuer = auth.NewIssuer(d.Graph, func() identity.Authority { return d.Index.View() }, d.Secrets, d.Now)
	s.manifests = manifest.New(d.Graph, d.Identity, func() identity.Authority { return d.Index.View() })
	var err error
	if s.metrics, err = newMetrics(d.Registry); err != nil {
		return nil, err
	}
	if sources := s.auditSources(); len(sources) > 0 {
		if err := d.Registry.Register(&auditCollector{sources, d.Now}); err != nil {
			return nil, err
		}
	}
	if err := d.Registry.Register(&filesCollector{d.Uploads}); err != nil {
		return nil, err
	}
	s.rows = table()
	s.openapi, s.types, err = describe(s.rows, o.Version)
	return s, err
}

func orElse[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// router hangs every row of the table into gin.
func (s *server) router() http.Handler {
	// A switch of the whole process, which in its other position prints every route.
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	// Ids may hold encoded slashes, so routes are matched on the encoded path.
	// call.path decodes: gin would turn a plus sign into a space.
	e.UseRawPath, e.UnescapePathValues = true, false
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.HandleMethodNotAllowed = true
	for i := range s.rows {
		e.Handle(s.rows[i].method, s.rows[i].ginPath(), s.serve(&s.rows[i]))
	}
	e.NoRoute(s.serve(&route{path: "unknown", public: "nothing is there", handle: func(*call) error {
		return problem(http.StatusNotFound, "no-route", "there is nothing at this path")
	}}))
	e.NoMethod(s.serve(&route{path: "unknown", public: "nothing is there", handle: func(*call) error {
		return problem(http.StatusMethodNotAllowed, "method-not-allowed", "the path does not know this method")
	}}))
	return e
}
