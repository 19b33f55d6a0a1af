package graphtest

import (
	"fmt"
	"slices"
	"strings"

	"trellis/graph"
)

var readCases = []testCase{
	{name: graph.NodesByType, run: testNodesByType},
	{name: graph.NodesByName, run: testNodesByName},
	{name: graph.EdgesFrom, run: testEdgesFrom},
	{name: graph.EdgesTo, run: testEdgesTo},
	{name: graph.EdgesByKey, run: testEdgesByKey},
	{name: graph.EdgesOut, run: testEdgesOut},
	{name: graph.EdgesIn, run: testEdgesIn},
	{name: "NodesByRef", run: testNodes},
	{name: "OrderIsOfBytes", run: testCollation},
	{name: "PagesResume", run: testResume},
	{name: "DeepPages", run: testDeepPages},
	{name: "QuestionsThatMakeNoSense", run: testBadQuestions},
}

// pages asks a question in pages of every size around what there is, and
// wants always the same.
func (r *room) pages(q graph.Question, want []string) {
	r.Helper()
	for _, limit := range []int{1, 2, max(1, len(want)-1), max(1, len(want)), len(want) + 1, graph.MaxPage} {
		q.Limit, q.After = limit, ""
		var got []string
		for page := 0; ; page++ {
			a := r.ask(q)
			n := len(a.Nodes) + len(a.Edges)
			if n > limit || n == 0 && a.Next != "" || n < limit && a.Next != "" {
				r.Fatalf("%s, limit %d: a page of %d, next %q", q.Name, limit, n, a.Next)
			}
			if !graph.Printable(a.Next) {
				r.Errorf("next is not printable: %q", a.Next)
			}
			for i := range a.Nodes {
				got = append(got, a.Nodes[i].Ref.String())
			}
			for i := range a.Edges {
				got = append(got, a.Edges[i].EdgeKey.String())
			}
			if q.After = a.Next; a.Next == "" {
				break
			}
			if page > len(want) {
				r.Fatalf("%s, limit %d: it never ends", q.Name, limit)
			}
		}
		if !slices.Equal(got, want) {
			r.Errorf("%s, limit %d:\n got %q\nwant %q", q.Name, limit, got, want)
		}
	}
}

func edgeStrings(keys []graph.EdgeKey) []string {
	slices.SortFunc(keys, graph.CompareEdges)
	var out []string
	for _, k := range keys {
		out = append(out, k.String())
	}
	return out
}

func testNodesByType(r *room) {
	t := r.typ("x")
	var steps []graph.Step
	var want []string
	for _, id := range []string{"5", "3", "10", "a/b", "", "a", "B"} {
		if id == "" {
			continue
		}
		steps = append(steps, put(graph.Ref{Type: t, ID: id}))
		want = append(want, string(t)+":"+id)
	}
	slices.Sort(want)
	// Types that sort beside it.
	for _, near := range []graph.Type{t + "0", t + "_", t + "a", t[:len(t)-1]} {
		steps = append(steps, put(graph.Ref{Type: near, ID: "5"}))
	}
	r.do(steps...)
	r.pages(graph.Question{Name: graph.NodesByType, Type: t}, want)
	r.pages(graph.Question{Name: graph.NodesByType, Type: r.typ("none")}, nil)
}

func testNodesByName(r *room) {
	a, b, c := r.ref("b", "1"), r.ref("a", "2"), r.ref("a", "1")
	r.do(putNamed(a, r.prefix+"x", r.prefix+"y"), putNamed(b, r.prefix+"z"), putNamed(c, r.prefix+"w"))
	got := r.ask(graph.Question{Name: graph.NodesByName, Names: []string{r.prefix + "y", r.prefix + "none", r.prefix + "z", r.prefix + "x", r.prefix + "z"}})
	if len(got.Nodes) != 2 || got.Nodes[0].Ref != b || got.Nodes[1].Ref != a || got.Next != "" {
		r.Errorf("got %v", got)
	}
	r.same("whole", nodeText(&got.Nodes[1]), nodeText(r.node(a)))
}

