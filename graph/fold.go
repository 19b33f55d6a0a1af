package graph

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// plain are letters that differ from others by more than a mark, as people
// without them on their keyboard write them.
var plain = strings.NewReplacer("ø", "o", "đ", "d", "ð", "d", "ł", "l", "ħ", "h", "ŧ", "t", "ı", "i", "æ", "ae", "œ", "oe", "þ", "th")

// fold gives text the form in which words are compared: compatible forms and
// cases made equal, diacritics removed.
func fold(text string) string {
	text = unmarked(strings.ToValidUTF8(text, " "))
	// Folding makes characters that can be taken apart again, and the other
	// way round; a few rounds settle every one of them.
	for range 4 {
		next := unmarked(plain.Replace(cases.Fold().String(text)))
		if next == text {
			break
		}
		text = next
	}
	return text
}

// unmarked takes characters apart and drops their marks.
func unmarked(text string) string {
	text = norm.NFKD.String(text)
	if strings.IndexFunc(text, isMark) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if isMark(r) {
			return -1
		}
		return r
	}, text)
}

func isMark(r rune) bool { return unicode.In(r, unicode.Mn, unicode.Me) }
