package catalog

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"trellis/graph"
	"trellis/graph/identity"
)

// Limits on the blueprints of one organization, and on the global ones.
const (
	MaxBlueprints = 100
	// maxTogether limits the schemas in all that are for nodes of one type.
	maxTogether = 1500
)

// Blueprints keeps the blueprints of every organization, and the global ones,
// in memory: a graph.Replica, and the identity.Rule that holds attributes
// against them. All methods may be called concurrently, those of the Replica
// from one goroutine at a time.
//
// A blueprint that another process has just written counts here when the feed
// has brought it. What is written before that is as if it had been written
// before the blueprint. Docs: docs/adr/0014-blueprints.md.
type Blueprints struct {
	mu    sync.RWMutex
	state *blueprintState // nil before the first load
	load  *blueprintState // between Begin and Ready

	forms  recent[string, *Form]
	drafts recent[*graph.Node, *blueprint]
	serial int64 // of the last blueprint read; guarded by mu
}

var (
	_ graph.Replica = (*Blueprints)(nil)
	_ identity.Rule = (*Blueprints)(nil)
)

// NewBlueprints returns a Blueprints that is not ready.
func NewBlueprints() *Blueprints {
	return &Blueprints{forms: recent[string, *Form]{most: 8 << 20}, drafts: recent[*graph.Node, *blueprint]{most: 4 << 20}}
}

// scopeKey is for whose nodes of which type a blueprint is: those of an
// organization or, if that is "", of all.
type scopeKey struct {
	organization string
	typ          graph.Type
}

type blueprintState struct {
	all map[graph.Ref]*blueprint
	// by has the blueprints in the order in which they count; its slices are
	// never changed.
	by map[scopeKey][]*blueprint
}

func newBlueprintState() *blueprintState {
	return &blueprintState{all: map[graph.Ref]*blueprint{}, by: map[scopeKey][]*blueprint{}}
}

// blueprint is one as it was read. It never changes.
type blueprint struct {
	serial       int64 // another one for whatever differs
	ref          graph.Ref
	scope        scopeKey
	slug         string
	priority     int64
	version      int64
	disabled     bool
	types, envs  []string
	schema       string
	countSchemas func() int
}

func newBlueprint(r graph.Ref, p graph.Props, serial int64) *blueprint {
	text, _ := p["schema"].(graph.JSON)
	b := &blueprint{
		serial: serial, ref: r, slug: p.String("slug"), scope: scopeKey{p.String("organization"), graph.Type(p.String("applies_to"))},
		priority: p.Int("priority"), version: p.Int("version"), disabled: p.Bool("disabled"),
		types: p.Strings("project_types"), envs: p.Strings("environments"), schema: string(text),
	}
	b.countSchemas = sync.OnceValue(func() int {
		s, faults := readSchema(b.schema)
		if len(faults) > 0 {
			return 0
		}
		return s.subschemas
	})
	return b
}

func (b *blueprint) source() Source { return Source{b.ref.ID, b.slug, b.version} }

// compareBlueprints puts in front what counts first.
func compareBlueprints(a, b *blueprint) int {
	return cmp.Or(-cmp.Compare(a.priority, b.priority), strings.Compare(a.slug, b.slug),
		-strings.Compare(a.scope.organization, b.scope.organization), graph.CompareRefs(a.ref, b.ref))
}

// applies tells whether the blueprint is for such a node of its type.
func (b *blueprint) applies(types, envs []string) bool {
	meets := func(want, have []string) bool {
		return len(want) == 0 || slices.ContainsFunc(have, func(s string) bool { return slices.Contains(want, s) })
	}
	return !b.disabled && meets(b.types, types) && meets(b.envs, envs)
}

func (s *blueprintState) put(b *blueprint) {
	s.remove(b.ref)
	s.all[b.ref] = b
	list := slices.Clone(s.by[b.scope])
	i, _ := slices.BinarySearchFunc(list, b, compareBlueprints)
	s.by[b.scope] = slices.Insert(list, i, b)
}

func (s *blueprintState) remove(r graph.Ref) {
	b, ok := s.all[r]
	if !ok {
		return
	}
	delete(s.all, r)
	list := slices.DeleteFunc(slices.Clone(s.by[b.scope]), func(o *blueprint) bool { return o == b })
	if s.by[b.scope] = list; len(list) == 0 {
		delete(s.by, b.scope)
	}
}

// Begin starts a full load; see graph.Replica.
func (b *Blueprints) Begin() { b.load = newBlueprintState() }

// Node takes one node of the load.
func (b *Blueprints) Node(n *graph.Node) {
	if n.Ref.Type == identity.Blueprint {
		b.load.put(b.read(n))
	}
}

// Edge takes one edge of the load: none matters.
func (b *Blueprints) Edge(*graph.Edge) {}

// Ready makes what was loaded count.
func (b *Blueprints) Ready(graph.Info) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state, b.load = b.load, nil
}

