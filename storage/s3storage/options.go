package s3storage

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"trellis/storage"
)

// Options say which bucket, and how it is reached. Bucket is all that must be there.
type Options struct {
	Bucket string
	// Prefix is put before every key: "" or parts of a key, each with its slash.
	Prefix string
	// Region is AWS's if empty: that of the environment or the profile, and
	// us-east-1 where there is an Endpoint.
	Region string
	// Endpoint is the address of a service other than AWS, http or https.
	Endpoint string
	// PublicEndpoint is the one that signed addresses name, where callers reach
	// the service under another; Endpoint if empty.
	PublicEndpoint string
	// PathStyle puts the bucket into the path instead of the host.
	PathStyle bool
	// Create makes the bucket if it is not there.
	Create bool
	// Encryption is what the service is to encrypt with: EncryptionAES256,
	// EncryptionKMS, or "", which leaves it to the bucket.
	Encryption string
	// KMSKey is the id of the key for EncryptionKMS; the account's own if empty.
	KMSKey string
	// AccessKey and SecretKey are the credentials. Where both are empty they are
	// searched as every program for AWS does: environment, files, web identity,
	// the machine's role.
	AccessKey, SecretKey string

	// Attempts is how often a request is made at most; 4 if 0.
	Attempts int
	// Timeout bounds a call with all its attempts, and beside it an object has
	// the time that its size takes at 100 kB/s; 30 s if 0.
	Timeout time.Duration
	// Stall is for how long nothing may move on a connection that is waited
	// for; 20 s if 0.
	Stall time.Duration
}

// Ways of encryption.
const (
	EncryptionAES256 = "AES256"
	EncryptionKMS    = "aws:kms"
)

// Names of the parameters in an address.
const (
	paramRegion         = "region"
	paramEndpoint       = "endpoint"
	paramPublicEndpoint = "public_endpoint"
	paramPathStyle      = "path_style"
	paramCreate         = "create"
	paramEncryption     = "encryption"
	paramKMSKey         = "kms_key"
)

// Parse reads an address:
//
//	s3://ACCESS_KEY:SECRET_KEY@BUCKET/PREFIX?region=…&endpoint=…
//
// with the parameters region, endpoint, public_endpoint, path_style, create,
// encryption (AES256 or aws:kms) and kms_key. Credentials and prefix may be left
// out. Characters that mean something in an address are written %XX. What is
// wrong is said without repeating any of it.
func Parse(address string) (Options, error) {
	u, err := url.Parse(address)
	if err != nil {
		// The reason would repeat the address.
		return Options{}, errors.New("the address of S3 cannot be read; in keys, write / as %2F, + as %2B, @ as %40 and % as %25")
	}
	if u.Scheme != "s3" || u.Opaque != "" {
		return Options{}, errors.New("the address of S3 begins with s3://")
	}
	if u.Fragment != "" || strings.Contains(address, "#") {
		return Options{}, errors.New("the address of S3 has no part after #; in a key, write # as %23")
	}
	o := Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if o.Prefix != "" {
		o.Prefix += "/"
	}
	if u.User != nil {
		o.AccessKey = u.User.Username()
		o.SecretKey, _ = u.User.Password()
		if o.AccessKey == "" || o.SecretKey == "" {
			return Options{}, errors.New("the address of S3 has only one of access key and secret key: write s3://ACCESS_KEY:SECRET_KEY@BUCKET")
		}
	}
	if err := o.parameters(u.RawQuery); err != nil {
		return Options{}, err
	}
	return o, o.check()
}

func (o *Options) parameters(rawQuery string) error {
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return errors.New("the parameters in the address of S3 cannot be read; write ; as %3B and % as %25")
	}
	for name, values := range q {
		if len(values) != 1 {
			return fmt.Errorf("the address of S3 has the parameter %q more than once", name)
		}
		v := values[0]
		var err error
		switch name {
		case paramRegion:
			o.Region = v
		case paramEndpoint:
			o.Endpoint = v
		case paramPublicEndpoint:
			o.PublicEndpoint = v
		case paramPathStyle:
			o.PathStyle, err = strconv.ParseBool(v)
		case paramCreate:
			o.Create, err = strconv.ParseBool(v)
		case paramEncryption:
			o.Encryption = v
		case paramKMSKey:
			o.KMSKey = v
		default:
			return errors.New("the address of S3 has a parameter that is none: there are region, endpoint, public_endpoint, path_style, create, encryption and kms_key")
		}
		if err != nil {
			return fmt.Errorf("%s in the address of S3 is true or false", name)
		}
	}
	return nil
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	kmsKeyName = regexp.MustCompile(`^[A-Za-z0-9:/_-]{1,500}$`)
)

// check says what is wrong with options, without repeating it.
func (o Options) check() error {
	switch {
	case !bucketName.MatchString(o.Bucket) || strings.Contains(o.Bucket, "..") || net.ParseIP(o.Bucket) != nil:
		return errors.New("the bucket of S3 has 3 to 63 characters a-z 0-9 . - and begins and ends with a letter or digit")
	case o.Prefix != "" && (!strings.HasSuffix(o.Prefix, "/") || !storage.Key(strings.TrimSuffix(o.Prefix, "/")).Valid()):
		return errors.New("the prefix of S3, after the bucket, is made of a-z 0-9 - . and /")
	case o.Region != "" && !regionName.MatchString(o.Region):
		return errors.New("the region of S3 is made of a-z 0-9 and -")
	case (o.AccessKey == "") != (o.SecretKey == ""):
		return errors.New("S3 has only one of access key and secret key")
	case o.Encryption != "" && o.Encryption != EncryptionAES256 && o.Encryption != EncryptionKMS:
		return errors.New("the encryption of S3 is AES256 or aws:kms")
	case o.KMSKey != "" && o.Encryption != EncryptionKMS:
		return errors.New("the kms_key of S3 goes with encryption=aws:kms")
	case o.KMSKey != "" && !kmsKeyName.MatchString(o.KMSKey):
		return errors.New("the kms_key of S3 is the id, the ARN or an alias of a key")
	case o.Attempts < 0 || o.Timeout < 0 || o.Stall < 0:
		return errors.New("attempts and times of S3 are not negative")
	}
	if err := checkEndpoint("endpoint", o.Endpoint); err != nil {
		return err
	}
	return checkEndpoint("public_endpoint", o.PublicEndpoint)
}

func checkEndpoint(name, endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("the %s of S3 is http://HOST:PORT or https://HOST:PORT", name)
	}
	return nil
}

// withDefaults fills in what is not said.
func (o Options) withDefaults() Options {
	o.Endpoint = strings.TrimSuffix(o.Endpoint, "/")
	o.PublicEndpoint = strings.TrimSuffix(o.PublicEndpoint, "/")
	if o.PublicEndpoint == "" {
		o.PublicEndpoint = o.Endpoint
	}
	if o.Region == "" && o.Endpoint != "" {
		o.Region = "us-east-1"
	}
	if o.Attempts == 0 {
		o.Attempts = 4
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Stall == 0 {
		o.Stall = 20 * time.Second
	}
	return o
}
