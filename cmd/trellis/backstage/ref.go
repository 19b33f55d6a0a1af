package backstage

import (
	"fmt"
	"strings"

	"trellis/graph"
)

// defaultNamespace is that of entities which name none.
const defaultNamespace = "default"

// Ref names one entity. All parts are in lower case, since Backstage does not
// tell Upper from lower case in names. The zero Ref names nothing.
type Ref struct {
	Kind, Namespace, Name string
}

// String returns the full form, "kind:namespace/name".
func (r Ref) String() string { return r.Kind + ":" + r.Namespace + "/" + r.Name }

// maxRef limits the text of a reference, in bytes. Backstage allows 63 for
// each part.
const maxRef = 255

// ParseRef reads "[kind:][namespace/]name". What is left out is taken from the
// defaults; without a default, the kind must be there.
func ParseRef(text, kind, namespace string) (Ref, error) {
	colon, slash := strings.IndexByte(text, ':'), strings.IndexByte(text, '/')
	if slash >= 0 && slash < colon {
		colon = -1 // it is part of the name
	}
	r := Ref{Kind: kind, Namespace: namespace, Name: text[max(colon, slash)+1:]}
	if colon >= 0 {
		r.Kind = text[:colon]
	}
	if slash >= 0 {
		r.Namespace = text[colon+1 : slash]
	}
	return r.check(text)
}

// check refuses a reference of which a part is missing, and returns it in lower
// case.
func (r Ref) check(text string) (Ref, error) {
	if r.Kind == "" && !strings.HasPrefix(text, ":") {
		return Ref{}, fmt.Errorf("%q does not say which kind it is: want kind:name", shown(text))
	}
	if r.Kind == "" || r.Namespace == "" || r.Name == "" {
		return Ref{}, fmt.Errorf("%q is not of the form [kind:][namespace/]name", shown(text))
	}
	if len(text) > maxRef || !graph.Printable(r.String()) {
		return Ref{}, fmt.Errorf("%q cannot be a reference: want at most %d printable characters", shown(text), maxRef)
	}
	return Ref{strings.ToLower(r.Kind), strings.ToLower(r.Namespace), strings.ToLower(r.Name)}, nil
}

// shown is a text short enough for a message.
func shown(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
