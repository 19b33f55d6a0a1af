package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/audit"
)

// auditSettings are those of the audit log.
var auditSettings = []Setting{
	{
		Name: auditURL, Default: "sqlite:$DATA/audit.db",
		Doc: "Where the audit log is kept: sqlite:PATH for a file ($DATA stands for the data directory), clickhouse://USER:PASSWORD@HOST:9000/DATABASE for ClickHouse by its native protocol (clickhouses:// with TLS), http://USER:PASSWORD@HOST:8123/DATABASE or https://… by HTTP. A server that is away keeps nothing from working: records wait in spool in the data directory.",
		set: func(c *Config, s string) error { c.AuditURL = s; return parseAuditURL(s) },
	},
	{
		Name: auditCluster,
		Doc:  "The cluster that ClickHouse's tables are made on, with Replicated engines: a name from its remote_servers. If it is not set, plain tables are made on the one server.",
		set: func(c *Config, s string) error {
			if c.AuditCluster = s; s != "" && !clusterName.MatchString(s) {
				return errors.New("want the name of a cluster: letters, digits, _ and -")
			}
			return nil
		},
	},
	{
		Name: "TRELLIS_AUDIT_SPOOL_LIMIT", Default: "1G",
		Doc: "What audit records that are not delivered yet may take on this machine's disk; K, M and G may follow the number. At the limit, requests that must be recorded get 503, and what need not be is dropped and counted.",
		set: func(c *Config, s string) (err error) {
			if c.SpoolLimit, err = parseSize(s); err != nil || c.SpoolLimit < 1<<20 {
				return errors.New("want a number of bytes, 1M or more, such as 512M or 4G")
			}
			return nil
		},
	},
	{
		Name: "TRELLIS_AUDIT_DECISIONS", Default: "0.1",
		Doc: "The share of allowed permission questions that is recorded, from 0 (none) to 1 (all), rounded to one in a whole number. Refused ones are always recorded. A recorded one says how many it stands for.",
		set: func(c *Config, s string) (err error) { c.DecisionRate, err = parseShare(s); return err },
	},
	{
		Name: "TRELLIS_AUDIT_ADDRESSES", Default: "subnet",
		Doc: "How the addresses of clients are recorded: full, subnet (the first 24 bits of an IPv4 address, the first 48 of an IPv6 address), or hash (one address always has the same one, which cannot be turned back without the server's secret).",
		set: func(c *Config, s string) error {
			if c.Addresses = s; !slices.Contains([]string{audit.AddressFull, audit.AddressSubnet, audit.AddressHash}, s) {
				return errors.New("want full, subnet or hash")
			}
			return nil
		},
	},
	{
		Name: "TRELLIS_TRUSTED_PROXIES",
		Doc:  "Proxies whose word for the client's address is taken: addresses and networks such as 10.0.0.0/8, separated by commas. If it is not set, the client is whoever connects.",
		set:  func(c *Config, s string) (err error) { c.TrustedProxies, err = parsePrefixes(s); return err },
	},
	{
		Name: "TRELLIS_FORWARDED_HEADER", Default: "X-Forwarded-For",
		Doc: "The header in which trusted proxies write the client's address: X-Forwarded-For or Forwarded (RFC 7239). The other one is not looked at.",
		set: func(c *Config, s string) error {
			if c.ForwardedHeader = s; s != "X-Forwarded-For" && s != "Forwarded" {
				return errors.New("want X-Forwarded-For or Forwarded")
			}
			return nil
		},
	},
	retention("TRELLIS_AUDIT_EVENTS_DAYS", audit.Events, "changes and refusals"),
	retention("TRELLIS_AUDIT_DECISIONS_DAYS", audit.Decisions, "permission questions and their answers"),
	retention("TRELLIS_AUDIT_REQUESTS_DAYS", audit.Requests, "requests to the API"),
	retention("TRELLIS_AUDIT_MAILS_DAYS", audit.Mails, "what became of mails"),
	retention("TRELLIS_AUDIT_FACTORS_DAYS", audit.Factors, "uses of second factors"),
	retention("TRELLIS_AUDIT_LIMITS_DAYS", audit.Limits, "rate limits that were reached"),
}

const (
	auditURL     = "TRELLIS_AUDIT_URL"
	auditCluster = "TRELLIS_AUDIT_CLUSTER"
)

// retention is the setting for how long a stream is kept.
func retention(name string, s audit.Stream, what string) Setting {
	return Setting{
		Name: name, Default: strconv.Itoa(int(audit.DefaultRetention()[s] / audit.Day)),
		Doc: "How many days the records of " + what + " are kept; 0 is for ever.",
		set: func(c *Config, text string) error {
			if c.Retention == nil {
				c.Retention = audit.Retention{}
			}
			var err error
			c.Retention[s], err = parseDays(text)
			return err
		},
	}
}

// AuditEmbedded tells whether the audit log is kept in a file and not on a server.
func (c *Config) AuditEmbedded() bool { return strings.HasPrefix(c.AuditURL, "sqlite:") }

// AuditPath is the file of an embedded audit log.
func (c *Config) AuditPath() string { return strings.TrimPrefix(c.AuditURL, "sqlite:") }

// AuditName is the address of the audit log without credentials and settings.
func (c *Config) AuditName() string {
	u, err := url.Parse(c.AuditURL)
	if c.AuditEmbedded() || err != nil {
		return c.AuditURL
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

// auditProblems reports settings that do not go together.
func (c *Config) auditProblems() (problems []error) {
	if c.AuditEmbedded() && c.Embedded() && c.AuditPath() == c.GraphPath() {
		problems = append(problems, errors.New("TRELLIS_AUDIT_URL names the file of the graph: the audit log needs one of its own"))
	}
	if c.AuditEmbedded() && c.AuditCluster != "" {
		problems = append(problems, errors.New("TRELLIS_AUDIT_CLUSTER is set, but TRELLIS_AUDIT_URL names a file: a cluster is one of ClickHouse"))
	}
	return problems
}

var (
	clusterName       = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	clickhouseSchemes = []string{"clickhouse", "clickhouses", "http", "https"}
)

func parseAuditURL(s string) error {
	const want = "want sqlite:PATH, clickhouse://USER:PASSWORD@HOST:9000/DATABASE or http://USER:PASSWORD@HOST:8123/DATABASE" //nolint:gosec // no credentials: it says where they go
	if path, ok := strings.CutPrefix(s, "sqlite:"); ok {
		if path == "" || strings.HasPrefix(path, "//") {
			return errors.New(want)
		}
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || !slices.Contains(clickhouseSchemes, u.Scheme):
		return errors.New(want)
	case u.Query().Has("password"):
		return errors.New("the password belongs before the @: " + want)
	}
	return nil
}

func parseShare(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 1) { // so that NaN is refused too
		return 0, errors.New("want a number from 0 to 1, for example 0.01 for one in a hundred")
	}
	return f, nil
}

func parsePrefixes(s string) (out []netip.Prefix, err error) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		p, err := netip.ParsePrefix(part)
		if a, aerr := netip.ParseAddr(part); aerr == nil && a.Zone() == "" {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%.80q is neither an address nor a network such as 10.0.0.0/8", part)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// maxDays is a hundred years.
const maxDays = 36_500

func parseDays(s string) (time.Duration, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxDays {
		return 0, fmt.Errorf("want a whole number of days from 0 to %d, 0 being for ever", maxDays)
	}
	return time.Duration(n) * audit.Day, nil
}
