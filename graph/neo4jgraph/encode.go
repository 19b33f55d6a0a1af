package neo4jgraph

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"trellis/graph"
)

// The properties that the store writes itself, beside Props, on nodes and on
// edges. A Prop of one of these names gets "_" appended, and so does one that
// looks like the result ("id_"), so that no two names ever meet.
const (
	propKey      = "key" // of a node "type:id", of an edge its Key
	propType     = "type"
	propID       = "id"
	propNames    = "names"
	propCreated  = "created_at" // times in Unix ms, like expires_at
	propUpdated  = "updated_at"
	propRevision = "revision"

	// jsonSuffix marks text that is JSON. No Prop may end so.
	jsonSuffix = "_json"
)

func reserved(name string) bool {
	switch strings.TrimRight(name, "_") {
	case propKey, propType, propID, propNames, propCreated, propUpdated, propRevision:
		return true
	}
	return false
}

// label turns a type into the label of its nodes: "service_account" into
// "ServiceAccount". An underscore that no letter follows stays, so two types
// never share a label, and none begins with an underscore, as the labels of
// the store's own nodes do.
func label(t graph.Type) string {
	var b strings.Builder
	up := true
	for i := 0; i < len(t); i++ {
		c := t[i]
		letter := c >= 'a' && c <= 'z'
		if c == '_' && i+1 < len(t) && t[i+1] >= 'a' && t[i+1] <= 'z' {
			up = true
			continue
		}
		if up && letter {
			c -= 'a' - 'A'
		}
		up = false
		b.WriteByte(c)
	}
	return b.String()
}

func putProps(m map[string]any, p graph.Props) {
	for name, v := range p {
		if reserved(name) {
			name += "_"
		}
		if j, ok := v.(graph.JSON); ok {
			name, v = name+jsonSuffix, string(j)
		}
		m[name] = v
	}
}

func putStamp(m map[string]any, created, updated time.Time, rev graph.Revision) {
	m[propCreated], m[propUpdated], m[propRevision] = created.UnixMilli(), updated.UnixMilli(), int64(rev)
}

func nodeProps(n *graph.Node) map[string]any {
	m := make(map[string]any, len(n.Props)+7)
	putProps(m, n.Props)
	putStamp(m, n.Created, n.Updated, n.Revision)
	m[propKey], m[propType], m[propID] = n.Ref.String(), string(n.Ref.Type), n.Ref.ID
	if len(n.Names) > 0 {
		m[propNames] = n.Names
	}
	putSearched(m, n)
	return m
}

func edgeProps(e *graph.Edge) map[string]any {
	m := make(map[string]any, len(e.Props)+4)
	putProps(m, e.Props)
	putStamp(m, e.Created, e.Updated, e.Revision)
	m[propKey] = e.Key
	return m
}

// getProps reads what putProps wrote. What no engine of ours wrote, such as a
// date that an administrator set by hand, is an error rather than a guess.
func getProps(m map[string]any) (graph.Props, error) {
	var p graph.Props
	for name, v := range m {
		if name[0] == '_' { // the index's own; no Prop begins so
			continue
		}
		plain, isJSON := strings.CutSuffix(name, jsonSuffix)
		if reserved(plain) {
			short, escaped := strings.CutSuffix(plain, "_")
			if !escaped {
				continue
			}
			plain = short
		}
		switch t := v.(type) {
		case string:
			if isJSON {
				v = graph.JSON(t)
			}
		case bool, int64, float64:
		case []any:
			list, err := texts(t)
			if err != nil {
				return nil, fmt.Errorf("property %s: %w", plain, err)
			}
			v = list
		default:
			return nil, fmt.Errorf("property %s is a %T", plain, v)
		}
		if p == nil {
			p = make(graph.Props, len(m))
		}
		p[plain] = v
	}
	return p, nil
}

func texts(list []any) ([]string, error) {
	out := make([]string, len(list))
	for i, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("a list holds a %T", v)
		}
		out[i] = s
	}
	return out, nil
}

// A row reads the fields of what the server returned, and remembers the first
// that is not of the type it must be.
type row struct {
	bad error
}

func field[T any](r *row, v any) T {
	t, ok := v.(T)
	if !ok && r.bad == nil {
		r.bad = graph.Wrap(graph.Corrupt, fmt.Errorf("%T instead of %T", v, t), "the graph holds something unexpected")
	}
	return t
}

func (r *row) at(m map[string]any, name string) time.Time {
	return time.UnixMilli(field[int64](r, m[name])).UTC()
}

func (r *row) props(m map[string]any) graph.Props {
	p, err := getProps(m)
	if err != nil && r.bad == nil {
		r.bad = graph.Wrap(graph.Corrupt, err, "the graph holds something unexpected")
	}
	return p
}

func (r *row) node(v any) graph.Node {
	m := field[map[string]any](r, v)
	n := graph.Node{
		Ref:      r.ref(m[propType], m[propID]),
		Props:    r.props(m),
		Created:  r.at(m, propCreated),
		Updated:  r.at(m, propUpdated),
		Revision: graph.Revision(field[int64](r, m[propRevision])),
	}
	if list, ok := m[propNames].([]any); ok {
		names, err := texts(list)
		if err != nil && r.bad == nil {
			r.bad = graph.Wrap(graph.Corrupt, err, "the graph holds something unexpected")
		}
		n.Names = names
	}
	return n
}

func (r *row) nodes(v any) []graph.Node {
	list := field[[]any](r, v)
	out := make([]graph.Node, len(list))
	for i, n := range list {
		out[i] = r.node(n)
	}
	return out
}

func (r *row) ref(t, id any) graph.Ref {
	return graph.Ref{Type: graph.Type(field[string](r, t)), ID: field[string](r, id)}
}

// edge reads an edge whose ends and kind are known.
func (r *row) edge(from graph.Ref, kind graph.Kind, to graph.Ref, v any) graph.Edge {
	m := field[map[string]any](r, v)
	return graph.Edge{
		EdgeKey:  graph.EdgeKey{From: from, Kind: kind, To: to, Key: field[string](r, m[propKey])},
		Props:    r.props(m),
		Created:  r.at(m, propCreated),
		Updated:  r.at(m, propUpdated),
		Revision: graph.Revision(field[int64](r, m[propRevision])),
	}
}

// packFrom is the size in bytes from which a change record is stored
// compressed: small ones stay readable, and a bulk load costs a tenth.
const packFrom = 16 << 10

func changeProps(c *graph.Change) (map[string]any, error) {
	data := c.AppendJSON(nil)
	m := map[string]any{"revision": int64(c.Revision), "id": c.ID, "time": c.Time.UnixMilli()}
	if len(data) < packFrom {
		m["data"] = string(data)
		return m, nil
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	m["packed"] = b.Bytes()
	return m, nil
}

// change reads a change record; size is that of its JSON.
func change(data, packed any) (c graph.Change, size int, err error) {
	if s, ok := data.(string); ok {
		return c, len(s), json.Unmarshal([]byte(s), &c)
	}
	b, _ := packed.([]byte)
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return c, 0, err
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return c, 0, err
	}
	return c, len(text), json.Unmarshal(text, &c)
}