// Apply takes changes.
func (b *Blueprints) Apply(changes []graph.Change) {
	for i := range changes {
		for _, e := range changes[i].Entries {
			switch n := e.Node; {
			case n == nil:
			case n.After != nil && n.After.Ref.Type == identity.Blueprint:
				read := b.read(n.After)
				b.mu.Lock()
				b.state.put(read)
				b.mu.Unlock()
			case n.After == nil && n.Before.Ref.Type == identity.Blueprint:
				b.mu.Lock()
				b.state.remove(n.Before.Ref)
				b.mu.Unlock()
			}
		}
	}
}

func (b *Blueprints) read(n *graph.Node) *blueprint {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serial++
	return newBlueprint(n.Ref, n.Props, b.serial)
}

// look gives access to what is there now.
func (b *Blueprints) look(f func(s *blueprintState)) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.state == nil {
		return graph.Errorf(graph.Unavailable, "the blueprints have not been read yet")
	}
	f(b.state)
	return nil
}

// describedTypes are the types of nodes that blueprints describe.
var describedTypes = []graph.Type{identity.Project, identity.Team, identity.Environment, identity.ProjectType, identity.Organization}

// Described tells whether blueprints can describe nodes of the type.
func Described(t graph.Type) bool { return slices.Contains(describedTypes, t) }

// FormQuery says for what node a form is.
type FormQuery struct {
	// Organization is the id of the one that the node belongs to, or is.
	Organization string
	Type         graph.Type
	// ProjectTypes and Environments are the slugs of those that it has, if it
	// is a project.
	ProjectTypes, Environments []string
}

// Form returns what the blueprints say of a node's attributes.
func (b *Blueprints) Form(q FormQuery) (*Form, error) {
	list, err := b.candidates(scopeKey{q.Organization, q.Type})
	if err != nil {
		return nil, err
	}
	return b.form(slices.DeleteFunc(list, func(p *blueprint) bool { return !p.applies(q.ProjectTypes, q.Environments) }))
}

// candidates returns the enabled blueprints for nodes of the type in the
// organization, the one that counts first in front. The slice is the caller's.
func (b *Blueprints) candidates(k scopeKey) ([]*blueprint, error) {
	var list []*blueprint
	err := b.look(func(s *blueprintState) {
		list = append(list, s.by[k]...)
		if k.organization != "" {
			list = append(list, s.by[scopeKey{"", k.typ}]...)
		}
	})
	list = slices.DeleteFunc(list, func(p *blueprint) bool { return p.disabled })
	slices.SortFunc(list, compareBlueprints)
	return list, err
}

// form merges blueprints, unless that was done lately.
func (b *Blueprints) form(list []*blueprint) (*Form, error) {
	var key strings.Builder
	for _, p := range list {
		for n := p.serial; ; n >>= 7 {
			key.WriteByte(byte(n&127) | byte(min(n>>7, 1)<<7))
			if n>>7 == 0 {
				break
			}
		}
	}
	if f, ok := b.forms.get(key.String()); ok {
		return f, nil
	}
	f, err := merge(list)
	if err == nil {
		b.forms.put(key.String(), f, 1024+len(f.Schema))
	}
	return f, err
}

// Judge holds a node that is about to be written against the blueprints, or,
// if it is one itself, against the rules for them.
func (b *Blueprints) Judge(_ context.Context, d *identity.Draft) error {
	switch {
	case d.Ref.Type == identity.Blueprint:
		return b.judgeBlueprint(d)
	case Described(d.Ref.Type) && !d.Props.Bool(identity.PropArchived):
		return b.judgeNode(d)
	}
	return nil
}

func (b *Blueprints) judgeNode(d *identity.Draft) error {
	k := scopeKey{d.Props.String("organization"), d.Ref.Type}
	if k.typ == identity.Organization {
		k.organization = d.Ref.ID
	}
	list, err := b.candidates(k)
	if err != nil {
		return err
	}
	list = b.overlay(list, k, d)
	if len(list) == 0 {
		return nil
	}
	if list, err = applicable(list, d); err != nil {
		return err
	}
	f, err := b.form(list)
	if err != nil {
		return err
	}
	attributes, _ := d.Props["attributes"].(graph.JSON)
	if faults := f.Check(attributes); len(faults) > 0 {
		return &graph.Error{Kind: graph.Invalid, Ref: d.Ref, Msg: "the attributes are not as the blueprints of a " + strings.ReplaceAll(string(k.typ), "_", " ") + " want them", Fields: faults}
	}
	return nil
}

// overlay brings a list of candidates to what the mutations before have made of it.
func (b *Blueprints) overlay(list []*blueprint, k scopeKey, d *identity.Draft) []*blueprint {
	changed := false
	for r, n := range d.Written(identity.Blueprint) {
		list = slices.DeleteFunc(list, func(p *blueprint) bool { return p.ref == r })
		if n == nil {
			continue
		}
		p, ok := b.drafts.get(n)
		if !ok {
			p = b.read(n)
			b.drafts.put(n, p, 1024+len(p.schema))
		}
		if !p.disabled && p.scope.typ == k.typ && (p.scope.organization == "" || p.scope.organization == k.organization) {
			list, changed = append(list, p), true
		}
	}
	if changed {
		slices.SortFunc(list, compareBlueprints)
	}
	return list
}

