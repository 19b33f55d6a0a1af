package graphtest

import (
	"fmt"
	"time"

	"trellis/graph"
)

var stepCases = []testCase{
	{name: "PutCreatesThenReplaces", run: testPut},
	{name: "TouchGivesANewRevision", run: testTouch},
	{name: "RequirementsOfNodes", run: testNodeRequirements},
	{name: "RequirementsOfEdges", run: testEdgeRequirements},
	{name: "RequireLeaf", run: testLeaf},
	{name: "RequireAcyclic", run: testAcyclic},
	{name: "RequireUnchanged", run: testUnchanged},
	{name: "RequireAround", run: testAround},
	{name: "RequirementMessage", run: testMessage},
	{name: "LinkNeedsBothEnds", run: testLinkEnds},
	{name: "ParallelEdgesByKey", run: testParallelEdges},
	{name: "BatchIsAllOrNothing", run: testAllOrNothing},
	{name: "RefusedBatchAloneInGroup", run: testGroup},
	{name: "GroupSeesEarlierBatches", run: testGroupOrder},
	{name: "NothingChangedNoRevision", run: testNoChange},
	{name: "DryBatchLeavesNoTrace", run: testDry},
	{name: "DeleteRemovesEdgesBothWays", run: testDelete},
	{name: "DeleteAndRecreate", run: testRecreate},
	{name: "NetEffectOfOneBatch", run: testNetEffect},
	{name: "LargeBatch", run: testLargeBatch},
}

func testPut(r *room) {
	a := r.ref("doc", "a")
	first := r.batch(putProps(a, graph.Props{"x": 1}))
	head := r.head()
	res := r.commit(first)[0]
	if res.Err != nil || res.Revision != head+1 || res.Change == nil {
		r.Fatalf("got %+v; want revision %d with its change", res, head+1)
	}
	n := r.node(a)
	want := graph.Node{Ref: a, Props: graph.Props{"x": int64(1)}, Created: first.Time, Updated: first.Time, Revision: head + 1}
	r.same("created", nodeText(n), nodeText(&want))

	second := r.batch(putProps(a, graph.Props{"y": "two"}))
	res = r.commit(second)[0]
	want.Props, want.Updated, want.Revision = graph.Props{"y": "two"}, second.Time, head+2
	r.same("replaced", nodeText(r.node(a)), nodeText(&want))
	c := res.Change
	if c == nil || c.Revision != head+2 || c.ID != second.ID || c.Actor != second.Actor || c.Origin != second.Origin || !c.Time.Equal(second.Time) {
		r.Fatalf("change %+v does not tell of batch %+v", c, second)
	}
	if len(c.Entries) != 1 || c.Entries[0].Node == nil {
		r.Fatalf("entries %s", text(c))
	}
	r.same("before", nodeText(c.Entries[0].Node.Before), nodeText(n))
	r.same("after", nodeText(c.Entries[0].Node.After), nodeText(&want))
	r.same("the feed", text(&r.changes(head+1, 1)[0]), text(c))

	b := r.ref("doc", "b")
	k := key(a, r.kind("K"), b)
	r.do(put(b), linkProps(k, graph.Props{"n": 1}))
	third := r.batch(linkProps(k, graph.Props{"n": 2}))
	res = r.commit(third)[0]
	edges := r.edgesFrom(a, k.Kind)
	if len(edges) != 1 || edges[0].Props.Int("n") != 2 || edges[0].Revision != res.Revision || !edges[0].Updated.Equal(third.Time) || !edges[0].Created.Before(third.Time) {
		r.Errorf("replaced edge is %v", edges)
	}
	if got := r.node(a); got.Revision != want.Revision {
		r.Errorf("an edge moved its end's revision from %d to %d", want.Revision, got.Revision)
	}
}

