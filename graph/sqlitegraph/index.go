package sqlitegraph

import (
	"cmp"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"

	"trellis/graph"
)

const (
	indexText   = `INSERT INTO search (rowid, words) VALUES (?, ?)`
	newWordText = `INSERT INTO word (word) VALUES (?) ON CONFLICT DO NOTHING`
)

// indexer collects what a transaction changes in the search index. FTS5 writes
// a new segment whenever it is given a row before the last one, so all is
// done at the end and in order. The zero value is ready.
type indexer struct {
	rows  []indexRow
	words map[string]bool // those that this transaction has put into word
}

type indexRow struct {
	id       int64
	searched graph.Searched
	drop     bool // the row goes
}

// put notes the row of a node that has none.
func (x *indexer) put(id int64, s graph.Searched) {
	if len(s.Scope) > 0 {
		x.rows = append(x.rows, indexRow{id: id, searched: s})
	}
}

// drop notes that the row of a node goes, if it has one.
func (x *indexer) drop(id int64) { x.rows = append(x.rows, indexRow{id: id, drop: true}) }

// searchedBefore returns what was indexed of the nodes that are replaced.
func searchedBefore(f *graph.Effects) map[graph.Ref]graph.Searched {
	out := map[graph.Ref]graph.Searched{}
	for _, p := range f.Nodes {
		if !p.New && graph.Searchable(p.Node.Ref.Type) {
			out[p.Node.Ref] = graph.Searched{}
		}
	}
	if len(out) == 0 {
		return nil
	}
	seen := map[graph.Ref]bool{}
	for i := range f.Changes {
		for _, e := range f.Changes[i].Entries {
			if e.Node == nil || e.Node.Before == nil {
				continue
			}
			ref := e.Node.Before.Ref
			if _, replaced := out[ref]; replaced && !seen[ref] {
				out[ref], seen[ref] = graph.SearchedOf(e.Node.Before), true
			}
		}
	}
	return out
}

// indexAtOnce is how many nodes a bulk load collects before it writes them.
const indexAtOnce = 1_000

// maxWordsKept limits what a bulk load remembers; to write a word again costs
// no more than a look.
const maxWordsKept = 200_000

// some is flush when there is much to do.
func (x *indexer) some(w *writer) error {
	if len(x.rows) < indexAtOnce {
		return nil
	}
	return x.flush(w)
}

func (x *indexer) flush(w *writer) error {
	slices.SortStableFunc(x.rows, func(a, b indexRow) int { return cmp.Compare(a.id, b.id) })
	for i := range x.rows {
		if err := x.write(w.run.index, w.run.unindex, &x.rows[i]); err != nil {
			return err
		}
	}
	if err := x.newWords(w.run.newWord); err != nil {
		return err
	}
	x.rows = x.rows[:0]
	return nil
}

func (x *indexer) write(index, unindex *statement, r *indexRow) error {
	if r.drop {
		_, err := unindex.exec(r.id)
		return err
	}
	_, err := index.exec(r.id, indexed(&r.searched))
	return err
}

// indexed is the row of a node; see schema/0002_search.sql. The tokens of its
// scope are also there as one: the organization's, which has a length, and the type's.
func indexed(s *graph.Searched) string {
	var b strings.Builder
	for _, list := range [...][]string{s.Title, s.Whole, s.Scope, {s.Scope[1] + s.Scope[0]}} {
		for _, w := range list {
			b.WriteString(w)
			b.WriteByte(' ')
		}
	}
	for _, w := range s.Body {
		b.WriteString(inBody)
		b.WriteString(w)
		b.WriteByte(' ')
	}
	return b.String()
}

// inBody marks a word that is in no title.
const inBody = "_"

func (x *indexer) newWords(st *statement) error {
	if x.words == nil || len(x.words) > maxWordsKept {
		x.words = map[string]bool{}
	}
	var fresh []string
	for i := range x.rows {
		for _, list := range [...][]string{x.rows[i].searched.Title, x.rows[i].searched.Body} {
			for _, w := range list {
				if !x.words[w] {
					x.words[w] = true
					fresh = append(fresh, w)
				}
			}
		}
	}
	slices.Sort(fresh)
	for _, w := range fresh {
		if _, err := st.exec(w); err != nil {
			return err
		}
	}
	return nil
}

// indexAll indexes a store that was made before there was an index.
func indexAll(w *writer) (err error) {
	var st [3]*statement
	for i, text := range [...]string{`SELECT ` + nodeColumns + `, id FROM node WHERE id > ? ORDER BY id LIMIT ?`, indexText, newWordText} {
		if st[i], err = w.statement(text); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st[i].st.Close()) }()
	}
	var x indexer
	for after, more := int64(0), true; more; {
		rows := 0
		err := st[0].query(func(row []driver.Value) error {
			var n graph.Node
			if err := nodeOf(row, &n); err != nil {
				return err
			}
			rows++
			after, _ = row[6].(int64)
			x.put(after, graph.SearchedOf(&n))
			return nil
		}, after, int64(indexAtOnce))
		if err != nil {
			return err
		}
		for i := range x.rows {
			if err := x.write(st[1], nil, &x.rows[i]); err != nil {
				return err
			}
		}
		if err := x.newWords(st[2]); err != nil {
			return err
		}
		x.rows, more = x.rows[:0], rows == indexAtOnce
	}
	return nil
}
