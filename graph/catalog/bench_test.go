package catalog_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/catalog"
)

// company makes catalogs of the size that the index is for: organizations
// with 50 project types, 20 tags, 5 environments, 10 teams and 4 services
// each, and projects with 2 types, 3 tags, 3 environments, a team, a service,
// a dependency and 5 attributes.
type company struct {
	r        *rand.Rand
	orgs     int
	projects func(org int) int
	ids      map[string][]graph.Ref // by "type org"
	all      []graph.Ref            // projects
	edges    []graph.Edge
}

var vocabulary = []string{"billing", "payment", "gateway", "search", "login", "ledger", "report", "mail", "queue", "cache", "portal", "mobile", "web", "api", "worker", "batch", "import", "export", "stream", "metrics", "audit", "profile", "cart", "order", "price", "stock", "ship", "return", "invoice", "refund", "chat", "voice", "video", "image", "upload", "render", "layout", "theme", "font", "color"}

func (c *company) id(t graph.Type, org int) graph.Ref {
	r := graph.Ref{Type: t, ID: fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", c.r.Uint32(), c.r.IntN(1<<16), c.r.IntN(1<<12), c.r.IntN(1<<12), c.r.Int64N(1<<48))}
	key := fmt.Sprint(t, " ", org)
	c.ids[key] = append(c.ids[key], r)
	return r
}

func (c *company) some(t graph.Type, org int) graph.Ref {
	list := c.ids[fmt.Sprint(t, " ", org)]
	return list[c.r.IntN(len(list))]
}

func (c *company) link(from graph.Ref, kind graph.Kind, to graph.Ref, p graph.Props) {
	c.edges = append(c.edges, graph.Edge{EdgeKey: graph.EdgeKey{From: from, Kind: kind, To: to}, Props: p})
}

func (c *company) word() string { return vocabulary[c.r.IntN(len(vocabulary))] }

// feed loads the company into an index, in an export's order.
func (c *company) feed(x *catalog.Index) {
	c.r, c.ids, c.all, c.edges = rand.New(rand.NewPCG(7, 8)), map[string][]graph.Ref{}, nil, nil
	x.Begin()
	now := time.UnixMilli(1_750_000_000_000)
	put := func(r graph.Ref, p graph.Props) {
		now = now.Add(time.Duration(c.r.IntN(100)) * time.Second)
		x.Node(&graph.Node{Ref: r, Props: p, Created: now, Updated: now.Add(time.Duration(c.r.IntN(1000)) * time.Hour)})
	}
	for o := range c.orgs {
		put(c.id("organization", o), graph.Props{"slug": fmt.Sprint("org-", o), "name": fmt.Sprint(c.word(), " Inc ", o)})
	}
	counts := []struct {
		t graph.Type
		n int
	}{{"project_type", 50}, {"tag", 20}, {"environment", 5}, {"team", 10}, {"third_party_service", 4}}
	for _, k := range counts {
		for o := range c.orgs {
			org := c.ids[fmt.Sprint("organization ", o)][0]
			for i := range k.n {
				r := c.id(k.t, o)
				name := fmt.Sprint(c.word(), "-", i)
				put(r, graph.Props{"slug": name, "name": name, "organization": org.ID})
				c.link(r, graph.ChildOf, org, nil)
			}
		}
	}
	for o := range c.orgs {
		for range c.projects(o) {
			c.project(o, put)
		}
	}
	slices.SortFunc(c.edges, func(a, b graph.Edge) int { return graph.CompareEdges(a.EdgeKey, b.EdgeKey) })
	for i := range c.edges {
		x.Edge(&c.edges[i])
	}
	c.edges = nil
	x.Ready(graph.Info{Head: 1})
}

func (c *company) project(o int, put func(graph.Ref, graph.Props)) {
	org := c.ids[fmt.Sprint("organization ", o)][0]
	r := c.id("project", o)
	c.all = append(c.all, r)
	slug := fmt.Sprint(c.word(), "-", c.word(), "-", len(c.all))
	put(r, graph.Props{
		"slug": slug, "name": fmt.Sprint(c.word(), " ", slug), "organization": org.ID, "archived": c.r.IntN(10) == 0,
		"identifiers": graph.JSON(`{"repository":"acme/` + slug + `"}`),
		"attributes": graph.JSON(fmt.Sprintf(`{"cost_center":"cc-%d","language":"%s","lifecycle":"%d","on_call":"person-%d@example.com","tier":%d}`,
			c.r.IntN(200), vocabulary[c.r.IntN(10)], c.r.IntN(4), c.r.IntN(5000), c.r.IntN(3))),
	})
	c.link(r, graph.ChildOf, org, nil)
	c.link(r, graph.ChildOf, c.some("team", o), nil)
	for i := range 3 {
		if i < 2 {
			c.link(r, "OF_TYPE", c.some("project_type", o), nil)
		}
		c.link(r, "TAGGED", c.some("tag", o), nil)
		c.link(r, "DEPLOYED_IN", c.some("environment", o), graph.Props{"url": fmt.Sprint("https://", slug, ".example.com")})
	}
	c.link(r, "EXISTS_IN", c.some("third_party_service", o), graph.Props{"identifier": slug})
	c.link(r, "DEPENDS_ON", c.some("project", o), nil)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func newCompany(b *testing.B, orgs int, projects func(org int) int) (*catalog.Index, *company) {
	b.Helper()
	c := &company{orgs: orgs, projects: projects}
	x := catalog.New()
	c.feed(x)
	return x, c
}

// used is the processor time of this process so far, which says more than the
// clock on a busy machine.
func used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// median measures f by the median of its times, and by processor time.
func median(b *testing.B, f func(i int)) {
	b.ReportAllocs()
	var times []time.Duration
	before := used()
	defer func() { b.ReportMetric(float64((used()-before).Nanoseconds())/1e3/float64(b.N), "cpu-us/op") }()
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		f(i)
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(times[len(times)*95/100].Nanoseconds())/1e3, "p95-us")
}

var fiveFacets = []string{"type", "tag", "environment", "team", "attributes.language"}

// BenchmarkFind asks for lists of 100,000 projects of 1,000 organizations, as
// somebody who sees all, a member of one organization, and somebody who sees 3.
func BenchmarkFind(b *testing.B) {
	x, c := newCompany(b, 1000, func(int) int { return 100 })
	archived, live := true, false
	org := func(o int) graph.Ref { return c.ids[fmt.Sprint("organization ", o)][0] }
	tag, env := c.ids["tag 7"], c.ids["environment 7"]
	queries := []struct {
		name  string
		query catalog.Query
	}{
		{"all", catalog.Query{}},
		{"facets", catalog.Query{Facets: fiveFacets}},
		{"live_facets", catalog.Query{Facets: fiveFacets, Filter: catalog.Filter{Archived: &live}}},
		{"archived_facets", catalog.Query{Facets: fiveFacets, Filter: catalog.Filter{Archived: &archived}}},
		{"half_facets", catalog.Query{Facets: fiveFacets, Filter: catalog.Filter{Attributes: map[string][]string{"tier": {"0"}, "lifecycle": {"0", "1", "2"}}}}},
		{"many_values_facets", catalog.Query{Facets: []string{"organization", "service", "depends_on", "attributes.on_call", "attributes.cost_center"}, Filter: catalog.Filter{Archived: &live}}},
		{"text", catalog.Query{Filter: catalog.Filter{Text: "bill p"}}},
		{"text_number", catalog.Query{Filter: catalog.Filter{Text: "4711"}}},
		{"organization_facets", catalog.Query{Organization: org(7), Facets: fiveFacets}},
		{"tag_and_environment_facets", catalog.Query{Facets: fiveFacets, Filter: catalog.Filter{Relations: map[graph.Kind][]graph.Ref{"TAGGED": tag[:5], "DEPLOYED_IN": env[:3]}}}},
		{"by_updated", catalog.Query{Sort: "-updated", Filter: catalog.Filter{Attributes: map[string][]string{"language": {"billing", "mail"}}}}},
	}
	three := []graph.Ref{c.all[711], c.all[50_000], c.all[99_000]}
	scopes := []struct {
		name  string
		scope catalog.Scope
	}{{"admin", catalog.Scope{All: true}}, {"member", catalog.Scope{Places: []graph.Ref{org(7)}}}, {"three", catalog.Scope{Places: three}}, {"hundred_orgs", catalog.Scope{Places: c.orgRefs(100)}}}
	for _, s := range scopes {
		for _, q := range queries {
			b.Run(s.name+"/"+q.name, func(b *testing.B) {
				q := q.query
				q.Type, q.Scope, q.Limit, q.Total = "project", s.scope, 50, true
				median(b, func(int) { find(b, x, q) })
			})
		}
		b.Run(s.name+"/pages", func(b *testing.B) {
			q := catalog.Query{Type: "project", Scope: s.scope, Limit: 50}
			median(b, func(int) { q.After = find(b, x, q).Next })
		})
		b.Run(s.name+"/counts", func(b *testing.B) {
			median(b, func(i int) { x.Counts("project", "TAGGED", c.ids[fmt.Sprint("tag ", i%1000)], s.scope) })
		})
		b.Run(s.name+"/organizations", func(b *testing.B) {
			orgs := c.orgRefs(50)
			median(b, func(int) { x.Counts("project", graph.ChildOf, orgs, s.scope) })
		})
	}
	b.Run("relations", func(b *testing.B) { median(b, func(i int) { x.Relations(c.all[i%len(c.all)]) }) })
}

func (c *company) orgRefs(n int) (out []graph.Ref) {
	for o := range n {
		out = append(out, c.ids[fmt.Sprint("organization ", o)][0])
	}
	return out
}

func find(b *testing.B, x *catalog.Index, q catalog.Query) catalog.Page {
	p, err := x.Find(q)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkOrganizations asks one organization of 100 projects for its lists,
// among ever more organizations.
func BenchmarkOrganizations(b *testing.B) {
	for _, orgs := range []int{1, 100, 10_000} {
		x, c := newCompany(b, orgs, func(o int) int {
			if o == 0 {
				return 100
			}
			return 10
		})
		org := c.orgRefs(1)
		for name, scope := range map[string]catalog.Scope{"admin": {All: true}, "member": {Places: org}} {
			b.Run(fmt.Sprint(name, "/", orgs), func(b *testing.B) {
				q := catalog.Query{Type: "project", Organization: org[0], Scope: scope, Limit: 50, Facets: fiveFacets, Total: true}
				median(b, func(int) { find(b, x, q) })
			})
		}
	}
}

// BenchmarkLoad loads 100,000 projects and tells what they take.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		before := heap()
		x, c := newCompany(b, 1000, func(int) int { return 100 })
		projects := len(c.all)
		*c = company{}
		b.ReportMetric(float64(heap()-before)/float64(projects), "B/project")
		runtime.KeepAlive(x)
	}
}