func testTouch(r *room) {
	a, k := r.ref("doc", "a"), r.kind("K")
	r.do(graph.Put(graph.Node{Ref: a, Names: []string{r.prefix + "n"}, Props: graph.Props{"x": 1}}), link(a, k, a))
	before := *r.node(a)
	touch := r.batch(graph.Touch(a))
	res := r.commit(touch)[0]
	want := before
	want.Updated, want.Revision = touch.Time, before.Revision+1
	if res.Err != nil || res.Change == nil || len(res.Change.Entries) != 1 {
		r.Fatalf("touched: %+v", res)
	}
	r.same("touched", nodeText(r.node(a)), nodeText(&want))
	r.same("before", nodeText(res.Change.Entries[0].Node.Before), nodeText(&before))
	r.same("after", nodeText(res.Change.Entries[0].Node.After), nodeText(&want))
	r.same("still named", r.holder(r.prefix+"n"), "a")
	r.refuse(graph.Stale, a, 1, graph.Touch(a), graph.RequireAt(a, want.Revision))
	r.refuse(graph.NotFound, r.ref("doc", "none"), 0, graph.Touch(r.ref("doc", "none")))
	// Twice in a batch is once; together with a change it is the change.
	res = r.do(graph.Touch(a), putProps(a, graph.Props{"x": 2}), graph.Touch(a))
	if n := r.node(a); len(res.Change.Entries) != 1 || n.Revision != res.Revision || n.Props.Int("x") != 2 || len(n.Names) != 0 {
		r.Errorf("touched and changed: %s, %s", nodeText(n), text(res.Change))
	}
	if res := r.do(graph.Touch(a), graph.Delete(a)); r.node(a) != nil || len(res.Change.Entries) != 2 {
		r.Errorf("touched and deleted: %s", text(res.Change))
	}
	res2 := r.commit(r.batch(put(a)), r.batch(graph.Touch(a)), r.batch(graph.Touch(a), graph.Require(r.ref("doc", "none"))), r.batch())
	if n := r.node(a); res2[1].Err != nil || n.Revision != res2[1].Revision || n.Revision != res2[0].Revision+1 || res2[3].Change != nil {
		r.Errorf("touched in a group: %s", nodeText(n))
	}
}

func testNodeRequirements(r *room) {
	a, none := r.ref("doc", "a"), r.ref("doc", "none")
	rev := r.do(put(a)).Revision
	r.do(graph.Require(a), graph.RequireAbsent(none), graph.RequireAt(a, rev))
	other := put(r.ref("doc", "x"))
	r.refuse(graph.NotFound, none, 1, other, graph.Require(none))
	r.refuse(graph.Exists, a, 2, other, graph.Require(a), graph.RequireAbsent(a))
	r.refuse(graph.Stale, a, 0, graph.RequireAt(a, rev-1), other)
	r.refuse(graph.Stale, a, 0, graph.RequireAt(a, rev+1))
	r.refuse(graph.NotFound, none, 1, other, graph.RequireAt(none, rev))
	// Requirements see what the steps before them did.
	x := r.ref("doc", "x")
	r.do(graph.RequireAbsent(x), put(x), graph.Require(x), graph.Delete(x), graph.RequireAbsent(x))
	r.refuse(graph.Stale, a, 1, putProps(a, graph.Props{"p": 1}), graph.RequireAt(a, rev))
	r.do(graph.Delete(none))
	if n := r.node(x); n != nil {
		r.Errorf("a batch that took back what it did left %s", nodeText(n))
	}
}

func testEdgeRequirements(r *room) {
	a, b := r.ref("doc", "a"), r.ref("doc", "b")
	k := key(a, r.kind("K"), b)
	back := key(b, k.Kind, a)
	r.do(put(a), put(b), graph.RequireUnlinked(k), graph.Link(graph.Edge{EdgeKey: k}), graph.RequireLinked(k))
	r.do(graph.RequireLinked(k), graph.RequireUnlinked(back))
	r.refuse(graph.NotFound, back.To, 0, graph.RequireLinked(back))
	r.refuse(graph.Exists, k.To, 1, graph.Require(a), graph.RequireUnlinked(k))
	r.do(graph.Unlink(k), graph.RequireUnlinked(k), graph.Unlink(back))
	if e := r.edgesFrom(a, k.Kind); len(e) != 0 {
		r.Errorf("unlinked edge is still there: %v", e)
	}
}

