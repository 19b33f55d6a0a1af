package githuborg_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"trellis/cmd/trellis/githuborg"
)

const kubernetes = "../../../testdata/kubernetes-org"

func TestReadsAllOfKubernetes(t *testing.T) {
	w, err := githuborg.Read(os.DirFS(kubernetes))
	if err != nil {
		t.Fatal(err)
	}
	want := githuborg.Counts{Organizations: 8, People: 1509, Teams: 766, Repositories: 328}
	if got := w.Counts(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOneOrganizationCanBePicked(t *testing.T) {
	w, err := githuborg.Read(os.DirFS(kubernetes), "etcd-io")
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Orgs) != 1 || w.Orgs[0].Name != "etcd-io" {
		t.Errorf("got %+v", w.Orgs)
	}
	_, err = githuborg.Read(os.DirFS(kubernetes), "etcd")
	if err == nil || !strings.Contains(err.Error(), "there are etcd-io, kubernetes,") {
		t.Errorf("got %v", err)
	}
}

func files(kv ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = &fstest.MapFile{Data: []byte(kv[i+1])}
	}
	return m
}

func TestTeamsOfAllFilesComeTogether(t *testing.T) {
	w, err := githuborg.Read(files(
		"o/org.yaml", "name: The O\ndefault_repository_permission: read\nadmins: [Ann]\nmembers: [bob, ann]\nrepos:\n  one: {description: x}\nteams:\n  a:\n    members: [BOB, eve]\n    maintainers: [ann]\n    repos: {One: write, two: none}\n    teams:\n      b:\n        previously: [old]\n",
		"o/deep/er/teams.yml", "teams:\n  c: {}\n  d:\n",
		"o/deep/OWNERS", "not: [yaml",
		"o/empty.yaml", "",
		"notes/readme.yaml", "anything: at all\n",
	))
	if err != nil {
		t.Fatal(err)
	}
	o := w.Orgs[0]
	got := map[string][]string{"admins": o.Admins, "members": o.Members, "repos": o.Repos, "in": o.InOrg()}
	for _, team := range o.Teams {
		got["team "+team.Name+" in "+team.Parent] = team.Members
	}
	want := map[string][]string{
		"admins": {"ann"}, "members": {"ann", "bob"}, "repos": {"one", "two"}, "in": {"ann", "bob"},
		"team a in ": {"ann", "bob", "eve"}, "team b in a": nil, "team c in ": nil, "team d in ": nil,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := o.Teams[0].Repos["one"].Permission(); got != "repo:write" {
		t.Errorf("team a has %s on one", got)
	}
}

func TestMistakesAreNamedByFileAndLine(t *testing.T) {
	_, err := githuborg.Read(files(
		"o/org.yaml", "name: O\ndefault_repository_permission: reed\nmember: [ann]\nteams:\n  a:\n    members: ann\n    repos:\n      r: pull\n  a: {}\n",
		"o/x/teams.yaml", "members: [bob]\nteams:\n  A: {}\n  b: {members: [\"x y\", ~, {z: 1}]}\n",
		"p/org.yaml", "teams: [\n",
		"q/org.yaml", "[]\n",
	))
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var p *githuborg.Problem
		if !errors.As(e, &p) {
			t.Errorf("%v is no Problem", e)
		}
		got = append(got, e.Error())
	}
	want := []string{
		`o/org.yaml:2: default_repository_permission: "reed" is not a permission: want one of none, read, triage, write, maintain, admin`,
		`o/org.yaml:3: unknown key "member" in an organization`,
		`o/org.yaml:6: team a: members: want a list of logins`,
		`o/org.yaml:8: team a: r: "pull" is not a permission: want one of none, read, triage, write, maintain, admin`,
		`o/org.yaml:9: teams: the key "a" is here a second time; the first is on line 5`,
		`o/x/teams.yaml:1: unknown key "members": only org.yaml has more than teams`,
		`o/x/teams.yaml:3: the team "A" is here a second time; the first is at o/org.yaml:5`,
		`o/x/teams.yaml:4: team b: members: the name "x y" has a blank in it`,
		`o/x/teams.yaml:4: team b: members: want a name`,
		`o/x/teams.yaml:4: team b: members: want a name`,
		`p/org.yaml:1: did not find expected node content`,
		`q/org.yaml:1: organization: want a mapping`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAFolderWithoutOrganizationsIsRefused(t *testing.T) {
	_, err := githuborg.Read(files("a.txt", "x"))
	if err == nil || !strings.Contains(err.Error(), "org.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestAliasesCannotBlowAFileUp(t *testing.T) {
	var b strings.Builder
	b.WriteString("teams:\n  first:\n    members: &all [" + strings.Repeat("x,", 2_000) + "x]\n")
	for i := range 2_000 {
		fmt.Fprintf(&b, "  t%d: {members: *all}\n", i)
	}
	_, err := githuborg.Read(files("o/org.yaml", b.String()))
	if err == nil || !strings.Contains(err.Error(), "more than 1000000 entries") {
		t.Errorf("got %.200v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("name: O\nteams:\n  a: {members: [x], repos: {r: read}}\n", "teams: {b: {teams: {c: {}}}}")
	f.Add("teams: &t\n  a:\n    teams: *t\n", "teams: {<<: {}}")
	f.Add("x: &a [*a]", "? [1]\n: 2")
	f.Fuzz(func(t *testing.T, org, teams string) {
		w, err := githuborg.Read(files("o/org.yaml", org, "o/x/t.yaml", teams))
		if (w == nil) == (err == nil) {
			t.Errorf("got %v and %v", w, err)
		}
	})
}
