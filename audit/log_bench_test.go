package audit_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/wal"

	"trellis/audit"
)

// void takes everything and keeps nothing.
type void struct{ audit.Sink }

func (void) Deliver(context.Context, audit.Batch) error { return nil }

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAppend tells how many records of 300 bytes go into the spool, and
// what one costs in processor time.
func BenchmarkAppend(b *testing.B) {
	for _, level := range []struct {
		name string
		audit.Level
	}{{"note", audit.Note}, {"must", audit.Must}, {"sync", audit.Sync}} {
		for _, callers := range []int{1, 2, 16, 64, 512} {
			for _, at := range []int{1, 16} {
				b.Run(fmt.Sprintf("%s/callers=%d/records=%d", level.name, callers, at), func(b *testing.B) { benchmarkAppend(b, level.Level, callers, at) })
			}
		}
	}
}

func benchmarkAppend(b *testing.B, level audit.Level, callers, at int) {
	l := openLog(b, audit.LogOptions{Limit: 64 << 30, Logger: slog.New(slog.DiscardHandler)})
	b.ReportAllocs()
	before, begun := cpuTime(), time.Now()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			rs, own := make([]audit.Record, at), make([]audit.Request, at)
			for i := range rs {
				own[i] = *request("0198c1c4-dddd-7b1e-a1b2-3c4d5e6f7a8b")
				rs[i] = &own[i]
			}
			for i := c; i < b.N; i += callers {
				for j := range own {
					own[j].Time = time.Time{}
				}
				if err := l.Append(b.Context(), level, rs...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	n := float64(b.N * at)
	b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/n, "cpu-ns/record")
	b.ReportMetric(n/time.Since(begun).Seconds(), "records/s")
	b.StopTimer()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/1e6, "heap-MB")
}

// BenchmarkBareLog writes the same bytes with the library alone.
func BenchmarkBareLog(b *testing.B) {
	body := audit.AppendBody(nil, request("0198c1c4-dddd-7b1e-a1b2-3c4d5e6f7a8b"))
	for _, synced := range []bool{false, true} {
		for _, group := range []int{1, 256} {
			b.Run(fmt.Sprintf("sync=%v/group=%d", synced, group), func(b *testing.B) {
				log, err := wal.Open(filepath.Join(b.TempDir(), "wal"), &wal.Options{NoSync: !synced, SegmentSize: 8 << 20})
				if err != nil {
					b.Fatal(err)
				}
				defer log.Close()
				before, begun := cpuTime(), time.Now()
				entry := make([]byte, 0, group*(len(body)+20))
				for i := 0; i < b.N; i++ {
					entry = entry[:0]
					for range group {
						entry = append(append(entry, make([]byte, 20)...), body...)
					}
					if err := log.Write(uint64(i+1), entry); err != nil {
						b.Fatal(err)
					}
				}
				n := float64(b.N * group)
				b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/n, "cpu-ns/record")
				b.ReportMetric(n/time.Since(begun).Seconds(), "records/s")
			})
		}
	}
}

// BenchmarkShip tells how fast a backlog is read and turned into records again.
func BenchmarkShip(b *testing.B) {
	l := openLog(b, audit.LogOptions{Limit: 64 << 30})
	rs := make([]audit.Record, 1000)
	for sent := 0; sent < b.N; sent += len(rs) {
		for i := range rs {
			rs[i] = request("0198c1c4-dddd-7b1e-a1b2-3c4d5e6f7a8b")
		}
		appendTo(b, l, audit.Note, rs...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	ship(b, l, void{})
	flush(b, l)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkHash is what the chain costs a record.
func BenchmarkHash(b *testing.B) {
	mac := hmac.New(sha256.New, secret)
	body := make([]byte, 345)
	sum := make([]byte, 0, 32)
	for b.Loop() {
		mac.Reset()
		mac.Write(body)
		sum = mac.Sum(sum[:0])
	}
}

// BenchmarkFsync is what the disk needs for one record that must be on it.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		if _, err := f.Write(make([]byte, 300)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}
