package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
)

// three blueprints as people write them.
func (s *shop) three() {
	s.must(
		blueprint("base", `{"type":"object","required":["tier"],"properties":{"tier":{"enum":["gold","silver","bronze"]},"language":{"type":"string","maxLength":40},"cost_center":{"type":"integer","minimum":1000}}}`, "") + "\n" +
			blueprint("service", `{"type":"object","properties":{"port":{"type":"integer","minimum":1,"maximum":65535},"on_call":{"type":"string","format":"email"},"tags":{"type":"array","items":{"type":"string","pattern":"^[a-z-]+$"},"uniqueItems":true}}}`, `,"project_types":["api"],"priority":1`) + "\n" +
			blueprint("running", `{"type":"object","properties":{"region":{"enum":["eu","us"]},"replicas":{"type":"integer"}},"dependentRequired":{"replicas":["region"]}}`, `,"environments":["production"],"priority":2`))
}

const filled = `{"tier":"gold","language":"go","cost_center":4711,"port":8080,"on_call":"team@example.com","tags":["payments","core"],"region":"eu","replicas":3}`

// BenchmarkCheck10000 holds ten thousand projects against three blueprints.
func BenchmarkCheck10000(b *testing.B) {
	s := newShop(b)
	s.must(orgs)
	s.three()
	for b.Loop() {
		for range 10_000 {
			f, err := s.blueprints.Form(catalog.FormQuery{Organization: "acme", Type: identity.Project, ProjectTypes: []string{"api"}, Environments: []string{"production"}})
			if err != nil || len(f.Sources) != 3 || len(f.Check(filled)) > 0 {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkMerge makes a form that was not made before.
func BenchmarkMerge(b *testing.B) {
	s := newShop(b)
	s.must(orgs)
	s.three()
	n := s.node("blueprint:base")
	for b.Loop() {
		s.blueprints.Apply([]graph.Change{{Entries: []graph.Entry{{Node: &graph.NodeEntry{After: n}}}}})
		if _, err := s.blueprints.Form(catalog.FormQuery{Organization: "acme", Type: identity.Project, ProjectTypes: []string{"api"}, Environments: []string{"production"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApply10000 plans to write ten thousand projects, with the three
// blueprints that count for them and without.
func BenchmarkApply10000(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprintf("blueprints=%v", with), func(b *testing.B) {
			s := newShop(b)
			s.must(orgs)
			var muts []identity.Mutation
			if with {
				s.three()
			}
			for i := range 9_000 {
				var m identity.Mutation
				must(b, json.Unmarshal([]byte(project(fmt.Sprint("p", i), filled, `,"types":["api"],"environments":{"production":{}}`)), &m))
				muts = append(muts, m)
			}
			for b.Loop() {
				_, err := s.Apply(context.Background(), identity.Caller{Subject: admin}, muts, identity.ApplyOptions{Dry: true})
				if err != nil {
					b.Fatal(err, told(err))
				}
			}
		})
	}
}

// BenchmarkHostile reads each schema that must not take long.
func BenchmarkHostile(b *testing.B) {
	list := hostile()
	list["patterns at the limit"] = `{"type":"object","properties":{"a":{"pattern":"` + strings.Repeat(".{900}", 4) + `"}}}`
	for name, schema := range list {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				catalog.CheckSchema(schema)
			}
		})
	}
}

// BenchmarkCheckAtTheLimit checks values that cost about as much as may be.
func BenchmarkCheckAtTheLimit(b *testing.B) {
	list := func(n int, e string) string { return strings.TrimSuffix(strings.Repeat(e+",", n), ",") }
	for name, c := range map[string][2]string{
		"schemas": {`{"allOf":[` + list(490, `{"items":{"type":"string"}}`) + `]}`, `[` + list(500, `"x"`) + `]`},
		"failing": {`{"allOf":[` + list(490, `{"items":{"type":"object"}}`) + `]}`, `[` + list(500, `"x"`) + `]`},
		"numbers": {`{"items":{"enum":[` + list(900, `1.25e99`) + `]}}`, `[` + list(54, `2.25e99`) + `]`},
		"pattern": {`{"items":{"pattern":"(x+x+)+y(.{900}){1}"}}`, `[` + list(1, `"`+strings.Repeat("x", 30000)+`"`) + `]`},
	} {
		b.Run(name, func(b *testing.B) {
			s := newShop(b)
			s.must(orgs + blueprint("b", `{"type":"object","properties":{"a":`+c[0]+`}}`, ""))
			f, err := s.blueprints.Form(catalog.FormQuery{Organization: "acme", Type: identity.Project})
			must(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if got := f.Check(graph.JSON(`{"a":` + c[1] + `}`)); len(got) == 1 && strings.Contains(got[0].Msg, "too much") {
					b.Fatal(got)
				}
			}
		})
	}
}
