package api_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"trellis/api"
	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

// slowSearch is a store whose searches go on until they are let go.
type slowSearch struct {
	graph.Store
	begun, end chan struct{}
}

func (s slowSearch) Search(ctx context.Context, q graph.SearchQuery) (graph.SearchAnswer, error) {
	s.begun <- struct{}{}
	<-s.end
	return s.Store.Search(ctx, q)
}

// Searches that are too many wait for their turn and are refused, while other
// requests go on.
func TestSearchesTakeTurns(t *testing.T) {
	store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	must(t, err)
	slow := slowSearch{store, make(chan struct{}, 2), make(chan struct{})}
	w := worldOn(t, slow, api.Options{Searches: 1})
	answers := make(chan int, 1)
	go func() { answers <- w.do("root", "GET", v1+"/search?q=a", "").status }()
	<-slow.begun
	w.run([]scenario{
		{"root", "GET", v1 + "/search?q=a", "", 503, "unavailable", nil},
		{"root", "GET", v1 + "/organizations", "", 200, `"items"`, nil},
	})
	close(slow.end)
	if got := <-answers; got != 200 {
		t.Errorf("the first search: %d", got)
	}
	w.run([]scenario{{"root", "GET", v1 + "/search?q=a", "", 200, `"items"`, nil}})
}

// More than can be searched one by one is searched by organization: all that
// the caller may read is found, and nothing else, whether it belongs to an
// organization or to none.
func TestASearchFindsAllThatTheCallerMayReadAndNoMore(t *testing.T) {
	w := newWorld(t, api.Options{})
	w.user("member")
	w.user("reader")
	var muts []string
	for _, org := range []string{"alpha", "beta", "gamma"} {
		muts = append(muts, fmt.Sprintf(`{"op":"put","node":"organization:%s","data":{"name":"common %[1]s"}}`, org))
		for i := range 520 {
			muts = append(muts, fmt.Sprintf(`{"op":"put","node":"tag:%s-%d","data":{"organization":"%[1]s","name":"common %[2]d"}}`, org, i))
		}
	}
	muts = append(muts, `{"op":"put","node":"role:common","data":{"permissions":["tag:read"]}}`, `{"op":"put","node":"role:common-beta","data":{"organization":"beta","permissions":["tag:read"]}}`)
	w.ok("root", "POST", v1+"/batch", `{"mutations":[`+strings.Join(muts, ",")+`]}`)
	w.grant("user:member", "readonly", "organization:alpha")
	w.grant("user:member", "readonly", "tag:beta-7")
	w.grant("user:reader", "common", "platform:root")
	find := func(as, query string) map[string]int {
		found, cursor := map[string]int{}, ""
		for range 200 {
			page := w.ok(as, "GET", v1+"/search?limit=100&q="+query+cursor, "").json()
			for _, item := range page["items"].([]any) {
				hit := item.(map[string]any)
				of, _ := hit["organization"].(string)
				found[fmt.Sprint(hit["type"], " ", of)]++
			}
			next, more := page["next_cursor"].(string)
			if cursor = "&cursor=" + next; !more {
				return found
			}
		}
		t.Fatalf("%s: the search for %s never ends", as, query)
		return nil
	}
	for _, c := range []struct{ as, query, want string }{
		{"member", "common", "map[organization :1 role :1 tag alpha:520 tag beta:1]"},
		{"member", "common&type=tag", "map[tag alpha:520 tag beta:1]"},
		{"member", "common&organization=alpha", "map[organization :1 tag alpha:520]"},
		{"member", "member", "map[user :1]"},
		{"reader", "common", "map[role :1 tag alpha:520 tag beta:520 tag gamma:520]"},
		{"root", "common", "map[organization :3 role :1 role beta:1 tag alpha:520 tag beta:520 tag gamma:520]"},
	} {
		if got := fmt.Sprint(find(c.as, c.query)); got != c.want {
			t.Errorf("%s searches %s:\n got %s\nwant %s", c.as, c.query, got, c.want)
		}
	}
}

// A project is found by what is in the fields that a blueprint describes, by
// those who may read it, for as long as it is there.
func TestASearchKnowsBlueprintFields(t *testing.T) {
	w := newWorld(t, api.Options{}).sample()
	const acme = v1 + "/organizations/acme"
	w.ok("acme-owner", "PUT", acme+"/blueprints/service", `{"applies_to":"project","schema":{"type":"object","properties":{
		"runtime":{"type":"string"},"ports":{"type":"array","items":{"type":"integer"}},"contact":{"type":"object","properties":{"name":{"type":"string"}}}}}}`)
	w.ok("acme-owner", "PUT", acme+"/projects/billing", `{"name":"Billing","attributes":{"runtime":"Erlang/OTP","ports":[8443],"contact":{"name":"Zoë Vermeer"}}}`)
	find := func(as, q, want string) scenario {
		return scenario{as: as, method: "GET", path: v1 + "/search?q=" + q, status: 200, want: want}
	}
	none := `{"items":[]}`
	w.run([]scenario{
		find("acme-owner", "erlang", `"slug":"billing","name":"Billing"`),
		find("acme-owner", "billing+otp", `"matched":["name","slug","attributes"]`),
		find("acme-owner", "8443", `"matched":["attributes"]`),
		find("acme-owner", "zoe+verm", `"slug":"billing"`),
		find("root", "vermer", `"slug":"billing"`), // a typo
		find("acme-owner", "runtime&type=project", none),
		find("other-owner", "erlang", none),
		find("other-owner", "vermer", none),
		{as: "acme-owner", method: "PATCH", path: acme + "/projects/billing", body: `{"attributes":{"runtime":"Go"}}`, status: 200, want: `"runtime":"Go"`},
		find("acme-owner", "erlang", none),
		find("root", "erlang", none),
		find("acme-owner", "zoe+go", `"slug":"billing"`),
	})
}
