package api

import (
	"trellis/auth"
	"trellis/graph"
)

// RouteInfo is what tests may know of a row.
type RouteInfo struct {
	Method, Path, ID string
	Guarded, Public  bool
	Writes           bool
}

// Routes lists the table.
func Routes() []RouteInfo {
	var out []RouteInfo
	for _, r := range table() {
		out = append(out, RouteInfo{r.method, r.path, r.id, r.guarded(), r.public != "", r.idempotent})
	}
	return out
}

// EntityTags is entityTags.
var EntityTags = entityTags

// Cursor makes the cursor of a query for one caller.
func Cursor(s *auth.Secrets, caller graph.Ref, query map[string]string, after string) string {
	return cursorCall(s, caller, query).cursor(after)
}

// After reads it.
func After(s *auth.Secrets, caller graph.Ref, query map[string]string) (string, error) {
	return cursorCall(s, caller, query).after()
}

func cursorCall(s *auth.Secrets, caller graph.Ref, query map[string]string) *call {
	return &call{server: &server{Deps: Deps{Secrets: s}}, rt: &route{id: "list"}, caller: auth.Principal{Subject: caller}, query: query}
}
