package graph

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Searcher finds nodes by the words in their texts.
type Searcher interface {
	// Search returns a page of the nodes that match the query: by rank, and
	// among those of one rank in an order that is the engine's own and does
	// not change with what else is written. A commit that was acknowledged is
	// found; what is refused or rolled back never is. Invalid: the query, or
	// After.
	Search(ctx context.Context, q SearchQuery) (SearchAnswer, error)
}

// Limits of a search.
const (
	// MaxSearchWords limits SearchQuery.Words.
	MaxSearchWords = 8
	// MaxSearchOnly limits SearchQuery.Only.
	MaxSearchOnly = 2_000
	// MaxSearchHomes limits SearchQuery.Homes.
	MaxSearchHomes = 64
	// MaxWord is the length in letters at which a word is cut, wherever it stands.
	MaxWord = 64
)

// SearchQuery asks for the nodes in which every one of Words begins a word.
type SearchQuery struct {
	// Words are 1 to MaxSearchWords folded words, as Words makes them.
	Words []string
	// Types are those that count; nil for all that can be found.
	Types []Type
	// Organization, if not "", is the id of one: only nodes whose property
	// PropOrganization is this count, and the organization itself.
	Organization string
	// Homes, if not nil, are ids of organizations, at most MaxSearchHomes: only
	// what belongs to one of them counts, and they themselves; "" stands for
	// what belongs to none.
	Homes []string
	// Only, if not nil, are the nodes that count, at most MaxSearchOnly.
	Only []Ref
	// Fuzzy looks for words that differ by a typo (see Typos) in place of
	// those that begin no word of any node that counts.
	Fuzzy bool
	// After is the Next of the page before, of the same query.
	After string
	// Limit is 1 to MaxPage.
	Limit int
}

// SearchAnswer is one page. Next is empty on the last page.
type SearchAnswer struct {
	Hits []Hit
	Next string
	// Corrected has for each of Words that was not found what was looked for
	// instead: words of nodes that count. They must be whole words there.
	Corrected map[string][]string
}

// Hit is a node that matches.
type Hit struct {
	Node Node
	// Rank is one of RankWhole, RankTitle and RankText.
	Rank int
}

// The ranks, best first.
const (
	// RankWhole: one of the node's titles has the query's words, in their order, and no others.
	RankWhole = iota + 1
	// RankTitle: all words are in titles.
	RankTitle
	// RankText: the rest.
	RankText
)

