package trail

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"trellis/audit"
	"trellis/graph"
	"trellis/graph/identity"
)

// Events makes the audit records of a change, in the order of its entries,
// without links. above tells every node above one, nearest first, as it was
// before the change; nil if nobody asks for Within. The events depend on nothing
// else, so that whoever works them out gets the same.
//
// Actions are TYPE:create, update and delete of a node; grant:create, update and
// delete; member:add, update and remove; parent:add and remove; role:inherit,
// disinherit, permit and unpermit; relation:add, update and remove of a relation
// of the catalog, and edge:create, update and delete of any other edge, whose kind is then part of Before and After. Before and After hold what
// differs, with sorted keys: all that is not empty of what was created or
// deleted. That a secret changed is told as {"secret":"changed"}.
//
// What another event of the change says already gets no event of its own: the
// place of a node that the change creates or deletes is told as "parents" of the
// node; what such a node may do to itself is not told at all; which upload is the
// picture of a node is told by its field; and a node that is
// only touched, so that its revision tells of its edges, gets an event only if
// the change would otherwise have none.
//
// Within holds Node and all that was above it before the change or is after it:
// what moves is seen from both places, and what is deleted with all that was above
// it is still found there.
func Events(ch *graph.Change, above func(graph.Ref) []graph.Ref) []*audit.Event {
	m := maker{change: ch, places: places{above: above, edges: map[graph.Ref][]graph.Ref{}, lists: map[graph.Ref][]string{}}, born: map[graph.Ref]*Description{}}
	shown := make([]*Description, 0, len(ch.Entries))
	for _, e := range ch.Entries {
		if d, ok := Describe(e); ok {
			shown = append(shown, &d)
			m.collect(&d)
		}
	}
	for _, d := range shown {
		if m.told(d) {
			continue
		}
		if d.Edge == nil && d.Touched {
			m.idle = append(m.idle, d)
			continue
		}
		m.event(d)
	}
	if len(m.out) == 0 {
		for _, d := range m.idle {
			m.event(d)
		}
	}
	return m.out
}

// maker makes the events of one change.
type maker struct {
	change *graph.Change
	places places
	born   map[graph.Ref]*Description // nodes that the change creates or deletes
	idle   []*Description             // nodes that are only touched
	out    []*audit.Event
}

// collect notes what other entries have to be told by.
func (m *maker) collect(d *Description) {
	switch {
	case d.Edge == nil && d.Effect != identity.Updated:
		m.born[d.Node] = d
	case d.Edge != nil && d.Edge.Kind == graph.ChildOf:
		m.places.edges[d.Node] = append(m.places.edges[d.Node], d.Other)
	}
}

// told tells whether another event says what d says.
func (m *maker) told(d *Description) bool {
	if d.Edge == nil {
		return false
	}
	if d.Edge.Kind == identity.HasPicture {
		return true
	}
	n := m.born[d.Node]
	if n == nil || n.Effect != d.Effect {
		return false
	}
	return d.Edge.Kind == graph.ChildOf || d.Edge.Kind == graph.CanAccess && d.Node == d.Other
}

// verbs are the actions of the kinds that permissions are found by.
var verbs = map[graph.Kind]map[identity.Effect]string{
	graph.CanAccess: {identity.Created: "grant:create", identity.Updated: "grant:update", identity.Deleted: "grant:delete"},
	graph.MemberOf:  {identity.Created: "member:add", identity.Updated: "member:update", identity.Deleted: "member:remove"},
	graph.ChildOf:   {identity.Created: "parent:add", identity.Deleted: "parent:remove"},
	graph.Inherits:  {identity.Created: "role:inherit", identity.Deleted: "role:disinherit"},
	graph.Grants:    {identity.Created: "role:permit", identity.Deleted: "role:unpermit"},
}

var relations = map[identity.Effect]string{identity.Created: "relation:add", identity.Updated: "relation:update", identity.Deleted: "relation:remove"}

