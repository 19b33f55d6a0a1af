package api

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trellis/storage"
	"trellis/storage/content"
	"trellis/storage/uploads"
)

// filesHealth says, for the probes, whether files can be stored and read.
func (s *server) filesHealth(now time.Time) string {
	h := s.Uploads.Health()
	switch {
	case h.Err == nil:
		return "ok"
	case errors.Is(h.Err, uploads.ErrForeign):
		return "the files there belong to another graph; files can neither be stored nor read"
	case errors.Is(h.Err, storage.ErrRefused):
		return "refused what it was asked; files can neither be stored nor read"
	}
	return "no answer for " + now.Sub(h.Silent).Round(time.Second).String() + "; files can neither be stored nor read"
}

// filesCollector shows the state of files as metrics.
type filesCollector struct{ service *uploads.Service }

var (
	uploadsDesc     = prometheus.NewDesc("trellis_uploads", "Uploads, by state.", []string{"state"}, nil)
	blobsDesc       = prometheus.NewDesc("trellis_blobs", "Different contents that uploads have, by whether something has them still.", []string{"used"}, nil)
	bytesDesc       = prometheus.NewDesc("trellis_blobs_bytes", "What they take, thumbnails apart.", nil, nil)
	answersDesc     = prometheus.NewDesc("trellis_files_up", "Whether the place for bytes answered when it was last looked at.", nil, nil)
	storedDesc      = prometheus.NewDesc("trellis_files_stored_total", "Files that this process has stored.", nil, nil)
	refusedDesc     = prometheus.NewDesc("trellis_files_refused_total", "Files that this process has refused, by kind of refusal.", []string{"kind"}, nil)
	picturelessDesc = prometheus.NewDesc("trellis_files_pictureless_total", "Pictures that this process has stored without a thumbnail, since none could be made.", nil, nil)
	missingDesc     = prometheus.NewDesc("trellis_blobs_missing", "Contents whose bytes the last sweep of this process did not find.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*filesCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{uploadsDesc, blobsDesc, bytesDesc, answersDesc, storedDesc, refusedDesc, picturelessDesc, missingDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f *filesCollector) Collect(ch chan<- prometheus.Metric) {
	t, h := f.service.Ledger().Totals(), f.service.Health()
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	gauge(uploadsDesc, t.Uploads-t.Pending, "ready")
	gauge(uploadsDesc, t.Pending, "pending")
	gauge(blobsDesc, t.Blobs-t.Loose, "yes")
	gauge(blobsDesc, t.Loose, "no")
	gauge(bytesDesc, int(t.Bytes))
	up := 1
	if h.Err != nil {
		up = 0
	}
	gauge(answersDesc, up)
	gauge(missingDesc, h.Last.Missing)
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	count(storedDesc, h.Stored)
	count(picturelessDesc, h.Pictureless)
	for _, k := range []content.Kind{content.NotAllowed, content.Mismatch, content.Polyglot, content.Damaged, content.TooLarge, content.Active} {
		count(refusedDesc, h.Refused[k], strings.ToLower(string(k)))
	}
}
