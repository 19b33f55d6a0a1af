package graphtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"trellis/graph"
)

var searchCases = []testCase{
	{name: "SearchFindsBeginningsOfAllWords", run: testSearchWords},
	{name: "SearchFoldsTexts", run: testSearchFolds},
	{name: "SearchLooksInTheseTexts", run: testSearchTexts},
	{name: "SearchLooksInAttributes", run: testSearchAttributes},
	{name: "SearchOfManyAttributes", run: testSearchManyAttributes},
	{name: "SearchRanks", run: testSearchRanks},
	{name: "SearchByType", run: testSearchTypes},
	{name: "SearchInAnOrganization", run: testSearchOrganization},
	{name: "SearchAmongSomeNodes", run: testSearchOnly},
	{name: "SearchPages", run: testSearchPages},
	{name: "SearchResumes", run: testSearchResumes},
	{name: "SearchOfVeryMany", own: true, run: testSearchMany},
	{name: "SearchSeesWhatWasWritten", run: testSearchWrites},
	{name: "SearchSeesNoRefusedBatch", run: testSearchRefused},
	{name: "SearchHidesWhatServesTheProgram", run: testSearchInternal},
	{name: "SearchTypos", run: testSearchTypos},
	{name: "SearchTyposOnlyAmongWhatCounts", run: testSearchTypoScope},
	{name: "SearchesThatMakeNoSense", run: testSearchBad},
	{name: "SearchAgreesWithItsMeaning", run: testSearchOracle},
	{name: "SearchWhileOthersWrite", run: testSearchRace},
	{name: "SearchAfterImport", own: true, run: testSearchImport},
	{name: "SearchAfterReopening", run: testSearchReopen},
}

// searchAll asks page by page, and returns "rank id" of every hit and what was corrected.
func (r *room) searchAll(s graph.Store, q graph.SearchQuery) (out []string, corrected map[string][]string) {
	r.Helper()
	if q.Limit == 0 {
		q.Limit = graph.MaxPage
	}
	for pages := 0; ; pages++ {
		a, err := s.Search(r.ctx, q)
		if err != nil {
			r.Fatalf("Search %+v: %v", q, err)
		}
		if len(a.Hits) > q.Limit || a.Next != "" && len(a.Hits) < q.Limit || !graph.Printable(a.Next) {
			r.Fatalf("Search %+v: a page of %d, next %q", q, len(a.Hits), a.Next)
		}
		for _, h := range a.Hits {
			out = append(out, fmt.Sprint(h.Rank, " ", strings.TrimPrefix(h.Node.Ref.ID, r.prefix)))
		}
		if pages > 0 && fmt.Sprint(a.Corrected) != fmt.Sprint(corrected) {
			r.Errorf("Search %+v: page %d says %q was corrected; the first %q", q, pages, a.Corrected, corrected)
		}
		corrected = a.Corrected
		if q.After = a.Next; a.Next == "" {
			return out, corrected
		}
		if pages > 10_000 {
			r.Fatalf("Search %+v never ends", q)
		}
	}
}

// finds compares what is found, by rank and in no other order, with "rank id" pairs.
func (r *room) finds(q graph.SearchQuery, want ...string) {
	r.Helper()
	if q.Types == nil {
		q.Types = []graph.Type{r.typ("x")}
	}
	got, _ := r.searchAll(r.store, q)
	if !slices.IsSortedFunc(got, func(a, b string) int { return int(a[0]) - int(b[0]) }) {
		r.Errorf("%q: not in order of rank: %q", q.Words, got)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.Errorf("%q in %q, %q:\n got %q\nwant %q", q.Words, q.Types, q.Organization, got, want)
	}
}

func words(text string) graph.SearchQuery { return graph.SearchQuery{Words: graph.Words(text)} }

// x is a node of this case. Its id is a UUID for all who read it, so that it is no title.
func (r *room) x(i int) graph.Ref {
	return graph.Ref{Type: r.typ("x"), ID: fmt.Sprintf("0197f3a2-7c1e-7000-8000-%012d", i)}
}

