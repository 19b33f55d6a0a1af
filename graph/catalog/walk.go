package catalog

import (
	"cmp"
	"slices"

	"trellis/graph"
)

// edgesPerNode limits the edges that a walk shows.
const edgesPerNode = 4

// Walk follows dependencies. NotFound if the caller may not read the start.
func (x *Index) Walk(wq WalkQuery) (Walk, error) {
	depth, limit := cmp.Or(wq.Depth, MaxDepth), cmp.Or(wq.Limit, MaxNodes)
	switch {
	case depth < 1 || depth > MaxDepth:
		return Walk{}, graph.Errorf(graph.Invalid, "the depth is %d; it must be 1 to %d", depth, MaxDepth)
	case limit < 1 || limit > MaxNodes:
		return Walk{}, graph.Errorf(graph.Invalid, "the limit is %d; it must be 1 to %d", limit, MaxNodes)
	}
	q, ok := x.ask(wq.Scope)
	if !ok {
		return Walk{}, notLoaded()
	}
	defer x.end(q)
	start := q.number(wq.Start)
	if start == 0 || q.typeOf(start) == placeType || !q.readable(start) {
		return Walk{}, &graph.Error{Kind: graph.NotFound, Msg: wq.Start.String() + " does not exist", Ref: wq.Start}
	}
	w := walker{question: q, dependents: wq.Dependents, at: map[uint32]int{start: 0}, nodes: []walked{{n: start}}}
	w.run(depth, limit)
	return w.walk(), nil
}

// walker is a walk under way.
type walker struct {
	*question
	dependents bool
	nodes      []walked
	at         map[uint32]int // where in nodes
	edges      [][2]int       // by where in nodes, the one that depends first
	truncated  bool
}

type walked struct {
	n     uint32
	depth int
}

// run goes on level by level, so the depth of each node is its distance.
func (w *walker) run(depth, limit int) {
	level := w.nodes
	for d := 1; len(level) > 0; d++ {
		next := w.next(level)
		if d > depth {
			w.truncated = w.truncated || len(next) > 0
			break
		}
		room := limit - len(w.nodes)
		w.truncated = w.truncated || len(next) > room
		first := len(w.nodes)
		for _, n := range w.smallest(&found{list: next, n: len(next)}, sorting{by: byName}, nil, room) {
			w.at[n] = len(w.nodes)
			w.nodes = append(w.nodes, walked{n, d})
		}
		level = w.nodes[first:]
	}
	w.link(edgesPerNode * limit)
}

// next lists what is one step on from a level and was not met before.
func (w *walker) next(level []walked) (next []uint32) {
	marks := w.marksFor(len(w.docs))
	for _, from := range level {
		w.each(from.n, func(n uint32) bool {
			if _, ok := w.at[n]; !ok && !marks.has(n) && w.readable(n) {
				marks.set(n)
				next = append(next, n)
			}
			return true
		})
	}
	for _, n := range next {
		marks.unset(n)
	}
	return next
}

// each yields the nodes one step on.
func (w *walker) each(n uint32, yield func(n uint32) bool) {
	if w.dependents {
		if in := w.incomingOf(n, relationDependency); in != nil {
			in.each(yield)
		}
		return
	}
	for _, c := range w.outOf(n) {
		if cellRelation(c) == relationDependency && !yield(cellTarget(c)) {
			return
		}
	}
}

// link collects the edges among the nodes, by the nodes' order.
func (w *walker) link(most int) {
	for i, from := range w.nodes {
		var to []int
		for _, c := range w.outOf(from.n) {
			if j, ok := w.at[cellTarget(c)]; ok && cellRelation(c) == relationDependency {
				to = append(to, j)
			}
		}
		slices.Sort(to)
		for _, j := range to {
			if len(w.edges) == most {
				w.truncated = true
				return
			}
			w.edges = append(w.edges, [2]int{i, j})
		}
	}
}

func (w *walker) walk() Walk {
	out := Walk{Truncated: w.truncated}
	for _, n := range w.nodes {
		out.Nodes = append(out.Nodes, WalkNode{w.card(n.n), n.depth})
	}
	for _, e := range w.edges {
		out.Edges = append(out.Edges, WalkEdge{out.Nodes[e[0]].Ref, out.Nodes[e[1]].Ref})
	}
	for _, group := range cycles(len(w.nodes), w.edges) {
		var refs []graph.Ref
		for _, i := range group {
			refs = append(refs, out.Nodes[i].Ref)
		}
		out.Cycles = append(out.Cycles, refs)
	}
	return out
}

// cycles returns the strongly connected groups of nodes 0 to n-1 that have an
// edge inside, each sorted, by their first: Tarjan's algorithm, with a stack
// of its own so that a long chain does no harm.
func cycles(n int, edges [][2]int) (out [][]int) {
	to := make([][]int, n)
	self := make([]bool, n)
	for _, e := range edges {
		to[e[0]] = append(to[e[0]], e[1])
		self[e[0]] = self[e[0]] || e[0] == e[1]
	}
	type frame struct{ node, next int }
	index, low, open := make([]int, n), make([]int, n), make([]bool, n)
	var path []int
	counter := 0
	for root := range n {
		if index[root] != 0 {
			continue
		}
		frames := []frame{{root, 0}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			v := f.node
			if f.next == 0 {
				counter++
				index[v], low[v], open[v] = counter, counter, true
				path = append(path, v)
			}
			if f.next < len(to[v]) {
				u := to[v][f.next]
				f.next++
				if index[u] == 0 {
					frames = append(frames, frame{u, 0})
				} else if open[u] {
					low[v] = min(low[v], index[u])
				}
				continue
			}
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				up := frames[len(frames)-1].node
				low[up] = min(low[up], low[v])
			}
			if low[v] != index[v] {
				continue
			}
			at := slices.Index(path, v)
			group := slices.Clone(path[at:])
			path = path[:at]
			for _, u := range group {
				open[u] = false
			}
			if len(group) > 1 || self[v] {
				slices.Sort(group)
				out = append(out, group)
			}
		}
	}
	slices.SortFunc(out, func(a, b []int) int { return a[0] - b[0] })
	return out
}
