package neo4jgraph

import (
	"context"
	"fmt"
	"strings"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
)

// Search implements graph.Searcher. Hits of one rank are in order of a hash of
// their refs.
func (s *Store) Search(ctx context.Context, q graph.SearchQuery) (graph.SearchAnswer, error) {
	if err := s.enter(ctx); err != nil {
		return graph.SearchAnswer{}, err
	}
	defer s.leave()
	if err := q.Validate(); err != nil {
		return graph.SearchAnswer{}, err
	}
	if q.Only != nil {
		nodes, err := s.Nodes(ctx, q.Only)
		if err != nil {
			return graph.SearchAnswer{}, err
		}
		return q.Among(nodes)
	}
	if q.Types != nil && len(q.Types) == 0 || q.Homes != nil && len(q.Homes) == 0 {
		return graph.SearchAnswer{}, nil
	}
	return steady(func() (graph.SearchAnswer, error) { return s.search(ctx, q) })
}

func (s *Store) search(ctx context.Context, q graph.SearchQuery) (a graph.SearchAnswer, err error) {
	place, err := q.Place()
	if err != nil {
		return a, err
	}
	err = s.try(ctx, neo4j.AccessModeRead, func(ctx context.Context, session neo4j.SessionWithContext) error {
		f := &finder{run: s.auto(session), q: &q, corrected: place.Corrected}
		if f.from, f.key, err = placeOf(place); err != nil {
			return err
		}
		f.rank = place.Rank
		if a, err = f.page(ctx); err != nil || len(a.Hits) > 0 || !q.Fuzzy || q.After != "" {
			return err
		}
		if f.corrected, err = f.correct(ctx); err != nil || len(f.corrected) == 0 {
			return err
		}
		a, err = f.page(ctx)
		return err
	})
	return a, err
}

// placeOf reads where a page ended: "digits key".
func placeOf(p graph.SearchPlace) (int, string, error) {
	if p.Rank == 0 {
		return 0, "", nil
	}
	digits, key, ok := strings.Cut(p.At, " ")
	var from int
	if n, err := fmt.Sscanf(digits, "%x", &from); !ok || n != 1 || err != nil || digits != placeDigitsOf(from) {
		return 0, "", graph.Errorf(graph.Invalid, "the cursor was not made by this search")
	}
	return from, key, nil
}

func placeDigitsOf(n int) string { return fmt.Sprintf("%0*x", placeDigits, n) }

// finder is one search.
type finder struct {
	run       runner
	q         *graph.SearchQuery
	corrected map[string][]string
	// Where the page before ended: rank, place and key.
	rank, from int
	key        string
}

type hit struct {
	graph.Hit
	at string
}

// part is what one expression looks for: what has a rank and a place from
// start to before end.
type part struct {
	rank, start, end int
}

const (
	// atOnce is how many nodes are put in order to give a few.
	atOnce = 500
	// firstWidth is of the first part of what has too many hits.
	firstWidth = places / 256
	// anyNumber is more than there are nodes in the smallest range.
	anyNumber = 1_000_000
)

// page asks for rank after rank. Where one has more hits than can be put in
// order, it asks for ranges of places, each three times as wide as those
// before it together: what a page costs does not grow with the number of hits.
func (f *finder) page(ctx context.Context) (graph.SearchAnswer, error) {
	a := graph.SearchAnswer{Corrected: f.corrected}
	var hits []hit
	for parts := f.ranks(); len(parts) > 0 && len(hits) <= f.q.Limit; {
		more, done, err := f.ask(ctx, parts, f.q.Limit+1-len(hits))
		if err != nil {
			return a, err
		}
		hits = append(hits, more...)
		if parts = parts[done:]; len(parts) > 0 {
			parts = append(f.split(parts[0]), parts[1:]...)
		}
	}
	if len(hits) > f.q.Limit {
		hits = hits[:f.q.Limit]
		last := hits[f.q.Limit-1]
		a.Next = graph.SearchPlace{Rank: last.Rank, At: last.at, Corrected: f.corrected}.String()
	}
	for _, h := range hits {
		a.Hits = append(a.Hits, h.Hit)
	}
	return a, nil
}

// ranks are the parts of a search, from where the page before ended.
func (f *finder) ranks() (parts []part) {
	start := f.from / block * block // the statement leaves out what is before
	for rank := max(f.rank, graph.RankWhole); rank <= graph.RankText; rank++ {
		if f.expressions(rank) != nil {
			parts = append(parts, part{rank, start, places})
		}
		start = 0
	}
	return parts
}

func (f *finder) split(p part) (parts []part) {
	width := firstWidth
	if p.end-p.start <= width {
		width = max((p.end-p.start)/16, 1)
	}
	if width < block && p.rank == f.rank {
		p.start = max(p.start, f.from)
	}
	for start := p.start; start < p.end; {
		end := min(start+width, p.end)
		parts = append(parts, part{p.rank, start, end})
		start, width = end, 3*(end-p.start)
	}
	return parts
}

// ask runs one statement, which looks at the parts in their order until there
// are as many hits as needed. done is how many parts came before one that has
// too many hits to be put in order; all if there was none.
func (f *finder) ask(ctx context.Context, parts []part, need int) (hits []hit, done int, err error) {
	list := make([]any, len(parts))
	for i, p := range parts {
		most := max(atOnce, 4*need)
		if p.end-p.start == 1 {
			most = anyNumber // there is no smaller range
		}
		list[i] = map[string]any{
			"number": i, "query": unscored(append(f.expressions(p.rank), between(p.start, p.end))...), "most": most, "resumed": p.rank == f.rank,
		}
	}
	values, err := one(ctx, f.run, text("search"), map[string]any{"parts": list, "place": placeDigitsOf(f.from), "after": f.key, "limit": need})
	if err != nil {
		return nil, 0, err
	}
	var r row
	for _, v := range field[[]any](&r, values[0]) {
		pair := field[[]any](&r, v)
		number := int(field[int64](&r, pair[0]))
		if pair[1] == nil {
			return hits, number, r.bad
		}
		h := hit{Hit: graph.Hit{Node: r.node(pair[1]), Rank: parts[number].rank}}
		h.at = field[string](&r, field[map[string]any](&r, pair[1])[propPlace]) + " " + h.Node.Ref.String()
		hits = append(hits, h)
	}
	return hits, len(parts), r.bad
}
