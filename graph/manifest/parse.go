package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits on what Parse reads. An alias counts for all that it stands for.
const (
	// MaxFile limits one file, in bytes.
	MaxFile  = 64 << 20
	maxDepth = 64
	maxNodes = 1_000_000 // values of one file
)

// Source is a document and where it was read.
type Source struct {
	Document
	File string
	Line int // where the document begins

	node *yaml.Node
}

// ParseError says what is wrong with a file, and where.
type ParseError struct {
	File string
	// Document counts from 1; 0 if it is the file as a whole that cannot be read.
	Document int
	Line     int // 0 if it is not known
	Msg      string
}

// Error names file, line and document.
func (e *ParseError) Error() string {
	where := e.File
	if e.Line > 0 {
		where += ":" + strconv.Itoa(e.Line)
	}
	if e.Document > 0 {
		where += fmt.Sprintf(" (document %d)", e.Document)
	}
	return where + ": " + e.Msg
}

// Parse reads the documents of a file: a stream of YAML, of which JSON is a
// part. A document that is a list stands for its items. Unknown fields outside
// of spec, repeated names, values that JSON does not have, and more than the
// limits allow are errors, each a *ParseError.
func Parse(file string, r io.Reader) ([]Source, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(text) > MaxFile {
		return nil, &ParseError{File: file, Msg: fmt.Sprintf("is larger than %d bytes", MaxFile)}
	}
	p := &parser{file: file}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return p.out, nil
		}
		if err != nil {
			return nil, p.syntax(err)
		}
		if err := p.document(doc.Content[0]); err != nil {
			return nil, err
		}
		if len(p.out) > MaxDocuments {
			return nil, &ParseError{File: file, Msg: fmt.Sprintf("holds more than %d documents", MaxDocuments)}
		}
	}
}

type parser struct {
	file  string
	out   []Source
	nodes int
	size  int // of the scalars, in bytes
}

// syntax takes the line out of what the YAML library says.
func (p *parser) syntax(err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	e := &ParseError{File: p.file, Document: len(p.out) + 1, Msg: msg}
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if n, text, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(n); err == nil {
				e.Line, e.Msg = line, text
			}
		}
	}
	return e
}

func (p *parser) bad(n *yaml.Node, format string, args ...any) error {
	return &ParseError{File: p.file, Document: len(p.out) + 1, Line: n.Line, Msg: fmt.Sprintf(format, args...)}
}

func (p *parser) document(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil // nothing between two marks
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if err := p.document(item); err != nil {
				return err
			}
		}
		return nil
	case n.Kind != yaml.MappingNode:
		return p.bad(n, "want a document: an object with apiVersion, kind, metadata and spec")
	}
	s := Source{File: p.file, Line: n.Line, node: n}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if seen[k.Value] {
			return p.bad(k, "%.80q is given twice", k.Value)
		}
		seen[k.Value] = true
		var err error
		switch k.Value {
		case "apiVersion":
			err = p.text(v, &s.APIVersion)
		case "kind":
			err = p.text(v, &s.Kind)
		case "metadata":
			err = p.metadata(v, &s.Metadata)
		case "spec":
			s.Spec, err = p.json(v, 0)
		default:
			err = p.bad(k, "there is no field %.80q; a document has apiVersion, kind, metadata and spec", k.Value)
		}
		if err != nil {
			return err
		}
	}
	if s.APIVersion != APIVersion {
		return p.bad(n, "apiVersion is %.80q; want %s", s.APIVersion, APIVersion)
	}
	if k, _ := kindNamed(s.Kind); k == nil {
		return p.bad(n, "%.80q is not a kind of document", s.Kind)
	}
	p.out = append(p.out, s)
	return nil
}

func (p *parser) text(n *yaml.Node, to *string) error {
	n = follow(n)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return p.bad(n, "want a text")
	}
	*to = n.Value
	return nil
}

func (p *parser) metadata(n *yaml.Node, m *Metadata) error {
	n = follow(n)
	if n.Kind != yaml.MappingNode {
		return p.bad(n, "want an object of organization, slug and id")
	}
	to := map[string]*string{"organization": &m.Organization, "type": &m.Type, "slug": &m.Slug, "id": &m.ID}
	for i := 0; i < len(n.Content); i += 2 {
		k := n.Content[i]
		field := to[k.Value]
		if field == nil {
			return p.bad(k, "there is no field %.80q in metadata, or it is given twice", k.Value)
		}
		delete(to, k.Value)
		if err := p.text(n.Content[i+1], field); err != nil {
			return err
		}
	}
	return nil
}

