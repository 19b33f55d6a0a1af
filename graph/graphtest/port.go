package graphtest

import (
	"errors"
	"fmt"
	"io"
	"time"

	"trellis/graph"
)

var portCases = []testCase{
	{name: "ExportThenImport", own: true, run: testPort},
	{name: "ExportStopsWhenTold", run: testExportStops},
	{name: "ImportNeedsAnEmptyStore", run: testImportNotEmpty},
	{name: "FailedImportCanBeRepeated", own: true, run: testImportFails},
}

// record is a graph.Record that may be kept.
func (r *room) export(s graph.Store) (list []graph.Record, info graph.Info) {
	r.Helper()
	info, err := s.Export(r.ctx, func(rec graph.Record) error {
		if rec.Node != nil {
			n := *rec.Node
			list = append(list, graph.Record{Node: &n})
		} else {
			e := *rec.Edge
			list = append(list, graph.Record{Edge: &e})
		}
		return nil
	})
	if err != nil {
		r.Fatalf("Export: %v", err)
	}
	return list, info
}

func texts(list []graph.Record) []string {
	var out []string
	for _, rec := range list {
		out = append(out, string(rec.AppendJSON(nil)))
	}
	return out
}

// feed gives records one by one, then err.
func feed(list []graph.Record, err error) func() (graph.Record, error) {
	return func() (graph.Record, error) {
		if len(list) == 0 {
			return graph.Record{}, err
		}
		rec := list[0]
		list = list[1:]
		return rec, nil
	}
}

func (r *room) inOrder(list []graph.Record) {
	r.Helper()
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		switch {
		case a.Node != nil && b.Node != nil && graph.CompareRefs(a.Node.Ref, b.Node.Ref) >= 0,
			a.Edge != nil && b.Edge != nil && graph.CompareEdges(a.Edge.EdgeKey, b.Edge.EdgeKey) >= 0,
			a.Edge != nil && b.Node != nil:
			r.Errorf("%s before %s", a.AppendJSON(nil), b.AppendJSON(nil))
		}
	}
}

func testPort(r *room) {
	a, b, hub := r.ref("doc", "a"), r.ref("doc", "b"), r.ref("hub", "h/1")
	r.do(graph.Put(graph.Node{Ref: a, Names: []string{r.prefix + "y", r.prefix + "x"}, Props: values()}), put(b), put(hub), link(a, "K", hub), link(b, "K", hub))
	r.do(linkProps(graph.EdgeKey{From: a, Kind: "K", To: b, Key: "k"}, values()), putProps(graph.Root, graph.Props{"name": "all"}))
	r.do(graph.Put(graph.Node{Ref: b, Names: []string{r.prefix + "b"}}), link(b, "A", a), graph.Unlink(key(b, "K", hub)))
	list, info := r.export(r.store)
	if want := r.info(); info != want {
		r.Errorf("the export says %+v, the store %+v", info, want)
	}
	if len(list) != 3+3+3 {
		r.Fatalf("%d records: %q", len(list), texts(list))
	}
	r.inOrder(list)
	for _, rec := range list {
		if rec.Node != nil && rec.Node.Ref.Type != "platform" {
			r.same("node", nodeText(rec.Node), nodeText(r.node(rec.Node.Ref)))
		}
	}

	// Into another place; where there is only one, into the same.
	old := info.Store
	second := enter(r.T, r.engine.Place(r.T), r.engine, r.prefix)
	if err := second.store.Import(r.ctx, info.Head+5, feed(list, io.EOF)); err != nil {
		r.Fatalf("Import: %v", err)
	}
	list2, info2 := second.export(second.store)
	if info2.Head != info.Head+5 || info2.Oldest != info2.Head || info2.Store == old {
		r.Errorf("after the import it says %+v; exported %+v", info2, info)
	}
	r.same("records", fmt.Sprintf("%q", texts(list2)), fmt.Sprintf("%q", texts(list)))
	if _, err := second.store.Changes(r.ctx, info.Head, 1); graph.KindOf(err) != graph.Gone {
		r.Errorf("changes before the import: %v", err)
	}
	if got := second.changes(info2.Head, 1); len(got) != 0 {
		r.Errorf("changes after the import: %v", got)
	}
	// All that is imported is in force.
	second.prefix += "-" // batch ids of its own
	second.refuse(graph.Exists, a, 0, putNamed(b, r.prefix+"x"))
	second.refuse(graph.Stale, graph.Ref{}, 0, graph.RequireUnchanged("K", "k", 1))
	second.do(graph.RequireUnchanged("K", "k", 2), graph.RequireAt(b, 3))
	second.refuse(graph.InUse, hub, 0, graph.RequireLeaf(hub, "K"))
	second.refuse(graph.Cycle, a, 0, graph.RequireAcyclic(hub, "K", a))
	if n := len(second.ask(graph.Question{Name: graph.EdgesByKey, Kind: "K", Key: "k"}).Edges); n != 1 {
		r.Errorf("%d edges by key", n)
	}
	if res := second.do(graph.Delete(a)); res.Revision != info2.Head+1 || len(res.Change.Entries) != 4 {
		r.Errorf("deletion after the import: %s", text(res.Change))
	}
}

