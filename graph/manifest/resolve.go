package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// resolver finds the nodes that documents mean: those that the same documents
// declare first, then what the store holds and the caller may read.
type resolver struct {
	ctx    context.Context
	store  graph.Reader
	auth   identity.Authority
	caller graph.Ref
	now    time.Time
	rec    *record
	fresh  map[string]string // ids for new nodes, by kind and label; kept from try to try
	newID  func() string
	put    identity.Op // what makes or changes a node

	declared map[string]graph.Ref   // unique names that the documents give
	made     map[graph.Ref]*entry   // nodes that they declare
	stored   map[string]*graph.Node // holders of unique names, nil if there is none
}

// look reads who holds the names, all at once.
func (r *resolver) look(names []string) error {
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(n string) bool {
		_, known := r.stored[n]
		return known || len(n) > graph.MaxName || !graph.Printable(n)
	})
	for chunk := range slices.Chunk(names, graph.MaxPage) {
		a, err := r.store.Ask(r.ctx, graph.Question{Name: graph.NodesByName, Names: chunk, Limit: graph.MaxPage})
		if err != nil {
			return err
		}
		for _, n := range chunk {
			r.stored[n] = nil
		}
		for i := range a.Nodes {
			for _, n := range a.Nodes[i].Names {
				r.stored[n] = &a.Nodes[i]
			}
		}
	}
	return nil
}

func (r *resolver) may(permission string, on graph.Ref) bool {
	return r.auth.Check(r.caller, permission, on, r.now)
}

// holder returns who bears the first of the names that is borne, as far as the
// caller may know.
func (r *resolver) holder(names ...string) graph.Ref {
	for _, n := range names {
		if ref, ok := r.declared[n]; ok {
			return ref
		}
		if s := r.stored[n]; s != nil && (r.made[s.Ref] != nil || r.may(string(s.Ref.Type)+":read", s.Ref)) {
			return s.Ref
		}
	}
	return graph.Ref{}
}

// organizations finds the organizations of all entries.
func (r *resolver) organizations(list []*entry, bad *faults) error {
	var names []string
	want := func(s string) { names = append(names, identity.SlugName(identity.Organization, "", s)) }
	for _, e := range list {
		if e.kind.typ == identity.Organization {
			want(e.meta.Slug)
		}
		if e.meta.Organization != "" {
			want(e.meta.Organization)
		}
		for _, s := range e.mentions() {
			if ref, err := graph.ParseRef(s); err == nil {
				org, _ := cut(ref.ID)
				want(org)
			}
		}
	}
	if err := r.look(names); err != nil {
		return err
	}
	for _, e := range list {
		if e.kind.typ == identity.Organization {
			r.name(e)
		}
	}
	for _, e := range list {
		if e.meta.Organization == "" {
			continue
		}
		if e.org = r.organization(e.meta.Organization); e.org.IsZero() {
			bad.add(e.pointer("/metadata/organization"), "there is no organization %.80q", e.meta.Organization)
		}
	}
	return nil
}

// organization finds one by its slug or else by its id; zero if there is none.
func (r *resolver) organization(s string) graph.Ref {
	if s == "" {
		return graph.Ref{}
	}
	if ref := r.holder(identity.SlugName(identity.Organization, "", s)); !ref.IsZero() {
		return ref
	}
	ref := graph.Ref{Type: identity.Organization, ID: s}
	if r.made[ref] != nil || r.auth.Exists(ref) && r.may("organization:read", ref) {
		return ref
	}
	return graph.Ref{}
}

// nodes gives every entry that declares a node its node. Applications wait
// for the services that their slugs count in.
func (r *resolver) nodes(list []*entry, bad *faults) error {
	for _, late := range [...]bool{false, true} {
		var names []string
		for _, e := range list {
			if e.isNode() && (e.kind.typ == identity.Application) == late {
				if late {
					names = append(names, identity.SlugName(identity.ThirdPartyService, e.org.ID, e.text("service")))
				} else if n := r.uniqueName(e); n != "" {
					names = append(names, n)
				}
			}
		}
		if err := r.look(names); err != nil {
			return err
		}
		if late {
			if err := r.services(list, bad); err != nil {
				return err
			}
		}
		for _, e := range list {
			if e.isNode() && e.kind.typ != identity.Organization && (e.kind.typ == identity.Application) == late {
				r.name(e)
			}
		}
	}
	return nil
}

