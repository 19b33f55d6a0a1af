package auth

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// Token is an API key as its holder keeps it: "tk_<id>_<secret>". Both parts
// are lower-case base32, which has no underscore, so that every token can be
// taken apart again.
type Token struct {
	ID     string
	Secret string
}

// Lengths of the parts: 80 bits name a key, 256 bits open it.
const (
	idLength     = 16
	secretLength = 52
	tokenPrefix  = "tk_"
)

const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

func random(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails
	return base32.NewEncoding(alphabet).WithPadding(base32.NoPadding).EncodeToString(b)
}

// NewToken makes a token with a new id.
func NewToken() Token { return Token{ID: random(10), Secret: random(32)} }

// Renew makes a token with the same id and a new secret.
func (t Token) Renew() Token { return Token{ID: t.ID, Secret: random(32)} }

// String returns the text form.
func (t Token) String() string { return tokenPrefix + t.ID + "_" + t.Secret }

// ParseToken reads the text form and nothing else.
func ParseToken(s string) (Token, bool) {
	if len(s) != len(tokenPrefix)+idLength+1+secretLength || !strings.HasPrefix(s, tokenPrefix) {
		return Token{}, false
	}
	s = s[len(tokenPrefix):]
	t := Token{ID: s[:idLength], Secret: s[idLength+1:]}
	return t, s[idLength] == '_' && isBase32(t.ID) && isBase32(t.Secret)
}

// IsKeyID tells whether s is formed like the id of an API key.
func IsKeyID(s string) bool { return len(s) == idLength && isBase32(s) }

func isBase32(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// maxCredential keeps a hostile header from costing much.
const maxCredential = 4096

// bearer takes the credential out of an Authorization header.
func bearer(header string) (string, bool) {
	const scheme = "bearer "
	if len(header) <= len(scheme) || len(header) > maxCredential || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	c := strings.Trim(header[len(scheme):], " ")
	return c, c != "" && !strings.ContainsAny(c, " \t")
}
