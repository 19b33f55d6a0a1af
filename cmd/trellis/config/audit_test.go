package config_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/audit"
)

func TestTheAuditLogIsBesideTheGraph(t *testing.T) {
	c, err := load(t, map[string]string{"HOME": "/home/ann"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if !c.AuditEmbedded() || c.AuditPath() != c.Data+"/audit.db" || c.SpoolLimit != 1<<30 || c.DecisionRate != 0.1 || c.Addresses != "subnet" {
		t.Errorf("got %+v", c)
	}
	if d := cmp.Diff(audit.DefaultRetention(), c.Retention); d != "" {
		t.Error(d)
	}
}

func TestSettingsOfTheAuditLog(t *testing.T) {
	c, err := load(t, map[string]string{
		"TRELLIS_AUDIT_URL": "clickhouse://trellis:hush@db:9000/trellis", "TRELLIS_AUDIT_CLUSTER": "all", "TRELLIS_AUDIT_SPOOL_LIMIT": "64M",
		"TRELLIS_AUDIT_DECISIONS": "0.25", "TRELLIS_AUDIT_ADDRESSES": "hash", "TRELLIS_TRUSTED_PROXIES": "10.1.2.3/8, 192.0.2.1,2001:db8::/32",
		"TRELLIS_AUDIT_EVENTS_DAYS": "0", "TRELLIS_AUDIT_LIMITS_DAYS": "7",
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")}
	if d := cmp.Diff(want, c.TrustedProxies, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if c.AuditEmbedded() || c.AuditCluster != "all" || c.SpoolLimit != 64<<20 || c.DecisionRate != 0.25 || c.Addresses != "hash" {
		t.Errorf("got %+v", c)
	}
	if c.Retention[audit.Events] != 0 || c.Retention[audit.Limits] != 7*audit.Day || c.Retention[audit.Decisions] != 90*audit.Day {
		t.Errorf("retention %v", c.Retention)
	}
	if got := c.AuditName(); got != "clickhouse://db:9000/trellis" {
		t.Errorf("the name is %s", got)
	}
	for _, v := range c.Values() {
		if v.Name == "TRELLIS_AUDIT_URL" && v.Text != "clickhouse://trellis:********@db:9000/trellis" {
			t.Errorf("shown as %s", v.Text)
		}
	}
}

func TestMistakesInSettingsOfTheAuditLog(t *testing.T) {
	for name, cases := range map[string]map[string]string{
		"TRELLIS_AUDIT_URL": {
			"mysql://u:hush@h/d": "want sqlite:PATH, clickhouse://", "sqlite:": "want sqlite:PATH", "clickhouse:///d": "want sqlite:PATH",
			"http://h:8123/d?username=u&password=hush": "the password belongs before the @",
		},
		"TRELLIS_AUDIT_CLUSTER":     {"a b": "want the name of a cluster"},
		"TRELLIS_AUDIT_SPOOL_LIMIT": {"1": "want a number of bytes", "512K": "1M or more", "lots": "want a number of bytes"},
		"TRELLIS_AUDIT_DECISIONS":   {"1.1": "want a number from 0 to 1", "-0.1": "want a number", "NaN": "want a number", "all": "want a number"},
		"TRELLIS_AUDIT_ADDRESSES":   {"none": "want full, subnet or hash"},
		"TRELLIS_FORWARDED_HEADER":  {"X-Real-IP": "want X-Forwarded-For or Forwarded"},
		"TRELLIS_TRUSTED_PROXIES":   {"10.0.0.0/33": `"10.0.0.0/33" is neither an address nor a network`, "proxy": `"proxy" is neither`, "fe80::1%eth0": `"fe80::1%eth0" is neither`},
		"TRELLIS_AUDIT_EVENTS_DAYS": {"-1": "want a whole number of days", "1.5": "want a whole number", "30d": "want a whole number", "36501": "want a whole number"},
	} {
		for value, want := range cases {
			_, err := load(t, map[string]string{name: value}, "")
			if err == nil || !strings.HasPrefix(err.Error(), name+" (from environment) is ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%s=%s: got %v", name, value, err)
			}
		}
	}
}

func TestSettingsThatDoNotGoTogether(t *testing.T) {
	_, err := load(t, map[string]string{"TRELLIS_GRAPH_URL": "sqlite:/d/x.db", "TRELLIS_AUDIT_URL": "sqlite:/d/x.db", "TRELLIS_AUDIT_CLUSTER": "c"}, "")
	if err == nil || !strings.Contains(err.Error(), "the audit log needs one of its own") || !strings.Contains(err.Error(), "a cluster is one of ClickHouse") {
		t.Errorf("got %v", err)
	}
}
