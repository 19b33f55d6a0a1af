package content

import (
	"bytes"

	"github.com/h2non/filetype"
	"github.com/h2non/filetype/matchers"
)

// sniffed is how much of a file is looked at to tell its kind: an SVG may begin
// with a long comment.
const sniffed = 16 << 10

// sniff tells the type of the file by how it begins. The matchers are asked in
// a fixed order and see less than the walk through the structure that follows.
func (s *source) sniff() (string, error) {
	head, err := s.upTo(0, sniffed)
	if err != nil {
		return "", err
	}
	switch {
	case matchers.Png(head):
		return PNG, nil
	case matchers.Jpeg(head):
		return JPEG, nil
	case matchers.Gif(head):
		return GIF, nil
	case bytes.HasPrefix(head, []byte("RIFF")) && matchers.Webp(head):
		return WebP, nil
	case bytes.HasPrefix(head, []byte("%PDF-")):
		return PDF, nil
	case looksLikeSVG(head):
		return SVG, nil
	}
	if t := typeOf(head); t != "" {
		return "", refuse(NotAllowed, "the file is of the type %s, which is not kept", t)
	}
	return "", refuse(NotAllowed, "the file is of no known type; JPEG, PNG, GIF, WebP, SVG and PDF are kept")
}

// typeOf names what a file is that begins so, or returns "".
func typeOf(head []byte) string {
	t, err := filetype.Match(head)
	if err != nil || t == filetype.Unknown {
		return ""
	}
	return t.MIME.Value
}

// looksLikeSVG tells whether the first element is called svg, or the document
// type is. Whether it really is one is for the parser to say.
func looksLikeSVG(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	for {
		b = bytes.TrimLeft(b, " \t\r\n")
		var end string
		switch {
		case bytes.HasPrefix(b, []byte("<?")):
			end = "?>"
		case bytes.HasPrefix(b, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(b, []byte("<!DOCTYPE")):
			return nameIs(bytes.TrimLeft(b[len("<!DOCTYPE"):], " \t\r\n"), "svg")
		case bytes.HasPrefix(b, []byte("<")):
			name := b[1:]
			if i := bytes.IndexAny(name, ": \t\r\n/>"); i >= 0 && name[i] == ':' {
				name = name[i+1:]
			}
			return nameIs(name, "svg")
		default:
			return false
		}
		i := bytes.Index(b, []byte(end))
		if i < 0 {
			return false
		}
		b = b[i+len(end):]
	}
}

// nameIs tells whether b begins with that name, and the name ends there.
func nameIs(b []byte, name string) bool {
	return bytes.HasPrefix(b, []byte(name)) &&
		(len(b) == len(name) || bytes.IndexByte([]byte(" \t\r\n/>["), b[len(name)]) >= 0)
}
