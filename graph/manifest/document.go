// Package manifest lets the graph be declared: documents say what is to be
// there, a set of them is applied in one revision or not at all, and the set
// remembers what it declared, so that it can later take away what it no longer
// does, and tell what somebody else changed. It owns the form of the documents,
// the order in which they become mutations, names for what has none yet, and the
// record of each set. It promises that applying the same documents again changes
// nothing, and that a plan is what would happen. It holds no rules of the graph:
// what may be written, and by whom, package identity decides.
package manifest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// APIVersion is what every document says.
const APIVersion = "trellis/v1"

// MaxDocuments limits one set.
const MaxDocuments = 10_000

// Kinds that are not a type of node of their own.
const (
	Membership = "Membership"
	Grant      = "Grant"
	Resource   = "Resource" // a node of a registered type
)

// Document declares one node, the members of a set, or one grant.
type Document struct {
	APIVersion string   `json:"apiVersion" enum:"trellis/v1"`
	Kind       string   `json:"kind" doc:"What it declares, as in Project"`
	Metadata   Metadata `json:"metadata,omitzero"`
	// Spec holds the fields of the node; of a Membership set and members, of a
	// Grant subject, resource, role or actions, and expires_at.
	Spec json.RawMessage `json:"spec,omitempty" doc:"The fields of what it declares"`
}

// Metadata names what a document declares.
type Metadata struct {
	Organization string `json:"organization,omitempty" doc:"Slug or id of the organization that it belongs to"`
	Type         string `json:"type,omitempty" doc:"The registered type of a Resource"`
	Slug         string `json:"slug,omitempty" doc:"Its slug; it is found by it unless there is an id"`
	ID           string `json:"id,omitempty" doc:"Its id; made by the service if it is new and there is none"`
}

// place says whether nodes of a kind belong to an organization.
type place uint8

const (
	nowhere place = iota
	perhaps
	always
)

// kind is one kind of document.
type kind struct {
	name string
	typ  graph.Type // "" of Resource, Membership and Grant
	home place
	// named says that nodes have a slug.
	named bool
	// peers is the list field by which nodes of the kind name others of it, which
	// should come before them.
	peers string
	// loose: peers that are not there yet can be added afterwards.
	loose bool
}

// kinds are in the order in which what they declare can be made.
var kinds = []kind{
	{name: "ResourceType", typ: identity.ResourceType, peers: "parents", loose: true},
	{name: "Organization", typ: identity.Organization, named: true},
	{name: "Blueprint", typ: identity.Blueprint, home: perhaps, named: true},
	{name: "Role", typ: identity.Role, home: perhaps, named: true, peers: "inherits"},
	{name: "User", typ: identity.User},
	{name: "ServiceAccount", typ: identity.ServiceAccount, named: true},
	{name: "Group", typ: identity.Group, named: true},
	{name: "Team", typ: identity.Team, home: always, named: true},
	{name: "Tag", typ: identity.Tag, home: always, named: true},
	{name: "LinkDefinition", typ: identity.LinkDefinition, home: always, named: true},
	{name: "ProjectType", typ: identity.ProjectType, home: always, named: true},
	{name: "Environment", typ: identity.Environment, home: always, named: true},
	{name: "ThirdPartyService", typ: identity.ThirdPartyService, home: always, named: true},
	{name: "Application", typ: identity.Application, home: always, named: true},
	{name: "Webhook", typ: identity.Webhook, home: always, named: true},
	{name: "Project", typ: identity.Project, home: always, named: true, peers: "depends_on", loose: true},
	{name: Resource, peers: "parents"},
	{name: Membership},
	{name: Grant},
}

// kindNamed returns the kind and its place in the order.
func kindNamed(name string) (*kind, int) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return nil, -1
	}
	return &kinds[i], i
}

// membership is the spec of a Membership.
type membership struct {
	Set     string   `json:"set"`
	Members []member `json:"members"`
}

