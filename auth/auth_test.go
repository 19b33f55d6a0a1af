package auth_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trellis/auth"
	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/sqlitegraph"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bootstrap = "0123456789abcdef0123456789abcdef"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func secrets(t testing.TB) *auth.Secrets {
	s, err := auth.NewSecrets(strings.Repeat("s", 32))
	must(t, err)
	return s
}

// everything is an Authority under which root may do all and nobody else anything.
type everything struct{ identity.Authority }

func (everything) Check(subject graph.Ref, _ string, _ graph.Ref, _ time.Time) bool {
	return subject == graph.Root
}

func (everything) Conveys(graph.Ref, time.Time) iter.Seq2[graph.Ref, []string] {
	return func(func(graph.Ref, []string) bool) {}
}

func (everything) Missing(graph.Ref, graph.Ref, []string, time.Time) []string { return nil }

func open(t testing.TB, path string, s *auth.Secrets, now func() time.Time) (*graph.Graph, *auth.Keys, func()) {
	store, err := sqlitegraph.Open(path, sqlitegraph.Options{})
	must(t, err)
	keys, err := auth.NewKeys(s, bootstrap, now)
	must(t, err)
	if _, err := keys.Authenticate("Bearer " + bootstrap); graph.KindOf(err) != graph.Unavailable {
		t.Errorf("before the load: %v", err)
	}
	g := graph.New(store, graph.Options{}, keys)
	_, err = g.Sync(context.Background())
	must(t, err)
	return g, keys, func() { g.Close(); must(t, store.Close()) }
}

func TestKeysSurviveARestartAndKeepToTheirRules(t *testing.T) {
	ctx, s, path := context.Background(), secrets(t), filepath.Join(t.TempDir(), "g.db")
	now := time.Now()
	clock := func() time.Time { return now }
	g, keys, closeAll := open(t, path, s, clock)
	ann := graph.Ref{Type: identity.User, ID: "ann"}
	_, err := g.Write(ctx, graph.Batch{Steps: []graph.Step{graph.Put(graph.Node{Ref: ann})}})
	must(t, err)
	issue := func(g *graph.Graph) *auth.Issuer {
		return auth.NewIssuer(g, func() identity.Authority { return everything{} }, s, clock)
	}
	root := identity.Caller{Subject: graph.Root}
	long, short, rotated := auth.NewToken(), auth.NewToken(), auth.NewToken()
	for _, k := range []struct {
		t auth.Token
		f auth.KeyFields
	}{{long, auth.KeyFields{Name: "long"}}, {short, auth.KeyFields{Name: "short", Expires: now.Add(time.Minute)}}, {rotated, auth.KeyFields{Name: "rotated"}}} {
		_, err := issue(g).Create(ctx, root, k.t, ann, k.f, identity.ApplyOptions{})
		must(t, err)
	}
	fresh := rotated.Renew()
	_, err = issue(g).Rotate(ctx, root, fresh, identity.ApplyOptions{})
	must(t, err)

	check := func(keys *auth.Keys, credential string, want bool) {
		t.Helper()
		p, err := keys.Authenticate("Bearer " + credential)
		if (err == nil) != want || want && p.Subject != ann || !want && !errors.Is(err, auth.ErrCredential) {
			t.Errorf("%.22s…: %v %v", credential, p, err)
		}
	}
	all := func(keys *auth.Keys) {
		t.Helper()
		check(keys, long.String(), true)
		check(keys, short.String(), true)
		check(keys, fresh.String(), true)
		check(keys, rotated.String(), false)
		check(keys, auth.Token{ID: long.ID, Secret: short.Secret}.String(), false)
		if p, err := keys.Authenticate("bearer  " + bootstrap); err != nil || p.Subject != auth.Bootstrap || p.Key != "" {
			t.Errorf("bootstrap: %v %v", p, err)
		}
	}
	all(keys)
	closeAll()
	g, keys, closeAll = open(t, path, s, clock)
	defer closeAll()
	all(keys)

	now = now.Add(time.Minute)
	check(keys, short.String(), false)
	_, err = issue(g).Revoke(ctx, root, long.ID, 0, identity.ApplyOptions{})
	must(t, err)
	check(keys, long.String(), false)
	if _, err := issue(g).Revoke(ctx, root, long.ID, 0, identity.ApplyOptions{}); graph.KindOf(err) != graph.NotFound {
		t.Errorf("revoked twice: %v", err)
	}
	if _, err := issue(g).Create(ctx, identity.Caller{Subject: ann}, auth.NewToken(), graph.Ref{Type: identity.User, ID: "bob"}, auth.KeyFields{Name: "x"}, identity.ApplyOptions{}); graph.KindOf(err) != graph.Denied {
		t.Errorf("a key of somebody else: %v", err)
	}
	_, err = g.Write(ctx, graph.Batch{Steps: []graph.Step{graph.Put(graph.Node{Ref: ann, Props: graph.Props{"status": "suspended"}})}})
	must(t, err)
	check(keys, fresh.String(), false)
	_, err = g.Write(ctx, graph.Batch{Steps: []graph.Step{graph.Delete(ann)}})
	must(t, err)
	check(keys, fresh.String(), false)
}

