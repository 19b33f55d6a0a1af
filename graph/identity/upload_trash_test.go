package identity_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"trellis/graph"
	"trellis/graph/identity"
)

// gallery is a catalog in which uploads and pictures are shared in every direction.
func gallery(t *testing.T, w *world) {
	t.Helper()
	share := func(id, parent, blob string, asPicture bool, nodes ...string) {
		f := w.file(id, asPicture)
		f.Blob, f.BlobAt = w.blob(blob)
		muts := []identity.Mutation{storing(id, parent, f)}
		for _, n := range nodes {
			muts = append(muts, picturing(n, id))
		}
		w.done(root, muts...)
	}
	share("own", "project:billing", "b1", true, "project:billing")
	share("lent", "project:billing", "b1", true, "project:ledger", "organization:umbrella", "user:eve")
	share("plain", "project:billing", "b2", false)
	share("team", "team:pay", "b1", true, "team:pay", "environment:e1")
	share("org", "organization:acme", "b3", false, "organization:acme", "team:writers")
	share("eve", "user:eve", "b2", false, "third_party_service:s1")
	share("far", "organization:umbrella", "b4", true, "environment:e2") // only what is in acme has it
	w.done(root, storing("pending", "project:ledger", &identity.File{Name: "x.png", ContentType: "image/png", Due: w.Now()}))
	w.must(root, `{"op":"create","node":"folder:f","data":{"parents":["organization:acme"]}}
{"op":"patch","node":"project:ledger","data":{"archived":true}}`)
	share("folder", "folder:f", "b5", false)
}

func TestUploadsComeBackWithWhatTheyBelongTo(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		gallery(t, w)
		before := w.export()
		for _, r := range []string{"project:billing", "project:ledger", "team:pay", "team:writers", "environment:e1", "environment:e2", "third_party_service:s1", "organization:acme", "organization:umbrella"} {
			tombstone := w.delete(root, r)
			for _, n := range []string{"project:ledger", "environment:e1", "user:eve", "organization:umbrella"} {
				if p := identity.PictureOf(node(t, n).Type, w.mayProps(n)); !p.IsZero() && !w.exists(p.String()) {
					t.Errorf("without %s, the picture of %s is %s, which is gone", r, n, p)
				}
			}
			o := w.restore(root, tombstone)
			if _, _, _, lost, err := identity.Restored(o.Change, node(t, tombstone)); err != nil || len(lost) > 0 {
				t.Errorf("%s lost %v (%v)", r, lost, err)
			}
			w.same(r, w.export(), before)
		}
	})
}

func (w *world) mayProps(r string) graph.Props {
	if !w.exists(r) {
		return nil
	}
	return w.props(r)
}

func TestATombstoneKeepsTheBlobsOfWhatIsInIt(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		gallery(t, w)
		before := w.export()
		inner := w.delete(root, "project:billing")
		w.wants(inner, map[graph.Kind]string{identity.StoredAs: "blob:b1 blob:b2"})
		outer := w.delete(root, "organization:acme")
		if w.exists(inner) {
			t.Error("a tombstone outlived what it was below")
		}
		w.wants(outer, map[graph.Kind]string{identity.StoredAs: "blob:b1 blob:b2 blob:b3 blob:b4 blob:b5"})
		w.restore(root, outer)
		w.wants(inner, map[graph.Kind]string{identity.StoredAs: "blob:b1 blob:b2"})
		w.restore(root, inner)
		w.same("nested", w.export(), before)

		w.delete(root, "project:billing")
		outer = w.delete(root, "organization:acme")
		w.must(root, `{"op":"delete","node":"`+outer+`"}`)
		for blob, want := range map[string]string{"b1": "", "b2": "upload:eve", "b3": "", "b4": "", "b5": ""} {
			if got := w.sources("blob:"+blob, identity.StoredAs); got != want {
				t.Errorf("%q leads to %s, want %q", got, blob, want)
			}
		}
		if !w.exists("blob:b1") {
			t.Error("the blob is not left to whoever removes its bytes")
		}
	})
}

func TestSweepingLeavesBlobsAlone(t *testing.T) {
	w := newWorld(t)
	w.must(root, catalog)
	gallery(t, w)
	tombstone := w.delete(root, "project:billing")
	if _, err := w.Sweep(t.Context(), w.Now().Add(2*identity.DefaultTrash)); err != nil {
		t.Fatal(err)
	}
	if w.exists(tombstone) || !w.exists("blob:b1") || w.sources("blob:b1", identity.StoredAs) != "upload:team" {
		t.Error("the sweep took too much or too little")
	}
	w.nothingOf(identity.Tombstone, identity.TombstonePart)
}

func TestAnotherPictureIsNotReplacedByTheOldOne(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		gallery(t, w)
		tombstone := w.delete(root, "project:billing")
		w.must(root, `{"op":"patch","node":"user:eve","data":{"avatar":"upload:eve"}}
{"op":"delete","node":"organization:umbrella","cascade":true,"erase":true}`)
		o := w.restore(root, tombstone)
		_, _, _, lost, err := identity.Restored(o.Change, node(t, tombstone))
		var got []string
		for _, k := range lost {
			got = append(got, k.String())
		}
		slices.Sort(got)
		if want := []string{"organization:umbrella -HAS_PICTURE-> upload:lent", "user:eve -HAS_PICTURE-> upload:lent"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("lost %q (%v)", got, err)
		}
		w.shows("user:eve", "eve")
		w.shows("project:ledger", "lent")
		w.shows("project:billing", "own")
	})
}