// star links a node with others by two kinds and with keys, and returns the
// edges of the kind by question.
func (r *room) star() (hub graph.Ref, k graph.Kind, from, to []graph.EdgeKey) {
	hub, k = r.ref("m", "hub"), r.kind("K")
	steps := []graph.Step{put(hub), link(hub, k, hub)}
	from, to = append(from, key(hub, k, hub)), append(to, key(hub, k, hub))
	for _, t := range []graph.Type{"m", "l", "l2", "l_", "z"} {
		for _, id := range []string{"1", "a/b", "B"} {
			n := r.ref(t, id)
			out := graph.EdgeKey{From: hub, Kind: k, To: n, Key: "k" + id}
			in := key(n, k, hub)
			from, to = append(from, out), append(to, in)
			steps = append(steps, put(n), graph.Link(graph.Edge{EdgeKey: out}), graph.Link(graph.Edge{EdgeKey: in}), link(n, r.kind("L"), hub), link(hub, r.kind("L"), n))
			if id == "1" {
				for _, s := range []string{"", "k2", "k10"} {
					out.Key, in.Key = s, s+"x"
					from, to = append(from, out), append(to, in)
					steps = append(steps, graph.Link(graph.Edge{EdgeKey: out}), graph.Link(graph.Edge{EdgeKey: in}))
				}
			}
		}
	}
	r.do(steps...)
	return hub, k, from, to
}

func testEdgesFrom(r *room) {
	hub, k, from, _ := r.star()
	r.pages(graph.Question{Name: graph.EdgesFrom, Ref: hub, Kind: k}, edgeStrings(from))
	r.pages(graph.Question{Name: graph.EdgesFrom, Ref: hub, Kind: r.kind("NONE")}, nil)
	r.pages(graph.Question{Name: graph.EdgesFrom, Ref: r.ref("m", "none"), Kind: k}, nil)
}

func testEdgesTo(r *room) {
	hub, k, _, to := r.star()
	r.pages(graph.Question{Name: graph.EdgesTo, Ref: hub, Kind: k}, edgeStrings(to))
	for _, t := range []graph.Type{"l", "z", "none"} {
		var some []graph.EdgeKey
		for _, e := range to {
			if e.From.Type == t {
				some = append(some, e)
			}
		}
		r.pages(graph.Question{Name: graph.EdgesTo, Ref: hub, Kind: k, Type: t}, edgeStrings(some))
	}
}

func testEdgesByKey(r *room) {
	_, k, from, to := r.star()
	for _, s := range []string{"", "k1", "k2", "kB", "none"} {
		var some []graph.EdgeKey
		for _, e := range append(slices.Clone(from), to...) {
			if e.Key == s && !slices.Contains(some, e) {
				some = append(some, e)
			}
		}
		r.pages(graph.Question{Name: graph.EdgesByKey, Kind: k, Key: s}, edgeStrings(some))
	}
}

// web links six nodes by three kinds in all directions, some to themselves,
// some twice, and returns the nodes, the kinds and the edges.
func (r *room) web() (refs []graph.Ref, kinds []graph.Kind, edges []graph.EdgeKey) {
	var steps []graph.Step
	for _, t := range []graph.Type{"m", "l_", "l"} {
		for _, id := range []string{"a/b", "B"} {
			refs = append(refs, r.ref(t, id))
			steps = append(steps, put(r.ref(t, id)))
		}
	}
	kinds = []graph.Kind{r.kind("K_"), r.kind("K"), r.kind("KA")}
	for n, k := range kinds {
		for i, from := range refs {
			for j, to := range refs {
				for _, key := range []string{"", "x"} {
					if (i+2*j+n)%3 == 0 && (key == "" || i == j+1 || i == j) {
						e := graph.EdgeKey{From: from, Kind: k, To: to, Key: key}
						edges = append(edges, e)
						steps = append(steps, linkProps(e, graph.Props{"n": len(edges)}))
					}
				}
			}
		}
	}
	r.do(steps...)
	return refs, kinds, edges
}

func testEdgesOut(r *room) {
	r.among(graph.EdgesOut, func(k graph.EdgeKey) graph.Ref { return k.From })
}

func testEdgesIn(r *room) {
	r.among(graph.EdgesIn, func(k graph.EdgeKey) graph.Ref { return k.To })
}

// among asks for the edges of some kinds at some nodes, end telling at which
// of an edge's ends they are looked for.
func (r *room) among(name string, end func(graph.EdgeKey) graph.Ref) {
	refs, kinds, edges := r.web()
	none, other := r.ref("m", "none"), r.kind("NONE")
	for _, c := range []struct {
		refs  []graph.Ref
		kinds []graph.Kind
	}{
		{refs, kinds},
		{refs[1:2], kinds[1:2]},
		{[]graph.Ref{refs[4], none, refs[0], refs[4], refs[3], refs[0]}, []graph.Kind{kinds[2], other, kinds[0], kinds[2]}},
		{[]graph.Ref{none}, kinds},
		{refs, []graph.Kind{other}},
	} {
		var want []graph.EdgeKey
		for _, e := range edges {
			if slices.Contains(c.refs, end(e)) && slices.Contains(c.kinds, e.Kind) {
				want = append(want, e)
			}
		}
		r.pages(graph.Question{Name: name, Refs: c.refs, Kinds: c.kinds}, edgeStrings(want))
	}
	for _, e := range r.ask(graph.Question{Name: name, Refs: refs, Kinds: kinds[:1]}).Edges {
		i := slices.IndexFunc(r.edgesFrom(e.From, e.Kind), func(f graph.Edge) bool { return edgeText(&f) == edgeText(&e) })
		if i < 0 || e.Props.Int("n") == 0 || e.Revision == 0 {
			r.Errorf("not as %s has it: %s", graph.EdgesFrom, edgeText(&e))
		}
	}
}

