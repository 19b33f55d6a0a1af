package api_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"trellis/api"
)

var request = regexp.MustCompile("(?s)```http\n([A-Z]+) (\\S+)\n(.*?)→ (\\d+) (.*?)\n```")

// TestTheRequestsOfTheCatalogsDocumentWork runs what docs/catalog.md shows.
func TestTheRequestsOfTheCatalogsDocumentWork(t *testing.T) {
	text, err := os.ReadFile("../docs/catalog.md")
	must(t, err)
	w := newWorld(t, api.Options{}).sample()
	all := request.FindAllStringSubmatch(string(text), -1)
	if len(all) != strings.Count(string(text), "```http") || len(all) == 0 {
		t.Fatalf("%d requests are read", len(all))
	}
	for _, m := range all {
		a := w.do("acme-owner", m[1], m[2], strings.TrimSpace(m[3]))
		if status, _ := strconv.Atoi(m[4]); a.status != status || !strings.Contains(string(a.body), m[5]) {
			t.Errorf("%s %s: %d, no %s in %s", m[1], m[2], a.status, m[5], a.body)
		}
	}
}
