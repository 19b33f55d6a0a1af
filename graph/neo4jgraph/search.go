package neo4jgraph

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
)

// The properties that Search looks at (docs/adr/0011).
const (
	propWhole = "_whole"
	propTitle = "_title"
	propBody  = "_body"
	propScope = "_scope"
	// propPlace orders hits of one rank: placeDigits hexadecimal digits, as
	// good as random, so that as many nodes are in any range as in another.
	propPlace = "_place"

	placeDigits = 6
	places      = 1 << (4 * placeDigits)
)

// putSearched adds what Search looks at; null takes away.
func putSearched(m map[string]any, n *graph.Node) {
	s := graph.SearchedOf(n)
	if len(s.Scope) == 0 {
		return
	}
	sum := sha256.Sum256([]byte(n.Ref.String()))
	m[propPlace] = hex.EncodeToString(sum[:])[:placeDigits]
	for name, words := range map[string][]string{propWhole: s.Whole, propTitle: s.Title, propBody: s.Body, propScope: s.Scope} {
		if len(words) > 0 {
			m[name] = strings.Join(words, " ")
		}
	}
}

// reindexAtOnce is how many nodes one transaction of reindex looks at.
const reindexAtOnce = 1_000

// reindex gives the nodes after a key what Search looks at: those of a store
// that was written before there was such a thing. "~" is after all keys.
func (s *Store) reindex(ctx context.Context, run runner, after string) error {
	for after < "~" {
		rows, err := all(ctx, run, text("reindex_page"), map[string]any{"after": after, "limit": reindexAtOnce})
		if err != nil {
			return err
		}
		upto := "~"
		list := []any{}
		var r row
		for _, rec := range rows {
			n := r.node(rec.Values[0])
			m := map[string]any{}
			putSearched(m, &n)
			if len(m) > 0 {
				list = append(list, map[string]any{"key": n.Ref.String(), "revision": int64(n.Revision), "searched": m})
			}
			if len(rows) == reindexAtOnce {
				upto = n.Ref.String()
			}
		}
		if r.bad != nil {
			return r.bad
		}
		done, err := all(ctx, run, text("reindex"), map[string]any{"rows": list, "upto": upto})
		if err != nil {
			return err
		}
		after, _ = done[0].Values[0].(string)
	}
	return nil
}

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

// atOnce is how many nodes one statement puts in order.
const atOnce = 250

// anyNumber is more than there are nodes in the smallest range.
const anyNumber = 1_000_000

// most is how many nodes a statement may look at that looks for need of them.
func most(need int) int { return max(atOnce, 2*need) }

