package storagetest

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"trellis/storage"
)

// Benchmark measures storing and reading of 1 and 10 MB, one call at a time.
// raw is the same without the engine: what no engine can beat.
func Benchmark(b *testing.B, s storage.Blobs, raw Raw) {
	for _, mb := range []int{1, 10} {
		content := Bytes(mb<<20, 1)
		object := Object(content, octets)
		engine := Raw{
			Put: func(content []byte) error {
				return s.Put(b.Context(), "bench/k", bytes.NewReader(content), object)
			},
			Get: func() (io.ReadCloser, error) {
				o, err := s.Open(b.Context(), "bench/k", storage.Range{})
				if err != nil {
					return nil, err
				}
				return o.Body, nil
			},
		}
		for _, by := range []struct {
			name string
			Raw
		}{{"engine", engine}, {"raw", raw}} {
			b.Run(fmt.Sprintf("put/%dMB/%s", mb, by.name), func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				b.ReportAllocs()
				for b.Loop() {
					if err := by.Put(content); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("get/%dMB/%s", mb, by.name), func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				b.ReportAllocs()
				for b.Loop() {
					body, err := by.Get()
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.Copy(io.Discard, body)
					body.Close()
					if err != nil || n != int64(len(content)) {
						b.Fatalf("%d bytes, %v", n, err)
					}
				}
			})
		}
	}
}

// Raw stores one object and reads it by the plainest means there are.
type Raw struct {
	Put func(content []byte) error
	Get func() (io.ReadCloser, error)
}
