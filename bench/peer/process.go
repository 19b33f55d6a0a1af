package peer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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

// errEnded says that a server ended without an error of its own.
var errEnded = errors.New("without an error")

// FreePort returns a port of the loopback address that nothing listens on.
func FreePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
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
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // a program that was just built, or that the caller names
	p := &process{cmd: cmd, done: make(chan error, 1), log: log.Name(), client: drive.New(token)}
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
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		body, err := p.client.Do(ctx, ready, nil)
		if err == nil && (ready.Right == nil || ready.Right(body)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s does not answer: %w", p.cmd.Path, err), p.stop())
		case exit := <-p.done:
			p.done <- exit
			return fmt.Errorf("%s ended: %w", p.cmd.Path, cmp.Or(exit, errEnded))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p *process) stop() error {
	p.client.Close()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-p.done:
		return err
	case <-time.After(20 * time.Second):
		return errors.Join(fmt.Errorf("%s did not end when asked", p.cmd.Path), p.cmd.Process.Kill())
	}
}

// StartTime is how long it took until the server answered.
func (p *process) StartTime() time.Duration { return p.started }

// CPU returns the processor time that the process has used; 0 where the system
// does not tell.
func (p *process) CPU() time.Duration { return CPU(p.cmd.Process.Pid) }

// CPU is the same for any process.
func CPU(pid int) time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte(") ")) // the name may hold blanks
	f := strings.Fields(string(rest))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks
}

// ticks a second is what Linux counts processor time in.
const ticks = 100

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
