package manifest

import (
	"strconv"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

func itoa(i int) string { return strconv.Itoa(i) }

// prune finds what the set declared before and does not any more. Without
// Request.Prune it stays, and the set goes on remembering that it was its own.
func (a *attempt) prune() error {
	declared := make(map[key]bool, len(a.entries))
	for _, e := range a.entries {
		declared[e.key] = true
	}
	for i := range a.rec.objects {
		if o := &a.rec.objects[i]; !declared[o.key()] {
			a.gone = append(a.gone, o)
		}
	}
	if len(a.gone) == 0 {
		return nil
	}
	there, err := a.existing(a.gone)
	if err != nil {
		return err
	}
	if !a.q.Prune {
		for _, o := range a.gone {
			if there[o.key()] {
				kept := *o
				kept.Orphan = true
				a.objects = append(a.objects, kept)
			}
		}
		return nil
	}
	lastFirst(a.gone)
	others, err := a.others()
	if err != nil {
		return err
	}
	for _, o := range a.gone {
		switch {
		case others[o.key()]:
			a.freed = append(a.freed, o)
		case there[o.key()]:
			a.steps = append(a.steps, removal(o))
		}
	}
	return nil
}

// existing tells which of the objects are still there.
func (a *attempt) existing(list []*Declared) (map[key]bool, error) {
	out := map[key]bool{}
	ends := map[graph.Ref]bool{}
	var refs []graph.Ref
	for _, o := range list {
		switch {
		case !o.Node.IsZero():
			out[o.key()] = a.auth.Exists(o.Node)
		case !ends[o.From] && a.auth.Exists(o.From):
			ends[o.From] = true
			refs = append(refs, o.From)
		}
	}
	for len(refs) > 0 {
		n := min(len(refs), 1000)
		q := graph.Question{Name: graph.EdgesOut, Refs: refs[:n], Kinds: []graph.Kind{graph.MemberOf, graph.CanAccess}, Limit: graph.MaxPage}
		for {
			page, err := a.store.Ask(a.ctx, q)
			if err != nil {
				return nil, err
			}
			for i := range page.Edges {
				out[key{edge: page.Edges[i].EdgeKey}] = true
			}
			if q.After = page.Next; page.Next == "" {
				break
			}
		}
		refs = refs[n:]
	}
	return out, nil
}

// others lists what all other sets declare. They are guarded: one that comes to
// declare what is about to go makes the Apply start over.
func (a *attempt) others() (map[key]bool, error) {
	out := map[key]bool{}
	q := graph.Question{Name: graph.NodesByType, Type: identity.Manifest, Limit: graph.MaxPage}
	for {
		page, err := a.store.Ask(a.ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Nodes {
			if page.Nodes[i].Ref == a.rec.ref {
				continue
			}
			r, err := recall(a.ctx, a.store, page.Nodes[i].Ref)
			if err != nil {
				return nil, err
			}
			if r.node == nil {
				continue
			}
			a.guards = append(a.guards, r.guard())
			for j := range r.objects {
				out[r.objects[j].key()] = out[r.objects[j].key()] || !r.objects[j].Orphan
			}
		}
		if q.After = page.Next; page.Next == "" {
			return out, nil
		}
	}
}

// instant writes a time as documents do.
func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }
