package manifest

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"trellis/graph"
	"trellis/graph/identity"
)

// Permissions on a set, or on what it belongs to.
const (
	// Read: see what the set holds.
	Read = "manifest:read"
	// Update: apply it, or forget it.
	Update = "manifest:update"
)

// maxMutations limits one Apply: a document may declare many memberships.
const maxMutations = 5 * MaxDocuments

// maxTries bounds how often an Apply starts over because what it saw changed.
const maxTries = 5

// Service applies sets. It is safe for concurrent use.
type Service struct {
	graph     *graph.Graph
	identity  *identity.Service
	authority func() identity.Authority
}

// New returns a Service that writes by ids, which must write to g, and asks
// authority, which must give the index at its present revision.
func New(g *graph.Graph, ids *identity.Service, authority func() identity.Authority) *Service {
	return &Service{g, ids, authority}
}

// Request is a set and what is to be done with it.
type Request struct {
	// Set is its name: NAME, or ORGANIZATION/NAME for one that belongs to an organization.
	Set       string
	Documents []Document
	// Plan: only tell what would happen.
	Plan bool
	// Prune: take away what the set declared before and does not any more.
	Prune bool
	// Merge: what a document does not say of a node that is there stays as it is,
	// also inside of objects.
	Merge bool
}

// Result is what came of a request, or would.
type Result struct {
	Revision graph.Revision
	// Changed is false when everything was so already, the record of the set included.
	Changed bool
	Change  *graph.Change
	Plan    []PlanItem
	Counts  PlanCounts
}

// attempt is one try at a request.
type attempt struct {
	*resolver
	q       Request
	records graph.Reader
	home    graph.Ref
	entries []*entry
	steps   []step
	gone    []*Declared // declared before and no longer
	freed   []*Declared // of these, what another set declares
	objects []Declared
	late    []graph.Step
	guards  []graph.Step
}

// Apply carries out a request: all of it in one revision, or nothing. An error
// is a *graph.Error whose Fields point into the documents ("/documents/3/spec/slug").
//
// NotFound: the caller may not know the set, or nothing is there that it could
// belong to. Denied: the caller may see it but not apply it, or may not do what
// a document asks for. Others as of identity.Service.Apply.
func (s *Service) Apply(ctx context.Context, caller identity.Caller, q Request, o identity.ApplyOptions) (*Result, error) {
	fresh := map[string]string{}
	for try := 1; ; try++ {
		auth := s.authority()
		out, err := s.try(ctx, caller, q, o, auth, fresh)
		if err == nil || try == maxTries || !shifting(err) {
			return out, err
		}
		if _, err := s.graph.Sync(ctx); err != nil {
			return nil, err
		}
		if s.authority().Revision() == auth.Revision() {
			return nil, err
		}
	}
}

// shifting tells whether an error may come of a look that was too early.
func shifting(err error) bool {
	switch graph.KindOf(err) {
	case graph.Stale, graph.Exists, graph.NotFound, graph.InUse:
		return true
	}
	return false
}

func (s *Service) try(ctx context.Context, caller identity.Caller, q Request, o identity.ApplyOptions, auth identity.Authority, fresh map[string]string) (*Result, error) {
	a, err := s.prepare(ctx, caller, q, auth, fresh, nil)
	if err != nil {
		return nil, err
	}
	muts := make([]identity.Mutation, len(a.steps))
	for i := range a.steps {
		muts[i] = a.steps[i].mutation
	}
	o.Conditions = append(slices.Clone(o.Conditions), a.guards...)
	o.Steps = append(slices.Clone(a.late), o.Steps...)
	o.Dry, o.Most = q.Plan, maxMutations
	out, err := s.identity.Apply(ctx, caller, muts, o)
	if err != nil {
		return nil, a.explain(err)
	}
	return s.result(ctx, a, out)
}

// prepare works out all that an Apply will ask of package identity. With done,
// the record of the set is taken as it was before that change.
func (s *Service) prepare(ctx context.Context, caller identity.Caller, q Request, auth identity.Authority, fresh map[string]string, done *graph.Change) (*attempt, error) {
	entries, err := read(q.Documents)
	if err != nil {
		return nil, err
	}
	a := &attempt{q: q, entries: entries, resolver: s.resolver(ctx, caller, auth, fresh), records: rewind(s.graph.Store(), done)}
	var bad faults
	if err := a.open(&bad); err != nil {
		return nil, err
	}
	if err := a.nodes(entries, &bad); err != nil {
		return nil, err
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	if err := a.references(entries, &bad); err != nil {
		return nil, err
	}
	if len(bad) == 0 {
		distinct(entries, &bad)
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	if q.Merge {
		a.put = identity.OpEnsure
	}
	if a.steps, err = a.resolver.steps(entries); err != nil {
		return nil, err
	}
	if err := a.prune(); err != nil {
		return nil, err
	}
	return a, a.remember()
}

func (s *Service) resolver(ctx context.Context, caller identity.Caller, auth identity.Authority, fresh map[string]string) *resolver {
	return &resolver{
		ctx: ctx, store: s.graph.Store(), auth: auth, caller: caller.Subject, now: s.identity.Now(), fresh: fresh, newID: s.identity.NewID, put: identity.OpPut,
		declared: map[string]graph.Ref{}, made: map[graph.Ref]*entry{}, stored: map[string]*graph.Node{}, rec: &record{},
	}
}

// remember works out the record, and what must not have changed meanwhile.
func (a *attempt) remember() (err error) {
	for _, e := range a.entries {
		a.objects = append(a.objects, objectOf(e))
	}
	slices.SortFunc(a.objects, func(x, y Declared) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name), graph.CompareRefs(x.Node, y.Node), graph.CompareRefs(x.From, y.From), graph.CompareRefs(x.To, y.To), cmp.Compare(x.Role, y.Role))
	})
	a.late, err = a.rec.keep(a.home, a.objects)
	a.guards = append(a.guards, a.rec.guard())
	for _, e := range a.entries {
		if e.known != nil {
			// It was found by its name; whoever renamed it meanwhile moved the name.
			a.guards = append(a.guards, graph.RequireAt(e.known.Ref, e.known.Revision))
		}
	}
	return err
}

