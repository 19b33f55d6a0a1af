package s3storage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/storage"
	"trellis/storage/s3storage"
	"trellis/storage/storagetest"
)

// line is a store behind a line that can fail, and the same past it.
type line struct {
	*storagetest.Proxy
	behind, direct *s3storage.Store
}

func newLine(t *testing.T, attempts int) *line {
	t.Helper()
	o := room(t, either(t))
	direct := open(t, o)
	if err := direct.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := storagetest.NewProxy(t, u.Host)
	o.Endpoint = "http://" + p.Address
	o.Attempts = attempts
	o.Stall = 300 * time.Millisecond
	behind := open(t, o)
	if err := behind.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &line{p, behind, direct}
}

// A test's own patience: longer than the engine's, which must give up first.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func put(ctx context.Context, s storage.Blobs, key storage.Key, b []byte) error {
	return s.Put(ctx, key, bytes.NewReader(b), storagetest.Object(b, "image/png"))
}

func get(ctx context.Context, s storage.Blobs, key storage.Key) ([]byte, error) {
	o, err := s.Open(ctx, key, storage.Range{})
	if err != nil {
		return nil, err
	}
	defer o.Body.Close()
	return io.ReadAll(o.Body)
}

func TestPutThatFailsMidwayStoresNothing(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*line){
		"cut off":     func(l *line) { l.CutUp(2 << 20) },
		"stalled":     func(l *line) { l.StallUp(2 << 20) },
		"cut at once": func(l *line) { l.CutUp(0) },
		"refused":     func(l *line) { l.Refuse() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := patience(t)
			l := newLine(t, 1)
			old, b := storagetest.Bytes(1000, 1), storagetest.Bytes(5<<20, 2)
			if err := put(ctx, l.direct, "old", old); err != nil {
				t.Fatal(err)
			}
			for _, key := range []storage.Key{"old", "new"} {
				fail(l)
				if err := put(ctx, l.behind, key, b); !errors.Is(err, storage.ErrUnavailable) {
					t.Errorf("put %s: %v", key, err)
				}
				if name == "refused" {
					l.Accept(t)
				}
				l.Heal()
			}
			if _, err := l.behind.Stat(ctx, "new"); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("what did not arrive is there: %v", err)
			}
			if got, err := get(ctx, l.behind, "old"); err != nil || !bytes.Equal(got, old) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if err := put(ctx, l.behind, "new", b); err != nil {
				t.Errorf("put, the line is back: %v", err)
			}
			if got, err := get(ctx, l.direct, "new"); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestPutWhoseAnswerIsLostIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	l := newLine(t, 1)
	b := storagetest.Bytes(1<<20, 2)
	l.CutDown(0)
	if err := put(ctx, l.behind, "k", b); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	got, err := get(ctx, l.direct, "k")
	if !errors.Is(err, storage.ErrNotFound) && (err != nil || !bytes.Equal(got, b)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestPutIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*testing.T, *line){
		"cut off": func(_ *testing.T, l *line) { l.CutUp(2 << 20) },
		"refused for a while": func(t *testing.T, l *line) {
			l.Refuse()
			timer := time.AfterFunc(500*time.Millisecond, func() { l.Accept(t) })
			t.Cleanup(func() { timer.Stop() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := patience(t)
			l := newLine(t, 10)
			b := storagetest.Bytes(5<<20, 2)
			fail(t, l)
			if err := put(ctx, l.behind, "k", b); err != nil {
				t.Fatal(err)
			}
			if got, err := get(ctx, l.direct, "k"); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestReadingThatFailsMidwaySaysSo(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*line){
		"cut off": func(l *line) { l.CutDown(2 << 20) },
		"stalled": func(l *line) { l.StallDown(2 << 20) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := patience(t)
			l := newLine(t, 1)
			b := storagetest.Bytes(5<<20, 2)
			if err := put(ctx, l.direct, "k", b); err != nil {
				t.Fatal(err)
			}
			fail(l)
			got, err := get(ctx, l.behind, "k")
			if !errors.Is(err, storage.ErrUnavailable) || !bytes.HasPrefix(b, got) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			l.Heal()
			if got, err := get(ctx, l.behind, "k"); err != nil || !bytes.Equal(got, b) {
				t.Errorf("the line is back: %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestEveryCallEndsWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	l := newLine(t, 1)
	l.StallUp(0)
	for name, call := range map[string]func() error{
		"ping":       func() error { return l.behind.Ping(ctx) },
		"open":       func() error { _, err := l.behind.Open(ctx, "k", storage.Range{}); return err },
		"stat":       func() error { _, err := l.behind.Stat(ctx, "k"); return err },
		"list":       func() error { _, err := l.behind.List(ctx, "", "", 10); return err },
		"delete":     func() error { return l.behind.Delete(ctx, "k") },
		"delete two": func() error { return l.behind.Delete(ctx, "k", "l") },
	} {
		if err := call(); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUploadsInParallelAreNotInMemory is not parallel to others: it counts
// everything that is allocated.
func TestUploadsInParallelAreNotInMemory(t *testing.T) {
	s := open(t, room(t, either(t)))
	b := storagetest.Bytes(10<<20, 1)
	o := storagetest.Object(b, "image/png")
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var g sync.WaitGroup
	for i := range 32 {
		g.Go(func() {
			if err := s.Put(t.Context(), storage.Key("k"+string(rune('a'+i%26))), bytes.NewReader(b), o); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	runtime.ReadMemStats(&after)
	used := after.TotalAlloc - before.TotalAlloc
	t.Logf("32 uploads of 10 MB allocated %d kB in all", used>>10)
	if used > 32<<20 {
		t.Errorf("32 uploads of 10 MB allocated %d MB", used>>20)
	}
}

// TestPutReadsOnce would notice the SDK reading the body for a hash of its own.
func TestPutReadsOnce(t *testing.T) {
	t.Parallel()
	s := open(t, room(t, either(t)))
	b := storagetest.Bytes(1<<20, 1)
	r := &counting{Reader: bytes.NewReader(b)}
	if err := s.Put(t.Context(), "k", r, storagetest.Object(b, "image/png")); err != nil {
		t.Fatal(err)
	}
	if r.read != len(b) {
		t.Errorf("%d bytes were read of %d", r.read, len(b))
	}
}

type counting struct {
	*bytes.Reader
	read int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// WriteTo is not there for who would take it for reading.
func (c *counting) WriteTo(io.Writer) (int64, error) { return 0, errors.ErrUnsupported }

func TestWrongSettingsAreRefusedWithoutTellingSecrets(t *testing.T) {
	t.Parallel()
	good := server(t, versity)
	good.Attempts = 1
	for name, change := range map[string]func(*s3storage.Options){
		"a wrong secret":       func(o *s3storage.Options) { o.SecretKey = "a-secret-that-is-wrong" },
		"an unknown key":       func(o *s3storage.Options) { o.AccessKey = "AKIANOBODYKNOWSTHIS1" },
		"a bucket not there":   func(o *s3storage.Options) { o.Bucket, o.Create = "trellis-not-there", false },
		"a region that is not": func(o *s3storage.Options) { o.Region = "eu-nowhere-1" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := good
			change(&o)
			s := open(t, o)
			b := storagetest.Bytes(10, 1)
			_, statErr := s.Stat(t.Context(), "k")
			_, openErr := s.Open(t.Context(), "k", storage.Range{})
			_, listErr := s.List(t.Context(), "", "", 10)
			for what, err := range map[string]error{
				"ping": s.Ping(t.Context()), "put": put(t.Context(), s, "k", b), "stat": statErr, "open": openErr, "list": listErr,
				"delete": s.Delete(t.Context(), "k"), "delete two": s.Delete(t.Context(), "k", "l"),
			} {
				if !errors.Is(err, storage.ErrRefused) {
					t.Errorf("%s: %v", what, err)
					continue
				}
				for _, secret := range []string{o.SecretKey, o.AccessKey, "Signature="} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("%s tells %q: %v", what, secret, err)
					}
				}
			}
		})
	}
}

func TestBucketIsMadeOnRequest(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{localStack, versity} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			o := server(t, variable)
			o.Bucket, o.Create = "t-"+strings.TrimSuffix(strings.TrimPrefix(room(t, o).Prefix, "t-"), "/"), true
			first, second := open(t, o), open(t, o)
			b := storagetest.Bytes(10, 1)
			var g sync.WaitGroup
			for i, s := range []*s3storage.Store{first, second, first, second} {
				g.Go(func() {
					if err := put(t.Context(), s, storage.Key("k"+string(rune('a'+i))), b); err != nil {
						t.Error(err)
					}
				})
			}
			g.Wait()
			empty(t, o)
			if err := s3storage.DeleteBucket(first); err != nil {
				t.Fatal(err)
			}
			if err := put(t.Context(), first, "k", b); !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("put, the bucket has gone: %v", err)
			}
			if err := put(t.Context(), first, "k", b); err != nil {
				t.Errorf("put, once more: %v", err)
			}
			empty(t, o)
			if err := s3storage.DeleteBucket(first); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestListAndDeleteGoOnBeyondAPage(t *testing.T) {
	t.Parallel()
	s := open(t, room(t, either(t)))
	s.SetPage(3)
	var keys []storage.Key
	for i := range 10 {
		keys = append(keys, storage.Key("k/"+string(rune('a'+i))))
		if err := put(t.Context(), s, keys[i], storagetest.Bytes(i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{2, 3, 4, 6, 10, 50} {
		found, err := s.List(t.Context(), "k/", "k/a", limit)
		if err != nil || len(found) != min(limit, 9) {
			t.Fatalf("%d of %d, %v", len(found), limit, err)
		}
		for i, info := range found {
			if info.Key != keys[i+1] {
				t.Errorf("%d: %s", i, info.Key)
			}
		}
	}
	if err := s.Delete(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	if found, err := s.List(t.Context(), "", "", 10); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}
