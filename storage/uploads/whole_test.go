package uploads_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage"
	"trellis/storage/uploads"
)

// holdings are what a site has of files, read from the store and the blobs
// without the service.
type holdings struct {
	uploads map[string]*graph.Node
	blobs   map[string]*graph.Node
	stored  map[string]string   // from uploads to blobs
	users   map[string][]string // of a blob: uploads and tombstones
	objects map[storage.Key]storage.Info
}

func (w *world) look(t tb) holdings {
	t.Helper()
	h := holdings{map[string]*graph.Node{}, map[string]*graph.Node{}, map[string]string{}, map[string][]string{}, map[storage.Key]storage.Info{}}
	var blobs []graph.Ref
	w.ask(t, graph.Question{Name: graph.NodesByType, Type: identity.Upload}, func(a *graph.Answer) {
		for i := range a.Nodes {
			h.uploads[a.Nodes[i].Ref.ID] = &a.Nodes[i]
		}
	})
	w.ask(t, graph.Question{Name: graph.NodesByType, Type: identity.Blob}, func(a *graph.Answer) {
		for i := range a.Nodes {
			h.blobs[a.Nodes[i].Ref.ID] = &a.Nodes[i]
			blobs = append(blobs, a.Nodes[i].Ref)
		}
	})
	if len(blobs) > 0 {
		w.ask(t, graph.Question{Name: graph.EdgesIn, Refs: blobs, Kinds: []graph.Kind{identity.StoredAs}}, func(a *graph.Answer) {
			for _, e := range a.Edges {
				h.users[e.To.ID] = append(h.users[e.To.ID], e.From.String())
				if e.From.Type != identity.Upload {
					continue
				}
				if other, two := h.stored[e.From.ID]; two {
					t.Errorf("%s is stored as %s and as %s", e.From, other, e.To)
				}
				h.stored[e.From.ID] = e.To.ID
			}
		})
	}
	for after := storage.Key(""); ; {
		list, err := w.Blobs().List(context.Background(), "", after, 1000)
		must(t, err)
		if len(list) == 0 {
			return h
		}
		for _, o := range list {
			h.objects[o.Key], after = o, o.Key
		}
	}
}

// ask reads all pages of an answer.
func (w *world) ask(t tb, q graph.Question, page func(*graph.Answer)) {
	t.Helper()
	for q.Limit = graph.MaxPage; ; {
		a, err := w.store.Ask(context.Background(), q)
		must(t, err)
		page(&a)
		if q.After = a.Next; q.After == "" {
			return
		}
	}
}

// isSafe checks that every upload has its bytes, and returns what there is.
func (w *world) isSafe(t tb) holdings {
	t.Helper()
	h := w.look(t)
	hashes := map[string]string{}
	for id, n := range h.uploads {
		blob := h.stored[id]
		if n.Props.String(identity.PropState) == identity.StatePending {
			if blob != "" {
				t.Errorf("upload %s is pending and has a blob", id)
			}
			continue
		}
		b := h.blobs[blob]
		if b == nil {
			t.Errorf("upload %s has no blob", id)
			continue
		}
		if b.Props.Bool("condemned") || len(b.Names) == 0 {
			t.Errorf("upload %s has a blob that was given up", id)
		}
		if hashes[blob] == "" {
			hashes[blob] = w.hash(t, blob)
		}
		if want := n.Props.String(identity.PropSHA256); hashes[blob] != want || b.Props.String(identity.PropSHA256) != want {
			t.Errorf("upload %s should be %s; its blob %s says %s and holds %s", id, want, blob, b.Props.String(identity.PropSHA256), hashes[blob])
		}
	}
	for blob := range h.users {
		if w.hash(t, blob) == "" {
			t.Errorf("the bytes of blob %s, which %v need, are not there", blob, h.users[blob])
		}
	}
	return h
}

// hash is that of a blob's bytes, "" if they are not there.
func (w *world) hash(t tb, blob string) string {
	t.Helper()
	r, err := w.Blobs().Open(context.Background(), storage.Key("blobs/"+blob+"/original"), storage.Range{})
	if err != nil {
		t.Errorf("the bytes of blob %s: %v", blob, err)
		return ""
	}
	defer r.Body.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, r.Body)
	must(t, err)
	return hex.EncodeToString(sum.Sum(nil))
}

