package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
)

// Key is a key without its secret.
type Key struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Owner     graph.Ref  `json:"owner" doc:"On whose behalf it calls"`
	CreatedBy graph.Ref  `json:"created_by"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	// LastUsedAt is known to lists and reads only.
	LastUsedAt *time.Time     `json:"last_used_at,omitempty" doc:"When it was last used, as far as is known; absent if never. Not part of the revision"`
	CreatedAt  time.Time      `json:"created_at"`
	UpdatedAt  time.Time      `json:"updated_at"`
	Revision   graph.Revision `json:"revision"`
}

// KeyCreated is a key with its secret, which is shown this once.
type KeyCreated struct {
	Key
	Token string `json:"token" doc:"The credential for Authorization: Bearer; it is not shown again"`
}

// KeyInput is what a new key needs.
type KeyInput struct {
	Name      string     `json:"name" minLength:"1" maxLength:"200" doc:"What it is for"`
	Owner     graph.Ref  `json:"owner,omitempty" doc:"A user or service account; the caller if absent"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When it ends; null or absent: never" nullable:"true"`
}

// KeyPatch is what can be changed of a key, as a merge patch.
type KeyPatch struct {
	Name      *string    `json:"name,omitempty" minLength:"1" maxLength:"200"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" nullable:"true" doc:"null: never"`
}

func keyOf(k auth.Key) Key {
	out := Key{ID: k.ID, Name: k.Name, Owner: k.Owner, CreatedBy: k.CreatedBy, CreatedAt: k.Created, UpdatedAt: k.Updated, Revision: k.Revision}
	if !k.Expires.IsZero() {
		out.ExpiresAt = &k.Expires
	}
	return out
}

func keyRoutes() []route {
	const one = "/api-keys/{id}"
	return []route{
		{method: get, path: "/api-keys", id: "listApiKeys", tag: "API keys", summary: "List API keys", self: "lists only what the caller may read",
			query: paged(text("owner", "Only those of this user or service account, as type:id", 600)), out: Page[Key]{}, handle: listKeys},
		{method: post, path: "/api-keys", id: "createApiKey", tag: "API keys", summary: "Make an API key", status: http.StatusCreated,
			doc:   "For another owner, the caller must hold everything that the owner holds.",
			needs: need{permission: auth.CreateKey, on: "the owner", inside: true}, in: body{value: KeyInput{}}, out: KeyCreated{}, idempotent: true, handle: createKey},
		{method: get, path: one, id: "readApiKey", tag: "API keys", summary: "Read an API key", needs: need{permission: auth.ReadKey, on: "the key"}, node: keyNode, out: Key{}, handle: readKey},
		{method: patch, path: one, id: "patchApiKey", tag: "API keys", summary: "Change an API key's name or expiry", edits: true,
			needs: need{permission: auth.UpdateKey, on: "the key"}, node: keyNode, in: body{value: KeyPatch{}, patch: true}, out: Key{}, handle: patchKey},
		{method: post, path: one + "/rotate", id: "rotateApiKey", tag: "API keys", summary: "Give an API key a new secret", doc: "The old secret ends at once.",
			needs: need{permission: auth.UpdateKey, on: "the key"}, node: keyNode, out: KeyCreated{}, idempotent: true, handle: rotateKey},
		{method: del, path: one, id: "deleteApiKey", tag: "API keys", summary: "Revoke an API key", edits: true,
			needs: need{permission: auth.DeleteKey, on: "the key"}, node: keyNode, out: Deletion{}, handle: deleteKey},
	}
}

func keyNode(c *call) error {
	id := c.path("id")
	c.named = string(identity.APIKey) + ":" + short(id)
	if !auth.IsKeyID(id) || !c.view.Exists(auth.Ref(id)) {
		return &graph.Error{Kind: graph.NotFound}
	}
	c.ref = auth.Ref(id)
	return nil
}

