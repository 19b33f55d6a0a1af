// Package docs holds the documents; its only code is the test that keeps the
// package map of ARCHITECTURE.md true.
package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "trellis"

// row is one line of the package map.
type row struct {
	pkg     string
	imports []string
	any     bool
}

// TestPackageMapIsTrue fails on a package that the map does not list, an
// import that it does not allow, a listed package that does not exist, and a
// package without a comment.
func TestPackageMapIsTrue(t *testing.T) {
	rows := readMap(t)
	found := map[string]bool{}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if name == "docs" || p.Name == "" || len(p.GoFiles)+len(p.CgoFiles) == 0 {
			continue
		}
		found[name] = true
		if p.Doc == "" {
			t.Errorf("%s has no package comment", name)
		}
		r, ok := rows[name]
		if !ok {
			t.Errorf("%s is not in the map", name)
			continue
		}
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module+"/")
			if ok && !r.any && !slices.Contains(r.imports, ours) {
				t.Errorf("%s imports %s, which the map does not allow", name, ours)
			}
		}
	}
	for name := range rows {
		if !found[name] {
			t.Errorf("the map lists %s, which does not exist", name)
		}
	}
}

func readMap(t *testing.T) map[string]row {
	b, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "<!-- package map -->")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no package map")
	}
	text, _, _ = strings.Cut(text, "<!-- end of package map -->")
	rows := map[string]row{}
	for line := range strings.SplitSeq(text, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		r := row{pkg: strings.Trim(strings.TrimSpace(cells[1]), "`")}
		switch imports := strings.TrimSpace(cells[3]); imports {
		case "nothing":
		case "everything":
			r.any = true
		default:
			for i := range strings.SplitSeq(imports, ",") {
				r.imports = append(r.imports, strings.TrimSpace(i))
			}
		}
		rows[r.pkg] = r
	}
	if len(rows) == 0 {
		t.Fatal("the package map is empty")
	}
	return rows
}

type goPackage struct {
	ImportPath, Name, Doc string
	GoFiles, CgoFiles     []string
	Imports               []string
}

func listPackages(t *testing.T) []goPackage {
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,GoFiles,CgoFiles,Imports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}
