package audit

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// A frame is what the spool writes at once: one entry of the write-ahead log.
//
//	offset  bytes
//	0       4      frameMagic
//	4       4      CRC-32C of what follows in the head
//	8       4      CRC-32C of the body
//	12      4      length of the body
//	16      8      number of the batch
//	24      1      number of chains
//	25      25 × n one for each chain begun so far: stream, seq and hash of
//	               its last record, after this frame
//	               the body: records, each of them recordTag + stream (1), CRC-32C
//	               of what follows (4), seq (uvarint), hash (16), length (uvarint)
//	               and bytes of AppendBody
//
// Numbers are little-endian. That every frame says where all chains stand lets
// a spool go on after its last frame, and tell what is missing when the body
// cannot be read; that the head has a sum of its own, that even then it can be trusted. That a record has one lets it be found on its own: in
// a front, and in a frame of which something else is damaged.
const (
	// No UTF-8 text has the bytes F8 to FF, so that nobody can have a record
	// or a frame found by writing it into a text.
	frameMagic = "\xffTA\xff"
	recordTag  = 0xf8
	headFixed  = 25
	headChain  = 1 + 8 + len(Hash{})
	// maxBody is more than what a group of records can take.
	maxBody = 32 << 20
	// headRoom is what a head takes at most, recordRoom what a record takes besides its body.
	headRoom   = headFixed + (len(codes)-1)*headChain
	recordRoom = 1 + 4 + 2*binary.MaxVarintLen64 + len(Hash{})
	// maxPrefix is how many bytes the log's own length before a frame takes at most.
	maxPrefix = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// codes are the streams' numbers on disk, which never change. 0 is none.
var codes = [...]Stream{1: Events, 2: Decisions, 3: Requests, 4: Mails, 5: Factors, 6: Limits}

func codeOf(s Stream) byte {
	for i := len(codes) - 1; i > 0; i-- {
		if codes[i] == s {
			return byte(i)
		}
	}
	return 0
}

// place is where a chain stands: a Link without its writer.
type place struct {
	seq  uint64
	hash Hash
}

// places are those of all chains, by the code of the stream.
type places [len(codes)]place

// sealFrame writes the head of a frame before its body, which is b[headRoom:],
// and returns the frame, a part of b.
func sealFrame(b []byte, batch uint64, p *places) []byte {
	body, n := b[headRoom:], headFixed
	for _, at := range p {
		if at.seq > 0 {
			n += headChain
		}
	}
	b = b[headRoom-n:]
	copy(b, frameMagic)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(b[12:], uint32(len(body)))
	binary.LittleEndian.PutUint64(b[16:], batch)
	b[24] = byte((n - headFixed) / headChain)
	at := headFixed
	for code, c := range p {
		if c.seq > 0 {
			b[at] = byte(code)
			binary.LittleEndian.PutUint64(b[at+1:], c.seq)
			copy(b[at+9:], c.hash[:])
			at += headChain
		}
	}
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:n], castagnoli))
	return b
}

// appendRecord appends a record to the body of a frame.
func appendRecord(b []byte, code byte, at place, body []byte) []byte {
	begin := len(b)
	b = append(b, recordTag+code, 0, 0, 0, 0)
	b = binary.AppendUvarint(b, at.seq)
	b = append(b, at.hash[:]...)
	b = binary.AppendUvarint(b, uint64(len(body)))
	b = append(b, body...)
	binary.LittleEndian.PutUint32(b[begin+1:], crc32.Checksum(b[begin+5:], castagnoli)^uint32(code))
	return b
}

// written is a record as it lies on disk.
type written struct {
	code byte
	place
	body []byte
}

// time is that of the record.
func (r *written) time() time.Time {
	ms, _ := binary.Varint(r.body)
	return time.UnixMilli(ms).UTC()
}

// parseRecord reads the record at the beginning of b and tells its length, 0 if there is none.
func parseRecord(b []byte) (r written, size int) {
	if len(b) < 5 || b[0] <= recordTag || int(b[0]-recordTag) >= len(codes) {
		return r, 0
	}
	r.code = b[0] - recordTag
	seq, n := binary.Uvarint(b[5:])
	if n <= 0 || seq == 0 || len(b) < 5+n+len(Hash{}) {
		return r, 0
	}
	at := 5 + n
	r.place = place{seq, Hash(b[at:])}
	at += len(Hash{})
	length, n := binary.Uvarint(b[at:])
	if n <= 0 || length > uint64(len(b)-at-n) {
		return r, 0
	}
	size = at + n + int(length)
	r.body = b[at+n : size]
	if crc32.Checksum(b[5:size], castagnoli)^uint32(r.code) != binary.LittleEndian.Uint32(b[1:]) {
		return r, 0
	}
	return r, size
}

// salvage yields every record in b that is intact, whatever else is there.
func salvage(b []byte, yield func(r written, raw []byte)) {
	for len(b) > 0 {
		r, size := parseRecord(b)
		if size > 0 {
			yield(r, b[:size])
			b = b[size:]
			continue
		}
		for b = b[1:]; len(b) > 0 && b[0] <= recordTag; {
			b = b[1:]
		}
	}
}

