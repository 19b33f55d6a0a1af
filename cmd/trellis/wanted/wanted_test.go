package wanted_test

import (
	"strings"
	"testing"

	"trellis/cmd/trellis/wanted"
)

func TestPlacesAndProblemsAreWrittenForPeople(t *testing.T) {
	var p wanted.Problems
	if p.Err() != nil {
		t.Error("a mistake without one")
	}
	for range wanted.MaxProblems + 2 {
		p.Add(wanted.Place{File: "a.yaml", Document: 2, Line: 7}, "%d is wrong", 1)
	}
	lines := strings.Split(p.Err().Error(), "\n")
	if len(lines) != wanted.MaxProblems+1 || lines[0] != "a.yaml:7: document 2: 1 is wrong" || lines[len(lines)-1] != "and 2 more mistakes" {
		t.Errorf("%d: %q … %q", len(lines), lines[0], lines[len(lines)-1])
	}
	if got := (wanted.Note{Place: wanted.Place{File: "b.csv"}, Msg: "x"}).String(); got != "b.csv: x" {
		t.Error(got)
	}
}

func TestSlugsHoldWhatSlugsMay(t *testing.T) {
	for text, want := range map[string]string{
		"Spring Boot": "spring-boot", "a_b.c": "a_b.c", "--x--": "x", "Ä": "", "": "", "über 9": "ber-9", strings.Repeat("x", 200): strings.Repeat("x", 100),
	} {
		if got := wanted.Slug(text); got != want {
			t.Errorf("%q: got %q", text, got)
		}
	}
	if got := wanted.Clip("aä", 2); got != "a" {
		t.Errorf("got %q", got)
	}
}
