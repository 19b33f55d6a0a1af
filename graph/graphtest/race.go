package graphtest

import (
	"fmt"
	"sync"
	"time"

	"trellis/graph"
)

var raceCases = []testCase{
	{name: "TwoProcessesWriteOneOrder", own: true, run: testTwoWriters},
	{name: "ExportIsOneMoment", run: testSnapshot},
	{name: "OneWinnerOfARace", run: testOneWinner},
}

// Several writers in two processes: nothing is lost, and there is one order.
func testTwoWriters(r *room) {
	counter := r.ref("doc", "counter")
	start := r.do(putProps(counter, graph.Props{"n": 0})).Revision
	const writers, rounds = 4, 6
	stores := []graph.Store{r.store, r.open()}
	var mu sync.Mutex
	acked := map[graph.Revision]string{}
	var wg, reader sync.WaitGroup
	stop := make(chan struct{})
	reader.Go(func() { r.follow(stores[1], start, stop) })
	for w := range writers {
		wg.Go(func() {
			s := stores[w%2]
			for i := range rounds {
				var group []graph.Batch
				for j := range 3 {
					group = append(group, r.batch(put(r.ref("doc", fmt.Sprintf("%d-%d-%d", w, i, j))), link(r.ref("doc", fmt.Sprintf("%d-%d-%d", w, i, j)), "K", counter)))
				}
				group = append(group, r.increment(s, counter))
				res, err := s.Commit(r.ctx, group)
				if err != nil {
					r.Errorf("Commit: %v", err)
					return
				}
				for j := range res {
					if res[j].Err != nil {
						if j == 3 && graph.KindOf(res[j].Err) == graph.Stale {
							continue
						}
						r.Errorf("refused: %v", res[j].Err)
						continue
					}
					mu.Lock()
					if acked[res[j].Revision] != "" {
						r.Errorf("revision %d was given twice", res[j].Revision)
					}
					acked[res[j].Revision] = group[j].ID
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	reader.Wait()
	head := r.head()
	if int(head-start) != len(acked) {
		r.Errorf("%d revisions, %d acknowledged", head-start, len(acked))
	}
	for rev, n := start, 0; rev < head; {
		list := r.changes(rev, 7)
		if len(list) == 0 {
			r.Fatalf("no changes after %d, head %d", rev, head)
		}
		for _, c := range list {
			if rev++; c.Revision != rev || acked[rev] != c.ID {
				r.Fatalf("change %d is batch %s; want %d, %s", c.Revision, c.ID, rev, acked[rev])
			}
			for _, e := range c.Entries {
				if e.Node != nil && e.Node.After.Ref == counter {
					if n++; e.Node.After.Props.Int("n") != int64(n) {
						r.Errorf("the counter is %d after %d increments", e.Node.After.Props.Int("n"), n)
					}
				}
			}
		}
	}
	if n := len(r.edgesTo(counter, "K")); n != writers*rounds*3 {
		r.Errorf("%d edges, want %d", n, writers*rounds*3)
	}
}

// follow reads the feed while it is written: a change that appears is the
// next one, and what Info calls the head is there.
func (r *room) follow(s graph.Store, at graph.Revision, stop chan struct{}) {
	for {
		info, err := s.Info(r.ctx)
		if err != nil {
			r.Errorf("Info: %v", err)
			return
		}
		list, err := s.Changes(r.ctx, at, 10)
		if err != nil {
			r.Errorf("Changes: %v", err)
			return
		}
		if len(list) < min(10, int(info.Head-at)) {
			r.Errorf("%d changes after %d although the head was %d", len(list), at, info.Head)
		}
		for _, c := range list {
			if at++; c.Revision != at {
				r.Errorf("change %d appeared where %d was next", c.Revision, at)
				return
			}
		}
		select {
		case <-stop:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// increment reads the counter and adds one if it is still so.
func (r *room) increment(s graph.Store, counter graph.Ref) graph.Batch {
	list, err := s.Nodes(r.ctx, []graph.Ref{counter})
	if err != nil || len(list) != 1 {
		r.Errorf("Nodes: %v, %v", list, err)
		return r.batch()
	}
	return r.batch(graph.RequireAt(counter, list[0].Revision), putProps(counter, graph.Props{"n": list[0].Props.Int("n") + 1}))
}

// While batches move an edge about, an export always shows exactly one of
// it, and the two nodes that change together are alike.
func testSnapshot(r *room) {
	k := r.kind("AT")
	n := func(i int) graph.Ref { return graph.Ref{Type: r.typ("n"), ID: fmt.Sprint(i % 3)} }
	first, last := r.ref("aaa", "first"), r.ref("zzz", "last")
	move := func(i int) []graph.Step {
		return []graph.Step{
			graph.Unlink(key(n(i), k, n(i))), link(n(i+1), k, n(i+1)),
			putProps(first, graph.Props{"i": i}), putProps(last, graph.Props{"i": i}),
		}
	}
	r.do(append([]graph.Step{put(n(0)), put(n(1)), put(n(2))}, move(0)...)...)
	other := r.open()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				if res, err := other.Commit(r.ctx, []graph.Batch{r.batch(move(i)...)}); err != nil || res[0].Err != nil {
					r.Errorf("Commit: %v, %v", err, res)
					return
				}
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	var revision graph.Revision
	for range 8 {
		list, info := r.export(r.store)
		r.inOrder(list)
		at, values := 0, map[int64]int{}
		for _, rec := range list {
			switch {
			case rec.Edge != nil && rec.Edge.Kind == k:
				at++
			case rec.Node != nil && (rec.Node.Ref == first || rec.Node.Ref == last):
				values[rec.Node.Props.Int("i")]++
				if rec.Node.Revision > info.Head {
					r.Errorf("revision %d in an export of %d", rec.Node.Revision, info.Head)
				}
			}
		}
		if at != 1 || len(values) != 1 {
			r.Errorf("an export at %d shows %d edges and values %v", info.Head, at, values)
		}
		if info.Head < revision {
			r.Errorf("exports went back from %d to %d", revision, info.Head)
		}
		revision = info.Head
	}
}

// Of many who want the same name, the same new node, the same revision, one gets it.
func testOneWinner(r *room) {
	a := r.ref("doc", "a")
	rev := r.do(put(a)).Revision
	stores := []graph.Store{r.store, r.open()}
	var mu sync.Mutex
	won := map[string]int{}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			res, err := stores[w%2].Commit(r.ctx, []graph.Batch{
				r.batch(putNamed(r.ref("user", fmt.Sprint(w)), r.prefix+"name")),
				r.batch(graph.RequireAbsent(r.ref("doc", "new")), put(r.ref("doc", "new"))),
				r.batch(graph.RequireAt(a, rev), putProps(a, graph.Props{"w": w + 1})),
				r.batch(graph.RequireUnlinked(key(a, r.kind("K"), a)), link(a, r.kind("K"), a)),
			})
			if err != nil {
				r.Errorf("Commit: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for i, what := range []string{"name", "node", "revision", "edge"} {
				if res[i].Err == nil {
					won[what]++
				}
			}
		})
	}
	wg.Wait()
	for _, what := range []string{"name", "node", "revision", "edge"} {
		if won[what] != 1 {
			r.Errorf("%d won the %s", won[what], what)
		}
	}
}
