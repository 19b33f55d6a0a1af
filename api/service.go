package api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// Health answers the probes.
type Health struct {
	Status string            `json:"status" enum:"ok,unavailable"`
	Checks map[string]string `json:"checks,omitempty" doc:"What is not as it should be, or ok"`
}

func serviceRoutes() []route {
	ui := docsPage()
	rows := []route{
		{method: get, path: "/livez", id: "live", tag: "service", summary: "Tell whether the process runs", public: "probes have no credential", unrecorded: true, out: Health{}, quick: true,
			handle: func(c *call) error { return c.json(http.StatusOK, Health{Status: "ok"}) }},
		{method: get, path: "/readyz", id: "ready", tag: "service", summary: "Tell whether requests can be answered", public: "probes have no credential", unrecorded: true, out: Health{}, quick: true,
			answers: map[int]string{http.StatusServiceUnavailable: "Not now"}, handle: ready},
		{method: get, path: "/metrics", id: "metrics", tag: "service", summary: "Metrics for Prometheus", public: "scrapers have no credential, and no metric names anybody", unrecorded: true, handle: showMetrics},
		{method: get, path: "/openapi.json", id: "openapi", tag: "service", summary: "This document", public: "it holds no data", unrecorded: true, quick: true, handle: func(c *call) error {
			c.w.Header().Set("Cache-Control", "public, max-age=300")
			c.send(http.StatusOK, c.openapi)
			return nil
		}},
		{method: get, path: "/docs", id: "docs", tag: "service", summary: "This document as a page", public: "it holds no data", unrecorded: true, handle: ui},
		{method: get, path: "/docs/{file}", id: "docsFile", tag: "service", summary: "What the page needs", public: "it holds no data", unrecorded: true, handle: ui},
	}
	return rows
}

// ready says whether the index is loaded and the store was heard of lately. A
// store that is away does not make the service unready: checks go on.
func ready(c *call) error {
	st := c.Graph.State()
	h := Health{Status: "ok", Checks: map[string]string{"index": "ok", "store": "ok"}}
	status := http.StatusOK
	switch {
	case !st.Ready || !c.view.Ready():
		h.Status, h.Checks["index"], status = "unavailable", "not loaded yet", http.StatusServiceUnavailable
	case !c.Prepared():
		h.Status, h.Checks["store"], status = "unavailable", "not prepared yet", http.StatusServiceUnavailable
	}
	if status != http.StatusOK {
		c.w.Header().Set("Retry-After", "1")
	}
	if st.Err != nil || c.now.Sub(st.Contact) > c.o.StaleAfter {
		h.Checks["store"] = "no answer; checks are answered from what is known, writes are refused"
		if !st.Contact.IsZero() {
			h.Checks["store_silent_for"] = c.now.Sub(st.Contact).Round(time.Second).String()
		}
	}
	if c.Audit != nil {
		h.Checks["audit"] = c.auditHealth(c.now)
	}
	h.Checks["files"] = c.filesHealth(c.now)
	return c.json(status, h)
}

func showMetrics(c *call) error {
	if c.o.HideMetrics {
		return problem(http.StatusNotFound, "no-route", "there is nothing at this path")
	}
	promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{}).ServeHTTP(c.w, c.r)
	return nil
}

// docsPage shows the OpenAPI document with files of its own alone.
func docsPage() func(*call) error {
	page := v5emb.NewHandlerWithConfig(swgui.Config{Title: "Trellis", SwaggerJSON: "/openapi.json", BasePath: "/docs", HideCurl: false})
	return func(c *call) error {
		h := c.w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'")
		h.Set("Cache-Control", "public, max-age=300")
		page.ServeHTTP(c.w, c.r)
		return nil
	}
}
