package api

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
