package catalog_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
)

func TestAttributesAreHeldAgainstTheBlueprint(t *testing.T) {
	s := newShop(t)
	s.must(orgs + blueprint("b", `{"type":"object","required":["tier","owner/team"],"additionalProperties":false,
		"$defs":{"port":{"type":"integer","minimum":1,"maximum":65535}},
		"properties":{
		"tier":{"enum":["gold","silver",3]},"owner/team":{"type":"string","minLength":2,"maxLength":4,"pattern":"^[a-z]+$"},
		"a~b":{"type":["boolean","null"]},"ports":{"type":"array","items":{"$ref":"#/$defs/port"},"uniqueItems":true,"maxItems":3,"minItems":1},
		"cost":{"type":"number","exclusiveMinimum":0,"multipleOf":0.5},"since":{"format":"date"},"mail":{"format":"email"},"home":{"format":"uri"},
		"db":{"type":"object","properties":{"kind":{"const":"pg"},"replica":{"type":"integer"}},"required":["kind"],"dependentRequired":{"replica":["zone"]}},
		"either":{"anyOf":[{"type":"integer"},{"enum":["auto"]}]},"never":false,"other":{"not":{"const":1}},"one":{"oneOf":[{"minimum":1},{"minimum":2}]}}}`, ""))
	base := `"tier":"gold","owner/team":"abc"`
	for _, c := range []struct{ attributes, want string }{
		{`{}`, "/data/attributes/owner~1team is required\n/data/attributes/tier is required"},
		{`{` + base + `}`, ""},
		{`{"tier":3,"owner/team":"abc"}`, ""},
		{`{"tier":"lead","owner/team":"abc"}`, "/data/attributes/tier want one of gold, silver, 3"},
		{`{"tier":"gold","owner/team":"A"}`, "/data/attributes/owner~1team has 1 character; want at least 2\n/data/attributes/owner~1team want text that matches ^[a-z]+$"},
		{`{"tier":"gold","owner/team":"abcde"}`, "/data/attributes/owner~1team has 5 characters; want at most 4"},
		{`{` + base + `,"a~b":1}`, "/data/attributes/a~0b want null, true or false"},
		{`{` + base + `,"a~b":null}`, ""},
		{`{` + base + `,"ports":[80,0,"x"]}`, "/data/attributes/ports/1 want at least 1\n/data/attributes/ports/2 want a whole number"},
		{`{` + base + `,"ports":[80,80]}`, "/data/attributes/ports has the same entry twice, at 0 and 1"},
		{`{` + base + `,"ports":[]}`, "/data/attributes/ports has 0 entries; want at least 1"},
		{`{` + base + `,"ports":[1,2,3,4]}`, "/data/attributes/ports has 4 entries; want at most 3"},
		{`{` + base + `,"ports":70000}`, "/data/attributes/ports want a list"},
		{`{` + base + `,"cost":0}`, "/data/attributes/cost want more than 0"},
		{`{` + base + `,"cost":1.25}`, "/data/attributes/cost want a multiple of 0.5"},
		{`{` + base + `,"cost":1e999999999}`, "/data/attributes/cost is a number with too many digits or too large an exponent"},
		{`{` + base + `,"since":"2026-02-30"}`, "/data/attributes/since want a date as 2006-01-02"},
		{`{` + base + `,"mail":"x","home":"y"}`, "/data/attributes/home want an address as https://example.com/\n/data/attributes/mail want an e-mail address"},
		{`{` + base + `,"db":{"kind":"my"}}`, "/data/attributes/db/kind want pg"},
		{`{` + base + `,"db":{"replica":1}}`, "/data/attributes/db/kind is required\n/data/attributes/db/zone is required where replica is given"},
		{`{` + base + `,"either":"x"}`, "/data/attributes/either want a whole number, or one of auto"},
		{`{` + base + `,"never":1}`, "/data/attributes/never is not allowed here"},
		{`{` + base + `,"other":1}`, "/data/attributes/other is not allowed here"},
		{`{` + base + `,"one":0}`, "/data/attributes/one is none of what is allowed here"},
		{`{` + base + `,"one":2}`, "/data/attributes/one is more than one of the things of which one is allowed here"},
		{`{` + base + `,"x/y":1,"z":2}`, "/data/attributes/x~1y there is no such field\n/data/attributes/z there is no such field"},
	} {
		if c.want == "" {
			s.must(project("p", c.attributes, ""))
			continue
		}
		equal(t, c.attributes, s.refused(project("p", c.attributes, "")), strings.Split(c.want, "\n"))
	}
}