// taken are the names of sets that the paths of the API have another use for.
var taken = []string{"export", "schema"}

var setName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

// splitSet splits the name of a set into that of its organization, "" if it has
// none, and its own.
func splitSet(set string) (org, name string) {
	i := strings.LastIndexByte(set, '/')
	return set[:max(i, 0)], set[i+1:]
}

// noSet is the error about a set that is not there or that the caller may not see.
func noSet() error { return &graph.Error{Kind: graph.NotFound, Msg: "there is no such set"} }

// open finds the set, and the organizations that the documents name.
func (a *attempt) open(bad *faults) error {
	org, name := splitSet(a.q.Set)
	if !setName.MatchString(name) || org == "" && slices.Contains(taken, name) {
		e := graph.Errorf(graph.Invalid, "the name of a set is 1 to 100 lower-case letters, digits, '-', '_' or '.', after the name of an organization and a slash if it belongs to one")
		return e
	}
	if err := a.look([]string{identity.SlugName(identity.Organization, "", org)}); err != nil {
		return err
	}
	find := func() error {
		a.home = graph.Root
		ref := graph.Ref{Type: identity.Manifest, ID: name}
		if org != "" {
			if a.home = a.organization(org); a.home.IsZero() {
				return nil
			}
			ref.ID = a.home.ID + "/" + name
		}
		if err := ref.Validate(); err != nil {
			return err
		}
		if a.made[a.home] == nil || a.auth.Exists(a.home) {
			if err := allowed(a.resolver, ref, a.home, Update); err != nil {
				return err
			}
		}
		var err error
		a.rec, err = recall(a.ctx, a.records, ref)
		return err
	}
	if err := find(); err != nil {
		return err
	}
	there := !a.home.IsZero()
	if err := a.organizations(a.entries, bad); err != nil || there {
		return err
	}
	// The set belongs to an organization that its own documents make.
	if err := find(); err != nil {
		return err
	}
	if a.home.IsZero() {
		return noSet()
	}
	return nil
}

// allowed refuses unless the caller holds the permission on the set or, while
// there is none, on what it would belong to. Who may not even read it hears that
// it is not there, whether it is or not.
func allowed(r *resolver, set, home graph.Ref, permission string) error {
	on := home
	if r.auth.Exists(set) {
		on = set
	}
	switch {
	case r.may(permission, on):
		return nil
	case permission == Read || !r.may(Read, on):
		return noSet()
	}
	return &graph.Error{Kind: graph.Denied, Msg: permission + " on " + on.String() + " is needed", Ref: on, Permission: permission}
}

// explain points an error of package identity at the document concerned.
func (a *attempt) explain(err error) error {
	var e *graph.Error
	if !errors.As(err, &e) || e.Step < 0 || e.Step >= len(a.steps) || e.Kind == graph.TooLarge || e.Kind == graph.Unavailable || e.Kind == graph.Internal {
		return err
	}
	s := &a.steps[e.Step]
	if s.entry == nil {
		e.Fields = nil
		if e.Kind != graph.Denied && e.Kind != graph.NotFound {
			e.Msg = "pruning " + s.object.Kind + " " + s.object.Name + ": " + e.Msg
		}
		return err
	}
	fields := slices.Clone(e.Fields)
	for i := range fields {
		fields[i].Pointer = s.entry.pointer(s.entry.part(fields[i].Pointer, s.entry.withheld && !s.late))
	}
	if len(fields) == 0 && e.Kind != graph.Canceled {
		fields = []graph.Field{{Pointer: s.entry.pointer(""), Msg: e.Msg}}
		if e.Kind == graph.NotFound || e.Kind == graph.Denied {
			fields[0].Msg = "this document cannot be applied" // what is missing or lacking, the problem itself says
		}
	}
	e.Fields = fields
	return err
}

// part turns a pointer into a mutation into one into the document.
func (e *entry) part(pointer string, shortened bool) string {
	switch {
	case strings.HasPrefix(pointer, "/data/slug"):
		return "/metadata/slug"
	case strings.HasPrefix(pointer, "/data/organization"):
		return "/metadata/organization"
	case shortened && strings.HasPrefix(pointer, "/data/"+e.kind.peers):
		return "/spec/" + e.kind.peers // places in it are not those in the document
	case strings.HasPrefix(pointer, "/data"):
		return "/spec" + strings.TrimPrefix(pointer, "/data")
	case pointer == "/node":
		return "/metadata/id"
	case pointer == "/member" || e.member != nil && pointer == "/expires_at":
		return "/spec/members/" + itoa(e.nth)
	}
	return "/spec" + pointer
}
