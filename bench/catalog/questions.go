package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"trellis/bench/drive"
)

// Callers, by place.
const (
	// Admin may do everything.
	Admin = iota
	// Three may read three projects.
	Three
	// Member is in one of the large organizations, and reads all of it.
	Member
)

// Callers says who they are.
var Callers = [...]string{Admin: "administrator", Three: "sees 3 projects", Member: "member of one"}

// pageSize is what a page holds if the question does not say.
const pageSize = 50

// Question makes requests of one kind by one caller.
type Question struct {
	Kind   string
	Caller int
	make   func(rng *rand.Rand) (path string, right func(body []byte) bool)
}

// Asker makes up questions about a catalog that a server holds.
type Asker struct {
	world *World
	url   string
	all   []*Project // large organizations come up as often as their projects
	// Pages are cursors of the pages that the list of all projects is asked for, by number.
	Pages map[int]string
}

// NewAsker returns an Asker of the server.
func NewAsker(w *World, server string) *Asker {
	a := &Asker{world: w, url: server + "/api/v1", Pages: map[int]string{}}
	for _, o := range w.Orgs {
		a.all = append(a.all, o.Projects...)
	}
	return a
}

// Source asks the questions in turn, each about something else every time.
func (a *Asker) Source(questions []Question, seed uint64) func(i int) Ask {
	rng := rand.New(rand.NewPCG(seed, 3))
	order := rng.Perm(len(questions))
	return func(i int) Ask {
		q := questions[order[i%len(order)]]
		path, right := q.make(rng)
		return Ask{Kind: q.Kind, Caller: q.Caller, Request: drive.Request{Method: http.MethodGet, URL: a.url + path, Right: right}}
	}
}

// Patch changes the description of some project.
func (a *Asker) Patch(rng *rand.Rand) Ask {
	p := a.all[rng.IntN(len(a.all))]
	talk := newSpeech(a.world.vocabulary, rng)
	body, err := json.Marshal(map[string]string{"description": strings.Join(talk.say(12), " ")})
	if err != nil {
		panic(err) // texts
	}
	return Ask{Kind: KindPatch, Request: drive.Request{Method: http.MethodPatch, URL: a.url + p.path(), Body: body}}
}

func (o *Org) path() string     { return "/organizations/" + o.Slug }
func (p *Project) path() string { return p.Org.path() + "/projects/" + p.Slug }

// items wants a list of exactly n nodes of a type.
func items(t string, n int) func(body []byte) bool {
	want := []byte(`"type":"` + t + `"`)
	return func(body []byte) bool { return bytes.Count(body, want) == n }
}

func atMost(t string, n int) func(body []byte) bool {
	want := []byte(`"type":"` + t + `"`)
	return func(body []byte) bool { return bytes.Count(body, want) <= n }
}

// Questions are all kinds, of both callers.
func (a *Asker) Questions() []Question {
	return slices.Concat(a.of(Admin), a.of(Three), a.of(Member))
}

// of are the questions of one caller. What the caller cannot see at all, they
// are not made to ask.
func (a *Asker) of(caller int) []Question {
	b := &builder{asker: a, caller: caller, some: a.all}
	switch caller {
	case Three:
		b.some = a.world.ThreeOf
	case Member:
		b.some = a.world.MemberOf.Projects
	}
	b.across()
	b.within()
	b.search()
	b.single()
	return b.out
}

// Tenant are questions about one organization only.
func (a *Asker) Tenant(o *Org) []Question {
	b := &builder{asker: a, caller: Admin, some: o.Projects}
	b.within()
	b.search()
	b.single()
	return b.out
}

type builder struct {
	asker  *Asker
	caller int
	some   []*Project // the projects that the caller asks about
	out    []Question
}

func (b *builder) add(kind string, f func(rng *rand.Rand) (string, func([]byte) bool)) {
	b.out = append(b.out, Question{kind, b.caller, f})
}

func (b *builder) pick(rng *rand.Rand) *Project { return b.some[rng.IntN(len(b.some))] }

// seen is how many of n projects the caller gets on the first page.
func (b *builder) seen(n int) int {
	if b.caller == Three {
		n = min(n, 3)
	}
	return min(n, pageSize)
}