func testLeaf(r *room) {
	a, b, c := r.ref("doc", "a"), r.ref("doc", "b"), r.ref("doc", "c")
	k := r.kind("K")
	r.do(put(a), put(b), put(c), link(a, k, b), link(c, k, b), link(b, k, c))
	r.refuse(graph.InUse, b, 1, graph.Require(a), graph.RequireLeaf(b, k))
	r.do(graph.RequireLeaf(a, k), graph.RequireLeaf(b, r.kind("OTHER")))
	r.refuse(graph.InUse, b, 1, graph.Unlink(key(a, k, b)), graph.RequireLeaf(b, k))
	r.do(graph.Unlink(key(a, k, b)), graph.Unlink(key(c, k, b)), graph.RequireLeaf(b, k))
	r.refuse(graph.InUse, b, 1, link(a, k, b), graph.RequireLeaf(b, k))
	r.do(graph.RequireLeaf(r.ref("doc", "none"), k))
}

func testAcyclic(r *room) {
	k := r.kind("UP")
	n := func(i int) graph.Ref { return r.ref("doc", fmt.Sprint(i)) }
	up := func(i, j int) []graph.Step {
		return []graph.Step{graph.RequireAcyclic(n(i), k, n(j)), link(n(i), k, n(j))}
	}
	var steps []graph.Step
	for i := range 8 {
		steps = append(steps, put(n(i)))
	}
	for i := range 5 {
		steps = append(steps, up(i, i+1)...)
	}
	r.do(steps...)
	r.refuse(graph.Cycle, n(0), 0, up(5, 0)...)
	r.refuse(graph.Cycle, n(3), 0, up(3, 3)...)
	r.do(up(0, 5)...) // a second way up is no circle
	r.do(up(6, 0)...)
	r.refuse(graph.Cycle, n(7), 4, append(append(up(7, 6), up(5, 4)[1:]...), append([]graph.Step{graph.Unlink(key(n(5), k, n(4)))}, up(5, 7)...)...)...)
	// Across batches of one group: 4 leads to 5; then 5 -> 7 and 7 -> 0 would close the circle.
	res := r.commit(r.batch(up(5, 7)...), r.batch(up(7, 0)...), r.batch(append([]graph.Step{graph.Unlink(key(n(2), k, n(3))), graph.Unlink(key(n(0), k, n(5)))}, up(7, 0)...)...))
	if res[0].Err != nil {
		r.Errorf("5 -> 7: %v", res[0].Err)
	}
	r.refused(res[1], graph.Cycle, n(0), 0)
	if res[2].Err != nil {
		r.Errorf("7 -> 0 after the way was cut: %v", res[2].Err)
	}
	// Other kinds do not count.
	r.do(graph.RequireAcyclic(n(1), r.kind("OTHER"), n(0)), link(n(1), r.kind("OTHER"), n(0)))
}

func testUnchanged(r *room) {
	a, b, k := r.ref("doc", "a"), r.ref("doc", "b"), r.kind("K")
	e := graph.EdgeKey{From: a, Kind: k, To: b, Key: "r1"}
	start := r.do(put(a), put(b)).Revision
	r.do(graph.RequireUnchanged(k, "r1", 0))
	wrote := r.do(linkProps(e, graph.Props{"n": 1})).Revision
	r.refuse(graph.Stale, graph.Ref{}, 0, graph.RequireUnchanged(k, "r1", start))
	r.do(graph.RequireUnchanged(k, "r1", wrote), graph.RequireUnchanged(k, "r2", 0), graph.RequireUnchanged(k, "", 0), graph.RequireUnchanged(r.kind("OTHER"), "r1", 0))
	// Batches of the same group count too.
	res := r.commit(
		r.batch(graph.RequireUnchanged(k, "r1", wrote), linkProps(e, graph.Props{"n": 2})),
		r.batch(graph.RequireUnchanged(k, "r1", wrote), linkProps(e, graph.Props{"n": 3})),
		r.batch(graph.RequireUnchanged(k, "r1", wrote+1), linkProps(e, graph.Props{"n": 4})))
	if res[0].Err != nil || res[2].Err != nil {
		r.Errorf("refused: %v, %v", res[0].Err, res[2].Err)
	}
	r.refused(res[1], graph.Stale, graph.Ref{}, 0)
	r.do(link(a, k, b))
	r.refuse(graph.Stale, graph.Ref{}, 0, graph.RequireUnchanged(k, "", wrote))
}

