package main

import (
	"bufio"
	"bytes"
	"context"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheFirstStartPrintsAKeyOnce(t *testing.T) {
	s := serve(t)
	if s.token == "" || strings.Count(s.stdout.String(), "tk_") != 1 {
		t.Fatalf("printed %q", s.stdout)
	}
	var me struct{ Subject string }
	if s.get(t, "/api/v1/me", &me); me.Subject != "service_account:admin" {
		t.Errorf("the key is that of %q", me.Subject)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("stopped with %d", code)
	}
	again := serve(t, "TRELLIS_DATA="+s.data)
	if out := again.stdout.String(); out != "" {
		t.Errorf("the second start printed %q", out)
	}
	again.token = s.token
	if status := again.get(t, "/api/v1/me", nil); status != http.StatusOK {
		t.Errorf("the first key after a restart: %d", status)
	}
	if strings.Contains(s.stderr.String()+again.stderr.String(), s.token) {
		t.Error("the key is in the log")
	}
}

func TestARestartChangesNothing(t *testing.T) {
	s := serve(t)
	before := revision(t, s)
	s.stop()
	again := serve(t, "TRELLIS_DATA="+s.data)
	again.token = s.token
	if after := revision(t, again); after != before {
		t.Errorf("the revision went from %s to %s", before, after)
	}
}

func revision(t *testing.T, s *testServer) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header.Get("Trellis-Revision")
}

func TestTheBootstrapKeyMayDoEverythingWhileItIsSet(t *testing.T) {
	const key = "any-form-of-32-characters-or-more"
	s := serve(t, "TRELLIS_BOOTSTRAP_KEY="+key)
	if s.token != "" {
		t.Errorf("a key was printed too: %s", s.stdout)
	}
	s.token = key
	s.must(t, "load", "github-org", kubernetes, "--org", "etcd-io")
	s.stop()
	without := serve(t, "TRELLIS_DATA="+s.data)
	if without.token = key; without.get(t, "/api/v1/me", nil) != http.StatusUnauthorized {
		t.Error("the bootstrap key works although it is not set")
	}
}

