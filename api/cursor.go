package api

import (
	"crypto/hmac"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// macLength is how much of the signature a cursor carries.
const macLength = 16

// queryKey is what a cursor belongs to: the path and every parameter that
// chooses or orders the items. limit may change from page to page.
func (c *call) queryKey() []string {
	names := make([]string, 0, len(c.query))
	for k := range c.query {
		if k != "cursor" && k != "limit" && k != "revision" && k != "consistency" {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	key := []string{c.caller.Subject.String(), c.rt.id, c.ref.String()}
	for _, n := range names {
		key = append(key, n, c.query[n])
	}
	for _, n := range slices.Sorted(maps.Keys(c.values)) {
		key = append(append(key, n, strconv.Itoa(len(c.values[n]))), c.values[n]...)
	}
	return key
}

// cursor makes the text from which the next page goes on after the position.
func (c *call) cursor(after string) string {
	if after == "" {
		return ""
	}
	sum := c.Secrets.Cursors().Sum(append(c.queryKey(), after)...)
	return base64.RawURLEncoding.EncodeToString(append(sum[:macLength:macLength], after...))
}

// after reads the cursor of the request: "" for the first page. A cursor of
// another query, or of another caller, is refused.
func (c *call) after() (string, error) {
	s, ok := c.query["cursor"]
	if !ok {
		return "", nil
	}
	bad := problem(http.StatusUnprocessableEntity, "cursor", "send back next_cursor as it was, with the same parameters as before")
	bad.Errors = []Fault{{Parameter: "cursor", Detail: "is not of this query"}}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) <= macLength {
		return "", bad
	}
	after := string(b[macLength:])
	sum := c.Secrets.Cursors().Sum(append(c.queryKey(), after)...)
	if !hmac.Equal(sum[:macLength], b[:macLength]) {
		return "", bad
	}
	return strings.Clone(after), nil
}

// Page is one page of a list.
type Page[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Give it as cursor to get the next page; absent on the last one"`
}
