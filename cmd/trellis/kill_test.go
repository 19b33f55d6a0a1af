package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// process is the server as a process of its own.
type process struct {
	testServer
	cmd *exec.Cmd
}

// startProcess starts the real program: the test binary under its name.
func startProcess(t *testing.T, data string, env ...string) *process {
	t.Helper()
	_, err := os.Stat(filepath.Join(data, "graph.db"))
	first := errors.Is(err, fs.ErrNotExist)
	p := &process{}
	p.stdout, p.stderr, p.data = &output{}, &output{}, data
	// testscript.Main put the programs that the test binary stands in for on the PATH.
	p.cmd = exec.Command("trellis", "serve")
	p.cmd.Env = append(append(os.Environ(), "TRELLIS_LISTEN=127.0.0.1:0", "TRELLIS_DATA="+data), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the process's log:\n%s", p.stderr)
		}
	})
	if !eventually(func() bool { return urlLine.MatchString(p.stderr.String()) }) {
		t.Fatalf("the process did not start:\n%s", p.stderr)
	}
	p.url = urlLine.FindStringSubmatch(p.stderr.String())[1]
	if first {
		// It was printed before, but the two outputs come by two pipes.
		if !eventually(func() bool { return tokenLine.MatchString(p.stdout.String()) }) {
			t.Fatalf("the first start printed no key:\n%s", p.stdout)
		}
		p.token = tokenLine.FindStringSubmatch(p.stdout.String())[1]
	}
	return p
}

// kill ends the process as a power cut would, as far as it can tell.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	_ = p.cmd.Wait()         // tells that it was killed
}

// acknowledged writes users one by one, from several goroutines, until the
// server is gone, and returns those of which it said that they are there.
func acknowledged(t *testing.T, s *testServer, round int, seen *atomic.Int64) (ids []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("k%d-%d-%d", round, w, i)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+"/api/v1/users/"+id, strings.NewReader(`{"name":"x"}`))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+s.token)
				req.Header.Set("Content-Type", "application/json")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return // the server is gone
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusCreated {
					t.Errorf("PUT %s: %d", id, resp.StatusCode)
					return
				}
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
				seen.Add(1)
			}
		})
	}
	wg.Wait()
	return ids
}

// TestNothingAcknowledgedIsLostWhenTheProcessIsKilled kills the server again
// and again during a load and single writes, each time at another moment.
func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	data := t.TempDir()
	var ids []string
	token, loaded := "", 0
	for round := range 4 {
		p := startProcess(t, data)
		if round > 0 {
			p.token = token
		}
		token = p.token
		mustHave(t, &p.testServer, ids)
		var seen atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			if code, _, _ := p.trellis(t, "", "load", "github-org", kubernetes); code == 0 {
				loaded++
			}
		})
		wg.Go(func() { ids = append(ids, acknowledged(t, &p.testServer, round, &seen)...) })
		eventually(func() bool { return seen.Load() > 8 })
		time.Sleep(time.Duration(round) * 60 * time.Millisecond)
		p.kill()
		wg.Wait()
	}
	t.Logf("%d writes were acknowledged, %d of 4 loads", len(ids), loaded)
	p := startProcess(t, data)
	p.token = token
	mustHave(t, &p.testServer, ids)
	p.must(t, "load", "github-org", kubernetes)
	if second := report(t, p.must(t, "load", "github-org", kubernetes, "--json")); second.Changed {
		t.Errorf("the second load after a finished one changed %v", second.Effects)
	}
	p.must(t, decisions...)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("told to stop: %v", err)
	}
}

func mustHave(t *testing.T, s *testServer, ids []string) {
	t.Helper()
	lost := 0
	for _, id := range ids {
		if status := s.get(t, "/api/v1/users/"+id, nil); status != http.StatusOK {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, len(ids))
	}
}

// The first signal waits for a request whose body never comes; the second
// one does not.
func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	p := startProcess(t, t.TempDir())
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("POST /api/v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + p.token + "\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // for the server to have begun reading
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Fatalf("the first signal ended it at once: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Logf("it ended: %v", err)
	case <-time.After(10 * time.Second):
		t.Error("the second signal did not end it")
	}
}
