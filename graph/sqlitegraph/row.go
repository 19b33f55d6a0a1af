package sqlitegraph

import (
	"database/sql"
	"errors"
	"strings"
	"time"

	"trellis/graph"
)

// column is the form in which the file keeps a ref; see schema/0001_graph.sql.
func column(r graph.Ref) string { return string(r.Type) + "/" + r.ID }

func parseColumn(s string) graph.Ref {
	t, id, _ := strings.Cut(s, "/")
	return graph.Ref{Type: graph.Type(t), ID: id}
}

const (
	nodeColumns = "ref, names, props, created, updated, revision"
	edgeColumns = "edge.kind, edge.src, edge.dst, edge.key, edge.props, edge.created, edge.updated, edge.revision"
)

// nodeOf reads nodeColumns, whether they come from database/sql or from the
// driver.
func nodeOf[V any](v []V, n *graph.Node) error {
	var c cells
	n.Ref = parseColumn(c.text(v[0]))
	if any(v[1]) != nil {
		list, err := graph.ParseTexts(c.text(v[1]))
		if err != nil {
			return damaged(err, n.Ref.String())
		}
		n.Names = list
	}
	props := c.text(v[2])
	n.Created, n.Updated, n.Revision = clock(c.number(v[3])), clock(c.number(v[4])), graph.Revision(c.number(v[5]))
	if c.wrong {
		return damaged(errCell, n.Ref.String())
	}
	p, err := graph.ParseProps(props)
	if err != nil {
		return damaged(err, n.Ref.String())
	}
	n.Props = p
	return nil
}

// edgeOf reads edgeColumns.
func edgeOf[V any](v []V, e *graph.Edge) error {
	var c cells
	e.Kind, e.From, e.To, e.Key = graph.Kind(c.text(v[0])), parseColumn(c.text(v[1])), parseColumn(c.text(v[2])), c.text(v[3])
	props := c.text(v[4])
	e.Created, e.Updated, e.Revision = clock(c.number(v[5])), clock(c.number(v[6])), graph.Revision(c.number(v[7]))
	if c.wrong {
		return damaged(errCell, e.EdgeKey.String())
	}
	p, err := graph.ParseProps(props)
	if err != nil {
		return damaged(err, e.EdgeKey.String())
	}
	e.Props = p
	return nil
}

// cells reads the values of a row and remembers whether one had a wrong type,
// which STRICT tables do not have unless the file is damaged.
type cells struct{ wrong bool }

var errCell = errors.New("a column has a wrong type")

func (c *cells) text(v any) string {
	s, ok := v.(string)
	c.wrong = c.wrong || !ok
	return s
}

func (c *cells) number(v any) int64 {
	i, ok := v.(int64)
	c.wrong = c.wrong || !ok
	return i
}

func damaged(err error, what string) error {
	return graph.Wrap(graph.Corrupt, err, "the record of %s cannot be read", what)
}

func clock(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// each calls one with the values of every row, which are only valid during
// the call.
func each(rows *sql.Rows, columns int, one func([]any) error) error {
	defer rows.Close()
	values, into := make([]any, columns), make([]any, columns)
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := one(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

func collectNodes(rows *sql.Rows, out []graph.Node) ([]graph.Node, error) {
	err := each(rows, 6, func(v []any) error {
		out = append(out, graph.Node{})
		return nodeOf(v, &out[len(out)-1])
	})
	return out, err
}

func collectEdges(rows *sql.Rows, out []graph.Edge) ([]graph.Edge, error) {
	err := each(rows, 8, func(v []any) error {
		out = append(out, graph.Edge{})
		return edgeOf(v, &out[len(out)-1])
	})
	return out, err
}

// namesValue and propsValue are what is bound for a node's or an edge's.
func namesValue(names []string) any {
	if len(names) == 0 {
		return nil
	}
	return string(graph.AppendTexts(nil, names))
}

func propsValue(p graph.Props) string {
	if len(p) == 0 {
		return "{}"
	}
	var buf [256]byte
	return string(p.AppendJSON(buf[:0]))
}

func expiresValue(e *graph.Edge) any {
	if at := e.Expires(); at != 0 {
		return at
	}
	return nil
}
