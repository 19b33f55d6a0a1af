package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
)

// Link places a record in the chain of its writer and stream.
type Link struct {
	// Writer names who wrote the record: one spool, or the changes of one graph.
	Writer string
	// Seq counts the writer's records of the stream: 1, 2, 3 …
	Seq uint64
	// Hash covers the record and the Hash of the one before.
	Hash Hash
}

// Hash is HMAC-SHA256 (RFC 2104) cut to 128 bits.
type Hash [16]byte

// String returns the hash in hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes what String returns.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what String returns.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return errors.New("audit: a hash has 32 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Chain computes hashes with a secret, so that nobody who can write to a sink,
// but does not have the secret, can make a chain that fits. It is not for
// concurrent use.
type Chain struct {
	mac  hash.Hash
	buf  []byte // a record's body
	head []byte // what is hashed before it
}

// NewChain returns a Chain with the secret, which must have 32 bytes or more.
func NewChain(secret []byte) *Chain {
	if len(secret) < 32 {
		panic("audit: the chain's secret is shorter than 32 bytes")
	}
	return &Chain{mac: hmac.New(sha256.New, secret)}
}

// Next links r to what the writer last wrote to the stream: it sets r's
// Writer, Seq and Hash. last is the zero Link, but for its Writer, at the beginning.
func (c *Chain) Next(last Link, r Record) {
	h := r.Meta()
	h.Writer, h.Seq = last.Writer, last.Seq+1
	h.Hash = c.Sum(last.Hash, r)
}

// Sum returns the hash that r must have after a record with the hash before.
func (c *Chain) Sum(before Hash, r Record) (sum Hash) {
	h := r.Meta()
	c.buf = AppendBody(c.buf[:0], r)
	return c.link(before, r.Stream(), h.Writer, h.Seq, c.buf)
}

// link is Sum for a record whose body is at hand.
func (c *Chain) link(before Hash, s Stream, writer string, seq uint64, body []byte) (sum Hash) {
	b := append(c.head[:0], before[:]...)
	b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	b = append(binary.AppendUvarint(b, uint64(len(writer))), writer...)
	c.head = binary.AppendUvarint(b, seq)
	c.mac.Reset()
	c.mac.Write(c.head)
	c.mac.Write(body)
	c.head = c.mac.Sum(c.head[:0])
	copy(sum[:], c.head)
	return sum
}
