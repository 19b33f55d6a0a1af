package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"trellis/bench/drive"
	"trellis/bench/peer"
	"trellis/bench/world"
)

const (
	trellis        = "Trellis"
	trellisOnNeo4j = "Trellis on Neo4j"
	bareRoute      = "a bare gin route"
)

type row struct {
	what        string
	connections int
	system      string
	items       int
	result      drive.Result
}

type loaded struct {
	system   string
	elements int
	took     time.Duration
}

type memory struct {
	system, when string
	now, peak    int64
}

type revoked struct {
	system   string
	n        int
	p50, max time.Duration
}

// report gathers what was measured.
type report struct {
	head     []string
	known    []string
	rows     []row
	loads    []loaded
	memory   []memory
	starts   []time.Duration
	revoked  []revoked
	mistakes []string
	notes    []string
}

func (r *report) add(x row) { r.rows = append(r.rows, x) }

// mistake notes what went wrong in a system.
func (r *report) mistake(format string, args ...any) {
	r.mistakes = append(r.mistakes, fmt.Sprintf(format, args...))
}

var cpuModel = regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`)

// machine describes what it is measured on, without naming it.
func (r *report) machine(ctx context.Context, root string, w *world.World) {
	cpu := "unknown CPU"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := cpuModel.FindSubmatch(b); m != nil {
			cpu = string(m[1])
		}
	}
	kernel := runtime.GOOS
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = "Linux " + strings.TrimSpace(string(b))
	}
	load := "unknown"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(b))[:1], " ")
	}
	commit := "unknown"
	if out, err := exec.CommandContext(ctx, "git", "-C", root, "rev-parse", "--short", "HEAD").Output(); err == nil { //nolint:gosec // our own directory
		commit = strings.TrimSpace(string(out))
	}
	tuples := len(peer.Tuples(w))
	r.head = []string{
		fmt.Sprintf("%d cores (%s), %s, %s; %s; load average before: %s; Trellis at %s.", runtime.NumCPU(), cpu, kernel, runtime.Version(), time.Now().UTC().Format("2006-01-02"), load, commit),
		fmt.Sprintf("%d people, %d teams, %d repositories in %d organizations: %d nodes, memberships and grants for Trellis, %d tuples for OpenFGA.", len(w.People), len(w.Teams), len(w.Repos), len(w.Orgs), w.Elements(), tuples),
		"Client and server share the cores.",
	}
}

// markdown writes it all down.
func (r *report) markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, h := range r.head {
		line("%s", h)
	}
	line("")
	line("Known decisions: %s.", strings.Join(r.known, "; "))
	if len(r.rows) > 0 {
		line("\n| what | connections | system | per second | p50 | p99 | CPU | Trellis is | wrong | failed |")
		line("|---|---:|---|---:|---:|---:|---:|---:|---:|---:|")
		for _, x := range r.rows {
			line("| %s | %d | %s | %s | %s | %s | %s | %s | %d | %d |", x.what, x.connections, x.system, number(x.rate()), latency(x.result.P50), latency(x.result.P99), cpu(x.result.CPU), r.ratio(x), x.result.Wrong, x.result.Failed)
		}
	}
	line("\n| load of everything | elements | seconds | per second |\n|---|---:|---:|---:|")
	for _, l := range r.loads {
		line("| %s | %d | %.2f | %s |", l.system, l.elements, l.took.Seconds(), number(float64(l.elements)/l.took.Seconds()))
	}
	if len(r.revoked) > 0 {
		line("\n| revocation in force, after its answer | revocations | p50 | longest |\n|---|---:|---:|---:|")
		for _, x := range r.revoked {
			line("| %s | %d | %s | %s |", x.system, x.n, latency(x.p50), latency(x.max))
		}
	}
	line("\n| resident memory | when | MB | peak MB |\n|---|---|---:|---:|")
	for _, m := range r.memory {
		line("| %s | %s | %d | %d |", m.system, m.when, m.now>>20, m.peak>>20)
	}
	if len(r.starts) > 0 {
		line("\nStart of Trellis on an empty directory, to its first answer: %s.", durations(r.starts))
	}
	for _, n := range r.notes {
		line("\n%s", n)
	}
	for _, m := range r.mistakes {
		line("\n**Mistake:** %s", m)
	}
	return b.String()
}

func (x row) rate() float64 { return x.result.PerSecond * float64(x.items) }

// ratio compares Trellis with the system of the row. On Neo4j it is compared
// with the driver alone.
func (r *report) ratio(x row) string {
	ours := trellis
	if strings.Contains(x.system, "Neo4j") {
		ours = trellisOnNeo4j
	}
	for _, t := range r.rows {
		if t.what == x.what && t.connections == x.connections && (t.system == ours || strings.HasPrefix(t.system, ours+",")) && t.system != x.system && x.rate() > 0 {
			return factor(t.rate()/x.rate()) + " x"
		}
	}
	return ""
}

func factor(f float64) string {
	if f >= 20 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.2g", f)
}

// number writes a rate with thousands apart.
func number(f float64) string {
	s := fmt.Sprintf("%.0f", f)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// cpu writes a time that may be very short.
func cpu(d time.Duration) string {
	if d > 0 && d < 100*time.Microsecond {
		return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1000)
	}
	return latency(d)
}

func latency(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func durations(ds []time.Duration) string {
	var out []string
	for _, d := range ds {
		out = append(out, latency(d))
	}
	return strings.Join(out, ", ")
}
