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

const (
	// closeNow is how many nodes below a changed set are brought up to date
	// at once, closeLater how many of the others with every later write.
	closeNow   = 512
	closeLater = 256
)

// closures works out anew the closures that changes of memberships have
// touched: of the loose nodes and of all that is below those which are sets.
func (w *writer) closures() {
	if len(w.loose) > 0 {
		w.tighten()
	}
	for n := 0; w.sweep > 0 && n < closeLater; n++ {
		if w.sweep >= w.next {
			w.sweep = 0
			return
		}
		w.closeNode(w.sweep)
		w.sweep++
	}
}

func (w *writer) tighten() {
	var sets, others, below []uint32
	seen := make(map[uint32]bool, len(w.loose))
	for id := range w.loose {
		seen[id] = true
		if w.nodes.at(id).flags&hasMembers != 0 {
			sets = append(sets, id)
		} else {
			others = append(others, id)
		}
	}
	clear(w.loose)
	for i := 0; i < len(sets); i++ {
		w.linksOf(sets[i]).members.each(func(e entry) bool {
			m := nodeOf(e)
			switch {
			case seen[m]:
			case w.nodes.at(m).flags&hasMembers != 0:
				seen[m] = true
				sets = append(sets, m)
			case len(below) <= closeNow:
				seen[m] = true
				below = append(below, m)
			}
			return true
		})
	}
	for _, id := range sets {
		w.closeSet(id, newRoom)
	}
	if len(below) > closeNow {
		w.nextEpoch()
		below = nil
	}
	for _, id := range append(others, below...) {
		w.closeNode(id)
	}
}

func newRoom(n int) []entry { return make([]entry, n) }

// nextEpoch makes the closures of all nodes that are no sets count as old.
func (w *writer) nextEpoch() {
	w.sweep = 1
	if w.epoch++; w.epoch <= maxEpoch {
		return
	}
	// Numbers start over: no node may carry one from before.
	w.epoch = 1
	for id := uint32(1); id < w.next; id++ {
		w.nodes.write(id, w.edit).flags &= 1<<epochShift - 1
	}
}

// closeNode brings the closure of a node that is no set up to date.
func (w *writer) closeNode(id uint32) {
	n := w.nodes.at(id)
	if n.sets.direct == 0 || n.flags&hasMembers != 0 {
		return
	}
	w.closeSet(id, newRoom)
	w.stamp(id)
}

func (w *writer) stamp(id uint32) {
	if f := w.nodes.at(id).flags; f>>epochShift != w.epoch {
		w.nodes.write(id, w.edit).flags = f&(1<<epochShift-1) | w.epoch<<epochShift
	}
}

// closeSet writes the closure of one node behind its direct memberships.
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
