package main

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"trellis/audit"
	"trellis/cmd/trellis/config"
	"trellis/graph"
	"trellis/graph/identity"
)

func TestUpkeepClearsAwayWhatIsOver(t *testing.T) {
	cfg, err := config.Load(func(name string) string {
		return map[string]string{"TRELLIS_DATA": t.TempDir(), "TRELLIS_FEED_RETENTION": "24h"}[name]
	}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	k, err := openCore(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := k.prepare(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	record := func(id string, expires time.Time) graph.Ref {
		r := graph.Ref{Type: "idempotency_key", ID: id}
		if _, err := k.graph.Write(t.Context(), graph.Batch{Actor: graph.Root, Steps: []graph.Step{
			graph.Put(graph.Node{Ref: r, Props: graph.Props{graph.PropExpires: expires.UnixMilli()}}),
		}}); err != nil {
			t.Fatal(err)
		}
		return r
	}
	over, valid := record("over", now.Add(-time.Second)), record("valid", now.Add(time.Hour))
	u, err := k.openAudit(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.start()
	for _, age := range []time.Duration{91 * audit.Day, 89 * audit.Day} {
		d := &audit.Decision{Head: audit.Head{Time: now.Add(-age)}, Question: "check", Answer: audit.Allowed, Weight: 1}
		if err := u.log.Append(t.Context(), audit.Must, d); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(u.changes.Flush(t.Context()), u.log.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	s := &server{core: k, audit: u, cfg: cfg}
	ids := identity.New(k.graph, k.system, k.rules())
	for _, op := range []identity.Op{identity.OpPut, identity.OpDelete} {
		if _, err := ids.Apply(t.Context(), asSystem(), []identity.Mutation{{Op: op, Node: graph.Ref{Type: identity.Organization, ID: "gone"}}}, identity.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	inTrash := func() int {
		a, err := k.store.Ask(t.Context(), graph.Question{Name: graph.NodesByType, Type: identity.Tombstone, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(a.Nodes)
	}

	s.clear(t.Context(), now)
	decisions := 0
	if err := u.sink.Find(t.Context(), audit.Query{Stream: audit.Decisions}, func(audit.Record) error { decisions++; return nil }); err != nil || decisions != 1 {
		t.Errorf("%d decisions are left (%v), want the one younger than 90 days", decisions, err)
	}
	there, err := k.store.Nodes(t.Context(), []graph.Ref{over, valid})
	if err != nil || len(there) != 1 || there[0].Ref != valid {
		t.Errorf("there are %v (%v), want %s alone", there, err, valid)
	}
	if _, err := k.store.Changes(t.Context(), 0, 1); err != nil {
		t.Errorf("changes that are young are gone: %v", err)
	}
	s.clear(t.Context(), now.Add(25*time.Hour))
	if n := inTrash(); n != 1 {
		t.Errorf("%d things are in the trash after a day, want 1", n)
	}
	s.clear(t.Context(), now.Add(31*24*time.Hour))
	if n := inTrash(); n != 0 {
		t.Errorf("%d things are in the trash after 31 days", n)
	}
	if _, err := k.store.Changes(t.Context(), 0, 1); graph.KindOf(err) != graph.Gone {
		t.Errorf("changes older than a day are still there: %v", err)
	}
	if !k.graph.State().Ready || !k.index.View().Exists(graph.Root) {
		t.Error("the index suffered")
	}
}
