package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trellis/bench/ceiling"
	"trellis/bench/peer"
)

// neo4jGroup is how many grants the driver alone writes in a transaction.
const neo4jGroup = 16

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
	t, err := b.loadNeo4j(ctx, raw)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Stop()) }()
	if err := raw.Prepare(ctx); err != nil {
		return err
	}
	for _, writers := range []int{1, 16, 64} {
		entries := []entry{b.grants(t), {
			system: fmt.Sprintf("raw Neo4j driver, groups of %d", neo4jGroup), items: 1,
			raw: func(ctx context.Context, d time.Duration) (int, time.Duration, error) {
				return raw.Write(ctx, neo4jGroup, d)
			},
		}}
		start := b.granted[t]
		b.measure(ctx, "write one grant", writers, entries)
		b.granted[t] = *entries[0].first
		b.written(ctx, t, start, b.granted[t])
	}
	return ctx.Err()
}

// loadNeo4j loads the world into an empty database, by the driver and by
// Trellis in turn, and leaves the last server of Trellis running. The first
// turn is to warm up: a Java program is slow until it has run for a while.
func (b *bench) loadNeo4j(ctx context.Context, raw *ceiling.Neo4j) (*peer.Trellis, error) {
	var rawTook, took []time.Duration
	rounds := min(b.rounds, 3)
	for round := 0; ; round++ {
		d, err := raw.Load(ctx, b.world)
		if err != nil {
			return nil, err
		}
		if err := raw.Empty(ctx); err != nil {
			return nil, err
		}
		dir, err := b.newDir("trellis-neo4j")
		if err != nil {
			return nil, err
		}
		t, err := peer.StartTrellis(ctx, b.trellis, dir, b.neo4j, b.data, b.world)
		if err != nil {
			return nil, err
		}
		_, ours, err := t.Load(ctx)
		if err != nil {
			return nil, errors.Join(err, t.Stop())
		}
		b.say("load on Neo4j: raw driver %v, Trellis %v", d, ours)
		if round > 0 {
			rawTook, took = append(rawTook, d), append(took, ours)
		}
		if round == rounds {
			slices.Sort(rawTook)
			slices.Sort(took)
			n := b.world.Elements()
			b.report.loads = append(b.report.loads, loaded{t.Name(), n, took[len(took)/2]}, loaded{"raw Neo4j driver, UNWIND in groups of 5,000", n, rawTook[len(rawTook)/2]})
			return t, nil
		}
		if err := errors.Join(t.Stop(), raw.Empty(ctx)); err != nil {
			return nil, err
		}
	}
}