// page asks for all that there is. If that is too much to be put in order, it
// asks rank by rank, for ranges of places that hold about as many hits as are
// needed: what a page costs does not grow with the number of hits.
func (f *finder) page(ctx context.Context) (graph.SearchAnswer, error) {
	a := graph.SearchAnswer{Corrected: f.corrected}
	hits, whole, err := f.ask(ctx, f.expression(0), f.rank, f.q.Limit+1, most(f.q.Limit))
	if err != nil {
		return a, err
	}
	if !whole {
		hits = nil
		for rank := max(f.rank, graph.RankWhole); rank <= graph.RankText && len(hits) <= f.q.Limit; rank++ {
			more, err := f.ranges(ctx, rank, f.q.Limit+1-len(hits))
			if err != nil {
				return a, err
			}
			hits = append(hits, more...)
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

// ranges returns the first hits of a rank, asking for one range of places
// after the other.
func (f *finder) ranges(ctx context.Context, rank, need int) (hits []hit, err error) {
	expression := f.expression(rank)
	if expression == "" {
		return nil, nil
	}
	start := 0
	if rank == f.rank {
		start = f.from
	}
	width := places / 1024
	if rank == graph.RankWhole {
		width = places // few nodes have one name
	}
	for start < places && len(hits) < need {
		end := min(start+width, places)
		part := expression
		if start > 0 || end < places {
			part += fmt.Sprintf(" +%s:[%s TO %s]", propPlace, placeDigitsOf(start), placeDigitsOf(end-1))
		}
		upTo := most(need - len(hits))
		if width == 1 {
			upTo = anyNumber // there is no smaller range
		}
		more, whole, err := f.ask(ctx, part, rank, need-len(hits), upTo)
		if err != nil {
			return nil, err
		}
		if !whole && width > 1 {
			width = max(width/16, 1)
			continue
		}
		hits, start = append(hits, more...), end
		if len(more) == 0 {
			width = places
		} else {
			width = min(max(2*width*(need-len(hits))/len(more), 1), places)
		}
	}
	return hits, nil
}

// ask runs one statement, which looks at most at so many nodes. whole tells
// that these were all there are; otherwise there are no hits.
func (f *finder) ask(ctx context.Context, expression string, rank, need, most int) (hits []hit, whole bool, err error) {
	params := map[string]any{
		"query": expression, "most": most, "whole": "", "words": f.patterns(),
		"rank": 0, "place": "", "after": "", "limit": need,
	}
	if token := f.q.Whole(f.corrected); token != "" {
		params["whole"] = " " + token + " "
	}
	if rank == f.rank && rank > 0 {
		params["rank"], params["place"], params["after"] = rank, placeDigitsOf(f.from), f.key
	}
	values, err := one(ctx, f.run, text("search"), params)
	if err != nil {
		return nil, false, err
	}
	var r row
	for _, v := range field[[]any](&r, values[1]) {
		pair := field[[]any](&r, v)
		h := hit{Hit: graph.Hit{Node: r.node(pair[1]), Rank: int(field[int64](&r, pair[0]))}}
		h.at = field[string](&r, field[map[string]any](&r, pair[1])[propPlace]) + " " + h.Node.Ref.String()
		hits = append(hits, h)
	}
	return hits, field[int64](&r, values[0]) < int64(most), r.bad
}

// patterns are the words as the statement looks for them in texts.
func (f *finder) patterns() [][]string {
	var out [][]string
	for _, t := range f.q.Terms(f.corrected) {
		list := []string{" " + t.Word}
		if len(t.Instead) > 0 {
			list = nil
			for _, w := range t.Instead {
				list = append(list, " "+w+" ")
			}
		}
		out = append(out, list)
	}
	return out
}

// expression gives what Lucene is to look for at a rank, 0 for all, or "" if
// nothing can have it. All that goes into it are folded words and tokens of
// such: letters, digits and "_".
func (f *finder) expression(rank int) string {
	token := f.q.Whole(f.corrected)
	var title, all []string
	for _, t := range f.q.Terms(f.corrected) {
		in := func(prop string) string {
			if len(t.Instead) == 0 {
				return prop + ":" + t.Word + "*"
			}
			return prop + ":" + strings.Join(t.Instead, " "+prop+":")
		}
		title = append(title, "+("+in(propTitle)+")")
		all = append(all, "+("+in(propTitle)+" "+in(propBody)+")")
	}
	var parts []string
	switch {
	case rank == 0:
		parts = all
	case rank == graph.RankWhole && token == "":
		return ""
	case rank == graph.RankWhole:
		parts = []string{"+" + propWhole + ":" + token}
	case rank == graph.RankTitle && token == "":
		parts = title
	case rank == graph.RankTitle:
		parts = append(title, "-"+propWhole+":"+token)
	default:
		parts = append(all, "-("+strings.Join(title, " ")+")")
	}
	return strings.Join(append(parts, f.scope()...), " ")
}

func (f *finder) scope() []string {
	var out []string
	if f.q.Types != nil {
		tokens := make([]string, len(f.q.Types))
		for i, t := range f.q.Types {
			tokens[i] = propScope + ":" + graph.TypeToken(t)
		}
		out = append(out, "+("+strings.Join(tokens, " ")+")")
	}
	if f.q.Organization != "" {
		out = append(out, "+"+propScope+":"+graph.OrganizationToken(f.q.Organization))
	}
	if f.q.Homes != nil {
		out = append(out, "+("+propScope+":"+strings.Join(f.q.HomeTokens(), " "+propScope+":")+")")
	}
	return out
}

// mostFuzzy is how many nodes with similar words are looked at for those that
// may stand in for one.
const mostFuzzy = 1_000

// correct finds words of nodes that count in place of those that were not found.
func (f *finder) correct(ctx context.Context) (map[string][]string, error) {
	out := map[string][]string{}
	for _, w := range f.q.Words {
		if len(graph.Typos(w)) == 0 {
			continue
		}
		there, err := f.words(ctx, fmt.Sprintf("+(%s:%s* %s:%s*)", propTitle, w, propBody, w), 1)
		if err != nil {
			return nil, err
		}
		if len(there) > 0 {
			continue
		}
		if there, err = f.words(ctx, fmt.Sprintf("+(%s:%s~1 %s:%s~1)", propTitle, w, propBody, w), mostFuzzy); err != nil {
			return nil, err
		}
		if instead := graph.Correct(w, there); len(instead) > 0 {
			out[w] = instead
		}
	}
	return out, nil
}

// words returns the words of nodes that count and match.
func (f *finder) words(ctx context.Context, expression string, most int) ([]string, error) {
	values, err := one(ctx, f.run, text("search_words"), map[string]any{"query": strings.Join(append([]string{expression}, f.scope()...), " "), "most": most})
	if err != nil {
		return nil, err
	}
	var r row
	var out []string
	for _, v := range field[[]any](&r, values[0]) {
		out = append(out, strings.Fields(field[string](&r, v))...)
	}
	return out, r.bad
}
