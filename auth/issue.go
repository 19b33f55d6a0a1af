package auth

import (
	"context"
	"encoding/hex"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// Permissions on API keys. Keys are children of their owner, so a grant on
// the owner reaches them.
const (
	CreateKey = "api_key:create"
	ReadKey   = "api_key:read"
	UpdateKey = "api_key:update"
	DeleteKey = "api_key:delete"
)

// MaxKeyName limits a key's name, in bytes.
const MaxKeyName = 200

// Issuer makes, changes and revokes API keys. Every method checks the
// caller's permission at the index's present revision and returns Denied with
// the node concerned where it is lacking.
type Issuer struct {
	graph     *graph.Graph
	authority func() identity.Authority
	mac       *MAC
	now       func() time.Time
}

// NewIssuer returns an Issuer that writes to g and asks authority.
func NewIssuer(g *graph.Graph, authority func() identity.Authority, s *Secrets, now func() time.Time) *Issuer {
	return &Issuer{graph: g, authority: authority, mac: s.apiKeys, now: now}
}

// KeyFields are what can be said of a key.
type KeyFields struct {
	Name string
	// Expires is when the key ends, zero for never.
	Expires time.Time
}

// Key is what may be shown of a key.
type Key struct {
	ID        string
	Name      string
	Owner     graph.Ref
	CreatedBy graph.Ref
	Expires   time.Time // zero for never
	Created   time.Time
	Updated   time.Time
	Revision  graph.Revision
}

// Ref returns the node of a key.
func Ref(id string) graph.Ref { return graph.Ref{Type: identity.APIKey, ID: id} }

// KeyOf reads a key from its node.
func KeyOf(n graph.Node) Key {
	k := Key{ID: n.Ref.ID, Name: n.Props.String(propName), Created: n.Created, Updated: n.Updated, Revision: n.Revision}
	// What cannot be read is shown as empty.
	k.Owner, _ = graph.ParseRef(n.Props.String(propOwner))
	k.CreatedBy, _ = graph.ParseRef(n.Props.String(propCreator))
	if ms := n.Props.Int(graph.PropExpires); ms != 0 {
		k.Expires = time.UnixMilli(ms).UTC()
	}
	return k
}

// Create makes the token valid as a key of the owner. The caller needs
// CreateKey on the owner and, unless it is the owner, must hold everything
// that the owner holds.
func (s *Issuer) Create(ctx context.Context, c identity.Caller, t Token, owner graph.Ref, f KeyFields, o identity.ApplyOptions) (graph.Result, error) {
	a := s.authority()
	if err := s.may(a, c, CreateKey, owner); err != nil {
		return graph.Result{}, err
	}
	if owner.Type != identity.User && owner.Type != identity.ServiceAccount {
		return graph.Result{}, invalid("/owner", "only users and service accounts own keys")
	}
	if err := s.check(f); err != nil {
		return graph.Result{}, err
	}
	if err := s.covers(a, c, owner); err != nil {
		return graph.Result{}, err
	}
	n := graph.Node{Ref: Ref(t.ID), Props: graph.Props{propOwner: owner.String(), propCreator: c.Subject.String(), graph.PropStatus: graph.StatusActive}}
	s.fill(&n, f)
	s.lock(&n, t)
	return s.write(ctx, c, o,
		graph.Require(owner), graph.RequireAbsent(n.Ref), graph.Put(n),
		graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: n.Ref, Kind: graph.ChildOf, To: owner}}))
}

// Rotate gives the key the token's secret; the old secret is worth nothing
// from then on. It asks as much as Create, since the caller learns the secret.
func (s *Issuer) Rotate(ctx context.Context, c identity.Caller, t Token, o identity.ApplyOptions) (graph.Result, error) {
	a, n, err := s.open(ctx, c, t.ID, UpdateKey)
	if err != nil {
		return graph.Result{}, err
	}
	if err := s.covers(a, c, KeyOf(n).Owner); err != nil {
		return graph.Result{}, err
	}
	rev := n.Revision
	n = graph.Node{Ref: n.Ref, Names: n.Names, Props: n.Props.Clone()}
	s.lock(&n, t)
	return s.write(ctx, c, o, graph.RequireAt(n.Ref, rev), graph.Put(n))
}

// Change gives the key what edit makes of its fields. at is the revision that
// the caller saw, 0 for any.
func (s *Issuer) Change(ctx context.Context, c identity.Caller, id string, at graph.Revision, edit func(KeyFields) (KeyFields, error), o identity.ApplyOptions) (graph.Result, error) {
	_, n, err := s.open(ctx, c, id, UpdateKey)
	if err != nil {
		return graph.Result{}, err
	}
	if at != 0 && at != n.Revision {
		return graph.Result{}, &graph.Error{Kind: graph.Stale, Msg: "the key was changed meanwhile", Ref: n.Ref}
	}
	k := KeyOf(n)
	f, err := edit(KeyFields{Name: k.Name, Expires: k.Expires})
	if err != nil {
		return graph.Result{}, err
	}
	if err := s.check(f); err != nil {
		return graph.Result{}, err
	}
	rev := n.Revision
	n = graph.Node{Ref: n.Ref, Names: n.Names, Props: n.Props.Clone()}
	s.fill(&n, f)
	return s.write(ctx, c, o, graph.RequireAt(n.Ref, rev), graph.Put(n))
}

