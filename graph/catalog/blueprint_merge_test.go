package catalog_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
)

// sheet is a blueprint of the naive model.
type sheet struct {
	slug, organization string
	priority           int
	types              []string
	fields             map[string]int // to a place in checks
	required           []string
	others             int // 0: nothing said, 1: none allowed, 2: whole numbers
	pattern            bool
	least              int // minProperties
}

// checks are things that a field may have to be, as schema and as code. The
// third refers to the blueprint's own $defs, which differ.
var checks = []struct {
	schema string
	ok     func(s sheet, v any) bool
}{
	{`{"type":"integer"}`, func(_ sheet, v any) bool { _, ok := v.(int); return ok }},
	{`{"type":"string"}`, func(_ sheet, v any) bool { _, ok := v.(string); return ok }},
	{`{"$ref":"#/$defs/d"}`, func(s sheet, v any) bool { return v == s.slug }},
	{`true`, func(sheet, any) bool { return true }},
	{`false`, func(sheet, any) bool { return false }},
}

func (s sheet) schema() string {
	var fields []string
	for name, c := range s.fields {
		fields = append(fields, fmt.Sprintf("%q:%s", name, checks[c].schema))
	}
	required, _ := json.Marshal(s.required)
	out := fmt.Sprintf(`{"type":"object","$defs":{"d":{"const":%q}},"properties":{%s},"required":%s,"minProperties":%d`, s.slug, strings.Join(fields, ","), required, s.least)
	out += []string{"", `,"additionalProperties":false`, `,"additionalProperties":{"type":"integer"}`}[s.others]
	if s.pattern {
		out += `,"patternProperties":{"^[xy]$":{"type":"integer"}}`
	}
	return out + "}"
}

// fits says what the documentation says, as plainly as possible.
func fits(sheets []sheet, attributes map[string]any) bool {
	describer := func(name string) *sheet {
		for i := range sheets {
			if _, ok := sheets[i].fields[name]; ok {
				return &sheets[i]
			}
		}
		return nil
	}
	matched := func(name string) bool {
		return (name == "x" || name == "y") && slices.ContainsFunc(sheets, func(s sheet) bool { return s.pattern })
	}
	whole := checks[0].ok
	for i := range sheets {
		s := &sheets[i]
		for _, name := range s.required {
			_, describes := s.fields[name]
			if _, given := attributes[name]; !given && (!describes || describer(name) == s) {
				return false
			}
		}
		if len(attributes) < s.least {
			return false
		}
		for name, v := range attributes {
			known := describer(name) != nil || matched(name)
			if !known && (s.others == 1 || s.others == 2 && !whole(*s, v)) {
				return false
			}
		}
	}
	for name, v := range attributes {
		if d := describer(name); d != nil && !checks[d.fields[name]].ok(*d, v) || matched(name) && !whole(sheet{}, v) {
			return false
		}
	}
	return true
}

func drawSheet(i int) *rapid.Generator[sheet] {
	names := []string{"a", "b", "c", "x", "y"}
	return rapid.Custom(func(t *rapid.T) sheet {
		return sheet{
			slug: fmt.Sprintf("s%d", i), organization: rapid.SampledFrom([]string{"", "acme", "acme", "other"}).Draw(t, "organization"),
			priority: rapid.IntRange(0, 2).Draw(t, "priority"),
			types:    rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"api", "job"}), 0, 1, rapid.ID).Draw(t, "types"),
			fields:   rapid.MapOfN(rapid.SampledFrom(names), rapid.IntRange(0, len(checks)-1), 0, 4).Draw(t, "fields"),
			required: rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 2, rapid.ID).Draw(t, "required"),
			others:   max(0, rapid.IntRange(-2, 2).Draw(t, "others")), pattern: rapid.IntRange(0, 3).Draw(t, "pattern") == 0,
			least: max(0, rapid.IntRange(-4, 2).Draw(t, "least")),
		}
	})
}

