package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"trellis/api"
)

// benchWorld has one organization with 500 repositories that "dev" may read
// and 500 that it may not.
func benchWorld(b *testing.B) *world { return fillBench(newWorld(b, api.Options{})) }

func fillBench(w *world) *world {
	w.sample()
	w.user("dev")
	w.grant("user:dev", "editor", "organization:acme")
	for _, org := range []string{"acme", "other"} {
		var muts []string
		for i := range 500 {
			muts = append(muts, fmt.Sprintf(`{"op":"put","node":"repo:%s/%d","data":{"parents":["organization:%s"]}}`, org, i, org))
		}
		w.ok("root", "POST", v1+"/batch", `{"mutations":[`+strings.Join(muts, ",")+`]}`)
	}
	return w
}

// bare is the ceiling: gin alone, decoding the same body with the library that
// gin brings along, and answering a constant.
func bare(b *testing.B) *httptest.Server {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	answer := []byte(`{"allowed":true,"revision":"k3xw9q2ak3xw9q2a.1042"}`)
	e.POST("/check", func(c *gin.Context) {
		var in struct{ Subject, Permission, Resource string }
		if err := c.ShouldBindJSON(&in); err != nil {
			c.AbortWithStatus(400)
			return
		}
		c.Data(200, "application/json", answer)
	})
	s := httptest.NewServer(e)
	b.Cleanup(s.Close)
	return s
}

// load sends n requests over the connections and returns how long it took and
// the durations in order.
func load(b *testing.B, client *http.Client, connections, n int, url, token string, bodies [][]byte) (time.Duration, []time.Duration) {
	var next atomic.Int64
	var wg sync.WaitGroup
	took := make([]time.Duration, n)
	start := time.Now()
	for range connections {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				method, rd := "GET", io.Reader(nil)
				if bodies != nil {
					method, rd = "POST", bytes.NewReader(bodies[i%len(bodies)])
				}
				req, _ := http.NewRequest(method, url, rd)
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+token)
				t := time.Now()
				resp, err := client.Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				took[i] = time.Since(t)
				if resp.StatusCode != http.StatusOK {
					b.Errorf("status %d", resp.StatusCode)
					return
				}
			}
		})
	}
	wg.Wait()
	total := time.Since(start)
	slices.Sort(took)
	return total, took
}

// cpu returns the processor time that this process, client and server, has
// used: on a busy machine a steadier measure than the clock.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func client(connections int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true}}
}

func checkBodies() [][]byte {
	var out [][]byte
	for i := range 500 {
		org := "acme"
		if i%2 == 1 {
			org = "other"
		}
		out = append(out, fmt.Appendf(nil, `{"subject":"user:dev","permission":"repo:push","resource":"repo:%s/%d"}`, org, i))
	}
	return out
}

// BenchmarkCheckOverHTTP compares the check with bare gin, in turns on the
// same connections' number, and reports the median of the ratios.
func BenchmarkCheckOverHTTP(b *testing.B) {
	const connections, requests, rounds = 16, 10_000, 7
	w, floor := benchWorld(b), bare(b)
	a, c := client(connections), client(connections)
	defer a.CloseIdleConnections()
	defer c.CloseIdleConnections()
	bodies := checkBodies()
	run := func(client *http.Client, url string, n int) (perSecond, micros float64) {
		before := cpu()
		d, _ := load(b, client, connections, n, url, w.tokens["dev"], bodies)
		return float64(n) / d.Seconds(), float64((cpu() - before).Microseconds()) / float64(n)
	}
	check := func(n int) (float64, float64) { return run(a, w.server.URL+v1+"/access/check", n) }
	plain := func(n int) (float64, float64) { return run(c, floor.URL+"/check", n) }
	check(2000)
	plain(2000)
	for b.Loop() {
		var rate, ceiling, ratio, cost, floorCost []float64
		for range rounds {
			x, xcost := check(requests)
			y, ycost := plain(requests)
			rate, ceiling, ratio = append(rate, x), append(ceiling, y), append(ratio, x/y)
			cost, floorCost = append(cost, xcost), append(floorCost, ycost)
		}
		b.ReportMetric(median(cost), "cpu-us/check")
		b.ReportMetric(median(floorCost), "cpu-us/bare")
		b.ReportMetric(median(floorCost)/median(cost), "cpu-ratio")
		b.ReportMetric(median(rate), "checks/s")
		b.ReportMetric(median(ceiling), "bare-gin/s")
		b.ReportMetric(median(ratio), "ratio")
	}
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}

