package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"trellis/graph"
	"trellis/graph/identity"
)

// MaxChecks limits one batch of checks.
const MaxChecks = 1000

// Question is what a check asks.
type Question struct {
	Subject    graph.Ref      `json:"subject,omitempty" doc:"Who, as type:id; the caller if absent. Asking about others needs access:inspect on the resource"`
	Permission string         `json:"permission" minLength:"1" doc:"May do what, as type:action"`
	Resource   graph.Ref      `json:"resource" minLength:"3" doc:"To what, as type:id"`
	Context    map[string]any `json:"context,omitempty" doc:"What conditions of grants may look at; an object"`
}

// CheckInput is a question and how fresh the answer must be.
type CheckInput struct {
	Question
	Consistency Consistency `json:"consistency,omitempty"`
}

// ChecksInput is many questions, all answered at one revision.
type ChecksInput struct {
	Checks      []Question  `json:"checks" maxItems:"1000" nullable:"false"`
	Consistency Consistency `json:"consistency,omitempty"`
}

// Decision answers a question.
type Decision struct {
	Allowed bool `json:"allowed"`
	Freshness
}

// Decisions answers many, in order.
type Decisions struct {
	Results []Allowed `json:"results" nullable:"false"`
	Freshness
}

// Allowed is one of many answers.
type Allowed struct {
	Allowed bool `json:"allowed"`
}

// Freshness says at which revision an answer was worked out, and how old
// that may be.
type Freshness struct {
	Revision     string `json:"revision" doc:"The revision that the answer holds at; send it as at_least_as_fresh to see no older one"`
	Stale        bool   `json:"stale,omitempty" doc:"true while the store cannot be reached, so that newer changes may exist"`
	StaleSeconds int64  `json:"stale_seconds,omitempty" doc:"For how long"`
}

// Consistency is how fresh an answer must be.
type Consistency struct {
	Mode     string `json:"mode"`
	Revision string `json:"revision,omitempty"`
}

// The modes.
const (
	minimizeLatency = "minimize_latency"
	atLeastAsFresh  = "at_least_as_fresh"
	fullyConsistent = "fully_consistent"
)

// Schema implements huma.SchemaProvider: either the mode alone, or an object.
func (Consistency) Schema(huma.Registry) *huma.Schema {
	modes := &huma.Schema{Type: huma.TypeString, Enum: []any{minimizeLatency, atLeastAsFresh, fullyConsistent}}
	token := &huma.Schema{Type: huma.TypeString, Description: "A revision token, with at_least_as_fresh"}
	object := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"mode": modes, "revision": token}, Required: []string{"mode"}, AdditionalProperties: false}
	short := &huma.Schema{Type: huma.TypeString, Enum: []any{minimizeLatency, fullyConsistent}}
	s := &huma.Schema{OneOf: []*huma.Schema{short, object}, Description: "How fresh the answer must be: minimize_latency (default), at_least_as_fresh (with a revision), or fully_consistent"}
	for _, x := range []*huma.Schema{modes, object, short, token, s} {
		x.PrecomputeMessages()
	}
	return s
}

// UnmarshalJSON reads either form.
func (k *Consistency) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &k.Mode); err != nil {
			return err
		}
	} else {
		type plain Consistency
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		if err := d.Decode((*plain)(k)); err != nil {
			return badField("", "want a mode, or an object of mode and revision")
		}
	}
	switch {
	case k.Mode != minimizeLatency && k.Mode != atLeastAsFresh && k.Mode != fullyConsistent:
		return badField("/mode", "want minimize_latency, at_least_as_fresh or fully_consistent")
	case (k.Mode == atLeastAsFresh) != (k.Revision != ""):
		return badField("/revision", "at_least_as_fresh, and no other mode, comes with a revision")
	}
	return nil
}

