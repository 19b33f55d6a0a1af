package api

import (
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/permission"
)

// Found is one hit of a search.
type Found struct {
	Type         graph.Type `json:"type"`
	ID           string     `json:"id"`
	Slug         string     `json:"slug,omitempty"`
	Name         string     `json:"name,omitempty"`
	Organization string     `json:"organization,omitempty" doc:"Id of the organization that it belongs to"`
	Description  string     `json:"description,omitempty" doc:"The beginning of its description"`
	Matched      []string   `json:"matched" doc:"The fields that have one of the words; tags are among them" nullable:"false"`
}

const (
	// maxQuery limits the text of a search, in bytes.
	maxQuery = 200
	// maxSnippet limits what is shown of a description, in bytes.
	maxSnippet = 200
	// searchPages and searchPage limit how many hits one request looks at.
	searchPages, searchPage = 16, 250
	// fewToSearch is how many nodes are read and searched one by one: more cost
	// more than the index does.
	fewToSearch = 500
)

func searchRoutes() []route {
	return []route{{method: get, path: "/search", id: "search", tag: "search", summary: "Find nodes of all types by words",
		doc: "Every word must begin a word of the name, slug, address, id, description, an identifier, a tag, or a value among the attributes. What has the words as its name comes first, " +
			"then what has them in its name or slug. A word that nothing begins with may differ by a typo. " +
			"At most so many searches are made at once; others wait, and after a second get 503. " +
			"A page may be short, or even empty, and yet have a next_cursor: the work of one request is limited.",
		self:    "finds only what the caller may read",
		answers: map[int]string{http.StatusServiceUnavailable: "Too many searches are being made at once, or the store is away"},
		query: paged(text("q", "The words", maxQuery).must(), text("type", "Only nodes of this type, any of several", graph.MaxType).many(),
			text("organization", "Only what belongs to this organization: its id or slug", graph.MaxID)),
		out: Page[Found]{}, handle: search}}
}

func search(c *call) error {
	q := graph.SearchQuery{Words: graph.Words(c.query["q"]), Fuzzy: true}
	switch n := len(q.Words); {
	case n == 0:
		return badParameter("q", "has no word")
	case n > graph.MaxSearchWords:
		return badParameter("q", "has %d words; the limit is %d", n, graph.MaxSearchWords)
	}
	for _, s := range c.values["type"] {
		t := graph.Type(s)
		if !t.Valid() || !c.typed(t) || !graph.Searchable(t) {
			return badParameter("type", "there is no type %.64q that can be found", s)
		}
		q.Types = append(q.Types, t)
	}
	if s, ok := c.query["organization"]; ok {
		org, err := c.organization(s)
		if err != nil {
			return err
		}
		q.Organization = org.ID
	}
	var err error
	if q.After, err = c.after(); err != nil {
		return err
	}
	all := c.readsAll(&q)
	if !all {
		var few []graph.Ref
		if few, all = c.little(&q); all {
			q.Only = few
		} else {
			c.narrow(&q)
		}
	}
	page := Page[Found]{Items: []Found{}}
	if q.Only != nil && len(q.Only) == 0 {
		return c.json(http.StatusOK, page)
	}
	done, err := c.searchTurn()
	if err != nil {
		return err
	}
	defer done()
	next, err := c.hits(q, all, func(h *graph.Hit, terms []graph.SearchTerm) {
		page.Items = append(page.Items, foundOf(&h.Node, terms))
	})
	if err != nil {
		return err
	}
	page.NextCursor = c.cursor(next)
	return c.json(http.StatusOK, page)
}

// searchPatience is how long a search waits for its turn.
const searchPatience = time.Second

// searchTurn waits until fewer searches than may be at once are being made.
// Whoever gets a turn ends it with done.
func (c *call) searchTurn() (done func(), err error) {
	late := time.NewTimer(searchPatience)
	defer late.Stop()
	select {
	case c.searching <- struct{}{}:
		return func() { <-c.searching }, nil
	case <-late.C:
		return nil, unavailable("too many searches are being made at once")
	case <-c.ctx().Done():
		return nil, graph.Wrap(graph.Canceled, c.ctx().Err(), "the request ended before its search began")
	}
}

// searched lists the types that a search is about.
func (c *call) searched(q *graph.SearchQuery) []graph.Type {
	if q.Types != nil {
		return q.Types
	}
	ids, _ := c.view.Resources(permission.ResourcesQuery{Subject: c.subject(), Permission: "resource_type:read", Type: identity.ResourceType, At: c.now})
	out := make([]graph.Type, 0, len(ids))
	for _, id := range ids {
		if t := graph.Type(id); graph.Searchable(t) {
			out = append(out, t)
		}
	}
	return out
}

