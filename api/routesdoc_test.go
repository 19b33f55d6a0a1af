package api_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"trellis/api"
)

// TestTheListOfRoutesIsTrue holds docs/rest-routes.md against the route table:
// what it says is ours is there, and it lists all that is. With -update, it
// rewrites that list.
func TestTheListOfRoutesIsTrue(t *testing.T) {
	const file, begin, end = "../docs/rest-routes.md", "<!-- routes -->\n", "<!-- end of routes -->\n"
	b, err := os.ReadFile(file)
	must(t, err)
	before, rest, ok := strings.Cut(string(b), begin)
	listed, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("the marks around the list are not there")
	}
	routes := map[string]bool{}
	var list strings.Builder
	list.WriteString("| route | what it does | permission |\n|---|---|---|\n")
	for _, r := range api.Routes() {
		routes[r.Method+" "+r.Path] = true
		needs := "—"
		if r.Needs != "" {
			needs = "`" + r.Needs + "`"
		}
		fmt.Fprintf(&list, "| `%s %s` | %s | %s |\n", r.Method, r.Path, r.Summary, needs)
	}
	if listed != list.String() {
		if !*update {
			t.Error("the list is not that of the route table; look at the difference after go test ./api -run ListOfRoutes -update")
		} else {
			must(t, os.WriteFile(file, []byte(before+begin+list.String()+end+after), 0o644))
		}
	}
	theirs := 0
	for _, line := range strings.Split(before, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		theirs++
		if strings.TrimSpace(cells[2]) == "—" && strings.TrimSpace(cells[3]) == "" {
			t.Errorf("%s leads nowhere", cells[1])
		}
		for _, m := range regexp.MustCompile("`([A-Z]+ /[^` ?]*)[^`]*`").FindAllStringSubmatch(cells[2]+cells[3], -1) {
			if !routes[m[1]] {
				t.Errorf("%s is said to be %s, which there is not", cells[1], m[1])
			}
		}
	}
	if theirs != 119 {
		t.Errorf("%d of their 119 routes are in the table", theirs)
	}
}
