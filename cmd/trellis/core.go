package main

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"trellis/auth"
	"trellis/cmd/trellis/config"
	"trellis/graph"
	"trellis/graph/catalog"
	"trellis/graph/identity"
	"trellis/graph/permission"
	"trellis/storage/uploads"
)

// core is the service without its HTTP face.
type core struct {
	store      graph.Store
	graph      *graph.Graph
	index      *permission.Index
	catalog    *catalog.Index
	blueprints *catalog.Blueprints
	keys       *auth.Keys
	secrets    *auth.Secrets
	ids        *identity.Service
	ledger     *uploads.Ledger
	log        *slog.Logger
	// prepared is set when the server has done what prepare does.
	prepared atomic.Bool
}

func openCore(c *config.Config, log *slog.Logger) (*core, error) {
	secret, err := secretKey(c)
	if err != nil {
		return nil, err
	}
	k := &core{index: permission.New(), catalog: catalog.New(), blueprints: catalog.NewBlueprints(), ledger: uploads.NewLedger(), log: log}
	if k.secrets, err = auth.NewSecrets(secret); err != nil {
		return nil, err
	}
	if k.keys, err = auth.NewKeys(k.secrets, c.BootstrapKey, time.Now); err != nil {
		return nil, err
	}
	if k.store, err = openStore(c); err != nil {
		return nil, err
	}
	k.graph = graph.New(k.store, graph.Options{Log: log}, k.index, k.catalog, k.blueprints, k.keys, k.ledger)
	rules := k.rules()
	rules.Trash = c.Trash
	k.ids = identity.New(k.graph, k.authority, rules)
	return k, nil
}

// rules is what writing nodes needs besides the graph.
func (k *core) rules() identity.Options {
	return identity.Options{Now: time.Now, NewID: newID, Sealer: k.secrets, Rules: []identity.Rule{k.blueprints}}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func (k *core) authority() identity.Authority { return k.index.View() }

// Close ends everything that the core started.
func (k *core) Close() error {
	k.graph.Close()
	return k.store.Close()
}

// system is the authority of the service itself, for what it must do before
// anybody may do anything.
type system struct{ identity.Authority }

func (system) Check(graph.Ref, string, graph.Ref, time.Time) bool          { return true }
func (system) Missing(graph.Ref, graph.Ref, []string, time.Time) []string  { return nil }
func (system) Conveys(graph.Ref, time.Time) iter.Seq2[graph.Ref, []string] { return nothing }
func (system) Flows(graph.Ref, time.Time) iter.Seq2[graph.Ref, []string]   { return nothing }
func nothing(func(graph.Ref, []string) bool)                               {}
func (k *core) system() identity.Authority                                 { return system{k.authority()} }
func asSystem() identity.Caller {
	return identity.Caller{Subject: graph.Root, Origin: graph.Origin{RequestID: "start"}}
}

// adminGrant is the edge that makes a subject an administrator.
func adminGrant(subject graph.Ref) graph.EdgeKey {
	return graph.EdgeKey{From: subject, Kind: graph.CanAccess, To: graph.Root, Key: identity.RoleAdmin}
}

// administrators returns who holds the role admin on the root by a grant of
// their own.
func (k *core) administrators(ctx context.Context) ([]graph.Ref, error) {
	var out []graph.Ref
	q := graph.Question{Name: graph.EdgesTo, Ref: graph.Root, Kind: graph.CanAccess, Limit: graph.MaxPage}
	for {
		a, err := k.store.Ask(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, e := range a.Edges {
			if e.Key == identity.RoleAdmin {
				out = append(out, e.From)
			}
		}
		if q.After = a.Next; q.After == "" {
			return out, nil
		}
	}
}

// account makes a user or a service account, or leaves the one that is there
// as it is.
func (k *core) account(ctx context.Context, r graph.Ref, fields map[string]string) error {
	there, err := k.store.Nodes(ctx, []graph.Ref{r})
	if err != nil || len(there) > 0 {
		return err
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	ids := identity.New(k.graph, k.system, k.rules())
	_, err = ids.Apply(ctx, asSystem(), []identity.Mutation{{Op: identity.OpPut, Node: r, Data: data}}, identity.ApplyOptions{})
	return err
}

// makeAdmin makes the account an administrator with a new API key, both or
// neither. Exists if it is one already and again is false.
func (k *core) makeAdmin(ctx context.Context, r graph.Ref, keyName string, again bool) (auth.Token, error) {
	token := auth.NewToken()
	grant := adminGrant(r)
	o := identity.ApplyOptions{Steps: []graph.Step{graph.Link(graph.Edge{
		EdgeKey: grant, Props: graph.Props{graph.PropRole: identity.RoleAdmin, graph.PropGrantedBy: graph.Root.String()},
	})}}
	if !again {
		o.Conditions = []graph.Step{graph.RequireUnlinked(grant)}
	}
	issuer := auth.NewIssuer(k.graph, k.system, k.secrets, time.Now)
	_, err := issuer.Create(ctx, asSystem(), token, r, auth.KeyFields{Name: keyName}, o)
	return token, err
}

// firstAdmin is the account whose key the first start prints.
var firstAdmin = graph.Ref{Type: identity.ServiceAccount, ID: "admin"}

// prepare makes the store ready for use: the system's types and roles, the
// account of the bootstrap key, or the first administrator, whose token it
// returns; "" if there is one.
func (k *core) prepare(ctx context.Context, bootstrapKey bool) (string, error) {
	if err := k.loaded(ctx); err != nil {
		return "", err
	}
	if err := k.ids.Bootstrap(ctx); err != nil {
		return "", err
	}
	if bootstrapKey {
		if err := k.account(ctx, auth.Bootstrap, map[string]string{"slug": auth.Bootstrap.ID, "name": "Bootstrap key"}); err != nil {
			return "", err
		}
		ids := identity.New(k.graph, k.system, k.rules())
		_, err := ids.Apply(ctx, asSystem(), []identity.Mutation{
			{Op: identity.OpPutGrant, Subject: auth.Bootstrap, Resource: graph.Root, Role: identity.RoleAdmin},
		}, identity.ApplyOptions{})
		return "", err
	}
	admins, err := k.administrators(ctx)
	if err != nil || len(admins) > 0 {
		return "", err
	}
	if err := k.account(ctx, firstAdmin, map[string]string{"slug": firstAdmin.ID, "name": "First administrator"}); err != nil {
		return "", err
	}
	token, err := k.makeAdmin(ctx, firstAdmin, "first start", false)
	switch {
	case err == nil:
		return token.String(), nil
	case graph.KindOf(err) == graph.Exists:
		err = nil // another process was first, and printed its key
	}
	return "", err
}

// loaded waits until the store was reached and the replicas are filled.
func (k *core) loaded(ctx context.Context) error {
	_, err := k.graph.Wait(ctx, -1)
	return err
}
