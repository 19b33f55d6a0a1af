package uploads_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"trellis/storage"
	"trellis/storage/s3storage"
	"trellis/storage/storagetest"
)

// proxied puts a proxy before the server of the site's bucket.
func (s site) proxied(t *testing.T) (site, *storagetest.Proxy) {
	t.Helper()
	o, err := s3storage.Parse(s.files)
	must(t, err)
	endpoint, err := url.Parse(o.Endpoint)
	must(t, err)
	p := storagetest.NewProxy(t, endpoint.Host)
	u, err := url.Parse(s.files)
	must(t, err)
	q := u.Query()
	q.Set("endpoint", "http://"+p.Address)
	q.Set("public_endpoint", o.Endpoint)
	u.RawQuery = q.Encode()
	s.files = u.String()
	return s, p
}

// hurried gives up soon.
func hurried(o *s3storage.Options) {
	o.Attempts, o.Timeout, o.Stall = 1, 3*time.Second, time.Second
}

// The server of the blobs goes away before, or in the middle of, each step of
// what a process does, and comes back afterwards.
func TestServerGoneAtEveryStep(t *testing.T) {
	server := versity
	if os.Getenv(server) == "" {
		server = localStack
	}
	place := bucket(t, server)
	for name, p := range plays {
		t.Run(name, func(t *testing.T) {
			base := settledSite(t)
			for step, going := 1, true; going; step++ {
				for _, when := range []moment{before, during} {
					s := base.copy(t)
					s.files = strings.Replace(place, "?", fmt.Sprintf("/%d-%s?", step, when), 1)
					p.prepared(t, s)
					if !p.abandoned(t, s, step, when) && when == before {
						going = false
					}
					if t.Failed() {
						t.Fatalf("gone %s step %d", when, step)
					}
				}
			}
		})
	}
}

// abandoned makes the play while the server goes away at a step, and looks at
// what that leaves. It tells whether there was such a step.
func (p play) abandoned(t *testing.T, s site, step int, when moment) (happened bool) {
	t.Helper()
	through, proxy := s.proxied(t)
	f := &faults{at: func(n int, m moment, _ string) {
		if n == step && m == when {
			happened = true
			proxy.Refuse()
		}
	}}
	w, stop, err := through.open(setup{faults: f, s3: hurried})
	must(t, err)
	defer stop()
	f.on.Store(true)
	err = p.act(w)
	f.on.Store(false)
	if err != nil && !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("while the server was gone: %v", err)
	}
	if happened {
		if _, err := w.Sweep(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("a sweep while the server was gone: %v", err)
		}
		proxy.Accept(t)
	}
	w.isSwept(t)
	p.keeps(t, w)
	if err == nil {
		if err := p.done(w); err != nil {
			t.Errorf("it was acknowledged: %v", err)
		}
	}
	if err := p.again(w); err != nil {
		t.Errorf("again: %v", err)
	}
	_, err = w.Discard(t.Context())
	must(t, err)
	w.isTidy(t)
	w.isCurrent(t)
	return happened
}
