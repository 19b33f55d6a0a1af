package neo4jgraph_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"trellis/graph"
	"trellis/graph/neo4jgraph/neo4jtest"
)

// A graph of a version before there was a search is searched once a store has
// met it, whichever of several processes is first, and what they write
// meanwhile stays.
func TestOlderGraphIsIndexed(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	ctx := context.Background()
	first := open(t, u)
	defer first.Close()
	if _, err := first.Info(ctx); err != nil {
		t.Fatal(err)
	}
	const nodes = 2_500 // a few steps of the indexer
	session := neo4jtest.Session(t, u)
	neo4jtest.Execute(t, session, fmt.Sprintf(`UNWIND range(1, %d) AS i CREATE (:Entity:Doc {key: 'doc:' + i, type: 'doc', id: toString(i), name: 'Größe ' + i, description: 'a thing', created_at: 1, updated_at: 1, revision: 0})`, nodes))
	neo4jtest.Execute(t, session, "MATCH (s:_Store) REMOVE s.search")
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			s := open(t, u)
			defer s.Close()
			for word, want := range map[string]int{"grosse": nodes, "gros": nodes, "thing": nodes, "2499": 1, "nothing": 0} {
				a, err := s.Search(ctx, graph.SearchQuery{Words: []string{word}, Types: []graph.Type{"doc"}, Limit: graph.MaxPage})
				if err != nil || len(a.Hits) != want {
					t.Errorf("%s: %d hits, want %d: %v", word, len(a.Hits), want, err)
				}
			}
		})
		wg.Go(func() {
			mustCommit(t, first, benchBatch(graph.Put(graph.Node{Ref: graph.Ref{Type: "doc", ID: fmt.Sprint(1_000*i + 1)}, Props: graph.Props{"name": fmt.Sprintf("größe %d new", 1_000*i+1), "description": "thing"}}),
				graph.Put(graph.Node{Ref: graph.Ref{Type: "other", ID: fmt.Sprint(i)}, Props: graph.Props{"name": "new"}})))
		})
	}
	wg.Wait()
	a, err := first.Search(ctx, graph.SearchQuery{Words: []string{"new"}, Types: []graph.Type{"doc", "other"}, Limit: 10})
	if err != nil || len(a.Hits) != 6 {
		t.Errorf("%d hits of what was written meanwhile: %v", len(a.Hits), err)
	}
}

// A graph of a version that did not look into attributes is indexed again when
// a store meets it, and goes on where a process stopped that had begun.
func TestGraphIndexedWithoutAttributesIsIndexedAgain(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	ctx := context.Background()
	first := open(t, u)
	defer first.Close()
	const nodes = 1_200 // more than one step of the indexer
	if _, err := first.Info(ctx); err != nil {
		t.Fatal(err)
	}
	session := neo4jtest.Session(t, u)
	neo4jtest.Execute(t, session, fmt.Sprintf(`UNWIND range(1000, %d) AS i CREATE (:Entity:Doc {key: 'doc:' + i, type: 'doc', id: toString(i), name: 'thing', attributes_json: '{"tier":"gold"}',
		created_at: 1, updated_at: 1, revision: 0, _title: 'thing', _whole: '__w_thing', _scope: '__t_doc', _place: '00000a'})`, 1_000+nodes-1))
	count := func(word string) int {
		s := open(t, u)
		defer s.Close()
		a, err := s.Search(ctx, graph.SearchQuery{Words: []string{word}, Types: []graph.Type{"doc"}, Limit: graph.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		n := len(a.Hits)
		for a.Next != "" {
			if a, err = s.Search(ctx, graph.SearchQuery{Words: []string{word}, Types: []graph.Type{"doc"}, Limit: graph.MaxPage, After: a.Next}); err != nil {
				t.Fatal(err)
			}
			n += len(a.Hits)
		}
		return n
	}
	if n := count("gold"); n != 0 {
		t.Errorf("%d nodes are indexed already", n)
	}
	// The schema as it was, and a process that came as far as this.
	neo4jtest.Execute(t, session, "MATCH (v:_Schema) WHERE v.number >= 9 DELETE v")
	if n := count("gold"); n != nodes {
		t.Errorf("%d of %d nodes are found by their attributes", n, nodes)
	}
	neo4jtest.Execute(t, session, "MATCH (n:Doc) REMOVE n._body")
	neo4jtest.Execute(t, session, "MATCH (s:_Store) SET s.search = 'doc:1999'")
	if n := count("gold"); n != nodes-1_000 {
		t.Errorf("%d nodes are indexed after the one that was the last; want %d", n, nodes-1_000)
	}
	if n := count("thing"); n != nodes {
		t.Errorf("%d of %d nodes are found by their names", n, nodes)
	}
}

// Places are as good as random, but where very many nodes have one close to
// another, pages still hold each of them once, in their order.
func TestManyHitsInANarrowRangeOfPlaces(t *testing.T) {
	u := serverURL(t)
	neo4jtest.Wipe(t, u)
	ctx := context.Background()
	s := open(t, u)
	defer s.Close()
	if _, err := s.Info(ctx); err != nil {
		t.Fatal(err)
	}
	const nodes, apart = 4_000, 3
	var rows []string
	var want []string
	for i := range nodes {
		place := fmt.Sprintf("%06x", 0xabc000+i/2*apart) // two at each, over two blocks
		rows = append(rows, fmt.Sprintf("['%04d','%s','__p_%s __p_%s __p_%s']", i, place, place[:1], place[:2], place[:3]))
		want = append(want, fmt.Sprintf("%04d", i))
	}
	neo4jtest.Execute(t, neo4jtest.Session(t, u), `UNWIND [`+strings.Join(rows, ",")+`] AS row CREATE (:Entity:Doc {key: 'doc:' + row[0], type: 'doc', id: row[0], name: 'thing',
		created_at: 1, updated_at: 1, revision: 0, _title: 'thing', _scope: '__t_doc ' + row[2], _place: row[1]})`)
	for _, limit := range []int{90, 700} {
		q := graph.SearchQuery{Words: []string{"thing"}, Types: []graph.Type{"doc"}, Limit: limit}
		var got []string
		for more := true; more; {
			a, err := s.Search(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range a.Hits {
				got = append(got, h.Node.Ref.ID)
			}
			q.After, more = a.Next, a.Next != ""
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d hits, want %d in order of their places", limit, len(got), nodes)
		}
	}
}
