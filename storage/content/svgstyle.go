package content

import "strings"

// badWords are what has CSS fetch or run something, with a name for each.
// Functions that take an address as a text are among them.
var badWords = []struct{ text, name string }{
	{"\\", "an escape"},
	{"@import", "an import"},
	{"@namespace", "a namespace"},
	{"@charset", "a character set"},
	{"expression(", "an expression"},
	{"-moz-binding", "a binding"},
	{"behavior:", "a behavior"},
	{"behaviour:", "a behavior"},
	{"javascript:", "a script"},
	{"vbscript:", "a script"},
	{"livescript:", "a script"},
	{"image-set(", "an external reference"},
	{"image(", "an external reference"},
	{"cross-fade(", "an external reference"},
	{"progid:", "a filter of Internet Explorer"},
	{"src(", "an external reference"},
}

// badStyle tells what is wrong with the text of a style, or with a value that
// browsers read as one; "" if nothing is. White space and comments may be in
// many places, so they count for nothing here.
func badStyle(s string) string {
	if len(s) < 4 && !strings.ContainsRune(s, '\\') {
		return ""
	}
	s = strings.ToLower(s)
	if !strings.ContainsAny(s, "(@:\\-") {
		return ""
	}
	for _, text := range []string{squeeze(s), squeeze(uncomment(s))} {
		text = strings.ReplaceAll(text, "scroll-behavior:", " ") // the only harmless one
		for _, w := range badWords {
			if strings.Contains(text, w.text) {
				return w.name
			}
		}
		for rest := text; ; {
			_, after, found := strings.Cut(rest, "url(")
			if !found {
				break
			}
			rest = after
			if !strings.HasPrefix(strings.TrimLeft(after, `"'`), "#") {
				return "an external reference"
			}
		}
	}
	return ""
}

// uncomment removes the comments of CSS.
func uncomment(s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "/*")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, s, _ = strings.Cut(rest, "*/")
	}
}

// urls returns the parts of the file that a style refers to.
func urls(s string) (ids []string) {
	const url = "url("
	for i := 0; i+len(url) <= len(s); i++ {
		if !strings.EqualFold(s[i:i+len(url)], url) {
			continue
		}
		inside, _, _ := strings.Cut(s[i+len(url):], ")")
		i += len(inside) // nothing is looked at twice
		if id, ok := strings.CutPrefix(strings.Trim(inside, " \t\r\n\"'"), "#"); ok {
			ids = append(ids, id)
		}
	}
	return ids
}
