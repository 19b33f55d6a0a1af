package uploads

import (
	"fmt"
	"net/url"
	"strings"
)

// Disposition returns a Content-Disposition header (RFC 6266): the name as it
// is for those who read RFC 8187, and without what is not ASCII for the others.
func Disposition(name string, inline bool) string {
	kind := "attachment"
	if inline {
		kind = "inline"
	}
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	out := fmt.Sprintf("%s; filename=%q", kind, plain)
	if plain != name {
		out += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return out
}
