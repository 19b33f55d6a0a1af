package graph_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trellis/graph"
)

// memory is a store made of maps: it loads for Plan and applies its effects,
// and complains when an effect does not fit what is there.
type memory struct {
	nodes map[graph.Ref]graph.Node
	edges map[graph.EdgeKey]graph.Edge
	names map[string]graph.Ref
	head  graph.Revision
}

func newMemory() *memory {
	return &memory{nodes: map[graph.Ref]graph.Node{}, edges: map[graph.EdgeKey]graph.Edge{}, names: map[string]graph.Ref{}}
}

func (m *memory) clone() *memory {
	return &memory{nodes: maps.Clone(m.nodes), edges: maps.Clone(m.edges), names: maps.Clone(m.names), head: m.head}
}

func (m *memory) Load(_ context.Context, w graph.Want) (graph.Found, error) {
	f := graph.Found{Names: map[string]graph.Ref{}, Last: map[graph.EdgeKey]graph.Revision{}}
	for i, r := range w.Nodes {
		n, ok := m.nodes[r]
		if ok && i >= len(w.Nodes)-w.Brief {
			n = graph.Node{Ref: n.Ref, Revision: n.Revision}
		}
		if ok {
			f.Nodes = append(f.Nodes, n)
		}
	}
	for _, k := range w.Edges {
		if e, ok := m.edges[k]; ok {
			f.Edges = append(f.Edges, e)
		}
	}
	for _, n := range w.Names {
		if r, ok := m.names[n]; ok {
			f.Names[n] = r
		}
	}
	for _, a := range w.Around {
		found := 0
		for k, e := range m.edges {
			if (a.Kind == "" || a.Kind == k.Kind) && (a.Out && k.From == a.Ref || a.In && k.To == a.Ref) && (a.Limit == 0 || found < a.Limit) {
				f.Edges = append(f.Edges, e)
				found++
			}
		}
	}
	for _, k := range w.Last {
		f.Last[k] = m.last(k)
	}
	return f, nil
}

func (m *memory) last(k graph.EdgeKey) (rev graph.Revision) {
	for _, e := range m.edges {
		if e.Kind == k.Kind && e.Key == k.Key {
			rev = max(rev, e.Revision)
		}
	}
	return rev
}

func (m *memory) apply(f *graph.Effects) error {
	for _, k := range f.EdgesGone {
		if _, ok := m.edges[k]; !ok {
			return fmt.Errorf("effect removes %s, which is not stored", k)
		}
		delete(m.edges, k)
	}
	for _, n := range f.NamesGone {
		if _, ok := m.names[n]; !ok {
			return fmt.Errorf("effect frees %s, which is not taken", n)
		}
		delete(m.names, n)
	}
	for _, r := range f.NodesGone {
		if _, ok := m.nodes[r]; !ok {
			return fmt.Errorf("effect removes %s, which is not stored", r)
		}
		delete(m.nodes, r)
	}
	for _, p := range f.Nodes {
		if _, ok := m.nodes[p.Node.Ref]; ok == p.New {
			return fmt.Errorf("effect says new=%v of %s", p.New, p.Node.Ref)
		}
		m.nodes[p.Node.Ref] = *p.Node
	}
	for _, p := range f.Names {
		m.names[p.Name] = p.Ref
	}
	for _, p := range f.Edges {
		if _, ok := m.edges[p.Edge.EdgeKey]; ok == p.New {
			return fmt.Errorf("effect says new=%v of %s", p.New, p.Edge.EdgeKey)
		}
		m.edges[p.Edge.EdgeKey] = *p.Edge
	}
	m.head = f.Head
	return nil
}

// text lists all there is, to compare.
func (m *memory) text() (out []string) {
	for _, n := range m.nodes {
		out = append(out, string(n.AppendJSON(nil)))
	}
	for _, e := range m.edges {
		out = append(out, string(e.AppendJSON(nil)))
	}
	for n, r := range m.names {
		out = append(out, n+" is "+r.String())
	}
	slices.Sort(out)
	return append(out, fmt.Sprint("head ", m.head))
}

