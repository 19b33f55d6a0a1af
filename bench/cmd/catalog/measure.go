package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trellis/bench/catalog"
	"trellis/bench/drive"
	"trellis/bench/peer"
)

// command runs a command of trellis on a store.
func (m *measure) command(ctx context.Context, graphURL, dir string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, m.trellis, args...) //nolint:gosec // the program to measure
	c.Env = append(os.Environ(), "TRELLIS_DATA="+dir)
	if graphURL != "" {
		// Nothing is encrypted with it: the servers that follow have one of their own.
		c.Env = append(c.Env, "TRELLIS_GRAPH_URL="+graphURL, "TRELLIS_SECRET_KEY="+strings.Repeat("catalog-", 4))
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("trellis %s: %w: %s", args[0], err, stderr.Bytes())
	}
	return out, nil
}

// write writes the catalog to a file, on top of what a new server brings along.
func (m *measure) write(ctx context.Context, w *catalog.World, file string) (catalog.Counts, error) {
	dir := filepath.Join(m.dir, "new")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return catalog.Counts{}, err
	}
	s, err := peer.StartTrellis(ctx, m.trellis, dir, "", "", nil)
	if err != nil {
		return catalog.Counts{}, err
	}
	if err := s.Stop(); err != nil {
		return catalog.Counts{}, err
	}
	base, err := m.command(ctx, "", dir, "export")
	if err != nil {
		return catalog.Counts{}, err
	}
	f, err := os.Create(file)
	if err != nil {
		return catalog.Counts{}, err
	}
	c, err := w.Write(f, bytes.NewReader(base), peer.TrellisAccount)
	return c, errors.Join(err, f.Close())
}

// session is a server with a catalog, and those who ask it.
type session struct {
	server  *peer.Trellis
	asker   *catalog.Asker
	clients []*drive.Client
}

// start fills a store and starts a server on it.
func (m *measure) start(ctx context.Context, w *catalog.World) (*session, error) {
	dir := m.data
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp(m.dir, "data."); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if !m.reuse {
		if err := m.fill(ctx, w, dir); err != nil {
			return nil, err
		}
	}
	m.say("starting, load %s", load())
	t, err := peer.StartTrellis(ctx, m.trellis, dir, m.neo4j, "", nil)
	if err != nil {
		return nil, err
	}
	now, peak := t.Memory()
	m.tell("Started after %.1f s, %.1f s of processor time; %d MB resident, at most %d MB until then.\n", t.StartTime().Seconds(), t.CPU().Seconds(), now>>20, peak>>20)
	s := &session{server: t, asker: catalog.NewAsker(w, t.URL()), clients: []*drive.Client{t.Client()}}
	for _, p := range []catalog.Person{w.Three, w.Member} {
		if err == nil && p.ID != "" {
			var c *drive.Client
			c, err = s.login(ctx, p)
			s.clients = append(s.clients, c)
		}
	}
	if err != nil {
		return nil, errors.Join(err, t.Stop())
	}
	return s, nil
}

func (m *measure) fill(ctx context.Context, w *catalog.World, dir string) error {
	file := filepath.Join(m.dir, "catalog.ndjson")
	defer os.Remove(file)
	m.say("making a catalog")
	c, err := m.write(ctx, w, file)
	if err != nil {
		return err
	}
	m.say("importing, load %s", load())
	began := time.Now()
	if _, err := m.command(ctx, m.neo4j, dir, "import", file); err != nil {
		return err
	}
	took := time.Since(began)
	m.tell("%d nodes and %d edges; %d projects in %d organizations, %d users. Imported in %.1f s: %.0f/s.\n",
		c.Nodes, c.Edges, w.Projects, w.Organizations, w.Users, took.Seconds(), float64(c.Nodes+c.Edges)/took.Seconds())
	return nil
}

// login gives somebody a key.
func (s *session) login(ctx context.Context, p catalog.Person) (*drive.Client, error) {
	body, err := json.Marshal(map[string]string{"name": "benchmark", "owner": "user:" + p.ID})
	if err != nil {
		return nil, err
	}
	out, err := s.server.Client().Do(ctx, drive.Request{Method: http.MethodPost, URL: s.server.URL() + "/api/v1/api-keys", Body: body}, nil)
	if err != nil {
		return nil, err
	}
	var key struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(out, &key); err != nil {
		return nil, err
	}
	return drive.New(key.Token), nil
}

