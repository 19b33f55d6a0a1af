package sqlitegraph

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"trellis/graph"
)

// Search implements graph.Searcher. Hits of one rank are in the order in which
// the nodes were made.
func (s *Store) Search(ctx context.Context, q graph.SearchQuery) (graph.SearchAnswer, error) {
	if err := s.enter(ctx); err != nil {
		return graph.SearchAnswer{}, err
	}
	defer s.gate.leave()
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
	place, err := q.Place()
	if err != nil {
		return graph.SearchAnswer{}, err
	}
	f := finder{ctx, s, &q}
	a, err := f.page(place)
	if err == nil && len(a.Hits) == 0 && q.Fuzzy && q.After == "" {
		if place.Corrected, err = f.corrected(); err == nil && len(place.Corrected) > 0 {
			a, err = f.page(place)
		}
	}
	return a, fault(ctx, err)
}

// finder is one search.
type finder struct {
	ctx context.Context
	s   *Store
	q   *graph.SearchQuery
}

func (f *finder) page(place graph.SearchPlace) (graph.SearchAnswer, error) {
	a := graph.SearchAnswer{Corrected: place.Corrected}
	args, err := f.expressions(place.Corrected)
	if err != nil {
		return a, err
	}
	after, err := f.after(place)
	if err != nil {
		return a, err
	}
	rows, err := f.s.asks["search"].QueryContext(f.ctx, append(append(args, after...), f.q.Limit+1)...)
	if err != nil {
		return a, err
	}
	type hit struct {
		graph.Hit
		number int64
	}
	var hits []hit
	err = each(rows, 8, func(v []any) error {
		var c cells
		h := hit{number: c.number(v[1])}
		h.Rank = int(c.number(v[0]))
		if c.wrong {
			return damaged(errCell, "the search index")
		}
		if err := nodeOf(v[2:], &h.Node); err != nil {
			return err
		}
		hits = append(hits, h)
		return nil
	})
	if err != nil {
		return a, err
	}
	slices.SortFunc(hits, func(a, b hit) int { return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.number, b.number)) })
	if len(hits) > f.q.Limit {
		hits = hits[:f.q.Limit]
		last := hits[f.q.Limit-1]
		a.Next = graph.SearchPlace{Rank: last.Rank, At: strconv.FormatInt(last.number, 10), Corrected: place.Corrected}.String()
	}
	for _, h := range hits {
		a.Hits = append(a.Hits, h.Hit)
	}
	return a, nil
}

// after gives the node's number that each rank goes on after.
func (f *finder) after(place graph.SearchPlace) ([]any, error) {
	out := []any{int64(0), int64(0), int64(0)}
	if place.Rank == 0 {
		return out, nil
	}
	number, err := strconv.ParseInt(place.At, 10, 64)
	if err != nil {
		return nil, graph.Errorf(graph.Invalid, "the cursor was not made by this search")
	}
	for rank := graph.RankWhole; rank < place.Rank; rank++ {
		out[rank-1] = int64(math.MaxInt64)
	}
	out[place.Rank-1] = number
	return out, nil
}

// expressions gives what FTS5 is to look for at each rank. All that goes into
// them are folded words and tokens of such, in quotation marks.
func (f *finder) expressions(corrected map[string][]string) ([]any, error) {
	var title, all []string
	for _, t := range f.q.Terms(corrected) {
		words, err := f.words(t)
		if err != nil {
			return nil, err
		}
		title = append(title, words.in(""))
		all = append(all, words.anywhere())
	}
	scope := f.scope()
	first := nothing
	second := and(title, scope...)
	if token := f.q.Whole(corrected); token != "" {
		first = and([]string{or([]string{token})}, scope...)
		second = "(" + second + ") NOT " + or([]string{token})
	}
	third := "(" + and(all, scope...) + ") NOT (" + and(title) + ")"
	return []any{first, second, third}, nil
}

// nothing has this token.
const nothing = `"_"`

func and(parts []string, more ...string) string {
	return strings.Join(slices.Concat(parts, more), " AND ")
}

// or matches any of the tokens.
func or(tokens []string) string { return `("` + strings.Join(tokens, `" OR "`) + `")` }

// maxPairs is how many pairs of a type and an organization are looked for one by one.
const maxPairs = 256

