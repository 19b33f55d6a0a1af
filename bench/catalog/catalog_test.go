package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"trellis/bench/catalog"
	"trellis/bench/drive"
	"trellis/bench/peer"
)

var small = catalog.Options{Organizations: 3, Projects: 60, Users: 12, Sample: 10, Seed: 7}

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "trellis")
	c := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/trellis")
	c.Dir = "../.."
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

func trellis(t *testing.T, program, dir string, args ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, args...)
	c.Env = append(os.Environ(), "TRELLIS_DATA="+dir)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("trellis %v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// What the generator writes is what the server makes of the same catalog when
// it comes over the API, whole and by its own rules.
func TestTheArchiveIsWhatTheAPIWouldHaveMade(t *testing.T) {
	program, dir := build(t), t.TempDir()
	w := catalog.New(small)
	server, err := peer.StartTrellis(t.Context(), program, dir, "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	base := trellis(t, program, dir, "export")
	for _, batch := range w.Mutations() {
		apply(t.Context(), t, server, batch)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	var made bytes.Buffer
	if _, err := w.Write(&made, bytes.NewReader(base), peer.TrellisAccount); err != nil {
		t.Fatal(err)
	}
	want, got := records(t, trellis(t, program, dir, "export")), records(t, made.Bytes())
	if len(want) < 500 {
		t.Fatalf("only %d nodes and edges were exported", len(want))
	}
	for key, w := range want {
		if g, ok := got[key]; !ok {
			t.Errorf("%s is missing", key)
		} else if !reflect.DeepEqual(g, w) {
			t.Errorf("%s\n got %v\nwant %v", key, g, w)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s is too much", key)
		}
	}
	file, other := filepath.Join(t.TempDir(), "made.ndjson"), t.TempDir()
	if err := os.WriteFile(file, made.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	trellis(t, program, other, "import", file)
	if again := records(t, trellis(t, program, other, "export")); !reflect.DeepEqual(again, got) {
		t.Error("what was imported is not what was written")
	}
}

func apply(ctx context.Context, t *testing.T, server *peer.Trellis, mutations []any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"mutations": mutations})
	if err != nil {
		t.Fatal(err)
	}
	r := drive.Request{Method: http.MethodPost, URL: server.URL() + "/api/v1/batch", Body: body}
	if _, err := server.Client().Do(ctx, r, nil); err != nil {
		t.Fatal(err)
	}
}

// records reads an archive: all there is to know of a node or an edge, but for
// when it was made.
func records(t *testing.T, archive []byte) map[string]any {
	t.Helper()
	out := map[string]any{}
	for text := range bytes.Lines(archive) {
		var l struct {
			Node, Edge map[string]any
		}
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatal(err)
		}
		r := l.Node
		if r == nil {
			r = l.Edge
		}
		if r == nil {
			continue
		}
		key, err := json.Marshal([]any{r["ref"], r["from"], r["kind"], r["to"], r["key"]})
		if err != nil {
			t.Fatal(err)
		}
		for _, stamp := range []string{"created", "updated", "revision"} {
			delete(r, stamp)
		}
		out[string(key)] = r
	}
	return out
}

func TestTheSameOptionsMakeTheSameCatalog(t *testing.T) {
	a, b := catalog.New(small), catalog.New(small)
	if !reflect.DeepEqual(a, b) {
		t.Error("two catalogs of the same options differ")
	}
	other := small
	other.Organizations, other.Projects, other.Users = 40, 400, 12
	if c := catalog.New(other); !reflect.DeepEqual(a.Orgs[0].Projects[3].Entry, c.Orgs[0].Projects[3].Entry) || len(c.Orgs[0].Projects) != 10 {
		t.Error("the sample is another one beside other organizations")
	}
	other.Seed++
	if c := catalog.New(other); a.Orgs[0].ID == c.Orgs[0].ID {
		t.Error("another seed makes the same catalog")
	}
}

func TestACatalogHasTheSizeAskedFor(t *testing.T) {
	for _, o := range []catalog.Options{small, {Organizations: 1, Projects: 100, Users: 5}, {Organizations: 100, Projects: 3000, Users: 500}} {
		w := catalog.New(o)
		n := 0
		for _, org := range w.Orgs {
			n += len(org.Projects)
		}
		if n != o.Projects || len(w.Orgs) != o.Organizations || len(w.People) != o.Users || len(w.ThreeOf) != 3 {
			t.Errorf("%+v: %d projects, %d organizations, %d people, %d projects of one", o, n, len(w.Orgs), len(w.People), len(w.ThreeOf))
		}
	}
}
