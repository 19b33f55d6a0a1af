package s3storage

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// SetPage makes pages of requests smaller than S3 does.
func (s *Store) SetPage(n int) { s.page = n }

// DeleteBucket takes the bucket away, as somebody else would.
func DeleteBucket(s *Store) error {
	_, err := s.client.DeleteBucket(context.Background(), &s3.DeleteBucketInput{Bucket: &s.o.Bucket})
	return err
}

// Encryption is how the service says that an object is encrypted.
func (s *Store) Encryption(ctx context.Context, key string) (types.ServerSideEncryption, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.o.Bucket, Key: s3Key(s, key)})
	if err != nil {
		return "", err
	}
	return out.ServerSideEncryption, nil
}

func s3Key(s *Store, key string) *string {
	name := s.o.Prefix + key
	return &name
}

// KeepsConditions tells whether the service has been seen to keep to conditions.
func (s *Store) KeepsConditions() bool { return s.conditions.Load() }
