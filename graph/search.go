package graph

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
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

// Properties that are searched. The titles of a node are its name, slug,
// e-mail address and, unless it is a UUID, its id.
const (
	PropName        = "name"
	PropSlug        = "slug"
	PropEmail       = "email"
	PropDescription = "description"
	// PropIdentifiers is a JSON object of texts.
	PropIdentifiers = "identifiers"
	// PropKeywords is a list of texts that nobody is shown.
	PropKeywords = "keywords"
	// PropOrganization has the id of the organization that a node belongs to.
	PropOrganization = "organization"

	organizationType Type = "organization"
)

// unsearchable are the types that serve the program: Search never finds them.
var unsearchable = map[Type]bool{
	Root.Type: true, Everyone.Type: true, Authenticated.Type: true,
	"permission": true, "api_key": true, "idempotency_key": true, "audit_chain": true,
	"tombstone": true, "tombstone_part": true, "manifest": true, "manifest_part": true,
}

// Searchable tells whether nodes of the type can be found by Search.
func Searchable(t Type) bool { return !unsearchable[t] }

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

// Searched is what an index keeps of a node: folded words, and tokens made of
// such words and "_", which no word holds. Engines store it beside the node
// and compare bytes, so that all find the same.
type Searched struct {
	// Whole has a token for each title, to be compared with WholeToken.
	Whole []string
	// Title and Body have each word once, those of titles in Title only.
	Title, Body []string
	// Scope has the node's TypeToken and OrganizationToken, that of "" if it belongs to none.
	Scope []string
}

// Limits on what is indexed of one node, in words.
const (
	maxTitleWords = 128
	maxBodyWords  = 1024
)

// SearchedOf returns what an index keeps of the node. Without Title and Body
// there is nothing to be found.
func SearchedOf(n *Node) Searched {
	var s Searched
	if !Searchable(n.Ref.Type) {
		return s
	}
	id := n.Ref.ID
	if isUUID(id) {
		id = ""
	}
	for _, text := range [...]string{n.Props.String(PropName), n.Props.String(PropSlug), n.Props.String(PropEmail), id} {
		words := Words(text)
		if t := WholeToken(words); t != "" && !slices.Contains(s.Whole, t) {
			s.Whole = append(s.Whole, t)
		}
		s.Title = append(s.Title, words...)
	}
	seen := map[string]bool{}
	s.Title = distinct(s.Title, seen, maxTitleWords)
	s.Body = distinct(bodyWords(n.Props), seen, maxBodyWords)
	if len(s.Title)+len(s.Body) == 0 {
		return Searched{}
	}
	organization := n.Props.String(PropOrganization)
	if n.Ref.Type == organizationType {
		organization = n.Ref.ID
	}
	s.Scope = []string{TypeToken(n.Ref.Type), OrganizationToken(organization)}
	return s
}

func bodyWords(p Props) []string {
	words := Words(p.String(PropDescription))
	if text, ok := p[PropIdentifiers].(JSON); ok {
		var texts map[string]any
		if json.Unmarshal([]byte(text), &texts) == nil {
			keys := make([]string, 0, len(texts))
			for k := range texts {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				if s, ok := texts[k].(string); ok {
					words = append(words, Words(s)...)
				}
			}
		}
	}
	if list, ok := p[PropKeywords].([]string); ok {
		for _, s := range list {
			words = append(words, Words(s)...)
		}
	}
	return words
}

