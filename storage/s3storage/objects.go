package s3storage

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"trellis/storage"
)

// Put stores an object by one request.
func (s *Store) Put(ctx context.Context, key storage.Key, r io.ReadSeeker, o storage.Object) error {
	return s.send(ctx, "put", key, r, o, nil)
}

// send makes the request; ifNoneMatch is its condition, nil for none.
func (s *Store) send(ctx context.Context, what string, key storage.Key, r io.ReadSeeker, o storage.Object, ifNoneMatch *string) error {
	if !key.Valid() || !o.Valid() {
		return invalid(what, key)
	}
	c, err := s.begin(ctx, what, key, o.Size)
	if err != nil {
		return err
	}
	defer c.end()
	body, err := newUpload(c, r, o, c.end)
	if err != nil {
		return fmt.Errorf("s3storage: %s %q: %w", what, key, err)
	}
	in := &s3.PutObjectInput{
		Bucket:         &s.o.Bucket,
		Key:            s.name(key),
		ContentLength:  &o.Size,
		ContentType:    &o.ContentType,
		ChecksumSHA256: aws.String(checksum(o)),
		IfNoneMatch:    ifNoneMatch,

		ServerSideEncryption: types.ServerSideEncryption(s.o.Encryption),
	}
	if o.Size > 0 {
		in.Body = body
	}
	if s.o.KMSKey != "" {
		in.SSEKMSKeyId = &s.o.KMSKey
	}
	_, err = s.client.PutObject(c, in, withPayloadHash(o))
	if body.err != nil {
		return fmt.Errorf("s3storage: %s %q: %w", what, key, body.err)
	}
	return c.fault(err)
}

// withPayloadHash tells the signer the hash of the body, which it would
// otherwise read the body for.
func withPayloadHash(o storage.Object) func(*s3.Options) {
	sum := hex.EncodeToString(o.SHA256[:])
	set := middleware.InitializeMiddlewareFunc("TrellisPayloadHash", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(v4.SetPayloadHash(ctx, sum), in)
	})
	return s3.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Initialize.Add(set, middleware.Before)
	})
}

func checksum(o storage.Object) string {
	return base64.StdEncoding.EncodeToString(o.SHA256[:])
}

// sum reads a checksum that the service tells; zero if it is none of a whole object.
func sum(checksum *string) (out [32]byte) {
	if b, err := base64.StdEncoding.DecodeString(aws.ToString(checksum)); err == nil && len(b) == len(out) {
		copy(out[:], b)
	}
	return out
}

// Open reads an object, or the part of it.
func (s *Store) Open(ctx context.Context, key storage.Key, part storage.Range) (*storage.Reader, error) {
	if !key.Valid() {
		return nil, invalid("open", key)
	}
	if part.Length < 0 {
		return nil, fmt.Errorf("%w: open %q", storage.ErrRange, key)
	}
	c, err := s.begin(ctx, "open", key, 0)
	if err != nil {
		return nil, err
	}
	// The limit is for the answer to begin. The body has the caller's, and moves
	// on or fails by the connection's.
	bodyCtx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c, cancel)
	out, err := s.client.GetObject(bodyCtx, &s3.GetObjectInput{
		Bucket: &s.o.Bucket, Key: s.name(key), Range: header(part), ChecksumMode: types.ChecksumModeEnabled,
	})
	stop()
	if err != nil {
		cancel()
		err = c.fault(err)
		c.end()
		return nil, err
	}
	c.end()
	unhook := context.AfterFunc(s.life, cancel)
	b := &body{ReadCloser: out.Body, call: c, end: func() { unhook(); cancel() }}
	r, err := opened(key, part, out, b)
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("%w: open %q", err, key)
	}
	return r, nil
}

// header writes a part as the header that asks for it; nil for all.
func header(part storage.Range) *string {
	const most = 1 << 60 // no object is longer, and numbers can be added
	offset := max(min(part.Offset, most), -most)
	switch {
	case part == (storage.Range{}):
		return nil
	case offset < 0:
		return aws.String("bytes=" + strconv.FormatInt(offset, 10))
	case part.Length == 0:
		return aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	return aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+min(part.Length, most)-1))
}

// opened reads what an answer says of itself.
func opened(key storage.Key, part storage.Range, out *s3.GetObjectOutput, b *body) (*storage.Reader, error) {
	unclear := fmt.Errorf("%w: the service does not say what it sends", storage.ErrUnavailable)
	r := &storage.Reader{
		Info: storage.Info{
			Key: key, Size: aws.ToInt64(out.ContentLength), ContentType: aws.ToString(out.ContentType), Modified: aws.ToTime(out.LastModified),
		},
		Length: aws.ToInt64(out.ContentLength),
		Body:   b,
	}
	if out.ContentLength == nil || r.Length < 0 {
		return nil, unclear
	}
	if part == (storage.Range{}) {
		r.SHA256 = sum(out.ChecksumSHA256)
		return r, nil
	}
	if r.Length == 0 && out.ContentRange == nil {
		return nil, storage.ErrRange // some services take any part of nothing for all of it
	}
	var last int64
	if _, err := fmt.Sscanf(aws.ToString(out.ContentRange), "bytes %d-%d/%d", &r.Offset, &last, &r.Size); err != nil || last-r.Offset+1 != r.Length {
		return nil, unclear
	}
	// The last bytes can be asked for, but not the first of them alone.
	if part.Length > 0 && part.Length < r.Length {
		r.Length = part.Length
		b.rest = &io.LimitedReader{R: b.ReadCloser, N: r.Length}
	}
	return r, nil
}

