package config

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Setting describes one setting.
type Setting struct {
	Name    string
	Default string
	Secret  bool
	Doc     string

	set func(*Config, string) error
}

// ConfigFile names the file of settings.
const ConfigFile = "TRELLIS_CONFIG"

// defaultData is written in the documentation in place of the real directory.
const defaultData = "${XDG_DATA_HOME:-~/.local/share}/trellis"

const graphURL = "TRELLIS_GRAPH_URL"

// Settings lists every setting. Those that others refer to come first.
var Settings = slices.Concat(serverSettings, auditSettings, storageSettings)

var serverSettings = []Setting{
	{Name: ConfigFile, Doc: "A file of settings, one NAME=VALUE a line; lines that start with # are comments. A variable that is set in the environment wins over the file. The flag --config does the same."},
	{
		Name: "TRELLIS_LISTEN", Default: "127.0.0.1:8080",
		Doc: "Address and port to listen on. Port 0 takes a free one. Use :8080 to be reached from other machines.",
		set: func(c *Config, s string) error { c.Listen = s; return parseListen(s) },
	},
	{
		Name: "TRELLIS_DATA", Default: defaultData,
		Doc: "Directory for everything that the server keeps on this machine. It is made if it is not there, readable by its owner only.",
		set: func(c *Config, s string) error { c.Data = s; return parseData(s) },
	},
	{
		Name: graphURL, Default: "sqlite:$DATA/graph.db",
		Doc: "Where the graph is kept: sqlite:PATH for a file ($DATA stands for the data directory), bolt://USER:PASSWORD@HOST:PORT for one Neo4j server, neo4j://… for a cluster; bolt+s:// and neo4j+s:// with TLS.",
		set: func(c *Config, s string) error { c.GraphURL = s; return parseGraphURL(s) },
	},
	{
		Name: "TRELLIS_SECRET_KEY", Secret: true,
		Doc: "Secret from which the keys for credentials, cursors, sealed data and the chain of the audit log are derived: 32 characters or more, the same on every server of one graph. Needed with Neo4j. If it is not set, a server with an embedded graph makes one and keeps it in secret.key in the data directory.",
		set: func(c *Config, s string) error { c.SecretKey = s; return parseKey(s) },
	},
	{
		Name: "TRELLIS_BOOTSTRAP_KEY", Secret: true,
		Doc: "A key that may do everything, given as `Authorization: Bearer KEY`: 32 characters or more, any form. For automation that must know the key before the server starts. If it is not set, the first start on an empty graph prints a key once.",
		set: func(c *Config, s string) error { c.BootstrapKey = s; return parseKey(s) },
	},
	{
		Name: "TRELLIS_LOG_LEVEL", Default: "info",
		Doc: "How much to log: debug, info, warn or error.",
		set: func(c *Config, s string) error {
			if err := c.LogLevel.UnmarshalText([]byte(s)); err != nil || strings.ContainsAny(s, "+-") {
				return errors.New("want debug, info, warn or error")
			}
			return nil
		},
	},
	{
		Name: "TRELLIS_LOG_FORMAT", Default: "text",
		Doc: "How to write the log, which goes to standard error: text for people, json for programs.",
		set: func(c *Config, s string) error {
			if c.LogFormat = s; s != "text" && s != "json" {
				return errors.New("want text or json")
			}
			return nil
		},
	},
	{
		Name: "TRELLIS_ACCESS_LOG", Default: "false",
		Doc: "Whether to log one line for every request: true or false.",
		set: func(c *Config, s string) (err error) { c.AccessLog, err = parseBool(s); return err },
	},
	{
		Name: "TRELLIS_MAX_BODY", Default: "1M",
		Doc: "Largest body of a request, in bytes; K, M and G may follow the number.",
		set: func(c *Config, s string) (err error) { c.MaxBody, err = parseSize(s); return err },
	},
	{
		Name: "TRELLIS_MAX_BATCH_BODY", Default: "16M",
		Doc: "Largest body of a batch of changes. 10,000 changes have about 3M.",
		set: func(c *Config, s string) (err error) { c.MaxBatchBody, err = parseSize(s); return err },
	},
	{
		Name: "TRELLIS_REQUEST_TIMEOUT", Default: "30s",
		Doc: "How long the server works on one request before it gives up. Streams are not bound by it.",
		set: func(c *Config, s string) (err error) { c.RequestTimeout, err = parseDuration(s); return err },
	},
	{
		Name: "TRELLIS_HEADER_TIMEOUT", Default: "5s",
		Doc: "How long a client may take to send the head of a request.",
		set: func(c *Config, s string) (err error) { c.HeaderTimeout, err = parseDuration(s); return err },
	},
	{
		Name: "TRELLIS_READ_TIMEOUT", Default: "30s",
		Doc: "How long a client may take to send a whole request.",
		set: func(c *Config, s string) (err error) { c.ReadTimeout, err = parseDuration(s); return err },
	},
	{
		Name: "TRELLIS_WRITE_TIMEOUT", Default: "60s",
		Doc: "How long an answer may take, from the end of the request's head. Streams are not bound by it.",
		set: func(c *Config, s string) (err error) { c.WriteTimeout, err = parseDuration(s); return err },
	},
	{
		Name: "TRELLIS_IDLE_TIMEOUT", Default: "2m",
		Doc: "How long a connection without requests is kept.",
		set: func(c *Config, s string) (err error) { c.IdleTimeout, err = parseDuration(s); return err },
	},
	{
		Name: "TRELLIS_DRAIN_TIMEOUT", Default: "20s",
		Doc: "How long requests under way may go on after the signal to stop. A second signal ends them at once.",
		set: func(c *Config, s string) (err error) { c.DrainTimeout, err = parseDuration(s); return err },
	},
	{
		Name: "TRELLIS_METRICS", Default: "true",
		Doc: "Whether /metrics answers, in the format of Prometheus and without a credential: true or false.",
		set: func(c *Config, s string) (err error) { c.Metrics, err = parseBool(s); return err },
	},
	{
		Name: "TRELLIS_FEED_RETENTION", Default: "720h",
		Doc: "How long change records are kept at least, 24h or more. They are deleted once every consumer of the feed is past them.",
		set: func(c *Config, s string) (err error) { c.FeedRetention, err = parseRetention(s); return err },
	},
	{
		Name: "TRELLIS_TRASH_DAYS", Default: "30",
		Doc: "For how many days organizations, teams and what the catalog has can be restored after they were deleted. 0: what is deleted is erased at once.",
		set: func(c *Config, s string) (err error) { c.Trash, err = parseTrash(s); return err },
	},
}

// Logger returns the log that is asked for.
func (c *Config) Logger(w interface{ Write([]byte) (int, error) }) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// Markdown documents every setting, for docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Configuration\n\n" +
		"Every setting of `trellis serve` is an environment variable; a file of the same names works too (`--config FILE` or `TRELLIS_CONFIG`).\n" +
		"All mistakes are reported at once when the server starts. `trellis config` prints what is in force, with secrets masked.\n\n" +
		"This page is made from the program (`go test ./cmd/trellis/config -update`) and compared with it by a test.\n\n" +
		"| setting | default | what it does |\n|---|---|---|\n")
	for _, s := range Settings {
		def := ""
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		doc := s.Doc
		if s.Secret {
			doc += " Secret."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, def, strings.ReplaceAll(doc, "|", "\\|"))
	}
	b.WriteString("\nThe command line, as a client of a server, reads `TRELLIS_URL` (default `http://127.0.0.1:8080`) and `TRELLIS_TOKEN`.\n")
	return b.String()
}
