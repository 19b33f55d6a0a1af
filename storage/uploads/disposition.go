package uploads

import (
	"fmt"
	"net/url"
	"strings"
)

// maxPlain bounds the name for old clients beside the other, so that the header
// of the longest Filename is no longer than an address for reading can say.
const maxPlain = 100

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
	encoded := plain != name
	if encoded && len(plain) > maxPlain {
		plain = plain[:maxPlain]
	}
	out := fmt.Sprintf("%s; filename=%q", kind, plain)
	if encoded {
		out += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return out
}
