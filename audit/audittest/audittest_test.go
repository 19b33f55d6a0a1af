package audittest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/audittest"
)

// memory is a sink as simple as can be, built on the oracle: whatever it fails
// at is a mistake of the suite.
type memory struct {
	*shared
	keep   audit.Retention
	closed bool
}

// shared is what processes have in common.
type shared struct {
	mu      sync.Mutex
	batches map[string]bool
	records []audit.Record // what was not swept
	counted []audit.Record // all of them
}

var errClosed = errors.New("closed")

func (m *memory) enter(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	return ctx.Err()
}

func (m *memory) Deliver(ctx context.Context, b audit.Batch) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	if n := len(b.ID); n == 0 || n > 200 || slices.ContainsFunc([]byte(b.ID), func(c byte) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.'
	}) {
		return audit.ErrRefused
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.batches[b.ID] {
		m.batches[b.ID] = true
		m.records, m.counted = append(m.records, b.Records...), append(m.counted, b.Records...)
	}
	return nil
}

func (m *memory) Sweep(ctx context.Context, now time.Time) (int, error) {
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.records)
	m.records = slices.DeleteFunc(slices.Clone(m.records), func(r audit.Record) bool {
		d := m.keep[r.Stream()]
		return d > 0 && now.Sub(r.Meta().Time) > d
	})
	return before - len(m.records), nil
}

func (m *memory) Find(ctx context.Context, q audit.Query, yield func(audit.Record) error) error {
	if err := errors.Join(m.enter(ctx), q.Validate()); err != nil {
		return err
	}
	m.mu.Lock()
	found := audittest.Expect(m.records, q)
	m.mu.Unlock()
	return m.each(ctx, found, yield)
}

func (m *memory) each(ctx context.Context, rs []audit.Record, yield func(audit.Record) error) error {
	for _, r := range rs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(r); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *memory) Stats(ctx context.Context, q audit.StatsQuery) ([]audit.Bucket, error) {
	if err := errors.Join(m.enter(ctx), q.Validate()); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return audittest.Count(m.counted, q), nil
}

func (m *memory) LastUsed(ctx context.Context, keys []string) (map[string]time.Time, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	if len(keys) > 1000 {
		return nil, audit.ErrRefused
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	used := map[string]time.Time{}
	for _, r := range m.counted {
		if q, ok := r.(*audit.Request); ok && slices.Contains(keys, q.Key) && q.Time.After(used[q.Key]) {
			used[q.Key] = q.Time
		}
	}
	return used, nil
}

func (m *memory) Writers(ctx context.Context, s audit.Stream) ([]audit.Record, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	if !slices.Contains(audit.Streams, s) {
		return nil, audit.ErrRefused
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var last []audit.Record
	for _, r := range bySeq(m.records, s) {
		if n := len(last); n > 0 && last[n-1].Meta().Writer == r.Meta().Writer {
			last[n-1] = r
		} else {
			last = append(last, r)
		}
	}
	return last, nil
}

func bySeq(rs []audit.Record, s audit.Stream) []audit.Record {
	var out []audit.Record
	for _, r := range rs {
		if r.Stream() == s {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b audit.Record) int {
		x, y := a.Meta(), b.Meta()
		if x.Writer != y.Writer {
			if x.Writer < y.Writer {
				return -1
			}
			return 1
		}
		return int(x.Seq) - int(y.Seq)
	})
	return out
}

func (m *memory) Follow(ctx context.Context, s audit.Stream, writer string, after uint64, yield func(audit.Record) error) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	if !slices.Contains(audit.Streams, s) {
		return audit.ErrRefused
	}
	m.mu.Lock()
	list := slices.DeleteFunc(bySeq(m.records, s), func(r audit.Record) bool { return r.Meta().Writer != writer || r.Meta().Seq <= after })
	m.mu.Unlock()
	return m.each(ctx, list, yield)
}

func (m *memory) Misfiled(ctx context.Context, _ audit.Stream, _ int, _ func(audit.Head) error) error {
	return m.enter(ctx)
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func TestTheSuiteAgreesWithItsOracle(t *testing.T) {
	audittest.Run(t, audittest.Engine{
		New: func(testing.TB) audittest.Place {
			one := &shared{batches: map[string]bool{}}
			return func(_ testing.TB, o audittest.Options) audit.Sink { return &memory{shared: one, keep: o.Retention} }
		},
		Expire: func(t testing.TB, s audit.Sink) {
			if _, err := s.Sweep(context.Background(), time.Now()); err != nil {
				t.Fatal(err)
			}
		},
	})
}
