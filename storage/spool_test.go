package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"trellis/storage"
)

func spool(t *testing.T) (*storage.Spool, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := storage.NewSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// empty fails if the directory holds anything.
func empty(t *testing.T, dir string) {
	t.Helper()
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Fatalf("left behind: %v, %v", list, err)
	}
}

func TestSpoolKeepsWhatItReads(t *testing.T) {
	s, dir := spool(t)
	for _, n := range []int{0, 1, 128 << 10, 300_001} {
		data := bytes.Repeat([]byte{7, 1, 255}, n)[:n]
		got, err := s.Take(t.Context(), iotest.HalfReader(bytes.NewReader(data)), int64(n))
		if err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(got)
		if err != nil || !bytes.Equal(back, data) || got.Size != int64(n) || got.SHA256 != sha256.Sum256(data) {
			t.Fatalf("%d bytes: got %d, size %d, %v", n, len(back), got.Size, err)
		}
		empty(t, dir) // even while it is open
		if err := got.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSpoolStopsAtTheLimit(t *testing.T) {
	s, dir := spool(t)
	endless := iotest.DataErrReader(zeros{})
	if _, err := s.Take(t.Context(), endless, 1<<20); !errors.Is(err, storage.ErrTooLarge) {
		t.Fatal(err)
	}
	empty(t, dir)
}

func TestSpoolTellsWhatStoppedIt(t *testing.T) {
	s, dir := spool(t)
	broken := io.MultiReader(bytes.NewReader(make([]byte, 1000)), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := s.Take(t.Context(), broken, 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Take(ctx, zeros{}, 1<<20); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	empty(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Take(t.Context(), bytes.NewReader(nil), 1); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestKeys(t *testing.T) {
	for key, ok := range map[storage.Key]bool{
		"blobs/0197-a/original": true, "a": true, "a/256.webp": true,
		"": false, "/a": false, "a/": false, "a//b": false, ".a": false, "a/.b": false, "a/../b": false, "A": false, "a b": false, "a\x00": false, "ä": false,
	} {
		if key.Valid() != ok {
			t.Errorf("%q: %v", key, key.Valid())
		}
	}
}

func TestSpoolRemovesWhatAKilledProcessLeft(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "arriving-1"), filepath.Join(dir, "arriving-2")
	for _, name := range []string{old, fresh} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.NewSpool(dir); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 || left[0] != fresh {
		t.Fatal(left, err)
	}
}
