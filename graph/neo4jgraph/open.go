package neo4jgraph

import (
	"context"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/notifications"

	"trellis/graph"
)

// Options tune a Store. The zero value is right for most.
type Options struct {
	// User and Password, if set, go before those in the URL.
	User, Password string
	// Database, if set, goes before ?database= in the URL. Neither: the
	// user's home database.
	Database string
	// Connections limits the pool; 50 if zero.
	Connections int
	// ConnectTimeout limits getting a connection; 5 s if zero.
	ConnectTimeout time.Duration
	// CallTimeout limits one transaction, at the server too; 2 min if zero.
	CallTimeout time.Duration
	// RetryFor limits how long a call goes on trying while the server is away
	// or busy; 5 s if zero, no second try if negative.
	RetryFor time.Duration
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// NewID makes random ids of lower-case letters and digits; crypto/rand if nil.
	NewID func() string
}

func (o Options) withDefaults() Options {
	if o.Connections == 0 {
		o.Connections = 50
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 5 * time.Second
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = 2 * time.Minute
	}
	if o.RetryFor == 0 {
		o.RetryFor = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = newID
	}
	return o
}

// fetchSize is how many rows the server sends before it is asked on. A call
// that has enough earlier, such as Changes of large records, stops there.
const fetchSize = 500

// Open returns the store at a URL such as neo4j://user:password@host:7687?database=trellis.
// Schemes: bolt for one server, neo4j for a cluster or one server, each with
// +s for TLS or +ssc for TLS with any certificate. It reports what is wrong
// with the URL, never with its password, and does not contact the server.
func Open(rawURL string, opts Options) (*Store, error) {
	target, opts, err := parseURL(rawURL, opts.withDefaults())
	if err != nil {
		return nil, err
	}
	auth := neo4j.NoAuth()
	if opts.User != "" {
		auth = neo4j.BasicAuth(opts.User, opts.Password, "")
	}
	driver, err := neo4j.NewDriverWithContext(target, auth, func(c *config.Config) {
		c.MaxConnectionPoolSize = opts.Connections
		c.ConnectionAcquisitionTimeout = opts.ConnectTimeout
		c.SocketConnectTimeout = opts.ConnectTimeout
		c.ConnectionLivenessCheckTimeout = time.Minute
		c.FetchSize = fetchSize
		c.NotificationsMinSeverity = notifications.DisabledLevel
		c.TelemetryDisabled = true
		c.UserAgent = "trellis"
	})
	if err != nil {
		return nil, graph.Wrap(graph.Invalid, err, "the graph URL cannot be used")
	}
	s := &Store{driver: driver, bookmarks: neo4j.NewBookmarkManager(neo4j.BookmarkManagerConfig{}), opts: opts, preparing: make(chan struct{}, 1)}
	s.stopping, s.stop = context.WithCancelCause(context.Background())
	return s, nil
}

// parseURL splits the URL into what the driver takes, which holds no
// password, and options.
func parseURL(rawURL string, opts Options) (string, Options, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// url.Error quotes the URL, password and all.
		return "", opts, graph.Errorf(graph.Invalid, "the graph URL cannot be read: is a character of the password not percent-encoded?")
	}
	query := u.Query()
	if opts.Database == "" {
		opts.Database = query.Get("database")
	}
	query.Del("database")
	switch u.Scheme {
	case "neo4j", "neo4j+s", "neo4j+ssc":
		// What is left are the cluster's routing hints.
	case "bolt", "bolt+s", "bolt+ssc":
		for name := range query {
			return "", opts, graph.Errorf(graph.Invalid, "the graph URL has an unknown parameter %q", name)
		}
	default:
		return "", opts, graph.Errorf(graph.Invalid, "the graph URL's scheme must be bolt or neo4j, with +s or +ssc for TLS")
	}
	if u.Host == "" || (u.Path != "" && u.Path != "/") || u.Fragment != "" {
		return "", opts, graph.Errorf(graph.Invalid, "the graph URL must be of the form neo4j://user:password@host:port?database=name")
	}
	if u.User != nil && opts.User == "" {
		opts.User = u.User.Username()
		if p, ok := u.User.Password(); ok && opts.Password == "" {
			opts.Password = p
		}
	}
	target := url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: query.Encode()}
	return target.String(), opts, nil
}

// Store is a graph.Store on Neo4j. Its methods may be called concurrently.
type Store struct {
	driver    neo4j.DriverWithContext
	bookmarks neo4j.BookmarkManager // what this process has seen, other members must have seen before they answer it
	opts      Options

	stopping context.Context // ends when Close begins; stops waiting, not working
	stop     context.CancelCauseFunc

	mu     sync.Mutex // guards closed and calls.Add against calls.Wait
	closed bool
	calls  sync.WaitGroup

	preparing chan struct{} // held by the call that prepares the schema
	ready     atomic.Bool   // it is prepared
}
