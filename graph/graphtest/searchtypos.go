package graphtest

import (
	"fmt"
	"slices"

	"trellis/graph"
)

func testSearchTypos(r *room) {
	r.putX(graph.Props{"name": "kubernetes cluster"}, graph.Props{"name": "kubernetes", "description": "a clutter"}, graph.Props{"name": "kubernete"}, graph.Props{"name": "проект"})
	fuzzy := func(text string) graph.SearchQuery {
		q := words(text)
		q.Fuzzy, q.Types = true, []graph.Type{r.typ("x")}
		return q
	}
	r.finds(words("kuberntes"))
	r.finds(fuzzy("kuberntes"), xid(2, 0), xid(2, 1))
	r.finds(fuzzy("kubernetss"), xid(2, 0), xid(2, 1))
	r.finds(fuzzy("kubenretes cluster"), xid(2, 0))
	r.finds(fuzzy("kubernetes"), xid(1, 1), xid(2, 0))
	r.finds(fuzzy("kubernet"), xid(2, 0), xid(2, 1), xid(2, 2))
	r.finds(fuzzy("clustr"), xid(2, 0))
	r.finds(fuzzy("cluzter"), xid(2, 0), xid(3, 1))
	r.finds(fuzzy("clsuter"), xid(2, 0))
	r.finds(fuzzy("ubernetes"))
	r.finds(fuzzy("kubrntes"))
	r.finds(fuzzy("праект"), xid(2, 3))
	r.finds(fuzzy("clu"), xid(2, 0), xid(3, 1))
	q := fuzzy("kubernetis cluter")
	q.Limit = 1
	got, corrected := r.searchAll(r.store, q)
	if want := "map[cluter:[cluster clutter] kubernetis:[kubernetes]]"; fmt.Sprint(corrected) != want {
		r.Errorf("corrected %v, want %s", corrected, want)
	}
	if !slices.Equal(got, []string{xid(2, 0), xid(3, 1)}) {
		r.Errorf("got %q", got)
	}
	if _, corrected := r.searchAll(r.store, fuzzy("kubernetes")); len(corrected) != 0 {
		r.Errorf("corrected %v though it was found", corrected)
	}
}

// What a search may not find, it may not give away either.
func testSearchTypoScope(r *room) {
	r.putX(graph.Props{"name": "project zeppelin", "organization": r.prefix + "a"}, graph.Props{"name": "zepelin", "organization": r.prefix + "b"})
	q := words("zeppelim")
	q.Fuzzy, q.Types, q.Organization = true, []graph.Type{r.typ("x")}, r.prefix+"b"
	if got, corrected := r.searchAll(r.store, q); len(got) != 0 || len(corrected) != 0 {
		r.Errorf("got %q, corrected %q", got, corrected)
	}
	// There is such a word, but not here.
	q.Words = []string{"zeppelin"}
	if got, corrected := r.searchAll(r.store, q); len(got) != 1 || fmt.Sprint(corrected) != "map[zeppelin:[zepelin]]" {
		r.Errorf("got %q, corrected %q", got, corrected)
	}
}
