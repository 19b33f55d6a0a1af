package s3storage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"trellis/storage"
)

// Create stores an object if there is none, by a request with a condition.
//
// Some services refuse the condition, and some do not look at it. So, until this
// one has been seen to keep to it, Create looks first, and makes the request again
// when it went well: that must fail. Where it does not, the best that is left is to
// wait for those who looked at the same time, and to read whose object is there.
// Only who takes longer than that to store is not noticed.
func (s *Store) Create(ctx context.Context, key storage.Key, r io.ReadSeeker, o storage.Object) error {
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("s3storage: create %q: %w", key, err)
	}
	send := func(ifNoneMatch *string) error {
		if _, err := r.Seek(start, io.SeekStart); err != nil {
			return fmt.Errorf("s3storage: create %q: %w", key, err)
		}
		err := s.send(ctx, "create", key, r, o, ifNoneMatch)
		switch {
		case errors.Is(err, storage.ErrExists):
			s.conditions.Store(true)
		case errors.Is(err, storage.ErrUnavailable):
			// A refusal is lost where the service cuts off who still sends.
			if _, missing := s.Stat(ctx, key); missing == nil {
				return fmt.Errorf("%w: create %q", storage.ErrExists, key)
			}
		}
		return err
	}
	nothing := aws.String("*")
	if s.conditions.Load() {
		return send(nothing)
	}
	switch _, err := s.Stat(ctx, key); {
	case err == nil:
		return fmt.Errorf("%w: create %q", storage.ErrExists, key)
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	if err = send(nothing); err == nil {
		_ = send(nothing) // what matters is what is known then
	} else if errors.Is(err, errNotKnown) {
		err = send(nil)
	}
	if err != nil || s.conditions.Load() {
		return err
	}
	return s.settle(ctx, key, o)
}

// settle waits until others have stored what they were about to, and tells whether
// the object is still there.
func (s *Store) settle(ctx context.Context, key storage.Key, o storage.Object) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.settling):
	}
	r, err := s.Open(ctx, key, storage.Range{})
	if err != nil {
		return err
	}
	defer r.Body.Close() // what counts is what was read
	hash := sha256.New()
	if _, err := io.Copy(hash, r.Body); err != nil {
		return err
	}
	if [32]byte(hash.Sum(nil)) != o.SHA256 {
		return fmt.Errorf("%w: create %q", storage.ErrExists, key)
	}
	return nil
}