func TestMergedSchemasMeanWhatTheNaiveModelSays(t *testing.T) {
	var good, bad int
	rapid.Check(t, func(t *rapid.T) {
		b := catalog.NewBlueprints()
		b.Begin()
		var sheets []sheet
		for i := range rapid.IntRange(0, 5).Draw(t, "number") {
			s := drawSheet(i).Draw(t, "sheet")
			sheets = append(sheets, s)
			b.Node(&graph.Node{Ref: graph.Ref{Type: identity.Blueprint, ID: fmt.Sprint("id", i)}, Props: graph.Props{
				"slug": s.slug, "organization": s.organization, "applies_to": "project", "priority": int64(s.priority), "project_types": s.types, "schema": graph.JSON(s.schema()), "version": int64(1),
			}})
		}
		b.Ready(graph.Info{})
		types := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"api", "job"}), rapid.ID).Draw(t, "types")
		sheets = slices.DeleteFunc(sheets, func(s sheet) bool {
			return s.organization == "other" || len(s.types) > 0 && !slices.Contains(types, s.types[0])
		})
		slices.SortStableFunc(sheets, func(a, b sheet) int {
			return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.slug, b.slug))
		})
		f, err := b.Form(catalog.FormQuery{Organization: "acme", Type: identity.Project, ProjectTypes: types})
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Sources) != len(sheets) {
			t.Fatalf("%d apply, want %d", len(f.Sources), len(sheets))
		}
		for range 10 {
			attributes := map[string]any{}
			for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c", "x", "y", "z"}), rapid.ID).Draw(t, "names") {
				attributes[name] = rapid.SampledFrom([]any{1, 1, "t", "s0", "s1", "s2"}).Draw(t, "value")
			}
			want := fits(sheets, attributes)
			text, _ := json.Marshal(attributes)
			if got := f.Check(graph.JSON(text)); (len(got) == 0) != want {
				t.Fatalf("%s of %+v: %v, want %v\n%s", text, sheets, got, want, f.Schema)
			}
			if got := anybody(t, f.Schema, text); got != want {
				t.Fatalf("the published schema says %v of %s, want %v: %s", got, text, want, f.Schema)
			}
			if want {
				good++
			} else {
				bad++
			}
		}
	})
	if good < 50 || bad < 50 {
		t.Errorf("%d fit, %d do not: too few to tell", good, bad)
	}
}

