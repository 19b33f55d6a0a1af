// Package archive owns the file that carries a whole graph from one store to
// another: NDJSON with a header line, one line for every node, one for every
// edge, and a footer line with counts and a checksum. It promises that a file
// which was cut short, changed or mixed up is refused before anything is
// written, and that what is written is all or nothing.
package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"trellis/graph"
)

// Format is the version of the file format that is written and read.
const Format = 1

// maxLine limits one line: a node has at most 64 properties of 64 KB, and
// JSON may write a byte as six.
const maxLine = 32 << 20

// Header is the first line.
type Header struct {
	Trellis string    `json:"trellis"` // always "export"
	Format  int       `json:"format"`
	Store   string    `json:"store"`
	Created time.Time `json:"created"`
}

// Footer is the last line. SHA256 is that of all lines before it, line ends
// included, and of the revision in decimal digits.
type Footer struct {
	Revision graph.Revision `json:"revision"`
	Nodes    int            `json:"nodes"`
	Edges    int            `json:"edges"`
	SHA256   string         `json:"sha256"`
}

// footerLine tells the footer from a record.
type footerLine struct {
	End *Footer `json:"end"`
}

// Write writes the whole graph of a store. step is called with the number of
// records written.
func Write(ctx context.Context, w io.Writer, store graph.Store, now time.Time, step func(records int)) (Header, Footer, error) {
	info, err := store.Info(ctx)
	if err != nil {
		return Header{}, Footer{}, err
	}
	h := Header{Trellis: "export", Format: Format, Store: info.Store, Created: now.UTC().Truncate(time.Second)}
	buf := bufio.NewWriterSize(w, 1<<20)
	sum := sha256.New()
	out := io.MultiWriter(buf, sum)
	if err := line(out, h); err != nil {
		return h, Footer{}, err
	}
	var f Footer
	var b []byte
	info, err = store.Export(ctx, func(r graph.Record) error {
		if r.Node != nil {
			f.Nodes++
		} else {
			f.Edges++
		}
		b = append(r.AppendJSON(b[:0]), '\n')
		step(f.Nodes + f.Edges)
		_, err := out.Write(b)
		return err
	})
	if err != nil {
		return h, f, err
	}
	f.Revision, f.SHA256 = info.Head, seal(sum, info.Head)
	if err := line(buf, footerLine{&f}); err != nil {
		return h, f, err
	}
	return h, f, buf.Flush()
}

func seal(sum hash.Hash, rev graph.Revision) string {
	fmt.Fprintf(sum, "%d", rev)
	return hex.EncodeToString(sum.Sum(nil))
}