// turnPages goes to page 1,000 of all projects, which only cursors lead to.
func (s *session) turnPages(ctx context.Context) error {
	base := s.server.URL() + "/api/v1/projects"
	query := ""
	for page := 2; page <= 1000; page++ {
		out, err := s.server.Client().Do(ctx, drive.Request{Method: http.MethodGet, URL: base + query}, nil)
		if err != nil {
			return err
		}
		var list struct {
			Next string `json:"next_cursor"`
		}
		if err := json.Unmarshal(out, &list); err != nil || list.Next == "" {
			return err
		}
		if query = "?cursor=" + url.QueryEscape(list.Next); page == 10 || page == 1000 {
			s.asker.Pages[page] = list.Next
		}
	}
	return nil
}

// chosen are the questions that the command line asks for.
func (m *measure) chosen(s *session, questions []catalog.Question) []catalog.Question {
	return slices.DeleteFunc(questions, func(q catalog.Question) bool {
		return !m.only.MatchString(q.Kind) || q.Caller >= len(s.clients)
	})
}

// best runs the load several times, and returns the run with the best 95th of
// 100 of all answers.
func (m *measure) best(ctx context.Context, s *session, questions []catalog.Question) (catalog.Loaded, error) {
	catalog.Load(ctx, s.clients, m.rate/2, m.warm, s.asker.Source(questions, 1))
	var best catalog.Loaded
	for i := range m.runs {
		before, cpu := load(), s.server.CPU()
		l := catalog.Load(ctx, s.clients, m.rate, m.duration, s.asker.Source(questions, uint64(2+i)))
		cpu = s.server.CPU() - cpu
		now, peak := s.server.Memory()
		m.tell("Run %d: load average %s before, %s after; %.1f answers/s, p50 %s, p95 %s, p99 %s ms; %d%% of a processor; %d MB resident, at most %d; sent late by %s ms (99th), %s (worst).\n",
			i+1, before, load(), l.PerSecond, ms(l.All.P50), ms(l.All.P95), ms(l.All.P99), 100*cpu/m.duration, now>>20, peak>>20, ms(l.Late), ms(l.Latest))
		if i == 0 || l.All.P95 < best.All.P95 {
			best = l
		}
		if ctx.Err() != nil {
			return best, ctx.Err()
		}
	}
	return best, nil
}

// whole measures everything about one catalog.
func (m *measure) whole(ctx context.Context) (err error) {
	s, err := m.start(ctx, catalog.New(m.Options))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.server.Stop()) }()
	if err := s.turnPages(ctx); err != nil {
		return err
	}
	questions := m.chosen(s, s.asker.Questions())
	best, err := m.best(ctx, s, questions)
	if err != nil {
		return err
	}
	m.table(best)
	if m.writes == 0 {
		return nil
	}
	// The same questions, some of them in turn with changes.
	reads, every, rng := s.asker.Source(questions, 99), m.rate/m.writes, rand.New(rand.NewPCG(5, 5))
	l := catalog.Load(ctx, s.clients, m.rate, m.duration, func(i int) catalog.Ask {
		if i%every == 0 {
			return s.asker.Patch(rng)
		}
		return reads(i)
	})
	for _, t := range l.Took {
		if t.Kind == catalog.KindPatch {
			m.tell("With %d changes of a project a second among them: changes p50 %s, p95 %s, p99 %s ms (%d, %d failed); the rest p50 %s, p95 %s, p99 %s ms. Load average %s.\n",
				m.writes, ms(t.P50), ms(t.P95), ms(t.P99), t.N, t.Failed, ms(l.All.P50), ms(l.All.P95), ms(l.All.P99), load())
			if t.Err != nil {
				m.tell("- %v", t.Err)
			}
		}
	}
	return nil
}

// table shows a run, the slowest first.
func (m *measure) table(l catalog.Loaded) {
	m.tell("| question | caller | answers | p50 ms | p95 ms | p99 ms | longest |\n|---|---|---:|---:|---:|---:|---:|")
	slices.SortStableFunc(l.Took, func(a, b catalog.Took) int { return cmp.Compare(b.P95, a.P95) })
	for _, t := range l.Took {
		m.tell("| %s | %s | %d | %s | %s | %s | %s |", t.Kind, catalog.Callers[t.Caller], t.N, ms(t.P50), ms(t.P95), ms(t.P99), ms(t.Max))
	}
	m.tell("| **all** | | %d | %s | %s | %s | %s |\n", l.All.N, ms(l.All.P50), ms(l.All.P95), ms(l.All.P99), ms(l.All.Max))
	for _, t := range l.Took {
		if t.Err != nil {
			m.tell("- %s, %s: %d failed, %d wrong, the first: %.300s", t.Kind, catalog.Callers[t.Caller], t.Failed, t.Wrong, t.Err)
		}
	}
}