// frame is one that was read. Its body is part of what was scanned.
type frame struct {
	batch uint64
	after places
	body  []byte
}

// What parseFrame finds.
type verdict int

const (
	whole  verdict = iota // an intact frame
	cut                   // the bytes end before the frame does
	broken                // the head is intact, the body is not
	alien                 // no frame
)

// parseFrame reads the frame at the beginning of b and tells its length. With
// cut and broken the frame has batch and after if the length is not 0.
func parseFrame(b []byte) (f frame, size int, v verdict) {
	if n := min(len(b), len(frameMagic)); string(b[:n]) != frameMagic[:n] {
		return f, 0, alien
	}
	if len(b) < headFixed {
		return f, 0, cut
	}
	n := headFixed + int(b[24])*headChain
	if int(b[24]) >= len(codes) {
		return f, 0, alien
	}
	if len(b) < n {
		return f, 0, cut
	}
	length := binary.LittleEndian.Uint32(b[12:])
	if crc32.Checksum(b[8:n], castagnoli) != binary.LittleEndian.Uint32(b[4:]) || length > maxBody {
		return f, 0, alien
	}
	for at := headFixed; at < n; at += headChain {
		if int(b[at]) >= len(codes) {
			return f, 0, alien
		}
		c := &f.after[b[at]]
		c.seq = binary.LittleEndian.Uint64(b[at+1:])
		copy(c.hash[:], b[at+9:])
	}
	f.batch, size = binary.LittleEndian.Uint64(b[16:]), n+int(length)
	if len(b) < size {
		return f, size, cut
	}
	f.body = b[n:size]
	if crc32.Checksum(f.body, castagnoli) != binary.LittleEndian.Uint32(b[8:]) || !f.walk(func(written) {}) {
		return f, size, broken
	}
	return f, size, whole
}

// walk yields the records of the body, and returns whether there is nothing else.
func (f *frame) walk(yield func(written)) bool {
	for b := f.body; len(b) > 0; {
		r, size := parseRecord(b)
		if size == 0 {
			return false
		}
		yield(r)
		b = b[size:]
	}
	return true
}

// scan finds the intact frames of a log, whatever else is in there.
type scan struct {
	// damaged: something is there that is neither intact nor the torn end of a
	// write that never came to its own.
	damaged bool
	// unknown: it cannot be told what was written last.
	unknown bool
	// last are the highest places that any head has told.
	last places
}

// run yields every intact frame with the offsets where its entry begins and
// ends; and, of a frame whose head is intact, what is intact in its body.
func (s *scan) run(b []byte, yield func(f *frame, from, to int)) {
	for pos := 0; pos < len(b); {
		length, n := entryLength(b[pos:])
		f, size, v := frame{}, 0, alien
		if n >= 0 {
			f, size, v = parseFrame(b[pos+n:])
		}
		if v == whole {
			if n > 0 && length != uint64(size) {
				s.damaged = true
			}
			s.see(&f)
			yield(&f, pos, pos+n+size)
			pos += n + size
			continue
		}
		after := pos + 1
		if v == broken {
			after += n
		}
		next := s.next(b, after)
		if v == broken {
			s.damaged = true
			s.see(&f)
			end := pos + n + size
			if next >= 0 {
				end = min(end, next)
			}
			part := frame{batch: f.batch, after: f.after}
			salvage(b[min(end, pos+n+size-len(f.body)):end], func(_ written, raw []byte) { part.body = append(part.body, raw...) })
			yield(&part, pos, end)
			if next < 0 {
				pos = end
				continue
			}
		}
		if next < 0 {
			s.end(b[pos:])
			return
		}
		s.damaged, pos = true, next
	}
}

// entryLength reads the length before an entry, and how many bytes it takes:
// none where a frame begins at once, as it does after a damage; -1 if it is no length.
func entryLength(b []byte) (length uint64, n int) {
	if bytes.HasPrefix(b, []byte(frameMagic)) {
		return 0, 0
	}
	length, n = binary.Uvarint(b[:min(len(b), maxPrefix)])
	if n <= 0 {
		return 0, -1
	}
	return length, n
}

// next returns where the next frame with an intact head begins, -1 if there is none.
func (s *scan) next(b []byte, pos int) int {
	for {
		i := bytes.Index(b[pos:], []byte(frameMagic))
		if i < 0 {
			return -1
		}
		pos += i
		if _, _, v := parseFrame(b[pos:]); v == whole || v == broken {
			return pos
		}
		pos++
	}
}

// end judges what follows the last frame. A write that was cut short, by the end
// of the process or of the disk, was never counted on, so that it is no loss.
func (s *scan) end(b []byte) {
	length, n := entryLength(b)
	if n < 0 {
		// A length may be cut, too.
		torn := len(b) < maxPrefix
		for _, c := range b {
			torn = torn && c >= 0x80
		}
		s.damaged, s.unknown = s.damaged || !torn, !torn
		return
	}
	if _, size, v := parseFrame(b[n:]); v != cut || n > 0 && size > 0 && length != uint64(size) {
		s.damaged, s.unknown = true, true
	}
}

func (s *scan) see(f *frame) {
	for code, p := range f.after {
		if p.seq > s.last[code].seq {
			s.last[code] = p
		}
	}
}
