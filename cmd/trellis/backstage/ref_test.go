package backstage_test

import (
	"strings"
	"testing"

	"trellis/cmd/trellis/backstage"
)

func ref(kind, namespace, name string) backstage.Ref {
	return backstage.Ref{Kind: kind, Namespace: namespace, Name: name}
}

func TestReferencesAreReadAsDocumented(t *testing.T) {
	for _, c := range []struct {
		text, kind, namespace string
		want                  backstage.Ref
	}{
		{"payments", "group", "default", ref("group", "default", "payments")},
		{"Payments", "Group", "Default", ref("group", "default", "payments")},
		{"group:payments", "user", "web", ref("group", "web", "payments")},
		{"web/payments", "group", "default", ref("group", "web", "payments")},
		{"user:web/user-1", "group", "default", ref("user", "web", "user-1")},
		{"resource:db", "", "default", ref("resource", "default", "db")},
		// After the slash, a colon is part of the name.
		{"web/a:b", "group", "default", ref("group", "web", "a:b")},
		{"group:a/b/c", "group", "default", ref("group", "a", "b/c")},
	} {
		got, err := backstage.ParseRef(c.text, c.kind, c.namespace)
		if err != nil || got != c.want {
			t.Errorf("%q: got %v, %v", c.text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "is not of the form", "group:": "is not of the form", ":x": "is not of the form", "/x": "is not of the form", "group:/x": "is not of the form",
		"group:web/": "is not of the form", "a\x00b": "printable", strings.Repeat("x", 300): "at most 255",
	} {
		if _, err := backstage.ParseRef(text, "group", "default"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v", text, err)
		}
	}
	if _, err := backstage.ParseRef("db", "", "default"); err == nil || !strings.Contains(err.Error(), "want kind:name") {
		t.Errorf("without a kind: %v", err)
	}
}

func TestSlugsDependOnTheReferenceAlone(t *testing.T) {
	long := strings.Repeat("n", 63)
	for _, c := range []struct {
		ref  backstage.Ref
		want string
	}{
		{ref("component", "default", "checkout"), "checkout"},
		{ref("group", "default", "checkout"), "checkout"},
		{ref("api", "default", "checkout"), "checkout.api"},
		{ref("system", "web", "checkout"), "web.checkout.system"},
		{ref("component", "web", "check_out.v2"), "web.check_out.v2"},
		{ref("component", long, long), long + "." + long[:27] + "-45944f06"},
	} {
		got := backstage.Slug(c.ref)
		if len(got) > 100 || got != c.want {
			t.Errorf("%v: got %s", c.ref, got)
		}
	}
	a, b := backstage.Slug(ref("component", long, long+"a")), backstage.Slug(ref("component", long, long+"b"))
	if a == b {
		t.Errorf("both are %s", a)
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"a", "group:a", "b/a", "group:b/a", "b/a:c", ":", "/", "::/", "ä:ö/ü"} {
		f.Add(s, "component", "default")
	}
	f.Fuzz(func(t *testing.T, text, kind, namespace string) {
		r, err := backstage.ParseRef(text, kind, namespace)
		if err != nil {
			return
		}
		if r.Kind == "" || r.Namespace == "" || r.Name == "" {
			t.Fatalf("%q: got %v", text, r)
		}
		// The full form of what can be named comes back as it was.
		if !strings.ContainsAny(r.Kind+r.Namespace, ":/") && len(r.String()) <= 255 {
			if again, err := backstage.ParseRef(r.String(), "x", "y"); err != nil || again != r {
				t.Fatalf("%q: %v became %v, %v", text, r, again, err)
			}
		}
		if s := backstage.Slug(r); len(s) > 100 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			t.Fatalf("%v: the slug %q", r, s)
		}
	})
}