// applicable leaves those blueprints whose filters the node passes.
func applicable(list []*blueprint, d *identity.Draft) ([]*blueprint, error) {
	var types, envs []string
	var err error
	if slices.ContainsFunc(list, func(p *blueprint) bool { return len(p.types) > 0 }) {
		types, err = slugs(d, identity.OfType, identity.ProjectType)
	}
	if err == nil && slices.ContainsFunc(list, func(p *blueprint) bool { return len(p.envs) > 0 }) {
		envs, err = slugs(d, identity.DeployedIn, identity.Environment)
	}
	return slices.DeleteFunc(list, func(p *blueprint) bool { return !p.applies(types, envs) }), err
}

// slugs returns those of what the node is related to.
func slugs(d *identity.Draft, k graph.Kind, t graph.Type) ([]string, error) {
	to, err := d.Related(k, t)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(to))
	for _, r := range to {
		n, err := d.Node(r)
		if err != nil {
			return nil, err
		}
		if n != nil {
			out = append(out, n.Props.String("slug"))
		}
	}
	return out, nil
}

// judgeBlueprint checks a blueprint and gives it its version.
func (b *Blueprints) judgeBlueprint(d *identity.Draft) error {
	p := newBlueprint(d.Ref, d.Props, 0)
	_, faults := checkSchema(p.schema)
	for i := range faults {
		faults[i].Pointer = "/schema" + faults[i].Pointer
	}
	for _, name := range [...]string{"project_types", "environments"} {
		if p.scope.typ != identity.Project && len(d.Props.Strings(name)) > 0 {
			faults = append(faults, graph.Field{Pointer: "/" + name, Msg: "only blueprints of projects can be limited to some"})
		}
	}
	if len(faults) > 0 {
		return &graph.Error{Kind: graph.Invalid, Ref: d.Ref, Msg: "the blueprint is not valid", Fields: tidy(faults)}
	}
	if err := b.room(p, d); err != nil {
		return err
	}
	d.Props["version"] = nextVersion(d.Before, d.Props)
	return nil
}

// nextVersion grows with every change of what a blueprint asks for, and of whom.
func nextVersion(before, after graph.Props) int64 {
	a, b := newBlueprint(graph.Ref{}, before, 0), newBlueprint(graph.Ref{}, after, 0)
	if a.version > 0 && a.schema == b.schema && a.priority == b.priority && a.disabled == b.disabled && slices.Equal(a.types, b.types) && slices.Equal(a.envs, b.envs) {
		return a.version
	}
	return a.version + 1
}

// room refuses a blueprint if there are too many with it.
func (b *Blueprints) room(p *blueprint, d *identity.Draft) error {
	mates := map[graph.Ref]*blueprint{}
	err := b.look(func(s *blueprintState) {
		for _, t := range describedTypes {
			for _, mate := range s.by[scopeKey{p.scope.organization, t}] {
				mates[mate.ref] = mate
			}
		}
	})
	if err != nil {
		return err
	}
	for r, n := range d.Written(identity.Blueprint) {
		if delete(mates, r); n != nil && n.Props.String("organization") == p.scope.organization {
			mates[r] = newBlueprint(r, n.Props, 0)
		}
	}
	mates[p.ref] = p
	together := 0
	for _, mate := range mates {
		if mate.scope == p.scope && !mate.disabled {
			together += mate.countSchemas()
		}
	}
	switch {
	case len(mates) > MaxBlueprints:
		return graph.Errorf(graph.TooLarge, "there would be %d blueprints; the limit is %d", len(mates), MaxBlueprints)
	case together > maxTogether:
		return graph.Errorf(graph.TooLarge, "the blueprints of a %s would have %d schemas in them; the limit is %d", p.scope.typ, together, maxTogether)
	}
	return nil
}

// recent remembers values for a while: those asked for or given lately, up to
// some size in all, twice over. With most set it is ready for use.
type recent[K comparable, V any] struct {
	most int

	mu         sync.Mutex
	size       int // of young
	young, old map[K]sized[V]
}

type sized[V any] struct {
	value V
	size  int
}

func (r *recent[K, V]) get(k K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.young[k]; ok {
		return e.value, true
	}
	e, ok := r.old[k]
	if ok {
		r.add(k, e)
	}
	return e.value, ok
}

func (r *recent[K, V]) put(k K, v V, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(k, sized[V]{v, size})
}

func (r *recent[K, V]) add(k K, e sized[V]) {
	if r.size += e.size; r.young == nil || r.size > r.most {
		r.young, r.old, r.size = map[K]sized[V]{}, r.young, e.size
	}
	r.young[k] = e
}