func testAround(r *room) {
	a, b, c, k, l := r.ref("doc", "a"), r.ref("doc", "b"), r.ref("doc", "c"), r.kind("K"), r.kind("L")
	r.do(put(a), put(b), put(c))
	r.do(graph.RequireAround(a, 0, 0), graph.RequireAround(r.ref("doc", "none"), 0, 0))
	first := r.do(link(a, k, b), link(c, l, a), link(a, l, a)).Revision
	seen := func(n int, since graph.Revision) graph.Step { return graph.RequireAround(a, n, since) }
	// A loop is one edge.
	r.do(seen(3, first), seen(3, first+10))
	r.refuse(graph.Stale, a, 0, seen(2, first))
	r.refuse(graph.Stale, a, 0, seen(4, first))
	r.refuse(graph.Stale, a, 0, seen(3, first-1))
	// What replaces an edge is another one, and so is one that was written again.
	second := r.do(graph.Unlink(key(c, l, a)), link(b, k, a)).Revision
	r.refuse(graph.Stale, a, 0, seen(3, first))
	r.do(seen(3, second))
	r.refuse(graph.Stale, b, 0, graph.RequireAround(b, 2, first))
	third := r.do(linkProps(key(a, k, b), graph.Props{"n": 1})).Revision
	r.refuse(graph.Stale, a, 0, seen(3, second))
	// It sees what the steps before it did, and what batches before it did.
	r.do(seen(3, third), graph.Unlink(key(a, k, b)), seen(2, third), link(a, k, c), seen(3, third), graph.Unlink(key(a, k, c)))
	res := r.commit(r.batch(link(a, k, c)), r.batch(seen(2, third)), r.batch(seen(3, third)))
	if graph.KindOf(res[1].Err) != graph.Stale || graph.KindOf(res[2].Err) != graph.Stale {
		r.Errorf("edges that a batch of the group wrote were not seen: %v, %v", res[1].Err, res[2].Err)
	}
	// Looked at whole, a node is deleted with all its edges all the same.
	r.do(seen(3, r.head()), graph.RequireLeaf(a, r.kind("M")), graph.Delete(a))
	r.refuse(graph.InUse, c, 4, graph.RequireAround(c, 0, r.head()), graph.RequireLeaf(c, k), graph.Require(b), link(b, k, c), graph.RequireLeaf(c, k))
}

func testMessage(r *room) {
	s := graph.Require(r.ref("doc", "none"))
	s.Msg = "there is no such document"
	if e := r.refuse(graph.NotFound, r.ref("doc", "none"), 0, s); e.Msg != s.Msg {
		r.Errorf("the text is %q", e.Msg)
	}
}

func testLinkEnds(r *room) {
	a, none := r.ref("doc", "a"), r.ref("doc", "none")
	r.do(put(a))
	r.refuse(graph.NotFound, none, 0, link(a, r.kind("K"), none))
	r.refuse(graph.NotFound, none, 1, graph.Require(a), link(none, r.kind("K"), a))
	r.refuse(graph.NotFound, a, 1, graph.Delete(a), link(a, r.kind("K"), a))
	r.do(link(a, r.kind("K"), a)) // an edge to itself is an edge
	if e := r.edgesTo(a, r.kind("K")); len(e) != 1 {
		r.Errorf("edges to itself: %v", e)
	}
	if c := r.do(graph.Delete(a)).Change; len(c.Entries) != 2 {
		r.Errorf("deleting a node with an edge to itself: %s", text(c))
	}
}

