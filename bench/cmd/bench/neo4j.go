package main

import (
	"context"
	"errors"
	"fmt"

	"trellis/bench/ceiling"
	"trellis/bench/drive"
	"trellis/bench/peer"
)

// onNeo4j measures Trellis on Neo4j against the driver alone, on the server
// that TRELLIS_TEST_NEO4J_URL names, whose database must be empty and is empty
// again afterwards.
func (b *bench) onNeo4j(ctx context.Context) (err error) {
	if b.neo4j == "" {
		b.report.notes = append(b.report.notes, "TRELLIS_TEST_NEO4J_URL is not set: nothing was measured on Neo4j.")
		return nil
	}
	raw, err := ceiling.OpenNeo4j(ctx, b.neo4j)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.Close(ctx)) }()
	defer func() { err = errors.Join(err, raw.Empty(context.WithoutCancel(ctx))) }()
	if err := b.rawNeo4j(ctx, raw); err != nil {
		return err
	}
	dir, err := b.newDir("trellis-neo4j")
	if err != nil {
		return err
	}
	t, err := peer.StartTrellis(ctx, b.trellis, dir, b.neo4j, b.data, b.world)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Stop()) }()
	n, took, err := t.Load(ctx)
	if err != nil {
		return err
	}
	b.report.loads = append(b.report.loads, loaded{t.Name(), n, took})
	b.say("load %s: %d in %v", t.Name(), n, took)
	for _, writers := range []int{1, 16, 64} {
		e := []entry{b.grants(t)}
		start := b.granted[t]
		b.measure(ctx, "write one grant", writers, e)
		b.granted[t] = *e[0].first
		b.written(ctx, t, start, b.granted[t])
	}
	return ctx.Err()
}

func (b *bench) rawNeo4j(ctx context.Context, raw *ceiling.Neo4j) error {
	load, err := raw.Load(ctx, b.world)
	if err != nil {
		return err
	}
	b.report.ceilings = append(b.report.ceilings, ceilingRow{"raw Neo4j driver, load by UNWIND in groups of 5,000", load})
	b.say("raw Neo4j load: %.0f/s", load)
	if err := raw.Empty(ctx); err != nil {
		return err
	}
	if err := raw.Prepare(ctx); err != nil {
		return err
	}
	for _, c := range []struct{ sessions, group int }{{1, 16}, {4, 16}, {1, 64}} {
		if _, err := raw.Write(ctx, c.sessions, c.group, b.duration); err != nil { // warm up
			return err
		}
		var rs []drive.Result
		for range b.rounds {
			perSecond, err := raw.Write(ctx, c.sessions, c.group, b.duration)
			if err != nil {
				return err
			}
			rs = append(rs, drive.Result{PerSecond: perSecond})
		}
		m := drive.Median(rs)
		b.report.ceilings = append(b.report.ceilings, ceilingRow{fmt.Sprintf("raw Neo4j driver, grants in groups of %d, %d sessions", c.group, c.sessions), m.PerSecond})
		b.say("raw Neo4j in groups of %d, %d sessions: %.0f/s", c.group, c.sessions, m.PerSecond)
	}
	return raw.Empty(ctx)
}
