package graphtest

import (
	"fmt"
	"time"

	"trellis/graph"
)

var feedCases = []testCase{
	{name: "InfoOfANewStore", own: true, run: testInfo},
	{name: "ChangesInOrder", run: testChanges},
	{name: "Leases", run: testLeases},
	{name: "CursorsOnlyMoveForward", run: testCursors},
	{name: "ClaimsThatMakeNoSense", run: testBadClaims},
	{name: "TrimRespectsConsumers", own: true, run: testTrim},
}

func testInfo(r *room) {
	i := r.info()
	if len(i.Store) < 8 || i.Head != 0 || i.Oldest != 0 {
		r.Errorf("a new store says %+v", i)
	}
	for _, c := range i.Store {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			r.Errorf("the store's id is %q", i.Store)
		}
	}
	for _, n := range r.nodes(graph.Root, graph.Everyone, graph.Authenticated) {
		if n.Revision != 0 || n.Created.IsZero() || n.Created.Nanosecond()%1e6 != 0 {
			r.Errorf("%s is %s", n.Ref, nodeText(&n))
		}
	}
	if list := r.changes(0, 10); len(list) != 0 {
		r.Errorf("a new store has changes: %v", list)
	}
	if res := r.do(put(r.ref("doc", "a"))); res.Revision != 1 {
		r.Errorf("the first revision is %d", res.Revision)
	}
	other := r.open()
	j, err := other.Info(r.ctx)
	if err != nil || j.Store != i.Store || j.Head != 1 {
		r.Errorf("opened again it says %+v, %v; the first time %+v", j, err, i)
	}
	token := graph.Token{Store: i.Store, Revision: 1}.String()
	if _, err := graph.ParseToken(j.Store, token); err != nil {
		r.Errorf("its own token: %v", err)
	}
	_, err = graph.ParseToken(j.Store, "x"+token)
	r.wantKind("another store's token", err, graph.Foreign)
}

func testChanges(r *room) {
	head := r.head()
	var want []string
	var group []graph.Batch
	for i := range 25 {
		b := r.batch(putProps(r.ref("doc", fmt.Sprint(i)), graph.Props{"i": i}))
		if i%2 == 0 {
			b.Origin, b.Actor = graph.Origin{}, graph.Ref{}
		}
		if group = append(group, b); len(group) == 5 {
			for _, res := range r.commit(group...) {
				want = append(want, text(res.Change))
			}
			group = nil
		}
	}
	for _, limit := range []int{1, 10, 24, 25, 26, 1000} {
		list := r.changes(head, limit)
		if len(list) != min(limit, 25) {
			r.Errorf("limit %d: %d changes", limit, len(list))
		}
		for i := range list {
			r.same("change", text(&list[i]), want[i])
		}
	}
	for _, after := range []graph.Revision{1, 24} {
		if list := r.changes(head+after, 1); len(list) != 1 || list[0].Revision != head+after+1 {
			r.Errorf("after %d: %v", after, list)
		}
	}
	for _, after := range []graph.Revision{25, 1000} {
		if list := r.changes(head+after, 10); len(list) != 0 {
			r.Errorf("after the last: %v", list)
		}
	}
}

func testLeases(r *room) {
	now := r.now()
	consumer := r.prefix + "lease"
	claim := func(holder string, ttl time.Duration, at time.Duration) (graph.Cursor, error) {
		return r.store.Claim(r.ctx, graph.Claim{Consumer: consumer, Holder: holder, TTL: ttl, Cursor: -1, Now: now.Add(at)})
	}
	want := func(what string, c graph.Cursor, err error, holder string, until time.Duration) {
		r.Helper()
		if err != nil {
			r.Errorf("%s: %v", what, err)
		}
		if at := now.Add(until); c.Holder != holder || holder != "" && !c.Until.Equal(at) || holder == "" && !c.Until.IsZero() {
			r.Errorf("%s: held by %q until %v; want %q until %v", what, c.Holder, c.Until, holder, at)
		}
	}
	c, err := claim("one", time.Minute, 0)
	want("taken", c, err, "one", time.Minute)
	c, err = claim("two", time.Minute, time.Minute-time.Millisecond)
	r.wantKind("taken by another", err, graph.Stale)
	want("told who has it", c, nil, "one", time.Minute)
	c, err = claim("two", 0, time.Second)
	r.wantKind("released by another", err, graph.Stale)
	want("told who has it", c, nil, "one", time.Minute)
	c, err = claim("one", time.Minute, 30*time.Second)
	want("renewed", c, err, "one", 90*time.Second)
	c, err = claim("two", time.Hour, 90*time.Second)
	want("run out at its last moment", c, err, "two", 90*time.Second+time.Hour)
	_, err = claim("one", time.Minute, 95*time.Second)
	r.wantKind("the former holder", err, graph.Stale)
	c, err = claim("two", 0, 96*time.Second)
	want("released", c, err, "", 0)
	c, err = claim("one", time.Minute, 97*time.Second)
	want("free again", c, err, "one", 97*time.Second+time.Minute)
}

