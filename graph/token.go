package graph

import (
	"strconv"
	"strings"
)

// Token is a revision together with the store it belongs to, as callers see
// it: "k3xw9q2a.1042".
type Token struct {
	Store    string
	Revision Revision
}

// String returns the text form.
func (t Token) String() string { return t.Store + "." + strconv.FormatInt(int64(t.Revision), 10) }

// ParseToken reads the text form. It returns an Invalid error for anything
// else, and a Foreign error when the token is of another store than store.
func ParseToken(store, s string) (Token, error) {
	id, n, ok := strings.Cut(s, ".")
	rev, err := strconv.ParseInt(n, 10, 64)
	if !ok || id == "" || err != nil || rev < 0 {
		return Token{}, Errorf(Invalid, "%s is not a revision token", quote(s))
	}
	if id != store {
		return Token{}, Errorf(Foreign, "the revision token %s is of another store; this store's id is %s", quote(s), store)
	}
	return Token{id, Revision(rev)}, nil
}
