package api

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"trellis/graph"
	"trellis/graph/identity"
)

// route is one row of the table: everything that is to be known of an
// operation, for the router, for OpenAPI and for whoever reads the code.
type route struct {
	method string
	// path is the template as OpenAPI writes it: "/users/{id}".
	path string
	// id is the operation's name in OpenAPI, unique.
	id      string
	summary string
	// doc says more than the summary can.
	doc string
	tag string

	// Exactly one of these three says who may call. needs: whoever holds a
	// permission. public: anybody, and why. self: any known caller, and why,
	// since the answer is about the caller or the handler filters it.
	needs  need
	public string
	self   string

	query []param
	// in is what the body must look like; nil for none.
	in body
	// out is what a success answers with.
	out    any
	status int
	// answers are further statuses worth a mention, with what they mean.
	answers map[int]string

	// node resolves the path to the node that it names, as c.ref.
	node func(*call) error
	// idempotent says that Idempotency-Key is honoured.
	idempotent bool
	// edits says that If-Match is honoured.
	edits bool
	// upserts says that the node of the path may be made by the request.
	upserts bool
	// big allows the body of a batch.
	big bool
	// huge allows the body of a set of manifests.
	huge bool
	// files: a file comes or goes, for which there is more time.
	files bool
	// binary: the answer is no JSON.
	binary bool
	// sends: the body is a file that the handler reads itself.
	sends bool
	// stream: the answer has no time limit.
	stream bool
	// unrecorded: the audit log says nothing of requests to it.
	unrecorded bool
	// unlimited: the answer comes at once, but may take any time to make.
	unlimited bool
	// exports: a stream in the formats of exports.
	exports bool
	// quick: the handler does not block unless it sets a limit itself.
	quick bool

	handle func(*call) error
}

// need is the permission that a route needs and on what.
type need struct {
	// permission may name the type of the path: "{type}:read".
	permission string
	// on says in words on which node.
	on string
	// ref finds that node; c.ref if nil.
	ref func(*call) graph.Ref
	// inside: the nodes are named by the body, so the check is made, with
	// the same words, by the use case that reads it.
	inside bool
}

// param is a query parameter.
type param struct {
	name     string
	doc      string
	schema   *huma.Schema
	required bool
	// repeats: it may come more than once. Then "*" at the end of the name
	// stands for anything.
	repeats bool
}

// body describes what a request must carry: a Go type, or the fields of a type
// of node. At most one is set.
type body struct {
	value any
	node  graph.Type
	patch bool
	// withID: the id may (or, with needID, must) be given.
	withID, needID bool
	optional       bool
	// file: the body is a file, or a form with one. picture: it must be an image.
	file, picture bool
}

// homed tells whether the path says where the node belongs.
func (b body) homed() bool { return b.node == identity.Team || identity.Catalogued(b.node) }

func (b body) none() bool { return b.value == nil && b.node == "" && !b.file }

// element is one of a path, {name}, or the rest of it, {name...}.
var element = regexp.MustCompile(`\{(\w+)(\.\.\.)?\}`)

func (r *route) ginPath() string {
	return element.ReplaceAllStringFunc(r.path, func(e string) string {
		if name, rest := strings.CutSuffix(strings.Trim(e, "{}"), "..."); rest {
			return "*" + name
		} else {
			return ":" + name
		}
	})
}

// guarded tells whether the row says who may call it.
func (r *route) guarded() bool {
	n := 0
	for _, b := range []bool{r.needs.permission != "", r.public != "", r.self != ""} {
		if b {
			n++
		}
	}
	return n == 1 && (r.needs.permission == "" || r.needs.on != "")
}

// prefix is where everything but the service's own pages lives.
const prefix = "/api/v1"

// table is the route table.
func table() []route {
	var rows []route
	for _, area := range [][]route{accessRoutes(), nodeRoutes(), catalogRoutes(), memberRoutes(), grantRoutes(), keyRoutes(), blueprintRoutes(), changeRoutes(), auditRoutes(), manifestRoutes(), trashRoutes(), uploadRoutes(), pictureRoutes(), blobRoutes()} {
		for _, r := range area {
			r.path = prefix + r.path
			rows = append(rows, r)
		}
	}
	return append(rows, serviceRoutes()...)
}

func onRoot(*call) graph.Ref { return graph.Root }

// Parameters that several routes share.
func limitParam() param {
	lo, hi := 1.0, float64(maxLimit)
	return param{name: "limit", doc: "How many items a page holds at most", schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &lo, Maximum: &hi, Default: defaultLimit}}
}

func text(name, doc string, most int) param {
	return param{name: name, doc: doc, schema: &huma.Schema{Type: huma.TypeString, MaxLength: &most}}
}

func flag(name, doc string) param {
	return param{name: name, doc: doc, schema: &huma.Schema{Type: huma.TypeBoolean, Default: false}}
}

func (p param) must() param { p.required = true; return p }

func (p param) many() param { p.repeats = true; return p }

func paged(more ...param) []param {
	return append(more, limitParam(), text("cursor", "The next_cursor of the page before", 2048))
}

const (
	defaultLimit = 50
	maxLimit     = 1000
	get          = http.MethodGet
	post         = http.MethodPost
	put          = http.MethodPut
	patch        = http.MethodPatch
	del          = http.MethodDelete
)
