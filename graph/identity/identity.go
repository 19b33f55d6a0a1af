// Package identity owns the rules of who and what there is: users, service
// accounts, groups, organizations, teams, roles, resource types, resources,
// memberships and grants. It turns what a caller asks for into one batch of
// the graph, refuses what breaks a rule, and promises that nobody gives away
// more than they hold. It never answers permission questions itself: it asks
// the Authority it was given.
package identity

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"time"

	"trellis/graph"
)

// Node types that every store knows.
const (
	User           graph.Type = "user"
	ServiceAccount graph.Type = "service_account"
	Group          graph.Type = "group"
	Organization   graph.Type = "organization"
	Team           graph.Type = "team"
	Role           graph.Type = "role"
	Permission     graph.Type = "permission"
	ResourceType   graph.Type = "resource_type"
	APIKey         graph.Type = "api_key"
	// Manifest is a set of documents that was applied; ManifestPart holds some of
	// what it remembers. Both are written by package manifest alone.
	Manifest     graph.Type = "manifest"
	ManifestPart graph.Type = "manifest_part"
)

// Vocabulary is the node below which resource types, permissions and the
// roles of no organization live: what everybody who is known may read.
var Vocabulary = graph.Ref{Type: graph.Root.Type, ID: "vocabulary"}

// Permissions that are not create, read, update or delete of a type.
const (
	// InspectAccess, on a resource: see who has access to it and why.
	InspectAccess = "access:inspect"
	// GrantAccess, on a resource: give and take grants on it, as far as one holds what they give.
	GrantAccess = "access:grant"
	// ReadChanges, on the root: follow the feed of changes.
	ReadChanges = "change:read"
	// ReadAudit, on a node: read what the audit log has of it and of what is below it.
	ReadAudit = "audit:read"
)

// Ids of the system roles.
const (
	RoleAdmin     = "admin"
	RoleDeveloper = "developer"
	RoleReadOnly  = "readonly"
	RoleAuditor   = "auditor"
	RoleOwner     = "owner" // given to whoever creates a resource, on it
	RoleSelf      = "self"  // given to every user and service account, on itself
)

// Authority answers what identity must know about permissions, all at one
// revision. The permission index provides it.
type Authority interface {
	Revision() graph.Revision
	// Check as graph.CheckQuery.
	Check(subject graph.Ref, permission string, resource graph.Ref, at time.Time) bool
	Exists(r graph.Ref) bool
	Parents(r graph.Ref) []graph.Ref
	// Within tells whether ancestor is r or above it.
	Within(r, ancestor graph.Ref) bool
	// Missing returns those of the permissions, wildcards included, that the subject does not hold on the resource.
	Missing(subject, resource graph.Ref, permissions []string, at time.Time) []string
	// RolePermissions returns what a role grants, inherited permissions included; false if there is no such role.
	RolePermissions(role string) ([]string, bool)
	// RolesInheriting returns the role and all roles that inherit from it.
	RolesInheriting(role string) []string
	// PlacesOfRole returns the resources on which exactly this role is granted.
	PlacesOfRole(role string) []graph.Ref
	// Conveys yields what membership in set gives: resources, and the permissions on each.
	Conveys(set graph.Ref, at time.Time) iter.Seq2[graph.Ref, []string]
	// Flows yields what the grants on r and above it give to anybody.
	Flows(r graph.Ref, at time.Time) iter.Seq2[graph.Ref, []string]
}

// Caller is on whose behalf something is done.
type Caller struct {
	Subject graph.Ref
	graph.Origin
}

// Op says what a Mutation does.
type Op string

// The mutations. Node mutations use Node, Data, IfMatch, Cascade and Erase; member
// mutations Set, Member and ExpiresAt; grant mutations Subject, Resource,
// Role or Actions, and ExpiresAt.
const (
	// OpCreate makes a node that must not exist yet.
	OpCreate Op = "create"
	// OpPut makes a node or replaces all that can be edited of it.
	OpPut Op = "put"
	// OpPatch changes a node by a JSON merge patch (RFC 7396).
	OpPatch Op = "patch"
	// OpEnsure makes a node or, if it is there, changes the fields named and
	// leaves the others: what importers want.
	OpEnsure Op = "ensure"
	// OpDelete removes a node and every edge of it. An organization, a team or a
	// node of the catalog can be restored for a while from the Tombstone that it
	// leaves, unless Erase; the deletion of a tombstone erases what is in it.
	OpDelete Op = "delete"
	// OpRestore brings back what is in the tombstone Node, under another slug if
	// Data has one.
	OpRestore Op = "restore"
	// OpPutMember adds a member to a group, team or organization, or changes until when it is one.
	OpPutMember Op = "put_member"
	// OpDeleteMember ends a membership.
	OpDeleteMember Op = "delete_member"
	// OpPutGrant gives a role or single actions to a subject on a resource.
	OpPutGrant Op = "put_grant"
	// OpDeleteGrant takes it back.
	OpDeleteGrant Op = "delete_grant"
	// OpStoreUpload makes the Upload Node of File or, with Arrived, says that an
	// announced one has come. OpPutPicture gives Node the picture Picture. Both
	// only together with what JSON cannot say.
	OpStoreUpload Op = "store_upload"
	OpPutPicture  Op = "put_picture"
)

