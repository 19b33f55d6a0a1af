package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what /metrics shows of the API.
type metrics struct {
	requests *prometheus.HistogramVec
}

func newMetrics(r *prometheus.Registry) (*metrics, error) {
	m := &metrics{requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "trellis_http_request_duration_seconds", Help: "Time from reading a request's head to the end of its answer.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"method", "route", "status"})}
	return m, r.Register(m.requests)
}

// routeMetrics are those of one row, by status class, looked up once.
type routeMetrics [6]prometheus.Observer

var classes = [...]string{"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"}

func (m *metrics) route(rt *route) *routeMetrics {
	var out routeMetrics
	method := rt.method
	if method == "" {
		method = "any"
	}
	for i := 2; i < len(classes); i++ {
		out[i] = m.requests.WithLabelValues(method, rt.path, classes[i])
	}
	return &out
}

func (r *routeMetrics) observe(status int, d time.Duration) {
	if class := status / 100; class >= 2 && class < len(r) {
		r[class].Observe(d.Seconds())
	}
}
