package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trellis/audit"
)

// eventually waits for a condition.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for limit := time.Now().Add(60 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// times returns how often each request was delivered.
func times(rs []audit.Record) map[string]int {
	n := map[string]int{}
	for _, r := range rs {
		if r, ok := r.(*audit.Request); ok {
			n[r.RequestID]++
		}
	}
	return n
}

func TestABacklogWaitsOnDiskForTheSink(t *testing.T) {
	l := openLog(t, audit.LogOptions{})
	s := newStore()
	var away atomic.Bool
	away.Store(true)
	s.hook = func(context.Context, audit.Batch) (bool, error) {
		if away.Load() {
			return false, audit.ErrUnavailable
		}
		return true, nil
	}
	ship(t, l, s)
	const total = 200_000
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	for i := 0; i < total; i += 10 {
		var rs []audit.Record
		for j := range 10 {
			rs = append(rs, request(fmt.Sprint(i+j)))
		}
		appendTo(t, l, audit.Must, rs...)
		if i%20_000 == 0 {
			most = max(most, heap())
		}
	}
	eventually(t, "everything to be written", func() bool { return l.State().Bytes > total*300 })
	st := l.State()
	if st.Backlog != total || st.Oldest.IsZero() || !errors.Is(st.Err, audit.ErrUnavailable) {
		t.Errorf("%+v", st)
	}
	// One batch in memory, which is being delivered, and the tail of the spool.
	if grown := int64(most) - int64(before); grown > 64<<20 {
		t.Errorf("the heap has grown by %d MB", grown>>20)
	} else {
		t.Logf("the heap has grown by %d MB, %d MB are on disk", grown>>20, st.Bytes>>20)
	}
	away.Store(false)
	flush(t, l)
	rs := s.all()
	if len(rs) != total {
		t.Errorf("%d came", len(rs))
	}
	checkChains(t, rs)
	if st := l.State(); st.Backlog != 0 || st.Err != nil || st.Bytes > 16<<20 {
		t.Errorf("afterwards %+v", st)
	}
}

