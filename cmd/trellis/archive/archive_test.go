package archive_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/cmd/trellis/archive"
	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

func open(t *testing.T) graph.Store {
	t.Helper()
	s, err := sqlitegraph.Open(t.TempDir()+"/graph.db", sqlitegraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// filled returns a store with every kind of property in it.
func filled(t *testing.T) graph.Store {
	t.Helper()
	s := open(t)
	user, doc := graph.Ref{Type: "user", ID: "ann: ü\\\"x"}, graph.Ref{Type: "doc", ID: "a/b"}
	b := graph.Batch{ID: "1", Time: time.UnixMilli(1_700_000_000_123).UTC(), Actor: graph.Root, Steps: []graph.Step{
		graph.Put(graph.Node{Ref: user, Names: []string{"email:ann@example.com"}, Props: graph.Props{
			"name": "Ann\n", "n": 1 << 60, "f": 0.5, "b": true, "l": []string{"x", ""}, "o": map[string]any{"z": []any{1, "y"}},
		}}),
		graph.Put(graph.Node{Ref: doc}),
		graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: doc, Kind: graph.ChildOf, To: graph.Root}}),
		graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: user, Kind: graph.CanAccess, To: doc, Key: "r"}, Props: graph.Props{"role": "r", "expires_at": 12}}),
	}}
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	res, err := s.Commit(t.Context(), []graph.Batch{b})
	if err != nil || res[0].Err != nil {
		t.Fatal(err, res[0].Err)
	}
	return s
}

func export(t *testing.T, s graph.Store) (string, archive.Footer) {
	t.Helper()
	var b bytes.Buffer
	_, f, err := archive.Write(t.Context(), &b, s, time.Unix(1_700_000_000, 0), func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), f
}

func restore(ctx context.Context, s graph.Store, text string) error {
	_, f, err := archive.Check(strings.NewReader(text))
	if err != nil {
		return err
	}
	return archive.Import(ctx, s, strings.NewReader(text), f, func(int) {})
}

func TestAGraphComesBackAsItWas(t *testing.T) {
	text, f := export(t, filled(t))
	to := open(t)
	if err := restore(t.Context(), to, text); err != nil {
		t.Fatal(err)
	}
	again, g := export(t, to)
	body := func(s string) string { _, s, _ = strings.Cut(s, "\n"); return s[:strings.LastIndex(s, `{"end"`)] }
	if d := cmp.Diff(body(text), body(again)); d != "" {
		t.Error(d)
	}
	if f.Revision != 1 || g.Revision != 1 || f.Nodes != 5 || f.Edges != 2 {
		t.Errorf("got %+v and %+v", f, g)
	}
}

func TestADamagedFileIsRefusedAndNothingWritten(t *testing.T) {
	text, _ := export(t, filled(t))
	lines := strings.SplitAfter(text, "\n")
	join := strings.Join
	swap := append([]string{}, lines...)
	swap[1], swap[2] = swap[2], swap[1]
	cases := map[string]string{
		"empty":                "",
		"other":                "{}\n",
		"format":               strings.Replace(text, `"format":1`, `"format":2`, 1),
		"cut in a line":        text[:len(text)/2],
		"cut between lines":    join(lines[:4], ""),
		"without the footer":   join(lines[:len(lines)-2], ""),
		"a line missing":       join(lines[:1], "") + join(lines[2:], ""),
		"two lines swapped":    join(swap, ""),
		"a value changed":      strings.Replace(text, "ann@example", "eve@example", 1),
		"the revision changed": strings.Replace(text, `"end":{"revision":1`, `"end":{"revision":2`, 1),
		"something after":      text + "{}\n",
		"twice":                text + text,
		"header changed":       strings.Replace(text, `"store":"`, `"store":"x`, 1),
	}
	for name, damaged := range cases {
		to := open(t)
		if err := restore(t.Context(), to, damaged); graph.KindOf(err) != graph.Corrupt {
			t.Errorf("%s: got %v", name, err)
		}
		if info, err := to.Info(t.Context()); err != nil || info.Head != 0 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

func TestAFileThatChangesBetweenLooksIsRefused(t *testing.T) {
	text, f := export(t, filled(t))
	to := open(t)
	f.Revision++
	if err := archive.Import(t.Context(), to, strings.NewReader(text), f, func(int) {}); graph.KindOf(err) != graph.Corrupt {
		t.Errorf("got %v", err)
	}
	if err := restore(t.Context(), to, text); err != nil {
		t.Errorf("after a refused import: %v", err)
	}
	if err := restore(t.Context(), to, text); graph.KindOf(err) != graph.Exists {
		t.Errorf("into a store that is not empty: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(`{"trellis":"export","format":1,"store":"abcdefgh"}` + "\n" + `{"node":{"ref":"a:b"}}` + "\n" + `{"end":{"revision":1,"nodes":1}}` + "\n")
	f.Add(`{"trellis":"export","format":1}` + "\n" + `{"edge":{"from":"a:b","kind":"X","to":"a:c"}}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _, err := archive.Check(strings.NewReader(text))
		if err != nil && graph.KindOf(err) != graph.Corrupt {
			t.Errorf("got %v", err)
		}
	})
}
