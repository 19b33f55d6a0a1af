package sqlitegraph

import (
	"database/sql"
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
	edgeColumns = "kind, src, dst, key, props, created, updated, revision"
)

// scanNode reads nodeColumns.
func scanNode(rows *sql.Rows, n *graph.Node) error {
	var ref string
	var names sql.NullString
	var props sql.RawBytes
	var created, updated int64
	if err := rows.Scan(&ref, &names, &props, &created, &updated, &n.Revision); err != nil {
		return err
	}
	n.Ref, n.Created, n.Updated = parseColumn(ref), clock(created), clock(updated)
	if names.Valid {
		list, err := graph.ParseTexts(names.String)
		if err != nil {
			return damaged(err, ref)
		}
		n.Names = list
	}
	if err := n.Props.UnmarshalJSON(props); err != nil {
		return damaged(err, ref)
	}
	return nil
}

// scanEdge reads edgeColumns.
func scanEdge(rows *sql.Rows, e *graph.Edge) error {
	var kind, src, dst string
	var props sql.RawBytes
	var created, updated int64
	if err := rows.Scan(&kind, &src, &dst, &e.Key, &props, &created, &updated, &e.Revision); err != nil {
		return err
	}
	e.Kind, e.From, e.To = graph.Kind(kind), parseColumn(src), parseColumn(dst)
	e.Created, e.Updated = clock(created), clock(updated)
	if err := e.Props.UnmarshalJSON(props); err != nil {
		return damaged(err, e.EdgeKey.String())
	}
	return nil
}

func damaged(err error, what string) error {
	return graph.Wrap(graph.Corrupt, err, "the record of %s cannot be read", what)
}

func clock(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func collectNodes(rows *sql.Rows, out []graph.Node) ([]graph.Node, error) {
	defer rows.Close()
	for rows.Next() {
		var n graph.Node
		if err := scanNode(rows, &n); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, rows.Err()
}

func collectEdges(rows *sql.Rows, out []graph.Edge) ([]graph.Edge, error) {
	defer rows.Close()
	for rows.Next() {
		var e graph.Edge
		if err := scanEdge(rows, &e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
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
