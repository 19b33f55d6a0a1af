package graphtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"trellis/graph"
)

// Oracle keeps a graph in plain maps and answers the rule of permission by
// walking it edge by edge, written down as literally as the rule is stated:
// what faster answers are compared with. It also takes batches, by graph.Plan,
// so that it can stand for a store. It is not safe for concurrent use.
type Oracle struct {
	Nodes map[graph.Ref]*graph.Node
	Edges map[graph.EdgeKey]*graph.Edge
	Head  graph.Revision

	names map[string]graph.Ref
	out   map[graph.Ref]map[graph.EdgeKey]bool
	in    map[graph.Ref]map[graph.EdgeKey]bool
}

// NewOracle returns an oracle of an empty store, which holds the three nodes
// that every store does.
func NewOracle() *Oracle {
	o := &Oracle{
		Nodes: map[graph.Ref]*graph.Node{}, Edges: map[graph.EdgeKey]*graph.Edge{}, names: map[string]graph.Ref{},
		out: map[graph.Ref]map[graph.EdgeKey]bool{}, in: map[graph.Ref]map[graph.EdgeKey]bool{},
	}
	for _, r := range []graph.Ref{graph.Root, graph.Everyone, graph.Authenticated} {
		o.Nodes[r] = &graph.Node{Ref: r}
	}
	return o
}

// Commit applies the batches like a store and returns what it says of each.
func (o *Oracle) Commit(group []graph.Batch) ([]graph.Result, error) {
	results, effects, err := graph.Plan(context.Background(), o, o.Head, group)
	if err != nil {
		return nil, err
	}
	return results, o.Apply(effects.Changes)
}

// Apply takes changes from a store's feed.
func (o *Oracle) Apply(changes []graph.Change) error {
	for _, c := range changes {
		if c.Revision != o.Head+1 {
			return fmt.Errorf("change %d after %d", c.Revision, o.Head)
		}
		o.Head = c.Revision
		for _, e := range c.Entries {
			if e.Node != nil {
				o.putNode(e.Node.Before, e.Node.After)
			}
			if e.Edge != nil {
				o.putEdge(e.Edge.Before, e.Edge.After)
			}
		}
	}
	return nil
}

func (o *Oracle) putNode(before, after *graph.Node) {
	if before != nil {
		delete(o.Nodes, before.Ref)
		for _, n := range before.Names {
			delete(o.names, n)
		}
	}
	if after != nil {
		o.Nodes[after.Ref] = after
		for _, n := range after.Names {
			o.names[n] = after.Ref
		}
	}
}

func (o *Oracle) putEdge(before, after *graph.Edge) {
	if before != nil {
		delete(o.Edges, before.EdgeKey)
		delete(o.out[before.From], before.EdgeKey)
		delete(o.in[before.To], before.EdgeKey)
	}
	if after != nil {
		o.Edges[after.EdgeKey] = after
		file(o.out, after.From, after.EdgeKey)
		file(o.in, after.To, after.EdgeKey)
	}
}

func file(m map[graph.Ref]map[graph.EdgeKey]bool, r graph.Ref, k graph.EdgeKey) {
	if m[r] == nil {
		m[r] = map[graph.EdgeKey]bool{}
	}
	m[r][k] = true
}

// Load is graph.Tx.
func (o *Oracle) Load(_ context.Context, w graph.Want) (graph.Found, error) {
	f := graph.Found{Names: map[string]graph.Ref{}, Last: map[graph.EdgeKey]graph.Revision{}}
	for _, r := range w.Nodes {
		if n := o.Nodes[r]; n != nil {
			f.Nodes = append(f.Nodes, *n)
		}
	}
	for _, k := range w.Edges {
		if e := o.Edges[k]; e != nil {
			f.Edges = append(f.Edges, *e)
		}
	}
	for _, n := range w.Names {
		if r, ok := o.names[n]; ok {
			f.Names[n] = r
		}
	}
	for _, a := range w.Around {
		if a.Out {
			f.Edges = append(f.Edges, o.around(o.out[a.Ref], a)...)
		}
		if a.In {
			f.Edges = append(f.Edges, o.around(o.in[a.Ref], a)...)
		}
	}
	for _, k := range w.Last {
		for _, e := range o.Edges {
			if e.Kind == k.Kind && e.Key == k.Key {
				f.Last[k] = max(f.Last[k], e.Revision)
			}
		}
	}
	return f, nil
}

func (o *Oracle) around(keys map[graph.EdgeKey]bool, a graph.Around) (out []graph.Edge) {
	for k := range keys {
		if (a.Kind == "" || k.Kind == a.Kind) && (a.Limit == 0 || len(out) < a.Limit) {
			out = append(out, *o.Edges[k])
		}
	}
	return out
}

