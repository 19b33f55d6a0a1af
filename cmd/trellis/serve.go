package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"trellis/api"
	"trellis/audit"
	"trellis/cmd/trellis/config"
	"trellis/graph"
	"trellis/storage/uploads"
)

// maxHeader limits the head of a request, in bytes.
const maxHeader = 64 << 10

func (a *app) serveCommand() *cobra.Command {
	var demo bool
	c := &cobra.Command{
		Use: "serve", Short: "Run the server", Args: cobra.NoArgs,
		Long: `Run the server until it is told to stop (SIGTERM or SIGINT; the second one ends
it at once). Settings are read from the environment and from a file; see
docs/configuration.md. The first start on an empty graph prints the key of an
administrator once, unless TRELLIS_BOOTSTRAP_KEY is set.

A graph server that is away does not keep this server from starting: /readyz
says so, and it goes on trying.

With --demo the server starts on a new graph in a temporary directory, with the
organizations, teams and repositories of the Kubernetes project in it, and
prints what to try. Nothing of it is kept.`,
		Example: "  trellis serve --demo\n  TRELLIS_GRAPH_URL=neo4j://neo4j:secret@localhost:7687 TRELLIS_SECRET_KEY=$(openssl rand -hex 32) trellis serve",
		RunE: func(c *cobra.Command, _ []string) error {
			if demo {
				return a.demo(c.Context())
			}
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			return a.serve(c.Context(), cfg, a.announceKey)
		},
	}
	c.Flags().BoolVar(&demo, "demo", false, "start with the Kubernetes project's organizations in a temporary directory")
	return a.configFlag(c)
}

func (a *app) announceKey(_ context.Context, s *server, token string) error {
	if token != "" {
		fmt.Fprintf(a.stdout, "The key of the first administrator, printed only this once:\n\n  export TRELLIS_URL=%s\n  export TRELLIS_TOKEN=%s\n\n", s.url, token)
	}
	return nil
}

// server is a running server.
type server struct {
	*core
	audit *auditing
	files *uploads.Service
	cfg   *config.Config
	http  *http.Server
	url   string
	ln    net.Listener

	draining   context.Context // ends when the server begins to stop
	endStreams context.CancelFunc
}

// serve runs a server until the context ends. ready is called once the store
// is prepared, with the first administrator's token if there is a new one.
func (a *app) serve(ctx context.Context, cfg *config.Config, ready func(context.Context, *server, string) error) error {
	log := cfg.Logger(a.stderr)
	s, err := a.start(cfg, log)
	if err != nil {
		return err
	}
	stop := ctx
	ctx, cancel := context.WithCancelCause(stop)
	defer cancel(nil)
	var background sync.WaitGroup
	s.audit.start()
	prepared := make(chan struct{})
	go func() {
		defer close(prepared)
		if err := s.prepareAndTell(ctx, ready); err != nil {
			cancel(err)
			return
		}
		background.Go(func() { s.upkeep(ctx, upkeepEvery) })
		background.Go(func() { s.files.Run(ctx) })
	}()
	if cfg.Embedded() {
		// The file is here: whoever connects finds everything in place.
		select {
		case <-prepared:
		case <-time.After(cfg.RequestTimeout):
		}
	}
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.ln) }()
	log.Info("listening", "url", s.url, "graph", shown(cfg, "TRELLIS_GRAPH_URL"), "audit", shown(cfg, "TRELLIS_AUDIT_URL"), "files", shown(cfg, "TRELLIS_STORAGE_URL"), "version", version())
	select {
	case err = <-served:
	case <-ctx.Done():
		if stop.Err() == nil {
			err = context.Cause(ctx)
		}
	}
	cancel(nil)
	err = errors.Join(err, s.drain())
	<-prepared
	background.Wait()
	// What the last requests left goes out before the store that changes are read from is closed.
	err = errors.Join(err, s.audit.Close(), s.files.Blobs().Close(), s.Close())
	log.Info("stopped")
	return err
}

// shown is a setting as it may be logged.
func shown(c *config.Config, name string) string {
	for _, v := range c.Values() {
		if v.Name == name {
			return v.Text
		}
	}
	return ""
}