// body is that of an answer, with errors of the package.
type body struct {
	io.ReadCloser
	rest *io.LimitedReader
	call *call
	end  func()
}

func (b *body) Read(p []byte) (n int, err error) {
	if err := b.call.caller.Err(); err != nil {
		return 0, b.call.fault(err)
	}
	if b.rest != nil {
		n, err = b.rest.Read(p)
	} else {
		n, err = b.ReadCloser.Read(p)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.call.fault(err)
	}
	return n, err
}

// Close ends the request, if it has not ended.
func (b *body) Close() error {
	b.end() // before, so that nothing is read only to be thrown away
	return b.ReadCloser.Close()
}

// Stat tells what is stored.
func (s *Store) Stat(ctx context.Context, key storage.Key) (storage.Info, error) {
	if !key.Valid() {
		return storage.Info{}, invalid("stat", key)
	}
	c, err := s.begin(ctx, "stat", key, 0)
	if err != nil {
		return storage.Info{}, err
	}
	defer c.end()
	out, err := s.client.HeadObject(c, &s3.HeadObjectInput{Bucket: &s.o.Bucket, Key: s.name(key), ChecksumMode: types.ChecksumModeEnabled})
	if status(err) == http.StatusNotFound {
		// A bucket that is missing is answered alike, and must not look like
		// objects that are lost.
		if err := s.headBucket(c); err != nil {
			return storage.Info{}, c.fault(err)
		}
	}
	if err != nil {
		return storage.Info{}, c.fault(err)
	}
	return storage.Info{
		Key: key, Size: aws.ToInt64(out.ContentLength), ContentType: aws.ToString(out.ContentType), SHA256: sum(out.ChecksumSHA256),
		Modified: aws.ToTime(out.LastModified),
	}, nil
}

// Delete removes objects.
func (s *Store) Delete(ctx context.Context, keys ...storage.Key) error {
	for _, key := range keys {
		if !key.Valid() {
			return invalid("delete", key)
		}
	}
	for len(keys) > 0 {
		n := min(len(keys), s.page)
		if err := s.deletePage(ctx, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

func (s *Store) deletePage(ctx context.Context, keys []storage.Key) error {
	c, err := s.begin(ctx, "delete", keys[0], 0)
	if err != nil {
		return err
	}
	defer c.end()
	if len(keys) == 1 {
		_, err := s.client.DeleteObject(c, &s3.DeleteObjectInput{Bucket: &s.o.Bucket, Key: s.name(keys[0])})
		if err = c.fault(err); errors.Is(err, storage.ErrNotFound) {
			return nil // some services say so
		}
		return err
	}
	ids := make([]types.ObjectIdentifier, len(keys))
	for i, key := range keys {
		ids[i].Key = s.name(key)
	}
	out, err := s.client.DeleteObjects(c, &s3.DeleteObjectsInput{
		Bucket: &s.o.Bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
	})
	if err != nil {
		return c.fault(err)
	}
	for _, e := range out.Errors {
		if code := aws.ToString(e.Code); code != "NoSuchKey" {
			c.key = storage.Key(strings.TrimPrefix(aws.ToString(e.Key), s.o.Prefix))
			return c.fault(&smithy.GenericAPIError{Code: code, Message: aws.ToString(e.Message)})
		}
	}
	return nil
}

// List returns objects in the order of their keys.
func (s *Store) List(ctx context.Context, prefix string, after storage.Key, limit int) ([]storage.Info, error) {
	var found []storage.Info
	var start *string
	if after != "" {
		start = s.name(after)
	}
	for len(found) < limit {
		c, err := s.begin(ctx, "list", storage.Key(prefix), 0)
		if err != nil {
			return nil, err
		}
		out, err := s.client.ListObjectsV2(c, &s3.ListObjectsV2Input{
			Bucket: &s.o.Bucket, Prefix: aws.String(s.o.Prefix + prefix), StartAfter: start,
			MaxKeys: aws.Int32(int32(min(limit-len(found), s.page))),
		})
		err = c.fault(err)
		c.end()
		if err != nil {
			return nil, err
		}
		for _, o := range out.Contents {
			key := storage.Key(strings.TrimPrefix(aws.ToString(o.Key), s.o.Prefix))
			start = o.Key
			if key.Valid() { // another one is not ours
				found = append(found, storage.Info{Key: key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified).UTC().Round(time.Nanosecond)})
			}
		}
		if !aws.ToBool(out.IsTruncated) || len(out.Contents) == 0 {
			break
		}
	}
	return found, nil
}
