package s3storage_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"trellis/storage"
	"trellis/storage/s3storage"
	"trellis/storage/storagetest"
)

func create(ctx context.Context, s storage.Blobs, key storage.Key, b []byte) error {
	return s.Create(ctx, key, bytes.NewReader(b), storagetest.Object(b, "image/png"))
}

func TestServiceIsSeenToKeepToConditions(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{localStack, versity} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			ctx := patience(t)
			s := open(t, room(t, server(t, variable)))
			for _, key := range []storage.Key{"first", "second"} {
				if err := create(ctx, s, key, storagetest.Bytes(10, 1)); err != nil {
					t.Fatal(err)
				}
				if !s.KeepsConditions() {
					t.Errorf("after the %s one, it is not known that conditions are kept to", key)
				}
			}
		})
	}
}

// unconditional is LocalStack as a service that does not keep to conditions: it
// refuses them, or does not look at them. Reads are held back until so many
// objects have been stored.
func unconditional(t *testing.T, refuses bool, holdUntil int) s3storage.Options {
	t.Helper()
	o := room(t, server(t, localStack)) // which does not look at signatures either
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, o).Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	var mu sync.Mutex
	looked, stored := 0, 0
	all, done := make(chan struct{}), make(chan struct{})
	step := func(n *int, reached chan struct{}) {
		mu.Lock()
		defer mu.Unlock()
		if *n++; *n == holdUntil {
			close(reached)
		}
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		condition := r.Header.Get("If-None-Match") != ""
		if condition && refuses {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusNotImplemented)
			_, _ = w.Write([]byte(`<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented</Message></Error>`))
			return
		}
		r.Header.Del("If-None-Match")
		if r.Method == http.MethodGet && holdUntil > 0 {
			<-done // all have stored theirs
		}
		proxy.ServeHTTP(w, r)
		if holdUntil == 0 || !strings.Contains(r.URL.Path, o.Prefix) {
			return
		}
		switch r.Method {
		case http.MethodHead: // all have looked before one stores
			step(&looked, all)
			<-all
		case http.MethodPut:
			step(&stored, done)
		}
	}))
	t.Cleanup(service.Close)
	o.Endpoint, o.Create = service.URL, false
	return o
}

func TestServiceWithoutConditions(t *testing.T) {
	t.Parallel()
	for name, refuses := range map[string]bool{"refuses them": true, "does not look at them": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := patience(t)
			s := open(t, unconditional(t, refuses, 0))
			b, other := storagetest.Bytes(1000, 1), storagetest.Bytes(100, 2)
			if err := create(ctx, s, "k", b); err != nil {
				t.Fatal(err)
			}
			if err := create(ctx, s, "k", other); !errors.Is(err, storage.ErrExists) {
				t.Errorf("create again: %v", err)
			}
			if got, err := get(ctx, s, "k"); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d other bytes, %v", len(got), err)
			}
			if s.KeepsConditions() {
				t.Error("it is taken for one that keeps to conditions")
			}
		})
	}
}

// Two that have both found nothing: who stores last is the one.
func TestOneOfTwoCreatesWithoutConditions(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	o := unconditional(t, true, 2)
	var errs [2]error
	var wg sync.WaitGroup
	for i := range errs {
		s := open(t, o)
		wg.Go(func() { errs[i] = create(ctx, s, "k", storagetest.Bytes(100, uint64(i))) })
	}
	wg.Wait()
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	if errs[winner] != nil || !errors.Is(errs[1-winner], storage.ErrExists) {
		t.Fatalf("%v and %v", errs[0], errs[1])
	}
	if got, err := get(ctx, open(t, o), "k"); err != nil || !bytes.Equal(got, storagetest.Bytes(100, uint64(winner))) {
		t.Errorf("%d bytes of somebody else, %v", len(got), err)
	}
}

// An answer that is lost leaves open who it was; the object tells.
func TestCreateWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	l := newLine(t, 1)
	b := storagetest.Bytes(1000, 2)
	if err := create(ctx, l.behind, "before", b); err != nil { // so that it need not look first
		t.Fatal(err)
	}
	l.CutDown(0)
	if err := create(ctx, l.behind, "k", b); !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, storage.ErrExists) {
		t.Errorf("create: %v", err)
	}
	if err := create(ctx, l.direct, "k", b); err != nil && !errors.Is(err, storage.ErrExists) {
		t.Errorf("create again: %v", err)
	}
	if got, err := get(ctx, l.direct, "k"); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
