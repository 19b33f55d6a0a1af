package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTablesOfTheAuditLogFitTheLine(t *testing.T) {
	var out bytes.Buffer
	p := (&app{stdout: &out}).auditPrinter("events", false)
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	short := auditRecord{Time: at, Actor: "user:ann", Action: "user:update", Node: "user:bob", Outcome: "success"}
	long := auditRecord{
		Time: at, Actor: "user:0197f3a2-7c1e-7000-8000-00000000beef", Action: "resource_type:create", Outcome: "success",
		Node: "repo:kubernetes-sigs/gateway-api-inference-extension", Other: "team:kubernetes-sigs/gateway-api-inference-extension-admins",
	}
	ill := auditRecord{Time: at, Actor: "user:\x1b[31mred", Action: "x:y", Node: "repo:" + strings.Repeat("ü", 200), Outcome: "denied"}
	for _, page := range [][]auditRecord{{short}, {short, long}, {ill}} {
		if err := p.print(page); err != nil {
			t.Fatal(err)
		}
	}
	want := `TIME                  ACTOR     ACTION       NODE      OUTCOME
2026-05-01T10:00:00Z  user:ann  user:update  user:bob  success
2026-05-01T10:00:00Z  user:ann               user:update         user:bob                    success
2026-05-01T10:00:00Z  user:0197f…000000beef  resource_…e:create  repo:k…nsion, team:k…dmins  success
`
	lines := strings.SplitAfter(out.String(), "\n")
	if got := strings.Join(lines[:4], ""); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, l := range lines {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, l)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("a name can move the cursor")
	}
}

func TestTwoNamesShareAColumn(t *testing.T) {
	for _, c := range []struct {
		s, want string
		n       int
	}{
		{"user:ann, team:x", "user:ann, team:x", 20},
		{"repo:abcdefghijklmnop, user:b", "repo:ab…jklmnop, user:b", 23},
		{"user:b, repo:abcdefghijklmnop", "user:b, repo:ab…jklmnop", 23},
		{"repo:abcdefghijklmnop, team:abcdefghijklmnop", "repo:…mnop, team:…mnop", 22},
		{"repo:abcdefghijklmnop", "repo:…mnop", 10},
	} {
		if got := cutNames(c.s, c.n); got != c.want || utf8.RuneCountInString(got) > c.n {
			t.Errorf("%q in %d: got %q, want %q", c.s, c.n, got, c.want)
		}
	}
}
