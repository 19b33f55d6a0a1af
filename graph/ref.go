package graph

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Type is the type of a node: a lower-case word of letters, digits and
// underscores that starts with a letter, at most MaxType bytes ("user", "repo").
type Type string

// Limits on names, in bytes.
const (
	MaxType = 63
	MaxID   = 512
)

// Ref names one node by its type and id. Its text form is "type:id"; the id
// may itself hold colons and slashes. The zero Ref names nothing.
//
// Refs are comparable and serve as map keys.
type Ref struct {
	Type Type
	ID   string
}

// Nodes that every store holds.
var (
	// Root is above every resource; a grant on it is a global grant.
	Root = Ref{"platform", "root"}
	// Everyone is a subject that stands for any caller, known or not.
	Everyone = Ref{"everyone", "*"}
	// Authenticated is a subject that stands for any known subject.
	Authenticated = Ref{"authenticated", "*"}
)

// ParseRef reads the text form "type:id". It returns an Invalid error that
// says which half is wrong.
func ParseRef(s string) (Ref, error) {
	t, id, ok := strings.Cut(s, ":")
	if !ok {
		return Ref{}, Errorf(Invalid, "%s is not of the form type:id", quote(s))
	}
	r := Ref{Type(t), id}
	return r, r.Validate()
}

// Validate tells whether the type and the id keep to the rules: a Type as
// described there, an id of 1 to MaxID bytes of printable UTF-8.
func (r Ref) Validate() error {
	if !r.Type.Valid() {
		return Errorf(Invalid, "%s is not a type: want a lower-case letter, then at most %d letters, digits or underscores", quote(string(r.Type)), MaxType-1)
	}
	switch {
	case r.ID == "":
		return Errorf(Invalid, "the id of a %s is empty", r.Type)
	case len(r.ID) > MaxID:
		return Errorf(Invalid, "the id of a %s is %d bytes long; the limit is %d", r.Type, len(r.ID), MaxID)
	}
	if !Printable(r.ID) {
		return Errorf(Invalid, "the id %s is not printable UTF-8", quote(r.ID))
	}
	return nil
}

// Printable tells whether s is valid UTF-8 made of graphic characters only.
func Printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f {
			if !utf8.ValidString(s) {
				return false
			}
			return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
		}
	}
	return true
}

// Valid tells whether t keeps to the rules of a type.
func (t Type) Valid() bool {
	if t == "" || len(t) > MaxType || t[0] < 'a' || t[0] > 'z' {
		return false
	}
	for i := 1; i < len(t); i++ {
		c := t[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// String returns the text form.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return string(r.Type) + ":" + r.ID
}

// IsZero tells whether r names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// MarshalText writes the text form; the zero Ref is the empty string.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the text form; the empty string is the zero Ref.
func (r *Ref) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*r = Ref{}
		return nil
	}
	*r, err = ParseRef(string(b))
	return err
}

// CompareRefs orders by type, then by id, both by bytes. Every listing of
// nodes, in every engine, keeps to this order.
func CompareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID))
}

// quote shows untrusted text in an error, shortened so that a hostile
// megabyte does not come back whole.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(strconvQuote(s), "?")
}

// cutPermission splits "type:action".
func cutPermission(p string) (t, action string, ok bool) {
	t, action, ok = strings.Cut(p, ":")
	return t, action, ok && t != "" && action != ""
}
