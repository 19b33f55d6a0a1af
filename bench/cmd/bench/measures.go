package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"trellis/bench/ceiling"
	"trellis/bench/drive"
	"trellis/bench/peer"
	"trellis/bench/world"
)

// load loads the whole data set into empty stores, in turn, and keeps the last
// of each for what follows.
func (b *bench) load(ctx context.Context) error {
	rounds := 1
	if b.wants("load") {
		rounds = b.rounds
	}
	if !b.alone {
		dir, err := b.newDir("openfga")
		if err != nil {
			return err
		}
		if b.first, err = peer.StartOpenFGA(ctx, b.openfga, dir, b.world); err != nil {
			return err
		}
		b.fga = b.first
	}
	took := map[string][]time.Duration{}
	elements := map[string]int{}
	for range rounds {
		if err := b.freshTrellis(ctx); err != nil {
			return err
		}
		for _, p := range b.peers() {
			n, d, err := p.Load(ctx)
			if err != nil {
				return fmt.Errorf("load %s: %w", p.Name(), err)
			}
			took[p.Name()], elements[p.Name()] = append(took[p.Name()], d), n
			b.say("load %s: %d in %v", p.Name(), n, d)
		}
	}
	for _, p := range b.peers() {
		ds := slices.Sorted(slices.Values(took[p.Name()]))
		b.report.loads = append(b.report.loads, loaded{p.Name(), elements[p.Name()], ds[len(ds)/2]})
		now, peak := p.Memory()
		b.report.memory = append(b.report.memory, memory{p.Name(), "after loading", now, peak})
	}
	return nil
}

// freshTrellis starts a server on an empty directory in place of the one that runs.
func (b *bench) freshTrellis(ctx context.Context) error {
	if b.ours != nil {
		old := b.ours
		b.ours = nil
		if err := old.Stop(); err != nil {
			return err
		}
	}
	dir, err := b.newDir("trellis")
	if err != nil {
		return err
	}
	ours, err := peer.StartTrellis(ctx, b.trellis, dir, "", b.data, b.world)
	if err != nil {
		return err
	}
	b.ours = ours
	b.report.starts = append(b.report.starts, ours.StartTime())
	return nil
}

// decisions asks everybody the known decisions once.
func (b *bench) decisions(ctx context.Context) error {
	for _, p := range b.peers() {
		r := p.Client().Run(ctx, drive.Cycle(requests(b.known, p.Check)), 16, 0, drive.Limit{Time: 5 * time.Minute, Requests: len(b.known), Exact: true})
		b.report.known = append(b.report.known, fmt.Sprintf("%s: %d of %d right", p.Name(), r.Done, len(b.known)))
		b.say("known decisions, %s: %d right, %d wrong, %d failed", p.Name(), r.Done, r.Wrong, r.Failed)
		if r.Done != len(b.known) {
			b.report.mistake("known decisions, %s: %d wrong, %d failed, first: %v", p.Name(), r.Wrong, r.Failed, r.Err)
		}
	}
	return ctx.Err()
}

func requests[T any](xs []T, f func(T) drive.Request) []drive.Request {
	out := make([]drive.Request, len(xs))
	for i, x := range xs {
		out[i] = f(x)
	}
	return out
}

func (b *bench) check(ctx context.Context) error {
	qs := slices.Concat(b.known, b.questions)
	entries := []entry{}
	for _, p := range b.peers() {
		entries = append(entries, entry{system: p.Name(), items: 1, server: p, source: drive.Cycle(requests(qs, p.Check))})
	}
	entries = append(entries, entry{system: bareRoute, items: 1, server: b.bare, source: drive.Cycle(requests(qs, b.bare.Check))})
	for _, connections := range []int{1, 16} {
		b.measure(ctx, "check", connections, slices.Clone(entries))
	}
	return ctx.Err()
}

func (b *bench) batch(ctx context.Context) error {
	var entries []entry
	for _, p := range b.peers() {
		groups := slices.Collect(slices.Chunk(b.questions[:len(b.questions)/100*100], p.BatchSize()))
		entries = append(entries, entry{system: fmt.Sprintf("%s, in batches of %d", p.Name(), p.BatchSize()), items: p.BatchSize(), server: p, source: drive.Cycle(requests(groups, p.Batch))})
	}
	for _, connections := range []int{1, 16} {
		b.measure(ctx, "checks in batches", connections, slices.Clone(entries))
	}
	return ctx.Err()
}

func (b *bench) list(ctx context.Context) error {
	most, few := b.world.Readers(20)
	for _, l := range []struct {
		what    string
		readers []world.Reader
	}{
		{fmt.Sprintf("list %d to %d of %d repositories", len(most[len(most)-1].Repos), len(most[0].Repos), len(b.world.Repos)), most},
		{fmt.Sprintf("list %d to %d of %d repositories", len(few[len(few)-1].Repos), len(few[0].Repos), len(b.world.Repos)), few},
	} {
		var entries []entry
		for _, p := range b.peers() {
			entries = append(entries, entry{system: p.Name(), items: 1, server: p, source: drive.Cycle(requests(l.readers, p.List))})
		}
		b.measure(ctx, l.what, 1, entries)
	}
	return ctx.Err()
}