func testParallelEdges(r *room) {
	a, b, k := r.ref("doc", "a"), r.ref("doc", "b"), r.kind("K")
	with := func(s string) graph.EdgeKey { return graph.EdgeKey{From: a, Kind: k, To: b, Key: s} }
	r.do(put(a), put(b), linkProps(with("x"), graph.Props{"n": 1}), linkProps(with("y"), graph.Props{"n": 2}), linkProps(with(""), graph.Props{"n": 3}))
	r.do(linkProps(with("y"), graph.Props{"n": 20}), graph.Unlink(with("x")))
	got := ""
	for _, e := range r.edgesFrom(a, k) {
		got += fmt.Sprintf("%s=%d ", e.Key, e.Props.Int("n"))
	}
	r.same("parallel edges", got, "=3 y=20 ")
}

func testAllOrNothing(r *room) {
	a, b, c := r.ref("doc", "a"), r.ref("doc", "b"), r.ref("doc", "c")
	k := r.kind("K")
	r.do(putNamed(a, r.prefix+"name"), put(b), link(a, k, b))
	before := nodeText(r.node(a))
	r.refuse(graph.NotFound, r.ref("doc", "none"), 5,
		putNamed(c, r.prefix+"other"), graph.Delete(b), putProps(a, graph.Props{"x": 1}), putNamed(a), graph.Unlink(key(a, k, b)), graph.Require(r.ref("doc", "none")))
	if r.node(c) != nil || r.node(b) == nil || len(r.edgesFrom(a, k)) != 1 {
		r.Error("a refused batch left traces")
	}
	r.same("node", nodeText(r.node(a)), before)
	if n := r.ask(graph.Question{Name: graph.NodesByName, Names: []string{r.prefix + "name", r.prefix + "other"}}).Nodes; len(n) != 1 || n[0].Ref != a {
		r.Errorf("names after a refused batch: %v", n)
	}
}

func testGroup(r *room) {
	n := func(i int) graph.Ref { return r.ref("doc", fmt.Sprint(i)) }
	head := r.head()
	var group []graph.Batch
	for i := range 7 {
		steps := []graph.Step{put(n(i))}
		if i%3 == 1 {
			steps = append(steps, graph.Require(r.ref("doc", "none")))
		}
		group = append(group, r.batch(steps...))
	}
	rev := head
	var want []string
	for i, res := range r.commit(group...) {
		if i%3 == 1 {
			r.refused(res, graph.NotFound, r.ref("doc", "none"), 1)
			continue
		}
		rev++
		if res.Err != nil || res.Revision != rev || res.Change == nil || res.Change.Revision != rev || res.Change.ID != group[i].ID {
			r.Fatalf("batch %d: %+v; want revision %d", i, res, rev)
		}
		want = append(want, text(res.Change))
	}
	if h := r.head(); h != rev {
		r.Errorf("head %d, want %d", h, rev)
	}
	got := r.changes(head, 100)
	if len(got) != len(want) {
		r.Fatalf("%d changes, want %d", len(got), len(want))
	}
	for i := range got {
		r.same("change", text(&got[i]), want[i])
	}
	for i := range 7 {
		if (r.node(n(i)) != nil) != (i%3 != 1) {
			r.Errorf("node %d is wrong", i)
		}
	}
	if res := r.commit(); len(res) != 0 {
		r.Errorf("an empty group has results")
	}
}