// scope gives what a node that counts has besides words. A pair is one token:
// FTS5 would walk over all nodes of the type to find those of an organization.
func (f *finder) scope() []string {
	var types []string
	for _, t := range f.q.Types {
		types = append(types, graph.TypeToken(t))
	}
	places := f.q.HomeTokens()
	if f.q.Organization != "" {
		token := graph.OrganizationToken(f.q.Organization)
		if f.q.Homes != nil && !slices.Contains(places, token) {
			return []string{nothing}
		}
		places = []string{token}
	}
	switch n := len(types) * len(places); {
	case n > 0 && n <= maxPairs:
		var pairs []string
		for _, t := range types {
			for _, p := range places {
				pairs = append(pairs, p+t)
			}
		}
		return []string{or(pairs)}
	case n > 0:
		return []string{or(types), or(places)}
	case len(types) > 0:
		return []string{or(types)}
	case len(places) > 0:
		return []string{or(places)}
	}
	return nil
}

// sought are words any of which will do: these, or all with a beginning.
type sought struct {
	words     []string
	beginning string
}

// in matches them with a mark before each.
func (s sought) in(mark string) string {
	if s.beginning != "" {
		return `"` + mark + s.beginning + `" *`
	}
	return `("` + mark + strings.Join(s.words, `" OR "`+mark) + `")`
}

// anywhere matches them in titles and other texts.
func (s sought) anywhere() string { return "(" + s.in("") + " OR " + s.in(inBody) + ")" }

const (
	// indexedBeginning is up to how many letters the index finds beginnings by itself.
	indexedBeginning = 3
	// maxExpansion is how many words with a beginning are looked for one by
	// one. FTS5 would put all their rows together before it gives the first:
	// 25 ms for 100,000 rows, where one word costs 0.1 ms.
	maxExpansion = 100
)

func (f *finder) words(t graph.SearchTerm) (sought, error) {
	switch {
	case len(t.Instead) > 0:
		return sought{words: t.Instead}, nil
	case utf8.RuneCountInString(t.Word) <= indexedBeginning:
		return sought{beginning: t.Word}, nil
	}
	list, err := f.list("words_with", t.Word, t.Word+string(utf8.MaxRune), maxExpansion+1)
	switch {
	case len(list) > maxExpansion:
		return sought{beginning: t.Word}, nil
	case len(list) == 0:
		list = []string{t.Word}
	}
	return sought{words: list}, err
}

func (f *finder) list(statement string, args ...any) ([]string, error) {
	rows, err := f.s.asks[statement].QueryContext(f.ctx, args...)
	if err != nil {
		return nil, err
	}
	var out []string
	err = each(rows, 1, func(v []any) error {
		var c cells
		out = append(out, c.text(v[0]))
		return nil
	})
	return out, err
}

// anyHas tells whether a node that counts has one of the words.
func (f *finder) anyHas(words sought) (found bool, err error) {
	err = f.s.asks["search_any"].QueryRowContext(f.ctx, and([]string{words.anywhere()}, f.scope()...)).Scan(&found)
	return found, err
}

// maxCandidates is how many words are tried in place of one.
const maxCandidates = 32

// corrected finds words of nodes that count in place of those that were not found.
func (f *finder) corrected() (map[string][]string, error) {
	out := map[string][]string{}
	for _, w := range f.q.Words {
		typos := graph.Typos(w)
		if len(typos) == 0 {
			continue
		}
		words, err := f.words(graph.SearchTerm{Word: w})
		if err != nil {
			return nil, err
		}
		if found, err := f.anyHas(words); err != nil || found {
			if err != nil {
				return nil, err
			}
			continue
		}
		instead, err := f.instead(typos)
		if err != nil {
			return nil, err
		}
		if len(instead) > 0 {
			out[w] = instead
		}
	}
	return out, nil
}

func (f *finder) instead(typos []string) ([]string, error) {
	list, err := f.list("words_of", string(graph.AppendTexts(nil, typos)))
	if err != nil {
		return nil, err
	}
	slices.Sort(list)
	var out []string
	for _, w := range list[:min(len(list), maxCandidates)] {
		found, err := f.anyHas(sought{words: []string{w}})
		if err != nil {
			return nil, err
		}
		if found {
			out = append(out, w)
		}
		if len(out) == graph.MaxCorrections {
			break
		}
	}
	return out, nil
}