func TestAnotherSecretOpensNothing(t *testing.T) {
	a := secrets(t)
	b, err := auth.NewSecrets(strings.Repeat("t", 32))
	must(t, err)
	sealed := a.Seal("one", []byte("secret"))
	if got, err := a.Open("one", sealed); err != nil || string(got) != "secret" {
		t.Errorf("%q %v", got, err)
	}
	for name, f := range map[string]func() ([]byte, error){
		"another secret": func() ([]byte, error) { return b.Open("one", sealed) },
		"another name":   func() ([]byte, error) { return a.Open("two", sealed) },
		"cut off":        func() ([]byte, error) { return a.Open("one", sealed[:5]) },
	} {
		if _, err := f(); graph.KindOf(err) != graph.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a.Addresses().Sum("x") == b.Addresses().Sum("x") || a.Addresses().Sum("x") == a.Cursors().Sum("x") {
		t.Error("sums of addresses collide")
	}
	if len(a.AuditChain()) != 32 || bytes.Equal(a.AuditChain(), b.AuditChain()) || !bytes.Equal(a.AuditChain(), secrets(t).AuditChain()) {
		t.Error("the audit chain's secret does not follow from the server's")
	}
	if a.Cursors().Sum("x") == b.Cursors().Sum("x") || a.Cursors().Sum("x") == a.Idempotency().Sum("x") || a.Cursors().Sum("ab", "c") == a.Cursors().Sum("a", "bc") {
		t.Error("sums collide")
	}
}

func TestShortSecretsAreRefused(t *testing.T) {
	if _, err := auth.NewSecrets(strings.Repeat("s", 31)); graph.KindOf(err) != graph.Invalid {
		t.Error(err)
	}
	if _, err := auth.NewKeys(secrets(t), bootstrap[1:], time.Now); graph.KindOf(err) != graph.Invalid {
		t.Error(err)
	}
}

func TestTokensCanAlwaysBeTakenApart(t *testing.T) {
	for range 1000 {
		want := auth.NewToken()
		if got, ok := auth.ParseToken(want.String()); !ok || got != want || !auth.IsKeyID(want.ID) {
			t.Fatalf("%s: %v %v", want, got, ok)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	keys, err := auth.NewKeys(secrets(b), bootstrap, time.Now)
	must(b, err)
	keys.Begin()
	token := auth.NewToken()
	keys.Ready(graph.Info{})
	header := "Bearer " + token.String()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = keys.Authenticate(header)
	}
}

func FuzzAuthenticate(f *testing.F) {
	s := secrets(f)
	keys, err := auth.NewKeys(s, bootstrap, time.Now)
	must(f, err)
	keys.Begin()
	keys.Ready(graph.Info{})
	for _, h := range []string{"", "Bearer", "Bearer ", "Bearer x", "Bearer " + bootstrap, "Basic x", "bearer " + auth.NewToken().String(), "Bearer a b", "Bearer tk__"} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p, err := keys.Authenticate(header)
		if err == nil && strings.TrimSpace(header[7:]) != bootstrap {
			t.Errorf("%q is %v", header, p)
		}
		if token, ok := auth.ParseToken(header); ok && token.String() != header {
			t.Errorf("%q reads as %v", header, token)
		}
	})
}