// start opens the store and the port.
func (a *app) start(cfg *config.Config, log *slog.Logger) (*server, error) {
	// The port first: when it is taken, nothing has happened yet.
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", cfg.Listen)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the rest repeats the address
		}
		return nil, fmt.Errorf("cannot listen on %s: %w; set TRELLIS_LISTEN to another address", cfg.Listen, err)
	}
	k, err := openCore(cfg, log)
	if err != nil {
		ln.Close()
		return nil, err
	}
	addresses, err := audit.NewAddresses(cfg.Addresses, k.secrets.Addresses().Sum)
	if err != nil {
		ln.Close()
		return nil, errors.Join(err, k.Close())
	}
	u, err := k.openAudit(cfg)
	if err != nil {
		ln.Close()
		return nil, errors.Join(err, k.Close())
	}
	files, err := k.openFiles(cfg)
	if err != nil {
		ln.Close()
		return nil, errors.Join(err, u.Close(), k.Close())
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	handler, err := api.New(api.Deps{
		Graph: k.graph, Index: k.index, Catalog: k.catalog, Blueprints: k.blueprints, Identity: k.ids, Keys: k.keys, Secrets: k.secrets, Uploads: files, Prepared: k.prepared.Load, Log: log, Registry: metrics,
		Audit: u.log, Sink: u.sink, Changes: u.changes, Anchors: u.anchors,
	}, api.Options{
		Version: version(), MaxBody: cfg.MaxBody, MaxBatchBody: cfg.MaxBatchBody, Timeout: cfg.RequestTimeout,
		AccessLog: cfg.AccessLog, HideMetrics: !cfg.Metrics,
		DecisionRate: cfg.DecisionRate, Addresses: addresses, TrustedProxies: cfg.TrustedProxies, ForwardedHeader: cfg.ForwardedHeader,
	})
	if err != nil {
		ln.Close()
		return nil, errors.Join(err, files.Blobs().Close(), u.Close(), k.Close())
	}
	s := &server{core: k, audit: u, files: files, cfg: cfg, ln: ln, url: "http://" + reachable(ln.Addr())}
	s.draining, s.endStreams = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s.streams(handler), ReadHeaderTimeout: cfg.HeaderTimeout, ReadTimeout: cfg.ReadTimeout, WriteTimeout: cfg.WriteTimeout,
		IdleTimeout: cfg.IdleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// reachable names an address that a client on this machine can use.
func reachable(addr net.Addr) string {
	t, ok := addr.(*net.TCPAddr)
	if ok && t.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", t.Port)
	}
	return addr.String()
}

// prepareAndTell prepares the store, for as long as that takes: a server that
// is away comes back some day. Any other failure is final.
func (s *server) prepareAndTell(ctx context.Context, ready func(context.Context, *server, string) error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		token, err := s.prepare(ctx, s.cfg.BootstrapKey != "")
		switch {
		case err == nil:
			s.prepared.Store(true)
			return ready(ctx, s, token)
		case ctx.Err() != nil:
			return context.Cause(ctx) // told to stop; serve knows why
		case graph.KindOf(err) != graph.Unavailable && graph.KindOf(err) != graph.Canceled:
			return fmt.Errorf("the graph store cannot be prepared: %w", err)
		}
		s.log.Warn("the graph store cannot be prepared yet", "error", err)
		if !sleep(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

const (
	// changesPath is the one answer that has no end of its own.
	changesPath = "/api/v1/changes"
	// verifyPath is an answer that takes as long as reading the whole audit log.
	verifyPath = "/api/v1/audit/verification"
)

// long tells whether the answer may take as long as it takes: exports, and what
// is asked for as a whole and not by pages.
func long(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return r.URL.Path == verifyPath ||
		slices.ContainsFunc(slices.Collect(maps.Values(exportTypes)), func(t string) bool { return strings.Contains(accept, t) })
}

// streams frees answers that come bit by bit from the limits on others, and
// ends those without an end when the server stops.
func (s *server) streams(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		endless := r.URL.Path == changesPath
		if endless || long(r) {
			// Only connections that are gone already refuse this.
			rc := http.NewResponseController(w)
			_ = rc.SetReadDeadline(time.Time{})
			_ = rc.SetWriteDeadline(time.Time{})
		}
		if endless {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(s.draining, cancel)()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// drain lets requests under way finish, for as long as the settings say.
func (s *server) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	s.endStreams()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("requests were still under way and are cut off")
		err = s.http.Close()
	}
	s.ln.Close() // Shutdown does not know it if Serve was never called
	if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}
