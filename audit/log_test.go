package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"trellis/audit"
)

// store is a sink that keeps what it gets in memory. Its hook can make it fail.
type store struct {
	audit.Sink
	mu      sync.Mutex
	batches map[string][]byte // the bytes of what each batch had
	order   []string
	records []audit.Record
	calls   int
	changed chan struct{}
	// hook, if set, is called before a batch is stored; after an error it is
	// not, unless store is true.
	hook func(ctx context.Context, b audit.Batch) (store bool, err error)
}

func newStore() *store { return &store{batches: map[string][]byte{}, changed: make(chan struct{})} }

func (s *store) Deliver(ctx context.Context, b audit.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	var err error
	if s.hook != nil {
		s.mu.Unlock()
		var keep bool
		keep, err = s.hook(ctx, b)
		s.mu.Lock()
		if err != nil && !keep {
			return err
		}
	}
	var content []byte
	for _, r := range b.Records {
		content = fmt.Appendf(content, "%s %d %s ", r.Stream(), r.Meta().Seq, r.Meta().Hash)
		content = audit.AppendBody(content, r)
	}
	if before, ok := s.batches[b.ID]; ok {
		if !bytes.Equal(before, content) {
			return fmt.Errorf("%w: batch %s came with another content", audit.ErrRefused, b.ID)
		}
		return err
	}
	s.batches[b.ID] = content
	s.order = append(s.order, b.ID)
	s.records = append(s.records, b.Records...)
	close(s.changed)
	s.changed = make(chan struct{})
	return err
}

func (s *store) all() []audit.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// waitFor returns when there are so many records.
func (s *store) waitFor(t *testing.T, n int) {
	t.Helper()
	limit := time.After(60 * time.Second)
	for {
		s.mu.Lock()
		have, changed := len(s.records), s.changed
		s.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%d of %d records came", have, n)
		}
	}
}

// checkChains fails unless the records of each writer and stream are linked
// without a gap, in the order given, and none is there twice.
func checkChains(t *testing.T, rs []audit.Record) {
	t.Helper()
	if bad := breaks(rs); len(bad) > 0 {
		t.Errorf("%d breaks in the chains, the first: %s", len(bad), bad[0])
	}
}

func breaks(rs []audit.Record) (bad []string) {
	chain := audit.NewChain(secret)
	type key struct {
		writer string
		stream audit.Stream
	}
	last := map[key]audit.Link{}
	for _, r := range rs {
		m := r.Meta()
		k := key{m.Writer, r.Stream()}
		switch before := last[k]; {
		case m.Seq != before.Seq+1:
			bad = append(bad, fmt.Sprintf("%v: %d follows %d", k, m.Seq, before.Seq))
		case chain.Sum(before.Hash, r) != m.Hash:
			bad = append(bad, fmt.Sprintf("%v: the hash of %d does not fit", k, m.Seq))
		}
		last[k] = m.Link
	}
	return bad
}