func testExportStops(r *room) {
	a := r.ref("doc", "a")
	r.do(put(a), link(a, r.kind("K"), a))
	stop := errors.New("enough")
	for _, at := range []int{1, 2} {
		n := 0
		if _, err := r.store.Export(r.ctx, func(graph.Record) error {
			if n++; n == at {
				return stop
			}
			return nil
		}); !errors.Is(err, stop) || n != at {
			r.Errorf("stopped at %d: %v after %d", at, err, n)
		}
	}
	// The store may be asked from within.
	seen := false
	if _, err := r.store.Export(r.ctx, func(rec graph.Record) error {
		if rec.Node != nil && rec.Node.Ref == a {
			seen = r.node(a) != nil
		}
		return nil
	}); err != nil || !seen {
		r.Errorf("asking from within an export: %v, %v", seen, err)
	}
}

func testImportNotEmpty(r *room) {
	r.do(put(r.ref("doc", "a")))
	head := r.head()
	err := r.store.Import(r.ctx, head+1, feed([]graph.Record{{Node: &graph.Node{Ref: r.ref("doc", "new"), Created: r.now(), Updated: r.now()}}}, io.EOF))
	r.wantKind("import into a store in use", err, graph.Exists)
	if r.node(r.ref("doc", "new")) != nil || r.head() != head {
		r.Error("a refused import left traces")
	}
}

func testImportFails(r *room) {
	at := r.now()
	node := func(id string, names ...string) graph.Record {
		return graph.Record{Node: &graph.Node{Ref: r.ref("doc", id), Names: names, Created: at, Updated: at.Add(time.Millisecond), Revision: 1}}
	}
	edge := func(from, to string) graph.Record {
		return graph.Record{Edge: &graph.Edge{EdgeKey: key(r.ref("doc", from), "K", r.ref("doc", to)), Created: at, Updated: at, Revision: 2}}
	}
	broken := errors.New("broken pipe")
	for _, c := range []struct {
		what string
		list []graph.Record
		end  error
	}{
		{"broken off", []graph.Record{node("a"), node("b"), edge("a", "b")}, broken},
		{"broken off at once", nil, broken},
		{"an end is missing", []graph.Record{node("a"), edge("a", "b")}, io.EOF},
		{"a start is missing", []graph.Record{node("b"), edge("a", "b")}, io.EOF},
		{"a node twice", []graph.Record{node("a"), node("a")}, io.EOF},
		{"a name twice", []graph.Record{node("a", "n"), node("b", "n")}, io.EOF},
		{"an edge twice", []graph.Record{node("a"), edge("a", "a"), edge("a", "a")}, io.EOF},
		{"an empty record", []graph.Record{node("a"), {}}, io.EOF},
		{"a bad kind", []graph.Record{node("a"), {Edge: &graph.Edge{EdgeKey: key(r.ref("doc", "a"), "not a kind", r.ref("doc", "a"))}}}, io.EOF},
		{"a revision above the head", []graph.Record{{Node: &graph.Node{Ref: r.ref("doc", "a"), Created: at, Updated: at, Revision: 8}}}, io.EOF},
	} {
		err := r.store.Import(r.ctx, 7, feed(c.list, c.end))
		switch {
		case c.end == broken && !errors.Is(err, broken):
			r.Errorf("%s: %v", c.what, err)
		case c.end != broken:
			r.wantKind(c.what, err, graph.Invalid)
		}
	}
	good := []graph.Record{node("a", "n"), node("b"), edge("a", "b")}
	if err := r.store.Import(r.ctx, 7, feed(good, io.EOF)); err != nil {
		r.Fatalf("after failures: %v", err)
	}
	list, info := r.export(r.store)
	if info.Head != 7 || len(list) != 6 {
		r.Errorf("%+v: %q", info, texts(list))
	}
	if res := r.do(put(r.ref("doc", "c"))); res.Revision != 8 {
		r.Errorf("the revision after the import is %d", res.Revision)
	}
}
