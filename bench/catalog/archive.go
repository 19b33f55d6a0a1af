package catalog

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// line is one line of an archive, with what lines are sorted by.
type line struct {
	kind     string // of an edge
	from, to Ref    // a node is from
	key      string
	text     []byte
}

func compareLines(a, b line) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), compareRefs(a.from, b.from), compareRefs(a.to, b.to), cmp.Compare(a.key, b.key))
}

// base is the export of a store that holds nothing but what Trellis brings along.
type base struct {
	header       []byte
	revision     int64
	nodes, edges []line
}

func readBase(r io.Reader) (*base, error) {
	b := &base{}
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		text := bytes.Clone(in.Bytes())
		if b.header == nil {
			b.header = text
			continue
		}
		var l struct {
			Node *struct{ Ref string }
			Edge *struct{ From, Kind, To, Key string }
			End  *struct{ Revision int64 }
		}
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("not an export: %w", err)
		}
		switch {
		case l.Node != nil:
			b.nodes = append(b.nodes, line{from: parseRef(l.Node.Ref), text: text})
		case l.Edge != nil:
			b.edges = append(b.edges, line{l.Edge.Kind, parseRef(l.Edge.From), parseRef(l.Edge.To), l.Edge.Key, text})
		case l.End != nil:
			b.revision = l.End.Revision
		}
	}
	if b.revision == 0 {
		return nil, fmt.Errorf("not an export, or one of an empty store: %w", cmp.Or(in.Err(), io.ErrUnexpectedEOF))
	}
	return b, nil
}

func parseRef(s string) Ref {
	t, id, _ := bytes.Cut([]byte(s), []byte(":"))
	return Ref{string(t), string(id)}
}

// stamp ends a record.
func stamp(b []byte, created, updated time.Time, revision int64) []byte {
	const form = "2006-01-02T15:04:05.999Z07:00"
	return fmt.Appendf(b, `,"created":%q,"updated":%q,"revision":%d}}`, created.Format(form), updated.Format(form), revision)
}

// times are when a node was made, which an id of version 7 tells, and when it
// was changed last, some time between then and now.
func (r Ref) times() (created, updated time.Time) {
	ms, err := strconv.ParseInt(strings.ReplaceAll(r.ID[:min(len(r.ID), 13)], "-", ""), 16, 64)
	if err != nil {
		return Made, Made
	}
	part, err := strconv.ParseInt(r.ID[24:30], 16, 64)
	if err != nil {
		return Made, Made
	}
	return time.UnixMilli(ms).UTC(), time.UnixMilli(ms + (Made.UnixMilli()-ms)*part>>24).UTC()
}

func appendJSON(b []byte, name string, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts, numbers and maps of them
	}
	return append(append(b, `,"`+name+`":`...), j...)
}

func (n node) line(revision int64) line {
	b := fmt.Appendf(nil, `{"node":{"ref":%q`, n.Ref)
	b = appendJSON(b, "names", n.names)
	b = appendJSON(b, "props", n.props)
	created, updated := n.Ref.times()
	return line{from: n.Ref, text: stamp(b, created, updated, revision)}
}

func (e edge) line(revision int64) line {
	b := fmt.Appendf(nil, `{"edge":{"from":%q,"kind":%q,"to":%q`, e.from, e.kind, e.to)
	if e.key != "" {
		b = appendJSON(b, "key", e.key)
	}
	if len(e.props) > 0 {
		b = appendJSON(b, "props", e.props)
	}
	return line{e.kind, e.from, e.to, e.key, stamp(b, Made, Made, revision)}
}

// Counts is what an archive holds.
type Counts struct{ Nodes, Edges int }

// Write writes the catalog as an archive. from is the export of a store that
// Trellis has just prepared, and granter the account that gave all grants.
func (w *World) Write(out io.Writer, from io.Reader, granter string) (Counts, error) {
	b, err := readBase(from)
	if err != nil {
		return Counts{}, err
	}
	revision := b.revision + 1
	for n := range w.nodes() {
		b.nodes = append(b.nodes, n.line(revision))
	}
	slices.SortFunc(b.nodes, compareLines)
	buf := bufio.NewWriterSize(out, 1<<20)
	sum := sha256.New()
	both := io.MultiWriter(buf, sum)
	write := func(lines []line) {
		for i := range lines {
			lines[i].text = append(lines[i].text, '\n')
			_, _ = both.Write(lines[i].text) // the buffer keeps its error for Flush
		}
	}
	write([]line{{text: b.header}})
	write(b.nodes)
	c := Counts{Nodes: len(b.nodes)}
	b.nodes = nil
	for e := range w.edges(granter) {
		b.edges = append(b.edges, e.line(revision))
	}
	slices.SortFunc(b.edges, compareLines)
	write(b.edges)
	c.Edges = len(b.edges)
	fmt.Fprintf(sum, "%d", revision)
	fmt.Fprintf(buf, `{"end":{"revision":%d,"nodes":%d,"edges":%d,"sha256":%q}}`+"\n", revision, c.Nodes, c.Edges, hex.EncodeToString(sum.Sum(nil)))
	return c, buf.Flush()
}
