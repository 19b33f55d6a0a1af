package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
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
	// PropAttributes is a JSON object of anything.
	PropAttributes = "attributes"
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

// bodyWords has the words of attributes last: if there are too many, it is
// those that are left out.
func bodyWords(p Props) []string {
	texts := []string{p.String(PropDescription)}
	if ids, ok := p[PropIdentifiers].(JSON); ok {
		texts = append(texts, ids.Texts()...)
	}
	texts = append(texts, p.Strings(PropKeywords)...)
	if more, ok := p[PropAttributes].(JSON); ok {
		texts = append(texts, more.Texts()...)
	}
	var words []string
	for _, s := range texts {
		words = append(words, Words(s)...)
	}
	return words
}

// maxNesting is how deep Texts looks into objects and lists in one another.
const maxNesting = 8

// Texts returns the texts and numbers among the values, also those in lists
// and objects inside, up to eight deep, in their order. Names are not values.
func (j JSON) Texts() []string {
	d := json.NewDecoder(strings.NewReader(string(j)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return appendTexts(nil, v, maxNesting)
}

func appendTexts(out []string, v any, deep int) []string {
	if deep < 0 {
		return out
	}
	switch v := v.(type) {
	case string:
		return append(out, v)
	case json.Number:
		return append(out, v.String())
	case []any:
		for _, e := range v {
			out = appendTexts(out, e, deep-1)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = appendTexts(out, v[name], deep-1)
		}
	}
	return out
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
