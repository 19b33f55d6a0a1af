package backstage_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"trellis/cmd/trellis/backstage"
	"trellis/graph"
	"trellis/graph/identity"
)

var update = flag.Bool("update", false, "rewrite golden files")

// acme is a catalog with every kind and every relation in it.
const acme = "../../../testdata/backstage"

func files(kv ...string) backstage.Source {
	m := fstest.MapFS{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = &fstest.MapFile{Data: []byte(kv[i+1])}
	}
	return backstage.Source{FS: m}
}

// entity writes one, with what follows its name.
func entity(kind, name, rest string) string {
	return "---\napiVersion: backstage.io/v1alpha1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\n" + rest
}

// mistakes lists what Read, or else Plan, says.
func mistakes(t *testing.T, sources ...backstage.Source) []string {
	t.Helper()
	c, err := backstage.Read(sources...)
	if err == nil {
		_, err = c.Plan("acme", backstage.Present{})
	}
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// read reads what must be right, and returns its notes and entities.
func read(t *testing.T, sources ...backstage.Source) (entities, notes []string) {
	t.Helper()
	c, err := backstage.Read(sources...)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.Entities {
		entities = append(entities, e.Ref.String())
	}
	for _, n := range c.Notes {
		notes = append(notes, n.String())
	}
	return entities, notes
}

func TestACatalogBecomesThesePlans(t *testing.T) {
	c, err := backstage.Read(backstage.Source{FS: os.DirFS(acme)})
	if err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]backstage.Present{
		"alone": {},
		// What was loaded from elsewhere can be referred to.
		"present": {
			Teams: map[string]bool{"nobody": true}, Projects: map[string]bool{"shared-ui": true},
			Words: map[graph.Type]map[string]bool{identity.Tag: {"rest": true}},
		},
	} {
		p, err := c.Plan("acme", there)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		for _, d := range p.Documents {
			spec, err := json.Marshal(d.Spec)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %s\n", d.Name(), spec)
		}
		for _, m := range p.Memberships {
			fmt.Fprintf(&b, "%s in %s\n", m.Member, m.Set)
		}
		for _, n := range p.Notes {
			fmt.Fprintln(&b, n)
		}
		golden(t, filepath.Join("testdata", name+".golden"), b.String())
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: %s", file, d)
	}
}

