package graphtest

import (
	"fmt"
	"time"

	"trellis/graph"
)

// SearchProject is the ref of project i of SearchWorld.
func SearchProject(i int) graph.Ref {
	return graph.Ref{Type: "project", ID: fmt.Sprintf("0197f3a2-7c1e-7000-8000-%012d", i)}
}

// SearchWorld returns the records of an import of n projects, for benchmarks
// of searches. "service" is in the title of each, "platform" in each
// description, "deploy" begins a title of every second, in eight forms, and
// "unicorn7" is in one.
func SearchWorld(n int) []graph.Record {
	at := time.UnixMilli(1_750_000_000_000).UTC()
	forms := []string{"deploy", "deployer", "deploys", "deployment", "deployments", "deployed", "deploying", "deployable"}
	vocabulary := []string{"billing", "search", "gateway", "mobile", "checkout", "auth", "catalog", "ledger", "mail", "report"}
	out := make([]graph.Record, 0, n)
	for i := range n {
		second, name := "runner", vocabulary[i%len(vocabulary)]
		if i%2 == 0 {
			second = forms[i/2%len(forms)]
		}
		if i == n/2 {
			name = "unicorn7"
		}
		out = append(out, graph.Record{Node: &graph.Node{
			Ref: SearchProject(i), Names: []string{fmt.Sprintf("slug:project:o%d/p%d", i%1000, i)},
			Props: graph.Props{
				"name": fmt.Sprintf("%s %s service %d", name, second, i), "slug": fmt.Sprintf("%s-%s-%d", name, second, i), "organization": fmt.Sprintf("o%d", i%1000),
				"description": fmt.Sprintf("Part %d of the platform, which %s for %s teams and answers to nobody else", i%97, second, vocabulary[i/10%len(vocabulary)]),
				"identifiers": graph.JSON(fmt.Sprintf(`{"pagerduty":"P%dX","sentry":"sentry-%d"}`, i, i)), "keywords": []string{"go", vocabulary[i%7]},
			},
			Created: at, Updated: at, Revision: 1,
		}})
	}
	return out
}

// Searches are questions to a SearchWorld of n projects, by what is costly in them.
func Searches(n int) map[string]graph.SearchQuery {
	q := func(words ...string) graph.SearchQuery { return graph.SearchQuery{Words: words, Limit: 50} }
	scoped, only, typed, fuzzy, typo := q("service"), q("service"), q("service"), q("servise"), q("unicorm7")
	scoped.Organization = "o7"
	only.Only = []graph.Ref{SearchProject(3), SearchProject(n / 2), SearchProject(n - 1)}
	typed.Types = []graph.Type{"project", "tag"}
	fuzzy.Fuzzy, typo.Fuzzy = true, true
	many := q("service")
	for i := range graph.MaxSearchOnly {
		many.Only = append(many.Only, SearchProject(i*7%n))
	}
	return map[string]graph.SearchQuery{
		"all in title": q("service"), "all in text": q("platform"), "beginning of half": q("deplo"), "one letter": q("s"), "two letters": q("se"),
		"one": q("unicorn7"), "none": q("nothinglikeit"), "three words": q("billing", "deploy", "service"), "frequent and rare": q("service", "unicorn7"),
		"disjoint halves": q("deploy", "runner"), "numbers": q("sentry", "777"),
		"organization": scoped, "types": typed, "only 3": only, "only 2000": many, "typo": typo, "typo in all": fuzzy,
	}
}
