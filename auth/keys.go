// Package auth turns a request into a principal: it owns API keys, the
// bootstrap key, and the keys derived from the server's secret.
//
// It promises that a credential which is unknown, wrong, expired, revoked or
// of a suspended owner is refused alike, that a revocation is in force as soon
// as the change feed brought it, and that a secret is kept only as a keyed
// hash. What a principal may do is none of its business: that is for the
// permission index.
package auth

import (
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// Bootstrap is the principal of the bootstrap key.
var Bootstrap = graph.Ref{Type: identity.ServiceAccount, ID: "bootstrap"}

// Reasons for refusing a request. ErrCredential does not say what is wrong
// with the credential.
var (
	ErrNoCredential = errors.New("the request carries no credential")
	ErrCredential   = errors.New("the credential is not valid")
)

// Principal is who is calling.
type Principal struct {
	Subject graph.Ref
	// Key is the id of the API key used, "" for the bootstrap key.
	Key string
}

// Properties of an api_key node.
const (
	propName    = "name"
	propHash    = "hash"
	propOwner   = "owner"
	propCreator = "created_by"
)

// Keys knows every API key. It is a graph.Replica: the feed keeps it current.
// Authenticate takes no lock and may be called at any time.
type Keys struct {
	mac       *MAC
	now       func() time.Time
	bootstrap *[32]byte

	ring    atomic.Pointer[ring] // nil until first loaded
	loading *ring
}

var _ graph.Replica = (*Keys)(nil)

// ring is what is known of keys and their owners. Its values are replaced,
// never changed.
type ring struct {
	keys sync.Map // string -> *key
	idle sync.Map // graph.Ref of users and service accounts that are not active -> nil
}

type key struct {
	hash    [32]byte
	owner   graph.Ref // zero while no CHILD_OF edge names one
	expires int64
	active  bool
	node    bool // the node has been seen
}

// NewKeys returns an empty set of keys, to be handed to graph.New. bootstrap
// is the bootstrap key, "" for none; one shorter than MinSecret is Invalid.
func NewKeys(s *Secrets, bootstrap string, now func() time.Time) (*Keys, error) {
	k := &Keys{mac: s.apiKeys, now: now}
	if bootstrap != "" {
		if len(bootstrap) < MinSecret {
			return nil, graph.Errorf(graph.Invalid, "the bootstrap key has %d characters; it needs %d or more", len(bootstrap), MinSecret)
		}
		sum := k.mac.Sum("bootstrap", bootstrap)
		k.bootstrap = &sum
	}
	return k, nil
}

// Authenticate reads an Authorization header. It returns ErrNoCredential if
// there is none, ErrCredential if it is not valid, and Unavailable while the
// keys have not been loaded.
func (k *Keys) Authenticate(header string) (Principal, error) {
	if header == "" {
		return Principal{}, ErrNoCredential
	}
	c, ok := bearer(header)
	if !ok {
		return Principal{}, ErrCredential
	}
	r := k.ring.Load()
	if r == nil {
		return Principal{}, graph.Errorf(graph.Unavailable, "the service is starting")
	}
	p, ok := k.open(r, c)
	if !ok {
		return Principal{}, ErrCredential
	}
	if _, idle := r.idle.Load(p.Subject); idle {
		return Principal{}, ErrCredential
	}
	return p, nil
}

func (k *Keys) open(r *ring, credential string) (Principal, bool) {
	// Anything may be the bootstrap key, also what looks like an API key.
	if t, ok := ParseToken(credential); ok {
		if p, ok := k.openToken(r, t); ok {
			return p, true
		}
	}
	if k.bootstrap == nil {
		return Principal{}, false
	}
	sum := k.mac.Sum("bootstrap", credential)
	return Principal{Subject: Bootstrap}, hmac.Equal(sum[:], k.bootstrap[:])
}

func (k *Keys) openToken(r *ring, t Token) (Principal, bool) {
	sum := k.mac.Sum(t.ID, t.Secret)
	v, ok := r.keys.Load(t.ID)
	if !ok {
		return Principal{}, false
	}
	e := v.(*key)
	ok = hmac.Equal(sum[:], e.hash[:]) && e.node && e.active && !e.owner.IsZero() &&
		(e.expires == 0 || k.now().UnixMilli() < e.expires)
	return Principal{Subject: e.owner, Key: t.ID}, ok
}

// Begin implements graph.Replica.
func (k *Keys) Begin() { k.loading = &ring{} }

// Node implements graph.Replica.
func (k *Keys) Node(n *graph.Node) { k.loading.node(n) }

// Edge implements graph.Replica.
func (k *Keys) Edge(e *graph.Edge) { k.loading.edge(e) }

// Ready implements graph.Replica.
func (k *Keys) Ready(graph.Info) { k.ring.Store(k.loading); k.loading = nil }

// Apply implements graph.Replica.
func (k *Keys) Apply(changes []graph.Change) {
	r := k.ring.Load()
	for i := range changes {
		for j := range changes[i].Entries {
			r.apply(&changes[i].Entries[j])
		}
	}
}

func (r *ring) apply(e *graph.Entry) {
	switch {
	case e.Node != nil && e.Node.After != nil:
		r.node(e.Node.After)
	case e.Node != nil:
		r.gone(e.Node.Before.Ref)
	case e.Edge.After != nil:
		r.edge(e.Edge.After)
	default:
		r.ungrip(e.Edge.Before)
	}
}

func (r *ring) node(n *graph.Node) {
	switch n.Ref.Type {
	case identity.User, identity.ServiceAccount:
		if s := n.Props.String(graph.PropStatus); s != "" && s != graph.StatusActive {
			r.idle.Store(n.Ref, nil)
		} else {
			r.idle.Delete(n.Ref)
		}
	case identity.APIKey:
		r.change(n.Ref.ID, func(k *key) {
			s := n.Props.String(graph.PropStatus)
			// A hash that cannot be read matches nothing: the key is dead.
			size, err := hex.Decode(k.hash[:], []byte(n.Props.String(propHash)))
			k.node = err == nil && size == len(k.hash)
			k.active, k.expires = s == "" || s == graph.StatusActive, n.Props.Int(graph.PropExpires)
		})
	}
}

func (r *ring) gone(ref graph.Ref) {
	switch ref.Type {
	case identity.User, identity.ServiceAccount:
		r.idle.Delete(ref)
	case identity.APIKey:
		r.keys.Delete(ref.ID)
	}
}

func ownership(e *graph.Edge) bool {
	return e.Kind == graph.ChildOf && e.From.Type == identity.APIKey &&
		(e.To.Type == identity.User || e.To.Type == identity.ServiceAccount)
}

func (r *ring) edge(e *graph.Edge) {
	if ownership(e) {
		r.change(e.From.ID, func(k *key) { k.owner = e.To })
	}
}

// ungrip takes a key from its owner: what happens when the owner is deleted.
func (r *ring) ungrip(e *graph.Edge) {
	if !ownership(e) {
		return
	}
	if _, ok := r.keys.Load(e.From.ID); ok {
		r.change(e.From.ID, func(k *key) {
			if k.owner == e.To {
				k.owner = graph.Ref{}
			}
		})
	}
}

func (r *ring) change(id string, f func(*key)) {
	k := &key{}
	if v, ok := r.keys.Load(id); ok {
		*k = *v.(*key)
	}
	f(k)
	r.keys.Store(id, k)
}