func testNodes(r *room) {
	a, b := r.ref("b", "1"), r.ref("a", "2")
	r.do(put(a), put(b))
	got := r.nodes(a, r.ref("a", "none"), b, a)
	if len(got) != 2 || got[0].Ref != b || got[1].Ref != a {
		r.Errorf("got %v", got)
	}
	if got := r.nodes(); len(got) != 0 {
		r.Errorf("nothing asked: %v", got)
	}
	if got := r.nodes(graph.Authenticated, graph.Root, graph.Everyone); len(got) != 3 || got[0].Ref != graph.Authenticated || got[1].Ref != graph.Everyone || got[2].Ref != graph.Root {
		r.Errorf("the nodes that every store has: %v", got)
	}
}

func testCollation(r *room) {
	t := r.typ("c")
	want := []string{"!", "-", "10", "2", "A", "B", "Z", "_", "a", "aB", "a_", "aa", "b", "z", "~", "Ä", "é", "ü", "ÿ", "я", "日", "\uff5e", "🎉"}
	if !slices.IsSorted(want) {
		r.Fatal("the suite's list is not sorted")
	}
	var steps []graph.Step
	for i := range want {
		steps = append(steps, put(graph.Ref{Type: t, ID: want[(i*7)%len(want)]}))
	}
	hub := r.ref("m", "hub")
	steps = append(steps, put(hub))
	for _, id := range want {
		steps = append(steps, graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: hub, Kind: r.kind("K"), To: graph.Ref{Type: t, ID: id}, Key: "x"}}),
			graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: hub, Kind: r.kind("S"), To: hub, Key: id}}))
	}
	r.do(steps...)
	var got []string
	for _, n := range r.ask(graph.Question{Name: graph.NodesByType, Type: t}).Nodes {
		got = append(got, n.Ref.ID)
	}
	r.same("nodes", strings.Join(got, " "), strings.Join(want, " "))
	got = nil
	for _, e := range r.edgesFrom(hub, r.kind("K")) {
		got = append(got, e.To.ID)
	}
	r.same("ends", strings.Join(got, " "), strings.Join(want, " "))
	got = nil
	for _, e := range r.edgesFrom(hub, r.kind("S")) {
		got = append(got, e.Key)
	}
	r.same("keys", strings.Join(got, " "), strings.Join(want, " "))
	kinds, refs := []graph.Kind{r.kind("S"), r.kind("K")}, []graph.Ref{hub}
	for _, id := range want {
		refs = append(refs, graph.Ref{Type: t, ID: id})
	}
	for _, q := range []graph.Question{{Name: graph.EdgesOut, Refs: refs[:1], Kinds: kinds}, {Name: graph.EdgesIn, Refs: refs, Kinds: kinds}} {
		got = nil
		for _, e := range r.ask(q).Edges {
			if got = append(got, e.To.ID); e.Kind == r.kind("S") {
				got[len(got)-1] = e.Key
			}
		}
		r.same(q.Name, strings.Join(got, " "), strings.Join(append(want, want...), " "))
	}
}

func testResume(r *room) {
	t, hub, k := r.typ("x"), r.ref("m", "hub"), r.kind("K")
	n := func(i int) graph.Ref { return graph.Ref{Type: t, ID: fmt.Sprintf("%02d", i)} }
	steps := []graph.Step{put(hub)}
	for i := 0; i < 20; i += 2 {
		steps = append(steps, put(n(i)), link(n(i), k, hub))
	}
	r.do(steps...)
	nodes := graph.Question{Name: graph.NodesByType, Type: t, Limit: 3}
	edges := graph.Question{Name: graph.EdgesTo, Ref: hub, Kind: k, Limit: 3}
	nodes.After, edges.After = r.ask(nodes).Next, r.ask(edges).Next
	// The record at the end of the page goes, others come before and after.
	r.do(graph.Delete(n(4)), put(n(1)), link(n(1), k, hub), put(n(5)), link(n(5), k, hub))
	other := r.open() // a cursor is good in every process
	a, err := other.Ask(r.ctx, nodes)
	if err != nil {
		r.Fatal(err)
	}
	b, err := other.Ask(r.ctx, edges)
	if err != nil {
		r.Fatal(err)
	}
	got := ""
	for i := range a.Nodes {
		got += a.Nodes[i].Ref.ID + " "
	}
	for i := range b.Edges {
		got += b.Edges[i].From.ID + " "
	}
	r.same("second pages", got, "05 06 08 05 06 08 ")
}

