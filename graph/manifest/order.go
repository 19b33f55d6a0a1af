package manifest

import (
	"cmp"
	"encoding/json"
	"slices"

	"trellis/graph"
	"trellis/graph/identity"
)

// step is one mutation of an Apply and what asked for it: an entry, or an
// object that the set no longer declares.
type step struct {
	mutation identity.Mutation
	entry    *entry
	object   *Declared
	// late: a second mutation, which adds the peers that were withheld.
	late bool
}

// distinct refuses what is declared twice.
func distinct(list []*entry, bad *faults) {
	first := make(map[key]*entry, len(list))
	for _, e := range list {
		if was := first[e.key]; was != nil {
			bad.add(e.pointer(e.where()), "%s %s is declared by document %d already", e.kind.name, e.label, was.doc)
			continue
		}
		first[e.key] = e
	}
}

// where is the part of its document that names what an entry declares.
func (e *entry) where() string {
	switch {
	case e.member != nil:
		return "/spec/members"
	case e.grant != nil:
		return "/spec"
	}
	return "/metadata"
}

// steps puts entries in an order in which they can be carried out. Nodes that
// name one another in a circle get what they name afterwards, where that can be.
func (r *resolver) steps(list []*entry) ([]step, error) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *entry) int { return cmp.Compare(a.rank, b.rank) })
	out := make([]step, 0, len(list))
	for len(list) > 0 {
		n := slices.IndexFunc(list, func(e *entry) bool { return e.rank != list[0].rank })
		if n < 0 {
			n = len(list)
		}
		group := list[:n]
		list = list[n:]
		var late []step
		if group[0].kind.peers != "" {
			group = r.peersFirst(group)
		}
		done := map[graph.Ref]bool{}
		for _, e := range group {
			s, err := r.first(e, done)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
			done[e.key.node] = true
			if e.withheld {
				m, err := e.afterwards()
				if err != nil {
					return nil, err
				}
				late = append(late, m)
			}
		}
		out = append(out, late...)
	}
	return out, nil
}

// peer returns the entry of the same kind that a name in the list of peers
// stands for, if it is one that must come first: one that cannot be found by
// this name yet.
func (r *resolver) peer(e *entry, name string) *entry {
	ref := graph.Ref{Type: e.kind.typ, ID: name}
	switch {
	case e.kind.typ == identity.Project:
		unique := identity.SlugName(e.kind.typ, e.org.ID, name)
		if by, ok := r.declared[unique]; ok {
			if s := r.stored[unique]; s != nil && s.Ref == by {
				return nil
			}
			return r.made[by]
		}
	case e.kind.name == Resource:
		ref, _ = graph.ParseRef(name)
	}
	if r.auth.Exists(ref) {
		return nil
	}
	return r.made[ref]
}

// peersFirst sorts entries of one kind so that each comes after those it names,
// as far as there are no circles.
func (r *resolver) peersFirst(group []*entry) []*entry {
	out := make([]*entry, 0, len(group))
	seen := make(map[*entry]bool, len(group))
	var visit func(e *entry, depth int)
	visit = func(e *entry, depth int) {
		if seen[e] {
			return
		}
		seen[e] = true
		// A chain this long is cut: what is missing then comes afterwards, or is refused.
		if depth < 1000 {
			for _, name := range e.list(e.kind.peers) {
				if p := r.peer(e, name); p != nil && p != e && p.rank == e.rank {
					visit(p, depth+1)
				}
			}
		}
		out = append(out, e)
	}
	for _, e := range group {
		visit(e, 0)
	}
	return out
}

// first is the mutation that makes or replaces what an entry declares.
func (r *resolver) first(e *entry, done map[graph.Ref]bool) (step, error) {
	if !e.isNode() {
		return step{mutation: e.mutation, entry: e}, nil
	}
	data := make(map[string]json.RawMessage, len(e.fields)+2)
	for name, v := range e.fields {
		data[name] = v
	}
	if e.meta.Slug != "" {
		data["slug"] = quoted(e.meta.Slug)
	}
	if !e.org.IsZero() && e.kind.typ != identity.Application {
		data["organization"] = quoted(e.org.ID)
	}
	if e.kind.loose {
		names := e.list(e.kind.peers)
		kept := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			p := r.peer(e, name)
			return p != nil && p != e && !done[p.key.node]
		})
		if e.withheld = len(kept) < len(names); e.withheld {
			b, err := json.Marshal(kept)
			if err != nil {
				return step{}, graph.Wrap(graph.Internal, err, "encoding a list")
			}
			data[e.kind.peers] = b
		}
	}
	b, err := json.Marshal(data)
	if err != nil {
		return step{}, graph.Wrap(graph.Internal, err, "encoding a document")
	}
	return step{mutation: identity.Mutation{Op: r.put, Node: e.key.node, Data: b, KeepPicture: true}, entry: e}, nil
}

// afterwards is the mutation that adds the peers that were withheld.
func (e *entry) afterwards() (step, error) {
	b, err := json.Marshal(map[string]json.RawMessage{e.kind.peers: e.fields[e.kind.peers]})
	if err != nil {
		return step{}, graph.Wrap(graph.Internal, err, "encoding a list")
	}
	return step{mutation: identity.Mutation{Op: identity.OpEnsure, Node: e.key.node, Data: b}, entry: e, late: true}, nil
}

// removal is the mutation that takes an object away.
func removal(o *Declared) step {
	m := identity.Mutation{Op: identity.OpDelete, Node: o.Node}
	switch o.Kind {
	case Membership:
		m = identity.Mutation{Op: identity.OpDeleteMember, Set: o.To, Member: o.From}
	case Grant:
		m = identity.Mutation{Op: identity.OpDeleteGrant, Subject: o.From, Resource: o.To, Role: o.Role}
	}
	return step{mutation: m, object: o}
}

// lastFirst orders what is to go: grants and memberships, then nodes, what
// depends before what it depends on.
func lastFirst(list []*Declared) {
	slices.SortStableFunc(list, func(a, b *Declared) int {
		_, x := kindNamed(a.Kind)
		_, y := kindNamed(b.Kind)
		return cmp.Compare(y, x)
	})
}