// BenchmarkApply makes 10,000 projects in one change, and tells how long a
// reader waits at most.
func BenchmarkApply(b *testing.B) {
	x, c := newCompany(b, 1000, func(int) int { return 100 })
	for i := 0; b.Loop(); i++ {
		var change graph.Change
		c.edges = nil
		for o := range 100 {
			for range 100 {
				c.project(o, func(r graph.Ref, p graph.Props) {
					change.Entries = append(change.Entries, graph.Entry{Node: &graph.NodeEntry{After: &graph.Node{Ref: r, Props: p, Created: time.UnixMilli(1_800_000_000_000), Updated: time.UnixMilli(1_800_000_000_000)}}})
				})
			}
		}
		for j := range c.edges {
			change.Entries = append(change.Entries, graph.Entry{Edge: &graph.EdgeEntry{After: &c.edges[j]}})
		}
		change.Revision = graph.Revision(i + 2)
		done, worst := make(chan struct{}), make(chan time.Duration)
		go func() {
			var longest time.Duration
			for {
				select {
				case <-done:
					worst <- longest
					return
				default:
				}
				start := time.Now()
				x.Card(c.all[0])
				longest = max(longest, time.Since(start))
			}
		}()
		start := time.Now()
		x.Apply([]graph.Change{change})
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/apply")
		close(done)
		b.ReportMetric(float64((<-worst).Microseconds()), "us-worst-wait")
	}
}
