package trail_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/trail"
	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

// ends is a sink of which only the ends of chains are asked.
type ends struct {
	audit.Reader
	last map[audit.Stream][]audit.Record
}

func (e ends) Writers(_ context.Context, s audit.Stream) ([]audit.Record, error) {
	return e.last[s], nil
}

func end(writer string, seq uint64, at time.Time) audit.Record {
	e := &audit.Event{}
	e.Time, e.Link = at, audit.Link{Writer: writer, Seq: seq, Hash: audit.Hash{byte(seq)}}
	return e
}

func TestEndsOfChainsAreRememberedInTheGraph(t *testing.T) {
	ctx, now := context.Background(), time.UnixMilli(1_800_000_000_000).UTC()
	store, err := sqlitegraph.Open(filepath.Join(t.TempDir(), "graph.db"), sqlitegraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	g := graph.New(store, graph.Options{})
	defer g.Close()
	a := trail.NewAnchors(g, "sink", audit.DefaultRetention(), func() time.Time { return now })
	sink := ends{last: map[audit.Stream][]audit.Record{}}
	keep := func(wantCut string, writers ...audit.Record) {
		t.Helper()
		sink.last[audit.Events] = writers
		cut, err := a.Keep(ctx, sink)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(cut); got != wantCut {
			t.Errorf("cut: %s, want %s", got, wantCut)
		}
	}
	kept := func(want string) {
		t.Helper()
		list, err := a.Kept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(list); got != want {
			t.Errorf("kept: %s, want %s", got, want)
		}
	}
	kept("[]")
	keep("[]", end("a", 5, now), end("b", 9, now))
	kept("[events a 5 events b 9]")
	head := g.State().Applied
	keep("[]", end("a", 5, now), end("b", 9, now))
	if g.State().Applied != head {
		t.Error("nothing new was written down again")
	}
	keep("[]", end("a", 6, now), end("b", 9, now))
	kept("[events a 6 events b 9]")
	// The end of one is removed, then all of it: it stays remembered.
	keep("[events a 6]", end("a", 4, now), end("b", 9, now))
	keep("[events a 6]", end("b", 10, now))
	kept("[events a 6 events b 10]")
	other := trail.NewAnchors(g, "another sink", audit.DefaultRetention(), func() time.Time { return now })
	if list, err := other.Kept(ctx); err != nil || len(list) > 0 {
		t.Errorf("another sink: %v, %v", list, err)
	}
	// What the retention has taken is not expected any more.
	now = now.Add(800 * audit.Day)
	kept("[]")
	keep("[]")
	page, err := g.Store().Ask(ctx, graph.Question{Name: graph.NodesByType, Type: "audit_chain", Limit: 10})
	if err != nil || len(page.Nodes) > 0 {
		t.Errorf("left over: %v, %v", page.Nodes, err)
	}
}

func names(list []audit.KnownLink) string {
	out := []string{}
	for _, k := range list {
		out = append(out, fmt.Sprintf("%s %s %d", k.Stream, k.Writer, k.Seq))
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}
