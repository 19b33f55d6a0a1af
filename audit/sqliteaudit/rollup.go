package sqliteaudit

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
)

// The counts of an hour are kept as bytes, in parts that each have a row of
// hourly: for each combination of the fields that are counted, and of what it
// is within, the sums, as varints. Rows of their own would take three times the
// room, and reading a month of them would take seconds instead of some tens of
// milliseconds. A combination may occur in several parts; its sums add up.

// countKey is a combination: the numbers of the texts in the table's counted
// fields (or the value itself where that is a number).
type countKey struct {
	within int64
	values [4]int64
}

type sums struct{ count, errors, bytes, latency int64 }

func (s *sums) add(n sums) {
	s.count += n.count
	s.errors += n.errors
	s.bytes += n.bytes
	s.latency += n.latency
}

// counts are those of one hour.
type counts struct {
	keys   []countKey
	sums   []sums
	places map[countKey]int
}

func (c *counts) add(k countKey, n sums) {
	i, ok := c.places[k]
	if !ok {
		i = len(c.keys)
		c.places[k] = i
		c.keys, c.sums = append(c.keys, k), append(c.sums, sums{})
	}
	c.sums[i].add(n)
}

// partSize is from which size on a part is not touched any more: it bounds
// what a small batch must write anew.
const partSize = 16 << 10

// partBits and hourBits are those of the parts and of the hours in an id of hourly.
const (
	partBits = 20
	hourBits = 24
)

func hourID(stream, hour int64) int64 { return (stream<<hourBits | hour) << partBits }

// hourOf returns the hour, counted from 1970, of an id.
func hourOf(id int64) int64 { return id >> partBits & (1<<hourBits - 1) }

// store adds the counts to those of the hour in the file.
func (c *counts) store(run *statements, hour int64) error {
	id, body := hour-1, []byte(nil)
	if err := run.lastPart.query(func(row []driver.Value) error {
		id = row[0].(int64)
		body = append(body, row[1].([]byte)...)
		return nil
	}, hour, hour|(1<<partBits-1)); err != nil {
		return err
	}
	if id < hour || len(body) >= partSize {
		_, err := run.newPart.exec(id+1, c.encode(hour))
		return err
	}
	if err := eachCount(hour, body, func(k *countKey, n *sums) bool {
		c.add(*k, *n)
		return true
	}); err != nil {
		return err
	}
	_, err := run.setPart.exec(id, c.encode(hour))
	return err
}

// shape tells how many numbers an hour's entries have: fields, and sums.
func shape(id int64) (fields, values int) {
	if id>>(partBits+hourBits) == requestsNumber {
		return 4, 4
	}
	return 4, 1 // within and three fields
}

var requestsNumber = tables["requests"].number

func (c *counts) encode(id int64) []byte {
	b := make([]byte, 0, 12*len(c.keys))
	_, values := shape(id)
	for i := range c.keys {
		k, n := &c.keys[i], &c.sums[i]
		if values == 1 {
			b = binary.AppendVarint(b, k.within)
		} else {
			b = binary.AppendVarint(b, k.values[3])
		}
		for _, v := range k.values[:3] {
			b = binary.AppendVarint(b, v)
		}
		b = binary.AppendVarint(b, n.count)
		if values > 1 {
			b = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, n.errors), n.bytes), n.latency)
		}
	}
	return b
}

var errCounts = errors.New("the hourly counts cannot be read")

// eachCount calls one for each entry of a part until it returns false. Both
// pointers are valid during the call only.
func eachCount(id int64, b []byte, one func(k *countKey, n *sums) bool) error {
	fields, values := shape(id)
	var v [8]int64
	var k countKey
	var n sums
	for len(b) > 0 {
		for i := range fields + values {
			// Most numbers have one byte or two, and there are millions of them.
			if u := uint64(b[0]); u < 0x80 {
				v[i], b = int64(u>>1)^-int64(u&1), b[1:]
			} else if len(b) > 1 && b[1] < 0x80 {
				u = u&0x7f | uint64(b[1])<<7
				v[i], b = int64(u>>1)^-int64(u&1), b[2:]
			} else {
				x, size := binary.Varint(b)
				if size <= 0 {
					return errCounts
				}
				v[i], b = x, b[size:]
			}
			if len(b) == 0 && i < fields+values-1 {
				return errCounts
			}
		}
		k.values[0], k.values[1], k.values[2], n.count = v[1], v[2], v[3], v[4]
		if values == 1 {
			k.within = v[0]
		} else {
			k.values[3] = v[0]
			n.errors, n.bytes, n.latency = v[5], v[6], v[7]
		}
		if !one(&k, &n) {
			return nil
		}
	}
	return nil
}