// sequential is the meaning of batches written down naively: each on a copy
// of everything, one after the other.
type sequential struct {
	*memory
	// group holds the revisions of edges written since the group began: an
	// edge that is gone again still counts for RequireUnchanged.
	group map[graph.EdgeKey]graph.Revision
}

func (s *sequential) commit(b *graph.Batch) (entries map[string]bool, rev graph.Revision, refused *graph.Error) {
	before, group := s.memory, maps.Clone(s.group)
	entries, refused = s.run(b)
	rev = s.head
	if b.Dry {
		s.memory, s.group = before, group
	}
	return entries, rev, refused
}

func (s *sequential) run(b *graph.Batch) (entries map[string]bool, refused *graph.Error) {
	now, touched := s.clone(), map[graph.Ref]bool{}
	for i := range b.Steps {
		if e := s.step(now, touched, &b.Steps[i]); e != nil {
			e.Step = i
			return nil, e
		}
	}
	return s.settle(now, touched, b.Time), nil
}

func (s *sequential) step(m *memory, touched map[graph.Ref]bool, st *graph.Step) *graph.Error {
	no := func(k graph.ErrorKind, r graph.Ref) *graph.Error { return &graph.Error{Kind: k, Ref: r} }
	r, k := st.Node.Ref, st.Edge.EdgeKey
	node, isNode := m.nodes[r]
	edge, isEdge := m.edges[k]
	switch st.Op {
	case graph.PutNode:
		for _, n := range st.Node.Names {
			if h, ok := m.names[n]; ok && h != r {
				return no(graph.Exists, h)
			}
		}
		for _, n := range node.Names {
			delete(m.names, n)
		}
		for _, n := range st.Node.Names {
			m.names[n] = r
		}
		m.nodes[r] = graph.Node{Ref: r, Names: st.Node.Names, Props: st.Node.Props, Created: node.Created, Revision: -1}
	case graph.TouchNode:
		if !isNode {
			return no(graph.NotFound, r)
		}
		node.Revision = -1
		m.nodes[r], touched[r] = node, true
	case graph.DeleteNode:
		for _, n := range node.Names {
			delete(m.names, n)
		}
		for k := range m.edges {
			if k.From == r || k.To == r {
				delete(m.edges, k)
			}
		}
		delete(m.nodes, r)
	case graph.PutEdge:
		for _, end := range []graph.Ref{k.From, k.To} {
			if _, ok := m.nodes[end]; !ok {
				return no(graph.NotFound, end)
			}
		}
		m.edges[k] = graph.Edge{EdgeKey: k, Props: st.Edge.Props, Created: edge.Created, Revision: -1}
	case graph.DeleteEdge:
		delete(m.edges, k)
	case graph.RequireNode:
		if !isNode {
			return no(graph.NotFound, r)
		}
	case graph.RequireNoNode:
		if isNode {
			return no(graph.Exists, r)
		}
	case graph.RequireRevision:
		if !isNode {
			return no(graph.NotFound, r)
		}
		if node.Revision != st.Revision {
			return no(graph.Stale, r)
		}
	case graph.RequireEdge:
		if !isEdge {
			return no(graph.NotFound, k.To)
		}
	case graph.RequireNoEdge:
		if isEdge {
			return no(graph.Exists, k.To)
		}
	case graph.RequireNoEdgesTo:
		for e := range m.edges {
			if e.To == r && e.Kind == k.Kind {
				return no(graph.InUse, r)
			}
		}
	case graph.RequireEdgesAround:
		n, newest := 0, graph.Revision(-1)
		for at, e := range m.edges {
			if at.From == r || at.To == r {
				n, newest = n+1, max(newest, e.Revision)
			}
		}
		if n != st.Count || newest > st.Revision {
			return no(graph.Stale, r)
		}
	case graph.RequireNoPath:
		if m.leads(k.From, k.Kind, k.To, map[graph.Ref]bool{}) {
			return no(graph.Cycle, k.From)
		}
	case graph.RequireQuiet:
		which := graph.EdgeKey{Kind: k.Kind, Key: k.Key}
		if max(s.group[which], s.last(which)) > st.Revision {
			return no(graph.Stale, graph.Ref{})
		}
	}
	return nil
}

