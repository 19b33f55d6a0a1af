package filestorage_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"trellis/storage"
	"trellis/storage/filestorage"
	"trellis/storage/storagetest"
)

// TestMain lets the test binary stand in for a process that is killed, or whose
// disk is full.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FILESTORAGE_TEST_CHILD"); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, dir string, o filestorage.Options) *filestorage.Store {
	t.Helper()
	s, err := filestorage.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	storagetest.Run(t, storagetest.Engine{New: func(t testing.TB) storagetest.Place {
		dir := t.TempDir()
		return func(t testing.TB) storage.Blobs { return open(t, dir, filestorage.Options{}) }
	}})
}
