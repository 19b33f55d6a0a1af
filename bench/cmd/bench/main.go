// Command bench compares Trellis with OpenFGA on the same graph and the same
// questions, in one run, round by round in turn, and with what its own parts
// could do at best. It prints a Markdown table. Every server listens on the
// loopback address, and client and servers share the processors of this
// machine, which costs the faster server more than the slower one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"trellis/bench/ceiling"
	"trellis/bench/peer"
	"trellis/bench/world"
)

type options struct {
	duration         time.Duration
	rounds           int
	questions        int
	only             string
	out              string
	trellis, openfga string
	alone            bool
	neo4j            string
}

// groups are what -only takes.
var groups = []string{"load", "check", "batch", "list", "write", "revoke", "neo4j"}

func main() {
	var o options
	var bare string
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "how long to measure one system in one round")
	flag.IntVar(&o.rounds, "rounds", 5, "how many rounds, of which the median counts")
	flag.IntVar(&o.questions, "questions", 50_000, "how many questions to make up, beside the 2,000 known decisions")
	flag.StringVar(&o.only, "only", "", "what to measure, of "+strings.Join(groups, ",")+"; everything if empty")
	flag.StringVar(&o.out, "o", "", "a file to write the table to as well")
	flag.StringVar(&o.trellis, "trellis", "", "the program to measure, instead of building ../cmd/trellis")
	flag.StringVar(&o.openfga, "openfga", "", "the program to measure, instead of building the one go.mod names")
	flag.BoolVar(&o.alone, "alone", false, "measure Trellis and the ceilings only, without OpenFGA")
	flag.StringVar(&bare, peer.BareFlag, "", "for itself: serve the bare route on this address")
	flag.Parse()
	o.neo4j = os.Getenv("TRELLIS_TEST_NEO4J_URL")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if bare != "" {
		err = ceiling.ServeGin(ctx, bare)
	} else {
		err = run(ctx, o, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, stdout, progress io.Writer) (err error) {
	for _, g := range strings.Split(o.only, ",") {
		if g != "" && !strings.Contains(","+strings.Join(groups, ",")+",", ","+g+",") {
			return fmt.Errorf("-only %s: want some of %s", g, strings.Join(groups, ","))
		}
	}
	module, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Dir}}", "trellis/bench")
	if err != nil {
		return err
	}
	root := filepath.Dir(module)
	data := filepath.Join(root, "testdata", "kubernetes-org")
	w, err := world.ReadDir(data)
	if err != nil {
		return err
	}
	known, err := w.Decisions(filepath.Join(data, "decisions-sample.jsonl"))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "trellis-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, world: w, data: data, dir: dir, known: known, questions: w.Questions(o.questions, 7), progress: progress}
	b.report.machine(ctx, root, w)
	if err := b.build(ctx, module, root); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	// What was measured before something failed is not thrown away.
	failed := b.all(ctx)
	if failed != nil {
		b.report.mistake("the run ended early: %v", failed)
	}
	text := b.report.markdown()
	if o.out != "" {
		err = os.WriteFile(o.out, []byte(text), 0o644) //nolint:gosec // a report, for everybody to read
	}
	_, printed := io.WriteString(stdout, text)
	return errors.Join(failed, err, printed)
}

// build compiles both programs, so that what is measured is what is here.
func (b *bench) build(ctx context.Context, module, root string) error {
	for _, p := range []struct {
		program   *string
		dir, name string
		pkg       string
	}{
		{&b.openfga, module, "openfga", "github.com/openfga/openfga/cmd/openfga"},
		{&b.trellis, root, "trellis", "./cmd/trellis"},
	} {
		if p.name == "openfga" && b.alone {
			continue
		}
		if *p.program != "" {
			abs, err := filepath.Abs(*p.program)
			if err != nil {
				return err
			}
			*p.program = abs
			continue
		}
		b.say("building %s", p.name)
		*p.program = filepath.Join(b.dir, p.name)
		if _, err := goCommand(ctx, p.dir, "build", "-o", *p.program, p.pkg); err != nil {
			return err
		}
	}
	return nil
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the arguments are those above
	c.Dir = dir
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}