func listKeys(c *call) error {
	owner, err := c.refParam("owner")
	if err != nil {
		return err
	}
	var ids []string
	page := Page[Key]{Items: []Key{}}
	if owner.IsZero() {
		after, err := c.after()
		if err != nil {
			return err
		}
		var more bool
		if ids, more = c.view.Resources(readable(c, identity.APIKey, after)); more {
			page.NextCursor = c.cursor(ids[len(ids)-1])
		}
	} else {
		next, err := c.edges(graph.Question{Name: graph.EdgesTo, Ref: owner, Kind: graph.ChildOf, Type: identity.APIKey}, func(e *graph.Edge) bool {
			ok := c.holds(auth.ReadKey, e.From)
			if ok {
				ids = append(ids, e.From.ID)
			}
			return ok
		})
		if err != nil {
			return err
		}
		page.NextCursor = c.cursor(next)
	}
	refs := make([]graph.Ref, len(ids))
	for i, id := range ids {
		refs[i] = auth.Ref(id)
	}
	nodes, err := c.Graph.Store().Nodes(c.ctx(), refs)
	if err != nil {
		return err
	}
	used := c.lastUsed(ids)
	for _, n := range nodes {
		k := keyOf(auth.KeyOf(n))
		k.LastUsedAt = used[k.ID]
		page.Items = append(page.Items, k)
	}
	return c.json(http.StatusOK, page)
}

func readKey(c *call) error {
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{c.ref})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &graph.Error{Kind: graph.NotFound, Ref: c.ref}
	}
	if c.unchanged(found[0].Revision) {
		return nil
	}
	k := keyOf(auth.KeyOf(found[0]))
	k.LastUsedAt = c.lastUsed([]string{k.ID})[k.ID]
	return c.json(http.StatusOK, k)
}

// keep answers with the key as the change left it, with the token if it is new.
func (c *call) keep(status int, ch *graph.Change, id string, t *auth.Token) error {
	n, _, _ := changed(ch, auth.Ref(id))
	if n == nil {
		found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{auth.Ref(id)})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return &graph.Error{Kind: graph.NotFound, Ref: auth.Ref(id)}
		}
		n = &found[0]
	}
	c.w.Header().Set("ETag", etag(n.Revision))
	k := keyOf(auth.KeyOf(*n))
	if t == nil {
		return c.json(status, k)
	}
	return c.json(status, KeyCreated{k, t.String()})
}

func createKey(c *call) error {
	var in KeyInput
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Owner.IsZero() {
		in.Owner = c.subject()
	}
	f := auth.KeyFields{Name: in.Name}
	if in.ExpiresAt != nil {
		f.Expires = *in.ExpiresAt
	}
	t, err := c.newToken("")
	if err != nil {
		return err
	}
	_, ch, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		r, err := c.issuer.Create(c.ctx(), c.actor(), t, in.Owner, f, o)
		return r.Revision, r.Change, err
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", prefix+"/api-keys/"+t.ID)
	return c.keep(http.StatusCreated, ch, t.ID, &t)
}

func rotateKey(c *call) error {
	t, err := c.newToken(c.ref.ID)
	if err != nil {
		return err
	}
	_, ch, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		r, err := c.issuer.Rotate(c.ctx(), c.actor(), t, o)
		return r.Revision, r.Change, err
	})
	if err != nil {
		return err
	}
	return c.keep(http.StatusOK, ch, t.ID, &t)
}

func patchKey(c *call) error {
	var in KeyPatch
	if err := c.decode(&in); err != nil {
		return err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(c.body, &given); err != nil {
		return graph.Wrap(graph.Internal, err, "reading a patch")
	}
	rev, err := c.ifMatch(c.seen)
	if err != nil {
		return err
	}
	_, ch, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		r, err := c.issuer.Change(c.ctx(), c.actor(), c.ref.ID, rev, func(f auth.KeyFields) (auth.KeyFields, error) {
			if raw, ok := given["name"]; ok {
				if f.Name = ""; string(raw) != "null" {
					f.Name = *in.Name
				}
			}
			if _, ok := given["expires_at"]; ok {
				if f.Expires = (time.Time{}); in.ExpiresAt != nil {
					f.Expires = *in.ExpiresAt
				}
			}
			return f, nil
		}, o)
		return r.Revision, r.Change, err
	})
	if err != nil {
		return err
	}
	return c.keep(http.StatusOK, ch, c.ref.ID, nil)
}

func deleteKey(c *call) error {
	rev, err := c.ifMatch(c.seen)
	if err != nil {
		return err
	}
	_, ch, err := c.write(func(o identity.ApplyOptions) (graph.Revision, *graph.Change, error) {
		r, err := c.issuer.Revoke(c.ctx(), c.actor(), c.ref.ID, rev, o)
		return r.Revision, r.Change, err
	})
	var e *graph.Error
	if errors.As(err, &e) && e.Kind == graph.NotFound {
		e.Ref = c.ref
	}
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, Deletion{Deleted: counts(ch)})
}