// readsAll tells whether the caller may read whatever the search may find.
func (c *call) readsAll(q *graph.SearchQuery) bool {
	for _, t := range c.searched(q) {
		if !c.holds(string(t)+":read", graph.Root) {
			return false
		}
	}
	return true
}

// little lists all that the caller may read of what counts, if it is little: then
// the search is made in that. False if it is more.
func (c *call) little(q *graph.SearchQuery) ([]graph.Ref, bool) {
	out := []graph.Ref{}
	for _, t := range c.searched(q) {
		rq := readable(c, t, "")
		// One more would be too many; 0 would mean any number.
		rq.Limit = fewToSearch - len(out) + 1
		ids, more := c.view.Resources(rq)
		if more || len(out)+len(ids) > fewToSearch {
			return nil, false
		}
		for _, id := range ids {
			out = append(out, graph.Ref{Type: t, ID: id})
		}
	}
	return out, true
}

// narrow leaves organizations out of a search that the caller can read nothing
// of, unless the caller is in many. What is found need not be readable yet.
func (c *call) narrow(q *graph.SearchQuery) {
	homes := []string{""}
	for _, t := range c.searched(q) {
		if !belongs(t) {
			continue
		}
		for _, p := range c.view.Places(c.subject(), string(t)+":read", c.now) {
			id := c.homeOf(p)
			switch {
			case p == graph.Root || len(homes) == graph.MaxSearchHomes:
				return
			case !slices.Contains(homes, id):
				homes = append(homes, id)
			}
		}
	}
	q.Homes = homes
}

// belongs tells whether nodes of the type are, or may belong to, organizations.
func belongs(t graph.Type) bool {
	return t == identity.Organization || slices.ContainsFunc(identity.Describe(t), func(f identity.FieldInfo) bool { return f.Name == graph.PropOrganization })
}

// homeOf returns the organization that a node is, or is in; "" if none.
func (c *call) homeOf(r graph.Ref) string {
	for r.Type != identity.Organization {
		above := c.view.Parents(r)
		if len(above) == 0 {
			return ""
		}
		r = above[0]
	}
	return r.ID
}

// hits goes through the hits, best first, until a page of them may be read, and
// returns where the next page begins. all says that all of them may be.
func (c *call) hits(q graph.SearchQuery, all bool, yield func(*graph.Hit, []graph.SearchTerm)) (next string, err error) {
	room := c.limit()
	for page := range searchPages {
		q.Limit = room
		if !all && page > 0 { // of the first page, often all may be read
			q.Limit = max(room, searchPage)
		}
		a, err := c.Graph.Store().Search(c.ctx(), q)
		if err != nil {
			return "", err
		}
		terms := q.Terms(a.Corrected)
		for i := range a.Hits {
			if h := &a.Hits[i]; all || c.visible(h.Node.Ref) {
				yield(h, terms)
				if room--; room == 0 && i < len(a.Hits)-1 {
					// The page ends in the middle: only the engine knows that place.
					q.Limit = i + 1
					a, err := c.Graph.Store().Search(c.ctx(), q)
					return a.Next, err
				}
			}
		}
		if q.After = a.Next; a.Next == "" || room == 0 {
			break
		}
	}
	return q.After, nil
}

func foundOf(n *graph.Node, terms []graph.SearchTerm) Found {
	f := Found{Type: n.Ref.Type, ID: n.Ref.ID, Slug: n.Props.String("slug"), Name: n.Props.String("name"), Organization: n.Props.String("organization"),
		Description: snippet(n.Props.String("description")), Matched: []string{}}
	match := func(name string, texts ...string) {
		words := graph.Words(strings.Join(texts, " "))
		if slices.ContainsFunc(terms, func(t graph.SearchTerm) bool { return t.In(words) }) {
			f.Matched = append(f.Matched, name)
		}
	}
	match("name", f.Name)
	match("slug", f.Slug)
	match("email", n.Props.String("email"))
	match("id", n.Ref.ID)
	match("description", n.Props.String("description"))
	for _, name := range []string{graph.PropIdentifiers, graph.PropAttributes} {
		if object, ok := n.Props[name].(graph.JSON); ok {
			match(name, object.Texts()...)
		}
	}
	match("tags", n.Props.Strings(identity.PropKeywords)...)
	return f
}

// snippet is the beginning of a text.
func snippet(s string) string {
	if len(s) <= maxSnippet {
		return s
	}
	s = s[:maxSnippet]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return strings.TrimSpace(s) + "…"
}
