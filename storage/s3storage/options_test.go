package s3storage_test

import (
	"strings"
	"testing"
	"time"

	"trellis/storage"
	"trellis/storage/s3storage"
)

func TestParse(t *testing.T) {
	for address, want := range map[string]s3storage.Options{
		"s3://bucket":   {Bucket: "bucket"},
		"s3://bucket/":  {Bucket: "bucket"},
		"s3://b-1.x/a/": {Bucket: "b-1.x", Prefix: "a/"},
		"s3://KEY:se%2Fcr%2Bet%40@bucket/a/b?region=eu-central-1": {
			Bucket: "bucket", Prefix: "a/b/", AccessKey: "KEY", SecretKey: "se/cr+et@", Region: "eu-central-1",
		},
		"s3://bucket?endpoint=http://127.0.0.1:9000&public_endpoint=https%3A%2F%2Ffiles.example.com&path_style=true&create=1": {
			Bucket: "bucket", Endpoint: "http://127.0.0.1:9000", PublicEndpoint: "https://files.example.com", PathStyle: true, Create: true,
		},
		"s3://bucket?encryption=AES256": {Bucket: "bucket", Encryption: s3storage.EncryptionAES256},
		"s3://bucket?encryption=aws:kms&kms_key=arn:aws:kms:eu-central-1:111122223333:key/1234-ab": {
			Bucket: "bucket", Encryption: s3storage.EncryptionKMS, KMSKey: "arn:aws:kms:eu-central-1:111122223333:key/1234-ab",
		},
	} {
		if got, err := s3storage.Parse(address); err != nil || got != want {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
}

func TestMistakesInAnAddressAreNamedAndNotRepeated(t *testing.T) {
	const secret = "sEcReT+kEy"
	for address, word := range map[string]string{
		"":                                    "s3://",
		"http://bucket":                       "s3://",
		"s3:bucket":                           "s3://",
		"s3://":                               "bucket",
		"s3://ab":                             "bucket",
		"s3://Bucket":                         "bucket",
		"s3://a_b_c":                          "bucket",
		"s3://a..b":                           "bucket",
		"s3://127.0.0.1":                      "bucket",
		"s3://bucket:9000":                    "bucket",
		"s3://bucket/A":                       "prefix",
		"s3://bucket/../x":                    "prefix",
		"s3://bucket/a//b":                    "prefix",
		"s3://bucket#x":                       "#",
		"s3://KEY@bucket":                     "only one",
		"s3://:SECRET@bucket":                 "only one",
		"s3://KEY:@bucket":                    "only one",
		"s3://bucket?regoin=x":                "parameter",
		"s3://bucket?region=x&region=y":       "more than once",
		"s3://bucket?region=EU":               "region",
		"s3://bucket?create=yes":              "create",
		"s3://bucket?path_style=":             "path_style",
		"s3://bucket?endpoint=localhost:9000": "endpoint",
		"s3://bucket?endpoint=ftp://x":        "endpoint",
		"s3://bucket?endpoint=http://x/y":     "endpoint",
		"s3://bucket?endpoint=http://u:" + secret + "@x": "endpoint",
		"s3://bucket?public_endpoint=x":                  "public_endpoint",
		"s3://bucket?encryption=none":                    "encryption",
		"s3://bucket?kms_key=x":                          "kms_key",
		"s3://bucket?encryption=aws:kms&kms_key=%0a":     "kms_key",
		"s3://bucket?a=%zz":                              "parameters",
		"s3://KEY:" + secret + "/x@bucket":               "%2F",
		"s3://KEY:" + secret + "%zz@bucket":              "%25",
		"s3://KEY:" + secret + "@Bucket":                 "bucket",
		"s3://bucket?" + secret + "=1":                   "parameter",
	} {
		_, err := s3storage.Parse(address)
		if err == nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want a word about %s", address, err, word)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("s3://KEY:se%2Fcret@bucket/a/b?region=eu-central-1&endpoint=http://127.0.0.1:1&create=true")
	f.Add("s3://a:b@c?%")
	f.Add("s3://bucket?region=00-")
	f.Add("s3://[::1]/x#")
	f.Fuzz(func(t *testing.T, address string) {
		o, err := s3storage.Parse(address)
		if err != nil {
			if len(address) > 40 && strings.Contains(err.Error(), address) {
				t.Errorf("%q is repeated: %v", address, err)
			}
			return
		}
		if o.AccessKey == "" {
			o.AccessKey, o.SecretKey = "key", "secret"
		}
		if o.Region == "" {
			o.Region = "us-east-1"
		}
		s, err := s3storage.Open(o)
		if err != nil {
			t.Fatalf("%q can be parsed but not opened: %v", address, err)
		}
		defer s.Close()
		if _, err := s.SignGet(t.Context(), "k", storage.Get{Expires: time.Minute}); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	})
}