func testGroupOrder(r *room) {
	a, b, k := r.ref("doc", "a"), r.ref("doc", "b"), r.kind("K")
	head := r.head()
	res := r.commit(
		r.batch(put(a), put(b)),
		r.batch(graph.RequireAt(a, head+1), putProps(a, graph.Props{"n": 1})),
		r.batch(graph.RequireAt(a, head+1), putProps(a, graph.Props{"n": 2})),
		r.batch(link(a, k, b)),
		r.batch(graph.RequireLinked(key(a, k, b)), graph.Delete(b)),
		r.batch(graph.RequireUnlinked(key(a, k, b)), graph.RequireAbsent(b), graph.RequireAt(a, head+2)))
	for _, i := range []int{0, 1, 3, 4, 5} {
		if res[i].Err != nil {
			r.Errorf("batch %d: %v", i, res[i].Err)
		}
	}
	r.refused(res[2], graph.Stale, a, 0)
	if h := r.head(); h != head+4 {
		r.Errorf("head %d, want %d", h, head+4)
	}
	got := r.changes(head, 10)
	if len(got) != 4 {
		r.Fatalf("%d changes", len(got))
	}
	for i, j := range []int{0, 1, 3, 4} {
		r.same("change", text(&got[i]), text(res[j].Change))
	}
}

func testNoChange(r *room) {
	a, b, k := r.ref("doc", "a"), r.ref("doc", "b"), r.kind("K")
	all := func() []graph.Step {
		return []graph.Step{
			graph.Put(graph.Node{Ref: a, Names: []string{r.prefix + "n2", r.prefix + "n1"}, Props: graph.Props{"x": []string{"1"}, "f": 1.5}}),
			put(b), linkProps(key(a, k, b), graph.Props{"j": map[string]any{"b": 1, "a": []any{true}}}),
		}
	}
	rev := r.do(all()...).Revision
	before := nodeText(r.node(a)) + edgeText(&r.edgesFrom(a, k)[0])
	for _, steps := range [][]graph.Step{all(), nil, {graph.Require(a)}, {graph.Delete(r.ref("doc", "none")), graph.Unlink(key(b, k, a))}} {
		if res := r.do(steps...); res.Revision != rev || res.Change != nil {
			r.Errorf("nothing changed, but got revision %d (head %d), change %v", res.Revision, rev, res.Change)
		}
	}
	r.same("untouched", nodeText(r.node(a))+edgeText(&r.edgesFrom(a, k)[0]), before)
	if h := r.head(); h != rev {
		r.Errorf("head %d, want %d", h, rev)
	}
}

func testDry(r *room) {
	a, b, c, k := r.ref("doc", "a"), r.ref("doc", "b"), r.ref("doc", "c"), r.kind("K")
	dry := func(steps ...graph.Step) graph.Batch {
		b := r.batch(steps...)
		b.Dry = true
		return b
	}
	r.do(putNamed(a, r.prefix+"x"), put(b), link(a, k, b))
	before := nodeText(r.node(a)) + edgeText(&r.edgesFrom(a, k)[0])
	head := r.head()

	// Alone, and in a group of its like.
	change := dry(graph.Delete(b), putNamed(a, r.prefix+"y"), putNamed(c, r.prefix+"x"), link(c, k, a))
	res := r.commit(change, dry(putNamed(b, r.prefix+"y"), graph.RequireAbsent(c)), dry(putNamed(a, r.prefix+"x")), dry(put(c), graph.Require(r.ref("doc", "none"))))
	for i, entries := range []int{5, 1, 0} {
		switch got := res[i]; {
		case got.Err != nil:
			r.Errorf("dry batch %d: %v", i, got.Err)
		case entries == 0 && (got.Change != nil || got.Revision != head):
			r.Errorf("a dry batch that changes nothing: %+v; the head is %d", got, head)
		case entries > 0 && (got.Change == nil || got.Revision != head+1 || got.Change.Revision != head+1 || len(got.Change.Entries) != entries):
			r.Errorf("dry batch %d: %+v; want %d entries at %d", i, got, entries, head+1)
		}
	}
	r.refused(res[3], graph.NotFound, r.ref("doc", "none"), 1)
	r.same("untouched", nodeText(r.node(a))+edgeText(&r.edgesFrom(a, k)[0]), before)
	named := r.ask(graph.Question{Name: graph.NodesByName, Names: []string{r.prefix + "x", r.prefix + "y"}}).Nodes
	if h := r.head(); h != head || len(r.changes(head, 10)) != 0 || r.node(c) != nil || len(named) != 1 || named[0].Ref != a {
		r.Errorf("dry batches left traces: the head is %d (was %d), names %v", h, head, named)
	}

	// Between others: the same batch, dry and then for real, tells the same.
	change.Dry = false
	again := change
	again.Dry = true
	res = r.commit(r.batch(putProps(b, graph.Props{"n": 1})), again, r.batch(graph.RequireUnchanged(k, "", head), graph.RequireAt(b, head+1), graph.Touch(b)))
	if res[0].Revision != head+1 || res[1].Revision != head+2 || res[2].Revision != head+2 || res[2].Err != nil {
		r.Errorf("a dry batch between two others: %+v", res)
	}
	res = r.commit(again, change)
	if res[0].Err != nil || res[1].Err != nil {
		r.Fatalf("refused: %v, %v", res[0].Err, res[1].Err)
	}
	r.same("for real", text(res[1].Change), text(res[0].Change))
	got := r.changes(head, 10)
	if len(got) != 3 {
		r.Fatalf("%d changes, want 3", len(got))
	}
	r.same("the feed", text(&got[2]), text(res[1].Change))
}

