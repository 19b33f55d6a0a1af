package graphtest

import (
	"fmt"
	"strings"

	"trellis/graph"
)

var nameCases = []testCase{
	{name: "NamesAreUnique", run: testNamesUnique},
	{name: "NamesMoveAndAreFreed", run: testNamesMove},
	{name: "NamesAreBytes", run: testNamesBytes},
}

func (r *room) holder(name string) string {
	r.Helper()
	list := r.ask(graph.Question{Name: graph.NodesByName, Names: []string{name}}).Nodes
	if len(list) == 0 {
		return "nobody"
	}
	return strings.TrimPrefix(list[0].Ref.ID, r.prefix)
}

func testNamesUnique(r *room) {
	a, b := r.ref("user", "a"), r.ref("user", "b")
	n1, n2 := r.prefix+"n1", r.prefix+"n2"
	r.do(putNamed(a, n1, n2, n1))
	if n := r.node(a); fmt.Sprint(n.Names) != fmt.Sprint([]string{n1, n2}) {
		r.Errorf("names are %v", n.Names)
	}
	r.refuse(graph.Exists, a, 1, put(b), putNamed(b, n2))
	r.do(putNamed(a, n1, n2))
	// Also against what the same group has just taken.
	m := r.prefix + "m"
	res := r.commit(r.batch(putNamed(b, m)), r.batch(putNamed(r.ref("user", "c"), m)), r.batch(put(b)), r.batch(putNamed(r.ref("user", "d"), m)))
	r.refused(res[1], graph.Exists, b, 0)
	if res[0].Err != nil || res[3].Err != nil || r.holder(m) != "d" {
		r.Errorf("%v, %v, held by %s", res[0].Err, res[3].Err, r.holder(m))
	}
	if r.node(r.ref("user", "c")) != nil {
		r.Error("a refused node exists")
	}
}

func testNamesMove(r *room) {
	a, b := r.ref("user", "a"), r.ref("user", "b")
	n := r.prefix + "n"
	r.do(putNamed(a, n), put(b))
	r.do(put(a), putNamed(b, n))
	r.same("moved in one batch", r.holder(n), "b")
	r.do(graph.Delete(b))
	r.same("freed by deletion", r.holder(n), "nobody")
	r.do(putNamed(a, n))
	r.do(graph.Delete(a), putNamed(b, n))
	r.same("deleted and taken in one batch", r.holder(n), "b")
	res := r.commit(r.batch(graph.Delete(b)), r.batch(putNamed(a, n), graph.Require(b)), r.batch(putNamed(a, n)))
	r.refused(res[1], graph.NotFound, b, 1)
	r.same("deleted and taken in one group", r.holder(n), "a")
	// Two nodes swap their names.
	m := r.prefix + "m"
	r.do(putNamed(b, m))
	r.do(put(a), putNamed(b, n), putNamed(a, m))
	r.same("swapped", r.holder(n)+r.holder(m), "ba")
	r.refuse(graph.Exists, a, 0, putNamed(b, m), put(a))
}

func testNamesBytes(r *room) {
	names := []string{"Case", "case", "CASE", "é", "e\u0301", "ß", "ss", "with space", `q"'%_\`, "a:b/c", "日本", strings.Repeat("x", graph.MaxName-len(r.prefix))}
	var steps []graph.Step
	for i, n := range names {
		steps = append(steps, putNamed(r.ref("user", fmt.Sprint(i)), r.prefix+n))
	}
	r.do(steps...)
	var all []string
	for i, n := range names {
		all = append(all, r.prefix+n)
		if i%4 == 1 {
			r.same(n, r.holder(r.prefix+n), fmt.Sprint(i))
		}
	}
	all = append(all, r.prefix+"nobody's", all[0])
	got := r.ask(graph.Question{Name: graph.NodesByName, Names: all}).Nodes
	if len(got) != len(names) {
		r.Fatalf("%d nodes, want %d", len(got), len(names))
	}
	for i := 1; i < len(got); i++ {
		if graph.CompareRefs(got[i-1].Ref, got[i].Ref) >= 0 {
			r.Errorf("%s before %s", got[i-1].Ref, got[i].Ref)
		}
	}
	if a := r.ask(graph.Question{Name: graph.NodesByName}); len(a.Nodes) != 0 {
		r.Errorf("no names: %v", a.Nodes)
	}
}
