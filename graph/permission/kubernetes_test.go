package permission_test

import (
	"bufio"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/permission"
)

const kubernetesDir = "../../testdata/kubernetes-org"

var levels = []string{"read", "triage", "write", "maintain", "admin"}

type teamFile struct {
	Members, Maintainers []string
	Repos                map[string]string
	Teams                map[string]teamFile
}

type orgFile struct {
	Default         string `yaml:"default_repository_permission"`
	Admins, Members []string
	Repos           map[string]any
	Teams           map[string]teamFile
}

// kubernetes puts the organizations of the Kubernetes project into an oracle.
type kubernetes struct {
	tb    testing.TB
	o     *graphtest.Oracle
	put   map[graph.Ref]bool
	steps []graph.Step
}

func loadKubernetes(tb testing.TB) *graphtest.Oracle {
	k := &kubernetes{tb: tb, o: graphtest.NewOracle(), put: map[graph.Ref]bool{}}
	for i, l := range levels {
		role, perm := graph.Ref{Type: "role", ID: "repo-" + l}, graph.Ref{Type: "permission", ID: "repo:" + l}
		k.node(role, graph.Root)
		k.node(perm, graph.Root)
		k.link(role, graph.Grants, perm)
		if i > 0 {
			k.link(role, graph.Inherits, graph.Ref{Type: "role", ID: "repo-" + levels[i-1]})
		}
	}
	entries, err := os.ReadDir(kubernetesDir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			k.organization(e.Name())
		}
	}
	commit(tb, k.o, []graph.Batch{{ID: "kubernetes", Time: benchTime, Steps: k.steps}})
	return k.o
}

func (k *kubernetes) node(r, parent graph.Ref) {
	if !k.put[r] {
		k.put[r] = true
		k.steps = append(k.steps, graph.Put(graph.Node{Ref: r}))
		k.link(r, graph.ChildOf, parent)
	}
}

func (k *kubernetes) link(from graph.Ref, kind graph.Kind, to graph.Ref) {
	k.steps = append(k.steps, graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: from, Kind: kind, To: to}}))
}

func (k *kubernetes) grant(to, on graph.Ref, level string) {
	role := "repo-" + level
	k.steps = append(k.steps, graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: to, Kind: graph.CanAccess, To: on, Key: role}, Props: graph.Props{graph.PropRole: role}}))
}

func (k *kubernetes) user(name string) graph.Ref {
	r := graph.Ref{Type: "user", ID: name}
	k.node(r, graph.Root)
	return r
}

func (k *kubernetes) organization(name string) {
	org := graph.Ref{Type: "organization", ID: name}
	k.node(org, graph.Root)
	err := filepath.WalkDir(filepath.Join(kubernetesDir, name), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var f orgFile
		if err := yaml.Unmarshal(text, &f); err != nil {
			return err
		}
		for _, m := range slices.Concat(f.Members, f.Admins) {
			k.link(k.user(m), graph.MemberOf, org)
		}
		for _, a := range f.Admins {
			k.grant(k.user(a), org, "admin")
		}
		for r := range f.Repos {
			k.node(graph.Ref{Type: "repo", ID: name + "/" + r}, org)
		}
		if f.Default != "" && f.Default != "none" {
			k.grant(org, org, f.Default)
		}
		for t, team := range f.Teams {
			k.team(org, name, t, team)
		}
		return nil
	})
	if err != nil {
		k.tb.Fatal(err)
	}
}

func (k *kubernetes) team(org graph.Ref, orgName, name string, f teamFile) graph.Ref {
	t := graph.Ref{Type: "team", ID: orgName + "/" + name}
	k.node(t, org)
	for _, m := range slices.Concat(f.Members, f.Maintainers) {
		k.link(k.user(m), graph.MemberOf, t)
	}
	for r, level := range f.Repos {
		repo := graph.Ref{Type: "repo", ID: orgName + "/" + r}
		k.node(repo, org)
		k.grant(t, repo, level)
	}
	for child, c := range f.Teams {
		k.link(k.team(org, orgName, child, c), graph.MemberOf, t)
	}
	return t
}