// Mutation is one change that a caller asks for: the items of POST /batch,
// and what every single write is made of.
type Mutation struct {
	Op Op `json:"op" enum:"create,put,patch,ensure,delete,restore,put_member,delete_member,put_grant,delete_grant" doc:"What to do"`

	Node graph.Ref `json:"node,omitzero" doc:"The node, as type:id"`
	// Data is an object of the fields of the node's type.
	Data    json.RawMessage `json:"data,omitempty" doc:"Fields of the node"`
	IfMatch graph.Revision  `json:"if_match,omitempty" doc:"Refuse unless the node's revision is this"`
	Cascade bool            `json:"cascade,omitempty" doc:"Delete what is below the node as well"`
	Erase   bool            `json:"erase,omitempty" doc:"Delete for good: nothing is left from which it could be restored"`

	Set    graph.Ref `json:"set,omitzero" doc:"The group, team or organization"`
	Member graph.Ref `json:"member,omitzero" doc:"Who becomes a member, or ceases to be one"`

	Subject  graph.Ref `json:"subject,omitzero" doc:"Who is given access"`
	Resource graph.Ref `json:"resource,omitzero" doc:"To what access is given"`
	Role     string    `json:"role,omitempty" doc:"The id of the role granted"`
	Actions  []string  `json:"actions,omitempty" doc:"Single permissions granted instead of a role"`

	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the membership or grant ends by itself; milliseconds count"`

	File    *File      `json:"-"`
	Arrived bool       `json:"-"`
	Picture *graph.Ref `json:"-"` // zero: none
	// KeepPicture: where OpPut does not name a picture, one that is an upload stays.
	KeepPicture bool `json:"-"`
}

// Outcome is what came of an Apply.
type Outcome struct {
	Revision graph.Revision
	// Changed is false when everything was so already.
	Changed bool
	// Results has one entry per mutation, in order.
	Results []Effect
	// Change is the record of what happened, nil if nothing did.
	Change *graph.Change
}

// Effect tells what one mutation did.
type Effect string

// The effects.
const (
	Created   Effect = "created"
	Updated   Effect = "updated"
	Deleted   Effect = "deleted"
	Unchanged Effect = "unchanged"
)

// MaxMutations limits one Apply.
const MaxMutations = 10_000

// Service carries out mutations. It is safe for concurrent use.
type Service struct {
	graph     *graph.Graph
	authority func() Authority
	Options
}

// Options are what a Service is given besides the graph. Now and NewID must be set.
type Options struct {
	Now   func() time.Time
	NewID func() string
	// Sealer keeps secrets. Without it, nodes cannot be given any.
	Sealer Sealer
	// Rules judge nodes beyond what their fields say.
	Rules []Rule
	// Trash is how long what was deleted can be restored: DefaultTrash if 0;
	// negative: it is erased at once.
	Trash time.Duration
}

// Sealer encrypts what only its owner may read. What Seal returns opens only
// under the same name.
type Sealer interface {
	Seal(name string, data []byte) []byte
	Open(name string, sealed []byte) ([]byte, error)
}

// Rule judges a node that is about to be written, and may complete it. An
// error that is Invalid points with its Fields into the node's data
// ("/attributes/tier").
type Rule interface {
	Judge(ctx context.Context, d *Draft) error
}

// Draft is a node that is about to be written.
type Draft struct {
	Ref graph.Ref
	// Before is what the node holds now, nil if it is new.
	Before graph.Props
	// Props is what it is to hold; a Rule may change it.
	Props graph.Props

	c *compiler
	s *state
}

// Related returns what the node's relation field of that kind and type leads to.
func (d *Draft) Related(k graph.Kind, t graph.Type) ([]graph.Ref, error) {
	to, err := d.c.relations(d.Ref, d.s, FieldInfo{Edge: k, To: t})
	return slices.SortedFunc(maps.Keys(to), graph.CompareRefs), err
}

// Node returns a node as the mutations before this one leave it, nil if there is none.
func (d *Draft) Node(r graph.Ref) (*graph.Node, error) {
	s, err := d.c.state(r)
	if err != nil {
		return nil, err
	}
	return s.node, nil
}

// Written yields the nodes of a type that mutations before this one of the same
// Apply wrote, or, with nil, removed: those that they name, each once or more.
func (d *Draft) Written(t graph.Type) iter.Seq2[graph.Ref, *graph.Node] {
	return func(yield func(graph.Ref, *graph.Node) bool) {
		for _, r := range d.c.meant[t] {
			if s := d.c.nodes[r]; s != nil && s.changed && !yield(r, s.node) {
				return
			}
		}
	}
}

// New returns a Service that writes to g and asks authority, which must give
// the index at its present revision.
func New(g *graph.Graph, authority func() Authority, o Options) *Service {
	return &Service{graph: g, authority: authority, Options: o}
}

// ApplyOptions are what api adds to an Apply.
type ApplyOptions struct {
	// Steps are committed in the same batch, after the mutations' own:
	// the record of an idempotency key, for example. Conditions go first.
	Conditions []graph.Step
	Steps      []graph.Step
	// Dry: only find out what would happen. Outcome.Change tells it.
	Dry bool
	// Most is how many mutations there may be; MaxMutations if 0.
	Most int
}