func testCursors(r *room) {
	r.do(put(r.ref("doc", "a")))
	head := r.head()
	claim := func(consumer, holder string, cursor graph.Revision) graph.Cursor {
		r.Helper()
		c, err := r.store.Claim(r.ctx, graph.Claim{Consumer: consumer, Holder: holder, TTL: time.Minute, Cursor: cursor, Now: r.now()})
		if err != nil {
			r.Fatalf("Claim: %v", err)
		}
		return c
	}
	if c := claim(r.prefix+"new", "h", -1); c.Revision != head {
		r.Errorf("a new consumer starts at %d, want the head %d", c.Revision, head)
	}
	if c := claim(r.prefix+"zero", "h", 0); c.Revision != 0 {
		r.Errorf("a new consumer that says 0 starts at %d", c.Revision)
	}
	c := r.prefix + "moves"
	claim(c, "h", 0)
	for _, step := range [][2]graph.Revision{{1, 1}, {0, 1}, {-1, 1}, {head, head}, {1, head}} {
		if got := claim(c, "h", step[0]); got.Revision != step[1] {
			r.Errorf("cursor %d led to %d, want %d", step[0], got.Revision, step[1])
		}
	}
	// Whoever does not hold the lease does not move it.
	claim(r.prefix+"held", "h", 0)
	got, err := r.store.Claim(r.ctx, graph.Claim{Consumer: r.prefix + "held", Holder: "other", TTL: time.Minute, Cursor: head, Now: r.now()})
	r.wantKind("another holder", err, graph.Stale)
	if got.Revision != 0 {
		r.Errorf("it is told %d", got.Revision)
	}
	if got := claim(r.prefix+"held", "h", -1); got.Revision != 0 {
		r.Errorf("another holder moved the cursor to %d", got.Revision)
	}
	// A release keeps the place.
	if _, err := r.store.Claim(r.ctx, graph.Claim{Consumer: r.prefix + "held", Holder: "h", Cursor: head, Now: r.now()}); err != nil {
		r.Error(err)
	}
	if got := claim(r.prefix+"held", "other", -1); got.Revision != head {
		r.Errorf("after the release the place is %d, want %d", got.Revision, head)
	}
}

func testBadClaims(r *room) {
	for _, c := range []graph.Claim{{Holder: "h", TTL: 1}, {Consumer: "Audit", Holder: "h", TTL: 1}, {Consumer: "audit", TTL: 1}, {Consumer: "audit", Holder: "h", TTL: -1}} {
		c.Now = r.now()
		_, err := r.store.Claim(r.ctx, c)
		r.wantKind(fmt.Sprintf("%+v", c), err, graph.Invalid)
	}
}

func testTrim(r *room) {
	var times []time.Time
	for i := range 10 {
		b := r.batch(put(r.ref("doc", fmt.Sprint(i))))
		b.Time = time.UnixMilli(1_600_000_000_000 + int64(i)*1000).UTC()
		times = append(times, b.Time)
		r.commit(b)
	}
	claim := func(consumer string, at graph.Revision) {
		r.Helper()
		if _, err := r.store.Claim(r.ctx, graph.Claim{Consumer: consumer, Holder: "h", Cursor: at, Now: r.now()}); err != nil {
			r.Fatal(err)
		}
	}
	trim := func(olderThan time.Time, want int, oldest graph.Revision) {
		r.Helper()
		n, err := r.store.Trim(r.ctx, olderThan)
		if err != nil || n != want {
			r.Errorf("trimmed %d, %v; want %d", n, err, want)
		}
		if i := r.info(); i.Oldest != oldest || i.Head != 10 {
			r.Errorf("info %+v, want oldest %d", i, oldest)
		}
		if oldest > 0 {
			_, err := r.store.Changes(r.ctx, oldest-1, 5)
			r.wantKind("changes that are gone", err, graph.Gone)
		}
		if list := r.changes(oldest, 100); len(list) != int(10-oldest) || len(list) > 0 && list[0].Revision != oldest+1 {
			r.Errorf("after the oldest: %d changes", len(list))
		}
	}
	claim("fast", 9)
	claim("slow", 3)
	trim(times[0], 0, 0)
	trim(times[0].Add(time.Millisecond), 1, 1)
	trim(times[9].Add(time.Hour), 2, 3)
	trim(times[9].Add(time.Hour), 0, 3)
	claim("slow", 20)
	trim(times[5], 2, 5)
	trim(times[9].Add(time.Hour), 4, 9)
	claim("fast", 10)
	trim(times[9].Add(time.Hour), 1, 10)
	trim(times[9].Add(time.Hour), 0, 10)
	if res := r.do(put(r.ref("doc", "later"))); res.Revision != 11 {
		r.Errorf("the next revision is %d", res.Revision)
	}
	if list := r.changes(10, 5); len(list) != 1 {
		r.Errorf("%d changes after the trim", len(list))
	}
}