// isTidy checks that every upload is safe, and that there is nothing that
// nothing needs.
func (w *world) isTidy(t tb) holdings {
	t.Helper()
	h := w.isSafe(t)
	for id := range h.blobs {
		if len(h.users[id]) == 0 {
			t.Errorf("nothing leads to blob %s", id)
		}
	}
	for key := range h.objects {
		kind, rest, _ := strings.Cut(string(key), "/")
		id, _, _ := strings.Cut(rest, "/")
		switch {
		case kind == "owner":
		case kind == "blobs" && len(h.users[id]) > 0:
		case kind == "arriving" && h.uploads[id] != nil && h.uploads[id].Props.String(identity.PropState) == identity.StatePending:
		default:
			t.Errorf("nothing needs object %s", key)
		}
	}
	return h
}

// isSwept checks that every upload is safe, sweeps when everything is old, and
// checks that what is needed is still there, that nothing else is, and that a
// second sweep finds nothing to do.
func (w *world) isSwept(t tb) uploads.Swept {
	t.Helper()
	before := w.isSafe(t)
	w.graceOver()
	defer w.late.Store(0)
	_, err := w.graph.Sync(context.Background())
	must(t, err)
	done, err := w.Sweep(context.Background())
	must(t, err)
	again, err := w.Sweep(context.Background())
	must(t, err)
	if again != (uploads.Swept{}) || done.Missing != 0 {
		t.Errorf("the sweep found %+v, then %+v", done, again)
	}
	after := w.isTidy(t)
	for id, n := range before.uploads {
		if n.Props.String(identity.PropState) != identity.StatePending && after.uploads[id] == nil {
			t.Errorf("the sweep removed upload %s", id)
		}
	}
	for key := range before.objects {
		id, _, _ := strings.Cut(strings.TrimPrefix(string(key), "blobs/"), "/")
		if _, there := after.objects[key]; !there && len(before.users[id]) > 0 {
			t.Errorf("the sweep removed %s", key)
		}
	}
	return done
}

// isCurrent checks the ledger against one that is loaded afresh, and against
// the nodes themselves.
func (w *world) isCurrent(t tb) {
	t.Helper()
	_, err := w.graph.Sync(context.Background())
	must(t, err)
	fresh, nodes := uploads.NewLedger(), map[string]graph.Props{}
	fresh.Begin()
	info, err := w.store.Export(context.Background(), func(r graph.Record) error {
		if r.Node == nil {
			fresh.Edge(r.Edge)
			return nil
		}
		if r.Node.Ref.Type == identity.Upload {
			nodes[r.Node.Ref.ID] = r.Node.Props.Clone()
		}
		fresh.Node(r.Node)
		return nil
	})
	must(t, err)
	fresh.Ready(info)
	got, want := shown(w.ledger), shown(fresh)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the ledger (-loaded afresh +followed):\n%s", d)
	}
	if ids := slices.Sorted(maps.Keys(nodes)); !slices.Equal(ids, got.IDs) {
		t.Errorf("the ledger lists %v, there are %v", got.IDs, ids)
	}
	used := map[string]int64{}
	for _, p := range nodes {
		used[p.String(identity.PropCreator)] += p.Int(identity.PropSize)
		if org := p.String("organization"); org != "" {
			used["organization:"+org] += p.Int(identity.PropSize)
		}
	}
	for account, bytes := range used {
		r, err := graph.ParseRef(account)
		must(t, err)
		if got := w.ledger.Used(r); got != bytes {
			t.Errorf("%s has %d bytes by the ledger, %d by its uploads", account, got, bytes)
		}
	}
}

// book is all that a ledger tells.
type book struct {
	IDs     []string
	Entries map[string]uploads.Entry
	Blobs   map[string]string
	Used    map[string]int64
	Totals  uploads.Totals
	Icon    graph.Ref
}

func shown(l *uploads.Ledger) book {
	b := book{Entries: map[string]uploads.Entry{}, Blobs: map[string]string{}, Used: map[string]int64{}, Totals: l.Totals(), Icon: l.PictureOf(acme)}
	l.Find(uploads.Filter{}, "", func(id string) bool {
		b.IDs = append(b.IDs, id)
		return true
	})
	for _, id := range b.IDs {
		e, blob, _ := l.Get(id)
		b.Entries[id], b.Blobs[id] = e, blob
		for _, r := range []graph.Ref{e.Creator, {Type: identity.Organization, ID: e.Organization}} {
			b.Used[r.String()] = l.Used(r)
		}
	}
	return b
}
