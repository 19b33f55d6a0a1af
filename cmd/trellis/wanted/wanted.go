// Package wanted is what the importers have in common: documents that say what
// the graph is to hold, places in the files they were made from, and the
// mistakes and remarks that come up on the way. It promises that as many
// mistakes as one can read come back at once, in the order of the files, and
// that it writes nothing itself.
package wanted

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"trellis/graph"
)

// Place is where in the files something is said.
type Place struct {
	File string
	// Document counts the YAML documents of the file from 1; 0 if there is but one thing in it.
	Document int
	// Line counts from 1; 0 if it is about the file as a whole.
	Line int
}

// String returns "file:line: document 2", without what is 0.
func (p Place) String() string {
	s := p.File
	if p.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, p.Line)
	}
	if p.Document > 0 {
		s = fmt.Sprintf("%s: document %d", s, p.Document)
	}
	return s
}

// Problem is one mistake in the files.
type Problem struct {
	Place
	Msg string
}

// Error returns the place and the message.
func (p *Problem) Error() string { return p.Place.String() + ": " + p.Msg }

// MaxProblems limits how many mistakes are listed.
const MaxProblems = 100

// Problems gathers mistakes. The zero value is ready.
type Problems struct {
	list []*Problem
	more int
}

// Add notes a mistake.
func (p *Problems) Add(at Place, format string, args ...any) {
	if len(p.list) == MaxProblems {
		p.more++
		return
	}
	p.list = append(p.list, &Problem{at, fmt.Sprintf(format, args...)})
}

// Err returns all of them joined, nil if there are none. Each is a *Problem,
// but perhaps the last, which counts those that are not listed.
func (p *Problems) Err() error {
	var out []error
	for _, e := range p.list {
		out = append(out, e)
	}
	if p.more > 0 {
		out = append(out, fmt.Errorf("and %d more mistakes", p.more))
	}
	return errors.Join(out...)
}

// Note is a remark about something that was understood, but left out or taken
// otherwise than one might think.
type Note struct {
	Place
	Msg string
}

// String returns the place and the remark.
func (n Note) String() string {
	if n.File == "" {
		return n.Msg
	}
	return n.Place.String() + ": " + n.Msg
}

// Document says what one node, or the members of one set, are to be.
type Document struct {
	Type graph.Type
	// Slug names the node within the organization; Email names a user. At
	// most one of the two is set, and neither if ID is.
	Slug, Email string
	// ID names a node of which it is known.
	ID string
	// Spec holds the fields of the node's type.
	Spec map[string]any
	Place
}

// Name returns the name by which people know the document.
func (d *Document) Name() string {
	switch {
	case d.ID != "":
		return string(d.Type) + ":" + d.ID
	case d.Email != "":
		return string(d.Type) + ":" + d.Email
	}
	return string(d.Type) + ":" + d.Slug
}

// Membership says that a node is a member of a set. Both are names as
// Document.Name gives them; the organization itself is "organization:ID".
type Membership struct {
	Set, Member string
	Place
}

// Plan is all that an importer wants.
type Plan struct {
	// Documents come in the order in which they can be carried out.
	Documents   []Document
	Memberships []Membership
	Notes       []Note
}

// Count counts the documents of a type.
func (p *Plan) Count(t graph.Type) int {
	n := 0
	for i := range p.Documents {
		if p.Documents[i].Type == t {
			n++
		}
	}
	return n
}

// maxSlug is the length of the longest slug.
const maxSlug = 100

// Slug makes a slug of a text: lower case, and a dash for whatever a slug
// cannot hold. It returns "" if nothing is left.
func Slug(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '.':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	s := strings.Trim(b.String(), "-_.")
	return strings.TrimRight(s[:min(len(s), maxSlug)], "-_.")
}

// Clip cuts a text to at most so many bytes, between characters.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
