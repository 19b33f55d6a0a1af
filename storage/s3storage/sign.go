package s3storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"trellis/storage"
)

// SignGet returns an address for reading.
func (s *Store) SignGet(ctx context.Context, key storage.Key, g storage.Get) (string, error) {
	if !key.Valid() || !g.Valid() {
		return "", invalid("sign", key)
	}
	q := url.Values{}
	if g.ContentType != "" {
		q.Set("response-content-type", g.ContentType)
	}
	if g.Disposition != "" {
		q.Set("response-content-disposition", g.Disposition)
	}
	signed, err := s.sign(ctx, http.MethodGet, key, q, nil, 0, g.Expires)
	return signed.URL, err
}

// SignPut returns a request for storing. All that it names is signed as headers,
// so the service refuses another length, type, checksum or encryption.
func (s *Store) SignPut(ctx context.Context, key storage.Key, o storage.Object, expires time.Duration) (storage.SignedRequest, error) {
	if !key.Valid() || !o.Valid() || expires <= 0 || expires > storage.MaxSigned {
		return storage.SignedRequest{}, invalid("sign", key)
	}
	h := http.Header{}
	h.Set("Content-Type", o.ContentType)
	h.Set("X-Amz-Checksum-Sha256", checksum(o))
	if s.o.Encryption != "" {
		h.Set("X-Amz-Server-Side-Encryption", s.o.Encryption)
	}
	if s.o.KMSKey != "" {
		h.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", s.o.KMSKey)
	}
	signed, err := s.sign(ctx, http.MethodPut, key, url.Values{}, h, o.Size, expires)
	if err != nil {
		return storage.SignedRequest{}, err
	}
	signed.Header.Set("Content-Length", strconv.FormatInt(o.Size, 10))
	return signed, nil
}

// sign makes a request whose address carries the signature. It calls nobody but,
// where the credentials come from there, the machine's own services.
func (s *Store) sign(ctx context.Context, method string, key storage.Key, q url.Values, h http.Header, size int64, expires time.Duration) (storage.SignedRequest, error) {
	var none storage.SignedRequest
	c := &call{caller: ctx, store: s, what: "sign", key: key}
	if s.life.Err() != nil {
		return none, c.fault(storage.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	target, err := s.publicAddress(ctx, key)
	if err != nil {
		return none, c.fault(err)
	}
	creds, err := s.creds.Retrieve(ctx)
	if err != nil {
		return none, c.fault(fmt.Errorf("no credentials: %w", err))
	}
	now := time.Now()
	seconds := int64((expires + time.Second - 1) / time.Second)
	q.Set("X-Amz-Expires", strconv.FormatInt(seconds, 10))
	target.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return none, c.fault(errors.New("the endpoint cannot be an address"))
	}
	header := h.Clone()
	if h != nil {
		r.Header = h
	}
	r.ContentLength = size
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, creds, r, "UNSIGNED-PAYLOAD", "s3", s.o.Region, now, func(so *v4.SignerOptions) {
		so.DisableURIPathEscaping = true
		so.DisableHeaderHoisting = true
	})
	if err != nil {
		return none, c.fault(errors.New("the address could not be signed"))
	}
	return storage.SignedRequest{
		Method: method, URL: signed, Header: header, Expires: now.Truncate(time.Second).Add(time.Duration(seconds) * time.Second),
	}, nil
}

// publicAddress is where callers find an object.
func (s *Store) publicAddress(ctx context.Context, key storage.Key) (*url.URL, error) {
	p := s3.EndpointParameters{Region: &s.o.Region, Bucket: &s.o.Bucket, ForcePathStyle: &s.o.PathStyle}
	if s.o.PublicEndpoint != "" {
		p.Endpoint = &s.o.PublicEndpoint
	}
	e, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, p)
	if err != nil {
		return nil, err
	}
	return e.URI.JoinPath(*s.name(key)), nil
}
