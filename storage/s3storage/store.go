// Package s3storage keeps blobs in a bucket of S3, or of a service that speaks
// its protocol.
//
// It never holds an object in memory, and hashes none twice: what is sent is
// checked on the way by its SHA-256, here and by the service. Every call has an
// end, and no error holds a credential or a signed address. Creating a bucket is
// the only thing it ever does to one; who may read there is not its affair.
package s3storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"trellis/storage"
)

// Store is a bucket, or what is below a prefix in it. It is safe for concurrent use.
type Store struct {
	o         Options
	client    *s3.Client
	creds     aws.CredentialsProvider
	transport *http.Transport
	life      context.Context // ends with Close
	end       context.CancelFunc

	// page is how many objects are listed or deleted by one request.
	page int
	// prepared tells that the bucket is there; preparing is held by who looks.
	prepared  atomic.Bool
	preparing chan struct{}
	// conditions tells that the service has been seen to look at the condition of
	// a Create; settling is how long Create waits for others where it has not.
	conditions atomic.Bool
	settling   time.Duration
}

var _ storage.Blobs = (*Store)(nil)

// Open returns the store. It reads the environment and the files of AWS where
// the options name no credentials, and calls nobody.
func Open(o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("s3storage: %w", err)
	}
	o = o.withDefaults()
	var creds aws.CredentialsProvider = credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, "")
	if o.AccessKey == "" {
		found, err := config.LoadDefaultConfig(context.Background())
		if err != nil {
			return nil, fmt.Errorf("s3storage: the configuration of AWS: %w", err)
		}
		creds = found.Credentials
		if o.Region == "" {
			o.Region = found.Region
		}
	}
	if o.Region == "" {
		return nil, errors.New("s3storage: no region is named, neither in the address (region=…) nor in AWS_REGION")
	}
	s := &Store{o: o, creds: creds, transport: newTransport(o.Stall), page: 1000, preparing: make(chan struct{}, 1), settling: 2 * time.Second}
	s.life, s.end = context.WithCancel(context.Background())
	s.client = s3.New(s.clientOptions())
	return s, nil
}

func (s *Store) clientOptions() s3.Options {
	so := s3.Options{
		Region:       s.o.Region,
		UsePathStyle: s.o.PathStyle,
		Credentials:  s.creds,
		HTTPClient: &http.Client{
			Transport:     s.transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Retryer: retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts = s.o.Attempts
			r.MaxBackoff = 3 * time.Second
			r.Retryables = append(r.Retryables, retry.RetryableErrorCode{Codes: map[string]struct{}{"ConditionalRequestConflict": {}}})
		}),
		RequestChecksumCalculation:                aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation:                aws.ResponseChecksumValidationWhenSupported,
		DisableLogOutputChecksumValidationSkipped: true,
	}
	if s.o.Endpoint != "" {
		so.BaseEndpoint = aws.String(s.o.Endpoint)
	}
	return so
}

// Close lets go of everything. What is still being read ends with an error.
func (s *Store) Close() error {
	s.end()
	s.transport.CloseIdleConnections()
	return nil
}

// call is one call of a caller: its context, and what it is for errors.
type call struct {
	context.Context
	caller context.Context
	end    context.CancelFunc
	store  *Store
	what   string
	key    storage.Key
}

// begin bounds a call that moves that many bytes. The caller of it calls end.
func (s *Store) begin(caller context.Context, what string, key storage.Key, size int64) (*call, error) {
	c := &call{caller: caller, store: s, what: what, key: key}
	if s.life.Err() != nil {
		return nil, c.fault(storage.ErrClosed)
	}
	if err := caller.Err(); err != nil {
		return nil, err
	}
	const slowest = 100_000 // bytes a second
	limit := s.o.Timeout + time.Duration(size/slowest)*time.Second
	ctx, cancel := context.WithTimeout(caller, limit)
	stop := context.AfterFunc(s.life, cancel)
	c.Context, c.end = ctx, func() { stop(); cancel() }
	if what != callPrepare && s.o.Create && !s.prepared.Load() {
		if err := s.prepare(c); err != nil {
			c.end()
			return nil, err
		}
	}
	return c, nil
}

const callPrepare = "prepare the bucket"

// Ping tells whether the bucket is there and may be used.
func (s *Store) Ping(ctx context.Context) error {
	c, err := s.begin(ctx, "ping", "", 0)
	if err != nil {
		return err
	}
	defer c.end()
	return c.fault(s.headBucket(c))
}

// headBucket asks for the bucket. The answer to this request has no code that
// would tell a bucket that is missing from an object that is.
func (s *Store) headBucket(ctx context.Context) error {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.o.Bucket})
	if status(err) == http.StatusNotFound {
		return &types.NoSuchBucket{Message: aws.String("the bucket does not exist")}
	}
	return err
}

// prepare makes the bucket if it is not there. One caller does it at a time.
func (s *Store) prepare(c *call) error {
	select {
	case s.preparing <- struct{}{}:
		defer func() { <-s.preparing }()
	case <-c.Done():
		return c.fault(c.Err())
	}
	if s.prepared.Load() {
		return nil
	}
	err := s.headBucket(c)
	var missing *types.NoSuchBucket
	if errors.As(err, &missing) {
		err = s.createBucket(c)
	}
	if err != nil {
		return c.fault(err)
	}
	s.prepared.Store(true)
	return nil
}

func (s *Store) createBucket(ctx context.Context) error {
	in := &s3.CreateBucketInput{Bucket: &s.o.Bucket}
	if s.o.Region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(s.o.Region)}
	}
	_, err := s.client.CreateBucket(ctx, in)
	var mine *types.BucketAlreadyOwnedByYou
	if errors.As(err, &mine) {
		return nil // somebody was faster
	}
	return err
}

// name is an object's key in the bucket.
func (s *Store) name(key storage.Key) *string {
	return aws.String(s.o.Prefix + string(key))
}