// distinct keeps words that were not seen before, and at most so many.
func distinct(words []string, seen map[string]bool, most int) []string {
	out := words[:0]
	for _, w := range words {
		if !seen[w] && len(out) < most {
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

// tokenMark begins a token, so that no word is its beginning, nor "_" and a word.
const tokenMark = "__"

// WholeToken stands for words in their order. It is "" for none and for very
// many, which are nobody's title.
func WholeToken(words []string) string {
	t := tokenMark + "w_" + strings.Join(words, "_")
	if len(words) == 0 || len(t) > 200 {
		return ""
	}
	return t
}

// TypeToken stands for a type.
func TypeToken(t Type) string { return tokenMark + "t_" + string(t) }

// OrganizationToken stands for an organization.
func OrganizationToken(id string) string {
	sum := sha256.Sum256([]byte(id))
	return tokenMark + "o_" + hex.EncodeToString(sum[:12])
}

// HomeTokens stand for Homes: a node that counts has one of them in its Scope.
func (q *SearchQuery) HomeTokens() []string {
	out := make([]string, len(q.Homes))
	for i, id := range q.Homes {
		out[i] = OrganizationToken(id)
	}
	return out
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'):
			return false
		}
	}
	return true
}

// Equal tells whether an index would keep the same.
func (s Searched) Equal(o Searched) bool {
	return slices.Equal(s.Whole, o.Whole) && slices.Equal(s.Title, o.Title) && slices.Equal(s.Body, o.Body) && slices.Equal(s.Scope, o.Scope)
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

// MaxCorrections is how many words may stand in for one.
const MaxCorrections = 8

// Correct returns those of the words of nodes that count which differ from
// word by a typo, the first MaxCorrections of them in order of bytes.
func Correct(word string, there []string) []string {
	typos := map[string]bool{}
	for _, t := range Typos(word) {
		typos[t] = true
	}
	var out []string
	for _, w := range there {
		if typos[w] {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), MaxCorrections)]
}

// alphabets are what a mistyped letter may have been meant to be.
var alphabets = []struct{ from, to rune }{{'a', 'z'}, {'0', '9'}, {'α', 'ω'}, {'а', 'я'}}

// Typos returns what may have been meant by a word of 4 to 24 letters in
// which one letter is wrong, missing, too many, or has changed places with
// the next; the first letter is right.
func Typos(word string) []string {
	letters := []rune(word)
	if len(letters) < 4 || len(letters) > 24 {
		return nil
	}
	var alphabet []rune
	for _, a := range alphabets {
		if slices.ContainsFunc(letters, func(r rune) bool { return r >= a.from && r <= a.to }) || a.to < utf8.RuneSelf && letters[0] < utf8.RuneSelf {
			for r := a.from; r <= a.to; r++ {
				alphabet = append(alphabet, r)
			}
		}
	}
	seen := map[string]bool{word: true}
	var out []string
	add := func(parts ...[]rune) {
		s := string(slices.Concat(parts...))
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for i := 1; i <= len(letters); i++ {
		head, tail := letters[:i], letters[i:]
		for _, r := range alphabet {
			add(head, []rune{r}, tail)
			if len(tail) > 0 {
				add(head, []rune{r}, tail[1:])
			}
		}
		if len(tail) > 0 {
			add(head, tail[1:])
		}
		if len(tail) > 1 {
			add(head, []rune{tail[1], tail[0]}, tail[2:])
		}
	}
	return out
}

// Words cuts text into the words that a search knows: runs of letters and
// digits, in lower case and without diacritics; a letter of a script without
// spaces (Han, Hiragana, Katakana) is a word of its own. Words of more than
// MaxWord letters are cut there. Words of what it returns are the same again.
func Words(text string) []string {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return cut(fold(text))
		}
	}
	return asciiWords(text)
}

func asciiWords(text string) []string {
	var out []string
	start := -1
	lower := strings.ToLower(text)
	for i := 0; i <= len(lower); i++ {
		if i < len(lower) && (lower[i] >= 'a' && lower[i] <= 'z' || lower[i] >= '0' && lower[i] <= '9') {
			if start < 0 {
				start = i
			}
		} else if start >= 0 {
			out = append(out, lower[start:min(i, start+MaxWord)])
			start = -1
		}
	}
	return out
}

// cut is asciiWords for folded text of any script.
func cut(text string) []string {
	var out []string
	start, end, letters := 0, 0, 0
	stop := func() {
		if letters > 0 {
			out = append(out, text[start:end])
		}
		letters = 0
	}
	for i, r := range text {
		if !unicode.In(r, unicode.Letter, unicode.Number, unicode.Mc) {
			stop()
			continue
		}
		alone := unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
		if alone {
			stop()
		}
		if letters == 0 {
			start = i
		}
		if letters < MaxWord {
			end = i + utf8.RuneLen(r)
		}
		letters++
		if alone {
			stop()
		}
	}
	stop()
	return out
}