// follow returns what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// json writes a value as JSON.
func (p *parser) json(n *yaml.Node, depth int) (json.RawMessage, error) {
	var b bytes.Buffer
	err := p.write(&b, n, depth)
	return b.Bytes(), err
}

func (p *parser) write(b *bytes.Buffer, n *yaml.Node, depth int) error {
	at := n
	n = follow(n)
	if p.nodes++; p.nodes > maxNodes {
		return p.bad(at, "there are more than %d values in the file, with what aliases stand for", maxNodes)
	}
	if p.size += len(n.Value); p.size > MaxFile {
		return p.bad(at, "the file is larger than %d bytes, with what aliases stand for", MaxFile)
	}
	if depth > maxDepth {
		return p.bad(at, "this is nested more than %d levels deep", maxDepth)
	}
	switch n.Kind {
	case yaml.MappingNode:
		return p.object(b, n, depth)
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, v := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := p.write(b, v, depth+1); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	return p.scalar(b, n)
}

func (p *parser) object(b *bytes.Buffer, n *yaml.Node, depth int) error {
	b.WriteByte('{')
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		k := follow(n.Content[i])
		switch {
		case k.Kind != yaml.ScalarNode:
			return p.bad(k, "the name of a field must be a text")
		case k.Tag == "!!merge":
			return p.bad(k, "merging with << is not understood; repeat the fields, or use an alias for a whole value")
		case seen[k.Value]:
			return p.bad(k, "%.80q is given twice", k.Value)
		}
		seen[k.Value] = true
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quoted(k.Value))
		b.WriteByte(':')
		if err := p.write(b, n.Content[i+1], depth+1); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

// scalar writes a text, number, truth value or null. What YAML takes for a
// date is a text.
func (p *parser) scalar(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Tag {
	case "!!null":
		b.WriteString("null")
		return nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			return p.bad(n, "%.80q cannot be read as a value", n.Value)
		}
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return p.bad(n, "%s is not a number that JSON has", n.Value)
		}
		text, err := json.Marshal(v)
		if err != nil {
			return p.bad(n, "%.80q cannot be read as a value", n.Value)
		}
		b.Write(text)
		return nil
	case "!!str", "!!timestamp":
		b.Write(quoted(n.Value))
		return nil
	}
	return p.bad(n, "values of type %.80s are not understood", n.Tag)
}

// LineOf returns the line of the part of the document that a JSON pointer names,
// or of what is nearest to it.
func (s *Source) LineOf(pointer string) int {
	n, line := s.node, s.Line
	for _, name := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if n == nil {
			break
		}
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		n = follow(n)
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i < len(n.Content); i += 2 {
				if n.Content[i].Value == name {
					line, next = n.Content[i].Line, n.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Content) {
				next = n.Content[i]
				line = next.Line
			}
		}
		n = next
	}
	return line
}

// Documents returns the documents of sources, in order.
func Documents(list []Source) []Document {
	out := make([]Document, len(list))
	for i := range list {
		out[i] = list[i].Document
	}
	return out
}

// OneOrganization returns the organization that all documents that belong to
// one name, "" if they are several or none.
func OneOrganization(docs []Document) string {
	org := ""
	for i := range docs {
		d := &docs[i]
		k, _ := kindNamed(d.Kind)
		name := d.Metadata.Organization
		switch {
		case k != nil && k.typ == "" || name == "" && d.Kind == "Organization":
			// A membership or grant belongs to nothing; an organization is what the
			// others name, or else it is no one's set.
			if d.Kind == "Organization" {
				name = d.Metadata.Slug
			}
			if name == "" {
				continue
			}
		case name == "":
			return ""
		}
		if org != "" && org != name {
			return ""
		}
		org = name
	}
	return org
}

// Kinds lists the kinds of documents, in the order in which they are carried out.
func Kinds() []string {
	out := make([]string, len(kinds))
	for i := range kinds {
		out[i] = kinds[i].name
	}
	return slices.Clip(out)
}
