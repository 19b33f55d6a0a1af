package graph

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Words cuts text into the words that a search knows: runs of letters and
// digits, in lower case and without diacritics; a letter of a script without
// spaces (Han, Hiragana, Katakana) is a word of its own. Words of more than
// MaxWord letters are cut there. Words of what it returns are the same again.
func Words(text string) []string {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return cut(fold(text))
		}
	}
	return asciiWords(text)
}

func asciiWords(text string) []string {
	var out []string
	start := -1
	lower := strings.ToLower(text)
	for i := 0; i <= len(lower); i++ {
		if i < len(lower) && (lower[i] >= 'a' && lower[i] <= 'z' || lower[i] >= '0' && lower[i] <= '9') {
			if start < 0 {
				start = i
			}
		} else if start >= 0 {
			out = append(out, lower[start:min(i, start+MaxWord)])
			start = -1
		}
	}
	return out
}

// cut is asciiWords for folded text of any script.
func cut(text string) []string {
	var out []string
	start, end, letters := 0, 0, 0
	stop := func() {
		if letters > 0 {
			out = append(out, text[start:end])
		}
		letters = 0
	}
	for i, r := range text {
		if !unicode.In(r, unicode.Letter, unicode.Number, unicode.Mc) {
			stop()
			continue
		}
		alone := unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
		if alone {
			stop()
		}
		if letters == 0 {
			start = i
		}
		if letters < MaxWord {
			end = i + utf8.RuneLen(r)
		}
		letters++
		if alone {
			stop()
		}
	}
	stop()
	return out
}

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
