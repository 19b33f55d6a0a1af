// Command catalog measures a server of Trellis that holds a large catalog: it
// makes one up, imports it, starts the server on it, and sends questions at a
// constant rate, as an administrator, as a member of one organization, and as
// somebody who may read three projects. It prints Markdown tables. Server and
// client are on this machine and share its processors.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"trellis/bench/catalog"
)

type options struct {
	catalog.Options
	rate, writes, runs int
	duration, warm     time.Duration
	kinds              string
	trellis, data      string
	neo4j              string
	archive, out       string
	reuse              bool
	tenants            string
}

func main() {
	var o options
	flag.IntVar(&o.Organizations, "organizations", 1000, "how many organizations")
	flag.IntVar(&o.Projects, "projects", 100_000, "how many projects, of all organizations together")
	flag.IntVar(&o.Users, "users", 20_000, "how many users")
	flag.IntVar(&o.Sample, "sample", 100, "how many projects the first organization has, whatever the others have")
	flag.Uint64Var(&o.Seed, "seed", 1, "another seed makes another catalog of the same shape")
	flag.IntVar(&o.rate, "rate", 200, "requests a second")
	flag.IntVar(&o.writes, "writes", 20, "how many of them change a project, in a run of its own after the others; 0: no such run")
	flag.IntVar(&o.runs, "runs", 3, "how many runs, of which the best counts")
	flag.DurationVar(&o.duration, "duration", time.Minute, "how long a run is")
	flag.DurationVar(&o.warm, "warm", 10*time.Second, "how long to warm up")
	flag.StringVar(&o.kinds, "kinds", "", "ask only questions whose kind matches this expression")
	flag.StringVar(&o.trellis, "trellis", "", "the program to measure, instead of building ../cmd/trellis")
	flag.StringVar(&o.data, "data", "", "keep what is imported in this directory, instead of a temporary one")
	flag.BoolVar(&o.reuse, "reuse", false, "the store (-data, or TRELLIS_TEST_NEO4J_URL) holds this catalog already")
	flag.StringVar(&o.archive, "archive", "", "only write the catalog to this file, for `trellis import`")
	flag.StringVar(&o.out, "o", "", "a file to write the tables to as well")
	flag.StringVar(&o.tenants, "tenants", "", "measure instead one organization of -sample projects among so many, e.g. 1,100,1000,10000")
	flag.Parse()
	o.neo4j = os.Getenv("TRELLIS_TEST_NEO4J_URL")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "catalog:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	kinds, err := regexp.Compile(o.kinds)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "trellis-catalog.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := &measure{options: o, dir: dir, only: kinds}
	if err := m.build(ctx); err != nil {
		return err
	}
	switch {
	case o.archive != "":
		_, err = m.write(ctx, catalog.New(o.Options), o.archive)
	case o.tenants != "":
		err = m.tenants(ctx)
	default:
		err = m.whole(ctx)
	}
	text := m.report.String()
	if o.out != "" {
		err = errors.Join(err, os.WriteFile(o.out, []byte(text), 0o644)) //nolint:gosec // a report, for everybody to read
	}
	fmt.Print(text)
	return err
}

// measure is one run of this command.
type measure struct {
	options
	dir    string
	only   *regexp.Regexp
	report strings.Builder
}

func (m *measure) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (m *measure) tell(format string, args ...any) { fmt.Fprintf(&m.report, format+"\n", args...) }

// build compiles Trellis, so that what is measured is what is here.
func (m *measure) build(ctx context.Context) (err error) {
	if m.trellis != "" {
		m.trellis, err = filepath.Abs(m.trellis)
		return err
	}
	m.trellis = filepath.Join(m.dir, "trellis")
	c := exec.CommandContext(ctx, "go", "build", "-o", m.trellis, "./cmd/trellis") //nolint:gosec // the path is our own
	c.Dir = ".."
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	return nil
}

// load is the load average, the best there is to tell what else the machine does.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(b))[0]
}

// tenants asks the same questions of one organization among ever more.
func (m *measure) tenants(ctx context.Context) error {
	m.tell("| organizations | projects | question | p50 | p95 | p99 |\n|---:|---:|---|---:|---:|---:|")
	for _, s := range strings.Split(m.options.tenants, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		o := m.options
		o.Organizations = n
		if n == 1 {
			o.Projects = o.Sample
		}
		o.Users = min(o.Users, 20*n)
		if err := m.tenant(ctx, o.Options); err != nil {
			return err
		}
	}
	return nil
}

func (m *measure) tenant(ctx context.Context, o catalog.Options) (err error) {
	w := catalog.New(o)
	s, err := m.start(ctx, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.server.Stop()) }()
	best, err := m.best(ctx, s, m.chosen(s, s.asker.Tenant(w.Orgs[0])))
	if err != nil {
		return err
	}
	for _, t := range best.Took {
		m.tell("| %d | %d | %s | %s | %s | %s |", o.Organizations, o.Projects, t.Kind, ms(t.P50), ms(t.P95), ms(t.P99))
	}
	m.tell("| %d | %d | **all of these** | %s | %s | %s |", o.Organizations, o.Projects, ms(best.All.P50), ms(best.All.P95), ms(best.All.P99))
	return nil
}

func ms(d time.Duration) string { return strconv.FormatFloat(d.Seconds()*1000, 'f', 1, 64) }