func xid(rank, i int) string { return fmt.Sprintf("%d 0197f3a2-7c1e-7000-8000-%012d", rank, i) }

func (r *room) putX(list ...graph.Props) {
	r.Helper()
	var steps []graph.Step
	for i, p := range list {
		steps = append(steps, putProps(r.x(i), p))
	}
	r.do(steps...)
}

func testSearchWords(r *room) {
	r.putX(graph.Props{"name": "Billing gateway service"}, graph.Props{"name": "Billing"}, graph.Props{"name": "bill of gates"}, graph.Props{"name": "rebilling gateway"},
		graph.Props{"name": "x2 v10", "slug": "a-1"})
	r.finds(words("billing"), xid(2, 0), xid(1, 1))
	r.finds(words("b"), xid(2, 0), xid(2, 1), xid(2, 2))
	r.finds(words("bi"), xid(2, 0), xid(2, 1), xid(2, 2))
	r.finds(words("bil"), xid(2, 0), xid(2, 1), xid(2, 2))
	r.finds(words("bill"), xid(2, 0), xid(2, 1), xid(2, 2))
	r.finds(words("billi"), xid(2, 0), xid(2, 1))
	r.finds(words("billings"))
	r.finds(words("gate bill"), xid(2, 0), xid(2, 2))
	r.finds(words("bill gate bill"), xid(2, 0), xid(2, 2))
	r.finds(words("service gateway billing"), xid(2, 0))
	r.finds(words("billing nothing"))
	r.finds(words("illing"))
	// Letters with which tokens of an index might begin.
	r.finds(words("w"))
	r.finds(words("t"))
	r.finds(words("o"), xid(2, 2))
	r.finds(words("1"), xid(2, 4))
	r.finds(words("a-1 v1"), xid(2, 4))
}

func testSearchFolds(r *room) {
	r.putX(graph.Props{"name": "Überprüfung der STRASSE"}, graph.Props{"name": "e\u0301te\u0301 à Łódź"}, graph.Props{"name": "分散検索エンジン"}, graph.Props{"name": "Проект Мир"},
		graph.Props{"name": "한국어 검색"}, graph.Props{"name": "🎉 party"})
	r.finds(words("uberpru"), xid(2, 0))
	r.finds(words("ÜBERPRÜ straße"), xid(2, 0))
	r.finds(words("ÉTÉ lodz"), xid(2, 1))
	r.finds(words("検索"), xid(2, 2))
	r.finds(words("エンジン"), xid(2, 2))
	r.finds(words("проек МИР"), xid(2, 3))
	r.finds(words("한국"), xid(2, 4))
	r.finds(words("party"), xid(1, 5))
}

func testSearchTexts(r *room) {
	r.putX(
		graph.Props{"name": "n", "slug": "payment-core", "description": "moves money", "identifiers": graph.JSON(`{"pagerduty":"PD77","sentry":"web-front"}`), "keywords": []string{"Golang", "tier one"}},
		graph.Props{"email": "ann.lee@example.com"},
		graph.Props{"name": "", "secret": "moves", "status": "moves", "icon": "moves"},
		graph.Props{"description": strings.Repeat("long ", 3000) + "tail"},
	)
	slash := graph.Ref{Type: r.typ("x"), ID: "kubernetes/test-infra"}
	r.do(putNamed(slash, r.prefix+"moves"))
	r.finds(words("payment"), xid(2, 0))
	r.finds(words("payment-core"), xid(1, 0))
	r.finds(words("money"), xid(3, 0))
	r.finds(words("moves"), xid(3, 0))
	r.finds(words("PD77"), xid(3, 0))
	r.finds(words("pagerduty"))
	r.finds(words("front core"), xid(3, 0))
	r.finds(words("golang one"), xid(3, 0))
	r.finds(words("ann.lee@example.com"), xid(1, 1))
	r.finds(words("lee"), xid(2, 1))
	r.finds(words("long"), xid(3, 3))
	r.finds(words("infra"), "2 kubernetes/test-infra")
	r.finds(words("kubernetes test infra"), "1 kubernetes/test-infra")
	r.finds(words("0197f3a2"))
}

