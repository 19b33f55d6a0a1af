package graphtest

import (
	"fmt"
	"time"

	"trellis/graph"
)

// World makes up a small graph and changes to it, step by step, out of a
// source of choices: nested sets with cycles, resources with several parents,
// expired and wildcard grants, grants of actions and to everyone, roles that
// inherit, suspended subjects, deletes. It is small on purpose, so that
// choices meet. The same choices make the same world.
type World struct {
	// Now is the time around which things expire, by a few milliseconds.
	Now time.Time

	choose func(n int) int
	refs   []graph.Ref
	exists map[graph.Ref]bool
	links  []graph.EdgeKey
	names  []string
	// AskedPermissions is what Question asks about: more names than there are
	// permission nodes.
	AskedPermissions []string
	Types            []graph.Type
}

// NewWorld returns a world in which choose(n) decides, with a number from 0 to n-1.
func NewWorld(now time.Time, choose func(n int) int) *World {
	w := &World{Now: now.Truncate(time.Millisecond), choose: choose, exists: map[graph.Ref]bool{graph.Root: true, graph.Everyone: true, graph.Authenticated: true}}
	for _, k := range []struct {
		typ graph.Type
		n   int
	}{{"user", 5}, {"service_account", 2}, {"group", 4}, {"team", 3}, {"organization", 2}, {"repo", 6}, {"folder", 3}, {"role", 5}} {
		w.Types = append(w.Types, k.typ)
		for i := range k.n {
			w.refs = append(w.refs, graph.Ref{Type: k.typ, ID: fmt.Sprintf("%s-%d", k.typ[:1], i)})
		}
	}
	w.names = []string{"repo:read", "repo:write", "folder:read", "repo:*", "*:read", "*"}
	w.AskedPermissions = append([]string{"folder:write", "team:read", "odd"}, w.names...)
	for _, n := range w.names {
		w.refs = append(w.refs, graph.Ref{Type: "permission", ID: n})
	}
	w.refs = append(w.refs, graph.Root, graph.Everyone, graph.Authenticated)
	return w
}

// Start returns the batches that make the first state: every node, some of
// the edges.
func (w *World) Start() []graph.Batch {
	var nodes []graph.Step
	for _, r := range w.refs {
		if !w.exists[r] {
			nodes = append(nodes, w.put(r))
		}
	}
	batches := []graph.Batch{w.batch(0, nodes)}
	for i := range 8 {
		var steps []graph.Step
		for range 6 {
			steps = append(steps, w.link())
		}
		batches = append(batches, w.batch(i+1, steps))
	}
	return batches
}

// Batch returns a batch of a few random steps that a store will accept.
func (w *World) Batch(number int) graph.Batch {
	var steps []graph.Step
	for range 1 + w.choose(5) {
		steps = append(steps, w.step())
	}
	return w.batch(number, steps)
}

func (w *World) batch(number int, steps []graph.Step) graph.Batch {
	return graph.Batch{ID: fmt.Sprintf("world-%d-%d", w.Now.UnixMilli(), number), Actor: graph.Root, Time: w.Now, Steps: steps}
}

func (w *World) step() graph.Step {
	switch k := w.choose(20); {
	case k < 11:
		return w.link()
	case k < 15 && len(w.links) > 0:
		return graph.Unlink(w.links[w.choose(len(w.links))])
	case k < 18:
		return w.put(w.refs[w.choose(len(w.refs)-3)])
	}
	r := w.refs[w.choose(len(w.refs)-3)]
	delete(w.exists, r)
	return graph.Delete(r)
}

func (w *World) put(r graph.Ref) graph.Step {
	w.exists[r] = true
	status := []string{"", "active", "active", "suspended"}[w.choose(4)]
	n := graph.Node{Ref: r, Props: graph.Props{"name": r.ID}}
	if status != "" {
		n.Props[graph.PropStatus] = status
	}
	return graph.Put(n)
}

// pick chooses a node that exists, of one of the types if one of them does;
// else Root.
func (w *World) pick(types ...graph.Type) graph.Ref {
	var some []graph.Ref
	for _, r := range w.refs {
		for _, t := range types {
			if r.Type == t && w.exists[r] {
				some = append(some, r)
			}
		}
	}
	if len(some) == 0 {
		return graph.Root
	}
	return some[w.choose(len(some))]
}

func (w *World) link() graph.Step {
	var e graph.Edge
	switch w.choose(10) {
	case 0, 1, 2:
		e = w.edge(w.pick("user", "user", "service_account", "group", "team", "organization"), graph.MemberOf, w.pick("group", "team", "organization"), "")
		w.expire(&e)
	case 3, 4:
		e = w.edge(w.pick("repo", "repo", "folder", "team", "user"), graph.ChildOf, w.pick("folder", "repo", "organization", "platform"), "")
	case 5, 6, 7:
		e = w.grant()
	case 8:
		e = w.edge(w.pick("role"), graph.Inherits, w.pick("role"), "")
	case 9:
		e = w.edge(w.pick("role"), graph.Grants, w.pick("permission"), "")
	}
	if e.Kind != graph.CanAccess && w.choose(16) == 0 {
		e.Key = "other"
	}
	w.links = append(w.links, e.EdgeKey)
	return graph.Link(e)
}

func (w *World) edge(from graph.Ref, k graph.Kind, to graph.Ref, key string) graph.Edge {
	return graph.Edge{EdgeKey: graph.EdgeKey{From: from, Kind: k, To: to, Key: key}, Props: graph.Props{}}
}

func (w *World) grant() graph.Edge {
	from := w.pick("user", "service_account", "group", "group", "team", "team", "organization", "everyone", "authenticated")
	e := w.edge(from, graph.CanAccess, w.pick("repo", "repo", "folder", "folder", "organization", "team", "platform"), "")
	if w.choose(3) == 0 {
		var acts []string
		for i, n := range w.AskedPermissions {
			if n != "odd" && w.choose(5) == 0 || i == len(w.AskedPermissions)-1 && len(acts) == 0 {
				acts = append(acts, n)
			}
		}
		e.Props[graph.PropActions] = acts
	} else {
		// Sometimes a role that does not exist, or not yet.
		e.Key = fmt.Sprintf("r-%d", w.choose(6))
		e.Props[graph.PropRole] = e.Key
	}
	if w.choose(12) == 0 {
		e.Props[graph.PropCondition] = []any{"never", "", []string{}, false}[w.choose(4)]
	}
	w.expire(&e)
	return e
}

func (w *World) expire(e *graph.Edge) {
	if w.choose(4) == 0 {
		e.Props[graph.PropExpires] = w.Now.UnixMilli() + int64(w.choose(5)) - 2
	}
}

// Question asks about any two nodes, existing or not, at about the time when
// things expire.
func (w *World) Question() graph.CheckQuery {
	return graph.CheckQuery{
		Subject:    w.refs[w.choose(len(w.refs))],
		Permission: w.AskedPermissions[w.choose(len(w.AskedPermissions))],
		Resource:   w.refs[w.choose(len(w.refs))],
		At:         w.At(),
	}
}

// At returns a time around which things expire, whole milliseconds.
func (w *World) At() time.Time {
	return w.Now.Add(time.Duration(w.choose(6)-3) * time.Millisecond)
}

// Refs returns every node that there ever may be in the world.
func (w *World) Refs() []graph.Ref { return w.refs }
