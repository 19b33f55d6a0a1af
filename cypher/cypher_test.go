package cypher_test

import (
	"regexp"
	"strings"
	"testing"

	"trellis/cypher"
)

func TestEveryStatementSaysWhatItIs(t *testing.T) {
	for _, s := range cypher.Queries() {
		for _, part := range []string{"Parameters: ", "Columns: "} {
			if strings.Count(s.Doc, part) != 1 {
				t.Errorf("query/%s.cypher does not say its %s", s.Name, strings.ToLower(part))
			}
		}
		if strings.HasPrefix(s.Doc, "Parameters") || s.Text == "" || strings.HasSuffix(s.Text, ";") {
			t.Errorf("query/%s.cypher lacks a purpose or is not one bare statement", s.Name)
		}
		if cypher.Query(s.Name) != s {
			t.Errorf("%s is not found by its name", s.Name)
		}
	}
}

func TestSchemaStepsCanBeRunAgain(t *testing.T) {
	again := regexp.MustCompile(`^(CREATE (CONSTRAINT|(FULLTEXT )?INDEX) trellis_[a-z_]+ IF NOT EXISTS\n|MATCH \(store:_Store \{key: 'store'\}\)\nREMOVE store\.[a-z]+$)`)
	for i, m := range cypher.Schema() {
		if m.Number != i+1 || m.Doc == "" || !again.MatchString(m.Text) {
			t.Errorf("schema step %d %s: %q", m.Number, m.Name, m.Text)
		}
	}
}