func testSearchRanks(r *room) {
	r.putX(
		graph.Props{"name": "Text", "description": "the search api"},
		graph.Props{"name": "API for search"},
		graph.Props{"name": "Other", "slug": "search-api"},
		graph.Props{"name": "Search API"},
		graph.Props{"name": "search", "keywords": []string{"api"}},
		graph.Props{"name": "searching apis"},
	)
	r.finds(words("search api"), xid(3, 0), xid(2, 1), xid(1, 2), xid(1, 3), xid(3, 4), xid(2, 5))
	r.finds(words("api search"), xid(3, 0), xid(2, 1), xid(2, 2), xid(2, 3), xid(3, 4), xid(2, 5))
	r.finds(words("search"), xid(3, 0), xid(2, 1), xid(2, 2), xid(2, 3), xid(1, 4), xid(2, 5))
}

func testSearchTypes(r *room) {
	var steps []graph.Step
	for _, t := range []string{"x", "x2", "x_", "y"} {
		steps = append(steps, putProps(graph.Ref{Type: r.typ(t), ID: r.prefix + t}, graph.Props{"name": "typed thing " + r.prefix}))
	}
	r.do(steps...)
	typ := func(list ...string) graph.SearchQuery {
		q := words("typed")
		q.Types = []graph.Type{}
		for _, t := range list {
			q.Types = append(q.Types, r.typ(t))
		}
		return q
	}
	r.finds(typ("x"), "2 x")
	r.finds(typ("x2", "y"), "2 x2", "2 y")
	r.finds(typ("x_", "nothing"), "2 x_")
	r.finds(typ("nothing"))
	r.finds(typ())
	all, _ := r.searchAll(r.store, words("typed "+r.prefix))
	if len(all) != 4 {
		r.Errorf("of any type: %q", all)
	}
}

func testSearchOrganization(r *room) {
	acme, bolt := r.ref("organization", "acme"), r.ref("organization", "Acme")
	r.putX(graph.Props{"name": "owned", "organization": acme.ID}, graph.Props{"name": "owned", "organization": bolt.ID}, graph.Props{"name": "owned"})
	r.do(putProps(acme, graph.Props{"name": "owned"}), putProps(bolt, graph.Props{"name": "owned", "organization": acme.ID}))
	in := func(id string, types ...graph.Type) graph.SearchQuery {
		q := words("owned")
		q.Organization, q.Types = id, append(types, r.typ("x"))
		return q
	}
	r.finds(in(acme.ID), xid(1, 0))
	r.finds(in(bolt.ID), xid(1, 1))
	r.finds(in(acme.ID, "organization"), xid(1, 0), "1 acme")
	r.finds(in(bolt.ID, "organization"), xid(1, 1), "1 Acme")
	r.finds(in(`none" OR "a`))
	at := func(homes ...string) graph.SearchQuery {
		q := in("")
		q.Homes = append([]string{}, homes...)
		return q
	}
	r.finds(at(acme.ID), xid(1, 0))
	r.finds(at(acme.ID, bolt.ID), xid(1, 0), xid(1, 1))
	r.finds(at("", bolt.ID), xid(1, 1), xid(1, 2))
	r.finds(at(""), xid(1, 2))
	r.finds(at())
	many := at(acme.ID)
	for i := len(many.Homes); i < graph.MaxSearchHomes; i++ {
		many.Homes = append(many.Homes, fmt.Sprint("none", i))
	}
	many.Types = append(many.Types, "organization", "a", "b", "c", "d")
	r.finds(many, xid(1, 0), "1 acme")
	both := at(acme.ID, "")
	both.Organization = bolt.ID
	r.finds(both)
	r.finds(in(""), xid(1, 0), xid(1, 1), xid(1, 2))
	q := in(acme.ID)
	q.Only = []graph.Ref{r.x(0), r.x(1), acme, bolt}
	r.finds(q, xid(1, 0))
}

