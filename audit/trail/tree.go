package trail

import (
	"context"
	"slices"

	"trellis/graph"
)

// View is the graph at one revision, as the permission index shows it. It never
// changes.
type View interface {
	// Ready tells whether there is anything to see yet.
	Ready() bool
	Revision() graph.Revision
	// Parents returns the nodes directly above one.
	Parents(graph.Ref) []graph.Ref
}

// tree tells what was above a node at one revision. The index is usually ahead of
// the changes that are being delivered, by days if the sink was away: what it shows
// by then is no longer where things were, and two processes would not find the
// same. So the tree is a view of the index, and what the feed says was different.
type tree struct {
	base View
	at   graph.Revision
	// moved are the parents of the nodes of which base does not show what was.
	moved map[graph.Ref][]graph.Ref
}

// plant makes the tree at a revision that the view has reached. It reads what
// the feed says happened between the two.
func plant(ctx context.Context, feed graph.Feed, base View, at graph.Revision) (*tree, error) {
	// The first thing that is said of an edge tells whether it was there before.
	first := map[graph.EdgeKey]bool{}
	var order []graph.EdgeKey
	err := scan(ctx, feed, at, base.Revision(), func(ch *graph.Change) error {
		eachPlace(ch, func(k graph.EdgeKey, there bool) {
			if _, ok := first[k]; !ok {
				first[k] = !there
				order = append(order, k)
			}
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := &tree{base: base, at: at, moved: map[graph.Ref][]graph.Ref{}}
	for _, k := range order {
		t.place(k, first[k])
	}
	return t, nil
}

// eachPlace calls f with the edges by which a change places nodes, and whether
// they are there after it.
func eachPlace(ch *graph.Change, f func(k graph.EdgeKey, there bool)) {
	for _, e := range ch.Entries {
		if e.Edge == nil || e.Edge.Before != nil && e.Edge.After != nil {
			continue
		}
		if k := either(e.Edge.After, e.Edge.Before).EdgeKey; k.Kind == graph.ChildOf {
			f(k, e.Edge.After != nil)
		}
	}
}

// place notes that an edge is there, or is not.
func (t *tree) place(k graph.EdgeKey, there bool) {
	list := slices.Clone(t.parents(k.From))
	i, found := slices.BinarySearchFunc(list, k.To, graph.CompareRefs)
	switch {
	case there && !found:
		list = slices.Insert(list, i, k.To)
	case !there && found:
		list = slices.Delete(list, i, i+1)
	default:
		return
	}
	t.moved[k.From] = list
}

// grow moves the tree on by the change that comes next.
func (t *tree) grow(ch *graph.Change) {
	eachPlace(ch, t.place)
	t.at = ch.Revision
	if t.at == t.base.Revision() {
		clear(t.moved)
	}
}

// parents returns the nodes directly above one, in CompareRefs order, so that
// everybody meets them in the same.
func (t *tree) parents(r graph.Ref) []graph.Ref {
	if list, ok := t.moved[r]; ok {
		return list
	}
	return t.base.Parents(r)
}

// above returns every node above one, nearest first, without the root.
func (t *tree) above(r graph.Ref) []graph.Ref {
	list, seen := []graph.Ref{r}, map[graph.Ref]bool{r: true, graph.Root: true}
	for i := 0; i < len(list) && len(list) < maxWithin; i++ {
		for _, p := range t.parents(list[i]) {
			if !seen[p] {
				seen[p] = true
				list = append(list, p)
			}
		}
	}
	return list[1:]
}

// page is how many changes are read at once.
const page = 200

// scan calls f with the changes above after, up to and with last.
func scan(ctx context.Context, feed graph.Feed, after, last graph.Revision, f func(*graph.Change) error) error {
	for after < last {
		changes, err := feed.Changes(ctx, after, int(min(page, last-after)))
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			return graph.Errorf(graph.Unavailable, "the changes after revision %d are not there yet", after)
		}
		for i := range changes {
			if changes[i].Revision != after+1 {
				return graph.Errorf(graph.Corrupt, "change %d comes after %d", changes[i].Revision, after)
			}
			after++
			if err := f(&changes[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
