package filestorage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/storage"
	"trellis/storage/filestorage"
	"trellis/storage/storagetest"
)

func put(s storage.Blobs, key storage.Key, b []byte) error {
	return s.Put(context.Background(), key, bytes.NewReader(b), storagetest.Object(b, "image/png"))
}

// files are all files in a directory, by path in it.
func files(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.IsDir() {
			rel, err := filepath.Rel(dir, path)
			found = append(found, rel)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNobodyElseMayReadTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir, filestorage.Options{})
	if err := put(s, "x/y/z", []byte("content")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s: %s", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFilesHoldTheBytesFirst keeps the promise that other programs can see what
// is in a file.
func TestFilesHoldTheBytesFirst(t *testing.T) {
	dir := t.TempDir()
	if err := put(open(t, dir, filestorage.Options{}), "x/y.png", []byte("content")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "x", "_y.png"))
	if err != nil || !bytes.HasPrefix(b, []byte("content")) {
		t.Errorf("%q, %v", b, err)
	}
}

func TestEmptyDirectoriesGo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestorage.Options{})
	for _, key := range []storage.Key{"a/b/c/d", "a/e"} {
		if err := put(s, key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context(), "a/b/c/d"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a", "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a/b is left: %v", err)
	}
	if _, err := s.Stat(t.Context(), "a/e"); err != nil {
		t.Error(err)
	}
}

func TestLinksDoNotLeadOut(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	s := open(t, dir, filestorage.Options{})
	if err := put(open(t, outside, filestorage.Options{}), "k", []byte("not yours")); err != nil {
		t.Fatal(err)
	}
	before := files(t, outside)
	for link, target := range map[string]string{"out": outside, "_k": filepath.Join(outside, "_k"), "up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []storage.Key{"out/k", "k", "up/k"} {
		if _, err := s.Open(t.Context(), key, storage.Range{}); err == nil {
			t.Errorf("%s can be read", key)
		}
		if _, err := s.Stat(t.Context(), key); err == nil {
			t.Errorf("%s is there", key)
		}
	}
	for _, key := range []storage.Key{"out/new", "out/k", "up/new"} {
		if err := put(s, key, []byte("x")); err == nil {
			t.Errorf("%s can be written", key)
		}
		if err := s.Delete(t.Context(), key); err == nil && key == "out/k" {
			t.Errorf("%s can be deleted", key)
		}
	}
	if found, err := s.List(t.Context(), "", "", 10); err != nil || len(found) != 0 {
		t.Errorf("listed: %v, %v", found, err)
	}
	if after := files(t, outside); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("outside there is %v, before there was %v", after, before)
	}
}

func TestDamagedFilesAreNotGivenOut(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestorage.Options{})
	b := storagetest.Bytes(1000, 1)
	for name, damage := range map[string]func(whole []byte) []byte{
		"shortened":          func(w []byte) []byte { return w[:len(w)-1] },
		"empty":              func([]byte) []byte { return nil },
		"longer":             func(w []byte) []byte { return append(w, 0) },
		"without its end":    func(w []byte) []byte { return w[:1000] },
		"a byte of the head": func(w []byte) []byte { w[len(w)-200]++; return w },
		"bytes cut out":      func(w []byte) []byte { return w[10:] },
		"zeros":              func(w []byte) []byte { return make([]byte, len(w)) },
	} {
		if err := put(s, "k", b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "_k")
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, damage(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(t.Context(), "k", storage.Range{}); !errors.Is(err, storage.ErrMismatch) {
			t.Errorf("%s: open: %v", name, err)
		}
		if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, storage.ErrMismatch) {
			t.Errorf("%s: stat: %v", name, err)
		}
	}
}