func testSearchOnly(r *room) {
	var list []graph.Props
	for i := range 12 {
		list = append(list, graph.Props{"name": fmt.Sprint("one of many ", i%3)})
	}
	r.putX(append(list, graph.Props{"description": "many"})...)
	q := words("many")
	q.Only = []graph.Ref{r.x(7), r.x(2), r.x(12), r.x(99), r.x(7), graph.Root}
	r.finds(q, xid(2, 2), xid(2, 7), xid(3, 12))
	for _, limit := range []int{1, 2, 3, 4} {
		q.Limit = limit
		r.finds(q, xid(2, 2), xid(2, 7), xid(3, 12))
	}
	q.Words = []string{"many", "1"}
	r.finds(q, xid(2, 7))
	q.Only = []graph.Ref{}
	r.finds(q)
	q = words("manny")
	q.Only, q.Fuzzy, q.Limit = []graph.Ref{r.x(7), r.x(12)}, true, 1
	r.finds(q, xid(2, 7), xid(3, 12))
}

// ranked are n nodes: some of each rank for "page me".
func (r *room) ranked(n int) (want []string) {
	var list []graph.Props
	for i := range n {
		rank := i%3 + 1
		list = append(list, []graph.Props{{"slug": "page-me"}, {"name": fmt.Sprint("me, page ", i)}, {"name": "me", "description": "page"}}[rank-1])
		want = append(want, xid(rank, i))
	}
	r.putX(list...)
	return want
}

func testSearchPages(r *room) {
	want := r.ranked(10)
	q := words("page me")
	q.Types = []graph.Type{r.typ("x")}
	first, _ := r.searchAll(r.store, q)
	for _, limit := range []int{1, 2, 3, 4, 9, 10, 11, graph.MaxPage} {
		q.Limit = limit
		r.finds(q, want...)
		if got, _ := r.searchAll(r.store, q); !slices.Equal(got, first) {
			r.Errorf("limit %d:\n got %q\nwant %q", limit, got, first)
		}
	}
}

// Whatever is written between two pages, what was there all the time comes once.
func testSearchResumes(r *room) {
	r.ranked(30)
	q := words("page me")
	q.Types, q.Limit = []graph.Type{r.typ("x")}, 7
	a, err := r.store.Search(r.ctx, q)
	if err != nil || len(a.Hits) != 7 {
		r.Fatal(err, len(a.Hits))
	}
	seen := map[graph.Ref]bool{}
	for _, h := range a.Hits {
		seen[h.Node.Ref] = true
	}
	// The last of the page goes, another of it changes, others come.
	gone, changed := a.Hits[6].Node.Ref, a.Hits[2].Node
	r.do(graph.Delete(gone), graph.Put(graph.Node{Ref: changed.Ref, Props: graph.Props{"slug": "page-me", "description": "new"}}),
		putProps(r.x(50), graph.Props{"slug": "page-me"}), putProps(r.x(51), graph.Props{"description": "page me"}))
	other := r.open() // a cursor is good in every process
	for q.After = a.Next; q.After != ""; q.After = a.Next {
		if a, err = other.Search(r.ctx, q); err != nil {
			r.Fatal(err)
		}
		for _, h := range a.Hits {
			if seen[h.Node.Ref] {
				r.Errorf("%s comes twice", h.Node.Ref)
			}
			seen[h.Node.Ref] = true
		}
	}
	for i := range 30 {
		if !seen[r.x(i)] {
			r.Errorf("%s never comes", r.x(i))
		}
	}
}

