package s3storage_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"trellis/storage"
	"trellis/storage/s3storage"
	"trellis/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Servers for tests: LocalStack, and one that checks more.
const (
	localStack = "TRELLIS_TEST_S3_URL"
	versity    = "TRELLIS_TEST_VERSITY_URL"
)

// server is how a server for tests is reached; without one the test is skipped.
func server(t testing.TB, variable string) s3storage.Options {
	t.Helper()
	u := os.Getenv(variable)
	if u == "" {
		name := strings.ToLower(strings.Split(variable, "_")[2])
		t.Skipf("%s is not set: nothing is tried on a real S3; `scripts/services up %s` starts one", variable, name)
	}
	o, err := s3storage.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// either is a server of those, the stricter first.
func either(t testing.TB) s3storage.Options {
	t.Helper()
	if os.Getenv(versity) != "" {
		return server(t, versity)
	}
	return server(t, localStack)
}

func open(t testing.TB, o s3storage.Options) *s3storage.Store {
	t.Helper()
	s, err := s3storage.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// room is a prefix of the test's own, which is emptied when it ends.
func room(t testing.TB, o s3storage.Options) s3storage.Options {
	t.Helper()
	o.Prefix = "t-" + strings.ToLower(rand.Text()) + "/"
	t.Cleanup(func() { empty(t, o) })
	return o
}

func empty(t testing.TB, o s3storage.Options) {
	ctx := context.Background() // the test's has ended
	s, err := s3storage.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		found, err := s.List(ctx, "", "", 1000)
		if err != nil {
			t.Errorf("empty the bucket: %v", err)
			return
		}
		if len(found) == 0 {
			return
		}
		keys := make([]storage.Key, len(found))
		for i, info := range found {
			keys[i] = info.Key
		}
		if err := s.Delete(ctx, keys...); err != nil {
			t.Errorf("empty the bucket: %v", err)
			return
		}
	}
}

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name, variable string
		lacks          map[storagetest.Category]string
	}{
		{"LocalStack", localStack, map[storagetest.Category]string{
			storagetest.OpenReaders: "LocalStack cuts off who reads an object that is deleted",
			storagetest.Anonymous:   "LocalStack answers requests without a signature",
			storagetest.WholeQuery:  "LocalStack looks at the parameters it knows, and at the first of several",
		}},
		{"Versity", versity, map[storagetest.Category]string{
			storagetest.Both:       "Versity's gateway keeps objects as files, so a and a/b exclude each other",
			storagetest.Folders:    "Versity's gateway refuses for a moment what is written where a folder is just removed",
			storagetest.WholeQuery: "Versity's gateway looks at the first of several parameters",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := server(t, c.variable)
			storagetest.Run(t, storagetest.Engine{Lacks: c.lacks, New: func(t testing.TB) storagetest.Place {
				o := room(t, o)
				return func(t testing.TB) storage.Blobs { return open(t, o) }
			}})
		})
	}
}
