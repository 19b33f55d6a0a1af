package world

import (
	"math/rand"
	"slices"
)

// Question is a question with its answer.
type Question struct {
	Person  string
	Repo    *Repo
	Level   Level
	Allowed bool
}

// Questions draws n questions, half of them allowed. People and repositories
// are drawn by zipf, so some are asked about far more often than others. The
// same seed gives the same questions.
func (w *World) Questions(n int, seed int64) []Question {
	r := rand.New(rand.NewSource(seed))
	people, repos := r.Perm(len(w.People)), r.Perm(len(w.Repos))
	zp := rand.NewZipf(r, 1.1, 20, uint64(len(people)-1))
	zr := rand.NewZipf(r, 1.05, 50, uint64(len(repos)-1))
	left := map[bool]int{true: n / 2, false: n - n/2}
	out := make([]Question, 0, n)
	for len(out) < n {
		q := Question{Person: w.People[people[zp.Uint64()]], Repo: w.Repos[repos[zr.Uint64()]], Level: Levels[r.Intn(len(Levels))]}
		q.Allowed = w.Level(q.Person, q.Repo) >= q.Level
		if left[q.Allowed] == 0 {
			continue
		}
		left[q.Allowed]--
		out = append(out, q)
	}
	r.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// Reader is somebody and what they may read.
type Reader struct {
	Person string
	Repos  []string
}

// Readers returns the n people who may read most, and the n who may read
// least, but something.
func (w *World) Readers(n int) (most, few []Reader) {
	var all []Reader
	for _, p := range w.People {
		if ids := w.Readable(p); len(ids) > 0 {
			all = append(all, Reader{p, ids})
		}
	}
	slices.SortStableFunc(all, func(a, b Reader) int { return len(b.Repos) - len(a.Repos) })
	n = min(n, len(all))
	return all[:n], all[len(all)-n:]
}

// NewGrants yields pairs of a person and a repository that no grant names,
// without repeats until all are used up: nobody is granted anything directly
// in the data. The first is pair number from.
func (w *World) NewGrants() func(i int) (person string, r *Repo) {
	return func(i int) (string, *Repo) {
		return w.People[i%len(w.People)], w.Repos[i/len(w.People)%len(w.Repos)]
	}
}
