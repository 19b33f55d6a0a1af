package manifest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"trellis/graph/manifest"
)

func TestParseReadsStreamsListsAndJSON(t *testing.T) {
	const one = `{"apiVersion":"trellis/v1","kind":"Group","metadata":{"slug":"%s"},"spec":{"name":"\u00e9 ✓"}}`
	for _, text := range []string{
		fmt.Sprintf(one+"\n---\n"+one, "a", "b"),
		"---\n---\n" + fmt.Sprintf("- "+one+"\n- "+one+"\n---\n# nothing more\n", "a", "b"),
		fmt.Sprintf("["+one+",\n"+one+"]", "a", "b"),
	} {
		list, err := manifest.Parse("x", strings.NewReader(text))
		if err != nil || len(list) != 2 || list[1].Metadata.Slug != "b" || string(list[0].Spec) != `{"name":"é ✓"}` {
			t.Errorf("%q: %v %+v", text, err, list)
		}
	}
}

func TestParseKeepsWhatValuesAre(t *testing.T) {
	list, err := manifest.Parse("x", strings.NewReader(`
apiVersion: trellis/v1
kind: Group
spec: {a: 007, b: "007", c: 1.50, d: 2100-01-01T00:00:00Z, e: yes, f: true, g: ~, h: [1, x], 8080: port, i: 9007199254740993}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(list[0].Spec), `{"a":7,"b":"007","c":1.5,"d":"2100-01-01T00:00:00Z","e":"yes","f":true,"g":null,"h":[1,"x"],"8080":"port","i":9007199254740993}`; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func TestParseNamesWhereSomethingIsWrong(t *testing.T) {
	const head = "apiVersion: trellis/v1\nkind: Group\n"
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		n := string(rune('b' + i))
		bomb += "  " + n + ": &" + n + " [" + strings.TrimSuffix(strings.Repeat("*"+string(rune('a'+i))+",", 10), ",") + "]\n"
	}
	for _, c := range []struct {
		text      string
		doc, line int
	}{
		{head + "spec:\n  x: 1\n  x: 2\n", 1, 5},
		{head + "---\n" + head + "kind: Group\n", 2, 6},
		{head + "---\n" + head + "metadata: {slag: x}\n", 2, 6},
		{head + "---\n" + head + "spec: {<<: {x: 1}}\n", 2, 6},
		{head + "spec: {x: .nan}\n", 1, 3},
		{head + "spec: {x: !!binary aGk=}\n", 1, 3},
		{head + "spec: {x: " + deep + "}\n", 1, 3},
		{head + "spec:\n  " + bomb, 1, 0},
		{head + "spec: {? [a, b] : x}\n", 1, 3},
		{"kind: Group\n", 1, 1},
		{"apiVersion: trellis/v1\nkind: Grape\n", 1, 1},
		{"just text\n", 1, 1},
		{head + "spec: {x: *none}\n", 1, 0},
	} {
		_, err := manifest.Parse("file.yaml", strings.NewReader(c.text))
		var p *manifest.ParseError
		if !errors.As(err, &p) || p.File != "file.yaml" || c.doc != p.Document && p.Document != 0 || c.line != 0 && p.Line != c.line {
			t.Errorf("%.60q: %v; want document %d, line %d", c.text, err, c.doc, c.line)
		}
	}
}

func TestASelfReferringAliasIsRefused(t *testing.T) {
	_, err := manifest.Parse("x", strings.NewReader("apiVersion: trellis/v1\nkind: Group\nspec: &a {x: *a}\n"))
	if err == nil {
		t.Error("a value that holds itself was read")
	}
}

// FuzzParse: whatever is read is made of valid JSON, and nothing panics.
func FuzzParse(f *testing.F) {
	f.Add("apiVersion: trellis/v1\nkind: Group\nmetadata: {slug: x}\nspec: {name: x, list: [1, 2.5, ~, true]}\n")
	f.Add("- &a {apiVersion: trellis/v1, kind: Tag, spec: {x: y}}\n- *a\n")
	f.Add(`{"apiVersion":"trellis/v1","kind":"Tag","spec":{"x":"\u0000"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := manifest.Parse("x", strings.NewReader(text))
		if err != nil {
			return
		}
		for i := range list {
			if len(list[i].Spec) > 0 && !json.Valid(list[i].Spec) {
				t.Errorf("%q is not JSON", list[i].Spec)
			}
			_ = list[i].LineOf("/spec/x/0")
		}
	})
}
