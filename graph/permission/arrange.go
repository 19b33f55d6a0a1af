package permission

import "unsafe"

// renumber gives the loaded nodes new numbers, so that those which are asked
// about together lie together in memory: a set or a resource is followed by
// what is below it. Exports come sorted by type and id, which scatters an
// organization over the whole of the memory, and what a check costs is mostly
// waiting for memory.
func (l *loader) renumber() {
	w := l.w
	to := make([]uint32, w.next) // the new number of each node
	var nodes table[node]
	for i, old := range l.downwards() {
		n := *w.nodes.at(old)
		n.id = unsafe.StringData(l.string(n.name()))
		to[old] = uint32(i) + 1
		*nodes.write(uint32(i)+1, w.edit) = n
	}
	w.nodes = nodes
	w.names.renumber(to, func(id uint32) *byte { return nodes.at(id).id })
	for _, raw := range []*rawEdges{&l.members, &l.parents, &l.grants} {
		for _, b := range raw.blocks {
			for i := range b {
				b[i].from, b[i].to = to[b[i].from], to[b[i].to]
			}
		}
	}
	for _, ids := range l.byType {
		for i := range ids {
			ids[i] = to[ids[i]]
		}
	}
	w.everyone, w.authenticated = to[w.everyone], to[w.authenticated]
}

// downwards lists all nodes, each followed by its members and children, depth
// first.
func (l *loader) downwards() []uint32 {
	n := l.w.next
	start := make([]uint32, n+1) // where the nodes below each node begin
	for _, raw := range []*rawEdges{&l.members, &l.parents} {
		raw.each(func(e rawEdge) { start[e.to]++ })
	}
	var sum uint32
	for i := range start {
		sum, start[i] = sum+start[i], sum
	}
	below := make([]uint32, sum)
	fill := append([]uint32(nil), start...)
	for _, raw := range []*rawEdges{&l.members, &l.parents} {
		raw.each(func(e rawEdge) {
			below[fill[e.to]] = e.from
			fill[e.to]++
		})
	}
	seen := make([]bool, n)
	list := make([]uint32, 0, n)
	var stack []uint32
	for first := uint32(1); first < n; first++ {
		stack = append(stack[:0], first)
		for len(stack) > 0 {
			id := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if seen[id] {
				continue
			}
			seen[id] = true
			list = append(list, id)
			for i := start[id+1]; i > start[id]; i-- {
				if b := below[i-1]; !seen[b] {
					stack = append(stack, b)
				}
			}
		}
	}
	return list
}

// renumber replaces every number and every name's address; for use before any
// reader sees the names.
func (n *names) renumber(to []uint32, name func(id uint32) *byte) {
	var last *page
	for i := range uint32(1) << n.depth {
		p := n.dir[i>>pagesBits].page[i&(pagesLen-1)]
		if p == last { // pages not yet split stand side by side several times
			continue
		}
		last = p
		for j := range p.slots {
			if s := &p.slots[j]; s.mark != 0 {
				id := to[uint32(s.mark)]
				s.mark = s.mark&^(1<<32-1) | uint64(id)
				s.id = name(id)
			}
		}
	}
}
