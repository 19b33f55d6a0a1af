package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trellis/cmd/trellis/config"
	"trellis/storage"
	"trellis/storage/storagetest"
)

// onPlaces runs a test with the address of an empty place of each kind.
func onPlaces(t *testing.T, run func(t *testing.T, address string)) {
	t.Run("directory", func(t *testing.T) { run(t, "dir:"+filepath.Join(t.TempDir(), "copy")) })
	for _, variable := range []string{"TRELLIS_TEST_S3_URL", "TRELLIS_TEST_VERSITY_URL"} {
		t.Run(variable, func(t *testing.T) {
			address := os.Getenv(variable)
			if address == "" {
				t.Skipf("%s is not set: nothing is copied to a real S3", variable)
			}
			head, query, _ := strings.Cut(address, "?")
			address = strings.TrimSuffix(head, "/") + "/c-" + strings.ToLower(rand.Text()) + "?" + query
			t.Cleanup(func() { emptyPlace(t, address) })
			run(t, address)
		})
	}
}

func openPlace(t *testing.T, address string) storage.Blobs {
	t.Helper()
	b, err := openBlobs(&config.Config{StorageURL: address})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func emptyPlace(t *testing.T, address string) {
	b := openPlace(t, address)
	defer b.Close()
	for {
		list, err := b.List(context.Background(), "", "", 1000) // the test's context has ended
		if err != nil || len(list) == 0 {
			return
		}
		for _, o := range list {
			_ = b.Delete(context.Background(), o.Key) // the next list tells
		}
	}
}

// holds reads what is in a place.
func holds(t *testing.T, address string) map[storage.Key][32]byte {
	t.Helper()
	b := openPlace(t, address)
	defer b.Close()
	list, err := b.List(t.Context(), "", "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	out := map[storage.Key][32]byte{}
	for _, o := range list {
		sum, err := sumOf(t.Context(), b, o.Key)
		for try := 1; errors.Is(err, storage.ErrUnavailable) && try < 4; try++ { // a busy server
			sum, err = sumOf(t.Context(), b, o.Key)
		}
		if err != nil {
			t.Fatal(err)
		}
		out[o.Key] = sum
	}
	return out
}

func sumOf(ctx context.Context, b storage.Blobs, key storage.Key) ([32]byte, error) {
	r, err := b.Open(ctx, key, storage.Range{})
	if err != nil {
		return [32]byte{}, err
	}
	defer r.Body.Close()
	content, err := io.ReadAll(r.Body)
	return sha256.Sum256(content), err
}

// command runs the program in a process of its own.
func command(t *testing.T, data string, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	out := &output{}
	cmd := exec.CommandContext(t.Context(), "trellis", args...)
	cmd.Env = append(os.Environ(), "TRELLIS_DATA="+data)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// copied runs `trellis storage copy` to its end.
func copied(t *testing.T, data string, want int, args ...string) string {
	t.Helper()
	cmd, out := command(t, data, append([]string{"storage", "copy"}, args...)...)
	_ = cmd.Run() // the code tells
	if code := cmd.ProcessState.ExitCode(); code != want {
		t.Fatalf("storage copy %q: exit code %d, want %d\n%s", args, code, want, out)
	}
	return out.String()
}

func (s *testServer) uploadPicture(t *testing.T, f file) string {
	t.Helper()
	id, err := sendForm(t, s, f)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A server is moved to another place as the documentation says.
func TestStorageCopyMovesAServer(t *testing.T) {
	onPlaces(t, func(t *testing.T, to string) {
		data := t.TempDir()
		files := filepath.Join(data, "files")
		first := serve(t, "TRELLIS_DATA="+data)
		sent := map[string]file{}
		send := func(s *testServer, text string) {
			f := noise(40_000).marked(text)
			sent[s.uploadPicture(t, f)] = f
		}
		for i := range 5 {
			send(first, fmt.Sprint(i))
		}
		out := copied(t, data, 0, "--to", to)
		if !strings.Contains(out, "copied 10 objects of ") || !strings.Contains(out, ", 0 were there already, from "+files+" to ") ||
			!strings.Contains(out, "TRELLIS_STORAGE_URL") || !strings.Contains(out, "--from") || strings.Contains(out, "trellis-dev-secret") {
			t.Errorf("it said:\n%s", out)
		}
		send(first, "meanwhile")
		if code := first.stop(); code != 0 {
			t.Fatalf("the first server ended with %d", code)
		}
		moved := serve(t, "TRELLIS_DATA="+data, "TRELLIS_STORAGE_URL="+to)
		moved.token = first.token
		send(moved, "after")
		cmd, stderr := command(t, data, "storage", "copy", "--to", to)
		cmd.Env = append(cmd.Env, "TRELLIS_STORAGE_URL="+to)
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != exitError || !strings.Contains(stderr.String(), "give the old one by --from") {
			t.Errorf("from the new place to itself: %v\n%s", err, stderr)
		}
		if out := copied(t, data, 0, "--from", files, "--to", to); !strings.Contains(out, "copied 2 objects of ") || !strings.Contains(out, ", 10 were there already") {
			t.Errorf("then it said:\n%s", out)
		}
		for id, f := range sent {
			got := filepath.Join(t.TempDir(), "got")
			moved.must(t, "uploads", "get", id, "-o", got)
			if b, err := os.ReadFile(got); err != nil || fmt.Sprintf("%x", sha256.Sum256(b)) != f.sum() {
				t.Errorf("%s: %d other bytes, %v", id, len(b), err)
			}
		}
	})
}

// manyFiles makes a place of a graph with so many files of 20 kB.
func manyFiles(t *testing.T, n int) (data string) {
	t.Helper()
	data = t.TempDir()
	b := openPlace(t, "dir:"+filepath.Join(data, "files"))
	defer b.Close()
	put := func(key storage.Key, content []byte) {
		if err := b.Put(t.Context(), key, bytes.NewReader(content), storagetest.Object(content, "image/png")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		put(storage.Key(fmt.Sprintf("blobs/%04d/original", i)), storagetest.Bytes(20_000, uint64(i)))
	}
	put("owner", []byte("a graph\n"))
	return data
}

func TestInterruptedStorageCopyIsResumed(t *testing.T) {
	const files = 60
	onPlaces(t, func(t *testing.T, to string) {
		data := manyFiles(t, files)
		through := to
		if u, err := url.Parse(to); err == nil && u.Scheme == "s3" {
			// The line stands still before all of it is there.
			q := u.Query()
			endpoint, err := url.Parse(q.Get("endpoint"))
			if err != nil {
				t.Fatal(err)
			}
			p := storagetest.NewProxy(t, endpoint.Host)
			p.StallUp(20_000 * files / 2)
			q.Set("endpoint", "http://"+p.Address)
			u.RawQuery = q.Encode()
			through = u.String()
		}
		target := openPlace(t, to)
		defer target.Close()
		cmd, out := command(t, data, "storage", "copy", "--to", through, "--parallel", "1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }() // the code tells
		begun := eventually(func() bool {
			list, err := target.List(t.Context(), "blobs/", "", 10)
			return err == nil && len(list) >= 5
		})
		if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		<-ended
		interrupted := cmd.ProcessState.ExitCode() == exitError && strings.Contains(out.String(), "trellis: interrupted; run it again to go on")
		// A directory has no line that could stand still: it may have been too fast.
		if tooFast := through == to && cmd.ProcessState.ExitCode() == exitOK; !begun || !interrupted && !tooFast {
			t.Fatalf("exit code %d\n%s", cmd.ProcessState.ExitCode(), out)
		}
		if _, err := target.Stat(t.Context(), "owner"); interrupted && !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the copy is marked as whole: %v", err)
		}
		before := holds(t, to)
		second := copied(t, data, 0, "--to", to)
		got, want := holds(t, to), holds(t, "dir:"+filepath.Join(data, "files"))
		delete(before, "owner")
		if !strings.Contains(second, fmt.Sprintf("copied %d objects of %d bytes, %d were there already", files-len(before), (files-len(before))*20_000, len(before))) {
			t.Errorf("%d were there; the second run said:\n%s", len(before), second)
		}
		for key, sum := range want {
			if got[key] != sum {
				t.Errorf("%s is another one", key)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d objects, want %d", len(got), len(want))
		}
	})
}

func TestStorageCopyNamesDamagedFiles(t *testing.T) {
	data := manyFiles(t, 5)
	file := filepath.Join(data, "files", "blobs", "0003", "_original")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[100]++
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	out := copied(t, data, exitError, "--to", to)
	if !strings.Contains(out, "blobs/0003/original is damaged and was not copied: ") || !strings.Contains(out, "trellis: damaged and not copied: 1; ") || strings.Contains(out, "Next:") {
		t.Errorf("it said:\n%s", out)
	}
	if got := holds(t, "dir:"+to); len(got) != 4 {
		t.Errorf("%d objects were copied, want 4 and no owner", len(got))
	}
}

func TestStorageCopyRefuses(t *testing.T) {
	data, other := manyFiles(t, 1), manyFiles(t, 2)
	theirs := filepath.Join(other, "files")
	owner := []byte("another graph\n")
	b := openPlace(t, "dir:"+theirs)
	defer b.Close()
	if err := b.Put(t.Context(), "owner", bytes.NewReader(owner), storagetest.Object(owner, "text/plain")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(data, "files"), link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"", `required flag(s) "to" not set`},
		{"--to dir:", "--to: want dir:PATH or s3://BUCKET"},
		{"--to http://example.com/x", "--to: want dir:PATH or s3://BUCKET"},
		{"--to s3://KEY:hidden@UPPER", "--to: the bucket of S3"},
		{"--to " + theirs, "belongs to another graph"},
		{"--to " + link, "is the place to copy from as well"},
		{"--to " + t.TempDir() + " --from " + filepath.Join(data, "nowhere"), "there is no directory"},
		{"--to " + t.TempDir() + " --from " + t.TempDir(), "no graph has stored files"},
		{"--to " + t.TempDir() + " --parallel 0", "--parallel is a number from 1 to 64"},
	} {
		if out := copied(t, data, exitError, strings.Fields(c.args)...); !strings.Contains(out, c.want) || strings.Contains(out, "hidden") {
			t.Errorf("%s: it said %q, want %q", c.args, out, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(data, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory was made: %v", err)
	}
	if got := holds(t, "dir:"+theirs); len(got) != 3 || got["owner"] != sha256.Sum256(owner) {
		t.Errorf("the other graph has %d objects now", len(got))
	}
}
