package graph_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"trellis/graph"
)

func drawProps() *rapid.Generator[graph.Props] {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", `"`, `\`, "a\"b", "é\u2028", "<&>", "\x00\n", "plain", "x\xffy"}))
	value := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.Int64(), func(i int64) any { return i }),
		rapid.Map(rapid.SampledFrom([]int64{0, 1, -1, math.MaxInt64, math.MinInt64}), func(i int64) any { return i }),
		rapid.Map(rapid.Float64(), func(f float64) any { return f }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.SliceOfN(text, 0, 4), func(l []string) any { return l }),
		rapid.Map(text, func(s string) any { return map[string]any{s: []any{s, 1.5, nil, map[string]any{"b": 1, "a": s}}} }),
		rapid.Just[any]([]any{1, "two"}), rapid.Just[any](nil), rapid.Just[any](json.Number("12.50")),
	)
	name := rapid.StringMatching(`[a-z][a-z0-9]{0,5}`)
	return rapid.Custom(func(t *rapid.T) graph.Props {
		p, err := graph.Props(rapid.MapOfN(name, value, 0, 10).Draw(t, "props")).Normalize()
		if err != nil {
			t.Skip(err)
		}
		return p
	})
}

// Every value comes back from its JSON form as it was, by the short way and
// by encoding/json, and both forms say the same.
func TestPropsSurviveTheirJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProps().Draw(t, "props")
		short := p.AppendJSON(nil)
		long, err := json.Marshal(map[string]any(p))
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(short) || !utf8.Valid(short) {
			t.Fatalf("not JSON: %q", short)
		}
		for _, b := range [][]byte{short, long} {
			var q graph.Props
			if err := json.Unmarshal(b, &q); err != nil {
				t.Fatal(err)
			}
			r, err := graph.ParseProps(string(b))
			if err != nil {
				t.Fatal(err)
			}
			if !p.Equal(q) || !p.Equal(r) || len(p) > 0 && !(reflect.DeepEqual(p, q) && reflect.DeepEqual(p, r)) {
				t.Fatalf("%#v\nbecame %#v\nand %#v", p, q, r)
			}
		}
		again, err := p.Normalize()
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("normalizing twice: %#v, then %#v, %v", p, again, err)
		}
	})
}

func TestChangesSurviveTheirJSON(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[a-zA-Z"\\é/:]{1,8}`), rapid.Just("x"))
	rapid.Check(t, func(t *rapid.T) {
		ref := func() graph.Ref { return graph.Ref{Type: "doc", ID: text.Draw(t, "id")} }
		at := time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time")).UTC()
		node := func() *graph.Node {
			return &graph.Node{Ref: ref(), Names: rapid.SliceOfN(text, 0, 2).Draw(t, "names"), Props: drawProps().Draw(t, "props"), Created: at, Updated: at, Revision: 7}
		}
		edge := func() *graph.Edge {
			return &graph.Edge{EdgeKey: graph.EdgeKey{From: ref(), Kind: "K", To: ref(), Key: rapid.SampledFrom([]string{"", "k\""}).Draw(t, "key")}, Props: drawProps().Draw(t, "props"), Created: at, Updated: at, Revision: 8}
		}
		c := graph.Change{Revision: 9, ID: text.Draw(t, "batch"), Time: at, Entries: []graph.Entry{
			{Node: &graph.NodeEntry{Before: node()}}, {Node: &graph.NodeEntry{After: node()}}, {Node: &graph.NodeEntry{Before: node(), After: node()}},
			{Edge: &graph.EdgeEntry{Before: edge()}}, {Edge: &graph.EdgeEntry{After: edge()}}, {Edge: &graph.EdgeEntry{Before: edge(), After: edge()}},
		}}
		if rapid.Bool().Draw(t, "actor") {
			c.Actor = ref()
			c.Origin = graph.Origin{RequestID: text.Draw(t, "request"), Key: text.Draw(t, "key"), Address: text.Draw(t, "address"), Agent: text.Draw(t, "agent")}
		}
		short := c.AppendJSON(nil)
		long, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(short, &a) != nil || json.Unmarshal(long, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%s\nis not\n%s", short, long)
		}
		var back graph.Change
		if err := json.Unmarshal(short, &back); err != nil || string(back.AppendJSON(nil)) != string(short) {
			t.Fatalf("%s came back as %s, %v", short, back.AppendJSON(nil), err)
		}
	})
}

func TestRecordsSurviveTheirJSON(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_001).UTC()
	for _, r := range []graph.Record{
		{Node: &graph.Node{Ref: graph.Root, Created: at, Updated: at}},
		{Edge: &graph.Edge{EdgeKey: graph.EdgeKey{From: graph.Root, Kind: "K", To: graph.Everyone, Key: "x"}, Props: graph.Props{"a": int64(1)}, Created: at, Updated: at, Revision: 3}},
		{},
	} {
		long, err := json.Marshal(r)
		if short := r.AppendJSON(nil); err != nil || string(short) != string(long) {
			t.Errorf("%s is not %s, %v", short, long, err)
		}
	}
}

