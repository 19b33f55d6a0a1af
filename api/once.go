package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
)

// idempotencyKey is the type of the nodes that record which requests with an
// Idempotency-Key have been carried out. A record is committed in the same
// batch as the deed; the answer to a repetition is made from the record and
// from the change that the feed keeps, by the same handler.
const idempotencyKey graph.Type = "idempotency_key"

const (
	propBody   = "body"   // hash of the request's body
	propMade   = "made"   // the id that the service gave to what was made
	propSealed = "sealed" // an API key's secret, encrypted

	headerIdempotency = "Idempotency-Key"
	headerReplayed    = "Idempotent-Replayed"
)

// once is what a request knows of its idempotency key.
type once struct {
	ref     graph.Ref // of the record; zero without a key
	body    string
	made    string
	sealed  string
	expired graph.Revision // of a record whose time is over
	record  *graph.Node    // set on a repetition
}

// errRepeated says that the same request was carried out at the same moment.
var errRepeated = errors.New("the request was carried out meanwhile")

// runOnce calls the handler under the request's idempotency key, if it has one.
func (c *call) runOnce() error {
	key := c.r.Header.Get(headerIdempotency)
	if key == "" {
		return c.rt.handle(c)
	}
	if len(key) > 255 || !graph.Printable(key) {
		return badParameter(headerIdempotency, "want 1 to 255 printable characters")
	}
	mac := c.Secrets.Idempotency()
	name := mac.Sum("key", c.subject().String(), c.r.Method, c.r.URL.EscapedPath(), c.r.URL.RawQuery, key)
	body := mac.Sum("body", string(c.body))
	c.once = once{ref: graph.Ref{Type: idempotencyKey, ID: hex.EncodeToString(name[:])}, body: hex.EncodeToString(body[:])}
	// A second round is needed only if the same request won in between.
	for try := 0; ; try++ {
		if err := c.recall(); err != nil {
			return err
		}
		err := c.rt.handle(c)
		if !errors.Is(err, errRepeated) || try > 2 {
			return err
		}
	}
}

// recall looks for the record of an earlier request.
func (c *call) recall() error {
	o := &c.once
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{o.ref})
	if err != nil || len(found) == 0 {
		return err
	}
	n := &found[0]
	if n.Props.Int(graph.PropExpires) <= c.now.UnixMilli() {
		o.expired = n.Revision
		return nil
	}
	if n.Props.String(propBody) != o.body {
		p := problem(http.StatusUnprocessableEntity, "idempotency-mismatch", "this key came with another body before")
		p.Errors = []Fault{{Parameter: headerIdempotency, Detail: "is used already"}}
		return p
	}
	o.record, o.made, o.sealed = n, n.Props.String(propMade), n.Props.String(propSealed)
	return nil
}

// newID returns an id for what the request makes: the same on a repetition.
func (c *call) newID() string {
	if c.once.record == nil {
		c.once.made = c.Identity.NewID()
	}
	return c.once.made
}

// newToken returns a new API key, of the given id if that is not empty: the
// same on a repetition.
func (c *call) newToken(id string) (auth.Token, error) {
	o := &c.once
	if o.record != nil {
		b, err := base64.RawStdEncoding.DecodeString(o.sealed)
		if err == nil {
			b, err = c.Secrets.Open(o.ref.String(), b)
		}
		t, ok := auth.ParseToken(string(b))
		if err == nil && !ok {
			err = graph.Errorf(graph.Corrupt, "a sealed token cannot be read")
		}
		return t, err
	}
	t := auth.NewToken()
	if id != "" {
		t.ID = id
	}
	if !o.ref.IsZero() {
		o.sealed = base64.RawStdEncoding.EncodeToString(c.Secrets.Seal(o.ref.String(), []byte(t.String())))
	}
	return t, nil
}

// options are what the idempotency key adds to the batch.
func (c *call) options() identity.ApplyOptions {
	o := &c.once
	if o.ref.IsZero() {
		return identity.ApplyOptions{}
	}
	p := graph.Props{propBody: o.body, graph.PropExpires: c.now.Add(c.o.IdempotencyTTL).UnixMilli()}
	if o.made != "" {
		p[propMade] = o.made
	}
	if o.sealed != "" {
		p[propSealed] = o.sealed
	}
	out := identity.ApplyOptions{Conditions: []graph.Step{graph.RequireAbsent(o.ref)}, Steps: []graph.Step{graph.Put(graph.Node{Ref: o.ref, Props: p})}}
	if o.expired != 0 {
		out.Conditions[0] = graph.RequireAt(o.ref, o.expired)
	}
	return out
}

// write calls do, unless the request is a repetition: then it returns the
// change that was made the first time. The view is fresh afterwards.
func (c *call) write(do func(identity.ApplyOptions) (graph.Revision, *graph.Change, error)) (graph.Revision, *graph.Change, error) {
	if rec := c.once.record; rec != nil {
		ch, err := c.Graph.Store().Changes(c.ctx(), rec.Revision-1, 1)
		if graph.KindOf(err) == graph.Gone && err != nil || err == nil && (len(ch) == 0 || ch[0].Revision != rec.Revision) {
			return 0, nil, problem(http.StatusConflict, "idempotency-forgotten", "the request was carried out at revision %s; its answer is no longer kept", c.tokenText(rec.Revision))
		}
		if err != nil {
			return 0, nil, err
		}
		c.w.Header().Set(headerReplayed, "true")
		c.at(rec.Revision)
		return rec.Revision, &ch[0], nil
	}
	rev, ch, err := do(c.options())
	if err != nil {
		var e *graph.Error
		if o := &c.once; !o.ref.IsZero() && errors.As(err, &e) && e.Ref == o.ref && (e.Kind == graph.Exists || e.Kind == graph.Stale) {
			return 0, nil, errRepeated
		}
		return 0, nil, err
	}
	c.refresh()
	c.at(rev)
	return rev, ch, nil
}

// SweepIdempotency deletes the records whose time is over and returns how
// many. To be called now and then; an hour is often enough.
func SweepIdempotency(ctx context.Context, g *graph.Graph, now time.Time) (int, error) {
	swept, q := 0, graph.Question{Name: graph.NodesByType, Type: idempotencyKey, Limit: 1000}
	for {
		a, err := g.Store().Ask(ctx, q)
		if err != nil {
			return swept, err
		}
		var steps []graph.Step
		for i := range a.Nodes {
			if n := &a.Nodes[i]; n.Props.Int(graph.PropExpires) <= now.UnixMilli() {
				// A key that is used anew at this moment stays.
				steps = append(steps, graph.RequireAt(n.Ref, n.Revision), graph.Delete(n.Ref))
			}
		}
		if len(steps) > 0 {
			switch _, err := g.Write(ctx, graph.Batch{Actor: graph.Root, Origin: graph.Origin{RequestID: "sweep"}, Steps: steps}); {
			case err == nil:
				swept += len(steps) / 2
			case graph.KindOf(err) != graph.Stale && graph.KindOf(err) != graph.NotFound:
				return swept, err
			}
		}
		if a.Next == "" {
			return swept, nil
		}
		q.After = a.Next
	}
}
