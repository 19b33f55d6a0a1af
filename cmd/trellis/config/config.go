// Package config reads the settings of the server: from environment variables
// TRELLIS_…, and from a file of the same names for what the environment does
// not set. It owns the list of settings with their defaults and their
// documentation, and promises that every mistake is reported at once, with a
// sentence that says what to write, and that a secret is never printed.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/audit"
)

// Env looks up an environment variable.
type Env func(string) string

// Config is what is in force.
type Config struct {
	Listen         string
	Data           string
	GraphURL       string
	SecretKey      string
	BootstrapKey   string
	LogLevel       slog.Level
	LogFormat      string
	AccessLog      bool
	MaxBody        int64
	MaxBatchBody   int64
	RequestTimeout time.Duration
	HeaderTimeout  time.Duration
	ReadTimeout    time.Duration
	WriteTimeout   time.Duration
	IdleTimeout    time.Duration
	DrainTimeout   time.Duration
	Metrics        bool
	FeedRetention  time.Duration
	// Trash is how long what was deleted can be restored; negative: not at all.
	Trash time.Duration

	AuditURL       string
	AuditCluster   string
	SpoolLimit     int64
	DecisionRate   float64
	Addresses      string // full, subnet or hash
	TrustedProxies []netip.Prefix
	// ForwardedHeader is X-Forwarded-For or Forwarded.
	ForwardedHeader string
	Retention       audit.Retention

	StorageURL      string
	TakeOverStorage bool
	MaxFile         int64
	// Quotas are in bytes, 0 without limit.
	OrganizationQuota, UserQuota int64
	ThumbnailMemory              int64
	ThumbnailWorkers             int
	ThumbnailTime                time.Duration

	values []Value
}

// Value is one setting as it is in force.
type Value struct {
	Setting
	// Text is the value as written, masked if it is secret.
	Text string
	// Source is "default", "environment" or the file's name.
	Source string
}

// Values returns every setting in the order of Settings, secrets masked.
func (c *Config) Values() []Value { return slices.Clone(c.values) }

// Embedded tells whether the graph is kept in a file and not on a server.
func (c *Config) Embedded() bool { return strings.HasPrefix(c.GraphURL, "sqlite:") }

// GraphPath is the file of an embedded graph.
func (c *Config) GraphPath() string { return strings.TrimPrefix(c.GraphURL, "sqlite:") }

// SecretKeyFile is where an embedded server keeps the secret it made.
func (c *Config) SecretKeyFile() string { return filepath.Join(c.Data, "secret.key") }

// Load reads the settings. file, if not empty, takes the place of
// TRELLIS_CONFIG. names are the names of all environment variables that are
// set, so that a misspelt one is found. The error joins all mistakes.
func Load(env Env, names []string, file string) (*Config, error) {
	var problems []error
	if file == "" {
		file = env(ConfigFile)
	}
	fromFile, err := readFile(file)
	if err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, unknown(names)...)
	c := &Config{}
	for _, s := range Settings {
		v := Value{Setting: s, Text: s.Default, Source: "default"}
		if t, ok := fromFile[s.Name]; ok {
			v.Text, v.Source = t, file
		}
		if t := env(s.Name); t != "" {
			v.Text, v.Source = t, "environment"
		}
		if s.Name == ConfigFile {
			v.Text = file
		}
		v.Text = expand(v.Text, c, env)
		if s.set != nil {
			if err := s.set(c, v.Text); err != nil {
				// The value of a secret is never repeated.
				shown := fmt.Sprintf("%q", maskURL(v.Text))
				if s.Secret {
					shown = fmt.Sprintf("of %d characters", len(v.Text))
				}
				problems = append(problems, fmt.Errorf("%s (from %s) is %s: %w", s.Name, v.Source, shown, err))
			}
		}
		if s.Secret {
			v.Text = mask(v.Text)
		}
		if s.Name == graphURL || s.Name == auditURL || s.Name == storageURL {
			v.Text = maskURL(v.Text)
		}
		c.values = append(c.values, v)
	}
	if len(problems) == 0 {
		problems = c.auditProblems()
	}
	if len(problems) == 0 && !c.Embedded() && c.SecretKey == "" {
		problems = append(problems, errors.New("TRELLIS_SECRET_KEY is not set: with a graph on a server every process needs the same secret; write 32 characters or more, for example the output of: openssl rand -hex 32"))
	}
	return c, errors.Join(problems...)
}

// expand fills in what a default refers to.
func expand(s string, c *Config, env Env) string {
	if _, path, _ := strings.Cut(s, ":"); strings.HasPrefix(s, "$DATA/") || strings.HasPrefix(path, "$DATA/") {
		return strings.Replace(s, "$DATA", c.Data, 1)
	}
	if s == defaultData {
		return dataHome(env)
	}
	return s
}

// dataHome is where programs of a user keep their data.
func dataHome(env Env) string {
	if d := env("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "trellis")
	}
	if d := env("HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, ".local", "share", "trellis")
	}
	return "data"
}