// The short way must accept nothing that the general way refuses, and read
// nothing differently.
func FuzzParseProps(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a":"x","b":["y",""],"c":true,"d":-5,"e":0}`, `{"a":01}`, `{"a":1,"a":2}`, `{"a":"\u0041"}`, `{"a_json":1}`, `{"A":1}`, `{"a":1.5}`, `{"a":null}`, `{"a":-0}`, `{"a":[]}`, `{"a":"` + "\xff" + `"}`, ` {"a":1}`, `{"a":1}x`, `{"a":[1]}`, `{"a":99999999999999999999}`,
		`{"a":{"b":"x","c":[1,"y",{}],"d":null,"e":true}}`, `{"a":{"c":1,"b":2}}`, `{"a":{"b":1,"b":2}}`, `{"a":{"b":1.50}}`, `{"a":{"b":1e5}}`, `{"a":{"b":-0}}`, `{"a":{"b":01}}`, `{"a":{"":0}}`,
		`{"a":{"b":1}x}`, `{"a":{"b":[[[[[[[[[[1]]]]]]]]]]}}`, `{"a":{"b":"` + "\u2028" + `"}}`, `{"a":{"b":"<é>"}}`, `{"a":{"b": 1}}`, `{"a":{"b":[1,]}}`, `{"a":{"b":truex}}`, `{"a":{"b":-}}`,
		`{"a":{"b":"` + "\uFFFD" + `"}}`, `{"a":{}}`, `{"a":{"b":[]},"c":1}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := graph.ParseProps(s)
		var general map[string]any
		d := json.Unmarshal([]byte(s), &general)
		if d != nil && err == nil {
			t.Fatalf("%q is read as %v, although it is no JSON: %v", s, p, d)
		}
		if err != nil {
			return
		}
		// A leading space sends it the general way.
		q, err := graph.ParseProps(" " + s)
		if err != nil || !reflect.DeepEqual(p, q) && len(p)+len(q) > 0 {
			t.Fatalf("%q is %#v the short way and %#v, %v the general way", s, p, q, err)
		}
	})
}

func TestNormalFormOfOddValues(t *testing.T) {
	for _, c := range []struct{ in, want any }{
		{3.0, int64(3)}, {math.Copysign(0, -1), int64(0)}, {1e20, 1e20}, {float64(1 << 62), int64(1 << 62)}, {2.5, 2.5}, {int32(5), int64(5)}, {uint8(7), int64(7)},
		{[]any{}, []string{}}, {[]string(nil), []string{}}, {[]any{"a"}, []string{"a"}}, {graph.JSON(`["a"]`), []string{"a"}}, {graph.JSON(`{"b": 1, "a":2}`), graph.JSON(`{"a":2,"b":1}`)},
		{json.RawMessage(`[1, 2]`), graph.JSON(`[1,2]`)}, {graph.JSON(`"x"`), "x"}, {"a\xffb", "a\uFFFDb"},
		{map[string]any{"k": "a\xffb"}, graph.JSON("{\"k\":\"a\uFFFDb\"}")}, {map[string]any{"k": `\ufffd`}, graph.JSON(`{"k":"\\ufffd"}`)},
	} {
		p, err := graph.Props{"v": c.in}.Normalize()
		if err != nil || !reflect.DeepEqual(p["v"], c.want) {
			t.Errorf("%#v became %#v, %v; want %#v", c.in, p["v"], err, c.want)
		}
	}
	for _, in := range []any{math.NaN(), math.Inf(1), graph.JSON(`{} {}`), graph.JSON(`{`), string(make([]byte, graph.MaxPropBytes+1)), func() {}} {
		if p, err := (graph.Props{"v": in}).Normalize(); graph.KindOf(err) != graph.Invalid {
			t.Errorf("%.20v is accepted as %.20v, %v", in, p["v"], err)
		}
	}
}

func BenchmarkChangeJSON(b *testing.B) {
	at := time.UnixMilli(1_750_000_000_000).UTC()
	e := &graph.Edge{
		EdgeKey: graph.EdgeKey{From: graph.Ref{Type: "user", ID: "0197f3a2-7c1e-7000-8000-000000000001"}, Kind: graph.CanAccess, To: graph.Ref{Type: "repo", ID: "kubernetes/kubernetes"}, Key: "editor"},
		Props:   graph.Props{graph.PropRole: "editor", graph.PropGrantedBy: "user:0197f3a2-7c1e-7000-8000-000000000002"}, Created: at, Updated: at, Revision: 5,
	}
	c := graph.Change{Revision: 5, ID: "0197f3a2-7c1e-7000-9000-000000000001", Time: at, Actor: e.From, Origin: graph.Origin{RequestID: "req-1"}, Entries: []graph.Entry{{Edge: &graph.EdgeEntry{After: e}}}}
	text := c.AppendJSON(nil)
	b.Run("Append", func(b *testing.B) {
		var buf []byte
		for b.Loop() {
			buf = c.AppendJSON(buf[:0])
		}
	})
	b.Run("Marshal", func(b *testing.B) {
		for b.Loop() {
			if _, err := json.Marshal(&c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Unmarshal", func(b *testing.B) {
		for b.Loop() {
			var c graph.Change
			if err := json.Unmarshal(text, &c); err != nil {
				b.Fatal(err)
			}
		}
	})
}