func kubernetesQuestions(tb testing.TB) (out []question) {
	f, err := os.Open(filepath.Join(kubernetesDir, "decisions-sample.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var d struct {
			Subject, Resource, Permission string
			Allowed                       bool
		}
		if err := json.Unmarshal(s.Bytes(), &d); err != nil {
			tb.Fatal(err)
		}
		out = append(out, question{graph.Ref{Type: "user", ID: d.Subject}, graph.Ref{Type: "repo", ID: d.Resource}, "repo:" + d.Permission, d.Allowed})
	}
	return out
}

// TestKubernetesDecisions asks for the 2,000 decisions that a separate program
// worked out, in every way there is to ask.
func TestKubernetesDecisions(t *testing.T) {
	o := loadKubernetes(t)
	ix := permission.New()
	o.Feed(ix)
	v := ix.View()
	questions := kubernetesQuestions(t)
	if len(questions) != 2000 {
		t.Fatalf("%d decisions", len(questions))
	}
	for i, q := range questions {
		if got := v.Check(q.subject, q.permission, q.resource, benchTime); got != q.allowed {
			t.Fatalf("%+v: %v", q, got)
		}
		cq := graph.CheckQuery{Subject: q.subject, Permission: q.permission, Resource: q.resource, At: benchTime}
		if err := verify(o, cq, q.allowed, v.Explain(q.subject, q.permission, q.resource, benchTime)); err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		if i%20 != 0 {
			continue
		}
		ids, _ := v.Resources(permission.ResourcesQuery{Subject: q.subject, Permission: q.permission, Type: "repo", At: benchTime})
		if slices.Contains(ids, q.resource.ID) != q.allowed {
			t.Fatalf("%+v: resources %v", q, ids)
		}
		ids, _ = v.Subjects(permission.SubjectsQuery{Resource: q.resource, Permission: q.permission, Type: "user", At: benchTime})
		if slices.Contains(ids, q.subject.ID) != q.allowed {
			t.Fatalf("%+v: subjects %v", q, ids)
		}
	}
	pageAll(t, v)
}

// pageAll reads what one member may read page by page.
func pageAll(t *testing.T, v *permission.View) {
	q := permission.ResourcesQuery{Subject: graph.Ref{Type: "user", ID: "member-0135"}, Permission: "repo:read", Type: "repo", At: benchTime}
	all, _ := v.Resources(q)
	if len(all) < 100 || !slices.IsSortedFunc(all, strings.Compare) {
		t.Fatalf("%d repositories", len(all))
	}
	for _, limit := range []int{1, 7, 100, len(all) - 1, len(all), len(all) + 1} {
		pages(t, "repositories", limit, all, func(after string) ([]string, bool) {
			p := q
			p.After, p.Limit = after, limit
			return v.Resources(p)
		})
	}
}

func BenchmarkKubernetes(b *testing.B) {
	o := loadKubernetes(b)
	ix := permission.New()
	o.Feed(ix)
	v := ix.View()
	questions := kubernetesQuestions(b)
	b.Logf("%+v", v.Stats())
	b.Run("check", func(b *testing.B) { benchChecks(b, v, questions) })
	each := func(name string, f func(q *question)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			median(b, func() { i++; f(&questions[i%len(questions)]) })
		})
	}
	each("explain", func(q *question) { v.Explain(q.subject, q.permission, q.resource, benchTime) })
	each("resources", func(q *question) {
		v.Resources(permission.ResourcesQuery{Subject: q.subject, Permission: "repo:read", Type: "repo", Limit: 500, At: benchTime})
	})
	each("subjects", func(q *question) {
		v.Subjects(permission.SubjectsQuery{Resource: q.resource, Permission: "repo:read", Type: "user", Limit: 500, At: benchTime})
	})
	each("permissions", func(q *question) { v.Permissions(q.subject, q.resource, benchTime) })
}