// Revoke deletes the key. at as in Change.
func (s *Issuer) Revoke(ctx context.Context, c identity.Caller, id string, at graph.Revision, o identity.ApplyOptions) (graph.Result, error) {
	if err := s.may(s.authority(), c, DeleteKey, Ref(id)); err != nil {
		return graph.Result{}, err
	}
	steps := []graph.Step{graph.Require(Ref(id))}
	if at != 0 {
		steps = append(steps, graph.RequireAt(Ref(id), at))
	}
	return s.write(ctx, c, o, append(steps, graph.Delete(Ref(id)))...)
}

func (s *Issuer) open(ctx context.Context, c identity.Caller, id, permission string) (identity.Authority, graph.Node, error) {
	a := s.authority()
	if err := s.may(a, c, permission, Ref(id)); err != nil {
		return nil, graph.Node{}, err
	}
	nodes, err := s.graph.Store().Nodes(ctx, []graph.Ref{Ref(id)})
	if err != nil {
		return nil, graph.Node{}, err
	}
	if len(nodes) == 0 {
		return nil, graph.Node{}, &graph.Error{Kind: graph.NotFound, Msg: "there is no such key", Ref: Ref(id)}
	}
	return a, nodes[0], nil
}

func (s *Issuer) may(a identity.Authority, c identity.Caller, permission string, on graph.Ref) error {
	if a.Check(c.Subject, permission, on, s.now()) {
		return nil
	}
	return &graph.Error{Kind: graph.Denied, Msg: "you need " + permission + " on " + on.String(), Ref: on, Permission: permission}
}

// covers keeps a key of somebody else from being a way to more power.
func (s *Issuer) covers(a identity.Authority, c identity.Caller, owner graph.Ref) error {
	if c.Subject == owner {
		return nil
	}
	now := s.now()
	for resource, permissions := range a.Conveys(owner, now) {
		if lack := a.Missing(c.Subject, resource, permissions, now); len(lack) > 0 {
			return &graph.Error{Kind: graph.Denied, Msg: "you do not hold everything that " + owner.String() + " holds, so you cannot have a key of it", Ref: owner, Permission: lack[0]}
		}
	}
	return nil
}

func (s *Issuer) check(f KeyFields) error {
	switch {
	case f.Name == "" || len(f.Name) > MaxKeyName || !graph.Printable(f.Name):
		return invalid("/name", "want 1 to 200 bytes of printable text")
	case !f.Expires.IsZero() && !f.Expires.After(s.now()):
		return invalid("/expires_at", "this is in the past")
	}
	return nil
}

func (s *Issuer) fill(n *graph.Node, f KeyFields) {
	n.Props[propName] = f.Name
	delete(n.Props, graph.PropExpires)
	if !f.Expires.IsZero() {
		n.Props[graph.PropExpires] = f.Expires.UnixMilli()
	}
}

func (s *Issuer) lock(n *graph.Node, t Token) {
	sum := s.mac.Sum(t.ID, t.Secret)
	n.Props[propHash] = hex.EncodeToString(sum[:])
}

func (s *Issuer) write(ctx context.Context, c identity.Caller, o identity.ApplyOptions, steps ...graph.Step) (graph.Result, error) {
	all := append(append([]graph.Step{}, o.Conditions...), steps...)
	return s.graph.Write(ctx, graph.Batch{Actor: c.Subject, Origin: c.Origin, Steps: append(all, o.Steps...)})
}

func invalid(pointer, msg string) error {
	return &graph.Error{Kind: graph.Invalid, Msg: "the key is not valid", Fields: []graph.Field{{Pointer: pointer, Msg: msg}}}
}

// BootstrapSteps make the principal of the bootstrap key and give it the role
// on the root: what a first start writes.
func BootstrapSteps(role string) []graph.Step {
	return []graph.Step{
		graph.Put(graph.Node{Ref: Bootstrap, Names: []string{"slug:service_account:bootstrap"}, Props: graph.Props{
			"slug": "bootstrap", propName: "Bootstrap", "description": "Whoever holds the bootstrap key", graph.PropStatus: graph.StatusActive,
		}}),
		graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: Bootstrap, Kind: graph.ChildOf, To: graph.Root}}),
		graph.Link(graph.Edge{
			EdgeKey: graph.EdgeKey{From: Bootstrap, Kind: graph.CanAccess, To: graph.Root, Key: role},
			Props:   graph.Props{graph.PropRole: role},
		}),
	}
}