func TestSchemasThatAreNoneAreRefused(t *testing.T) {
	s := newShop(t)
	s.must(orgs)
	deep := strings.Repeat(`{"items":`, 70) + `{}` + strings.Repeat(`}`, 70)
	many := `{` + strings.Repeat(`"a":{},`, 1) + `"b":{"enum":[` + strings.Repeat(`0,`, 1100) + `0]}}`
	for _, c := range []struct{ schema, want string }{
		{`{}`, "/data/schema/properties is required: the fields, each with its schema\n/data/schema/type want \"object\": attributes are one"},
		{`{"type":"array","properties":{}}`, "/data/schema/type want \"object\": attributes are one"},
		{`{"type":"object","properties":{"tier":{"enum":"gold"}}}`, "/data/schema/properties/tier/enum want a list"},
		{`{"type":"object","properties":{"tier":{"type":"text"}}}`, "/data/schema/properties/tier/type want one of array, boolean, integer, null, number, object, string, or a list"},
		{`{"type":"object","properties":{"a/b":{"minLength":-1}}}`, "/data/schema/properties/a~1b/minLength want at least 0"},
		{`{"type":"object","properties":{"a":7}}`, "/data/schema/properties/a want true or false, an object"},
		{`{"type":"object","properties":{"a":{"pattern":"(?=x)"}}}`, "/data/schema/properties/a/pattern is not a regular expression as RE2 has them: error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
		{`{"type":"object","properties":{},"patternProperties":{"[":{}}}`, "/data/schema/patternProperties/[ is not a regular expression as RE2 has them: error parsing regexp: missing closing ]: `[`"},
		{`{"type":"object","properties":{"a":{"$ref":"https://example.com/x.json"}}}`, "/data/schema/properties/a/$ref want #/$defs/NAME: nothing else can be referred to"},
		{`{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}`, "/data/schema/properties/a/$ref want #/$defs/NAME: nothing else can be referred to"},
		{`{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}}}`, `/data/schema/properties/a/$ref there is no "x" in $defs`},
		{`{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"items":{"$ref":"#/$defs/x"}}}}`, "/data/schema/$defs/x/items/$ref goes round in a circle: a blueprint's schema cannot contain itself"},
		{`{"type":"object","properties":{"a":{"$id":"https://example.com/"}}}`, "/data/schema/properties/a/$id is not possible here: a blueprint has no address: leave it out"},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{}}`, "/data/schema/$schema want https://json-schema.org/draft/2020-12/schema"},
		{`{"type":"object","properties":{"":{}}}`, "/data/schema/properties/ want a name of 1 to 100 bytes of printable text"},
		{`{"type":"object","properties":{"a\u0007":{}}}`, "/data/schema/properties/a\a want a name of 1 to 100 bytes of printable text"},
		{`{"type":"object","properties":{"a":{"maximum":1e1000000}}}`, "/data/schema/properties/a/maximum is a number with too many digits or too large an exponent"},
		{`{"type":"object","properties":{"a":{"pattern":"(.{30}){30}x.{1000}.{1000}.{1000}.{1000}"}}}`, "/data/schema/properties/a/pattern has too many or too large regular expressions"},
		{`{"type":"object","properties":{"a":` + deep + `}}`, "/data/schema/properties/a/items/items/items/items/items/items values in values, more than 64 deep"},
		{`{"type":"object","properties":` + many + `}`, "/data/schema refers to its $defs so often that attributes could not be checked quickly"},
		{`{"type":"object","properties":{"a":{"propertyNames":{"maxLength":1}}}}`, "/data/schema/properties/a/propertyNames can only stand at the top"},
		{`{"type":"object","properties":{},"unevaluatedProperties":false}`, "/data/schema/unevaluatedProperties is not possible here: use additionalProperties instead"},
	} {
		equal(t, c.schema[:min(len(c.schema), 200)], s.refused(blueprint("b", c.schema, "")), strings.Split(c.want, "\n"))
	}
	equal(t, "filters", s.refused(`{"op":"put","node":"blueprint:b","data":{"applies_to":"team","schema":{"type":"object","properties":{}},"environments":["x"],"project_types":["y"]}}`),
		[]string{"/data/environments only blueprints of projects can be limited to some", "/data/project_types only blueprints of projects can be limited to some"})
}

// What looks like a keyword but is a name or a value is none.
func TestNamesAndValuesAreNotKeywords(t *testing.T) {
	s := newShop(t)
	s.must(orgs + blueprint("b", `{"type":"object","properties":{"$ref":{"const":{"$ref":"x"}},"$id":{"enum":[{"$id":"y"}]},"properties":{"default":{"$anchor":"z"}},"items":true}}`, ""))
	s.must(project("p", `{"$ref":{"$ref":"x"},"$id":{"$id":"y"},"properties":1,"items":[]}`, ""))
	equal(t, "the value", s.refused(project("p", `{"$ref":{"$ref":"y"}}`, "")), []string{`/data/attributes/$ref want {"$ref":"x"}`})
}

func TestVersionGrowsWithWhatABlueprintAsksFor(t *testing.T) {
	s := newShop(t)
	s.must(orgs + blueprint("b", `{"type":"object","properties":{"a":{}}}`, ""))
	for i, c := range []struct {
		data string
		want int64
	}{
		{`{}`, 1}, {`{"name":"B","description":"x"}`, 1}, {`{"schema":{"title":"T"}}`, 2}, {`{"schema":{"title":"T"}}`, 2}, {`{"priority":1}`, 3},
		{`{"project_types":["x"]}`, 4}, {`{"environments":["y"]}`, 5}, {`{"disabled":true}`, 6}, {`{"disabled":null,"priority":null}`, 7}, {`{"priority":0,"disabled":false}`, 7},
	} {
		s.must(`{"op":"patch","node":"blueprint:b","data":` + c.data + `}`)
		if got := s.node("blueprint:b").Props.Int("version"); got != c.want {
			t.Errorf("after %d, %s: version %d, want %d", i, c.data, got, c.want)
		}
	}
}

const needs = `{"type":"object","required":["%s"],"properties":{"%[1]s":{"type":"string"}}}`

func TestBlueprintsApplyByOrganizationTypeAndFilters(t *testing.T) {
	s := newShop(t)
	s.must(orgs)
	need := func(id, name, more string) { t.Helper(); s.must(blueprint(id, fmt.Sprintf(needs, name), more)) }
	need("all", "all", "")
	need("api", "api", `,"project_types":["api","none-such"]`)
	need("prod", "prod", `,"environments":["production"]`)
	need("both", "both", `,"environments":["production"],"project_types":["job"]`)
	need("off", "off", `,"disabled":true`)
	s.must(`{"op":"put","node":"blueprint:everywhere","data":{"applies_to":"project","schema":` + fmt.Sprintf(needs, "everywhere") + `}}`)
	s.must(`{"op":"put","node":"blueprint:elsewhere","data":{"organization":"other","applies_to":"project","schema":` + fmt.Sprintf(needs, "elsewhere") + `}}`)
	missing := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, "/data/attributes/"+n+" is required")
		}
		return out
	}
	equal(t, "without type", s.refused(project("p", `{}`, "")), missing("all", "everywhere"))
	equal(t, "of a type", s.refused(project("p", `{}`, `,"types":["api"]`)), missing("all", "api", "everywhere"))
	equal(t, "by id", s.refused(project("p", `{}`, `,"types":["t-api"]`)), missing("all", "api", "everywhere"))
	equal(t, "in an environment", s.refused(project("p", `{}`, `,"types":["job"],"environments":{"testing":{}}`)), missing("all", "everywhere"))
	equal(t, "both", s.refused(project("p", `{}`, `,"types":["job","api"],"environments":{"testing":{},"production":{}}`)), missing("all", "api", "both", "everywhere", "prod"))
	// A relation that a patch does not mention counts, and so does a name that changed in the same request.
	s.must(project("p", `{"all":"","everywhere":"","api":""}`, `,"types":["api"]`))
	equal(t, "patch", s.refused(`{"op":"patch","node":"project:p","data":{"attributes":{"api":null}}}`), missing("api"))
	s.must(`{"op":"patch","node":"project_type:t-api","data":{"slug":"rpc"}}
		{"op":"patch","node":"project:p","data":{"attributes":{"api":null}}}`)
	equal(t, "other organization", s.refused(`{"op":"put","node":"project:q","data":{"organization":"other"}}`), missing("elsewhere", "everywhere"))
	s.must(`{"op":"put","node":"team:t","data":{"organization":"acme"}}`)
}

func TestEveryDescribedTypeIsHeldAgainstItsBlueprints(t *testing.T) {
	s := newShop(t)
	s.must(orgs)
	for _, typ := range []string{"team", "environment", "project_type", "organization"} {
		s.must(fmt.Sprintf(`{"op":"put","node":"blueprint:acme-%s","data":{"organization":"acme","applies_to":"%[1]s","schema":{"type":"object","properties":{"n":{"type":"integer"}}}}}`, typ))
		s.must(fmt.Sprintf(`{"op":"put","node":"blueprint:all-%s","data":{"applies_to":"%[1]s","schema":{"type":"object","properties":{"m":{"type":"integer"}}}}}`, typ))
		id, org := "x", `"organization":"acme",`
		if typ == "organization" {
			id, org = "acme", ""
		}
		equal(t, typ, s.refused(fmt.Sprintf(`{"op":"put","node":"%s:%s","data":{%s"attributes":{"n":"1","m":true}}}`, typ, id, org)),
			[]string{"/data/attributes/m want a whole number", "/data/attributes/n want a whole number"})
		s.must(fmt.Sprintf(`{"op":"put","node":"%s:%s","data":{%s"attributes":{"n":1,"m":2,"other":[]}}}`, typ, id, org))
	}
}

func TestBlueprintsOfTheSameRequestCount(t *testing.T) {
	s := newShop(t)
	s.must(orgs)
	made := blueprint("b", fmt.Sprintf(needs, "a"), "")
	equal(t, "made before", s.refused(made+"\n"+project("p", `{}`, "")), []string{"/data/attributes/a is required"})
	s.must(project("p", `{}`, "") + "\n" + made)
	equal(t, "made after", s.refused(project("p", `{"x":1}`, "")), []string{"/data/attributes/a is required"})
	s.must(`{"op":"delete","node":"blueprint:b"}` + "\n" + project("p", `{"x":1}`, ""))
	// A plan that was never carried out leaves nothing behind.
	s.must(made)
	if err := s.applyWith(blueprint("b", fmt.Sprintf(needs, "z"), "")+"\n"+project("p", `{"z":"1"}`, ""), identity.ApplyOptions{Dry: true}); err != nil {
		t.Fatal(err, told(err))
	}
	s.must(blueprint("b", fmt.Sprintf(needs, "y"), "") + "\n" + project("p", `{"y":"1"}`, ""))
	equal(t, "now", s.refused(project("p", `{"z":"1"}`, "")), []string{"/data/attributes/y is required"})
}

func TestArchivedProjectsAreLeftAlone(t *testing.T) {
	s := newShop(t)
	s.must(orgs + project("p", `{}`, "") + "\n" + blueprint("b", fmt.Sprintf(needs, "a"), ""))
	s.must(`{"op":"patch","node":"project:p","data":{"archived":true}}`)
	equal(t, "brought back", s.refused(`{"op":"patch","node":"project:p","data":{"archived":false}}`), []string{"/data/attributes/a is required"})
	s.must(`{"op":"patch","node":"project:p","data":{"archived":false,"attributes":{"a":"1"}}}`)
}

func TestThereIsALimitToBlueprints(t *testing.T) {
	s := newShop(t)
	s.must(orgs)
	var all strings.Builder
	for i := range catalog.MaxBlueprints {
		all.WriteString(blueprint(fmt.Sprint("b", i), `{"type":"object","properties":{}}`, "") + "\n")
	}
	if err := s.apply(all.String() + blueprint("more", `{"type":"object","properties":{}}`, "")); graph.KindOf(err) != graph.TooLarge {
		t.Errorf("in one request: %v", err)
	}
	s.must(all.String())
	if err := s.apply(blueprint("more", `{"type":"object","properties":{}}`, "")); graph.KindOf(err) != graph.TooLarge {
		t.Errorf("one after the other: %v", err)
	}
	s.must(blueprint("b0", `{"type":"object","properties":{"a":{}}}`, ""))
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"f%d":{},`, i)
		}
		return `{"type":"object","properties":{` + strings.TrimSuffix(b.String(), ",") + `}}`
	}
	s.must(blueprint("b1", fields(900), ""))
	if err := s.apply(blueprint("b2", fields(900), "")); graph.KindOf(err) != graph.TooLarge {
		t.Errorf("too much together: %v", err)
	}
	s.must(blueprint("b2", fields(900), `,"disabled":true`))
}

