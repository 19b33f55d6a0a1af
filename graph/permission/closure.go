package permission

// walk is the writer's scratch for following MEMBER_OF edges.
type walk struct {
	at    map[uint32]int
	found []reached
	queue []int
}

type reached struct {
	node    uint32
	attr    uint32
	expires int64
}

// closures works out anew the closure of every set that a change of
// memberships may have touched: the loose ones and all sets below them.
func (w *writer) closures() {
	if len(w.loose) == 0 {
		return
	}
	var todo []uint32
	for id := range w.loose {
		n := w.nodes.at(id)
		if n.flags&hasMembers != 0 {
			todo = append(todo, id)
		} else if n.sets.total != n.sets.direct {
			m := w.nodes.write(id, w.edit)
			m.sets = setsOf(m.sets.near(), len(m.sets.near()))
		}
	}
	clear(w.loose)
	seen := make(map[uint32]bool, len(todo))
	for _, id := range todo {
		seen[id] = true
	}
	for i := 0; i < len(todo); i++ {
		w.linksOf(todo[i]).members.each(func(e entry) bool {
			if m := nodeOf(e); w.nodes.at(m).flags&hasMembers != 0 && !seen[m] {
				seen[m] = true
				todo = append(todo, m)
			}
			return true
		})
	}
	for _, id := range todo {
		w.closeSet(id, func(n int) []entry { return make([]entry, n) })
	}
}

// closeSet writes the closure of one set behind its direct memberships.
func (w *writer) closeSet(id uint32, room func(n int) []entry) {
	near := w.nodes.at(id).sets.near()
	if len(near) == 0 {
		return
	}
	k := w.climb(id)
	more := k.found[:0]
	for _, r := range k.found[1:] {
		if !w.direct(near, r) {
			more = append(more, r)
		}
	}
	if len(more) == 0 && int(w.nodes.at(id).sets.total) == len(near) {
		return
	}
	all := room(len(near) + len(more))[:0]
	all = append(all, near...)
	for _, r := range more {
		all = append(all, entryOf(r.node, r.attr))
	}
	w.nodes.write(id, w.edit).sets = setsOf(all, len(near))
}

// direct tells whether one of the direct memberships says as much as r.
func (w *writer) direct(near []entry, r reached) bool {
	for _, e := range near {
		if nodeOf(e) == r.node && w.expires(attrOf(e)) >= r.expires {
			return true
		}
	}
	return false
}

// climb follows MEMBER_OF edges from a node and finds, for each set reached,
// until when the path that holds longest does. An attr stands for the expiry
// of the path: that of its edge which ends first, 0 if none does. found[0] is
// the node itself.
func (w *writer) climb(id uint32) *walk {
	k := &w.walk
	if k.at == nil || len(k.at) > 4096 {
		k.at = map[uint32]int{}
	}
	clear(k.at)
	k.found = append(k.found[:0], reached{id, 0, never})
	k.queue = append(k.queue[:0], 0)
	k.at[id] = 0
	for len(k.queue) > 0 {
		from := k.found[k.queue[0]]
		k.queue = k.queue[1:]
		for _, e := range w.nodes.at(from.node).sets.near() {
			to := reached{nodeOf(e), from.attr, from.expires}
			if x := w.expires(attrOf(e)); x < to.expires {
				to.attr, to.expires = attrOf(e), x
			}
			i, ok := k.at[to.node]
			switch {
			case !ok:
				i = len(k.found)
				k.found = append(k.found, to)
				k.at[to.node] = i
			case k.found[i].expires < to.expires:
				k.found[i] = to
			default:
				continue
			}
			k.queue = append(k.queue, i)
		}
	}
	return k
}