// fixed adds a list that is the same every time.
func (b *builder) fixed(kind, path string, right func([]byte) bool) {
	b.add(kind, func(*rand.Rand) (string, func([]byte) bool) { return path, right })
}

const fiveFacets = "facets=type,tag,environment,team,attributes.language"

// across asks about all organizations.
func (b *builder) across() {
	n := b.seen(len(b.asker.all))
	if b.caller == Member {
		n = b.seen(len(b.some))
	}
	page, some := items(tProject, n), atMost(tProject, n)
	for _, sort := range []string{"name", "-name", "created", "-updated", "slug"} {
		b.fixed("all projects, sort "+sort, "/projects?sort="+sort, page)
	}
	b.fixed("all projects, total", "/projects?total=true", page)
	b.fixed("all projects, 5 facets", "/projects?"+fiveFacets, nil)
	b.fixed("all projects, filter tier and language", "/projects?attributes.tier=gold&attributes.language=rust", some)
	b.fixed("all projects, filter pci, sort -updated", "/projects?attributes.pci=true&sort=-updated", some)
	b.fixed("all projects, filter tier, 5 facets, total", "/projects?attributes.tier=gold&total=true&"+fiveFacets, nil)
	b.fixed("all projects, text of a common word", "/projects?text=service", some)
	b.fixed("all projects, text of 2 letters", "/projects?text=se", some)
	b.add("all projects, text of two words", func(rng *rand.Rand) (string, func([]byte) bool) {
		return "/projects?text=" + strings.Join(b.words(rng, 2), "+"), some
	})
	if b.caller != Admin {
		return
	}
	for _, n := range []int{10, 1000} {
		if cursor := b.asker.Pages[n]; cursor != "" {
			b.fixed(fmt.Sprintf("all projects, page %d", n), "/projects?cursor="+url.QueryEscape(cursor), page)
		}
	}
	orgs := len(b.asker.world.Orgs)
	b.fixed("organizations", "/organizations", items(tOrg, min(orgs, pageSize)))
	b.fixed("organizations, sort -created, total", "/organizations?sort=-created&total=true", items(tOrg, min(orgs, pageSize)))
	b.fixed("organizations, text of 2 letters", "/organizations?text=se", nil)
}

// words are of the name of some project.
func (b *builder) words(rng *rand.Rand, n int) []string {
	words := strings.Fields(strings.ToLower(b.pick(rng).Name))
	return words[:min(n, len(words))]
}

// count counts the projects of an organization.
func (o *Org) count(f func(p *Project) bool) int {
	n := 0
	for _, p := range o.Projects {
		if f(p) {
			n++
		}
	}
	return n
}

// within asks about one organization.
func (b *builder) within() {
	list := func(kind, query string, right func(o *Org) func([]byte) bool) {
		b.add("projects of one, "+kind, func(rng *rand.Rand) (string, func([]byte) bool) {
			o := b.pick(rng).Org
			return o.path() + "/projects?" + query, right(o)
		})
	}
	every := func(o *Org) func([]byte) bool {
		if b.caller == Three {
			return atMost(tProject, 3)
		}
		return items(tProject, b.seen(len(o.Projects)))
	}
	list("sort name", "", every)
	list("sort -updated, total", "sort=-updated&total=true", every)
	list("5 facets", fiveFacets, func(*Org) func([]byte) bool { return nil })
	list("filter language and tier", "attributes.language=go&attributes.tier=gold", func(o *Org) func([]byte) bool {
		n := o.count(func(p *Project) bool { return p.Language == "go" && p.Tier == "gold" })
		return b.exactly(n)
	})
	b.related("type", func(p *Project) (string, int) {
		t := p.Types[0]
		return p.Org.Types[t].Slug, p.Org.count(func(q *Project) bool { return slices.Contains(q.Types, t) })
	})
	b.related("environment", func(p *Project) (string, int) {
		t := p.Environments[0]
		return p.Org.Environments[t].Slug, p.Org.count(func(q *Project) bool { return slices.Contains(q.Environments, t) })
	})
	b.related("team", func(p *Project) (string, int) {
		return p.Org.Teams[p.Team].Slug, p.Org.count(func(q *Project) bool { return q.Team == p.Team })
	})
	b.related("tag", func(p *Project) (string, int) {
		t := p.Org.Tags[0]
		return t.Slug, p.Org.count(func(q *Project) bool { return slices.Contains(q.Tags, 0) })
	})
	list("text of a common word", "text=service", func(*Org) func([]byte) bool { return nil })
	if b.caller == Three {
		return
	}
	b.vocabulary()
}

