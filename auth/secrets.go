package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"sync"

	"trellis/graph"
)

// MinSecret is how many bytes a server secret and a bootstrap key must have at least.
const MinSecret = 32

// Secrets holds the keys that are derived from the server's one secret: each
// purpose has a key of its own, so that what was made for one is worth nothing
// for another. All processes of a deployment must be given the same secret.
type Secrets struct {
	apiKeys     *MAC
	cursors     *MAC
	idempotency *MAC
	addresses   *MAC
	auditChain  []byte
	seal        cipher.AEAD
}

// NewSecrets derives the keys. A secret of fewer than MinSecret bytes is Invalid.
func NewSecrets(secret string) (*Secrets, error) {
	if len(secret) < MinSecret {
		return nil, graph.Errorf(graph.Invalid, "the server secret has %d bytes; it needs %d or more", len(secret), MinSecret)
	}
	derive := func(purpose string) ([]byte, error) {
		return hkdf.Key(sha256.New, []byte(secret), nil, "trellis/"+purpose+"/1", sha256.Size)
	}
	s := &Secrets{}
	for purpose, to := range map[string]**MAC{"api-key": &s.apiKeys, "cursor": &s.cursors, "idempotency": &s.idempotency, "address": &s.addresses} {
		k, err := derive(purpose)
		if err != nil {
			return nil, graph.Wrap(graph.Internal, err, "deriving the %s key", purpose)
		}
		*to = newMAC(k)
	}
	var err error
	if s.auditChain, err = derive("audit-chain"); err != nil {
		return nil, graph.Wrap(graph.Internal, err, "deriving the key of the audit chain")
	}
	k, err := derive("seal")
	if err != nil {
		return nil, graph.Wrap(graph.Internal, err, "deriving the sealing key")
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, graph.Wrap(graph.Internal, err, "making the cipher")
	}
	if s.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, graph.Wrap(graph.Internal, err, "making the cipher")
	}
	return s, nil
}

// Cursors signs the cursors of lists.
func (s *Secrets) Cursors() *MAC { return s.cursors }

// Idempotency names the records of idempotency keys.
func (s *Secrets) Idempotency() *MAC { return s.idempotency }

// Addresses hashes what tells who a person is, such as a network address, where
// only a hash of it is kept.
func (s *Secrets) Addresses() *MAC { return s.addresses }

// AuditChain is the secret of the chain that makes tampering with audit
// records evident.
func (s *Secrets) AuditChain() []byte { return slices.Clone(s.auditChain) }

// Seal encrypts data. What it returns opens only under the same name, so that
// sealed data cannot be moved from one record to another.
func (s *Secrets) Seal(name string, data []byte) []byte {
	return s.seal.Seal(nil, nil, data, []byte(name)) //nolint:gosec // no nonce is given: this cipher draws one itself
}

// Open decrypts what Seal returned for the name. Anything else is Corrupt:
// most often the server secret was changed.
func (s *Secrets) Open(name string, sealed []byte) ([]byte, error) {
	data, err := s.seal.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, graph.Wrap(graph.Corrupt, err, "sealed data of %s cannot be opened", name)
	}
	return data, nil
}

// MAC is a keyed hash. It is safe for concurrent use.
type MAC struct {
	pool sync.Pool
}

// hasher keeps the text beside the hash, so that hashing allocates nothing.
type hasher struct {
	hash.Hash
	in  []byte
	out [sha256.Size]byte
}

func newMAC(key []byte) *MAC {
	return &MAC{pool: sync.Pool{New: func() any { return &hasher{Hash: hmac.New(sha256.New, key)} }}}
}

// Sum hashes the parts; where one ends and the next begins counts.
func (m *MAC) Sum(parts ...string) [sha256.Size]byte {
	h := m.pool.Get().(*hasher)
	defer m.pool.Put(h)
	h.Reset()
	h.in = h.in[:0]
	for _, p := range parts {
		h.in = binary.AppendUvarint(h.in, uint64(len(p)))
		h.in = append(h.in, p...)
	}
	h.Write(h.in)
	h.Hash.Sum(h.out[:0])
	clear(h.in)
	return h.out
}
