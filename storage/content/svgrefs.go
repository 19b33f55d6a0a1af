package content

// The limits of what an SVG may grow to when its references are followed: ten
// groups that each use the next one ten times are ten thousand million shapes.
const (
	maxDrawn = 500_000
	maxChain = 500
)

// references is how the named parts of an SVG use and contain each other.
type references struct {
	// around are the numbers of the parts that the present element is in, one
	// for each open element; 0 is the file.
	around []int
	byName map[string]int
	parts  []part
}

// part is an element with a name, and what is in it up to the next such element.
type part struct {
	elements int
	uses     []int
	// drawn is how many elements following all uses draws; negative while
	// that is being found out, 0 before.
	drawn int
}

func (r *references) open() {
	if r.parts == nil {
		r.byName, r.parts = map[string]int{}, make([]part, 1)
	}
	in := 0
	if n := len(r.around); n > 0 {
		in = r.around[n-1]
	}
	r.around = append(r.around, in)
	r.parts[in].elements++
}

func (r *references) close() { r.around = r.around[:len(r.around)-1] }

// number is that of the part with a name, which may come later.
func (r *references) number(name string) int {
	n, ok := r.byName[name]
	if !ok {
		n = len(r.parts)
		r.byName[name] = n
		r.parts = append(r.parts, part{})
	}
	return n
}

// name says that the element opened last has it.
func (r *references) name(id string) {
	r.to(id)
	r.around[len(r.around)-1] = r.number(id)
}

// to says that the element opened last uses what has that name.
func (r *references) to(id string) {
	in := r.around[len(r.around)-1]
	r.parts[in].uses = append(r.parts[in].uses, r.number(id))
}

func (r *references) check() error {
	if r.drawn(0, 0) > maxDrawn {
		return refuse(TooLarge, "the SVG's references make it draw more than %d elements", maxDrawn)
	}
	return nil
}

// drawn counts what following all uses of a part draws, or returns more than
// the limit. A part in itself is not drawn.
func (r *references) drawn(n, chain int) int {
	p := &r.parts[n]
	switch {
	case p.drawn > 0:
		return p.drawn
	case p.drawn < 0:
		return 0
	case chain > maxChain:
		return maxDrawn + 1
	}
	p.drawn = -1
	total := 1 + p.elements
	for _, u := range p.uses {
		if total += r.drawn(u, chain+1); total > maxDrawn {
			break
		}
	}
	p.drawn = total
	return total
}
