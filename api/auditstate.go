package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trellis/audit"
)

// auditSource is where records come from that are on their way to the sink.
type auditSource struct {
	name  string
	state func() audit.State
}

func (s *server) auditSources() []auditSource {
	var out []auditSource
	if s.Audit != nil {
		out = append(out, auditSource{"spool", s.Audit.State})
	}
	if s.Changes != nil {
		out = append(out, auditSource{"changes", s.Changes.State})
	}
	return out
}

// auditLate is how long records may wait before the probe tells.
const auditLate = 30 * time.Second

// auditHealth says in words what is amiss with the audit log, or ok. It keeps
// nobody from asking: what is recorded waits.
func (s *server) auditHealth(now time.Time) string {
	var out []string
	for _, src := range s.auditSources() {
		st := src.state()
		what := "records"
		if src.name == "changes" {
			what = "changes"
		}
		late := !st.Oldest.IsZero() && now.Sub(st.Oldest) > auditLate
		switch {
		case st.Backlog > 0 && (st.Err != nil || late):
			text := fmt.Sprintf("%d %s are not delivered", st.Backlog, what)
			if !st.Oldest.IsZero() {
				text += ", the oldest since " + st.Oldest.UTC().Format(time.RFC3339)
			}
			if st.Err != nil {
				text = "the log's store, or the spool, failed last: " + text
			}
			out = append(out, text)
		case st.Err != nil:
			out = append(out, "the last delivery of "+what+" failed")
		}
		switch {
		case st.Limit > 0 && st.Bytes >= st.Limit-st.Limit/10:
			out = append(out, fmt.Sprintf("the spool is full (%d %%): records are dropped, and what must be recorded is refused", 100*st.Bytes/st.Limit))
		case st.Limit > 0 && st.Bytes >= st.Limit/2:
			out = append(out, fmt.Sprintf("the spool is at %d %%", 100*st.Bytes/st.Limit))
		}
	}
	if len(out) == 0 {
		return "ok"
	}
	return strings.Join(out, "; ")
}

// auditCollector shows the states as metrics.
type auditCollector struct {
	sources []auditSource
	now     func() time.Time
}

var auditDescs = func() (d [7]*prometheus.Desc) {
	for i, m := range [...][2]string{
		{"backlog", "Records, or changes of the graph, that are not delivered to the audit log's store."},
		{"oldest_seconds", "How long ago the oldest of them was; 0 if there is none."},
		{"spool_bytes", "What the spool takes on disk."},
		{"spool_limit_bytes", "What the spool may take on disk."},
		{"dropped_total", "Records that a full spool did not take."},
		{"refused_total", "Records that the audit log's store refused, and that were set aside."},
		{"damaged_total", "Records that could not be read back from the spool."},
	} {
		d[i] = prometheus.NewDesc("trellis_audit_"+m[0], m[1], []string{"source"}, nil)
	}
	return d
}()

// Describe implements prometheus.Collector.
func (*auditCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range auditDescs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (a *auditCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range a.sources {
		st := s.state()
		oldest := 0.0
		if !st.Oldest.IsZero() {
			oldest = max(0, a.now().Sub(st.Oldest).Seconds())
		}
		for i, v := range [...]float64{float64(st.Backlog), oldest, float64(st.Bytes), float64(st.Limit), float64(st.Dropped), float64(st.Refused), float64(st.Damaged)} {
			kind := prometheus.GaugeValue
			if i >= 4 {
				kind = prometheus.CounterValue
			}
			ch <- prometheus.MustNewConstMetric(auditDescs[i], kind, v, s.name)
		}
	}
}
