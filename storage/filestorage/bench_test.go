package filestorage_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"trellis/storage/filestorage"
	"trellis/storage/storagetest"
)

// BenchmarkStore compares with a file that is written and flushed in place.
func BenchmarkStore(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "raw")
	storagetest.Benchmark(b, open(b, filepath.Join(dir, "store"), filestorage.Options{}), storagetest.Raw{
		Put: func(content []byte) error {
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			_, err = f.Write(content)
			return errors.Join(err, f.Sync(), f.Close())
		},
		Get: func() (io.ReadCloser, error) { return os.Open(path) },
	})
}
