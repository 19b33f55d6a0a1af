package api

import (
	"net/http"

	"trellis/auth"
	"trellis/graph"
)

// RouteInfo is what tests may know of a row.
type RouteInfo struct {
	Method, Path, ID string
	Guarded, Public  bool
	Writes           bool
	Summary, Needs   string
}

// Routes lists the table.
func Routes() []RouteInfo {
	var out []RouteInfo
	for _, r := range table() {
		out = append(out, RouteInfo{r.method, r.path, r.id, r.guarded(), r.public != "", r.idempotent, r.summary, r.needs.permission})
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

// ClientAddress is what is kept of the address of a request, asked twice.
func ClientAddress(o Options, peer string, h http.Header) []string {
	orElse(&o.ForwardedHeader, "X-Forwarded-For")
	cs := newClients(o)
	r := &http.Request{RemoteAddr: peer, Header: h}
	return []string{cs.address(r), cs.address(r)}
}

// Agent is what is kept of a User-Agent.
func Agent(s string) string { return agent(http.Header{"User-Agent": {s}}) }

// Sample tells how many of n questions are chosen, and at which places of
// their rounds; -1 if one has another weight.
func Sample(rate float64, n int, weight int64) (chosen int, places map[int]bool) {
	s := newSampler(rate)
	places = map[int]bool{}
	for i := range n {
		if w, ok := s.next(); ok {
			if chosen++; w != weight {
				return -1, nil
			}
			places[i%int(weight)] = true
		}
	}
	return chosen, places
}