func TestRestsOfKilledProcessesAreClearedAway(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestorage.Options{})
	if err := put(s, "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	rest := filepath.Join(dir, ".tmp", "rest")
	if err := os.WriteFile(rest, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir, filestorage.Options{})
	if _, err := os.Stat(rest); err != nil {
		t.Errorf("what was written a moment ago may be somebody's: %v", err)
	}
	later := func() time.Time { return time.Now().Add(2 * time.Hour) }
	open(t, dir, filestorage.Options{Now: later, Grace: 3 * time.Hour})
	if _, err := os.Stat(rest); err != nil {
		t.Errorf("it has a longer grace: %v", err)
	}
	open(t, dir, filestorage.Options{Now: later})
	if _, err := os.Stat(rest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
	if _, err := s.Stat(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}

func TestFailedPutsLeaveNoFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestorage.Options{})
	before := len(files(t, dir))
	b := storagetest.Bytes(1<<20, 1)
	wrong := storagetest.Object(b, "image/png")
	wrong.SHA256[0]++
	if err := s.Put(t.Context(), "a/b", bytes.NewReader(b), wrong); !errors.Is(err, storage.ErrMismatch) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader := io.NewSectionReader(cancelling{bytes.NewReader(b), cancel}, 0, int64(len(b)))
	if err := s.Put(ctx, "a/b", reader, storagetest.Object(b, "image/png")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if after := files(t, dir); len(after) != before {
		t.Errorf("left: %v", after)
	}
}

type cancelling struct {
	io.ReaderAt
	cancel func()
}

func (c cancelling) ReadAt(p []byte, at int64) (int, error) {
	if at > 500_000 {
		c.cancel()
	}
	return c.ReaderAt.ReadAt(p, at)
}

// child is what the other process does: it stores objects, each telling by its
// key what it holds, until it is killed or the disk is full.
func child(dir string) {
	full := os.Getenv("FILESTORAGE_TEST_LIMIT") != ""
	if full {
		limitFileSize(1 << 20)
	}
	s, err := filestorage.Open(dir, filestorage.Options{})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	if full {
		err := put(s, "too-much", storagetest.Bytes(2<<20, 1))
		fmt.Println(errors.Is(err, storage.ErrUnavailable), err)
		err = put(s, "fits", storagetest.Bytes(1000, 1))
		fmt.Println(err)
		os.Exit(0)
	}
	fmt.Println("ready")
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for {
				// Small and large, new and over one that is there.
				b := storagetest.Bytes(rand.IntN(1<<uint(rand.IntN(20))), rand.Uint64())
				key := storage.Key(fmt.Sprintf("c/%x", sha256.Sum256(b)))
				if rand.IntN(2) == 0 {
					key = storage.Key(fmt.Sprintf("same/%d", rand.IntN(5)))
				}
				if err := put(s, key, b); err != nil {
					fmt.Println("put:", err)
					os.Exit(1)
				}
				if rand.IntN(3) == 0 {
					if err := s.Delete(context.Background(), key); err != nil {
						fmt.Println("delete:", err)
						os.Exit(1)
					}
				}
			}
		})
	}
	g.Wait()
}

func TestKilledProcessLeavesWholeObjects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	objects := 0
	for range 8 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "FILESTORAGE_TEST_CHILD="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(out)
		if err := cmd.Wait(); cmd.ProcessState.Exited() {
			t.Fatalf("the child ended by itself: %v, %s", err, rest)
		}
		objects += allWhole(t, open(t, dir, filestorage.Options{}))
	}
	if objects == 0 {
		t.Error("no object was ever there")
	}
	open(t, dir, filestorage.Options{Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	if left := files(t, filepath.Join(dir, ".tmp")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// allWhole reads everything that is listed.
func allWhole(t *testing.T, s *filestorage.Store) int {
	t.Helper()
	found, err := s.List(t.Context(), "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range found {
		o, err := s.Open(t.Context(), info.Key, storage.Range{})
		if err != nil {
			t.Errorf("%s: %v", info.Key, err)
			continue
		}
		b, err := io.ReadAll(o.Body)
		o.Body.Close()
		if err != nil || int64(len(b)) != info.Size {
			t.Errorf("%s: %d bytes of %d, %v", info.Key, len(b), info.Size, err)
		}
		if name, ok := strings.CutPrefix(string(info.Key), "c/"); ok && name != fmt.Sprintf("%x", sha256.Sum256(b)) {
			t.Errorf("%s holds other bytes", info.Key)
		}
	}
	return len(found)
}

func TestDiskThatIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "FILESTORAGE_TEST_CHILD="+dir, "FILESTORAGE_TEST_LIMIT=yes")
	out, err := cmd.CombinedOutput()
	lines := strings.Split(string(out), "\n")
	if err != nil || !strings.HasPrefix(lines[0], "true ") || lines[1] != "<nil>" {
		t.Errorf("%v: %s", err, out)
	}
	if left := strings.Join(files(t, dir), " "); left != ".secret _fits" {
		t.Errorf("left: %s", left)
	}
}
