package catalog

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"trellis/graph"
	"trellis/graph/identity"
)

// What is kept of one node, in bytes and numbers. Identity allows less for
// slugs and names; the limits hold memory for what was written past it.
const (
	maxSlug       = 256
	maxName       = 512
	maxFold       = 128 // of a name, for comparing
	maxDocWords   = 64
	maxAttrName   = 128
	maxAttrValue  = 256 // longer values are not found by
	maxAttrValues = 256
)

// content is what a document takes from its node, worked out before the index
// is locked.
type content struct {
	ref              graph.Ref
	slug, name, fold string
	organization     string
	created, updated int64
	archived         bool
	attributes       []attribute
	words            []string
}

type attribute struct{ name, value string }

func contentOf(n *graph.Node) content {
	c := content{
		ref:          n.Ref,
		slug:         cut(n.Props.String("slug"), maxSlug),
		name:         cut(n.Props.String("name"), maxName),
		organization: n.Props.String("organization"),
		created:      n.Created.UnixMilli(),
		updated:      n.Updated.UnixMilli(),
		archived:     n.Props.Bool(identity.PropArchived),
		attributes:   attributesOf(n.Props["attributes"]),
	}
	c.fold = cut(foldText(c.name), maxFold)
	c.words = append(graph.Words(c.name), graph.Words(c.slug)...)
	if ids, ok := n.Props["identifiers"].(graph.JSON); ok {
		var m map[string]any
		if json.Unmarshal([]byte(ids), &m) == nil {
			for _, v := range m {
				s, _ := v.(string)
				c.words = append(c.words, graph.Words(s)...)
			}
		}
	}
	slices.Sort(c.words)
	c.words = slices.Compact(c.words)
	if len(c.words) > maxDocWords {
		c.words = c.words[:maxDocWords]
	}
	return c
}

// attributesOf lists the scalars of an object and those in its arrays.
func attributesOf(v any) (out []attribute) {
	text, ok := v.(graph.JSON)
	if !ok {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var m map[string]any
	if d.Decode(&m) != nil {
		return nil
	}
	for name, v := range m {
		if len(name) > maxAttrName {
			continue
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, e := range list {
			if s, ok := scalar(e); ok && len(s) <= maxAttrValue {
				out = append(out, attribute{name, s})
			}
		}
	}
	slices.SortFunc(out, func(a, b attribute) int {
		if a.name != b.name {
			return strings.Compare(a.name, b.name)
		}
		return strings.Compare(a.value, b.value)
	})
	out = slices.Compact(out)
	return out[:min(len(out), maxAttrValues)]
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return numberText(string(v)), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// numberText writes a number the one way that it is found by, however it was
// written: 1.50 and 15e-1 are 1.5. Whole numbers keep all their digits.
func numberText(s string) string {
	if !strings.ContainsAny(s, ".eE") {
		return s
	}
	f, err := strconv.ParseFloat(s, 64)
	switch a := math.Abs(f); {
	case err != nil:
		return s
	case a != 0 && (a < 1e-6 || a >= 1e21):
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// foldText is a text as it is compared: without regard to case.
func foldText(s string) string { return strings.ToLower(s) }

// cut shortens a text to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