func testDeepPages(r *room) {
	t, hub, k := r.typ("x"), r.ref("m", "hub"), r.kind("K")
	const count = 3000
	steps := []graph.Step{put(hub)}
	for i := range count {
		n := graph.Ref{Type: t, ID: fmt.Sprintf("%06d", (i*1009)%count)}
		steps = append(steps, put(n), link(n, k, hub), link(hub, k, n))
	}
	r.do(steps...)
	for _, q := range []graph.Question{
		{Name: graph.NodesByType, Type: t}, {Name: graph.EdgesTo, Ref: hub, Kind: k}, {Name: graph.EdgesFrom, Ref: hub, Kind: k},
		{Name: graph.EdgesTo, Ref: hub, Kind: k, Type: t},
		{Name: graph.EdgesOut, Refs: []graph.Ref{hub}, Kinds: []graph.Kind{k}}, {Name: graph.EdgesIn, Refs: []graph.Ref{hub}, Kinds: []graph.Kind{k}},
	} {
		q.Limit = 250
		for i := 0; ; {
			a := r.ask(q)
			ids := []string{}
			for j := range a.Nodes {
				ids = append(ids, a.Nodes[j].Ref.ID)
			}
			for j := range a.Edges {
				if q.Name == graph.EdgesTo || q.Name == graph.EdgesIn {
					ids = append(ids, a.Edges[j].From.ID)
				} else {
					ids = append(ids, a.Edges[j].To.ID)
				}
			}
			for _, id := range ids {
				if id != fmt.Sprintf("%06d", i) {
					r.Fatalf("%s: %s at place %d", q.Name, id, i)
				}
				i++
			}
			if q.After = a.Next; a.Next == "" {
				if i != count {
					r.Errorf("%s: %d of %d", q.Name, i, count)
				}
				break
			}
		}
	}
}

func testBadQuestions(r *room) {
	ref := r.ref("m", "hub")
	for _, q := range []graph.Question{
		{Name: "nothing_of_the_kind", Limit: 1}, {Limit: 1},
		{Name: graph.NodesByType, Type: "doc"}, {Name: graph.NodesByType, Type: "doc", Limit: -1},
		{Name: graph.NodesByType, Type: "doc", Limit: graph.MaxPage + 1},
		{Name: graph.NodesByType, Type: "doc", Limit: 1, After: "*no cursor*"},
		{Name: graph.EdgesFrom, Ref: ref, Kind: "K", Limit: 1, After: "*no cursor*"},
	} {
		_, err := r.store.Ask(r.ctx, q)
		r.wantKind(fmt.Sprintf("%+v", q), err, graph.Invalid)
	}
	refs, kinds := []graph.Ref{ref}, []graph.Kind{"K"}
	for _, name := range []string{graph.EdgesOut, graph.EdgesIn} {
		for _, q := range []graph.Question{
			{Limit: 1, Kinds: kinds}, {Limit: 1, Refs: refs}, {Refs: refs, Kinds: kinds}, {Limit: graph.MaxPage + 1, Refs: refs, Kinds: kinds},
			{Limit: 1, Refs: refs, Kinds: slices.Repeat(kinds, graph.MaxKinds+1)},
			{Limit: 1, Refs: refs, Kinds: []graph.Kind{"K", "k"}}, {Limit: 1, Refs: []graph.Ref{ref, {}}, Kinds: kinds},
			{Limit: 1, Refs: refs, Kinds: kinds, After: "*no cursor*"}, {Limit: 1, Refs: refs, Kinds: kinds, After: "WyJhIl0"},
		} {
			q.Name = name
			_, err := r.store.Ask(r.ctx, q)
			r.wantKind(fmt.Sprintf("%+v", q), err, graph.Invalid)
		}
		_, err := r.store.Ask(r.ctx, graph.Question{Name: name, Limit: 1, Refs: slices.Repeat(refs, graph.MaxPage+1), Kinds: kinds})
		r.wantKind(name+" of very many", err, graph.TooLarge)
	}
}