func testDelete(r *room) {
	a, b, c := r.ref("doc", "a"), r.ref("doc", "b"), r.ref("doc", "c")
	k, l := r.kind("K"), r.kind("L")
	r.do(putProps(a, graph.Props{"x": 1}), put(b), put(c),
		linkProps(key(a, k, b), graph.Props{"n": 1}), linkProps(key(c, l, a), graph.Props{"n": 2}),
		linkProps(graph.EdgeKey{From: c, Kind: l, To: a, Key: "k"}, graph.Props{"n": 3}), link(b, k, c))
	node := nodeText(r.node(a))
	var edges []string
	for _, e := range append(r.edgesFrom(a, k), r.edgesTo(a, l)...) {
		edges = append(edges, edgeText(&e))
	}
	res := r.do(graph.Delete(a))
	if r.node(a) != nil || len(r.edgesFrom(a, k))+len(r.edgesTo(a, l)) != 0 || len(r.edgesFrom(c, l)) != 0 || len(r.edgesTo(b, k)) != 0 {
		r.Error("something of the deleted node is left")
	}
	if len(r.edgesFrom(b, k)) != 1 {
		r.Error("an edge between others is gone")
	}
	c1 := r.changes(res.Revision-1, 1)[0]
	r.same("feed", text(&c1), text(res.Change))
	got := map[string]bool{}
	for i, e := range c1.Entries {
		switch {
		case e.Edge != nil && e.Edge.After == nil && e.Edge.Before != nil && i < 3:
			got[edgeText(e.Edge.Before)] = true
		case e.Node != nil && e.Node.After == nil && i == 3:
			r.same("node before", nodeText(e.Node.Before), node)
		default:
			r.Errorf("entry %d of %s", i, text(&c1))
		}
	}
	for _, e := range edges {
		if !got[e] {
			r.Errorf("the record lacks %s", e)
		}
	}
}

