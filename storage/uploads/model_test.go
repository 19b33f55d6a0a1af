package uploads_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage"
	"trellis/storage/uploads"
)

// checks sets how many cases rapid tries, unless the command line says it.
func checks(t *testing.T, n int) {
	f := flag.Lookup("rapid.checks")
	if f.Value.String() != f.DefValue {
		return
	}
	must(t, f.Value.Set(fmt.Sprint(n)))
	t.Cleanup(func() { must(t, f.Value.Set(f.DefValue)) })
}

// Processes do at random what callers and operators may.
func TestRandomHistories(t *testing.T) {
	onEngines(t, func(t *testing.T, s site) {
		run := func(concurrent bool) func(*rapid.T) {
			return func(rt *rapid.T) {
				moves := rapid.SliceOfN(moveGenerator, 5, 40).Draw(rt, "moves")
				s := s
				if s.graph != siteIn(s.dir).graph { // one server: what others left is there
					tell(t, rt, s, moves, concurrent)
					return
				}
				tell(t, rt, s.copy(t), moves, concurrent)
			}
		}
		n := *many / 2
		if s.graph != siteIn(s.dir).graph {
			n = 2
		}
		checks(t, n)
		t.Run("one after the other", func(t *testing.T) { rapid.Check(t, run(false)) })
		t.Run("at once", func(t *testing.T) { rapid.Check(t, run(true)) })
	})
}

// move is one thing done by one of the processes.
type move struct {
	Do               string
	Who, What, Where int
}

var moveGenerator = rapid.Custom(func(t *rapid.T) move {
	return move{
		Do:    rapid.SampledFrom(slices.Sorted(maps.Keys(deeds))).Draw(t, "do"),
		Who:   rapid.IntRange(0, 1).Draw(t, "who"),
		What:  rapid.IntRange(0, 2).Draw(t, "what"),
		Where: rapid.IntRange(0, 1).Draw(t, "where"),
	}
})

// tale is what is known of what was done. What was acknowledged, and nobody has
// tried to remove since, must be there in the end.
type tale struct {
	worlds [2]*world
	orgs   [2]graph.Ref

	mu      sync.Mutex
	ends    [2]int // how often somebody began, or ceased, to remove the organization
	ending  [2]int // how many are at it
	atOnce  bool
	known   []string       // uploads that were made, or may have been
	live    map[string]int // their contents
	home    map[string]int // where they are
	pending map[string]pending
	packed  map[graph.Ref]map[string]int // in tombstones
}

type pending struct {
	request storage.SignedRequest
	content int
}

// tell makes the moves, and looks at what came of them.
func tell(t *testing.T, rt *rapid.T, s site, moves []move, concurrent bool) {
	x := &tale{atOnce: concurrent, live: map[string]int{}, home: map[string]int{}, pending: map[string]pending{}, packed: map[graph.Ref]map[string]int{}}
	for i := range x.worlds {
		w, stop, err := s.open(setup{})
		must(t, err)
		defer stop()
		x.worlds[i] = w
	}
	for i := range x.orgs {
		x.orgs[i] = graph.Ref{Type: identity.Organization, ID: uuid.NewString()}
		must(t, x.worlds[0].do(x.founding(i)))
	}
	_, err := x.worlds[1].graph.Sync(context.Background())
	must(t, err)
	play := func(m move) {
		if err := deeds[m.Do](x, x.worlds[m.Who], m); !excusable(err) {
			rt.Errorf("%+v: %v (%v)", m, err, graph.KindOf(err))
		}
	}
	if concurrent {
		var busy sync.WaitGroup
		for half := range 3 {
			busy.Go(func() {
				for i, m := range moves {
					if i%3 == half {
						play(m)
					}
				}
			})
		}
		busy.Wait()
	} else {
		for _, m := range moves {
			play(m)
		}
	}
	x.worlds[0].isSwept(rt)
	for _, w := range x.worlds {
		w.isCurrent(rt)
	}
	for id, content := range x.live {
		n, err := x.worlds[0].upload(id)
		if err != nil {
			rt.Errorf("nobody removed it: %v", err)
			continue
		}
		if sum := sha256.Sum256(picture(content)); n.Props.String(identity.PropSHA256) != hex.EncodeToString(sum[:]) {
			rt.Errorf("upload %s is not of content %d", id, content)
		}
	}
}