func mask(s string) string {
	if s == "" {
		return ""
	}
	return "********"
}

// maskURL hides the password of an address, and of one that is malformed
// everything before the host.
func maskURL(s string) string {
	s = passwordParameter.ReplaceAllString(s, "${1}********")
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	scheme, rest, ok := strings.Cut(s[:at], "://")
	user, _, hasPassword := strings.Cut(rest, ":")
	switch {
	case !ok:
		return "********" + s[at:]
	case !hasPassword:
		return s
	}
	return scheme + "://" + user + ":********" + s[at:]
}

// passwordParameter is where a password does not belong, but is often written.
var passwordParameter = regexp.MustCompile(`(?i)([?&]password=)[^&]*`)

// client are the variables that the command line reads itself.
var client = []string{"TRELLIS_URL", "TRELLIS_TOKEN"}

// unknown reports variables that look like settings and are none. Those of
// others are left alone.
func unknown(names []string) (problems []error) {
	for _, n := range names {
		if strings.HasPrefix(n, "TRELLIS_") && !foreign(n) && !slices.Contains(client, n) && !known(n) {
			problems = append(problems, fmt.Errorf("%s is not a setting; %s", n, nearest(n)))
		}
	}
	return problems
}

func known(name string) bool {
	return slices.ContainsFunc(Settings, func(s Setting) bool { return s.Name == name })
}

// nearest suggests a setting that shares the longest beginning or end.
func nearest(name string) string {
	best, score := "", 0
	for _, s := range Settings {
		n := 0
		for n < len(name) && n < len(s.Name) && name[n] == s.Name[n] {
			n++
		}
		for i := 1; i <= len(name) && i <= len(s.Name) && name[len(name)-i] == s.Name[len(s.Name)-i]; i++ {
			n++
		}
		if n > score {
			best, score = s.Name, n
		}
	}
	return "did you mean " + best + "? `trellis config` lists them all"
}

func parseListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("want HOST:PORT, for example 127.0.0.1:8080, or :8080 for all addresses")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("the port must be a number from 0 to 65535, for example %s", net.JoinHostPort(host, "8080"))
	}
	return nil
}

func parseGraphURL(s string) error {
	const want = "want sqlite:PATH, bolt://USER:PASSWORD@HOST:PORT or neo4j://USER:PASSWORD@HOST:PORT"
	if path, ok := strings.CutPrefix(s, "sqlite:"); ok {
		if path == "" || strings.HasPrefix(path, "//") {
			return errors.New(want)
		}
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains(boltSchemes, u.Scheme) {
		return errors.New(want)
	}
	return nil
}

var boltSchemes = []string{"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"}

func parseData(s string) error {
	if s == "" {
		return errors.New("write the name of a directory")
	}
	if info, err := os.Stat(s); err == nil && !info.IsDir() {
		return errors.New("it is a file; write the name of a directory")
	}
	return nil
}

func parseKey(s string) error {
	const least = 32
	switch {
	case s == "":
		return nil
	case len(s) < least:
		return fmt.Errorf("want %d characters or more, for example the output of: openssl rand -hex 32", least)
	case strings.ContainsAny(s, " \t\r\n"):
		return errors.New("want no blanks or line ends in it")
	}
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errors.New("want a time such as 500ms, 30s or 2m")
	}
	return d, nil
}

// parseRetention reads how long change records are kept. Answers to repeated
// idempotency keys are made from them for a day.
func parseRetention(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 24*time.Hour {
		return 0, errors.New("want 24h or more")
	}
	return d, nil
}

// parseTrash reads how many days what was deleted can be restored.
func parseTrash(s string) (time.Duration, error) {
	days, err := strconv.Atoi(s)
	switch {
	case err != nil || days < 0 || days > 3660:
		return 0, errors.New("want a number of days from 0 to 3660")
	case days == 0:
		return -1, nil
	}
	return time.Duration(days) * 24 * time.Hour, nil
}

// parseSize reads a number of bytes: 4096, 512K, 16M, 1G.
func parseSize(s string) (int64, error) {
	num, shift := strings.TrimSuffix(strings.TrimSuffix(s, "B"), "i"), 0
	for i, unit := range []string{"K", "M", "G"} {
		if n, ok := strings.CutSuffix(num, unit); ok {
			num, shift = n, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil || n<<shift < 4096 || n > 1<<40>>shift {
		return 0, errors.New("want a number of bytes, 4096 or more, such as 4096, 512K or 16M")
	}
	return n << shift, nil
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("want true or false")
}

// foreign tells whether a variable is somebody else's: of the tests, of
// scripts/services, or of Kubernetes, which puts the address of a Service
// named trellis into TRELLIS_SERVICE_HOST, TRELLIS_SERVICE_PORT, TRELLIS_PORT
// and the like.
func foreign(name string) bool {
	for _, p := range []string{"TRELLIS_TEST_", "TRELLIS_SERVICES_", "TRELLIS_SERVICE_", "TRELLIS_PORT_"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return name == "TRELLIS_PORT"
}
