package main

import (
	"strings"
	"testing"
)

func FuzzReadQuestions(f *testing.F) {
	f.Add(`{"subject": "member-1", "resource": "o/r", "permission": "read", "allowed": true}`, "user")
	f.Add("{}\n[]\n\"x\"", "")
	f.Add(`{"subject":"user:a","resource":"x","permission":"y"} {}`, "user")
	f.Fuzz(func(t *testing.T, text, typ string) {
		n := 0
		err := readQuestions(strings.NewReader(text), shorthand{subjectType: typ, resourceType: "repo", permissionPrefix: "repo:"}, func(line int, q question) error {
			n++
			if line < n || !strings.HasPrefix(q.Resource, "repo:") || !strings.HasPrefix(q.Permission, "repo:") {
				t.Errorf("line %d: %+v", line, q)
			}
			return nil
		})
		if n > strings.Count(text, "\n")+1 {
			t.Errorf("%d questions, %v", n, err)
		}
	})
}

func FuzzReadMutations(f *testing.F) {
	f.Add("- {op: create, node: \"user:a\", data: {name: x}}")
	f.Add(`[{"op":"put_member","set":"group:a","member":"user:b","expires_at":"2026-01-01T00:00:00Z"}]`)
	f.Add("&a [*a]")
	f.Add("- {op: put, node: x, ? {} : 1}")
	f.Fuzz(func(t *testing.T, text string) {
		muts, err := readMutations(strings.NewReader(text))
		for _, m := range muts {
			if err != nil || m.Op == "" {
				t.Errorf("%+v, %v", m, err)
			}
		}
	})
}