// Validate tells whether the query keeps to the rules. After is the engine's
// to judge.
func (q *SearchQuery) Validate() error {
	switch {
	case len(q.Words) == 0 || len(q.Words) > MaxSearchWords:
		return Errorf(Invalid, "%d words; a search has 1 to %d", len(q.Words), MaxSearchWords)
	case q.Limit < 1 || q.Limit > MaxPage:
		return Errorf(Invalid, "the limit is %d; it must be 1 to %d", q.Limit, MaxPage)
	case len(q.Only) > MaxSearchOnly:
		return Errorf(TooLarge, "%d nodes to search in; the limit is %d", len(q.Only), MaxSearchOnly)
	case len(q.Organization) > MaxID || !Printable(q.Organization):
		return Errorf(Invalid, "%s is not the id of an organization", quote(q.Organization))
	}
	if len(q.Homes) > MaxSearchHomes {
		return Errorf(TooLarge, "%d organizations to search in; the limit is %d", len(q.Homes), MaxSearchHomes)
	}
	for _, w := range q.Words {
		if !folded(w) {
			return Errorf(Invalid, "%s is not one folded word", quote(w))
		}
	}
	for _, t := range q.Types {
		if !t.Valid() {
			return Errorf(Invalid, "%s is not a type", quote(string(t)))
		}
	}
	for _, r := range q.Only {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func folded(w string) bool {
	if len(w) > utf8.UTFMax*MaxWord {
		return false
	}
	list := Words(w)
	return len(list) == 1 && list[0] == w
}

// HomeTokens stand for Homes: a node that counts has one of them in its Scope.
func (q *SearchQuery) HomeTokens() []string {
	out := make([]string, len(q.Homes))
	for i, id := range q.Homes {
		out[i] = OrganizationToken(id)
	}
	return out
}

// A SearchTerm is one of a query's words, or the words that are to stand in
// for it. Those must be whole words of a node; Word need only begin one.
type SearchTerm struct {
	Word    string
	Instead []string
}

// In tells whether the term is among words.
func (t SearchTerm) In(words []string) bool {
	for _, w := range words {
		if len(t.Instead) == 0 && strings.HasPrefix(w, t.Word) || slices.Contains(t.Instead, w) {
			return true
		}
	}
	return false
}

// Terms returns the query's words, corrected.
func (q *SearchQuery) Terms(corrected map[string][]string) []SearchTerm {
	out := make([]SearchTerm, len(q.Words))
	for i, w := range q.Words {
		out[i] = SearchTerm{w, corrected[w]}
	}
	return out
}

// Whole returns the token that RankWhole is about, "" if words were corrected.
func (q *SearchQuery) Whole(corrected map[string][]string) string {
	if len(corrected) > 0 {
		return ""
	}
	return WholeToken(q.Words)
}

// Counts tells whether a node may be among the hits, whatever its words. It
// does not look at Only.
func (q *SearchQuery) Counts(s Searched) bool {
	in := func(t Type) bool { return slices.Contains(s.Scope, TypeToken(t)) }
	at := func(id string) bool { return slices.Contains(s.Scope, OrganizationToken(id)) }
	return len(s.Scope) > 0 &&
		(q.Types == nil || slices.ContainsFunc(q.Types, in)) &&
		(q.Organization == "" || at(q.Organization)) && (q.Homes == nil || slices.ContainsFunc(q.Homes, at))
}

// Rank is the meaning of a search: it returns the rank of a node, 0 if it
// does not match. Engines find the same by an index.
func (q *SearchQuery) Rank(s Searched, corrected map[string][]string) int {
	if !q.Counts(s) {
		return 0
	}
	if w := q.Whole(corrected); w != "" && slices.Contains(s.Whole, w) {
		return RankWhole
	}
	rank := RankTitle
	for _, t := range q.Terms(corrected) {
		if t.In(s.Title) {
			continue
		}
		if !t.In(s.Body) {
			return 0
		}
		rank = RankText
	}
	return rank
}

// Among answers the query from nodes that were read, those of Only, without
// an index; hits of one rank are in CompareRefs order.
func (q *SearchQuery) Among(nodes []Node) (SearchAnswer, error) {
	place, err := q.Place()
	if err != nil {
		return SearchAnswer{}, err
	}
	searched := make([]Searched, len(nodes))
	for i := range nodes {
		searched[i] = SearchedOf(&nodes[i])
	}
	hits := q.ranked(nodes, searched, place.Corrected)
	if len(hits) == 0 && q.Fuzzy && q.After == "" {
		if place.Corrected = q.corrected(searched); len(place.Corrected) > 0 {
			hits = q.ranked(nodes, searched, place.Corrected)
		}
	}
	i := 0
	if q.After != "" {
		i, _ = slices.BinarySearchFunc(hits, place, func(h Hit, p SearchPlace) int {
			if c := cmp.Or(cmp.Compare(h.Rank, p.Rank), cmp.Compare(refKey(h.Node.Ref), p.At)); c != 0 {
				return c
			}
			return -1 // the one that the page ended with
		})
	}
	a := SearchAnswer{Hits: hits[i:], Corrected: place.Corrected}
	if len(a.Hits) > q.Limit {
		a.Hits = a.Hits[:q.Limit]
		last := a.Hits[q.Limit-1]
		a.Next = SearchPlace{Rank: last.Rank, At: refKey(last.Node.Ref), Corrected: place.Corrected}.String()
	}
	return a, nil
}

// refKey orders texts as CompareRefs orders refs: "/" sorts before all that a
// type may have.
func refKey(r Ref) string { return string(r.Type) + "/" + r.ID }

func (q *SearchQuery) ranked(nodes []Node, searched []Searched, corrected map[string][]string) []Hit {
	var hits []Hit
	for i := range nodes {
		if rank := q.Rank(searched[i], corrected); rank > 0 {
			hits = append(hits, Hit{nodes[i], rank})
		}
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), CompareRefs(a.Node.Ref, b.Node.Ref))
	})
	return hits
}

func (q *SearchQuery) corrected(searched []Searched) map[string][]string {
	var there []string
	for _, s := range searched {
		if q.Counts(s) {
			there = append(append(there, s.Title...), s.Body...)
		}
	}
	out := map[string][]string{}
	for _, w := range q.Words {
		if (SearchTerm{Word: w}).In(there) {
			continue
		}
		if instead := Correct(w, there); len(instead) > 0 {
			out[w] = instead
		}
	}
	return out
}

// SearchPlace is where a page ended.
type SearchPlace struct {
	Rank int `json:"r"`
	// At is the engine's own.
	At        string              `json:"a"`
	Corrected map[string][]string `json:"c,omitempty"`
}

// String gives the opaque form.
func (p SearchPlace) String() string {
	b, _ := json.Marshal(p) // texts and numbers cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

// Place reads After; the zero SearchPlace is the start.
func (q *SearchQuery) Place() (SearchPlace, error) {
	var p SearchPlace
	if q.After == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(q.After)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	ok := err == nil && p.Rank >= RankWhole && p.Rank <= RankText && Printable(p.At)
	for word, instead := range p.Corrected {
		ok = ok && slices.Contains(q.Words, word) && len(instead) > 0 && len(instead) <= MaxCorrections
		for _, w := range instead {
			ok = ok && folded(w)
		}
	}
	if !ok {
		return SearchPlace{}, Errorf(Invalid, "the cursor was not made by this search")
	}
	return p, nil
}
