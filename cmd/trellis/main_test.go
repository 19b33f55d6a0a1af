package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// kubernetes is the data of the main scenario.
const kubernetes = "../../testdata/kubernetes-org"

var update = flag.Bool("update", false, "rewrite golden files")

// TestMain lets the test binary stand in for the real one.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"trellis": main})
}

// output is a writer that can be read while it is written to.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// testServer is the real server, in this process.
type testServer struct {
	url, token, data string
	stdout, stderr   *output
	stop             func() int
}

const secret = "a-secret-of-more-than-32-characters"

var (
	urlLine   = regexp.MustCompile(`msg=listening url=(\S+)`)
	tokenLine = regexp.MustCompile(`TRELLIS_TOKEN=(tk_\S+)`)
)

// serve starts the server with settings; a data directory and a free port are
// given unless they are among them.
func serve(t testing.TB, env ...string) *testServer {
	t.Helper()
	s := &testServer{stdout: &output{}, stderr: &output{}, data: t.TempDir()}
	for _, kv := range env {
		if d, ok := strings.CutPrefix(kv, "TRELLIS_DATA="); ok {
			s.data = d
		}
	}
	env = append([]string{"TRELLIS_LISTEN=127.0.0.1:0", "TRELLIS_DATA=" + s.data}, env...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() { done <- run(ctx, []string{"serve"}, env, strings.NewReader(""), s.stdout, s.stderr) }()
	s.stop = sync.OnceValue(func() int { cancel(); return <-done })
	t.Cleanup(func() {
		if code := s.stop(); code != 0 {
			t.Errorf("the server ended with %d", code)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.stderr)
		}
	})
	if !eventually(func() bool { return urlLine.MatchString(s.stderr.String()) || len(done) > 0 }) || len(done) > 0 {
		t.Fatalf("the server did not start:\n%s", s.stderr)
	}
	s.url = urlLine.FindStringSubmatch(s.stderr.String())[1]
	if m := tokenLine.FindStringSubmatch(s.stdout.String()); m != nil {
		s.token = m[1]
	}
	return s
}

func eventually(f func() bool) bool { return eventuallyIn(20*time.Second, f) }

func eventuallyIn(d time.Duration, f func() bool) bool {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return false
}

// trellis runs a client command against the server.
func (s *testServer) trellis(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, []string{"TRELLIS_URL=" + s.url, "TRELLIS_TOKEN=" + s.token}, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// must is trellis for commands that must succeed.
func (s *testServer) must(t testing.TB, args ...string) string {
	t.Helper()
	code, out, errs := s.trellis(t, "", args...)
	if code != 0 {
		t.Fatalf("trellis %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// get asks the API and decodes the answer.
func (s *testServer) get(t testing.TB, path string, out any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && out != nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		t.Fatalf("GET %s: %v\n%s", path, err, b)
	}
	return resp.StatusCode
}

// TestScripts runs the scenarios in testdata/script, each against a server of
// its own with the etcd organization in it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			s := serve(e.T().(testing.TB))
			s.must(e.T().(testing.TB), "load", "github-org", kubernetes, "--org", "etcd-io")
			data, err := filepath.Abs(kubernetes)
			e.Setenv("TRELLIS_URL", s.url)
			e.Setenv("TRELLIS_TOKEN", s.token)
			e.Setenv("SERVER_DATA", s.data)
			e.Setenv("KUBERNETES", data)
			return err
		},
	})
}

func TestEveryCommandHasHelp(t *testing.T) {
	a := &app{stdin: os.Stdin, stdout: io.Discard, stderr: io.Discard}
	seen := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		seen++
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: want a short help text without a full stop", c.CommandPath())
		}
		if c.RunE == nil && c.HasParent() {
			t.Errorf("%s does nothing", c.CommandPath())
		}
		for _, l := range strings.Split(c.Long, "\n") {
			if len(l) > 80 {
				t.Errorf("%s: the line %q of its help is too long", c.CommandPath(), l)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(a.root())
	if seen < 14 {
		t.Errorf("only %d commands", seen)
	}
}

// post sends to the API and decodes the answer.
func (s *testServer) post(t testing.TB, path, body string, out any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && out != nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		t.Fatalf("POST %s: %v\n%s", path, err, b)
	}
	return resp.StatusCode
}
