package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/audit"
)

// TestMain lets the test binary stand in for a process that can be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("AUDIT_TEST_CHILD"); dir != "" {
		appendUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// folder is a sink that outlives processes: a file for each batch.
type folder struct {
	audit.Sink
	dir  string
	away atomic.Bool
}

func (f *folder) Deliver(_ context.Context, b audit.Batch) error {
	if f.away.Load() {
		return audit.ErrUnavailable
	}
	var content []byte
	for _, r := range b.Records {
		content = fmt.Appendf(content, "%s %s %d %s %x\n", r.Stream(), r.Meta().Writer, r.Meta().Seq, r.Meta().Hash, audit.AppendBody(nil, r))
	}
	name := filepath.Join(f.dir, b.ID)
	if before, err := os.ReadFile(name); err == nil {
		if !bytes.Equal(before, content) {
			return os.WriteFile(name+".changed", content, 0o600)
		}
		return nil
	}
	if err := os.WriteFile(name+".tmp", content, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}

// records returns what was delivered, in order of the batches of each writer.
func (f *folder) records(t *testing.T) (rs []audit.Record) {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	type file struct {
		writer string
		n      int
	}
	var files []file
	for _, e := range entries {
		writer, n, _ := strings.Cut(e.Name(), "-")
		if strings.HasSuffix(n, ".tmp") {
			continue // killed while writing
		}
		number, err := strconv.Atoi(n)
		if err != nil {
			t.Errorf("%s: a batch came with another content, or a strange name", e.Name())
		}
		files = append(files, file{writer, number})
	}
	slices.SortFunc(files, func(a, b file) int {
		if a.writer != b.writer {
			return strings.Compare(a.writer, b.writer)
		}
		return a.n - b.n
	})
	for _, x := range files {
		content, err := os.ReadFile(filepath.Join(f.dir, fmt.Sprintf("%s-%d", x.writer, x.n)))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			part := strings.Fields(line)
			seq, err1 := strconv.ParseUint(part[2], 10, 64)
			body, err2 := hex.DecodeString(part[4])
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			r := audit.New(audit.Stream(part[0]))
			if err := audit.ParseBody(body, r); err != nil {
				t.Fatal(err)
			}
			m := r.Meta()
			m.Writer, m.Seq = part[1], seq
			if err := m.Hash.UnmarshalText([]byte(part[3])); err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
	}
	return rs
}

// appendUntilKilled is the child: it prints the id of every record that was
// taken, and has a sink that is away half of the time.
func appendUntilKilled(dir string) {
	l, err := audit.OpenLog(audit.LogOptions{Dir: filepath.Join(dir, "spool"), Secret: secret, BatchSize: 200, BatchAge: 5 * time.Millisecond, SyncEvery: 20 * time.Millisecond}.With(0, 64<<10).Impatient())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	sink := &folder{dir: filepath.Join(dir, "sink")}
	go l.Ship(context.Background(), sink)
	go func() {
		for {
			sink.away.Store(rand.IntN(2) == 0)
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
	}()
	out := sync.Mutex{}
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				rs := []audit.Record{decision(id), request(id)}
				if i%7 == 0 {
					rs = append(rs, &audit.Event{RequestID: id, After: strings.Repeat("x", rand.IntN(100_000))})
				}
				if err := l.Append(context.Background(), audit.Level(w%3), rs...); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(id, len(rs))
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestNothingTakenIsLostOrDoubledWhenTheProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"spool", "sink"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	taken := map[string]int{}
	for range 20 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "AUDIT_TEST_CHILD="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		first := make(chan struct{})
		go func() {
			select {
			case <-first:
			case <-t.Context().Done():
			}
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond) // at any moment
			_ = cmd.Process.Kill()
		}()
		lines := bufio.NewScanner(stdout)
		for n := 0; lines.Scan(); n++ {
			if n == 0 {
				close(first)
			}
			id, count, ok := strings.Cut(lines.Text(), " ")
			if number, err := strconv.Atoi(count); ok && err == nil {
				taken[id] = number
			}
		}
		_ = cmd.Wait() // it was killed
		for line := range strings.Lines(stderr.String()) {
			if !strings.Contains(line, "not yet written to the spool") && !strings.Contains(line, "cannot be delivered") && !strings.Contains(line, "are delivered again") {
				t.Error(line)
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	sink := &folder{dir: filepath.Join(dir, "sink")}
	l := openLog(t, audit.LogOptions{Dir: filepath.Join(dir, "spool")})
	ship(t, l, sink)
	flush(t, l)
	rs := sink.records(t)
	checkChains(t, rs)
	came := map[string]int{}
	for _, r := range rs {
		switch r := r.(type) {
		case *audit.Request:
			came[r.RequestID]++
		case *audit.Decision:
			came[r.RequestID]++
		case *audit.Event:
			came[r.RequestID]++
		}
	}
	lost := 0
	for id, n := range taken {
		if came[id] != n {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("of %d appends that returned, %d were not delivered exactly once", len(taken), lost)
	}
	if st := l.State(); st.Damaged != 0 || st.Refused != 0 || st.Backlog != 0 {
		t.Errorf("%+v", st)
	}
	t.Logf("%d appends returned in 20 processes; %d records were delivered", len(taken), len(rs))
}