func line(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// Check reads a whole file and tells whether it is in order: complete,
// unchanged, in the order of an export, and every edge between nodes of it.
// The error names the line.
func Check(r io.Reader) (Header, Footer, error) {
	s, h, err := open(r)
	if err != nil {
		return h, Footer{}, err
	}
	nodes := map[graph.Ref]bool{}
	var lastNode *graph.Node
	var lastEdge *graph.Edge
	for {
		rec, err := s.next()
		if errors.Is(err, io.EOF) {
			return h, s.end, nil
		}
		if err != nil {
			return h, Footer{}, err
		}
		switch {
		case rec.Node != nil:
			if lastEdge != nil || lastNode != nil && graph.CompareRefs(lastNode.Ref, rec.Node.Ref) >= 0 {
				return h, Footer{}, s.bad("%s is out of order", rec.Node.Ref)
			}
			lastNode = rec.Node
			nodes[rec.Node.Ref] = true
		default:
			if lastEdge != nil && graph.CompareEdges(lastEdge.EdgeKey, rec.Edge.EdgeKey) >= 0 {
				return h, Footer{}, s.bad("%s is out of order", rec.Edge.EdgeKey)
			}
			if !nodes[rec.Edge.From] || !nodes[rec.Edge.To] {
				return h, Footer{}, s.bad("an end of %s is not in the file", rec.Edge.EdgeKey)
			}
			lastEdge = rec.Edge
		}
	}
}

// Import fills an empty store with a file that Check found in order. f is
// Check's answer; a file that changed since then is refused, with nothing
// written.
func Import(ctx context.Context, store graph.Store, r io.Reader, f Footer, step func(records int)) error {
	s, _, err := open(r)
	if err != nil {
		return err
	}
	n := 0
	return store.Import(ctx, f.Revision, func() (graph.Record, error) {
		rec, err := s.next()
		if errors.Is(err, io.EOF) && s.end != f {
			return rec, s.bad("the file changed while it was read")
		}
		if err == nil {
			n++
			step(n)
		}
		return rec, err
	})
}

// scanner reads one file.
type scanner struct {
	lines *bufio.Reader
	sum   hash.Hash
	n     int // lines read
	found Footer
	end   Footer
}

func open(r io.Reader) (*scanner, Header, error) {
	s := &scanner{lines: bufio.NewReaderSize(r, 1<<20), sum: sha256.New()}
	var h Header
	b, err := s.line()
	if errors.Is(err, io.EOF) {
		return s, h, s.bad("the file is empty")
	}
	if err != nil {
		return s, h, err
	}
	if json.Unmarshal(b, &h) != nil || h.Trellis != "export" {
		return s, h, s.bad("this is not an export of Trellis")
	}
	if h.Format != Format {
		return s, h, s.bad("the file has format %d; this version reads format %d", h.Format, Format)
	}
	s.sum.Write(b)
	return s, h, nil
}

// line returns the next line with its end, io.EOF after the last.
func (s *scanner) line() ([]byte, error) {
	s.n++
	b, err := s.lines.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(b)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > maxLine {
				return nil, s.bad("the line is longer than %d bytes", maxLine)
			}
			b, err = s.lines.ReadSlice('\n')
			long = append(long, b...)
		}
		b = long
	}
	switch {
	case errors.Is(err, io.EOF) && len(b) == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		return nil, s.bad("the file ends in the middle of a line: it was cut short")
	case err != nil:
		return nil, err
	}
	return b, nil
}

// next returns the next record, io.EOF after a footer that fits.
func (s *scanner) next() (graph.Record, error) {
	b, err := s.line()
	if errors.Is(err, io.EOF) {
		return graph.Record{}, s.bad("the last line is missing: the file was cut short")
	}
	if err != nil {
		return graph.Record{}, err
	}
	if bytes.HasPrefix(b, []byte(`{"end":`)) {
		return graph.Record{}, s.footer(b)
	}
	s.sum.Write(b)
	var rec graph.Record
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&rec); err != nil {
		return rec, s.bad("%v", err)
	}
	if (rec.Node == nil) == (rec.Edge == nil) {
		return rec, s.bad("want a node or an edge")
	}
	if rec.Node != nil {
		s.found.Nodes++
		err = valid(graph.Put(*rec.Node))
	} else {
		s.found.Edges++
		err = valid(graph.Link(*rec.Edge))
	}
	if err != nil {
		return rec, s.bad("%v", err)
	}
	return rec, nil
}

func valid(step graph.Step) error {
	b := graph.Batch{Steps: []graph.Step{step}}
	return b.Validate()
}

func (s *scanner) footer(b []byte) error {
	var f footerLine
	if json.Unmarshal(b, &f) != nil || f.End == nil {
		return s.bad("the last line cannot be read")
	}
	if _, err := s.line(); !errors.Is(err, io.EOF) {
		return s.bad("something follows the last line")
	}
	s.found.Revision, s.found.SHA256 = f.End.Revision, seal(s.sum, f.End.Revision)
	if *f.End != s.found {
		return s.bad("counts or checksum do not fit: the file was changed or lines are missing")
	}
	if f.End.Revision < 0 {
		return s.bad("the revision is negative")
	}
	s.end = s.found
	return io.EOF
}

func (s *scanner) bad(format string, args ...any) error {
	return graph.Errorf(graph.Corrupt, "line %d: %s", s.n, fmt.Sprintf(format, args...))
}