// member is a node's name or, where it ends, an object.
type member struct {
	Member    string     `json:"member"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// UnmarshalJSON reads either form.
func (m *member) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &m.Member)
	}
	type plain member
	return strictly(b, (*plain)(m))
}

// grant is the spec of a Grant.
type grant struct {
	Subject   string     `json:"subject"`
	Resource  string     `json:"resource"`
	Role      string     `json:"role,omitempty"`
	Actions   []string   `json:"actions,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

func strictly(b []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// entry is one thing that a document declares.
type entry struct {
	doc   int
	kind  *kind
	rank  int
	meta  *Metadata
	label string // for people
	hash  string // of what is declared, "" if that is not to be kept
	key   key
	org   graph.Ref // that the node belongs to

	fields map[string]json.RawMessage // of a node
	grant  *grant
	set    string // of a member
	member *member
	nth    int // the member's index in its document

	known    *graph.Node // what is stored of the node, as far as that was asked
	withheld bool        // peers that are not there yet come with a second mutation
	mutation identity.Mutation
}

// key names what an entry declares: a node, a membership or a grant.
type key struct {
	node graph.Ref
	edge graph.EdgeKey
}

// pointer is where the entry is declared.
func (e *entry) pointer(part string) string {
	return fmt.Sprintf("/documents/%d%s", e.doc, part)
}

// faults collects what is wrong with documents.
type faults []graph.Field

// mostFaults is how many are told at once.
const mostFaults = 50

func (f *faults) add(pointer, format string, args ...any) {
	if len(*f) < mostFaults {
		*f = append(*f, graph.Field{Pointer: pointer, Msg: fmt.Sprintf(format, args...)})
	}
}

func (f *faults) err() error {
	if len(*f) == 0 {
		return nil
	}
	e := graph.Errorf(graph.Invalid, "the documents are not valid")
	e.Fields = *f
	return e
}

// read checks what can be told of the documents by themselves.
func read(docs []Document) ([]*entry, error) {
	if len(docs) > MaxDocuments {
		return nil, graph.Errorf(graph.TooLarge, "%d documents; the limit is %d", len(docs), MaxDocuments)
	}
	var bad faults
	var out []*entry
	for i := range docs {
		d := &docs[i]
		k, rank := kindNamed(d.Kind)
		base := entry{doc: i, kind: k, rank: rank, meta: &d.Metadata}
		switch {
		case d.APIVersion != APIVersion:
			bad.add(base.pointer("/apiVersion"), "want %s", APIVersion)
		case k == nil:
			bad.add(base.pointer("/kind"), "%.80q is not a kind of document", d.Kind)
		case k.name == Membership:
			out = append(out, readMembers(base, d, &bad)...)
		case k.name == Grant:
			out = append(out, readGrant(base, d, &bad)...)
		default:
			out = append(out, readNode(base, d, &bad)...)
		}
	}
	return out, bad.err()
}

func readMembers(e entry, d *Document, bad *faults) []*entry {
	var s membership
	if d.Metadata.Slug != "" || d.Metadata.ID != "" || d.Metadata.Type != "" {
		bad.add(e.pointer("/metadata"), "a %s has no name of its own", d.Kind)
		return nil
	}
	if err := strictly(d.Spec, &s); err != nil {
		bad.add(e.pointer("/spec"), "%v", err)
		return nil
	}
	if s.Set == "" {
		bad.add(e.pointer("/spec/set"), "is required")
		return nil
	}
	out := make([]*entry, 0, len(s.Members))
	for i := range s.Members {
		m := e
		m.set, m.member, m.nth = s.Set, &s.Members[i], i
		m.label = m.member.Member + " in " + s.Set
		m.hash = digest([]any{Membership, m.member})
		if m.member.Member == "" {
			bad.add(m.pointer(fmt.Sprintf("/spec/members/%d", i)), "is empty")
			return nil
		}
		out = append(out, &m)
	}
	return out
}

func readGrant(e entry, d *Document, bad *faults) []*entry {
	e.grant = &grant{}
	if d.Metadata.Slug != "" || d.Metadata.ID != "" || d.Metadata.Type != "" {
		bad.add(e.pointer("/metadata"), "a %s has no name of its own", d.Kind)
		return nil
	}
	if err := strictly(d.Spec, e.grant); err != nil {
		bad.add(e.pointer("/spec"), "%v", err)
		return nil
	}
	g := e.grant
	for name, text := range map[string]string{"subject": g.Subject, "resource": g.Resource} {
		if text == "" {
			bad.add(e.pointer("/spec/"+name), "is required")
		}
	}
	what := g.Role
	if what == "" {
		what = strings.Join(g.Actions, ", ")
	}
	e.label = what + " for " + g.Subject + " on " + g.Resource
	e.hash = digest([]any{Grant, g})
	return []*entry{&e}
}

func readNode(e entry, d *Document, bad *faults) []*entry {
	before := len(*bad)
	m := e.meta
	if err := json.Unmarshal(orEmpty(d.Spec), &e.fields); err != nil || e.fields == nil {
		bad.add(e.pointer("/spec"), "want an object")
	}
	for _, name := range [...]string{"slug", "organization", "id"} {
		if _, ok := e.fields[name]; ok {
			bad.add(e.pointer("/spec/"+name), "belongs into metadata")
		}
	}
	switch {
	case e.kind.home == always && m.Organization == "":
		bad.add(e.pointer("/metadata/organization"), "is required")
	case e.kind.home == nowhere && m.Organization != "":
		bad.add(e.pointer("/metadata/organization"), "a %s belongs to no organization", e.kind.name)
	case e.kind.name == Resource && (!graph.Type(m.Type).Valid() || identity.Known(graph.Type(m.Type))):
		bad.add(e.pointer("/metadata/type"), "want the name of a registered type")
	case e.kind.name != Resource && m.Type != "":
		bad.add(e.pointer("/metadata/type"), "is for a Resource")
	case !e.kind.named && m.Slug != "":
		bad.add(e.pointer("/metadata/slug"), "a %s has no slug", e.kind.name)
	case m.ID == "" && m.Slug == "" && (e.kind.typ != identity.User || e.email() == ""):
		bad.add(e.pointer("/metadata/"+e.naming()), "is required")
	}
	if len(*bad) > before {
		return nil
	}
	e.label = e.title()
	if !e.secret() {
		e.hash = digest([]any{d.Kind, m, canonical(d.Spec)})
	}
	return []*entry{&e}
}

// naming is the field of metadata that names nodes of the kind.
func (e *entry) naming() string {
	if e.kind.named {
		return "slug"
	}
	return "id"
}

// email is the address of a user; "" if it is not given.
func (e *entry) email() string { return e.text("email") }

func (e *entry) text(field string) string {
	var s string
	_ = json.Unmarshal(orEmpty(e.fields[field]), &s) // what is no text, identity will refuse
	return s
}

// typ is the type of node that the entry declares.
func (e *entry) typ() graph.Type {
	if e.kind.name == Resource {
		return graph.Type(e.meta.Type)
	}
	return e.kind.typ
}

// title names the node for people, the same way each time it is declared.
func (e *entry) title() string {
	name := e.meta.Slug
	switch {
	case name == "" && e.meta.ID != "":
		name = e.meta.ID
	case name == "":
		name = e.email()
	}
	if e.kind.typ == identity.Application {
		name = e.text("service") + "/" + name
	}
	if e.kind.name == Resource {
		return e.meta.Type + ":" + name
	}
	if e.meta.Organization != "" {
		name = e.meta.Organization + "/" + name
	}
	return name
}

// secret tells whether the document holds a secret.
func (e *entry) secret() bool {
	return slices.ContainsFunc(identity.Describe(e.typ()), func(f identity.FieldInfo) bool {
		_, given := e.fields[f.Name]
		return given && f.Kind == identity.Secret
	})
}

func orEmpty(b json.RawMessage) json.RawMessage {
	if len(b) == 0 {
		return json.RawMessage("{}")
	}
	return b
}