func TestTheSecretIsMadeOnceAndReadableByItsOwnerOnly(t *testing.T) {
	s := serve(t)
	s.stop()
	file := filepath.Join(s.data, "secret.key")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if err := filepath.WalkDir(s.data, func(p string, d fs.DirEntry, err error) error {
		if info, ierr := d.Info(); ierr == nil && !d.IsDir() && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", p, info.Mode())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"too open":  func() error { return os.Chmod(file, 0o644) },
		"too short": func() error { return os.WriteFile(file, []byte("x"), 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if code, errs := fail(t, "TRELLIS_DATA="+s.data, "TRELLIS_LISTEN=127.0.0.1:0"); code != exitError || !strings.Contains(errs, file) {
			t.Errorf("%s: exit code %d, %s", name, code, errs)
		}
	}
}

// fail runs a server that is expected to end by itself.
func fail(t *testing.T, env ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var errs bytes.Buffer
	code := run(ctx, []string{"serve"}, env, strings.NewReader(""), &bytes.Buffer{}, &errs)
	return code, errs.String()
}

func TestAStartThatCannotSucceedEnds(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	garbage := filepath.Join(t.TempDir(), "graph.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("no graph "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ env, want string }{
		"port taken":    {"TRELLIS_LISTEN=" + taken.Addr().String(), "address already in use; set TRELLIS_LISTEN to another address"},
		"garbage":       {"TRELLIS_GRAPH_URL=sqlite:" + garbage, ""},
		"no secret key": {"TRELLIS_GRAPH_URL=bolt://127.0.0.1:1", "TRELLIS_SECRET_KEY is not set"},
	} {
		code, errs := fail(t, "TRELLIS_DATA="+t.TempDir(), "TRELLIS_LISTEN=127.0.0.1:0", c.env)
		if code != exitError || !strings.Contains(errs, c.want) || strings.Contains(errs, "panic") {
			t.Errorf("%s: exit code %d, %s", name, code, errs)
		}
	}
}

func TestAServerWithoutItsStoreStartsAndSaysSo(t *testing.T) {
	s := serve(t, "TRELLIS_GRAPH_URL=bolt://u:hush@127.0.0.1:1", "TRELLIS_SECRET_KEY="+secret)
	if status := s.get(t, "/livez", nil); status != http.StatusOK {
		t.Errorf("/livez: %d", status)
	}
	if status := s.get(t, "/readyz", nil); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", status)
	}
	if status := s.get(t, "/api/v1/me", nil); status != http.StatusServiceUnavailable {
		t.Errorf("/api/v1/me: %d", status)
	}
	start := time.Now()
	if code := s.stop(); code != 0 || time.Since(start) > 10*time.Second {
		t.Errorf("stopped with %d after %v", code, time.Since(start))
	}
	if strings.Contains(s.stderr.String(), "hush") {
		t.Errorf("the password is in the log: %s", s.stderr)
	}
}

// A request that is under way when the signal comes is answered.
func TestAStopLetsRequestsFinish(t *testing.T) {
	s := serve(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"mutations":[{"op":"create","node":"group:late","data":{}}]}`
	head := "POST /api/v1/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer " + s.token + "\r\nContent-Length: 61\r\n\r\n"
	if len(body) != 61 {
		t.Fatal(len(body))
	}
	if _, err := conn.Write([]byte(head + body[:20])); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // for the server to have begun reading
	stopped := make(chan int)
	go func() { stopped <- s.stop() }()
	time.Sleep(50 * time.Millisecond)
	if _, err := conn.Write([]byte(body[20:])); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := conn.Read(answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("got %q, %v", answer, err)
	}
	if code := <-stopped; code != 0 {
		t.Errorf("stopped with %d", code)
	}
	again := serve(t, "TRELLIS_DATA="+s.data)
	again.token = s.token
	if status := again.get(t, "/api/v1/groups/late", nil); status != http.StatusOK {
		t.Errorf("what was acknowledged: %d", status)
	}
}

// A stream must not keep the server from stopping.
func TestAStopEndsStreams(t *testing.T) {
	s := serve(t, "TRELLIS_DRAIN_TIMEOUT=15s")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	start := time.Now()
	if code := s.stop(); code != 0 || time.Since(start) > 10*time.Second {
		t.Errorf("stopped with %d after %v", code, time.Since(start))
	}
}

func TestStreamsOutliveTheTimeLimitsOfOtherAnswers(t *testing.T) {
	s := serve(t, "TRELLIS_WRITE_TIMEOUT=1s", "TRELLIS_READ_TIMEOUT=1s", "TRELLIS_REQUEST_TIMEOUT=1s")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	time.Sleep(1500 * time.Millisecond) // longer than the limits
	if code, _, errs := s.trellis(t, `[{op: create, node: "group:news", data: {}}]`, "apply", "-f", "-"); code != 0 {
		t.Fatal(errs)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "group:news") {
			return
		}
	}
	t.Errorf("the stream ended: %v", lines.Err())
}

func TestDemoLoadsAndExplainsItself(t *testing.T) {
	var out, errs output
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--demo"}, []string{"TRELLIS_LISTEN=127.0.0.1:0", "TMPDIR=" + t.TempDir()}, strings.NewReader(""), &out, &errs)
	}()
	described := func() bool { return strings.Contains(out.String(), "The API is described at") || len(done) > 0 }
	if !eventuallyIn(time.Minute, described) { // with the race detector it takes its time
		t.Fatalf("%s\n%s", &out, &errs)
	}
	// What it says to try is tried, where it may leave files.
	t.Chdir(t.TempDir())
	var s testServer
	tried, curls := 0, 0
	for _, line := range strings.Split(strings.ReplaceAll(out.String(), "\\\n", ""), "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && strings.HasPrefix(fields[1], "TRELLIS_URL="):
			s.url = strings.TrimPrefix(fields[1], "TRELLIS_URL=")
		case len(fields) == 2 && strings.HasPrefix(fields[1], "TRELLIS_TOKEN="):
			s.token = strings.TrimPrefix(fields[1], "TRELLIS_TOKEN=")
		case strings.HasPrefix(line, "  go run ./cmd/trellis "): // the test binary was built by the go command
			tried++
			code, got, e := s.trellis(t, "", fields[3:]...)
			if fields[3] == "audit" { // what was done is in the log a second later
				eventually(func() bool { code, got, e = s.trellis(t, "", fields[3:]...); return got != "none\n" })
			}
			silent := strings.Contains(line, " -o ")
			if code == exitError || e != "" || len(got) < 7 && !silent {
				t.Errorf("%s: exit code %d\n%s%s", line, code, got, e)
			}
		case strings.HasPrefix(line, "  curl "):
			curls++
			s.curl(t, line)
		}
	}
	if tried != 9 || curls != 10 {
		t.Errorf("%d commands and %d requests were found in\n%s", tried, curls, &out)
	}
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("ended with %d: %s", code, &errs)
	}
}

// curl runs a line with curl as a shell does, which must succeed, if there is one.
func (s *testServer) curl(t *testing.T, line string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		return
	}
	c := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line, "curl -s", "curl -sS --fail-with-body", 1))
	c.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "TRELLIS_URL="+s.url, "TRELLIS_TOKEN="+s.token)
	if got, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", line, err, got)
	}
}

// BenchmarkColdStart measures an embedded start on an empty directory, from
// the call to the first answer of /readyz.
func BenchmarkColdStart(b *testing.B) {
	for b.Loop() {
		s := serve(b)
		if s.get(b, "/readyz", nil) != http.StatusOK {
			b.Fatal("not ready")
		}
		b.StopTimer()
		s.stop()
		b.StartTimer()
	}
}

// BenchmarkLoad measures loading everything into an empty embedded graph.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := serve(b)
		b.StartTimer()
		s.must(b, "load", "github-org", kubernetes)
		b.StopTimer()
		s.stop()
		b.StartTimer()
	}
}
