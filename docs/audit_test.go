package docs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/audittest"
	"trellis/audit/clickhouseaudit"
)

var queryBlock = regexp.MustCompile("(?s)\\*\\*(\\d+)\\. [^\n]*?\n(?:[^`]*?\n)?```sql\n(.*?)```")

// TestTheQueriesOfTheAuditPageFindWhatTheyAskFor runs every query of audit.md
// on a real ClickHouse that holds a few days of a company.
func TestTheQueriesOfTheAuditPageFindWhatTheyAskFor(t *testing.T) {
	page, err := os.ReadFile("audit.md")
	if err != nil {
		t.Fatal(err)
	}
	queries := queryBlock.FindAllStringSubmatch(string(page), -1)
	if n := strings.Count(string(page), "```sql"); n < 15 || len(queries) != n {
		t.Fatalf("the page has %d queries, of which %d can be read; want 15 or more", n, len(queries))
	}
	server := os.Getenv("TRELLIS_TEST_CLICKHOUSE_URL")
	if server == "" {
		t.Skip("TRELLIS_TEST_CLICKHOUSE_URL is not set: the queries are not run")
	}
	db := newDatabase(t, server)
	sink, err := clickhouseaudit.Open(db.url.String(), clickhouseaudit.Options{Retention: audit.DefaultRetention()})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	for b := range audittest.NewLinker("docs").Batches(sample(time.Now()), 5000) {
		if err := sink.Deliver(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range queries {
		t.Run(q[1], func(t *testing.T) {
			out, err := db.run(t.Context(), q[2]+" FORMAT TSVWithNames")
			if err != nil {
				t.Fatal(err)
			}
			if rows := strings.Count(out, "\n") - 1; rows < 1 {
				t.Errorf("no rows:\n%s", out)
			} else {
				t.Logf("%d rows:\n%.600s", rows, out)
			}
		})
	}
}

// sample are records of which every query of the page finds some: a month of a
// company up to now, and what the page names.
func sample(now time.Time) func(func(audit.Record) bool) {
	now = now.UTC().Truncate(time.Millisecond)
	shift := now.Sub(audittest.World.Until)
	ago := func(d time.Duration) audit.Head { return audit.Head{Time: now.Add(-d)} }
	const etcd, org = "repo:etcd-io/etcd", "organization:etcd-io"
	within := []string{etcd, org}
	named := []audit.Record{
		&audit.Event{Head: ago(200 * audit.Day), Actor: "user:ann", Action: "api_key:create", Outcome: audit.Success, Node: "api_key:K0IDLE00IDLE", After: `{"name":"old","owner":"service_account:ci"}`, Revision: 1},
		&audit.Event{Head: ago(60 * audit.Day), Actor: "user:ann", Action: "role:permit", Outcome: audit.Success, Node: "role:repo-write", Other: "permission:repo:write", Revision: 2},
		&audit.Event{Head: ago(50 * audit.Day), Actor: "user:ann", Action: "grant:create", Outcome: audit.Success, Node: etcd, Other: "team:etcd-io/maintainers", Within: within, After: `{"role":"repo-write"}`, Revision: 3},
		&audit.Event{Head: ago(40 * audit.Day), Actor: "user:ann", Action: "grant:create", Outcome: audit.Success, Node: "platform:root", Other: "user:bob", After: `{"role":"admin"}`, Revision: 4},
		&audit.Event{Head: ago(3 * audit.Day), Actor: "user:bob", Action: "repo:delete", Outcome: audit.Success, Node: "repo:etcd-io/old", Within: []string{"repo:etcd-io/old", org}, Before: `{"description":"old"}`, Revision: 5},
		&audit.Event{Head: ago(time.Hour), Actor: "user:eve", Action: "audit:read", Outcome: audit.Success, Node: org, Within: []string{org}, Reason: "/api/v1/audit/events within=" + org},
		&audit.Event{Head: ago(2 * time.Hour), Action: "credential:use", Outcome: audit.Denied, Reason: "the key is not valid", Address: "192.0.2.0/24"},
		&audit.Event{Head: ago(time.Minute), Actor: "user:ann", Action: "user:update", Outcome: audit.Success, Node: "user:bob", RequestID: request, Revision: 6},
		&audit.Decision{Head: ago(time.Minute), Actor: "user:ann", Question: "check", Subject: "user:bob", Permission: "repo:read", Resource: etcd, Within: within, Answer: audit.Allowed, Weight: 1, RequestID: request,
			Path: "user:bob is a member of team:etcd-io/maintainers, and team:etcd-io/maintainers has role repo-write on repo:etcd-io/etcd"},
		&audit.Decision{Head: ago(time.Minute), Actor: "user:ann", Question: "check", Subject: "user:eve", Permission: "repo:admin", Resource: etcd, Within: within, Answer: audit.Refused, Weight: 1, RequestID: request},
		&audit.Request{Head: ago(time.Minute), Actor: "user:ann", Key: "K7QM2ZTR9XWB", Method: "POST", Route: "/api/v1/batch", Status: 200, Latency: 2100, RequestID: request},
	}
	return func(yield func(audit.Record) bool) {
		for _, r := range named {
			if !yield(r) {
				return
			}
		}
		for r := range audittest.Records(20_000, 1) {
			r.Meta().Time = r.Meta().Time.Add(shift)
			if !yield(r) {
				return
			}
		}
	}
}

// request is the one that the page asks about.
const request = "0198f0a1-6f2b-7c31-9a52-5b3f0d9e4c77"

// database is one of the test's own.
type database struct{ url *url.URL }

func newDatabase(t *testing.T, server string) database {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" {
		t.Fatalf("TRELLIS_TEST_CLICKHOUSE_URL is no http address: %v", err)
	}
	d := database{u}
	name := fmt.Sprintf("trellis_docs_%d", time.Now().UnixNano())
	if _, err := d.run(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	own := *u
	own.Path = "/" + name
	t.Cleanup(func() {
		if _, err := d.run(context.Background(), "DROP DATABASE "+name); err != nil {
			t.Error(err)
		}
	})
	return database{&own}
}

// run sends one statement, as curl would.
func (d database) run(ctx context.Context, statement string) (string, error) {
	at := *d.url
	at.RawQuery = url.Values{"database": {strings.Trim(at.Path, "/")}}.Encode()
	at.Path, at.User = "/", nil
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	password, _ := d.url.User.Password()
	req.SetBasicAuth(d.url.User.Username(), password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return string(b), err
}
