package thumbnail

// axis divides one side of a picture into boxes of equal width, of which each
// becomes one pixel. Samples may be several pixels wide: those of chroma.
type axis struct {
	length, unit, boxes int64
	spans               []span
}

// span is the samples that a box covers: the first and the last by the part of
// them that lies in the box, those between whole.
type span struct {
	first, last int
	head, tail  float32
}

func newAxis(length, unit, boxes int) axis {
	a := axis{length: int64(length), unit: int64(unit), boxes: int64(boxes), spans: make([]span, boxes)}
	// Counted in pixels times boxes, both ends of boxes and samples are whole.
	sample := a.unit * a.boxes
	for i := range a.spans {
		from, to := int64(i)*a.length, int64(i+1)*a.length
		first, last := from/sample, (to-1)/sample
		s := span{first: int(first), last: int(last)}
		s.head = float32(min((first+1)*sample, to)-from) / float32(sample)
		if last > first {
			s.tail = float32(to-last*sample) / float32(sample)
		}
		a.spans[i] = s
	}
	return a
}

// area is how many samples a box covers.
func (a *axis) area() float32 { return float32(a.length) / float32(a.unit*a.boxes) }

// of returns the first and the last box that the sample lies in.
func (a *axis) of(sample int) (from, to int) {
	i := int64(sample) * a.unit * a.boxes
	return int(i / a.length), int(min(a.boxes, (i+a.unit*a.boxes-1)/a.length+1) - 1)
}

// share is how much of the sample lies in the box.
func (s *span) share(sample int) float32 {
	switch sample {
	case s.first:
		return s.head
	case s.last:
		return s.tail
	}
	return 1
}

// channel sums up one colour of a picture, box by box. Samples may come in any
// order, each once.
type channel struct {
	x, y axis
	sums []float32
	line []float32 // the row at hand, summed up along x
}

func newChannel(x, y axis) *channel {
	return &channel{x: x, y: y, sums: make([]float32, x.boxes*y.boxes), line: make([]float32, x.boxes)}
}

// addRow adds a whole row of samples.
func addRow[T uint8 | uint16](c *channel, y int, row []T) {
	if c.x.unit == 1 && c.x.length == c.x.boxes {
		for i, v := range row {
			c.line[i] = float32(v)
		}
		c.addLine(y)
		return
	}
	for i := range c.x.spans {
		s := &c.x.spans[i]
		whole := 0
		if s.first+1 < s.last {
			whole = total(row[s.first+1 : s.last])
		}
		c.line[i] = float32(whole) + s.head*float32(row[s.first]) + s.tail*float32(row[s.last])
	}
	c.addLine(y)
}

// total is where the time goes: two sums, as one would wait for itself.
func total[T uint8 | uint16](row []T) int {
	even, odd := 0, 0
	for len(row) >= 4 {
		even += int(row[0]) + int(row[2])
		odd += int(row[1]) + int(row[3])
		row = row[4:]
	}
	for _, v := range row {
		even += int(v)
	}
	return even + odd
}

// addPixels adds samples of a row that lie step apart, from x on.
func (c *channel) addPixels(y, x, step int, row []uint16) {
	clear(c.line)
	box, _ := c.x.of(x)
	for _, v := range row {
		for x > c.x.spans[box].last {
			box++
		}
		for i := box; i < len(c.x.spans) && c.x.spans[i].first <= x; i++ {
			c.line[i] += float32(v) * c.x.spans[i].share(x)
		}
		x += step
	}
	c.addLine(y)
}

func (c *channel) addLine(y int) {
	from, to := c.y.of(y)
	for i := from; i <= to; i++ {
		sums := c.sums[i*len(c.line):][:len(c.line)]
		if share := c.y.spans[i].share(y); share != 1 {
			for j, v := range c.line {
				sums[j] += v * share
			}
			continue
		}
		for j, v := range c.line {
			sums[j] += v
		}
	}
}

// mean is the average of a box.
func (c *channel) mean(i int) float32 { return c.sums[i] / (c.x.area() * c.y.area()) }
