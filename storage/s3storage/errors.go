package s3storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"

	"trellis/storage"
)

// kinds are what the codes of S3 mean. What is not listed is told by the status.
var kinds = map[string]error{
	"NoSuchKey":                    storage.ErrNotFound,
	"NotFound":                     storage.ErrNotFound, // a HEAD has no more to say
	"PreconditionFailed":           storage.ErrExists,   // the only condition is that there is none
	"NotImplemented":               errNotKnown,
	"InvalidRange":                 storage.ErrRange,
	"BadDigest":                    storage.ErrMismatch,
	"XAmzContentSHA256Mismatch":    storage.ErrMismatch,
	"XAmzContentChecksumMismatch":  storage.ErrMismatch,
	"NoSuchBucket":                 storage.ErrRefused,
	"AccessDenied":                 storage.ErrRefused,
	"IncompleteBody":               storage.ErrUnavailable,
	"RequestTimeout":               storage.ErrUnavailable,
	"SlowDown":                     storage.ErrUnavailable,
	"Throttling":                   storage.ErrUnavailable,
	"ThrottlingException":          storage.ErrUnavailable,
	"RequestLimitExceeded":         storage.ErrUnavailable,
	"TooManyRequests":              storage.ErrUnavailable,
	"ServiceUnavailable":           storage.ErrUnavailable,
	"InternalError":                storage.ErrUnavailable,
	"OperationAborted":             storage.ErrUnavailable,
	"ConditionalRequestConflict":   storage.ErrUnavailable,
	"ExpiredToken":                 storage.ErrUnavailable, // a new one is fetched
	"PermanentRedirect":            storage.ErrRefused,
	"AuthorizationHeaderMalformed": storage.ErrRefused,
}

// advice is what some codes mean to who runs the service.
var advice = map[string]string{
	"NoSuchBucket":                 "the bucket does not exist; create it, or write create=true in the address",
	"InvalidAccessKeyId":           "the access key is not known to the service",
	"SignatureDoesNotMatch":        "the secret key is wrong, or something on the way changes requests",
	"AccessDenied":                 "the access key may not do this with the bucket",
	"RequestTimeTooSkewed":         "the clock of this machine or of the service is wrong",
	"PermanentRedirect":            "the bucket is in another region",
	"AuthorizationHeaderMalformed": "the bucket is in another region",
	"MovedPermanently":             "the bucket is in another region",
}

// errNotKnown says that the service does not know what a request asks for.
var errNotKnown = fmt.Errorf("%w: the service has no such function", storage.ErrRefused)

// status is that of the answer in an error; 0 if there was none.
func status(err error) int {
	var r interface{ HTTPStatusCode() int }
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

// fault says what an error means to the caller.
func (c *call) fault(err error) error {
	if err == nil {
		return nil
	}
	var text string
	kind := storage.ErrUnavailable
	var api smithy.APIError
	switch {
	case c.store.life.Err() != nil:
		return fmt.Errorf("%w: %s %q", storage.ErrClosed, c.what, c.key)
	case c.caller.Err() != nil:
		return fmt.Errorf("s3storage: %s %q: %w", c.what, c.key, c.caller.Err())
	case errors.As(err, &api):
		text, kind = c.answer(api, status(err))
	case errors.Is(err, context.DeadlineExceeded):
		text = "no answer in time"
	case strings.HasPrefix(err.Error(), "checksum did not match"): // the client has no type for it
		text, kind = "the bytes are not those of their checksum", storage.ErrMismatch
	default:
		text = reason(err)
	}
	return fmt.Errorf("%w: %s %q: %s", kind, c.what, c.key, c.store.hide(text))
}

// answer says what an error that the service answered with means.
func (c *call) answer(err smithy.APIError, status int) (text string, kind error) {
	code := err.ErrorCode()
	text = code + ": " + err.ErrorMessage()
	if a, ok := advice[code]; ok {
		text = a + " (" + code + ")"
	}
	if code == "NoSuchBucket" && c.store.o.Create {
		// It was there; the next try makes it anew.
		c.store.prepared.Store(false)
		return text, storage.ErrUnavailable
	}
	if kind, ok := kinds[code]; ok {
		return text, kind
	}
	switch {
	case status == http.StatusRequestedRangeNotSatisfiable:
		return text, storage.ErrRange
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooManyRequests:
		return text, storage.ErrUnavailable
	case status >= 300 && status < 500:
		return text, storage.ErrRefused
	}
	return text, storage.ErrUnavailable
}

// reason is what made a request fail, without its address.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// hide shortens a text, and takes credentials out of it should they ever be there.
func (s *Store) hide(text string) string {
	for _, secret := range []string{s.o.SecretKey, s.o.AccessKey} {
		if len(secret) >= 8 { // a shorter one is for tests, and part of many words
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// invalid is the answer to what no engine takes.
func invalid(what string, key storage.Key) error {
	return fmt.Errorf("%w: %s %q: the key or what is asked of it is not valid", storage.ErrRefused, what, key)
}
