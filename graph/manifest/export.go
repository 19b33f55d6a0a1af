package manifest

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"trellis/graph"
	"trellis/graph/identity"
)

// Exported is a document that says what is there.
type Exported struct {
	Document
	// Secrets are the fields that were left out, because they are secret.
	Secrets []string
}

// exportPage is how many nodes are read at once.
const exportPage = 1000

// exporter writes what is there as documents.
type exporter struct {
	*resolver
	yield func(Exported) error
	nodes map[graph.Ref]*graph.Node // that names are made of
	kept  []graph.Ref               // what was exported, whose members and grants are to follow
}

// Export calls yield with documents that declare what the caller may read: of
// the organization (its slug or id) and below it if that is not "". They come in
// the order of Kinds and, within one kind, of ids. Applied to an empty store they
// make it the same, but for credentials, secrets and sets. What is changed while
// they are read may be in them or not. NotFound: there is no such organization.
func (s *Service) Export(ctx context.Context, caller identity.Caller, organization string, yield func(Exported) error) error {
	x := &exporter{resolver: s.resolver(ctx, caller, s.authority(), nil), yield: yield, nodes: map[graph.Ref]*graph.Node{}}
	pages := x.everything
	if organization != "" {
		if err := x.look([]string{identity.SlugName(identity.Organization, "", organization)}); err != nil {
			return err
		}
		org := x.organization(organization)
		if org.IsZero() {
			return &graph.Error{Kind: graph.NotFound, Msg: "there is no such organization"}
		}
		below, err := x.below(org)
		if err != nil {
			return err
		}
		pages = func(t graph.Type, each func([]graph.Node) error) error { return x.some(below[t], each) }
	} else {
		x.kept = append(x.kept, graph.Root, identity.Vocabulary)
	}
	for i := range kinds {
		k := &kinds[i]
		types := []graph.Type{k.typ}
		switch k.name {
		case Membership, Grant:
			continue
		case Resource:
			var err error
			if types, err = x.registered(); err != nil {
				return err
			}
		}
		for _, t := range types {
			if err := pages(t, func(list []graph.Node) error { return x.export(k, list) }); err != nil {
				return err
			}
		}
	}
	for _, name := range [...]string{Membership, Grant} {
		for chunk := range slices.Chunk(x.kept, exportPage) {
			if err := x.edges(name, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

// everything pages through all nodes of a type.
func (x *exporter) everything(t graph.Type, each func([]graph.Node) error) error {
	q := graph.Question{Name: graph.NodesByType, Type: t, Limit: exportPage}
	for {
		a, err := x.store.Ask(x.ctx, q)
		if err == nil {
			err = each(a.Nodes)
		}
		if q.After = a.Next; err != nil || a.Next == "" {
			return err
		}
	}
}

func (x *exporter) some(refs []graph.Ref, each func([]graph.Node) error) error {
	for chunk := range slices.Chunk(refs, exportPage) {
		list, err := x.store.Nodes(x.ctx, chunk)
		if err == nil {
			err = each(list)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// below lists a node and all that is below it, by type.
func (x *exporter) below(top graph.Ref) (map[graph.Type][]graph.Ref, error) {
	seen, out := map[graph.Ref]bool{top: true}, map[graph.Type][]graph.Ref{}
	for front := []graph.Ref{top}; len(front) > 0; {
		for _, r := range front {
			out[r.Type] = append(out[r.Type], r)
		}
		var next []graph.Ref
		for chunk := range slices.Chunk(front, exportPage) {
			err := x.asked(graph.Question{Name: graph.EdgesIn, Refs: chunk, Kinds: []graph.Kind{graph.ChildOf}}, func(e *graph.Edge) {
				if !seen[e.From] {
					seen[e.From] = true
					next = append(next, e.From)
				}
			})
			if err != nil {
				return nil, err
			}
		}
		front = next
	}
	for t := range out {
		slices.SortFunc(out[t], graph.CompareRefs)
	}
	return out, nil
}

// asked calls each with every edge that answers the question.
func (x *exporter) asked(q graph.Question, each func(*graph.Edge)) error {
	for q.Limit = graph.MaxPage; ; {
		a, err := x.store.Ask(x.ctx, q)
		if err != nil {
			return err
		}
		for i := range a.Edges {
			each(&a.Edges[i])
		}
		if q.After = a.Next; a.Next == "" {
			return nil
		}
	}
}

// registered lists the types that are not Trellis's own.
func (x *exporter) registered() (out []graph.Type, err error) {
	err = x.everything(identity.ResourceType, func(list []graph.Node) error {
		for i := range list {
			if t := graph.Type(list[i].Ref.ID); !identity.Known(t) && !list[i].Props.Bool("system") {
				out = append(out, t)
			}
		}
		return nil
	})
	return out, err
}

// know reads those of the nodes that are not known yet, and what their names
// begin with.
func (x *exporter) know(refs []graph.Ref) error {
	for len(refs) > 0 {
		var unknown []graph.Ref
		for _, r := range refs {
			if _, ok := x.nodes[r]; !ok {
				x.nodes[r] = nil
				unknown = append(unknown, r)
			}
		}
		refs = nil
		err := x.some(unknown, func(list []graph.Node) error {
			for i := range list {
				n := &list[i]
				x.nodes[n.Ref] = brief(n)
				refs = append(refs, homes(n)...)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// homes are the nodes that the name of a node begins with.
func homes(n *graph.Node) (out []graph.Ref) {
	if org := n.Props.String("organization"); org != "" {
		out = append(out, graph.Ref{Type: identity.Organization, ID: org})
	}
	if n.Ref.Type == identity.Application {
		out = append(out, graph.Ref{Type: identity.ThirdPartyService, ID: n.Props.String("service")})
	}
	return out
}

// brief is as much of a node as its name needs.
func brief(n *graph.Node) *graph.Node {
	p := graph.Props{}
	for _, name := range [...]string{"slug", "organization", "service"} {
		if s := n.Props.String(name); s != "" {
			p[name] = s
		}
	}
	return &graph.Node{Ref: n.Ref, Props: p}
}

// slug is what a node is called where it belongs; its id if nothing better is known.
func (x *exporter) slug(t graph.Type, id string) string {
	if n := x.nodes[graph.Ref{Type: t, ID: id}]; n != nil {
		return cmp.Or(n.Props.String("slug"), id)
	}
	return id
}

// title names a node the way that references do.
func (x *exporter) title(r graph.Ref) string {
	n := x.nodes[r]
	if n == nil || n.Props.String("slug") == "" || r.Type == identity.Role || !x.may(string(r.Type)+":read", r) {
		return r.String()
	}
	name := n.Props.String("slug")
	if r.Type == identity.Application {
		name = x.slug(identity.ThirdPartyService, n.Props.String("service")) + "/" + name
	}
	if org := n.Props.String("organization"); org != "" {
		name = x.slug(identity.Organization, org) + "/" + name
	}
	return string(r.Type) + ":" + name
}

// export writes the documents of nodes of one kind.
func (x *exporter) export(k *kind, list []graph.Node) error {
	list = slices.DeleteFunc(slices.Clone(list), func(n graph.Node) bool {
		return n.Props.Bool("system") || !x.may(string(n.Ref.Type)+":read", n.Ref)
	})
	if len(list) == 0 {
		return nil
	}
	var refs, known []graph.Ref
	for i := range list {
		x.nodes[list[i].Ref] = brief(&list[i])
		refs = append(refs, list[i].Ref)
	}
	x.kept = append(x.kept, refs...)
	relations := map[graph.Ref][]graph.Edge{}
	err := x.asked(graph.Question{Name: graph.EdgesOut, Refs: refs, Kinds: identity.RelationKinds}, func(e *graph.Edge) {
		if e.Kind == graph.ChildOf && k.name == Resource || x.may(string(e.To.Type)+":read", e.To) {
			relations[e.From] = append(relations[e.From], *e)
			known = append(known, e.To)
		}
	})
	if err != nil {
		return err
	}
	for i := range list {
		known = append(known, homes(&list[i])...)
	}
	if err := x.know(known); err != nil {
		return err
	}
	for i := range list {
		d, err := x.document(k, &list[i], relations[list[i].Ref])
		if err == nil {
			err = x.yield(d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// document writes one node.
func (x *exporter) document(k *kind, n *graph.Node, relations []graph.Edge) (out Exported, err error) {
	d := Exported{Document: Document{APIVersion: APIVersion, Kind: k.name, Metadata: Metadata{ID: n.Ref.ID}}}
	if k.named {
		d.Metadata.Slug = n.Props.String("slug")
	}
	if k.name == Resource {
		d.Metadata.Type = string(n.Ref.Type)
	}
	if org := n.Props.String("organization"); org != "" && k.home != nowhere {
		d.Metadata.Organization = x.slug(identity.Organization, org)
	}
	var s spec
	values := identity.Fields(*n)
	picture, uploaded := identity.PictureField(n.Ref.Type), !identity.PictureOf(n.Ref.Type, n.Props).IsZero()
	for _, f := range identity.Describe(n.Ref.Type) {
		switch {
		case f.Name == "slug" || f.Name == "organization" || f.ReadOnly:
		case f.Name == picture && uploaded: // another server does not have it
		case f.Kind == identity.Secret:
			if n.Props.String(f.Name) != "" {
				d.Secrets = append(d.Secrets, f.Name)
			}
		case f.Kind == identity.Relation || f.Kind == identity.Relations || f.Kind == identity.RelationMap || f.Kind == identity.Refs:
			s.add(f.Name, x.related(f, relations))
		case f.Kind == identity.Owner:
			s.add(f.Name, x.slug(f.To, n.Props.String(f.Name)))
		default:
			s.add(f.Name, values[f.Name])
		}
	}
	d.Spec, err = s.json()
	return d, err
}

// related writes a relation field, or the parents of a resource.
func (x *exporter) related(f identity.FieldInfo, edges []graph.Edge) any {
	var names []string
	entries := map[string]map[string]any{}
	for i := range edges {
		e := &edges[i]
		if f.Kind == identity.Refs {
			if e.Kind == graph.ChildOf {
				names = append(names, x.title(e.To))
			}
			continue
		}
		if e.Kind != f.Edge || e.To.Type != f.To {
			continue
		}
		name := x.slug(e.To.Type, e.To.ID)
		names = append(names, name)
		entries[name] = map[string]any(e.Props)
		if entries[name] == nil {
			entries[name] = map[string]any{}
		}
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return nil
	case f.Kind == identity.Relation:
		return names[0]
	case f.Kind == identity.RelationMap:
		return entries
	}
	return names
}

// edges writes the memberships in, or the grants on, nodes that were exported.
func (x *exporter) edges(name string, refs []graph.Ref) error {
	kind := graph.MemberOf
	if name == Grant {
		kind = graph.CanAccess
	}
	into := map[graph.Ref][]graph.Edge{}
	var ends []graph.Ref
	err := x.asked(graph.Question{Name: graph.EdgesIn, Refs: refs, Kinds: []graph.Kind{kind}}, func(e *graph.Edge) {
		if kind == graph.CanAccess && (e.From != x.caller && !x.may(identity.InspectAccess, e.To) || own(e)) {
			return
		}
		into[e.To] = append(into[e.To], *e)
		ends = append(ends, e.From, e.To)
		if kind == graph.CanAccess && e.Key != "" {
			ends = append(ends, graph.Ref{Type: identity.Role, ID: e.Key})
		}
	})
	if err == nil {
		err = x.know(ends)
	}
	if err != nil {
		return err
	}
	for _, r := range refs {
		list := into[r]
		if len(list) == 0 {
			continue
		}
		if kind == graph.MemberOf {
			err = x.members(r, list)
		} else {
			err = x.grants(r, list)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// own tells whether Trellis gives the grant by itself.
func own(e *graph.Edge) bool {
	return e.From == e.To && e.Key == identity.RoleSelf || e.From == graph.Authenticated && e.To == identity.Vocabulary
}

func (x *exporter) members(set graph.Ref, list []graph.Edge) error {
	members := make([]any, len(list))
	for i := range list {
		name := x.title(list[i].From)
		if members[i] = name; list[i].Expires() != 0 {
			members[i] = map[string]any{"member": name, "expires_at": instant(list[i].Expires())}
		}
	}
	var s spec
	s.add("set", x.title(set))
	s.add("members", members)
	return x.relation(Membership, s)
}

func (x *exporter) grants(resource graph.Ref, list []graph.Edge) error {
	for i := range list {
		e := &list[i]
		var s spec
		s.add("subject", x.title(e.From))
		s.add("resource", x.title(resource))
		s.add("role", x.role(resource, e.Key))
		s.add("actions", e.Props.Strings(graph.PropActions))
		if e.Expires() != 0 {
			s.add("expires_at", instant(e.Expires()))
		}
		if err := x.relation(Grant, s); err != nil {
			return err
		}
	}
	return nil
}

// role names a role by its slug where that can only mean this one.
func (x *exporter) role(resource graph.Ref, id string) string {
	r, n := x.nodes[graph.Ref{Type: identity.Role, ID: id}], x.nodes[resource]
	if r == nil || n == nil || r.Props.String("organization") == "" {
		return id
	}
	org := n.Props.String("organization")
	if resource.Type == identity.Organization {
		org = resource.ID
	}
	if r.Props.String("organization") == org {
		return cmp.Or(r.Props.String("slug"), id)
	}
	return id
}

func (x *exporter) relation(kind string, s spec) error {
	b, err := s.json()
	if err != nil {
		return err
	}
	return x.yield(Exported{Document: Document{APIVersion: APIVersion, Kind: kind, Spec: b}})
}

// spec is an object whose fields keep their order; what is empty is left out.
type spec struct {
	names  []string
	values []any
}

func (s *spec) add(name string, v any) {
	switch b := encoded(v); string(b) {
	case "null", `""`, "[]", "{}", "false", "0":
	default:
		if name == "status" && v == graph.StatusActive {
			return
		}
		s.names, s.values = append(s.names, name), append(s.values, v)
	}
}

func (s *spec) json() (json.RawMessage, error) {
	out := []byte{'{'}
	for i, name := range s.names {
		if i > 0 {
			out = append(out, ',')
		}
		b, err := json.Marshal(s.values[i])
		if err != nil {
			return nil, graph.Wrap(graph.Internal, err, "encoding a document")
		}
		out = append(append(append(out, quoted(name)...), ':'), b...)
	}
	return append(out, '}'), nil
}
