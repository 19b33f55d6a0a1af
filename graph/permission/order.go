package permission

import (
	"slices"
	"sort"
)

// order keeps the nodes of one type sorted by id in a persistent B+tree, for
// lists that are read page by page. Inner nodes name the first id of each
// child; names are looked up in the state the tree belongs to.
type order struct {
	root *orderNode
	n    int
}

type orderNode struct {
	ids  []uint32
	kids []*orderNode // nil in a leaf
	edit uint64
}

const orderMax = 128

// place returns the first position whose name is not below the one given.
func (n *orderNode) place(s *state, name string) int {
	return sort.Search(len(n.ids), func(i int) bool { return s.nodes.at(n.ids[i]).name() >= name })
}

// child returns which child would hold the name.
func (n *orderNode) child(s *state, name string) int {
	i := sort.Search(len(n.ids), func(i int) bool { return s.nodes.at(n.ids[i]).name() > name })
	return max(0, i-1)
}

func (n *orderNode) own(edit uint64) *orderNode {
	if n.edit == edit {
		return n
	}
	c := &orderNode{edit: edit, ids: append(make([]uint32, 0, orderMax+1), n.ids...)}
	if n.kids != nil {
		c.kids = append(make([]*orderNode, 0, orderMax+1), n.kids...)
	}
	return c
}

func (o *order) add(s *state, id uint32, edit uint64) {
	o.n++
	if o.root == nil {
		o.root = &orderNode{ids: []uint32{id}, edit: edit}
		return
	}
	left, right := o.root.add(s, id, s.nodes.at(id).name(), edit)
	o.root = left
	if right != nil {
		o.root = &orderNode{ids: []uint32{left.ids[0], right.ids[0]}, kids: []*orderNode{left, right}, edit: edit}
	}
}

func (n *orderNode) add(s *state, id uint32, name string, edit uint64) (left, right *orderNode) {
	n = n.own(edit)
	var at int
	if n.kids == nil {
		at = n.place(s, name)
		n.ids = slices.Insert(n.ids, at, id)
	} else {
		at = n.child(s, name)
		l, r := n.kids[at].add(s, id, name, edit)
		n.kids[at], n.ids[at] = l, l.ids[0]
		if r != nil {
			n.kids = slices.Insert(n.kids, at+1, r)
			n.ids = slices.Insert(n.ids, at+1, r.ids[0])
		}
	}
	if len(n.ids) <= orderMax {
		return n, nil
	}
	cut := len(n.ids) / 2
	if at >= len(n.ids)-2 {
		cut = len(n.ids) - 8 // ids that grow with time fill their leaves
	}
	r := &orderNode{ids: slices.Clone(n.ids[cut:]), edit: edit}
	n.ids = slices.Clone(n.ids[:cut])
	if n.kids != nil {
		r.kids = slices.Clone(n.kids[cut:])
		n.kids = slices.Clone(n.kids[:cut])
	}
	return n, r
}

// remove takes out a node that is in the order, before its name goes.
func (o *order) remove(s *state, id uint32, edit uint64) {
	o.n--
	o.root = o.root.remove(s, id, s.nodes.at(id).name(), edit)
	for o.root != nil && len(o.root.kids) == 1 {
		o.root = o.root.kids[0]
	}
}

func (n *orderNode) remove(s *state, id uint32, name string, edit uint64) *orderNode {
	n = n.own(edit)
	if n.kids == nil {
		at := n.place(s, name)
		n.ids = slices.Delete(n.ids, at, at+1)
	} else {
		at := n.child(s, name)
		if kid := n.kids[at].remove(s, id, name, edit); kid == nil {
			n.kids, n.ids = slices.Delete(n.kids, at, at+1), slices.Delete(n.ids, at, at+1)
		} else {
			n.kids[at], n.ids[at] = kid, kid.ids[0]
		}
	}
	if len(n.ids) == 0 {
		return nil
	}
	return n
}

// fill builds the tree of ids that are sorted already.
func (o *order) fill(ids []uint32, edit uint64) {
	o.n = len(ids)
	var row []*orderNode
	for part := range slices.Chunk(ids, orderMax) {
		row = append(row, &orderNode{ids: slices.Clone(part), edit: edit})
	}
	for len(row) > 1 {
		var up []*orderNode
		for part := range slices.Chunk(row, orderMax) {
			n := &orderNode{kids: slices.Clone(part), edit: edit}
			for _, k := range part {
				n.ids = append(n.ids, k.ids[0])
			}
			up = append(up, n)
		}
		row = up
	}
	if len(row) == 1 {
		o.root = row[0]
	}
}

// from calls yield with every node whose id is above after, in order, until
// it returns false. An empty after starts at the beginning.
func (o *order) from(s *state, after string, yield func(id uint32) bool) {
	if o.root != nil {
		o.root.from(s, after, yield)
	}
}

func (n *orderNode) from(s *state, after string, yield func(id uint32) bool) bool {
	if n.kids == nil {
		i := 0
		if after != "" {
			i = sort.Search(len(n.ids), func(i int) bool { return s.nodes.at(n.ids[i]).name() > after })
		}
		for _, id := range n.ids[i:] {
			if !yield(id) {
				return false
			}
		}
		return true
	}
	i := 0
	if after != "" {
		i = n.child(s, after)
	}
	for j, k := range n.kids[i:] {
		if j > 0 {
			after = ""
		}
		if !k.from(s, after, yield) {
			return false
		}
	}
	return true
}