// services finds the services of applications, and who bears their slugs there.
func (r *resolver) services(list []*entry, bad *faults) error {
	var names []string
	for _, e := range list {
		if e.kind.typ != identity.Application {
			continue
		}
		s := e.text("service")
		ref := r.holder(identity.SlugName(identity.ThirdPartyService, e.org.ID, s))
		if ref.IsZero() {
			ref = graph.Ref{Type: identity.ThirdPartyService, ID: s}
			if r.made[ref] == nil && (ref.Validate() != nil || !r.auth.Within(ref, e.org)) {
				bad.add(e.pointer("/spec/service"), "there is no service %.80q in this organization", s)
				continue
			}
		}
		e.fields["service"] = quoted(ref.ID)
		names = append(names, r.uniqueName(e))
	}
	return r.look(names)
}

func (e *entry) isNode() bool { return e.fields != nil }

// uniqueName is the name by which a node without an id is found, "" if it has none.
func (r *resolver) uniqueName(e *entry) string {
	switch {
	case e.kind.typ == identity.User:
		if a := e.email(); a != "" {
			return identity.EmailName(a)
		}
		return ""
	case e.meta.Slug == "":
		return ""
	case e.kind.typ == identity.Application:
		return identity.SlugName(identity.Application, e.text("service"), e.meta.Slug)
	}
	return identity.SlugName(e.kind.typ, e.org.ID, e.meta.Slug)
}

// name decides which node an entry declares: the one of its id; the one that
// bears its slug or address; the one that the set declared under this name
// before, whatever it is called now, and even if it is gone; or a new one.
func (r *resolver) name(e *entry) {
	unique := r.uniqueName(e)
	before := r.rec.byName[[2]string{e.kind.name, e.label}]
	n := r.stored[unique]
	ref := graph.Ref{Type: e.typ(), ID: e.meta.ID}
	switch {
	case ref.ID != "":
	case n != nil && n.Ref.Type == ref.Type:
		ref, e.known = n.Ref, n
	case before != nil:
		ref = before.Node
	default:
		at := e.kind.name + " " + unique
		if r.fresh[at] == "" {
			r.fresh[at] = r.newID()
		}
		ref.ID = r.fresh[at]
	}
	e.key = key{node: ref}
	r.made[ref] = e
	if unique != "" {
		r.declared[unique] = ref
	}
}

// mentions lists the nodes that an entry names as type:name.
func (e *entry) mentions() []string {
	switch {
	case e.grant != nil:
		return []string{e.grant.Subject, e.grant.Resource}
	case e.member != nil:
		return []string{e.set, e.member.Member}
	case e.kind.name == Resource:
		return e.list("parents")
	}
	return nil
}

// list reads a field that should be a list of texts.
func (e *entry) list(field string) []string {
	var out []string
	_ = json.Unmarshal(orEmpty(e.fields[field]), &out) // what is no list, identity will refuse
	return out
}

// references resolves what entries name, into their mutations.
func (r *resolver) references(list []*entry, bad *faults) error {
	var names, services []string
	for _, e := range list {
		for _, s := range e.mentions() {
			if ref, err := graph.ParseRef(s); err == nil && ref.Type == identity.Application {
				org, rest := cut(ref.ID)
				service, _ := cut(rest)
				services = append(services, identity.SlugName(identity.ThirdPartyService, r.organization(org).ID, service))
			}
		}
	}
	if err := r.look(services); err != nil {
		return err
	}
	for _, e := range list {
		for _, s := range e.mentions() {
			if ref, err := graph.ParseRef(s); err == nil {
				names = append(names, r.candidates(ref, e.org)...)
			}
		}
		for _, role := range e.roles() {
			names = append(names, r.roleNames(e, role)...)
		}
		if e.kind.peers != "" && e.kind.named {
			for _, s := range e.list(e.kind.peers) {
				names = append(names, identity.SlugName(e.kind.typ, e.org.ID, s))
			}
		}
	}
	if err := r.look(names); err != nil {
		return err
	}
	for _, e := range list {
		switch {
		case e.grant != nil:
			r.resolveGrant(e, bad)
		case e.member != nil:
			r.resolveMember(e, bad)
		case e.kind.name == Resource:
			parents := e.list("parents")
			for i, s := range parents {
				if ref, ok := r.reference(s, e, fmt.Sprintf("/spec/parents/%d", i), bad); ok {
					parents[i] = ref.String()
				}
			}
			e.setList("parents", parents)
		case e.kind.typ == identity.Role:
			ids := e.list("inherits")
			for i, s := range ids {
				ids[i] = r.role(e, s)
			}
			e.setList("inherits", ids)
		}
	}
	return nil
}

func (e *entry) setList(field string, list []string) {
	if _, ok := e.fields[field]; !ok || list == nil {
		return
	}
	b, err := json.Marshal(list)
	if err == nil {
		e.fields[field] = b
	}
}

func (e *entry) roles() []string {
	if e.grant != nil && e.grant.Role != "" {
		return []string{e.grant.Role}
	}
	if e.kind.typ == identity.Role {
		return e.list("inherits")
	}
	return nil
}