// Feed delivers the whole graph to a replica, in an export's order.
func (o *Oracle) Feed(r graph.Replica) {
	r.Begin()
	for _, ref := range o.refs("") {
		r.Node(o.Nodes[ref])
	}
	keys := make([]graph.EdgeKey, 0, len(o.Edges))
	for k := range o.Edges {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, graph.CompareEdges)
	for _, k := range keys {
		r.Edge(o.Edges[k])
	}
	r.Ready(graph.Info{Store: "oracle00", Head: o.Head})
}

// refs returns the nodes of a type, or all, in order.
func (o *Oracle) refs(t graph.Type) []graph.Ref {
	var out []graph.Ref
	for r := range o.Nodes {
		if t == "" || r.Type == t {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, graph.CompareRefs)
	return out
}

// reach returns the node and all that edges of the kind, unexpired, lead to.
func (o *Oracle) reach(from graph.Ref, k graph.Kind, at time.Time) map[graph.Ref]bool {
	seen := map[graph.Ref]bool{from: true}
	for todo := []graph.Ref{from}; len(todo) > 0; todo = todo[1:] {
		for key := range o.out[todo[0]] {
			if key.Kind == k && !seen[key.To] && (k == graph.ChildOf || !expired(o.Edges[key], at)) {
				seen[key.To] = true
				todo = append(todo, key.To)
			}
		}
	}
	return seen
}

func expired(e *graph.Edge, at time.Time) bool {
	x := e.Expires()
	return x != 0 && !at.Before(time.UnixMilli(x))
}

// given calls f with what each grant that counts for the subject on the
// resource gives, by the names of the permissions.
func (o *Oracle) given(subject, resource graph.Ref, at time.Time, f func(names map[string]bool)) {
	s, r := o.Nodes[subject], o.Nodes[resource]
	if s == nil || r == nil {
		return
	}
	if st := s.Props.String(graph.PropStatus); st != "" && st != graph.StatusActive {
		return
	}
	who := o.reach(subject, graph.MemberOf, at)
	who[graph.Everyone] = true
	if subject != graph.Everyone {
		who[graph.Authenticated] = true
	}
	for x := range o.reach(resource, graph.ChildOf, at) {
		for k := range o.in[x] {
			e := o.Edges[k]
			if k.Kind == graph.CanAccess && who[k.From] && !expired(e, at) && !conditional(e) {
				f(o.gives(e))
			}
		}
	}
}

// conditional tells whether a grant has a condition, of whatever form.
func conditional(e *graph.Edge) bool {
	c := e.Props[graph.PropCondition]
	return c != nil && c != ""
}

// gives returns the names of the permissions of one grant.
func (o *Oracle) gives(e *graph.Edge) map[string]bool {
	names := map[string]bool{}
	for _, a := range e.Props.Strings(graph.PropActions) {
		names[a] = true
	}
	role := graph.Ref{Type: "role", ID: e.Props.String(graph.PropRole)}
	if o.Nodes[role] == nil {
		return names
	}
	for r := range o.reach(role, graph.Inherits, time.Time{}) {
		for k := range o.out[r] {
			if k.Kind == graph.Grants && k.To.Type == "permission" {
				names[k.To.ID] = true
			}
		}
	}
	return names
}

// Check answers the rule of permission.
func (o *Oracle) Check(q graph.CheckQuery) bool {
	allowed := false
	o.given(q.Subject, q.Resource, q.At, func(names map[string]bool) {
		for _, w := range graph.Wildcards(q.Permission) {
			allowed = allowed || names[w]
		}
	})
	return allowed
}

// Resources lists the ids of the resources of the type that Check allows, in order.
func (o *Oracle) Resources(q graph.CheckQuery, t graph.Type) (ids []string) {
	for _, r := range o.refs(t) {
		q.Resource = r
		if o.Check(q) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// Subjects lists the ids of the subjects of the type that Check allows, in order.
func (o *Oracle) Subjects(q graph.CheckQuery, t graph.Type) (ids []string) {
	for _, r := range o.refs(t) {
		q.Subject = r
		if o.Check(q) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// Permissions lists the permission nodes, wildcards left out, that Check allows, in order.
func (o *Oracle) Permissions(q graph.CheckQuery) (names []string) {
	for _, r := range o.refs("permission") {
		q.Permission = r.ID
		if !strings.HasPrefix(r.ID, "*") && !strings.HasSuffix(r.ID, ":*") && o.Check(q) {
			names = append(names, r.ID)
		}
	}
	return names
}

// Missing lists those of the permissions, wildcards possible, that the
// subject may not give away: a wildcard must be held whole.
func (o *Oracle) Missing(q graph.CheckQuery, permissions []string) (missing []string) {
	held := map[string]bool{}
	o.given(q.Subject, q.Resource, q.At, func(names map[string]bool) {
		for n := range names {
			held[n] = true
		}
	})
	for _, p := range permissions {
		ok := held[p] || held["*"]
		if t, a, _ := strings.Cut(p, ":"); p != "*" && t != "*" && a != "*" {
			ok = ok || held[t+":*"] || held["*:"+a]
		}
		if !ok {
			missing = append(missing, p)
		}
	}
	return missing
}