func (m *memory) leads(from graph.Ref, k graph.Kind, to graph.Ref, seen map[graph.Ref]bool) bool {
	if from == to {
		return true
	}
	seen[from] = true
	for e := range m.edges {
		if e.From == from && e.Kind == k && !seen[e.To] && m.leads(e.To, k, to, seen) {
			return true
		}
	}
	return false
}

// settle makes now the state, numbers what changed, and returns the entries
// in text form.
func (s *sequential) settle(now *memory, touched map[graph.Ref]bool, at time.Time) map[string]bool {
	entries := map[string]bool{}
	rev := s.head + 1
	for r, n := range now.nodes {
		before, was := s.nodes[r]
		switch {
		case was && !touched[r] && slices.Equal(before.Names, n.Names) && before.Props.Equal(n.Props):
			now.nodes[r] = before
			continue
		case !was || n.Created.IsZero():
			n.Created = at
		}
		n.Updated, n.Revision = at, rev
		now.nodes[r] = n
		entry := graph.NodeEntry{After: &n}
		if was {
			entry.Before = &before
		}
		entries[entryText(graph.Entry{Node: &entry})] = true
	}
	for k, e := range now.edges {
		before, was := s.edges[k]
		switch {
		case was && before.Props.Equal(e.Props):
			now.edges[k] = before
			continue
		case !was || e.Created.IsZero():
			e.Created = at
		}
		e.Updated, e.Revision = at, rev
		now.edges[k] = e
		s.group[graph.EdgeKey{Kind: k.Kind, Key: k.Key}] = rev
		entry := graph.EdgeEntry{After: &e}
		if was {
			entry.Before = &before
		}
		entries[entryText(graph.Entry{Edge: &entry})] = true
	}
	for r, n := range s.nodes {
		if _, ok := now.nodes[r]; !ok {
			entries[entryText(graph.Entry{Node: &graph.NodeEntry{Before: &n}})] = true
		}
	}
	for k, e := range s.edges {
		if _, ok := now.edges[k]; !ok {
			entries[entryText(graph.Entry{Edge: &graph.EdgeEntry{Before: &e}})] = true
		}
	}
	if len(entries) > 0 {
		now.head = rev
	}
	s.memory = now
	return entries
}

func entryText(e graph.Entry) string {
	c := graph.Change{Entries: []graph.Entry{e}}
	return string(c.AppendJSON(nil))
}

// drawStep makes any step, on so few things that steps meet.
func drawStep(t *rapid.T, head graph.Revision) graph.Step {
	ref := rapid.Map(rapid.IntRange(0, 4), func(i int) graph.Ref { return graph.Ref{Type: "n", ID: string(rune('a' + i))} })
	kind := rapid.SampledFrom([]graph.Kind{"K", "L"})
	props := rapid.Map(rapid.IntRange(0, 2), func(i int) graph.Props {
		if i == 0 {
			return graph.Props{}
		}
		return graph.Props{"p": int64(i)}
	})
	rev := graph.Revision(rapid.Int64Range(max(0, int64(head)-4), int64(head)+2).Draw(t, "revision"))
	edge := graph.EdgeKey{From: ref.Draw(t, "from"), Kind: kind.Draw(t, "kind"), To: ref.Draw(t, "to"), Key: rapid.SampledFrom([]string{"", "x"}).Draw(t, "key")}
	r := ref.Draw(t, "node")
	switch op := rapid.IntRange(0, 20).Draw(t, "op"); {
	case op < 4:
		return graph.Put(graph.Node{Ref: r, Names: rapid.SliceOfN(rapid.SampledFrom([]string{"n1", "n2", "n3"}), 0, 2).Draw(t, "names"), Props: props.Draw(t, "props")})
	case op == 4:
		return graph.Touch(r)
	case op == 5:
		return graph.Delete(r)
	case op < 11:
		return graph.Link(graph.Edge{EdgeKey: edge, Props: props.Draw(t, "props")})
	case op == 11:
		return graph.Unlink(edge)
	case op == 12:
		return graph.Require(r)
	case op == 13:
		return graph.RequireAbsent(r)
	case op == 14:
		return graph.RequireAt(r, rev)
	case op == 15:
		return graph.RequireLinked(edge)
	case op == 16:
		return graph.RequireUnlinked(edge)
	case op == 17:
		return graph.RequireLeaf(r, edge.Kind)
	case op == 18:
		return graph.RequireAcyclic(edge.From, edge.Kind, edge.To)
	case op == 19:
		return graph.RequireAround(r, rapid.IntRange(0, 3).Draw(t, "edges"), rev)
	}
	return graph.RequireUnchanged(edge.Kind, edge.Key, rev)
}

