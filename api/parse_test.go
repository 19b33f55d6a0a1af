package api_test

import (
	"strings"
	"testing"

	"trellis/api"
	"trellis/auth"
	"trellis/graph"
)

func TestEntityTags(t *testing.T) {
	for _, c := range []struct {
		header string
		tags   string
		all    bool
		ok     bool
	}{
		{`"1"`, "1", false, true}, {`*`, "", true, true}, {` "1" , "2"`, "1|2", false, true}, {`W/"1", "2"`, "2", false, true}, {`""`, "", false, true},
		{``, "", false, false}, {`1`, "", false, false}, {`"1`, "", false, false}, {`"1" "2"`, "", false, false}, {`"1",`, "", false, false}, {`"1", *`, "", false, false},
	} {
		tags, all, ok := api.EntityTags(c.header)
		if ok != c.ok || ok && (strings.Join(tags, "|") != c.tags || all != c.all) {
			t.Errorf("%s: %q %v %v", c.header, tags, all, ok)
		}
	}
}

func FuzzEntityTags(f *testing.F) {
	f.Add(`"1", W/"2"`)
	f.Add(`*`)
	f.Fuzz(func(t *testing.T, header string) {
		tags, all, ok := api.EntityTags(header)
		if !ok && (all || tags != nil) {
			t.Errorf("%q: %q %v although it does not parse", header, tags, all)
		}
		for _, tag := range tags {
			if !strings.Contains(header, `"`+tag+`"`) {
				t.Errorf("%q holds no %q", header, tag)
			}
		}
	})
}

func FuzzCursor(f *testing.F) {
	s, err := auth.NewSecrets(strings.Repeat("s", 32))
	must(f, err)
	me, you := graph.Ref{Type: "user", ID: "me"}, graph.Ref{Type: "user", ID: "you"}
	query := map[string]string{"type": "repo", "limit": "5"}
	good := api.Cursor(s, me, query, "last")
	f.Add(good, "repo")
	f.Add("", "repo")
	f.Add(good+"A", "team")
	f.Fuzz(func(t *testing.T, cursor, typ string) {
		after, err := api.After(s, me, map[string]string{"type": typ, "limit": "7", "cursor": cursor})
		if (err == nil) != (cursor == good && typ == "repo") || err == nil && after != "last" {
			t.Errorf("%q of %q: %q %v", cursor, typ, after, err)
		}
		if _, err := api.After(s, you, map[string]string{"type": typ, "cursor": cursor}); err == nil {
			t.Errorf("%q serves another caller", cursor)
		}
	})
}
