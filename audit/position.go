package audit

import (
	"encoding/binary"
	"hash/crc32"
	"os"
)

// position is what a spool remembers besides its segments: what has been
// delivered, and where its chains stood. It may be behind. It has two slots in
// a file, written in turn and in place, so that it needs no room on a full disk
// and one of them is always whole.
type position struct {
	serial  uint64
	closed  bool   // the heads are the last ones
	ended   bool   // nothing more is written to this spool
	segment uint64 // the last one that had a record
	batch   uint64 // all batches up to this one are delivered, or set aside
	// The seqs of the records that are delivered, and the places of the chains.
	delivered [len(codes)]uint64
	heads     places
}

const (
	positionFile = "position"
	slotSize     = 4096
)

func (p *position) encode() []byte {
	b := make([]byte, 12, 512)
	copy(b, "TAp1")
	b = binary.LittleEndian.AppendUint64(b, p.serial)
	flags := byte(0)
	if p.closed {
		flags |= 1
	}
	if p.ended {
		flags |= 2
	}
	b = append(b, flags, byte(len(codes)))
	b = binary.LittleEndian.AppendUint64(b, p.segment)
	b = binary.LittleEndian.AppendUint64(b, p.batch)
	for i := range codes {
		b = binary.LittleEndian.AppendUint64(b, p.delivered[i])
		b = binary.LittleEndian.AppendUint64(b, p.heads[i].seq)
		b = append(b, p.heads[i].hash[:]...)
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	return b
}

func parsePosition(b []byte) (p position, ok bool) {
	if len(b) < 38 || string(b[:4]) != "TAp1" {
		return p, false
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if n < 38 || n > len(b) || crc32.Checksum(b[12:n], castagnoli) != binary.LittleEndian.Uint32(b[8:]) {
		return p, false
	}
	p.serial = binary.LittleEndian.Uint64(b[12:])
	p.closed, p.ended = b[20]&1 != 0, b[20]&2 != 0
	// A later version may have more streams than this one.
	streams := int(b[21])
	p.segment = binary.LittleEndian.Uint64(b[22:])
	p.batch = binary.LittleEndian.Uint64(b[30:])
	if n != 38+streams*32 {
		return p, false
	}
	for i := range min(streams, len(codes)) {
		c := b[38+32*i:]
		p.delivered[i] = binary.LittleEndian.Uint64(c)
		p.heads[i].seq = binary.LittleEndian.Uint64(c[8:])
		copy(p.heads[i].hash[:], c[16:])
	}
	return p, true
}

// readPosition returns the newer of the slots that are whole.
func readPosition(name string) (p position, ok bool) {
	b, err := os.ReadFile(name)
	if err != nil {
		return p, false
	}
	for at := 0; at < len(b) && at <= slotSize; at += slotSize {
		if q, good := parsePosition(b[at:min(len(b), at+slotSize)]); good && (!ok || q.serial > p.serial) {
			p, ok = q, true
		}
	}
	return p, ok
}

// write stores the position in the slot of the older one.
func (p *position) write(f *os.File) error {
	p.serial++
	_, err := f.WriteAt(p.encode(), int64(p.serial%2)*slotSize)
	return err
}