func TestPlanMeansWhatBatchesOneByOneMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store, model := newMemory(), &sequential{memory: newMemory()}
		// Something to start with, or most batches would find nothing.
		var start []graph.Step
		for i := range 5 {
			start = append(start, graph.Put(graph.Node{Ref: graph.Ref{Type: "n", ID: string(rune('a' + i))}}))
		}
		planGroup(t, store, model, []graph.Batch{{ID: "start", Time: time.UnixMilli(1).UTC(), Steps: start}})
		for g := range rapid.IntRange(1, 4).Draw(t, "groups") {
			group := make([]graph.Batch, rapid.IntRange(1, 5).Draw(t, "batches"))
			for i := range group {
				group[i] = graph.Batch{ID: fmt.Sprint(g, i), Time: time.UnixMilli(int64(1000*g + i + 2)).UTC(), Dry: rapid.IntRange(0, 3).Draw(t, "dry") == 0}
				for range rapid.IntRange(1, 5).Draw(t, "steps") {
					group[i].Steps = append(group[i].Steps, drawStep(t, store.head))
				}
			}
			planGroup(t, store, model, group)
		}
	})
}

func planGroup(t *rapid.T, store *memory, model *sequential, group []graph.Batch) {
	model.group = map[graph.EdgeKey]graph.Revision{}
	for k := range model.edges {
		which := graph.EdgeKey{Kind: k.Kind, Key: k.Key}
		model.group[which] = model.last(which)
	}
	for i := range group {
		if err := group[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	results, effects, err := graph.Plan(context.Background(), store, store.head, group)
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	for i := range group {
		want, rev, refused := model.commit(&group[i])
		got := results[i]
		if refused != nil {
			e, _ := got.Err.(*graph.Error)
			if e == nil || e.Kind != refused.Kind || e.Ref != refused.Ref || e.Step != refused.Step {
				t.Fatalf("batch %d: %+v; want kind %s, ref %s, step %d", i, got.Err, refused.Kind, refused.Ref, refused.Step)
			}
			continue
		}
		if got.Err != nil || got.Revision != rev || (got.Change != nil) != (len(want) > 0) {
			t.Fatalf("batch %d: %+v; want revision %d and %d entries", i, got, rev, len(want))
		}
		if got.Change == nil {
			continue
		}
		if !group[i].Dry {
			changes++
		}
		if len(got.Change.Entries) != len(want) || got.Change.Revision != rev || got.Change.ID != group[i].ID {
			t.Fatalf("batch %d: %s; want %v", i, got.Change.AppendJSON(nil), want)
		}
		for _, e := range got.Change.Entries {
			if !want[entryText(e)] {
				t.Fatalf("batch %d has %s; want %v", i, entryText(e), want)
			}
		}
	}
	if len(effects.Changes) != changes {
		t.Fatalf("%d changes, want %d", len(effects.Changes), changes)
	}
	if changes > 0 {
		if err := store.apply(&effects); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := store.text(), model.text(); !slices.Equal(got, want) {
		t.Fatalf("the store has\n%q\nwant\n%q", got, want)
	}
}

func TestADryBatchLeavesNoTraceInItsGroup(t *testing.T) {
	m := newMemory()
	a, b, k := graph.Ref{Type: "n", ID: "a"}, graph.Ref{Type: "n", ID: "b"}, graph.EdgeKey{From: graph.Ref{Type: "n", ID: "a"}, Kind: "K", To: graph.Ref{Type: "n", ID: "b"}, Key: "x"}
	named := graph.Put(graph.Node{Ref: b, Names: []string{"name"}, Props: graph.Props{"p": int64(1)}})
	group := []graph.Batch{
		{ID: "0", Steps: []graph.Step{graph.Put(graph.Node{Ref: a}), graph.Put(graph.Node{Ref: b})}},
		{ID: "1", Dry: true, Steps: []graph.Step{named, graph.Link(graph.Edge{EdgeKey: k})}},
		{ID: "2", Dry: true, Steps: []graph.Step{graph.Delete(a), graph.Delete(b)}},
		{ID: "3", Dry: true, Steps: []graph.Step{graph.Delete(a), graph.RequireLinked(k)}},
		{ID: "4", Dry: true, Steps: []graph.Step{graph.Touch(a)}},
		{ID: "5", Dry: true, Steps: []graph.Step{graph.Put(graph.Node{Ref: a}), graph.Unlink(k)}},
		{ID: "1", Steps: []graph.Step{graph.RequireUnchanged("K", "x", 0), graph.RequireAt(a, 1), graph.RequireUnlinked(k), named, graph.Link(graph.Edge{EdgeKey: k})}},
		{ID: "6", Dry: true, Steps: []graph.Step{graph.RequireUnchanged("K", "x", 0)}},
	}
	results, effects, err := graph.Plan(context.Background(), m, 0, group)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []graph.Revision{1, 2, 2, 1, 2, 1, 2, 2} {
		if got := results[i]; got.Revision != want || (got.Err != nil) != (i == 3 || i == 7) || (got.Change == nil) != (i == 3 || i == 5 || i == 7) {
			t.Errorf("batch %d: %+v, want revision %d", i, got, want)
		}
	}
	if dry, done := results[1].Change.AppendJSON(nil), results[6].Change.AppendJSON(nil); string(dry) != string(done) {
		t.Errorf("dry it was\n%s\nand for real\n%s", dry, done)
	}
	if n := len(results[2].Change.Entries); n != 2 {
		t.Errorf("deleting both has %d entries: %s", n, results[2].Change.AppendJSON(nil))
	}
	if graph.KindOf(results[3].Err) != graph.NotFound || graph.KindOf(results[7].Err) != graph.Stale {
		t.Errorf("refused with %v and %v", results[3].Err, results[7].Err)
	}
	if len(effects.Changes) != 2 || effects.Head != 2 || len(effects.Nodes) != 2 || len(effects.NodesGone) != 0 {
		t.Errorf("effects %+v", effects)
	}
	_, effects, err = graph.Plan(context.Background(), m, 7, group[1:3])
	if err != nil || effects.Head != 7 || len(effects.Changes)+len(effects.Nodes)+len(effects.Edges)+len(effects.Names) != 0 {
		t.Errorf("a group of dry batches has the effects %+v, %v", effects, err)
	}
}

func TestEntriesComeInAnOrderThatCanBeReplayed(t *testing.T) {
	m := newMemory()
	a, b := graph.Ref{Type: "n", ID: "a"}, graph.Ref{Type: "n", ID: "b"}
	k := graph.EdgeKey{From: a, Kind: "K", To: b}
	for i, steps := range [][]graph.Step{
		{graph.Put(graph.Node{Ref: a}), graph.Put(graph.Node{Ref: b}), graph.Link(graph.Edge{EdgeKey: k})},
		{graph.Put(graph.Node{Ref: graph.Ref{Type: "n", ID: "c"}}), graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: b, Kind: "K", To: b}}), graph.Delete(a)},
	} {
		_, f, err := graph.Plan(context.Background(), m, m.head, []graph.Batch{{ID: fmt.Sprint(i), Time: time.UnixMilli(1), Steps: steps}})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.apply(&f); err != nil {
			t.Fatal(err)
		}
		var rank int
		last := -1
		for _, e := range f.Changes[0].Entries {
			switch {
			case e.Edge != nil && e.Edge.After == nil:
				rank = 0
			case e.Node != nil && e.Node.After == nil:
				rank = 1
			case e.Node != nil:
				rank = 2
			default:
				rank = 3
			}
			if rank < last {
				t.Errorf("entry of rank %d after %d in %s", rank, last, f.Changes[0].AppendJSON(nil))
			}
			last = rank
		}
	}
}
