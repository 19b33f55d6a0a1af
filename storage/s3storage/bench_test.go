package s3storage_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"trellis/storage/storagetest"
)

// BenchmarkStore compares with the SDK alone, as it is by default.
func BenchmarkStore(b *testing.B) {
	for name, variable := range map[string]string{"LocalStack": localStack, "Versity": versity} {
		b.Run(name, func(b *testing.B) {
			o := room(b, server(b, variable))
			s := open(b, o)
			if err := s.Ping(b.Context()); err != nil {
				b.Fatal(err)
			}
			transport := http.DefaultTransport.(*http.Transport).Clone()
			b.Cleanup(transport.CloseIdleConnections)
			client := s3.New(s3.Options{
				HTTPClient:   &http.Client{Transport: transport},
				BaseEndpoint: &o.Endpoint, Region: o.Region, UsePathStyle: true,
				Credentials: credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, ""),
			})
			key := aws.String(o.Prefix + "raw")
			storagetest.Benchmark(b, s, storagetest.Raw{
				Put: func(content []byte) error {
					_, err := client.PutObject(b.Context(), &s3.PutObjectInput{Bucket: &o.Bucket, Key: key, Body: bytes.NewReader(content)})
					return err
				},
				Get: func() (io.ReadCloser, error) {
					out, err := client.GetObject(b.Context(), &s3.GetObjectInput{Bucket: &o.Bucket, Key: key})
					if err != nil {
						return nil, err
					}
					return out.Body, nil
				},
			})
		})
	}
}
