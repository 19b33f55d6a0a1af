package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"trellis/audit"
)

// onItsOwn runs the calling test in a process of its own, and returns true in that.
func onItsOwn(t *testing.T) bool {
	t.Helper()
	if os.Getenv("AUDIT_TEST_ALONE") != "" {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "AUDIT_TEST_ALONE=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
	return false
}

// limitFiles is how much a file may have: what lies beyond fails like a full disk.
func limitFiles(t *testing.T, n uint64) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		t.Fatal(err)
	}
	l.Cur = min(n, l.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskLosesNothingThatWasTaken(t *testing.T) {
	if !onItsOwn(t) {
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	dir := t.TempDir()
	l := openLog(t, audit.LogOptions{Dir: dir, BatchSize: 100})
	taken := map[string]bool{}
	failed := map[string]bool{}
	n := 0
	add := func(level audit.Level) error {
		id := fmt.Sprint(n)
		n++
		err := l.Append(t.Context(), level, request(id))
		if err == nil {
			taken[id] = true
		} else {
			failed[id] = true
		}
		return err
	}
	for round := range 3 {
		for range 250 {
			if err := add(audit.Level(n % 3)); err != nil {
				t.Fatal(err)
			}
		}
		// The next write is torn, those after it do not even begin.
		files, err := filepath.Glob(filepath.Join(dir, l.Writer(), "wal-*", "0*"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(files[len(files)-1])
		if err != nil {
			t.Fatal(err)
		}
		limitFiles(t, uint64(info.Size())+uint64(10+100*round))
		if err := add(audit.Sync); !errors.Is(err, audit.ErrFull) {
			t.Fatalf("%v", err)
		}
		limitFiles(t, 10)
		if err := add(audit.Must); !errors.Is(err, audit.ErrFull) {
			t.Fatalf("%v", err)
		}
		before := l.State()
		if before.Err == nil {
			t.Error("the state tells of no error")
		}
		appendTo(t, l, audit.Note, request("dropped"))
		if st := l.State(); st.Dropped != before.Dropped+1 {
			t.Errorf("%+v", st)
		}
		limitFiles(t, 1<<62)
		eventually(t, "the writing to go on", func() bool { return add(audit.Sync) == nil })
		if st := l.State(); st.Err != nil {
			t.Errorf("%+v", st)
		}
	}
	s := newStore()
	ship(t, l, s)
	flush(t, l)
	rs := s.all()
	checkChains(t, rs)
	came := times(rs)
	for id := range taken {
		if came[id] != 1 {
			t.Errorf("%s came %d times", id, came[id])
		}
	}
	for id, k := range came {
		if k != 1 || !taken[id] && !failed[id] {
			t.Errorf("%s came %d times", id, k)
		}
	}
	t.Logf("%d were taken, %d failed, %d came", len(taken), len(failed), len(came))
}

func TestWhoWaitsForRoomLeavesWithItsContext(t *testing.T) {
	if !onItsOwn(t) {
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	l := openLog(t, audit.LogOptions{})
	limitFiles(t, 10)
	// Both fronts fill before anybody knows that they cannot be written, or one does.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var err error
	for err == nil {
		err = l.Append(ctx, audit.Must, request("a"))
	}
	if !errors.Is(err, audit.ErrFull) {
		t.Error(err)
	}
	limitFiles(t, 1<<62)
}

// The front's file is cut while it is mapped: the worst a disk can do to it.
func TestALogGoesOnWithoutItsFront(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, audit.LogOptions{Dir: dir})
	s := newStore()
	ship(t, l, s)
	for i := range 100 {
		appendTo(t, l, audit.Note, request(fmt.Sprint("before", i)))
	}
	flush(t, l)
	for _, f := range []string{"front-0", "front-1"} {
		if err := os.Truncate(filepath.Join(dir, l.Writer(), f), 0); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		appendTo(t, l, audit.Level(i%3), request(fmt.Sprint("after", i)))
	}
	flush(t, l)
	checkChains(t, s.all())
	if n := len(s.all()); n != 200 || l.State().Damaged != 0 {
		t.Errorf("%d came, %+v", n, l.State())
	}
}

func TestARecordInAFrontThatIsGoneIsCounted(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, audit.LogOptions{Dir: dir, BatchAge: time.Hour}) // writes every 50 ms, so that some are in the front
	appendTo(t, l, audit.Sync, request("before"))
	appendTo(t, l, audit.Note, request("gone"))
	for _, f := range []string{"front-0", "front-1"} {
		if err := os.Truncate(filepath.Join(dir, l.Writer(), f), 0); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(t, l, audit.Sync, request("after"))
	s := newStore()
	ship(t, l, s)
	flush(t, l)
	came := times(s.all())
	st := l.State()
	if came["before"] != 1 || came["after"] != 1 || came["gone"]+int(st.Damaged) != 1 {
		t.Errorf("%v, %+v", came, st)
	}
	if len(breaks(s.all())) != int(st.Damaged) {
		t.Errorf("the chain tells %v", breaks(s.all()))
	}
}

func TestTwoLogsShareADirectoryAndOneInheritsFromTheOther(t *testing.T) {
	dir := t.TempDir()
	s := newStore()
	// Three processes, of which two are gone before they could deliver.
	a := openLog(t, audit.LogOptions{Dir: dir})
	b := openLog(t, audit.LogOptions{Dir: dir})
	c := openLog(t, audit.LogOptions{Dir: dir}.With(10*time.Millisecond, 0))
	if a.Writer() == b.Writer() || b.Writer() == c.Writer() || a.Writer() == c.Writer() {
		t.Fatal("two have the same spool")
	}
	for i := range 100 {
		appendTo(t, a, audit.Note, request(fmt.Sprint("a", i)))
		appendTo(t, b, audit.Note, request(fmt.Sprint("b", i)))
		appendTo(t, c, audit.Note, request(fmt.Sprint("c", i)))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	ship(t, c, s)
	s.waitFor(t, 200)
	if n := times(s.all()); n["b0"] != 0 || n["a0"] != 1 {
		t.Errorf("b came %d times, a %d times", n["b0"], n["a0"])
	}
	eventually(t, "the directory to be removed", func() bool { return !exists(filepath.Join(dir, a.Writer())) })
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	s.waitFor(t, 300)
	eventually(t, "the directory to be removed", func() bool { return !exists(filepath.Join(dir, b.Writer())) })
	if !exists(filepath.Join(dir, c.Writer())) {
		t.Error("it removed its own")
	}
	checkChains(t, s.all())
	if n := len(s.all()); n != 300 {
		t.Errorf("%d came", n)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
