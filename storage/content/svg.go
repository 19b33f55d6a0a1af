package content

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The limits of an SVG, besides MaxSVG.
const (
	maxDepth      = 128
	maxElements   = 50_000
	maxAttributes = 128
	// maxValue is how long an attribute may be; those that hold a picture or a
	// path may be as long as the file.
	maxValue = 64 << 10
)

// svgFile is the walk through the tokens of an SVG. What is not known to be
// harmless is refused: elements, attributes and namespaces are those of a list.
type svgFile struct {
	s   *source
	raw []byte
	// open are the elements around the present token.
	open     []xml.Name
	elements int
	closed   bool // the root element has ended
	// styles is the text of the style element that is open: its parts are put
	// together before they are looked at, as browsers do.
	styles strings.Builder
	refs   references
}

var (
	svgProlog  = regexp.MustCompile(`^version\s*=\s*["']1\.0["'](\s+encoding\s*=\s*["'](?i:utf-8)["'])?(\s+standalone\s*=\s*["'](yes|no)["'])?\s*$`)
	svgDoctype = regexp.MustCompile(`^DOCTYPE\s+svg(\s+PUBLIC\s+["']-//W3C//DTD SVG (1\.0|20010904|1\.1|1\.1 Basic|1\.1 Tiny)//EN["']\s+["']http://www\.w3\.org/[-A-Za-z0-9./]*\.dtd["'])?\s*$`)
)

func (s *source) svg() (Info, error) {
	if s.size > MaxSVG {
		return Info{}, refuse(TooLarge, "the SVG has more than %d bytes", MaxSVG)
	}
	raw := make([]byte, s.size)
	if n, err := s.r.ReadAt(raw, 0); n < len(raw) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Info{}, err
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(raw) {
		return Info{}, damaged("the SVG is not UTF-8")
	}
	if bytes.ContainsFunc(raw, isNoXML) {
		return Info{}, damaged("the SVG contains a control character")
	}
	f := &svgFile{s: s, raw: raw}
	return Info{}, f.tokens()
}

// isNoXML tells whether a character may not be in XML.
func isNoXML(r rune) bool {
	return isControl(r) || r == '\v' || r == '\f' || r == 0xfffe || r == 0xffff
}

// tokens reads all of them.
func (f *svgFile) tokens() error {
	d := xml.NewDecoder(bytes.NewReader(f.raw))
	for n := 0; ; n++ {
		if n%1024 == 0 && f.s.ctx.Err() != nil {
			return f.s.ctx.Err()
		}
		begin := d.InputOffset()
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return notWellFormed(err)
		}
		if err := f.token(t, begin, f.raw[begin:d.InputOffset()]); err != nil {
			return err
		}
	}
	if !f.closed {
		return damaged("the SVG has no root element")
	}
	return f.refs.check()
}

func notWellFormed(err error) error {
	const most = 120
	why := strings.TrimPrefix(err.Error(), "XML syntax error on ")
	if len(why) > most {
		why = strings.ToValidUTF8(why[:most], "") + "…"
	}
	return damaged("the SVG is not well-formed: %s", why)
}

// token looks at one that begins at an offset and was written as raw.
func (f *svgFile) token(t xml.Token, begin int64, raw []byte) error {
	switch t := t.(type) {
	case xml.StartElement:
		return f.start(t)
	case xml.EndElement:
		return f.end()
	case xml.CharData:
		return f.text(t, raw)
	case xml.Comment:
		// HTML ends such a comment at once.
		if bytes.HasPrefix(t, []byte(">")) || bytes.HasPrefix(t, []byte("->")) {
			return refuse(Active, "the SVG contains a comment that hides markup")
		}
	case xml.ProcInst:
		if begin > 0 || t.Target != "xml" {
			return refuse(Active, "the SVG contains the processing instruction %s", quote(t.Target))
		}
		if !svgProlog.Match(t.Inst) {
			return damaged("the SVG's XML declaration is not one of XML 1.0 in UTF-8")
		}
	case xml.Directive:
		if f.elements > 0 || !svgDoctype.Match(t) {
			return refuse(Active, "the SVG has a document type other than the plain one of SVG")
		}
	}
	return nil
}

func (f *svgFile) text(t xml.CharData, raw []byte) error {
	if bytes.HasPrefix(raw, []byte("<![CDATA[")) && bytes.ContainsRune(t, '<') {
		return refuse(Active, "the SVG contains markup in a CDATA section")
	}
	if len(f.open) == 0 {
		if len(bytes.TrimSpace(t)) > 0 {
			return damaged("the SVG has text outside of its root element")
		}
		return nil
	}
	if f.parent().Local == "style" {
		f.styles.Write(t)
	}
	return nil
}

func (f *svgFile) parent() xml.Name {
	if len(f.open) == 0 {
		return xml.Name{}
	}
	return f.open[len(f.open)-1]
}

func (f *svgFile) end() error {
	name := f.parent()
	f.open = f.open[:len(f.open)-1]
	f.refs.close()
	f.closed = len(f.open) == 0
	if name.Local != "style" {
		return nil
	}
	text := f.styles.String()
	f.styles.Reset()
	if why := badStyle(text); why != "" {
		return refuse(Active, "the SVG has a style element with %s", why)
	}
	if strings.ContainsRune(text, '<') {
		return refuse(Active, "the SVG has a style element with markup")
	}
	return nil
}

func (f *svgFile) start(t xml.StartElement) error {
	if f.closed {
		return damaged("the SVG has more than one root element")
	}
	if f.elements++; f.elements > maxElements {
		return refuse(TooLarge, "the SVG has more than %d elements", maxElements)
	}
	if len(f.open) == maxDepth {
		return refuse(TooLarge, "the SVG is more than %d elements deep", maxDepth)
	}
	if len(t.Attr) > maxAttributes {
		return refuse(TooLarge, "an element of the SVG has more than %d attributes", maxAttributes)
	}
	if err := f.element(t.Name); err != nil {
		return err
	}
	f.open = append(f.open, t.Name)
	f.refs.open()
	for _, a := range t.Attr {
		if err := f.attribute(t.Name, a); err != nil {
			return err
		}
	}
	return nil
}

// element tells whether it may stand where it does.
func (f *svgFile) element(n xml.Name) error {
	if len(f.open) == 0 && n != (xml.Name{Space: svgSpace, Local: "svg"}) {
		return refuse(Active, "the root element is not svg in the namespace of SVG")
	}
	if n.Space != svgSpace {
		// Read as HTML, names are the same in every namespace.
		if !inert(n.Space) || !plainName(n.Local) || dangerousElement(n.Local) {
			return refuse(Active, "the SVG contains the element %s of another kind of document", quote(n.Local))
		}
	} else if !svgElements[n.Local] {
		return refuse(Active, "the SVG contains the element %s", quote(n.Local))
	}
	switch p := f.parent(); {
	case p.Space != svgSpace:
	case p.Local == "style" || p.Local == "title" || p.Local == "desc":
		return refuse(Active, "the SVG contains the element %s in a %s", quote(n.Local), p.Local)
	}
	return nil
}
