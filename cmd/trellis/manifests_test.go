package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"trellis/graph/manifest"
	"trellis/graph/neo4jgraph/neo4jtest"
)

const catalogExample = "../../testdata/catalog"

func TestApplyPlansAppliesAndThenHasNothingToDo(t *testing.T) {
	s := serve(t)
	plan := []string{"apply", "-f", catalogExample, "--plan", "--detailed-exitcode"}
	code, out, errs := s.trellis(t, "", plan...)
	if code != exitPending || !strings.Contains(out, "+ Project trellis/api\n") || !strings.Contains(out, "set default: 26 to create, 0 to change, 0 to delete, 0 unchanged\n") {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	if got := s.must(t, "apply", "-f", catalogExample); !strings.Contains(got, "26 created") || !strings.Contains(got, "revision ") {
		t.Error(got)
	}
	if code, out, errs := s.trellis(t, "", plan...); code != exitOK || !strings.Contains(out, "nothing needs changing") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if got := s.must(t, "apply", "-f", catalogExample, "--all"); !strings.Contains(got, "= Team trellis/storage\n") {
		t.Error(got)
	}
}

func TestAPlanIsReadable(t *testing.T) {
	s := serve(t)
	s.must(t, "apply", "-f", catalogExample)
	projects, err := os.ReadFile(filepath.Join(catalogExample, "projects.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("name: graph/identity", "name: identity", "depends_on: [identity, permission]", "depends_on: [identity]", "layer: middle", "layer: inside").Replace(string(projects))
	file := filepath.Join(t.TempDir(), "projects.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must(t, "apply", "--set", "trellis/projects", "-f", filepath.Join(catalogExample, "projects.yaml"))
	got := s.must(t, "apply", "--set", "trellis/projects", "-f", file, "--plan")
	want := `~ Project trellis/api
    attributes: {"layer":"middle"} -> {"layer":"inside"}
    depends_on: - "permission"
~ Project trellis/identity
    name: "graph/identity" -> "identity"
set trellis/projects: 0 to create, 2 to change, 0 to delete, 5 unchanged
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	s.must(t, "apply", "--set", "trellis/projects", "-f", file)
	got = s.must(t, "apply", "-f", catalogExample, "--plan")
	if strings.Count(got, "(drift: changed by somebody else)") != 2 || !strings.Contains(got, "2 drifted") {
		t.Error(got)
	}
}

func TestPruneDeletesWhatIsNoLongerDeclared(t *testing.T) {
	s := serve(t)
	const two = `
- {apiVersion: trellis/v1, kind: Organization, metadata: {slug: acme}}
- {apiVersion: trellis/v1, kind: Project, metadata: {organization: acme, slug: billing}}
`
	one, _, _ := strings.Cut(two, "- {apiVersion: trellis/v1, kind: Project")
	in := func(text string, args ...string) string {
		t.Helper()
		code, out, errs := s.trellis(t, text, append([]string{"apply", "-f", "-"}, args...)...)
		if code != 0 {
			t.Fatal(out, errs)
		}
		return out
	}
	in(two)
	if got := in(one); !strings.Contains(got, "1 declared before are not any more; --prune deletes them") {
		t.Error(got)
	}
	if got := in(one, "--prune"); !strings.Contains(got, "- Project acme/billing\n") || !strings.Contains(got, "1 deleted") {
		t.Error(got)
	}
}

func TestMistakesNameFileAndLine(t *testing.T) {
	s := serve(t)
	dir := t.TempDir()
	for _, c := range []struct{ text, want string }{
		{"apiVersion: trellis/v1\nkind: Tag\nmetadata: {organization: none, slug: go}\n", "a.yaml:3 Tag metadata/organization: there is no organization \"none\""},
		{"---\n---\napiVersion: trellis/v1\nkind: Group\nspec:\n  name: x\n  slag: y\nmetadata: {slug: x}\n", "a.yaml:7 Group spec/slag: there is no such field"},
		{"apiVersion: trellis/v1\nkind: Nothing\n", `a.yaml:1 (document 1): "Nothing" is not a kind of document`},
		{"apiVersion: trellis/v1\nkind: Group\nmetadata: {slug: x}\nspec: {name: [}\n", " (document 1): did not find expected node content"},
		{"apiVersion: trellis/v1\nkind: Group\nmetadata: {slug: x}\nspec: {}\nextra: 1\n", "a.yaml:5 (document 1): there is no field \"extra\""},
		{"apiVersion: trellis/v1\nkind: Group\nmetadata: {slug: x}\nspec: {name: a, name: b}\n", "a.yaml:4 (document 1): "},
	} {
		file := filepath.Join(dir, "a.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := s.trellis(t, "", "apply", "-f", dir, "--set", "test")
		if code != exitError || !strings.Contains(errs, c.want) {
			t.Errorf("%q: %d %s%s; want %s", c.text, code, out, errs, c.want)
		}
	}
}

// manifestsOf returns all manifests of a server.
func manifestsOf(t *testing.T, s *testServer) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "all.yaml")
	s.must(t, "export", "--manifest", "-o", file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// roundTrip applies what the first server exports to the second one, which must
// then export the same.
func roundTrip(t *testing.T, from, to *testServer) {
	t.Helper()
	first := manifestsOf(t, from)
	if code, out, errs := to.trellis(t, first, "apply", "-f", "-"); code != 0 {
		t.Fatal(out, errs)
	}
	if second := manifestsOf(t, to); second != first {
		t.Errorf("first\n%s\nsecond\n%s", first, second)
	}
	if code, out, errs := from.trellis(t, first, "apply", "-f", "-", "--plan"); code != 0 || !strings.Contains(out, ": 0 to create, 0 to change, 0 to delete") {
		t.Errorf("applied where it came from: %s %s", out, errs)
	}
}

func TestAnExportOfManifestsMakesAnEmptyServerTheSame(t *testing.T) {
	s := serve(t)
	s.must(t, "apply", "-f", catalogExample)
	roundTrip(t, s, serve(t))
	dir := t.TempDir() + "/"
	s.must(t, "export", "--manifest", "--organization", "trellis", "-o", dir)
	if got := s.must(t, "apply", "-f", dir, "--plan"); !strings.Contains(got, ": 0 to create, 0 to change, 0 to delete, 24 unchanged") {
		t.Error(got)
	}
	if _, err := os.Stat(filepath.Join(dir, "project.yaml")); err != nil {
		t.Error(err)
	}
}

func TestAnExportOfManifestsGoesFromSQLiteToNeo4jAndBack(t *testing.T) {
	neo4jURL := os.Getenv("TRELLIS_TEST_NEO4J_URL")
	if neo4jURL == "" {
		t.Skip("TRELLIS_TEST_NEO4J_URL is not set: not tested on Neo4j (the database it names is emptied)")
	}
	neo4jtest.Wipe(t, neo4jURL)
	t.Cleanup(func() { neo4jtest.Wipe(t, neo4jURL) })
	s := serve(t)
	s.must(t, "apply", "-f", catalogExample)
	n := serve(t, "TRELLIS_GRAPH_URL="+neo4jURL, "TRELLIS_SECRET_KEY="+secret)
	// A server in front of another one's database listens before it has prepared it.
	if !eventually(func() bool { return tokenLine.MatchString(n.stdout.String()) }) {
		t.Fatal("the first start printed no key")
	}
	n.token = tokenLine.FindStringSubmatch(n.stdout.String())[1]
	roundTrip(t, s, n)
	if got := n.must(t, "apply", "-f", catalogExample); !strings.Contains(got, "0 created, 0 changed, 0 deleted, 26 unchanged") {
		t.Error(got)
	}
	roundTrip(t, n, serve(t))
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// documented returns the examples of docs/manifests.md.
func documented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/manifests.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	return strings.Join(all, "---\n")
}

func TestTheDocumentedManifestsWork(t *testing.T) {
	s := serve(t)
	code, out, errs := s.trellis(t, documented(t), "apply", "-f", "-")
	if code != 0 || !strings.Contains(out, "17 created") {
		t.Errorf("%s%s", out, errs)
	}
	s.must(t, "check", "user:bob", "repository:push", "repository:acme/billing")
}

func TestTheSchemaOfManifestsIsTheGoldenFileAndFitsTheExamples(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"manifest", "schema"}, nil, nil, &out, &out); code != 0 {
		t.Fatal(out.String())
	}
	golden := "../../docs/manifest.schema.json"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(want, out.Bytes()) {
		t.Errorf("the schema is not the golden file; look at the difference after go test ./cmd/trellis -run Schema -update (%v)", err)
	}
	schema := compiled(t, out.Bytes())
	files, err := manifestFiles([]string{catalogExample})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{documented(t)}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	for _, text := range texts {
		docs, err := manifest.Parse("example", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for i := range docs {
			if err := fits(t, schema, docs[i].Document); err != nil {
				t.Errorf("line %d: %v", docs[i].Line, err)
			}
		}
	}
	wrong := manifest.Document{APIVersion: manifest.APIVersion, Kind: "Tag", Metadata: manifest.Metadata{Slug: "x"}}
	if fits(t, schema, wrong) == nil {
		t.Error("a tag of no organization fits")
	}
}

func compiled(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(manifest.SchemaID, v); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(manifest.SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fits(t *testing.T, s *jsonschema.Schema, d manifest.Document) error {
	t.Helper()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

// thousands are 10,000 documents: an organization and its projects, each of
// which depends on another.
func thousands(round int) string {
	var b strings.Builder
	b.WriteString("- {apiVersion: trellis/v1, kind: Organization, metadata: {slug: big}}\n")
	for i := range 9_999 {
		fmt.Fprintf(&b, "- {apiVersion: trellis/v1, kind: Project, metadata: {organization: big, slug: p%d}, spec: {name: Round %d, depends_on: [p%d]}}\n", i, round, (i+1)%9_999)
	}
	return b.String()
}

// TestAnApplyThatIsKilledHappenedOrDidNot kills the server during an apply of
// 10,000 documents, each time at another moment.
func TestAnApplyThatIsKilledHappenedOrDidNot(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: writes 60,000 projects")
	}
	data := t.TempDir()
	p := startProcess(t, data)
	token := p.token
	var took time.Duration // of an apply that changes everything
	for round := 1; round <= 2; round++ {
		begin := time.Now()
		if code, _, errs := p.trellis(t, thousands(round), "apply", "-f", "-"); code != 0 {
			t.Fatal(errs)
		}
		took = time.Since(begin)
	}
	last, acknowledged := 2, 0
	for i, part := range []float64{0.3, 0.6, 0.9} {
		round := i + 3
		text, done := thousands(round), make(chan int, 1)
		go func() {
			code, _, _ := p.trellis(t, text, "apply", "-f", "-")
			done <- code
		}()
		time.Sleep(time.Duration(part * float64(took)))
		p.kill()
		least := last
		if <-done == 0 {
			acknowledged++
			least = round
		}
		p = startProcess(t, data)
		p.token = token
		last = p.isRound(t, least, round)
	}
	t.Logf("an apply took %v; of 3 that were killed, %d were acknowledged, and the last that happened is %d", took, acknowledged, last)
	if code, out, errs := p.trellis(t, thousands(6), "apply", "-f", "-"); code != 0 || !strings.Contains(out, "revision") {
		t.Errorf("%.500s %.500s", out, errs)
	}
	p.isRound(t, 6, 6)
}

// isRound asserts that all projects are as one round made them, at least the
// last that happened and at most the one tried; it returns which.
func (s *testServer) isRound(t *testing.T, least, most int) int {
	t.Helper()
	out := s.must(t, "export", "--manifest", "--organization", "big")
	names := map[string]int{}
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(line, "  name: Round "); ok {
			names[strings.TrimSpace(name)]++
		}
	}
	for round := least; round <= most; round++ {
		if n := names[fmt.Sprint(round)]; n == 9_999 && len(names) == 1 && strings.Count(out, "depends_on:") == 9_999 {
			return round
		}
	}
	t.Fatalf("a part of an apply happened: %v", names)
	return 0
}
