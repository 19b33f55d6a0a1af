package world_test

import (
	"path/filepath"
	"slices"
	"testing"

	"trellis/bench/world"
)

const data = "../../testdata/kubernetes-org"

func read(t *testing.T) *world.World {
	t.Helper()
	w, err := world.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestEveryKnownDecisionIsReproduced(t *testing.T) {
	w := read(t)
	qs, err := w.Decisions(filepath.Join(data, "decisions-sample.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(qs) != 2000 {
		t.Fatalf("%d decisions", len(qs))
	}
	for _, q := range qs {
		if got := w.Level(q.Person, q.Repo) >= q.Level; got != q.Allowed {
			t.Errorf("%s %s %s: %v, want %v", q.Person, q.Level, q.Repo.ID, got, q.Allowed)
		}
	}
}

func TestQuestionsAreHalfAllowedAndRepeatable(t *testing.T) {
	w := read(t)
	a, b := w.Questions(2000, 7), w.Questions(2000, 7)
	if !slices.Equal(a, b) {
		t.Error("the same seed gave other questions")
	}
	yes := 0
	for _, q := range a {
		if q.Allowed {
			yes++
		}
		if q.Allowed != (w.Level(q.Person, q.Repo) >= q.Level) {
			t.Errorf("%+v has the wrong answer", q)
		}
	}
	if yes != 1000 {
		t.Errorf("%d of 2000 are allowed", yes)
	}
}

func TestReadersAreThoseWithMostAndFewest(t *testing.T) {
	w := read(t)
	t.Logf("people %d, teams %d, repositories %d", len(w.People), len(w.Teams), len(w.Repos))
	most, few := w.Readers(20)
	for _, r := range slices.Concat(most, few) {
		if len(r.Repos) == 0 || !slices.Equal(r.Repos, w.Readable(r.Person)) {
			t.Errorf("%s: %d repositories", r.Person, len(r.Repos))
		}
	}
	if len(most[19].Repos) <= len(few[0].Repos) {
		t.Errorf("most %d, few %d", len(most[19].Repos), len(few[0].Repos))
	}
	t.Logf("most read %d to %d, few %d to %d", len(most[19].Repos), len(most[0].Repos), len(few[19].Repos), len(few[0].Repos))
}

func TestNewGrantsDoNotRepeat(t *testing.T) {
	w := read(t)
	pair := w.NewGrants()
	seen := map[string]bool{}
	for i := range 20_000 {
		p, r := pair(i)
		if k := p + " " + r.ID; seen[k] {
			t.Fatalf("%s comes twice", k)
		} else {
			seen[k] = true
		}
	}
}
