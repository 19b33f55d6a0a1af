package api_test

import (
	"fmt"
	"strings"
	"testing"

	"trellis/api"
)

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
