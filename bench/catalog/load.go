package catalog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"trellis/bench/drive"
)

// Ask is one request of a load, with what it counts as.
type Ask struct {
	drive.Request
	Kind   string
	Caller int // place in the clients of a Load
}

// Took is how long the answers to one kind of request by one caller took, from
// the instant the request was meant to be sent.
type Took struct {
	Kind               string
	Caller             int
	N, Wrong, Failed   int
	P50, P95, P99, Max time.Duration
	Err                error // the first failure
}

// Loaded is what a Load measured.
type Loaded struct {
	Took []Took
	// All is that of all requests together but writes.
	All       Took
	PerSecond float64 // answers
	// Late is how long after its instant a request was sent: the 99th of 100,
	// and the worst. It is part of the times.
	Late, Latest time.Duration
}

type answer struct {
	kind        string
	caller      int
	took, late  time.Duration
	wrong, fail bool
	err         error
}

// Load sends requests at a constant rate, whether those before are answered or
// not, for as long as it is told.
func Load(ctx context.Context, clients []*drive.Client, rate int, d time.Duration, next func(i int) Ask) Loaded {
	n := int(d.Seconds() * float64(rate))
	answers := make([]answer, n)
	var wg sync.WaitGroup
	start := time.Now().Add(100 * time.Millisecond)
	for i := range n {
		ask := next(i)
		meant := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if time.Sleep(time.Until(meant)); ctx.Err() != nil {
			break
		}
		wg.Go(func() { answers[i] = one(ctx, clients[ask.Caller], ask, meant) })
	}
	wg.Wait()
	return summary(answers, time.Since(start))
}

func one(ctx context.Context, c *drive.Client, ask Ask, meant time.Time) answer {
	a := answer{kind: ask.Kind, caller: ask.Caller, late: time.Since(meant)}
	body, err := c.Do(ctx, ask.Request, nil)
	a.took = time.Since(meant)
	switch {
	case err != nil:
		a.fail, a.err = true, err
	case ask.Right != nil && !ask.Right(body):
		a.wrong, a.err = true, fmt.Errorf("%s %s: not what was expected: %.300s", ask.Method, ask.URL, body)
	}
	return a
}

func summary(answers []answer, over time.Duration) Loaded {
	type key struct {
		kind   string
		caller int
	}
	groups := map[key][]answer{}
	var keys []key
	var late []time.Duration
	for _, a := range answers {
		k := key{a.kind, a.caller}
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], a)
		late = append(late, a.late)
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.kind == b.kind {
			return a.caller - b.caller
		}
		if a.kind < b.kind {
			return -1
		}
		return 1
	})
	slices.Sort(late)
	l := Loaded{Late: drive.Quantile(late, 0.99), Latest: drive.Quantile(late, 1)}
	var reads []answer
	done := 0
	for _, k := range keys {
		t := took(groups[k])
		t.Kind, t.Caller = k.kind, k.caller
		l.Took = append(l.Took, t)
		done += t.N
		if !isWrite(k.kind) {
			reads = append(reads, groups[k]...)
		}
	}
	l.All = took(reads)
	l.PerSecond = float64(done) / over.Seconds()
	return l
}

func took(answers []answer) Took {
	var t Took
	var times []time.Duration
	for _, a := range answers {
		switch {
		case a.fail:
			t.Failed++
		case a.wrong:
			t.Wrong++
		default:
			times = append(times, a.took)
		}
		if t.Err == nil {
			t.Err = a.err
		}
	}
	slices.Sort(times)
	t.N = len(times)
	t.P50, t.P95, t.P99, t.Max = drive.Quantile(times, 0.5), drive.Quantile(times, 0.95), drive.Quantile(times, 0.99), drive.Quantile(times, 1)
	return t
}

func isWrite(kind string) bool { return kind == KindPatch }

// KindPatch is the kind of the writes.
const KindPatch = "patch a project"
