package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trellis/bench/drive"
	"trellis/bench/peer"
	"trellis/bench/world"
)

// bench is one run.
type bench struct {
	options
	world     *world.World
	data, dir string
	known     []world.Question
	questions []world.Question
	progress  io.Writer
	report    report

	ours, fga, cached peer.Peer
	first             *peer.OpenFGA // fga, by its own type
	bare              *peer.Bare
	dirs              int
	granted           map[peer.Peer]int // pairs given so far, see world.NewGrants
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// wants tells whether a group is to be measured.
func (b *bench) wants(group string) bool {
	return b.only == "" || slices.Contains(strings.Split(b.only, ","), group)
}

// newDir makes a directory for one process.
func (b *bench) newDir(name string) (string, error) {
	b.dirs++
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.dirs))
	return dir, os.Mkdir(dir, 0o700)
}

// all measures everything, in an order in which what changes the data comes last.
func (b *bench) all(ctx context.Context) error {
	b.granted = map[peer.Peer]int{}
	if err := b.load(ctx); err != nil {
		return err
	}
	if err := b.startOthers(ctx); err != nil {
		return err
	}
	if err := b.decisions(ctx); err != nil {
		return err
	}
	for _, g := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"check", b.check}, {"batch", b.batch}, {"list", b.list}, {"write", b.write}, {"revoke", b.revoke},
		{"neo4j", b.onNeo4j},
	} {
		if !b.wants(g.name) {
			continue
		}
		if err := g.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	for _, p := range b.peers() {
		now, peak := p.Memory()
		b.report.memory = append(b.report.memory, memory{p.Name(), "after the run", now, peak})
	}
	return ctx.Err()
}

// peers are the systems that run, Trellis first.
func (b *bench) peers() []peer.Peer {
	var out []peer.Peer
	for _, p := range []peer.Peer{b.ours, b.fga, b.cached} {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}

// writers are those of them with a store of their own.
func (b *bench) writers() []peer.Peer {
	return slices.DeleteFunc(b.peers(), func(p peer.Peer) bool { return p == b.cached })
}

// startOthers starts what needs nothing but loaded databases.
func (b *bench) startOthers(ctx context.Context) error {
	if b.first != nil {
		dir, err := b.newDir("cached")
		if err != nil {
			return err
		}
		cached, err := peer.StartOpenFGACached(ctx, b.openfga, dir, b.first)
		if err != nil {
			return err
		}
		b.cached = cached
	}
	dir, err := b.newDir("bare")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.bare, err = peer.StartBare(ctx, self, dir)
	return err
}

// stop ends what was started.
func (b *bench) stop() error {
	var errs []error
	for _, p := range b.peers() {
		errs = append(errs, p.Stop())
	}
	if b.bare != nil {
		errs = append(errs, b.bare.Stop())
	}
	return errors.Join(errs...)
}

// server is what answers requests.
type server interface {
	Client() *drive.Client
	CPU() time.Duration
}

// entry is one system in a measurement: a server that requests are sent to, or,
// if raw is set, a database that is written to directly.
type entry struct {
	system string
	items  int // answers in one request
	server server
	source drive.Source
	first  *int // number of the next request, where requests may not be repeated
	raw    func(context.Context, time.Duration) (n int, took time.Duration, err error)
}

// run takes one round of it. A warm-up looks closely at every answer.
func (e *entry) run(ctx context.Context, connections int, d time.Duration, warmUp bool) drive.Result {
	if e.raw != nil {
		before := peer.CPU(os.Getpid())
		n, took, err := e.raw(ctx, d)
		if err != nil || n == 0 {
			return drive.Result{Failed: 1, Err: err}
		}
		return drive.Result{Done: n, PerSecond: float64(n) / took.Seconds(), CPU: (peer.CPU(os.Getpid()) - before) / time.Duration(n)}
	}
	before := e.server.CPU()
	r := e.server.Client().Run(ctx, e.source, connections, *e.first, drive.Limit{Time: d, Exact: warmUp})
	if sent := r.Next - *e.first; sent > 0 {
		r.CPU = (e.server.CPU() - before) / time.Duration(sent*e.items)
	}
	*e.first = r.Next
	settle(ctx, e.server)
	return r
}

// settle waits until the server is idle: one that gave up on requests may go on
// working on them, and would take the next one's time.
func settle(ctx context.Context, s server) {
	const step = 100 * time.Millisecond
	for range 100 {
		before := s.CPU()
		select {
		case <-ctx.Done():
			return
		case <-time.After(step):
		}
		if s.CPU()-before <= step/5 {
			return
		}
	}
}

// measure takes the rounds of all systems in turn, after each was warmed up.
func (b *bench) measure(ctx context.Context, what string, connections int, entries []entry) {
	results := make([][]drive.Result, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.first == nil {
			e.first = new(int)
		}
		r := e.run(ctx, connections, min(b.duration, 2*time.Second), true)
		if r.Wrong+r.Failed > 0 {
			b.report.mistake("%s, %d connections, %s, warming up: %d wrong, %d failed, first: %v", what, connections, e.system, r.Wrong, r.Failed, r.Err)
		}
	}
	for range b.rounds {
		for i := range entries {
			results[i] = append(results[i], entries[i].run(ctx, connections, b.duration, false))
		}
	}
	for i, e := range entries {
		m := drive.Median(results[i])
		b.report.add(row{what: what, connections: connections, system: e.system, items: e.items, result: m})
		if m.Err != nil {
			b.report.mistake("%s, %d connections, %s: first of %d failures: %v", what, connections, e.system, m.Failed, m.Err)
		}
		b.say("%-30s c=%-3d %-20s %10.0f/s p50 %v p99 %v wrong %d failed %d", what, connections, e.system, m.PerSecond*float64(e.items), m.P50, m.P99, m.Wrong, m.Failed)
	}
}
