package neo4jgraph

import (
	"context"
	"fmt"
	"unicode/utf8"

	"trellis/graph"
)

// mostFuzzy is how many nodes with similar words are looked at for those that
// may stand in for one.
const mostFuzzy = 1_000

// correct finds words of nodes that count in place of those that were not found.
func (f *finder) correct(ctx context.Context) (map[string][]string, error) {
	var list []any
	for _, w := range f.q.Words {
		if len(graph.Typos(w)) == 0 {
			continue
		}
		like := func(how string) string {
			return unscored(append(f.scope(), fmt.Sprintf("+(%s:%s %s:%[2]s)", propTitle, w+how, propBody))...)
		}
		_, size := utf8.DecodeRuneInString(w)
		list = append(list, map[string]any{"word": w, "begins": like("*"), "like": like("~1"), "first": w[:size]})
	}
	if len(list) == 0 {
		return nil, nil
	}
	values, err := one(ctx, f.run, text("search_words"), map[string]any{"words": list, "most": mostFuzzy})
	if err != nil {
		return nil, err
	}
	var r row
	out := map[string][]string{}
	for _, v := range field[[]any](&r, values[0]) {
		pair := field[[]any](&r, v)
		word := field[string](&r, pair[0])
		there, err := texts(field[[]any](&r, pair[1]))
		if err != nil {
			return nil, err
		}
		if instead := graph.Correct(word, there); len(instead) > 0 {
			out[word] = instead
		}
	}
	return out, r.bad
}
