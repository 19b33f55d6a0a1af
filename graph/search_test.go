package graph_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"trellis/graph"
)

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		" -_./ ":                          "",
		"Billing-API v2":                  "billing api v2",
		"ÀÉÎõü Straße ŁÓDŹ Ærø":           "aeiou strasse lodz aero",
		"e\u0301te\u0301":                 "ete",
		"İstanbul ISTANBUL ısı":           "istanbul istanbul isi",
		"ﬁle ⅷ ①":                         "file viii 1",
		"搜索引擎 search":                     "搜 索 引 擎 search",
		"カタカナ":                            "カ タ カ ナ",
		"Привет, МИР":                     "привет мир",
		"ΣΊΣΥΦΟΣ":                         "σισυφοσ",
		"a\x00b\xffc\"d*":                 "a b c d",
		"snake_case:with/slash@host.test": "snake case with slash host test",
		strings.Repeat("x", 100) + " y":   strings.Repeat("x", graph.MaxWord) + " y",
		strings.Repeat("Ω", 100) + " y":   strings.Repeat("ω", graph.MaxWord) + " y",
	} {
		if got := strings.Join(graph.Words(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"Billing-API", "ÀÉ ß İ ı ŁÆ", "搜索", "a\x00\xff", "ﬁ ⅷ ① ½", "หนังสือ हिन्दी 한국어", strings.Repeat("é", 300), "ᾳ ΐ ŉ ǰ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := graph.Words(s)
		for _, w := range words {
			if w == "" || !utf8.ValidString(w) || utf8.RuneCountInString(w) > graph.MaxWord || strings.ContainsAny(w, " _\"*\x00") {
				t.Errorf("%q has the word %q", s, w)
			}
			if again := graph.Words(w); !slices.Equal(again, []string{w}) {
				t.Errorf("%q: the word %q becomes %q", s, w, again)
			}
		}
		if again := graph.Words(strings.Join(words, "-")); !slices.Equal(again, words) {
			t.Errorf("%q: %q becomes %q", s, words, again)
		}
		if other := graph.Words(strings.ToUpper(s)); utf8.ValidString(s) && isASCII(s) && !slices.Equal(other, words) {
			t.Errorf("%q: %q, in upper case %q", s, words, other)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func TestTypos(t *testing.T) {
	for _, c := range []struct {
		meant, written string
		want           bool
	}{
		{"kubernetes", "kuberntes", true}, {"kubernetes", "kubbernetes", true}, {"kubernetes", "kubermetes", true}, {"kubernetes", "kubenretes", true},
		{"kubernetes", "kubernetess", true}, {"kubernetes", "kubernete", true}, {"api2", "api3", true}, {"проект", "праект", true},
		{"kubernetes", "kubernetes", false}, {"kubernetes", "lubernetes", false}, {"kubernetes", "ukbernetes", false}, {"kubernetes", "kuberts", false},
		{"teams", "tae", false}, {"abcd", "abc", false}, {"abc", "abcd", true},
	} {
		if got := slices.Contains(graph.Typos(c.written), c.meant); got != c.want {
			t.Errorf("%s for %s: %v", c.written, c.meant, got)
		}
	}
	if n := len(graph.Typos(strings.Repeat("x", 25))); n != 0 {
		t.Errorf("%d for a long word", n)
	}
}

func TestSearchedIsWhatPeopleCallANode(t *testing.T) {
	s := graph.SearchedOf(&graph.Node{
		Ref: graph.Ref{Type: "project", ID: "0197f3a2-7c1e-7000-8000-000000000001"},
		Props: graph.Props{
			"name": "Billing API", "slug": "billing-api", "description": "The API that bills", "organization": "o1", "secret": "hunter2",
			"identifiers": graph.JSON(`{"sentry":"Bill-7","n":5}`), "keywords": []string{"go", "payments"},
			"attributes": graph.JSON(`{"tier":"Gold","zone":["eu-1"]}`),
		},
	})
	want := graph.Searched{
		Whole: []string{"__w_billing_api"}, Title: []string{"billing", "api"}, Body: []string{"the", "that", "bills", "5", "bill", "7", "go", "payments", "gold", "eu", "1"},
		Scope: []string{"__t_project", graph.OrganizationToken("o1")},
	}
	if !s.Equal(want) {
		t.Errorf("%+v", s)
	}
	repo := graph.SearchedOf(&graph.Node{Ref: graph.Ref{Type: "repo", ID: "kubernetes/test-infra"}})
	if strings.Join(repo.Title, " ") != "kubernetes test infra" || repo.Whole[0] != "__w_kubernetes_test_infra" {
		t.Errorf("%+v", repo)
	}
	org := graph.SearchedOf(&graph.Node{Ref: graph.Ref{Type: "organization", ID: "o1"}})
	if !slices.Contains(org.Scope, graph.OrganizationToken("o1")) {
		t.Errorf("%+v", org)
	}
	for _, n := range []graph.Node{{Ref: graph.Root, Props: graph.Props{"name": "all"}}, {Ref: graph.Ref{Type: "user", ID: "0197f3a2-7c1e-7000-8000-000000000001"}}} {
		if s := graph.SearchedOf(&n); len(s.Scope) != 0 {
			t.Errorf("%s is searched: %+v", n.Ref, s)
		}
	}
}

func TestTextsOfJSONAreItsValues(t *testing.T) {
	nested := func(n int) graph.JSON { return graph.JSON(strings.Repeat(`[`, n) + `"x"` + strings.Repeat(`]`, n)) }
	for in, want := range map[graph.JSON]string{
		``: "", `{`: "", `{}`: "", `{"a":null,"b":true,"c":{}}`: "", `{"b":"two words","a":["x",-1.5,["y"]],"c":{"d":"z"}}`: "x|-1.5|y|two words|z",
		`{"a":12345678901234567890123}`: "12345678901234567890123", nested(8): "x", nested(9): "",
	} {
		if got := strings.Join(in.Texts(), "|"); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestSearchQueriesThatMakeNoSense(t *testing.T) {
	good := func() graph.SearchQuery { return graph.SearchQuery{Words: []string{"a"}, Limit: 1} }
	if q := good(); q.Validate() != nil {
		t.Error(q.Validate())
	}
	for what, spoil := range map[string]func(q *graph.SearchQuery){
		"no words":       func(q *graph.SearchQuery) { q.Words = nil },
		"nine words":     func(q *graph.SearchQuery) { q.Words = strings.Fields("a b c d e f g h i") },
		"not folded":     func(q *graph.SearchQuery) { q.Words = []string{"É"} },
		"two in one":     func(q *graph.SearchQuery) { q.Words = []string{"a b"} },
		"an operator":    func(q *graph.SearchQuery) { q.Words = []string{"a*"} },
		"empty":          func(q *graph.SearchQuery) { q.Words = []string{""} },
		"too long":       func(q *graph.SearchQuery) { q.Words = []string{strings.Repeat("a", 10_000)} },
		"no limit":       func(q *graph.SearchQuery) { q.Limit = 0 },
		"a large limit":  func(q *graph.SearchQuery) { q.Limit = graph.MaxPage + 1 },
		"a bad type":     func(q *graph.SearchQuery) { q.Types = []graph.Type{"a b"} },
		"a bad node":     func(q *graph.SearchQuery) { q.Only = []graph.Ref{{Type: "a"}} },
		"a bad tenant":   func(q *graph.SearchQuery) { q.Organization = "a\x00" },
		"too many nodes": func(q *graph.SearchQuery) { q.Only = make([]graph.Ref, graph.MaxSearchOnly+1) },
	} {
		q := good()
		spoil(&q)
		if q.Validate() == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	for _, after := range []string{"*", "e30", "eyJyIjo5fQ"} {
		q := good()
		if q.After = after; true {
			if _, err := q.Place(); graph.KindOf(err) != graph.Invalid {
				t.Errorf("after %q: %v", after, err)
			}
		}
	}
	// What a cursor says was corrected goes into the search, so it is looked at.
	for _, instead := range []string{`a" OR b`, "A", ""} {
		q := good()
		q.After = graph.SearchPlace{Rank: 1, Corrected: map[string][]string{"a": {instead}}}.String()
		if _, err := q.Place(); graph.KindOf(err) != graph.Invalid {
			t.Errorf("instead %q: %v", instead, err)
		}
	}
}
