package main

import (
	"strings"
	"testing"
	"time"

	"trellis/bench/drive"
)

func TestReportComparesEverySystemWithTrellis(t *testing.T) {
	var r report
	r.add(row{what: "check", connections: 16, system: trellis, items: 1, result: drive.Result{PerSecond: 12000, P50: 800 * time.Microsecond, P99: 3 * time.Millisecond, CPU: 41200 * time.Nanosecond}})
	r.add(row{what: "check", connections: 16, system: "OpenFGA", items: 1, result: drive.Result{PerSecond: 300, P50: 50 * time.Millisecond, P99: 2 * time.Second, Wrong: 1, Failed: 2}})
	r.add(row{what: "checks in batches", connections: 1, system: trellis + ", in batches of 100", items: 100, result: drive.Result{PerSecond: 2000}})
	r.add(row{what: "checks in batches", connections: 1, system: "OpenFGA, in batches of 50", items: 50, result: drive.Result{PerSecond: 2}})
	r.add(row{what: "write one grant", connections: 16, system: trellisOnNeo4j, items: 1, result: drive.Result{PerSecond: 700}})
	r.add(row{what: "write one grant", connections: 16, system: "raw Neo4j driver, groups of 16", items: 1, result: drive.Result{PerSecond: 1000}})
	r.mistake("%s", "something")
	got := r.markdown()
	for _, want := range []string{
		"| check | 16 | Trellis | 12,000 | 800 µs | 3.0 ms | 41.2 µs |  | 0 | 0 |\n",
		"| check | 16 | OpenFGA | 300 | 50.0 ms | 2.0 s |  | 40 x | 1 | 2 |\n",
		"| checks in batches | 1 | Trellis, in batches of 100 | 200,000 |",
		"| checks in batches | 1 | OpenFGA, in batches of 50 | 100 |  |  |  | 2000 x | 0 | 0 |\n",
		"| write one grant | 16 | raw Neo4j driver, groups of 16 | 1,000 |  |  |  | 0.7 x | 0 | 0 |\n",
		"**Mistake:** something",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}
