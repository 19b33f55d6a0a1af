package backstage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"go.yaml.in/yaml/v3"

	"trellis/cmd/trellis/wanted"
)

// Limits on one file.
const (
	maxFile  = 16 << 20
	maxNodes = 1_000_000 // what aliases can blow it up to
	maxDepth = 64
)

// document is one YAML document, and what is wrong with it.
type document struct {
	wanted.Place
	root     *yaml.Node
	problems *wanted.Problems
	// left counts down what may still be read of the file.
	left *int
}

// split parses a file into its documents. It stops at the first that is no
// YAML, which it returns as a mistake: where the next one begins cannot be told.
func split(file string, text []byte, problems *wanted.Problems) (out []document, broken *wanted.Problem) {
	d, left := yaml.NewDecoder(bytes.NewReader(text)), maxNodes
	for i := 1; ; i++ {
		at := wanted.Place{File: file, Document: i}
		var n yaml.Node
		err := d.Decode(&n)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			msg := strings.TrimPrefix(err.Error(), "yaml: ")
			// The library writes "line 3: what is wrong".
			if _, serr := fmt.Sscanf(msg, "line %d:", &at.Line); serr == nil {
				_, msg, _ = strings.Cut(msg, ": ")
			}
			return out, &wanted.Problem{Place: at, Msg: msg}
		}
		if len(n.Content) == 1 && !isNull(n.Content[0]) {
			out = append(out, document{Place: at, root: n.Content[0], problems: problems, left: &left})
		}
	}
}

func (d *document) fail(n *yaml.Node, format string, args ...any) {
	d.problems.Add(d.on(n), format, args...)
}

// on returns the place of a node.
func (d *document) on(n *yaml.Node) wanted.Place {
	p := d.Place
	p.Line = n.Line
	return p
}

// enter tells whether the entries of a node may be read.
func (d *document) enter(n *yaml.Node) bool {
	before := *d.left
	*d.left -= len(n.Content) + 1
	if before >= 0 && *d.left < 0 {
		d.fail(n, "there are more than %d entries in the file; what follows is not read", maxNodes)
	}
	return *d.left >= 0
}

// entry is one entry of a mapping.
type entry struct {
	key   string
	at    *yaml.Node
	value *yaml.Node
}

// entries returns those of a mapping, of what is merged into it too, and
// refuses a key that comes twice. Null has none.
func (d *document) entries(n *yaml.Node, what string) []entry {
	return d.merged(n, what, 0)
}

func (d *document) merged(n *yaml.Node, what string, depth int) []entry {
	n = follow(n)
	switch {
	case isNull(n):
		return nil
	case n.Kind != yaml.MappingNode:
		d.fail(n, "%s: want a mapping", what)
		return nil
	case depth > maxDepth:
		d.fail(n, "%s: it is nested deeper than %d", what, maxDepth)
		return nil
	case !d.enter(n):
		return nil
	}
	var out, more []entry
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := follow(n.Content[i]), n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			d.fail(k, "%s: a key must be a plain word", what)
		case k.Tag == "!!merge":
			if v = follow(v); v.Kind != yaml.SequenceNode {
				more = append(more, d.merged(v, what, depth+1)...)
			} else if d.enter(v) {
				for _, m := range v.Content {
					more = append(more, d.merged(m, what, depth+1)...)
				}
			}
		case seen[k.Value] > 0:
			d.fail(k, "%s: the key %q is here a second time; the first is on line %d", what, shown(k.Value), seen[k.Value])
		default:
			seen[k.Value] = max(1, k.Line)
			out = append(out, entry{k.Value, k, follow(v)})
		}
	}
	for _, e := range more { // what is written here, or merged first, counts
		if seen[e.key] == 0 {
			seen[e.key] = max(1, e.at.Line)
			out = append(out, e)
		}
	}
	return out
}

// list returns the entries of a list. Null has none.
func (d *document) list(n *yaml.Node, what string) []*yaml.Node {
	n = follow(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(n, "%s: want a list", what)
		return nil
	}
	if !d.enter(n) {
		return nil
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, e := range n.Content {
		out[i] = follow(e)
	}
	return out
}

// text returns a scalar's text. Numbers and the like are taken as they are
// written; null is "".
func (d *document) text(n *yaml.Node, what string) string {
	n = follow(n)
	switch {
	case isNull(n):
		return ""
	case n.Kind != yaml.ScalarNode:
		d.fail(n, "%s: want a text", what)
		return ""
	case strings.ContainsRune(n.Value, 0):
		d.fail(n, "%s: there is a NUL character in it", what)
		return ""
	}
	return strings.TrimSpace(n.Value)
}

// texts returns a mapping of texts.
func (d *document) texts(n *yaml.Node, what string) map[string]string {
	out := map[string]string{}
	for _, e := range d.entries(n, what) {
		if s := d.text(e.value, what+": "+shown(e.key)); s != "" {
			out[e.key] = s
		}
	}
	return out
}

// value returns a node as encoding/json would have it.
func (d *document) value(n *yaml.Node, what string, depth int) any {
	n = follow(n)
	if depth > maxDepth {
		d.fail(n, "%s: it is nested deeper than %d", what, maxDepth)
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for _, e := range d.entries(n, what) {
			out[e.key] = d.value(e.value, what, depth+1)
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, e := range d.list(n, what) {
			out = append(out, d.value(e, what, depth+1))
		}
		return out
	}
	*d.left--
	return d.scalar(n, what)
}

func (d *document) scalar(n *yaml.Node, what string) any {
	var v any
	if n.Decode(&v) != nil {
		return d.text(n, what)
	}
	switch v := v.(type) {
	case nil, bool, int, int64, uint64:
		return v
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	}
	return d.text(n, what)
}

// follow resolves an alias. The library refuses an anchor that is not there.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