func testRecreate(r *room) {
	a, b, k := r.ref("doc", "a"), r.ref("doc", "b"), r.kind("K")
	r.do(graph.Put(graph.Node{Ref: a, Names: []string{r.prefix + "x"}, Props: graph.Props{"n": 1}}), put(b), link(a, k, b))
	created := r.node(a).Created
	// In one batch: the node is the same one, its edges are gone.
	res := r.do(graph.Delete(a), graph.Put(graph.Node{Ref: a, Names: []string{r.prefix + "x"}, Props: graph.Props{"n": 2}}))
	n := r.node(a)
	if n == nil || n.Props.Int("n") != 2 || n.Revision != res.Revision || len(r.edgesFrom(a, k)) != 0 {
		r.Errorf("recreated in one batch: %s", nodeText(n))
	}
	r.do(link(a, k, b))
	// In two batches of one group: a new node.
	later := r.batch(graph.Put(graph.Node{Ref: a, Names: []string{r.prefix + "y"}}), link(a, k, b))
	res2 := r.commit(r.batch(graph.Delete(a)), later)
	if res2[0].Err != nil || res2[1].Err != nil {
		r.Fatalf("refused: %v, %v", res2[0].Err, res2[1].Err)
	}
	n = r.node(a)
	if n == nil || !n.Created.Equal(later.Time) || !n.Created.After(created) || n.Revision != res2[1].Revision {
		r.Fatalf("recreated in a group: %s", nodeText(n))
	}
	e := r.edgesFrom(a, k)
	if len(e) != 1 || e[0].Revision != res2[1].Revision || !e[0].Created.Equal(later.Time) {
		r.Errorf("relinked in a group: %v", e)
	}
	if list := r.ask(graph.Question{Name: graph.NodesByName, Names: []string{r.prefix + "x", r.prefix + "y"}}).Nodes; len(list) != 1 || list[0].Names[0] != r.prefix+"y" {
		r.Errorf("names: %v", list)
	}
	if last := r.changes(res2[0].Revision, 1)[0]; last.Entries[0].Node == nil || last.Entries[0].Node.Before != nil {
		r.Errorf("the recreation is no creation: %s", text(&last))
	}
	// Created, deleted, never seen.
	c := r.ref("doc", "c")
	head := r.head()
	if res := r.do(put(c), link(c, k, b), graph.Delete(c)); res.Change != nil || r.head() != head {
		r.Errorf("a batch without net effect has change %v", res.Change)
	}
}

func testNetEffect(r *room) {
	a, b, k := r.ref("doc", "a"), r.ref("doc", "b"), r.kind("K")
	c := r.do(
		putProps(a, graph.Props{"n": 1}), put(b), link(a, k, b), putProps(a, graph.Props{"n": 2}),
		linkProps(key(a, k, b), graph.Props{"n": 1}), linkProps(key(a, k, b), graph.Props{"n": 2})).Change
	if len(c.Entries) != 3 {
		r.Fatalf("not one entry per thing: %s", text(c))
	}
	for i, e := range c.Entries {
		switch {
		case i < 2 && e.Node != nil && e.Node.Before == nil && e.Node.After.Revision == c.Revision:
		case i == 2 && e.Edge != nil && e.Edge.Before == nil && e.Edge.After.Props.Int("n") == 2:
		default:
			r.Errorf("entry %d of %s", i, text(c))
		}
	}
}

func testLargeBatch(r *room) {
	hub, k := r.ref("doc", "hub"), r.kind("K")
	steps := []graph.Step{put(hub)}
	for i := range 2500 {
		n := r.ref("doc", fmt.Sprintf("n%05d", i))
		steps = append(steps, graph.RequireAbsent(n), graph.Put(graph.Node{Ref: n, Names: []string{fmt.Sprintf("%s/%d", r.prefix, i)}, Props: graph.Props{"i": i}}),
			graph.RequireAcyclic(n, k, hub), link(n, k, hub))
	}
	start := time.Now()
	rev := r.do(steps...).Revision
	r.Logf("%d steps: %v", len(steps), time.Since(start).Round(time.Millisecond))
	if c := r.changes(rev-1, 1)[0]; len(c.Entries) != 5001 {
		r.Errorf("%d entries", len(c.Entries))
	}
	if n := len(r.edgesTo(hub, k)); n != 2500 {
		r.Errorf("%d edges", n)
	}
	start = time.Now()
	if c := r.do(graph.Delete(hub)).Change; len(c.Entries) != 2501 {
		r.Errorf("%d entries of the deletion", len(c.Entries))
	}
	r.Logf("deleting a node with 2500 edges: %v", time.Since(start).Round(time.Millisecond))
}