var plain = map[identity.Effect]string{identity.Created: "create", identity.Updated: "update", identity.Deleted: "delete"}

func (m *maker) event(d *Description) {
	before, after := maps.Clone(d.Before), maps.Clone(d.After)
	action := string(d.Node.Type) + ":" + plain[d.Effect]
	if d.Edge != nil {
		if action = verbs[d.Edge.Kind][d.Effect]; relation(d.Edge.Kind) {
			action = relations[d.Effect]
		} else if action == "" {
			action = "edge:" + plain[d.Effect]
		}
	}
	switch d.Effect {
	case identity.Updated:
		differ(before, after)
		if d.Hidden {
			after["secret"] = "changed"
		}
	case identity.Created:
		m.whole(d, after)
	case identity.Deleted:
		m.whole(d, before)
	}
	if d.Edge != nil && verbs[d.Edge.Kind] == nil {
		for _, side := range []map[string]any{before, after} {
			if side != nil {
				side["kind"] = d.Edge.Kind
			}
		}
	}
	c := m.change
	m.out = append(m.out, &audit.Event{
		Head:  audit.Head{Time: c.Time.UTC().Truncate(time.Millisecond)},
		Actor: c.Actor.String(), Key: c.Key, Action: action, Outcome: audit.Success,
		Node: d.Node.String(), Other: d.Other.String(), Within: m.places.within(d.Node),
		Before: compact(before), After: compact(after),
		RequestID: c.RequestID, Address: c.Address, Agent: c.Agent, Revision: int64(c.Revision),
	})
}

// whole makes fields tell all of what was created or deleted, and no more.
func (m *maker) whole(d *Description, fields map[string]any) {
	maps.DeleteFunc(fields, func(_ string, v any) bool { return empty(v) })
	if p := m.places.edges[d.Node]; d.Edge == nil && len(p) > 0 {
		fields["parents"] = slices.SortedFunc(slices.Values(p), graph.CompareRefs)
	}
}

// differ leaves what is not the same before and after.
func differ(before, after map[string]any) {
	for name, v := range before {
		if w, ok := after[name]; ok && bytes.Equal(encode(v), encode(w)) {
			delete(before, name)
			delete(after, name)
		}
	}
}

// compact writes the fields as JSON, sorted by name; "" if there are none.
func compact(fields map[string]any) string {
	if len(fields) == 0 {
		return ""
	}
	return string(encode(fields))
}

// empty tells whether a value is what a field holds that was never set.
func empty(v any) bool {
	switch string(encode(v)) {
	case `""`, `[]`, `{}`, `false`, `null`, `0`:
		return true
	}
	return false
}

func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		// Only a property that is no JSON can do this, and a store keeps none.
		return []byte(`"unreadable"`)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// maxWithin limits Event.Within; the nearest stay.
const maxWithin = 1000

// places tells where the nodes of a change are.
type places struct {
	above func(graph.Ref) []graph.Ref
	edges map[graph.Ref][]graph.Ref // what the change puts a node under, or takes it away from
	lists map[graph.Ref][]string
}

func (p *places) within(node graph.Ref) []string {
	if p.above == nil || node == graph.Root {
		return nil
	}
	if list, ok := p.lists[node]; ok {
		return list
	}
	type place struct {
		ref   graph.Ref
		whole bool // what was above it before the change is in the list already
	}
	list, seen := []place{{ref: node}}, map[graph.Ref]bool{node: true, graph.Root: true}
	add := func(r graph.Ref, whole bool) {
		if !seen[r] && len(list) < maxWithin {
			seen[r] = true
			list = append(list, place{r, whole})
		}
	}
	for i := 0; i < len(list); i++ {
		if !list[i].whole {
			for _, r := range p.above(list[i].ref) {
				add(r, true)
			}
		}
		for _, r := range p.edges[list[i].ref] {
			add(r, false)
		}
	}
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].ref.String()
	}
	p.lists[node] = out
	return out
}
