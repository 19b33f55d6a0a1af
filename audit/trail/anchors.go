package trail

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"trellis/audit"
	"trellis/graph"
)

// chainType is the type of the nodes that remember ends of chains. Their ids are
// of the form SINK.WRITER.
const chainType graph.Type = "audit_chain"

// Anchors remember in the graph how far the chains of a sink have come. A
// chain by itself does not tell that its end was removed; the graph, which who
// writes to the sink need not be able to write to, does.
//
// All methods may be called concurrently, and by several processes.
type Anchors struct {
	graph *graph.Graph
	sink  string
	keep  audit.Retention
	now   func() time.Time
}

// NewAnchors returns the anchors of a sink, which is named by its address
// without credentials: another sink has other chains. keep is what the sink's
// retention is: ends that are older than that are not expected any more.
func NewAnchors(g *graph.Graph, sink string, keep audit.Retention, now func() time.Time) *Anchors {
	name := sha256.Sum256([]byte(sink))
	return &Anchors{graph: g, sink: hex.EncodeToString(name[:8]), keep: keep, now: now}
}

// Kept returns the ends that are remembered.
func (a *Anchors) Kept(ctx context.Context) ([]audit.KnownLink, error) {
	nodes, err := a.nodes(ctx)
	var out []audit.KnownLink
	for writer, n := range nodes {
		for _, s := range audit.Streams {
			if end, at := endOf(&n, s); end.Seq > 0 && !a.expired(s, at) {
				end.Writer = writer
				out = append(out, audit.KnownLink{Stream: s, Link: end})
			}
		}
	}
	return out, err
}

// Keep looks at the end of every chain in the sink and remembers it. It
// returns the ends that are remembered and are not in the sink any more: what
// somebody has removed. They stay remembered until they are older than the retention.
func (a *Anchors) Keep(ctx context.Context, r audit.Reader) (cut []audit.KnownLink, err error) {
	nodes, err := a.nodes(ctx)
	if err != nil {
		return nil, err
	}
	after := map[string]graph.Props{}
	for _, s := range audit.Streams {
		ends, err := r.Writers(ctx, s)
		if err != nil {
			return nil, err
		}
		at := map[string]*audit.Head{}
		for _, rec := range ends {
			at[rec.Meta().Writer] = rec.Meta()
			if _, ok := nodes[rec.Meta().Writer]; !ok {
				nodes[rec.Meta().Writer] = graph.Node{}
			}
		}
		for writer, n := range nodes {
			if after[writer] == nil {
				after[writer] = graph.Props{}
			}
			old, when := endOf(&n, s)
			h := at[writer]
			if h == nil || h.Seq < old.Seq {
				if old.Seq == 0 || a.expired(s, when) {
					continue
				}
				old.Writer = writer
				cut = append(cut, audit.KnownLink{Stream: s, Link: old})
				h = &audit.Head{Time: when, Link: old}
			}
			setEnd(after[writer], s, h)
		}
	}
	for writer, p := range after {
		if err := a.write(ctx, writer, nodes[writer], p); err != nil {
			return cut, err
		}
	}
	return cut, nil
}

func (a *Anchors) write(ctx context.Context, writer string, before graph.Node, after graph.Props) error {
	if before.Props.Equal(after) {
		return nil
	}
	ref := graph.Ref{Type: chainType, ID: a.sink + "." + writer}
	steps := []graph.Step{graph.RequireAbsent(ref), graph.Put(graph.Node{Ref: ref, Props: after})}
	if before.Revision > 0 {
		steps[0] = graph.RequireAt(ref, before.Revision)
	}
	if len(after) == 0 {
		steps[1] = graph.Delete(ref)
	}
	_, err := a.graph.Write(ctx, graph.Batch{Actor: graph.Root, Origin: graph.Origin{RequestID: "audit"}, Steps: steps})
	switch graph.KindOf(err) {
	case graph.Stale, graph.Exists, graph.NotFound:
		return nil // another process remembers as well
	}
	return err
}

// nodes returns what is remembered, by the name of the writer.
func (a *Anchors) nodes(ctx context.Context) (map[string]graph.Node, error) {
	out := map[string]graph.Node{}
	q := graph.Question{Name: graph.NodesByType, Type: chainType, Limit: 1000}
	for {
		page, err := a.graph.Store().Ask(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, n := range page.Nodes {
			if writer, ok := strings.CutPrefix(n.Ref.ID, a.sink+"."); ok {
				out[writer] = n
			}
		}
		if q.After = page.Next; q.After == "" {
			return out, nil
		}
	}
}

func (a *Anchors) expired(s audit.Stream, at time.Time) bool {
	keep := a.keep[s]
	return keep > 0 && at.Before(a.now().Add(-keep))
}

func endOf(n *graph.Node, s audit.Stream) (audit.Link, time.Time) {
	name := string(s)
	l := audit.Link{Seq: uint64(n.Props.Int(name + "_seq"))}
	if l.Hash.UnmarshalText([]byte(n.Props.String(name+"_hash"))) != nil {
		return audit.Link{}, time.Time{}
	}
	return l, time.UnixMilli(n.Props.Int(name + "_time")).UTC()
}

func setEnd(p graph.Props, s audit.Stream, h *audit.Head) {
	name := string(s)
	p[name+"_seq"], p[name+"_hash"], p[name+"_time"] = int64(h.Seq), h.Hash.String(), h.Time.UnixMilli()
}
