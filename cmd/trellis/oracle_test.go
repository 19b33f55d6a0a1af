package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trellis/cmd/trellis/config"
	"trellis/graph"
)

// storeAnswers asks the store of these settings itself, without the index,
// every nth of the known decisions.
func storeAnswers(t *testing.T, env []string, nth int) {
	t.Helper()
	cfg, err := config.Load(func(name string) string {
		for _, e := range env {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v
			}
		}
		return ""
	}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	store, err := openStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	text, err := os.ReadFile(filepath.Join(kubernetes, "decisions-sample.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	asked, now := 0, time.Now()
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if i%nth != 0 {
			continue
		}
		var d struct {
			Subject, Resource, Permission string
			Allowed                       bool
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		got, err := store.Check(t.Context(), graph.CheckQuery{
			Subject: graph.Ref{Type: "user", ID: d.Subject}, Permission: "repo:" + d.Permission, Resource: graph.Ref{Type: "repo", ID: d.Resource}, At: now,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got.Allowed != d.Allowed {
			t.Errorf("line %d: the store says %v: %s", i+1, got.Allowed, line)
		}
		asked++
	}
	t.Logf("%d decisions by the store alone", asked)
	if asked < 500 {
		t.Errorf("only %d decisions were asked", asked)
	}
}