func TestReadersAndWritersMeet(t *testing.T) {
	s := newShop(t)
	s.must(orgs + blueprint("b", fmt.Sprintf(needs, "a"), ""))
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for i := range 20 {
				switch w {
				case 0:
					s.must(blueprint("b", fmt.Sprintf(needs, []string{"a", "b"}[i%2]), ""))
				case 1:
					if err := s.apply(project(fmt.Sprint("p", i), `{"a":"1"}`, "")); err != nil && graph.KindOf(err) != graph.Invalid {
						t.Error(err)
					}
				default:
					f, err := s.blueprints.Form(catalog.FormQuery{Organization: "acme", Type: identity.Project})
					if err != nil || len(f.Sources) != 1 || len(f.Check(`{"a":"1","b":"2"}`)) != 0 {
						t.Errorf("%+v %v", f, err)
					}
				}
			}
		})
	}
	wait.Wait()
}

func TestAttributesThatCostTooMuchToCheckAreRefused(t *testing.T) {
	s := newShop(t)
	s.must(orgs + blueprint("b", `{"type":"object","properties":{"a":{"allOf":[`+strings.Repeat(`{"items":{"type":"integer"}},`, 400)+`{}]}}}`, ""))
	s.must(project("p", `{"a":[`+strings.Repeat("1,", 500)+`1]}`, ""))
	equal(t, "many", s.refused(project("p", `{"a":[`+strings.Repeat("1,", 9000)+`1]}`, "")), []string{"/data/attributes is too much to be checked against its blueprints"})
}