func (r *resolver) roleNames(e *entry, role string) []string {
	out := []string{}
	if org := r.homeOf(e); !org.IsZero() {
		out = append(out, identity.SlugName(identity.Role, org.ID, role))
	}
	return append(out, identity.SlugName(identity.Role, "", role))
}

// homeOf is the organization whose roles an entry can use by their slugs: its
// own or, of a grant, the one that the resource's name begins with.
func (r *resolver) homeOf(e *entry) graph.Ref {
	if !e.org.IsZero() || e.grant == nil {
		return e.org
	}
	ref, err := graph.ParseRef(e.grant.Resource)
	if err != nil {
		return graph.Ref{}
	}
	first, _ := cut(ref.ID)
	if ref.Type == identity.Organization {
		first = ref.ID
	}
	return r.organization(first)
}

// role finds a role by its slug or else by its id.
func (r *resolver) role(e *entry, s string) string {
	if ref := r.holder(r.roleNames(e, s)...); !ref.IsZero() {
		return ref.ID
	}
	return s
}

func (r *resolver) resolveGrant(e *entry, bad *faults) {
	g := e.grant
	subject, ok1 := r.reference(g.Subject, e, "/spec/subject", bad)
	resource, ok2 := r.reference(g.Resource, e, "/spec/resource", bad)
	if !ok1 || !ok2 {
		return
	}
	e.mutation = identity.Mutation{Op: identity.OpPutGrant, Subject: subject, Resource: resource, Actions: g.Actions, ExpiresAt: g.ExpiresAt}
	if g.Role != "" {
		e.mutation.Role = r.role(e, g.Role)
	}
	e.key = key{edge: graph.EdgeKey{From: subject, Kind: graph.CanAccess, To: resource, Key: e.mutation.Role}}
}

func (r *resolver) resolveMember(e *entry, bad *faults) {
	set, ok1 := r.reference(e.set, e, "/spec/set", bad)
	member, ok2 := r.reference(e.member.Member, e, fmt.Sprintf("/spec/members/%d", e.nth), bad)
	if !ok1 || !ok2 {
		return
	}
	e.mutation = identity.Mutation{Op: identity.OpPutMember, Set: set, Member: member, ExpiresAt: e.member.ExpiresAt}
	e.key = key{edge: graph.EdgeKey{From: member, Kind: graph.MemberOf, To: set}}
}

// cut splits ORG/REST; ORG is all of it where there is no slash.
func cut(id string) (org, rest string) {
	org, rest, _ = strings.Cut(id, "/")
	return org, rest
}

// inOrganization tells whether slugs of the type count in an organization.
func inOrganization(t graph.Type) bool { return t == identity.Team || identity.Catalogued(t) }

// candidates are the unique names that a node named in a document may have.
func (r *resolver) candidates(ref graph.Ref, org graph.Ref) []string {
	first, rest := cut(ref.ID)
	switch {
	case ref.Type == identity.User:
		if strings.Contains(ref.ID, "@") {
			return []string{identity.EmailName(ref.ID)}
		}
		return nil
	case ref.Type == identity.Application:
		service, slug := cut(rest)
		at := r.holder(identity.SlugName(identity.ThirdPartyService, r.organization(first).ID, service))
		return []string{identity.SlugName(ref.Type, at.ID, slug)}
	case inOrganization(ref.Type) && rest != "":
		if o := r.organization(first); !o.IsZero() {
			return []string{identity.SlugName(ref.Type, o.ID, rest)}
		}
		return nil
	case inOrganization(ref.Type) && !org.IsZero():
		return []string{identity.SlugName(ref.Type, org.ID, ref.ID)}
	case !identity.Known(ref.Type):
		return nil
	}
	return []string{identity.SlugName(ref.Type, "", ref.ID)}
}

// reference finds the node that a document names, by what it is called or else
// by its id. An id that begins with the name of an organization must be of one
// of its nodes: somebody else's node of such an id is not what is meant.
func (r *resolver) reference(s string, e *entry, pointer string, bad *faults) (graph.Ref, bool) {
	ref, err := graph.ParseRef(s)
	if err != nil {
		bad.add(e.pointer(pointer), "%v", err)
		return ref, false
	}
	if found := r.holder(r.candidates(ref, e.org)...); !found.IsZero() {
		return found, true
	}
	if r.made[ref] != nil {
		return ref, true
	}
	there := r.auth.Exists(ref)
	if first, rest := cut(ref.ID); there && rest != "" && inOrganization(ref.Type) {
		if o := r.organization(first); !o.IsZero() {
			there = r.auth.Within(ref, o)
		}
	}
	if !there {
		bad.add(e.pointer(pointer), "there is no %s", s)
	}
	return ref, there
}

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage(`""`)
	}
	return b
}
