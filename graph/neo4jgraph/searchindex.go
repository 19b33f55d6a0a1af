package neo4jgraph

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

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

	// blockMark and the first 1 to blockDigits digits of its place are tokens of
	// a node's scope. A range of places is then a few of them, where Lucene
	// would go through every place in it.
	blockMark   = "__p_"
	blockDigits = 3
	block       = 1 << (4 * (placeDigits - blockDigits))
)

// putSearched adds what Search looks at; null takes away.
func putSearched(m map[string]any, n *graph.Node) {
	s := graph.SearchedOf(n)
	if len(s.Scope) == 0 {
		return
	}
	sum := sha256.Sum256([]byte(n.Ref.String()))
	place := hex.EncodeToString(sum[:])[:placeDigits]
	m[propPlace] = place
	for digits := 1; digits <= blockDigits; digits++ {
		s.Scope = append(s.Scope, blockMark+place[:digits])
	}
	for name, words := range map[string][]string{propWhole: s.Whole, propTitle: s.Title, propBody: s.Body, propScope: s.Scope} {
		if len(words) > 0 {
			m[name] = strings.Join(words, " ")
		}
	}
}

// reindexAtOnce is how many nodes one transaction of reindex looks at.
const reindexAtOnce = 1_000

// reindex gives the nodes after a key what Search looks at: those of a store
// that was written when this was less, or nothing. "~" is after all keys.
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