// anybody reads a published schema as others would.
func anybody(t *rapid.T, schema, value []byte) bool {
	read := func(b []byte) any {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("https://example.com/", read(schema)); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("https://example.com/")
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(read(value)) == nil
}

func TestEachPropertyNamesItsBlueprint(t *testing.T) {
	s := newShop(t)
	s.must(orgs +
		blueprint("low", `{"type":"object","properties":{"a":{"title":"low"},"b":true},"required":["a","c"]}`, "") + "\n" +
		blueprint("high", `{"type":"object","properties":{"a":{"title":"high"}}}`, `,"priority":5`))
	f, err := s.blueprints.Form(catalog.FormQuery{Organization: "acme", Type: identity.Project})
	must(t, err)
	const want = `{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{` +
		`"a":{"title":"high","x-trellis-blueprint":{"id":"high","slug":"high","version":1}},"b":{"x-trellis-blueprint":{"id":"low","slug":"low","version":1}}},` +
		`"required":["c"],"type":"object"}`
	if string(f.Schema) != want {
		t.Errorf("got  %s\nwant %s", f.Schema, want)
	}
	again, err := s.blueprints.Form(catalog.FormQuery{Organization: "acme", Type: identity.Project})
	must(t, err)
	s.must(`{"op":"patch","node":"blueprint:low","data":{"schema":{"title":"x"}}}`)
	after, err := s.blueprints.Form(catalog.FormQuery{Organization: "acme", Type: identity.Project})
	must(t, err)
	if again.Tag != f.Tag || after.Tag == f.Tag {
		t.Errorf("tags %s, %s, %s", f.Tag, again.Tag, after.Tag)
	}
	empty, err := s.blueprints.Form(catalog.FormQuery{Organization: "other", Type: identity.Project})
	must(t, err)
	if len(empty.Sources) != 0 || len(empty.Check(`{"anything":[1]}`)) != 0 {
		t.Errorf("%s", empty.Schema)
	}
}

// TestReplicaFollowsTheFeed compares what changes left with what a load brings.
func TestReplicaFollowsTheFeed(t *testing.T) {
	s := newShop(t)
	s.must(orgs)
	for i := range 40 {
		id := fmt.Sprint("b", i%7)
		if i%5 == 4 {
			_ = s.apply(`{"op":"delete","node":"blueprint:` + id + `"}`)
			continue
		}
		s.must(blueprint(id, fmt.Sprintf(needs, fmt.Sprint("f", i)), fmt.Sprintf(`,"priority":%d,"disabled":%v`, i%3, i%4 == 0)))
	}
	fresh := catalog.NewBlueprints()
	if _, err := fresh.Form(catalog.FormQuery{}); graph.KindOf(err) != graph.Unavailable {
		t.Errorf("before the first load: %v", err)
	}
	g := graph.New(s.graph.Store().(graph.Store), graph.Options{}, fresh)
	defer g.Close()
	_, err := g.Sync(t.Context())
	must(t, err)
	for _, typ := range []graph.Type{identity.Project, identity.Team} {
		q := catalog.FormQuery{Organization: "acme", Type: typ}
		a, err := s.blueprints.Form(q)
		must(t, err)
		b, err := fresh.Form(q)
		must(t, err)
		if string(a.Schema) != string(b.Schema) {
			t.Errorf("%s\n%s", a.Schema, b.Schema)
		}
	}
}

func hostile() map[string]string {
	chain := func(n int, link string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"d%d":%s,`, i, fmt.Sprintf(link, fmt.Sprintf(`{"$ref":"#/$defs/d%d"}`, i+1)))
		}
		return fmt.Sprintf(`{"type":"object","properties":{"a":{"$ref":"#/$defs/d0"}},"$defs":{%s"d%d":{"type":"string"}}}`, b.String(), n)
	}
	var patterns []string
	for i := range 3000 {
		patterns = append(patterns, fmt.Sprintf(`"%d.{1000}":{}`, i))
	}
	with := func(s string) string { return `{"type":"object","properties":{` + s + `}}` }
	return map[string]string{
		"doubling":      chain(15, `{"allOf":[%[1]s,%[1]s]}`),
		"long chain":    chain(900, `%s`),
		"deep":          with(`"a":` + strings.Repeat(`{"not":`, 8000) + `1` + strings.Repeat(`}`, 8000)),
		"huge enum":     with(`"a":{"enum":[` + strings.Repeat(`1.5,`, 15000) + `1]}`),
		"many fields":   with(strings.Repeat(`"a":{},`, 9000) + `"b":{}`),
		"patterns":      `{"type":"object","properties":{},"patternProperties":{` + strings.Join(patterns, ",") + `}}`,
		"big pattern":   with(`"a":{"pattern":"((((a{1,30}){1,30})?){1,2}){1,2}` + strings.Repeat("(.{500})", 50) + `"}`),
		"numbers":       with(`"a":{"enum":[` + strings.Repeat(`1e999999,`, 6000) + `1]}`),
		"remote":        with(`"a":{"$ref":"http://127.0.0.1:1/x"}`),
		"own meta":      `{"$schema":"http://127.0.0.1:1/x","type":"object","properties":{}}`,
		"inner id":      with(`"a":{"$id":"http://127.0.0.1:1/x","$ref":"y"}`),
		"pointer":       with(`"a":{"$ref":"#/properties/a"}`),
		"strange types": `{"type":["object"],"properties":[],"$defs":7,"required":{"a":1},"allOf":{},"patternProperties":[null]}`,
	}
}

func TestHostileSchemasAreReadQuickly(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(hostile())) {
		if faults := catalog.CheckSchema(hostile()[name]); len(faults) == 0 && name != "many fields" {
			t.Errorf("%s is let in", name)
		}
	}
}

func FuzzSchema(f *testing.F) {
	for _, s := range hostile() {
		if len(s) < 2000 { // of the others TestHostileSchemasAreReadQuickly takes care: nothing comes of changing them
			f.Add(s, `{"a":[1,{"b":"c"}]}`)
		}
	}
	f.Add(`{"type":"object","properties":{"a":{"$ref":"#/$defs/x","uniqueItems":true}},"$defs":{"x":{"items":{"pattern":"^a*$","multipleOf":0.1}}},"if":{},"then":{"minProperties":2}}`, `{"a":[1e30,"aaa",null]}`)
	f.Fuzz(func(t *testing.T, schema, attributes string) {
		if len(schema) > graph.MaxPropBytes || len(attributes) > graph.MaxPropBytes {
			return
		}
		if len(catalog.CheckSchema(schema)) > 0 {
			return
		}
		b := catalog.NewBlueprints()
		b.Begin()
		for i := range 2 { // merged with itself
			b.Node(&graph.Node{Ref: graph.Ref{Type: identity.Blueprint, ID: fmt.Sprint(i)}, Props: graph.Props{"slug": fmt.Sprint(i), "applies_to": "project", "schema": graph.JSON(schema)}})
		}
		b.Ready(graph.Info{})
		form, err := b.Form(catalog.FormQuery{Organization: "x", Type: identity.Project})
		if err != nil {
			t.Fatalf("what was let in cannot be merged: %v", err)
		}
		for _, f := range form.Check(graph.JSON(attributes)) {
			if !strings.HasPrefix(f.Pointer, "/attributes") && f.Pointer != "" || f.Msg == "" {
				t.Errorf("%+v", f)
			}
		}
	})
}
