package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// picture writes a picture to a file, which the server itself has drawn.
func (s *testServer) picture(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "face.webp")
	s.must(t, "icon", "service_account:admin", "-o", file)
	return file
}

// sent lists the ids of all uploads.
func (s *testServer) sent(t *testing.T) (ids []string) {
	t.Helper()
	var list struct{ Items []uploadAnswer }
	if err := json.Unmarshal([]byte(s.must(t, "uploads", "list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	for _, u := range list.Items {
		ids = append(ids, u.ID)
	}
	return ids
}

func TestWhatWasSentComesBack(t *testing.T) {
	s := serve(t)
	file := s.picture(t)
	s.must(t, "upload", file)
	id, got := s.sent(t)[0], filepath.Join(t.TempDir(), "got")
	s.must(t, "uploads", "get", id, "-o", got)
	there, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.ReadFile(got)
	if err != nil || !bytes.Equal(here, there) {
		t.Errorf("%d bytes came back of %d, %v", len(here), len(there), err)
	}
	if out := s.must(t, "uploads", "get", "upload:"+id, "-o", "-"); out != string(there) {
		t.Errorf("%d bytes were printed of %d", len(out), len(there))
	}
	if out := s.must(t, "uploads", "get", id, "--thumbnail", "32", "-o", "-"); !strings.HasPrefix(out, "RIFF") || len(out) >= len(there) {
		t.Errorf("the thumbnail has %d bytes", len(out))
	}
	s.must(t, "icon", "service_account:admin", file)
	picture := s.sent(t)[1]
	if code, _, errs := s.trellis(t, "", "uploads", "delete", id, picture); code != exitError || !strings.Contains(errs, picture+": it is the picture of a node") {
		t.Errorf("a picture in use was deleted: %d, %s", code, errs)
	}
	if s.must(t, "uploads", "delete", "--cascade", picture); len(s.sent(t)) != 0 {
		t.Error("something is left")
	}
}

// A file that is larger than the server wants is refused before it is sent
// whole, and also where its size is not known.
func TestATooLargeFileIsRefused(t *testing.T) {
	s := serve(t, "TRELLIS_STORAGE_MAX_FILE=64K")
	file := filepath.Join(t.TempDir(), "large.png")
	if err := os.WriteFile(file, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"upload", file}, {"icon", "service_account:admin", file}} {
		if code, _, errs := s.trellis(t, "", args...); code != exitError || !strings.Contains(errs, file+": the file is larger than 65536 bytes") {
			t.Errorf("%q: %d, %s", args, code, errs)
		}
	}
	if code, _, errs := s.trellis(t, strings.Repeat("x", 100_000), "upload", "-", "--name", "x.png"); code != exitError || !strings.Contains(errs, "-: the file is larger than 65536 bytes") {
		t.Errorf("%d, %s", code, errs)
	}
	if ids := s.sent(t); len(ids) != 0 {
		t.Errorf("there are %q", ids)
	}
}

func TestWhoMayNotSendIsTold(t *testing.T) {
	s := serve(t)
	file := s.picture(t)
	if code, _, errs := s.trellis(t, `[
		{op: create, node: "organization:acme", data: {name: Acme}},
		{op: create, node: "service_account:guest", data: {name: Guest}},
		{op: put_grant, subject: "service_account:guest", resource: "organization:acme", role: readonly}]`, "apply", "-f", "-"); code != 0 {
		t.Fatal(errs)
	}
	var key struct{ Token string }
	if code := s.post(t, "/api/v1/api-keys", `{"name":"k","owner":"service_account:guest"}`, &key); code != 201 {
		t.Fatal(code)
	}
	guest := *s
	guest.token = key.Token
	for _, args := range [][]string{{"upload", file, file, "--to", "organization:acme"}, {"icon", "organization:acme", file}, {"icon", "organization:acme", "--remove"}} {
		code, out, errs := guest.trellis(t, "", args...)
		if code != exitError || out != "" || strings.Count(errs, "request id") != 1 || !strings.Contains(errs, "organization:acme") {
			t.Errorf("%q: %d, %s%s", args, code, out, errs)
		}
	}
	guest.must(t, "upload", file) // of one's own
	guest.must(t, "icon", "service_account:guest", file)
	if ids := guest.sent(t); len(ids) != 2 {
		t.Errorf("there are %q", ids)
	}
	guest.token = ""
	if code, _, errs := guest.trellis(t, "", "upload", file, file); code != exitError || strings.Count(errs, "set TRELLIS_TOKEN") != 1 {
		t.Errorf("%d, %s", code, errs)
	}
}

// Nothing is left of a file that was being sent when the command was stopped.
func TestAnUploadThatIsStoppedLeavesNothing(t *testing.T) {
	s := serve(t)
	in, pipe := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	var out, errs output
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"upload", "-", "--name", "x.png"}, []string{"TRELLIS_URL=" + s.url, "TRELLIS_TOKEN=" + s.token}, in, &out, &errs)
	}()
	for range 8 { // so that some of it is there
		if _, err := pipe.Write(make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	pipe.Close()
	if code := <-done; code != exitError || out.String() != "" || !strings.Contains(errs.String(), "-: context canceled") {
		t.Errorf("ended with %d: %s%s", code, &out, &errs)
	}
	s.stop()
	left := 0
	for _, dir := range []string{"arriving", "files/.tmp", "files/blobs", "files/arriving"} {
		if entries, err := os.ReadDir(filepath.Join(s.data, dir)); err == nil {
			left += len(entries)
		}
	}
	again := serve(t, "TRELLIS_DATA="+s.data)
	again.token = s.token
	if ids := again.sent(t); left != 0 || len(ids) != 0 {
		t.Errorf("%d files and the uploads %q are left", left, ids)
	}
}