func TestMistakesAreNamedByFileDocumentAndLine(t *testing.T) {
	got := mistakes(t, files(
		"a/catalog-info.yaml", entity("Component", "web", "spec:\n  owner: [a]\n  dependsOn: db\n")+
			entity("Component", "WEB", "spec:\n  dependsOn: [db, 'group:x', '']\n  owner: 'api:y'\n")+
			entity("API", "'a/b'", "  tags: {x: y}\n  links: [{title: t}]\n")+
			"---\nkind: Component\n---\n[]\n",
		"b/catalog-info.yml", entity("User", "user-1", "spec: {profile: {email: x, email: y}}\n")+entity("User", "user-2", "spec: {owner: ")+"\n",
		"c/catalog-info.yaml", "kind: *nowhere\n",
		"notes.yaml", "][",
	))
	want := []string{
		`a/catalog-info.yaml:7: document 1: spec.owner: want a text`,
		`a/catalog-info.yaml:8: document 1: spec.dependsOn: want a list`,
		`a/catalog-info.yaml:15: document 2: spec.dependsOn: "db" does not say which kind it is: want kind:name`,
		`a/catalog-info.yaml:15: document 2: spec.dependsOn: group:default/x is a group; want a component or api or resource or system or domain`,
		`a/catalog-info.yaml:15: document 2: spec.dependsOn: a reference is empty`,
		`a/catalog-info.yaml:16: document 2: spec.owner: api:default/y is a api; want a group or user`,
		`a/catalog-info.yaml:10: document 2: component:default/web is here a second time; the first is at a/catalog-info.yaml:2: document 1`,
		`a/catalog-info.yaml:21: document 3: metadata.name: "a/b" cannot be a name: want at most 200 characters, no blank, colon or slash`,
		`a/catalog-info.yaml:22: document 3: metadata.tags: want a list`,
		`a/catalog-info.yaml:23: document 3: metadata.links: url is missing`,
		`a/catalog-info.yaml:25: document 4: this is no entity: want apiVersion and kind`,
		`a/catalog-info.yaml:27: document 5: entity: want a mapping`,
		`b/catalog-info.yml:6: document 1: spec.profile: the key "email" is here a second time; the first is on line 6`,
		`b/catalog-info.yml:12: document 2: did not find expected node content`,
		`c/catalog-info.yaml: document 1: unknown anchor 'nowhere' referenced`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestMistakesOfThePlanAreNamedToo(t *testing.T) {
	got := mistakes(t, files("catalog-info.yaml", entity("Component", "a.b", "")+
		entity("Component", "b", "  namespace: a\n")+
		entity("Group", "one", "spec: {parent: two}\n")+
		entity("Group", "two", "spec: {parent: three}\n")+
		entity("Group", "three", "spec: {parent: one}\n")+
		entity("Group", "---", "")+
		entity("User", "user-1", "spec:\n  profile:\n    email: User One <user-1@example.com>\n")))
	want := []string{
		`catalog-info.yaml:7: document 2: component:a/b would have the slug a.b, which is that of component:default/a.b at catalog-info.yaml:2: document 1`,
		`catalog-info.yaml:31: document 6: group:default/---: no slug can be made of the name`,
		`catalog-info.yaml:13: document 3: group:default/one is above itself, by parent or children`,
		`catalog-info.yaml:42: document 7: user:default/user-1: "user one <user-1@example.com>" is not an e-mail address`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAGroupCannotBeAboveItself(t *testing.T) {
	if got := mistakes(t, files("catalog-info.yaml", entity("Group", "one", "spec: {children: [one]}\n"))); len(got) != 1 || !strings.Contains(got[0], "above itself") {
		t.Errorf("got %q", got)
	}
}

func TestTheNumberOfMistakesListedIsBounded(t *testing.T) {
	got := mistakes(t, files("catalog-info.yaml", strings.Repeat("---\nkind: Component\n", 250)))
	if len(got) != 101 || got[100] != "and 150 more mistakes" {
		t.Errorf("%d: %s", len(got), got[len(got)-1])
	}
}

func TestLocationsAreFollowedInsideTheDirectoryOnly(t *testing.T) {
	location := func(targets string) string {
		return entity("Location", "all", "spec:\n  targets: "+targets+"\n")
	}
	one := entity("Component", "one", "")
	entities, notes := read(t, files(
		"catalog-info.yaml", location(`[./more/all.yaml, "https://x.example/a.yaml", /etc/passwd, ../up.yaml, "more/../../up.yaml", "C:\\x.yaml", "more/**/x.yaml"]`),
		"more/all.yaml", location(`["../catalog-info.yaml", "./parts/*.yaml", "./parts/one.yaml"]`),
		"more/parts/one.yaml", one,
		"more/parts/two.yaml", entity("API", "two", ""),
		"unnamed.yaml", entity("API", "three", ""),
		".git/catalog-info.yaml", one, "node_modules/x/catalog-info.yaml", one,
	))
	if d := cmp.Diff([]string{"api:default/two", "component:default/one"}, entities); d != "" {
		t.Error(d)
	}
	at := "catalog-info.yaml:7: document 1: not followed: "
	want := []string{
		at + "https://x.example/a.yaml is a URL", at + "/etc/passwd is no relative path", at + "../up.yaml leads out of the directory",
		at + "more/../../up.yaml leads out of the directory", at + `C:\x.yaml is no relative path`, at + "more/**/x.yaml has ** in it; name the files, or use *",
	}
	if d := cmp.Diff(want, notes); d != "" {
		t.Error(d)
	}
	got := mistakes(t, files("catalog-info.yaml", location("[./none.yaml, './none/*.yaml', .]")))
	want = []string{
		"catalog-info.yaml:7: document 1: ./none.yaml: there is no such file", "catalog-info.yaml:7: document 1: no file is like ./none/*.yaml",
		"catalog-info.yaml:7: document 1: .: it is no file",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestNoLinkIsFollowed(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	inside := filepath.Join(dir, "inside")
	for file, text := range map[string]string{
		"outside/secret.yaml":      entity("Component", "secret", ""),
		"inside/catalog-info.yaml": entity("Location", "all", "spec:\n  targets: [linked/secret.yaml, one.yaml, two.yaml]\n"),
		"inside/two.yaml":          entity("Component", "two", ""),
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"linked": outside, "one.yaml": filepath.Join(outside, "secret.yaml"), "catalog-info.yml": filepath.Join(outside, "secret.yaml")} {
		if err := os.Symlink(to, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	entities, notes := read(t, backstage.Source{FS: root.FS()})
	if d := cmp.Diff([]string{"component:default/two"}, entities); d != "" {
		t.Error(d)
	}
	want := []string{
		"catalog-info.yml: not read: it is a link or no file",
		"catalog-info.yaml:7: document 1: not followed: linked/secret.yaml goes through a link",
		"catalog-info.yaml:7: document 1: not followed: one.yaml goes through a link",
	}
	if d := cmp.Diff(want, notes); d != "" {
		t.Error(d)
	}
}

func TestTemplatesOfCatalogsAreNotReadUnlessNamed(t *testing.T) {
	s := files("catalog-info.yaml", entity("Component", "one", ""), "skeleton/catalog-info.yaml", entity("Component", "${{ values.name | dump }}", ""),
		"python/catalog-info.yaml", entity("Component", "{{ cookiecutter.name }}", ""))
	entities, notes := read(t, s)
	if d := cmp.Diff([]string{"component:default/one"}, entities); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"python/catalog-info.yaml: not read: it is a template", "skeleton/catalog-info.yaml: not read: it is a template"}, notes); d != "" {
		t.Error(d)
	}
	s.Files = []string{"skeleton/catalog-info.yaml"}
	if got := mistakes(t, s); len(got) != 1 || !strings.Contains(got[0], "cannot be a name") {
		t.Errorf("got %q", got)
	}
}

func TestFilesAndDirectoriesAreReadOnce(t *testing.T) {
	s := files("catalog-info.yaml", entity("Component", "one", ""))
	named := s
	named.Files = []string{"catalog-info.yaml"}
	if entities, _ := read(t, s, named); len(entities) != 1 {
		t.Errorf("got %v", entities)
	}
	want := []string{"there is no entity", "catalog-info.yaml:2: document 1: skipped: there is nothing here for the kind Template"}
	if got := mistakes(t, files("catalog-info.yaml", entity("Template", "x", ""))); len(got) != 2 || !strings.Contains(got[0], want[0]) || !strings.HasPrefix(got[1], want[1]) {
		t.Errorf("got %q", got)
	}
	if got := mistakes(t, files("readme.md", "")); len(got) != 1 || !strings.Contains(got[0], "there is no catalog-info.yaml in it") {
		t.Errorf("got %q", got)
	}
}

func TestMergedKeysAndNumbersAreUnderstood(t *testing.T) {
	c, err := backstage.Read(files("catalog-info.yaml",
		"apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: 42\n  annotations: {a/b: true}\nx: &x {owner: one, lifecycle: old}\nspec:\n  <<: *x\n  lifecycle: new\n  when: 2020-01-01\n  n: .nan\n"))
	if err != nil {
		t.Fatal(err)
	}
	e := c.Entities[0]
	if e.Name != "42" || e.Annotations["a/b"] != "true" || e.Relations["owner"][0].To.Name != "one" {
		t.Errorf("got %+v", e)
	}
	if d := cmp.Diff(map[string]any{"lifecycle": "new", "when": "2020-01-01", "n": ".nan"}, e.More); d != "" {
		t.Error(d)
	}
}

func TestAliasesAndDepthCannotBlowAFileUp(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: x}\nspec:\n  a0: &a0 [x, x]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "  a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	if got := mistakes(t, files("catalog-info.yaml", b.String())); len(got) == 0 || !strings.Contains(got[0], "more than 1000000 entries") {
		t.Errorf("got %.200q", got)
	}
	for name, text := range map[string]string{
		"deep":   strings.Repeat("[", 200) + strings.Repeat("]", 200),
		"itself": "&a [*a]",
		"merged": "&a {<<: *a}",
	} {
		got := mistakes(t, files("catalog-info.yaml", entity("Component", "x", "spec: {y: "+text+"}\n")))
		if len(got) == 0 {
			t.Errorf("%s: no mistake was found", name)
		}
	}
	large := files("catalog-info.yaml", strings.Repeat("# nothing\n", 2_000_000))
	if got := mistakes(t, large); len(got) != 1 || !strings.Contains(got[0], "larger than 16 MB") {
		t.Errorf("got %.200q", got)
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"catalog-info.yaml", "org.yaml", "platform/domains.yaml", "services/checkout/catalog-info.yaml"} {
		b, err := os.ReadFile(filepath.Join(acme, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), "")
	}
	f.Add("x: &a [*a]\n---\n<<: {}\n", entity("Location", "l", "spec: {target: ./catalog-info.yaml}"))
	f.Add(entity("Group", "g", "spec: {parent: {kind: Group, name: x}, children: [g], members: [u]}"), entity("User", "u", "spec: {memberOf: [g]}"))
	f.Fuzz(func(t *testing.T, one, two string) {
		c, err := backstage.Read(files("catalog-info.yaml", one, "x/catalog-info.yaml", two))
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v and %v", c, err)
		}
		if err != nil {
			return
		}
		p, err := c.Plan("acme", backstage.Present{})
		if (p == nil) == (err == nil) {
			t.Fatalf("got %v and %v", p, err)
		}
		if err != nil {
			return
		}
		for _, d := range p.Documents {
			if _, err := json.Marshal(d.Spec); err != nil || (d.Slug == "") == (d.Email == "" && d.ID == "") {
				t.Fatalf("%+v: %v", d, err)
			}
		}
	})
}