func testSearchMany(r *room) {
	const count = 4_000
	var want []string
	var steps []graph.Step
	for i := range count {
		p := graph.Props{"name": fmt.Sprint("common thing ", i), "organization": fmt.Sprint("o", i%40)}
		rank := 2
		switch {
		case i%400 == 7:
			p["slug"], rank = "common", 1
		case i%10 == 3:
			p["name"], p["description"], rank = "rare", "a common one", 3
		}
		steps = append(steps, putProps(r.x(i), p))
		want = append(want, xid(rank, i))
	}
	r.do(steps...)
	for _, limit := range []int{97, 1_500} {
		q := words("common")
		q.Limit = limit
		r.finds(q, want...)
	}
	q := words("c")
	q.Organization, q.Limit = "o7", 13
	var some []string
	for i := 7; i < count; i += 40 {
		some = append(some, xid(2, i))
	}
	r.finds(q, some...)
	r.finds(words("common 3999"), xid(2, 3999))
	r.finds(words("rare common 3999"))
}

func testSearchWrites(r *room) {
	r.putX(graph.Props{"name": "first"}, graph.Props{"name": "first"})
	r.finds(words("first"), xid(1, 0), xid(1, 1))
	r.do(putProps(r.x(0), graph.Props{"name": "second"}))
	r.finds(words("first"), xid(1, 1))
	r.finds(words("second"), xid(1, 0))
	// Several batches of one group, among them one that undoes another.
	group := []graph.Batch{
		r.batch(putProps(r.x(0), graph.Props{"name": "third"})), r.batch(putProps(r.x(0), graph.Props{"name": "fourth"})),
		r.batch(graph.Delete(r.x(1))), r.batch(putProps(r.x(1), graph.Props{"name": "fourth"})),
		r.batch(putProps(r.x(2), graph.Props{"name": "fourth"})), r.batch(graph.Delete(r.x(2))),
		r.batch(putProps(r.x(3), graph.Props{"name": "third"})), r.batch(putProps(r.x(3), graph.Props{"name": "fourth"})),
	}
	r.commit(group...)
	r.finds(words("third"))
	r.finds(words("second"))
	r.finds(words("first"))
	r.finds(words("fourth"), xid(1, 0), xid(1, 1), xid(1, 3))
	r.do(graph.Touch(r.x(0)), putProps(r.x(1), nil), graph.Delete(r.x(3)))
	r.finds(words("fourth"), xid(1, 0))
	r.do(putProps(r.x(1), graph.Props{"name": "fourth"}))
	r.finds(words("fourth"), xid(1, 0), xid(1, 1))
	r.do(putProps(r.x(1), graph.Props{"name": "fourth", "organization": "moved"}))
	q := words("fourth")
	q.Organization = "moved"
	r.finds(q, xid(1, 1))
	// What a hit shows is the whole node as it is.
	a, err := r.store.Search(r.ctx, graph.SearchQuery{Words: []string{"fourth"}, Organization: "moved", Types: []graph.Type{r.typ("x")}, Limit: 1})
	if err != nil || len(a.Hits) != 1 {
		r.Fatal(err, a)
	}
	r.same("hit", nodeText(&a.Hits[0].Node), nodeText(r.node(r.x(1))))
}

func testSearchRefused(r *room) {
	r.putX(graph.Props{"name": "stays"})
	r.refuse(graph.NotFound, r.ref("doc", "none"), 3, putProps(r.x(0), graph.Props{"name": "never"}), putProps(r.x(1), graph.Props{"name": "never"}),
		graph.Delete(r.x(0)), graph.Require(r.ref("doc", "none")))
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	if _, err := r.store.Commit(ctx, []graph.Batch{r.batch(putProps(r.x(2), graph.Props{"name": "never"}))}); err == nil {
		r.Error("a canceled commit was acknowledged")
	}
	r.finds(words("never"))
	r.finds(words("stays"), xid(1, 0))
}

func testSearchInternal(r *room) {
	p := graph.Props{"name": "internal " + r.prefix, "description": "internal"}
	var steps []graph.Step
	hidden := []graph.Type{"permission", "api_key", "idempotency_key", "audit_chain", "tombstone", "tombstone_part", "manifest", "manifest_part", "everyone", "platform"}
	for _, t := range hidden {
		steps = append(steps, putProps(r.ref(t, "internal"), p))
	}
	steps = append(steps, putProps(r.ref("user", "u"), p))
	r.do(steps...)
	q := words("internal " + r.prefix)
	if got, _ := r.searchAll(r.store, q); len(got) != 1 {
		r.Errorf("found %q", got)
	}
	q.Types = hidden
	r.finds(q)
	q.Only, q.Types = []graph.Ref{r.ref("tombstone", "internal"), r.ref("user", "u")}, []graph.Type{"user", "tombstone"}
	r.finds(q, "1 u")
}