func accessRoutes() []route {
	return []route{
		{method: post, path: "/access/check", id: "check", tag: "access", summary: "May this subject do this to that resource?",
			self: asking, in: body{value: CheckInput{}}, out: Decision{}, quick: true, handle: check},
		{method: post, path: "/access/checks", id: "checkMany", tag: "access", summary: "Up to 1,000 checks, all at one revision",
			self: asking, in: body{value: ChecksInput{}}, out: Decisions{}, quick: true, handle: checkMany},
		{method: post, path: "/access/explain", id: "explain", tag: "access", summary: "Check, and say why",
			doc:  "A yes comes with the path that gives it, a no with what is missing. Who else has access, and which roles would do, is told to those who hold access:inspect on the resource.",
			self: asking, in: body{value: CheckInput{}}, out: Explained{}, handle: explain},
		{method: get, path: "/access/resources", id: "listAccessibleResources", tag: "access", summary: "What may this subject do this to?",
			doc: "In the order of ids. " + streamed + " Of another subject, only resources on which the caller holds access:inspect are listed.", self: asking,
			query: fresh(text("subject", "Who, as type:id; the caller if absent", 600), text("permission", "May do what, as type:action", 200).must(), text("type", "The type of the resources", graph.MaxType).must()),
			out:   AccessPage{}, stream: true, handle: listResources},
		{method: get, path: "/access/subjects", id: "listSubjectsWithAccess", tag: "access", summary: "Who may do this to that resource?",
			doc: "In the order of ids. " + streamed, needs: need{permission: identity.InspectAccess, on: "the resource", ref: queriedResource}, node: resourceQuery,
			query: fresh(text("resource", "To what, as type:id", 600).must(), text("permission", "May do what, as type:action", 200).must(), text("type", "The type of the subjects; user if absent", graph.MaxType)),
			out:   AccessPage{}, stream: true, handle: listSubjects},
		{method: get, path: "/access/permissions", id: "listPermissionsOnResource", tag: "access", summary: "What may this subject do to that resource?",
			doc: "In the order of names. " + streamed, self: asking,
			query: fresh(text("subject", "Who, as type:id; the caller if absent", 600), text("resource", "To what, as type:id", 600).must()),
			out:   AccessPage{}, stream: true, handle: listPermissions},
	}
}

const (
	asking   = "callers may ask about themselves; asking about others needs access:inspect on the resource"
	streamed = "With Accept: application/x-ndjson the whole list comes as lines {\"item\"}, the last of which is {\"end\":true}: without that line it is not complete."
)

func check(c *call) error {
	var in CheckInput
	if err := c.decodeCheck(&in); err != nil {
		return err
	}
	if err := c.freshen(in.Consistency); err != nil {
		return revisionProblem(err, Fault{Pointer: "/consistency/revision"})
	}
	allowed, err := c.ask("check", &in.Question)
	if err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b := append((*buf)[:0], `{"allowed":`...)
	b = strconv.AppendBool(b, allowed)
	b = append(c.appendFreshness(append(b, ',')), '}')
	c.send(http.StatusOK, b)
	*buf = b
	return nil
}