// write writes single grants, and the same into a raw database, as many in a
// transaction as there are writers.
func (b *bench) write(ctx context.Context) error {
	dir, err := b.newDir("sqlite")
	if err != nil {
		return err
	}
	raw, err := ceiling.OpenSQLite(ctx, dir)
	if err != nil {
		return err
	}
	defer raw.Close()
	for _, writers := range []int{1, 16, 64} {
		entries := []entry{}
		starts := []int{}
		peers := b.writers()
		for _, p := range peers {
			starts = append(starts, b.granted[p])
			entries = append(entries, b.grants(p))
		}
		entries = append(entries, entry{
			system: fmt.Sprintf("raw SQLite, groups of %d", writers), items: 1,
			raw: func(ctx context.Context, d time.Duration) (int, time.Duration, error) {
				return raw.Write(ctx, writers, d)
			},
		})
		b.measure(ctx, "write one grant", writers, entries)
		for i, p := range peers {
			b.granted[p] = *entries[i].first
			b.written(ctx, p, starts[i], b.granted[p])
		}
	}
	return ctx.Err()
}

// grants is one system writing grants that are not there yet.
func (b *bench) grants(p peer.Peer) entry {
	pair := b.world.NewGrants()
	first := b.granted[p]
	return entry{system: p.Name(), items: 1, server: p, first: &first, source: func(i int) drive.Request { return p.Grant(pair(i)) }}
}

// written asks whether grants that were written are in force.
func (b *bench) written(ctx context.Context, p peer.Peer, from, to int) {
	const sample = 200
	pair := b.world.NewGrants()
	source := func(i int) drive.Request {
		person, repo := pair(from + i*(to-from)/sample)
		return p.Check(world.Question{Person: person, Repo: repo, Level: world.Read, Allowed: true})
	}
	r := p.Client().Run(ctx, source, 4, 0, drive.Limit{Time: time.Minute, Requests: sample})
	if r.Done != sample {
		b.report.mistake("grants written, %s: %d of %d asked about are in force, %d are not, %d failed (%v)", p.Name(), r.Done, sample, r.Wrong, r.Failed, r.Err)
	}
}

// revoke takes grants back and asks until the answer is no. The time is taken
// from the answer to the revocation.
func (b *bench) revoke(ctx context.Context) error {
	// The two servers of OpenFGA have one database: other pairs for the second.
	if b.cached != nil {
		b.granted[b.cached] = len(b.world.People) * len(b.world.Repos) / 2
	}
	for _, p := range b.peers() {
		var took []time.Duration
		until := time.Now().Add(4 * b.duration)
		for n := 0; n < 1000 && time.Now().Before(until); n++ {
			d, err := b.revokeOne(ctx, p)
			if err != nil {
				return fmt.Errorf("%s: %w", p.Name(), err)
			}
			took = append(took, d)
		}
		slices.Sort(took)
		b.report.revoked = append(b.report.revoked, revoked{p.Name(), len(took), drive.Quantile(took, 0.5), took[len(took)-1]})
		b.say("revocation in force, %s: p50 %v, at most %v of %d", p.Name(), drive.Quantile(took, 0.5), took[len(took)-1], len(took))
	}
	return nil
}

// maxStale is how long to wait for a revocation.
const maxStale = 30 * time.Second

// revokeOne gives access to somebody who has none, sees that it is in force,
// and takes it back.
func (b *bench) revokeOne(ctx context.Context, p peer.Peer) (time.Duration, error) {
	pair := b.world.NewGrants()
	var person string
	var repo *world.Repo
	for { // nobody counts who may read anyway
		b.granted[p]++
		if person, repo = pair(b.granted[p]); b.world.Level(person, repo) == world.None {
			break
		}
	}
	c := p.Client()
	if _, err := c.Do(ctx, p.Grant(person, repo), nil); err != nil {
		return 0, err
	}
	question := func(want bool) (bool, error) {
		r := p.Check(world.Question{Person: person, Repo: repo, Level: world.Read, Allowed: want})
		body, err := c.Do(ctx, r, nil)
		return err == nil && r.Right(body), err
	}
	ok, err := b.until(question, true)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("a grant is not in force after %v", maxStale)
	}
	if _, err := c.Do(ctx, p.Revoke(person, repo), nil); err != nil {
		return 0, err
	}
	began := time.Now()
	ok, err = b.until(question, false)
	if err == nil && !ok {
		err = fmt.Errorf("a revocation is not in force after %v", maxStale)
	}
	return time.Since(began), err
}

func (b *bench) until(question func(bool) (bool, error), want bool) (bool, error) {
	for began := time.Now(); time.Since(began) < maxStale; time.Sleep(time.Millisecond) {
		if ok, err := question(want); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