func testSearchBad(r *room) {
	r.putX(graph.Props{"name": `NOT "quoted" OR whole:x* (a) ~ ^ AND title`}, graph.Props{"name": strings.Repeat("w", 10_000) + " " + strings.Repeat("ж", 5_000)})
	for _, bad := range []string{"", "A", "a b", `a"`, "a*", "a~1", "a OR b", "title:a", "(", "-a", "a\x00", "\xff", strings.Repeat("a", 10_000), "é"} {
		_, err := r.store.Search(r.ctx, graph.SearchQuery{Words: []string{bad}, Limit: 1})
		r.wantKind(fmt.Sprintf("%.20q", bad), err, graph.Invalid)
	}
	for _, q := range []graph.SearchQuery{{Limit: 1}, {Words: []string{"a"}}, {Words: []string{"a"}, Limit: graph.MaxPage + 1},
		{Words: []string{"a"}, Limit: 1, After: "*no cursor*"}, {Words: []string{"a"}, Limit: 1, Types: []graph.Type{"A) OR ("}},
		{Words: []string{"a"}, Limit: 1, After: graph.SearchPlace{Rank: 1, At: "nowhere"}.String()},
		{Words: []string{"a"}, Limit: 1, After: graph.SearchPlace{Rank: 1, At: "1", Corrected: map[string][]string{"a": {`b" OR "c`}}}.String()}} {
		_, err := r.store.Search(r.ctx, q)
		r.wantKind(fmt.Sprintf("%+v", q), err, graph.Invalid)
	}
	// Words that mean something to engines are words like others.
	for _, w := range []string{"not", "or", "and", "to", "near", "whole", "title", "body", "x"} {
		q := words(w)
		if slices.Contains([]string{"not", "or", "and", "whole", "title", "x"}, w) {
			r.finds(q, xid(2, 0))
		} else {
			r.finds(q)
		}
	}
	r.finds(words(strings.Repeat("w", 10_000)), xid(2, 1))
	r.finds(words(strings.Repeat("Ж", 64)), xid(2, 1))
	long := slices.Repeat(graph.Words(strings.Repeat("w", 64)), graph.MaxSearchWords)
	r.finds(graph.SearchQuery{Words: long, Fuzzy: true}, xid(2, 1))
}

// Every engine finds what reading all nodes would.
func testSearchOracle(r *room) {
	rnd := rand.New(rand.NewPCG(1, uint64(len(r.prefix))))
	vocabulary := strings.Fields("api app apply base basic basis data date db gate gateway go graph grape service server serve web webhook 1 10 100 2 éa 検索")
	text := func(n int) string {
		var out []string
		for range rnd.IntN(n + 1) {
			out = append(out, vocabulary[rnd.IntN(len(vocabulary))])
		}
		return strings.Join(out, " ")
	}
	var steps []graph.Step
	var nodes []graph.Node
	for i := range 400 {
		n := graph.Node{Ref: r.x(i), Props: graph.Props{"name": text(3), "slug": text(2), "description": text(6), "organization": fmt.Sprint("o", rnd.IntN(3))}}
		nodes = append(nodes, n)
		steps = append(steps, graph.Put(n))
	}
	r.do(steps...)
	for range 40 {
		q := graph.SearchQuery{Types: []graph.Type{r.typ("x")}, Fuzzy: rnd.IntN(2) == 0}
		for range 1 + rnd.IntN(3) {
			w := []rune(graph.Words(vocabulary[rnd.IntN(len(vocabulary))])[0])
			if w = w[:1+rnd.IntN(len(w))]; rnd.IntN(5) == 0 {
				w = append(w, 'e')
			}
			q.Words = append(q.Words, graph.Words(string(w))...)
		}
		if rnd.IntN(3) == 0 {
			q.Organization = "o1"
		} else if rnd.IntN(3) == 0 {
			q.Homes = []string{"o0", "o1", ""}[rnd.IntN(2):]
		}
		whole := q
		whole.Limit = graph.MaxPage
		a, err := whole.Among(nodes)
		if err != nil {
			r.Fatal(err)
		}
		var want []string
		for _, h := range a.Hits {
			want = append(want, fmt.Sprint(h.Rank, " ", h.Node.Ref.ID))
		}
		q.Limit = 1 + rnd.IntN(60)
		r.finds(q, want...)
		if _, corrected := r.searchAll(r.store, q); fmt.Sprint(corrected) != fmt.Sprint(a.Corrected) {
			r.Errorf("%q: corrected %q, want %q", q.Words, corrected, a.Corrected)
		}
	}
}