func TestARefusedBatchIsSetAsideAndOfferedAgainAfterTheNextStart(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, audit.LogOptions{Dir: dir, BatchSize: 10})
	s := newStore()
	refusedTimes := 0
	s.hook = func(_ context.Context, b audit.Batch) (bool, error) {
		if strings.HasSuffix(b.ID, "-2") {
			refusedTimes++
			return false, fmt.Errorf("%w: it does not look right", audit.ErrRefused)
		}
		return true, nil
	}
	for i := range 5 {
		for j := range 10 {
			appendTo(t, l, audit.Note, request(fmt.Sprint(10*i+j)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_ = l.Flush(ctx) // nobody ships, but the batch is complete
		cancel()
	}
	ship(t, l, s)
	flush(t, l)
	if n := len(s.all()); n != 40 || refusedTimes != 3 {
		t.Errorf("%d came, %d refusals", n, refusedTimes)
	}
	if st := l.State(); st.Refused != 10 || st.Backlog != 0 {
		t.Errorf("%+v", st)
	}
	name := filepath.Join(dir, l.Writer(), "refused-2")
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = openLog(t, audit.LogOptions{Dir: dir})
	refusedTimes = 0
	ship(t, l, s)
	eventually(t, "the batch to be refused again", func() bool { return l.State().Refused == 10 })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	s.hook = nil
	l = openLog(t, audit.LogOptions{Dir: dir})
	ship(t, l, s)
	s.waitFor(t, 50)
	eventually(t, "the file to be removed", func() bool {
		_, err := os.Stat(name)
		return os.IsNotExist(err)
	})
	rs := s.all()
	slices.SortStableFunc(rs, func(a, b audit.Record) int { return int(a.Meta().Seq) - int(b.Meta().Seq) })
	checkChains(t, rs)
}

func TestAnAnswerThatGotLostDoublesNothing(t *testing.T) {
	l := openLog(t, audit.LogOptions{BatchSize: 20})
	s := newStore()
	n := 0
	s.hook = func(context.Context, audit.Batch) (bool, error) {
		if n++; n%2 == 1 {
			return true, fmt.Errorf("%w: the connection broke after it was stored", audit.ErrUnavailable)
		}
		return true, nil
	}
	ship(t, l, s)
	for i := range 100 {
		appendTo(t, l, audit.Note, request(fmt.Sprint(i)))
	}
	flush(t, l)
	checkChains(t, s.all())
	if len(s.all()) != 100 || l.State().Refused != 0 || s.calls < 2*len(s.order) {
		t.Errorf("%d records, %d batches, %d deliveries, %+v", len(s.all()), len(s.order), s.calls, l.State())
	}
}

func TestAnUnknownErrorIsTriedAgain(t *testing.T) {
	l := openLog(t, audit.LogOptions{})
	s := newStore()
	n := 0
	s.hook = func(context.Context, audit.Batch) (bool, error) {
		if n++; n < 5 {
			return false, errors.New("something")
		}
		return true, nil
	}
	ship(t, l, s)
	appendTo(t, l, audit.Note, request("a"))
	flush(t, l)
	if len(s.all()) != 1 || l.State().Refused != 0 {
		t.Errorf("%d records, %+v", len(s.all()), l.State())
	}
}

func TestASlowSinkHoldsNobodyUp(t *testing.T) {
	l := openLog(t, audit.LogOptions{BatchSize: 100})
	s := newStore()
	hangs, goOn := make(chan struct{}, 100), make(chan struct{})
	s.hook = func(ctx context.Context, _ audit.Batch) (bool, error) {
		hangs <- struct{}{}
		select {
		case <-goOn:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	stop := ship(t, l, s)
	appendTo(t, l, audit.Sync, request("first"))
	<-hangs
	// It hangs now, and everything is taken all the same.
	for i := range 5000 {
		appendTo(t, l, audit.Must, request(fmt.Sprint(i)))
	}
	appendTo(t, l, audit.Sync, request("last"))
	// A sink that only ends with its context does not hold up who stops shipping.
	stop()
	go l.Ship(t.Context(), s)
	<-hangs
	close(goOn)
	flush(t, l)
	checkChains(t, s.all())
	if n := len(s.all()); n != 5002 {
		t.Errorf("%d came", n)
	}
}

func TestCloseEndsShipping(t *testing.T) {
	l := openLog(t, audit.LogOptions{})
	s := newStore()
	hangs := make(chan struct{}, 1)
	s.hook = func(ctx context.Context, _ audit.Batch) (bool, error) {
		hangs <- struct{}{}
		<-ctx.Done()
		return false, ctx.Err()
	}
	ended := make(chan struct{})
	go func() { defer close(ended); l.Ship(t.Context(), s) }()
	appendTo(t, l, audit.Note, request("a"))
	<-hangs
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}

func TestFlushEndsWithItsContext(t *testing.T) {
	l := openLog(t, audit.LogOptions{})
	appendTo(t, l, audit.Note, request("a"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := l.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestTheClockMayGoBack(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	l := openLog(t, audit.LogOptions{Now: func() time.Time { return now }, BatchSize: 3})
	s := newStore()
	ship(t, l, s)
	for i := range 10 {
		if i == 5 {
			now = now.Add(-time.Hour)
		}
		appendTo(t, l, audit.Note, request(fmt.Sprint(i)))
	}
	flush(t, l)
	rs := s.all()
	checkChains(t, rs)
	if len(rs) != 10 || rs[0].Meta().Time.Sub(rs[9].Meta().Time) != time.Hour {
		t.Errorf("%d came", len(rs))
	}
	if at := rs[0].Meta().Time; at.Location() != time.UTC || at.Nanosecond() != 123e6 {
		t.Errorf("the time is %v", at)
	}
}

func TestTextIsMadeFitAndTheRestIsKept(t *testing.T) {
	l := openLog(t, audit.LogOptions{})
	s := newStore()
	ship(t, l, s)
	shared := slices.Repeat([]string{"ok", "bad\xff", strings.Repeat("é", 4096)}, 30)
	e := &audit.Event{Actor: strings.Repeat("é", 4096), Reason: "a\xffb", Within: shared, Before: strings.Repeat("x", 1<<20), After: strings.Repeat("y", 3<<20), Revision: 7}
	appendTo(t, l, audit.Note, e)
	flush(t, l)
	got := s.all()[0].(*audit.Event)
	if len(got.Actor) != 4096 || got.Reason != "a?b" || len(got.Within) != 64 || got.Within[1] != "bad?" || len(got.Within[2]) != 4096 || len(got.Before) != 1<<20 || len(got.After) != 1<<20 || got.Revision != 7 {
		t.Errorf("%d %q %d %q %d %d", len(got.Actor), got.Reason, len(got.Within), got.Within[1], len(got.Before), len(got.After))
	}
	if shared[1] != "bad\xff" {
		t.Error("a list that others may have was changed")
	}
	checkChains(t, s.all())
}

// More at once, and larger, than what is put down at once.
func TestLargeAppends(t *testing.T) {
	l := openLog(t, audit.LogOptions{BatchSize: 1000})
	s := newStore()
	ship(t, l, s)
	var rs []audit.Record
	for i := range 5000 {
		e := &audit.Event{RequestID: fmt.Sprint(i)}
		if i%500 == 0 {
			e.Before, e.After = strings.Repeat("b", 1<<20), strings.Repeat("a", 1<<20)
		}
		rs = append(rs, e)
	}
	appendTo(t, l, audit.Note, rs...)
	flush(t, l)
	checkChains(t, s.all())
	if n := len(s.all()); n != 5000 {
		t.Errorf("%d came", n)
	}
}

func TestAFullSpoolIsAnErrorForWhatMustBeRecorded(t *testing.T) {
	l := openLog(t, audit.LogOptions{Limit: 1 << 20, BatchSize: 200})
	s := newStore()
	kept := 0
	for l.State().Dropped == 0 {
		appendTo(t, l, audit.Note, request(fmt.Sprint(kept)))
		kept++
	}
	kept--
	if used := int64(kept) * 300; used < 1<<20*8/10 || used > 1<<20 {
		t.Errorf("notes are dropped after %d bytes", used)
	}
	var err error
	for err == nil {
		if err = l.Append(t.Context(), audit.Must, request(fmt.Sprint(kept))); err == nil {
			kept++
		}
	}
	if !errors.Is(err, audit.ErrFull) {
		t.Errorf("%v", err)
	}
	if err := l.Append(t.Context(), audit.Sync, request("")); !errors.Is(err, audit.ErrFull) {
		t.Errorf("%v", err)
	}
	appendTo(t, l, audit.Note, request("")) // is no error
	if st := l.State(); st.Dropped != 2 || st.Limit != 1<<20 || st.Backlog != int64(kept) {
		t.Errorf("%d are kept: %+v", kept, st)
	}
	ship(t, l, s)
	eventually(t, "room", func() bool {
		return l.Append(t.Context(), audit.Must, request(fmt.Sprint(kept))) == nil
	})
	kept++
	flush(t, l)
	checkChains(t, s.all())
	if n := len(times(s.all())); n != kept {
		t.Errorf("%d of %d came", n, kept)
	}
	if st := l.State(); st.Bytes > 1<<20/4 {
		t.Errorf("%+v", st)
	}
}