// excusable tells whether an error is what somebody may get who was too late.
func excusable(err error) bool {
	if err == nil || errors.Is(err, uploads.ErrNotArrived) {
		return true
	}
	var e *graph.Error
	if !errors.As(err, &e) || e.Ref.Type == identity.Blob {
		return false
	}
	switch e.Kind {
	case graph.NotFound, graph.Exists, graph.Stale, graph.InUse, graph.Invalid, graph.Unavailable:
		return true
	case graph.Denied: // to a process that has not heard of it, it is nobody's
		return e.Ref.Type == identity.Upload || e.Ref.Type == identity.Organization || e.Ref.Type == identity.Tombstone
	}
	return false
}

func (x *tale) founding(i int) identity.Mutation {
	return identity.Mutation{Op: identity.OpCreate, Node: x.orgs[i], Data: fmt.Appendf(nil, `{"name":"O","slug":"o-%s"}`, x.orgs[i].ID)}
}

// made notes an upload, if the organization has been left alone since there were
// so many ends of it.
func (x *tale) made(id string, where, content, ends int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.known = append(x.known, id)
	if x.ends[where] == ends && x.ending[where] == 0 {
		x.live[id], x.home[id] = content, where
	}
}

func (x *tale) endsOf(where int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ends[where]
}

// any returns one of the uploads known.
func (x *tale) any(n int) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.known) == 0 {
		return "none"
	}
	return x.known[len(x.known)-1-n%len(x.known)]
}

// end removes an organization, and takes from what must be there what is in it.
func (x *tale) end(w *world, where int, erase bool) error {
	x.mu.Lock()
	x.ends[where]++
	x.ending[where]++
	gone := map[string]int{}
	for id, content := range x.live {
		if x.home[id] == where {
			gone[id] = content
			delete(x.live, id)
		}
	}
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		x.ends[where]++
		x.ending[where]--
		x.mu.Unlock()
	}()
	o, err := w.ids.Apply(context.Background(), admin, []identity.Mutation{{Op: identity.OpDelete, Node: x.orgs[where], Cascade: true, Erase: erase}}, identity.ApplyOptions{})
	if err != nil {
		return err
	}
	for _, e := range o.Change.Entries {
		if e.Node != nil && e.Node.After != nil && e.Node.After.Ref.Type == identity.Tombstone {
			x.mu.Lock()
			x.packed[e.Node.After.Ref] = gone
			x.mu.Unlock()
		}
	}
	return nil
}