func openLog(t testing.TB, o audit.LogOptions) *audit.Log {
	t.Helper()
	l, err := audit.OpenLog(defaults(t, o).Impatient())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func defaults(t testing.TB, o audit.LogOptions) audit.LogOptions {
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Secret = secret
	if o.BatchAge == 0 {
		o.BatchAge = 10 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return o
}

// ship delivers until the returned function is called.
func ship(t testing.TB, l *audit.Log, s audit.Sink) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Ship(ctx, s) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

func appendTo(t testing.TB, l *audit.Log, level audit.Level, rs ...audit.Record) {
	t.Helper()
	if err := l.Append(t.Context(), level, rs...); err != nil {
		t.Fatal(err)
	}
}

func flush(t testing.TB, l *audit.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := l.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// request is a record of about 300 bytes that tells which one it is.
func request(id string) *audit.Request {
	return &audit.Request{Actor: "user:0198c1c4-6f3e-7b1e-a1b2-3c4d5e6f7a8b", Key: "key:0198c1c4-aaaa-7b1e-a1b2-3c4d5e6f7a8b", Method: "GET", Route: "/api/v1/projects/{project}/environments/{environment}", Status: 200,
		Latency: 1234, BytesIn: 12, BytesOut: 4567, RequestID: id, Address: "2001:db8:1234:5678::1", Agent: "trellis-go/1.4.2 (linux; amd64) some-deployment-tool/3.14.159 (+https://tools.example.com/deploy)"}
}

func decision(id string) *audit.Decision {
	return &audit.Decision{Actor: "user:0198c1c4-6f3e-7b1e-a1b2-3c4d5e6f7a8b", Question: "check", Subject: "user:0198c1c4-6f3e-7b1e-a1b2-3c4d5e6f7a8b", Permission: "project:read", Resource: "project:0198c1c4-bbbb-7b1e-a1b2-3c4d5e6f7a8b",
		Within: []string{"project:0198c1c4-bbbb-7b1e-a1b2-3c4d5e6f7a8b", "organization:0198c1c4-cccc-7b1e-a1b2-3c4d5e6f7a8b"}, Answer: audit.Allowed, Latency: 40, Weight: 1, RequestID: id, Address: "192.0.2.1", Revision: 123456}
}

func TestRecordsArriveInOrderFromManyWriters(t *testing.T) {
	for _, level := range []audit.Level{audit.Note, audit.Must, audit.Sync} {
		t.Run(fmt.Sprint(level), func(t *testing.T) {
			l := openLog(t, audit.LogOptions{BatchSize: 100}.With(0, 64<<10))
			s := newStore()
			ship(t, l, s)
			const writers, each = 32, 60
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					var last uint64
					for i := range each {
						r := request(fmt.Sprintf("%d-%d", w, i))
						if err := l.Append(t.Context(), level, decision(r.RequestID), r); err != nil {
							t.Error(err)
						}
						if r.Seq <= last || r.Writer != l.Writer() {
							t.Errorf("after %d came %+v", last, r.Link)
						}
						last = r.Seq
					}
				})
			}
			wg.Wait()
			flush(t, l)
			rs := s.all()
			if len(rs) != 2*writers*each {
				t.Errorf("%d records came", len(rs))
			}
			checkChains(t, rs)
			for id, content := range s.batches {
				if n := bytes.Count(content, []byte("/api/v1/projects/")); n > 100 {
					t.Errorf("batch %s has %d", id, n)
				}
			}
			if st := l.State(); st.Backlog != 0 || !st.Oldest.IsZero() || st.Err != nil || st.Dropped+st.Damaged+st.Refused != 0 {
				t.Errorf("%+v", st)
			}
			if got := l.Heads()[audit.Requests]; got.Seq != writers*each {
				t.Errorf("the head is %+v", got)
			}
		})
	}
}

func TestAClosedLogGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	s := newStore()
	var writer string
	for round := range 5 {
		l := openLog(t, audit.LogOptions{Dir: dir})
		if writer == "" {
			writer = l.Writer()
		}
		if l.Writer() != writer {
			t.Errorf("round %d writes as %s", round, l.Writer())
		}
		appendTo(t, l, audit.Note, request("a"), decision("b"))
		if round%2 == 1 {
			ship(t, l, s)
			flush(t, l)
		}
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), audit.Note, request("late")); err == nil {
			t.Error("a closed log takes records")
		}
	}
	l := openLog(t, audit.LogOptions{Dir: dir})
	ship(t, l, s)
	s.waitFor(t, 10)
	checkChains(t, s.all())
	if n := len(s.all()); n != 10 {
		t.Errorf("%d records", n)
	}
	if st := l.State(); st.Damaged != 0 {
		t.Errorf("%+v", st)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "lock": 0o600, "position": 0o600} {
		info, err := os.Stat(filepath.Join(dir, writer, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
