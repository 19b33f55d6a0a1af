package content

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"strings"
)

// attribute tells whether an element may have it, with that value.
func (f *svgFile) attribute(of xml.Name, a xml.Attr) error {
	name, value := a.Name.Local, a.Value
	if a.Name.Space == "xmlns" || a.Name.Space == "" && name == "xmlns" {
		return declaration(a)
	}
	if isHandler(name) {
		return refuse(Active, "the SVG contains the attribute %s", quote(name))
	}
	if len(value) > maxValue && !longAttributes[name] {
		return refuse(TooLarge, "the SVG's attribute %s is longer than %d bytes", quote(name), maxValue)
	}
	switch space := a.Name.Space; {
	case name == "href" && (space == "" || space == xlinkSpace):
		return f.href(of, value)
	case space == xlinkSpace && xlinkAttributes[name], space == xmlSpace && xmlAttributes[name]:
		return nil
	case space != "" && inert(space) && plainName(name) && !dangerousAttribute(name):
		return nil
	case space == "" && of.Space != svgSpace && plainName(name) && !dangerousAttribute(name):
		return checkValue(name, value)
	case space == "" && of.Space == svgSpace && allowedAttribute(name):
		return f.value(of, name, value)
	}
	return refuse(Active, "the SVG contains the attribute %s", quote(name))
}

// declaration accepts that of a namespace. It is used or not; but the default
// one stays SVG's, so that names mean the same to whoever reads no namespaces.
func declaration(a xml.Attr) error {
	if a.Name.Space == "" && a.Value != svgSpace {
		return refuse(Active, "the SVG changes its namespace to %s", quote(a.Value))
	}
	if a.Name.Space != "" && (!plainName(a.Name.Local) || isHandler(a.Name.Local)) {
		return refuse(Active, "the SVG contains the prefix %s", quote(a.Name.Local))
	}
	return nil
}

func isHandler(name string) bool { return strings.HasPrefix(strings.ToLower(name), "on") }

// value checks that of an attribute of SVG's own.
func (f *svgFile) value(of xml.Name, name, value string) error {
	switch {
	case strings.HasPrefix(name, "data-") || strings.HasPrefix(name, "aria-"):
		return nil
	case name == "id":
		f.refs.name(value)
	case name == "attributeName":
		return animated(value)
	}
	if err := checkValue(name, value); err != nil {
		return err
	}
	for _, id := range urls(value) {
		f.refs.to(id)
	}
	return nil
}

func checkValue(name, value string) error {
	if why := badStyle(value); why != "" {
		return refuse(Active, "the SVG has an attribute %s with %s", quote(name), why)
	}
	return nil
}

// animated tells whether an attribute of that name may be changed over time.
func animated(name string) error {
	bare := name[strings.LastIndexByte(name, ':')+1:]
	if bare == "href" || bare == "style" || bare == "id" || !allowedAttribute(bare) || isHandler(bare) {
		return refuse(Active, "the SVG animates the attribute %s", quote(name))
	}
	return nil
}

// href accepts a part of the same file, and a picture that the file holds.
func (f *svgFile) href(of xml.Name, value string) error {
	value = squeeze(value)
	if id, ok := strings.CutPrefix(value, "#"); ok {
		f.refs.to(id)
		return nil
	}
	if value == "" {
		return nil
	}
	head, data, ok := strings.Cut(value, ",")
	kind, isImage := strings.CutPrefix(strings.ToLower(head), "data:")
	kind, isBase64 := strings.CutSuffix(kind, ";base64")
	if !ok || !isImage || !isBase64 || of.Space != svgSpace || of.Local != "image" && of.Local != "feImage" {
		return refuse(Active, "the SVG refers to %s, which is not in it", quote(value))
	}
	return f.picture(Canonical(kind), data)
}

// picture inspects one that is held in the SVG.
func (f *svgFile) picture(kind, data string) error {
	switch kind {
	case JPEG, PNG, GIF, WebP:
	default:
		return refuse(Active, "the SVG contains data of the type %s", quote(kind))
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(data, "="))
	if err != nil {
		return damaged("the SVG contains a picture that is not base64")
	}
	_, err = Inspect(f.s.ctx, bytes.NewReader(b), int64(len(b)), kind)
	var r *Refusal
	if errors.As(err, &r) {
		return refuse(r.Kind, "a picture in the SVG: %s", r.Reason)
	}
	return err
}

// squeeze removes what browsers ignore in addresses.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f && r <= 0xa0 {
			return -1
		}
		return r
	}, s)
}

// plainName tells whether a name has nothing that anybody may read differently.
func plainName(s string) bool {
	for i := range len(s) {
		switch c := lower(s[i]); {
		case c >= 'a' && c <= 'z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}
