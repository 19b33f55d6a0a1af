package graphtest

import (
	"fmt"
	"math"
	"strings"
	"time"

	"trellis/graph"
)

var valueCases = []testCase{
	{name: "PropertiesComeBackAsTheyWent", run: testProps},
	{name: "PropertiesAreReplacedWhole", run: testPropsReplaced},
	{name: "IDsOfEveryShape", run: testIDs},
	{name: "TimesAreMillisecondsUTC", run: testTimes},
}

// values holds one property of every kind and every odd value of it.
func values() graph.Props {
	return graph.Props{
		"text": "plain", "empty": "", "quotes": `"it's" \ back`, "lines": "a\nb\tc\r\u0000d", "unicode": "héllo 日本 🎉 \u2028 <&>",
		"yes": true, "no": false,
		"zero": 0, "one": 1, "minus": -1, "most": int64(math.MaxInt64), "least": int64(math.MinInt64), "beyond_double": int64(1<<53 + 1),
		"half": 0.5, "third": 1.0 / 3, "tiny": 5e-324, "huge": math.MaxFloat64, "negative": -2.25e-10, "whole": 3.0, "whole_huge": 1e20,
		"list": []string{"b", "a", "a", "", `"`, "é"}, "empty_list": []string{}, "one_item": []string{"x"},
		"object": map[string]any{"b": []any{1, 2.5, "x", nil, true, map[string]any{}}, "a": map[string]any{"<": "\u2028"}},
		"array":  []any{1, "two", 3.5}, "empty_object": map[string]any{}, "numbers": []any{1, 2, 3},
		"long": strings.Repeat("0123456789abcdef", 4000), "null": nil, "status": "active", "expires_at": int64(1700000000000),
	}
}

func testProps(r *room) {
	a, b, k := r.ref("doc", "a"), r.ref("doc", "b"), r.kind("K")
	want, err := values().Normalize()
	if err != nil {
		r.Fatal(err)
	}
	res := r.do(putProps(a, values()), put(b), linkProps(key(a, k, b), values()), linkProps(key(b, k, a), nil))
	sameProps := func(what string, got graph.Props) {
		r.Helper()
		for name := range want {
			if fmt.Sprintf("%T %v", got[name], got[name]) != fmt.Sprintf("%T %v", want[name], want[name]) {
				r.Errorf("%s: %s came back as %T %.60v, went as %T %.60v", what, name, got[name], got[name], want[name], want[name])
			}
		}
		if !got.Equal(want) {
			r.Errorf("%s: not equal", what)
		}
	}
	sameProps("node", r.node(a).Props)
	sameProps("edge", r.edgesFrom(a, k)[0].Props)
	for _, e := range r.changes(res.Revision-1, 1)[0].Entries {
		switch {
		case e.Node != nil && e.Node.After.Ref == a:
			sameProps("node in the feed", e.Node.After.Props)
		case e.Edge != nil && e.Edge.After.From == a:
			sameProps("edge in the feed", e.Edge.After.Props)
		}
	}
	if p := r.edgesFrom(b, k)[0].Props; len(p) != 0 {
		r.Errorf("no properties came back as %v", p)
	}
	if res := r.do(putProps(a, values()), linkProps(key(a, k, b), values())); res.Change != nil {
		r.Errorf("the same values again are a change: %.200s", text(res.Change))
	}
}

func testPropsReplaced(r *room) {
	a, b, k := r.ref("doc", "a"), r.ref("doc", "b"), r.kind("K")
	r.do(putProps(a, graph.Props{"x": 1, "y": []string{"a"}, "j": map[string]any{}}), put(b), linkProps(key(a, k, b), graph.Props{"x": 1, "y": "z"}))
	r.do(putProps(a, graph.Props{"x": "one", "z": true}), linkProps(key(a, k, b), graph.Props{"y": int64(5)}))
	r.same("node", string(r.node(a).Props.AppendJSON(nil)), `{"x":"one","z":true}`)
	r.same("edge", string(r.edgesFrom(a, k)[0].Props.AppendJSON(nil)), `{"y":5}`)
	r.do(put(a), link(a, k, b))
	if n, e := r.node(a), r.edgesFrom(a, k)[0]; len(n.Props)+len(e.Props) != 0 {
		r.Errorf("left over: %v, %v", n.Props, e.Props)
	}
}

