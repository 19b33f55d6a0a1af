package graph

import (
	"slices"
	"unicode/utf8"
)

// MaxCorrections is how many words may stand in for one.
const MaxCorrections = 8

// Correct returns those of the words of nodes that count which differ from
// word by a typo, the first MaxCorrections of them in order of bytes.
func Correct(word string, there []string) []string {
	typos := map[string]bool{}
	for _, t := range Typos(word) {
		typos[t] = true
	}
	var out []string
	for _, w := range there {
		if typos[w] {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), MaxCorrections)]
}

// alphabets are what a mistyped letter may have been meant to be.
var alphabets = []struct{ from, to rune }{{'a', 'z'}, {'0', '9'}, {'α', 'ω'}, {'а', 'я'}}

// Typos returns what may have been meant by a word of 4 to 24 letters in
// which one letter is wrong, missing, too many, or has changed places with
// the next; the first letter is right.
func Typos(word string) []string {
	letters := []rune(word)
	if len(letters) < 4 || len(letters) > 24 {
		return nil
	}
	var alphabet []rune
	for _, a := range alphabets {
		if slices.ContainsFunc(letters, func(r rune) bool { return r >= a.from && r <= a.to }) || a.to < utf8.RuneSelf && letters[0] < utf8.RuneSelf {
			for r := a.from; r <= a.to; r++ {
				alphabet = append(alphabet, r)
			}
		}
	}
	seen := map[string]bool{word: true}
	var out []string
	add := func(parts ...[]rune) {
		s := string(slices.Concat(parts...))
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for i := 1; i <= len(letters); i++ {
		head, tail := letters[:i], letters[i:]
		for _, r := range alphabet {
			add(head, []rune{r}, tail)
			if len(tail) > 0 {
				add(head, []rune{r}, tail[1:])
			}
		}
		if len(tail) > 0 {
			add(head, tail[1:])
		}
		if len(tail) > 1 {
			add(head, []rune{tail[1], tail[0]}, tail[2:])
		}
	}
	return out
}
