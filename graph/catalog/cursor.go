package catalog

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"trellis/graph"
)

// sorting is a sort as asked for.
type sorting struct {
	by      int
	reverse bool
	name    string
}

func sortingOf(name string) (sorting, error) {
	if name == "" {
		name = sorts[byName]
	}
	bare, reverse := strings.CutPrefix(name, "-")
	for by, s := range sorts {
		if s == bare {
			return sorting{by, reverse, name}, nil
		}
	}
	return sorting{}, graph.Errorf(graph.Invalid, "there is no sort %q; want one of %s, perhaps with - before it", cut(name, 32), strings.Join(sorts[:], ", "))
}

// maxCursor is more than any cursor of ours has.
const maxCursor = 4 << 10

// cursor is the sort key of the last document of a page, so the next page
// goes on behind it even if it has gone since.
type cursor struct {
	Sort string    `json:"s"`
	Key  int64     `json:"k,omitempty"` // of times
	Fold string    `json:"f,omitempty"`
	Slug string    `json:"g,omitempty"`
	Ref  graph.Ref `json:"r"`
}

func (s *state) cursorOf(by sorting, n uint32) string {
	k := s.sortKey(by.by, n)
	c := cursor{Sort: by.name, Fold: k.fold, Slug: k.slug, Ref: k.ref}
	if by.by >= byCreated {
		c.Key = timeOf(k.key)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return "" // texts and a number, so this cannot be
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// keyOf reads a cursor of this sort.
func (s sorting) keyOf(after string) (sortKey, error) {
	refused := graph.Errorf(graph.Invalid, "this cursor is not one of this list")
	if len(after) > maxCursor {
		return sortKey{}, refused
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(after)
	if err != nil {
		return sortKey{}, refused
	}
	var c cursor
	if json.Unmarshal(b, &c) != nil || c.Sort != s.name || c.Ref.Validate() != nil {
		return sortKey{}, refused
	}
	k := sortKey{fold: c.Fold, slug: c.Slug, ref: c.Ref}
	switch s.by {
	case byName:
		k.key = prefix(k.fold)
	case bySlug:
		k.key, k.fold = prefix(k.slug), ""
	default:
		k.key, k.fold, k.slug = timeKey(c.Key), "", ""
	}
	return k, nil
}
