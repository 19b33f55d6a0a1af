package filestorage

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"trellis/storage"
)

const secretSize = 32

// keptSecret returns the secret in the directory, which the first of all
// processes makes.
func (s *Store) keptSecret() ([]byte, error) {
	secret, err := s.root.ReadFile(secretFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.makeSecret(); err == nil {
			secret, err = s.root.ReadFile(secretFile)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(secret) != secretSize {
		return nil, fmt.Errorf("the secret in %s is damaged; without the file a new one is made, and addresses signed so far are void", secretFile)
	}
	return secret, nil
}

func (s *Store) makeSecret() error {
	f, err := s.temp()
	if err != nil {
		return err
	}
	defer f.discard()
	secret := make([]byte, secretSize)
	rand.Read(secret) // never fails
	if _, err := f.Write(secret); err != nil {
		return err
	}
	if err := f.flush(); err != nil {
		return err
	}
	// A link, unlike a rename, leaves the one that is there.
	if err := s.root.Link(f.name, secretFile); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.syncDir(".")
}

// grant is what an address permits.
type grant struct {
	method      string // GET or PUT
	key         storage.Key
	expires     int64 // Unix seconds
	contentType string
	disposition string
	size        int64
	sha256      [32]byte
}

// Parameters of an address.
const (
	paramExpires     = "expires"
	paramType        = "type"
	paramDisposition = "disposition"
	paramSize        = "size"
	paramSHA256      = "sha256"
	paramSignature   = "signature"
)

// signature is the MAC over all of a grant. Every field is preceded by its
// length, so no two grants are the same bytes.
func (s *Store) signature(g grant) []byte {
	mac := hmac.New(sha256.New, s.secret)
	for _, field := range []string{
		"trellis filestorage address 1", g.method, string(g.key), strconv.FormatInt(g.expires, 10),
		g.contentType, g.disposition, strconv.FormatInt(g.size, 10), string(g.sha256[:]),
	} {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		mac.Write([]byte(field))
	}
	return mac.Sum(nil)
}

// address writes a grant as an address.
func (s *Store) address(g grant) string {
	q := url.Values{
		paramExpires:   {strconv.FormatInt(g.expires, 10)},
		paramSignature: {hex.EncodeToString(s.signature(g))},
	}
	if g.contentType != "" {
		q.Set(paramType, g.contentType)
	}
	if g.disposition != "" {
		q.Set(paramDisposition, g.disposition)
	}
	if g.method == http.MethodPut {
		q.Set(paramSize, strconv.FormatInt(g.size, 10))
		q.Set(paramSHA256, hex.EncodeToString(g.sha256[:]))
	}
	return s.publicURL + storage.SignedPath + string(g.key) + "?" + q.Encode()
}

// parseGrant reads what an address claims to permit, and its signature. Nothing
// of it is true before the signature was compared.
func parseGrant(method string, key storage.Key, rawQuery string) (g grant, signature []byte, ok bool) {
	q, err := url.ParseQuery(rawQuery)
	if err != nil || !key.Valid() {
		return g, nil, false
	}
	g = grant{method: method, key: key}
	for name, values := range q {
		if len(values) != 1 {
			return g, nil, false
		}
		v := values[0]
		var err error
		switch name {
		case paramExpires:
			g.expires, err = strconv.ParseInt(v, 10, 64)
		case paramType:
			g.contentType = v
		case paramDisposition:
			g.disposition = v
		case paramSize:
			g.size, err = strconv.ParseInt(v, 10, 64)
		case paramSHA256:
			var sum []byte
			if sum, err = hex.DecodeString(v); err == nil && len(sum) != len(g.sha256) {
				err = hex.ErrLength
			}
			copy(g.sha256[:], sum)
		case paramSignature:
			signature, err = hex.DecodeString(v)
		default:
			return g, nil, false
		}
		if err != nil {
			return g, nil, false
		}
	}
	return g, signature, true
}

// verify returns what the address of a request permits, if it was signed here
// and has not expired.
func (s *Store) verify(method string, key storage.Key, rawQuery string) (grant, error) {
	g, signature, ok := parseGrant(method, key, rawQuery)
	if !ok || !hmac.Equal(signature, s.signature(g)) {
		return g, fmt.Errorf("%w: the address is not signed", storage.ErrRefused)
	}
	if s.now().Unix() >= g.expires {
		return g, fmt.Errorf("%w: the address has expired", storage.ErrRefused)
	}
	return g, nil
}

// until is when something ends that lasts so long, in whole seconds.
func (s *Store) until(d time.Duration) time.Time {
	return s.now().Add(d + time.Second - 1).Truncate(time.Second)
}

// SignGet returns an address for reading.
func (s *Store) SignGet(ctx context.Context, key storage.Key, g storage.Get) (string, error) {
	if err := s.usable(ctx); err != nil {
		return "", err
	}
	if !key.Valid() || !g.Valid() {
		return "", invalid("sign", key)
	}
	return s.address(grant{
		method: http.MethodGet, key: key, expires: s.until(g.Expires).Unix(),
		contentType: g.ContentType, disposition: g.Disposition,
	}), nil
}

// SignPut returns a request for storing.
func (s *Store) SignPut(ctx context.Context, key storage.Key, o storage.Object, expires time.Duration) (storage.SignedRequest, error) {
	if err := s.usable(ctx); err != nil {
		return storage.SignedRequest{}, err
	}
	if !key.Valid() || !o.Valid() || expires <= 0 || expires > storage.MaxSigned {
		return storage.SignedRequest{}, invalid("sign", key)
	}
	until := s.until(expires)
	return storage.SignedRequest{
		Method: http.MethodPut,
		URL: s.address(grant{
			method: http.MethodPut, key: key, expires: until.Unix(),
			contentType: o.ContentType, size: o.Size, sha256: o.SHA256,
		}),
		Header: http.Header{
			"Content-Type":   {o.ContentType},
			"Content-Length": {strconv.FormatInt(o.Size, 10)},
		},
		Expires: until,
	}, nil
}

// usable tells whether the store is open and the caller still waits.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := s.root.Lstat("."); err != nil {
		return fault("sign", "", err)
	}
	return nil
}