// Whoever reads its own write finds it, whatever others write meanwhile.
func testSearchRace(r *room) {
	stores := []graph.Store{r.store, r.open()}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			s, ref := stores[w%2], r.x(w)
			for i := range 8 {
				name := fmt.Sprintf("writer%d round%d", w, i)
				res, err := s.Commit(r.ctx, []graph.Batch{r.batch(putProps(ref, graph.Props{"name": name}))})
				if err != nil || res[0].Err != nil {
					r.Error(err, res)
					return
				}
				for _, q := range []graph.SearchQuery{words(name), words(fmt.Sprintf("writer%d", w))} {
					q.Types, q.Limit = []graph.Type{r.typ("x")}, 10
					a, err := s.Search(r.ctx, q)
					if err != nil || len(a.Hits) != 1 || a.Hits[0].Node.Props.String("name") != name {
						r.Errorf("%q: %v, %d hits", q.Words, err, len(a.Hits))
					}
				}
			}
		})
	}
	wg.Wait()
	for w := range 4 {
		r.finds(words(fmt.Sprintf("writer%d", w)), xid(2, w))
	}
	r.finds(words("round7"), xid(2, 0), xid(2, 1), xid(2, 2), xid(2, 3))
	r.finds(words("round6"))
}

func testSearchImport(r *room) {
	r.ranked(30)
	r.do(putProps(r.x(5), graph.Props{"name": "renamed"}), graph.Delete(r.x(6)))
	list, info := r.export(r.store)
	second := enter(r.T, r.engine.Place(r.T), r.engine, r.prefix)
	broken := errors.New("broken pipe")
	if err := second.store.Import(r.ctx, info.Head, feed(list[:len(list)/2], broken)); !errors.Is(err, broken) {
		r.Fatal(err)
	}
	second.finds(words("page me"))
	if err := second.store.Import(r.ctx, info.Head, feed(list, io.EOF)); err != nil {
		r.Fatal(err)
	}
	var want []string
	for i := range 30 {
		if i != 5 && i != 6 {
			want = append(want, xid(i%3+1, i))
		}
	}
	q := words("page me")
	q.Limit = 7
	second.finds(q, want...)
	second.finds(words("renamed"), xid(1, 5))
	second.prefix += "-" // batch ids of its own
	second.do(putProps(graph.Ref{Type: graph.Type(r.prefix + "x"), ID: r.x(5).ID}, graph.Props{"name": "again"}))
	second.prefix = r.prefix
	second.finds(words("renamed"))
	second.finds(words("again"), xid(1, 5))
}

func testSearchReopen(r *room) {
	first := r.place(r.T)
	if _, err := first.Commit(r.ctx, []graph.Batch{r.batch(putProps(r.x(0), graph.Props{"name": "kept"}))}); err != nil {
		r.Fatal(err)
	}
	if err := first.Close(); err != nil {
		r.Fatal(err)
	}
	r.store = r.open()
	r.finds(words("kept"), xid(1, 0))
}