func TestAPictureThatIsGoneIsNotRestored(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		gallery(t, w)
		service, environment := w.delete(root, "third_party_service:s1"), w.delete(root, "environment:e2")
		if w.exists("upload:far") || !w.exists("upload:eve") {
			t.Error("the wrong pictures went along")
		}
		w.must(root, `{"op":"delete","node":"upload:eve"}
{"op":"delete","node":"organization:umbrella","cascade":true,"erase":true}`)
		w.restore(root, service)
		w.shows("third_party_service:s1", "")
		// An upload whose place is gone is kept where it is seen.
		w.restore(root, environment)
		w.shows("environment:e2", "far")
		w.wants("upload:far", map[graph.Kind]string{graph.ChildOf: "environment:e2", identity.StoredAs: "blob:b4"})
		if p := w.props("upload:far"); p.String(identity.PropOwner) != "environment:e2" || p.String("organization") != "acme" {
			t.Errorf("got %v", p)
		}
	})
}

// TestAnUploadAtTheLastMomentIsDeletedToo adds an upload between the look of a deletion and
// its commit: the deletion starts over, and takes it along.
func TestAnUploadAtTheLastMomentIsDeletedToo(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		for i, erase := range []string{"false", "true"} {
			id, r := fmt.Sprintf("late%d", i), fmt.Sprintf("project:p%d", i)
			w.must(root, `{"op":"create","node":"`+r+`","data":{"organization":"acme"}}`)
			f := w.file(id, true)
			happened := w.between(r, true, func() { w.done(root, storing(id, r, f), picturing("project:ledger", id)) })
			o := w.must(root, `{"op":"delete","node":"`+r+`","cascade":true,"erase":`+erase+`}`)
			if !happened() || w.exists("upload:"+id) || w.exists(r) {
				t.Error("something is left")
			}
			w.shows("project:ledger", "")
			if erase == "false" {
				w.wants(w.buried(o).Ref.String(), map[graph.Kind]string{identity.StoredAs: f.Blob.String()})
			}
		}
	})
}

// TestConcurrentPictures lets many change pictures at once: fields and edges agree, and
// of what was sent as a picture only that is left which something has.
func TestConcurrentPictures(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		nodes := []string{"project:billing", "project:ledger", "team:pay"}
		var working sync.WaitGroup
		for i := range 2 {
			files := make([]*identity.File, 12)
			for n := range files {
				files[n] = w.file(fmt.Sprintf("%d-%d", i, n), true)
			}
			working.Go(func() {
				for n, f := range files {
					id := fmt.Sprintf("%d-%d", i, n)
					own, other := nodes[n%3], nodes[(n+1)%3]
					w.tolerate(t, storing(id, own, f), picturing(own, id))
					w.tolerate(t, picturing(other, id))
					if n%3 == 2 {
						w.tolerate(t, picturing(other, ""))
						w.tolerate(t, parse(t, `{"op":"delete","node":"upload:`+id+`","cascade":true}`)...)
					}
				}
			})
		}
		working.Wait()
		used := map[string]bool{}
		for _, r := range nodes {
			p := identity.PictureOf(node(t, r).Type, w.props(r))
			if p.IsZero() {
				w.shows(r, "")
			} else {
				w.shows(r, p.ID)
				used[p.String()] = true
			}
		}
		a, err := w.store.Ask(context.Background(), graph.Question{Name: graph.NodesByType, Type: identity.Upload, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range a.Nodes {
			if !used[n.Ref.String()] {
				t.Errorf("nothing has %s any more", n.Ref)
			}
		}
		if len(a.Nodes) != len(used) {
			t.Errorf("%d uploads, %d in use", len(a.Nodes), len(used))
		}
	})
}

// tolerate applies what may be refused because another was faster.
func (w *world) tolerate(t *testing.T, muts ...identity.Mutation) {
	_, err := w.do(root, muts...)
	switch graph.KindOf(err) {
	case graph.Stale, graph.NotFound:
	case graph.Invalid:
		if e := err.(*graph.Error); !strings.Contains(e.Msg, "no such upload") {
			t.Error(err)
		}
	default:
		if err != nil {
			t.Errorf("%+v: %v", muts, err)
		}
	}
}

// TestFilesMoveBetweenStores carries a graph with uploads, blobs and tombstones that hold
// some from one store to another, where all of it can be restored.
func TestFilesMoveBetweenStores(t *testing.T) {
	from := newWorld(t)
	from.must(root, catalog)
	gallery(t, from)
	whole := from.export()
	tombstone := from.delete(root, "project:billing")
	rest := from.export()
	onStores(t, func(t *testing.T, to graph.Store) {
		var records []graph.Record
		info, err := from.store.Export(t.Context(), func(r graph.Record) error {
			if r.Node != nil {
				n := *r.Node
				n.Props, n.Names = n.Props.Clone(), slices.Clone(n.Names)
				r.Node = &n
			} else {
				e := *r.Edge
				e.Props = e.Props.Clone()
				r.Edge = &e
			}
			records = append(records, r)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = to.Import(t.Context(), info.Head, func() (graph.Record, error) {
			if len(records) == 0 {
				return graph.Record{}, io.EOF
			}
			r := records[0]
			records = records[1:]
			return r, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorldOn(t, to)
		w.same("moved", w.export(), rest)
		w.wants(tombstone, map[graph.Kind]string{identity.StoredAs: "blob:b1 blob:b2"})
		w.restore(root, tombstone)
		w.same("restored", w.export(), whole)
	})
}
