// Package cypher holds every Cypher statement of Trellis, one per file:
// query/NAME.cypher and schema/NNNN_NAME.cypher, embedded and looked up by
// name. It imports nothing of ours and connects to nothing.
//
// A statement takes its values as the entries of one parameter, the map $p, and says in
// the comment at its head what it is for, which entries it takes and which columns it
// returns. One map, because Neo4j plans a statement anew for each class of sizes that
// its parameters have, texts and lists alike: ten lists that are empty or not are a
// thousand plans, of a quarter of a second each. Into a map it does not look.
// Names of labels and kinds are parameters too, as dynamic labels and types,
// so every file can be run as it stands.
package cypher

import (
	"embed"
	"fmt"
	"path"
	"strconv"
	"strings"
)

//go:embed query/*.cypher schema/*.cypher
var files embed.FS

// Statement is one file.
type Statement struct {
	// Name is the file's name without extension and number.
	Name string
	// Doc is the comment at its head.
	Doc string
	// Text is the statement without that comment.
	Text string
}

// Migration is one step of the schema. Each may be run again without harm.
type Migration struct {
	Number int
	Statement
}

// Query returns the statement query/NAME.cypher. It panics if there is none:
// names are written in the source, and a test runs every one.
func Query(name string) Statement {
	s, err := read("query/" + name + ".cypher")
	if err != nil {
		panic(err)
	}
	return s
}

// Queries returns every statement of query/, by name.
func Queries() []Statement {
	return list("query")
}

// Schema returns the steps of the schema in their order, numbered from 1.
func Schema() []Migration {
	var out []Migration
	for _, s := range list("schema") {
		number, name, _ := strings.Cut(s.Name, "_")
		n, err := strconv.Atoi(number)
		if err != nil || n != len(out)+1 {
			panic(fmt.Sprintf("cypher: schema file %s is not number %d", s.Name, len(out)+1))
		}
		s.Name = name
		out = append(out, Migration{n, s})
	}
	return out
}

func list(dir string) []Statement {
	entries, err := files.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	var out []Statement
	for _, e := range entries {
		s, err := read(dir + "/" + e.Name())
		if err != nil {
			panic(err)
		}
		out = append(out, s)
	}
	return out
}

func read(name string) (Statement, error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return Statement{}, err
	}
	s := Statement{Name: strings.TrimSuffix(path.Base(name), ".cypher")}
	text := string(b)
	for strings.HasPrefix(text, "//") {
		line, rest, _ := strings.Cut(text, "\n")
		s.Doc += strings.TrimSpace(strings.TrimPrefix(line, "//")) + "\n"
		text = rest
	}
	s.Text = strings.TrimSpace(text)
	return s, nil
}
