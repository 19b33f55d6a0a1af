package s3storage_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"trellis/storage"
	"trellis/storage/s3storage"
	"trellis/storage/storagetest"
)

// send makes a signed request.
func send(t *testing.T, q storage.SignedRequest, body []byte) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), q.Method, q.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = q.Header.Clone()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// TestSignedAddressesNameThePublicEndpoint goes through a proxy, as callers in
// front of a load balancer do, while the engine goes straight to the server.
func TestSignedAddressesNameThePublicEndpoint(t *testing.T) {
	t.Parallel()
	o := room(t, either(t))
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := storagetest.NewProxy(t, u.Host)
	o.PublicEndpoint = "http://" + p.Address
	s := open(t, o)
	b := storagetest.Bytes(1000, 1)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	q, err := s.SignPut(t.Context(), "k", storagetest.Object(b, "image/png"), time.Minute)
	if err != nil || !strings.HasPrefix(q.URL, o.PublicEndpoint+"/") {
		t.Fatalf("%s, %v", q.URL, err)
	}
	if status := send(t, q, b); status != http.StatusOK {
		t.Fatalf("put: %d", status)
	}
	p.Refuse()
	if got, err := get(t.Context(), s, "k"); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestEncryptionIsAskedForAndSigned(t *testing.T) {
	t.Parallel()
	o := room(t, server(t, localStack))
	o.Encryption = s3storage.EncryptionAES256
	s := open(t, o)
	b := storagetest.Bytes(1000, 1)
	if err := put(t.Context(), s, "put", b); err != nil {
		t.Fatal(err)
	}
	q, err := s.SignPut(t.Context(), "signed", storagetest.Object(b, "image/png"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status := send(t, q, b); status != http.StatusOK {
		t.Errorf("signed put: %d", status)
	}
	for _, key := range []string{"put", "signed"} {
		if got, err := s.Encryption(t.Context(), key); err != nil || string(got) != o.Encryption {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	q.Header.Del("X-Amz-Server-Side-Encryption")
	if status := send(t, q, b); status != http.StatusForbidden {
		t.Errorf("signed put without encryption: %d", status)
	}
}

// TestKMSKeyIsAskedForAndSigned looks at what is sent only: no server that can
// be had here has the keys.
func TestKMSKeyIsAskedForAndSigned(t *testing.T) {
	sent := make(chan http.Header, 1)
	deaf := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent <- r.Header }))
	defer deaf.Close()
	s := open(t, s3storage.Options{
		Bucket: "bucket", Endpoint: deaf.URL, PathStyle: true, AccessKey: "KEY", SecretKey: "secret",
		Encryption: s3storage.EncryptionKMS, KMSKey: "alias/files",
	})
	if err := put(t.Context(), s, "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	q, err := s.SignPut(t.Context(), "k", storagetest.Object([]byte("x"), "image/png"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(q.URL)
	if err != nil {
		t.Fatal(err)
	}
	const want = "content-length;content-type;host;x-amz-checksum-sha256;x-amz-server-side-encryption;x-amz-server-side-encryption-aws-kms-key-id"
	if got := u.Query().Get("X-Amz-SignedHeaders"); got != want {
		t.Errorf("signed: %s", got)
	}
	for what, h := range map[string]http.Header{"put": <-sent, "signed put": q.Header} {
		if h.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "alias/files" {
			t.Errorf("%s: %v", what, h)
		}
	}
}

func TestAddressesOfAWS(t *testing.T) {
	for want, o := range map[string]s3storage.Options{
		"https://my-files.s3.eu-central-1.amazonaws.com/p/k?": {Bucket: "my-files", Prefix: "p/", Region: "eu-central-1"},
		"https://s3.eu-central-1.amazonaws.com/my-files/k?":   {Bucket: "my-files", Region: "eu-central-1", PathStyle: true},
		"https://my-files.s3.cn-north-1.amazonaws.com.cn/k?":  {Bucket: "my-files", Region: "cn-north-1"},
		"https://my-files.files.example.com/k?":               {Bucket: "my-files", Endpoint: "http://10.0.0.1:9000", PublicEndpoint: "https://files.example.com/"},
		"http://127.0.0.1:9000/my-files/k?":                   {Bucket: "my-files", Endpoint: "http://127.0.0.1:9000/", PathStyle: true},
	} {
		o.AccessKey, o.SecretKey = "KEY", "secret"
		got, err := open(t, o).SignGet(t.Context(), "k", storage.Get{Expires: time.Hour})
		if err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
}

func TestCredentialsOfTheEnvironment(t *testing.T) {
	o := room(t, either(t))
	t.Setenv("AWS_ACCESS_KEY_ID", o.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", o.SecretKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_REGION", "us-east-1")
	o.AccessKey, o.SecretKey, o.Region = "", "", ""
	s := open(t, o)
	b := storagetest.Bytes(100, 1)
	if err := put(t.Context(), s, "k", b); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SESSION_TOKEN", "a-token")
	u, err := open(t, o).SignGet(t.Context(), "k", storage.Get{Expires: time.Minute})
	if err != nil || !strings.Contains(u, "X-Amz-Security-Token=a-token") {
		t.Errorf("%s, %v", u, err)
	}
}

func TestNoCredentialsAnywhere(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	s := open(t, s3storage.Options{Bucket: "bucket", Region: "us-east-1", Attempts: 1})
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("ping: %v", err)
	}
	if _, err := s.SignGet(t.Context(), "k", storage.Get{Expires: time.Minute}); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("sign: %v", err)
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if _, err := s3storage.Open(s3storage.Options{Bucket: "bucket"}); err == nil || !strings.Contains(err.Error(), "region") {
		t.Errorf("open without a region: %v", err)
	}
}
