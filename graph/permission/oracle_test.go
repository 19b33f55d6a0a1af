package permission_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trellis/graph"
	"trellis/graph/graphtest"
	"trellis/graph/permission"
)

// TestIndexAgreesWithOracle compares every kind of answer with the rule
// walked edge by edge, after every group of random changes, while readers run
// beside the writer.
func TestIndexAgreesWithOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := graphtest.NewWorld(time.UnixMilli(1_750_000_000_000), func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
		o := graphtest.NewOracle()
		ix := permission.New()
		commit(t, o, w.Start())
		o.Feed(ix)
		stop := readBeside(ix, w)
		defer stop()
		old, asked := ix.View(), map[graph.CheckQuery]bool{}
		for round := range 6 {
			compare(t, ix.View(), o, w)
			var group []graph.Batch
			for i := range 1 + w2(t, 4) {
				group = append(group, w.Batch(100*round+i))
			}
			for q, want := range asked {
				if got := old.Check(q.Subject, q.Permission, q.Resource, q.At); got != want {
					t.Fatalf("a view changed its mind: %v was %v, is %v", q, want, got)
				}
			}
			old, asked = ix.View(), map[graph.CheckQuery]bool{}
			for range 20 {
				q := w.Question()
				asked[q] = o.Check(q)
			}
			ix.Apply(commit(t, o, group))
		}
		compare(t, ix.View(), o, w)
		fresh := permission.New()
		o.Feed(fresh)
		if a, b := fresh.View().Stats(), ix.View().Stats(); a.Nodes != b.Nodes || a.Edges != b.Edges {
			t.Fatalf("loaded: %+v, followed: %+v", a, b)
		}
		compare(t, fresh.View(), o, w)
	})
}

func w2(t *rapid.T, n int) int { return rapid.IntRange(0, n-1).Draw(t, "batches") }

type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func commit(t fataler, o *graphtest.Oracle, group []graph.Batch) (changes []graph.Change) {
	for i := range group {
		if err := group[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	results, err := o.Commit(group)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if r.Change != nil {
			changes = append(changes, *r.Change)
		}
	}
	return changes
}

// readBeside asks all the time, for the race detector and for panics.
func readBeside(ix *permission.Index, w *graphtest.World) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	refs := w.Refs()
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			v := ix.View()
			s, r := refs[i%len(refs)], refs[i*7%len(refs)]
			v.Check(s, "repo:read", r, w.Now)
			v.Explain(s, "repo:read", r, w.Now)
			v.Resources(permission.ResourcesQuery{Subject: s, Permission: "repo:read", Type: "repo", At: w.Now})
			v.Subjects(permission.SubjectsQuery{Resource: r, Permission: "repo:read", Type: "user", At: w.Now})
		}
	})
	return func() { close(done); wg.Wait() }
}

func compare(t *rapid.T, v *permission.View, o *graphtest.Oracle, w *graphtest.World) {
	if v.Revision() != o.Head {
		t.Fatalf("view at %d, oracle at %d", v.Revision(), o.Head)
	}
	for range 60 {
		q := w.Question()
		want := o.Check(q)
		if got := v.Check(q.Subject, q.Permission, q.Resource, q.At); got != want {
			t.Fatalf("check %v: %v, want %v", q, got, want)
		}
		if err := verify(o, q, want, v.Explain(q.Subject, q.Permission, q.Resource, q.At)); err != nil {
			t.Fatalf("explain %v: %v", q, err)
		}
	}
	for range 6 {
		q := w.Question()
		same(t, "permissions", v.Permissions(q.Subject, q.Resource, q.At), o.Permissions(q))
		same(t, "missing", v.Missing(q.Subject, q.Resource, w.AskedPermissions, q.At), o.Missing(q, w.AskedPermissions))
		typ := w.Types[w2(t, len(w.Types))]
		all := o.Resources(q, typ)
		for _, limit := range []int{0, len(all) - 1, len(all), len(all) + 1} {
			pages(t, "resources", limit, all, func(after string) ([]string, bool) {
				return v.Resources(permission.ResourcesQuery{Subject: q.Subject, Permission: q.Permission, Type: typ, After: after, Limit: max(0, limit), At: q.At})
			})
		}
		all = o.Subjects(q, typ)
		for _, limit := range []int{0, len(all) - 1, len(all), len(all) + 1} {
			pages(t, "subjects", limit, all, func(after string) ([]string, bool) {
				return v.Subjects(permission.SubjectsQuery{Resource: q.Resource, Permission: q.Permission, Type: typ, After: after, Limit: max(0, limit), At: q.At})
			})
		}
	}
	for _, r := range w.Refs() {
		if v.Exists(r) != (o.Nodes[r] != nil) {
			t.Fatalf("%v exists: %v", r, v.Exists(r))
		}
	}
}