var deeds = map[string]func(*tale, *world, move) error{
	"add": func(x *tale, w *world, m move) error {
		ends := x.endsOf(m.Where)
		id, err := w.add(uploads.Incoming{Parent: x.orgs[m.Where]}, picture(m.What))
		if err == nil {
			x.made(id, m.Where, m.What, ends)
		}
		return err
	},
	"delete": func(x *tale, w *world, m move) error {
		id := x.any(m.What)
		x.mu.Lock()
		delete(x.live, id)
		x.mu.Unlock()
		return w.delete(id)
	},
	"picture": func(x *tale, w *world, m move) error {
		id, err := w.add(uploads.Incoming{PictureOf: x.orgs[m.Where]}, picture(m.What))
		x.mu.Lock()
		x.known = append(x.known, id)
		x.mu.Unlock()
		return err
	},
	"share a picture": func(x *tale, w *world, m move) error {
		return w.do(identity.Mutation{Op: identity.OpPatch, Node: x.orgs[m.Where], Data: fmt.Appendf(nil, `{"icon":"upload:%s"}`, x.any(m.What))})
	},
	"no picture": func(x *tale, w *world, m move) error {
		return w.do(identity.Mutation{Op: identity.OpPutPicture, Node: x.orgs[m.Where], Picture: &graph.Ref{}})
	},
	"trash": func(x *tale, w *world, m move) error { return x.end(w, m.Where, false) },
	"restore": func(x *tale, w *world, m move) error {
		return x.tombstone(w, m, identity.OpRestore)
	},
	"erase what is in the trash": func(x *tale, w *world, m move) error {
		return x.tombstone(w, m, identity.OpDelete)
	},
	"erase": func(x *tale, w *world, m move) error { return x.end(w, m.Where, true) },
	"found": func(x *tale, w *world, m move) error { return w.do(x.founding(m.Where)) },
	"announce": func(x *tale, w *world, m move) error {
		id := uuid.Must(uuid.NewV7()).String()
		q, err := w.announce(id, picture(m.What))
		if err == nil {
			x.mu.Lock()
			x.pending[id], x.known = pending{q, m.What}, append(x.known, id)
			x.mu.Unlock()
		}
		return err
	},
	"send": func(x *tale, w *world, m move) error {
		for _, p := range x.announced() {
			if err := w.send(p.request, picture(p.content)); err != nil {
				return err
			}
		}
		return nil
	},
	"complete": func(x *tale, w *world, _ move) error {
		// A process that has not heard of an upload takes it for nobody's.
		if _, err := w.graph.Sync(context.Background()); err != nil {
			return err
		}
		var faults []error
		for id := range x.announced() {
			if err := w.complete(id); !excusable(err) {
				faults = append(faults, err)
			}
		}
		return errors.Join(faults...)
	},
	"expire": func(x *tale, w *world, _ move) error {
		if !x.atOnce {
			w.graceOver()
			defer w.late.Store(0)
		}
		_, err := w.Discard(context.Background())
		return err
	},
	"sweep": func(x *tale, w *world, _ move) error {
		if !x.atOnce { // what is arriving at the moment is safe by its age
			w.graceOver()
			defer w.late.Store(0)
		}
		done, err := w.Sweep(context.Background())
		if done.Missing > 0 {
			return fmt.Errorf("bytes are missing: %+v", done)
		}
		return err
	},
	"discard": func(_ *tale, w *world, _ move) error {
		_, err := w.Discard(context.Background())
		return err
	},
	"look": func(x *tale, w *world, m move) error {
		n, err := w.upload(x.any(m.What))
		if err != nil {
			return nil
		}
		// It may go at any moment.
		c, err := w.Thumbnail(context.Background(), n, uploads.Sizes[m.What])
		if err == nil {
			_, err = w.Stat(context.Background(), c)
		}
		if errors.Is(err, uploads.ErrPending) || errors.Is(err, uploads.ErrLost) || graph.KindOf(err) == graph.Corrupt {
			return nil
		}
		return err
	},
}

func (x *tale) announced() map[string]pending {
	x.mu.Lock()
	defer x.mu.Unlock()
	return maps.Clone(x.pending)
}

// tombstone restores or erases the organization's newest tombstone.
func (x *tale) tombstone(w *world, m move, op identity.Op) error {
	ends := x.endsOf(m.Where)
	a, err := w.store.Ask(context.Background(), graph.Question{Name: graph.NodesByType, Type: identity.Tombstone, Limit: graph.MaxPage})
	if err != nil {
		return err
	}
	var newest graph.Ref
	for i := range a.Nodes {
		if a.Nodes[i].Props.String(identity.PropBuried) == x.orgs[m.Where].String() {
			newest = a.Nodes[i].Ref
		}
	}
	if newest.IsZero() {
		return nil
	}
	if err := w.do(identity.Mutation{Op: op, Node: newest}); err != nil || op != identity.OpRestore {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ends[m.Where] == ends && x.ending[m.Where] == 0 {
		maps.Copy(x.live, x.packed[newest])
	}
	return nil
}