// ids are the shapes that break careless engines.
var ids = []string{
	"a/b", "a:b", "a//b", "a:/b", ":", "/", "'", `"`, `\`, "`", "%", "_", "%_", "?", "*", "$1", "{x}", "--", ";", "a b", " ", ".", "..", "<a>", "&amp;",
	"é", "e\u0301", "日本語", "🎉", "A", "a", "Z", "B", "0", "~", "null", "user:x", "\u00ff", "\ufffd", "\U0010fffd",
}

func testIDs(r *room) {
	t, k := r.typ("odd"), r.kind("K")
	var refs []graph.Ref
	for _, id := range ids {
		ref := graph.Ref{Type: t, ID: id}
		if err := ref.Validate(); err != nil {
			continue // not all of Unicode is printable
		}
		refs = append(refs, ref)
	}
	long := graph.Ref{Type: t, ID: strings.Repeat("é", graph.MaxID/2)}
	longer := graph.Ref{Type: graph.Type(r.prefix + strings.Repeat("x", graph.MaxType-len(r.prefix))), ID: strings.Repeat("/", graph.MaxID)}
	refs = append(refs, long, longer)
	var steps []graph.Step
	for i, ref := range refs {
		steps = append(steps, putProps(ref, graph.Props{"i": i}))
	}
	for i, ref := range refs {
		to := refs[(i+1)%len(refs)]
		steps = append(steps, graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: ref, Kind: k, To: to, Key: ref.ID}}))
	}
	res := r.do(steps...)
	if len(res.Change.Entries) != 2*len(refs) {
		r.Fatalf("%d entries", len(res.Change.Entries))
	}
	got := r.nodes(append(refs, refs...)...)
	if len(got) != len(refs) {
		r.Fatalf("%d nodes, want %d", len(got), len(refs))
	}
	for i := range got {
		if i > 0 && graph.CompareRefs(got[i-1].Ref, got[i].Ref) >= 0 {
			r.Errorf("%q before %q", got[i-1].Ref, got[i].Ref)
		}
		if j := got[i].Props.Int("i"); got[i].Ref != refs[j] {
			r.Errorf("%q came back as %q", refs[j], got[i].Ref)
		}
	}
	for _, i := range []int{0, 6, 10, 20, len(refs) - 2, len(refs) - 1} {
		e := r.edgesFrom(refs[i], k)
		if len(e) != 1 || e[0].From != refs[i] || e[0].To != refs[(i+1)%len(refs)] || e[0].Key != refs[i].ID {
			r.Errorf("edges from %q: %v", refs[i], e)
		}
		e = r.ask(graph.Question{Name: graph.EdgesByKey, Kind: k, Key: refs[i].ID, Limit: 5}).Edges
		if len(e) != 1 || e[0].From != refs[i] {
			r.Errorf("edges with key %q: %v", refs[i].ID, e)
		}
	}
	r.same("the feed", text(&r.changes(res.Revision-1, 1)[0]), text(res.Change))
}

func testTimes(r *room) {
	a := r.ref("doc", "a")
	for _, at := range []time.Time{
		time.Date(2024, 2, 29, 23, 59, 59, 999e6, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 1e6, time.UTC), time.UnixMilli(0).UTC(),
		time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		b := r.batch(graph.Delete(a))
		c := r.batch(putProps(a, graph.Props{"at": at.UnixMilli()}))
		c.Time = at
		if res := r.commit(b, c)[1]; res.Err != nil {
			r.Fatal(res.Err)
		}
		n := r.node(a)
		if !n.Created.Equal(at) || !n.Updated.Equal(at) || n.Created.Location() != time.UTC || n.Updated.Location() != time.UTC {
			r.Errorf("%v came back as %v and %v", at, n.Created, n.Updated)
		}
		if got := r.changes(n.Revision-1, 1)[0]; !got.Time.Equal(at) || got.Time.Location() != time.UTC {
			r.Errorf("the feed says %v, want %v", got.Time, at)
		}
	}
}
