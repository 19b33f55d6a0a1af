package peer

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/bench/drive"
)

// process is a server that was started here.
type process struct {
	cmd     *exec.Cmd
	done    chan error
	log     string
	client  *drive.Client
	started time.Duration
}

// FreePort returns a port of the loopback address that nothing listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start runs a server that writes its log to dir and waits until the request
// is answered rightly. The server is asked to end when ctx does.
func start(ctx context.Context, dir string, env []string, token string, ready drive.Request, program string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, filepath.Base(program)+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.CommandContext(ctx, program, args...), done: make(chan error, 1), log: log.Name(), client: drive.New(token)}
	p.cmd.Env = append(environ(), env...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- p.cmd.Wait() }()
	if err := p.wait(ctx, ready); err != nil {
		return nil, fmt.Errorf("%w; its log ends with:\n%s", err, tail(p.log))
	}
	p.started = time.Since(began)
	return p, nil
}

// environ is the environment without settings of either system, which would
// change what is measured.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "TRELLIS_") || strings.HasPrefix(v, "OPENFGA_")
	})
}

func (p *process) wait(ctx context.Context, ready drive.Request) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		body, err := p.client.Do(ctx, ready, nil)
		if err == nil && (ready.Right == nil || ready.Right(body)) {
			return nil
		}
		select {
		case <-ctx.Done():
			p.stop()
			return fmt.Errorf("%s does not answer: %v", p.cmd.Path, err)
		case exit := <-p.done:
			p.done <- exit
			return fmt.Errorf("%s ended: %v", p.cmd.Path, exit)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p *process) stop() error {
	p.client.Close()
	p.cmd.Process.Signal(os.Interrupt)
	select {
	case err := <-p.done:
		return err
	case <-time.After(20 * time.Second):
		p.cmd.Process.Kill()
		return fmt.Errorf("%s did not end when asked", p.cmd.Path)
	}
}

// StartTime is how long it took until the server answered.
func (p *process) StartTime() time.Duration { return p.started }

var memory = regexp.MustCompile(`(?m)^Vm(RSS|HWM):\s+(\d+) kB`)

// memory reads what Linux tells of the process.
func (p *process) memory() (now, peak int64) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, 0
	}
	for _, m := range memory.FindAllSubmatch(b, -1) {
		n, _ := strconv.ParseInt(string(m[2]), 10, 64)
		if string(m[1]) == "RSS" {
			now = n << 10
		} else {
			peak = n << 10
		}
	}
	return now, peak
}

func tail(file string) []byte {
	b, _ := os.ReadFile(file)
	if len(b) > 2000 {
		b = b[len(b)-2000:]
	}
	return bytes.TrimSpace(b)
}