func BenchmarkChecksOverHTTP(b *testing.B) {
	const connections, requests, rounds, size = 16, 2000, 5, 100
	w := benchWorld(b)
	c := client(connections)
	defer c.CloseIdleConnections()
	single := checkBodies()
	var bodies [][]byte
	for i := 0; i < len(single); i += size {
		bodies = append(bodies, fmt.Appendf(nil, `{"checks":[%s]}`, bytes.Join(single[i:i+size], []byte(","))))
	}
	for b.Loop() {
		var rate, cost []float64
		for range rounds {
			before := cpu()
			d, _ := load(b, c, connections, requests, w.server.URL+v1+"/access/checks", w.tokens["dev"], bodies)
			rate = append(rate, requests*size/d.Seconds())
			cost = append(cost, float64((cpu()-before).Nanoseconds())/(requests*size))
		}
		b.ReportMetric(median(cost), "cpu-ns/check")
		b.ReportMetric(median(rate), "checks/s")
	}
}

func BenchmarkList500OverHTTP(b *testing.B) {
	w := benchWorld(b)
	c := client(1)
	defer c.CloseIdleConnections()
	for _, q := range []string{"/access/resources?permission=repo:read&type=repo&limit=500", "/resources/repo?limit=500"} {
		b.Run(q[:strings.IndexByte(q, '?')], func(b *testing.B) {
			for b.Loop() {
				_, took := load(b, c, 1, 500, w.server.URL+v1+q, w.tokens["dev"], nil)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			}
		})
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkCheckHandler leaves the network out: what is ours to make fast.
func BenchmarkCheckHandler(b *testing.B) {
	w := benchWorld(b)
	floor := bare(b)
	for name, h := range map[string]struct {
		http.Handler
		path string
	}{"check": {w.handler, v1 + "/access/check"}, "bare": {floor.Config.Handler, "/check"}} {
		b.Run(name, func(b *testing.B) {
			bodies := checkBodies()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				body := bodies[i%len(bodies)]
				req := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: h.path}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
					Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + w.tokens["dev"]}}}
				h.ServeHTTP(discard{http.Header{}}, req)
			}
		})
	}
}

// BenchmarkAuditedCheckOverHTTP tells what recording costs: the same check
// with and without an audit log, in turns on the same connections' number, and the
// median of the ratios. The records are delivered to the embedded sink meanwhile,
// unless the name says otherwise. Half of the checks are refused.
func BenchmarkAuditedCheckOverHTTP(b *testing.B) {
	for _, v := range []struct {
		name string
		rate float64
		idle bool
	}{{"spool,allowed=0", 0, true}, {"spool,allowed=0.1", 0.1, true}, {"spool,allowed=1", 1, true}, {"delivered,allowed=0.1", 0.1, false}} {
		b.Run(v.name, func(b *testing.B) {
			const connections, requests, rounds = 16, 15_000, 7
			o := api.Options{DecisionRate: v.rate}
			with, without := fillBench(audited(b, o, &auditing{idle: v.idle, limit: 16 << 30, slow: true})), fillBench(newWorld(b, o))
			a, c := client(connections), client(connections)
			defer a.CloseIdleConnections()
			defer c.CloseIdleConnections()
			bodies := checkBodies()
			run := func(w *world, client *http.Client, n int) (perSecond, micros float64) {
				before := cpu()
				d, _ := load(b, client, connections, n, w.server.URL+v1+"/access/check", w.tokens["dev"], bodies)
				return float64(n) / d.Seconds(), float64((cpu() - before).Nanoseconds()) / 1000 / float64(n)
			}
			run(with, a, 2000)
			run(without, c, 2000)
			for b.Loop() {
				var ratio, cpuRatio, cost, plain []float64
				for i := range rounds {
					var x, y, xcost, ycost float64
					if i%2 == 0 {
						x, xcost = run(with, a, requests)
						y, ycost = run(without, c, requests)
					} else {
						y, ycost = run(without, c, requests)
						x, xcost = run(with, a, requests)
					}
					ratio, cpuRatio, cost, plain = append(ratio, x/y), append(cpuRatio, xcost/ycost), append(cost, xcost), append(plain, ycost)
				}
				b.ReportMetric(median(ratio), "rate-ratio")
				b.ReportMetric(median(cpuRatio), "cpu-ratio")
				b.ReportMetric(median(cost), "cpu-us/audited")
				b.ReportMetric(median(plain), "cpu-us/plain")
			}
		})
	}
}