// pages reads a list page by page; no page may be short while there is more.
func pages(t fataler, what string, limit int, want []string, page func(after string) ([]string, bool)) {
	var got []string
	after, more := "", true
	for more {
		var ids []string
		if ids, more = page(after); more && (limit <= 0 || len(ids) != limit) || limit > 0 && len(ids) > limit {
			t.Fatalf("%s: a page of %d with limit %d, more %v", what, len(ids), limit, more)
		}
		got = append(got, ids...)
		if more {
			after = ids[len(ids)-1]
		}
	}
	same(t, what, got, want)
}

func same(t fataler, what string, got, want []string) {
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// verify looks at an explanation edge by edge.
func verify(o *graphtest.Oracle, q graph.CheckQuery, want bool, x permission.Explanation) error {
	if x.Allowed != want {
		return fmt.Errorf("allowed %v, want %v: %+v", x.Allowed, want, x)
	}
	if x.Allowed == (x.Reason != "") {
		return fmt.Errorf("allowed %v with reason %q", x.Allowed, x.Reason)
	}
	if !x.Allowed && (x.Reason == permission.ReasonExpired) != (len(x.Path) > 0) {
		return fmt.Errorf("reason %q with path %v", x.Reason, x.Path)
	}
	if err := verifyNearest(o, q, x); err != nil || len(x.Path) == 0 {
		return err
	}
	at, grant, expired := q.Subject, false, false
	var below []graph.Ref
	for i, h := range x.Path {
		e := o.Edges[h.EdgeKey]
		if e == nil {
			return fmt.Errorf("hop %v is no edge", h.EdgeKey)
		}
		if e.Expires() != h.Expires || h.Expired != (h.Expires != 0 && h.Expires <= q.At.UnixMilli()) {
			return fmt.Errorf("hop %+v: expires %d", h, e.Expires())
		}
		expired = expired || h.Expired
		switch h.Kind {
		case graph.CanAccess:
			if !(at == h.From || i == 0 && (h.From == graph.Everyone || h.From == graph.Authenticated && q.Subject != graph.Everyone)) || grant || e.Props[graph.PropCondition] != nil && e.Props[graph.PropCondition] != "" {
				return fmt.Errorf("grant %v does not follow", h)
			}
			grant, at = true, h.To
			if acts := e.Props.Strings(graph.PropActions); acts != nil && !slices.Contains(acts, x.Granted) {
				return fmt.Errorf("%s is not in %v", x.Granted, acts)
			}
		case graph.ChildOf:
			if h.To != at {
				return fmt.Errorf("%v does not follow %v", h, at)
			}
			at = h.From
		default:
			if h.From != at && !(grant && h.From.Type == "role" && below == nil) {
				return fmt.Errorf("%v does not follow %v", h, at)
			}
			if grant {
				if below == nil && at != q.Resource {
					return fmt.Errorf("the path ends at %v", at)
				}
				below = append(below, h.To)
			}
			at = h.To
		}
	}
	if below == nil && at != q.Resource || below != nil && at != (graph.Ref{Type: "permission", ID: x.Granted}) {
		return fmt.Errorf("the path ends at %v: %v", at, x.Path)
	}
	if !slices.Contains(graph.Wildcards(q.Permission), x.Granted) || expired == x.Allowed {
		return fmt.Errorf("granted %q, expired %v", x.Granted, expired)
	}
	return nil
}

// verifyNearest looks at what a denial tells besides.
func verifyNearest(o *graphtest.Oracle, q graph.CheckQuery, x permission.Explanation) error {
	for _, h := range append(slices.Clone(x.Has), x.Holders...) {
		k := graph.EdgeKey{From: h.Holder, Kind: graph.CanAccess, To: h.Resource, Key: h.Role}
		if e := o.Edges[k]; e == nil || !slices.Equal(sorted(e.Props.Strings(graph.PropActions)), h.Actions) {
			return fmt.Errorf("%+v is no grant", h)
		}
	}
	for _, h := range x.Holders {
		p := q
		p.Subject = h.Holder
		if n := o.Nodes[h.Holder]; n.Props.String(graph.PropStatus) != "suspended" && !o.Check(p) {
			return fmt.Errorf("%v does not hold it", h.Holder)
		}
	}
	return nil
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}