func checkMany(c *call) error {
	var in ChecksInput
	if err := c.decodeChecks(&in); err != nil {
		return err
	}
	if err := c.freshen(in.Consistency); err != nil {
		return revisionProblem(err, Fault{Pointer: "/consistency/revision"})
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b := append((*buf)[:0], `{"results":[`...)
	for i := range in.Checks {
		allowed, err := c.ask("check", &in.Checks[i])
		if err != nil {
			return c.inItem(err, i)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendBool(append(b, `{"allowed":`...), allowed), '}')
	}
	b = append(c.appendFreshness(append(b, ']', ',')), '}')
	c.send(http.StatusOK, b)
	*buf = b
	return nil
}

// inItem points an error at the question it is about.
func (c *call) inItem(err error, i int) error {
	p := c.problem(err)
	at := "/checks/" + strconv.Itoa(i)
	if len(p.Errors) == 0 {
		p.Errors = []Fault{{Pointer: at, Detail: p.Detail}}
		return p
	}
	for j := range p.Errors {
		p.Errors[j].Pointer = at + p.Errors[j].Pointer
	}
	return p
}

// ask answers one question, if the caller may ask it.
func (c *call) ask(question string, q *Question) (bool, error) {
	if q.Subject.IsZero() {
		q.Subject = c.subject()
	}
	if err := c.sensible(q); err != nil {
		return false, err
	}
	if q.Subject != c.subject() {
		if err := c.inspect(q.Resource); err != nil {
			return false, err
		}
	}
	allowed := c.view.Check(q.Subject, q.Permission, q.Resource, c.now)
	c.decided(question, q, allowed)
	return allowed, nil
}

// sensible refuses a question that has no answer: of permissions and types
// that nobody registered.
func (c *call) sensible(q *Question) error {
	switch {
	case !c.permission(q.Permission):
		return badField("/permission", "there is no such permission")
	case !c.typed(q.Resource.Type):
		return badField("/resource", "there is no resource type %s", q.Resource.Type)
	case !c.typed(q.Subject.Type):
		return badField("/subject", "there is no resource type %s", q.Subject.Type)
	}
	return nil
}

func (c *call) permission(name string) bool {
	return c.view.HasPermission(name) && strings.IndexByte(name, '*') < 0
}

// typed tells whether there may be nodes of the type.
func (c *call) typed(t graph.Type) bool {
	switch t {
	case identity.User, graph.Root.Type, graph.Everyone.Type, graph.Authenticated.Type:
		return true
	}
	return c.view.Exists(graph.Ref{Type: identity.ResourceType, ID: string(t)})
}

// inspect refuses unless the caller may see who has access to the resource.
// Of one that is not there, only those who may inspect everything learn that.
func (c *call) inspect(r graph.Ref) error {
	if c.holds(identity.InspectAccess, r) || !c.view.Exists(r) && c.holds(identity.InspectAccess, graph.Root) {
		return nil
	}
	lacking := &graph.Error{Kind: graph.Denied, Msg: identity.InspectAccess + " on " + r.String() + " is needed", Ref: r, Permission: identity.InspectAccess}
	if !c.view.Exists(r) || !c.visible(r) {
		p := c.missing(r)
		if p.cause = lacking; !c.view.Exists(r) {
			p.cause = &graph.Error{Kind: graph.NotFound, Ref: r, Permission: identity.InspectAccess}
		}
		return p
	}
	p := problem(http.StatusForbidden, "forbidden", "%s", lacking.Msg)
	p.cause = lacking
	return p
}

// freshen takes a view that is as fresh as asked for.
func (c *call) freshen(k Consistency) error {
	switch k.Mode {
	case "", minimizeLatency:
		return nil
	case atLeastAsFresh:
		t, err := graph.ParseToken(c.Graph.State().Store, k.Revision)
		if err != nil {
			return err
		}
		if err := c.reach(t.Revision); err != nil {
			return err
		}
	case fullyConsistent:
		ctx, cancel := c.limited()
		defer cancel()
		if _, err := c.Graph.Sync(ctx); err != nil {
			return err
		}
	}
	c.refresh()
	c.at(c.view.Revision())
	return nil
}

// errFuture says that a revision has not happened; see revisionProblem.
var errFuture = errors.New("future revision")

// reach waits until the view shows the revision.
func (c *call) reach(rev graph.Revision) error {
	if c.view.Revision() >= rev {
		return nil
	}
	ctx, cancel := c.limited()
	defer cancel()
	err := c.Graph.Reach(ctx, rev)
	if err != nil && graph.KindOf(err) == graph.Invalid {
		return graph.Wrap(graph.Invalid, errFuture, "%s", err.Error())
	}
	return err
}

// revisionProblem names the part of the input that the revision came from.
func revisionProblem(err error, where Fault) error {
	var e *graph.Error
	if !errors.As(err, &e) || e.Kind != graph.Invalid && e.Kind != graph.Foreign {
		return err
	}
	kind := "invalid"
	switch {
	case e.Kind == graph.Foreign:
		kind = "foreign-revision"
	case errors.Is(err, errFuture):
		kind = "future-revision"
	}
	p := problem(http.StatusUnprocessableEntity, kind, "%s", e.Msg)
	where.Detail = e.Msg
	p.Errors = []Fault{where}
	return p
}

// freshness says how fresh the view is.
func (c *call) freshness() Freshness {
	f := Freshness{Revision: c.revisionText()}
	if s := c.Graph.State(); s.Err != nil || c.now.Sub(s.Contact) > c.o.StaleAfter {
		f.Stale, f.StaleSeconds = true, max(0, int64(c.now.Sub(s.Contact).Seconds()))
	}
	return f
}

// revisionText is the token of the view, as the header has it.
func (c *call) revisionText() string {
	return c.tokenFor(c.Graph.State().Store, c.view.Revision())[0]
}

func (c *call) appendFreshness(b []byte) []byte {
	f := c.freshness()
	b = append(append(append(b, `"revision":"`...), f.Revision...), '"')
	if f.Stale {
		b = strconv.AppendInt(append(b, `,"stale":true,"stale_seconds":`...), f.StaleSeconds, 10)
	}
	return b
}
