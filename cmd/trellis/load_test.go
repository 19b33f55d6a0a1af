package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/graph/identity"
)

func report(t *testing.T, out string) loadReport {
	t.Helper()
	var r loadReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// decisions are those of the sample, with the flags that it needs.
var decisions = []string{"check", "-f", kubernetes + "/decisions-sample.jsonl", "--subject-type", "user", "--resource-type", "repo", "--permission-prefix", "repo:"}

func TestLoadingTwiceChangesNothing(t *testing.T) {
	s := serve(t)
	first := report(t, s.must(t, "load", "github-org", kubernetes, "--json"))
	want := map[string]map[identity.Effect]int{
		"resource_type": {"created": 1}, "role": {"created": 5}, "organization": {"created": 8}, "user": {"created": 1509},
		"team": {"created": 766}, "repo": {"created": 328}, "membership": {"created": 6337}, "grant": {"created": 726},
	}
	if d := cmp.Diff(want, first.Effects); d != "" {
		t.Error(d)
	}
	if got := s.must(t, decisions...); got != "2000 checks: 1174 allowed, 826 denied; 2000 compared, 0 mismatches\n" {
		t.Error(got)
	}
	second := report(t, s.must(t, "load", "github-org", kubernetes, "--json"))
	for _, e := range want {
		e["unchanged"] = e["created"]
		delete(e, "created")
	}
	if d := cmp.Diff(want, second.Effects); d != "" || second.Changed {
		t.Error(d)
	}
	if first.Revision != second.Revision {
		t.Errorf("the revision went from %s to %s", first.Revision, second.Revision)
	}
}

// write makes a directory of an organization's files.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatTheFilesNoLongerHaveIsTakenAway(t *testing.T) {
	s, dir := serve(t), t.TempDir()
	write(t, dir, map[string]string{
		"o/org.yaml": "default_repository_permission: read\nadmins: [ann]\nmembers: [bob, eve]\nteams:\n  a: {members: [bob, dan], repos: {r: write}, teams: {b: {members: [eve]}}}\n  gone: {members: [eve], repos: {r: admin}}\n",
		"p/org.yaml": "admins: [pat]\n",
	})
	s.must(t, "load", "github-org", dir)
	const byHand = `
- {op: create, node: "group:g", data: {}}
- {op: put_member, set: "group:g", member: "user:eve"}
- {op: put_member, set: "team:o/a", member: "group:g"}
- {op: put_grant, subject: "user:eve", resource: "repo:o/r", role: repo-triage}
- {op: put_grant, subject: "team:o/a", resource: "repo:o/r", role: readonly}
- {op: put_grant, subject: "team:o/a", resource: "organization:o", role: repo-read}
- {op: put_grant, subject: "user:pat", resource: "organization:o", role: repo-triage}
- {op: create, node: "team:by-hand", data: {organization: o, name: By hand}}
- {op: patch, node: "user:dan", data: {status: suspended, email: dan@example.com}}
`
	if code, _, errs := s.trellis(t, byHand, "apply", "-f", "-"); code != 0 {
		t.Fatal(errs)
	}
	if code, out, _ := s.trellis(t, "", "check", "user:eve", "repo:admin", "repo:o/r"); code != 0 {
		t.Fatal(out)
	}
	write(t, dir, map[string]string{
		"o/org.yaml": "default_repository_permission: none\nadmins: [bob]\nmembers: [ann]\nteams:\n  a: {members: [dan], repos: {r: triage}}\n  b: {members: [eve]}\n",
	})
	got := report(t, s.must(t, "load", "github-org", dir, "--org", "o", "--json"))
	want := map[string]map[identity.Effect]int{
		"resource_type": {"unchanged": 1}, "role": {"unchanged": 5}, "organization": {"unchanged": 1}, "user": {"unchanged": 4}, "repo": {"unchanged": 1},
		"team":       {"unchanged": 2, "deleted": 1},
		"membership": {"unchanged": 4, "deleted": 3}, // eve in o, bob in a, b in a
		"grant":      {"created": 2, "deleted": 3},   // default read, ann's admin, a's write
	}
	if d := cmp.Diff(want, got.Effects); d != "" {
		t.Error(d)
	}
	questions := `
{"subject":"user:ann","permission":"repo:read","resource":"repo:o/r","allowed":false}
{"subject":"user:bob","permission":"repo:admin","resource":"repo:o/r","allowed":true}
{"subject":"user:eve","permission":"repo:triage","resource":"repo:o/r","allowed":true}
{"subject":"user:eve","permission":"repo:write","resource":"repo:o/r","allowed":false}
{"subject":"user:dan","permission":"repo:triage","resource":"repo:o/r","allowed":false}
{"subject":"user:pat","permission":"repo:triage","resource":"repo:o/r","allowed":true}
{"subject":"user:pat","permission":"repo:admin","resource":"organization:p","allowed":true}
`
	if code, out, errs := s.trellis(t, questions, "check", "-f", "-"); code != 0 {
		t.Error(out, errs)
	}
	var team map[string]any
	if status := s.get(t, "/api/v1/organizations/o/teams/by-hand", &team); status != 200 {
		t.Errorf("the team made by hand: %d", status)
	}
	again := report(t, s.must(t, "load", "github-org", dir, "--json"))
	if again.Changed {
		t.Errorf("the second load changed %v", again.Effects)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	s := serve(t)
	out := s.must(t, "load", "github-org", kubernetes, "--org", "etcd-io", "--dry-run")
	if !strings.Contains(out, "put            repo:etcd-io/etcd\n") || !strings.Contains(out, "changes would be sent") {
		t.Error(out)
	}
	if code, _, errs := s.trellis(t, "", "check", "user:member-0195", "repo:read", "repo:etcd-io/etcd"); code != exitError {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestALoadNamesTheFileAndLineOfAMistake(t *testing.T) {
	s, dir := serve(t), t.TempDir()
	write(t, dir, map[string]string{"o/org.yaml": "admins: [ann]\nmembres: [bob]\n"})
	code, _, errs := s.trellis(t, "", "load", "github-org", dir)
	if want := "trellis: " + dir + "/o/org.yaml:2: unknown key \"membres\" in an organization\n"; code != exitError || errs != want {
		t.Errorf("exit code %d\n%s", code, errs)
	}
}

func TestALoadByOneWhoMayNotIsRefusedWhole(t *testing.T) {
	s := serve(t)
	var key struct {
		Token string `json:"token"`
	}
	if code, _, errs := s.trellis(t, `[{op: create, node: "service_account:ci", data: {}}]`, "apply", "-f", "-"); code != 0 {
		t.Fatal(errs)
	}
	if status := s.post(t, "/api/v1/api-keys", `{"owner":"service_account:ci","name":"x"}`, &key); status != 201 {
		t.Fatalf("%d", status)
	}
	admin := s.token
	if s.token = key.Token; s.token == "" {
		t.Fatal("no key")
	}
	code, _, errs := s.trellis(t, "", "load", "github-org", kubernetes, "--org", "etcd-io")
	if code != exitError || !strings.Contains(errs, "resource_type:repo") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	s.token = admin
	if status := s.get(t, "/api/v1/organizations/etcd-io", nil); status != 404 {
		t.Errorf("the organization: %d", status)
	}
}

// The catalog gets a project for each repository: owned by the team that may do
// most with it, tagged with the group that the team belongs to.
func TestRepositoriesBecomeProjects(t *testing.T) {
	s := serve(t)
	args := []string{"load", "github-org", kubernetes, "--projects", "--org", "kubernetes-sigs", "--json"}
	first := report(t, s.must(t, args...))
	if n := first.Effects["project"][identity.Created]; n != first.Read.Repositories || n == 0 {
		t.Errorf("%d projects of %d repositories", n, first.Read.Repositories)
	}
	var p struct {
		Team  string                       `json:"team"`
		Tags  []string                     `json:"tags"`
		Types []string                     `json:"types"`
		Links map[string]map[string]string `json:"links"`
	}
	s.get(t, "/api/v1/organizations/kubernetes-sigs/projects/kubespray", &p)
	if p.Team != "kubespray-admins" || !slices.Equal(p.Types, []string{"repository"}) || p.Links["github"]["url"] != "https://github.com/kubernetes-sigs/kubespray" {
		t.Errorf("got %+v", p)
	}
	if again := report(t, s.must(t, args...)); again.Changed || again.Effects["project"][identity.Unchanged] != first.Read.Repositories {
		t.Errorf("a second run: %+v", again)
	}
}