func (b *builder) exactly(n int) func([]byte) bool {
	if b.caller == Three {
		return atMost(tProject, 3)
	}
	return items(tProject, min(n, pageSize))
}

// related filters by a relation that some project has.
func (b *builder) related(name string, of func(p *Project) (slug string, n int)) {
	b.add("projects of one, filter "+name, func(rng *rand.Rand) (string, func([]byte) bool) {
		p := b.pick(rng)
		slug, n := of(p)
		return p.Org.path() + "/projects?" + name + "=" + slug, b.exactly(n)
	})
}

// vocabulary lists what else an organization has, each with the number of its projects.
func (b *builder) vocabulary() {
	for _, l := range []struct {
		path, t string
		of      func(o *Org) []Entry
	}{
		{"project-types", tType, func(o *Org) []Entry { return o.Types }},
		{"environments", tEnv, func(o *Org) []Entry { return o.Environments }},
		{"tags", tTag, func(o *Org) []Entry { return o.Tags }},
		{"link-definitions", tLink, func(o *Org) []Entry { return o.Links }},
		{"third-party-services", tService, func(o *Org) []Entry { return o.Services }},
		{"teams", tTeam, func(o *Org) []Entry { return o.Teams }},
	} {
		b.add(l.path+" of one, counted", func(rng *rand.Rand) (string, func([]byte) bool) {
			o := b.pick(rng).Org
			return o.path() + "/" + l.path, items(l.t, len(l.of(o)))
		})
	}
	b.add("projects of a team", func(rng *rand.Rand) (string, func([]byte) bool) {
		p := b.pick(rng)
		return p.Org.path() + "/teams/" + p.Org.Teams[p.Team].Slug + "/projects", nil
	})
}

// search looks for words. The commonest word is in more than half of all projects.
func (b *builder) search() {
	find := func(kind, query string) { b.fixed("search, "+kind, "/search?"+query, nil) }
	find("a common word", "q=service")
	find("a rare word", "q=sandbox")
	find("two letters", "q=se")
	find("two words", "q=payment+gateway")
	find("two words, projects", "q=service+order&type=project")
	find("three common words", "q=service+payment+customer")
	find("a typo", "q=paymnet")
	find("a common word, tags", "q=service&type=tag")
	find("nothing", "q=xyzzyq")
	b.add("search, the name of a project", func(rng *rand.Rand) (string, func([]byte) bool) {
		return "/search?q=" + url.QueryEscape(b.pick(rng).Name), nil
	})
	if b.caller == Three {
		return
	}
	b.add("search, a common word, projects of one", func(rng *rand.Rand) (string, func([]byte) bool) {
		return "/search?q=service&type=project&organization=" + b.pick(rng).Org.Slug, nil
	})
	b.add("search, two letters, one organization", func(rng *rand.Rand) (string, func([]byte) bool) {
		return "/search?q=se&organization=" + b.pick(rng).Org.Slug, nil
	})
}

// single reads one project and what it is related to.
func (b *builder) single() {
	b.add("one project", func(rng *rand.Rand) (string, func([]byte) bool) {
		p := b.pick(rng)
		return p.path(), func(body []byte) bool { return bytes.Contains(body, []byte(p.ID)) }
	})
	for _, what := range []string{"dependencies", "dependents", "history"} {
		b.add(what, func(rng *rand.Rand) (string, func([]byte) bool) {
			return b.pick(rng).path() + "/" + what, func(body []byte) bool { return bytes.Contains(body, []byte(`"items":[`)) }
		})
	}
}
