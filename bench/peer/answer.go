package peer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Every system writes answers in this form.
var (
	isAllowed = []byte(`"allowed":true`)
	isDenied  = []byte(`"allowed":false`)
)

func allowed(want bool) func([]byte) bool {
	text := isDenied
	if want {
		text = isAllowed
	}
	return func(b []byte) bool { return bytes.Contains(b, text) }
}

// sameRepos compares what a system listed, in any order, with the ids wanted.
func sameRepos(got, want []string) bool {
	ids := make([]string, len(got))
	for i, g := range got {
		ids[i] = strings.TrimPrefix(g, "repo:")
	}
	slices.Sort(ids)
	return slices.Equal(ids, want)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts, numbers and lists of them always have a JSON form
	}
	return b
}
